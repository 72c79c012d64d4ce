"""Sessions of AMQP clients, each a generator: it yields what a client sends, and is given back what came. queue_sessions.py runs them
against two servers and compares every frame. Delivery tags and counts are the servers' to get right: nothing here computes them."""
import inspect

from queue_lib import spec

B, C, E, Q, T = spec.Basic, spec.Channel, spec.Exchange, spec.Queue, spec.Tx
P = spec.BasicProperties


class Send:
    """One step: methods or messages on one channel of one connection, sent at once."""

    def __init__(self, *items, channel=1, connection="a"):
        self.items, self.channel, self.connection = items, channel, connection


def message(key, body, exchange="", properties=None, **flags):
    return ("publish", exchange, key, body if isinstance(body, bytes) else str(body).encode(), properties, flags)


def declare(queue, arguments=None, **flags):
    return Q.Declare(queue=queue, arguments=arguments or {}, **flags)


def exchange(name, kind="direct", arguments=None, **flags):
    return E.Declare(exchange=name, type=kind, arguments=arguments or {}, **flags)


def bind(queue, source, key="", arguments=None):
    return Q.Bind(queue=queue, exchange=source, routing_key=key, arguments=arguments or {})


def consume(queue, tag="c", arguments=None, **flags):
    return B.Consume(queue=queue, consumer_tag=tag, arguments=arguments or {}, **flags)


def get(queue, no_ack=True):
    return B.Get(queue=queue, no_ack=no_ack)


def drain(queue, n, **where):
    for _ in range(n):
        yield Send(get(queue), **where)


# -- queues ---------------------------------------------------------------------------------------------------------------------------


def queue_declare_counts_and_repeats():
    yield Send(declare("q"))
    yield Send(message("q", 1), message("q", 2))
    yield Send(declare("q"))
    yield Send(declare("q", passive=True))
    yield Send(declare(""))
    yield Send(Q.Purge(queue="q"))
    yield Send(Q.Delete(queue="q"))
    yield Send(Q.Delete(queue="never"))
    yield Send(declare("q", passive=True))


def queue_declare_with_other_properties():
    for flags in ({"durable": True}, {"auto_delete": True}, {"exclusive": True}):
        yield Send(declare("q2"))
        yield Send(declare("q2", **flags))
        yield Send(C.CloseOk(), C.Open())
    yield Send(declare("q2", {"x-max-length": 5}))
    yield Send(C.CloseOk(), C.Open())
    yield Send(declare("q3", {"x-max-length": 5}))
    yield Send(declare("q3", {"x-max-length": 6}))
    yield Send(C.CloseOk(), C.Open())
    yield Send(declare("q3"))


def queue_arguments_that_are_wrong():
    wrong = [{"x-message-ttl": -1}, {"x-message-ttl": "a"}, {"x-expires": 0}, {"x-expires": -5}, {"x-max-length": -1}, {"x-max-length": "many"},
             {"x-max-length-bytes": -1}, {"x-overflow": "explode"}, {"x-dead-letter-exchange": 5}, {"x-dead-letter-routing-key": "k"},
             {"x-max-priority": -1}, {"x-max-priority": 256}, {"x-max-priority": "high"}, {"x-single-active-consumer": "yes"},
             {"x-queue-type": "fancy"}]
    for arguments in wrong:
        yield Send(declare("wrong", arguments))
        yield Send(C.CloseOk(), C.Open())


def queue_names_that_are_reserved():
    yield Send(declare("amq.mine"))
    yield Send(C.CloseOk(), C.Open())
    yield Send(declare("amq.mine", passive=True))


def queue_exclusive_belongs_to_its_connection():
    yield Send(declare("ex", exclusive=True))
    yield Send(declare("ex", exclusive=True))
    yield Send(declare("ex", passive=True), connection="b")
    yield Send(C.CloseOk(), C.Open(), connection="b")
    yield Send(consume("ex"), connection="b")
    yield Send(C.CloseOk(), C.Open(), connection="b")
    yield Send(get("ex"), connection="b")
    yield Send(C.CloseOk(), C.Open(), connection="b")
    yield Send(Q.Delete(queue="ex"), connection="b")
    yield Send(C.CloseOk(), C.Open(), connection="b")
    yield Send(bind("ex", "amq.direct", "k"), connection="b")
    yield Send(C.CloseOk(), C.Open(), connection="b")
    yield Send(Q.Purge(queue="ex"), connection="b")
    yield Send(message("ex", "anybody may publish"), connection="b")
    yield Send(get("ex"))


