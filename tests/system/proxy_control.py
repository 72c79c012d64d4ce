#!/usr/bin/env python3
"""The proxy changed while it runs by `millrace proxy`, and what `explain` says of it, against what clients see.
With --workers N on so many workers."""
import json
import re
import socket
import subprocess
import sys
import time

from lib import ADDRESS, MILLRACE, main, note, run, wait_until
from proxy_lib import HOST, Nginx, Wrk, answers, fetch, proxy_service

WORKERS = int(sys.argv[sys.argv.index("--workers") + 1]) if "--workers" in sys.argv else 1
URL = f"http://{ADDRESS}:8080"
PORTS = (9001, 9002, 9003)
backends = {}

LONG_BYTES = 8_000_000
ONLY = "Host: www.example.com\r\nX-Way: b"  # the way to upstream `only`

PROXY = proxy_service("""
    drain_timeout: 20s
    listeners:
      - {name: web, listen: ":8080", upstream: app}
    routes:
      - {name: hashed, path: /hash/, upstream: hashed, strip_prefix: /hash}
      - {name: host, host: "*.example.com", method: GET, header: ["X-Way: b"], upstream: only}
    upstreams:
      - name: app
        retries: 0
        backends:
          - {name: b1, address: 198.18.0.1:9001}
      - name: hashed
        balance: maglev
        hash: path
        backends:
          - {name: "9001", address: 198.18.0.1:9001}
          - {name: "9002", address: 198.18.0.1:9002}
          - {name: "9003", address: 198.18.0.1:9003}
      - name: only
        backends:
          - {name: "9002", address: 198.18.0.1:9002}
""") + f"\nworkers: {{count: {WORKERS}}}"


def proxy(millrace, *words, good=True):
    result = run(MILLRACE, "proxy", *words, "--name", millrace.name, check=False)
    assert (result.returncode == 0) == good, (words, result.returncode, result.stdout)
    return result.stdout


def listed(millrace, what="backends"):
    return json.loads(proxy(millrace, "list", "--json"))[what]


def backend(millrace, upstream, name):
    return next((b for b in listed(millrace) if (b["upstream"], b["name"]) == (upstream, name)), None)


def explain(millrace, *words):
    return json.loads(run(MILLRACE, "explain", *words, "--json", "--name", millrace.name).stdout)


def answered_by(path, *more):
    text = run("curl", "-s", "-m", "10", "-o", "/dev/null", "-D", "-", *more, URL + path).stdout
    found = re.search(r"(?i)^x-backend: (\d+)", text, re.MULTILINE)
    return found[1] if found else text.split("\r\n")[0]


def it_serves(namespace, millrace):
    (namespace.folder / "www" / "page").write_bytes(b"p" * 200)
    (namespace.folder / "www" / "long").write_bytes(b"l" * LONG_BYTES)
    for port in PORTS:
        backends[port] = Nginx(namespace, port)
    wait_until(lambda: fetch(URL + "/page") == (200, "p" * 200), "the page comes through")


def backends_come_and_go_under_load_and_no_request_fails(namespace, millrace):
    load = Wrk(URL + "/page", 6, 32)
    try:
        time.sleep(0.3)  # the load is under way
        proxy(millrace, "add", "backend", "app", f"{HOST}:9002", "name", "b2")
        wait_until(lambda: backend(millrace, "app", "b2")["requests"] > 100, "the new one takes requests")
        proxy(millrace, "set", "backend", "app/b2", "weight", "4")
        first = [backend(millrace, "app", name)["requests"] for name in ("b1", "b2")]
        time.sleep(1)  # what is counted
        second = [backend(millrace, "app", name)["requests"] for name in ("b1", "b2")]
        share = (second[1] - first[1]) / max(1, second[0] - first[0])
        proxy(millrace, "set", "backend", "app/b1", "state", "drain")
        wait_until(lambda: backend(millrace, "app", "b1")["active"] == 0, "the drained one has nothing under way")
        still = backend(millrace, "app", "b1")["requests"]
        proxy(millrace, "remove", "backend", "app/b1")
        assert backend(millrace, "app", "b1") is None
        proxy(millrace, "add", "backend", "app", f"{HOST}:9003", "name", "b3", ";", "set", "backend", "app/b2", "weight", "1")
        wait_until(lambda: backend(millrace, "app", "b3")["requests"] > 100, "the third takes requests")
        proxy(millrace, "add", "backend", "app", f"{HOST}:9001", "name", "b1", ";", "remove", "backend", "app/b2", ";",
              "remove", "backend", "app/b3")
        requests, errors, bad, text = load.end()
    finally:
        load.kill()
    note(f"{requests} requests, {errors} socket errors, {bad} other statuses; with weight 4 to 1: {share:.2f} to 1; "
         f"{still} to the one that was drained")
    assert errors == 0 and bad == 0 and requests > 1000, text
    assert 3 < share < 5, share


