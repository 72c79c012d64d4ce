#!/usr/bin/env python3
"""Clients that misbehave: killed, silent, slow, half gone, vanished. What they held comes back."""
import http.client
import re
import socket
import struct
import subprocess
import time

from lib import ADDRESS, URL, main, note, run, wait_until

LARGE = 300_000_000
MEMORY_GROWTH_MAX = 64 << 20  # far below the file, above what 16 MiB of stream_bytes and caches need


def established(millrace):
    return [c for c in millrace.connections() if c["state"] == "ESTAB"]


def sends_to(millrace):
    return lambda: any(c["send_queue"] > 0 for c in established(millrace))


def curl_in_background(*options):
    return subprocess.Popen(["curl", "-sS", "--max-time", "60", "-o", "/dev/null", *map(str, options)],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


at_start = {}


def a_fresh_instance_is_idle(namespace, millrace):
    with open(namespace.folder / "www" / "large", "wb") as f:
        f.truncate(LARGE)
    run("curl", "-sS", "--fail", "--max-time", 30, "-o", "/dev/null", f"{URL}/large")  # what is made on first use exists
    wait_until(millrace.is_idle, "idle")
    at_start.update(buffers_free=millrace.buffers_free(), memory=millrace.memory_bytes())


def client_killed_in_a_download_leaves_nothing_behind(namespace, millrace):
    for _ in range(5):
        curl = curl_in_background("--limit-rate", "5M", f"{URL}/large")
        wait_until(sends_to(millrace), "the download is under way")
        curl.kill()
        curl.wait()
        wait_until(lambda: not established(millrace), "the connection is gone", 5)
    wait_until(millrace.is_idle, "nothing held")


def client_killed_in_an_upload_leaves_nothing_behind(namespace, millrace):
    for _ in range(5):
        curl = curl_in_background("--limit-rate", "5M", "-T", namespace.folder / "www" / "large", f"{URL}/sink")
        wait_until(lambda: established(millrace), "the upload is under way")
        curl.kill()
        curl.wait()
        wait_until(lambda: not established(millrace), "the connection is gone", 5)
    wait_until(millrace.is_idle, "nothing held")


def slow_readers_do_not_make_memory_grow(namespace, millrace):
    curls = [curl_in_background("--limit-rate", "200k", f"{URL}/large") for _ in range(20)]
    try:
        wait_until(lambda: len(established(millrace)) == 20, "20 downloads")
        worst = 0
        for _ in range(10):
            time.sleep(0.3)  # the time in which memory would grow
            worst = max(worst, millrace.memory_bytes() - at_start["memory"])
            assert run("curl", "-sS", "--fail", "--max-time", 5, f"{URL}/bytes/10").stdout, "others are not served"
        note(f"20 slow readers: {worst / 1e6:.1f} MB more memory, {millrace.packets_held()} packets held")
        assert worst < MEMORY_GROWTH_MAX
    finally:
        for curl in curls:
            curl.kill()
            curl.wait()
    wait_until(millrace.is_idle, "nothing held")


def reader_that_stops_reading_is_probed_and_resumes(namespace, millrace):
    with socket.create_connection((ADDRESS, 80), timeout=10) as s:
        s.sendall(b"GET /bytes/20000000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        wait_until(lambda: any(c["send_window"] == 0 for c in established(millrace)), "the window is closed", 10)
        probes = millrace.counters()["tcp.window_probes"]
        wait_until(lambda: millrace.counters()["tcp.window_probes"] > probes, "a window probe", 10)
        received = 0
        while chunk := s.recv(1 << 20):
            received += len(chunk)
        assert 20_000_000 < received < 20_001_000, received


def half_closed_client_still_gets_its_answer(namespace, millrace):
    with socket.create_connection((ADDRESS, 80), timeout=10) as s:
        s.sendall(b"GET /bytes/3000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        s.shutdown(socket.SHUT_WR)
        received = 0
        while chunk := s.recv(1 << 20):
            received += len(chunk)
        assert 3_000_000 < received < 3_001_000, received
    wait_until(lambda: not established(millrace), "the connection is gone")


def client_that_resets_frees_everything_at_once(namespace, millrace):
    resets = millrace.counters()["tcp.reset_by_peer"]
    for _ in range(50):
        s = socket.create_connection((ADDRESS, 80), timeout=5)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.sendall(b"GET /bytes/1000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        s.recv(100)
        s.close()
    wait_until(lambda: not established(millrace), "the connections are gone")
    assert millrace.counters()["tcp.reset_by_peer"] - resets == 50


def vanished_client_is_given_up_without_its_memory(namespace, millrace):
    """The way to us disappears in the middle: nobody acknowledges, nobody resets."""
    clients = [socket.create_connection((ADDRESS, 80), timeout=5) for _ in range(10)]
    for s in clients:
        s.sendall(b"GET /bytes/3000000 HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until(lambda: any(c["send_queue"] for c in established(millrace)), "answers wait")
    run("ip", "route", "add", "blackhole", f"{ADDRESS}/32")
    try:
        for s in clients:  # no FIN and no RST leaves: there is no way
            s.close()
        started = time.monotonic()
        wait_until(lambda: not established(millrace), "vanished clients are given up", 20)
        note(f"10 vanished clients given up after {time.monotonic() - started:.1f} s")
    finally:
        run("ip", "route", "del", "blackhole", f"{ADDRESS}/32")
    wait_until(lambda: millrace.packets_held() == 0, "nothing held")


def flood_of_syns_is_bounded_and_leaves_connections_alone(namespace, millrace):
    """SYNs whose sender never answers: raw frames from addresses that nobody has. There are no SYN cookies yet, so new
    connections may wait until the records expire; those that are open must notice nothing."""
    connection = http.client.HTTPConnection(ADDRESS, timeout=5)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind(("mr0", 0))
        for number, frame in enumerate(syn_frames(6000)):
            if number % 500 == 0:
                connection.request("GET", "/bytes/10")
                assert len(connection.getresponse().read()) == 10
            s.send(frame)
    refused = sum(millrace.counters()[f"tcp.{reason}"] for reason in ("backlog_full", "half_open_full"))
    assert 0 < refused < 6000, f"{refused} of 6000 refused"
    started = time.monotonic()
    wait_until(lambda: run("curl", "-sS", "--max-time", 2, "-o", "/dev/null", f"{URL}/bytes/10", check=False).returncode == 0,
               "new connections are accepted again", 100)
    note(f"flood of 6000 SYNs: {refused} refused; accepting again after {time.monotonic() - started:.1f} s")


def sum_of(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def syn_frames(count):
    run("ping", "-c", 1, "-W", 5, ADDRESS)
    neighbour = re.search(r"lladdr (\S+)", run("ip", "neigh", "show", ADDRESS).stdout)[1]
    own = re.search(r"link/ether (\S+)", run("ip", "link", "show", "mr0").stdout)[1]
    ethernet = bytes.fromhex(neighbour.replace(":", "")) + bytes.fromhex(own.replace(":", "")) + b"\x08\x00"
    target = socket.inet_aton(ADDRESS)
    for i in range(count):
        source = bytes([198, 18, 0, 100 + i % 100])
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, i & 0xffff, 0, 64, 6, 0, source, target)
        ip = ip[:10] + struct.pack("!H", sum_of(ip)) + ip[12:]
        tcp = struct.pack("!HHIIBBHHH", 1024 + i // 100, 80, i * 64000, 0, 0x50, 2, 65535, 0, 0)
        pseudo = source + target + struct.pack("!BBH", 0, 6, 20)
        yield ethernet + ip + tcp[:16] + struct.pack("!H", sum_of(pseudo + tcp)) + tcp[18:]


def everything_is_given_back_afterwards(namespace, millrace):
    wait_until(lambda: millrace.buffers_free() >= at_start["buffers_free"], "all buffers are back", 30)


main(a_fresh_instance_is_idle, client_killed_in_a_download_leaves_nothing_behind,
     client_killed_in_an_upload_leaves_nothing_behind, slow_readers_do_not_make_memory_grow,
     reader_that_stops_reading_is_probed_and_resumes, half_closed_client_still_gets_its_answer,
     client_that_resets_frees_everything_at_once, vanished_client_is_given_up_without_its_memory,
     flood_of_syns_is_bounded_and_leaves_connections_alone, everything_is_given_back_afterwards,
     http="      send_timeout: 4s")
