/* The send queue: chunks of payload, each a packet of ours (copied in, at most one segment long, so that a segment is
 * usually one chunk), a packet received by another connection (spliced), or a header over memory that the service lent.
 *
 * A segment that is exactly one chunk in a buffer of its own leaves in place: the headers are written before its payload and
 * the device gets a second reference. Otherwise the payload is attached behind a header packet (devices that take chains)
 * or copied. */
#include <rte_mempool.h>
#include <string.h>

#include "stack/base/assert.h"
#include "stack/route/route.h"
#include "stack/tcp/tcp.h"

#define ATTACH_BYTES_MIN  256 /* below this a copy is cheaper than two more packets */
#define ATTACH_CHUNKS_MAX 7   /* with the header 8 packets: what the most modest devices take in one frame */

/* Of received packets, in which a peer may have put little: a stream holds so many, whatever its budget in bytes says. */
#define CHUNK_BYTES_MEAN 512
#define CHUNKS_SPARE     8

/* One mr_stream_lend: shared by its chunks and by every packet that the device still holds. */
struct lend {
    struct rte_mbuf_ext_shared_info shared;
    void (*release)(void *argument);
    void *argument;
    struct slab *slab;
};
_Static_assert(sizeof(struct lend) <= TCP_LEND_BYTES, "the slab of tcp_init");

static void lend_released(void *address, void *opaque)
{
    struct lend *l = opaque;
    void (*release)(void *) = l->release;
    void *argument = l->argument;
    slab_put(l->slab, l);
    release(argument);
}

static uint8_t *chunk_data(struct rte_mbuf *m)
{
    return (uint8_t *)m->buf_addr + packet_meta(m)->offset;
}

static struct tcp_flight *flight_get(struct mr_worker *w, struct tcb *c)
{
    if (c->flight)
        return c->flight;
    struct tcp_flight *f = slab_get(&w->tcp->flights);
    if (!f)
        return NULL;
    f->end = c->snd_max;
    f->progress = tcp_tick_of(w->now);
    c->flight = f;
    return f;
}

static void flight_put_if_empty(struct mr_worker *w, struct tcb *c)
{
    if (c->flight && !c->flight->head) {
        slab_put(&w->tcp->flights, c->flight);
        c->flight = NULL;
    }
}

static void chunk_append(struct mr_worker *w, struct tcp_flight *f, struct rte_mbuf *m, uint32_t length,
                         uint16_t offset)
{
    struct packet_meta *meta = packet_meta(m);
    meta->queue_next = NULL;
    meta->sequence = f->end;
    meta->length = length;
    meta->offset = offset;
    meta->sent = PACKET_UNSENT;
    meta->flags = 0;
    f->end += length;
    if (f->tail)
        packet_meta(f->tail)->queue_next = m;
    else
        f->head = m;
    f->tail = m;
    if (!f->next)
        f->next = m;
    f->chunks++;
    w->packets_held++;
}

/* Nobody else holds its buffer: the room around the payload is ours. */
static bool chunk_is_sole(struct rte_mbuf *m)
{
    return RTE_MBUF_DIRECT(m) && rte_mbuf_refcnt_read(m) == 1;
}

static void chunk_free(struct mr_worker *w, struct rte_mbuf *m)
{
    w->packets_held--;
    rte_pktmbuf_free_seg(m);
}

size_t tcp_queue_fill(struct tcb *c, const uint8_t *data, size_t n)
{
    struct tcp_flight *f = c->flight;
    struct rte_mbuf *m = f ? f->tail : NULL;
    if (!m || packet_meta(m)->sent || !chunk_is_sole(m))
        return 0;
    struct packet_meta *meta = packet_meta(m);
    uint32_t limit = RTE_MIN((uint32_t)c->mss, (uint32_t)(m->buf_len - meta->offset));
    if (meta->length >= limit)
        return 0;
    size_t k = RTE_MIN(n, (size_t)(limit - meta->length));
    memcpy(chunk_data(m) + meta->length, data, k);
    meta->length += (uint32_t)k;
    meta->flags = 0; /* its sum was of less */
    f->end += (uint32_t)k;
    return k;
}

