#!/usr/bin/env python3
"""A gigabyte through layer 7 of the proxy, down and, in chunks, up, checksummed; less where the path is the same, or proxy_l4.py has
it. A side that does not read holds up the other, within bounded memory.
With --workers N on so many workers."""
import contextlib
import os
import socket
import sys
import threading
import time
import zlib

from lib import ADDRESS, HOST, main, note, wait_until
from proxy_lib import Nginx, proxy_service

GIGABYTE = 1 << 30
HELD_UP = 64 << 20
BUDGET = 4 << 20  # what the proxy and the kernel's sockets may take of a transfer that nobody reads
WORKERS = int(sys.argv[sys.argv.index("--workers") + 1]) if "--workers" in sys.argv else 1
LENGTH = GIGABYTE if WORKERS == 1 else GIGABYTE // 8
SHORT = GIGABYTE // 8
HTTP, TCP, FILES, SINK = 8080, 8081, 9001, 9002
PROXY = proxy_service("""
    listeners:
      - {name: web, listen: ":8080"}
      - {name: raw, listen: ":8081", mode: tcp, upstream: sink}
    routes:
      - {name: sink, path: /sink, upstream: sink}
      - {name: files, upstream: files}
    upstreams:
      - {name: files, backends: [{address: 198.18.0.1:9001}]}
      - {name: sink, backends: [{address: 198.18.0.1:9002}]}
""") + f"\nworkers: {{count: {WORKERS}}}"
block = os.urandom(1 << 20)


def blocks(length):
    """So many bytes that do not repeat at any offset a bug would shift by."""
    for i in range(length >> 20):
        yield i.to_bytes(8, "big") + block[8:]


def crc_of(length):
    crc = 0
    for piece in blocks(length):
        crc = zlib.crc32(piece, crc)
    return crc


class Sink:
    """Reads requests with bodies of either framing, and answers their checksum and length; `gate` closed: it does not read."""

    def __init__(self, port):
        self.gate = threading.Event()
        self.gate.set()
        self.received = 0
        self.listener = socket.create_server((HOST, port))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            s, _ = self.listener.accept()
            threading.Thread(target=self.connection, args=(s,), daemon=True).start()

    def connection(self, s):
        with contextlib.suppress(OSError), s, s.makefile("rb", 1 << 20) as stream:
            while True:
                self.gate.wait()
                fields = {}
                line = stream.readline()
                if not line:
                    return
                if not line.startswith((b"PUT ", b"POST ")):
                    return self.raw(s, stream, line)
                while (field := stream.readline().strip()):
                    name, _, value = field.partition(b":")
                    fields[name.lower()] = value.strip()
                crc, length = self.body(stream, fields)
                text = b"%08x %d" % (crc, length)
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)

    def take(self, stream, n, crc):
        while n:
            self.gate.wait()
            piece = stream.read1(min(n, 1 << 20))
            assert piece
            crc, n = zlib.crc32(piece, crc), n - len(piece)
            self.received += len(piece)
        return crc

    def body(self, stream, fields):
        if b"content-length" in fields:
            length = int(fields[b"content-length"])
            return self.take(stream, length, 0), length
        crc = total = 0
        while (size := int(stream.readline().split(b";")[0], 16)):
            crc, total = self.take(stream, size, crc), total + size
            assert stream.readline() == b"\r\n"
        assert stream.readline() == b"\r\n"
        return crc, total

    def raw(self, s, stream, first):
        """Not HTTP: everything up to the end; then the checksum."""
        crc, total = zlib.crc32(first), len(first)
        while True:
            self.gate.wait()
            piece = stream.read1(1 << 20)
            if not piece:
                break
            crc, total = zlib.crc32(piece, crc), total + len(piece)
            self.received += len(piece)
        s.sendall(b"%08x %d" % (crc, total))


sink = None
expected = {}


def backends_start(namespace, millrace):
    global sink
    sink = Sink(SINK)
    Nginx(namespace, FILES)
    for name, length in (("whole", LENGTH), ("held", HELD_UP)):
        with open(namespace.folder / "www" / name, "wb") as f:
            for piece in blocks(length):
                f.write(piece)
        expected[name] = crc_of(length)


def connect(port):
    return socket.create_connection((ADDRESS, port), timeout=60)


def read_head(stream):
    status, fields = int(stream.readline().split()[1]), {}
    while (line := stream.readline().strip()):
        name, _, value = line.partition(b":")
        fields[name.lower()] = value.strip()
    return status, fields


def check(stream, length, crc):
    got = 0
    left = length
    while left:
        piece = stream.read1(min(left, 1 << 20))
        assert piece, f"ended {left} bytes early"
        got, left = zlib.crc32(piece, got), left - len(piece)
    assert got == crc, f"{got:08x} instead of {crc:08x}"


def rate(length, started):
    seconds = time.monotonic() - started
    return f"{length >> 20} MiB in {seconds:.1f} s, {length / seconds / 1e6:.0f} MB/s"


def a_download_arrives_as_it_was_sent(namespace, millrace):
    started = time.monotonic()
    with connect(HTTP) as s, s.makefile("rb", 1 << 20) as stream:
        s.sendall(b"GET /whole HTTP/1.1\r\nHost: x\r\n\r\n")
        status, fields = read_head(stream)
        assert status == 200 and int(fields[b"content-length"]) == LENGTH
        check(stream, LENGTH, expected["whole"])
    note("download: " + rate(LENGTH, started))


