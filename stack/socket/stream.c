/* Streams: the calls of include/millrace/stream.h on a TCP connection. */
#include <string.h>

#include "stack/base/assert.h"
#include "stack/tcp/tcp.h"

void *mr_stream_context(const struct mr_stream *s)
{
    return s->context;
}

void mr_stream_set_context(struct mr_stream *s, void *context)
{
    s->context = context;
}

struct mr_worker *mr_stream_worker(const struct mr_stream *s)
{
    return s->binding->worker;
}

void mr_stream_local(const struct mr_stream *s, struct mr_endpoint *out)
{
    const struct tcb *c = tcb_of(s);
    *out = (struct mr_endpoint){c->key.local, c->key.local_port};
}

void mr_stream_remote(const struct mr_stream *s, struct mr_endpoint *out)
{
    const struct tcb *c = tcb_of(s);
    *out = (struct mr_endpoint){c->key.remote, c->key.remote_port};
}

/* -- receiving ---------------------------------------------------------------------------------------------------------- */

unsigned mr_stream_peek(const struct mr_stream *s, struct mr_span *spans, unsigned max)
{
    const struct tcb *c = tcb_of(s);
    struct rte_mbuf *m = c->receive_tail;
    unsigned n = 0;
    if (!m)
        return 0;
    do {
        m = packet_meta(m)->queue_next;
        if (n == max)
            break;
        spans[n++] = (struct mr_span){rte_pktmbuf_mtod(m, const uint8_t *), m->data_len};
    } while (m != c->receive_tail);
    return n;
}

void stream_consumed(struct mr_worker *w, struct tcb *c)
{
    if (c->state == TCP_CLOSED && !c->receive_queued && c->events & EVENT_CLOSE)
        stream_event_again(w, c);
    else if (tcp_window_update_due(c))
        tcp_ack_now(w, c);
}

void mr_stream_consume(struct mr_stream *s, size_t n)
{
    struct tcb *c = tcb_of(s);
    struct mr_worker *w = tcb_worker(c);
    ASSERT_COMPARE(n, <=, c->receive_queued);
    while (n) {
        struct rte_mbuf *head = tcp_receive_head(c);
        if (n < head->data_len) {
            tcp_receive_trim(c, (uint32_t)n);
            break;
        }
        n -= head->data_len;
        rte_pktmbuf_free_seg(tcp_receive_take(w, c));
    }
    stream_consumed(w, c);
}

size_t mr_stream_read(struct mr_stream *s, void *buffer, size_t n)
{
    struct mr_span span;
    size_t taken = 0;
    while (taken < n && mr_stream_peek(s, &span, 1)) {
        size_t k = RTE_MIN(n - taken, span.length);
        memcpy((uint8_t *)buffer + taken, span.data, k);
        mr_stream_consume(s, k);
        taken += k;
    }
    return taken;
}

size_t mr_stream_readable(const struct mr_stream *s)
{
    return tcb_of(s)->receive_queued;
}

bool mr_stream_ended(const struct mr_stream *s)
{
    const struct tcb *c = tcb_of(s);
    return (c->flags & TCB_FIN_RECEIVED) && !c->receive_queued;
}

/* -- sending ------------------------------------------------------------------------------------------------------------- */

size_t mr_stream_send_room(const struct mr_stream *s)
{
    const struct tcb *c = tcb_of(s);
    uint32_t budget = c->stream.binding->options.send_budget, queued = tcp_queue_bytes(c);
    return stream_may_send(c) && budget > queued ? budget - queued : 0;
}

void stream_refused(struct mr_worker *w, struct tcb *c)
{
    if (!stream_may_send(c))
        return;
    c->flags |= TCB_WANT_WRITABLE;
    if (!c->flight)
        tcp_timer_starved(w, c);
}

size_t mr_stream_send(struct mr_stream *s, const void *data, size_t n)
{
    struct tcb *c = tcb_of(s);
    struct mr_worker *w = tcb_worker(c);
    size_t taken = tcp_queue_copy(w, c, data, RTE_MIN(n, mr_stream_send_room(s)));
    if (taken)
        tcp_output_mark(w, c);
    if (taken < n)
        stream_refused(w, c);
    return taken;
}

bool mr_stream_lend(struct mr_stream *s, const void *data, size_t n, void (*release)(void *argument), void *argument)
{
    struct tcb *c = tcb_of(s);
    struct mr_worker *w = tcb_worker(c);
    bool fits = c->flight ? n <= mr_stream_send_room(s) : stream_may_send(c) && n <= TCP_BUDGET_MAXIMUM;
    if (!fits || !tcp_queue_lend(w, c, data, n, release, argument)) {
        stream_refused(w, c);
        return false;
    }
    tcp_output_mark(w, c);
    return true;
}

