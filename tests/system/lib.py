"""What the system tests share: a network namespace, Millrace running in it, TAP output, deadlines instead of sleeps.

A test is a function; `main` runs those it is given, each a line of TAP. Everything lives in a namespace with a name of its
own, which this process itself enters: sockets of the test and the commands that it runs are on the kernel's side of Millrace's TAP
device, and nowhere else.
"""
import contextlib
import ctypes
import json
import os
import re
import select
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MILLRACE = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "build/tools/millrace/millrace"
HOST, ADDRESS = "198.18.0.1", "198.18.0.2"
URL = f"http://{ADDRESS}"

CONFIG = """\
name: {name}
interfaces:
  - name: mr0
    driver: tap
    address: {address}/24
    host_address: {host}/24
{interface}
services:
  - http:
      listen: :80
      root: {folder}/www
      test_endpoints: true
{http}
  - echo:
      listen: :7
{more}
"""


def run(*command, check=True, timeout=60, **options):
    """Runs a command and returns it with its output; its failure is the test's."""
    result = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=timeout, **options)
    assert not check or result.returncode == 0, f"{' '.join(map(str, command))}: exit {result.returncode}\n{result.stdout}"
    return result


def answers_on_all(sockets, request, whole, seconds=30):
    """Sends `request` on all at once and waits for an answer on each: whole(bytes so far) is true once it is all there, and
    asserts what is wrong with it."""
    waiting, end = {s: b"" for s in sockets}, time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for s in sockets:
            selector.register(s, selectors.EVENT_READ)
            s.sendall(request)
        while waiting and time.monotonic() < end:
            for key, _ in selector.select(0.5):
                s = key.fileobj
                data = s.recv(65536)
                assert data, "closed instead of answered"
                waiting[s] += data
                if whole(waiting[s]):
                    selector.unregister(s)
                    del waiting[s]
    assert not waiting, f"{len(waiting)} of {len(sockets)} without an answer"


def wait_until(condition, what, seconds=10.0):
    """Returns the first true value of `condition`; fails when there is none in time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def enter_namespace(name):
    with open(f"/run/netns/{name}", "rb") as handle:
        if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), 0x40000000):  # CLONE_NEWNET
            raise OSError(ctypes.get_errno(), "setns")


def tap_exists(name="mr0"):
    return any(line.split(":")[0].strip() == name for line in Path("/proc/self/net/dev").read_text().splitlines()[2:])


class Namespace:
    """A namespace of our own, which this process enters; gone at exit."""

    def __init__(self):
        self.name = f"mr-{os.getpid()}"
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.folder.chmod(0o755)
        (self.folder / "www").mkdir()
        run("ip", "netns", "add", self.name)
        enter_namespace(self.name)
        run("ip", "link", "set", "lo", "up")

    def remove(self):
        run("ip", "netns", "del", self.name, check=False)
        run("rm", "-rf", self.folder, check=False)


class Millrace:
    """One running instance, started with the configuration above."""

    def __init__(self, namespace, name=None, **config):
        self.folder, self.name = namespace.folder, name or namespace.name
        self.config = self.folder / f"{self.name}.yaml"
        values = {"address": ADDRESS, "host": HOST, "interface": "", "http": "", "more": "", **config}
        values["more"] = values["more"].replace("{folder}", str(self.folder))
        self.config.write_text(CONFIG.format(name=self.name, folder=self.folder, **values))
        self.log_path = self.folder / f"{self.name}.log"
        self.process = None
        self.start()

    def start(self):
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen([MILLRACE, "run", self.config], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True, start_new_session=True)
        self.ready = wait_for_ready(self.process, self.log_path)

    def stop(self, number=signal.SIGTERM, seconds=15):
        """Asks it to end and returns its exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def ask(self, *arguments, **options):
        return run(MILLRACE, *arguments, "--name", self.name, **options).stdout

    def counters(self):
        """Of all workers, as name: value."""
        return {match[1]: int(match[2]) for match in
                re.finditer(r"^(\S+)\s+(\d+)\s", self.ask("stat", "--all"), re.MULTILINE)}

    def status(self):
        return json.loads(self.ask("status", "--json"))

    def packets_held(self):
        """Buffers that payload occupies, in or out."""
        return sum(worker["packets_held"] for worker in self.status()["workers"])

    def buffers_free(self):
        return sum(worker["buffers_free"] for worker in self.status()["workers"])

    def connections(self):
        return json.loads(self.ask("conns", "--json", "--limit", 100000))["connections"]

    def cpu_seconds(self):
        """Of all threads, exactly: the ticks of /proc/PID/stat miss work that is shorter than one."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def memory_bytes(self):
        return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())[1]) * 1024

    def is_idle(self):
        """Nothing of any peer is left; TIME-WAIT, which has to last, does not count."""
        return self.packets_held() == 0 and not [c for c in self.connections() if c["state"] != "TIME-WAIT"]


def wait_for_ready(process, log_path, seconds=30):
    """The ready line of a process whose standard output is a pipe."""
    end, text = time.monotonic() + seconds, ""
    while not re.search(r"^ready .*\n", text, re.MULTILINE):
        readable, _, _ = select.select([process.stdout], [], [], max(0, end - time.monotonic()))
        chunk = os.read(process.stdout.fileno(), 4096).decode() if readable else ""
        assert chunk, f"no ready line: exit {process.poll()}, wrote {text!r}\n{log_path.read_text()}"
        text += chunk
    return re.search(r"^ready .*", text, re.MULTILINE)[0]


class Skip(Exception):
    """What a test needs is not here; the text says what."""


def note(text):
    print(f"# {text}", flush=True)


def main(*tests, millrace=True, **config):
    """Runs each test with (namespace, millrace); TAP on standard output."""
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # a time limit still cleans up
    namespace, instance, failed = Namespace(), None, 0
    print(f"1..{len(tests)}", flush=True)
    try:
        if millrace:
            instance = Millrace(namespace, **config)
        for number, test in enumerate(tests, 1):
            try:
                test(namespace, instance)
                print(f"ok {number} - {test.__name__}", flush=True)
            except Skip as reason:
                print(f"ok {number} - {test.__name__} # SKIP {reason}", flush=True)
            except Exception:
                failed += 1
                print(f"not ok {number} - {test.__name__}", flush=True)
                note(traceback.format_exc().strip().replace("\n", "\n# "))
    finally:
        if instance:
            with contextlib.suppress(Exception):
                instance.kill()
            if failed:
                note("log: " + instance.log_path.read_text(errors="replace")[-4000:].strip().replace("\n", "\n# "))
        namespace.remove()
    sys.exit(1 if failed else 0)
