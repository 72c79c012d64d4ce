/* Payload on its way between two streams: spliced, with framing written anew around it. Nothing is read that the other side does not
 * take, so a peer that stands still closes the window of the other. */
#include <assert.h>
#include <string.h>

#include "proxy/http/session_machine.h"

static void count_sent(struct session *s, struct mr_stream *to, size_t n)
{
    if (to == s->stream)
        s->sent_bytes += n;
}

/* Payload, counted for the request, the worker and the backend. */
void session_count_up(struct session *s, uint64_t n)
{
    s->bytes_in += n;
    proxy_add(s->proxy, PROXY_SESSION_BYTES_UP, n);
    if (s->upstream)
        s->proxy->backends[s->request.slot].bytes_to += n;
}

void session_count_down(struct session *s, uint64_t n)
{
    s->bytes_out += n;
    proxy_add(s->proxy, PROXY_SESSION_BYTES_DOWN, n);
    if (s->upstream)
        s->proxy->backends[s->request.slot].bytes_from += n;
}

/* Sends all of it, or keeps what has no room. False: there is no buffer for it. */
bool session_send(struct session *s, struct mr_stream *to, struct session_flow *f, const void *bytes, size_t n)
{
    struct proxy *p = s->proxy;
    size_t taken = 0;
    if (!f->spill) {
        taken = mr_stream_send(to, bytes, n);
        count_sent(s, to, taken);
        if (__builtin_expect(taken == n, 1))
            return true;
        if (!(f->spill = proxy_buffer_take(p)))
            return false;
        f->spill->start = f->spill->used = 0;
    }
    if (p->buffer_bytes - f->spill->used < n - taken)
        return false;
    memcpy(f->spill->bytes + f->spill->used, (const uint8_t *)bytes + taken, n - taken);
    f->spill->used += (uint32_t)(n - taken);
    return true;
}

void session_flow_release(struct session *s, struct session_flow *f)
{
    if (f->spill)
        proxy_buffer_give(s->proxy, f->spill);
    f->spill = NULL;
}

static bool flush_spill(struct session *s, struct session_flow *f, struct mr_stream *to)
{
    struct proxy_buffer *b = f->spill;
    size_t taken = mr_stream_send(to, b->bytes + b->start, b->used - b->start);
    count_sent(s, to, taken);
    b->start += (uint32_t)taken;
    if (b->start < b->used)
        return false;
    session_flow_release(s, f);
    return true;
}

static bool flush_frame(struct session *s, struct session_flow *f, struct mr_stream *to)
{
    size_t taken = mr_stream_send(to, f->frame + f->frame_at, (size_t)(f->frame_length - f->frame_at));
    count_sent(s, to, taken);
    f->frame_at += (uint8_t)taken;
    return f->frame_at == f->frame_length;
}

/* What is owed before payload may go: true when nothing is. */
static bool flush(struct session *s, struct session_flow *f, struct mr_stream *to)
{
    if (f->spill && !flush_spill(s, f, to))
        return false;
    return f->frame_at == f->frame_length || flush_frame(s, f, to);
}

static void frame_set(struct session_flow *f, const char *text, size_t n)
{
    memcpy(f->frame, text, n);
    f->frame_at = 0;
    f->frame_length = (uint8_t)n;
}

/* RFC 9112 7.1: the line in front of `n` bytes, behind the end of the chunk before. */
static void frame_chunk(struct session_flow *f, uint64_t n)
{
    static const char digits[] = "0123456789abcdef";
    char text[24];
    size_t at = sizeof text;
    text[--at] = '\n';
    text[--at] = '\r';
    do
        text[--at] = digits[n & 15];
    while (n >>= 4);
    if (f->open) {
        text[--at] = '\n';
        text[--at] = '\r';
    }
    f->open = true;
    frame_set(f, text + at, sizeof text - at);
}

static void frame_last(struct session_flow *f)
{
    f->finished = true;
    if (!f->chunked)
        return;
    frame_set(f, f->open ? "\r\n0\r\n\r\n" : "0\r\n\r\n", f->open ? 7 : 5);
    f->open = false;
}

