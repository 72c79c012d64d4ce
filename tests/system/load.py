#!/usr/bin/env python3
"""Load and rest: 2,000 connections at once, wrk for ten seconds, latency of a single request, CPU when idle."""
import re
import resource
import signal
import socket
import statistics
import subprocess
import time

from lib import ADDRESS, URL, answers_on_all, main, note, run, tap_exists, wait_until

PARALLEL = 2000
IDLE_SECONDS = 5
IDLE_PERCENT_GOAL, IDLE_PERCENT_MAX = 2, 5  # the second leaves room for a busy machine
REQUEST = b"GET /bytes/1000 HTTP/1.1\r\nHost: x\r\n\r\n"
PAGE = b"<!doctype html><title>a page</title>" + b"x" * 600


def whole_page(received):
    head, found, body = received.partition(b"\r\n\r\n")
    if not found or len(body) < 1000:
        return False
    assert head.startswith(b"HTTP/1.1 200 ") and len(body) == 1000, head
    return True


at_start = {}


def a_fresh_instance_is_idle(namespace, millrace):
    run("ping", "-c", 1, "-W", 5, ADDRESS)  # the neighbours know each other
    at_start["buffers_free"] = millrace.buffers_free()
    assert millrace.is_idle()


def two_thousand_connections_at_once_are_all_served(namespace, millrace):
    resource.setrlimit(resource.RLIMIT_NOFILE, (PARALLEL + 500, max(PARALLEL + 500, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    started = time.monotonic()
    sockets = [socket.create_connection((ADDRESS, 80), timeout=10) for _ in range(PARALLEL)]
    note(f"{PARALLEL} connected in {time.monotonic() - started:.2f} s")
    for turn in range(2):
        started = time.monotonic()
        answers_on_all(sockets, REQUEST, whole_page)
        note(f"{PARALLEL} answered in {time.monotonic() - started:.2f} s")
    mine = {f"{s.getsockname()[0]}:{s.getsockname()[1]}" for s in sockets}
    shown = {c["remote"] for c in millrace.connections() if c["state"] == "ESTAB"}
    assert shown == mine, f"conns shows {len(shown)}, {len(mine & shown)} of them ours"
    for s in sockets:
        s.close()
    wait_until(millrace.is_idle, "every connection is gone")


def handshakes_in_a_burst_are_all_accepted(namespace, millrace):
    sockets = []
    for _ in range(1000):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex((ADDRESS, 80))
        sockets.append(s)
    wait_until(lambda: len([c for c in millrace.connections() if c["state"] == "ESTAB"]) == 1000, "1000 connections")
    failed = sum(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0 for s in sockets)
    for s in sockets:
        s.close()
    assert not failed, f"{failed} refused"
    wait_until(millrace.is_idle, "every connection is gone")


def wrk_for_ten_seconds_sees_no_error(namespace, millrace):
    (namespace.folder / "www" / "index.html").write_bytes(PAGE)
    before = millrace.counters()
    out = run("wrk", "-t1", "-c64", "-d10s", "--latency", f"{URL}/", timeout=40).stdout
    after = millrace.counters()
    assert "Socket errors" not in out and "Non-2xx" not in out, out
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])
    slowest = re.search(r"99%\s+(\S+)", out)[1]
    note(f"wrk: {rate:.0f} requests/s, p99 {slowest}")
    requests = int(re.search(r"(\d+) requests in", out)[1])
    served = after["http[0].responses_2xx"] - before["http[0].responses_2xx"]
    assert requests > 1000 and requests <= served <= requests + 64, f"wrk counts {requests}, Millrace {served}"
    assert after["tcp.no_buffers"] == before["tcp.no_buffers"]
    wait_until(millrace.is_idle, "every connection is gone")


def an_unloaded_request_is_answered_at_once(namespace, millrace):
    times = []
    with socket.create_connection((ADDRESS, 80), timeout=5) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(300):
            time.sleep(0.003)  # longer than Millrace spins: it rests when the request comes
            started = time.perf_counter()
            s.sendall(b"GET /bytes/10 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert s.recv(4096).startswith(b"HTTP/1.1 200")
            times.append((time.perf_counter() - started) * 1e6)
    times.sort()
    note(f"request after rest: median {statistics.median(times):.0f} us, p99 {times[297]:.0f} us")
    assert statistics.median(times) < 2000, "the median waits for a timer"


def an_idle_instance_uses_no_cpu(namespace, millrace):
    wait_until(millrace.is_idle, "idle")
    before, started = millrace.cpu_seconds(), time.monotonic()
    time.sleep(IDLE_SECONDS)
    percent = 100 * (millrace.cpu_seconds() - before) / (time.monotonic() - started)
    note(f"idle: {percent:.2f} % of a core over {IDLE_SECONDS} s (goal {IDLE_PERCENT_GOAL} %)")
    assert percent < IDLE_PERCENT_MAX, f"{percent:.1f} %"


def nothing_is_leaked_by_all_of_this(namespace, millrace):
    wait_until(lambda: millrace.buffers_free() >= at_start["buffers_free"], "all buffers are back")


def sigterm_under_load_ends_cleanly(namespace, millrace):
    wrk = subprocess.Popen(["wrk", "-t1", "-c32", "-d20s", f"{URL}/"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: len([c for c in millrace.connections() if c["state"] == "ESTAB"]) >= 32, "load")
        started = time.monotonic()
        code = millrace.stop(signal.SIGTERM)
        note(f"ended in {time.monotonic() - started:.2f} s")
        assert code == 0, f"exit {code}"
        assert not tap_exists(), "the TAP device is still there"
    finally:
        wrk.kill()
        wrk.wait()
    millrace.start()
    assert run("curl", "-sS", "--fail", "--max-time", 5, f"{URL}/bytes/3").stdout


main(a_fresh_instance_is_idle, two_thousand_connections_at_once_are_all_served, handshakes_in_a_burst_are_all_accepted,
     wrk_for_ten_seconds_sees_no_error, an_unloaded_request_is_answered_at_once, an_idle_instance_uses_no_cpu,
     nothing_is_leaked_by_all_of_this, sigterm_under_load_ends_cleanly)
