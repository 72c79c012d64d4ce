/* What to send now: windows, Nagle, silly-window avoidance, FIN, acknowledgements that ride along (RFC 9293 3.8.6,
 * 3.7.4). Runs once a turn for each connection that owes something. */
#include "stack/base/assert.h"
#include "stack/core/trace.h"
#include "stack/route/route.h"
#include "stack/tcp/tcp.h"

#define LINK_ROOM_MIN 64 /* frames that must fit the link's backlog before a connection may send more data */

void tcp_output_mark(struct mr_worker *w, struct tcb *c)
{
    if (c->flags & TCB_ON_OUTPUT)
        return;
    c->flags |= TCB_ON_OUTPUT;
    w->tcp->output[w->tcp->output_count++] = c;
}

/* -- the receive window ------------------------------------------------------------------------------------------------ */

/* What the budget allows now, no more than the field can say: without scaling 64 KiB. */
static uint32_t window_room(const struct tcb *c)
{
    uint32_t budget = c->stream.binding->options.receive_budget;
    uint32_t room = budget > c->receive_queued ? budget - c->receive_queued : 0;
    return RTE_MIN(room, 65535u << c->receive_scale);
}

static uint32_t window_edge(const struct tcb *c)
{
    return seq_max(c->rcv_adv, c->rcv_nxt + window_room(c)); /* SHLD-14: never to the left */
}

/* RFC 9293 3.8.6.2.2: the edge moves when it moves by a segment or by half of the buffer. */
bool tcp_window_update_due(const struct tcb *c)
{
    uint32_t gain = window_edge(c) - c->rcv_adv;
    uint32_t half = c->stream.binding->options.receive_budget / 2;
    return tcp_is_synchronised(c) && !(c->flags & TCB_FIN_RECEIVED) && gain >= RTE_MIN(half, 2u * c->mss);
}

/* The window field, and rcv_adv as the peer will understand it. Rounded up by the scale, so that the edge does not move
 * left, as long as the budget is exceeded by less than 2^scale bytes; then down, or small segments would push the edge on
 * for ever: the peer sees it less than 2^scale to the left, which RFC 7323 2.4 warns senders of. */
static uint16_t window_field(struct tcb *c)
{
    uint32_t edge = window_edge(c);
    uint32_t half = c->stream.binding->options.receive_budget / 2;
    if (edge - c->rcv_adv < RTE_MIN(half, (uint32_t)c->mss))
        edge = c->rcv_adv;
    uint32_t window = edge - c->rcv_nxt;
    uint32_t unit = 1u << c->receive_scale;
    uint32_t field = (window + unit - 1) >> c->receive_scale;
    if (field << c->receive_scale >= window_room(c) + unit)
        field = window >> c->receive_scale;
    field = RTE_MIN(field, 65535u);
    c->rcv_adv = seq_max(c->rcv_adv, c->rcv_nxt + (field << c->receive_scale));
    return (uint16_t)field;
}

/* -- one segment --------------------------------------------------------------------------------------------------------- */

/* Prepends the header to `m` (its payload, of tcp_queue_segment when there is any) and sends it. */
static void segment_send(struct mr_worker *w, struct rte_mbuf *m, const struct flow_key *key, struct tcp_header *h)
{
    struct path_options options = {.protocol = 6};
    if (m->pkt_len && packet_meta(m)->flags & PACKET_PAYLOAD_SUM) {
        options.header_bytes = (uint8_t)tcp_emit_bytes(h);
        options.payload_sum = packet_meta(m)->payload_sum;
    }
    h->source = key->local_port;
    h->destination = key->remote_port;
    TRACE(w, "tcp out %u>%u flags=%02x seq=%u ack=%u win=%u len=%u", h->source, h->destination, h->flags, h->seq,
          h->ack, h->window, m->pkt_len);
    tcp_emit((uint8_t *)rte_pktmbuf_prepend(m, (uint16_t)tcp_emit_bytes(h)), h);
    stat_add(w, STAT_tcp_segments_out, 1);
    path_out(w, m, &key->local, &key->remote, &options);
}

