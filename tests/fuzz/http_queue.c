/* The queues by HTTP under a script: requests with any bodies, answers of a stand-in for the queue in any order and with any messages,
 * time, and peers that go. Every invariant of a connection is checked after each step; at the end every call is back in its
 * pool, and what was got has been settled exactly once unless it was asked for to be settled by hand.
 *
 * A step is one byte: the low 3 bits say what, the next 2 which of 4 connections, the top 3 which answer; a second byte is a length or a
 * choice, and so many bytes follow. */
#include <millrace/cache.h>
#include <millrace/queue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/call.h"
#include "http/connection.h"
#include "http/http.h"
#include "tests/support/fake_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PEERS       4
#define PENDING_MAX 64

/* -- the stand-in ----------------------------------------------------------------------------------------------------- */

static struct pending {
    mr_queue_done_fn done;
    mr_queue_message_fn message;
    mr_queue_state_fn state;
    bool list;
    void *context;
} pending[PENDING_MAX];
static unsigned pending_count;
static uint64_t shown, settled; /* deliveries */

struct mr_queues *mr_queues_find(struct mr_worker *w)
{
    return (struct mr_queues *)pending;
}
struct mr_cache *mr_cache_find(struct mr_worker *w)
{
    return NULL;
}
static int pend(struct pending p)
{
    if (pending_count == PENDING_MAX)
        return MR_ERROR_NO_MEMORY;
    pending[pending_count++] = p;
    return MR_OK;
}
/* Whatever is passed on must be there. */
static void touch(struct mr_span s)
{
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < s.length; i++)
        sum = (uint8_t)(sum + s.data[i]);
}
static void touch_text(const char *text)
{
    if (text)
        touch((struct mr_span){(const uint8_t *)text, strlen(text)});
}
int mr_queue_publish(struct mr_queues *q, const struct mr_queue_message *m, mr_queue_done_fn done, void *context)
{
    const struct mr_span spans[] = {m->exchange,       m->key,      m->body,      m->content_type,
                                    m->correlation_id, m->reply_to, m->message_id};
    for (unsigned i = 0; i < sizeof spans / sizeof spans[0]; i++)
        touch(spans[i]);
    return pend((struct pending){.done = done, .context = context});
}
int mr_queue_declare(struct mr_queues *q, struct mr_span name, const struct mr_queue_options *o, mr_queue_done_fn done,
                     void *context)
{
    touch(name);
    touch_text(o->dead_letter_exchange);
    touch_text(o->dead_letter_key);
    touch_text(o->durability);
    return pend((struct pending){.done = done, .context = context});
}
int mr_queue_delete(struct mr_queues *q, struct mr_span name, mr_queue_done_fn done, void *context)
{
    return pend((struct pending){.done = done, .context = context});
}
int mr_queue_purge(struct mr_queues *q, struct mr_span name, mr_queue_done_fn done, void *context)
{
    return pend((struct pending){.done = done, .context = context});
}
int mr_queue_get(struct mr_queues *q, struct mr_span name, bool automatic, uint64_t within, mr_queue_message_fn done,
                 void *context)
{
    return pend((struct pending){.message = done, .context = context});
}
/* Deliveries are counted from 1, so one of a peer's invention is told from one of ours by its size. */
#define DELIVERIES (UINT64_C(1) << 63)
int mr_queue_settle(struct mr_queues *q, uint64_t delivery, enum mr_queue_settle how, mr_queue_done_fn done,
                    void *context)
{
    settled += delivery > DELIVERIES && !context;
    return context ? pend((struct pending){.done = done, .context = context}) : MR_OK;
}
int mr_queue_state(struct mr_queues *q, struct mr_span name, mr_queue_state_fn done, void *context)
{
    return pend((struct pending){.state = done, .context = context});
}
int mr_queue_list(struct mr_queues *q, mr_queue_state_fn done, void *context)
{
    return pend((struct pending){.state = done, .list = true, .context = context});
}
int mr_queue_consume(struct mr_queues *q, struct mr_span name, unsigned prefetch, mr_queue_message_fn message,
                     void *context, struct mr_queue_consumer **out)
{
    return MR_ERROR_NO_MEMORY;
}
void mr_queue_consumer_end(struct mr_queue_consumer *c)
{
}
int mr_cache_increment(struct mr_cache *c, struct mr_span key, int64_t by, mr_cache_done_fn done, void *context)
{
    return MR_ERROR_NO_MEMORY;
}
int mr_cache_get(struct mr_cache *c, struct mr_span key, mr_cache_done_fn done, void *context)
{
    return MR_ERROR_NO_MEMORY;
}

/* One of those who wait, with `bytes` for whatever it may show. */
static void answer(unsigned which, unsigned how, struct mr_span bytes)
{
    if (!pending_count)
        return;
    which %= pending_count;
    struct pending p = pending[which];
    enum mr_queue_outcome outcome = (enum mr_queue_outcome)(how % (MR_QUEUE_NO_MEMORY + 1));
    memmove(&pending[which], &pending[which + 1], (--pending_count - which) * sizeof p);
    struct mr_queue_message m = {.key = bytes, .body = bytes, .message_id = bytes, .delivery = DELIVERIES + ++shown};
    struct mr_queue_state s = {.name = bytes, .ready = how};
    if (p.message && outcome != MR_QUEUE_DONE)
        shown--;
    if (p.done)
        p.done(p.context, outcome);
    else if (p.message)
        p.message(p.context, outcome, outcome == MR_QUEUE_DONE ? &m : NULL);
    else if (p.list && how % 2 == 0) {
        pending[pending_count++] = p; /* there is more of the list */
        p.state(p.context, MR_QUEUE_DONE, &s);
    } else
        p.state(p.context, p.list ? MR_QUEUE_DONE : outcome, p.list || outcome != MR_QUEUE_DONE ? NULL : &s);
    if (!p.message)
        shown--;
}

