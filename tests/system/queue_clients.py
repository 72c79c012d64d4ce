#!/usr/bin/env python3
"""Clients as people use them, unchanged: pika, amqp-tools, rabbitmq-c, amqplib, Go's amqp091-go with its own integration tests."""
import os
import re
import shutil
import subprocess
import threading

from lib import HERE, MILLRACE, Skip, note, run, wait_until
from queue_lib import AMQP, ORACLE_ONLY, URL, queue_main

import pika  # queue_lib has said where it is

BUILD = MILLRACE.parents[2]
GO_CLIENT = "/usr/share/gocode/src/github.com/rabbitmq/amqp091-go"
# Of Go's tests, those that leave a connection open when the server does not call itself RabbitMQ (and then complain of that).
GO_SKIPPED = {"TestIntegrationRecoverNotImplemented", "TestRabbitMQQueueTTLGet", "TestRabbitMQQueueNackMultipleRequeue"}


def connect(**parameters):
    return pika.BlockingConnection(pika.ConnectionParameters(AMQP[0], AMQP[1], credentials=pika.PlainCredentials("guest", "guest"), **parameters))


def pika_publishes_with_confirms_and_consumes(namespace, millrace):
    with connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("work", durable=True)
        for i in range(500):
            channel.basic_publish("", "work", f"{i}".encode(), pika.BasicProperties(delivery_mode=2, headers={"n": i}), mandatory=True)
        channel.basic_qos(prefetch_count=20)
        got = []
        for method, properties, body in channel.consume("work", inactivity_timeout=10):
            assert method, f"{len(got)} of 500, then nothing"
            assert properties.headers == {"n": int(body)} and not method.redelivered
            got.append(int(body))
            channel.basic_ack(method.delivery_tag)
            if len(got) == 500:
                break
        channel.cancel()
        assert got == list(range(500))
        assert channel.queue_declare("work", passive=True).method.message_count == 0
        channel.queue_delete("work")


def pika_is_told_what_is_unroutable(namespace, millrace):
    with connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        try:
            channel.basic_publish("amq.direct", "nobody", b"x", mandatory=True)
            assert False, "an unroutable message was taken"
        except pika.exceptions.UnroutableError as error:
            assert error.messages[0].method.reply_code == 312
        channel.basic_publish("amq.direct", "nobody", b"x")


def pika_fans_out_to_many(namespace, millrace):
    with connect() as connection:
        channel = connection.channel()
        queues = [channel.queue_declare("", exclusive=True).method.queue for _ in range(20)]
        for queue in queues:
            channel.queue_bind(queue, "amq.fanout")
        channel.confirm_delivery()
        channel.basic_publish("amq.fanout", "", b"news" * 5000)
        for queue in queues:
            method, _, body = channel.basic_get(queue, auto_ack=True)
            assert method and body == b"news" * 5000


def pika_threads_share_the_work(namespace, millrace):
    """Four consumers with a small prefetch: each gets some, together they get each message once."""
    total, got, lock = 2000, [], threading.Lock()
    with connect() as connection:
        channel = connection.channel()
        channel.queue_declare("shared")
        counts = {}

        def work(name):
            with connect() as c:
                ch = c.channel()
                ch.basic_qos(prefetch_count=5)
                for method, _, body in ch.consume("shared", inactivity_timeout=3):
                    if method is None:
                        break
                    with lock:
                        got.append(int(body))
                        counts[name] = counts.get(name, 0) + 1
                    ch.basic_ack(method.delivery_tag)
                    if len(got) >= total:
                        break
                ch.cancel()
        workers = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(4)]
        for worker in workers:
            worker.start()
        wait_until(lambda: channel.queue_declare("shared", passive=True).method.consumer_count == 4, "four consumers")
        channel.confirm_delivery()
        for i in range(total):
            channel.basic_publish("", "shared", str(i).encode())
        for worker in workers:
            worker.join(60)
        assert sorted(got) == list(range(total)), f"{len(got)} of {total}"
        assert min(counts.values()) > total / 16, counts
        channel.queue_delete("shared")


def pika_large_messages_arrive_whole(namespace, millrace):
    with connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("large", durable=True)
        body = os.urandom(16 << 20)
        channel.basic_publish("", "large", body, pika.BasicProperties(delivery_mode=2))
        method, _, got = channel.basic_get("large", auto_ack=True)
        assert got == body
        channel.queue_delete("large")


