#!/usr/bin/env python3
"""The queues by HTTP, in the whole binary: what one protocol publishes the other gets, deliveries are settled on any worker, durable
messages outlive the process, and an order goes from its page to the count."""
import base64
import http.client
import json
import re
import sys
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

sys.path.append("/usr/lib/python3/dist-packages")  # Debian's pika, whichever interpreter runs this
from lib import ADDRESS, Skip, main, wait_until

HTTP = """\
      queue_api: /queues
      orders_page: true
"""
MORE = """\
  - cache:
      listen: :6379
  - queue:
      listen: :5672
      folder: {folder}/queue
workers:
  count: 2
"""


def ask(method, path, body=None, connection=None, **headers):
    """Status and body: JSON as what it says, else text. Each request is a connection of its own, so any worker's."""
    c = connection or http.client.HTTPConnection(ADDRESS, 80, timeout=20)
    c.request(method, path, body if body is None or isinstance(body, str) else json.dumps(body), headers)
    response = c.getresponse()
    data = response.read()
    return response.status, json.loads(data) if response.headers["Content-Type"] == "application/json" else data.decode()


def expect(status, method, path, body=None, **more):
    got = ask(method, path, body, **more)
    assert got[0] == status, f"{method} {path}: {got} instead of {status}"
    return got[1]


def bodies(answer):
    return [base64.b64decode(m["body"]) if m["encoding"] == "base64" else m["body"].encode() for m in answer["messages"]]


def a_queue_lives_by_http_alone(namespace, millrace):
    expect(404, "GET", "/queues/none")
    expect(200, "PUT", "/queues/first", {"length_max": 3})
    expect(200, "PUT", "/queues/first", {"length_max": 3})
    assert "refused" in expect(409, "PUT", "/queues/first", {"length_max": 4})["error"]
    for n in range(3):
        expect(201, "POST", "/queues/first/messages", {"body": f"message {n} \u00e9", "message_id": f"m{n}"})
    state = expect(200, "GET", "/queues/first")
    assert state["ready"] == 3 and state["name"] == "first" and state["bytes"] > 0, state
    assert "first" in [q["name"] for q in expect(200, "GET", "/queues")["queues"]]
    got = expect(200, "POST", "/queues/first/get?count=2")
    assert bodies(got) == ["message 0 \u00e9".encode(), "message 1 \u00e9".encode()], got
    assert got["messages"][0]["message_id"] == "m0" and not got["messages"][0]["redelivered"]
    expect(200, "POST", "/queues/first/purge")
    assert expect(200, "POST", "/queues/first/get")["messages"] == []
    expect(404, "POST", "/queues/none/messages", {"body": ""})
    expect(404, "POST", "/exchanges/none/messages", {"body": ""})
    expect(404, "POST", "/exchanges/amq.direct/messages", {"body": "", "routing_key": "nobody"})
    expect(200, "DELETE", "/queues/first")
    expect(404, "GET", "/queues/first")


def a_delivery_is_settled_from_any_connection(namespace, millrace):
    expect(200, "PUT", "/queues/settle")
    for n in range(16):
        expect(201, "POST", "/queues/settle/messages", {"body": str(n)})
    held = [expect(200, "POST", "/queues/settle/get?ack=manual&settle_within_ms=60000")["messages"][0] for _ in range(16)]
    assert [int(m["body"]) for m in held] == list(range(16))
    assert expect(200, "GET", "/queues/settle")["unacknowledged"] == 16
    for m in held[:8]:
        expect(200, "POST", "/queues/settle/ack", {"delivery": m["delivery"]})
    for m in held[8:]:
        expect(200, "POST", "/queues/settle/nack", {"delivery": m["delivery"]})
    expect(409, "POST", "/queues/settle/ack", {"delivery": held[0]["delivery"]})
    wait_until(lambda: expect(200, "GET", "/queues/settle")["ready"] == 8, "what was given back is ready")
    got = expect(200, "POST", "/queues/settle/get?count=20")["messages"]
    assert [int(m["body"]) for m in got] == list(range(8, 16)) and all(m["redelivered"] for m in got), got
    expect(201, "POST", "/queues/settle/messages", {"body": "late"})
    expect(200, "POST", "/queues/settle/get?ack=manual&settle_within_ms=200")
    wait_until(lambda: expect(200, "GET", "/queues/settle")["ready"] == 1, "what nobody settled is put back")
    expect(200, "DELETE", "/queues/settle")


