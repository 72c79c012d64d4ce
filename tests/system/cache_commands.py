"""Random commands for cache_differential.py: one template a line, values from tables of edges.

A template is words. Upper case stands for itself; lower case names a table of values below; [A|B] is one of these or nothing,
(A|B) one of these, {x y}+ the group once to four times. After it stands how replies compare (see COMPARE).
"""
import re

BIG = [b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808", b"-9223372036854775809", b"2147483648",
       b"4294967296", b"18446744073709551616"]
NOT_NUMBERS = [b"", b"abc", b"1.5", b" 1", b"1 ", b"+1", b"01", b"-0", b"1e2", b"0x10", b"\x001", b"nan"]
LONG = b"a long value which no small encoding takes, for it has more than sixty-four bytes"
VALUES = [b"", b"a", b"abc", b"0", b"1", b"-1", b"12345", b"1.5", b"3.0e3", b"nan", b"inf", b"\xff\x00\r\n\t", b"h\xc3\xa9llo", LONG,
          b"x" * 44, b"y" * 45, b"z" * 5000, b"10", b"100", b"hello world"] + BIG
MEMBERS = [b"m%d" % i for i in range(12)] + [b"", b"1", b"2", b"-7", b"300", b"70000", b"5000000000", b"01", b"\xff\x00", LONG, b"a", b"b",
                                             b"abc", b"ABC"]
INTEGERS = [b"0", b"1", b"-1", b"2", b"-2", b"3", b"-3", b"5", b"10", b"-10", b"100", b"-100"]
FLOATS = [b"0", b"1", b"-1", b"1.5", b"-2.25", b"0.1", b"3.0", b"1e3", b"1e300", b"-1e300", b"1e-300", b"1.7976931348623157e308", b"100",
          b"12345678.9", b"0.30000000000000004", b"9007199254740993"]
ODD_FLOATS = [b"inf", b"-inf", b"+inf", b"nan", b"-nan", b"abc", b"", b" 1", b"1 ", b"1e400", b"0x10", b"-0", b".5", b"5.", b"1e", b"infinity",
              b"1e-400"]
FUTURE_S = [b"33177117420", b"4102444800", b"1999999999999"]
# By type; y: sorted sets whose scores are all 0, for BYLEX has no meaning on others. No other command reaches those.
KEYS = {kind: [f"{kind}{i}".encode() for i in range(1, 5)] for kind in "slhtzb"}
LEX_KEYS = [b"y1", b"y2", b"y3"]
ALL_KEYS = [key for keys in KEYS.values() for key in keys] + [b"", b"missing", b"\x00key\r\n"]