size_t mr_stream_unacknowledged(const struct mr_stream *s)
{
    return tcp_queue_bytes(tcb_of(s));
}

void mr_stream_shutdown(struct mr_stream *s)
{
    struct tcb *c = tcb_of(s);
    if (!stream_may_send(c))
        return;
    c->flags |= TCB_SHUTDOWN;
    tcp_output_mark(tcb_worker(c), c);
}

/* -- closing --------------------------------------------------------------------------------------------------------------- */

/* The service lets go: it hears on_close and nothing else; what TCP still has to do it does alone. */
static void detach(struct mr_worker *w, struct tcb *c)
{
    stream_event_close(w, c, w->stopping ? MR_CLOSE_STOPPED : MR_CLOSE_LOCAL);
    c->flags |= TCB_DETACHED;
    if (c->state == TCP_CLOSED) /* ended in order and not read to the end */
        stream_event_again(w, c);
}

void mr_stream_close(struct mr_stream *s)
{
    struct tcb *c = tcb_of(s);
    struct mr_worker *w = tcb_worker(c);
    if (c->flags & TCB_DETACHED)
        return;
    bool unread = c->receive_queued;
    detach(w, c);
    if (c->state == TCP_CLOSED)
        return;
    if (!tcp_is_synchronised(c) || unread) { /* RFC 9293 3.10.4; bytes nobody will read: RFC 2525 2.17 */
        tcp_conn_abort(w, c, MR_CLOSE_LOCAL);
        return;
    }
    c->flags |= TCB_SHUTDOWN;
    tcp_receive_free(w, c);
    tcp_output_mark(w, c);
    if (c->state == TCP_FIN_WAIT_2)
        tcp_timer_fin_wait_2(w, c);
}

void mr_stream_abort(struct mr_stream *s)
{
    struct tcb *c = tcb_of(s);
    struct mr_worker *w = tcb_worker(c);
    if (c->flags & TCB_DETACHED)
        return;
    detach(w, c);
    if (c->state != TCP_CLOSED)
        tcp_conn_abort(w, c, MR_CLOSE_LOCAL);
}

/* -- options and information --------------------------------------------------------------------------------------------------- */

int mr_stream_set_congestion(struct mr_stream *s, const char *name)
{
    struct tcb *c = tcb_of(s);
    int algorithm = tcp_algorithm_find(name);
    if (algorithm < 0)
        return MR_ERROR_UNKNOWN;
    if (!tcp_is_synchronised(c)) {
        c->algorithm = (uint8_t)algorithm;
        return MR_OK;
    }
    tcp_congestion_stop(tcb_worker(c), c);
    tcp_congestion_start(tcb_worker(c), c, (unsigned)algorithm);
    return MR_OK;
}

void mr_stream_set_nodelay(struct mr_stream *s, bool nodelay)
{
    struct tcb *c = tcb_of(s);
    if (!nodelay) {
        c->flags &= ~(uint32_t)TCB_NODELAY;
        return;
    }
    c->flags |= TCB_NODELAY;
    if (c->flight && stream_may_send(c))
        tcp_output_mark(tcb_worker(c), c);
}

void mr_stream_info(const struct mr_stream *s, struct mr_stream_info *out)
{
    const struct tcb *c = tcb_of(s);
    *out = (struct mr_stream_info){
        .local = {c->key.local, c->key.local_port},
        .remote = {c->key.remote, c->key.remote_port},
        .state = tcp_state_name(c->state),
        .congestion = tcp_algorithms[c->algorithm]->name,
        .receive_queue = c->receive_queued,
        .send_queue = tcp_queue_bytes(c),
        .srtt_us = c->srtt_us8 / 8,
        .rttvar_us = c->srtt_us8 ? c->rttvar_us4 / 4 : 0,
        .rto_us = (uint32_t)(tcp_rto(c) / MR_MICROSECOND),
        .cwnd = c->cc.cwnd,
        .ssthresh = c->cc.ssthresh,
        .in_flight = c->snd_max - c->snd_una,
        .send_window = c->snd_wnd,
        .receive_window = c->rcv_adv - c->rcv_nxt,
        .mss = c->mss,
        .send_scale = c->send_scale,
        .receive_scale = c->receive_scale,
        .backoff = c->backoff,
        .retransmits = c->retransmits,
        .timestamps = c->flags & TCB_TIMESTAMPS,
    };
}
