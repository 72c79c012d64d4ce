#!/usr/bin/env python3
"""Lower layers against the Linux kernel: ARP, ICMP, UDP, closed ports, and TCP without HTTP."""
import errno
import re
import socket
import time

from lib import ADDRESS, HOST, main, note, run


def ping_of_every_size_is_answered(namespace, millrace):
    for size in (0, 1, 17, 18, 56, 63, 512, 1471, 1472):
        out = run("ping", "-q", "-c", 100, "-i", 0.002, "-W", 2, "-s", size, ADDRESS).stdout
        assert "100 packets transmitted, 100 received, 0% packet loss" in out, out
    note(out.splitlines()[-1])


def ping_pattern_comes_back_unchanged(namespace, millrace):
    out = run("ping", "-c", 20, "-i", 0.002, "-s", 1472, "-p", "ff00a55a", ADDRESS).stdout
    assert "20 received" in out and "wrong data" not in out, out


def ping_larger_than_the_mtu_is_dropped_and_counted(namespace, millrace):
    before = millrace.counters()["ip4.fragment"]
    out = run("ping", "-q", "-c", 3, "-i", 0.05, "-W", 1, "-s", 1473, ADDRESS, check=False).stdout
    assert ", 0 received" in out, out
    assert millrace.counters()["ip4.fragment"] - before == 6, "two fragments each"
    run("ping", "-q", "-c", 1, "-W", 2, ADDRESS)


def arping_is_answered_by_one_station(namespace, millrace):
    out = run("arping", "-c", 20, "-w", 10, "-i", 0.02, "-I", "mr0", ADDRESS, check=False).stdout
    if "invalid" in out or "usage" in out.lower():  # without fractions of a second
        out = run("arping", "-c", 3, "-w", 10, "-I", "mr0", ADDRESS).stdout
    sent, received = re.search(r"Sent (\d+) probes", out)[1], re.search(r"Received (\d+) response", out)[1]
    assert sent == received, out
    assert len(set(re.findall(r"\[([0-9A-F:]{17})\]", out))) == 1, out


def arping_for_another_address_is_not_answered(namespace, millrace):
    out = run("arping", "-c", 2, "-w", 2, "-I", "mr0", "198.18.0.77", check=False).stdout
    assert "Received 0 response" in out, out


def duplicate_address_detection_by_the_kernel_finds_us(namespace, millrace):
    assert run("arping", "-D", "-c", 2, "-w", 3, "-I", "mr0", ADDRESS, check=False).returncode == 1
    assert run("arping", "-D", "-c", 2, "-w", 3, "-I", "mr0", "198.18.0.77", check=False).returncode == 0


def closed_tcp_ports_are_refused_at_once(namespace, millrace):
    started = time.monotonic()
    for port in [*range(1, 7), *range(8, 80), *range(81, 1024), 8080, 65535]:
        with socket.socket() as s:
            s.settimeout(2)
            assert s.connect_ex((ADDRESS, port)) == errno.ECONNREFUSED, f"port {port}"
    note(f"{1023} ports in {time.monotonic() - started:.2f} s")
    assert not [c for c in millrace.connections() if c["state"] != "TIME-WAIT"]


def closed_udp_port_is_answered_unreachable(namespace, millrace):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(2)
        s.connect((ADDRESS, 9))
        s.send(b"anybody?")
        try:
            s.recv(1)
            raise AssertionError("an answer from a closed port")
        except ConnectionRefusedError:
            pass


def udp_echo_returns_every_size(namespace, millrace):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(2)
        s.connect((ADDRESS, 7))
        for size in [0, 1, 2, 3, 100, 1471, 1472]:
            for byte in (0, 0x5a, 0xff):
                s.send(bytes([byte]) * size)
                assert s.recv(2000) == bytes([byte]) * size, size


def tcp_echo_returns_every_byte_then_closes(namespace, millrace):
    payload = bytes(i * 7 & 0xff for i in range(300_000))
    with socket.create_connection((ADDRESS, 7), timeout=5) as s:
        received = bytearray()
        for start in range(0, len(payload), 10_000):
            s.sendall(payload[start:start + 10_000])
            while len(received) < start + 10_000:
                received += s.recv(65536)
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b"", "data after the end"
    assert bytes(received) == payload


def one_byte_at_a_time_arrives_in_order(namespace, millrace):
    with socket.create_connection((ADDRESS, 7), timeout=5) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sent = bytes(range(256)) * 8
        for byte in sent:
            s.send(bytes([byte]))
        received = b""
        while len(received) < len(sent):
            received += s.recv(4096)
        assert received == sent


main(ping_of_every_size_is_answered, ping_pattern_comes_back_unchanged, ping_larger_than_the_mtu_is_dropped_and_counted,
     arping_is_answered_by_one_station, arping_for_another_address_is_not_answered,
     duplicate_address_detection_by_the_kernel_finds_us, closed_tcp_ports_are_refused_at_once,
     closed_udp_port_is_answered_unreachable, udp_echo_returns_every_size, tcp_echo_returns_every_byte_then_closes,
     one_byte_at_a_time_arrives_in_order)
