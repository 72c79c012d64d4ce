#!/usr/bin/env python3
"""What others see of us: tshark's judgement of clean transfers, our own captures, the control socket, error messages."""
import json
import re
import signal
import socket
import subprocess
import time

from lib import ADDRESS, MILLRACE, URL, main, run, wait_until
from wire_lib import capture_host_side, expert_findings, tshark

def tshark_finds_nothing_wrong_with_a_download(namespace, millrace):
    run("ping", "-c", 1, "-W", 5, ADDRESS)
    file = capture_host_side(namespace, "download", lambda: run(
        "curl", "-sS", "--fail", "--max-time", 30, "-o", "/dev/null", f"{URL}/bytes/5000000"))
    findings = expert_findings(file)
    assert not findings, f"{len(findings)}: {findings[:5]}"
    assert len(tshark(file, "-Y", "tcp.len > 0").splitlines()) > 3000


def tshark_finds_nothing_wrong_with_an_upload(namespace, millrace):
    source = namespace.folder / "source"
    source.write_bytes(bytes(5_000_000))
    file = capture_host_side(namespace, "upload", lambda: run(
        "curl", "-sS", "--fail", "--max-time", 30, "-T", source, f"{URL}/sink"))
    findings = expert_findings(file)
    assert not findings, f"{len(findings)}: {findings[:5]}"
    assert len(tshark(file, "-Y", "tcp.len > 0").splitlines()) > 100


def tshark_finds_nothing_wrong_with_small_requests_and_datagrams(namespace, millrace):
    def traffic():
        for size in range(0, 1000, 50):
            run("curl", "-sS", "--fail", "--max-time", 5, "-o", "/dev/null", f"{URL}/bytes/{size}")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(2)
            s.connect((ADDRESS, 7))
            for size in range(1, 1400, 97):
                s.send(b"u" * size)
                s.recv(2000)
        run("ping", "-q", "-c", 5, "-i", 0.01, ADDRESS)

    file = capture_host_side(namespace, "small", traffic)
    findings = expert_findings(file)
    assert not findings, f"{len(findings)}: {findings[:5]}"
    fins = tshark(file, "-Y", "tcp.flags.fin == 1 && ip.src == " + ADDRESS).splitlines()
    resets = tshark(file, "-Y", "tcp.flags.reset == 1").splitlines()
    assert len(fins) == 20 and not resets, f"{len(fins)} ends, {resets}"


def a_wrong_checksum_would_be_found(namespace, millrace):
    """The test of this test: one bit of a captured download is flipped."""
    file = namespace.folder / "download.pcapng"
    bad = namespace.folder / "bad.pcapng"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    bad.write_bytes(content)
    assert expert_findings(bad), "tshark accepts what is broken"


def own_capture_shows_the_same_conversation(namespace, millrace):
    file = namespace.folder / "own.pcapng"
    capture = subprocess.Popen([MILLRACE, "capture", file, "--name", millrace.name], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: file.exists() and file.stat().st_size > 0, "the capture begins")
        run("curl", "-sS", "--fail", "--max-time", 30, "-o", "/dev/null", f"{URL}/bytes/300000")
        wait_until(lambda: file.stat().st_size > 300_000, "the capture is written")
    finally:
        capture.send_signal(signal.SIGINT)
        code = capture.wait(10)
    assert code == 0, f"exit {code}"
    findings = expert_findings(file)
    assert not findings, f"{len(findings)}: {findings[:5]}"
    following = tshark(file, "-z", "follow,tcp,ascii,0", "-q")
    assert "GET /bytes/300000 HTTP/1.1" in following and "HTTP/1.1 200 OK" in following
    assert "pcapng" in run("capinfos", file).stdout


def status_says_what_runs(namespace, millrace):
    status = millrace.status()
    assert status["name"] == millrace.name and status["state"] == "serving" and status["process"] == millrace.process.pid
    assert status["interfaces"][0]["addresses"] == [f"{ADDRESS}/24"]
    assert [s["name"] for s in status["services"]] == ["http", "echo"]
    assert f"{millrace.name}: serving" in millrace.ask("status")


def conns_shows_a_connection_while_it_lasts(namespace, millrace):
    with socket.create_connection((ADDRESS, 7), timeout=5) as s:
        own = f"{s.getsockname()[0]}:{s.getsockname()[1]}"
        s.sendall(b"hello")
        assert s.recv(10) == b"hello"
        shown = [c for c in millrace.connections() if c["remote"] == own]
        assert len(shown) == 1 and shown[0]["state"] == "ESTAB" and shown[0]["local"] == f"{ADDRESS}:7", shown
        assert own in millrace.ask("conns")
    wait_until(lambda: own not in [c["remote"] for c in millrace.connections() if c["state"] != "TIME-WAIT"], "it is gone")


