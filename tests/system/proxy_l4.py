#!/usr/bin/env python3
"""Layer 4 of the proxy between sockets of the kernel: what each side sees of the other's ends, resets and silence; bytes both ways, moved and
not copied, within bounded memory; PROXY headers in and out, with nginx and HAProxy as judges; UDP by flow. With --workers N on so many."""
import contextlib
import errno
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib

from lib import ADDRESS, HOST, Skip, main, note, wait_until
from proxy_lib import answers, fetch, proxy_service

WORKERS = int(sys.argv[sys.argv.index("--workers") + 1]) if "--workers" in sys.argv else 1
TRANSFER = (512 if WORKERS == 1 else 64) << 20  # each way
PLAIN, HURRIED, HEADER, REFUSED, SPARE, SILENT, LIMITED, OUT_V1, OUT_V2, TO_NGINX, TO_HAPROXY, FROM_HAPROXY = range(8101, 8113)
BACKEND, NOBODY, SECOND, NGINX, HAPROXY, HAPROXY_FRONT, DNS_A, DNS_B = 9101, 9102, 9106, 9103, 9104, 9107, 9153, 9154
DNS, DNS_HEADER, DNS_LEAVING = 8153, 8154, 8155
LEAVING, GOING, WEB, FORWARD = 8120, 8121, 8122, 8123
DRAIN = 2  # seconds
MEMORY_GROWTH = 64 << 20

PROXY = proxy_service(f"""
    limits: {{header_timeout: 1s, sessions: 4096, flows: 256}}
    drain_timeout: {DRAIN}s
    forward: {{connect_ports: [{BACKEND}]}}
    listeners:
      - {{name: plain, listen: ":{PLAIN}", mode: tcp, upstream: plain}}
      - {{name: hurried, listen: ":{HURRIED}", mode: tcp, upstream: plain, idle_timeout: 1s}}
      - {{name: header, listen: ":{HEADER}", mode: tcp, upstream: plain, proxy_protocol: true}}
      - {{name: refused, listen: ":{REFUSED}", mode: tcp, upstream: nobody}}
      - {{name: spare, listen: ":{SPARE}", mode: tcp, upstream: spare}}
      - {{name: silent, listen: ":{SILENT}", mode: tcp, upstream: silent}}
      - {{name: limited, listen: ":{LIMITED}", mode: tcp, upstream: plain, connections_max: 2}}
      - {{name: out_v1, listen: ":{OUT_V1}", mode: tcp, upstream: v1, proxy_protocol: true}}
      - {{name: out_v2, listen: ":{OUT_V2}", mode: tcp, upstream: v2}}
      - {{name: to_nginx, listen: ":{TO_NGINX}", mode: tcp, upstream: nginx, proxy_protocol: true}}
      - {{name: to_haproxy, listen: ":{TO_HAPROXY}", mode: tcp, upstream: haproxy, proxy_protocol: true}}
      - {{name: from_haproxy, listen: ":{FROM_HAPROXY}", mode: tcp, upstream: v1, proxy_protocol: true}}
      - {{name: dns, listen: ":{DNS}", mode: udp, upstream: dns, idle_timeout: 1s}}
      - {{name: leaving, listen: ":{LEAVING}", mode: tcp, upstream: leaving}}
      - {{name: web, listen: ":{WEB}", upstream: plain}}
      - {{name: forward, listen: ":{FORWARD}", mode: forward}}
      - {{name: going, listen: ":{GOING}", mode: tcp, upstream: plain}}
      - {{name: dns_leaving, listen: ":{DNS_LEAVING}", mode: udp, upstream: dns_leaving}}
      - {{name: dns_header, listen: ":{DNS_HEADER}", mode: udp, upstream: dns_v2, proxy_protocol: true}}
    upstreams:
      - {{name: plain, backends: [{{address: "{HOST}:{BACKEND}"}}]}}
      - {{name: nobody, backends: [{{address: "{HOST}:{NOBODY}"}}], ejection: {{failures: 0}}}}
      - name: spare
        balance: round_robin
        ejection: {{failures: 0}}
        retry_budget: 100%
        backends: [{{address: "{HOST}:{NOBODY}"}}, {{address: "{HOST}:{BACKEND}"}}]
      - {{name: silent, backends: [{{address: "198.18.0.77:1"}}], connect_timeout: 300ms, retries: 0}}
      - {{name: v1, backends: [{{address: "{HOST}:{BACKEND}"}}], proxy_protocol: v1}}
      - {{name: v2, backends: [{{address: "{HOST}:{BACKEND}"}}], proxy_protocol: v2}}
      - {{name: nginx, backends: [{{address: "{HOST}:{NGINX}"}}], proxy_protocol: v1}}
      - {{name: haproxy, backends: [{{address: "{HOST}:{HAPROXY}"}}], proxy_protocol: v2}}
      - {{name: dns, balance: maglev, backends: [{{address: "{HOST}:{DNS_A}"}}, {{address: "{HOST}:{DNS_B}"}}]}}
      - name: leaving
        backends: [{{name: one, address: "{HOST}:{BACKEND}"}}, {{name: two, address: "{HOST}:{SECOND}", weight: 0}}]
      - {{name: dns_leaving, backends: [{{name: one, address: "{HOST}:{DNS_A}"}}, {{name: two, address: "{HOST}:{DNS_B}", weight: 0}}]}}
      - {{name: dns_v2, backends: [{{address: "{HOST}:{DNS_A}"}}], proxy_protocol: v2}}
""") + f"\nworkers: {{count: {WORKERS}}}\n"

