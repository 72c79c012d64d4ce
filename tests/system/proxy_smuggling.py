#!/usr/bin/env python3
"""Requests that servers read in different ways, sent by sockets of the kernel through the real proxy to a backend that records what it
gets: the table of tests/support/proxy_smuggling.def, whole and in pieces that come one after the other."""
import ast
import pathlib
import re
import socket
import threading
import time

from lib import ADDRESS, HOST, main, note, wait_until
from proxy_lib import proxy_service

TABLE = pathlib.Path(__file__).parent.parent / "support" / "proxy_smuggling.def"
PORT = 9001
PROXY = proxy_service(f"""
    listeners: [{{name: web, listen: ":8080", upstream: app}}]
    via: mill
    x_forwarded: false
    upstreams:
      - name: app
        retries: 0
        ejection: {{failures: 0}}
        response_timeout: 3s
        backends: [{{name: a, address: {HOST}:{PORT}}}]
""")
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def cases():
    """(sent, what the backend gets or None, status or 0, reason) of each line."""
    for line in TABLE.read_text().splitlines():
        if not line.startswith("SMUGGLE("):
            continue
        strings = [(m.start(), m.end(), ast.literal_eval("b" + m.group())) for m in STRING.finditer(line)]
        joined = []  # adjacent literals are one
        for start, end, value in strings:
            if joined and line[joined[-1][1]:start].strip() == "":
                joined[-1] = (joined[-1][0], end, joined[-1][2] + value)
            else:
                joined.append((start, end, value))
        texts = [value for _, _, value in joined]
        status = int(re.search(r", (\d+), \"[^\"]*\"\)$", line)[1])
        yield texts[0], texts[1] if len(texts) == 3 else None, status, texts[-1].decode()


class Recorder:
    """Reads, and never answers."""

    def __init__(self):
        self.got, self.lock = b"", threading.Lock()
        self.listener = socket.create_server((HOST, PORT), backlog=64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            s, _ = self.listener.accept()
            threading.Thread(target=self.read, args=(s,), daemon=True).start()

    def read(self, s):
        try:
            while data := s.recv(65536):
                with self.lock:
                    self.got += data
        except OSError:
            pass
        s.close()

    def take(self):
        with self.lock:
            got, self.got = self.got, b""
        return got

    def see(self):
        with self.lock:
            return re.sub(rb"Via: [^\r]*\r\n", b"", self.got)


def exchange(recorder, sent, backend, status, pieces):
    """Sends it and waits for what is expected; returns what went wrong, or None."""
    recorder.take()
    with socket.create_connection((ADDRESS, 8080), timeout=10) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        size = -(-len(sent) // pieces)
        try:
            for at in range(0, len(sent), size):
                s.sendall(sent[at:at + size])
                time.sleep(0.002 if pieces > 1 else 0)  # each in a segment of its own; nothing depends on it
            if status:
                answer = s.recv(65536)
        except ConnectionError as error:
            return f"the connection ended: {error}"
        if status:
            line = b"HTTP/1.1 %d " % status
            return None if answer.startswith(line) else f"expected {status}, got {answer[:60]}"
        try:
            wait_until(lambda: recorder.see() == backend, "", 5)
        except Exception:
            return f"the backend got {recorder.see()}"
        return None


def each_case(recorder, pieces):
    wrong, count = [], 0
    for sent, backend, status, reason in cases():
        if pieces > 1 and b"chunked" in sent and backend:
            continue  # chunks leave as they came
        count += 1
        problem = exchange(recorder, sent, backend, status, pieces)
        got = recorder.see()
        if not problem and backend is None and got and b"0\r\n\r\n" in got:
            problem = f"the backend got a whole request: {got}"
        if problem:
            wrong.append(f"{reason}: {problem}")
    note(f"{count} requests in {pieces} pieces")
    assert count > 60 and not wrong, "\n".join(wrong)


recorder = None


def backend_records(namespace, millrace):
    global recorder
    recorder = Recorder()
    wait_until(lambda: exchange(recorder, b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n", 0, 1) is None,
               "a request goes through")


def whole_requests(namespace, millrace):
    each_case(recorder, 1)


def requests_in_two_pieces(namespace, millrace):
    each_case(recorder, 2)


def requests_in_many_pieces(namespace, millrace):
    each_case(recorder, 9)


def everything_is_given_back(namespace, millrace):
    wait_until(lambda: millrace.packets_held() == 0, "no packet is held")


main(backend_records, whole_requests, requests_in_two_pieces, requests_in_many_pieces, everything_is_given_back, more=PROXY)
