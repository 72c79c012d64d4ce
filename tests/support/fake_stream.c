/* Streams of the stand-in as the service uses them: <millrace/stream.h>, its rules checked at every call. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/fake_private.h"

static uint64_t sum_of(const void *data, size_t n)
{
    const uint8_t *p = data;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static const struct mr_stream *usable(const struct mr_stream *s)
{
    fake_demand(!s->close_delivered, "a stream was used after its on_close");
    fake_demand(!s->finished, "a stream was used after mr_stream_close or mr_stream_abort");
    return s;
}

void *mr_stream_context(const struct mr_stream *s)
{
    return s->context;
}

void mr_stream_set_context(struct mr_stream *s, void *context)
{
    s->context = context;
}

void mr_stream_local(const struct mr_stream *s, struct mr_endpoint *out)
{
    *out = s->local;
}

void mr_stream_remote(const struct mr_stream *s, struct mr_endpoint *out)
{
    *out = s->remote;
}

struct mr_worker *mr_stream_worker(const struct mr_stream *s)
{
    return s->worker;
}

void mr_stream_set_nodelay(struct mr_stream *s, bool nodelay)
{
    usable(s);
    s->nodelay = nodelay;
}

int mr_stream_set_congestion(struct mr_stream *s, const char *name)
{
    usable(s);
    return strcmp(name, "reno") ? MR_ERROR_UNKNOWN : MR_OK;
}

void mr_stream_info(const struct mr_stream *s, struct mr_stream_info *out)
{
    *out = (struct mr_stream_info){
        .local = s->local,
        .remote = s->remote,
        .state = s->close_delivered ? "UNCONN"
                 : s->opened        ? "ESTAB"
                                    : "SYN-SENT",
        .congestion = "reno",
        .receive_queue = (uint32_t)s->readable,
        .send_queue = (uint32_t)(s->sent - s->acknowledged),
        .mss = 1460,
    };
}

/* -- receiving -------------------------------------------------------------------------------------------------------- */

unsigned mr_stream_peek(const struct mr_stream *s, struct mr_span *spans, unsigned max)
{
    unsigned n = 0;
    for (struct fake_piece *p = usable(s)->pieces; p && n < max; p = p->next)
        spans[n++] = (struct mr_span){p->bytes + p->taken, p->length - p->taken};
    return n;
}

void mr_stream_consume(struct mr_stream *s, size_t n)
{
    fake_demand(n <= usable(s)->readable, "more was consumed than is readable");
    s->readable -= n;
    while (n > 0) {
        struct fake_piece *p = s->pieces;
        size_t part = p->length - p->taken < n ? p->length - p->taken : n;
        p->taken += part;
        n -= part;
        if (p->taken < p->length)
            continue;
        if (!(s->pieces = p->next))
            s->pieces_end = &s->pieces;
        free(p->bytes);
        free(p);
    }
}

size_t mr_stream_read(struct mr_stream *s, void *buffer, size_t n)
{
    struct mr_span span;
    size_t taken = 0;
    while (taken < n && mr_stream_peek(s, &span, 1)) {
        size_t k = n - taken < span.length ? n - taken : span.length;
        memcpy((uint8_t *)buffer + taken, span.data, k);
        mr_stream_consume(s, k);
        taken += k;
    }
    return taken;
}

size_t mr_stream_readable(const struct mr_stream *s)
{
    return usable(s)->readable;
}

bool mr_stream_ended(const struct mr_stream *s)
{
    return usable(s)->peer_ended && s->readable == 0;
}

/* -- sending ---------------------------------------------------------------------------------------------------------- */

size_t mr_stream_unacknowledged(const struct mr_stream *s)
{
    return (size_t)(usable(s)->sent - s->acknowledged);
}

size_t mr_stream_send_room(const struct mr_stream *s)
{
    size_t out = mr_stream_unacknowledged(s);
    return s->shutdown || out >= s->budget ? 0 : s->budget - out;
}

static void record(struct mr_stream *s, const void *data, size_t n)
{
    if (s->output_length + n + 1 > s->output_room) {
        s->output_room = (s->output_length + n + 1) * 2;
        s->output = realloc(s->output, s->output_room);
    }
    memcpy(s->output + s->output_length, data, n);
    s->output_length += n;
    s->output[s->output_length] = 0;
    s->sent += n;
}

size_t mr_stream_send(struct mr_stream *s, const void *data, size_t n)
{
    fake_demand(!usable(s)->shutdown, "data was sent after mr_stream_shutdown");
    size_t room = mr_stream_send_room(s), taken = n < room ? n : room;
    record(s, data, taken);
    s->refused |= taken < n;
    return taken;
}

bool mr_stream_lend(struct mr_stream *s, const void *data, size_t n, void (*release)(void *argument), void *argument)
{
    fake_demand(!usable(s)->shutdown, "data was lent after mr_stream_shutdown");
    fake_demand(n > 0, "nothing was lent");
    if (n > mr_stream_send_room(s) && mr_stream_unacknowledged(s) > 0) {
        s->refused = true;
        return false;
    }
    record(s, data, n);
    struct fake_lend *l = malloc(sizeof *l);
    *l = (struct fake_lend){NULL, data, n, s->sent, sum_of(data, n), release, argument};
    *s->lends_end = l;
    s->lends_end = &l->next;
    return true;
}

void fake_lends_release(struct mr_stream *s, uint64_t upto)
{
    while (s->lends && s->lends->end <= upto) {
        struct fake_lend *l = s->lends;
        fake_demand(sum_of(l->data, l->length) == l->sum, "lent bytes changed before their release");
        if (!(s->lends = l->next))
            s->lends_end = &s->lends;
        l->release(l->argument);
        free(l);
    }
}

/* Copies, which nobody can tell here. A target that is over is no broken rule: nothing moves. */
size_t mr_stream_splice(struct mr_stream *from, struct mr_stream *to, size_t n)
{
    fake_demand(usable(from)->worker == to->worker, "streams of two workers were spliced");
    fake_demand(!to->close_delivered, "a stream was spliced to after its on_close");
    if (to->shutdown || to->finished)
        return 0;
    size_t wanted = n < from->readable ? n : from->readable, room = mr_stream_send_room(to), moved = 0;
    while (moved < wanted && moved < room) {
        struct fake_piece *p = from->pieces;
        size_t part = p->length - p->taken, left = (wanted < room ? wanted : room) - moved;
        part = part < left ? part : left;
        record(to, p->bytes + p->taken, part);
        mr_stream_consume(from, part);
        moved += part;
    }
    to->spliced += moved;
    to->refused |= moved < wanted;
    return moved;
}

/* -- closing ---------------------------------------------------------------------------------------------------------- */

void mr_stream_shutdown(struct mr_stream *s)
{
    usable(s);
    s->shutdown = true;
}

void mr_stream_close(struct mr_stream *s)
{
    s->unread_at_close = usable(s)->readable > 0;
    s->finished = s->shutdown = true;
}

void mr_stream_abort(struct mr_stream *s)
{
    usable(s);
    s->finished = s->aborted = true;
}