listener = None


def prepare(namespace, millrace):
    """One socket that is every TCP backend; tests accept what they cause."""
    global listener
    listener = socket.create_server((HOST, BACKEND), backlog=512)
    listener.settimeout(10)


def counter(millrace, name):
    return sum(n for full, n in millrace.counters().items() if full.endswith(name))


def client(port=PLAIN, source=None):
    s = socket.create_connection((ADDRESS, port), timeout=10, source_address=source)
    s.settimeout(10)
    return s


def accept():
    s, _ = listener.accept()
    s.settimeout(10)
    return s


def pair(port=PLAIN):
    """A client's socket and the backend's that it is joined to, as a first exchange proves."""
    c = client(port)
    b = accept()
    c.sendall(b"question")
    assert exactly(b, 8) == b"question"
    b.sendall(b"answer")
    assert exactly(c, 6) == b"answer"
    return c, b


def exactly(s, n):
    data = b""
    while len(data) < n:
        piece = s.recv(n - len(data))
        assert piece, f"ended after {len(data)} of {n}"
        data += piece
    return data


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def expect_reset(s, what):
    """A reset, and no end in order. A socket that had the peer's end before tells a reset as EPIPE."""
    poller = select.poll()
    poller.register(s, select.POLLIN | select.POLLERR)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if any(events & select.POLLERR for _, events in poller.poll(100)):
            error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            assert error in (errno.ECONNRESET, errno.EPIPE), f"{what}: {errno.errorcode.get(error, error)}"
            s.close()
            return
    raise AssertionError(f"{what}: no reset")


def expect_refused(port, what):
    """Reset as soon as it is open, which a connect may learn before it has returned."""
    with contextlib.suppress(ConnectionResetError):
        expect_reset(client(port), what)


def expect_end(s, what):
    data = s.recv(1)
    assert data == b"", f"{what}: {data!r} instead of an end"


def expect_open(s, other, what):
    """Bytes still go from `other` to `s`."""
    other.sendall(b"still here")
    assert exactly(s, 10) == b"still here", what


# -- the matrix -------------------------------------------------------------------------------------------------------------


def an_end_of_either_side_is_a_half_close_of_the_other(namespace, millrace):
    for here, there in ((0, 1), (1, 0)):
        sides = pair()
        a, b = sides[here], sides[there]
        a.shutdown(socket.SHUT_WR)
        expect_end(b, "the end")
        for _ in range(3):
            expect_open(a, b, "the other direction goes on")
        b.shutdown(socket.SHUT_WR)
        expect_end(a, "the other end")
        a.close()
        b.close()


