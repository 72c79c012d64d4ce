#!/usr/bin/env python3
"""Three nginx behind the proxy under wrk, of which one dies, hangs, resets, lies about its length, and returns: no request fails
but those that were on their way to it when it began to misbehave, and of those only what cannot be tried again."""
import time

from lib import ADDRESS, main, note, run, wait_until
from proxy_lib import Faulty, Nginx, Wrk, fetch, proxy_service

PORTS = (9001, 9002, 9003)
CONNECTIONS = 16
URL = f"http://{ADDRESS}:8080/page"
PROXY = proxy_service("""
    listeners: [{name: web, listen: ":8080", upstream: app}]
    upstreams:
      - name: app
        connect_timeout: 1s
        response_timeout: 1s
        retries: 3
        retry_budget: 50%
        health: {type: http, path: /page, interval: 200ms, timeout: 500ms, rise: 2, fall: 2}
        ejection: {failures: 3, duration: 500ms}
        backends:
          - {name: a, address: 198.18.0.1:9001}
          - {name: b, address: 198.18.0.1:9002}
          - {name: c, address: 198.18.0.1:9003}
""")
backends = {}


def backend_of(url=URL):
    head = run("curl", "-s", "-m", 10, "-D", "-", "-o", "/dev/null", url, check=False).stdout
    return next((int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("x-backend:")), None)


def all_serve(ports=PORTS):
    return {backend_of() for _ in range(12)} == set(ports)


def start(namespace):
    (namespace.folder / "www" / "page").write_bytes(b"p" * 1000)
    for port in PORTS:
        backends[port] = Nginx(namespace, port)


def three_backends_take_turns(namespace, millrace):
    start(namespace)
    wait_until(all_serve, "each of three backends serves")
    assert fetch(URL) == (200, "p" * 1000)


def under_load(seconds, trouble):
    """wrk runs while `trouble` happens; returns its result."""
    load = Wrk(URL, seconds, CONNECTIONS)
    try:
        time.sleep(0.5)  # the load is under way
        trouble(load)
        return load.end()
    finally:
        load.kill()


def must_not_fail(result, at_most=0):
    requests, errors, bad, text = result
    note(f"{requests} requests, {errors} socket errors, {bad} other statuses; {at_most} permitted")
    assert requests > 500, text
    assert errors + bad <= at_most, text


def one_dies_and_returns_without_a_failed_request(namespace, millrace):
    def trouble(load):
        backends[9001].die()
        wait_until(lambda: all_serve(PORTS[1:]), "the other two serve all")
        backends[9001].start()
        wait_until(all_serve, "all three serve again")
    must_not_fail(under_load(6, trouble))


def one_hangs_and_goes_on_without_a_failed_request(namespace, millrace):
    def trouble(load):
        backends[9002].hang()
        wait_until(lambda: all_serve((9001, 9003)), "the other two serve all")
        backends[9002].go_on()
        wait_until(all_serve, "all three serve again")
    must_not_fail(under_load(8, trouble))


def misbehaves(mode, cut):
    """In place of one nginx a backend that does `mode` with each request; `cut`: what it has begun to answer cannot be tried again."""
    received = []

    def trouble(load):
        backends[9003].die()
        faulty = Faulty(9003, mode)
        try:
            wait_until(lambda: faulty.requests > 0 or mode == "refuse", "it gets a request")
            wait_until(lambda: all_serve(PORTS[:2]), "the other two serve all")
        finally:
            faulty.stop()
        received.append(faulty.requests)
        backends[9003].start()
        wait_until(all_serve, "all three serve again")
    result = under_load(7, trouble)
    must_not_fail(result, received[0] if cut else 0)


def one_resets_without_a_failed_request(namespace, millrace):
    misbehaves("reset", cut=False)


def one_refuses_without_a_failed_request(namespace, millrace):
    misbehaves("refuse", cut=False)


def one_speaks_no_http_without_a_failed_request(namespace, millrace):
    misbehaves("garbage", cut=False)


def one_promises_more_than_it_sends_and_only_that_is_cut(namespace, millrace):
    misbehaves("short", cut=True)


def a_short_response_never_looks_whole(namespace, millrace):
    for port in PORTS:
        backends[port].die()
    faulty = [Faulty(port, "short") for port in PORTS]
    try:
        result = run("curl", "-s", "-m", 10, "-o", "/dev/null", URL, check=False)
        assert result.returncode in (18, 56), f"curl {result.returncode}: {result.stdout}"  # a partial file, or reset
    finally:
        for f in faulty:
            f.stop()


def what_is_sent_beyond_the_length_is_nobodys_response(namespace, millrace):
    faulty = [Faulty(port, "long") for port in PORTS]
    try:
        for _ in range(6):
            status, body = fetch(URL)
            assert (status, body) in ((200, "y" * 1000), (502, body), (503, body)), (status, body[:80])
    finally:
        for f in faulty:
            f.stop()


def without_any_backend_the_answer_is_a_503_or_502_with_a_reason(namespace, millrace):
    wait_until(lambda: fetch(URL)[0] in (502, 503), "refused")
    wait_until(lambda: fetch(URL)[0] == 503, "no backend is up")
    for port in PORTS:
        backends[port].start()
    wait_until(all_serve, "all three serve again", 20)


def everything_is_given_back(namespace, millrace):
    for port in PORTS:
        backends[port].die()
    wait_until(lambda: millrace.packets_held() == 0, "no packet is held")


main(three_backends_take_turns, one_dies_and_returns_without_a_failed_request, one_hangs_and_goes_on_without_a_failed_request,
     one_resets_without_a_failed_request, one_refuses_without_a_failed_request, one_speaks_no_http_without_a_failed_request,
     one_promises_more_than_it_sends_and_only_that_is_cut, a_short_response_never_looks_whole,
     what_is_sent_beyond_the_length_is_nobodys_response, without_any_backend_the_answer_is_a_503_or_502_with_a_reason,
     everything_is_given_back, more=PROXY)
