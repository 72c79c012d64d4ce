#!/usr/bin/env python3
"""The codec of the queue beside pika's: each method of pika's specification with random fields, content headers with random
properties and tables, bodies and heartbeats. What pika writes is parsed and emitted again by queue_echo and must be the same
bytes; pika must then read it as what it wrote. Usage: queue_pika.py PATH-OF-QUEUE-ECHO. Skipped without pika."""
import datetime
import decimal
import os
import random
import subprocess
import sys

try:
    import pika
except ImportError:
    sys.path.append("/usr/lib/python3/dist-packages")  # where Debian's python3-pika is for another python3
    try:
        import pika
    except ImportError as error:
        print(f"skipped: python3-pika: {error}")
        sys.exit(77)
from pika import frame, spec

SEED = int(os.environ.get("TEST_SEED", random.randrange(1 << 32)))
chance = random.Random(SEED)

# Methods that pika has and Millrace does not: realms of AMQP 0-8, which RabbitMQ's clients do not send.
UNKNOWN = {"Access.Request", "Access.RequestOk"}
TABLES = {"server_properties", "client_properties", "arguments"}
LONG_STRINGS = {("Connection.Start", "mechanisms"), ("Connection.Start", "locales"), ("Connection.StartOk", "response"),
                ("Connection.Secure", "challenge"), ("Connection.SecureOk", "response"), ("Channel.OpenOk", "channel_id"),
                ("Connection.UpdateSecret", "new_secret")}
INTEGERS = {"version_major": 8, "version_minor": 8, "channel_max": 16, "frame_max": 32, "heartbeat": 16, "reply_code": 16,
            "class_id": 16, "method_id": 16, "ticket": 16, "message_count": 32, "consumer_count": 32, "prefetch_size": 32,
            "prefetch_count": 16, "delivery_tag": 64}
BITS = {"insist", "active", "passive", "durable", "auto_delete", "internal", "nowait", "if_unused", "if_empty", "exclusive",
        "global_qos", "no_local", "no_ack", "mandatory", "immediate", "redelivered", "multiple", "requeue"}


def text(longest):
    return "".join(chance.choice("abcXYZ 09é€") for _ in range(chance.randrange(longest // 3 + 1)))


def value(depth):
    kinds = [lambda: text(90), lambda: bytes(chance.randrange(256) for _ in range(chance.randrange(20))),
             lambda: chance.random() < 0.5, lambda: chance.randrange(-1 << 31, 1 << 31), lambda: 1 << 40,
             lambda: decimal.Decimal(chance.randrange(-1 << 20, 1 << 20)) / 100, lambda: None,
             lambda: datetime.datetime(2020, 1, 1) + datetime.timedelta(seconds=chance.randrange(1 << 28))]
    if depth < 5:
        kinds += [lambda: table(depth + 1), lambda: [value(depth + 1) for _ in range(chance.randrange(4))]]
    return chance.choice(kinds)()


def table(depth=0):
    return {text(60): value(depth) for _ in range(chance.randrange(5))}


def field(method, name):
    if name in TABLES:
        return table()
    if name in BITS:
        return chance.random() < 0.5
    if name in INTEGERS:
        return chance.randrange(1 << INTEGERS[name])
    if (method, name) in LONG_STRINGS:
        return text(3000)
    return text(255)


def methods():
    for cls in spec.methods.values():
        if cls.NAME in UNKNOWN:
            continue
        for _ in range(20):
            m = cls()
            for name in vars(m):
                setattr(m, name, field(cls.NAME, name))
            yield cls.NAME, frame.Method(1, m)


def headers():
    texts = ("content_type", "content_encoding", "correlation_id", "reply_to", "expiration", "message_id", "type", "user_id",
             "app_id", "cluster_id")
    for _ in range(500):
        kinds = {name: lambda: text(255) for name in texts}
        kinds.update(headers=table, delivery_mode=lambda: chance.randrange(256), priority=lambda: chance.randrange(256),
                     timestamp=lambda: chance.randrange(1 << 63))
        chosen = {name: make() for name, make in kinds.items() if chance.random() < 0.5}
        yield "header", frame.Header(1, chance.randrange(1 << 63), spec.BasicProperties(**chosen))


def main():
    cases = list(methods()) + list(headers())
    cases += [("body", frame.Body(1, os.urandom(n))) for n in (0, 1, 5000)] + [("heartbeat", frame.Heartbeat())]
    wires = [c[1].marshal() for c in cases]
    answer = subprocess.run([sys.argv[1]], input="\n".join(w.hex() for w in wires) + "\n", capture_output=True, text=True,
                            timeout=60, check=True)
    got = [bytes.fromhex(line) for line in answer.stdout.split("\n")[:-1]]
    if len(got) != len(wires):
        sys.exit(f"{len(wires)} frames in, {len(got)} out")
    for (name, written), wire, back in zip(cases, wires, got):
        if back != wire:
            sys.exit(f"{name}: pika writes {wire.hex()}, Millrace {back.hex()}; TEST_SEED={SEED} {' '.join(sys.argv)}")
        frame.decode_frame(back)
    seen = {c[0] for c in cases}
    print(f"{len(cases)} frames of {len(seen)} kinds are the same in pika {pika.__version__} and here")


main()
