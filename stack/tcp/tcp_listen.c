/* Passive opens: a SYN makes a small half-open record, the ACK that answers our SYN+ACK makes the connection (RFC 9293
 * 3.10.7.2 and 3.10.7.4). Bounds: records over the worker, and per listener half-open plus not yet delivered connections.
 * Above the bound a SYN is dropped; SYN cookies will take its place here. */
#include "stack/base/assert.h"
#include "stack/route/route.h"
#include "stack/tcp/tcp.h"

static unsigned listener_bucket(uint16_t port)
{
    return port % TCP_LISTENER_BUCKETS;
}

struct mr_listener *tcp_listener_find(const struct tcp *tcp, const struct mr_address *address, uint16_t port)
{
    struct mr_listener *any = NULL;
    for (struct mr_listener *l = tcp->listener[listener_bucket(port)]; l; l = l->next) {
        if (l->local.port != port)
            continue;
        if (mr_address_equal(&l->local.address, address))
            return l;
        if (mr_address_is_any(&l->local.address))
            any = l;
    }
    return any;
}

static void half_open_timer(struct mr_worker *w, struct tcp_half_open *h)
{
    mr_time rto = TCP_RTO_INITIAL << h->retries;
    wheel_arm(&w->wheel, &h->timer, WHEEL_TCP_HALF_OPEN, w->now + RTE_MIN(rto, TCP_RTO_MAXIMUM));
}

static void half_open_fill(struct mr_worker *w, struct tcp_half_open *h, struct mr_listener *l, const struct tcp_segment *s)
{
    const struct tcp_options *o = &s->h.options;
    h->key = s->key;
    h->irs = s->h.seq;
    h->iss = tcp_initial_sequence(w, &s->key);
    h->mss = o->mss;
    h->timestamps = o->has_timestamp;
    h->ts_recent = o->timestamp_value;
    h->ts_offset = o->has_timestamp ? tcp_timestamp_offset(w, &s->key) : 0;
    if (o->has_scale) {
        h->send_scale = RTE_MIN(o->scale, TCP_WINDOW_SCALE_MAX);
        h->receive_scale = l->binding->receive_scale;
    }
    h->sent_us = tcp_now_us(w);
    h->listener = l;
}

/* A SYN for a listener: a record and a SYN+ACK. Data on the SYN is not kept; the peer sends it again. */
static void syn_in(struct mr_worker *w, struct mr_listener *l, struct tcp_segment *s)
{
    struct tcp *tcp = w->tcp;
    if (w->stopping || l->half_open + l->undelivered >= l->binding->options.backlog) {
        tcp_in_drop(w, s, DROP_tcp_backlog_full);
        return;
    }
    struct tcp_half_open *h = slab_get(&tcp->half_open);
    if (!h) {
        tcp_in_drop(w, s, DROP_tcp_half_open_full);
        return;
    }
    half_open_fill(w, h, l, s);
    if (!table_insert(&tcp->table, s->hash, flow_handle(FLOW_HALF_OPEN, slab_index(&tcp->half_open, h)))) {
        slab_put(&tcp->half_open, h);
        tcp_in_drop(w, s, DROP_tcp_half_open_full);
        return;
    }
    l->half_open++;
    half_open_timer(w, h);
    rte_pktmbuf_free(s->m);
    tcp_send_syn_ack(w, h);
}

void tcp_listen_in(struct mr_worker *w, struct mr_listener *l, struct tcp_segment *s)
{
    if (s->h.flags & TCP_RST) { /* first */
        tcp_in_drop(w, s, DROP_tcp_unexpected_reset);
    } else if (s->h.flags & TCP_ACK) { /* second */
        tcp_send_reset_to(w, s);
        tcp_in_drop(w, s, DROP_tcp_no_listener);
    } else if (!(s->h.flags & TCP_SYN) || (s->h.flags & TCP_FIN)) { /* fourth; SYN with FIN is a scan, not a client */
        tcp_in_drop(w, s, DROP_tcp_bad_flags);
    } else if (route_is_group(w, &s->key.remote)) { /* MUST-63 */
        tcp_in_drop(w, s, DROP_tcp_bad_address);
    } else {
        syn_in(w, l, s);
    }
}

void tcp_half_open_drop(struct mr_worker *w, struct tcp_half_open *h)
{
    struct tcp *tcp = w->tcp;
    table_remove(&tcp->table, table_hash(&tcp->table, &h->key),
                 flow_handle(FLOW_HALF_OPEN, slab_index(&tcp->half_open, h)));
    wheel_cancel(&w->wheel, &h->timer);
    h->listener->half_open--;
    slab_put(&tcp->half_open, h);
}

void tcp_half_open_expired(struct mr_worker *w, struct mr_wheel_node *node)
{
    struct tcp_half_open *h = (struct tcp_half_open *)((uint8_t *)node - offsetof(struct tcp_half_open, timer));
    if (h->retries >= TCP_SYN_ACK_RETRIES) {
        stat_add(w, STAT_tcp_half_open_expired, 1);
        tcp_half_open_drop(w, h);
        return;
    }
    h->retries++;
    stat_add(w, STAT_tcp_retransmits, 1);
    half_open_timer(w, h);
    tcp_send_syn_ack(w, h);
}

