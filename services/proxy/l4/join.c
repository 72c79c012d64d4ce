/* Two streams joined: bytes move from one to the other as the packets they came in, ends and resets are passed on.
 *
 *   end     when every byte before it was moved, the other side is shut down: half-closed (RFC 9293 3.6). The rest goes on until the other
 *           side ends, too; then both connections close by themselves.
 *   reset   is a reset of the other side, after what was moved to it before has been delivered: without us it would have arrived, too,
 *           most of the time. It is not waited for longer than limits.linger_timeout, since it is held for a peer that is gone. What could
 *           not be moved is dropped: RFC 9293 3.10.7.4 has whoever receives a reset flush its queues. What must not be is an end in
 *           order instead: it would make a truncated answer look whole.
 *   silence for the idle timeout resets both: neither side meant an end.
 *
 * The exception: when both ends were passed on, all is said, and what happens to one connection is no concern of the other's. */
#include "proxy/l4/l4_table.h"

static struct upstream_backend *backend_of(const struct l4_tcp *t)
{
    return t->slot < t->proxy->limits.backends ? &t->proxy->backends[t->slot] : NULL;
}

/* Moves what is there and fits; then the end, when it has come. Returns bytes. The window that the sender sees follows what the receiver
 * takes: bytes stay unread in `from` until `to` has room. */
static size_t move(struct l4_tcp *t, struct l4_side *from, struct l4_side *to)
{
    size_t moved = 0;
    if (!from->stream || !to->stream || to->shut)
        return 0;
    if (mr_stream_readable(from->stream) > 0)
        moved = mr_stream_splice(from->stream, to->stream, SIZE_MAX);
    if (mr_stream_ended(from->stream)) {
        to->shut = true;
        mr_stream_shutdown(to->stream);
        if (!from->shut)
            proxy_count(t->proxy, PROXY_L4_HALF_CLOSES);
        t->active = mr_now(t->proxy->worker);
    }
    if (moved)
        t->active = mr_now(t->proxy->worker);
    return moved;
}

void l4_move_to_backend(struct l4_tcp *t)
{
    struct upstream_backend *b = backend_of(t);
    size_t n = move(t, &t->client, &t->backend);
    t->to_backend += n;
    proxy_add(t->proxy, PROXY_L4_BYTES_TO_BACKENDS, n);
    if (b)
        b->bytes_to += n;
}

void l4_move_to_client(struct l4_tcp *t)
{
    struct upstream_backend *b = backend_of(t);
    size_t n = move(t, &t->backend, &t->client);
    t->to_client += n;
    proxy_add(t->proxy, PROXY_L4_BYTES_TO_CLIENTS, n);
    if (b)
        b->bytes_from += n;
}

void l4_join(struct l4_tcp *t)
{
    t->backend.stream = t->request->connection->stream;
    t->slot = t->request->connection->slot;
    t->active = mr_now(t->proxy->worker);
    l4_tcp_set_state(t, JOINED);
    proxy_count(t->proxy, PROXY_L4_JOINED);
    /* Nagle's algorithm was applied where the bytes come from, or was not wanted there. */
    mr_stream_set_nodelay(t->client.stream, true);
    mr_stream_set_nodelay(t->backend.stream, true);
    l4_tcp_timer_after(t, t->idle_timeout);
    l4_move_to_backend(t);
    l4_move_to_client(t);
}

/* -- resets ------------------------------------------------------------------------------------------------------------------- */

#define DELIVERY_STEP_FIRST \
    MR_MILLISECOND /* doubles: nothing tells that the last byte was acknowledged, so it is looked after */

void l4_join_deliver(struct l4_tcp *t)
{
    mr_time now = mr_now(t->proxy->worker);
    bool done = mr_stream_unacknowledged(t->client.stream ? t->client.stream : t->backend.stream) == 0;
    if (done || now >= t->deadline) {
        if (!done)
            proxy_count(t->proxy, PROXY_L4_DELIVERIES_CUT);
        l4_tcp_abort(t);
        return;
    }
    t->step *= 2;
    l4_tcp_timer_after(t, t->step < t->deadline - now ? t->step : t->deadline - now);
}

static void delivery_begin(struct l4_tcp *t)
{
    t->deadline = mr_now(t->proxy->worker) + t->proxy->limits.linger_timeout;
    t->step = DELIVERY_STEP_FIRST;
    l4_tcp_set_state(t, EXPECT_DELIVERY);
    l4_tcp_timer_after(t, t->step);
}

void l4_join_broken(struct l4_tcp *t, struct l4_side *gone, enum mr_close_reason reason)
{
    struct l4_side *other = gone == &t->client ? &t->backend : &t->client;
    bool said = t->client.shut && t->backend.shut;
    gone->stream = NULL;
    if (!other->stream) {
        l4_tcp_finish(t);
        return;
    }
    if (said)
        return;
    bool by_peer = reason == MR_CLOSE_RESET || reason == MR_CLOSE_TIMEOUT;
    proxy_count(t->proxy, PROXY_L4_RESETS);
    if (by_peer && mr_stream_unacknowledged(other->stream) > 0)
        delivery_begin(t);
    else
        l4_tcp_abort(t);
}

/* A byte that was moved may wait long at a peer that reads slowly: what that peer acknowledges is a sign of life as well. */
bool l4_join_idle(struct l4_tcp *t, mr_time *next)
{
    mr_time now = mr_now(t->proxy->worker);
    uint64_t waiting = 0;
    if (t->client.stream)
        waiting += mr_stream_unacknowledged(t->client.stream);
    if (t->backend.stream)
        waiting += mr_stream_unacknowledged(t->backend.stream);
    uint64_t acknowledged = t->to_backend + t->to_client - waiting;
    if (waiting && acknowledged != t->acknowledged)
        t->active = now;
    t->acknowledged = acknowledged;
    *next = t->active + t->idle_timeout;
    return now >= *next;
}

/* -- the backend's events ---------------------------------------------------------------------------------------------------- */

static void backend_data(struct upstream_request *q)
{
    l4_move_to_client(q->context);
}

static void backend_writable(struct upstream_request *q)
{
    l4_move_to_backend(q->context);
}

static void backend_close(struct upstream_request *q, enum mr_close_reason reason)
{
    struct l4_tcp *t = q->context;
    l4_join_broken(t, &t->backend, reason);
}

const struct upstream_user l4_upstream_user = {backend_data, backend_writable, backend_close};
