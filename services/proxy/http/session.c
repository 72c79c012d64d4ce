/* The machine of one client connection: each state has a step, which says whether another may follow at once. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/http/session_machine.h"

const char *const session_state_names[SESSION_STATES] = {
    "FREE",         "EXPECT_PROXY_HEADER", "EXPECT_REQUEST",    "EXPECT_HEAD_END",
    "EXPECT_CACHE", "EXPECT_UPSTREAM",     "EXPECT_RESPONSE",   "EXPECT_BODY",
    "EXPECT_ROOM",  "EXPECT_DISCARD_END",  "EXPECT_TUNNEL_END", "EXPECT_LINGER_END",
    "EXPECT_CLOSE"};

#define TO(state) (1u << (SESSION_##state))
#define ANSWERED  (TO(EXPECT_ROOM) | TO(EXPECT_CLOSE))
#define DECIDED   (TO(EXPECT_CACHE) | TO(EXPECT_UPSTREAM) | TO(EXPECT_RESPONSE) | ANSWERED)
static const uint16_t legal[SESSION_STATES] = {
    [SESSION_FREE] = TO(EXPECT_PROXY_HEADER) | TO(EXPECT_REQUEST) | TO(EXPECT_CACHE),
    [SESSION_EXPECT_PROXY_HEADER] = TO(EXPECT_REQUEST) | TO(EXPECT_CLOSE),
    [SESSION_EXPECT_REQUEST] = TO(EXPECT_HEAD_END) | TO(EXPECT_LINGER_END) | DECIDED,
    [SESSION_EXPECT_HEAD_END] = DECIDED,
    [SESSION_EXPECT_CACHE] = DECIDED,
    [SESSION_EXPECT_UPSTREAM] = TO(EXPECT_RESPONSE) | TO(EXPECT_TUNNEL_END) | ANSWERED,
    [SESSION_EXPECT_RESPONSE] = TO(EXPECT_UPSTREAM) | TO(EXPECT_BODY) | TO(EXPECT_TUNNEL_END) | ANSWERED,
    [SESSION_EXPECT_BODY] = ANSWERED,
    [SESSION_EXPECT_ROOM] = TO(EXPECT_REQUEST) | TO(EXPECT_DISCARD_END) | TO(EXPECT_LINGER_END) | TO(EXPECT_CLOSE),
    [SESSION_EXPECT_DISCARD_END] = TO(EXPECT_REQUEST) | TO(EXPECT_LINGER_END) | TO(EXPECT_CLOSE),
    [SESSION_EXPECT_TUNNEL_END] = TO(EXPECT_CLOSE),
    [SESSION_EXPECT_LINGER_END] = TO(EXPECT_CLOSE),
    [SESSION_EXPECT_CLOSE] = 0,
};

void session_set_state(struct session *s, enum session_state state)
{
    assert(legal[s->state] & 1u << state);
    s->state = state;
}

/* Deadlines move with every request; the timer does not: it looks at the deadline when it fires. */
void session_deadline(struct session *s, mr_time deadline)
{
    s->deadline = deadline;
    if (__builtin_expect(deadline < s->armed, 0)) {
        s->armed = deadline;
        mr_timer_set(s->proxy->worker, &s->timer, deadline);
    }
}

void session_deadline_after(struct session *s, mr_time duration)
{
    session_deadline(s, mr_now(s->proxy->worker) + duration);
}

/* RFC 9112 9.6: a full close while the peer still sends would make TCP reset the connection, and the reset can overtake the response.
 * So our side ends, and what still comes is read and ignored until the peer ends too. */
void session_linger(struct session *s)
{
    session_set_state(s, SESSION_EXPECT_LINGER_END);
    s->discarded = 0;
    mr_stream_shutdown(s->stream);
    session_deadline_after(s, s->proxy->limits.linger_timeout);
}

void session_abort(struct session *s)
{
    session_back_drop(s, true);
    if (s->revalidates) {
        session_free(s);
        return;
    }
    session_set_state(s, SESSION_EXPECT_CLOSE);
    mr_stream_abort(s->stream);
}

static bool step_linger(struct session *s)
{
    struct mr_span span;
    while (mr_stream_peek(s->stream, &span, 1) == 1) {
        s->discarded += (uint32_t)span.length;
        mr_stream_consume(s->stream, span.length);
        if (s->discarded > SESSION_LINGER_BYTES_MAX) {
            session_set_state(s, SESSION_EXPECT_CLOSE);
            mr_stream_close(s->stream); /* it does not stop talking: a reset is now its own fault */
            return false;
        }
    }
    return false; /* when the peer has ended too, the stream closes by itself */
}