/* A segment of a connection, and with it the acknowledgement that was owed. */
static void connection_send(struct mr_worker *w, struct tcb *c, struct rte_mbuf *m, uint32_t seq, uint8_t flags)
{
    struct tcp_header h = {.seq = seq, .ack = c->rcv_nxt, .flags = flags | TCP_ACK, .window = window_field(c)};
    if (c->flags & TCB_TIMESTAMPS) {
        h.options.has_timestamp = true;
        h.options.timestamp_value = tcp_now_ms(w) + c->ts_offset;
        h.options.timestamp_echo = c->ts_recent;
    }
    c->last_ack_sent = c->rcv_nxt;
    c->flags &= ~(uint32_t)(TCB_ACK_NOW | TCB_ACK_DELAYED);
    c->deadline_ack = 0;
    segment_send(w, m, &c->key, &h);
}

/* Sequence of a segment without data: what the peer expects next if it got everything. While we probe a closed window it
 * has not taken the probe, and beyond its window it would not even listen. */
static uint32_t bare_sequence(const struct tcb *c)
{
    return c->flags & TCB_PERSIST ? c->snd_nxt : c->snd_max;
}

/* A segment without payload; false when no packet is free. */
static bool connection_send_empty(struct mr_worker *w, struct tcb *c, uint32_t seq, uint8_t flags)
{
    struct rte_mbuf *m = packet_new(w);
    if (!m) {
        stat_add(w, DROP_core_no_memory, 1);
        return false;
    }
    connection_send(w, c, m, seq, flags);
    return true;
}

/* -- SYN ------------------------------------------------------------------------------------------------------------------ */

static uint16_t syn_window(const struct stream_binding *b)
{
    return (uint16_t)RTE_MIN(b->options.receive_budget, 65535u); /* never scaled: RFC 7323 2.2 */
}

static bool syn_send(struct mr_worker *w, struct tcb *c)
{
    struct rte_mbuf *m = packet_new(w);
    if (!m)
        return false;
    bool answer = c->state == TCP_SYN_RECEIVED;
    struct tcp_header h = {
        .seq = c->snd_una,
        .ack = answer ? c->rcv_nxt : 0,
        .flags = answer ? TCP_SYN | TCP_ACK : TCP_SYN,
        .window = syn_window(c->stream.binding),
        .options = {.mss = tcp_mss_of_path(w, &c->key.remote),
                    .has_scale = !answer || c->receive_scale,
                    .scale = c->stream.binding->receive_scale,
                    .has_timestamp = !answer || (c->flags & TCB_TIMESTAMPS),
                    .timestamp_value = tcp_now_ms(w) + c->ts_offset,
                    .timestamp_echo = answer ? c->ts_recent : 0},
    };
    if (answer)
        c->rcv_adv = seq_max(c->rcv_adv, c->rcv_nxt + h.window);
    c->flags &= ~(uint32_t)(TCB_SEND_SYN | TCB_ACK_NOW);
    c->last_ack_sent = c->rcv_nxt;
    if (!c->backoff)
        c->rttvar_us4 = tcp_now_us(w);
    segment_send(w, m, &c->key, &h);
    tcp_timer_sent(w, c);
    return true;
}

void tcp_send_syn_ack(struct mr_worker *w, struct tcp_half_open *h)
{
    struct rte_mbuf *m = packet_new(w);
    if (!m) {
        stat_add(w, DROP_core_no_memory, 1); /* the timer tries again */
        return;
    }
    h->window = syn_window(h->listener->binding);
    segment_send(w, m, &h->key,
                 &(struct tcp_header){.seq = h->iss,
                                      .ack = h->irs + 1,
                                      .flags = TCP_SYN | TCP_ACK,
                                      .window = h->window,
                                      .options = {.mss = tcp_mss_of_path(w, &h->key.remote),
                                                  .has_scale = h->receive_scale != 0,
                                                  .scale = h->receive_scale,
                                                  .has_timestamp = h->timestamps,
                                                  .timestamp_value = tcp_now_ms(w) + h->ts_offset,
                                                  .timestamp_echo = h->ts_recent}});
}

/* -- segments outside a connection ------------------------------------------------------------------------------------------ */

