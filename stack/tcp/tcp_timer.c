/* Timers of a connection: named events, called where they happen, and the whole policy here.
 *
 * One wheel node serves three deadlines. It is armed for the earliest when it is not armed or armed too late; a deadline
 * that moves later costs nothing now: the node fires, finds nothing due, and is armed again. */
#include "stack/base/assert.h"
#include "stack/tcp/tcp.h"

static mr_time tick_time(mr_time now, tcp_tick tick)
{
    /* Signed distance from now: ticks wrap. */
    tcp_tick now_tick = (tcp_tick)(now >> WHEEL_TICK_SHIFT);
    int64_t distance = (int64_t)(int32_t)(tick - now_tick) * (1 << WHEEL_TICK_SHIFT);
    int64_t base = (int64_t)(now >> WHEEL_TICK_SHIFT << WHEEL_TICK_SHIFT);
    return base + distance > 0 ? (mr_time)(base + distance) : 1;
}

static tcp_tick tick_after(const struct mr_worker *w, mr_time delay)
{
    return tcp_tick_of(w->now + delay);
}

static bool tick_due(const struct mr_worker *w, tcp_tick tick)
{
    return tick && tick_time(w->now, tick) <= w->now;
}

/* Makes sure that the node fires no later than the earliest deadline. */
static inline void node_cover(struct mr_worker *w, struct tcb *c, mr_time deadline)
{
    if (!wheel_node_armed(&c->timer) || deadline < wheel_node_deadline(&c->timer))
        wheel_arm(&w->wheel, &c->timer, WHEEL_TCP, deadline);
}

/* Sets one of the three deadlines. Ticks are rounded up, and so does the wheel: when the node fires, the tick has come. */
static inline void deadline_set(struct mr_worker *w, struct tcb *c, tcp_tick *deadline, mr_time delay)
{
    *deadline = tcp_tick_of(w->now + delay);
    node_cover(w, c, w->now + delay);
}

static void node_cover_all(struct mr_worker *w, struct tcb *c)
{
    const tcp_tick ticks[] = {c->deadline_send, c->deadline_ack, c->deadline_idle};
    for (unsigned i = 0; i < 3; i++)
        if (ticks[i])
            node_cover(w, c, tick_time(w->now, ticks[i]));
}

static mr_time backed_off(mr_time rto, unsigned doublings)
{
    while (doublings-- && rto < TCP_RTO_MAXIMUM)
        rto *= 2;
    return RTE_MIN(rto, TCP_RTO_MAXIMUM);
}

static void send_timer_restart(struct mr_worker *w, struct tcb *c)
{
    c->flags &= ~(uint32_t)(TCB_PERSIST | TCB_STARVED);
    deadline_set(w, c, &c->deadline_send, backed_off(tcp_rto(c), c->backoff));
}

void tcp_timer_sent(struct mr_worker *w, struct tcb *c)
{
    if (!c->deadline_send || (c->flags & (TCB_PERSIST | TCB_STARVED))) /* RFC 6298 5.1 */
        send_timer_restart(w, c);
}

void tcp_timer_acked(struct mr_worker *w, struct tcb *c)
{
    if (c->snd_una == c->snd_max)
        c->deadline_send = 0; /* RFC 6298 5.2 */
    else
        send_timer_restart(w, c); /* 5.3 */
    c->flags &= ~(uint32_t)TCB_PERSIST;
}

void tcp_timer_window_closed(struct mr_worker *w, struct tcb *c)
{
    if (c->flags & TCB_PERSIST)
        return;
    c->backoff = 0;
    send_timer_restart(w, c); /* SHLD-29: first probe after one RTO */
    c->flags |= TCB_PERSIST;
}

void tcp_timer_window_opened(struct mr_worker *w, struct tcb *c)
{
    if (!(c->flags & TCB_PERSIST))
        return;
    c->flags &= ~(uint32_t)(TCB_PERSIST | TCB_PROBE);
    c->deadline_send = 0;
    c->backoff = 0;
    tcp_output_mark(w, c);
}

void tcp_timer_starved(struct mr_worker *w, struct tcb *c)
{
    if (c->deadline_send) /* the answer to our SYN brings on_writable, or the end */
        return;
    c->flags |= TCB_STARVED;
    deadline_set(w, c, &c->deadline_send, TCP_STARVED_RETRY);
}

void tcp_timer_delay_ack(struct mr_worker *w, struct tcb *c)
{
    c->flags |= TCB_ACK_DELAYED;
    deadline_set(w, c, &c->deadline_ack, TCP_DELAYED_ACK);
}

/* In FIN-WAIT-2 with nobody to read: kept for the peer's FIN, not for ever. Half-closed on purpose is another matter. */
static bool lingers(const struct tcb *c)
{
    return c->state == TCP_FIN_WAIT_2 && c->flags & TCB_DETACHED;
}

