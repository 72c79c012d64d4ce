#!/usr/bin/env python3
"""Clients as people use them, unchanged: redis-cli, redis-benchmark, redis-py, hiredis, ioredis, memccapable and its kin."""
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

from cache_lib import Resp, cache_service, encode
from lib import ADDRESS, HERE, MILLRACE, Skip, main, note, run, wait_until

CLI = ["redis-cli", "-h", ADDRESS]
BUILD = MILLRACE.parents[2]


def cli(*words, **options):
    return run(*CLI, *words, **options).stdout


def cli_with_input(text, *words):
    result = subprocess.run([*CLI, *words], input=text, capture_output=True, timeout=60)
    assert result.returncode == 0, result
    return result.stdout


def redis_cli_sets_gets_and_formats(namespace, millrace):
    assert cli("PING") == "PONG\n"
    assert cli("SET", "greeting", "hello world", "EX", 1000) == "OK\n"
    assert cli("GET", "greeting") == "hello world\n"
    assert cli("--no-raw", "GET", "missing") == "(nil)\n"
    assert cli("RPUSH", "list", 1, 2, 3) == "3\n"
    assert cli("--no-raw", "LRANGE", "list", 0, -1) == '1) "1"\n2) "2"\n3) "3"\n'
    assert cli("--csv", "LRANGE", "list", 0, -1) == '"1","2","3"\n'
    assert cli("--no-raw", "INCR", "greeting") == "(error) ERR value is not an integer or out of range\n"
    assert cli_with_input(b"\x00binary\r\n\xff", "-x", "SET", "binary") == b"OK\n"
    assert cli("--no-raw", "GET", "binary") == '"\\x00binary\\r\\n\\xff"\n'
    assert cli_with_input(b"MULTI\nINCR n\nINCR n\nEXEC\nSELECT 3\nDBSIZE\n").split() == b"OK QUEUED QUEUED 1 2 OK 0".split()
    assert "redis_version:" in cli("INFO", "server")


def redis_cli_speaks_resp3(namespace, millrace):
    cli("HSET", "map", "one", 1, "two", 2)
    assert cli("-3", "--no-raw", "HGETALL", "map") == '1# "one" => "1"\n2# "two" => "2"\n'
    cli("ZADD", "scores", "1.5", "a")
    assert cli("-3", "--no-raw", "ZSCORE", "scores", "a") == "(double) 1.5\n"
    assert cli("-3", "--no-raw", "GET", "missing") == "(nil)\n"


def redis_cli_inserts_en_masse_and_scans(namespace, millrace):
    cli("FLUSHALL")
    count = 20000
    # Its ECHO at the end tells it that everything was answered.
    text = b"".join(encode(["SET", f"mass:{i}", i]) for i in range(count))
    assert b"errors: 0, replies: %d" % count in cli_with_input(text, "--pipe")
    found = cli("--scan", "--pattern", "mass:*").split()
    assert len(found) == len(set(found)) == count == int(cli("DBSIZE"))
    assert set(found) == {f"mass:{i}" for i in range(count)}
    assert cli("--scan", "--pattern", "mass:1999?").split().__len__() == 10


def redis_cli_finds_big_keys(namespace, millrace):
    cli("FLUSHALL")
    cli("SET", "str", "x" * 500)
    cli("RPUSH", "lst", *range(50))
    cli("ZADD", "zst", *[word for i in range(70) for word in (i, f"m{i}")])
    out = cli("--bigkeys")
    words = " ".join(out.replace("'", "").replace('"', "").split())
    for line in ("Biggest string found str has 500 bytes", "Biggest list found lst has 50 items", "Biggest zset found zst has 70 members"):
        assert line in words, out
    assert "Biggest" in cli("--memkeys")