def queue_delete_under_conditions():
    yield Send(declare("del"))
    yield Send(message("del", 1), message("del", 2))
    yield Send(Q.Delete(queue="del", if_empty=True))
    yield Send(C.CloseOk(), C.Open())
    yield Send(consume("del", no_ack=True))
    yield Send(Q.Delete(queue="del", if_unused=True))
    yield Send(C.CloseOk(), C.Open())
    yield Send(Q.Delete(queue="del", if_unused=True, if_empty=True))


def queue_delete_cancels_consumers():
    yield Send(declare("gone"))
    yield Send(consume("gone", "one"))
    yield Send(consume("gone", "two", no_ack=True), connection="b")
    yield Send(message("gone", "x"))
    yield Send(Q.Delete(queue="gone"), channel=2)
    yield Send(B.Qos(prefetch_count=1))


def queue_auto_delete_goes_with_the_last_consumer():
    yield Send(declare("auto", auto_delete=True))
    yield Send(consume("auto", "one"))
    yield Send(consume("auto", "two"))
    yield Send(B.Cancel(consumer_tag="one"))
    yield Send(declare("auto", passive=True), channel=2)
    yield Send(B.Cancel(consumer_tag="two"))
    yield Send(declare("auto", passive=True), channel=2)


def queue_name_of_the_last_declared_is_remembered():
    yield Send(declare("last"))
    yield Send(bind("", "amq.direct", "to-last"))
    yield Send(message("to-last", "hello", "amq.direct"))
    yield Send(get(""))
    yield Send(get(""), channel=2)


def queue_purge_leaves_what_is_unacknowledged():
    yield Send(declare("purge"))
    yield Send(*[message("purge", i) for i in range(5)])
    yield Send(get("purge", no_ack=False))
    yield Send(Q.Purge(queue="purge"))
    yield Send(B.Nack(delivery_tag=1, requeue=True))
    yield Send(declare("purge", passive=True))
    yield Send(get("purge"))


def no_wait_is_not_answered():
    yield Send(declare("nw", nowait=True), exchange("nwx", nowait=True), Q.Bind(queue="nw", exchange="nwx", routing_key="k", nowait=True))
    yield Send(message("k", "arrives", "nwx"))
    yield Send(get("nw"))
    yield Send(consume("nw", "tag", nowait=True), message("nw", "pushed"))
    yield Send(B.Cancel(consumer_tag="tag", nowait=True), Q.Delete(queue="nw", nowait=True), E.Delete(exchange="nwx", nowait=True))
    yield Send(declare("nw", passive=True))


# -- exchanges and bindings -----------------------------------------------------------------------------------------------------------


def exchange_declare_and_mismatch():
    yield Send(exchange("x1"))
    yield Send(exchange("x1"))
    yield Send(exchange("x1", passive=True))
    yield Send(exchange("x1", "fanout"))
    yield Send(C.CloseOk(), C.Open())
    for flags in ({"durable": True}, {"auto_delete": True}, {"internal": True}):
        yield Send(exchange("x1", **flags))
        yield Send(C.CloseOk(), C.Open())
    yield Send(exchange("x1", arguments={"alternate-exchange": "other"}))
    yield Send(C.CloseOk(), C.Open())
    yield Send(exchange("never", passive=True))
    yield Send(C.CloseOk(), C.Open())
    yield Send(exchange("amq.new"))
    yield Send(C.CloseOk(), C.Open())
    yield Send(exchange("amq.topic", "topic", durable=True))
    yield Send(exchange("amq.topic", "topic"))


def exchange_of_an_unknown_type():
    yield Send(exchange("x2", "sideways"))


def exchange_default_may_not_be_touched():
    yield Send(declare("dq"))
    yield Send(bind("dq", "", "key"))
    yield Send(C.CloseOk(), C.Open())
    yield Send(E.Delete(exchange=""))
    yield Send(C.CloseOk(), C.Open())
    yield Send(E.Delete(exchange="amq.direct"))
    yield Send(C.CloseOk(), C.Open())
    yield Send(exchange("", "direct"))
    yield Send(C.CloseOk(), C.Open())
    yield Send(E.Bind(destination="", source="amq.direct", routing_key="k"))