/* -- the script ------------------------------------------------------------------------------------------------------- */

static const char *const requests[] = {
    "GET /queues",
    "GET /queues/%s",
    "HEAD /queues",
    "PUT /queues/q%s",
    "DELETE /queues/%s",
    "POST /queues/q/messages",
    "POST /exchanges/e%s/messages",
    "POST /queues/q/get?count=3",
    "POST /queues/q/get?%s",
    "POST /queues/q/ack",
    "POST /queues/q/nack",
    "POST /queues/q/purge",
    "OPTIONS /queues/q/%s",
    "POST /queues/%s/get",
};

/* `bytes` as the body, and its first as a part of the path where one has room. */
static void request(struct mr_stream *s, unsigned which, struct mr_span bytes)
{
    char path[128], part[8] = "", text[400];
    for (size_t i = 0; i < bytes.length && i < 6; i++)
        part[i] = (char)(bytes.data[i] < 0x21 || bytes.data[i] > 0x7e ? '%' : bytes.data[i]);
    snprintf(path, sizeof path, requests[which % (sizeof requests / sizeof requests[0])], part);
    int n = snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", path, bytes.length);
    fake_input_quietly(s, text, (size_t)n);
    fake_input(s, bytes.data, bytes.length);
}

enum { REQUEST, REQUEST_HALF, ANSWER, ANSWER_SHORT, TURN, PASS, THROTTLE, RESET };

static size_t step(struct mr_worker *w, struct mr_stream **peers, const uint8_t *data, size_t size)
{
    unsigned what = data[0] & 7, top = data[0] >> 5;
    struct mr_stream **peer = &peers[data[0] >> 3 & 3];
    if (!*peer || fake_closed(*peer))
        *peer = fake_open(w);
    if (fake_closed(*peer))
        return 1;
    size_t n = size > 2 ? data[1] : 0;
    n = n < size - 2 || size < 2 ? n : size - 2;
    struct mr_span bytes = {data + 2, n};
    switch (what) {
    case REQUEST:
        request(*peer, top + (n & 8), bytes);
        return 2 + n < size ? 2 + n : size;
    case REQUEST_HALF: { /* the rest is another's, or never comes */
        static const char head[] = "POST /queues/q/messages HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        fake_input(*peer, head, sizeof head - 1);
        fake_input(*peer, bytes.data, n);
        return 2 + n < size ? 2 + n : size;
    }
    case ANSWER:
        answer(data[0] >> 3 & 3, top, bytes);
        return 2 + n < size ? 2 + n : size;
    case ANSWER_SHORT:
        answer(0, top & 1 ? top : 0, (struct mr_span){(const uint8_t *)"\xc3\xa9\"", 3});
        break;
    case TURN:
        fake_turn(w);
        break;
    case PASS:
        fake_pass(w, (mr_time)top * top * 100 * MR_MILLISECOND);
        break;
    case THROTTLE:
        fake_throttle(*peer, (size_t)1 << (2 * top + 3));
        break;
    case RESET:
        fake_reset(*peer);
        break;
    }
    return 1;
}

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_config config = {.queue_api = (char *)(uintptr_t) "/queues",
                                 .queue_body_bytes_max = 4096,
                                 .queue_calls_max = 3,
                                 .connections_max = 4,
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
    pending_count = 0;
    shown = settled = 0;
    struct mr_worker *w = fake_worker_create();
    require(http_service.start(w, &config, counters, &state) == MR_OK, "it does not start");
    struct http *http = state;
    while (size > 0) {
        size_t used = step(w, peers, data, size);
        data += used;
        size -= used;
        for (uint32_t i = 0; i < http->connections_used; i++)
            http_connection_check(&http->connections[i]);
    }
    http_service.stop(w, state);
    for (unsigned i = 0; pending_count && i < 1000; i++)
        answer(0, MR_QUEUE_NOT_FOUND, (struct mr_span){0});
    fake_pass(w, 30 * MR_SECOND);
    for (unsigned i = 0; i < PEERS; i++)
        if (peers[i]) /* what was closed in order with bytes outstanding is the stack's to time out */
            fake_acknowledge(peers[i], SIZE_MAX);
    unsigned calls = 0;
    for (struct http_call *call = http->free_calls; call; call = call->next)
        calls++;
    require(!fake_streams_open(w) && !http->connections_open, "a connection is left");
    require(!pending_count && !http->files.outstanding, "an answer is waited for");
    require(calls == config.queue_calls_max, "a call did not come back");
    require(settled <= shown, "more is settled than was shown");
    http_service.release(w, state);
    fake_worker_free(w);
    return 0;
}
