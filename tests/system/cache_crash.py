#!/usr/bin/env python3
"""The cache's log against kill -9: what was acknowledged under `always` is there after the next start, and no transaction is there in
part. The seed is printed; TEST_SEED repeats it (the kernel's timing stays its own)."""
import os
import random
import re
import socket
import subprocess
import threading
import time

from lib import ADDRESS, MILLRACE, Millrace, main, note, wait_until

SEED = int(os.environ.get("TEST_SEED") or time.time_ns() % 2**32)
ROUNDS, WRITERS, SECONDS = 7, 4, 36
LARGE = 100_000  # longer than what the log copies: its extents are held

CACHE = """
  - cache:
      listen: :6379
      durability: log
      fsync: {fsync}
      folder: {folder}/cache
      rewrite_percentage: 100
      rewrite_bytes_min: 1MiB
workers:
  count: {workers}
"""


class Client:
    """RESP2 over a socket, as little as is needed: replies as Python values, errors as exceptions."""

    def __init__(self, seconds=10):
        self.socket = socket.create_connection((ADDRESS, 6379), timeout=seconds)
        self.file = self.socket.makefile("rb")

    def send(self, *commands):
        self.socket.sendall(b"".join(encode(command) for command in commands))

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the connection ended")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b":":
            return int(rest)
        if kind == b"$":
            length = int(rest)
            if length < 0:
                return None
            data = self.file.read(length + 2)
            if len(data) != length + 2:
                raise ConnectionError("the connection ended")
            return data[:-2]
        if kind == b"*":
            return [self.read() for _ in range(int(rest))]
        raise AssertionError(f"reply {line!r}")

    def call(self, *command):
        self.send(command)
        return self.read()

    def close(self):
        self.file.close()
        self.socket.close()