def a_reset_of_either_side_is_a_reset_of_the_other(namespace, millrace):
    for here, there in ((0, 1), (1, 0)):
        sides = pair()
        reset(sides[here])
        expect_reset(sides[there], f"reset of {here}")


def a_reset_after_an_end_of_the_same_side_is_passed_on(namespace, millrace):
    for here, there in ((0, 1), (1, 0)):
        sides = pair()
        sides[here].shutdown(socket.SHUT_WR)
        expect_end(sides[there], "the end")
        reset(sides[here])
        expect_reset(sides[there], f"reset of {here} after its end")


def a_reset_after_the_other_sides_end_is_passed_on(namespace, millrace):
    for here, there in ((0, 1), (1, 0)):
        sides = pair()
        sides[there].shutdown(socket.SHUT_WR)
        expect_end(sides[here], "the end")
        reset(sides[here])
        expect_reset(sides[there], f"reset of {here} after the other's end")


def a_reset_with_bytes_under_way_both_ways_is_passed_on(namespace, millrace):
    for here, there in ((0, 1), (1, 0)):
        sides = pair()
        for s in sides:
            s.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    s.send(b"x" * 65536)
        reset(sides[here])
        expect_reset(sides[there], f"reset of {here}")
    wait_until(millrace.is_idle, "nothing is left")


def an_answer_in_front_of_a_reset_arrives(namespace, millrace):
    """A backend that answers and closes without having read all: its kernel sends the answer, then a reset."""
    for _ in range(20):
        c, b = pair()
        c.sendall(b"never read")
        select.select([b], [], [], 10)
        b.sendall(b"refused" * 1000)
        b.close()
        assert exactly(c, 7000) == b"refused" * 1000
        expect_reset(c, "after the answer")


def silence_resets_both(namespace, millrace):
    c, b = pair(HURRIED)
    started = time.monotonic()
    expect_reset(c, "client")
    expect_reset(b, "backend")
    assert 0.9 < time.monotonic() - started < 4, time.monotonic() - started
    assert counter(millrace, "l4_idle") == 1


def a_refused_connect_resets_the_client(namespace, millrace):
    expect_refused(REFUSED, "client of nobody")


def a_connect_without_an_answer_resets_the_client(namespace, millrace):
    expect_refused(SILENT, "client of a silent address")


def a_refused_connect_is_tried_at_the_next_backend(namespace, millrace):
    for _ in range(20):
        c, b = pair(SPARE)
        c.close()
        b.close()


def an_end_before_the_backend_has_accepted_arrives(namespace, millrace):
    """As a shell's `echo | nc` does: all is sent and ended before anybody listens to it."""
    with client() as c:
        c.sendall(b"all at once")
        c.shutdown(socket.SHUT_WR)
        with accept() as b:
            assert exactly(b, 11) == b"all at once"
            expect_end(b, "the end")
            b.sendall(b"heard")
        assert exactly(c, 5) == b"heard"
        expect_end(c, "the end")


def a_connection_beyond_the_limit_is_reset(namespace, millrace):
    if WORKERS > 1:
        raise Skip("the limit is each worker's")
    first, second = pair(LIMITED), pair(LIMITED)
    expect_refused(LIMITED, "the third")
    for s in first:
        s.close()
    wait_until(lambda: counter(millrace, "l4_connections") == 1, "the first is gone")
    third = pair(LIMITED)
    for s in (*second, *third):
        s.close()


# -- bytes ------------------------------------------------------------------------------------------------------------------


class Flow(threading.Thread):
    """Sends so many bytes that do not repeat, and ends; or receives until the end. Keeps the checksum."""

    def __init__(self, s, length=None):
        super().__init__(daemon=True)
        self.socket, self.length, self.crc, self.done, self.error = s, length, 0, 0, None
        self.start()

    def run(self):
        try:
            self.send() if self.length else self.receive()
        except OSError as e:  # told by whoever joins
            self.error = e

    def send(self):
        block = os.urandom(1 << 18)
        while self.done < self.length:
            piece = self.done.to_bytes(8, "big") + block[8:]
            self.crc = zlib.crc32(piece, self.crc)
            self.socket.sendall(piece)
            self.done += len(piece)
        self.socket.shutdown(socket.SHUT_WR)

    def receive(self):
        buffer = bytearray(1 << 18)
        view = memoryview(buffer)
        while n := self.socket.recv_into(buffer):
            self.crc = zlib.crc32(view[:n], self.crc)
            self.done += n


