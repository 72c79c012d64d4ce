/* Acknowledgements and losses: RTT (RFC 6298), fast retransmit and fast recovery (RFC 5681, NewReno RFC 6582), limited
 * transmit (RFC 3042), timeouts. Without SACK: the scoreboard, RACK and PRR will live here. */
#include "stack/base/assert.h"
#include "stack/tcp/tcp.h"

#define DUP_ACK_THRESHOLD 3 /* RFC 5681 3.2 */

static const struct mr_congestion_algorithm *algorithm(const struct tcb *c)
{
    return tcp_algorithms[c->algorithm];
}

static void cwnd_clamp(struct tcb *c)
{
    c->cc.cwnd = RTE_MAX(c->cc.cwnd, c->cc.mss);
    c->cc.ssthresh = RTE_MAX(c->cc.ssthresh, 2 * c->cc.mss);
}

/* RFC 6298 section 2, in eighths and quarters of microseconds. */
void tcp_rtt_sample(struct tcb *c, uint32_t rtt_us)
{
    rtt_us = RTE_MAX(rtt_us, 1u);
    rtt_us = RTE_MIN(rtt_us, (uint32_t)(TCP_RTO_MAXIMUM / MR_MICROSECOND));
    if (!c->srtt_us8) {
        c->srtt_us8 = rtt_us * 8;
        c->rttvar_us4 = rtt_us * 2;
        return;
    }
    int32_t error = (int32_t)rtt_us - (int32_t)(c->srtt_us8 / 8);
    uint32_t distance = (uint32_t)(error < 0 ? -error : error);
    c->rttvar_us4 = c->rttvar_us4 - c->rttvar_us4 / 4 + distance;
    c->srtt_us8 = (uint32_t)RTE_MAX((int32_t)c->srtt_us8 + error, 1);
}

mr_time tcp_rto(const struct tcb *c)
{
    if (!c->srtt_us8)
        return tcp_is_synchronised(c) ? TCP_RTO_REPEATED_SYN : TCP_RTO_INITIAL; /* Karn kept the sample of the SYN */
    mr_time rto = (mr_time)(c->srtt_us8 / 8 + RTE_MAX(c->rttvar_us4, 1u)) * MR_MICROSECOND;
    rto = RTE_MAX(rto, TCP_RTO_MINIMUM);
    return RTE_MIN(rto, TCP_RTO_MAXIMUM);
}

uint32_t tcp_congestion_window(const struct tcb *c)
{
    uint32_t cwnd = c->cc.cwnd;
    if (c->flags & TCB_RECOVERY)
        return cwnd + (c->flight ? c->flight->inflate : 0);
    if (c->snd_nxt != c->snd_max)
        return cwnd; /* limited transmit is for data not sent before: RFC 3042 2 */
    return cwnd + RTE_MIN((uint32_t)c->dup_acks, 2u) * c->cc.mss;
}

static void recovery_enter(struct mr_worker *w, struct tcb *c)
{
    struct tcp_flight *f = c->flight;
    f->recover = c->snd_max;
    f->recover_valid = true;
    /* What limited transmit sent beyond the window does not count as flight (RFC 5681 3.2 step 2). */
    algorithm(c)->on_loss(&c->cc, MR_LOSS_FAST, RTE_MIN(c->snd_max - c->snd_una, c->cc.cwnd), w->now);
    cwnd_clamp(c);
    f->inflate = DUP_ACK_THRESHOLD * c->cc.mss;
    c->flags |= TCB_RECOVERY | TCB_RETRANSMIT;
    stat_add(w, STAT_tcp_fast_retransmits, 1);
    tcp_output_mark(w, c);
}

void tcp_loss_duplicate(struct mr_worker *w, struct tcb *c)
{
    stat_add(w, STAT_tcp_duplicate_acks_in, 1);
    struct tcp_flight *f = c->flight;
    c->dup_acks += c->dup_acks < UINT8_MAX;
    if (!f)
        return;
    if (c->flags & TCB_RECOVERY) { /* another segment has left the network */
        uint32_t room = TCP_BUDGET_MAXIMUM - RTE_MIN(f->inflate, TCP_BUDGET_MAXIMUM);
        f->inflate += RTE_MIN(room, c->cc.mss);
    } else if (c->dup_acks == DUP_ACK_THRESHOLD && (!f->recover_valid || seq_leq(f->recover, c->snd_una))) {
        recovery_enter(w, c); /* not for what a timeout sent again: RFC 6582 3.2 step 1 */
    }
    tcp_output_mark(w, c);
}

static void recovery_leave(struct mr_worker *w, struct tcb *c)
{
    c->flags &= ~(uint32_t)(TCB_RECOVERY | TCB_RETRANSMIT);
    /* RFC 6582 3.2 step 3, first option: no burst when little is in flight. */
    uint32_t flight = RTE_MAX(c->snd_max - c->snd_una, c->cc.mss) + c->cc.mss;
    c->cc.cwnd = RTE_MIN(c->cc.ssthresh, flight);
    cwnd_clamp(c);
    if (algorithm(c)->on_recovered)
        algorithm(c)->on_recovered(&c->cc, w->now);
}