def exchange_delete_if_unused():
    yield Send(exchange("x3"), declare("x3q"), bind("x3q", "x3", "k"))
    yield Send(E.Delete(exchange="x3", if_unused=True))
    yield Send(C.CloseOk(), C.Open())
    yield Send(Q.Unbind(queue="x3q", exchange="x3", routing_key="k"))
    yield Send(E.Delete(exchange="x3", if_unused=True))
    yield Send(E.Delete(exchange="x3"))
    yield Send(message("k", "to nowhere", "x3"))


def exchange_auto_delete_goes_with_its_last_binding():
    yield Send(exchange("xa", auto_delete=True), declare("xaq"), bind("xaq", "xa", "1"), bind("xaq", "xa", "2"))
    yield Send(Q.Unbind(queue="xaq", exchange="xa", routing_key="1"))
    yield Send(exchange("xa", passive=True))
    yield Send(Q.Unbind(queue="xaq", exchange="xa", routing_key="2"))
    yield Send(exchange("xa", passive=True))


def exchange_internal_takes_no_publishes():
    yield Send(exchange("xi", internal=True), exchange("xo"), declare("xiq"), bind("xiq", "xi", "k"))
    yield Send(E.Bind(destination="xi", source="xo", routing_key="k"))
    yield Send(message("k", "through", "xo"))
    yield Send(get("xiq"))
    yield Send(message("k", "straight", "xi"))


def bindings_missing_ends():
    yield Send(declare("bq"))
    yield Send(bind("bq", "nowhere", "k"))
    yield Send(C.CloseOk(), C.Open())
    yield Send(bind("nobody", "amq.direct", "k"))
    yield Send(C.CloseOk(), C.Open())
    yield Send(Q.Unbind(queue="bq", exchange="amq.direct", routing_key="never"))
    yield Send(Q.Unbind(queue="nobody", exchange="amq.direct", routing_key="never"))
    yield Send(E.Bind(destination="nowhere", source="amq.direct", routing_key="k"))
    yield Send(C.CloseOk(), C.Open())
    yield Send(E.Unbind(destination="amq.fanout", source="amq.direct", routing_key="k"))


def routing_topic():
    patterns = ["a.b", "a.*", "*.b", "#", "a.#", "#.b", "*", "*.*", "a.#.c", "#.#", "a..b", "", "*.#", "#.*"]
    for i, pattern in enumerate(patterns):
        yield Send(declare(f"t{i}"), bind(f"t{i}", "amq.topic", pattern))
    keys = ["a.b", "a", "b", "", "a.b.c", "a.x.y.c", "a.c", "a..b", ".", "x.b", "a.*"]
    yield Send(*[message(key, f"<{key}>", "amq.topic") for key in keys])
    for i in range(len(patterns)):
        yield Send(declare(f"t{i}", passive=True))
        yield from drain(f"t{i}", 3)


def routing_headers():
    cases = [{"x-match": "all", "a": 1, "b": "x"}, {"x-match": "any", "a": 1, "b": "x"}, {"a": 1}, {}, {"x-match": "any"}, {"x-match": "all"},
             {"x-match": "any", "b": None}, {"x-match": "all", "x-own": 1, "a": 1}, {"x-match": "all-with-x", "x-own": 1}, {"a": True}]
    for i, arguments in enumerate(cases):
        yield Send(declare(f"h{i}"), bind(f"h{i}", "amq.headers", "", arguments))
    headers = [{"a": 1, "b": "x"}, {"a": 1}, {"b": "x"}, {"b": "y"}, {}, {"a": "1"}, {"a": 1, "x-own": 1}, {"x-own": 1}, {"a": True}]
    yield Send(*[message("", str(h), "amq.headers", P(headers=h)) for h in headers], message("", "none", "amq.headers"))
    for i in range(len(cases)):
        yield Send(declare(f"h{i}", passive=True))
        yield from drain(f"h{i}", 2)


