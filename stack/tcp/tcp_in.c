/* Segments in: parse and gather, look up with the misses overlapped, predict.
 *
 * The predicted path (Van Jacobson's header prediction) takes in-order data and acknowledgements of an established
 * connection. Reasons to leave it, in the order of the tests: a state other than ESTABLISHED, a flag other than ACK and
 * PSH, not the next sequence number, more data than the window, a timestamp missing or older, an acknowledgement of
 * nothing sent or of the past, a duplicate acknowledgement, a hole in the sequence, a probe of a closed window. */
#include "stack/base/assert.h"
#include "stack/base/checksum.h"
#include "stack/core/trace.h"
#include "stack/tcp/tcp.h"

void tcp_in_drop(struct mr_worker *w, struct tcp_segment *s, enum stat reason)
{
    packet_drop(w, s->m, reason);
    s->m = NULL;
}

static bool checksum_is_good(struct rte_mbuf *m, const struct flow_key *key)
{
    if (packet_meta(m)->flags & PACKET_L4_CHECKSUM_GOOD)
        return true;
    uint32_t sum = checksum_pseudo_ip4(mr_address_to_ip4(&key->remote), mr_address_to_ip4(&key->local), 6, (uint16_t)m->pkt_len);
    return checksum_finish(checksum_add_mbuf(sum, m, 0, m->pkt_len)) == 0;
}

void tcp_in_gather(struct mr_worker *w, struct rte_mbuf *m, const struct mr_address *source,
                   const struct mr_address *destination)
{
    struct tcp *tcp = w->tcp;
    stat_add(w, STAT_tcp_segments_in, 1);
    if (packet_meta(m)->flags & PACKET_GROUP) { /* MUST-57 */
        packet_drop(w, m, DROP_tcp_bad_address);
        return;
    }
    if (tcp->burst_count == sizeof tcp->burst / sizeof *tcp->burst)
        tcp_in_burst(w);
    struct tcp_segment *s = &tcp->burst[tcp->burst_count];
    enum stat reason = tcp_parse(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &s->h);
    if (reason != STAT_COUNT) {
        packet_drop(w, m, reason);
        return;
    }
    s->key = (struct flow_key){*destination, *source, s->h.destination, s->h.source};
    if (!checksum_is_good(m, &s->key)) { /* MUST-3 */
        packet_drop(w, m, DROP_tcp_bad_checksum);
        return;
    }
    s->hash = table_hash(&tcp->table, &s->key);
    table_prefetch(&tcp->table, s->hash);
    packet_trim_front(m, s->h.bytes);
    s->m = m;
    s->length = m->pkt_len;
    TRACE(w, "tcp in %u>%u flags=%02x seq=%u ack=%u win=%u len=%u", s->h.source, s->h.destination, s->h.flags, s->h.seq,
          s->h.ack, s->h.window, s->length);
    tcp->burst_count++;
}

static void connection_prefetch(const struct tcp *tcp, uint32_t handle)
{
    if (handle == FLOW_NONE || flow_handle_kind(handle) != FLOW_CONNECTION)
        return;
    const uint8_t *c = slab_at(&tcp->connections, flow_handle_index(handle));
    __builtin_prefetch(c);
    __builtin_prefetch(c + 64);
    __builtin_prefetch(c + 192);
}

bool tcp_timestamp_is_stale(const struct mr_worker *w, const struct tcb *c)
{
    mr_time idle = (mr_time)((uint32_t)(w->now >> 30) - c->ts_recent_s) << 30;
    return idle > TCP_PAWS_IDLE_S * MR_SECOND;
}

void tcp_in_timestamp(struct mr_worker *w, struct tcb *c, const struct tcp_segment *s)
{
    if (!(c->flags & TCB_TIMESTAMPS) || !s->h.options.has_timestamp)
        return;
    if (seq_leq(s->h.seq, c->last_ack_sent) &&
        (seq_leq(c->ts_recent, s->h.options.timestamp_value) || tcp_timestamp_is_stale(w, c))) {
        c->ts_recent = s->h.options.timestamp_value;
        c->ts_recent_s = (uint32_t)(w->now >> 30);
    }
}