static void bare_send(struct mr_worker *w, const struct flow_key *key, struct tcp_header h)
{
    struct rte_mbuf *m = packet_new(w);
    if (m)
        segment_send(w, m, key, &h);
    else
        stat_add(w, DROP_core_no_memory, 1);
}

void tcp_send_half_open_ack(struct mr_worker *w, struct tcp_half_open *h)
{
    bare_send(w, &h->key,
              (struct tcp_header){.seq = h->iss + 1,
                                  .ack = h->irs + 1,
                                  .flags = TCP_ACK,
                                  .window = (uint16_t)(h->window >> h->receive_scale),
                                  .options = {.has_timestamp = h->timestamps,
                                              .timestamp_value = tcp_now_ms(w) + h->ts_offset,
                                              .timestamp_echo = h->ts_recent}});
}

void tcp_send_time_wait_ack(struct mr_worker *w, struct tcp_time_wait *t)
{
    bare_send(w, &t->key,
              (struct tcp_header){.seq = t->snd_nxt,
                                  .ack = t->rcv_nxt,
                                  .flags = TCP_ACK,
                                  .window = t->window,
                                  .options = {.has_timestamp = t->timestamps,
                                              .timestamp_value = tcp_now_ms(w) + t->ts_offset,
                                              .timestamp_echo = t->ts_recent}});
}

void tcp_send_reset_to(struct mr_worker *w, const struct tcp_segment *s)
{
    if (s->h.flags & TCP_RST)
        return;
    stat_add(w, STAT_tcp_resets_out, 1);
    struct tcp_header h = {.seq = s->h.ack, .flags = TCP_RST};
    if (!(s->h.flags & TCP_ACK)) {
        uint32_t length = s->length + !!(s->h.flags & TCP_SYN) + !!(s->h.flags & TCP_FIN);
        h = (struct tcp_header){.seq = 0, .ack = s->h.seq + length, .flags = TCP_RST | TCP_ACK};
    }
    bare_send(w, &s->key, h);
}

void tcp_send_reset(struct mr_worker *w, struct tcb *c)
{
    stat_add(w, STAT_tcp_resets_out, 1);
    struct rte_mbuf *m = packet_new(w);
    if (m)
        connection_send(w, c, m, bare_sequence(c), TCP_RST);
}

/* -- data ---------------------------------------------------------------------------------------------------------------------- */

static bool link_is_full(const struct mr_worker *w)
{
    for (unsigned i = 0; i < w->netif_count; i++)
        if (netif_room(w->netif[i]) < LINK_ROOM_MIN)
            return true;
    return false;
}

static uint32_t send_window(const struct tcb *c)
{
    return RTE_MIN(c->snd_wnd, tcp_congestion_window(c));
}

/* A full segment: mss, or the chunk at `seq` when that is nearly as long (a connection spliced to one with other options) and
 * more follows, for a whole chunk leaves without being copied. */
static uint32_t segment_full(const struct tcb *c, struct rte_mbuf *chunk, uint32_t seq)
{
    const struct packet_meta *meta = packet_meta(chunk);
    bool whole =
        seq == meta->sequence && meta->queue_next && meta->length < c->mss && meta->length >= c->mss - c->mss / 8u;
    return whole ? meta->length : c->mss;
}

/* RFC 9293 3.8.6.2.1 and 3.7.4: may a segment of less than a full size go now? */
static bool may_send_small(const struct tcb *c, uint32_t n, uint32_t unsent)
{
    if (seq_leq(c->snd_nxt + n, c->snd_max))
        return true; /* again, as it was sent */
    bool idle = c->snd_nxt == c->snd_una;
    if (n == unsent)
        return idle || (c->flags & (TCB_NODELAY | TCB_SHUTDOWN)); /* Nagle; after the last write nothing can join */
    return idle && n >= ((uint32_t)c->snd_wnd_max << c->send_scale) / 2;
}

static bool fin_is_next(const struct tcb *c, uint32_t end)
{
    return (c->flags & TCB_SHUTDOWN) && end == tcp_data_end(c);
}

static void fin_sent(struct mr_worker *w, struct tcb *c)
{
    c->flags |= TCB_FIN_SENT;
    if (c->state == TCP_ESTABLISHED)
        tcp_set_state(c, TCP_FIN_WAIT_1);
    else if (c->state == TCP_CLOSE_WAIT)
        tcp_set_state(c, TCP_LAST_ACK);
}