def redis_cli_receives_what_is_published(namespace, millrace):
    listener = subprocess.Popen([*CLI, "--csv", "PSUBSCRIBE", "news.*"], stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: cli("PUBLISH", "news.one", "hello") == "1\n", "somebody listens")
        lines = [line for line in (listener.stdout.readline() for _ in range(3)) if not line.startswith("Reading messages")]
        assert lines[0] == '"psubscribe","news.*",1\n', lines
        assert lines[1] == '"pmessage","news.*","news.one","hello"\n', lines
    finally:
        listener.kill()
        listener.wait()
    wait_until(lambda: cli("PUBLISH", "news.one", "hello") == "0\n", "nobody listens")


BENCHMARKS = ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "LPUSH", "RPUSH", "LPOP", "RPOP", "SADD", "HSET", "SPOP", "ZADD", "ZPOPMIN",
              "LPUSH (needed to benchmark LRANGE)", "LRANGE_100 (first 100 elements)", "LRANGE_300 (first 300 elements)",
              "LRANGE_500 (first 500 elements)", "LRANGE_600 (first 600 elements)", "MSET (10 keys)"]


def benchmark(*options):
    out = run("redis-benchmark", "-h", ADDRESS, "--csv", *options, timeout=120).stdout
    rates = {line.split('","')[0].strip('"'): float(line.split('","')[1]) for line in out.splitlines()[1:] if '","' in line}
    assert "rror" not in out and set(rates) == set(BENCHMARKS), out
    note(f"redis-benchmark {' '.join(map(str, options))}: " + ", ".join(f"{name.split()[0]} {rates[name] / 1000:.0f}k/s" for name in BENCHMARKS[2:5]))


def redis_benchmark_runs_all_its_tests(namespace, millrace):
    benchmark("-c", 50, "-n", 2000)


def redis_benchmark_runs_all_its_tests_pipelined(namespace, millrace):
    benchmark("-c", 50, "-n", 8000, "-P", 16, "-r", 1000)


def redis_benchmark_runs_with_threads(namespace, millrace):
    benchmark("-c", 50, "-n", 2000, "-P", 4, "--threads", 2)


def redis_py():
    sys.path.append("/usr/lib/python3/dist-packages")  # Debian's, whichever interpreter runs this
    try:
        import redis
    except ImportError as error:
        raise Skip(f"python3-redis: {error}")
    return redis


def redis_py_pipelines_and_transactions(namespace, millrace):
    redis = redis_py()
    with redis.Redis(ADDRESS, socket_timeout=20) as client:
        client.flushall()
        with client.pipeline(transaction=False) as pipeline:
            for i in range(1000):
                pipeline.set(f"p{i}", i)
            assert pipeline.execute() == [True] * 1000
        with client.pipeline() as pipeline:
            assert pipeline.incr("n").hset("h", mapping={"a": 1}).lpush("l", "x").zadd("z", {"m": 1.5}).execute() == [1, 1, 1, 1]
        with client.pipeline() as pipeline:
            pipeline.watch("n")
            client.set("n", 5)  # another connection's
            pipeline.multi()
            pipeline.incr("n")
            try:
                pipeline.execute()
                raise AssertionError("a watched key changed, and EXEC went on")
            except redis.WatchError:
                pass

        def increased(pipeline):
            n = int(pipeline.get("n"))
            pipeline.multi()
            pipeline.set("n", n + 1)

        assert client.transaction(increased, "n") == [True]
        assert client.get("n") == b"6"
        try:
            client.incr("l")
            raise AssertionError("INCR of a list")
        except redis.ResponseError as error:
            assert "WRONGTYPE" in repr(error) or "wrong kind" in str(error), error


