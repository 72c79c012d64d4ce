#include "drivers/wrap/impair.h"

#include <rte_mbuf.h>
#include <stdlib.h>

#include "drivers/sim/mark.h"
#include "drivers/sim/schedule.h"

#define HELD_DEFAULT 4096
#define BURST_MAX    32

struct lane {
    struct path path;
    struct schedule held; /* mbufs by release time */
    struct impair_counts counts;
};

struct impair {
    struct mr_link link;
    struct mr_link *inner;
    struct mr_clock *clock;
    struct rte_mempool *pool;
    struct lane in, out;
    uint32_t held_max;
    bool refused; /* the inner link took less than was due */
};

/* How soon a link that refused frames is tried again. */
#define REFUSED_RETRY (20 * MR_MICROSECOND)

static void frame_drop(struct lane *lane, struct rte_mbuf *m, enum impair_drop reason)
{
    lane->counts.dropped[reason]++;
    rte_pktmbuf_free(m);
}

static void frame_hold(struct lane *lane, struct rte_mbuf *m, mr_time release)
{
    if (!schedule_put(&lane->held, release, m))
        frame_drop(lane, m, IMPAIR_DROP_HELD);
}

/* Bytes that somebody else reads too (a retransmission queue, lent memory) must not be written: then a copy takes the
 * frame's place. */
static struct rte_mbuf *frame_own(struct impair *i, struct rte_mbuf *m)
{
    bool shared = false;
    for (const struct rte_mbuf *s = m; s; s = s->next)
        shared |= rte_mbuf_refcnt_read(s) != 1 || !RTE_MBUF_DIRECT(s);
    if (!shared)
        return m;
    struct rte_mbuf *copy = rte_pktmbuf_copy(m, i->pool, 0, UINT32_MAX);
    rte_pktmbuf_free(m);
    return copy;
}

static void frame_flip(struct rte_mbuf *m, uint32_t bit)
{
    uint32_t byte = bit / 8;
    while (byte >= m->data_len) {
        byte -= m->data_len;
        m = m->next;
    }
    rte_pktmbuf_mtod(m, uint8_t *)[byte] ^= (uint8_t)(0x80 >> bit % 8);
}