def encode(command):
    words = [word if isinstance(word, bytes) else str(word).encode() for word in command]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def large_value(number):
    return (b"%d," % number) * (LARGE // len(b"%d," % number))


class Writer(threading.Thread):
    """Numbers its transactions, each over keys of several shards; `acknowledged` is the last one that was answered."""

    def __init__(self, name, begin, pipeline, seed):
        super().__init__(daemon=True)
        self.key, self.acknowledged, self.sent, self.pipeline = name, begin, begin, pipeline
        self.large_acknowledged = self.large_sent = 0
        self.random, self.failure = random.Random(seed), None

    def transaction(self, number):
        return [("MULTI",), ("INCR", f"count:{self.key}"), ("RPUSH", f"list:{self.key}", number),
                ("SET", f"last:{self.key}", number), ("HSET", f"hash:{self.key}", number % 50, number), ("EXEC",)]

    def step(self, client):
        if self.random.random() < 0.05:
            self.large_sent = self.sent
            client.send(("SET", f"large:{self.key}", large_value(self.sent)))
            assert client.read() == "OK"
            self.large_acknowledged = self.large_sent
        numbers = range(self.sent + 1, self.sent + 1 + self.pipeline)
        self.sent = numbers[-1]
        client.send(*[command for number in numbers for command in self.transaction(number)])
        for number in numbers:
            assert [client.read() for _ in range(5)] == ["OK"] + ["QUEUED"] * 4
            result = client.read()
            assert result[0] == number and result[2] == "OK", f"transaction {number}: {result}"
            self.acknowledged = number

    def run(self):
        try:
            client = Client()
            while True:
                self.step(client)
        except OSError:
            pass  # killed
        except Exception as failure:
            self.failure = failure


def check(client, writer):
    """What the log holds is some number of this writer's transactions, whole, and no fewer than were acknowledged."""
    key = writer.key
    count = int(client.call("GET", f"count:{key}") or 0)
    assert writer.acknowledged <= count <= writer.sent, f"{key}: {count} of {writer.acknowledged} .. {writer.sent}"
    assert int(client.call("GET", f"last:{key}") or 0) == count, f"{key}: half a transaction (SET)"
    numbers = [int(n) for n in client.call("LRANGE", f"list:{key}", 0, -1)]
    assert numbers == list(range(1, count + 1)), f"{key}: half a transaction (RPUSH)"
    fields = client.call("HGETALL", f"hash:{key}")
    expected = {n % 50: n for n in range(max(1, count - 49), count + 1)}
    assert {int(f): int(v) for f, v in zip(fields[::2], fields[1::2])} == expected, f"{key}: half a transaction (HSET)"
    large = client.call("GET", f"large:{key}")
    if writer.large_sent or large is not None:
        number = int(large.split(b",", 1)[0])
        assert large == large_value(number), f"{key}: a value that nobody wrote"
        assert not writer.large_sent or number >= writer.large_acknowledged or number in writer.large_before, f"{key}: an old value"
        writer.large_before = {number}
    return count


def start(namespace, name, fsync, workers):
    (namespace.folder / "cache").mkdir(exist_ok=True)
    more = CACHE.format(fsync=fsync, folder=namespace.folder, workers=workers)
    return Millrace(namespace, name=name, more=more)


def log_of(millrace):
    return millrace.log_path.read_text(errors="replace")


def killed_at_random_points_loses_nothing_acknowledged(namespace, _):
    note(f"seed {SEED}")
    chance, end = random.Random(SEED), time.monotonic() + SECONDS
    reached = [0] * WRITERS
    millrace = start(namespace, "crash", "always", 2)
    try:
        for number in range(ROUNDS):
            writers = [Writer(f"w{i}", reached[i], chance.choice((1, 4, 16)), chance.random()) for i in range(WRITERS)]
            for writer in writers:
                writer.large_before = set()
                writer.start()
            time.sleep(chance.uniform(0.2, 1.5))  # the point at which it is killed
            millrace.kill()
            for writer in writers:
                writer.join(15)
                assert not writer.is_alive() and not writer.failure, writer.failure
            millrace.start()
            client = Client()
            reached = [check(client, writer) for writer in writers]
            client.close()
            if time.monotonic() > end:
                note(f"time is over after round {number + 1}")
                break
        rewrites = len(re.findall(r"rewrite of the log of .* is complete", log_of(millrace)))
        note(f"{sum(reached)} transactions, {rewrites} rewrites, "
             f"{len(re.findall('torn at', log_of(millrace)))} torn ends")
        assert sum(reached) > 100
    finally:
        millrace.kill()


def torn_end_is_cut_with_a_message(namespace, _):
    log = sorted((namespace.folder / "cache").glob("cache.*.log"))[-1]
    size = log.stat().st_size
    with open(log, "ab") as file:
        file.write(os.urandom(37))
    millrace = start(namespace, "torn", "always", 2)
    try:
        assert re.search(rf"{log.name}: torn at offset {size}: 37 bytes cut, kept in {log.name}.torn", log_of(millrace)), \
            log_of(millrace)
        client = Client()
        assert client.call("PING") == "PONG" and client.call("DBSIZE") > 0
        client.close()
        assert millrace.stop() == 0
    finally:
        millrace.kill()


def other_number_of_workers_reads_the_same_log(namespace, _):
    millrace = start(namespace, "one", "everysec", 1)
    try:
        client = Client()
        for i in range(WRITERS):
            count = int(client.call("GET", f"count:w{i}"))
            assert client.call("LLEN", f"list:w{i}") == count
        assert client.call("SET", "gone", "1", "PX", 1) == "OK" and client.call("SET", "stays", "1", "EX", 1000) == "OK"
        client.close()
        assert millrace.stop() == 0  # in order: everything is written
        millrace.start()
        client = Client()
        wait_until(lambda: client.call("GET", "gone") is None, "the key is dead")
        assert 900 < client.call("TTL", "stays") <= 1000
        client.close()
    finally:
        millrace.kill()


def damage_in_the_middle_refuses_to_start(namespace, _):
    name = sorted((namespace.folder / "cache").glob("cache.*.log"), key=lambda path: path.stat().st_size)[-1]
    data = bytearray(name.read_bytes())
    data[len(data) // 2] ^= 0x40
    name.write_bytes(data)
    result = subprocess.run([MILLRACE, "run", namespace.folder / "one.yaml"], stdin=subprocess.DEVNULL, capture_output=True,
                            text=True, errors="replace", timeout=30)
    assert result.returncode != 0
    assert re.search(rf"{re.escape(name.name)} is damaged at offset \d+; not started. `log_repair: truncate`", result.stderr), \
        result.stderr


if __name__ == "__main__":
    main(killed_at_random_points_loses_nothing_acknowledged, torn_end_is_cut_with_a_message,
         other_number_of_workers_reads_the_same_log, damage_in_the_middle_refuses_to_start, millrace=False)
