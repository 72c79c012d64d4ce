#!/usr/bin/env python3
"""The queue under numbers and under need: 1,000 queues, 1,000 connections, consumers that do not read, more than memory holds, a full
disk. Bounded in count and time; what is measured is printed."""
import contextlib
import os
import threading
import time

from lib import Millrace, main, note, run, wait_until
from queue_lib import Frames, content, queue_service, spec

MANY = 1000
GONE = (OSError, EOFError)


def confirming(connection):
    connection.call(1, spec.Confirm.Select(), spec.Confirm.SelectOk)
    return connection


def confirms(connection, n):
    """Waits until `n` more are confirmed; tags grow without a gap."""
    done = getattr(connection, "confirmed_so_far", 0)
    target, singles = done + n, set()
    while done < target:
        method = connection.expect(spec.Basic.Ack, spec.Basic.Nack)
        assert isinstance(method, spec.Basic.Ack), "refused"
        if method.multiple:
            done = max(done, method.delivery_tag)
        else:
            singles.add(method.delivery_tag)
        while done + 1 in singles:
            done += 1
    connection.confirmed_so_far = done


def persistent():
    return spec.BasicProperties(delivery_mode=2)


def taken(connection, queue, n, timeout=None):
    """Consumes and acknowledges `n`, yields each body."""
    connection.call(1, spec.Basic.Qos(prefetch_count=200), spec.Basic.QosOk)
    connection.send(1, spec.Basic.Consume(queue=queue, consumer_tag="taken"))
    for i in range(n):
        method = connection.expect(spec.Basic.Deliver)
        yield content(connection)[1]
        if i % 50 == 49 or i == n - 1:
            connection.send(1, spec.Basic.Ack(delivery_tag=method.delivery_tag, multiple=True))
    connection.call(1, spec.Basic.Cancel(consumer_tag="taken"), spec.Basic.CancelOk)


def thousand_queues_each_hold_their_own(namespace, _):
    with service(namespace, "many", folder="{folder}/many") as millrace, Frames() as c:
        confirming(c.open())
        before = millrace.memory_bytes()
        for i in range(MANY):
            c.call(1, spec.Queue.Declare(queue=f"q{i}", durable=True), spec.Queue.DeclareOk)
        each = (millrace.memory_bytes() - before) / MANY
        for i in range(MANY):
            c.publish(1, "", f"q{i}", b"for %d" % i, persistent())
        confirms(c, MANY)
        for i in range(MANY):
            c.call(1, spec.Basic.Get(queue=f"q{i}", no_ack=True), spec.Basic.GetOk)
            assert content(c)[1] == b"for %d" % i
        note(f"{each:.0f} bytes of resident memory an idle durable queue")
        for i in range(MANY):
            c.call(1, spec.Queue.Delete(queue=f"q{i}"), spec.Queue.DeleteOk)
        wait_until(lambda: len(os.listdir(namespace.folder / "many")) < 20, "folders of deleted queues go")


def thousand_connections_publish_and_consume(namespace, _):
    with service(namespace, "crowd") as millrace, contextlib.ExitStack() as stack:
        before = millrace.memory_bytes()
        crowd = []
        for _ in range(MANY):
            crowd.append(stack.enter_context(Frames()).open())
        note(f"{(millrace.memory_bytes() - before) / MANY:.0f} bytes of resident memory a connection with one channel")
        crowd[0].call(1, spec.Queue.Declare(queue="crowd"), spec.Queue.DeclareOk)
        for c in crowd:
            c.send(1, spec.Basic.Qos(prefetch_count=1))
            c.send(1, spec.Basic.Consume(queue="crowd", consumer_tag="c"))
        for c in crowd:
            c.expect(spec.Basic.ConsumeOk)
        for i, c in enumerate(crowd):
            c.publish(1, "", "crowd", b"%d" % i)
        got = set()
        for c in crowd:  # a prefetch of one and nothing acknowledged: one for each
            c.expect(spec.Basic.Deliver)
            got.add(int(content(c)[1]))
        assert got == set(range(MANY))


def consumer_that_does_not_read_holds_up_nobody(namespace, _):
    with service(namespace, "slow", memory_max="64MiB") as millrace, Frames() as lazy, Frames() as busy, Frames() as publisher:
        for c in (lazy, busy, confirming(publisher.open())):
            if c is not publisher:
                c.open()
        publisher.call(1, spec.Queue.Declare(queue="lazy"), spec.Queue.DeclareOk)
        publisher.call(1, spec.Queue.Declare(queue="busy"), spec.Queue.DeclareOk)
        lazy.call(1, spec.Basic.Consume(queue="lazy", consumer_tag="c", no_ack=True), spec.Basic.ConsumeOk)
        body = os.urandom(10_000)
        for _ in range(2000):  # 20 MB, more than any buffer on the way
            publisher.publish(1, "", "lazy", body)
        confirms(publisher, 2000)
        for i in range(500):
            publisher.publish(1, "", "busy", b"%d" % i)
        assert [int(b) for b in taken(busy, "busy", 500)] == list(range(500))
        for _ in range(2000):
            lazy.expect(spec.Basic.Deliver)
            assert content(lazy)[1] == body