# name: (usual values, odd values); the odd ones come once in ten.
TABLES = {
    "v": (VALUES, None), "m": (MEMBERS, None), "i": (INTEGERS, BIG + NOT_NUMBERS), "f": (FLOATS, ODD_FLOATS),
    "n": ([b"0", b"1", b"2", b"3", b"5", b"10"], [b"-1", b"1000000", b"100"] + BIG + NOT_NUMBERS),
    "r": ([b"0", b"1", b"2", b"5", b"-3", b"-10", b"1000"], [b"abc", b"", b"1.5", b"9223372036854775808", b"-9223372036854775808"]),
    "s": ([b"0", b"1", b"2", b"3", b"-1", b"1.5", b"-2.5", b"10", b"100", b"1e3", b"3.0", b"0.1"], FLOATS + ODD_FLOATS),
    "q": ([b"-inf", b"+inf", b"0", b"1", b"(1", b"2", b"(3", b"10", b"-5", b"(1.5", b"100"], [b"(inf", b"nan", b"(nan", b"abc", b"", b"(", b"((1", b"1e400"]),
    "x": ([b"-", b"+", b"[a", b"(a", b"[m1", b"(m5", b"[m9", b"[", b"(", b"[b"], [b"a", b"", b"[\x00", b"+a", b"--", b"("]),
    "p": ([b"*", b"m*", b"?", b"[a-m]*", b"*1", b"m[0-9]", b"m[^1-5]", b"\\*", b"s?"], [b"", b"[", b"[a", b"\\", b"**m**", b"[z-a]*", b"m\\"]),
    "e": ([b"100000", b"200000", b"5000000"], [b"0", b"-1", b"9223372036854775", b"99999999999999"] + BIG + NOT_NUMBERS),
    "T": (FUTURE_S, [b"1", b"0", b"-5", b"9223372036854775"] + BIG + NOT_NUMBERS),
    "P": ([t + b"000" for t in FUTURE_S], [b"1", b"0", b"-5"] + BIG + NOT_NUMBERS),
    "o": ([b"0", b"1", b"7", b"8", b"9", b"31", b"64", b"100", b"200", b"4000"], [b"-1", b"4294967296", b"9223372036854775807", b"abc", b"", b"1.5"]),
    "w": ([b"0", b"1"], [b"2", b"-1", b"abc"]),
    "y": ([b"u8", b"i8", b"u1", b"i16", b"u32", b"i64", b"u63", b"i5", b"u7"], [b"u64", b"i65", b"u0", b"x8", b"i", b"", b"u-1"]),
    "O": ([b"0", b"8", b"#0", b"#1", b"#3", b"100", b"13"], [b"-1", b"#-1", b"abc", b"#", b"4294967296"]),
    "d": ([b"0", b"1", b"2"], [b"15", b"16", b"-1", b"abc"]),
    "K": (ALL_KEYS, None), "c": ([b"0", b"1", b"2", b"3"], BIG + NOT_NUMBERS),
    "B": ([b"0.01"], [b"-1", b"abc", b"nan", b"1e400", b""]),
}

