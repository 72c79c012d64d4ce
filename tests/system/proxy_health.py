#!/usr/bin/env python3
"""Active checks with two workers: backends that are sick, dead or hang are out on both, and back when they are well; behind a PROXY
header of either version nginx takes a check for what it is. Nothing else would put a backend out here: no ejection, no retries."""
import re

from lib import ADDRESS, HOST, main, run, wait_until
from proxy_lib import Nginx, proxy_service

PORTS = (9001, 9002)
URL = f"http://{ADDRESS}:8080/page"
PROXY = proxy_service(f"""
    listeners:
      - {{name: web, listen: ":8080", upstream: app}}
      - {{name: plain, listen: ":8081", mode: tcp, upstream: ports}}
      - {{name: one, listen: ":8082", upstream: v1}}
      - {{name: two, listen: ":8083", upstream: v2}}
    upstreams:
      - name: app
        retries: 0
        ejection: {{failures: 0}}
        health: {{type: http, path: /health, interval: 100ms, timeout: 300ms, rise: 2, fall: 2}}
        backends:
          - {{name: a, address: {HOST}:9001}}
          - {{name: b, address: {HOST}:9002}}
      - name: ports
        retries: 0
        ejection: {{failures: 0}}
        health: {{type: tcp, interval: 100ms, timeout: 300ms, rise: 2, fall: 2}}
        backends:
          - {{name: a, address: {HOST}:9001}}
          - {{name: b, address: {HOST}:9002}}
      - name: v1
        proxy_protocol: v1
        health: {{type: http, path: /health, interval: 100ms, timeout: 300ms}}
        backends: [{{name: a, address: {HOST}:9101}}]
      - name: v2
        proxy_protocol: v2
        health: {{type: http, path: /health, interval: 100ms, timeout: 300ms}}
        backends: [{{name: a, address: {HOST}:9101}}]
""") + "\nworkers:\n  count: 2\n"
backends = {}


def backend_of(url):
    """The port that answered on a new connection, which either worker may have; None: nobody."""
    head = run("curl", "-s", "-m", 5, "-D", "-", "-o", "/dev/null", url, check=False).stdout
    found = re.search(r"(?i)^x-backend: (\d+)", head, re.M)
    return int(found.group(1)) if found else None


def who_serves(url, times=24):
    return {backend_of(url) for _ in range(times)}


def all_serve(url=URL):
    wait_until(lambda: who_serves(url) == set(PORTS), "both serve")


def other_alone_serves(url=URL):
    """Once both workers know, not one request goes to the first."""
    wait_until(lambda: who_serves(url) == {9002}, "the first is out on both workers")
    assert who_serves(url, 60) == {9002}


def changes(millrace, upstream, backend="a"):
    """What the log says of one backend: from, to, why."""
    text = millrace.log_path.read_text()
    return re.findall(rf"health: upstream={upstream} backend={backend} address=\S+: (\w+) -> (\w+): (.*)", text)


def checked_backends_serve(namespace, millrace):
    (namespace.folder / "www" / "page").write_bytes(b"p" * 100)
    (namespace.folder / "www" / "health").write_bytes(b"well")
    for port in PORTS:
        sick = namespace.folder / f"sick-{port}"
        behind = f"listen {HOST}:9101 proxy_protocol;" if port == 9001 else ""
        backends[port] = Nginx(namespace, port, f"{behind} location /health {{ if (-f {sick}) {{ return 503; }} }}")
    all_serve()
    all_serve(f"http://{ADDRESS}:8081/page")


def sick_backend_is_out_and_back(namespace, millrace):
    sick = namespace.folder / "sick-9001"
    before = len(changes(millrace, "app"))
    sick.touch()
    other_alone_serves()
    assert who_serves(f"http://{ADDRESS}:8081/page") == set(PORTS)  # its port is as good as ever
    sick.unlink()
    all_serve()
    down, up = changes(millrace, "app")[before:][:2]
    assert down == ("up", "down", "the status is out of range"), down
    assert up == ("down", "up", "good"), up


def dead_backend_is_out_and_back(namespace, millrace):
    before = len(changes(millrace, "ports"))
    backends[9001].die()
    other_alone_serves(f"http://{ADDRESS}:8081/page")
    other_alone_serves()
    backends[9001].start()
    all_serve()
    all_serve(f"http://{ADDRESS}:8081/page")
    down = changes(millrace, "ports")[before]
    # a check that was under way when it died may be the one that counts
    assert down[:2] == ("up", "down") and down[2] != "the status is out of range", down


def hanging_backend_is_out_and_back(namespace, millrace):
    before = len(changes(millrace, "app"))
    backends[9001].hang()
    try:
        wait_until(lambda: len(changes(millrace, "app")) > before, "it is down")
        other_alone_serves()
    finally:
        backends[9001].go_on()
    all_serve()
    assert changes(millrace, "app")[before] == ("up", "down", "no answer in time")


def nginx_understands_the_proxy_header_of_a_check(namespace, millrace):
    for upstream, port in (("v1", 8082), ("v2", 8083)):
        wait_until(lambda: changes(millrace, upstream), f"{upstream} is checked")
        wait_until(lambda: changes(millrace, upstream)[-1][1] == "up", f"{upstream} is up", 30)
        assert backend_of(f"http://{ADDRESS}:{port}/page") == 9001


def everything_is_given_back(namespace, millrace):
    for port in PORTS:
        backends[port].die()
    wait_until(lambda: millrace.packets_held() == 0, "no packet is held")


main(checked_backends_serve, sick_backend_is_out_and_back, dead_backend_is_out_and_back, hanging_backend_is_out_and_back,
     nginx_understands_the_proxy_header_of_a_check, everything_is_given_back, more=PROXY)
