#!/usr/bin/env python3
"""tools/up as a newcomer uses it: one command, a line `ready`, a page, a clean end."""
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

from lib import MILLRACE, ROOT, main, run, tap_exists, wait_for_ready, wait_until


class Up:
    def __init__(self, namespace, name, *options):
        self.name, self.log_path = name, namespace.folder / f"{name}.log"
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [ROOT / "tools/up", "--no-build", "--build-folder", MILLRACE.parents[2], "--netns", name, *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, text=True, start_new_session=True)
        try:
            self.ready = wait_for_ready(self.process, self.log_path)
        except BaseException:
            self.stop()
            raise

    def inside(self, *command, **options):
        return run("ip", "netns", "exec", self.name, *command, **options)

    def stop(self, number=signal.SIGTERM, keep=False):
        self.process.send_signal(number)
        try:
            return self.process.wait(15)
        finally:
            if not keep:
                self.forget_queues()

    def forget_queues(self):
        for folder in self.queue_folders():
            shutil.rmtree(folder)

    def queue_folders(self):
        """Of the durable queues of instances named so: they outlive the process."""
        return list(MILLRACE.parents[2].glob(f"queue-{self.name}*"))


def millrace_inside(namespace):
    return [pid for pid in run("ip", "netns", "pids", namespace.name).stdout.split()
            if (comm := Path(f"/proc/{pid}/comm")).exists() and comm.read_text().strip() == "millrace"]


def up_prints_ready_and_serves_the_page(namespace, _):
    up = Up(namespace, namespace.name)
    try:
        assert up.ready.startswith("ready http://198.18.0.2/"), up.ready
        page = up.inside("curl", "-sS", "--fail", "--max-time", 5, "http://198.18.0.2/").stdout
        assert page == (ROOT / "services/http/www/index.html").read_text(), page
        assert tap_exists("mr0")
    finally:
        code = up.stop()
    assert code == 0, f"exit {code}\n{up.log_path.read_text()}"


def up_serves_the_cache_and_says_how_to_try_it(namespace, _):
    up = Up(namespace, namespace.name)
    try:
        wait_until(lambda: "stat cache" in up.log_path.read_text(), "the lines to try")
        for tried in re.findall(r"^up: try: ((?:printf|.*redis-cli|.*/visits).*?) \(.*$", up.log_path.read_text(), re.MULTILINE):
            out = run("bash", "-c", tried, timeout=20).stdout
            assert "OK" in out or "hello" in out or "Visits" in out, f"{tried}: {out}"
        def counted():
            out = run(MILLRACE, "stat", "cache", "--name", namespace.name).stdout
            return "cache[0].hit_ratio" in out and "cache[0].keys" in out  # the second is looked at once a second
        wait_until(counted, "keys are counted")
    finally:
        up.stop()


def up_serves_the_page_through_the_proxy_and_says_how_to_try_it(namespace, _):
    up = Up(namespace, namespace.name)
    try:
        wait_until(lambda: "stat proxy" in up.log_path.read_text(), "the line to try")
        line = re.search(r"^up: try: (curl .*:8080.*)$|^up: try: (ip netns.*:8080.*)$", up.log_path.read_text(), re.MULTILINE)
        commands = re.sub(r" \([^)]*\)", "", line[1] or line[2]).split("; ")
        page, explained, counted = (run("bash", "-c", command, timeout=20).stdout for command in commands)
        assert "<title>Millrace</title>" in page and re.search(r"^via: ", page, re.MULTILINE | re.IGNORECASE), page
        assert "web" in explained and "page" in explained, explained
        assert re.search(r"page\b.*\bup\b|page\b.*198\.18\.0\.2:80", counted), counted
    finally:
        up.stop()


def up_serves_queues_that_outlive_it_and_says_how_to_try_them(namespace, _):
    up = Up(namespace, namespace.name)
    try:
        wait_until(lambda: "stat queue" in up.log_path.read_text(), "the lines to try")
        declare, publish, get = re.search(r"^up: try: (.*queue declare letters.*) \(RabbitMQ\)$", up.log_path.read_text(),
                                          re.MULTILINE)[1].split(" && ")
        assert "created: yes" in run("bash", "-c", declare, timeout=20).stdout
        run("bash", "-c", publish, timeout=20)
        listed, counted, page = re.search(r"^up: try: (.*queue list.*) \(.*$", up.log_path.read_text(), re.MULTILINE)[1].split("; ")
        assert re.search(r"^ *letters +fsync +1 ", run("bash", "-c", listed, timeout=20).stdout, re.MULTILINE)
        assert "queue[0].published" in run("bash", "-c", counted, timeout=20).stdout
        assert "<form" in run("bash", "-c", page, timeout=20).stdout
    finally:
        up.stop(keep=True)
    up = Up(namespace, namespace.name)
    try:
        assert run("bash", "-c", get, timeout=20).stdout == "hello"
    finally:
        up.stop()
    assert not up.queue_folders()


def up_leaves_no_tap_device_and_no_process(namespace, _):
    assert not tap_exists("mr0")
    assert not millrace_inside(namespace)


def up_again_serves_again(namespace, _):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        up = Up(namespace, namespace.name)
        try:
            up.inside("curl", "-sS", "--fail", "--max-time", 5, "-o", "/dev/null", "http://198.18.0.2/")
        finally:
            code = up.stop(number)
        assert code == 0, f"signal {number}: exit {code}\n{up.log_path.read_text()}"
        assert not tap_exists("mr0")


def up_makes_a_namespace_and_removes_it(namespace, _):
    name = f"{namespace.name}-made"
    up = Up(namespace, name)
    try:
        assert os.path.exists(f"/run/netns/{name}")
    finally:
        up.stop()
    assert not os.path.exists(f"/run/netns/{name}")
    assert os.path.exists(f"/run/netns/{namespace.name}"), "a namespace that was there before is gone"


def up_with_other_addresses_serves_there(namespace, _):
    up = Up(namespace, namespace.name, "--host", "10.99.7.1/28", "--address", "10.99.7.5/28", "--name", f"{namespace.name}x")
    try:
        assert up.ready.startswith("ready http://10.99.7.5/"), up.ready
        for port in (80, 8080):  # the page, and the proxy in front of it
            up.inside("curl", "-sS", "--fail", "--max-time", 5, "-o", "/dev/null", f"http://10.99.7.5:{port}/")
        assert "10.99.7.1/28" in up.inside("ip", "-br", "addr", "show", "mr0").stdout
        assert f"{namespace.name}x: serving" in run(MILLRACE, "status", "--name", f"{namespace.name}x").stdout
    finally:
        assert up.stop() == 0


def millrace_ends_when_up_is_killed(namespace, _):
    up = Up(namespace, namespace.name)
    up.process.kill()
    up.process.wait()
    wait_until(lambda: not tap_exists("mr0"), "the TAP device goes")
    wait_until(lambda: not millrace_inside(namespace), "the process goes")
    up.forget_queues()


main(up_prints_ready_and_serves_the_page, up_serves_the_cache_and_says_how_to_try_it,
     up_serves_the_page_through_the_proxy_and_says_how_to_try_it, up_serves_queues_that_outlive_it_and_says_how_to_try_them,
     up_leaves_no_tap_device_and_no_process, up_again_serves_again, up_makes_a_namespace_and_removes_it, up_with_other_addresses_serves_there, millrace_ends_when_up_is_killed,
     millrace=False)