/* Takes framing off `from` until payload lies next. FLOW_DONE: so it is, or the body has ended. */
static enum session_progress skip_framing(struct session_flow *f, struct mr_stream *from, int *error)
{
    struct mr_span span, payload;
    while (!http_body_ended(&f->body) && http_body_payload(&f->body) == 0) {
        if (!from)
            return FLOW_CUT;
        if (mr_stream_peek(from, &span, 1) == 0)
            return mr_stream_ended(from) ? FLOW_CUT : FLOW_STARVED;
        int n = http_body_next(&f->body, span.data, span.length, &payload);
        if (n < 0) {
            *error = -n;
            return FLOW_REFUSED;
        }
        assert(payload.length == 0);
        mr_stream_consume(from, (size_t)n);
    }
    return FLOW_DONE;
}

/* Nothing more is there: a chunk that is whole must not look as if it were not. */
static enum session_progress starved(struct session *s, struct session_flow *f, struct mr_stream *to)
{
    if (!f->open)
        return FLOW_STARVED;
    f->open = false;
    frame_set(f, "\r\n", 2);
    return flush_frame(s, f, to) ? FLOW_STARVED : FLOW_BLOCKED;
}

/* How much payload is announced next. FLOW_DONE: f->chunk, or that it was the last. */
static enum session_progress chunk_begin(struct session_flow *f, struct mr_stream *from, int *error)
{
    enum session_progress progress = skip_framing(f, from, error);
    if (progress != FLOW_DONE)
        return progress;
    if (http_body_ended(&f->body)) {
        frame_last(f);
        return FLOW_DONE;
    }
    if (!from)
        return FLOW_CUT;
    uint64_t n = http_body_payload(&f->body), readable = mr_stream_readable(from);
    if (readable == 0) {
        if (!mr_stream_ended(from))
            return FLOW_STARVED;
        if (!http_body_end(&f->body))
            return FLOW_CUT;
        frame_last(f);
        return FLOW_DONE;
    }
    f->chunk = n < readable ? n : readable;
    if (f->chunked)
        frame_chunk(f, f->chunk);
    return FLOW_DONE;
}

/* What the cache keeps, too, is looked at once: copied to both. */
static size_t copy_filled(struct session *s, struct session_flow *f, struct mr_stream *from, struct mr_stream *to)
{
    struct mr_span span;
    size_t moved = 0;
    while (moved < f->chunk && mr_stream_peek(from, &span, 1) == 1) {
        span.length = span.length < f->chunk - moved ? span.length : (size_t)(f->chunk - moved);
        size_t n = mr_stream_send(to, span.data, span.length);
        session_cache_append(s, (struct mr_span){span.data, n});
        mr_stream_consume(from, n);
        moved += n;
        if (n < span.length)
            break;
    }
    return moved;
}

static enum session_progress splice(struct session *s, struct session_flow *f, struct mr_stream *from,
                                    struct mr_stream *to)
{
    if (!from)
        return FLOW_CUT;
    size_t n = f == &s->down && s->fill ? copy_filled(s, f, from, to) : mr_stream_splice(from, to, (size_t)f->chunk);
    count_sent(s, to, n);
    http_body_skip(&f->body, n);
    f->chunk -= n;
    f->moved += n;
    return f->chunk ? FLOW_BLOCKED : FLOW_DONE;
}

enum session_progress session_flow_move(struct session *s, struct session_flow *f, struct mr_stream *from,
                                        struct mr_stream *to, int *error)
{
    enum session_progress progress;
    for (;;) {
        if (!flush(s, f, to))
            return FLOW_BLOCKED;
        if (f->finished)
            return FLOW_DONE;
        progress = f->chunk ? splice(s, f, from, to) : chunk_begin(f, from, error);
        if (progress == FLOW_STARVED)
            return starved(s, f, to);
        if (progress != FLOW_DONE)
            return progress;
    }
}

/* The body of the request. Its head goes with the first byte of it: from then on there is no second try. */
static enum session_progress move_up(struct session *s, int *error)
{
    if (!s->head_done) {
        if (s->up.spill && !flush_spill(s, &s->up, s->back))
            return FLOW_BLOCKED;
        if (s->up.finished)
            return FLOW_DONE; /* it has no body, or that went with the head; and there may be no client */
        if (mr_stream_readable(s->stream) <= s->head_bytes && !mr_stream_ended(s->stream))
            return FLOW_STARVED;
        session_head_release(s);
    }
    return session_flow_move(s, &s->up, s->stream, s->back, error);
}

