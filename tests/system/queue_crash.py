#!/usr/bin/env python3
"""The queue against kill -9 in each durability: every message that was confirmed is there after the next start, exactly as promised, in
order; what was acknowledged comes back only when its acknowledgement had not got through; duplicates only where the protocol allows. The
seed is printed; TEST_SEED repeats it (the kernel's timing stays its own)."""
import contextlib
import os
import random
import socket
import threading
import time

from lib import Millrace, main, note, wait_until
from queue_lib import AMQP, Frames, content, queue_service, spec

SEED = int(os.environ.get("TEST_SEED") or time.time_ns() % 2**32)
ROUNDS, SECONDS = 8, 45
# The first two survive the process (a power loss cannot be made here); of the third nothing is promised but that the queue is there.
QUEUES = {"safe": "fsync", "quick": "written", "careless": "memory"}
GONE = (OSError, EOFError)


class Publisher(threading.Thread):
    """Numbers its messages; `confirmed` holds what was, `sent` the last one."""

    def __init__(self, queue, begin, seed):
        super().__init__(daemon=True)
        self.queue, self.sent, self.confirmed, self.failure = queue, begin, set(), None
        self.begin, self.random, self.frames = begin, random.Random(seed), None

    def run(self):
        try:
            self.frames = Frames().open()
            self.frames.call(1, spec.Confirm.Select(), spec.Confirm.SelectOk)
            while True:
                self.batch(self.random.choice((1, 3, 20, 100)))
        except GONE:
            pass
        except Exception as failure:
            self.failure = failure

    def batch(self, n):
        first = self.sent + 1
        for number in range(first, first + n):
            filling = b"." * self.random.choice((0, 10, 1000, 1000, 70_000))
            self.sent = number
            self.frames.publish(1, "", self.queue, b"%d %s" % (number, filling), spec.BasicProperties(delivery_mode=2))
        waiting = n
        while waiting:
            method = self.frames.expect(spec.Basic.Ack, spec.Basic.Nack)
            assert isinstance(method, spec.Basic.Ack), "a nack without a reason"
            tag = method.delivery_tag + self.begin  # tags count from 1 on this channel
            done = {t for t in range(first, tag + 1) if t not in self.confirmed} if method.multiple else {tag}
            assert done <= set(range(first, first + n)), f"confirmed what was not sent: {done}"
            self.confirmed |= done
            waiting -= len(done)

    def leave(self):
        with contextlib.suppress(*GONE, AttributeError):
            self.frames.socket.shutdown(socket.SHUT_RDWR)


class Consumer(threading.Thread):
    """Acknowledges some of what it gets; `got` in order, `acknowledged` what it has said so of."""

    def __init__(self, queue, seed):
        super().__init__(daemon=True)
        self.queue, self.got, self.acknowledged, self.failure = queue, [], set(), None
        self.random, self.frames = random.Random(seed), None

    def run(self):
        try:
            self.frames = Frames().open()
            self.frames.call(1, spec.Basic.Qos(prefetch_count=50), spec.Basic.QosOk)
            self.frames.send(1, spec.Basic.Consume(queue=self.queue, consumer_tag="c"))
            while True:
                method = self.frames.expect(spec.Basic.Deliver)
                _, body = content(self.frames)
                number = int(body.split(b" ", 1)[0])
                self.got.append((number, method.redelivered))
                if self.random.random() < 0.02:
                    self.frames.send(1, spec.Basic.Nack(delivery_tag=method.delivery_tag, requeue=True))
                else:
                    self.acknowledged.add(number)  # before it is said: it may get through and we not hear of it
                    self.frames.send(1, spec.Basic.Ack(delivery_tag=method.delivery_tag))
        except GONE:
            pass
        except Exception as failure:
            self.failure = failure

    leave = Publisher.leave


def ready(queue):
    with Frames() as c:
        return c.open().call(1, spec.Queue.Declare(queue=queue, passive=True), spec.Queue.DeclareOk).message_count


def looked_at(queue):
    """Everything that is in a queue, in order, left there: it is put back when the connection has ended, which takes a moment."""
    found = taken(queue)
    wait_until(lambda: ready(queue) == len(found), "everything is put back")
    return found


def taken(queue):
    with Frames() as c:
        c.open()
        count = c.call(1, spec.Queue.Declare(queue=queue, passive=True), spec.Queue.DeclareOk).message_count
        found = []
        for _ in range(count):
            method = c.call(1, spec.Basic.Get(queue=queue), spec.Basic.GetOk, spec.Basic.GetEmpty)
            assert isinstance(method, spec.Basic.GetOk), f"{len(found)} of {count}"
            _, body = content(c)
            found.append((int(body.split(b" ", 1)[0]), method.redelivered))
        assert isinstance(c.call(1, spec.Basic.Get(queue=queue), spec.Basic.GetOk, spec.Basic.GetEmpty), spec.Basic.GetEmpty)
        return found