def a_transaction_with_one_wrong_word_changes_nothing(namespace, millrace):
    before = listed(millrace), proxy(millrace, "version")
    said = proxy(millrace, "set", "backend", "app/b1", "weight", "9", ";", "remove", "upstream", "hashed", good=False)
    assert "there is no upstream 'hashed'" in said, said
    said = proxy(millrace, "add", "listener", "again", ":7", "upstream", "app", good=False)
    assert "listener again" in said and "nothing has changed" in said, said
    after = listed(millrace), proxy(millrace, "version")
    assert [b["weight"] for b in before[0]] == [b["weight"] for b in after[0]]
    assert fetch(URL + "/page")[0] == 200
    assert after[1].split("older")[0] == before[1].split("older")[0], (before, after)
    text = subprocess.run([MILLRACE, "proxy", "apply", "-", "--name", millrace.name], text=True, capture_output=True,
                          input="set via other # a comment\nset via millrace\n", timeout=10).stdout
    assert "changes: 2" in text, text


def explain_agrees_with_what_happens(namespace, millrace):
    seen = set()
    for i in range(24):
        told = explain(millrace, "GET", f"{URL}/hash/page?{i}" if i % 2 else f"{URL}/hash/{i}")
        happened = answered_by(f"/hash/page?{i}" if i % 2 else f"/hash/{i}", "-w", "")
        seen.add(told["backend"])
        assert told["taken"] == "hashed" and told["request"][0].startswith("GET /page" if i % 2 else f"GET /{i} "), told
        assert happened.startswith("HTTP/1.1 404") or happened == told["backend"], (i, happened, told)
    assert len(seen) > 1, seen
    headers = "-H", "Host: www.example.com", "-H", "X-Way: b"
    assert explain(millrace, "GET", f"{URL}/page", *headers)["backend"] == answered_by("/page", *headers) == "9002"
    assert explain(millrace, "GET", f"{URL}/page")["backend"] == "b1" and answered_by("/page") == "9001"
    proxy(millrace, "set", "backend", "only/9002", "state", "disabled")
    told = explain(millrace, "GET", f"{URL}/page", *headers)
    assert "503" in told["why"] and answered_by("/page", *headers).startswith("HTTP/1.1 503"), told
    proxy(millrace, "set", "backend", "only/9002", "state", "enabled")


def a_cookie_leads_where_explain_says_and_still_does_while_that_backend_drains(namespace, millrace):
    proxy(millrace, "add", "upstream", "sticky", "sticky_cookie", "srv", ";",
          "add", "backend", "sticky", f"{HOST}:9001", "name", "9001", ";", "add", "backend", "sticky", f"{HOST}:9002", "name", "9002", ";",
          "add", "route", "sticky", "host", "sticky.example", "upstream", "sticky")
    host = "-H", "Host: sticky.example"
    cookies = {}

    def both_seen():
        head = run("curl", "-s", "-m", "10", "-o", "/dev/null", "-D", "-", *host, URL + "/page").stdout
        name = re.search(r"(?i)^x-backend: (\d+)", head, re.MULTILINE)[1]
        cookies[name] = re.search(r"(?i)^set-cookie: (srv=[^;\n]+)", head, re.MULTILINE)[1]
        return len(cookies) == 2
    wait_until(both_seen, "each backend gives its cookie")
    for state in ("enabled", "drain"):
        proxy(millrace, "set", "backend", "sticky/9001", "state", state)
        for name, cookie in cookies.items():
            words = *host, "-H", f"Cookie: {cookie}"
            told = explain(millrace, "GET", URL + "/page", *words)
            assert told["taken"] == "sticky" and told["backend"] == name and "cookie srv" in told["why"], told
            assert [answered_by("/page", *words) for _ in range(4)] == [name] * 4, (state, name)
    assert explain(millrace, "GET", URL + "/page", *host)["backend"] == "9002"
    assert [answered_by("/page", *host) for _ in range(4)] == ["9002"] * 4
    proxy(millrace, "set", "backend", "sticky/9001", "state", "disabled")
    words = *host, "-H", f"Cookie: {cookies['9001']}"
    assert explain(millrace, "GET", URL + "/page", *words)["backend"] == "9002" == answered_by("/page", *words)
    proxy(millrace, "remove", "route", "sticky", ";", "remove", "upstream", "sticky")


