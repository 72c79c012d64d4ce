/* The machine of one connection: each state has a step, which says whether another may follow at once. */
#include "http/connection.h"

#include <assert.h>
#include <string.h>

const char *const http_connection_state_names[CONNECTION_STATES] = {
    "FREE",        "EXPECT_REQUEST", "EXPECT_HEAD_END",    "EXPECT_FILE",       "EXPECT_ANSWER",
    "EXPECT_BODY", "EXPECT_ROOM",    "EXPECT_DISCARD_END", "EXPECT_LINGER_END", "EXPECT_CLOSE"};

#define TO(state) (1u << (state))
static const uint16_t legal[CONNECTION_STATES] = {
    [CONNECTION_FREE] = TO(EXPECT_REQUEST),
    [EXPECT_REQUEST] = TO(EXPECT_HEAD_END) | TO(EXPECT_FILE) | TO(EXPECT_ANSWER) | TO(EXPECT_BODY) | TO(EXPECT_ROOM) |
                       TO(EXPECT_LINGER_END) | TO(EXPECT_CLOSE),
    [EXPECT_HEAD_END] = TO(EXPECT_FILE) | TO(EXPECT_ANSWER) | TO(EXPECT_BODY) | TO(EXPECT_ROOM) | TO(EXPECT_CLOSE),
    [EXPECT_FILE] = TO(EXPECT_REQUEST) | TO(EXPECT_HEAD_END) | TO(EXPECT_ROOM) | TO(EXPECT_CLOSE),
    [EXPECT_ANSWER] = TO(EXPECT_ROOM) | TO(EXPECT_CLOSE),
    [EXPECT_BODY] = TO(EXPECT_ANSWER) | TO(EXPECT_ROOM) | TO(EXPECT_CLOSE),
    [EXPECT_ROOM] = TO(EXPECT_REQUEST) | TO(EXPECT_DISCARD_END) | TO(EXPECT_LINGER_END) | TO(EXPECT_CLOSE),
    [EXPECT_DISCARD_END] = TO(EXPECT_REQUEST) | TO(EXPECT_LINGER_END) | TO(EXPECT_CLOSE),
    [EXPECT_LINGER_END] = TO(EXPECT_CLOSE),
    [EXPECT_CLOSE] = 0,
};

void http_connection_set_state(struct http_connection *c, enum http_connection_state state)
{
    assert(legal[c->state] & TO(state));
    c->state = state;
}

/* Deadlines move with nearly every request; the timer does not: it looks at the deadline when it fires. */
static void deadline_set(struct http_connection *c, mr_time deadline)
{
    c->deadline = deadline;
    if (__builtin_expect(deadline < c->armed, 0)) {
        c->armed = deadline;
        mr_timer_set(c->http->worker, &c->timer, deadline);
    }
}

static void deadline_after(struct http_connection *c, mr_time duration)
{
    deadline_set(c, mr_now(c->http->worker) + duration);
}

static void connection_close(struct http_connection *c)
{
    http_connection_set_state(c, EXPECT_CLOSE);
    mr_stream_close(c->stream);
}

static void connection_abort(struct http_connection *c)
{
    http_connection_set_state(c, EXPECT_CLOSE);
    mr_stream_abort(c->stream);
}

/* RFC 9112 9.6: a full close while the peer still sends would make TCP reset the connection, and the reset can overtake
 * the response. So our side ends, and what still comes is read and ignored until the peer ends too. */
static void linger_begin(struct http_connection *c)
{
    http_connection_set_state(c, EXPECT_LINGER_END);
    c->discarded = 0;
    mr_stream_shutdown(c->stream);
    deadline_after(c, c->http->config.linger_timeout);
}

/* Heads. */

static void head_give(struct http_connection *c)
{
    if (c->head)
        http_buffer_give(c->http, c->head);
    c->head = NULL;
}

