/* SEGMENT ARRIVES, step by step: RFC 9293 section 3.10.7, with RFC 7323 (PAWS) and RFC 5961 (blind attacks) in their
 * places. The third check, security and compartment, is skipped: nobody sends them. The urgent pointer is ignored and urgent
 * data is delivered in line, as RFC 6093 recommends. */
#include "stack/base/assert.h"
#include "stack/tcp/tcp.h"

/* -- 3.10.7.1: no connection ------------------------------------------------------------------------------------------------ */

void tcp_in_closed(struct mr_worker *w, struct tcp_segment *s)
{
    tcp_send_reset_to(w, s);
    tcp_in_drop(w, s, s->h.flags & TCP_RST ? DROP_tcp_unexpected_reset : DROP_tcp_no_listener);
}

bool tcp_challenge_allowed(struct mr_worker *w)
{
    struct tcp *tcp = w->tcp;
    uint64_t second = w->now / MR_SECOND;
    if (second != tcp->challenge_second) { /* half fixed, half random: an attacker cannot count what is left */
        tcp->challenge_second = second;
        tcp->challenge_left = TCP_CHALLENGE_ACKS_PER_S / 2 + mr_random_below(&w->random, TCP_CHALLENGE_ACKS_PER_S / 2);
    }
    if (!tcp->challenge_left)
        return false;
    tcp->challenge_left--;
    stat_add(w, STAT_tcp_challenge_acks, 1);
    return true;
}

static void challenge(struct mr_worker *w, struct tcb *c)
{
    if (tcp_challenge_allowed(w))
        tcp_ack_now(w, c);
}

/* -- 3.10.7.3: SYN-SENT ------------------------------------------------------------------------------------------------------- */

static void established(struct mr_worker *w, struct tcb *c)
{
    tcp_set_state(c, TCP_ESTABLISHED);
    c->flags &= ~(uint32_t)TCB_CONNECTING;
    c->backoff = 0;
    c->deadline_send = 0;
    tcp_congestion_start(w, c, c->algorithm);
    stat_add(w, STAT_tcp_connected, 1);
    stream_event(w, c, EVENT_OPEN);
    stream_acked(w, c);
    tcp_timer_heard(w, c);
    tcp_output_mark(w, c);
}

/* The peer's SYN: its initial sequence number and options. */
static void syn_learn(struct mr_worker *w, struct tcb *c, const struct tcp_segment *s)
{
    const struct tcp_options *o = &s->h.options;
    c->rcv_nxt = c->rcv_adv = c->last_ack_sent = s->h.seq + 1;
    if (o->has_timestamp) {
        c->flags |= TCB_TIMESTAMPS;
        c->ts_recent = o->timestamp_value;
        c->ts_recent_s = (uint32_t)(w->now >> 30);
    }
    if (o->has_scale) {
        c->send_scale = RTE_MIN(o->scale, TCP_WINDOW_SCALE_MAX) & 0xf;
        c->receive_scale = c->stream.binding->receive_scale & 0xf;
    }
    tcp_conn_set_mss(w, c, o->mss);
    c->snd_wnd = s->h.window; /* a SYN's window is never scaled */
    c->snd_wnd_max = (uint16_t)(s->h.window >> c->send_scale);
    c->snd_wl1 = s->h.seq;
    c->snd_wl2 = s->h.ack;
}

static void syn_acked(struct mr_worker *w, struct tcb *c, uint32_t ack)
{
    if (!c->backoff && !c->srtt_us8) { /* Karn: one SYN, one answer */
        uint32_t sent_us = c->rttvar_us4;
        tcp_rtt_sample(c, tcp_now_us(w) - sent_us);
    } else if (!c->srtt_us8) {
        c->rttvar_us4 = 0;
    }
    c->snd_una = ack;
    c->snd_nxt = ack;
}