def upload(framing, length):
    crc = crc_of(length)
    started = time.monotonic()
    with connect(HTTP) as s, s.makefile("rb") as stream:
        head = b"PUT /sink HTTP/1.1\r\nHost: x\r\n"
        if framing == "length":
            s.sendall(head + b"Content-Length: %d\r\n\r\n" % length)
            for piece in blocks(length):
                s.sendall(piece)
        else:
            s.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
            for piece in blocks(length):
                s.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
            s.sendall(b"0\r\n\r\n")
        status, fields = read_head(stream)
        text = stream.read(int(fields[b"content-length"]))
    assert (status, text) == (200, b"%08x %d" % (crc, length)), (status, text)
    note(f"upload, {framing}: " + rate(length, started))


def an_upload_with_a_length_arrives(namespace, millrace):
    upload("length", SHORT)


def an_upload_in_chunks_arrives(namespace, millrace):
    upload("chunked", LENGTH)


def spliced_bytes_arrive(namespace, millrace):
    length = SHORT
    started, before = time.monotonic(), millrace.counters()
    with connect(TCP) as s, s.makefile("rb") as stream:
        s.sendall(b"raw\n")
        for piece in blocks(length):
            s.sendall(piece)
        s.shutdown(socket.SHUT_WR)
        text = stream.read()
    crc = zlib.crc32(b"raw\n")
    for piece in blocks(length):
        crc = zlib.crc32(piece, crc)
    assert text == b"%08x %d" % (crc, length + 4), text
    note("splice: " + rate(length, started))
    after = millrace.counters()
    moved = {name: after[name] - before.get(name, 0) for name in after if "splice" in name}
    note(f"{moved}")
    spliced = sum(n for name, n in moved.items() if name.endswith("spliced_bytes"))
    copied = sum(n for name, n in moved.items() if "copied" in name)
    assert spliced >= length * 9 // 10 and copied <= length // 10, moved


def held(millrace):
    """Buffers occupied, once they no longer grow."""
    last = -1
    while (now := millrace.packets_held()) != last:
        last = now
        time.sleep(0.3)  # time is what is being measured: nothing more comes in it
    return now


def a_client_that_does_not_read_holds_up_the_backend(namespace, millrace):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.settimeout(60)
        s.connect((ADDRESS, HTTP))
        s.sendall(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        with s.makefile("rb", 1 << 16) as stream:
            wait_until(lambda: millrace.packets_held() > 0, "the transfer stands")
            buffers = held(millrace)
            note(f"{buffers} buffers are held")
            assert buffers * 1448 <= BUDGET, buffers
            status, fields = read_head(stream)
            assert status == 200
            check(stream, HELD_UP, expected["held"])
    wait_until(lambda: millrace.packets_held() == 0, "no packet is held")


def a_backend_that_does_not_read_holds_up_the_client(namespace, millrace):
    for port, head in ((HTTP, b"PUT /sink HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % HELD_UP), (TCP, b"raw\n")):
        sink.gate.clear()
        before, sent = sink.received, 0
        with connect(port) as s:
            s.sendall(head)
            s.setblocking(False)
            data = b"".join(blocks(HELD_UP))
            quiet = time.monotonic()
            while time.monotonic() - quiet < 1:  # until nothing is taken for a second
                try:
                    n = s.send(data[sent:sent + 65536])
                    sent += n
                    quiet = time.monotonic()
                except BlockingIOError:
                    time.sleep(0.01)
            taken = sent - (sink.received - before)
            buffers = millrace.packets_held()
            note(f"port {port}: {taken >> 10} KiB taken, {buffers} buffers held")
            assert buffers * 1448 <= BUDGET and taken < HELD_UP // 2, (buffers, taken)
            sink.gate.set()
            s.settimeout(60)
            s.sendall(data[sent:])
            with s.makefile("rb") as stream:
                if port == HTTP:
                    status, fields = read_head(stream)
                    text = stream.read(int(fields[b"content-length"]))
                    assert text == b"%08x %d" % (expected["held"], HELD_UP), text
                else:
                    s.shutdown(socket.SHUT_WR)
                    assert stream.read() == b"%08x %d" % (zlib.crc32(data, zlib.crc32(head)), HELD_UP + len(head))
    wait_until(lambda: millrace.packets_held() == 0, "no packet is held")


def many_at_once(namespace, millrace):
    failed = []

    def one():
        try:
            with connect(HTTP) as s, s.makefile("rb", 1 << 18) as stream:
                s.sendall(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
                read_head(stream)
                check(stream, HELD_UP, expected["held"])
        except Exception as e:  # told by the test below
            failed.append(e)
    threads = [threading.Thread(target=one) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    assert not failed and not any(t.is_alive() for t in threads), failed
    wait_until(lambda: millrace.packets_held() == 0, "no packet is held")


main(backends_start, a_download_arrives_as_it_was_sent, an_upload_with_a_length_arrives, an_upload_in_chunks_arrives,
     spliced_bytes_arrive, a_client_that_does_not_read_holds_up_the_backend, a_backend_that_does_not_read_holds_up_the_client,
     many_at_once, more=PROXY)
