"""What the tests of the cache share: Millrace with a cache, Debian's servers beside it, a client that keeps replies as they came."""
import socket
import subprocess
import time

from lib import ADDRESS, HOST, run, wait_until

REDIS, MEMCACHED = (ADDRESS, 6379), (ADDRESS, 11211)

SERVICE = """\
  - cache:
      listen: :6379
      memcached: :11211
{more}
"""


def cache_service(**settings):
    """For `more` of a Millrace: a cache with these keys."""
    return SERVICE.format(more="".join(f"      {name}: {value}\n" for name, value in settings.items()))


class Oracle:
    """One of Debian's servers, on the kernel's side of the namespace."""

    def __init__(self, namespace, port, *command):
        self.address = (HOST, port)
        self.process = subprocess.Popen([str(word) for word in command], cwd=namespace.folder, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.accepts, f"{command[0]} accepts")

    def accepts(self):
        assert self.process.poll() is None, f"exit {self.process.returncode}"
        try:
            socket.create_connection(self.address, timeout=1).close()
            return True
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def redis_server(namespace, port=6379):
    return Oracle(namespace, port, "redis-server", "--bind", HOST, "--port", port, "--save", "", "--enable-debug-command", "yes",
                  "--protected-mode", "no")


def memcached_server(namespace, port=11211):
    """Without its background threads: a decrement pads with blanks or not by what they happen to look at."""
    return Oracle(namespace, port, "memcached", "-u", "nobody", "-l", HOST, "-p", port, "-m", 64, "-o",
                  "no_lru_crawler,no_lru_maintainer")


def encode(command):
    """A RESP command from words: bytes, or what str() makes of them."""
    words = [w if isinstance(w, bytes) else str(w).encode() for w in command]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class Resp:
    """A connection whose replies keep their type: (b":", 1), (b"$", None), (b"*", [...]), (b"-", b"ERR ...")."""

    def __init__(self, address=REDIS, timeout=30, protocol=2):
        end = time.monotonic() + 10
        while True:
            try:
                self.socket = socket.create_connection(address, timeout=timeout)
                break
            except OSError:
                assert time.monotonic() < end, f"{address} refuses"
                time.sleep(0.02)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb", buffering=1 << 18)
        if protocol == 3:
            assert self.call("HELLO", 3)[0] == b"%"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.stream.close()
        self.socket.close()

    def send(self, *command):
        self.socket.sendall(encode(command))

    def read(self):
        line = self.stream.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError(f"closed after {line!r}")
        kind, text = line[:1], line[1:-2]
        if kind in b"+-_#,(":
            return kind, text
        if kind == b":":
            return kind, int(text)
        n = int(text)
        if kind in b"$=!":
            if n < 0:
                return kind, None
            data = self.stream.read(n + 2)
            if len(data) != n + 2 or data[-2:] != b"\r\n":
                raise EOFError("closed in a bulk")
            return kind, data[:-2]
        assert kind in b"*~>%|", f"not RESP: {line!r}"
        return kind, None if n < 0 else [self.read() for _ in range(2 * n if kind in b"%|" else n)]

    def call(self, *command):
        self.send(*command)
        return self.read()

    def value(self, *command):
        """Like call, without types; an error is raised."""
        return plain(self.call(*command))

    def pipeline(self, commands):
        """Sends all, returns the replies. Kept below what both sides' buffers take, for nothing is read meanwhile."""
        self.socket.sendall(b"".join(map(encode, commands)))
        replies = []
        for command in commands:
            try:
                replies.append(self.read())
            except (OSError, EOFError) as error:
                raise type(error)(f"{error}, instead of the reply to {[bytes(w)[:40] if isinstance(w, bytes) else w for w in command[:12]]}")
        return replies

    def info(self, section="everything"):
        text = self.value("INFO", section).decode()
        return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)


def plain(reply):
    kind, value = reply
    if kind == b"-":
        raise RuntimeError(value.decode())
    return [plain(item) for item in value] if isinstance(value, list) else value
