#!/usr/bin/env python3
"""Random commands, the same ones to Millrace and to Debian's redis-server and memcached, replies and state compared.

    cache_differential.py MILLRACE [--seed N] [--rounds N] [--keep-going] [--only TEXT] [--workers N] [--history N]

Every round has a seed of its own, which is printed when it fails; `--seed N --rounds 1` replays it. With --keep-going all
differences are listed, one of each command and kind, instead of those of the first round that has any.
"""
import argparse
import random
import sys

from cache_commands import as_encoding, as_pairs, as_set, exact, normal, random_block
from cache_lib import MEMCACHED, REDIS, Resp, cache_service, memcached_server, redis_server
from cache_memcached_commands import MemcachedClient, random_memcached_batch
from lib import main, note

ROUNDS, BATCHES, BATCH = 24, 12, 25
DATABASES = (0, 1, 2, 3, 15)
TTL_TOLERANCE_MS = 3000

parser = argparse.ArgumentParser()
parser.add_argument("millrace", nargs="?")
parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
parser.add_argument("--rounds", type=int, default=ROUNDS)
parser.add_argument("--batches", type=int, default=BATCHES)
parser.add_argument("--workers", type=int, default=1, help="SCAN of several is a walk, and is left out")
parser.add_argument("--only", default="", help="tests whose names have this in them")
parser.add_argument("--keep-going", action="store_true")
parser.add_argument("--history", type=int, default=12)
options = parser.parse_args()
servers = {}


def server(namespace, name):
    """Debian's, started when it is first asked for."""
    if name not in servers:
        servers[name] = {"redis": redis_server, "memcached": memcached_server}[name](namespace)
    return servers[name]


def text(command):
    return " ".join(repr(word)[1:] if len(word) < 100 else f"<{len(word)} bytes {word[:20]}>" for word in command[:24]) + \
        (f" ... {len(command)} words" if len(command) > 24 else "")


def shown(a, b):
    """Both, long ones from shortly before where they part."""
    a, b = repr(a), repr(b)
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    begin = 0 if at < 300 else at - 60
    return [f"  {who} {f'... [{begin}] ' if begin else ''}{text[begin:begin + 400]}" for who, text in (("ours  ", a), ("theirs", b))]


class Difference(Exception):
    pass


def history_of(command, before):
    """What touched the same keys earlier."""
    keys = {word for word in command[1:] if len(word) < 8}
    return [text(earlier) for earlier in before if keys & set(earlier[1:])][-options.history:]


def described(commands, position):
    """A command; EXEC with what was queued before it."""
    first = position
    if commands[position][0] == [b"EXEC"]:
        while commands[first][0] != [b"MULTI"]:
            first -= 1
    return "\n  ".join(text(command) for command, _ in commands[first:position + 1])


def sorted_before(before):
    """Redis makes a skip list of a sorted set that it sorts, and COPY, RENAME and MOVE carry that to other keys."""
    return any(words[0].upper().startswith(b"SORT") for words in before)


def excused(command, a, b, before):
    """What differs for no fault of ours: the encoding above, and EXPIRE k n GT behind another expiry of n: the clocks of the two servers may
    have gone on by a millisecond between the two commands, or not."""
    words = [word.upper() for word in command]
    if words[:2] == [b"OBJECT", b"ENCODING"]:
        return (a[1], b[1]) == (b"listpack", b"skiplist") and sorted_before(before)
    if words[-1] in (b"GT", b"LT") and b"EXPIRE" in words[0]:
        return any(command[1] in earlier[1:] and command[2] in earlier[1:] for earlier in before)
    return False


def compare_batch(ours, theirs, blocks, before):
    commands = [item for block in blocks for item in block]
    got = ours.pipeline([command for command, _ in commands])
    wanted = theirs.pipeline([command for command, _ in commands])
    for position, ((command, compare), a, b) in enumerate(zip(commands, got, wanted)):
        if normal(a, compare) != normal(b, compare) and not excused(command, a, b, before):
            lines = [described(commands, position), *shown(a, b)]
            raise Difference(command[0].upper().decode(errors="replace"), "\n".join(lines + [f"    after {h}" for h in history_of(command, before)]))
        before.append(command)