/* A whole head: what it asks is done, or begun. */
static void head_complete(struct http_connection *c, struct http_request *r, const uint8_t *head)
{
    struct http *http = c->http;
    c->body.state = BODY_ENDED;
    int status = http_request_evaluate(r, head);
    c->method = r->method;
    c->minor = r->minor;
    c->keep_alive = r->keep_alive;
    c->expect_continue = r->expect_continue;
    if (status == 0)
        status = http_body_begin(&c->body, r, http->config.body_bytes_max);
    if (__builtin_expect(status != 0, 0)) {
        http_answer_refuse(c, -status);
        return;
    }
    http->counters[HTTP_COUNTER_REQUESTS] += c->file == NULL; /* else it was counted before it waited */
    http_route(c, r, head);
    if (c->state == EXPECT_FILE || c->state == EXPECT_ANSWER) /* who was asked goes on */
        deadline_after(c, http->config.send_timeout);
}

static bool head_refused(struct http_connection *c, int status)
{
    c->method = HTTP_METHOD_OTHER;
    c->minor = 1;
    c->body.state = BODY_ENDED;
    c->expect_continue = false;
    http_answer_refuse(c, status);
    return true;
}

/* The part of a head that is there moves into a buffer, where the rest joins it. */
static bool head_buffer(struct http_connection *c)
{
    struct http_buffer *b = http_buffer_take(c->http);
    if (!b)
        return head_refused(c, 503);
    c->http->counters[HTTP_COUNTER_HEADS_BUFFERED]++;
    b->start = b->used = b->complete = 0;
    http_wire_reset(&b->wire);
    c->head = b;
    http_connection_set_state(c, EXPECT_HEAD_END);
    deadline_after(c, c->http->config.header_timeout);
    return true;
}

static bool step_request(struct http_connection *c)
{
    struct http *http = c->http;
    struct mr_span span;
    struct http_wire wire;
    if (mr_stream_peek(c->stream, &span, 1) == 0) {
        if (mr_stream_ended(c->stream))
            linger_begin(c);
        return false;
    }
    http_wire_reset(&wire);
    int n = http_wire_parse(&wire, span.data, span.length, &http->limits, &http->request);
    if (__builtin_expect(n == 0, 0))
        return head_buffer(c);
    if (n < 0)
        return head_refused(c, -n);
    head_complete(c, &http->request, span.data);
    if (c->state == EXPECT_FILE)
        return false; /* the head stays where it is and is read again when the file is there */
    mr_stream_consume(c->stream, (size_t)n);
    return true;
}

/* Appends one span to the head; returns as http_wire_parse. Bytes behind the head stay in the stream. */
static int head_append(struct http_connection *c, const struct mr_span *span)
{
    struct http_buffer *b = c->head;
    size_t room = c->http->buffer_bytes - b->used, n = span->length < room ? span->length : room;
    memcpy(b->bytes + b->used, span->data, n);
    b->used += (uint32_t)n;
    int length = http_wire_parse(&b->wire, b->bytes, b->used, &c->http->limits, &b->request);
    if (length > 0) {
        n -= b->used - (uint32_t)length;
        b->used = b->complete = (uint32_t)length;
    }
    mr_stream_consume(c->stream, n);
    return length;
}

static bool step_head_end(struct http_connection *c)
{
    struct mr_span span;
    while (!c->head->complete) {
        int n = 0;
        if (mr_stream_peek(c->stream, &span, 1) == 0) {
            if (!mr_stream_ended(c->stream))
                return false;
            n = HTTP_WIRE_MALFORMED; /* RFC 9112 8: the peer ended within a head */
        } else {
            n = head_append(c, &span);
        }
        if (n < 0) {
            head_give(c);
            return head_refused(c, -n);
        }
    }
    head_complete(c, &c->head->request, c->head->bytes);
    if (c->state == EXPECT_FILE)
        return false;
    head_give(c);
    return true;
}

void http_connection_wake_waiters(struct http_file *f)
{
    struct http_connection *c = f->waiters;
    f->waiters = NULL;
    while (c) {
        struct http_connection *next = c->wait_next;
        c->blocked = false;
        http_connection_set_state(c, c->head ? EXPECT_HEAD_END : EXPECT_REQUEST);
        http_connection_advance(c);
        c = next;
    }
}

