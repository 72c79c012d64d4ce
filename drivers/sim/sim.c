#include "drivers/sim/sim.h"

#include <inttypes.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/sim/mark.h"
#include "drivers/sim/schedule.h"

#define ETHERNET_HEADER_BYTES 14
#define MTU_DEFAULT           1500

struct frame {
    uint32_t bytes;
    bool corrupt;
    uint8_t data[];
};

struct sim_end {
    struct mr_link link; /* first: a struct mr_link of ours is a struct sim_end */
    struct sim *sim;
    struct sim_end *peer;
    struct rte_mempool *pool;
    bool closed;
    char name[32];
    /* What this end sends. */
    struct path path;
    struct schedule under_way;
    sim_filter_fn filter;
    void *filter_argument;
    struct sim_counts counts;
};

struct sim_pair {
    struct sim_pair *next;
    struct sim_end end[2];
};

struct sim {
    mr_time now;
    struct mr_random random;
    struct mr_clock clock;
    struct sim_pair *pairs;
    unsigned pair_count;
    uint64_t trace_hash;
    sim_observer_fn observer;
    void *observer_argument;
};

const char *sim_drop_text(enum sim_drop drop)
{
    static const char *const text[SIM_DROPS] = {
        [SIM_DROP_NONE] = "none",     [SIM_DROP_TOO_LONG] = "too-long", [SIM_DROP_FILTERED] = "filtered",
        [SIM_DROP_QUEUE] = "queue",   [SIM_DROP_LOSS] = "loss",         [SIM_DROP_BURST] = "burst",
        [SIM_DROP_MISSED] = "missed", [SIM_DROP_CLOSED] = "closed",
    };
    return text[drop];
}

static struct sim_end *end_of(const struct mr_link *link)
{
    return link->self;
}

/* ---- observation ---- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9fb21c651e98df25u;
    return hash ^ hash >> 32;
}

static void trace_delivery(struct sim_end *to, const struct frame *f)
{
    struct sim *s = to->sim;
    uint64_t hash = mix(mix(s->trace_hash, s->now), f->bytes);
    for (unsigned i = 0; i < 6; i++)
        hash = mix(hash, to->link.mac[i]);
    uint32_t i = 0;
    for (; i + 8 <= f->bytes; i += 8) {
        uint64_t word;
        memcpy(&word, f->data + i, 8);
        hash = mix(hash, word);
    }
    for (; i < f->bytes; i++)
        hash = mix(hash, f->data[i]);
    s->trace_hash = hash;
}

static void observe(struct sim_end *from, enum sim_event event, enum sim_drop drop, const struct frame *f,
                    mr_time arrival)
{
    struct sim *s = from->sim;
    if (!s->observer)
        return;
    struct sim_observation o = {.now = s->now,
                                .arrival = arrival,
                                .from = &from->link,
                                .to = &from->peer->link,
                                .event = event,
                                .drop = drop,
                                .corrupt = f->corrupt,
                                .frame = f->data,
                                .bytes = f->bytes};
    s->observer(s->observer_argument, &o);
}

static void frame_drop(struct sim_end *from, struct frame *f, enum sim_drop reason)
{
    from->counts.dropped[reason]++;
    observe(from, SIM_DROPPED, reason, f, 0);
    free(f);
}

/* ---- sending ---- */

static struct frame *frame_new(const void *data, uint32_t bytes)
{
    struct frame *f = malloc(sizeof *f + bytes);
    if (!f)
        abort(); /* a simulation without memory proves nothing */
    f->bytes = bytes;
    f->corrupt = false;
    if (data)
        memcpy(f->data, data, bytes);
    return f;
}