# Flags: ! is not mutated, for another value could take for ever, or a memory of gigabytes, or chance.
TEMPLATES = {
    "s": """
        SET k v [EX e|PX e|EXAT T|PXAT P|KEEPTTL] [NX|XX] [GET]
        SET k v
        SETNX k v
        SETEX k e v
        PSETEX k e v
        GET k
        GETDEL k
        GETEX k [EX e|PX e|EXAT T|PXAT P|PERSIST]
        GETSET k v
        GETRANGE k i i
        SUBSTR k i i
        SETRANGE k o v !
        APPEND k v
        STRLEN k
        INCR k
        DECR k
        INCRBY k i
        DECRBY k i
        INCRBYFLOAT k f
        MGET {K}+
        MSET {k v}+
        MSETNX {k v}+
        LCS k k [LEN|IDX] [MINMATCHLEN n] [WITHMATCHLEN]
        SET k i
        SET k f""",
    "b": """
        SETBIT k o w !
        GETBIT k o
        BITCOUNT k [i i [BYTE|BIT]]
        BITPOS k w [i [i [BYTE|BIT]]]
        BITOP (AND|OR|XOR|NOT) k {k}+
        BITOP NOT k k
        BITFIELD k [OVERFLOW (WRAP|SAT|FAIL|abc)] (GET y O|SET y O i|INCRBY y O i) [GET y O|SET y O i|INCRBY y O i] !
        BITFIELD_RO k {GET y O}+
        SET k v""",
    "l": """
        LPUSH k {v}+
        RPUSH k {v}+
        LPUSHX k {v}+
        RPUSHX k {v}+
        LPOP k [n]
        RPOP k [n]
        LLEN k
        LRANGE k i i
        LRANGE k 0 -1
        LINDEX k i
        LSET k i v
        LINSERT k (BEFORE|AFTER) v v
        LREM k i v
        LTRIM k i i
        LPOS k v [RANK i] [COUNT n] [MAXLEN n]
        LMOVE k k (LEFT|RIGHT) (LEFT|RIGHT)
        RPOPLPUSH k k
        LMPOP 2 k k (LEFT|RIGHT) [COUNT n]
        LMPOP n k (LEFT|RIGHT) [COUNT n]
        BLPOP k k B !
        BRPOP k B !
        BLMOVE k k (LEFT|RIGHT) (LEFT|RIGHT) B !
        BRPOPLPUSH k k B !
        BLMPOP B 1 k (LEFT|RIGHT) [COUNT n] !
        SORT k [LIMIT i i] [GET (#|*|s*)] [ASC|DESC] ALPHA
        SORT k BY nosort [GET #] set
        SORT k [LIMIT i i] [ASC|DESC] [ALPHA] [STORE k]
        SORT_RO k [DESC] ALPHA""",
    "h": """
        HSET k {m v}+
        HMSET k {m v}+
        HSETNX k m v
        HGET k m
        HMGET k {m}+
        HGETALL k pairs
        HKEYS k set
        HVALS k set
        HLEN k
        HSTRLEN k m
        HEXISTS k m
        HDEL k {m}+
        HINCRBY k m i
        HINCRBYFLOAT k m f
        HRANDFIELD k [r [WITHVALUES]] shape !
        HSCAN k 0 MATCH p COUNT 100000 scanpairs !""",
    "t": """
        SADD k {m}+
        SREM k {m}+
        SISMEMBER k m
        SMISMEMBER k {m}+
        SMEMBERS k set
        SCARD k
        SMOVE k k m
        SPOP k 100000 set !
        SRANDMEMBER k [r] shape !
        SINTER {k}+ set
        SUNION {k}+ set
        SDIFF {k}+ set
        SINTERSTORE k {k}+
        SUNIONSTORE k {k}+
        SDIFFSTORE k {k}+
        SINTERCARD 2 k k [LIMIT n]
        SINTERCARD n k k
        SSCAN k 0 MATCH p COUNT 100000 scan !
        SORT k ALPHA [LIMIT i i] [DESC]""",
    "z": """
        ZADD k [NX|XX] [GT|LT] [CH] [INCR] {s m}+
        ZADD k {s m}+
        ZINCRBY k s m
        ZREM k {m}+
        ZCARD k
        ZSCORE k m
        ZMSCORE k {m}+
        ZRANK k m
        ZREVRANK k m
        ZCOUNT k q q
        ZRANGE k i i [REV] [WITHSCORES]
        ZRANGE k q q BYSCORE [REV] [LIMIT i i] [WITHSCORES]
        ZRANGE k 0 -1 WITHSCORES
        ZREVRANGE k i i [WITHSCORES]
        ZRANGEBYSCORE k q q [WITHSCORES] [LIMIT i i]
        ZREVRANGEBYSCORE k q q [WITHSCORES] [LIMIT i i]
        ZRANGESTORE k k i i [REV]
        ZRANGESTORE k k q q BYSCORE [REV] [LIMIT i i]
        ZREMRANGEBYRANK k i i
        ZREMRANGEBYSCORE k q q
        ZPOPMIN k [n]
        ZPOPMAX k [n]
        BZPOPMIN k k B !
        BZPOPMAX k B !
        ZMPOP 1 k (MIN|MAX) [COUNT n]
        BZMPOP B 1 k (MIN|MAX) [COUNT n] !
        ZUNION 2 k k [WEIGHTS s s] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]
        ZINTER 2 k k [WEIGHTS s s] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]
        ZDIFF 2 k k [WITHSCORES]
        ZUNIONSTORE k 2 k k [WEIGHTS s s] [AGGREGATE (SUM|MIN|MAX)]
        ZINTERSTORE k 2 k k [WEIGHTS s s] [AGGREGATE (SUM|MIN|MAX)]
        ZDIFFSTORE k 2 k k
        ZUNIONSTORE k n k k
        ZINTERCARD 2 k k [LIMIT n]
        ZRANDMEMBER k [r [WITHSCORES]] shape !
        ZSCAN k 0 MATCH p COUNT 100000 scanpairs !""",
    "y": """
        ZADD k {0 m}+ !
        ZREM k {m}+
        ZLEXCOUNT k x x
        ZRANGE k x x BYLEX [REV] [LIMIT i i]
        ZRANGEBYLEX k x x [LIMIT i i]
        ZREVRANGEBYLEX k x x [LIMIT i i]
        ZREMRANGEBYLEX k x x""",
    "g": """
        DEL {K}+
        DEL K
        UNLINK {K}+
        EXISTS {K}+
        TOUCH {K}+
        TYPE K
        EXPIRE K e [NX|XX|GT|LT]
        PEXPIRE K e [NX|XX|GT|LT]
        EXPIREAT K T [NX|XX|GT|LT]
        PEXPIREAT K P [NX|XX|GT|LT]
        TTL K near
        PTTL K near
        EXPIRETIME K near
        PEXPIRETIME K near
        PERSIST K
        RENAME K K
        RENAMENX K K
        COPY K K [DB d] [REPLACE]
        MOVE K d
        OBJECT ENCODING K encoding
        OBJECT REFCOUNT K shape
        DBSIZE
        KEYS p set
        ECHO v
        PING [v]
        SCAN 0 COUNT 100000 [MATCH p] [TYPE (string|list|hash|set|zset|abc)] scan !
        NOSUCHCOMMAND v v
        GET
        SET K
        OBJECT ABC
        OBJECT HELP""",
}


