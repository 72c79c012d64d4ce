/* The receive side's queues: what is in order and unread, and what lies beyond a hole.
 *
 * Both hold single packets (a received chain is taken apart) linked by packet_meta.queue_next. Small segments are copied
 * into the free room of the packet before them while nobody reads, so that a peer cannot pin 2 KB with every byte. */
#include <rte_mempool.h>
#include <string.h>

#include "stack/base/assert.h"
#include "stack/tcp/tcp.h"

#define COMPACT_BELOW (PACKET_DATA_ROOM / 2) /* two neighbours then fill more than half of their packets */

void packet_trim_front(struct rte_mbuf *m, uint32_t n)
{
    m->pkt_len -= n;
    for (; n; m = m->next) {
        uint16_t k = (uint16_t)RTE_MIN(n, (uint32_t)m->data_len);
        m->data_off += k;
        m->data_len -= k;
        n -= k;
    }
}

void packet_trim_back(struct rte_mbuf *m, uint32_t n)
{
    uint32_t keep = m->pkt_len - n;
    m->pkt_len = keep;
    for (; m; m = m->next) {
        uint16_t k = (uint16_t)RTE_MIN(keep, (uint32_t)m->data_len);
        m->data_len = k;
        keep -= k;
    }
}

/* Takes the first packet with payload off a chain; empty ones are freed. NULL at its end. */
static inline struct rte_mbuf *chain_take(struct rte_mbuf **chain)
{
    while (*chain) {
        struct rte_mbuf *m = *chain;
        *chain = m->next;
        if (m->next) { /* nearly never: not written, that line stays clean */
            packet_meta(m->next)->ip_bytes = 0;
            m->next = NULL;
        }
        m->nb_segs = 1;
        m->pkt_len = m->data_len;
        if (m->data_len)
            return m;
        rte_pktmbuf_free_seg(m);
    }
    return NULL;
}

static bool compact(struct mr_worker *w, struct rte_mbuf *into, struct rte_mbuf *m)
{
    uint16_t n = m->data_len;
    if (n >= COMPACT_BELOW || rte_pktmbuf_tailroom(into) < n || rte_mbuf_refcnt_read(into) != 1 ||
        !RTE_MBUF_DIRECT(into))
        return false;
    memcpy(rte_pktmbuf_mtod(into, uint8_t *) + into->data_len, rte_pktmbuf_mtod(m, uint8_t *), n);
    into->data_len += n;
    into->pkt_len += n;
    packet_meta(into)->length += n;
    rte_pktmbuf_free_seg(m);
    stat_add(w, STAT_tcp_compacted, 1);
    stat_add(w, STAT_tcp_payload_copied, n);
    return true;
}

/* One packet behind the tail; its place in packets_held is the caller's. False when it was copied away. */
static bool receive_link(struct mr_worker *w, struct tcb *c, struct rte_mbuf *m)
{
    struct rte_mbuf *tail = c->receive_tail;
    struct packet_meta *meta = packet_meta(m);
    meta->length = m->data_len;
    c->rcv_nxt += meta->length;
    c->receive_queued += meta->length;
    stat_add(w, STAT_tcp_bytes_in, meta->length);
    if (tail && compact(w, tail, m))
        return false;
    meta->queue_next = tail ? packet_meta(tail)->queue_next : m;
    if (tail)
        packet_meta(tail)->queue_next = m;
    c->receive_tail = m;
    return true;
}

void tcp_receive_append(struct mr_worker *w, struct tcb *c, struct rte_mbuf *chain)
{
    struct rte_mbuf *m;
    while ((m = chain_take(&chain)))
        w->packets_held += receive_link(w, c, m);
}

struct rte_mbuf *tcp_receive_take(struct mr_worker *w, struct tcb *c)
{
    struct rte_mbuf *tail = c->receive_tail, *head = packet_meta(tail)->queue_next;
    if (head == tail)
        c->receive_tail = NULL;
    else
        packet_meta(tail)->queue_next = packet_meta(head)->queue_next;
    c->receive_queued -= head->data_len;
    w->packets_held--;
    return head;
}

void tcp_receive_trim(struct tcb *c, uint32_t n)
{
    struct rte_mbuf *head = tcp_receive_head(c);
    packet_trim_front(head, n);
    packet_meta(head)->length -= n;
    c->receive_queued -= n;
}

void tcp_receive_free(struct mr_worker *w, struct tcb *c)
{
    struct rte_mbuf *tail = c->receive_tail;
    if (!tail)
        return;
    struct rte_mbuf *m = packet_meta(tail)->queue_next;
    packet_meta(tail)->queue_next = NULL;
    for (struct rte_mbuf *next; m; m = next) {
        next = packet_meta(m)->queue_next;
        w->packets_held--;
        rte_pktmbuf_free_seg(m);
    }
    c->receive_tail = NULL;
    c->receive_queued = 0;
}

static struct tcp_reasm *reasm_get(struct mr_worker *w, struct tcb *c)
{
    if (!c->reasm)
        c->reasm = slab_get(&w->tcp->reasms);
    return c->reasm;
}

static void reasm_put_if_empty(struct mr_worker *w, struct tcb *c)
{
    if (c->reasm && !c->reasm->head && !c->reasm->has_fin) {
        slab_put(&w->tcp->reasms, c->reasm);
        c->reasm = NULL;
    }
}

