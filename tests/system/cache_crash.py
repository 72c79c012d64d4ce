#!/usr/bin/env python3
"""The cache's log against kill -9: what was acknowledged under `always` is there after the next start, and no transaction
is there in part. The seed is printed; TEST_SEED repeats it (the kernel's timing stays its own)."""
import contextlib
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


def knows_multi():
    client = Client()
    client.send(("MULTI",))
    known = client.file.readline() == b"+OK\r\n"
    client.close()
    return known


class Writer(threading.Thread):
    """Numbers its steps, each of commands over keys of several shards; `acknowledged` is the last that was answered."""

    def __init__(self, name, begin, large, multi, pipeline, seed):
        super().__init__(daemon=True)
        self.multi = multi  # each step is one transaction
        self.key, self.acknowledged, self.sent, self.pipeline = name, begin, begin, pipeline
        self.large_acknowledged = self.large_sent = large
        self.random, self.client, self.failure = random.Random(seed), None, None

    def commands(self, number):
        """With the replies that are right."""
        pairs = [word for i in range(5) for word in (f"part{i}:{self.key}", number)]  # of both workers
        return [(("MSET", *pairs), "OK"),
                (("INCR", f"count:{self.key}"), number),
                (("RPUSH", f"list:{self.key}", number), number),
                (("HSET", f"hash:{self.key}", number % 50, number), int(number <= 50))]

    def transaction(self, number):
        commands = self.commands(number)
        queued = [(command, "QUEUED") for command, _ in commands]
        return [(("MULTI",), "OK"), *queued, (("EXEC",), [right for _, right in commands])]

    def step(self, client):
        if self.sent and self.random.random() < 0.05:
            self.large_sent = self.sent
            client.send(("SET", f"large:{self.key}", large_value(self.sent)))
            assert client.read() == "OK"
            self.large_acknowledged = self.large_sent
        numbers = range(self.sent + 1, self.sent + 1 + self.pipeline)
        self.sent = numbers[-1]
        steps = [self.transaction(number) if self.multi else self.commands(number) for number in numbers]
        client.send(*[command for step in steps for command, _ in step])
        for number, step in zip(numbers, steps):
            for command, right in step:
                reply = client.read()
                assert reply == right, f"{command}: {reply}, not {right}"
            self.acknowledged = number

    def disconnect(self):
        """Its peer is gone without a word."""
        with contextlib.suppress(OSError):
            self.client.socket.shutdown(socket.SHUT_RDWR)

    def run(self):
        try:
            self.client = Client()
            while True:
                self.step(self.client)
        except OSError:
            pass  # killed
        except Exception as failure:
            self.failure = failure


def check(client, writer):
    """What the log holds is some number of this writer's commands, each whole, and no fewer than were acknowledged. Of
    those that were not, any may be there: each in the order of its key. Returns where the next life of the writer begins."""
    key = writer.key
    parts = {int(part or 0) for part in client.call("MGET", *[f"part{i}:{key}" for i in range(5)])}
    assert len(parts) == 1, f"{key}: a part of an MSET: {parts}"
    count = int(client.call("GET", f"count:{key}") or 0)
    numbers = [int(n) for n in client.call("LRANGE", f"list:{key}", 0, -1)]
    assert numbers == list(range(1, len(numbers) + 1)), f"{key}: a list with a hole"
    fields = client.call("HGETALL", f"hash:{key}")
    hashed = max(map(int, fields[1::2]), default=0)
    expected = {n % 50: n for n in range(max(1, hashed - 49), hashed + 1)}
    assert {int(f): int(v) for f, v in zip(fields[::2], fields[1::2])} == expected, f"{key}: a hash with a hole"
    reached = [*parts, count, len(numbers), hashed]
    assert not writer.multi or len(set(reached)) == 1, f"{key}: half a transaction: {reached}"
    assert writer.acknowledged <= min(reached) and max(reached) <= writer.sent, \
        f"{key}: {reached} of {writer.acknowledged} .. {writer.sent}"
    for number in range(min(reached) + 1, max(reached) + 1):  # the next life begins behind what was not acknowledged
        for done, (command, right) in zip(reached, writer.commands(number)):
            if done < number:
                assert client.call(*command) == right
    large = client.call("GET", f"large:{key}")
    number = int(large.split(b",", 1)[0]) if large else 0
    assert large is None or large == large_value(number), f"{key}: a value that nobody wrote"
    assert writer.large_acknowledged <= number <= writer.large_sent, f"{key}: another value than the last"
    return max(reached), number


def start(namespace, name, fsync, workers):
    (namespace.folder / "cache").mkdir(exist_ok=True)
    more = CACHE.format(fsync=fsync, folder=namespace.folder, workers=workers)
    return Millrace(namespace, name=name, more=more)


def log_of(millrace):
    return millrace.log_path.read_text(errors="replace")


def killed_at_random_points_loses_nothing_acknowledged(namespace, _):
    note(f"seed {SEED}")
    chance, end = random.Random(SEED), time.monotonic() + SECONDS
    reached = [(0, 0)] * WRITERS
    millrace = start(namespace, "crash", "always", 2)
    try:
        multi = knows_multi()
        note("half of the writers use MULTI" if multi else "MULTI is not there: single commands only")
        for number in range(ROUNDS):
            writers = [Writer(f"w{i}", *reached[i], multi and i % 2 == 1, chance.choice((1, 4, 16)), chance.random()) for i in range(WRITERS)]
            for writer in writers:
                writer.start()
            time.sleep(chance.uniform(0.2, 1.5))  # the point at which it is killed
            millrace.kill()
            for writer in writers:
                writer.disconnect()
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
        note(f"{sum(count for count, _ in reached)} transactions, {rewrites} rewrites, "
             f"{len(re.findall('torn at', log_of(millrace)))} torn ends")
        assert sum(count for count, _ in reached) > 100
    finally:
        millrace.kill()


def torn_end_is_cut_with_a_message(namespace, _):
    log = sorted((namespace.folder / "cache").glob("cache.*.log"))[-1]
    size = log.stat().st_size
    with open(log, "ab") as file:
        file.write(os.urandom(37))
    millrace = start(namespace, "torn", "always", 2)
    try:
        said = f"{log.name}: torn at offset {size}: 37 bytes cut, kept in {log.name}.torn"
        assert said in log_of(millrace), log_of(millrace)
        client = Client()
        assert client.call("PING") == "PONG"
        client.close()
        assert millrace.stop() == 0
    finally:
        millrace.kill()


def other_number_of_workers_reads_the_same_log(namespace, _):
    millrace = start(namespace, "one", "everysec", 1)
    try:
        client = Client()
        for i in range(WRITERS):
            assert client.call("LLEN", f"list:w{i}") == int(client.call("GET", f"count:w{i}"))
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
    result = subprocess.run([MILLRACE, "run", namespace.folder / "one.yaml"], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, errors="replace", timeout=30)
    assert result.returncode != 0
    said = rf"{re.escape(name.name)} is damaged at offset \d+; not started. `log_repair: truncate`"
    assert re.search(said, result.stderr), result.stderr


if __name__ == "__main__":
    main(killed_at_random_points_loses_nothing_acknowledged, torn_end_is_cut_with_a_message,
         other_number_of_workers_reads_the_same_log, damage_in_the_middle_refuses_to_start, millrace=False)