static bool step_none(struct session *s)
{
    return false;
}

static bool (*const steps[SESSION_STATES])(struct session *s) = {
    [SESSION_FREE] = step_none,
    [SESSION_EXPECT_PROXY_HEADER] = session_step_proxy_header,
    [SESSION_EXPECT_REQUEST] = session_step_request,
    [SESSION_EXPECT_HEAD_END] = session_step_head_end,
    [SESSION_EXPECT_CACHE] = step_none,
    [SESSION_EXPECT_UPSTREAM] = step_none,
    [SESSION_EXPECT_RESPONSE] = session_step_response,
    [SESSION_EXPECT_BODY] = session_step_body,
    [SESSION_EXPECT_ROOM] = session_step_room,
    [SESSION_EXPECT_DISCARD_END] = session_step_discard,
    [SESSION_EXPECT_TUNNEL_END] = session_step_tunnel,
    [SESSION_EXPECT_LINGER_END] = step_linger,
    [SESSION_EXPECT_CLOSE] = step_none,
};

void session_advance(struct session *s)
{
    unsigned share = SESSION_REQUESTS_PER_TURN;
    while (steps[s->state](s)) {
        if (s->state == SESSION_EXPECT_REQUEST && --share == 0) {
            s->resume = true; /* others have a right to this turn: the next one goes on */
            session_deadline_after(s, 0);
            return;
        }
    }
}

/* Time. */

static void timeout_idle(struct session *s)
{
    proxy_count(s->proxy, PROXY_SESSION_TIMEOUTS_IDLE);
    session_linger(s);
}

static void timeout_proxy_header(struct session *s)
{
    proxy_count(s->proxy, PROXY_SESSION_BAD_PROXY_HEADER);
    session_abort(s);
}

static void timeout_head(struct session *s)
{
    session_refuse_unread(s, 408);
    session_advance(s);
}

/* Only connections of our own (forward) have a deadline here. */
static void timeout_upstream(struct session *s)
{
    session_back_drop(s, true);
    session_fail(s, UPSTREAM_CONNECT_TIMEOUT);
    session_advance(s);
}

/* Who is late: the client with its body, or the backend with its answer, or with taking the body? */
static void timeout_response(struct session *s)
{
    if (!s->up.finished && mr_stream_readable(s->stream) <= s->head_bytes && !s->up.chunk) {
        session_back_drop(s, true);
        session_refuse(s, 408);
    } else {
        proxy_count(s->proxy, PROXY_SESSION_TIMEOUTS_RESPONSE);
        session_back_failed(s, UPSTREAM_TIMEOUT);
    }
    session_advance(s);
}

/* True when the client has acknowledged something since this was last asked. */
static bool acknowledged_more(struct session *s)
{
    uint64_t now = s->sent_bytes - mr_stream_unacknowledged(s->stream);
    bool more = now > s->acknowledged;
    s->acknowledged = now;
    return more;
}

static void timeout_send(struct session *s)
{
    if (acknowledged_more(s)) {
        session_deadline_after(s, s->proxy->limits.send_timeout);
        return;
    }
    proxy_count(s->proxy, PROXY_SESSION_TIMEOUTS_SEND);
    session_abort(s);
}

static void timeout_body(struct session *s)
{
    if (s->blocked) {
        timeout_send(s);
        return;
    }
    proxy_count(s->proxy, PROXY_SESSION_TIMEOUTS_RESPONSE);
    session_back_failed(s, UPSTREAM_TIMEOUT);
    session_advance(s);
}

static void timeout_linger(struct session *s)
{
    if (mr_stream_unacknowledged(s->stream) > 0) {
        timeout_send(s); /* it still takes our response, or it is cut */
        return;
    }
    session_set_state(s, SESSION_EXPECT_CLOSE);
    mr_stream_close(s->stream);
}

static void timeout_tunnel(struct session *s)
{
    proxy_count(s->proxy, PROXY_SESSION_TIMEOUTS_IDLE);
    session_abort(s);
}

static void timeout_none(struct session *s)
{
}

static void (*const timeouts[SESSION_STATES])(struct session *s) = {
    [SESSION_FREE] = timeout_none,
    [SESSION_EXPECT_PROXY_HEADER] = timeout_proxy_header,
    [SESSION_EXPECT_REQUEST] = timeout_idle,
    [SESSION_EXPECT_HEAD_END] = timeout_head,
    [SESSION_EXPECT_CACHE] = session_cache_timeout,
    [SESSION_EXPECT_UPSTREAM] = timeout_upstream,
    [SESSION_EXPECT_RESPONSE] = timeout_response,
    [SESSION_EXPECT_BODY] = timeout_body,
    [SESSION_EXPECT_ROOM] = timeout_send,
    [SESSION_EXPECT_DISCARD_END] = session_linger,
    [SESSION_EXPECT_TUNNEL_END] = timeout_tunnel,
    [SESSION_EXPECT_LINGER_END] = timeout_linger,
    [SESSION_EXPECT_CLOSE] = timeout_none,
};

