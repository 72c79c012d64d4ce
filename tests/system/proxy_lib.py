"""What the system tests of the proxy share: backends that behave, backends that do not, and the proxy in front of them.

Backends live on the kernel's side of Millrace's TAP device, in the namespace of the test, so any port is free there.
"""
import atexit
import contextlib
import re
import select
import signal
import socket
import struct
import subprocess
import threading

from lib import ADDRESS, HOST, run, wait_until


def proxy_service(text):
    """The block of the configuration, from the YAML below `proxy:`."""
    lines = text.strip("\n").split("\n")
    margin = len(lines[0]) - len(lines[0].lstrip())
    return "  - proxy:\n" + "\n".join("      " + line[margin:] for line in lines)


def answers(port, address=HOST):
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


class Nginx:
    """One process that serves `folder`/www on `port`, and says its port in X-Backend."""

    def __init__(self, namespace, port, extra=""):
        self.port = port
        self.place = namespace.folder / f"nginx-{port}"
        self.place.mkdir(exist_ok=True)
        self.config = self.place / "conf"
        self.config.write_text(f"""
            user root; worker_processes 1; daemon off; master_process off; pid {self.place}/pid; error_log {self.place}/log;
            events {{ worker_connections 4096; }}
            http {{
              access_log off; sendfile on; keepalive_requests 1000000000; keepalive_timeout 3600;
              client_max_body_size 0;
              client_body_temp_path {self.place}/body; proxy_temp_path {self.place}/proxy;
              fastcgi_temp_path {self.place}/fastcgi; uwsgi_temp_path {self.place}/uwsgi; scgi_temp_path {self.place}/scgi;
              server {{ listen {HOST}:{port} reuseport backlog=4096; root {namespace.folder}/www; add_header X-Backend {port}; {extra} }}
            }}""")
        self.process = None
        atexit.register(self.die)
        self.start()

    def start(self):
        self.process = subprocess.Popen(["nginx", "-e", self.place / "log", "-c", self.config], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        wait_until(lambda: answers(self.port), f"nginx answers on {self.port}")

    def die(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def hang(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)


class Faulty:
    """A backend that does one wrong thing with every request; `requests` counts those it read.

    reset: reads a request and resets; refuse: resets before it reads; short: sends half of the length it promises, then ends;
    long: sends more than it promises; garbage: answers what is no HTTP; silent: never answers
    """

    def __init__(self, port, mode):
        self.port, self.mode, self.requests = port, mode, 0
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.listener.bind((HOST, port))
        self.listener.listen(4096)
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        clients = []
        while not self.ending.is_set():
            readable, _, _ = select.select([self.listener, *clients], [], [], 0.1)
            for s in readable:
                if s is self.listener:
                    clients.append(self.listener.accept()[0])
                    if self.mode == "refuse":
                        self.reset(clients.pop())
                elif not self.answer(s):
                    clients.remove(s)
        for s in [*clients, self.listener]:
            s.close()

    @staticmethod
    def reset(s):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()

    def answer(self, s):
        """False: the connection is over."""
        with contextlib.suppress(OSError):
            data = s.recv(65536)
            if not data:
                s.close()
                return False
            self.requests += data.count(b"\r\n\r\n")
            if self.mode == "silent":
                return True
            if self.mode == "reset":
                self.reset(s)
                return False
            if self.mode == "garbage":
                s.sendall(b"this is not HTTP\r\n\r\n")
            if self.mode in ("short", "long"):
                promised = 1000
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % promised + b"y" * (500 if self.mode == "short" else 2000))
            s.close()
            return False
        s.close()
        return False

    def stop(self):
        self.ending.set()
        self.thread.join()


class Wrk:
    """wrk in the background; `end` gives requests, errors (sockets and statuses) and the whole text."""

    def __init__(self, url, seconds, connections=32, *more):
        self.process = subprocess.Popen(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency", *more, url],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        start_new_session=True)

    def end(self, seconds=60):
        text, _ = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, text
        requests = int(re.search(r"(\d+) requests in", text)[1])
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        return requests, sum(map(int, errors.groups())) if errors else 0, int(bad[1]) if bad else 0, text

    def running(self):
        return self.process.poll() is None

    def kill(self):
        if self.running():
            self.process.kill()
            self.process.wait()


def fetch(url, *more):
    """curl: status and body."""
    text = run("curl", "-s", "-m", 10, "-w", "\n%{http_code}", *more, url).stdout
    body, _, status = text.rpartition("\n")
    return int(status), body


__all__ = ["ADDRESS", "HOST", "Faulty", "Nginx", "Wrk", "answers", "fetch", "proxy_service"]