static void keepalive_restart(struct mr_worker *w, struct tcb *c, uint32_t seconds)
{
    deadline_set(w, c, &c->deadline_idle, seconds * MR_SECOND);
}

void tcp_timer_heard(struct mr_worker *w, struct tcb *c)
{
    uint32_t idle_s = c->stream.binding->options.keepalive_idle_s;
    if (!idle_s || lingers(c))
        return;
    if (c->snd_una == c->snd_max)
        c->backoff = 0; /* probes count here while nothing is outstanding */
    keepalive_restart(w, c, idle_s);
}

void tcp_timer_fin_wait_2(struct mr_worker *w, struct tcb *c)
{
    if (!lingers(c))
        return;
    deadline_set(w, c, &c->deadline_idle, TCP_FIN_WAIT_2_MAX);
}

void tcp_timer_stop(struct mr_worker *w, struct tcb *c)
{
    c->deadline_send = c->deadline_ack = c->deadline_idle = 0;
    if (wheel_node_armed(&c->timer))
        wheel_cancel(&w->wheel, &c->timer);
}

/* RFC 9293 3.8.3: R2 as a count of retransmissions, or the user timeout in time since progress. */
static bool gave_up(const struct mr_worker *w, const struct tcb *c)
{
    uint32_t user_timeout_ms = c->stream.binding->options.user_timeout_ms;
    if (c->flight && user_timeout_ms) {
        mr_time stalled = (mr_time)(tcp_tick)(tcp_tick_of(w->now) - c->flight->progress) << WHEEL_TICK_SHIFT;
        return stalled >= user_timeout_ms * MR_MILLISECOND;
    }
    return c->backoff >= (tcp_is_synchronised(c) ? TCP_DATA_RETRIES : TCP_SYN_RETRIES);
}

static void give_up(struct mr_worker *w, struct tcb *c)
{
    stat_add(w, STAT_tcp_timed_out, 1);
    if (tcp_is_synchronised(c)) /* the peer may live behind a one-way path: tell it */
        tcp_send_reset(w, c);
    tcp_conn_finish(w, c, MR_CLOSE_TIMEOUT);
}

/* A window probe: no limit while the peer answers (MUST-37: snd_una or the window moves the backoff back); a peer that
 * is silent for as long as R2 allows is gone. */
static bool probe_expired(struct mr_worker *w, struct tcb *c)
{
    if (gave_up(w, c)) {
        give_up(w, c);
        return false;
    }
    c->backoff += c->backoff < UINT8_MAX;
    c->deadline_send = tick_after(w, backed_off(tcp_rto(c), c->backoff)); /* SHLD-30 */
    c->flags |= TCB_PROBE;
    tcp_output_mark(w, c);
    return true;
}

static bool send_expired(struct mr_worker *w, struct tcb *c)
{
    if (c->flags & TCB_STARVED) {
        c->flags &= ~(uint32_t)TCB_STARVED;
        c->deadline_send = 0;
        stream_acked(w, c);
        return true;
    }
    if (c->flags & TCB_PERSIST)
        return probe_expired(w, c);
    if (gave_up(w, c)) {
        give_up(w, c);
        return false;
    }
    if (tcp_is_synchronised(c)) {
        tcp_loss_timeout(w, c);
    } else {
        c->backoff++;
        c->flags |= TCB_SEND_SYN;
        tcp_output_mark(w, c);
    }
    send_timer_restart(w, c); /* RFC 6298 5.5 and 5.6 */
    return true;
}

static bool idle_expired(struct mr_worker *w, struct tcb *c)
{
    c->deadline_idle = 0;
    if (lingers(c)) {
        stat_add(w, STAT_tcp_timed_out, 1);
        tcp_conn_finish(w, c, MR_CLOSE_TIMEOUT);
        return false;
    }
    const struct mr_stream_options *o = &c->stream.binding->options;
    if (!o->keepalive_idle_s)
        return true;
    if (c->snd_una != c->snd_max) { /* the retransmission timer looks after the peer: RFC 9293 3.8.4, MUST-26 */
        keepalive_restart(w, c, o->keepalive_idle_s);
        return true;
    }
    if (c->backoff >= o->keepalive_probes) {
        give_up(w, c);
        return false;
    }
    c->backoff++;
    c->flags |= TCB_KEEPALIVE;
    keepalive_restart(w, c, o->keepalive_interval_s);
    tcp_output_mark(w, c);
    return true;
}

void tcp_expired(struct mr_worker *w, struct mr_wheel_node *node)
{
    struct tcb *c = (struct tcb *)((uint8_t *)node - offsetof(struct tcb, timer));
    if (tick_due(w, c->deadline_ack)) {
        c->deadline_ack = 0;
        stat_add(w, STAT_tcp_delayed_acks, 1);
        tcp_ack_now(w, c);
    }
    if (tick_due(w, c->deadline_send) && !send_expired(w, c))
        return;
    if (tick_due(w, c->deadline_idle) && !idle_expired(w, c))
        return;
    node_cover_all(w, c);
}
