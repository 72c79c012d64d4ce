#!/usr/bin/env python3
"""The cache under load and among clients that misbehave: 2,000 connections, commands in pieces, frames too large, readers that do not
read, clients that die, half a gigabyte in one value, more than fits; and two workers that share a keyspace."""
import contextlib
import hashlib
import random
import resource
import socket
import struct
import subprocess
import threading
import time

from cache_lib import MEMCACHED, REDIS, Resp, cache_service, encode
from lib import ADDRESS, answers_on_all, main, note, run, wait_until

PARALLEL = 2000
MEGABYTE = 1 << 20
LARGE = 512 * MEGABYTE
SMALL_LIMIT = 16 * MEGABYTE


def connect(address=REDIS, timeout=30):
    s = socket.create_connection(address, timeout=timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def receive(s, n):
    data = bytearray()
    while len(data) < n:
        chunk = s.recv(min(n - len(data), 1 << 20))
        assert chunk, f"closed after {len(data)} of {n} bytes"
        data += chunk
    return bytes(data)


def is_closed(s, seconds=20):
    """Reads until the other side has closed or reset; what came before does not matter."""
    s.settimeout(seconds)
    try:
        while s.recv(1 << 20):
            pass
    except ConnectionError:
        pass
    return True


def whole_answer(answer):
    def whole(received):
        assert answer.startswith(received), received
        return received == answer
    return whole


def open_connections(millrace):
    return millrace.counters()["cache[0].connections_open"]


def nobody_is_connected(millrace, seconds=20):
    """Also what they held is given back."""
    wait_until(lambda: open_connections(millrace) == 0, "every connection is gone", seconds)
    wait_until(lambda: millrace.counters()["cache[0].client_memory"] < MEGABYTE, "what they held is given back", seconds)


def two_thousand_connections_are_served(namespace, millrace):
    sockets = [connect() for _ in range(PARALLEL)]
    note(f"{PARALLEL} connected")
    with Resp() as client:
        client.call("SET", "k", "v" * 100)
        for _ in range(2):
            started = time.monotonic()
            answers_on_all(sockets, encode(["GET", "k"]) * 2, whole_answer(b"$100\r\n" + b"v" * 100 + b"\r\n$100\r\n" + b"v" * 100 + b"\r\n"))
            note(f"{PARALLEL} answered twice in {time.monotonic() - started:.2f} s")
        assert int(client.info("clients")["connected_clients"]) == PARALLEL + 1
    for s in sockets:
        s.close()
    nobody_is_connected(millrace)


def commands_in_pieces_hold_up_nobody(namespace, millrace):
    """Every prefix of a command on a connection of its own, others served meanwhile; then the rest of it."""
    whole = encode(["SET", "pieces", "x" * 60]) + b"INCR n\r\n"
    with Resp() as client:
        client.call("DEL", "n")
        halves = []
        for cut in range(1, len(whole)):
            s = connect()
            s.sendall(whole[:cut])
            halves.append((cut, s))
        for i in range(100):
            assert client.value("INCRBY", "served", 1) > 0
        for n, (cut, s) in enumerate(halves, 1):
            s.sendall(whole[cut:])
            reply = b"+OK\r\n:%d\r\n" % n
            assert receive(s, len(reply)) == reply
            s.close()
        s = connect()
        for byte in whole:  # one byte at a time
            s.sendall(bytes([byte]))
        receive(s, 8)
        s.close()
    nobody_is_connected(millrace)


def frames_that_are_too_large_or_no_frames_end_the_connection(namespace, millrace):
    before = millrace.counters()["cache[0].protocol_errors"]
    faults = {b"*1048577\r\n": b"invalid multibulk length", b"*x\r\n": b"invalid multibulk length",
              b"*1\r\n$536870913\r\n": b"invalid bulk length", b"*1\r\n$-1\r\n": b"invalid bulk length",
              b"*1\r\nGET\r\n": b"expected '$', got 'G'", b"x" * 70000: b"too big inline request", b"*" + b"1" * 70000: b"invalid multibulk length",
              b'SET "a\r\n': b"unbalanced quotes in request"}
    for fault, text in faults.items():
        s = connect()
        s.settimeout(10)
        s.sendall(b"PING\r\n" + fault)
        data = b""
        with contextlib.suppress(ConnectionError):
            while chunk := s.recv(65536):
                data += chunk
        s.close()
        assert data == b"+PONG\r\n-ERR Protocol error: " + text + b"\r\n", f"{fault[:20]}: {data}"
    s = connect(MEMCACHED)
    s.sendall(b"set k 0 0 2000000\r\n" + b"x" * 2000000 + b"\r\nget k\r\n")
    assert receive(s, 43) == b"SERVER_ERROR object too large for cache\r\nEN"
    s.close()
    assert millrace.counters()["cache[0].protocol_errors"] - before == len(faults)
    nobody_is_connected(millrace)


def values_half_sent_are_part_of_the_keyspace_until_their_clients_go(namespace, millrace):
    """Half a command each: long arguments lie where they will be kept, and count there."""
    sockets = []
    for i in range(20):
        s = connect()
        with contextlib.suppress(ConnectionError, TimeoutError):
            s.settimeout(5)
            s.sendall(b"*2\r\n$5\r\nLPUSH\r\n$%d\r\n" % (60 * MEGABYTE) + b"x" * (30 * MEGABYTE))
        sockets.append(s)
    with Resp() as client:
        assert client.value("PING") == b"PONG"
    after = millrace.counters()
    held = after["cache[0].memory_used"] + after["cache[0].client_memory"]
    note(f"20 times 30 MB begun: {held >> 20} MB held, {open_connections(millrace)} still there")
    assert 400 * MEGABYTE < held and after["cache[0].memory_used"] <= after["cache[0].memory_limit"]
    for s in sockets:
        s.close()
    nobody_is_connected(millrace)
    wait_until(lambda: millrace.counters()["cache[0].memory_used"] < 16 * MEGABYTE, "their values are gone")


def readers_that_do_not_read_are_bounded_and_cut(namespace, millrace):
    before = millrace.counters()
    with Resp() as client:
        client.call("DEL", "list")
        client.pipeline([["RPUSH", "list", *["y" * 90] * 1000] for _ in range(10)])
        slow = [connect() for _ in range(10)]
        for s in slow:  # a megabyte each time; nobody reads it
            s.sendall(encode(["LRANGE", "list", 0, -1]) * 400)
        for _ in range(200):
            assert client.value("LLEN", "list") == 10000
        worst = millrace.memory_bytes()
        others = time.monotonic()
        assert client.value("PING") == b"PONG"
        note(f"10 readers of 400 MB each: {worst >> 20} MB resident, PING in {1000 * (time.monotonic() - others):.1f} ms")
        wait_until(lambda: millrace.counters()["cache[0].reply_timeouts"] - before["cache[0].reply_timeouts"] >= 10,
                   "they are cut and counted", 30)
        for s in slow:
            assert is_closed(s)
            s.close()
        listener = connect()
        listener.sendall(encode(["SUBSCRIBE", "noise"]))
        receive(listener, 10)
        wait_until(lambda: client.value("PUBLISH", "noise", "x"), "it listens")
        overflows = millrace.counters()["cache[0].reply_overflows"]
        for i in range(200):
            if client.value("PUBLISH", "noise", "x" * MEGABYTE) == 0:
                break
        assert i < 150, "a subscriber that does not read is never cut"
        assert millrace.counters()["cache[0].reply_overflows"] == overflows + 1
        note(f"a subscriber that does not read is cut after {i} MB")
        listener.close()
        client.call("DEL", "list")
    nobody_is_connected(millrace)


def clients_that_die_leave_nothing(namespace, millrace):
    with Resp() as client:
        client.call("SET", "big", "z" * (20 * MEGABYTE))
        for begin in (b"*3\r\n$3\r\nSET\r\n$1\r\nq\r\n$30000000\r\n" + b"x" * MEGABYTE, encode(["GET", "big"]) * 3,
                      encode(["BLPOP", "never", 0]), encode(["SUBSCRIBE", "c"]), encode(["MULTI"]) + encode(["SET", "a", "b"]) * 100,
                      encode(["WATCH", "a", "b"])):
            for how in ("reset", "close"):
                s = connect()
                s.sendall(begin)
                if how == "reset":
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.close()
        wait_until(lambda: open_connections(millrace) == 1, "only we are left")
        clients = client.info("clients")
        assert clients["blocked_clients"] == "0" and client.value("PUBSUB", "NUMSUB", "c") == [b"c", 0], clients
        client.call("DEL", "big")
    nobody_is_connected(millrace)


def memory_never_passes_its_limit(namespace, millrace):
    """Writers of every type and size, four times what fits, while others ask how much is used."""
    done, worst, failures = threading.Event(), [0], []

    def watch():
        with Resp() as client:
            while not done.is_set():
                info = client.info("memory")
                worst[0] = max(worst[0], int(info["used_memory"]))
                if int(info["used_memory"]) > int(info["maxmemory"]):
                    failures.append(info)

    with Resp() as client:
        client.call("FLUSHALL")
        client.call("CONFIG", "SET", "maxmemory", SMALL_LIMIT)
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        chance, commands = random.Random(7), 0
        before = millrace.counters()["cache[0].evicted"]
        for batch in range(120):
            size = chance.choice((10, 100, 1000, 4000, 100000))
            n = max(1, 600000 // (size + 100))
            kinds = [lambda key: ["SET", key, "v" * size], lambda key: ["HSET", key, "f", "v" * size], lambda key: ["APPEND", key, "v" * size],
                     lambda key: ["SADD", key, "m" * min(size, 1000)], lambda key: ["RPUSH", key, "v" * size],
                     lambda key: ["ZADD", key, 1, "m" * min(size, 1000)], lambda key: ["SET", key, "v" * size, "EX", 1000]]
            kind = chance.choice(kinds)
            for reply in client.pipeline([kind(f"k{chance.randrange(100000)}") for _ in range(n)]):
                assert reply[0] != b"-" or b"WRONGTYPE" in reply[1], reply
            commands += n
        done.set()
        watcher.join(20)
        assert not failures, failures[0]
        evicted = millrace.counters()["cache[0].evicted"] - before
        note(f"{commands} writes, {evicted} evicted, at most {worst[0]} of {SMALL_LIMIT} bytes used")
        assert evicted > 100 and worst[0] > SMALL_LIMIT // 2
        client.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
        replies = {reply for _ in range(30) for reply in client.pipeline([["SET", f"full:{chance.random()}", "x" * 1000] for i in range(800)])}
        assert replies == {(b"+", b"OK"), (b"-", b"OOM command not allowed when used memory > 'maxmemory'.")}, replies
        assert client.call("DEL", "full:0")[0] == b":"
        assert int(client.info("memory")["used_memory"]) <= SMALL_LIMIT
        client.call("CONFIG", "SET", "maxmemory-policy", "allkeys-s3fifo")
        client.call("FLUSHALL")
        client.call("CONFIG", "SET", "maxmemory", 1400 * MEGABYTE)
    nobody_is_connected(millrace)


def half_a_gigabyte_in_one_value_survives_its_replacement(namespace, millrace):
    """Set, read by two at once; while they read the key is replaced, then deleted: each reads what was there when it asked."""
    block = random.Random(1).randbytes(MEGABYTE)
    wanted = hashlib.sha256(block * 512).hexdigest()
    digests, reading = [], threading.Barrier(3)

    def read():
        s = connect(timeout=60)
        s.sendall(encode(["GET", "large"]))
        head = receive(s, 12)
        assert head == b"$536870912\r\n", head
        reading.wait(60)
        digest, left = hashlib.sha256(), LARGE
        while left:
            chunk = s.recv(min(left, 4 * MEGABYTE))
            assert chunk, f"closed with {left} bytes to come"
            digest.update(chunk)
            left -= len(chunk)
        digests.append(digest.hexdigest())
        s.close()

    with Resp(timeout=60) as client:
        started = time.monotonic()
        client.socket.sendall(b"*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$%d\r\n" % LARGE)
        for _ in range(512):
            client.socket.sendall(block)
        client.socket.sendall(b"\r\n")
        assert client.read() == (b"+", b"OK")
        written = time.monotonic() - started
        started = time.monotonic()
        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        reading.wait(60)  # both have the first bytes
        assert client.value("SETRANGE", "large", 100, "changed in flight") == LARGE
        assert client.value("SET", "large", "small") == b"OK" and client.value("DEL", "large") == 1
        for thread in threads:
            thread.join(120)
        assert digests == [wanted] * 2, digests
        note(f"512 MB set in {written:.1f} s, read by two at once in {time.monotonic() - started:.1f} s")
        wait_until(lambda: int(client.info("memory")["used_memory"]) < 64 * MEGABYTE, "its memory is given back", 20)
    nobody_is_connected(millrace)


def pipelines_of_a_hundred_thousand_are_answered_in_order(namespace, millrace):
    """More than buffers hold, written by one thread and read by another."""
    count = 100000
    with Resp() as client:
        client.call("DEL", "counter")
        writer = threading.Thread(target=client.socket.sendall, args=(encode(["INCR", "counter"]) * count,))
        started = time.monotonic()
        writer.start()
        assert all(client.read() == (b":", i) for i in range(1, count + 1))
        writer.join()
        note(f"{count} in {time.monotonic() - started:.2f} s")


# -- two workers: another instance, after the first has ended ------------------------------------------------------------------------

def two_workers(namespace, millrace):
    millrace.stop()
    text = millrace.config.read_text()
    millrace.config.write_text(text + "workers:\n  count: 2\n")
    millrace.start()
    with Resp() as client:
        client.pipeline([["SET", f"key:{i}", i] for i in range(2000)])
        assert [int(value) for value in client.value("MGET", *[f"key:{i}" for i in range(2000)])] == list(range(2000))
        assert client.value("DBSIZE") == 2000
        cursor, found = b"0", []
        while True:
            cursor, keys = client.value("SCAN", cursor, "COUNT", 100)
            found += keys
            if cursor == b"0":
                break
        assert set(found) == {b"key:%d" % i for i in range(2000)}
    rows = [line.split() for line in millrace.ask("stat", "cache").splitlines()]
    commands = next([int(word) for word in row[1:4]] for row in rows if row[0] == "cache[0].commands")
    assert commands[0] == commands[1] + commands[2], commands


def writes_over_two_workers_are_all_or_nothing(namespace, millrace):
    """Writers set eight keys of both workers to one value, by MSET and in MULTI; readers must never see two values."""
    keys, stop, torn, reads = [f"shared:{i}" for i in range(8)], time.monotonic() + 4, [], [0]

    def write(how, seed):
        with Resp() as client:
            n = seed
            while time.monotonic() < stop:
                n += 10
                if how == "mset":
                    assert client.call("MSET", *[word for key in keys for word in (key, n)]) == (b"+", b"OK")
                else:
                    replies = client.pipeline([["MULTI"], *[["SET", key, n] for key in keys], ["EXEC"]])
                    assert replies[-1][0] == b"*" and len(replies[-1][1]) == 8, replies

    def look(how):
        with Resp() as client:
            while time.monotonic() < stop:
                if how == "mget":
                    values = client.value("MGET", *keys)
                else:
                    values = [item[1] for item in client.pipeline([["MULTI"], *[["GET", key] for key in keys], ["EXEC"]])[-1][1]]
                reads[0] += 1
                if len(set(values)) != 1:
                    torn.append(values)

    with Resp() as client:
        client.call("MSET", *[word for key in keys for word in (key, 0)])
    threads = [threading.Thread(target=write, args=("mset", 1)), threading.Thread(target=write, args=("multi", 2)),
               threading.Thread(target=look, args=("mget",)), threading.Thread(target=look, args=("multi",))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "a client is still waiting"
    counters = millrace.counters()
    note(f"{reads[0]} reads, {counters['cache[0].holds']} holds, {counters['cache[0].commands_forwarded']} commands forwarded")
    assert not torn, torn[0]
    assert reads[0] > 50 and counters["cache[0].holds"] > 0


def increments_of_many_clients_are_all_counted_by_two_workers(namespace, millrace):
    run("redis-benchmark", "-h", ADDRESS, "-q", "-c", 50, "-n", 40000, "-P", 8, "-r", 500, "INCR", "count:__rand_int__", timeout=60)
    with Resp() as client:
        keys = client.value("KEYS", "count:*")
        assert sum(map(int, client.value("MGET", *keys))) == 40000
    nobody_is_connected(millrace)


def it_ends_in_the_middle_of_load(namespace, millrace):
    load = subprocess.Popen(["redis-benchmark", "-h", ADDRESS, "-l", "-q", "-P", "4", "-t", "set,get,lpush"], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: open_connections(millrace) >= 50, "load")
        assert millrace.stop() == 0
    finally:
        load.kill()
        load.wait()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (PARALLEL + 500, max(PARALLEL + 500, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    main(two_thousand_connections_are_served, commands_in_pieces_hold_up_nobody,
         frames_that_are_too_large_or_no_frames_end_the_connection,
         values_half_sent_are_part_of_the_keyspace_until_their_clients_go,
         readers_that_do_not_read_are_bounded_and_cut, clients_that_die_leave_nothing, memory_never_passes_its_limit,
         half_a_gigabyte_in_one_value_survives_its_replacement, pipelines_of_a_hundred_thousand_are_answered_in_order, two_workers,
         writes_over_two_workers_are_all_or_nothing, increments_of_many_clients_are_all_counted_by_two_workers, it_ends_in_the_middle_of_load,
         more=cache_service(memory_max="1400MiB", client_memory_max="256MiB", reply_timeout="5s", query_bytes_max="600MiB"))
