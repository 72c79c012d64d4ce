#!/usr/bin/env python3
"""Scripted AMQP sessions, the same frames to Millrace and to Debian's rabbitmq-server: what comes back is compared frame by frame, errors
with their codes and texts. The sessions are in queue_scenarios.py.

    queue_sessions.py MILLRACE [--only TEXT] [--itself] [--workers N]

--itself compares rabbitmq-server with itself: what differs there cannot be asked of anybody."""
import argparse
import datetime
import re

from lib import main, note, run
from queue_lib import AMQP, HOST, Frames, RabbitMq, frame, queue_service, spec
from queue_scenarios import ALL

QUIET, QUIET_OURS, PATIENCE = 0.08, 0.02, 5.0

parser = argparse.ArgumentParser()
parser.add_argument("millrace", nargs="?")
parser.add_argument("--only", default="")
parser.add_argument("--itself", action="store_true")
parser.add_argument("--workers", type=int, default=1)
options = parser.parse_args()


def plain(value):
    """A value of a table without what no two servers have in common: times, generated names."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, (datetime.datetime,)):
        return "TIME"
    if isinstance(value, str):
        return re.sub(r"amq\.(gen|ctag)-[\w-]+", r"amq.\1", value)
    return value


def fields(thing):
    return {key: plain(value) for key, value in vars(thing).items() if value is not None and not key.startswith("_")}


def shown(f):
    if isinstance(f, frame.Method):
        return f.method.NAME, fields(f.method)
    if isinstance(f, frame.Header):
        return "header", {"body": f.body_size, **fields(f.properties)}
    if isinstance(f, frame.Body):
        return "body", f.fragment
    return type(f).__name__, {}


class Client:
    """One connection of a session."""

    def __init__(self, address, name):
        self.frames = Frames(address)
        user = {"weak": ("weak", "secret")}.get(name, ("guest", "guest"))
        self.frames.open(*user, channels=(1, 2))
        self.gone = False

    def send(self, channel, item):
        if self.gone:
            return
        try:
            if not isinstance(item, tuple):
                self.frames.send(channel, item)
            elif item[0] == "publish":
                _, exchange, key, body, properties, flags = item
                self.frames.publish(channel, exchange, key, body, properties, **flags)
            elif item[0] == "raw":
                self.frames.raw(item[1])
            elif item[1] == "header":
                self.frames.raw(frame.Header(channel, item[2], spec.BasicProperties()).marshal())
            else:
                self.frames.raw(frame.Body(channel, item[2]).marshal())
        except OSError:
            self.gone = True

    def hear(self, out, timeout):
        """One more frame into `out`, or False."""
        if self.gone:
            return False
        try:
            f = self.frames.read(timeout)
        except (EOFError, OSError):
            self.gone = True
            out.append((0, ("end", {})))
            return True
        if f is None:
            return False
        name, value = shown(f)
        if name == "body" and out and out[-1][1][0] == "body" and out[-1][0] == f.channel_number:
            out[-1] = (f.channel_number, ("body", out[-1][1][1] + value))
        elif name != "Heartbeat":
            out.append((f.channel_number, (name, value)))
        return True


def answered(step, name, items):
    """Everything that must come has come: a reply for each method that has one, the content that belongs to a method."""
    if items and items[-1][1][0] in ("Basic.Deliver", "Basic.GetOk", "Basic.Return"):
        return False
    if items and items[-1][1][0] == "header" and items[-1][1][1]["body"]:
        return False
    if any(kind in ("Channel.Close", "Connection.Close", "end") for _, (kind, _) in items):
        return True
    if name != step.connection:
        return True
    asked = [i for i in step.items if not isinstance(i, tuple) and i.synchronous and not getattr(i, "nowait", False)]
    return sum(kind.endswith(("Ok", "GetEmpty")) for _, (kind, _) in items) >= len(asked)


def listen(clients, step, wanted):
    """What each connection hears until it is quiet; `wanted`: what the other server said, for which we wait."""
    heard = {}
    for name, client in clients.items():
        items = heard[name] = []
        while True:
            patient = not answered(step, name, items)
            if wanted is not None:
                whole = not items or items[-1][1][0] != "body"
                patient = len(items) < len(wanted[name]) or (len(items) == len(wanted[name]) and items != wanted[name] and not whole)
            if not client.hear(items, PATIENCE if patient else QUIET if wanted is None else QUIET_OURS):
                break
    for items in heard.values():  # then some servers end the connection, others wait for the client to do so
        if len(items) > 1 and items[-1][1][0] == "end" and items[-2][1][0] in ("Connection.Close", "Connection.CloseOk"):
            items.pop()
    return {name: [item for _, item in sorted(enumerate(items), key=lambda x: (x[1][0], x[0]))] for name, items in heard.items()}


def play(address, scenario, said):
    """Runs a session; returns what was heard after each step. `said`: the same of the other server."""
    clients, heard, steps = {}, [], []
    session = scenario()
    try:
        for number, step in enumerate(session):
            if step.connection not in clients:
                clients[step.connection] = Client(address, step.connection)
            for item in step.items:
                clients[step.connection].send(step.channel, item)
            wanted = said[number] if said and number < len(said) else None
            if wanted is not None:
                wanted = {name: wanted.get(name, []) for name in clients}
            heard.append(listen(clients, step, wanted))
            steps.append(step)
            if said and heard[-1] != said[number]:
                break
    finally:
        for client in clients.values():
            client.frames.close()
    return heard, steps


def clean(address):
    """Queues and exchanges of one session are not there in the next."""
    names = {"queue": set(), "exchange": set()}
    for scenario in ALL:
        for step in scenario():
            for item in step.items:
                if isinstance(item, spec.Queue.Declare) and item.queue and not item.queue.startswith("amq."):
                    names["queue"].add(item.queue)
                if isinstance(item, spec.Exchange.Declare) and item.exchange and not item.exchange.startswith("amq."):
                    names["exchange"].add(item.exchange)
    with Frames(address) as c:
        c.open()
        for queue in sorted(names["queue"]):
            c.call(1, spec.Queue.Delete(queue=queue), spec.Queue.DeleteOk)
        for exchange in sorted(names["exchange"]):
            c.call(1, spec.Exchange.Delete(exchange=exchange), spec.Exchange.DeleteOk)


def described(item):
    channel, (name, value) = item
    value = {k: v for k, v in value.items() if v not in (False, "", {})} if isinstance(value, dict) else value[:80]
    return f"{channel} {name} {value}"


def compare(scenario, theirs_heard, ours_heard, steps):
    for number, (theirs, ours) in enumerate(zip(theirs_heard, ours_heard)):
        if theirs == ours:
            continue
        lines = [f"{scenario.__name__}: step {number + 1}"] + [f"  sent   {i}"[:300] for i in steps[number].items]
        for name in theirs:
            if theirs[name] != ours.get(name):
                lines += [f"  theirs {name}: {described(i)}" for i in theirs[name]] + [f"  ours   {name}: {described(i)}" for i in ours.get(name, [])]
        raise AssertionError("\n".join(lines))
    assert len(theirs_heard) == len(ours_heard), f"{scenario.__name__}: ended after step {len(ours_heard)}"


servers = {}


def oracle(namespace):
    if "rabbitmq" not in servers:
        if options.itself:
            run("ip", "addr", "add", f"{HOST}/24", "dev", "lo", check=False)
        server = RabbitMq(namespace)
        server.control("add_user", "weak", "secret")
        server.control("set_permissions", "weak", "^own-", r"^own-|^amq\.topic$", "^own-")
        servers["rabbitmq"] = server
    return servers["rabbitmq"].address


def test_of(scenario):
    def test(namespace, millrace):
        theirs = oracle(namespace)
        said, _ = play(theirs, scenario, None)
        ours = theirs if options.itself else AMQP
        if options.itself:
            clean(theirs)
        heard, steps = play(ours, scenario, said)
        compare(scenario, said, heard, steps)
    test.__name__ = scenario.__name__
    return test


def every_name_can_be_deleted(namespace, millrace):
    """At the end of all: nothing is left that cannot be taken away."""
    clean(oracle(namespace) if options.itself else AMQP)


try:
    tests = [test_of(s) for s in ALL if options.only in s.__name__]
    workers = f"workers:\n  count: {options.workers}\n" if options.workers > 1 else ""
    main(*tests, every_name_can_be_deleted, millrace=not options.itself, more=queue_service() + workers)
finally:
    for server in servers.values():
        server.stop()