def a_stalled_download(port, fields="Host: a"):
    """A client that has the head of a long answer and does not read on. Its buffer is small, so that what remains stays with the proxy and
    the backend, however long that takes."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    s.settimeout(10)
    s.connect((ADDRESS, port))
    s.sendall(f"GET /long HTTP/1.1\r\n{fields}\r\nConnection: close\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        more = s.recv(4096)
        assert more, data
        data += more
    assert data.startswith(b"HTTP/1.1 200 "), data
    return s, len(data.partition(b"\r\n\r\n")[2])


def a_listener_that_was_added_serves_and_when_removed_only_ends_what_it_has(namespace, millrace):
    assert not answers(8085, ADDRESS)
    proxy(millrace, "add", "listener", "late", ":8085", "upstream", "app")
    assert fetch(f"http://{ADDRESS}:8085/page") == (200, "p" * 200)
    assert explain(millrace, "GET", f"http://{ADDRESS}:8085/page")["listener"].startswith("late at ")
    stalled, got = a_stalled_download(8085)
    with stalled:
        wait_until(lambda: any(row["name"] == "late" and row["connections"] == 1 for row in listed(millrace, "listeners")),
                   "the listener counts its connection")
        proxy(millrace, "remove", "listener", "late")
        assert "late" not in [row["name"] for row in listed(millrace, "listeners")]
        assert not answers(8085, ADDRESS)
        while data := stalled.recv(1 << 16):
            got += len(data)
    assert got == LONG_BYTES, got
    assert fetch(URL + "/page")[0] == 200
    wait_until(lambda: "older: none" in proxy(millrace, "version"), "the older configurations are gone")


def is_reset(s):
    """Reads what has come to its end: False when that is no reset."""
    try:
        while s.recv(1 << 16):
            pass
    except ConnectionResetError:
        return True
    return False


def holds(millrace, *words):
    return json.loads(proxy(millrace, "holds", *words, "--json"))["holds"]


def what_holds_a_removed_backend_is_listed_and_cut_at_the_deadline(namespace, millrace):
    stalled, _ = a_stalled_download(8080, ONLY)
    with stalled:
        wait_until(lambda: holds(millrace, "only/9002"), "the download is under way")
        row = holds(millrace, "only/9002")[0]
        assert row["client"].startswith(HOST) and row["address"] == f"{HOST}:9002" and not row["drains"], row
        assert holds(millrace) == []
        proxy(millrace, "set", "drain_timeout", "2s")
        started = time.monotonic()
        proxy(millrace, "add", "backend", "only", f"{HOST}:9003", "name", "other", ";", "remove", "backend", "only/9002")
        assert [h["drains"] for h in holds(millrace)] == [True]
        assert answered_by("/page", "-H", "Host: www.example.com", "-H", "X-Way: b") == "9003"
        wait_until(lambda: holds(millrace) == [], "it is cut")
        seconds = time.monotonic() - started
        assert is_reset(stalled) and 1.5 < seconds < 6, seconds
    wait_until(lambda: "older: none" in proxy(millrace, "version"), "the older configurations are gone")


def cut_ends_what_a_drained_backend_still_serves(namespace, millrace):
    stalled, _ = a_stalled_download(8080, ONLY)
    with stalled:
        wait_until(lambda: holds(millrace, "only/other"), "the download is under way")
        assert "takes new connections" in proxy(millrace, "cut", "only/other", good=False)
        proxy(millrace, "set", "backend", "only/other", "state", "drain")
        assert len(holds(millrace)) == 1
        proxy(millrace, "cut", "only/other")
        wait_until(lambda: holds(millrace) == [], "nothing drains any more")
        assert is_reset(stalled)
    proxy(millrace, "set", "backend", "only/other", "state", "enabled")


def what_is_purged_is_fetched_anew(namespace, millrace):
    proxy(millrace, "add", "route", "kept", "host", "kept.example", "upstream", "app", "cache", "true")

    def status():
        head = run("curl", "-s", "-m", "10", "-o", "/dev/null", "-D", "-", "-H", "Host: kept.example:8080", URL + "/page").stdout
        return re.search(r"(?i)^cache-status: (.*)$", head, re.MULTILINE)[1]
    assert "RFC 9111" in explain(millrace, "GET", "http://kept.example:8080/page")["cache"]
    wait_until(lambda: "; hit" in status(), "it is kept")
    assert json.loads(proxy(millrace, "purge", "url", "http://kept.example/page", "--json"))["purged"] == 0, "another port's"
    for words in (("url", "http://kept.example:8080/page"), ("all",)):
        wait_until(lambda: "; hit" in status(), "it is kept")
        text = json.loads(proxy(millrace, "purge", *words, "--json"))
        assert text["workers"] == WORKERS and text["purged"] >= 1, text
        assert "; hit" not in status(), words
    assert "expected: purge" in proxy(millrace, "purge", "nothing", good=False)
    proxy(millrace, "remove", "route", "kept")


def numbers_are_told_to_people_and_to_prometheus(namespace, millrace):
    text = run(MILLRACE, "stat", "proxy", "--name", millrace.name).stdout
    assert re.search(r"^ +app +b1 +up ", text, re.MULTILINE), text
    head = next(line for line in text.splitlines() if re.match(r" +upstream +backend +state ", line, re.IGNORECASE))
    for column in ("latency", "connect_failures", "resets", "timeouts", "reuse"):
        assert column in head, (column, head)
    text = run("timeout", "3", MILLRACE, "stat", "proxy", "--watch", "1", "--name", millrace.name, check=False).stdout
    assert len(re.findall(r"^ +app +b1 +up ", text, re.MULTILINE)) >= 2, text
    text = run(MILLRACE, "stat", "--prometheus", "--name", millrace.name).stdout
    found = re.search(r'^millrace_proxy_backend_requests_total\{upstream="hashed",backend="9001"\} (\d+)$', text, re.MULTILINE)
    assert found and int(found[1]) > 0, text[-3000:]
    assert 'millrace_proxy_backend_up{upstream="app",backend="b1"} 1' in text
    names = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(names) == len(set(names)), "a metric stands twice"


def a_file_is_explained_without_a_process(namespace, millrace):
    text = run(MILLRACE, "explain", "GET", f"{URL}/hash/x", "--config", millrace.config, "--json").stdout
    told = json.loads(text)
    assert told["taken"] == "hashed" and told["request"][0] == "GET /x HTTP/1.1", told
    assert run(MILLRACE, "explain", "GET", URL, "--config", "/nowhere.yaml", check=False).returncode == 3


def what_is_saved_is_what_runs(namespace, millrace):
    def shape():
        answer = json.loads(proxy(millrace, "list", "--json"))
        return {kind: [{key: value for key, value in row.items() if key in said} for row in answer[kind]] for kind, said in (
            ("listeners", ("name", "listen", "mode", "upstream")), ("backends", ("upstream", "name", "address", "weight", "state")),
            ("routes", ("name", "listener", "host", "path", "method", "headers", "upstream")), ("upstreams", ("name", "balance")))}
    run(MILLRACE, "save", "--name", millrace.name)
    before, saved = shape(), millrace.config.read_text()
    assert "name: other" in saved
    load = Wrk(URL + "/page", 2, 16)
    try:
        for _ in range(3):
            assert run(MILLRACE, "reload", "--name", millrace.name, check=False).returncode == 0
        _, errors, bad, text = load.end()
    finally:
        load.kill()
    assert errors == 0 and bad == 0, text
    assert shape() == before
    assert [b["name"] for b in before["backends"] if b["upstream"] == "only"] == ["other"], before
    run(MILLRACE, "save", "--name", millrace.name)
    assert millrace.config.read_text() == saved
    for i in range(16):  # of the file and of the process alike
        words = "GET", f"{URL}/hash/{i}", "--json"
        told = [json.loads(run(MILLRACE, "explain", *words, *more).stdout)
                for more in (("--name", millrace.name), ("--config", millrace.config))]
        assert told[0]["backend"] == told[1]["backend"] and told[0]["request"] == told[1]["request"], told


main(it_serves, backends_come_and_go_under_load_and_no_request_fails, a_transaction_with_one_wrong_word_changes_nothing,
     explain_agrees_with_what_happens, a_cookie_leads_where_explain_says_and_still_does_while_that_backend_drains,
     a_listener_that_was_added_serves_and_when_removed_only_ends_what_it_has,
     what_holds_a_removed_backend_is_listed_and_cut_at_the_deadline,
     cut_ends_what_a_drained_backend_still_serves, what_is_purged_is_fetched_anew, numbers_are_told_to_people_and_to_prometheus,
     a_file_is_explained_without_a_process, what_is_saved_is_what_runs, more=PROXY)
