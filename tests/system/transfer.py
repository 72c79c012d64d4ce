#!/usr/bin/env python3
"""Files through curl, from one byte to 200 MB, in both directions, compared by checksum."""
import hashlib
import http.client
import random
import time
import zlib

from lib import ADDRESS, URL, main, note, run, wait_until

SIZES = [1, 2, 100, 1447, 1448, 1449, 2896, 65535, 65536, 65537, 1_000_000, 20_000_000]
LARGE = 200_000_000


def pattern(size, seed=1):
    block = random.Random(seed).randbytes(1 << 20)
    return (block * (size // len(block) + 1))[:size]


def write_file(namespace, name, content):
    path = namespace.folder / "www" / name
    path.write_bytes(content)
    return path


def download(namespace, name, *options):
    """Returns the SHA-256 of what curl gets, and the seconds that it took."""
    target = namespace.folder / "received"
    out = run("curl", "-sS", "--fail", "--max-time", 100, *options, "-o", target, "-w", "%{time_total}", f"{URL}/{name}",
              timeout=120).stdout
    with open(target, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest(), float(out)


def upload(namespace, path, method, *options):
    return run("curl", "-sS", "--fail", "--max-time", 100, *options, "-X", method, "--data-binary" if method == "POST" else "-T",
               f"@{path}" if method == "POST" else path, f"{URL}/sink", timeout=120).stdout


def sink_answer(content):
    return f"bytes {len(content)}\ncrc32 {zlib.crc32(content):08x}\n"


def downloads_of_every_size_arrive_unchanged(namespace, millrace):
    for size in SIZES:
        content = pattern(size, size)
        write_file(namespace, "file", content)
        # A name is remembered with what the file was: another name for another file.
        (namespace.folder / "www" / "file").rename(namespace.folder / "www" / f"file{size}")
        digest, _ = download(namespace, f"file{size}")
        assert digest == hashlib.sha256(content).hexdigest(), f"{size} bytes differ"


def download_of_200_mb_arrives_unchanged(namespace, millrace):
    content = pattern(LARGE)
    path = write_file(namespace, "large", content)
    before = millrace.counters()
    digest, seconds = download(namespace, "large")
    after = millrace.counters()
    path.unlink()
    assert digest == hashlib.sha256(content).hexdigest()
    note(f"200 MB down in {seconds:.2f} s, {LARGE / seconds / 1e6:.0f} MB/s, "
         f"{after['tcp.retransmits'] - before['tcp.retransmits']} retransmits")


def uploads_of_every_size_arrive_unchanged(namespace, millrace):
    for size in SIZES:
        content = pattern(size, size)
        path = write_file(namespace, "source", content)
        for method in ("PUT", "POST"):
            answer = upload(namespace, path, method)
            assert answer == sink_answer(content), f"{method} of {size} bytes: {answer!r}"


def chunked_upload_arrives_unchanged(namespace, millrace):
    content = pattern(5_000_000, 3)
    path = write_file(namespace, "source", content)
    answer = upload(namespace, path, "PUT", "-H", "Transfer-Encoding: chunked")
    assert answer == sink_answer(content), answer


def upload_of_200_mb_arrives_unchanged(namespace, millrace):
    content = pattern(LARGE)
    path = write_file(namespace, "source", content)
    before = millrace.counters()
    started = time.monotonic()
    answer = upload(namespace, path, "PUT")
    seconds = time.monotonic() - started
    after = millrace.counters()
    path.unlink()
    assert answer == sink_answer(content), answer
    note(f"200 MB up in {seconds:.2f} s, {LARGE / seconds / 1e6:.0f} MB/s, "
         f"{after['tcp.out_of_order'] - before['tcp.out_of_order']} out of order")


def range_of_a_large_file_is_that_range(namespace, millrace):
    content = pattern(20_000_000, 5)
    write_file(namespace, "ranged", content)
    digest, _ = download(namespace, "ranged", "-r", "9999999-12345678")
    assert digest == hashlib.sha256(content[9_999_999:12_345_679]).hexdigest()


def hundred_requests_on_one_connection_are_answered_in_order(namespace, millrace):
    before = millrace.counters()["tcp.accepted"]
    connection = http.client.HTTPConnection(ADDRESS, timeout=5)
    for size in range(1, 101):
        connection.request("GET", f"/bytes/{size}")
        answer = connection.getresponse()
        assert answer.status == 200 and len(answer.read()) == size
    connection.close()
    assert millrace.counters()["tcp.accepted"] - before == 1


def everything_is_given_back_afterwards(namespace, millrace):
    wait_until(millrace.is_idle, "no connection and no held packet left")


main(downloads_of_every_size_arrive_unchanged, download_of_200_mb_arrives_unchanged, uploads_of_every_size_arrive_unchanged,
     chunked_upload_arrives_unchanged, upload_of_200_mb_arrives_unchanged, range_of_a_large_file_is_that_range,
     hundred_requests_on_one_connection_are_answered_in_order, everything_is_given_back_afterwards)
