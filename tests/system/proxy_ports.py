#!/usr/bin/env python3
"""More connections to one backend than there are local ports, in less time than TIME-WAIT lasts: the proxy ends each of them first, so
its side waits, and gives the port to the next when none is free. The backend is Linux: it takes a port that it knows from just before."""
import socket
import threading

from lib import ADDRESS, HOST, main, note
from proxy_lib import proxy_service

CONNECTIONS = 30000
LISTENERS = range(8081, 8085)  # several, or the client's own ports would be used up
THREADS_EACH = 2
PROXY = proxy_service("""
    listeners:
      - {name: a, listen: ":8081", mode: tcp, upstream: echo}
      - {name: b, listen: ":8082", mode: tcp, upstream: echo}
      - {name: c, listen: ":8083", mode: tcp, upstream: echo}
      - {name: d, listen: ":8084", mode: tcp, upstream: echo}
    upstreams:
      - {name: echo, backends: [{address: 198.18.0.1:9002}]}
""")


def serve(listener):
    while True:
        s, _ = listener.accept()
        with s:
            s.sendall(s.recv(1))
            s.recv(1)


def one_connection_after_the_other(port, failures):
    for _ in range(CONNECTIONS // len(LISTENERS) // THREADS_EACH):
        try:
            with socket.create_connection((ADDRESS, port), 10) as s:
                s.sendall(b"x")
                if s.recv(1) != b"x":
                    failures.append("no echo")
        except OSError as reason:
            failures.append(repr(reason))


def more_connections_than_ports_within_a_minute(namespace, millrace):
    failures, listener = [], socket.create_server((HOST, 9002), backlog=1000)
    for _ in range(8):
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
    threads = [threading.Thread(target=one_connection_after_the_other, args=(port, failures))
               for port in LISTENERS for _ in range(THREADS_EACH)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(100)
    counters = millrace.counters()
    connected, reused = counters["tcp.connected"], counters["tcp.time_wait_reused"]
    note(f"{connected} connections, {reused} with the port of one in TIME-WAIT")
    assert not failures and not any(t.is_alive() for t in threads), failures[:5]
    assert connected == CONNECTIONS, connected
    assert reused > 0, "slower than a minute, or ports were taken twice"


main(more_connections_than_ports_within_a_minute, more=PROXY)