def routing_through_exchanges_and_cycles():
    yield Send(exchange("e1", "fanout"), exchange("e2", "topic"), exchange("e3", "direct"), declare("eq"))
    yield Send(E.Bind(destination="e2", source="e1"), E.Bind(destination="e3", source="e2", routing_key="k.#"),
               E.Bind(destination="e1", source="e3", routing_key="k.1"))
    yield Send(bind("eq", "e3", "k.1"), bind("eq", "e2", "k.*"), bind("eq", "e1"))
    yield Send(message("k.1", "once", "e1"), message("k.1", "once more", "e3"), message("other", "by fanout", "e1"))
    yield Send(declare("eq", passive=True))
    yield from drain("eq", 3)
    yield Send(E.Unbind(destination="e2", source="e1"))
    yield Send(message("k.1", "by fanout alone", "e1"))
    yield from drain("eq", 2)


def routing_to_an_alternate_exchange():
    yield Send(exchange("alt", "fanout"), exchange("main", arguments={"alternate-exchange": "alt"}), declare("altq"), bind("altq", "alt"))
    yield Send(message("none", "kept", "main", mandatory=True))
    yield Send(get("altq"))
    yield Send(E.Delete(exchange="alt"))
    yield Send(message("none", "lost", "main", mandatory=True))


def routing_by_cc_and_bcc():
    yield Send(declare("cc1"), declare("cc2"), declare("cc3"))
    yield Send(message("cc1", "m", "", P(headers={"CC": ["cc2", "cc1"], "BCC": ["cc3"], "other": 1})))
    for queue in ("cc1", "cc2", "cc3"):
        yield from drain(queue, 2)
    yield Send(message("cc1", "m", "", P(headers={"CC": "cc2"})))


# -- publishing -----------------------------------------------------------------------------------------------------------------------


def publish_properties_come_back_whole():
    yield Send(declare("props"))
    yield Send(message("props", "b", "", P(content_type="text/plain", content_encoding="utf-8", headers={
        "int": 5, "big": 1 << 40, "neg": -3, "text": "é", "flag": True, "none": None, "list": [1, "two", [3]], "table": {"x": {"y": 1}},
        "bytes": b"\x00\xff"}, delivery_mode=2, priority=7, correlation_id="c", reply_to="r", expiration="60000", message_id="m",
        timestamp=1234567890, type="t", user_id="guest", app_id="app", cluster_id="cl")))
    yield Send(get("props"))
    yield Send(message("props", b"", "", P()), message("props", b"x" * 300_000))
    yield from drain("props", 2)


def publish_mandatory_is_returned():
    yield Send(message("nobody", "back", "", P(headers={"a": 1}), mandatory=True))
    yield Send(message("nobody", "dropped"))
    yield Send(message("nobody", "back", "amq.fanout", mandatory=True), message("nobody", b"y" * 200_000, "amq.topic", mandatory=True))


def publish_immediate_is_not_implemented():
    yield Send(declare("imm"))
    yield Send(message("imm", "x", immediate=True))


def publish_to_no_exchange():
    yield Send(message("k", "x", "missing"))
    yield Send(C.CloseOk(), C.Open())
    yield Send(declare("after"))


def publish_confirms_in_order_with_returns():
    yield Send(spec.Confirm.Select())
    yield Send(declare("conf"))
    yield Send(message("conf", 1))
    yield Send(message("nobody", 2, mandatory=True))
    yield Send(message("nobody", 3))
    yield Send(message("conf", 4), channel=2)
    yield Send(spec.Confirm.Select())
    yield Send(message("conf", 5))
    yield Send(T.Select())


def publish_over_the_limit_is_refused():
    yield Send(declare("lim", {"x-max-length": 2, "x-overflow": "reject-publish"}), spec.Confirm.Select())
    for i in range(2):
        yield Send(message("lim", i))
    yield Send(message("lim", 2))
    yield Send(get("lim"))
    yield Send(message("lim", 3))
    yield from drain("lim", 3)


def publish_with_a_false_user_or_expiration():
    yield Send(declare("pu"))
    yield Send(message("pu", "x", "", P(user_id="somebody")))
    yield Send(C.CloseOk(), C.Open())
    yield Send(message("pu", "x", "", P(expiration="soon")))
    yield Send(C.CloseOk(), C.Open())
    yield Send(message("pu", "x", "", P(expiration="-1")))
    yield Send(C.CloseOk(), C.Open())
    yield Send(declare("pu", passive=True))