def bytes_arrive_both_ways_at_once_and_are_not_copied(namespace, millrace):
    c, b = client(), accept()
    for s in (c, b):
        s.settimeout(60)
    before, memory, free = millrace.counters(), millrace.memory_bytes(), millrace.buffers_free()
    started, most, least = time.monotonic(), 0, free
    flows = [Flow(c, TRANSFER), Flow(b), Flow(b, TRANSFER), Flow(c)]
    while any(f.is_alive() for f in flows):
        most, least = max(most, millrace.memory_bytes()), min(least, millrace.buffers_free())
        flows[0].join(0.2)
        time.sleep(0.1)  # time is what is measured
        assert time.monotonic() - started < 120, [f.done for f in flows]
    for sent, received in ((flows[0], flows[1]), (flows[2], flows[3])):
        assert not sent.error and not received.error, (sent.error, received.error)
        assert (received.done, received.crc) == (sent.done, sent.crc)
    seconds = time.monotonic() - started
    after = millrace.counters()
    grown = {name: after[name] - before.get(name, 0) for name in after}
    spliced = sum(n for name, n in grown.items() if name.endswith("spliced_bytes"))
    note(f"{2 * TRANSFER >> 20} MiB in {seconds:.1f} s, {2 * TRANSFER / seconds / 1e6:.0f} MB/s; {spliced >> 20} MiB spliced; "
         f"memory grew by {(most - memory) >> 10} KiB, {free - least} buffers in use at most")
    assert spliced >= 2 * TRANSFER * 9 // 10, grown
    assert sum(n for name, n in grown.items() if name.endswith("l4_bytes_to_backends")) == TRANSFER
    assert most - memory < MEMORY_GROWTH and (free - least) * 1448 < MEMORY_GROWTH
    c.close()
    b.close()
    wait_until(millrace.is_idle, "nothing is left")


def many_connections_at_once_keep_their_bytes_apart(namespace, millrace):
    ending = threading.Event()

    def serve(s):
        with contextlib.suppress(OSError), s:
            while data := s.recv(65536):
                s.sendall(data[::-1])

    def accept_all():
        while not ending.is_set():
            with contextlib.suppress(TimeoutError):
                threading.Thread(target=serve, args=(accept(),), daemon=True).start()

    listener.settimeout(0.2)
    thread = threading.Thread(target=accept_all, daemon=True)
    thread.start()
    try:
        clients = [client() for _ in range(200)]
        for turn in range(5):
            for i, s in enumerate(clients):
                s.sendall(b"%08d" % (i * 1000 + turn))
            for i, s in enumerate(clients):
                assert exactly(s, 8) == (b"%08d" % (i * 1000 + turn))[::-1], i
        for s in clients:
            s.close()
    finally:
        ending.set()
        thread.join()
        listener.settimeout(10)
    wait_until(lambda: counter(millrace, "l4_connections") == 0, "all are gone")


# -- the PROXY protocol -------------------------------------------------------------------------------------------------------

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def header_v1(source, destination):
    return f"PROXY TCP4 {source[0]} {destination[0]} {source[1]} {destination[1]}\r\n".encode()


def header_v2(source, destination, transport=1, extra=b""):
    body = socket.inet_aton(source[0]) + socket.inet_aton(destination[0]) + struct.pack(">HH", source[1], destination[1]) + extra
    return SIGNATURE + struct.pack(">BBH", 0x21, 0x10 | transport, len(body)) + body