/* Bodies. */

enum body_progress { BODY_MORE, BODY_DONE, BODY_FAILED };

/* Runs what has come of the body through its framing; `take` gets the payload and may be NULL. */
static enum body_progress body_read(struct http_connection *c, void (*take)(struct http_connection *, struct mr_span),
                                    int *status)
{
    struct mr_span span, payload;
    while (!http_body_ended(&c->body)) {
        if (mr_stream_peek(c->stream, &span, 1) == 0)
            return BODY_MORE;
        int n = http_body_next(&c->body, span.data, span.length, &payload);
        if (n < 0) {
            *status = -n;
            return BODY_FAILED;
        }
        if (payload.length && take)
            take(c, payload);
        c->http->counters[HTTP_COUNTER_BODY_BYTES_IN] += payload.length;
        c->discarded += (uint32_t)n;
        mr_stream_consume(c->stream, (size_t)n);
        if (!take && c->discarded > HTTP_DISCARD_BYTES_MAX)
            return BODY_MORE;
    }
    return BODY_DONE;
}

/* Who takes the body is told that it is whole, or that it never will be. */
static void body_end(struct http_connection *c)
{
    const struct http_taker *taker = c->taker;
    c->taker = NULL;
    taker->end(c);
    if (c->state == EXPECT_ANSWER)
        deadline_after(c, c->http->config.send_timeout);
}

static void body_gone(struct http_connection *c)
{
    if (c->taker)
        c->taker->gone(c);
    c->taker = NULL;
}

static void send_continue(struct http_connection *c)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    c->expect_continue = false;
    if (mr_stream_readable(c->stream) == 0) /* RFC 9110 10.1.1: not when the body has begun to come */
        http_output_bytes(c, text, sizeof text - 1);
}

static bool step_body(struct http_connection *c)
{
    int status = 0;
    if (c->expect_continue)
        send_continue(c);
    if (!http_output_flush(c) && c->state == EXPECT_CLOSE)
        return false;
    deadline_after(c, c->http->config.body_timeout);
    switch (body_read(c, c->taker->take, &status)) {
    case BODY_DONE:
        body_end(c);
        return true;
    case BODY_FAILED:
        body_gone(c);
        c->body.state = BODY_ENDED; /* no more can be told apart: linger throws the rest away */
        http_answer_refuse(c, status);
        return true;
    default:
        if (mr_stream_ended(c->stream))
            connection_abort(c); /* RFC 9112 8: incomplete, and nobody is left to be told */
        return false;
    }
}

static bool request_ended(struct http_connection *c)
{
    if (c->http->stopping) {
        linger_begin(c);
        return true;
    }
    http_connection_set_state(c, EXPECT_REQUEST);
    deadline_after(c, c->http->config.idle_timeout);
    return true;
}

static bool step_discard(struct http_connection *c)
{
    int status;
    enum body_progress progress = body_read(c, NULL, &status);
    if (progress == BODY_DONE)
        return request_ended(c);
    if (progress == BODY_FAILED || c->discarded > HTTP_DISCARD_BYTES_MAX || mr_stream_ended(c->stream)) {
        linger_begin(c);
        return true;
    }
    return false;
}

/* Responses. */

static bool step_room(struct http_connection *c)
{
    if (!http_output_flush(c)) {
        if (c->state == EXPECT_ROOM && !c->blocked) {
            c->blocked = true;
            deadline_after(c, c->http->config.send_timeout);
        }
        return false;
    }
    c->blocked = false;
    if (__builtin_expect(!c->keep_alive, 0)) {
        linger_begin(c);
        return true;
    }
    if (__builtin_expect(http_body_ended(&c->body), 1))
        return request_ended(c);
    c->discarded = 0;
    http_connection_set_state(c, EXPECT_DISCARD_END);
    deadline_after(c, c->http->config.body_timeout);
    return true;
}