static void drop_of_listener(struct mr_worker *w, void *record, void *listener)
{
    struct tcp_half_open *h = record;
    if (h->listener == listener)
        tcp_half_open_drop(w, h);
}

void tcp_listener_forget(struct mr_worker *w, struct mr_listener *l)
{
    if (l->half_open)
        tcp_walk(w, FLOW_HALF_OPEN, drop_of_listener, l);
}

/* The record becomes a connection. NULL: no block is free. */
static struct tcb *half_open_establish(struct mr_worker *w, struct tcp_half_open *h, const struct tcp_segment *s)
{
    struct mr_listener *l = h->listener;
    struct tcp_half_open copy = *h;
    tcp_half_open_drop(w, h);
    struct tcb *c = tcp_conn_new(w, &copy.key, l->binding, l->context);
    if (!c)
        return NULL;
    c->snd_una = c->snd_nxt = c->snd_max = copy.iss + 1;
    c->rcv_nxt = c->last_ack_sent = copy.irs + 1;
    c->rcv_adv = c->rcv_nxt + copy.window;
    c->send_scale = copy.send_scale & 0xf;
    c->receive_scale = copy.receive_scale & 0xf;
    if (copy.timestamps)
        c->flags |= TCB_TIMESTAMPS;
    c->ts_recent = copy.ts_recent;
    c->ts_recent_s = (uint32_t)(w->now >> 30);
    c->ts_offset = copy.ts_offset;
    c->snd_wnd = (uint32_t)s->h.window << c->send_scale;
    c->snd_wnd_max = s->h.window;
    c->snd_wl1 = s->h.seq;
    c->snd_wl2 = s->h.ack;
    tcp_set_state(c, TCP_ESTABLISHED);
    tcp_conn_set_mss(w, c, copy.mss);
    tcp_congestion_start(w, c, c->algorithm);
    if (!copy.retries)
        tcp_rtt_sample(c, tcp_now_us(w) - copy.sent_us);
    c->flags |= TCB_BACKLOG;
    l->undelivered++;
    stat_add(w, STAT_tcp_accepted, 1);
    stream_event(w, c, EVENT_OPEN);
    tcp_timer_heard(w, c);
    return c;
}

static bool half_open_paws(const struct tcp_half_open *h, const struct tcp_segment *s)
{
    return h->timestamps && s->h.options.has_timestamp && seq_lt(s->h.options.timestamp_value, h->ts_recent);
}

/* SYN-RECEIVED of a passive open: the checks of RFC 9293 3.10.7.4 as far as a record can meet them. */
void tcp_half_open_in(struct mr_worker *w, struct tcp_half_open *h, struct tcp_segment *s)
{
    uint8_t flags = s->h.flags;
    uint32_t rcv_nxt = h->irs + 1, window = h->window;
    if (flags & TCP_SYN && !(flags & TCP_ACK) && s->h.seq == h->irs) { /* the same SYN: our answer was lost */
        tcp_send_syn_ack(w, h);
        tcp_in_drop(w, s, DROP_tcp_old_duplicate);
        return;
    }
    uint32_t length = s->length + !!(flags & TCP_SYN) + !!(flags & TCP_FIN);
    bool inside = seq_in(s->h.seq, rcv_nxt, window) || (length && seq_in(s->h.seq + length - 1, rcv_nxt, window));
    if (!inside || half_open_paws(h, s)) { /* first */
        enum stat reason = inside ? DROP_tcp_paws : DROP_tcp_outside_window;
        if (!(flags & TCP_RST) && tcp_challenge_allowed(w))
            tcp_send_half_open_ack(w, h);
        tcp_in_drop(w, s, flags & TCP_RST ? DROP_tcp_unexpected_reset : reason);
        return;
    }
    if (flags & TCP_RST) { /* second: back to LISTEN, silently */
        if (s->h.seq == rcv_nxt) {
            rte_pktmbuf_free(s->m);
            tcp_half_open_drop(w, h);
            return;
        }
        if (tcp_challenge_allowed(w))
            tcp_send_half_open_ack(w, h);
        tcp_in_drop(w, s, DROP_tcp_challenged);
        return;
    }
    if (flags & TCP_SYN) { /* fourth: RFC 5961 4.2 */
        if (tcp_challenge_allowed(w))
            tcp_send_half_open_ack(w, h);
        tcp_in_drop(w, s, DROP_tcp_challenged);
        return;
    }
    if (!(flags & TCP_ACK)) { /* fifth */
        tcp_in_drop(w, s, DROP_tcp_no_ack);
        return;
    }
    if (s->h.ack != h->iss + 1) {
        tcp_send_reset_to(w, s);
        tcp_in_drop(w, s, DROP_tcp_bad_ack);
        return;
    }
    if (h->timestamps && !s->h.options.has_timestamp) {
        tcp_in_drop(w, s, DROP_tcp_no_timestamp);
        return;
    }
    struct tcb *c = half_open_establish(w, h, s);
    if (!c) {
        tcp_send_reset_to(w, s); /* it believes to be connected: tell it now */
        tcp_in_drop(w, s, DROP_tcp_no_connection);
        return;
    }
    if (s->length || flags & TCP_FIN) {
        tcp_in_slow(w, c, s);
        return;
    }
    tcp_in_timestamp(w, c, s);
    rte_pktmbuf_free(s->m);
}