static void timer_expired(struct mr_worker *w, struct mr_timer *t)
{
    struct session *s = t->context;
    s->armed = MR_NEVER;
    if (s->resume) {
        s->resume = false;
        if (s->state == SESSION_EXPECT_REQUEST)
            session_deadline_after(s, s->listener->plan ? s->listener->plan->config->idle_timeout : 0);
        else
            session_deadline(s, s->deadline);
        session_advance(s);
    } else if (mr_now(w) < s->deadline) {
        session_deadline(s, s->deadline);
    } else {
        timeouts[s->state](s);
    }
}

/* Events of the client. */

struct session *session_take(struct session_table *t)
{
    struct session *s = t->free;
    if (s)
        t->free = s->next_free;
    else if (t->used < t->limit)
        s = &t->sessions[t->used++];
    return s;
}

void session_begin(struct session *s)
{
    mr_timer_init(&s->timer, timer_expired, s);
    s->table->open++;
}

static void refuse_connection(struct proxy *p, struct mr_stream *stream)
{
    static const char text[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n"
                               "Connection: close\r\n\r\n";
    mr_stream_set_context(stream, NULL);
    mr_stream_send(stream, text, sizeof text - 1);
    mr_stream_close(stream);
}

static void on_open(struct mr_stream *stream)
{
    struct proxy_listener *l = mr_stream_context(stream);
    struct proxy *p = l->proxy;
    struct session_table *t = p->sessions;
    struct session *s = NULL;
    if (proxy_listener_enter(l) && !(s = session_take(t))) {
        proxy_count(p, PROXY_REFUSED_FULL);
        proxy_listener_leave(l);
    }
    if (!s) {
        refuse_connection(p, stream);
        return;
    }
    *s = (struct session){.stream = stream, .table = t, .proxy = p, .listener = l, .armed = MR_NEVER};
    s->forward = l->plan->config->mode == PROXY_FORWARD;
    mr_stream_remote(stream, &s->client);
    mr_stream_local(stream, &s->local);
    s->client_bytes = (uint8_t)strlen(mr_address_text(&s->client.address, s->client_text));
    mr_stream_set_context(stream, s);
    session_begin(s);
    session_set_state(s, l->plan->config->proxy_protocol ? SESSION_EXPECT_PROXY_HEADER : SESSION_EXPECT_REQUEST);
    session_deadline_after(s,
                           p->limits.header_timeout); /* the first request of a connection has no reason to be late */
}

static void on_data(struct mr_stream *stream)
{
    struct session *s = mr_stream_context(stream);
    if (s && s->tunnel)
        l4_tunnel_on_data(s->tunnel);
    else if (s)
        session_advance(s);
}

static void on_writable(struct mr_stream *stream)
{
    struct session *s = mr_stream_context(stream);
    if (s && s->tunnel)
        l4_tunnel_on_writable(s->tunnel);
    else if (s)
        session_advance(s);
}

void session_free(struct session *s)
{
    struct session_table *t = s->table;
    s->head_bytes = 0; /* they went with the stream */
    session_request_end(s);
    mr_timer_cancel(s->proxy->worker, &s->timer);
    if (!s->revalidates)
        proxy_listener_leave(s->listener);
    s->state = SESSION_FREE;
    s->stream = NULL;
    s->revalidates = false;
    s->next_free = t->free;
    t->free = s;
    t->open--;
}

static void on_close(struct mr_stream *stream, enum mr_close_reason reason)
{
    struct session *s = mr_stream_context(stream);
    if (!s)
        return;
    if (s->tunnel) {
        l4_tunnel_on_close(s->tunnel, reason); /* which ends when the other side has, too */
        return;
    }
    session_back_drop(s, reason != MR_CLOSE_DONE);
    session_free(s);
}

const struct mr_stream_handler session_handler = {on_open, on_data, on_writable, on_close};

/* The table. */

int session_start(struct proxy *p)
{
    struct session_table *t = calloc(1, sizeof *t);
    if (!t)
        return MR_ERROR_NO_MEMORY;
    p->sessions = t;
    t->proxy = p;
    t->log.table = t;
    t->limit = (uint32_t)p->limits.sessions;
    t->sessions = calloc(t->limit, sizeof *t->sessions); /* untouched, and so not there, until it is used */
    t->path = malloc(p->wire_limits.head_bytes + 2);
    t->key_bytes = p->wire_limits.head_bytes + TARGET_HOST_MAX + 8;
    t->key = malloc(t->key_bytes);
    t->scratch_bytes = p->wire_limits.head_bytes + SESSION_HEAD_ROOM + SESSION_COPY_BYTES_MAX;
    t->scratch = malloc(t->scratch_bytes);
    if (t->sessions && t->path && t->key && t->scratch)
        return MR_OK;
    session_release(p);
    return MR_ERROR_NO_MEMORY;
}

void session_stop(struct proxy *p)
{
    struct session_table *t = p->sessions;
    for (uint32_t i = 0; t && i < t->used; i++) {
        struct session *s = &t->sessions[i];
        if (s->state == SESSION_EXPECT_REQUEST || s->state == SESSION_EXPECT_PROXY_HEADER) {
            session_set_state(s, SESSION_EXPECT_CLOSE);
            mr_stream_close(s->stream);
        }
    }
}

void session_release(struct proxy *p)
{
    struct session_table *t = p->sessions;
    if (!t)
        return;
    free(t->sessions);
    free(t->path);
    free(t->key);
    free(t->scratch);
    p->sessions = NULL;
    t->released = true;
    if (!t->log.under_way)
        free(t);
}

/* A request or a tunnel that has a backend. */
static bool uses(const struct session *s, uint32_t backend_slot)
{
    return s->state != SESSION_FREE && s->stream && s->upstream && (s->back || s->tunnel) &&
           (backend_slot == UINT32_MAX || s->request.slot == backend_slot);
}

static uint64_t bytes_of(const struct session *s)
{
    return s->tunnel ? l4_tunnel_bytes(s->tunnel) : s->bytes_in + s->bytes_out;
}

void session_each(const struct proxy *p,
                  void (*each)(void *argument, const struct mr_endpoint *client, uint32_t backend_slot, mr_time age,
                               uint64_t bytes),
                  void *argument)
{
    const struct session_table *t = p->sessions;
    for (uint32_t i = 0; t && i < t->used; i++) {
        const struct session *s = &t->sessions[i];
        if (uses(s, UINT32_MAX))
            each(argument, &s->client, s->request.slot, mr_now(p->worker) - s->asked, bytes_of(s));
    }
}

/* A listener's time is over (UINT32_MAX), or a backend's. */
static bool overdue(const struct proxy *p, const struct session *s, uint32_t backend_slot)
{
    if (s->state == SESSION_FREE || s->state == SESSION_EXPECT_CLOSE)
        return false;
    if (s->revalidates)
        return p->stopping || s->plan != p->plan;
    if (backend_slot == UINT32_MAX)
        return proxy_listener_overdue(p, s->listener);
    return uses(s, backend_slot) && (p->stopping || s->plan != p->plan);
}

void session_cut(struct proxy *p, uint32_t backend_slot)
{
    struct session_table *t = p->sessions;
    for (uint32_t i = 0; t && i < t->used; i++) {
        struct session *s = &t->sessions[i];
        if (!overdue(p, s, backend_slot))
            continue;
        proxy_count(p, PROXY_SESSION_DRAIN_CUT);
        if (s->tunnel)
            l4_tunnel_abort(s->tunnel);
        else
            session_abort(s);
    }
}

static void flow_check(const struct session_flow *f)
{
    assert(f->frame_at <= f->frame_length && f->frame_length <= sizeof f->frame);
    assert(!f->spill || f->spill->start < f->spill->used);
    assert(f->chunk == 0 || f->chunk <= http_body_payload(&f->body));
}

void session_check(const struct session *s)
{
    bool asked =
        s->state == SESSION_EXPECT_RESPONSE || s->state == SESSION_EXPECT_UPSTREAM || s->state == SESSION_EXPECT_CACHE;
    assert(s->state < SESSION_STATES);
    assert((s->state == SESSION_FREE) == (s->stream == NULL && !s->revalidates));
    assert(!s->tunnel || s->state == SESSION_EXPECT_TUNNEL_END);
    assert(s->state != SESSION_EXPECT_HEAD_END || s->head);
    assert(!asked || s->plan);
    assert((s->state == SESSION_EXPECT_RESPONSE) <= (s->back != NULL));
    assert(s->state != SESSION_EXPECT_REQUEST || (!s->plan && !s->head && !s->back && !s->head_bytes && !s->answer));
    assert(!s->direct || s->forward);
    assert(s->state == SESSION_FREE || s->armed <= s->deadline);
    flow_check(&s->up);
    flow_check(&s->down);
}