# -- consuming ------------------------------------------------------------------------------------------------------------------------


def consume_acknowledge_and_redeliver():
    yield Send(declare("con"))
    yield Send(*[message("con", i) for i in range(6)])
    yield Send(consume("con"))
    yield Send(B.Ack(delivery_tag=2), B.Ack(delivery_tag=4, multiple=True))
    yield Send(B.Nack(delivery_tag=5, requeue=True))
    yield Send(B.Reject(delivery_tag=6, requeue=False))
    yield Send(B.Cancel(consumer_tag="c"))
    yield Send(C.Close(reply_code=200, reply_text="bye", class_id=0, method_id=0))
    yield Send(C.Open())
    yield Send(get("con"))
    yield Send(get("con"))


def consume_acknowledge_what_is_unknown():
    yield Send(B.Ack(delivery_tag=7))
    yield Send(C.CloseOk(), C.Open())
    yield Send(B.Nack(delivery_tag=9, multiple=True))
    yield Send(C.CloseOk(), C.Open())
    yield Send(B.Ack(delivery_tag=0, multiple=True))
    yield Send(B.Reject(delivery_tag=0, requeue=True))


def consume_twice_acknowledged():
    yield Send(declare("tw"), message("tw", 1), message("tw", 2))
    yield Send(get("tw", no_ack=False))
    yield Send(B.Ack(delivery_tag=1))
    yield Send(B.Ack(delivery_tag=1))


def consume_prefetch_of_the_consumer():
    yield Send(declare("pf"), *[message("pf", i) for i in range(7)])
    yield Send(B.Qos(prefetch_count=2), consume("pf"))
    yield Send(B.Ack(delivery_tag=1))
    yield Send(B.Ack(delivery_tag=3, multiple=True))
    yield Send(B.Qos(prefetch_count=1), consume("pf", "second"))
    yield Send(B.Ack(delivery_tag=5, multiple=True))


def consume_prefetch_of_the_channel():
    yield Send(declare("pg"), *[message("pg", i) for i in range(8)])
    yield Send(B.Qos(prefetch_count=3, global_qos=True), consume("pg", "one"))
    yield Send(B.Ack(delivery_tag=1))
    yield Send(B.Qos(prefetch_count=5, global_qos=True))
    yield Send(B.Ack(delivery_tag=4, multiple=True))


def consume_prefetch_size_is_not_implemented():
    yield Send(B.Qos(prefetch_size=1000))


def consume_tags():
    yield Send(declare("tag"))
    yield Send(consume("tag", ""))
    yield Send(consume("tag", "same"))
    yield Send(consume("tag", "same", no_ack=True), channel=2)
    yield Send(B.Cancel(consumer_tag="never"))
    yield Send(consume("tag", "same"))


def consume_exclusively():
    yield Send(declare("excl"))
    yield Send(consume("excl", "only", exclusive=True))
    yield Send(consume("excl", "other"), channel=2)
    yield Send(C.CloseOk(), C.Open(), channel=2)
    yield Send(consume("excl", "other", exclusive=True), channel=2)
    yield Send(C.CloseOk(), C.Open(), channel=2)
    yield Send(B.Cancel(consumer_tag="only"))
    yield Send(consume("excl", "other"), channel=2)
    yield Send(consume("excl", "only", exclusive=True))


def consume_by_priority():
    yield Send(declare("cp"))
    yield Send(consume("cp", "low", {"x-priority": -5}))
    yield Send(consume("cp", "high", {"x-priority": 10}))
    yield Send(message("cp", 1), message("cp", 2))
    yield Send(B.Cancel(consumer_tag="high"))
    yield Send(message("cp", 3))
    yield Send(consume("cp", "bad", {"x-priority": "very"}))


def consume_one_active_at_a_time():
    yield Send(declare("sac", {"x-single-active-consumer": True}))
    yield Send(consume("sac", "one"))
    yield Send(consume("sac", "two"))
    yield Send(*[message("sac", i) for i in range(3)])
    yield Send(B.Cancel(consumer_tag="one"))
    yield Send(message("sac", 4))
    yield Send(consume("sac", "three", exclusive=True))