bool session_move_up(struct session *s)
{
    int error = 0;
    uint64_t moved = s->up.moved;
    if (s->up.finished && !s->up.spill && s->up.frame_at == s->up.frame_length)
        return false;
    enum session_progress progress = move_up(s, &error);
    session_count_up(s, s->up.moved - moved);
    if (progress == FLOW_DONE && s->state == SESSION_EXPECT_RESPONSE)
        session_deadline_after(s, s->upstream ? s->upstream->config->response_timeout : s->proxy->limits.body_timeout);
    else if (s->up.moved != moved)
        session_deadline_after(s, s->proxy->limits.body_timeout);
    if (progress == FLOW_CUT) { /* RFC 9112 8: incomplete, and the backend must not think otherwise */
        proxy_count(s->proxy, PROXY_SESSION_REQUESTS_CUT);
        session_abort(s);
        return true;
    }
    if (progress == FLOW_REFUSED) {
        session_back_drop(s, true);
        http_body_start(&s->up.body, HTTP_BODY_NONE, 0, 0); /* no more can be told apart: linger throws the rest away */
        if (s->began)
            session_abort(s);
        else
            session_refuse(s, error);
        return true;
    }
    return false;
}

static void response_whole(struct session *s)
{
    session_cache_fill_end(s, true);
    session_back_done(s);
    session_set_state(s, SESSION_EXPECT_ROOM);
}

bool session_step_body(struct session *s)
{
    int error;
    uint64_t moved = s->down.moved;
    if (s->revalidates)
        return session_refresh_body(s);
    if (s->back && session_move_up(s))
        return true;
    enum session_progress progress = session_flow_move(s, &s->down, s->back, s->stream, &error);
    session_count_down(s, s->down.moved - moved);
    if (s->down.moved != moved || s->blocked != (progress == FLOW_BLOCKED)) {
        s->blocked = progress == FLOW_BLOCKED;
        session_deadline_after(s, s->blocked    ? s->proxy->limits.send_timeout
                                  : s->upstream ? s->upstream->config->body_timeout
                                                : s->proxy->limits.body_timeout);
    }
    switch (progress) {
    case FLOW_DONE:
        response_whole(s);
        return true;
    case FLOW_CUT:
    case FLOW_REFUSED: /* it lied about its length: the client must not take what it got for all of it */
        proxy_count(s->proxy, PROXY_SESSION_RESPONSES_CUT);
        session_back_failed(s, progress == FLOW_CUT ? UPSTREAM_ENDED : UPSTREAM_MALFORMED);
        return false;
    default:
        return false;
    }
}

bool session_step_room(struct session *s)
{
    if (!flush(s, &s->down, s->stream) || (s->served && !session_cache_flush(s))) {
        if (!s->blocked) {
            s->blocked = true;
            session_deadline_after(s, s->proxy->limits.send_timeout);
        }
        return false;
    }
    s->blocked = false;
    bool rest = !http_body_ended(&s->up.body);
    session_request_end(s);
    if (!s->keep_alive || s->proxy->stopping) {
        session_linger(s);
    } else if (rest) {
        s->discarded = 0;
        session_set_state(s, SESSION_EXPECT_DISCARD_END);
        session_deadline_after(s, s->proxy->limits.body_timeout);
    } else {
        session_set_state(s, SESSION_EXPECT_REQUEST);
        session_deadline_after(s, s->listener->plan ? s->listener->plan->config->idle_timeout : 0);
    }
    return true;
}

/* The rest of a request that was answered before it was whole. */
bool session_step_discard(struct session *s)
{
    struct mr_span span, payload;
    while (!http_body_ended(&s->up.body)) {
        if (mr_stream_peek(s->stream, &span, 1) == 0) {
            if (!mr_stream_ended(s->stream))
                return false;
            session_linger(s);
            return true;
        }
        int n = http_body_next(&s->up.body, span.data, span.length, &payload);
        if (n > 0) {
            mr_stream_consume(s->stream, (size_t)n);
            s->discarded += (uint32_t)n;
        }
        if (n < 0 || s->discarded > SESSION_DISCARD_BYTES_MAX) {
            session_linger(s);
            return true;
        }
    }
    session_set_state(s, SESSION_EXPECT_REQUEST);
    session_deadline_after(s, s->listener->plan ? s->listener->plan->config->idle_timeout : 0);
    return true;
}