void tcp_in_window(struct mr_worker *w, struct tcb *c, const struct tcp_segment *s)
{
    if (!(seq_lt(c->snd_wl1, s->h.seq) || (c->snd_wl1 == s->h.seq && seq_leq(c->snd_wl2, s->h.ack))))
        return;
    uint32_t before = c->snd_wnd;
    c->snd_wnd = (uint32_t)s->h.window << c->send_scale;
    c->snd_wl1 = s->h.seq;
    c->snd_wl2 = s->h.ack;
    c->snd_wnd_max = RTE_MAX(c->snd_wnd_max, s->h.window);
    if (c->snd_wnd > before && c->flight) {
        if (c->snd_wnd)
            tcp_timer_window_opened(w, c);
        tcp_output_mark(w, c);
    }
}

void tcp_in_owe_ack(struct mr_worker *w, struct tcb *c)
{
    if (c->flags & TCB_ACK_DELAYED) /* the second segment: SHLD-19; aggregated over the turn: MUST-58, MUST-59 */
        tcp_ack_now(w, c);
    else
        tcp_timer_delay_ack(w, c);
}

void tcp_in_deliver(struct mr_worker *w, struct tcb *c, struct tcp_segment *s)
{
    tcp_receive_append(w, c, s->m);
    s->m = NULL;
    stream_event(w, c, EVENT_DATA);
}

/* True when the segment was taken. */
static bool predicted(struct mr_worker *w, struct tcb *c, struct tcp_segment *s)
{
    const struct tcp_header *h = &s->h;
    if (c->state != TCP_ESTABLISHED || (h->flags & ~TCP_PSH) != TCP_ACK || h->seq != c->rcv_nxt ||
        s->length > c->rcv_adv - c->rcv_nxt)
        return false;
    if (c->flags & TCB_TIMESTAMPS &&
        (!h->options.has_timestamp || seq_lt(h->options.timestamp_value, c->ts_recent)))
        return false;
    if (!seq_in(h->ack, c->snd_una, c->snd_max - c->snd_una + 1))
        return false;
    if ((h->ack == c->snd_una && !s->length) || c->reasm || (c->flags & (TCB_PERSIST | TCB_DETACHED)) ||
        (s->length && !worker_may_hold_packet(w)))
        return false;

    tcp_in_timestamp(w, c, s);
    tcp_timer_heard(w, c);
    tcp_in_window(w, c, s);
    if (h->ack != c->snd_una) {
        stat_add(w, STAT_tcp_fast_path_ack, !s->length);
        tcp_loss_acked(w, c, s);
    }
    if (!s->length) {
        rte_pktmbuf_free(s->m);
        return true;
    }
    stat_add(w, STAT_tcp_fast_path_data, 1);
    tcp_in_deliver(w, c, s);
    tcp_in_owe_ack(w, c);
    return true;
}

static void segment_in(struct mr_worker *w, struct tcp_segment *s)
{
    struct tcp *tcp = w->tcp;
    uint32_t handle = table_lookup(&tcp->table, &s->key, s->hash);
    if (handle != FLOW_NONE) {
        void *record;
        switch (flow_handle_kind(handle)) {
        case FLOW_CONNECTION:
            record = slab_at(&tcp->connections, flow_handle_index(handle));
            if (!predicted(w, record, s))
                tcp_in_slow(w, record, s);
            return;
        case FLOW_HALF_OPEN:
            tcp_half_open_in(w, slab_at(&tcp->half_open, flow_handle_index(handle)), s);
            return;
        case FLOW_TIME_WAIT:
            if (tcp_time_wait_in(w, slab_at(&tcp->time_wait, flow_handle_index(handle)), s))
                return;
            break;
        }
    }
    struct mr_listener *l = tcp_listener_find(tcp, &s->key.local, s->key.local_port);
    if (l)
        tcp_listen_in(w, l, s);
    else
        tcp_in_closed(w, s);
}

void tcp_in_burst(struct mr_worker *w)
{
    struct tcp *tcp = w->tcp;
    for (unsigned i = 0; i < tcp->burst_count; i++)
        connection_prefetch(tcp, table_guess(&tcp->table, tcp->burst[i].hash));
    for (unsigned i = 0; i < tcp->burst_count; i++)
        segment_in(w, &tcp->burst[i]);
    tcp->burst_count = 0;
}