def stat_counts_what_happened(namespace, millrace):
    before = millrace.counters()
    for _ in range(10):
        run("curl", "-sS", "--fail", "--max-time", 5, "-o", "/dev/null", f"{URL}/bytes/10")
    run("ping", "-q", "-c", 7, "-i", 0.01, ADDRESS)
    after = millrace.counters()
    moved = {name: after[name] - before[name] for name in ("http[0].requests", "tcp.accepted", "icmp.echoes_in")}
    assert moved == {"http[0].requests": 10, "tcp.accepted": 10, "icmp.echoes_in": 7}, moved


def prometheus_exposition_is_well_formed(namespace, millrace):
    text = millrace.ask("stat", "--prometheus")
    sample = re.compile(r'^[a-z_][a-z0-9_]*(\{([a-z_]+="[^"]*",?)+\})? \d+(\.\d+)?$')
    typed = set(re.findall(r"^# TYPE (\S+) (?:counter|gauge)$", text, re.MULTILINE))
    samples = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(samples) > 50
    for line in samples:
        assert sample.match(line), line
        assert re.match(r"[a-z0-9_]+", line)[0] in typed, f"without a type: {line}"
    assert "millrace_tcp_accepted_total" in typed


def stat_as_json_is_json(namespace, millrace):
    assert json.loads(millrace.ask("stat", "--json"))["ok"] is True


def second_instance_of_the_same_name_is_refused_and_the_first_lives(namespace, millrace):
    result = run(MILLRACE, "run", millrace.config, check=False)
    assert result.returncode == 1, result.stdout
    assert "error" in result.stdout and re.search(r"mr0|control", result.stdout), result.stdout
    run("curl", "-sS", "--fail", "--max-time", 5, "-o", "/dev/null", f"{URL}/bytes/10")


def asking_nobody_fails_with_its_own_code(namespace, millrace):
    result = run(MILLRACE, "status", "--name", f"{millrace.name}-nobody", check=False)
    assert result.returncode == 4 and f"{millrace.name}-nobody" in result.stdout, result.stdout


def check_says_where_and_what_was_expected(namespace, millrace):
    text = millrace.config.read_text()
    wrong = namespace.folder / "wrong.yaml"
    for change, line_of, expected in [
            (("listen: :80", "lisen: :80"), "lisen", "did you mean 'listen'"),
            (("driver: tap", "driver: tab"), "driver: tab", "did you mean 'tap'"),
            (("listen: :80", "listen: :99999"), ":99999", "expected"),
            (("address: 198.18.0.2/24", "address: 198.18.0.2/99"), "198.18.0.2/99", "expected"),
            (("- echo:", "- ecko:"), "ecko", "did you mean 'echo'")]:
        wrong.write_text(text.replace(*change))
        number = next(n for n, line in enumerate(wrong.read_text().splitlines(), 1) if line_of in line)
        result = run(MILLRACE, "check", wrong, check=False)
        assert result.returncode == 3, result.stdout
        assert re.search(rf"wrong\.yaml:{number}:\d+: ", result.stdout) and expected in result.stdout, result.stdout
    assert run(MILLRACE, "check", millrace.config).returncode == 0


def drain_ends_connections_in_order_and_then_the_process(namespace, millrace):
    """What was already accepted for sending arrives, then an end and no reset. The rest of a long answer does not."""
    with socket.create_connection((ADDRESS, 80), timeout=10) as s, socket.create_connection((ADDRESS, 80), timeout=10) as rest:
        s.sendall(b"GET /bytes/20000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        queued = wait_until(lambda: max(c["send_queue"] for c in millrace.connections()), "the answer is under way")
        millrace.ask("drain")
        received = 0
        while chunk := s.recv(1 << 20):
            received += len(chunk)
        assert received >= queued, f"{received} of {queued}"
        assert rest.recv(1) == b""
    assert millrace.process.wait(15) == 0



main(tshark_finds_nothing_wrong_with_a_download, tshark_finds_nothing_wrong_with_an_upload,
     tshark_finds_nothing_wrong_with_small_requests_and_datagrams, a_wrong_checksum_would_be_found,
     own_capture_shows_the_same_conversation, status_says_what_runs, conns_shows_a_connection_while_it_lasts,
     stat_counts_what_happened, prometheus_exposition_is_well_formed, stat_as_json_is_json,
     second_instance_of_the_same_name_is_refused_and_the_first_lives, asking_nobody_fails_with_its_own_code,
     check_says_where_and_what_was_expected, drain_ends_connections_in_order_and_then_the_process)
