#!/usr/bin/env python3
"""The proxy as its users meet it: curl in all its moods, WebSocket, trickling responses, a client's proxy, numbers that agree with
what the backends saw."""
import asyncio
import contextlib
import json
import re
import socket
import ssl
import sys
import threading
import time
import zlib

from lib import ADDRESS, HOST, Skip, main, note, run, wait_until
from proxy_lib import Nginx, Wrk, fetch, proxy_service
from wire_lib import capture_host_side, expert_findings, tshark

APP, PAGES, SHORT, CHECKED, TLS, SOCKETS, FULL = 9001, 9002, 9003, 9004, 9443, 9005, 9006
WEB = f"http://{ADDRESS}:8080"
VIA = ["-x", f"http://{ADDRESS}:8090"]
PROXY = proxy_service(f"""
    listeners:
      - {{name: web, listen: ":8080", upstream: app}}
      - {{name: door, listen: ":8090", mode: forward}}
    routes:
      - {{name: named, host: named.example, path: /who, upstream: named}}
      - {{name: deep, path: /deep/, header: "X-Team: blue", strip_prefix: /deep, set_host: inner.example, upstream: app}}
      - {{name: pages, path: /pages/, strip_prefix: /pages, upstream: pages}}
      - {{name: short, path: /short/, strip_prefix: /short, upstream: short}}
      - {{name: socket, path: /socket, upstream: sockets}}
      - {{name: gone, path: /gone, upstream: gone}}
      - {{name: silent, path: /silent, upstream: silent}}
      - {{name: none, path: /none, upstream: none}}
      - {{name: full, path: /full, upstream: full}}
      - {{name: stuck, path: /stuck, upstream: stuck}}
      - {{name: hashed, path: /hashed, upstream: hashed}}
      - {{name: weighed, path: /weighed, upstream: weighed}}
    upstreams:
      - {{name: app, backends: [{{name: one, address: {HOST}:{APP}}}]}}
      - {{name: named, backends: [{{address: {HOST}:{APP}}}]}}
      - {{name: pages, backends: [{{address: {HOST}:{PAGES}}}]}}
      - {{name: short, requests_max: 1, idle_max: 0, backends: [{{address: {HOST}:{SHORT}}}]}}
      - {{name: sockets, backends: [{{address: {HOST}:{SOCKETS}}}]}}
      - {{name: gone, backends: [{{address: {HOST}:9099}}]}}
      - {{name: silent, response_timeout: 300ms, retries: 0, backends: [{{address: {HOST}:{APP}}}]}}
      - {{name: full, connect_timeout: 500ms, retries: 0, backends: [{{address: {HOST}:{FULL}}}]}}
      - {{name: none, backends: [{{address: {HOST}:{APP}, state: disabled}}]}}
      - name: stuck
        sticky_cookie: SRV
        backends: [{{name: x, address: {HOST}:9011}}, {{name: y, address: {HOST}:9012}}, {{name: z, address: {HOST}:9013}}]
      - name: hashed
        balance: maglev
        hash: header X-User
        backends: [{{name: x, address: {HOST}:9011}}, {{name: y, address: {HOST}:9012}}, {{name: z, address: {HOST}:9013}}]
      - name: weighed
        backends: [{{name: x, address: {HOST}:9011, weight: 6}}, {{name: y, address: {HOST}:9012, weight: 3}}, {{name: z, address: {HOST}:9013}}]
      - name: checked
        health: {{type: http, path: /alive, host: check.example, interval: 200ms, jitter: 50%}}
        backends: [{{address: {HOST}:{CHECKED}}}]
    forward:
      connect_ports: [443, {TLS}]
      hosts: [{{name: secure.example, address: {HOST}}}, {{name: named.example, address: {HOST}}}]
      rules: [{{allow: false, destination: {HOST}/32, port_first: {PAGES}, port_last: {PAGES}}}, {{allow: true, destination: {HOST}/32}}]
""")