def more_than_memory_goes_to_the_disk_and_comes_back(namespace, _):
    total, size = 6000, 30_000  # 180 MB through 64 MiB
    with service(namespace, "paged", memory_max="64MiB", folder="{folder}/paged") as millrace, Frames() as c:
        confirming(c.open())
        c.call(1, spec.Queue.Declare(queue="deep", durable=True), spec.Queue.DeclareOk)
        filling = os.urandom(size)
        for first in range(0, total, 100):
            for i in range(first, first + 100):
                c.publish(1, "", "deep", b"%8d" % i + filling, persistent())
            confirms(c, 100)
        note(f"{total * size >> 20} MiB in the queue, {millrace.memory_bytes() >> 20} MiB resident")
        for i, body in enumerate(taken(c, "deep", total)):
            assert body[:8] == b"%8d" % i and body[8:] == filling, f"message {i} is another"


def transient_flood_blocks_publishers_and_loses_nothing(namespace, _):
    with service(namespace, "flood", memory_max="32MiB") as millrace, Frames() as publisher, Frames() as consumer:
        publisher.open()
        consumer.open()
        publisher.call(1, spec.Queue.Declare(queue="flood"), spec.Queue.DeclareOk)
        total, body = 6000, b"z" * 10_000

        def flood():
            with contextlib.suppress(*GONE):
                for i in range(total):
                    publisher.publish(1, "", "flood", b"%8d" % i + body)
        thread = threading.Thread(target=flood, daemon=True)
        thread.start()
        assert publisher.expect(spec.Connection.Blocked).reason
        assert "blocked_now" in millrace.ask("stat", "queue", "--all")
        for i, got in enumerate(taken(consumer, "flood", total)):
            assert got[:8] == b"%8d" % i
        publisher.expect(spec.Connection.Unblocked)
        thread.join(20)
        assert not thread.is_alive()


def full_disk_blocks_publishers_and_is_seen(namespace, _):
    disk = namespace.folder / "disk"
    disk.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=24m", "none", disk)
    try:
        filler = disk / "filler"
        with service(namespace, "full", folder="{folder}/disk/queue", disk_free_min="1KiB", segment_bytes="1MiB") as millrace, Frames() as c:
            confirming(c.open())
            c.call(1, spec.Queue.Declare(queue="full", durable=True), spec.Queue.DeclareOk)
            c.publish(1, "", "full", b"before", persistent())
            confirms(c, 1)
            filler.write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - (1 << 20)))
            sent, body = 0, os.urandom(50_000)
            end = time.monotonic() + 20
            blocked = None
            while not blocked and time.monotonic() < end:
                c.publish(1, "", "full", b"%8d" % sent + body, persistent())
                sent += 1
                f = c.read(0.02)
                while f is not None:
                    if isinstance(f.method, spec.Connection.Blocked):
                        blocked = f.method.reason
                    elif isinstance(f.method, spec.Basic.Ack):
                        c.confirmed_so_far = f.method.delivery_tag
                    f = c.read(0.001)
            assert blocked, f"{sent} messages on a full disk and never blocked"
            note(f"blocked with {blocked!r} after {c.confirmed_so_far} of {sent + 1} were confirmed")
            filler.unlink()
            c.expect(spec.Connection.Unblocked)
            confirms(c, sent + 1 - c.confirmed_so_far)
            got = list(taken(c, "full", sent + 1))
            assert got[0] == b"before" and [int(g[:8]) for g in got[1:]] == list(range(sent))
            assert millrace.process.poll() is None
    finally:
        run("umount", disk, check=False)


@contextlib.contextmanager
def service(namespace, name, workers=1, message_bytes_max="8MiB", **settings):
    millrace = Millrace(namespace, name=name, more=queue_service(message_bytes_max=message_bytes_max, **settings) + f"workers:\n  count: {workers}\n")
    try:
        yield millrace
        assert millrace.process.poll() is None, "it has ended"
        assert millrace.stop() == 0
    except BaseException:
        note(millrace.log_path.read_text(errors="replace")[-2000:].replace("\n", "\n# "))
        raise
    finally:
        millrace.kill()


main(thousand_queues_each_hold_their_own, thousand_connections_publish_and_consume, consumer_that_does_not_read_holds_up_nobody,
     more_than_memory_goes_to_the_disk_and_comes_back, transient_flood_blocks_publishers_and_loses_nothing,
     full_disk_blocks_publishers_and_is_seen, millrace=False)