/* In recovery: all of it is repaired, or the next hole shows itself. True when recovery is over. */
static bool recovery_acked(struct mr_worker *w, struct tcb *c, uint32_t ack, uint32_t acked)
{
    struct tcp_flight *f = c->flight;
    if (!f || seq_leq(f->recover, ack)) {
        recovery_leave(w, c);
        return true;
    }
    f->inflate -= RTE_MIN(f->inflate, acked);
    if (acked >= c->cc.mss)
        f->inflate += c->cc.mss;
    c->flags |= TCB_RETRANSMIT;
    return false;
}

/* The sample of this acknowledgement in us, 0: none. Chunks know when they left; after a retransmission only the
 * timestamp can tell which copy was acknowledged (RFC 7323 4.1). */
static uint32_t rtt_of(const struct mr_worker *w, const struct tcb *c, const struct tcp_segment *s, bool sampled,
                       uint32_t sent_us)
{
    if (sampled)
        return RTE_MAX(tcp_now_us(w) - sent_us, 1u);
    if (!(c->flags & TCB_TIMESTAMPS) || !s->h.options.has_timestamp || !s->h.options.timestamp_echo || s->length)
        return 0;
    uint32_t rtt_ms = tcp_now_ms(w) + c->ts_offset - s->h.options.timestamp_echo;
    return rtt_ms < TCP_RTO_MAXIMUM / MR_MILLISECOND ? rtt_ms * 1000 + 500 : 0;
}

void tcp_loss_acked(struct mr_worker *w, struct tcb *c, const struct tcp_segment *s)
{
    uint32_t ack = s->h.ack, acked = ack - c->snd_una, prior = c->snd_max - c->snd_una;
    bool limited = c->flags & TCB_CWND_LIMITED, in_recovery = c->flags & TCB_RECOVERY;
    uint32_t sent_us = 0;
    bool sampled;
    c->snd_una = ack;
    tcp_queue_acked(w, c, ack, &sent_us, &sampled);
    if (seq_lt(c->snd_nxt, ack)) {
        c->snd_nxt = ack;
        if (c->flight)
            c->flight->next = c->flight->head;
    }
    uint32_t rtt_us = rtt_of(w, c, s, sampled && !in_recovery, sent_us);
    if (rtt_us)
        tcp_rtt_sample(c, rtt_us);
    c->dup_acks = 0;
    c->backoff = 0;
    bool repaired = !in_recovery || recovery_acked(w, c, ack, acked);
    if (repaired) {
        const struct mr_rate_sample sample = {
            .now = w->now,
            .acked = acked,
            .in_flight = c->snd_max - ack,
            .prior_in_flight = prior,
            .rtt_us = rtt_us,
            .srtt_us = c->srtt_us8 / 8,
            .in_recovery = in_recovery,
            .cwnd_limited = limited || prior >= c->cc.cwnd,
            .app_limited = !limited,
        };
        if (!in_recovery)
            algorithm(c)->on_ack(&c->cc, &sample);
        cwnd_clamp(c);
    }
    tcp_timer_acked(w, c);
    stream_acked(w, c);
    if (c->flight || (c->flags & TCB_SHUTDOWN))
        tcp_output_mark(w, c);
}

void tcp_loss_timeout(struct mr_worker *w, struct tcb *c)
{
    stat_add(w, STAT_tcp_rto_expiries, 1);
    const struct mr_congestion_algorithm *a = algorithm(c);
    /* What a long recovery sent beyond the window has mostly arrived behind the hole: it is no measure of the path. */
    uint32_t in_flight = RTE_MIN(c->snd_max - c->snd_una, c->cc.cwnd);
    if (c->backoff == 0 && c->flight) { /* once a loss event: RFC 5681 3.1 holds ssthresh for repeated timeouts */
        if (a->on_rto)
            a->on_rto(&c->cc, in_flight, w->now);
        else
            a->on_loss(&c->cc, MR_LOSS_TIMEOUT, in_flight, w->now);
    }
    c->cc.cwnd = c->cc.mss; /* the loss window: RFC 5681 3.1, whatever the algorithm wished */
    cwnd_clamp(c);
    c->flags &= ~(uint32_t)(TCB_RECOVERY | TCB_RETRANSMIT);
    c->dup_acks = 0;
    c->backoff++;
    c->snd_nxt = c->snd_una;
    if (c->flight) {
        c->flight->recover = c->snd_max;
        c->flight->recover_valid = true;
        c->flight->inflate = 0;
        c->flight->next = c->flight->head;
    }
    tcp_output_mark(w, c);
}
