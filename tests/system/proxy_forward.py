#!/usr/bin/env python3
"""curl through a forward listener: absolute-form, CONNECT, and what the rules do not allow; and a protocol that begins as HTTP and goes on
as something else, through an http listener."""
import hashlib
import os
import socket
import threading

from lib import ADDRESS, HOST, main, run, wait_until
from proxy_lib import Nginx, proxy_service

PROXY = proxy_service(f"""
    listeners:
      - {{name: forward, listen: ":3128", mode: forward}}
      - {{name: web, listen: ":8080", upstream: sockets}}
    upstreams: [{{name: sockets, backends: [{{name: s, address: {HOST}:9002}}]}}]
    forward:
      rules: [{{allow: true, destination: {HOST}/32, port_first: 9001, port_last: 9002}}]
      connect_ports: [9001, 9003]
      hosts: [{{name: known.example, address: {HOST}}}]
""")
FORWARD = f"http://{ADDRESS}:3128"
SIZE = 3 << 20
nginx = None


def curl(*arguments):
    return run("curl", "-s", "-m", 20, "-x", FORWARD, "-w", "\n%{http_code} %{http_connect}", *arguments, check=False).stdout


def status(*arguments):
    return curl(*arguments).rsplit("\n", 1)[1].split()


def backend_starts(namespace, millrace):
    global nginx
    (namespace.folder / "www" / "page").write_text("hello")
    (namespace.folder / "www" / "large").write_bytes(os.urandom(SIZE))
    nginx = Nginx(namespace, 9001)


def absolute_form_reaches_an_address_and_a_name(namespace, millrace):
    assert curl(f"http://{HOST}:9001/page") == "hello\n200 000"
    assert curl("http://known.example:9001/page") == "hello\n200 000"


def what_is_not_allowed_or_not_known_is_refused(namespace, millrace):
    assert status(f"http://{HOST}:9009/page")[0] == "403"
    assert status("http://10.1.2.3:9001/page")[0] == "403"
    assert status("http://unknown.example:9001/page")[0] == "502"
    assert status("-p", f"http://{HOST}:9002/page")[1] == "403"
    assert status("-p", f"http://{HOST}:9003/page")[1] == "403"


def connect_carries_a_large_file_whole(namespace, millrace):
    got = namespace.folder / "got"
    run("curl", "-s", "-m", 30, "-p", "-x", FORWARD, "-o", got, f"http://{HOST}:9001/large")
    whole = hashlib.sha256((namespace.folder / "www" / "large").read_bytes()).hexdigest()
    assert hashlib.sha256(got.read_bytes()).hexdigest() == whole


def upgrade_server():
    """Accepts an Upgrade, then sends back what it gets, in capitals."""
    listener = socket.create_server((HOST, 9002))

    def serve():
        while True:
            s, _ = listener.accept()
            head = b""
            while b"\r\n\r\n" not in head:
                head += s.recv(4096)
            head, _, early = head.partition(b"\r\n\r\n")
            assert b"\r\nConnection: upgrade\r\nUpgrade: capitals" in head, head
            s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: capitals\r\nConnection: Upgrade\r\n\r\nREADY ")
            data = early or s.recv(65536)
            while data:
                s.sendall(data.upper())
                data = s.recv(65536)
            s.close()
    threading.Thread(target=serve, daemon=True).start()


def an_upgrade_becomes_a_tunnel(namespace, millrace):
    upgrade_server()
    with socket.create_connection((ADDRESS, 8080), timeout=10) as s:
        s.sendall(b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: capitals\r\n\r\nearly ")
        got = b""
        while not got.endswith(b"EARLY "):
            got += s.recv(4096)
        assert got.startswith(b"HTTP/1.1 101 ") and got.endswith(b"\r\n\r\nREADY EARLY "), got
        text = b"abcdefgh" * 40000
        threading.Thread(target=s.sendall, args=(text,), daemon=True).start()
        back = b""
        while len(back) < len(text):
            back += s.recv(65536)
        assert back == text.upper()
        s.shutdown(socket.SHUT_WR)
        assert s.recv(4096) == b""


def everything_is_given_back(namespace, millrace):
    nginx.die()
    wait_until(lambda: millrace.packets_held() == 0, "no packet is held")


main(backend_starts, absolute_form_reaches_an_address_and_a_name, what_is_not_allowed_or_not_known_is_refused,
     connect_carries_a_large_file_whole, an_upgrade_becomes_a_tunnel, everything_is_given_back, more=PROXY)
