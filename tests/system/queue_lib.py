"""What the tests of the queue share: Millrace with a queue service, Debian's rabbitmq-server beside it, a client that keeps frames as
they came."""
import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.append("/usr/lib/python3/dist-packages")  # Debian's pika, whichever interpreter runs this
from pika import exceptions, frame, spec  # noqa: E402

from lib import ADDRESS, HOST, main, run, wait_until  # noqa: E402

# QUEUE_SERVER=rabbitmq runs a test of clients against Debian's server instead: is it the test that is wrong?
ORACLE_ONLY = os.environ.get("QUEUE_SERVER") == "rabbitmq"
PORT = 5672
AMQP = (HOST if ORACLE_ONLY else ADDRESS, PORT)
URL = f"amqp://guest:guest@{AMQP[0]}"

SERVICE = """\
  - queue:
      listen: :5672
{more}
"""


def queue_service(users=True, **settings):
    """For `more` of a Millrace: a queue with these keys. `users`: guest, and one who may do little."""
    more = "".join(f"      {name}: {value}\n" for name, value in settings.items())
    if users:
        more += ("      vhosts: [{name: /}, {name: other}]\n"
                 "      users:\n"
                 "        - {name: guest, password: guest, permissions: [{vhost: /, configure: '.*', write: '.*', read: '.*'},"
                 " {vhost: other, configure: '.*', write: '.*', read: '.*'}]}\n"
                 "        - {name: weak, password: secret, permissions: [{vhost: /, configure: '^own-', write: '^own-|^amq\\.topic$',"
                 " read: '^own-'}]}\n")
    return SERVICE.format(more=more)