/* Writes the changes of `v` into the frame; NULL when there was no memory for a copy, and then it is gone. */
static struct rte_mbuf *frame_change(struct impair *i, struct lane *lane, struct rte_mbuf *m,
                                     const struct path_verdict *v)
{
    if (!v->corrupt && !v->mark_ce)
        return m;
    m = frame_own(i, m);
    if (!m) {
        lane->counts.dropped[IMPAIR_DROP_MEMORY]++;
        return NULL;
    }
    if (v->mark_ce && mark_ce(rte_pktmbuf_mtod(m, uint8_t *), m->data_len))
        lane->counts.marked++;
    if (v->corrupt) {
        frame_flip(m, v->corrupt_bit);
        /* What the device said of the sums was true of the frame before. */
        m->ol_flags &= ~(RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
        lane->counts.corrupted++;
    }
    return m;
}

static void frame_enter(struct impair *i, struct lane *lane, struct rte_mbuf *m, mr_time now)
{
    static const enum impair_drop drop_of[PATH_FATES] = {[PATH_DROP_QUEUE] = IMPAIR_DROP_QUEUE,
                                                         [PATH_DROP_LOSS] = IMPAIR_DROP_LOSS,
                                                         [PATH_DROP_BURST] = IMPAIR_DROP_BURST};
    struct path_verdict v = path_decide(&lane->path, m->pkt_len, now);
    lane->counts.entered++;
    if (v.fate != PATH_PASS) {
        frame_drop(lane, m, drop_of[v.fate]);
        return;
    }
    m = frame_change(i, lane, m, &v);
    if (!m)
        return;
    struct rte_mbuf *copy = v.duplicate ? rte_pktmbuf_copy(m, i->pool, 0, UINT32_MAX) : NULL;
    frame_hold(lane, m, v.arrival);
    if (copy) {
        lane->counts.duplicated++;
        frame_hold(lane, copy, v.duplicate_arrival);
    }
}

/* Hands what is due to the inner link; what it does not take stays due. */
static void out_release(struct impair *i, mr_time now)
{
    struct lane *lane = &i->out;
    struct rte_mbuf *m;
    i->refused = false;
    while (schedule_next(&lane->held) <= now && (m = schedule_peek(&lane->held)) != NULL) {
        if (i->inner->transmit(i->inner->self, &m, 1) == 0) {
            i->refused = true;
            return;
        }
        schedule_take(&lane->held, now);
        lane->counts.passed++;
    }
}

static uint16_t impair_transmit(void *self, struct rte_mbuf **burst, uint16_t n)
{
    struct impair *i = self;
    mr_time now = i->clock->now(i->clock->self);
    for (uint16_t k = 0; k < n; k++)
        frame_enter(i, &i->out, burst[k], now);
    out_release(i, now);
    return n;
}

static uint16_t impair_receive(void *self, struct rte_mbuf **burst, uint16_t max)
{
    struct impair *i = self;
    struct rte_mbuf *arrived[BURST_MAX];
    mr_time now = i->clock->now(i->clock->self);
    out_release(i, now);
    uint16_t n = i->inner->receive(i->inner->self, arrived, BURST_MAX);
    for (uint16_t k = 0; k < n; k++)
        frame_enter(i, &i->in, arrived[k], now);
    for (n = 0; n < max && (burst[n] = schedule_take(&i->in.held, now)) != NULL; n++)
        i->in.counts.passed++;
    return n;
}

static mr_time impair_next(void *self)
{
    const struct impair *i = self;
    mr_time in = schedule_next(&i->in.held), out = schedule_next(&i->out.held);
    if (i->refused) /* due already, but the device has no room */
        out = i->clock->now(i->clock->self) + REFUSED_RETRY;
    mr_time inner = i->inner->next ? i->inner->next(i->inner->self) : MR_NEVER;
    mr_time own = in < out ? in : out;
    return own < inner ? own : inner;
}

static uint64_t lane_dropped(const struct lane *lane)
{
    uint64_t sum = 0;
    for (unsigned k = 0; k < IMPAIR_DROPS; k++)
        sum += __atomic_load_n(&lane->counts.dropped[k], __ATOMIC_RELAXED);
    return sum;
}

/* Frames lost here look like frames lost by the device. */
static void impair_statistics(void *self, struct mr_link_statistics *out)
{
    const struct impair *i = self;
    i->inner->statistics(i->inner->self, out);
    out->rx_errors += lane_dropped(&i->in);
    out->tx_errors += lane_dropped(&i->out);
}

static void lane_free(struct lane *lane)
{
    struct rte_mbuf *m;
    while ((m = schedule_take(&lane->held, MR_NEVER - 1)) != NULL)
        frame_drop(lane, m, IMPAIR_DROP_CLOSED);
    schedule_free(&lane->held);
    path_free(&lane->path);
}

static void impair_free(struct impair *i)
{
    lane_free(&i->in);
    lane_free(&i->out);
    free(i);
}

static void impair_close(void *self)
{
    struct impair *i = self;
    i->inner->close(i->inner->self);
    impair_free(i);
}

/* No more frames can wait for the transmitter than are held at all: so the packet path allocates nothing. */
static struct path_options path_bounded(const struct path_options *o, uint32_t held_max)
{
    struct path_options bounded = *o;
    if (o->queue_packets == 0 || o->queue_packets > held_max)
        bounded.queue_packets = held_max;
    return bounded;
}

static bool lane_init(struct lane *lane, const struct path_options *path, uint32_t held_max, uint64_t seed)
{
    struct path_options bounded = path_bounded(path, held_max);
    path_init(&lane->path, &bounded, seed);
    return path_options_valid(path) && path_reserve(&lane->path, held_max) &&
           schedule_init(&lane->held, held_max, false);
}

struct mr_link *impair_wrap(struct mr_link *inner, struct mr_clock *clock, const struct impair_options *options)
{
    struct impair *i = calloc(1, sizeof *i);
    uint32_t held = options->held_max ? options->held_max : HELD_DEFAULT;
    if (!i)
        return NULL;
    i->inner = inner;
    i->clock = clock;
    i->pool = options->pool;
    i->held_max = held;
    if (!lane_init(&i->in, &options->in, held, options->seed) ||
        !lane_init(&i->out, &options->out, held, ~options->seed)) {
        impair_free(i);
        return NULL;
    }
    i->link = *inner;
    i->link.self = i;
    /* Sums are made before the frame enters here: a device that made them afterwards would hide every flipped bit. */
    i->link.offloads &= ~(uint32_t)(MR_LINK_TX_IP4_CHECKSUM | MR_LINK_TX_TCP_CHECKSUM | MR_LINK_TX_UDP_CHECKSUM);
    i->link.receive = impair_receive;
    i->link.transmit = impair_transmit;
    i->link.statistics = impair_statistics;
    i->link.close = impair_close;
    i->link.next = impair_next;
    return &i->link;
}

bool impair_set(struct mr_link *link, const struct path_options *in, const struct path_options *out)
{
    struct impair *i = link->self;
    if (!path_options_valid(in) || !path_options_valid(out))
        return false;
    struct path_options bounded_in = path_bounded(in, i->held_max), bounded_out = path_bounded(out, i->held_max);
    path_set(&i->in.path, &bounded_in);
    path_set(&i->out.path, &bounded_out);
    return true;
}

void impair_counts(const struct mr_link *link, struct impair_counts *in, struct impair_counts *out)
{
    const struct impair *i = link->self;
    *in = i->in.counts;
    in->held = i->in.held.count;
    *out = i->out.counts;
    out->held = i->out.held.count;
}