size_t tcp_queue_copy(struct mr_worker *w, struct tcb *c, const uint8_t *data, size_t n)
{
    struct tcp_flight *f = flight_get(w, c);
    if (!f)
        return 0;
    size_t taken = tcp_queue_fill(c, data, n);
    while (taken < n && worker_may_queue_packets(w, 1)) {
        struct rte_mbuf *m = packet_new(w);
        if (!m)
            break;
        uint32_t room = RTE_MIN((uint32_t)c->mss, (uint32_t)rte_pktmbuf_tailroom(m));
        uint32_t k = (uint32_t)RTE_MIN(n - taken, (size_t)room);
        memcpy(rte_pktmbuf_mtod(m, uint8_t *), data + taken, k);
        chunk_append(w, f, m, k, m->data_off);
        taken += k;
    }
    flight_put_if_empty(w, c);
    return taken;
}

/* Chunks over `data`, linked by queue_next, or NULL when packets or records run out. */
static struct rte_mbuf *lend_chunks(struct mr_worker *w, struct lend *l, const uint8_t *data, size_t n)
{
    struct rte_mbuf *first = NULL, **link = &first;
    l->shared.free_cb = lend_released;
    l->shared.fcb_opaque = l;
    rte_mbuf_ext_refcnt_set(&l->shared, 0);
    for (size_t at = 0; at < n; at += TCP_LEND_CHUNK) {
        struct rte_mbuf *m = packet_new(w);
        if (!m) {
            for (struct rte_mbuf *next; first; first = next) {
                next = packet_meta(first)->queue_next;
                rte_mbuf_ext_refcnt_set(&l->shared, UINT16_MAX); /* not ours to release: the service keeps it */
                rte_pktmbuf_free_seg(first);
            }
            return NULL;
        }
        uint16_t k = (uint16_t)RTE_MIN(n - at, (size_t)TCP_LEND_CHUNK);
        rte_pktmbuf_attach_extbuf(m, (void *)(uintptr_t)(data + at), RTE_BAD_IOVA, k, &l->shared);
        m->data_off = 0;
        rte_mbuf_ext_refcnt_update(&l->shared, 1);
        packet_meta(m)->queue_next = NULL;
        packet_meta(m)->length = k;
        *link = m;
        link = &packet_meta(m)->queue_next;
    }
    return first;
}

bool tcp_queue_lend(struct mr_worker *w, struct tcb *c, const uint8_t *data, size_t n, void (*release)(void *),
                    void *argument)
{
    if (!worker_may_queue_packets(w, (uint32_t)(n / TCP_LEND_CHUNK) + 1))
        return false;
    struct lend *l = slab_get(&w->tcp->lends);
    if (!l)
        return false;
    *l = (struct lend){.release = release, .argument = argument, .slab = &w->tcp->lends};
    struct rte_mbuf *m = lend_chunks(w, l, data, n);
    struct tcp_flight *f = m ? flight_get(w, c) : NULL;
    if (!f) {
        for (struct rte_mbuf *next; m; m = next) {
            next = packet_meta(m)->queue_next;
            rte_mbuf_ext_refcnt_set(&l->shared, UINT16_MAX);
            rte_pktmbuf_free_seg(m);
        }
        slab_put(&w->tcp->lends, l);
        return false;
    }
    for (struct rte_mbuf *next; m; m = next) {
        next = packet_meta(m)->queue_next;
        chunk_append(w, f, m, packet_meta(m)->length, 0);
    }
    return true;
}

bool tcp_queue_begin(struct mr_worker *w, struct tcb *c)
{
    return flight_get(w, c) != NULL;
}

void tcp_queue_end(struct mr_worker *w, struct tcb *c)
{
    flight_put_if_empty(w, c);
}

/* What moves is held already. Beyond the share of memory for what waits to be sent only a connection that sends nothing may
 * take a packet: then each of them gets on, however many others stand still. */
bool tcp_queue_may_move(const struct mr_worker *w, const struct tcb *c)
{
    const struct tcp_flight *f = c->flight;
    if (!f->head)
        return true;
    return worker_may_queue_packets(w, 0) &&
           f->chunks < CHUNKS_SPARE + c->stream.binding->options.send_budget / CHUNK_BYTES_MEAN;
}