static bool step_linger(struct http_connection *c)
{
    struct mr_span span;
    while (mr_stream_peek(c->stream, &span, 1) == 1) {
        c->discarded += (uint32_t)span.length;
        mr_stream_consume(c->stream, span.length);
        if (c->discarded > HTTP_LINGER_BYTES_MAX) {
            connection_close(c); /* it does not stop talking: a reset is now its own fault */
            return false;
        }
    }
    return false; /* when the peer has ended too, the stream closes by itself */
}

static bool step_none(struct http_connection *c)
{
    return false;
}

static bool (*const steps[CONNECTION_STATES])(struct http_connection *c) = {
    [CONNECTION_FREE] = step_none, [EXPECT_REQUEST] = step_request,     [EXPECT_HEAD_END] = step_head_end,
    [EXPECT_FILE] = step_none,     [EXPECT_ANSWER] = step_none,         [EXPECT_BODY] = step_body,
    [EXPECT_ROOM] = step_room,     [EXPECT_DISCARD_END] = step_discard, [EXPECT_LINGER_END] = step_linger,
    [EXPECT_CLOSE] = step_none,
};

void http_connection_advance(struct http_connection *c)
{
    uint64_t share = c->http->config.requests_per_turn;
    while (steps[c->state](c)) {
        if (c->state == EXPECT_REQUEST && --share == 0) {
            c->resume = true; /* others have a right to this turn: the next one goes on */
            deadline_after(c, 0);
            return;
        }
    }
}

/* Time. */

/* True when the peer has acknowledged something since this was last asked. */
static bool acknowledged_more(struct http_connection *c)
{
    uint64_t now = c->sent - mr_stream_unacknowledged(c->stream);
    bool more = now > c->acknowledged;
    c->acknowledged = now;
    return more;
}

static void timeout_idle(struct http_connection *c)
{
    c->http->counters[HTTP_COUNTER_TIMEOUTS_IDLE]++;
    linger_begin(c);
}

static void timeout_head(struct http_connection *c)
{
    head_give(c);
    head_refused(c, 408);
    http_connection_advance(c);
}

static void timeout_file(struct http_connection *c)
{
    http_file_wait_end(c->file, c);
    http_file_release(c->file);
    c->file = NULL;
    head_give(c);
    head_refused(c, 503);
    http_connection_advance(c);
}

static void timeout_answer(struct http_connection *c)
{
    c->ticket = 0;
    http_answer_refuse(c, 503);
    http_connection_advance(c);
}

static void timeout_body(struct http_connection *c)
{
    body_gone(c);
    c->body.state = BODY_ENDED;
    http_answer_refuse(c, 408);
    http_connection_advance(c);
}

static void timeout_discard(struct http_connection *c)
{
    linger_begin(c);
}

static void timeout_send(struct http_connection *c)
{
    if (acknowledged_more(c)) {
        deadline_after(c, c->http->config.send_timeout);
        return;
    }
    c->http->counters[HTTP_COUNTER_TIMEOUTS_SEND]++;
    connection_abort(c);
}

static void timeout_linger(struct http_connection *c)
{
    if (mr_stream_unacknowledged(c->stream) > 0) {
        timeout_send(c); /* it still takes our response, or it is cut */
        return;
    }
    c->http->counters[HTTP_COUNTER_TIMEOUTS_LINGER]++;
    connection_close(c);
}

static void timeout_none(struct http_connection *c)
{
}

static void (*const timeouts[CONNECTION_STATES])(struct http_connection *c) = {
    [CONNECTION_FREE] = timeout_none, [EXPECT_REQUEST] = timeout_idle,        [EXPECT_HEAD_END] = timeout_head,
    [EXPECT_FILE] = timeout_file,     [EXPECT_ANSWER] = timeout_answer,       [EXPECT_BODY] = timeout_body,
    [EXPECT_ROOM] = timeout_send,     [EXPECT_DISCARD_END] = timeout_discard, [EXPECT_LINGER_END] = timeout_linger,
    [EXPECT_CLOSE] = timeout_none,
};

