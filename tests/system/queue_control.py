#!/usr/bin/env python3
"""`millrace queue` and `millrace stat queue` beside a client: what one does, the other sees."""
import json
import re

from lib import run, wait_until, MILLRACE
from queue_lib import AMQP, queue_main
import pika  # queue_lib has said where it is


def connect():
    return pika.BlockingConnection(pika.ConnectionParameters(*AMQP, credentials=pika.PlainCredentials("guest", "guest")))


def say(millrace, *words, check=True):
    result = run(MILLRACE, "queue", *words, "--json", "--name", millrace.name, check=check)
    return json.loads(result.stdout) if check else result


def what_is_declared_by_words_is_there_for_a_client(namespace, millrace):
    assert say(millrace, "declare", "work", "message_ttl=1h", "length_max=9")["created"] is True
    with connect() as connection:
        channel = connection.channel()
        channel.queue_declare("work", durable=True, arguments={"x-message-ttl": 3600000, "x-max-length": 9})
    refused = say(millrace, "declare", "work", check=False)
    assert refused.returncode == 1 and "inequivalent arg 'x-m" in refused.stdout, refused.stdout


def messages_are_seen_moved_and_purged(namespace, millrace):
    say(millrace, "declare", "spare", "durability=written")
    with connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for i in range(5):
            channel.basic_publish("", "work", f"m{i}".encode(), pika.BasicProperties(delivery_mode=2, content_type="text/plain"))
        rows = {row["name"]: row for row in say(millrace, "list")["queues"]}
        assert rows["work"]["ready"] == 5 and rows["spare"]["durability"] == "written", rows
        peeked = say(millrace, "peek", "work", 3)["messages"]
        assert [m["body"] for m in peeked] == ["m0", "m1", "m2"] and peeked[0]["content_type"] == "text/plain", peeked
        assert say(millrace, "move", "work", "spare", 2)["moved"] == 2
        assert channel.basic_get("work", auto_ack=True)[2] == b"m2"
        assert channel.basic_get("spare", auto_ack=True)[2] == b"m0"
        assert say(millrace, "purge", "work")["messages_purged"] == 2
        assert channel.basic_get("work")[0] is None


def a_client_is_shown_and_its_consumer_is_told_of_a_deletion(namespace, millrace):
    with connect() as connection:
        channel = connection.channel()
        cancelled = []
        channel.add_on_cancel_callback(cancelled.append)
        channel.basic_consume("spare", lambda *_: None)
        wait_until(lambda: say(millrace, "show", "spare")["state"]["consumers"] == 1, "the consumer is shown")
        shown = say(millrace, "connections")["connections"]
        assert len(shown) == 1 and shown[0]["user"] == "guest" and shown[0]["consumers"] == 1, shown
        used = say(millrace, "delete", "spare", "if-unused", check=False)
        assert used.returncode == 1 and "it has consumers" in used.stdout, used.stdout
        say(millrace, "delete", "spare")
        wait_until(lambda: connection.process_data_events(0.1) or cancelled, "basic.cancel")
    assert "there is no queue 'spare'" in say(millrace, "show", "spare", check=False).stdout


def bindings_and_exchanges_are_listed(namespace, millrace):
    with connect() as connection:
        channel = connection.channel()
        channel.exchange_declare("news", "topic", durable=True)
        channel.queue_bind("work", "news", "a.*")
    assert {"source": "news", "to": "queue", "destination": "work", "key": "a.*"} in say(millrace, "bindings")["bindings"]
    assert [x["type"] for x in say(millrace, "exchanges")["exchanges"] if x["name"] == "news"] == ["topic"]


def numbers_reach_stat_and_prometheus(namespace, millrace):
    text = run(MILLRACE, "stat", "queue", "--name", millrace.name).stdout
    assert re.search(r"queue\[0\]\.published +5\b", text) and re.search(r"^ +/ +work ", text, re.MULTILINE), text
    exposition = run(MILLRACE, "stat", "--prometheus", "--name", millrace.name).stdout
    assert 'millrace_queue_queue_published_total{vhost="/",queue="work"} 5' in exposition, exposition
    assert "millrace_queue_queues_left_out 0" in exposition


queue_main(what_is_declared_by_words_is_there_for_a_client, messages_are_seen_moved_and_purged,
           a_client_is_shown_and_its_consumer_is_told_of_a_deletion, bindings_and_exchanges_are_listed,
           numbers_reach_stat_and_prometheus, folder="{folder}/queue", users=False)