void tcp_queue_move(struct mr_worker *w, struct tcb *c, struct rte_mbuf *m)
{
    chunk_append(w, c->flight, m, m->data_len, m->data_off);
}

uint32_t tcp_queue_bytes(const struct tcb *c)
{
    if (!c->flight || !c->flight->head)
        return 0;
    uint32_t first = packet_meta(c->flight->head)->sequence;
    return c->flight->end - seq_max(first, c->snd_una);
}

void tcp_queue_acked(struct mr_worker *w, struct tcb *c, uint32_t ack, uint32_t *sample_us, bool *sampled)
{
    struct tcp_flight *f = c->flight;
    *sampled = false;
    if (!f)
        return;
    bool again = false; /* Karn: what was sent twice says nothing, nor does what waited behind it */
    while (f->head) {
        struct packet_meta *meta = packet_meta(f->head);
        if (seq_lt(ack, meta->sequence + meta->length))
            break;
        again |= meta->sent == PACKET_SENT_AGAIN;
        *sampled = !again && meta->sent == PACKET_SENT_ONCE;
        *sample_us = meta->sent_us;
        struct rte_mbuf *gone = f->head;
        f->head = meta->queue_next;
        if (f->next == gone)
            f->next = f->head;
        f->chunks--;
        chunk_free(w, gone);
    }
    if (!f->head)
        f->tail = NULL;
    f->progress = tcp_tick_of(w->now);
    flight_put_if_empty(w, c);
}

void tcp_queue_free(struct mr_worker *w, struct tcb *c)
{
    if (!c->flight)
        return;
    for (struct rte_mbuf *m = c->flight->head, *next; m; m = next) {
        next = packet_meta(m)->queue_next;
        chunk_free(w, m);
    }
    slab_put(&w->tcp->flights, c->flight);
    c->flight = NULL;
}

/* The chunk itself, with room for headers before its payload and one more reference. */
static struct rte_mbuf *segment_in_place(struct rte_mbuf *m, const struct packet_meta *meta)
{
    m->data_off = meta->offset;
    m->data_len = (uint16_t)meta->length;
    m->pkt_len = meta->length;
    m->nb_segs = 1;
    m->next = NULL;
    m->ol_flags = 0;
    m->tx_offload = 0; /* of a received packet: whatever its last user left */
    rte_mbuf_refcnt_update(m, 1);
    return m;
}

/* Chains clones of the chunks behind `header`. False when packets run out; the caller frees `header`. */
static bool segment_attach(struct mr_worker *w, struct rte_mbuf *header, struct rte_mbuf *chunk, uint32_t skip,
                           uint32_t n)
{
    struct rte_mbuf *last = header;
    for (; n; chunk = packet_meta(chunk)->queue_next, skip = 0) {
        struct rte_mbuf *clone = packet_new(w);
        if (!clone)
            return false;
        struct packet_meta *meta = packet_meta(chunk);
        rte_pktmbuf_attach(clone, chunk);
        uint32_t k = RTE_MIN(n, meta->length - skip);
        clone->data_off = (uint16_t)(meta->offset + skip);
        clone->data_len = (uint16_t)k;
        clone->pkt_len = k;
        clone->nb_segs = 1;
        clone->next = NULL;
        last->next = clone;
        last = clone;
        header->nb_segs++;
        header->pkt_len += k;
        n -= k;
    }
    return true;
}

/* One more packet behind `header`; NULL when packets run out. */
static struct rte_mbuf *segment_extend(struct mr_worker *w, struct rte_mbuf *header, struct rte_mbuf *last)
{
    struct rte_mbuf *m = packet_new(w);
    if (!m)
        return NULL;
    m->data_off = 0;
    last->next = m;
    header->nb_segs++;
    return m;
}

