/* Clients of a tcp listener: the PROXY header first where the listener wants one, then a backend is asked for, elsewhere again when it
 * cannot be reached, then both are joined. Until then what the client sends waits unread in its stream, and its window closes by itself;
 * its end waits, too: a request with an end behind it is none the worse. */
#include "proxy/l4/l4_table.h"
#include "proxy/l4/proxy_protocol.h"

#include <string.h>

/* -- the backend --------------------------------------------------------------------------------------------------------- */

/* At this layer, a backend that accepts has succeeded. */
static void backend_ready(struct upstream_request *q)
{
    struct l4_tcp *t = q->context;
    upstream_succeeded(q, 0, mr_now(t->proxy->worker));
    l4_join(t);
}

/* Nothing was moved yet, another backend may do better. Not when there is none, or all that could be done was to wait. */
static bool is_worth_a_retry(enum upstream_failure why)
{
    return why == UPSTREAM_CONNECT_REFUSED || why == UPSTREAM_CONNECT_TIMEOUT || why == UPSTREAM_CONNECT_FAILED;
}

static void backend_failed(struct upstream_request *q, enum upstream_failure why)
{
    struct l4_tcp *t = q->context;
    enum upstream_answer answer;
    if (is_worth_a_retry(why) && upstream_retry(q, &answer)) {
        if (answer == UPSTREAM_READY)
            backend_ready(q);
        return;
    }
    proxy_count(t->proxy, PROXY_L4_FAILED);
    l4_tcp_set_state(t, EXPECT_CLIENT_GONE);
    mr_stream_abort(t->client.stream); /* as the backend's kernel would have answered */
}

static void backend_ask(struct l4_tcp *t)
{
    struct upstream_request *q = &t->own;
    mr_timer_cancel(t->proxy->worker, &t->timer);
    l4_tcp_set_state(t, EXPECT_BACKEND);
    q->proxy = t->proxy;
    q->user = &l4_upstream_user;
    q->ready = backend_ready;
    q->failed = backend_failed;
    q->hash = l4_hash_source(&q->client.address);
    q->fresh = true;
    q->context = t;
    if (upstream_ask(q) == UPSTREAM_READY)
        backend_ready(q);
}

/* -- the PROXY header ------------------------------------------------------------------------------------------------------ */

/* Where it lies, or, when it came in pieces, a copy of its beginning, which cannot be longer. */
static struct mr_span header_look(const struct mr_stream *s, uint8_t copy[PROXY_PROTOCOL_BYTES_MAX])
{
    struct mr_span spans[PROXY_PROTOCOL_BYTES_MAX];
    unsigned count = mr_stream_peek(s, spans, 2);
    if (count <= 1)
        return count ? spans[0] : (struct mr_span){copy, 0};
    size_t n = 0;
    count = mr_stream_peek(s, spans, PROXY_PROTOCOL_BYTES_MAX); /* each holds a byte at least */
    for (unsigned i = 0; i < count && n < PROXY_PROTOCOL_BYTES_MAX; i++) {
        size_t room = PROXY_PROTOCOL_BYTES_MAX - n, k = spans[i].length < room ? spans[i].length : room;
        memcpy(copy + n, spans[i].data, k);
        n += k;
    }
    return (struct mr_span){copy, n};
}

/* "The receiver must not start processing the connection before it receives a complete and valid PROXY protocol header", and is to
 * "abort" a connection that does not begin with one. */
static void header_read(struct l4_tcp *t)
{
    uint8_t copy[PROXY_PROTOCOL_BYTES_MAX];
    struct proxy_protocol header;
    struct mr_span bytes = header_look(t->client.stream, copy);
    int n = proxy_protocol_parse(bytes.data, bytes.length, &header);
    if (n == 0 && !mr_stream_ended(t->client.stream) && bytes.length < PROXY_PROTOCOL_BYTES_MAX)
        return;
    if (n <= 0) {
        proxy_count(t->proxy, PROXY_L4_HEADER_MALFORMED);
        l4_tcp_abort(t);
        return;
    }
    mr_stream_consume(t->client.stream, (size_t)n);
    if (!header.local) {
        t->own.client = header.source;
        t->own.local = header.destination;
    }
    backend_ask(t);
}

/* -- the client's events ----------------------------------------------------------------------------------------------------- */

static void refuse(struct mr_stream *s)
{
    mr_stream_set_context(s, NULL);
    mr_stream_abort(s);
}

static void client_open(struct mr_stream *s)
{
    struct proxy_listener *l = mr_stream_context(s);
    struct proxy *p = l->proxy;
    if (p->stopping || !l->plan || !l->plan->upstream || !proxy_listener_enter(l)) {
        refuse(s);
        return;
    }
    struct l4_tcp *t = l4_tcp_take(p, s, l->plan->config->idle_timeout);
    if (!t) {
        proxy_listener_leave(l);
        proxy_count(p, PROXY_REFUSED_FULL);
        refuse(s);
        return;
    }
    t->listener = l;
    t->plan = plan_hold(p);
    t->own.upstream =
        l->plan->upstream; /* of the plan held: the listener's may be another by the time of the question */
    mr_stream_set_context(s, t);
    mr_stream_remote(s, &t->own.client);
    mr_stream_local(s, &t->own.local);
    if (!l->plan->config->proxy_protocol) {
        backend_ask(t);
        return;
    }
    l4_tcp_set_state(t, EXPECT_PROXY_HEADER);
    l4_tcp_timer_after(t, p->limits.header_timeout);
}

void l4_tunnel_on_data(struct l4_tcp *t)
{
    if (t->state == JOINED)
        l4_move_to_backend(t);
    else if (t->state == EXPECT_PROXY_HEADER)
        header_read(t);
}

void l4_tunnel_on_writable(struct l4_tcp *t)
{
    if (t->state == JOINED)
        l4_move_to_client(t);
}

void l4_tunnel_on_close(struct l4_tcp *t, enum mr_close_reason reason)
{
    l4_tcp_client_gone(t, reason);
}

static void client_data(struct mr_stream *s)
{
    l4_tunnel_on_data(mr_stream_context(s));
}

static void client_writable(struct mr_stream *s)
{
    l4_tunnel_on_writable(mr_stream_context(s));
}

static void client_close(struct mr_stream *s, enum mr_close_reason reason)
{
    struct l4_tcp *t = mr_stream_context(s);
    if (t) /* else it was refused */
        l4_tcp_client_gone(t, reason);
}

const struct mr_stream_handler l4_tcp_handler = {client_open, client_data, client_writable, client_close};

/* -- tunnels ------------------------------------------------------------------------------------------------------------------ */

struct l4_tcp *l4_tunnel(struct proxy *p, struct mr_stream *client, struct upstream_request *q, mr_time idle_timeout,
                         void (*ended)(void *argument), void *argument)
{
    struct l4_tcp *t = l4_tcp_take(p, client, idle_timeout);
    if (!t)
        return NULL;
    t->request = q;
    q->user = &l4_upstream_user;
    q->context = t;
    t->ended = ended;
    t->argument = argument;
    l4_join(t);
    return t;
}

void l4_tunnel_abort(struct l4_tcp *t)
{
    l4_tcp_abort(t);
}

uint64_t l4_tunnel_bytes(const struct l4_tcp *t)
{
    return t->to_backend + t->to_client;
}
