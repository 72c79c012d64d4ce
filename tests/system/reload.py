#!/usr/bin/env python3
"""A changed configuration file is applied while traffic goes on, all of it or nothing: `millrace reload` and SIGHUP."""
import json
import re
import signal
import time

from lib import ADDRESS, MILLRACE, main, note, run, wait_until
from proxy_lib import Nginx, Wrk, answers, fetch, proxy_service

RELOADS = 100
URL = f"http://{ADDRESS}:8080/page"
PROXY = """
    listeners:
      - {name: web, listen: ":8080", upstream: app}
EXTRA_LISTENER
    routes:
EXTRA_ROUTE
      - {name: all, upstream: app}
    upstreams:
      - name: app
        retries: 0
        backends:
          - {name: a, address: 198.18.0.1:9001, weight: WEIGHT}
EXTRA_BACKEND
"""
backends = {}
original = []


def variant(weight=1, backend=False, listener=False, route=False):
    text = PROXY.replace("WEIGHT", str(weight))
    for mark, present, line in (
            ("EXTRA_BACKEND", backend, "          - {name: b, address: 198.18.0.1:9002}"),
            ("EXTRA_LISTENER", listener, '      - {name: more, listen: ":8081", upstream: app}'),
            ("EXTRA_ROUTE", route, "      - {name: b, path: /page, header: [\"X-Way: b\"], upstream: app}")):
        text = text.replace(mark + "\n", line + "\n" if present else "")
    return proxy_service(text)


def write(millrace, text):
    millrace.config.write_text(original[0].replace(proxy_service_of_start, text))


def reload(millrace):
    return run(MILLRACE, "reload", "--name", millrace.name, check=False)


proxy_service_of_start = variant(backend=True)


def it_serves(namespace, millrace):
    original.append(millrace.config.read_text())
    (namespace.folder / "www" / "page").write_bytes(b"p" * 200)
    for port in (9001, 9002):
        backends[port] = Nginx(namespace, port)
    wait_until(lambda: fetch(URL) == (200, "p" * 200), "the page comes through")


def a_hundred_reloads_under_load_fail_no_request(namespace, millrace):
    load = Wrk(URL, 60, 32)
    try:
        time.sleep(0.3)  # the load is under way
        started = time.monotonic()
        for i in range(RELOADS):
            write(millrace, variant(1 + i % 7, backend=i % 2 == 0, listener=i % 3 == 0, route=i % 5 == 0))
            result = reload(millrace)
            assert result.returncode == 0, result.stdout
        seconds = time.monotonic() - started
        load.process.send_signal(signal.SIGINT)  # wrk prints what it has
        requests, errors, bad, text = load.end()
    finally:
        load.kill()
    taken = [float(ms) for ms in re.findall(r"is applied, in ([\d.]+) ms", millrace.log_path.read_text())]
    note(f"{requests} requests during {RELOADS} reloads in {seconds:.1f} s, {errors} socket errors, {bad} other statuses; "
         f"one takes {sorted(taken)[len(taken) // 2]} ms, at most {max(taken)} ms")
    assert errors == 0 and bad == 0 and requests > 100, text
    assert len(taken) == RELOADS, len(taken)
    version = run(MILLRACE, "proxy", "version", "--name", millrace.name).stdout
    assert f"version: {RELOADS + 1}\n" in version, version
    wait_until(lambda: "older: none" in run(MILLRACE, "proxy", "version", "--name", millrace.name).stdout,
               "nobody uses an older configuration")


def what_was_added_serves_and_what_was_removed_does_not(namespace, millrace):
    write(millrace, variant(listener=True))
    assert reload(millrace).returncode == 0
    assert fetch(f"http://{ADDRESS}:8081/page")[0] == 200
    write(millrace, variant(listener=False))
    assert reload(millrace).returncode == 0
    assert not answers(8081, ADDRESS)
    assert fetch(URL)[0] == 200


def what_is_wrong_is_refused_with_its_place(namespace, millrace):
    before = run(MILLRACE, "proxy", "version", "--name", millrace.name).stdout
    for old, new, expected in (
            ("weight: 1", "weight: lots", r"\.yaml:\d+:\d+: services\[2\]\.proxy\.upstreams\[0\]\.backends\[0\].*weight"),
            ("upstream: app}", "upstream: nobody}", r"\.yaml:\d+:\d+: .*nobody"),
            ("198.18.0.2/24", "198.18.0.3/24", r"\.yaml:\d+:\d+: interfaces\[0\]\.address cannot change while running"),
            ("test_endpoints: true", "test_endpoints: false", r"\.yaml:12:\d+: services\[0\]\.http\.test_endpoints cannot"),
            ("      test_endpoints: true\n", "", r"\.yaml:9:\d+: services\[0\]\.http\.test_endpoints cannot"),
            ("  - echo:\n      listen: :7\n", "", r"\.yaml:\d+:\d+: services\[1\] is proxy and echo runs there"),
            ("interfaces:", "interfaces: [", r"\.yaml:\d+:\d+: ")):
        text = original[0].replace(proxy_service_of_start, variant())
        assert old in text, old
        millrace.config.write_text(text.replace(old, new))
        result = reload(millrace)
        assert result.returncode == 3 and re.search(expected, result.stdout), (new, result.returncode, result.stdout)
    assert run(MILLRACE, "proxy", "version", "--name", millrace.name).stdout == before
    assert fetch(URL)[0] == 200


def the_log_level_changes_by_signal(namespace, millrace):
    write(millrace, variant())
    millrace.config.write_text(millrace.config.read_text() + "log: {level: warning}\n")

    def applied():
        return int(re.search(r"reloaded (\d+) times", millrace.ask("status"))[1])
    before = applied()
    millrace.process.send_signal(signal.SIGHUP)
    wait_until(lambda: applied() == before + 1, "SIGHUP is obeyed")
    size = millrace.log_path.stat().st_size
    assert reload(millrace).returncode == 0
    assert millrace.log_path.stat().st_size == size, "a line below the level is written"


def weights(millrace):
    listed = json.loads(run(MILLRACE, "proxy", "list", "--json", "--name", millrace.name).stdout)
    return {b["name"]: b["weight"] for b in listed["backends"]}


def what_is_saved_loads_again_and_changes_nothing(namespace, millrace):
    run(MILLRACE, "proxy", "set", "backend", "app/a", "weight", "5", "--name", millrace.name)
    run(MILLRACE, "proxy", "add", "backend", "app", "198.18.0.1:9002", "name", "b", "--name", millrace.name)
    before = weights(millrace)
    mode = millrace.config.stat().st_mode
    run(MILLRACE, "save", "--name", millrace.name)
    saved = millrace.config.read_text()
    assert "weight: 5" in saved and "198.18.0.1:9002" in saved, saved
    assert millrace.config.stat().st_mode == mode
    run(MILLRACE, "check", millrace.config)
    assert reload(millrace).returncode == 0
    assert weights(millrace) == before == {"a": 5, "b": 1}, (before, weights(millrace))
    elsewhere = run(MILLRACE, "save", "--output", "-", "--name", millrace.name).stdout
    assert elsewhere == saved.replace("root: www", f"root: {namespace.folder}/www"), elsewhere
    assert fetch(URL)[0] == 200


main(it_serves, a_hundred_reloads_under_load_fail_no_request, what_was_added_serves_and_what_was_removed_does_not,
     what_is_wrong_is_refused_with_its_place, the_log_level_changes_by_signal, what_is_saved_loads_again_and_changes_nothing,
     more=proxy_service_of_start)
