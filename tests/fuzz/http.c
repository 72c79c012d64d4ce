/* The HTTP service over a fake stack: the input is a script of what peers and time do. Every invariant is checked after
 * each step, the fake stack checks the rules of the API, and at the end nothing may be left.
 *
 * A step is one byte: the low 3 bits say what, the next 2 which of 4 connections, and the top 3 how much. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http/connection.h"
#include "http/http.h"
#include "tests/support/fake_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT, INPUT_MORE, TURN, PASS, ACKNOWLEDGE, THROTTLE, END, RESET };
#define PEERS 4

static char root[] = "/tmp/millrace-fuzz-XXXXXX";

static void file_make(const char *name, size_t n)
{
    static const char text[4096] = "text";
    int folder = open(root, O_PATH | O_DIRECTORY), fd = openat(folder, name, O_WRONLY | O_CREAT, 0644);
    for (size_t at = 0; at < n; at += sizeof text)
        if (write(fd, text, n - at < sizeof text ? n - at : sizeof text) < 0)
            abort();
    close(fd);
    close(folder);
}

static void root_remove(void)
{
    int folder = open(root, O_PATH | O_DIRECTORY);
    static const char *const names[] = {"index.html", "a", "b"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlinkat(folder, names[i], 0);
    close(folder);
    rmdir(root);
}

static void root_make(void)
{
    static bool made;
    if (made)
        return;
    made = true;
    if (!mkdtemp(root))
        abort();
    file_make("index.html", 100);
    file_make("a", 3000);
    file_make("b", 300000);
    atexit(root_remove);
}

static size_t step(struct mr_worker *w, struct mr_stream **peers, const uint8_t *data, size_t size)
{
    unsigned what = data[0] & 7, amount = data[0] >> 5;
    struct mr_stream **peer = &peers[data[0] >> 3 & 3];
    if (!*peer || fake_closed(*peer))
        *peer = fake_open(w);
    if (fake_closed(*peer))
        return 1;
    size_t n = 0;
    switch (what) {
    case INPUT:
    case INPUT_MORE:
        n = size > 1 ? data[1] % 64u * (amount + 1) : 0;
        n = n < size - 2 ? n : size - 2;
        n = size > 2 ? n : 0;
        (what == INPUT ? fake_input : fake_input_quietly)(*peer, data + 2, n);
        return 2 + n < size ? 2 + n : size;
    case TURN:
        fake_turn(w);
        break;
    case PASS:
        fake_pass(w, (mr_time)amount * amount * 200 * MR_MILLISECOND);
        break;
    case ACKNOWLEDGE:
        fake_acknowledge(*peer, (size_t)1 << (2 * amount + 4));
        break;
    case THROTTLE:
        fake_throttle(*peer, (size_t)1 << (2 * amount + 3));
        break;
    case END:
        fake_end(*peer);
        break;
    case RESET:
        fake_reset(*peer);
        break;
    }
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_config config = {.root = root,
                                 .status_page = true,
                                 .test_endpoints = true,
                                 .connections_max = 3,
                                 .requests_per_turn = 4,
                                 .line_bytes_max = 200,
                                 .header_bytes_max = 600,
                                 .header_count_max = 8,
                                 .body_bytes_max = 5000,
                                 .buffers_max = 2,
                                 .header_timeout = 2 * MR_SECOND,
                                 .idle_timeout = 3 * MR_SECOND,
                                 .body_timeout = 2 * MR_SECOND,
                                 .send_timeout = 2 * MR_SECOND,
                                 .linger_timeout = MR_SECOND,
                                 .cache_bytes = 70000,
                                 .cache_file_bytes = 4000,
                                 .cache_entries = 16,
                                 .open_files_max = 1,
                                 .loads_max = 4,
                                 .stream_bytes = HTTP_READ_BYTES};
    struct mr_stream *peers[PEERS] = {NULL};
    uint64_t counters[HTTP_COUNTERS] = {0};
    void *state;
    root_make();
    struct mr_worker *w = fake_worker_create();
    if (http_service.start(w, &config, counters, &state) != MR_OK)
        abort();
    struct http *http = state;
    while (size > 0) {
        size_t used = step(w, peers, data, size);
        data += used;
        size -= used;
        for (uint32_t i = 0; i < http->connections_used; i++)
            http_connection_check(&http->connections[i]);
    }
    http_service.stop(w, state);
    fake_pass(w, 30 * MR_SECOND);
    for (unsigned i = 0; i < PEERS; i++)
        if (peers[i]) /* what was closed in order with bytes outstanding is the stack's to time out */
            fake_acknowledge(peers[i], SIZE_MAX);
    if (fake_streams_open(w) || http->connections_open || http->reads_free != http->read_count)
        abort();
    http_service.release(w, state);
    fake_worker_free(w);
    return 0;
}