class Ledger:
    """What must be, may be and must not be in a queue, over all rounds."""

    def __init__(self, queue):
        self.queue, self.confirmed, self.acknowledged, self.sent, self.delivered = queue, set(), set(), 0, set()

    def add(self, publisher, consumer):
        self.confirmed |= publisher.confirmed
        self.sent = publisher.sent
        if consumer:
            self.acknowledged |= consumer.acknowledged
            self.delivered |= {number for number, _ in consumer.got}

    def check(self):
        found = looked_at(self.queue)
        numbers = [number for number, _ in found]
        assert len(numbers) == len(set(numbers)), f"{self.queue}: twice in the queue: {sorted({n for n in numbers if numbers.count(n) > 1})[:5]}"
        assert numbers == sorted(numbers), f"{self.queue}: order"
        missing = self.confirmed - self.acknowledged - set(numbers) if QUEUES[self.queue] != "memory" else None
        assert not missing, f"{self.queue}: confirmed and lost: {len(missing)}, {sorted(missing)[:5]}"
        assert not [n for n in numbers if n > self.sent], f"{self.queue}: nobody sent that"
        unmarked = [n for n, redelivered in found if n in self.delivered and not redelivered]
        return len(numbers), len(unmarked)


def start(namespace, name):
    more = queue_service(folder="{folder}/queue", segment_bytes="1MiB") + "workers:\n  count: 2\n"
    return Millrace(namespace, name=name, more=more)


def killed_at_random_points_loses_nothing_confirmed(namespace, _):
    note(f"seed {SEED}")
    chance, end = random.Random(SEED), time.monotonic() + SECONDS
    ledgers = {queue: Ledger(queue) for queue in QUEUES}
    millrace = start(namespace, "crash")
    try:
        with Frames() as c:
            c.open()
            for queue, durability in QUEUES.items():
                c.call(1, spec.Queue.Declare(queue=queue, durable=True, arguments={"x-durability": durability}), spec.Queue.DeclareOk)
        for number in range(ROUNDS):
            consumed = number % 2 == 1
            parties = {q: (Publisher(q, ledger.sent, chance.random()), Consumer(q, chance.random()) if consumed else None)
                       for q, ledger in ledgers.items()}
            everybody = [p for pair in parties.values() for p in pair if p]
            for party in everybody:
                party.start()
            time.sleep(chance.uniform(0.3, 1.5))  # the point at which it is killed
            millrace.kill()
            for party in everybody:
                party.leave()
                party.join(15)
                assert not party.is_alive() and not party.failure, party.failure
            millrace.start()
            for queue, ledger in ledgers.items():
                ledger.add(*parties[queue])
                left, unmarked = ledger.check()
                note(f"round {number}: {queue}: {len(ledger.confirmed)} confirmed of {ledger.sent}, {len(ledger.acknowledged)} acknowledged, "
                     f"{left} in the queue, {unmarked} of them delivered before and not marked so")
            if time.monotonic() > end:
                break
    finally:
        millrace.kill()


def an_orderly_stop_keeps_everything(namespace, _):
    millrace = start(namespace, "orderly")
    try:
        with Frames() as c:
            c.open()
            c.call(1, spec.Queue.Declare(queue="kept", durable=True), spec.Queue.DeclareOk)
            c.call(1, spec.Queue.Declare(queue="fleeting"), spec.Queue.DeclareOk)
            c.call(1, spec.Exchange.Declare(exchange="kept-x", type="topic", durable=True), spec.Exchange.DeclareOk)
            c.call(1, spec.Queue.Bind(queue="kept", exchange="kept-x", routing_key="a.#"), spec.Queue.BindOk)
            c.call(1, spec.Confirm.Select(), spec.Confirm.SelectOk)
            properties = spec.BasicProperties(delivery_mode=2, headers={"h": 1}, priority=3, message_id="m")
            for i in range(100):
                c.publish(1, "kept-x", "a.b", b"%d" % i, properties)
            c.publish(1, "", "kept", b"not persistent")
            wait_until(lambda: c.expect(spec.Basic.Ack).delivery_tag >= 101 or None, "confirmed")
        assert millrace.stop() == 0
        millrace.start()
        with Frames() as c:
            c.open()
            assert [number for number, _ in looked_at("kept")] == list(range(100))
            c.publish(1, "kept-x", "a.c", b"by the old binding", properties)
            for _ in range(100):
                c.call(1, spec.Basic.Get(queue="kept", no_ack=True), spec.Basic.GetOk)
                got, _ = content(c)
                assert got.headers == {"h": 1} and got.message_id == "m" and got.priority == 3
            c.call(1, spec.Basic.Get(queue="kept", no_ack=True), spec.Basic.GetOk)
            assert content(c)[1] == b"by the old binding"
            c.send(1, spec.Queue.Declare(queue="fleeting", passive=True))
            assert c.read().method.reply_code == 404
    finally:
        millrace.kill()


assert AMQP
main(killed_at_random_points_loses_nothing_confirmed, an_orderly_stop_keeps_everything, millrace=False)