static void syn_sent_in(struct mr_worker *w, struct tcb *c, struct tcp_segment *s)
{
    uint8_t flags = s->h.flags;
    bool acks = flags & TCP_ACK;
    if (acks && s->h.ack != c->snd_max) { /* first: ACK; only our SYN is out */
        tcp_send_reset_to(w, s);
        tcp_in_drop(w, s, DROP_tcp_bad_ack);
        return;
    }
    if (flags & TCP_RST) { /* second: RST counts with an acceptable ACK only */
        if (acks) {
            stat_add(w, STAT_tcp_reset_by_peer, 1);
            rte_pktmbuf_free(s->m);
            tcp_conn_finish(w, c, MR_CLOSE_REFUSED);
        } else {
            tcp_in_drop(w, s, DROP_tcp_unexpected_reset);
        }
        return;
    }
    if (!(flags & TCP_SYN)) {
        tcp_in_drop(w, s, DROP_tcp_bad_flags);
        return;
    }
    syn_learn(w, c, s); /* fourth: SYN; data and FIN on it come again: they are not kept */
    rte_pktmbuf_free(s->m);
    if (acks) {
        syn_acked(w, c, s->h.ack);
        established(w, c);
        tcp_ack_now(w, c);
    } else { /* simultaneous open: MUST-10 */
        tcp_set_state(c, TCP_SYN_RECEIVED);
        c->flags |= TCB_SEND_SYN;
        tcp_output_mark(w, c);
    }
}

/* -- 3.10.7.4: the other states ------------------------------------------------------------------------------------------------- */

/* RFC 7323 5.3 R1: true when the segment is too old. Resets are exempt (5.2). */
static bool paws_rejects(const struct mr_worker *w, const struct tcb *c, const struct tcp_segment *s)
{
    if (!(c->flags & TCB_TIMESTAMPS) || !s->h.options.has_timestamp || (s->h.flags & TCP_RST))
        return false;
    return seq_lt(s->h.options.timestamp_value, c->ts_recent) && !tcp_timestamp_is_stale(w, c);
}

/* First check, the four cases of the table. A zero window still takes acknowledgements and resets (MUST-66). */
static bool acceptable(const struct tcb *c, uint32_t seq, uint32_t length)
{
    uint32_t window = c->rcv_adv - c->rcv_nxt;
    if (length == 0)
        return window ? seq_in(seq, c->rcv_nxt, window) : seq == c->rcv_nxt;
    return window && (seq_in(seq, c->rcv_nxt, window) || seq_in(seq + length - 1, c->rcv_nxt, window));
}

/* Cuts the segment to the window: old bytes in front, bytes beyond its edge behind (with the FIN). */
static void trim(struct mr_worker *w, struct tcb *c, struct tcp_segment *s)
{
    uint32_t old = seq_lt(s->h.seq, c->rcv_nxt) ? c->rcv_nxt - s->h.seq : 0;
    if (old) {
        if (s->h.flags & TCP_SYN) {
            s->h.flags &= (uint8_t)~TCP_SYN;
            s->h.seq++;
            old--;
        }
        old = RTE_MIN(old, s->length);
        packet_trim_front(s->m, old);
        s->h.seq += old;
        s->length -= old;
        tcp_ack_now(w, c); /* the peer sends again what we have: tell it where we are */
    }
    uint32_t window = c->rcv_adv - s->h.seq;
    if (s->length > window) {
        packet_trim_back(s->m, s->length - window);
        s->length = window;
        s->h.flags &= (uint8_t)~TCP_FIN;
        tcp_ack_now(w, c);
    }
}

static void unacceptable(struct mr_worker *w, struct tcb *c, struct tcp_segment *s, uint32_t length)
{
    bool old = seq_leq(s->h.seq + length, c->rcv_nxt);
    if (s->h.flags & TCP_RST) {
        tcp_in_drop(w, s, DROP_tcp_unexpected_reset);
        return;
    }
    /* A keepalive probe (RFC 9293 3.8.4) or data is always answered; what asks for nothing could start a war of ACKs. */
    bool probe = s->h.seq + 1 == c->rcv_nxt;
    if (s->h.flags & TCP_SYN || (!length && !probe))
        challenge(w, c);
    else
        tcp_ack_now(w, c);
    tcp_in_drop(w, s, old ? DROP_tcp_old_duplicate : DROP_tcp_outside_window);
}

/* Second check: RFC 5961 3.2. True when the segment was a reset, and consumed. */
static bool reset_in(struct mr_worker *w, struct tcb *c, struct tcp_segment *s)
{
    if (!(s->h.flags & TCP_RST))
        return false;
    if (s->h.seq != c->rcv_nxt) {
        challenge(w, c);
        tcp_in_drop(w, s, DROP_tcp_challenged);
        return true;
    }
    stat_add(w, STAT_tcp_reset_by_peer, 1);
    rte_pktmbuf_free(s->m);
    tcp_conn_finish(w, c, c->state == TCP_SYN_RECEIVED ? MR_CLOSE_REFUSED : MR_CLOSE_RESET);
    return true;
}

