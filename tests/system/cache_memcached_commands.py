"""Random commands of memcached's text and meta protocols, and a client that reads each one's whole answer."""
import re
import socket

KEYS = [b"k%d" % i for i in range(8)] + [b"k" * 250, b"k" * 251, b"num1", b"num2", b"num3"]
VALUES = [b"", b"a", b"hello", b"0", b"1", b"99", b"18446744073709551615", b"12ab", b"x" * 1000, b"\x00\xff\n\rz", b"y" * 30000]
FLAGS = [b"0", b"1", b"4294967295"]
TIMES = [b"0", b"100000", b"3000000000", b"-1"]
DELTAS = [b"1", b"5", b"0", b"100", b"18446744073709551615", b"abc", b"-1", b"18446744073709551616"]


class Command:
    def __init__(self, line, data=None, key=None):
        self.line, self.data, self.key = line, data, key
        self.words = line.split() or [b""]

    def bytes(self):
        return self.line + b"\r\n" + (self.data + b"\r\n" if self.data is not None else b"")

    def __str__(self):
        return f"{self.line!r}" + (f" <{len(self.data)} bytes {self.data[:24]!r}>" if self.data is not None else "")


class MemcachedClient:
    """After each command `mn`: what comes before its answer is the whole answer, also of a command that has none."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unique = {}

    def close(self):
        self.socket.close()

    def raw(self, data):
        self.socket.sendall(data + b"mn\r\n")
        answer = b""
        while not answer.endswith(b"MN\r\n"):
            chunk = self.socket.recv(1 << 16)
            if not chunk:
                raise EOFError(f"closed after {answer[-100:]!r}")
            answer += chunk
        return answer[:-4]

    def flush(self):
        assert self.raw(b"flush_all\r\n") == b"OK\r\n"

    def is_padded(self, key):
        return b" \r\n" in self.raw(b"get " + key + b"\r\n") if 0 < len(key) <= 250 else False

    def ask(self, command):
        """The answer, with the numbers in it that each server makes for itself taken out."""
        line = command.bytes()
        if b"UNIQUE" in line:
            found = re.match(rb"VALUE \S+ \d+ \d+ (\d+)", self.raw(b"gets " + command.key + b"\r\n"))
            line = line.replace(b"UNIQUE", found[1] if found else b"1")
        answer = self.raw(line)
        if command.words[0] == b"gets":
            answer = re.sub(rb"(?m)^(VALUE \S+ \d+ \d+) \d+\r$", rb"\1 unique\r", answer)
        if command.words[0][:1] == b"m":
            head, end, rest = answer.partition(b"\r\n")
            head = re.sub(rb" c\d+", b" c#", head)
            head = re.sub(rb" t(\d{3,})", lambda m: b" t~%d" % round(int(m[1]), -2), head)
            answer = head + end + rest
        return answer


def random_memcached_command(chance):
    key = chance.choice(KEYS)
    value = chance.choice(VALUES if len(key) <= 250 else VALUES[:5])  # refused without its data, which is a command then
    kind = chance.randrange(20)
    noreply = b" noreply" if chance.random() < 0.1 else b""
    if kind < 6:
        verb = chance.choice((b"set", b"set", b"set", b"add", b"replace", b"append", b"prepend"))
        return Command(b"%s %s %s %s %d%s" % (verb, key, chance.choice(FLAGS), chance.choice(TIMES), len(value), noreply), value, key)
    if kind < 7:
        unique = chance.choice((b"UNIQUE", b"UNIQUE", b"1"))
        return Command(b"cas %s %s 0 %d %s%s" % (key, chance.choice(FLAGS), len(value), unique, noreply), value, key)
    if kind < 9:
        return Command(b"%s %s" % (chance.choice((b"get", b"gets")), b" ".join(chance.choices(KEYS, k=chance.randrange(1, 4)))), None, key)
    if kind < 10:
        verb = chance.choice((b"gat", b"gat", b"touch"))
        if verb == b"touch":
            return Command(b"touch %s %s%s" % (key, chance.choice(TIMES[:2]), noreply), None, key)
        return Command(b"gat %s %s" % (chance.choice(TIMES[:2]), key), None, key)
    if kind < 12:
        return Command(b"%s %s %s%s" % (chance.choice((b"incr", b"decr")), key, chance.choice(DELTAS), noreply), None, key)
    if kind < 13:
        return Command(b"delete %s%s" % (key, noreply), None, key)
    if kind < 14:
        return chance.choice([Command(line, None, b"") for line in (
            b"verbosity 1", b"nosuch", b"get", b"set k1", b"delete", b"incr k1", b"touch k1", b"delete k1 0", b"gets", b"incr num1 a",
            b"set k1 a 0 1", b"verbosity", b"mg", b"md", b"cas k1 0 0 1", b"gat 0", b"mg " + b"k" * 251 + b" v", b"flush_all abc", b"GET k1")])
    return random_meta(chance, key, value)


def flags_of(chance, table, n):
    return b"".join(b" " + flag for flag in chance.sample(table, min(n, len(table))))


def random_meta(chance, key, value):
    """With a time to set or without `t`: which of the two comes first in memcached depends on more than their order."""
    n = chance.randrange(0, 5)
    times = chance.choice(([b"t"], [b"T100000"], [b"N100000"]))
    verb = chance.choice((b"mg", b"mg", b"ms", b"ms", b"md", b"ma", b"me"))
    common = [b"k", b"Oabc", b"O1", b"q"]
    if verb == b"mg":
        return Command(b"mg %s%s" % (key, flags_of(chance, common + [b"v", b"v", b"f", b"s", b"c"] + times, n)), None, key)
    if verb == b"ms":
        modes = [b"M" + m for m in (b"S", b"E", b"A", b"P", b"R", b"set", b"add", b"x")]
        table = common + [b"F5", b"T100000", b"T0", b"c", b"CUNIQUE", chance.choice(modes), b"I"]
        return Command(b"ms %s %d%s" % (key, len(value), flags_of(chance, table, n)), value, key)
    if verb == b"md":
        return Command(b"md %s%s" % (key, flags_of(chance, common + [b"CUNIQUE", b"I", b"T100000"], n)), None, key)
    if verb == b"ma":
        table = common + times + [b"v", b"c", b"D5", b"D1", b"J10", b"M" + chance.choice((b"I", b"D", b"incr", b"+", b"-", b"x")), b"CUNIQUE"]
        return Command(b"ma %s%s" % (key, flags_of(chance, table, n)), None, key)
    return Command(b"mg %s v k" % key, None, key)


def random_memcached_batch(chance, n):
    return [random_memcached_command(chance) for _ in range(n)]