def redis_py_iterates_and_reads_every_type(namespace, millrace):
    redis = redis_py()
    with redis.Redis(ADDRESS, decode_responses=True, socket_timeout=20) as client:
        client.flushall()
        client.mset({f"key:{i}": i for i in range(500)})
        assert set(client.scan_iter("key:*", count=37)) == {f"key:{i}" for i in range(500)}
        client.hset("h", mapping={f"f{i}": str(i) for i in range(1000)})
        assert dict(client.hscan_iter("h", count=10)) == client.hgetall("h") == {f"f{i}": str(i) for i in range(1000)}
        client.sadd("s", *range(1000), "x")
        assert set(client.sscan_iter("s")) == client.smembers("s") == {*map(str, range(1000)), "x"}
        client.zadd("z", {f"m{i}": i / 4 for i in range(300)})
        assert dict(client.zscan_iter("z")) == dict(client.zrange("z", 0, -1, withscores=True)) == {f"m{i}": i / 4 for i in range(300)}
        assert client.zrevrangebyscore("z", "(1", "-inf", withscores=True, start=0, num=2) == [("m3", 0.75), ("m2", 0.5)]
        assert client.set("e", 1, px=100000, nx=True) and 99000 < client.pttl("e") <= 100000
        assert client.info()["redis_mode"] == "standalone" and client.config_get("maxmemory")["maxmemory"].isdigit()
        assert client.client_setname("somebody") and client.client_getname() == "somebody"
        assert any(entry["name"] == "somebody" for entry in client.client_list())
        assert client.object("encoding", "z") == "skiplist" and client.memory_usage("h") > 1000
        lock = client.lock("lock", timeout=10)
        # Locks are released by a script, which the cache has none of: what SET NX does of them works.
        assert client.set(lock.name, "token", nx=True, px=10000) and not client.set(lock.name, "other", nx=True)


def redis_py_subscribes_in_a_thread(namespace, millrace):
    redis = redis_py()
    with redis.Redis(ADDRESS, socket_timeout=20) as client:
        got, done = [], threading.Event()

        def heard(message):
            got.append((message["type"], message["channel"], message["data"]))
            if len(got) == 200:
                done.set()

        pubsub = client.pubsub(ignore_subscribe_messages=True)
        pubsub.subscribe(**{"c1": heard})
        pubsub.psubscribe(**{"c*": heard})
        thread = pubsub.run_in_thread(sleep_time=0.01)
        wait_until(lambda: client.pubsub_numsub("c1") == [(b"c1", 1)] and client.pubsub_numpat() == 1, "it subscribed")
        for i in range(100):
            assert client.publish("c1", i) == 2
        assert done.wait(10), len(got)
        thread.stop()
        thread.join(10)
        expected = [pair for i in range(100) for pair in (("message", b"c1", b"%d" % i), ("pmessage", b"c1", b"%d" % i))]
        assert got == expected


def redis_py_waits_for_elements(namespace, millrace):
    redis = redis_py()
    with redis.Redis(ADDRESS, socket_timeout=20) as client:
        client.delete("jobs", "other", "zjobs")
        taken = []

        def worker():
            with redis.Redis(ADDRESS, socket_timeout=20) as mine:
                while (job := mine.blpop(["other", "jobs"], timeout=10)[1]) != b"end":
                    taken.append(job)

        threads = [threading.Thread(target=worker) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: client.info("clients")["blocked_clients"] == 4, "they wait")
        for i in range(400):
            client.rpush("jobs", i)
        wait_until(lambda: client.llen("jobs") == 0, "all are taken")
        for _ in threads:
            client.rpush("other", "end")
        for thread in threads:
            thread.join(15)
        assert sorted(map(int, taken)) == list(range(400))
        started = time.monotonic()
        assert client.bzpopmin("zjobs", timeout=0.2) is None and 0.15 < time.monotonic() - started < 3
        client.zadd("zjobs", {"m": 1})
        assert client.bzpopmin("zjobs", timeout=1) == (b"zjobs", b"m", 1.0)
        client.rpush("from", "x")
        assert client.blmove("from", "to", 1, "LEFT", "RIGHT") == b"x" and client.lrange("to", 0, -1) == [b"x"]