CONTENT = {b"string": (["GET"], exact), b"list": (["LRANGE", 0, -1], exact), b"hash": (["HGETALL"], as_pairs),
           b"set": (["SMEMBERS"], as_set), b"zset": (["ZRANGE", 0, -1, "WITHSCORES"], exact)}


def state_of(server):
    """Everything that can be asked about every key."""
    state = {}
    for database in DATABASES:
        server.call("SELECT", database)
        keys = sorted(server.value("KEYS", "*"))
        kinds = server.pipeline([["TYPE", key] for key in keys])
        ttls = server.pipeline([["PTTL", key] for key in keys])
        encodings = server.pipeline([["OBJECT", "ENCODING", key] for key in keys])
        for key, kind, ttl, encoding in zip(keys, kinds, ttls, encodings):
            (name, *rest), compare = CONTENT[kind[1]]
            content = compare(server.call(name, key, *rest))
            state[database, key] = (kind[1], content, as_encoding(encoding)[1]), ttl[1]
    server.call("SELECT", 0)
    return state


def compare_state(ours, theirs, before):
    a, b = state_of(ours), state_of(theirs)
    if sorted_before(before):
        zsets = {key for key in a.keys() & b.keys() if a[key][0][0] == b[key][0][0] == b"zset"}
        for key in zsets:
            (kind, content, encoding), ttl = a[key]
            if encoding == b"listpack" and b[key][0][2] == b"skiplist":
                a[key] = (kind, content, b"skiplist"), ttl
    for key in sorted(a.keys() | b.keys()):
        mine, real = a.get(key), b.get(key)
        if mine is None or real is None or mine[0] != real[0] or abs(mine[1] - real[1]) > TTL_TOLERANCE_MS:
            what = "key" if mine is None or real is None else "ttl" if mine[0] == real[0] else \
                "encoding" if mine[0][:2] == real[0][:2] else "content"
            lines = [f"state: {what} of {key[1]!r} in database {key[0]}", *shown(mine, real)]
            raise Difference(f"state {what} {real[0][0] if real else ''}", "\n".join(lines + [f"    after {h}" for h in history_of([b"", key[1]], before)]))


def redis_round(seed, protocol):
    """One round from empty to compared; returns how many commands it took."""
    chance, before = random.Random(seed), []
    with Resp(REDIS, protocol=protocol) as ours, Resp(servers["redis"].address, protocol=protocol) as theirs:
        for server in (ours, theirs):
            server.call("FLUSHALL")
        for _ in range(options.batches):
            blocks = [random_block(chance) for _ in range(BATCH)]
            if options.workers > 1:
                blocks = [block for block in blocks if not any(command[0] == b"SCAN" for command, _ in block)]
            compare_batch(ours, theirs, blocks, before)
        compare_state(ours, theirs, before)
    return len(before)


def memcached_round(seed, _):
    chance, done = random.Random(seed), 0
    ours, theirs = MemcachedClient(MEMCACHED), MemcachedClient(servers["memcached"].address)
    try:
        for server in (ours, theirs):
            server.flush()
        before = []
        for _ in range(options.batches):
            for command in random_memcached_batch(chance, BATCH):
                a, b = ours.ask(command), theirs.ask(command)
                if command.words[0] in (b"incr", b"decr", b"ma") and theirs.is_padded(command.key):
                    for server in (ours, theirs):  # memcached may write a shorter number over a longer one, with blanks behind it
                        server.raw(b"delete " + command.key + b"\r\n")
                if a != b:
                    raise Difference(command.words[0].decode(), "\n".join(
                        [str(command), *shown(a, b)] + [f"    after {c}" for c in before if c.key == command.key][-options.history:]))
                before.append(command)
                done += 1
    finally:
        ours.close()
        theirs.close()
    return done


