#!/usr/bin/env python3
"""Commands that reach every worker, over two of them: CONFIG SET, PUBLISH of long messages, SWAPDB under who waits, SAVE, DEBUG."""
from cache_lib import Resp, cache_service
from lib import main, wait_until

LONG = b"x" * 200_000


def information(client, section):
    text = client.value("INFO", section).decode()
    return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)


def connections(n):
    """As many that both workers have some, but for one time in 2^(n-1)."""
    return [Resp() for _ in range(n)]


def a_parameter_holds_on_every_connection(namespace, millrace):
    with Resp() as client:
        assert client.call("CONFIG", "SET", "hz", 37, "maxmemory", "100mb") == (b"+", b"OK")
    for other in connections(12):
        assert other.value("CONFIG", "GET", "hz") == [b"hz", b"37"]
        other.close()
    with Resp() as client:
        assert information(client, "memory")["maxmemory"] == str(100 << 20)


def a_long_message_reaches_every_subscriber(namespace, millrace):
    subscribers = connections(8)
    for s in subscribers:
        s.call("SUBSCRIBE", "news")
    with Resp() as client:
        assert client.value("PUBLISH", "news", LONG) == len(subscribers)
        for command in ("MULTI",), ("PUBLISH", "news", LONG), ("EXEC",):
            client.call(*command)
    for s in subscribers:
        for _ in range(2):
            assert s.read()[1][2] == (b"$", LONG)
        s.close()


def swapped_databases_wake_who_waits_there(namespace, millrace):
    waiting = connections(8)
    for i, w in enumerate(waiting):
        w.send("BLPOP", f"key{i}", 0)
    with Resp() as client:
        wait_until(lambda: information(client, "clients")["blocked_clients"] == "8", "all wait")
        client.value("SELECT", 3)
        for i in range(len(waiting)):
            client.value("RPUSH", f"key{i}", "v")
        client.value("SWAPDB", 0, 3)
        for w in waiting:
            assert w.read()[1][1] == (b"$", b"v")
            w.close()
        assert information(client, "clients")["blocked_clients"] == "0"


def save_and_sleep_keep_nobody_else_waiting(namespace, millrace):
    with Resp() as client, Resp() as sleeper:
        for i in range(1000):
            client.value("SET", f"saved{i}", i)
        assert client.call("SAVE") == (b"+", b"OK")
        assert information(client, "persistence")["rdb_saves"] == "1"
        sleeper.send("DEBUG", "SLEEP", 1000)
        assert client.value("GET", "saved7") == b"7"
        assert client.call("DEBUG", "SLEEP", 0.01) == (b"+", b"OK")


if __name__ == "__main__":
    main(a_parameter_holds_on_every_connection, a_long_message_reaches_every_subscriber,
         swapped_databases_wake_who_waits_there, save_and_sleep_keep_nobody_else_waiting,
         more=cache_service(durability="snapshot", folder=".") + "workers:\n  count: 2\n")