/* `n` bytes at snd_nxt, with FIN when they are the last. False when no packet is free. */
static bool data_send(struct mr_worker *w, struct tcb *c, uint32_t n)
{
    struct tcp_flight *f = c->flight;
    uint32_t seq = c->snd_nxt;
    struct rte_mbuf *m = tcp_queue_segment(w, c, f->next, seq, n);
    if (!m) {
        stat_add(w, DROP_core_no_memory, 1);
        return false;
    }
    bool last = seq + n == f->end;
    bool fin = last && fin_is_next(c, f->end);
    if (seq_lt(seq, c->snd_max)) {
        stat_add(w, STAT_tcp_retransmits, 1);
        stat_add(w, STAT_tcp_retransmit_bytes, n);
        c->retransmits += c->retransmits < UINT16_MAX;
    } else {
        stat_add(w, STAT_tcp_bytes_out, n);
    }
    c->snd_nxt = seq + n;
    while (f->next && seq_leq(packet_meta(f->next)->sequence + packet_meta(f->next)->length, c->snd_nxt))
        f->next = packet_meta(f->next)->queue_next;
    if (fin) {
        c->snd_nxt++;
        fin_sent(w, c);
    }
    c->snd_max = seq_max(c->snd_max, c->snd_nxt);
    c->last_sent = tcp_tick_of(w->now);
    connection_send(w, c, m, seq, (last ? TCP_PSH : 0) | (fin ? TCP_FIN : 0));
    tcp_timer_sent(w, c);
    return true;
}

/* RFC 5681 4.1: after an idle time longer than the RTO the path is unknown again. */
static void restart_after_idle(struct mr_worker *w, struct tcb *c)
{
    if (c->snd_nxt != c->snd_una || !c->last_sent)
        return;
    mr_time idle = (mr_time)(tcp_tick)(tcp_tick_of(w->now) - c->last_sent) << WHEEL_TICK_SHIFT;
    if (idle <= TCP_RTO_MINIMUM || idle <= tcp_rto(c))
        return;
    const struct mr_congestion_algorithm *a = tcp_algorithms[c->algorithm];
    if (a->on_idle_restart)
        a->on_idle_restart(&c->cc, idle, w->now);
}

/* Everything that windows and Nagle allow. False: the link is full or no packet is free, ask again next turn. */
static bool data_send_all(struct mr_worker *w, struct tcb *c)
{
    if (c->flight->next && seq_lt(c->snd_nxt, c->flight->end))
        restart_after_idle(w, c);
    c->flags &= ~(uint32_t)TCB_CWND_LIMITED;
    while (seq_lt(c->snd_nxt, c->flight->end)) {
        uint32_t in_flight = tcp_in_flight(c), window = send_window(c);
        uint32_t unsent = c->flight->end - c->snd_nxt;
        uint32_t usable = window > in_flight ? window - in_flight : 0;
        uint32_t full = segment_full(c, c->flight->next, c->snd_nxt);
        uint32_t n = RTE_MIN(RTE_MIN(unsent, usable), full);
        if (n < full && (n == 0 || !may_send_small(c, n, unsent))) {
            if (n < unsent && tcp_congestion_window(c) <= c->snd_wnd)
                c->flags |= TCB_CWND_LIMITED;
            if (in_flight == 0)
                tcp_timer_window_closed(w, c);
            return true;
        }
        if (link_is_full(w) || !data_send(w, c, n))
            return false;
    }
    if (tcp_in_flight(c) >= tcp_congestion_window(c))
        c->flags |= TCB_CWND_LIMITED;
    return true;
}

/* One byte beyond a closed window (RFC 9293 3.8.6.1). snd_nxt stays: unless it is acknowledged, it counts as unsent. */
static void probe_send(struct mr_worker *w, struct tcb *c)
{
    c->flags &= ~(uint32_t)TCB_PROBE;
    if (!c->flight || !seq_lt(c->snd_nxt, c->flight->end))
        return;
    uint32_t n = RTE_MIN(c->flight->end - c->snd_nxt, RTE_MAX(1u, RTE_MIN(c->snd_wnd, (uint32_t)c->mss)));
    struct rte_mbuf *m = tcp_queue_segment(w, c, c->flight->next, c->snd_nxt, n);
    if (!m)
        return;
    stat_add(w, STAT_tcp_window_probes, 1);
    uint32_t seq = c->snd_nxt;
    c->snd_max = seq_max(c->snd_max, seq + n);
    connection_send(w, c, m, seq, 0);
}