def rounds(function, protocol=2):
    found, done = {}, 0
    for seed in range(options.seed, options.seed + options.rounds):
        try:
            done += function(seed, protocol)
        except Difference as difference:
            name, description = difference.args
            found.setdefault(name, f"seed {seed}: {description}")
            if not options.keep_going:
                break
        except (OSError, EOFError) as error:
            found.setdefault("connection", f"seed {seed}: {error!r}")
            break
    note(f"{done} commands the same, seeds from {options.seed}")
    for description in found.values():
        note(description.replace("\n", "\n# "))
    assert not found, f"differences in {', '.join(found)}; replay with --seed N --rounds 1"


def random_commands_are_answered_as_redis_does(namespace, millrace):
    server(namespace, "redis")
    rounds(redis_round)


def random_commands_are_answered_as_redis_does_in_resp3(namespace, millrace):
    server(namespace, "redis")
    rounds(redis_round, 3)


def random_commands_are_answered_as_memcached_does(namespace, millrace):
    server(namespace, "memcached")
    rounds(memcached_round)


# What COMMAND says of us and of Redis: arity, flags, where the keys are.
def command_table(server):
    table = {}
    for entry in server.value("COMMAND"):
        table[entry[0].decode()] = entry
    return table


OURS_ONLY = set()


def every_command_is_described_as_redis_does(namespace, millrace):
    with Resp(REDIS) as ours, Resp(server(namespace, "redis").address) as theirs:
        mine, real = command_table(ours), command_table(theirs)
    differences = [f"{name}: not a command of Redis 7.0" for name in sorted(mine.keys() - real.keys() - OURS_ONLY)]
    for name in sorted(mine.keys() & real.keys()):
        a, b = mine[name], real[name]
        for what, x, y in (("arity", a[1], b[1]), ("flags", sorted(a[2]), sorted(b[2])), ("keys", a[3:6], b[3:6])):
            if x != y:
                differences.append(f"{name}: {what} {x}, Redis {y}")
    note(f"{len(mine)} commands; of Redis 7.0 we lack {len(real.keys() - mine.keys())}: {' '.join(sorted(real.keys() - mine.keys()))}")
    assert not differences, "\n".join(differences)


def every_command_wants_as_many_arguments_as_in_redis(namespace, millrace):
    """The error text of each command, and of each subcommand, with too few and too many words."""
    differences = []
    with Resp(REDIS) as ours, Resp(server(namespace, "redis").address) as theirs:
        table = command_table(ours)
        names, known = [[name] for name in table], {sub[0] for entry in table.values() for sub in entry[9]}
        for entry in theirs.value("COMMAND"):
            names += [sub[0].split(b"|") for sub in entry[9] if sub and sub[0] in known]
        for name in names:
            for command in ([*name], [*name] + ["x"] * 40):
                if is_dangerous(command):
                    continue
                a, b = ours.call(*command), theirs.call(*command)
                if b[0] == b"-" and b"wrong number of arguments" in b[1] and a != b:
                    differences.append(f"{text([w if isinstance(w, bytes) else w.encode() for w in command])[:60]}: {a}, Redis {b}")
    assert not differences, "\n".join(differences)


def is_dangerous(command):
    """What would end a server, the connection, or its order of replies."""
    name = command[0] if isinstance(command[0], str) else command[0].decode()
    return name in ("shutdown", "quit", "monitor", "sync", "psync", "subscribe", "psubscribe", "ssubscribe", "reset", "debug",
                    "unsubscribe", "punsubscribe", "sunsubscribe", "multi", "hello") or len(command) > 1 and command[1] in (b"reply", b"pause")


sys.argv[1:] = sys.argv[1:2]
tests = [random_commands_are_answered_as_redis_does, random_commands_are_answered_as_redis_does_in_resp3,
         random_commands_are_answered_as_memcached_does, every_command_is_described_as_redis_does,
         every_command_wants_as_many_arguments_as_in_redis]
main(*[test for test in tests if options.only in test.__name__],
     more=cache_service() + f"workers:\n  count: {options.workers}\n")