def consume_from_nothing():
    yield Send(consume("nothing"))
    yield Send(C.CloseOk(), C.Open())
    yield Send(get("nothing"))


def recover_puts_back():
    yield Send(declare("rec"), *[message("rec", i) for i in range(3)])
    yield Send(get("rec", no_ack=False))
    yield Send(get("rec", no_ack=False))
    yield Send(B.Recover(requeue=True))
    yield Send(get("rec", no_ack=False))
    yield Send(B.Recover(requeue=False))


def requeue_goes_back_to_its_place():
    yield Send(declare("place"), *[message("place", i) for i in range(5)])
    for _ in range(3):
        yield Send(get("place", no_ack=False))
    yield Send(B.Nack(delivery_tag=2, requeue=True))
    yield Send(get("place", no_ack=False))
    yield Send(B.Nack(delivery_tag=4, multiple=True, requeue=True))
    yield from drain("place", 5)


def channel_end_puts_back():
    yield Send(declare("cend"), *[message("cend", i) for i in range(3)])
    yield Send(consume("cend"), channel=2)
    yield Send(C.Close(reply_code=200, reply_text="", class_id=0, method_id=0), channel=2)
    yield Send(declare("cend", passive=True))
    yield from drain("cend", 4)


# -- time, limits, dead letters -------------------------------------------------------------------------------------------------------


def limits_drop_the_head():
    yield Send(declare("dh", {"x-max-length": 3}), *[message("dh", i) for i in range(6)])
    yield Send(declare("dh", passive=True))
    yield from drain("dh", 4)
    yield Send(declare("db", {"x-max-length-bytes": 10}), *[message("db", "x" * i) for i in (4, 5, 6, 3)])
    yield Send(declare("db", passive=True))
    yield from drain("db", 3)


def dead_letters_of_rejection_and_length():
    yield Send(exchange("dlx", "fanout"), declare("dead"), bind("dead", "dlx"))
    yield Send(declare("src", {"x-dead-letter-exchange": "dlx", "x-max-length": 2}))
    yield Send(message("src", "one", "", P(headers={"own": 1}, expiration="100000")), message("src", "two"), message("src", "three"))
    yield Send(get("dead"))
    yield Send(get("src", no_ack=False))
    yield Send(B.Reject(delivery_tag=2, requeue=False))
    yield Send(get("dead"))
    yield Send(Q.Purge(queue="src"))


def dead_letters_with_a_key_and_round_again():
    yield Send(declare("again", {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "again"}))
    yield Send(message("again", "round"))
    for tag in (1, 2, 3):
        yield Send(get("again", no_ack=False))
        yield Send(B.Nack(delivery_tag=tag, requeue=False))
    yield Send(get("again"))