def parse(data):
    """Another reader of both versions: (source, destination, bytes of the header); source None: the connection's own."""
    if data.startswith(SIGNATURE):
        command, family, length = struct.unpack(">BBH", data[12:16])
        body = data[16:16 + length]
        if command == 0x20:
            return None, None, 16 + length
        assert command == 0x21 and family in (0x11, 0x12), (command, family)
        ports = struct.unpack(">HH", body[8:12])
        return (socket.inet_ntoa(body[:4]), ports[0]), (socket.inet_ntoa(body[4:8]), ports[1]), 16 + length
    line, _, _ = data.partition(b"\r\n")
    words = line.decode().split(" ")
    assert words[0] == "PROXY", data
    if words[1] == "UNKNOWN":
        return None, None, len(line) + 2
    assert words[1] == "TCP4" and len(words) == 6, words
    return (words[2], int(words[4])), (words[3], int(words[5])), len(line) + 2


def received(b, n):
    """What the backend got: source and destination that its header names, then `n` bytes."""
    data = b""
    while True:
        data += b.recv(4096)
        if data.count(b"\r\n") and (data[:5] == b"PROXY" or len(data) >= 28):
            source, destination, length = parse(data)
            if len(data) >= length + n:
                return source, destination, data[length:]


SOURCE, DESTINATION = ("192.0.2.7", 4711), ("203.0.113.9", 443)


def a_header_out_names_the_client(namespace, millrace):
    with client(OUT_V2) as c:
        c.sendall(b"hello")
        with accept() as b:
            source, destination, rest = received(b, 5)
        assert (source, destination, rest) == (c.getsockname(), (ADDRESS, OUT_V2), b"hello")


def a_header_in_is_passed_on_whatever_its_version_and_pieces(namespace, millrace):
    for header in (header_v1(SOURCE, DESTINATION), header_v2(SOURCE, DESTINATION),
                   header_v2(SOURCE, DESTINATION, extra=b"\x04\0\x03abc" + b"\x02\0\x01z")):
        for size in (1, 7, len(header), len(header) + 5):
            whole = header + b"hello"
            with client(OUT_V1) as c:
                c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for at in range(0, len(whole), size):
                    c.sendall(whole[at:at + size])
                with accept() as b:
                    assert received(b, 5) == (SOURCE, DESTINATION, b"hello")