def pika_heartbeats_keep_it_open(namespace, millrace):
    with connect(heartbeat=2) as connection:
        channel = connection.channel()
        connection.sleep(7)  # more than three heartbeats of silence
        assert channel.queue_declare("", exclusive=True).method.queue


def amqp_tools_publish_get_and_consume(namespace, millrace):
    url = [f"--url={URL}"]
    assert run("amqp-declare-queue", *url, "-d", "-q", "tools").stdout == "tools\n"
    run("amqp-publish", *url, "-r", "tools", "-p", "-b", "first")
    assert subprocess.run(["amqp-publish", *url, "-r", "tools", "-l"], input=b"second\nthird\n", timeout=30).returncode == 0
    assert run("amqp-get", *url, "-q", "tools").stdout == "first"
    assert run("amqp-consume", *url, "-q", "tools", "-c", 2, "cat").stdout.split() == ["second", "third"]
    assert run("amqp-get", *url, "-q", "tools", check=False).returncode == 2  # empty
    assert run("amqp-delete-queue", *url, "-q", "tools").stdout.strip() == "0"


def rabbitmq_c_confirms_consumes_and_is_refused(namespace, millrace):
    program = MILLRACE.parents[2] / "tests/system/queue_rabbitmq_c"
    if not program.exists():
        raise Skip("built without librabbitmq-dev")
    note(run(program, *AMQP, timeout=60).stdout.strip())


def amqplib_works_calls_and_is_refused(namespace, millrace):
    modules = BUILD / "npm/node_modules"
    if not shutil.which("node") or not (modules / "amqplib").exists():
        raise Skip(f"no amqplib in {modules}: run tests/system/install_npm {BUILD} amqplib@0.10")
    note(run("node", HERE / "queue_amqplib.js", AMQP[0], timeout=60, env={**os.environ, "NODE_PATH": str(modules)}).stdout.strip())


def go_client_passes_its_own_integration_tests(namespace, millrace):
    go = shutil.which("go", path="/usr/bin:/bin")
    if not go or not os.path.isdir(GO_CLIENT):
        raise Skip("no golang-go, or no golang-github-rabbitmq-amqp091-go-dev")
    # Two of its tests ask for the product RabbitMQ and leave their connection open when the server has another name: a copy asks for ours.
    package = namespace.folder / "go/src/github.com/rabbitmq/amqp091-go"
    shutil.copytree(GO_CLIENT, package)
    if not ORACLE_ONLY:
        tests = package / "integration_test.go"
        tests.write_text(tests.read_text().replace('server == "RabbitMQ"', 'server == "Millrace"'))
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(namespace.folder), "GOPATH": f"{namespace.folder}/go:/usr/share/gocode", "GO111MODULE": "off", "GOFLAGS": "",
                   "GOCACHE": str(BUILD / "go-cache"), "AMQP_URL": f"{URL}/"}
    program = namespace.folder / "go_integration"
    run(go, "test", "-c", "-tags", "integration", "-o", program, "github.com/rabbitmq/amqp091-go", env=environment, cwd=package, timeout=280)
    names = re.findall(r"^func (Test\w+)", open(f"{GO_CLIENT}/integration_test.go").read(), re.MULTILINE)
    names = [n for n in names if n != "TestMain" and n not in GO_SKIPPED]
    out = run(program, "-test.v", "-test.timeout", "120s", "-test.run", f"^({'|'.join(names)})$", env=environment, cwd=namespace.folder, timeout=150, check=False)
    passed, failed = re.findall(r"^--- PASS: (\w+)", out.stdout, re.MULTILINE), re.findall(r"^--- FAIL: (\w+)", out.stdout, re.MULTILINE)
    assert out.returncode == 0 and not failed and len(passed) >= 48, f"{len(passed)} passed, failed: {failed}\n{out.stdout[-4000:]}"
    note(f"amqp091-go: {len(passed)} of its integration tests pass")


queue_main(pika_publishes_with_confirms_and_consumes, pika_is_told_what_is_unroutable, pika_fans_out_to_many, pika_threads_share_the_work,
           pika_large_messages_arrive_whole, pika_heartbeats_keep_it_open, amqp_tools_publish_get_and_consume,
           rabbitmq_c_confirms_consumes_and_is_refused, amqplib_works_calls_and_is_refused, go_client_passes_its_own_integration_tests,
           folder="{folder}/queue")