def dead_letters_of_time():
    yield Send(declare("dt"), declare("short", {"x-message-ttl": 40, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dt"}))
    yield Send(message("short", "late", "", P(correlation_id="x")))
    yield Send(consume("dt", no_ack=True))
    yield Send(B.Cancel(consumer_tag="c"))
    yield Send(declare("short", passive=True))


def priorities_come_first():
    yield Send(declare("prio", {"x-max-priority": 5}))
    yield Send(*[message("prio", f"{n}:{p}", "", P(priority=p) if p is not None else None) for n, p in enumerate((None, 1, 5, 3, 9, 0, 5))])
    yield from drain("prio", 8)


def priorities_at_the_limit():
    yield Send(declare("pl", {"x-max-priority": 3, "x-max-length": 2}))
    for n, p in enumerate((1, 3, 2, 0)):
        yield Send(message("pl", f"{n}:{p}", "", P(priority=p)))
    yield from drain("pl", 3)


def priorities_delivered_and_put_back():
    yield Send(declare("pb", {"x-max-priority": 3}), *[message("pb", p, "", P(priority=p)) for p in (0, 1, 2, 3)])
    yield Send(get("pb", no_ack=False))
    yield Send(get("pb", no_ack=False))
    yield Send(message("pb", "3 again", "", P(priority=3)))
    yield Send(B.Nack(delivery_tag=2, multiple=True, requeue=True))
    yield from drain("pb", 6)


def limits_when_something_is_put_back():
    yield Send(declare("lb", {"x-max-length": 2}), message("lb", 1), message("lb", 2))
    yield Send(get("lb", no_ack=False))
    yield Send(message("lb", 3))
    yield Send(B.Nack(delivery_tag=1, requeue=True))
    yield Send(declare("lb", passive=True))
    yield from drain("lb", 3)


def limits_of_nothing():
    yield Send(declare("l0", {"x-max-length": 0}))
    yield Send(message("l0", 1))
    yield Send(get("l0"))
    yield Send(consume("l0", no_ack=True))
    yield Send(message("l0", 2))


def limits_count_what_is_ready():
    yield Send(declare("lr", {"x-max-length": 2, "x-overflow": "reject-publish"}), spec.Confirm.Select())
    yield Send(message("lr", 1))
    yield Send(message("lr", 2))
    yield Send(get("lr", no_ack=False))
    yield Send(message("lr", 3))
    yield Send(message("lr", 4))
    yield Send(B.Nack(delivery_tag=1, requeue=True))
    yield Send(declare("lr", passive=True))
    yield from drain("lr", 4)


def limits_refused_and_dead_lettered():
    yield Send(declare("rdd"), declare("rd", {"x-max-length": 1, "x-overflow": "reject-publish-dlx", "x-dead-letter-exchange": "",
                                              "x-dead-letter-routing-key": "rdd"}))
    yield Send(spec.Confirm.Select())
    yield Send(message("rd", 1))
    yield Send(message("rd", 2))
    yield Send(get("rdd"))


def time_to_live_of_nothing():
    yield Send(declare("t0"))
    yield Send(message("t0", 1, "", P(expiration="0")))
    yield Send(get("t0"))
    yield Send(consume("t0"))
    yield Send(message("t0", 2, "", P(expiration="0")))
    yield Send(B.Nack(delivery_tag=2, requeue=True))
    yield Send(B.Nack(delivery_tag=1, requeue=True))
    yield Send(B.Cancel(consumer_tag="c"))
    yield Send(B.Recover(requeue=True))
    yield Send(declare("t0", passive=True))


def time_to_live_of_a_queue_is_nothing():
    yield Send(declare("q0", {"x-message-ttl": 0}))
    yield Send(message("q0", 1))
    yield Send(declare("q0", passive=True))
    yield Send(consume("q0"))
    yield Send(message("q0", 2))


def consume_one_active_of_the_highest_priority():
    yield Send(declare("sp", {"x-single-active-consumer": True}))
    yield Send(consume("sp", "low"))
    yield Send(consume("sp", "middle", {"x-priority": 1}))
    yield Send(consume("sp", "high", {"x-priority": 5}))
    yield Send(message("sp", 1))
    yield Send(B.Cancel(consumer_tag="low"))
    yield Send(message("sp", 2))
    yield Send(B.Cancel(consumer_tag="high"))
    yield Send(message("sp", 3))


def consume_in_turns():
    yield Send(declare("tu"))
    yield Send(consume("tu", "one"))
    yield Send(consume("tu", "two"))
    yield Send(consume("tu", "three"))
    for n in range(7):
        yield Send(message("tu", n))
    yield Send(B.Cancel(consumer_tag="two"))
    for n in range(3):
        yield Send(message("tu", n))


def consume_by_priority_while_there_is_room():
    yield Send(declare("pr"), B.Qos(prefetch_count=1))
    yield Send(consume("pr", "high", {"x-priority": 1}))
    yield Send(consume("pr", "low"))
    yield Send(message("pr", 1))
    yield Send(message("pr", 2))
    yield Send(message("pr", 3))
    yield Send(B.Ack(delivery_tag=1))
    yield Send(B.Ack(delivery_tag=2))


def get_while_consumed_exclusively():
    yield Send(declare("ge"), B.Qos(prefetch_count=1))
    yield Send(consume("ge", "only", exclusive=True))
    yield Send(message("ge", 1), message("ge", 2))
    yield Send(get("ge"), channel=2)


def queue_auto_delete_without_consumers():
    yield Send(declare("ad", auto_delete=True))
    yield Send(message("ad", 1))
    yield Send(get("ad"))
    yield Send(declare("ad", passive=True))
    yield Send(consume("ad", "x"))
    yield Send(C.Close(reply_code=200, reply_text="", class_id=0, method_id=0))
    yield Send(declare("ad", passive=True), channel=2)


# -- transactions ---------------------------------------------------------------------------------------------------------------------


def transactions():
    yield Send(declare("tx"), T.Select())
    yield Send(message("tx", 1), message("tx", 2), declare("tx", passive=True))
    yield Send(T.Commit())
    yield Send(declare("tx", passive=True))
    yield Send(message("tx", 3), T.Rollback())
    yield Send(get("tx", no_ack=False))
    yield Send(B.Ack(delivery_tag=1), T.Rollback())
    yield Send(B.Ack(delivery_tag=1), T.Commit())
    yield Send(message("nobody", 4, mandatory=True), T.Commit())
    yield Send(get("tx"))
    yield Send(spec.Confirm.Select())


def transactions_not_begun():
    yield Send(T.Commit())
    yield Send(C.CloseOk(), C.Open())
    yield Send(T.Rollback())


# -- channels and connections ---------------------------------------------------------------------------------------------------------


def channel_opened_twice():
    yield Send(C.Open())


def channel_never_opened():
    yield Send(declare("x"), channel=9)


def channel_flow():
    yield Send(C.Flow(active=True))
    yield Send(C.Flow(active=False))


def channel_close_of_one_that_is_closed():
    yield Send(C.Close(reply_code=200, reply_text="", class_id=0, method_id=0))
    yield Send(C.Open())
    yield Send(declare("reopened"))


def content_frames_out_of_order():
    yield Send(("frame", "body", b"surprise"))


def content_interrupted_by_a_method():
    yield Send(B.Publish(exchange="", routing_key="k"), Q.Declare(queue="q"))


def method_of_the_server_from_the_client():
    yield Send(Q.DeclareOk(queue="q", message_count=0, consumer_count=0))


def frame_without_its_end():
    yield Send(("raw", b"\x01\x00\x01\x00\x00\x00\x04\x00\x14\x00\x28\x00"))


def frame_too_large():
    yield Send(("raw", b"\x03\x00\x01\x7f\xff\xff\xff"))


def connection_closed_by_the_client():
    yield Send(spec.Connection.Close(reply_code=200, reply_text="done", class_id=0, method_id=0), channel=0)


def permissions():
    yield Send(declare("own-q"), connection="weak")
    yield Send(declare("other"), connection="weak")
    yield Send(C.CloseOk(), C.Open(), connection="weak")
    yield Send(exchange("other-x"), connection="weak")
    yield Send(C.CloseOk(), C.Open(), connection="weak")
    yield Send(message("k", "x", "amq.topic"), connection="weak")
    yield Send(message("k", "x", "amq.direct"), connection="weak")
    yield Send(C.CloseOk(), C.Open(), connection="weak")
    yield Send(message("own-q", "x", ""), connection="weak")
    yield Send(C.CloseOk(), C.Open(), connection="weak")
    yield Send(bind("own-q", "amq.topic", "#"), connection="weak")
    yield Send(C.CloseOk(), C.Open(), connection="weak")
    yield Send(declare("theirs"))
    yield Send(get("theirs"), connection="weak")
    yield Send(C.CloseOk(), C.Open(), connection="weak")
    yield Send(Q.Purge(queue="theirs"), connection="weak")
    yield Send(C.CloseOk(), C.Open(), connection="weak")
    yield Send(Q.Delete(queue="theirs"), connection="weak")
    yield Send(C.CloseOk(), C.Open(), connection="weak")
    yield Send(consume("own-q"), connection="weak")


def reply_to_the_asker_directly():
    yield Send(consume("amq.rabbitmq.reply-to", "rpc", no_ack=True))
    yield Send(declare("amq.rabbitmq.reply-to", passive=True))
    yield Send(consume("amq.rabbitmq.reply-to", "rpc2"))
    yield Send(C.CloseOk(), C.Open())
    yield Send(message("k", "x", "", P(reply_to="amq.rabbitmq.reply-to")))


HELPERS = {"drain"}
ALL = [f for name, f in list(globals().items()) if inspect.isgeneratorfunction(f) and name not in HELPERS]