class Recorder:
    """A backend that answers by path and keeps what it was sent: `requests` (head, body), how many connections, how each ended."""

    def __init__(self, port, name="", tls=None):
        self.port, self.name, self.tls = port, name, tls
        self.requests, self.times, self.connections, self.resets, self.ends = [], [], 0, 0, 0
        self.listener = socket.create_server((HOST, port), backlog=1024)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            s, _ = self.listener.accept()
            self.connections += 1
            self.times.append(time.monotonic())
            threading.Thread(target=self.connection, args=(s,), daemon=True).start()

    def connection(self, s):
        try:
            with (self.tls.wrap_socket(s, server_side=True) if self.tls else s) as s:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                stream = s.makefile("rb")
                while self.request(s, stream):
                    pass
        except ConnectionResetError:
            self.resets += 1
        except OSError:
            pass

    def request(self, s, stream):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                self.ends += not head
                return False
            head += line
        fields = dict(re.findall(r"(?m)^([^:\r\n]+): ?(.*?)\r$", head.decode("latin-1").lower()))
        if head.split()[1] == b"/early":
            s.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch")
            time.sleep(0.2)  # to end with unread input resets: not before they have read the answer
            return False
        if "100-continue" in fields.get("expect", ""):
            s.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = b""
        if "chunked" in fields.get("transfer-encoding", ""):
            while (size := int(stream.readline().split(b";")[0], 16)):
                body += stream.read(size)
                stream.readline()
            while stream.readline().strip():
                pass
        else:
            body = stream.read(int(fields.get("content-length", 0)))
        self.requests.append((head.decode("latin-1"), body))
        return self.answer(s, head.split()[0].decode(), head.split()[1].decode().split("?")[0], head, body)

    def answer(self, s, method, path, head, body):
        word, _, argument = path[1:].partition("/")
        number = int(argument) if argument.isdigit() else 0
        if word == "status":
            s.sendall(b"HTTP/1.1 %d Said\r\nETag: \"e\"\r\n%s\r\n" % (number, b"" if number in (204, 304) else b"Content-Length: 0\r\n"))
        elif word == "chunked":
            s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i in range(number):
                s.sendall(b"%x%s\r\n" % (1 + i % 999, b";part=%d" % i if i < 10 else b"") + b"%c" % (97 + i % 26) * (1 + i % 999) + b"\r\n")
            s.sendall(b"0\r\nX-Trailer: yes\r\n\r\n")
        elif word == "until-end":
            s.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + b"e" * number)
            return False
        elif word == "events":
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i in range(number):
                event = b"data: %d %.6f\n\n" % (i, time.monotonic())
                s.sendall(b"%x\r\n" % len(event) + event + b"\r\n")
                time.sleep(0.1)
            s.sendall(b"0\r\n\r\n")
        elif word == "drops":
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % number)
            for _ in range(number):
                s.sendall(b"d")
                time.sleep(1)
        elif word == "hints":
            s.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        elif word == "endless":
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
            while True:
                s.sendall(b"z" * 65536)
        elif word == "silent":
            time.sleep(2)
            return False
        elif word == "cookies":
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" +
                      b"".join(b"Set-Cookie: c%d=%s\r\n" % (i, b"v" * 3000) for i in range(4)) + b"\r\n")
        else:
            text = json.dumps({"backend": self.name or str(self.port), "head": head.decode("latin-1"), "length": len(body),
                               "crc": zlib.crc32(body)}).encode()
            s.sendall(b"HTTP/1.1 200 OK\r\nX-Backend: %s\r\nContent-Length: %d\r\n\r\n" % (self.name.encode(), len(text)) +
                      (b"" if method == "HEAD" else text))
        return True


backends = {}


def start(namespace):
    (namespace.folder / "www" / "page").write_bytes(b"p" * 1000)
    (namespace.folder / "www" / "large").write_bytes(bytes(range(256)) * 4096)
    (namespace.folder / "random").write_bytes(open("/dev/urandom", "rb").read(5 << 20))
    for port in (PAGES, SHORT):
        backends[port] = Nginx(namespace, port)
    for port in (APP, CHECKED, 9011, 9012, 9013):
        backends[port] = Recorder(port, {9011: "x", 9012: "y", 9013: "z"}.get(port, ""))


def curl(*words, check=True):
    result = run("curl", "-sS", "-m", 20, *words, check=False)
    assert not check or result.returncode == 0, f"curl {words}: exit {result.returncode}\n...{result.stdout[-300:]}"
    return result.stdout