static void timer_expired(struct mr_worker *w, struct mr_timer *t)
{
    struct http_connection *c = t->context;
    c->armed = MR_NEVER;
    if (c->resume) {
        c->resume = false;
        if (c->state == EXPECT_REQUEST)
            deadline_after(c, c->http->config.idle_timeout);
        else
            deadline_set(c, c->deadline);
        http_connection_advance(c);
    } else if (mr_now(w) < c->deadline) {
        deadline_set(c, c->deadline);
    } else {
        timeouts[c->state](c);
    }
}

/* Events. */

static void refuse_connection(struct http *http, struct mr_stream *s)
{
    static const char text[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n"
                               "Connection: close\r\n\r\n";
    http->counters[HTTP_COUNTER_CONNECTIONS_REFUSED]++;
    mr_stream_set_context(s, NULL);
    mr_stream_send(s, text, sizeof text - 1);
    mr_stream_close(s);
}

static struct http_connection *connection_take(struct http *http)
{
    struct http_connection *c = http->free_connections;
    if (c)
        http->free_connections = c->next_free;
    else if (http->connections_used < http->config.connections_max)
        c = &http->connections[http->connections_used++];
    return c;
}

static void on_open(struct mr_stream *s)
{
    struct http *http = mr_stream_context(s);
    struct http_connection *c = http->stopping ? NULL : connection_take(http);
    if (!c) {
        refuse_connection(http, s);
        return;
    }
    *c = (struct http_connection){.stream = s, .http = http, .armed = MR_NEVER};
    mr_stream_set_context(s, c);
    mr_timer_init(&c->timer, timer_expired, c);
    http->connections_open++;
    http->counters[HTTP_COUNTER_CONNECTIONS]++;
    http_connection_set_state(c, EXPECT_REQUEST);
    deadline_after(c, http->config.header_timeout); /* the first request of a connection has no reason to be late */
}

static void on_data(struct mr_stream *s)
{
    struct http_connection *c = mr_stream_context(s);
    if (c)
        http_connection_advance(c);
}

static void on_close(struct mr_stream *s, enum mr_close_reason reason)
{
    struct http_connection *c = mr_stream_context(s);
    if (!c)
        return;
    struct http *http = c->http;
    mr_timer_cancel(http->worker, &c->timer);
    if (c->file) {
        http_file_wait_end(c->file, c);
        http_file_release(c->file);
        c->file = NULL;
    }
    c->ticket = 0;
    body_gone(c);
    head_give(c);
    http_output_release(c);
    c->state = CONNECTION_FREE;
    c->stream = NULL;
    c->next_free = http->free_connections;
    http->free_connections = c;
    http->connections_open--;
}

const struct mr_stream_handler http_stream_handler = {on_open, on_data, on_data, on_close};

void http_connection_stop_all(struct http *http)
{
    for (uint32_t i = 0; i < http->connections_used; i++)
        if (http->connections[i].state == EXPECT_REQUEST)
            connection_close(&http->connections[i]);
}

void http_connection_check(const struct http_connection *c)
{
    const struct http_output *o = &c->output;
    assert(c->state < CONNECTION_STATES);
    assert((c->state == CONNECTION_FREE) == (c->stream == NULL));
    assert(c->state != EXPECT_HEAD_END || c->head);
    assert(!c->head || c->state == EXPECT_HEAD_END || c->state == EXPECT_FILE || c->state == EXPECT_CLOSE);
    assert((c->file != NULL) == (c->state == EXPECT_FILE) || c->state == EXPECT_CLOSE);
    assert(c->state != EXPECT_REQUEST || (!o->spill && o->source == SOURCE_NONE));
    assert(o->offset <= o->end && (o->source != SOURCE_FILE || o->offset <= o->read_offset));
    assert(!o->spill || o->spill->start < o->spill->used);
    assert((c->state == EXPECT_ANSWER) == (c->ticket != 0) || c->state == EXPECT_CLOSE);
    assert((c->state == EXPECT_BODY) == (c->taker != NULL) || c->state == EXPECT_CLOSE);
    assert(!c->call || c->taker);
    assert((o->source == SOURCE_CALL) == (o->call != NULL));
    assert(c->state == CONNECTION_FREE || c->armed <= c->deadline);
}