/* Is this a duplicate acknowledgement? RFC 5681 section 2, (a) to (e). The answer to a window probe is none. */
static bool is_duplicate_ack(const struct tcb *c, const struct tcp_segment *s)
{
    return !(c->flags & TCB_PERSIST) && c->snd_max != c->snd_una && s->length == 0 && !(s->h.flags & (TCP_SYN | TCP_FIN)) && s->h.ack == c->snd_una &&
           (uint32_t)s->h.window << c->send_scale == c->snd_wnd;
}

/* Fifth check for the synchronised states. False: the segment (or the connection) is gone. */
static bool ack_in(struct mr_worker *w, struct tcb *c, struct tcp_segment *s)
{
    uint32_t ack = s->h.ack;
    uint32_t wnd_max = (uint32_t)c->snd_wnd_max << c->send_scale;
    if (seq_lt(c->snd_max, ack) || seq_lt(ack, c->snd_una - wnd_max)) { /* RFC 5961 5.2 */
        challenge(w, c);
        tcp_in_drop(w, s, DROP_tcp_bad_ack);
        return false;
    }
    bool duplicate = is_duplicate_ack(c, s);
    if (seq_leq(c->snd_una, ack))
        tcp_in_window(w, c, s);
    if (seq_lt(c->snd_una, ack))
        tcp_loss_acked(w, c, s);
    else if (duplicate)
        tcp_loss_duplicate(w, c);
    if (c->flags & TCB_PERSIST && ack == c->snd_una)
        c->backoff = RTE_MIN(c->backoff, 9); /* it answers: probe for ever (MUST-37), at the longest interval */

    bool fin_acked = (c->flags & TCB_FIN_SENT) && c->snd_una == c->snd_max;
    if (!fin_acked)
        return true;
    switch (c->state) {
    case TCP_FIN_WAIT_1:
        tcp_set_state(c, TCP_FIN_WAIT_2);
        tcp_timer_fin_wait_2(w, c);
        return true;
    case TCP_CLOSING:
        rte_pktmbuf_free(s->m);
        tcp_time_wait_enter(w, c);
        return false;
    case TCP_LAST_ACK:
        rte_pktmbuf_free(s->m);
        stat_add(w, STAT_tcp_closed, 1);
        tcp_conn_finish(w, c, MR_CLOSE_DONE);
        return false;
    default:
        return true;
    }
}

static bool receives(const struct tcb *c)
{
    return c->state == TCP_ESTABLISHED || c->state == TCP_FIN_WAIT_1 || c->state == TCP_FIN_WAIT_2;
}

/* Seventh: the payload, trimmed to the window. Consumes s->m. True when a FIN is now in order. */
static bool text_in(struct mr_worker *w, struct tcb *c, struct tcp_segment *s)
{
    bool fin = s->h.flags & TCP_FIN;
    if (!s->length && !fin) {
        rte_pktmbuf_free(s->m);
        return false;
    }
    if (s->length && !worker_may_hold_packet(w)) {
        tcp_ack_now(w, c);
        tcp_in_drop(w, s, DROP_tcp_no_buffers);
        return false;
    }
    if (s->h.seq != c->rcv_nxt) { /* MAY-13: at once, it tells the sender of the hole */
        tcp_reasm_add(w, c, s);
        tcp_ack_now(w, c);
        return false;
    }
    bool had_hole = c->reasm;
    if (s->length) {
        tcp_in_deliver(w, c, s);
        bool fin_behind_hole = tcp_reasm_advance(w, c);
        fin = fin_behind_hole || (fin && s->h.seq + s->length == c->rcv_nxt);
    } else {
        rte_pktmbuf_free(s->m);
    }
    if (had_hole)
        tcp_ack_now(w, c); /* RFC 5681 4.2: when a hole is filled */
    else
        tcp_in_owe_ack(w, c);
    return fin;
}

/* Eighth: FIN, in order. */
static void fin_in(struct mr_worker *w, struct tcb *c)
{
    c->rcv_nxt++;
    c->rcv_adv = seq_max(c->rcv_adv, c->rcv_nxt);
    c->flags |= TCB_FIN_RECEIVED;
    tcp_reasm_free(w, c);
    tcp_ack_now(w, c);
    stream_event(w, c, EVENT_DATA);
    switch (c->state) {
    case TCP_ESTABLISHED:
        tcp_set_state(c, TCP_CLOSE_WAIT);
        break;
    case TCP_FIN_WAIT_1:
        tcp_set_state(c, TCP_CLOSING); /* an acknowledgement of our FIN would have made it FIN-WAIT-2 before */
        break;
    case TCP_FIN_WAIT_2:
        tcp_time_wait_enter(w, c);
        break;
    }
}