def both_protocols_see_the_same_messages(namespace, millrace):
    try:
        import pika
    except ImportError as error:
        raise Skip(f"python3-pika: {error}") from error
    connection = pika.BlockingConnection(pika.ConnectionParameters(ADDRESS, heartbeat=0))
    channel = connection.channel()
    expect(200, "PUT", "/queues/both", {"message_ttl_ms": 60000})
    channel.queue_declare("both", durable=True, arguments={"x-message-ttl": 60000})
    channel.queue_bind("both", "amq.topic", "a.*")
    binary = bytes(range(256))
    channel.basic_publish("", "both", binary, pika.BasicProperties(content_type="application/x", priority=3, delivery_mode=2))
    got = wait_until(lambda: expect(200, "POST", "/queues/both/get")["messages"], "what AMQP published is got by HTTP")[0]
    assert base64.b64decode(got["body"]) == binary and got["content_type"] == "application/x" and got["priority"] == 3, got
    expect(201, "POST", "/exchanges/amq.topic/messages",
           {"routing_key": "a.b", "body": base64.b64encode(binary).decode(), "encoding": "base64", "correlation_id": "c1"})
    method, properties, body = channel.basic_get("both", auto_ack=True)
    assert method and body == binary and properties.correlation_id == "c1" and method.routing_key == "a.b"
    channel.queue_delete("both")
    connection.close()


def many_publish_at_once_and_nothing_is_lost(namespace, millrace):
    expect(200, "PUT", "/queues/many")

    def publisher(p):
        c = http.client.HTTPConnection(ADDRESS, 80, timeout=20)
        for n in range(50):
            expect(201, "POST", "/queues/many/messages", {"body": f"{p}/{n}"}, connection=c)
        c.close()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(publisher, range(16)))
    got = []
    while answer := expect(200, "POST", "/queues/many/get?count=100")["messages"]:
        got += [m["body"] for m in answer]
    assert sorted(got) == sorted(f"{p}/{n}" for p in range(16) for n in range(50))
    for p in range(16):  # each publisher's in its order
        assert [b for b in got if b.startswith(f"{p}/")] == [f"{p}/{n}" for n in range(50)]
    expect(200, "DELETE", "/queues/many")


def taken():
    status, text = ask("GET", "/orders/count")
    assert status == 200, (status, text)
    return int(text)


def an_order_goes_from_its_page_to_the_count(namespace, millrace):
    wait_until(lambda: ask("GET", "/queues/orders")[1].get("consumers"), "the worker consumes")
    assert re.search(r"<form method=post action=/orders>.*id=taken>0<", expect(200, "GET", "/orders"), re.DOTALL)
    for n in range(25):
        form = urllib.parse.urlencode({"item": f"tea & n\u00ba {n}", "quantity": n + 1})
        assert "confirmed" in expect(201, "POST", "/orders", form, **{"Content-Type": "application/x-www-form-urlencoded"})
    wait_until(lambda: taken() >= 25, "all orders are counted")
    wait_until(lambda: (lambda q: q["ready"] + q["unacknowledged"] == 0)(expect(200, "GET", "/queues/orders")), "and acknowledged")
    assert taken() == 25
    expect(400, "POST", "/orders", "item=&quantity=1")
    expect(403, "POST", "/orders", "item=x&quantity=1", Origin="http://elsewhere")


def what_was_confirmed_outlives_the_process(namespace, millrace):
    expect(200, "PUT", "/queues/kept")
    for n in range(20):
        expect(201, "POST", "/queues/kept/messages", {"body": str(n)})
    millrace.kill()
    millrace.start()
    got = wait_until(lambda: ask("POST", "/queues/kept/get?count=100")[1].get("messages"), "the queue is there again")
    assert [m["body"] for m in got] == [str(n) for n in range(20)], got
    expect(201, "POST", "/queues/kept/messages", {"body": "ended in order"})
    assert millrace.stop() == 0
    millrace.start()
    got = wait_until(lambda: ask("POST", "/queues/kept/get?count=100")[1].get("messages"), "the queue is there again")
    assert [m["body"] for m in got] == ["ended in order"], got
    expect(200, "DELETE", "/queues/kept")


if __name__ == "__main__":
    main(a_queue_lives_by_http_alone, a_delivery_is_settled_from_any_connection, both_protocols_see_the_same_messages,
         many_publish_at_once_and_nothing_is_lost, an_order_goes_from_its_page_to_the_count, what_was_confirmed_outlives_the_process,
         http=HTTP, more=MORE)