def a_header_of_a_check_leaves_the_connections_own_addresses(namespace, millrace):
    for header in (b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\x00\x00\x00"):
        with client(OUT_V1) as c:
            c.sendall(header + b"hello")
            with accept() as b:
                assert received(b, 5) == (c.getsockname(), (ADDRESS, OUT_V1), b"hello")


def what_is_no_header_is_reset(namespace, millrace):
    for bad in (b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n" + b"x" * 200,
                SIGNATURE + b"\x21\x11\x00\x0b" + b"z" * 11, SIGNATURE + b"\x21\x11\xff\xff",
                header_v2(SOURCE, DESTINATION, extra=b"\x03\0\x04zzzz")):
        c = client(HEADER)
        c.sendall(bad)
        expect_reset(c, bad)


def a_header_that_does_not_come_is_not_waited_for_long(namespace, millrace):
    for part in (b"", b"PROXY TCP4 1.2."):
        c = client(HEADER)
        started = time.monotonic()
        c.sendall(part) if part else None
        expect_reset(c, part)
        assert time.monotonic() - started < 4
    assert counter(millrace, "l4_header_timeout") == 2


def nginx_reads_the_header(namespace, millrace):
    place = namespace.folder / "nginx-proxy"
    place.mkdir()
    (place / "conf").write_text(f"""
        user root; worker_processes 1; daemon off; master_process off; pid {place}/pid; error_log {place}/log;
        events {{ worker_connections 64; }}
        http {{ access_log off; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
          uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
          server {{ listen {HOST}:{NGINX} proxy_protocol;
            location / {{ return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr"; }} }} }}""")
    process = subprocess.Popen(["nginx", "-e", place / "log", "-c", place / "conf"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(NGINX), "nginx answers")
        status, body = fetch(f"http://{ADDRESS}:{TO_NGINX}/", "--haproxy-protocol")
        assert status == 200 and body.split()[0] == HOST and body.split()[2] == ADDRESS, body
        with client(TO_NGINX) as c, c.makefile("rb") as stream:
            c.sendall(header_v2(SOURCE, DESTINATION) + b"GET / HTTP/1.0\r\n\r\n")
            assert stream.read().endswith(b"\r\n\r\n192.0.2.7 4711 203.0.113.9")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def haproxy_reads_and_writes_the_header(namespace, millrace):
    program = shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not program:
        raise Skip("needs haproxy")
    config = namespace.folder / "haproxy.conf"
    config.write_text(f"""
defaults
  timeout client 10s
  timeout server 10s
  timeout connect 2s
frontend reads
  mode http
  bind {HOST}:{HAPROXY} accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst]"
listen writes_v2
  mode tcp
  bind {HOST}:{HAPROXY_FRONT}
  server one {ADDRESS}:{FROM_HAPROXY} send-proxy-v2 proxy-v2-options crc32c
listen writes_v1
  mode tcp
  bind {HOST}:{HAPROXY_FRONT + 1}
  server one {ADDRESS}:{FROM_HAPROXY} send-proxy
""")
    process = subprocess.Popen([program, "-db", "-f", config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(HAPROXY), "haproxy answers")
        with client(TO_HAPROXY) as c, c.makefile("rb") as stream:
            c.sendall(header_v1(SOURCE, DESTINATION) + b"GET / HTTP/1.0\r\n\r\n")
            text = stream.read()
            assert text.endswith(b"192.0.2.7 4711 203.0.113.9"), text
        for port in (HAPROXY_FRONT, HAPROXY_FRONT + 1):
            with socket.create_connection((HOST, port), timeout=10) as c:
                c.sendall(b"hello")
                with accept() as b:
                    assert received(b, 5) == (c.getsockname(), (HOST, port), b"hello"), port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


# -- tunnels ------------------------------------------------------------------------------------------------------------------


def head(s):
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        data += exactly(s, 1)
    return data


def upgraded():
    """What a WebSocket begins with; both sides speak before the other has answered."""
    c = client(WEB)
    c.sendall(b"GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly client")
    b = accept()
    request = head(b).lower()
    assert b"upgrade: websocket" in request, request
    b.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly backend")
    answer = head(c)
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    assert exactly(b, 12) == b"early client" and exactly(c, 13) == b"early backend"
    return c, b


def connected():
    """What a client of a forward proxy asks for when it wants TLS."""
    c = client(FORWARD)
    c.sendall(b"CONNECT %s:%d HTTP/1.1\r\nHost: x\r\n\r\nearly client" % (HOST.encode(), BACKEND))
    b = accept()
    answer = head(c)
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert exactly(b, 12) == b"early client"
    return c, b


def a_tunnel_carries_bytes_and_ends(namespace, millrace):
    for make in (upgraded, connected):
        for here, there in ((0, 1), (1, 0)):
            sides = make()
            a, b = sides[here], sides[there]
            expect_open(a, b, make.__name__)
            expect_open(b, a, make.__name__)
            a.shutdown(socket.SHUT_WR)
            expect_end(b, "the end")
            expect_open(a, b, "the other direction goes on")
            b.shutdown(socket.SHUT_WR)
            expect_end(a, "the other end")
            a.close()
            b.close()
    wait_until(lambda: counter(millrace, "l4_connections") == 0, "all are gone")


def a_tunnel_carries_resets(namespace, millrace):
    for make in (upgraded, connected):
        for here, there in ((0, 1), (1, 0)):
            sides = make()
            reset(sides[here])
            expect_reset(sides[there], f"{make.__name__}: reset of {here}")


def a_tunnel_moves_bytes_without_copying_them(namespace, millrace):
    for make in (upgraded, connected):
        c, b = make()
        c.settimeout(60)
        b.settimeout(60)
        before = counter(millrace, "spliced_bytes")
        flows = [Flow(c, 32 << 20), Flow(b), Flow(b, 32 << 20), Flow(c)]
        for f in flows:
            f.join(60)
        for sent, received in ((flows[0], flows[1]), (flows[2], flows[3])):
            assert not sent.error and not received.error, (sent.error, received.error)
            assert (received.done, received.crc) == (sent.done, sent.crc)
        assert counter(millrace, "spliced_bytes") - before >= 64 * 9 // 10 << 20
        c.close()
        b.close()


# -- changes while it runs ----------------------------------------------------------------------------------------------------


def a_removed_backend_is_drained_and_then_cut(namespace, millrace):
    second = socket.create_server((HOST, SECOND))
    c, b = pair(LEAVING)
    other, other_b = pair()
    millrace.ask("proxy", "set", "backend", "leaving/two", "weight", "1")
    millrace.ask("proxy", "remove", "backend", "leaving/one")
    started = time.monotonic()
    with client(LEAVING) as new:
        new.sendall(b"new")
        assert exactly(second.accept()[0], 3) == b"new"
    expect_open(b, c, "goes on")
    expect_open(c, b, "goes on")
    holds = millrace.ask("proxy", "holds")
    assert f"{c.getsockname()[0]}:{c.getsockname()[1]}" in holds, holds
    expect_reset(c, "drained")
    expect_reset(b, "drained")
    assert DRAIN - 0.5 < time.monotonic() - started < DRAIN + 3, time.monotonic() - started
    expect_open(other_b, other, "what has nothing to do with it goes on")
    assert counter(millrace, "l4_drain_cut") == 1
    for s in (other, other_b, second):
        s.close()


def a_removed_listener_is_drained_and_then_cut(namespace, millrace):
    c, b = pair(GOING)
    other, other_b = pair()
    millrace.ask("proxy", "remove", "listener", "going")
    with contextlib.suppress(ConnectionRefusedError):
        client(GOING)
        raise AssertionError("it still listens")
    expect_open(b, c, "goes on")
    expect_reset(c, "drained")
    expect_reset(b, "drained")
    expect_open(other_b, other, "what has nothing to do with it goes on")
    assert counter(millrace, "l4_drain_cut") == 2
    other.close()
    other_b.close()


# -- UDP ------------------------------------------------------------------------------------------------------------------------


class Dns(threading.Thread):
    """Answers each datagram with its own port, the query turned round and who seems to have asked."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, port))
        self.port, self.sources, self.last = port, set(), None
        self.start()

    def run(self):
        while True:
            data, source = self.socket.recvfrom(4096)
            self.sources.add(source)
            self.last = source
            self.socket.sendto(b"%d " % self.port + data[::-1], source)


backends = {}


def asker(port=DNS):
    """Connected: an answer from any other address would not be seen."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(5)
    s.connect((ADDRESS, port))
    return s


def ask(s, query):
    s.send(query)
    port, _, text = s.recv(4096).partition(b" ")
    assert text == query[::-1], (query, text)
    return int(port)


def datagrams_return_to_who_asked(namespace, millrace):
    for port in (DNS_A, DNS_B):
        backends[port] = Dns(port)
    askers = [asker() for _ in range(100)]
    for turn in range(5):
        for i, s in enumerate(askers):
            s.send(b"query %d %d" % (i, turn))
        for i, s in enumerate(askers):
            text = s.recv(4096).partition(b" ")[2]
            assert text == (b"query %d %d" % (i, turn))[::-1], (i, text)
    assert sum(len(b.sources) for b in backends.values()) == len(askers), "each has a flow of its own"
    note(f"flows: {counter(millrace, 'l4_flows')}, to each backend {[len(b.sources) for b in backends.values()]}")
    assert counter(millrace, "l4_datagrams_to_clients") == 500
    for s in askers:
        s.close()


def flows_that_are_silent_expire(namespace, millrace):
    wait_until(lambda: counter(millrace, "l4_flows") == 0, "all have expired", seconds=5)
    assert counter(millrace, "l4_flows_expired") >= 100


def maglev_brings_a_source_to_the_same_backend(namespace, millrace):
    ports = set()
    for _ in range(20):
        with asker() as s:
            ports.add(ask(s, b"where?"))
    assert len(ports) == 1, ports


def a_stranger_cannot_answer(namespace, millrace):
    def dropped():  # by the worker that has the port, or by one that has not
        return counter(millrace, "udp.other_remote") + counter(millrace, "udp.no_port")
    before = dropped()
    with asker() as s:
        port = ask(s, b"hello")
        flow = backends[port].last
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind((HOST, 0))
            stranger.sendto(b"spoofed", flow)
        wait_until(lambda: dropped() > before, "it is dropped")
        ask(s, b"still")


def a_full_table_keeps_who_speaks(namespace, millrace):
    if WORKERS > 1:
        raise Skip("the limit is each worker's")
    with asker() as talker:
        ask(talker, b"hello")
        flood = [asker() for _ in range(400)]
        for i, s in enumerate(flood):
            s.send(b"once")
            if i % 20 == 0:
                ask(talker, b"still %d" % i)
        ask(talker, b"at the end")
        assert counter(millrace, "l4_flows") <= 256
        wait_until(lambda: counter(millrace, "l4_drop_full") > 0, "newcomers were dropped")
        for s in flood:
            s.close()


def a_flow_moves_when_its_backend_is_removed(namespace, millrace):
    wait_until(lambda: counter(millrace, "l4_flows") == 0, "there is room", seconds=5)
    with asker(DNS_LEAVING) as s:
        assert ask(s, b"before") == DNS_A
        millrace.ask("proxy", "apply", "set backend dns_leaving/two weight 1; remove backend dns_leaving/one")
        assert ask(s, b"after") == DNS_B
    assert counter(millrace, "l4_flows_moved") == 1
    millrace.ask("proxy", "remove", "listener", "dns_leaving")
    with asker(DNS_LEAVING) as s:
        with contextlib.suppress(ConnectionRefusedError):
            ask(s, b"gone")
            raise AssertionError("it still answers")


def each_datagram_has_a_header(namespace, millrace):
    wait_until(lambda: counter(millrace, "l4_flows") == 0, "there is room", seconds=5)
    with asker(DNS_HEADER) as s:
        s.send(header_v2(SOURCE, DESTINATION, transport=2) + b"query")
        text = s.recv(4096).partition(b" ")[2][::-1]
        source, _, length = parse(text)
        assert (source, text[length:]) == (SOURCE, b"query"), text
        s.send(b"no header")
        wait_until(lambda: counter(millrace, "l4_header_malformed") > 0, "it is dropped")


def a_stop_ends_in_time_and_says_so(namespace, millrace):
    c, b = pair()
    millrace.process.send_signal(signal.SIGTERM)
    for s in (c, b):
        s.settimeout(15)
        with contextlib.suppress(ConnectionResetError):
            assert s.recv(1) == b""
    assert millrace.process.wait(20) == 0


main(prepare, an_end_of_either_side_is_a_half_close_of_the_other, a_reset_of_either_side_is_a_reset_of_the_other,
     a_reset_after_an_end_of_the_same_side_is_passed_on, a_reset_after_the_other_sides_end_is_passed_on,
     a_reset_with_bytes_under_way_both_ways_is_passed_on, an_answer_in_front_of_a_reset_arrives, silence_resets_both, a_refused_connect_resets_the_client,
     a_connect_without_an_answer_resets_the_client, a_refused_connect_is_tried_at_the_next_backend,
     an_end_before_the_backend_has_accepted_arrives, a_connection_beyond_the_limit_is_reset,
     bytes_arrive_both_ways_at_once_and_are_not_copied, many_connections_at_once_keep_their_bytes_apart,
     a_header_out_names_the_client, a_header_in_is_passed_on_whatever_its_version_and_pieces,
     a_header_of_a_check_leaves_the_connections_own_addresses, what_is_no_header_is_reset,
     a_header_that_does_not_come_is_not_waited_for_long, nginx_reads_the_header, haproxy_reads_and_writes_the_header,
     a_tunnel_carries_bytes_and_ends, a_tunnel_carries_resets, a_tunnel_moves_bytes_without_copying_them,
     a_removed_backend_is_drained_and_then_cut, a_removed_listener_is_drained_and_then_cut,
     datagrams_return_to_who_asked, flows_that_are_silent_expire, maglev_brings_a_source_to_the_same_backend,
     a_stranger_cannot_answer, a_full_table_keeps_who_speaks, a_flow_moves_when_its_backend_is_removed, each_datagram_has_a_header, a_stop_ends_in_time_and_says_so,
     more=PROXY)
