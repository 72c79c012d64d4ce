#!/usr/bin/env python3
"""The JSON reader and writer beside Python's: random values in random spellings, and those with a byte changed. What Python reads
must be read as the same; what it refuses, refused. Usage: json_python.py PATH-OF-JSON-ECHO."""
import json
import os
import random
import subprocess
import sys

SEED = int(os.environ.get("TEST_SEED", random.randrange(1 << 32)))
chance = random.Random(SEED)


def text():
    return "".join(chance.choice(["a", "\"", "\\", "/", "\n", "\x00", "\x1f", "\x7f", "é", "€", "\U0001f600", "\ufffd"])
                   for _ in range(chance.randrange(8)))


def value(depth=0):
    kinds = [text, lambda: None, lambda: True, lambda: False, lambda: chance.randrange(-1 << 60, 1 << 60),
             lambda: chance.choice([0.5, -1.25e-7, 1e300, -0.0])]
    if depth < 5:
        kinds += 2 * [lambda: [value(depth + 1) for _ in range(chance.randrange(4))],
                      lambda: {text() + str(i): value(depth + 1) for i in range(chance.randrange(4))}]
    return chance.choice(kinds)()


def spelled():
    return json.dumps(value(), ensure_ascii=chance.random() < 0.5, indent=chance.choice([None, 1]),
                      separators=chance.choice([None, (" ,\t", "\r\n:")])).encode()


def changed(data):
    at = chance.randrange(len(data) + 1)
    how = chance.randrange(3)
    byte = bytes([chance.choice(b'"\\{}[]:,0-+.eEutf\xed\xa0\x80\xff\x00 ') if chance.random() < 0.8 else chance.randrange(256)])
    return data[:at] + (byte if how else b"") + data[at + (how != 1):]


def refuse(_):
    raise ValueError


def surrogate(v):
    if isinstance(v, str):
        return any("\ud800" <= c <= "\udfff" for c in v)
    if isinstance(v, list):
        return any(map(surrogate, v))
    return isinstance(v, dict) and any(surrogate(k) or surrogate(x) for k, x in v.items())


def theirs(data):
    """Python's reading; NaN, lone surrogates and marks are no JSON of ours."""
    v = json.loads(data.decode("utf-8", "strict"), parse_constant=refuse)
    if surrogate(v):
        raise ValueError
    return v


def main():
    cases = [spelled() for _ in range(1500)]
    cases += [changed(c) for c in cases for _ in range(3)]
    cases = [c for c in cases if c]
    answer = subprocess.run([sys.argv[1]], input="".join(c.hex() + "\n" for c in cases).encode(), capture_output=True, timeout=60,
                            check=True)
    got = answer.stdout.split(b"\n")[:-1]
    if len(got) != len(cases):
        sys.exit(f"{len(cases)} texts in, {len(got)} out")
    valid = 0
    for case, line in zip(cases, got):
        try:
            expected = theirs(case)
        except (ValueError, RecursionError):
            expected = refuse
        mine = refuse if line == b"invalid" else json.loads(line.decode())
        valid += mine is not refuse
        if mine is refuse or expected is refuse:
            same = mine is expected
        else:
            same = json.dumps(mine) == json.dumps(expected)
        if not same:
            sys.exit(f"{case!r}: Millrace says {line!r}, Python {expected!r}; TEST_SEED={SEED} {' '.join(sys.argv)}")
    print(f"{valid} texts read the same, {len(cases) - valid} refused by both")


main()