static struct frame *frame_of_mbuf(const struct rte_mbuf *m)
{
    struct frame *f = frame_new(NULL, m->pkt_len);
    uint32_t at = 0;
    for (; m; m = m->next) {
        memcpy(f->data + at, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
        at += m->data_len;
    }
    return f;
}

static void frame_schedule(struct sim_end *from, struct frame *f, mr_time arrival)
{
    if (!schedule_put(&from->under_way, arrival, f))
        abort();
}

static void frame_duplicate(struct sim_end *from, const struct frame *f, mr_time arrival)
{
    struct frame *copy = frame_new(f->data, f->bytes);
    copy->corrupt = f->corrupt;
    from->counts.duplicated++;
    observe(from, SIM_DUPLICATED, SIM_DROP_NONE, copy, arrival);
    frame_schedule(from, copy, arrival);
}

static void frame_send(struct sim_end *from, struct frame *f)
{
    static const enum sim_drop drop_of[PATH_FATES] = {[PATH_PASS] = SIM_DROP_NONE,
                                                      [PATH_DROP_QUEUE] = SIM_DROP_QUEUE,
                                                      [PATH_DROP_LOSS] = SIM_DROP_LOSS,
                                                      [PATH_DROP_BURST] = SIM_DROP_BURST};
    struct sim *s = from->sim;
    from->counts.sent++;
    from->counts.sent_bytes += f->bytes;
    if (f->bytes > (uint32_t)from->link.mtu + ETHERNET_HEADER_BYTES) {
        frame_drop(from, f, SIM_DROP_TOO_LONG);
        return;
    }
    if (from->filter && !from->filter(from->filter_argument, s->now, f->data, f->bytes)) {
        frame_drop(from, f, SIM_DROP_FILTERED);
        return;
    }
    struct path_verdict v = path_decide(&from->path, f->bytes, s->now);
    if (v.fate != PATH_PASS) {
        frame_drop(from, f, drop_of[v.fate]);
        return;
    }
    if (v.mark_ce && mark_ce(f->data, f->bytes))
        from->counts.marked++;
    if (v.corrupt) {
        f->data[v.corrupt_bit / 8] ^= (uint8_t)(0x80 >> v.corrupt_bit % 8);
        f->corrupt = true;
        from->counts.corrupted++;
    }
    observe(from, SIM_SENT, SIM_DROP_NONE, f, v.arrival);
    frame_schedule(from, f, v.arrival);
    if (v.duplicate)
        frame_duplicate(from, f, v.duplicate_arrival);
}

static uint16_t end_transmit(void *self, struct rte_mbuf **burst, uint16_t n)
{
    struct sim_end *from = self;
    for (uint16_t i = 0; i < n; i++) {
        frame_send(from, frame_of_mbuf(burst[i]));
        rte_pktmbuf_free(burst[i]);
    }
    return n;
}

/* ---- receiving ---- */

static bool chain_append(struct rte_mbuf *head, struct rte_mempool *pool)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
    if (!m)
        return false;
    m->data_off = 0;
    rte_pktmbuf_lastseg(head)->next = m;
    head->nb_segs++;
    return true;
}

static struct rte_mbuf *mbuf_of_frame(const struct frame *f, struct rte_mempool *pool)
{
    struct rte_mbuf *head = rte_pktmbuf_alloc(pool), *m = head;
    for (uint32_t at = 0; m && at < f->bytes;) {
        uint32_t room = rte_pktmbuf_tailroom(m);
        uint32_t n = f->bytes - at < room ? f->bytes - at : room;
        memcpy(rte_pktmbuf_mtod(m, uint8_t *), f->data + at, n);
        m->data_len = (uint16_t)n;
        at += n;
        if (at < f->bytes && !chain_append(head, pool)) {
            rte_pktmbuf_free(head);
            return NULL;
        }
        m = m->next;
    }
    if (head)
        head->pkt_len = f->bytes;
    return head;
}

static struct rte_mbuf *frame_deliver(struct sim_end *to, struct frame *f)
{
    struct sim_end *from = to->peer;
    struct rte_mbuf *m = to->pool ? mbuf_of_frame(f, to->pool) : NULL;
    if (!m) {
        frame_drop(from, f, SIM_DROP_MISSED);
        return NULL;
    }
    from->counts.delivered++;
    from->counts.delivered_bytes += f->bytes;
    trace_delivery(to, f);
    observe(from, SIM_DELIVERED, SIM_DROP_NONE, f, to->sim->now);
    free(f);
    return m;
}

static uint16_t end_receive(void *self, struct rte_mbuf **burst, uint16_t max)
{
    struct sim_end *to = self;
    struct frame *f;
    uint16_t n = 0;
    while (n < max && (f = schedule_take(&to->peer->under_way, to->sim->now)) != NULL) {
        if (to->closed)
            frame_drop(to->peer, f, SIM_DROP_CLOSED);
        else if ((burst[n] = frame_deliver(to, f)) != NULL)
            n++;
    }
    return n;
}

/* ---- the rest of struct mr_link ---- */

static void end_statistics(void *self, struct mr_link_statistics *out)
{
    const struct sim_end *e = self;
    const struct sim_counts *in = &e->peer->counts, *sent = &e->counts;
    *out = (struct mr_link_statistics){.rx_packets = in->delivered,
                                       .rx_bytes = in->delivered_bytes,
                                       .tx_packets = sent->sent,
                                       .tx_bytes = sent->sent_bytes,
                                       .rx_missed = in->dropped[SIM_DROP_MISSED],
                                       .rx_no_memory = in->dropped[SIM_DROP_MISSED],
                                       .tx_errors = sent->dropped[SIM_DROP_TOO_LONG]};
}

static mr_time end_next(void *self)
{
    return schedule_next(&((struct sim_end *)self)->peer->under_way);
}

/* What is under way to a closed end is lost; the memory is the simulation's. */
static void end_close(void *self)
{
    struct sim_end *e = self;
    struct frame *f;
    e->closed = true;
    while ((f = schedule_take(&e->peer->under_way, MR_NEVER - 1)) != NULL)
        frame_drop(e->peer, f, SIM_DROP_CLOSED);
}

/* ---- clock ---- */

static mr_time clock_now(void *self)
{
    return ((struct sim *)self)->now;
}

static void clock_rest(void *self, mr_time deadline)
{
}

static void clock_nothing(void *self)
{
}