static void reasm_remove(struct mr_worker *w, struct tcp_reasm *r, struct rte_mbuf *before, struct rte_mbuf *m)
{
    struct packet_meta *meta = packet_meta(m);
    *(before ? &packet_meta(before)->queue_next : &r->head) = meta->queue_next;
    if (r->tail == m)
        r->tail = before;
    r->bytes -= meta->length;
    r->packets--;
    w->packets_held--;
}

/* Puts one packet whose bytes overlap nobody between `before` and its successor. */
static void reasm_insert(struct mr_worker *w, struct tcp_reasm *r, struct rte_mbuf *before, struct rte_mbuf *m)
{
    struct packet_meta *meta = packet_meta(m);
    r->bytes += meta->length;
    bool adjacent = before && packet_meta(before)->sequence + packet_meta(before)->length == meta->sequence;
    if (adjacent && compact(w, before, m))
        return;
    meta->queue_next = before ? packet_meta(before)->queue_next : r->head;
    *(before ? &packet_meta(before)->queue_next : &r->head) = m;
    if (r->tail == before)
        r->tail = m;
    r->packets++;
    w->packets_held++;
}

/* Keeps what is not there yet: a packet is trimmed against its neighbours, and replaces those that lie wholly inside it
 * (the same bytes in fewer packets). */
static void reasm_add_packet(struct mr_worker *w, struct tcp_reasm *r, struct rte_mbuf *m, uint32_t seq)
{
    struct rte_mbuf *before = r->tail && seq_leq(packet_meta(r->tail)->sequence, seq) ? r->tail : NULL;
    if (!before)
        for (struct rte_mbuf *p = r->head; p && seq_leq(packet_meta(p)->sequence, seq); p = packet_meta(p)->queue_next)
            before = p;
    uint32_t length = m->data_len;
    if (before) {
        uint32_t end = packet_meta(before)->sequence + packet_meta(before)->length;
        if (seq_leq(seq + length, end)) {
            packet_drop(w, m, DROP_tcp_old_duplicate);
            return;
        }
        if (seq_lt(seq, end)) {
            packet_trim_front(m, end - seq);
            length -= end - seq;
            seq = end;
        }
    }
    struct rte_mbuf *after = before ? packet_meta(before)->queue_next : r->head;
    while (after && seq_leq(packet_meta(after)->sequence + packet_meta(after)->length, seq + length)) {
        struct rte_mbuf *covered = after;
        after = packet_meta(after)->queue_next;
        reasm_remove(w, r, before, covered);
        rte_pktmbuf_free_seg(covered);
    }
    if (after && seq_lt(packet_meta(after)->sequence, seq + length)) {
        uint32_t overlap = seq + length - packet_meta(after)->sequence;
        packet_trim_back(m, overlap);
        length -= overlap;
    }
    if (!length) {
        packet_drop(w, m, DROP_tcp_old_duplicate);
        return;
    }
    packet_meta(m)->sequence = seq;
    packet_meta(m)->length = length;
    reasm_insert(w, r, before, m);
}

void tcp_reasm_add(struct mr_worker *w, struct tcb *c, struct tcp_segment *s)
{
    struct tcp_reasm *r = reasm_get(w, c);
    if (!r || r->packets >= TCP_REASM_PACKETS_MAX || !worker_may_queue_packets(w, 1)) {
        reasm_put_if_empty(w, c);
        tcp_in_drop(w, s, r ? DROP_tcp_reassembly_full : DROP_tcp_no_buffers);
        return;
    }
    stat_add(w, STAT_tcp_out_of_order, 1);
    if (s->h.flags & TCP_FIN) {
        r->has_fin = true;
        r->fin = s->h.seq + s->length;
    }
    uint32_t seq = s->h.seq;
    struct rte_mbuf *chain = s->m, *m;
    s->m = NULL;
    while ((m = chain_take(&chain))) {
        uint32_t n = m->data_len;
        reasm_add_packet(w, r, m, seq);
        seq += n;
    }
    reasm_put_if_empty(w, c);
}

bool tcp_reasm_advance(struct mr_worker *w, struct tcb *c)
{
    struct tcp_reasm *r = c->reasm;
    if (!r)
        return false;
    struct rte_mbuf *m;
    while ((m = r->head) && seq_leq(packet_meta(m)->sequence, c->rcv_nxt)) {
        uint32_t old = c->rcv_nxt - packet_meta(m)->sequence;
        reasm_remove(w, r, NULL, m);
        if (old >= packet_meta(m)->length) {
            rte_pktmbuf_free_seg(m);
            continue;
        }
        if (old)
            packet_trim_front(m, old);
        w->packets_held += receive_link(w, c, m);
    }
    bool fin = r->has_fin && r->fin == c->rcv_nxt;
    if (fin)
        r->has_fin = false;
    reasm_put_if_empty(w, c);
    return fin;
}

void tcp_reasm_free(struct mr_worker *w, struct tcb *c)
{
    struct tcp_reasm *r = c->reasm;
    if (!r)
        return;
    while (r->head) {
        struct rte_mbuf *m = r->head;
        reasm_remove(w, r, NULL, m);
        rte_pktmbuf_free_seg(m);
    }
    slab_put(&w->tcp->reasms, r);
    c->reasm = NULL;
}