class RabbitMq:
    """Debian's, on the kernel's side of the namespace, with folders of its own. Slow to start: once a test program."""

    CONFIG = """\
listeners.tcp.1 = {host}:5672
loopback_users = none
heartbeat = 60
log.console = false
log.file.level = error
disk_free_limit.absolute = 1MB
vm_memory_high_watermark.absolute = 2GB
"""

    def __init__(self, namespace, schedulers=1):
        self.folder = namespace.folder / "rabbitmq"
        for name in ("", "mnesia", "log"):
            (self.folder / name).mkdir()
        (self.folder / "rabbitmq.conf").write_text(self.CONFIG.format(host=HOST))
        (self.folder / "plugins").write_text("[].\n")
        self.address = (HOST, PORT)
        self.environment = {
            "PATH": "/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.folder), "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": "x@localhost", "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": "4369",
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"), "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"), "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"), "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"+S {schedulers}:{schedulers}"}
        self.output = open(self.folder / "output", "wb")
        self.process = subprocess.Popen(["/usr/lib/rabbitmq/bin/rabbitmq-server"], env=self.environment, cwd=self.folder,
                                        stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT,
                                        start_new_session=True)
        try:
            wait_until(self.serves, "rabbitmq-server serves", 90)
        except BaseException:
            self.stop()
            raise

    def serves(self):
        assert self.process.poll() is None, f"rabbitmq-server: exit {self.process.returncode}: {(self.folder / 'output').read_text()}"
        try:
            with Frames(self.address) as c:
                c.open()
            return True
        except (OSError, EOFError):
            return False

    def control(self, *words):
        """It serves before it can be administered."""
        def succeeds():
            result = subprocess.run(["/usr/lib/rabbitmq/bin/rabbitmqctl", "-q", *words], env=self.environment, cwd=self.folder,
                                    capture_output=True, text=True, timeout=60)
            return result if result.returncode == 0 else None
        return wait_until(succeeds, f"rabbitmqctl {' '.join(words)}", 30).stdout

    def cpu_seconds(self):
        fields = open(f"/proc/{self.beam()}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def beam(self):
        return int((self.folder / "pid").read_text())

    def stop(self):
        """All of its session, and the epmd that it started, which is a daemon of the same namespace."""
        self.output.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(20)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith(("epmd", "beam", "erl_child_setup", "inet_gethost")) and \
                        os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino:
                    os.kill(int(pid), signal.SIGKILL)


class Closed(Exception):
    """The server ended the connection."""


class Frames:
    """A connection as frames: pika's codec, nothing of its client. What arrives is kept in order."""

    def __init__(self, address=AMQP, timeout=20):
        self.socket = socket.create_connection(address, timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.eof = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def raw(self, data):
        self.socket.sendall(data)

    def send(self, channel, method):
        self.raw(frame.Method(channel, method).marshal())

    def publish(self, channel, exchange, key, body, properties=None, frame_bytes=100_000, **flags):
        data = frame.Method(channel, spec.Basic.Publish(exchange=exchange, routing_key=key, **flags)).marshal()
        data += frame.Header(channel, len(body), properties or spec.BasicProperties()).marshal()
        for at in range(0, len(body), frame_bytes):
            data += frame.Body(channel, body[at:at + frame_bytes]).marshal()
        self.raw(data)

    def read(self, timeout=None):
        """The next frame, decoded; None: nothing within `timeout`. EOFError at the end."""
        while True:
            used, decoded = frame.decode_frame(self.buffer)
            if decoded is not None:
                self.buffer = self.buffer[used:]
                return decoded
            if timeout is not None:
                self.socket.settimeout(timeout)
            try:
                data = self.socket.recv(1 << 18)
            except TimeoutError:
                if timeout is None:
                    raise
                return None
            finally:
                if timeout is not None:
                    self.socket.settimeout(20)
            if not data:
                raise EOFError
            self.buffer += data

    def expect(self, *kinds, channel=None):
        """Reads until a method of one of these comes, and returns it; a close that is not expected is an error."""
        while True:
            f = self.read()
            if not isinstance(f, frame.Method):
                continue
            if isinstance(f.method, kinds) and channel in (None, f.channel_number):
                return f.method
            if isinstance(f.method, (spec.Connection.Close, spec.Channel.Close)):
                raise Closed(f"{f.method.reply_code} {f.method.reply_text}")

    def call(self, channel, method, *kinds):
        self.send(channel, method)
        return self.expect(*kinds, channel=channel)

    def open(self, user="guest", password="guest", vhost="/", channels=(1,), frame_max=131072, heartbeat=0):
        self.raw(b"AMQP\x00\x00\x09\x01")
        self.start = self.expect(spec.Connection.Start)
        self.send(0, spec.Connection.StartOk(client_properties={"capabilities": {
            "authentication_failure_close": True, "consumer_cancel_notify": True, "connection.blocked": True}},
            mechanism="PLAIN", response=f"\0{user}\0{password}", locale="en_US"))
        self.tune = self.expect(spec.Connection.Tune)
        self.send(0, spec.Connection.TuneOk(channel_max=self.tune.channel_max, frame_max=frame_max, heartbeat=heartbeat))
        self.call(0, spec.Connection.Open(virtual_host=vhost), spec.Connection.OpenOk)
        for channel in channels:
            self.call(channel, spec.Channel.Open(), spec.Channel.OpenOk)
        return self


def queue_main(*tests, more="", **settings):
    """lib.main with a queue service, or, asked so, with rabbitmq-server in its place; tests that need Millrace get None then."""
    if not ORACLE_ONLY:
        main(*tests, more=queue_service(**settings) + more)
        return
    server = []

    def oracle_starts(namespace, _):
        run("ip", "addr", "add", f"{HOST}/24", "dev", "lo")
        server.append(RabbitMq(namespace))
    try:
        main(oracle_starts, *tests, millrace=False)
    finally:
        for s in server:
            s.stop()


def content(connection):
    """Header and body that follow a method: properties, bytes."""
    header = connection.read()
    assert isinstance(header, frame.Header), header
    body = b""
    while len(body) < header.body_size:
        part = connection.read()
        assert isinstance(part, frame.Body), part
        body += part.fragment
    return header.properties, body


__all__ = ["ADDRESS", "AMQP", "Closed", "Frames", "HOST", "PORT", "RabbitMq", "URL", "content", "exceptions", "frame", "queue_main", "queue_service", "spec",
           "struct", "time"]