/* A service that has closed reads no more: data for it is refused (RFC 9293 3.10.4 and RFC 1122 4.2.2.13). */
static bool refused_after_close(struct mr_worker *w, struct tcb *c, struct tcp_segment *s)
{
    if (!(c->flags & TCB_DETACHED) || !s->length || !receives(c))
        return false;
    tcp_in_drop(w, s, DROP_tcp_after_close);
    tcp_send_reset(w, c);
    stat_add(w, STAT_tcp_aborted, 1);
    tcp_conn_finish(w, c, MR_CLOSE_LOCAL);
    return true;
}

/* The other side's SYN+ACK of a simultaneous open carries a SYN that we have: what counts is its acknowledgement. It is
 * acknowledged all the same (first check), for a peer to which our SYN+ACK was unacceptable waits for that. */
static void simultaneous_trim(struct mr_worker *w, struct tcb *c, struct tcp_segment *s)
{
    if (c->state == TCP_SYN_RECEIVED && (s->h.flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK) &&
        s->h.seq + 1 == c->rcv_nxt) {
        s->h.flags &= (uint8_t)~TCP_SYN;
        s->h.seq++;
        s->h.window = (uint16_t)(s->h.window >> c->send_scale); /* a SYN's window is not scaled */
        tcp_ack_now(w, c);
    }
}

static bool syn_received_ack(struct mr_worker *w, struct tcb *c, struct tcp_segment *s)
{
    if (s->h.ack != c->snd_max) {
        tcp_send_reset_to(w, s);
        tcp_in_drop(w, s, DROP_tcp_bad_ack);
        return false;
    }
    syn_acked(w, c, s->h.ack);
    c->snd_wnd = (uint32_t)s->h.window << c->send_scale;
    c->snd_wnd_max = s->h.window;
    c->snd_wl1 = s->h.seq;
    c->snd_wl2 = s->h.ack;
    established(w, c);
    return true;
}

void tcp_in_slow(struct mr_worker *w, struct tcb *c, struct tcp_segment *s)
{
    if (c->state == TCP_SYN_SENT) {
        syn_sent_in(w, c, s);
        return;
    }
    simultaneous_trim(w, c, s);
    uint32_t length = s->length + !!(s->h.flags & TCP_SYN) + !!(s->h.flags & TCP_FIN);
    if (paws_rejects(w, c, s)) {
        tcp_ack_now(w, c);
        tcp_in_drop(w, s, DROP_tcp_paws);
        return;
    }
    if (c->flags & TCB_TIMESTAMPS && !s->h.options.has_timestamp && !(s->h.flags & TCP_RST)) {
        tcp_in_drop(w, s, DROP_tcp_no_timestamp); /* RFC 7323 3.2 */
        return;
    }
    bool closed_window = c->rcv_adv == c->rcv_nxt && s->h.seq == c->rcv_nxt && length;
    if (!closed_window && !acceptable(c, s->h.seq, length)) { /* first */
        unacceptable(w, c, s, length);
        return;
    }
    if (reset_in(w, c, s)) /* second */
        return;
    if (s->h.flags & TCP_SYN) { /* fourth: RFC 5961 4.2 */
        challenge(w, c);
        tcp_in_drop(w, s, DROP_tcp_challenged);
        return;
    }
    if (!(s->h.flags & TCP_ACK)) { /* fifth */
        tcp_in_drop(w, s, DROP_tcp_no_ack);
        return;
    }
    tcp_in_timestamp(w, c, s);
    tcp_timer_heard(w, c);
    if (c->state == TCP_SYN_RECEIVED && !syn_received_ack(w, c, s))
        return;
    if (refused_after_close(w, c, s) || !ack_in(w, c, s))
        return;
    if (!receives(c)) { /* after the peer's FIN there is nothing more to read: RFC 9293 3.10.7.4, seventh */
        if (length)
            tcp_ack_now(w, c);
        if (s->length)
            tcp_in_drop(w, s, DROP_tcp_after_close);
        else
            rte_pktmbuf_free(s->m);
        return;
    }
    trim(w, c, s);
    if (text_in(w, c, s))
        fin_in(w, c);
}