bool tcp_send_head(struct mr_worker *w, struct tcb *c)
{
    struct tcp_flight *f = c->flight;
    if (!f) { /* only a FIN is out */
        return !(c->flags & TCB_FIN_SENT) || connection_send_empty(w, c, c->snd_una, TCP_FIN);
    }
    uint32_t n = RTE_MIN(seq_min(c->snd_max, f->end) - c->snd_una, segment_full(c, f->head, c->snd_una));
    struct rte_mbuf *m = tcp_queue_segment(w, c, f->head, c->snd_una, n);
    if (!m)
        return false;
    stat_add(w, STAT_tcp_retransmits, 1);
    stat_add(w, STAT_tcp_retransmit_bytes, n);
    c->retransmits += c->retransmits < UINT16_MAX;
    bool fin = c->snd_una + n == f->end && (c->flags & TCB_FIN_SENT);
    connection_send(w, c, m, c->snd_una, fin ? TCP_PSH | TCP_FIN : 0);
    tcp_timer_sent(w, c);
    return true;
}

/* FIN without data: everything else was sent. */
static bool fin_send(struct mr_worker *w, struct tcb *c)
{
    uint32_t seq = c->snd_nxt;
    if (!fin_is_next(c, seq) || (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED))
        return true;
    if (!connection_send_empty(w, c, seq, TCP_FIN))
        return false;
    c->snd_nxt = seq + 1;
    c->snd_max = seq_max(c->snd_max, c->snd_nxt);
    fin_sent(w, c);
    tcp_timer_sent(w, c);
    return true;
}

static bool connection_output(struct mr_worker *w, struct tcb *c)
{
    if (c->state == TCP_CLOSED)
        return true;
    if (c->flags & TCB_SEND_SYN)
        return syn_send(w, c);
    if (!tcp_is_synchronised(c))
        return !(c->flags & TCB_ACK_NOW) || connection_send_empty(w, c, c->snd_max, 0);
    bool done = true;
    if (c->flags & TCB_RETRANSMIT) {
        done = tcp_send_head(w, c);
        if (done)
            c->flags &= ~(uint32_t)TCB_RETRANSMIT;
    }
    if (c->flags & TCB_PROBE)
        probe_send(w, c);
    if (done && c->flight)
        done = data_send_all(w, c);
    if (done)
        done = fin_send(w, c);
    if (c->flags & TCB_KEEPALIVE) { /* an old sequence number asks for an acknowledgement: SHLD-12, no data */
        c->flags &= ~(uint32_t)TCB_KEEPALIVE;
        stat_add(w, STAT_tcp_keepalive_probes, 1);
        connection_send_empty(w, c, c->snd_una - 1, 0);
    }
    if (c->flags & TCB_ACK_NOW) /* nothing else left to carry it */
        done = connection_send_empty(w, c, bare_sequence(c), 0) && done;
    return done;
}

bool tcp_output_pending(const struct mr_worker *w)
{
    return w->tcp->output_count != 0;
}

unsigned tcp_output(struct mr_worker *w)
{
    struct tcp *tcp = w->tcp;
    uint32_t n = tcp->output_count, kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct tcb *c = tcp->output[i];
        if (i + 2 < n)
            __builtin_prefetch(tcp->output[i + 2]);
        if (!connection_output(w, c)) {
            tcp->output[kept++] = c;
            continue;
        }
        c->flags &= ~(uint32_t)TCB_ON_OUTPUT;
        tcp_conn_release(w, c);
    }
    /* Whoever was marked while we sent (none today) comes behind those that could not. */
    for (uint32_t i = n; i < tcp->output_count; i++)
        tcp->output[kept++] = tcp->output[i];
    tcp->output_count = kept;
    return n - kept;
}