def seen(*words):
    """The request as the backend got it: its first line, and its fields by lower name (several values in a list)."""
    head = json.loads(curl(*words))["head"]
    lines = head.split("\r\n")
    fields = {}
    for line in lines[1:-2]:
        name, _, value = line.partition(": ")
        fields.setdefault(name.lower(), []).append(value)
    return lines[0], fields


def exchange(data, seconds=10, port=8080):
    """All that comes for `data` until the proxy ends the connection."""
    with socket.create_connection((ADDRESS, port), timeout=seconds) as s:
        s.sendall(data)
        out = b""
        while (piece := s.recv(65536)):
            out += piece
        return out


# --- the reverse proxy, by curl ---

def curl_gets_a_page(namespace, millrace):
    start(namespace)
    wait_until(lambda: fetch(f"{WEB}/hello")[0] == 200, "the backend serves")
    assert fetch(f"{WEB}/pages/page") == (200, "p" * 1000)


def the_backend_sees_who_asks_and_by_whom(namespace, millrace):
    line, fields = seen(f"{WEB}/x?y=%20z", "-H", "X-Forwarded-For: 1.2.3.4", "-H", "X-Forwarded-Proto: https", "-H", "Forwarded: for=1.2.3.4",
                        "-H", "Connection: X-Hop", "-H", "X-Hop: 1", "-H", "TE: trailers", "-H", "Keep-Alive: 5", "-H", "Proxy-Connection: x")
    assert line == "GET /x?y=%20z HTTP/1.1", line
    assert fields["host"] == [f"{ADDRESS}:8080"], fields
    assert fields["via"] == ["1.1 millrace"], fields
    assert fields["x-forwarded-for"] == [HOST] and fields["x-forwarded-proto"] == ["http"], fields
    assert fields["x-forwarded-host"] == [f"{ADDRESS}:8080"], fields
    assert not {"forwarded", "x-hop", "keep-alive", "proxy-connection", "te"} & set(fields), fields


def routes_take_host_path_and_header(namespace, millrace):
    line, fields = seen(f"{WEB}/deep/a/b?c", "-H", "X-Team: blue")
    assert line == "GET /a/b?c HTTP/1.1" and fields["host"] == ["inner.example"], (line, fields)
    assert fields["x-forwarded-host"] == [f"{ADDRESS}:8080"], fields
    assert seen(f"{WEB}/deep/a/b?c", "-H", "X-Team: red")[0] == "GET /deep/a/b?c HTTP/1.1"
    assert seen(f"{WEB}/who", "-H", "Host: NAMED.example")[1]["host"] == ["NAMED.example"]