class Template:
    def __init__(self, kind, line):
        words = re.findall(r"\[|\]|\(|\)|\||\{|\}\+|[^\s\[\]()|{}]+", line)
        self.kind, self.mutable, self.compare = kind, True, "exact"
        if words[-1] == "!":
            words.pop()
            self.mutable = False
        if words[-1] in COMPARE:
            self.compare = words.pop()
        self.words, self.name = words, words[0]

    def make(self, random):
        position = 0

        def sequence(closers):
            nonlocal position
            parts = []
            while position < len(self.words) and self.words[position] not in closers:
                word = self.words[position]
                position += 1
                if word in ("[", "("):
                    options = [sequence({"|", "]", ")"})]
                    while self.words[position] == "|":
                        position += 1
                        options.append(sequence({"|", "]", ")"}))
                    position += 1
                    if word == "(" or random.random() < 0.5:
                        parts += random.choice(options)
                elif word == "{":
                    begin = position
                    for _ in range(random.choice((1, 1, 2, 3, 4))):
                        position = begin
                        parts += sequence({"}+"})
                    position += 1
                else:
                    parts.append(self.value(word, random) if word == "k" or word in TABLES else word.encode())
            return parts

        return sequence(())

    def value(self, name, random):
        if name == "k":
            if self.kind == "y":
                return random.choice(LEX_KEYS if random.random() < 0.9 else KEYS["s"])
            return random.choice(ALL_KEYS if random.random() < 0.12 else KEYS.get(self.kind, ALL_KEYS))
        usual, odd = TABLES[name]
        return random.choice(odd if odd and random.random() < 0.1 else usual)


def mutated(command, random):
    """One argument more, less or strange: what syntax errors are made of."""
    command, how = list(command), random.randrange(4)
    if how == 0 and len(command) > 1:
        command.pop()
    elif how == 1:
        command.append(random.choice(command[1:] or [b"x"]))
    elif how == 2 and len(command) > 2:
        command[random.randrange(2, len(command))] = random.choice(NOT_NUMBERS + BIG[:4] + [b"\x00", b"*"])
    else:
        command.append(b"FOO")
    return command


def grow(kind, random):
    """Makes a collection larger than the small encodings take."""
    key, n = random.choice(KEYS[kind]), random.choice((130, 520, 700))
    items = random.sample(range(5000), n)
    if kind == "h":
        return [b"HSET", key] + [x for i in items for x in (b"m%d" % i, b"%d" % i)]
    if kind == "z":
        return [b"ZADD", key] + [x for i in items for x in (b"%d" % (i % 50), b"m%d" % i)]
    if kind == "t":
        return [b"SADD", key] + [random.choice((b"%d", b"m%d")) % i for i in items]
    if kind == "l":
        return [b"RPUSH", key] + [b"v%d" % i for i in items]
    return [b"SETRANGE", key, b"20000", b"x"]