/* Copies behind `header`, into as few packets as it takes. False when packets run out; the caller frees `header`. */
static bool segment_copy(struct mr_worker *w, struct rte_mbuf *header, struct rte_mbuf *chunk, uint32_t skip,
                         uint32_t n)
{
    struct rte_mbuf *last = header;
    stat_add(w, STAT_tcp_payload_copied, n);
    while (n) {
        uint32_t room = rte_pktmbuf_tailroom(last), k = RTE_MIN(n, packet_meta(chunk)->length - skip);
        if (!room) {
            last = segment_extend(w, header, last);
            if (!last)
                return false;
            continue;
        }
        k = RTE_MIN(k, room);
        memcpy(rte_pktmbuf_mtod_offset(last, uint8_t *, last->data_len), chunk_data(chunk) + skip, k);
        last->data_len = (uint16_t)(last->data_len + k);
        header->pkt_len += k;
        n -= k;
        skip += k;
        if (skip == packet_meta(chunk)->length) {
            chunk = packet_meta(chunk)->queue_next;
            skip = 0;
        }
    }
    return true;
}

/* Many small pieces in one segment would be more than a device takes in one frame, and than a small pool has left. */
static bool chunks_suit(struct rte_mbuf *chunk, uint32_t skip, uint32_t n, uint32_t offloads)
{
    unsigned count = 0;
    for (; chunk && n; chunk = packet_meta(chunk)->queue_next, skip = 0) {
        if (++count > ATTACH_CHUNKS_MAX || (offloads & MR_LINK_TX_POOL_ONLY && RTE_MBUF_HAS_EXTBUF(chunk)))
            return false;
        n -= RTE_MIN(n, packet_meta(chunk)->length - skip);
    }
    return true;
}

static bool may_attach(const struct mr_worker *w, struct rte_mbuf *chunk, uint32_t skip, uint32_t n)
{
    uint32_t offloads = w->netif_count ? w->netif[0]->offloads : 0;
    for (unsigned i = 1; i < w->netif_count; i++) /* a limit of one interface holds for all: simple, and rarely mixed */
        offloads = (offloads & w->netif[i]->offloads) | ((offloads | w->netif[i]->offloads) & MR_LINK_TX_POOL_ONLY);
    return (offloads & MR_LINK_TX_MULTI_SEGMENT) && n >= ATTACH_BYTES_MIN && chunks_suit(chunk, skip, n, offloads);
}

/* Every chunk that [seq, seq + n) touches was sent; once means: its last byte, and none of it again. */
static void chunks_sent(struct mr_worker *w, struct rte_mbuf *chunk, uint32_t seq, uint32_t n, bool again)
{
    for (; chunk && seq_lt(packet_meta(chunk)->sequence, seq + n); chunk = packet_meta(chunk)->queue_next) {
        struct packet_meta *meta = packet_meta(chunk);
        bool last_byte = seq_leq(meta->sequence + meta->length, seq + n);
        if (again)
            meta->sent = PACKET_SENT_AGAIN;
        else if (meta->sent != PACKET_SENT_AGAIN)
            meta->sent = last_byte ? PACKET_SENT_ONCE : PACKET_SENT_PART;
        meta->sent_us = tcp_now_us(w);
    }
}

struct rte_mbuf *tcp_queue_segment(struct mr_worker *w, struct tcb *c, struct rte_mbuf *chunk, uint32_t seq, uint32_t n)
{
    while (seq_leq(packet_meta(chunk)->sequence + packet_meta(chunk)->length, seq))
        chunk = packet_meta(chunk)->queue_next;
    struct packet_meta *meta = packet_meta(chunk);
    uint32_t skip = seq - meta->sequence;
    struct rte_mbuf *m;
    if (skip == 0 && n == meta->length && meta->offset >= RTE_PKTMBUF_HEADROOM && chunk_is_sole(chunk)) {
        m = segment_in_place(chunk, meta);
    } else {
        m = packet_new(w);
        if (!m)
            return NULL;
        packet_meta(m)->flags = 0;
        bool built =
            may_attach(w, chunk, skip, n) ? segment_attach(w, m, chunk, skip, n) : segment_copy(w, m, chunk, skip, n);
        if (!built) {
            rte_pktmbuf_free(m);
            return NULL;
        }
    }
    chunks_sent(w, chunk, seq, n, seq_lt(seq, c->snd_max));
    return m;
}