/* ---- public ---- */

struct sim *sim_create(uint64_t seed)
{
    struct sim *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->now = MR_SECOND;
    mr_random_seed(&s->random, seed);
    s->clock = (struct mr_clock){
        .self = s, .now = clock_now, .rest = clock_rest, .busy = clock_nothing, .wake = clock_nothing};
    return s;
}

static void end_free(struct sim_end *e)
{
    struct frame *f;
    while ((f = schedule_take(&e->under_way, MR_NEVER - 1)) != NULL)
        free(f);
    schedule_free(&e->under_way);
    path_free(&e->path);
}

void sim_destroy(struct sim *s)
{
    while (s->pairs) {
        struct sim_pair *pair = s->pairs;
        s->pairs = pair->next;
        end_free(&pair->end[0]);
        end_free(&pair->end[1]);
        free(pair);
    }
    free(s);
}

mr_time sim_now(const struct sim *s)
{
    return s->now;
}

void sim_advance(struct sim *s, mr_time to)
{
    if (to < s->now) {
        fprintf(stderr, "sim_advance: from %" PRIu64 " back to %" PRIu64 "\n", s->now, to);
        abort();
    }
    s->now = to;
}

struct mr_clock *sim_clock(struct sim *s)
{
    return &s->clock;
}

static bool end_init(struct sim *s, struct sim_pair *pair, unsigned i, const struct sim_link_options *o)
{
    struct sim_end *e = &pair->end[i];
    e->sim = s;
    e->peer = &pair->end[1 - i];
    e->pool = o->end[i].pool;
    if (o->end[i].name)
        snprintf(e->name, sizeof e->name, "%s", o->end[i].name);
    else
        snprintf(e->name, sizeof e->name, "sim%u", 2 * s->pair_count + i);
    e->link = (struct mr_link){.self = e,
                               .name = e->name,
                               .mac = {0x02, 0x4d, 0x52, 0x00, (uint8_t)s->pair_count, (uint8_t)(i + 1)},
                               .mtu = o->mtu ? o->mtu : MTU_DEFAULT,
                               .offloads = MR_LINK_TX_MULTI_SEGMENT,
                               .receive = end_receive,
                               .transmit = end_transmit,
                               .statistics = end_statistics,
                               .close = end_close,
                               .next = end_next};
    /* A generator for each direction: what one end sends does not shift the other's luck. */
    path_init(&e->path, &o->end[i].out, mr_random_next(&s->random));
    return path_options_valid(&o->end[i].out) && schedule_init(&e->under_way, 64, true);
}

bool sim_link_create(struct sim *s, const struct sim_link_options *options, struct mr_link *end[2])
{
    struct sim_pair *pair = calloc(1, sizeof *pair);
    if (!pair)
        return false;
    if (!end_init(s, pair, 0, options) || !end_init(s, pair, 1, options)) {
        end_free(&pair->end[0]);
        end_free(&pair->end[1]);
        free(pair);
        return false;
    }
    pair->next = s->pairs;
    s->pairs = pair;
    s->pair_count++;
    end[0] = &pair->end[0].link;
    end[1] = &pair->end[1].link;
    return true;
}

void sim_path_set(struct mr_link *from, const struct path_options *options)
{
    path_set(&end_of(from)->path, options);
}

void sim_filter_set(struct mr_link *from, sim_filter_fn filter, void *argument)
{
    end_of(from)->filter = filter;
    end_of(from)->filter_argument = argument;
}

void sim_observer_set(struct sim *s, sim_observer_fn observer, void *argument)
{
    s->observer = observer;
    s->observer_argument = argument;
}

void sim_counts(const struct mr_link *from, struct sim_counts *out)
{
    *out = end_of(from)->counts;
    out->in_flight = end_of(from)->under_way.count;
}

mr_time sim_next(const struct mr_link *end)
{
    return end_next(end->self);
}

mr_time sim_next_any(const struct sim *s)
{
    mr_time next = MR_NEVER;
    for (const struct sim_pair *p = s->pairs; p; p = p->next)
        for (unsigned i = 0; i < 2; i++) {
            mr_time at = schedule_next(&p->end[i].under_way);
            next = at < next ? at : next;
        }
    return next;
}

uint64_t sim_trace_hash(const struct sim *s)
{
    return s->trace_hash;
}

static void end_check(const struct sim_end *e)
{
    const struct sim_counts *c = &e->counts;
    uint64_t out = c->delivered + e->under_way.count;
    for (unsigned i = 0; i < SIM_DROPS; i++)
        out += c->dropped[i];
    if (c->sent + c->duplicated != out) {
        fprintf(stderr, "sim_check: %s: %" PRIu64 " sent and duplicated, %" PRIu64 " accounted for\n", e->name,
                c->sent + c->duplicated, out);
        abort();
    }
}

void sim_check(const struct sim *s)
{
    for (const struct sim_pair *p = s->pairs; p; p = p->next) {
        end_check(&p->end[0]);
        end_check(&p->end[1]);
    }
}