def hiredis_works_waiting_and_not_waiting(namespace, millrace):
    program = BUILD / "tests/system/cache_hiredis"
    if not program.exists():
        raise Skip("libhiredis-dev was not there when the tests were built")
    note(run(program, ADDRESS, 6379, timeout=60).stdout.strip())


def ioredis_pipelines_subscribes_and_batches(namespace, millrace):
    modules = BUILD / "npm/node_modules"
    if not shutil.which("node") or not (modules / "ioredis").exists():
        raise Skip(f"no ioredis in {modules.parent}: run tests/system/install_npm {BUILD} ioredis@5")
    note(run("node", HERE / "cache_ioredis.js", ADDRESS, timeout=60, env={**os.environ, "NODE_PATH": str(modules)}).stdout.strip())


def memccapable_is_clean(namespace, millrace):
    for protocol in ("-a", "-b"):
        result = run("memccapable", "-h", ADDRESS, "-p", 11211, "-t", 10, protocol, check=False, timeout=100)
        lines = result.stdout.splitlines()
        bad = [line for line in lines if not line.rstrip().endswith("[pass]") and "[" in line]
        assert result.returncode == 0 and not bad and "All tests passed" in result.stdout, result.stdout
        note(f"memccapable {protocol}: {sum('[pass]' in line for line in lines)} passed")


def memcached_tools_store_and_load(namespace, millrace):
    servers = f"--servers={ADDRESS}:11211"
    source = namespace.folder / "stored"
    source.write_bytes(b"content " * 5000)
    for options in ((), ("--binary",)):
        run("memccp", servers, *options, source)
        assert run("memccat", servers, *options, "stored").stdout.strip() == source.read_text().strip()
        run("memcexist", servers, *options, "stored")
        run("memctouch", servers, *options, "--expire=1000", "stored")
        run("memcrm", servers, *options, "stored")
        assert run("memcexist", servers, *options, "stored", check=False).returncode != 0
    assert "curr_items" in run("memcstat", servers).stdout
    for test in ("set", "get", "mget"):
        for options in ((), ("--binary",)):
            run("memcslap", servers, "--concurrency=20", "--execute-number=200", "--initial-load=500", f"--test={test}", *options, timeout=60)
    run("memcflush", servers)


def memcached_and_redis_clients_see_one_keyspace(namespace, millrace):
    with Resp() as client, socket.create_connection((ADDRESS, 11211), timeout=10) as other:
        client.value("SET", "shared", "from redis")
        other.sendall(b"get shared\r\n")
        assert other.recv(1000) == b"VALUE shared 0 10\r\nfrom redis\r\nEND\r\n"
        other.sendall(b"set back 0 0 5\r\nhello\r\n")
        assert other.recv(1000) == b"STORED\r\n"
        assert client.value("GET", "back") == b"hello"


def a_line_of_text_is_a_command(namespace, millrace):
    """What a person with nc types."""
    with Resp() as client:
        client.socket.sendall(b"SET  k \"a b\\x41\"\r\nGET k\r\n\r\nPING\n")
        assert [client.read() for _ in range(3)] == [(b"+", b"OK"), (b"$", b"a bA"), (b"+", b"PONG")]


if __name__ == "__main__":
    main(redis_cli_sets_gets_and_formats, redis_cli_speaks_resp3, redis_cli_inserts_en_masse_and_scans, redis_cli_finds_big_keys,
         redis_cli_receives_what_is_published, redis_benchmark_runs_all_its_tests, redis_benchmark_runs_all_its_tests_pipelined,
         redis_benchmark_runs_with_threads, redis_py_pipelines_and_transactions, redis_py_iterates_and_reads_every_type,
         redis_py_subscribes_in_a_thread, redis_py_waits_for_elements, hiredis_works_waiting_and_not_waiting,
         ioredis_pipelines_subscribes_and_batches, memccapable_is_clean, memcached_tools_store_and_load,
         memcached_and_redis_clients_see_one_keyspace, a_line_of_text_is_a_command, more=cache_service())