def an_old_client_gets_what_it_understands(namespace, millrace):
    out = curl("-0", "-i", f"{WEB}/chunked/50")
    assert out.startswith("HTTP/1.1 200") and "transfer-encoding" not in out.lower(), out[:300]
    assert len(out.split("\n\n", 1)[1] if "\n\n" in out else out.split("\r\n\r\n", 1)[1]) == sum(range(1, 51))
    assert exchange(b"GET /hello HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert exchange(b"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /hello HTTP/1.0\r\n\r\n").count(b"HTTP/1.1 200") == 2


def a_connection_serves_many_requests(namespace, millrace):
    verbose = run("curl", "-sSv", "-m", 20, *[f"{WEB}/hello"] * 5).stdout
    assert verbose.count("Re-using existing connection") == 4, verbose
    out = run("curl", "-sSi", "-m", 20, "--http1.1", "-H", "Connection: close", f"{WEB}/hello").stdout
    assert re.search(r"(?mi)^connection: close", out), out


def a_head_has_the_length_and_no_body(namespace, millrace):
    out = curl("-I", f"{WEB}/pages/page", f"{WEB}/pages/page")
    assert out.count("200 OK") == 2 and out.lower().count("content-length: 1000") == 2, out


def statuses_without_a_body_end_at_their_head(namespace, millrace):
    for status in (204, 304):
        out = curl("-w", "%{http_code} %{num_connects} ", f"{WEB}/status/{status}", f"{WEB}/status/{status}")
        assert out == f"{status} 1 {status} 0 ", out


def ranges_come_through(namespace, millrace):
    out = run("curl", "-sS", "-i", "-r", "1000-1009", f"{WEB}/pages/large", encoding="latin-1").stdout
    assert "206 Partial" in out and "bytes 1000-1009/1048576" in out, out


def chunks_come_through_whole(namespace, millrace):
    whole = "".join(chr(97 + i % 26) * (1 + i % 999) for i in range(2000))
    assert curl(f"{WEB}/chunked/2000") == whole, "another body"
    assert curl(f"{WEB}/until-end/100000") == "e" * 100000, "another body"


def uploads_of_either_framing_arrive_whole(namespace, millrace):
    file = namespace.folder / "random"
    crc = zlib.crc32(file.read_bytes())
    for words in (["-T", file], ["-T", file, "-H", "Transfer-Encoding: chunked"], ["-X", "POST", "--data-binary", f"@{file}"],
                  ["--data-binary", f"@{file}", "-H", "Expect: 100-continue"], ["--data-binary", f"@{file}", "-H", "Expect:"]):
        got = json.loads(curl(*words, f"{WEB}/put"))
        assert (got["length"], got["crc"]) == (file.stat().st_size, crc), (words, got)
    out = run("bash", "-c", f"cat {file} | curl -sS -m 20 -T - {WEB}/put").stdout
    assert json.loads(out)["crc"] == crc, out


def a_client_that_expects_waits_for_the_backends_word(namespace, millrace):
    out = run("curl", "-sSv", "-m", 20, "--expect100-timeout", 5, "-H", "Expect: 100-continue", "-d", "x" * 1000, "-w", "%{time_total}",
              f"{WEB}/put").stdout
    assert "100 Continue" in out and float(out.split()[-1].rpartition("}")[2]) < 2, out


def an_answer_before_the_end_of_an_upload_arrives(namespace, millrace):
    for words in ([], ["-H", "Expect:"], ["-H", "Transfer-Encoding: chunked"]):
        assert curl("-T", namespace.folder / "random", *words, "-w", " %{http_code}", f"{WEB}/early") == "much 413"
    out = curl("-i", f"{WEB}/hints")
    assert re.search(r"(?s)^HTTP/1.1 103 .*Link: </a>.*HTTP/1.1 200 .*ok$", out), out


def a_client_that_leaves_ends_the_backends_work(namespace, millrace):
    before = backends[APP].resets
    run("curl", "-sS", "-m", "0.5", "-o", "/dev/null", f"{WEB}/endless", check=False)
    wait_until(lambda: backends[APP].resets == before + 1, "the backend is told")
    wait_until(lambda: millrace.packets_held() == 0, "no packet is held")


def heads_beyond_the_limits_are_refused_by_name(namespace, millrace):
    assert fetch(f"{WEB}/x", "-H", "X-Big: " + "b" * 65536)[0] == 431
    assert fetch(f"{WEB}/x", *[word for i in range(120) for word in ("-H", f"X-{i}: y")])[0] == 431
    assert fetch(f"{WEB}/{'u' * 8100}")[0] == 200
    assert fetch(f"{WEB}/{'u' * 8300}")[0] == 414
    assert len(seen(f"{WEB}/x", "-H", "Cookie: a=" + "c" * 12000)[1]["cookie"][0]) == 12002
    assert curl("-D", "-", "-o", "/dev/null", f"{WEB}/cookies").lower().count("set-cookie: c") == 4


def a_hundred_requests_at_once_are_answered_in_order(namespace, millrace):
    out = exchange(b"".join(b"GET /n%d HTTP/1.1\r\nHost: h\r\n%s\r\n" % (i, b"Connection: close\r\n" if i == 99 else b"") for i in range(100)))
    assert [int(n) for n in re.findall(rb"GET /n(\d+) HTTP", out)] == list(range(100)), out[:500]


def a_slow_client_is_served(namespace, millrace):
    with socket.create_connection((ADDRESS, 8080), timeout=10) as s:
        for c in b"GET /slow-client HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n":
            s.sendall(bytes([c]))
            time.sleep(0.01)
        out = b""
        while (piece := s.recv(7)):
            out += piece
        assert out.startswith(b"HTTP/1.1 200") and b"slow-client" in out, out


def events_are_not_held_back(namespace, millrace):
    late = []
    with socket.create_connection((ADDRESS, 8080), timeout=10) as s:
        s.sendall(b"GET /events/10 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        while (piece := s.recv(65536)):
            late += [time.monotonic() - float(t) for t in re.findall(rb"data: \d+ ([\d.]+)", piece)]
    note(f"latest event after {max(late) * 1000:.1f} ms")
    assert len(late) == 10 and max(late) < 0.09, late
    assert curl(f"{WEB}/drops/3", "-w", " %{time_starttransfer}").split()[0] == "ddd"


# --- WebSocket ---

def websocket_library():
    sys.path.append("/usr/lib/python3/dist-packages")  # Debian's, whichever interpreter runs this
    try:
        import websockets
    except ImportError as error:
        raise Skip(f"python3-websockets: {error}")
    return websockets


def a_websocket_passes_both_ways_to_its_orderly_end(namespace, millrace):
    websockets = websocket_library()

    async def echo(ws, *_):
        async for message in ws:
            await ws.send(message)

    async def client(size):
        async with websockets.connect(f"ws://{ADDRESS}:8080/socket", max_size=None) as ws:
            for message in ("hello", b"\0" * size, "x" * 125, "", b"y" * 65536):
                await ws.send(message)
                assert await ws.recv() == message
            await (await ws.ping())
        assert ws.close_code == 1000, ws.close_code

    async def both():
        async with websockets.serve(echo, HOST, SOCKETS, max_size=None):
            await asyncio.wait_for(asyncio.gather(*(client(100_000 * i) for i in range(8))), 30)
    before = millrace.counters()["proxy[0].upgrades"]
    asyncio.run(both())
    assert millrace.counters()["proxy[0].upgrades"] == before + 8


# --- choosing a backend ---

def a_cookie_brings_a_client_back(namespace, millrace):
    where = set()
    for i in range(6):
        jar = namespace.folder / f"jar-{i}"
        names = [json.loads(curl("-c", jar, "-b", jar, f"{WEB}/stuck"))["backend"] for _ in range(4)]
        assert len(set(names)) == 1, names
        where.add(names[0])
    assert where == {"x", "y", "z"}, where
    assert "SRV" not in seen(f"{WEB}/stuck", "-b", f"{namespace.folder}/jar-0", "-b", "mine=1")[1].get("cookie", [""])[0]


def a_header_decides_by_hash(namespace, millrace):
    chosen = {}
    for _ in range(3):
        for user in range(24):
            name = json.loads(curl("-H", f"X-User: u{user}", f"{WEB}/hashed"))["backend"]
            assert chosen.setdefault(user, name) == name, user
    assert set(chosen.values()) == {"x", "y", "z"}, chosen


def weights_are_kept_exactly(namespace, millrace):
    before = {port: len(backends[port].requests) for port in (9011, 9012, 9013)}
    run("curl", "-sS", "-m", 20, f"{WEB}/weighed?[1-100]")
    assert [len(backends[port].requests) - before[port] for port in before] == [60, 30, 10]


# --- health checks and failures ---

def checks_come_with_jitter_and_say_who_they_are(namespace, millrace):
    checked = backends[CHECKED]
    wait_until(lambda: len(checked.times) >= 12, "twelve checks")
    gaps = [b - a for a, b in zip(checked.times, checked.times[1:])]
    note(f"{len(gaps)} gaps of {min(gaps) * 1000:.0f} to {max(gaps) * 1000:.0f} ms")
    assert 0.08 < min(gaps) < max(gaps) < 0.45 and max(gaps) - min(gaps) > 0.02, gaps
    head = checked.requests[0][0]
    assert head.startswith("GET /alive HTTP/1.1\r\n") and "Host: check.example\r\n" in head and "User-Agent: " in head, head
    assert checked.resets == 0


def failures_have_a_page_a_status_and_a_line_of_the_log(namespace, millrace):
    full = socket.create_server((HOST, FULL), backlog=0)
    waiting = [socket.socket() for _ in range(4)]
    for s in waiting:
        s.setblocking(False)
        s.connect_ex((HOST, FULL))  # nobody accepts, so the kernel takes no more after the first
    for path, status, backend, reason in (("full", 504, f"{HOST}:{FULL}", "the backend did not take the connection in time"),
                                          ("gone", 502, f"{HOST}:9099", "the backend refused the connection"),
                                          ("silent", 504, f"{HOST}:{APP}", "the backend did not answer in time"),
                                          ("none", 503, "-", "no backend is fit")):
        time.sleep(0.15)  # a line at most each 100 ms
        got, page = fetch(f"{WEB}/{path}")
        assert got == status and str(status) in page, (path, got, page)
        line = wait_until(lambda: re.search(f".*{reason}.*upstream={path} .*", millrace.log_path.read_text()), reason)[0]
        assert f"status={status}" in line and f"client={HOST}" in line and "method=GET" in line, line
        assert f"backend={backend} " in line, line
    for s in [full, *waiting]:
        s.close()


# --- a client's proxy ---

def curl_uses_the_proxy_for_plain_http(namespace, millrace):
    line, fields = seen(*VIA, f"http://{HOST}:{APP}/absolute?x")
    assert line == "GET /absolute?x HTTP/1.1" and fields["host"] == [f"{HOST}:{APP}"] and fields["via"] == ["1.1 millrace"], (line, fields)
    assert "proxy-connection" not in fields, fields
    assert seen(*VIA, f"http://named.example:{APP}/")[1]["host"] == [f"named.example:{APP}"]
    crc = zlib.crc32((namespace.folder / "random").read_bytes())
    assert json.loads(curl(*VIA, "-T", namespace.folder / "random", f"http://named.example:{APP}/put"))["crc"] == crc


def curl_connects_to_a_tls_server(namespace, millrace):
    place = namespace.folder
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", place / "key", "-out",
        place / "cert", "-days", 2, "-subj", "/CN=secure.example", "-addext", "subjectAltName=DNS:secure.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place / "cert", place / "key")
    backends[TLS] = Recorder(TLS, "tls", context)
    got = json.loads(curl(*VIA, "--cacert", place / "cert", f"https://secure.example:{TLS}/private"))
    assert got["backend"] == "tls" and "via" not in got["head"].lower(), got
    crc = zlib.crc32((place / "random").read_bytes())
    assert json.loads(curl(*VIA, "--cacert", place / "cert", "-T", place / "random", f"https://secure.example:{TLS}/"))["crc"] == crc


def what_the_rules_deny_is_a_403_and_unknown_names_a_502(namespace, millrace):
    assert fetch(f"http://{HOST}:{PAGES}/page", *VIA)[0] == 403
    assert fetch("http://192.0.2.1/", *VIA)[0] == 403
    assert fetch(f"http://nobody.example:{APP}/", *VIA)[0] == 502
    for target, status in ((f"{HOST}:{APP}", 403), (f"{HOST}:443", 502), ("nobody.example:443", 502), ("192.0.2.1:443", 403)):
        out = run("curl", "-sS", "-m", 10, *VIA, "-o", "/dev/null", "-w", "%{http_connect}", f"https://{target}/", check=False).stdout
        assert out.endswith(str(status)), (target, out)


# --- many of them ---

def many_connections_share_few(namespace, millrace):
    before = millrace.counters()
    requests, errors, bad, text = Wrk(f"{WEB}/pages/page", 4, 500).end()
    after = millrace.counters()
    connects = after["proxy[0].connects"] - before["proxy[0].connects"]
    note(f"{requests} requests, {connects} connections to the backend")
    assert (errors, bad) == (0, 0) and requests > 2000, text
    assert connects <= 1000, connects


def twenty_thousand_short_connections_none_failed(namespace, millrace):
    total, end = 0, time.monotonic() + 30
    while total < 20000 and time.monotonic() < end:
        requests, errors, bad, text = Wrk(f"{WEB}/short/page", 3, 32, "-H", "Connection: close").end()
        assert (errors, bad) == (0, 0), text
        total += requests
    note(f"{total} requests, each with a connection of its own on both sides")
    assert total >= 20000


# --- what it says of itself, and what others see of it ---

def numbers_agree_with_what_the_backends_saw(namespace, millrace):
    def told():
        return {row["backend"]: row for row in json.loads(millrace.ask("proxy", "stat", "--json"))["backends"] if row["upstream"] == "stuck"}

    def saw():
        return {backends[port].name: (len(backends[port].requests), sum(len(body) for _, body in backends[port].requests))
                for port in (9011, 9012, 9013)}
    told_before, saw_before = told(), saw()
    curl("-d", "b" * 1000, f"{WEB}/stuck?[1-50]")
    told_after, saw_after = told(), saw()
    for name in ("x", "y", "z"):
        requests, sent = (told_after[name][key] - told_before[name][key] for key in ("requests", "bytes_to"))
        assert (requests, sent) == tuple(b - a for a, b in zip(saw_before[name], saw_after[name])), (name, told_after[name])
        assert requests >= 16 and told_after[name]["2xx"] == told_after[name]["requests"], told_after[name]
    assert sum(len(backends[port].requests) for port in (9011, 9012, 9013)) == sum(
        row["requests"] for row in json.loads(millrace.ask("proxy", "stat", "--json"))["backends"] if row["backend"] in ("x", "y", "z"))


def explain_takes_a_path_alone_and_says_what_it_did_not_understand(namespace, millrace):
    for i in range(4):
        name = json.loads(curl("-H", f"X-User: u{i}", f"{WEB}/hashed"))["backend"]
        assert f"backend: {name}\n" in millrace.ask("explain", "GET", "/hashed", "-H", f"X-User: u{i}"), name
    refused = millrace.ask("explain", "GET", "http://other.example:99/", check=False)
    assert "no http listener is at port 99: name the one that is meant, of web, door" in refused, refused


def nothing_is_wrong_on_the_wire(namespace, millrace):
    def traffic():
        curl(f"{WEB}/pages/large?[1-5]", "-o", "/dev/null")
        curl(f"{WEB}/chunked/300", "-o", "/dev/null")
        curl("-T", namespace.folder / "random", f"{WEB}/put")
        curl("-H", "Connection: close", f"{WEB}/short/page?[1-20]", "-o", "/dev/null")
        Wrk(f"{WEB}/pages/page", 1, 8).end()
    file = capture_host_side(namespace, "proxy", traffic)
    # A client may reset; a full window is one side's slowness told to the other, which is what we are for.
    findings = [line for line in expert_findings(file) if not re.search("Connection reset|Zero Window", line)]
    resets = tshark(file, "-Y", f"tcp.flags.reset == 1 && ip.src == {ADDRESS}", "-T", "fields", "-e", "tcp.stream").split()
    note("zero windows from " + (" ".join(tshark(file, "-Y", "tcp.analysis.zero_window", "-T", "fields", "-e", "ip.src", "-e", "tcp.srcport").split("\n"))[:300] or "none"))
    assert not findings, f"{len(findings)}: {findings[:5]}"
    assert not resets, f"{len(resets)} resets of ours"


def an_idle_proxy_costs_nearly_nothing(namespace, millrace):
    before, began = millrace.cpu_seconds(), time.monotonic()
    time.sleep(3)
    share = (millrace.cpu_seconds() - before) / (time.monotonic() - began)
    note(f"{share * 100:.2f} % of a core with checks each 200 ms, {millrace.memory_bytes() >> 20} MiB")
    assert share < 0.02, share


def a_stop_ends_connections_in_order(namespace, millrace):
    recorders = [backends[port] for port in (APP, CHECKED, 9011, 9012, 9013)]
    curl(f"{WEB}/stuck?[1-3]")
    curl(f"{WEB}/hello")
    ends, resets = sum(r.ends for r in recorders[2:]), [r.resets for r in recorders]
    assert millrace.stop() == 0
    wait_until(lambda: sum(r.ends for r in recorders[2:]) >= ends + 3, "idle connections end")
    assert [r.resets for r in recorders] == resets, "resets"
    log = millrace.log_path.read_text()
    assert not re.search("runtime error|Sanitizer| error ", log), log[-2000:]


TESTS = [test for test in list(globals().values()) if callable(test) and getattr(test, "__code__", None) is not None
         and test.__code__.co_varnames[:2] == ("namespace", "millrace")]
if __name__ == "__main__":
    main(*TESTS, more=PROXY)