# -- how replies compare ---------------------------------------------------------------------------------------------------------

def freeze(reply):
    """As a value that compares. Whether a score of zero that was computed keeps its sign depends in Redis on the encoding that the
    set had on the way, which is not ours."""
    kind, value = reply
    if value == b"-0":
        return kind, b"0"
    return (kind, tuple(freeze(item) for item in value)) if isinstance(value, list) else (kind, value)


def exact(reply):
    kind, value = freeze(reply)
    return (kind, tuple(sorted(value, key=repr))) if kind == b"~" and value else (kind, value)


def as_set(reply):
    kind, value = freeze(reply)
    return (kind, tuple(sorted(value, key=repr))) if isinstance(value, tuple) else (kind, value)


def as_pairs(reply):
    kind, value = freeze(reply)
    return (kind, tuple(sorted(zip(value[::2], value[1::2]), key=repr))) if isinstance(value, tuple) else (kind, value)


def as_scan(each):
    def compare(reply):
        kind, value = reply
        return (kind, value[0], each(value[1])) if isinstance(value, list) and len(value) == 2 else freeze(reply)
    return compare


def as_shape(reply):
    """What chance cannot change: the types, how many, an error's text."""
    kind, value = reply
    if isinstance(value, list):
        return kind, tuple(as_shape(item) for item in value)
    return (kind, value) if kind == b"-" else (kind, value is None)


def as_near(reply):
    kind, value = reply
    return (kind, Near(value)) if isinstance(value, int) and value > 0 else reply


def as_encoding(reply):
    """A string that was changed in place may be `raw` in Redis where it would have a smaller encoding if it were set."""
    return reply if reply[1] not in (b"int", b"embstr", b"raw") else (b"$", b"of a string")


class Near:
    """Seconds or milliseconds that two servers took at slightly different times."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return isinstance(other, Near) and abs(self.value - other.value) < 3000

    def __repr__(self):
        return f"about {self.value}"


COMPARE = {"exact": exact, "set": as_set, "pairs": as_pairs, "scan": as_scan(as_set), "scanpairs": as_scan(as_pairs),
           "shape": as_shape, "near": as_near, "encoding": as_encoding}
ALL = {kind: [Template(kind, line.strip()) for line in text.strip().split("\n")] for kind, text in TEMPLATES.items()}


def random_command(random):
    """A command and how its replies compare."""
    kind = random.choice("sslhtzzybgg")
    if kind not in "gy" and random.random() < 0.01:
        return grow(kind, random), "exact"
    template = random.choice(ALL[kind])
    if "B" in template.words and random.random() < 0.8:  # they wait where there is nothing, on both sides
        return random_command(random)
    command = template.make(random)
    if template.mutable and random.random() < 0.06:
        command = mutated(command, random)
    return command, template.compare


def random_block(random):
    """Commands with their comparisons; sometimes a whole transaction."""
    if random.random() > 0.02:
        return [random_command(random)]
    inside = [random_command(random) for _ in range(random.randrange(1, 8))]
    watch = [([b"WATCH", random.choice(ALL_KEYS)], "exact")] if random.random() < 0.3 else []
    return watch + [([b"MULTI"], "exact")] + [(command, "exact") for command, _ in inside] + \
        [([random.choice((b"EXEC", b"EXEC", b"EXEC", b"DISCARD"))], [compare for _, compare in inside])]


def normal(reply, compare):
    """What must be the same on both sides."""
    if isinstance(compare, str):
        return COMPARE[compare](reply)
    kind, value = reply
    if not isinstance(value, list):
        return reply
    # Only what was queued has a reply: with errors in between EXEC gives none at all.
    return kind, tuple(COMPARE[c](item) for c, item in zip(compare, value)), len(value)
