#include "tests/sim/scenario.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longer than the 282 s of retransmissions after which a connection gives up, and than any pause of an application. */
#define STALL (400 * MR_SECOND)

static bool chance(struct mr_random *r, double p)
{
    return mr_random_unit(r) < p;
}

static uint64_t between(struct mr_random *r, uint64_t low, uint64_t high)
{
    return low + (uint64_t)(mr_random_unit(r) * (double)(high - low + 1));
}

/* Each order of magnitude as likely as the others. */
static uint64_t between_log(struct mr_random *r, uint64_t low, uint64_t high)
{
    return (uint64_t)exp(log((double)low) + mr_random_unit(r) * (log((double)high) - log((double)low)));
}

/* ---- links ---- */

static struct path_options draw_path(struct mr_random *r)
{
    struct path_options p = {.delay = chance(r, 0.2) ? 0 : between_log(r, 10 * MR_MICROSECOND, 200 * MR_MILLISECOND)};
    if (chance(r, 0.85)) {
        p.rate_bits_per_s = between_log(r, 64000, 1000000000);
        p.queue_packets = (uint32_t)(chance(r, 0.3) ? between(r, 3, 8) : between_log(r, 8, 500));
        p.queue_bytes = chance(r, 0.3) ? (uint32_t)between_log(r, 4000, 500000) : 0;
    }
    p.loss = chance(r, 0.4) ? mr_random_unit(r) * mr_random_unit(r) * 0.1 : 0;
    if (chance(r, 0.15)) {
        p.burst_enter = 0.002 + mr_random_unit(r) * 0.02;
        p.burst_leave = 0.2 + mr_random_unit(r) * 0.5;
        p.burst_loss = 0.3 + mr_random_unit(r) * 0.7;
    }
    if (chance(r, 0.3)) {
        p.reorder = mr_random_unit(r) * 0.2;
        p.reorder_delay = between_log(r, MR_MICROSECOND, 50 * MR_MILLISECOND);
    }
    if (chance(r, 0.3)) {
        p.jitter = between_log(r, MR_MICROSECOND, 30 * MR_MILLISECOND);
        p.jitter_reorders = chance(r, 0.5);
    }
    p.duplicate = chance(r, 0.25) ? mr_random_unit(r) * 0.1 : 0;
    p.corrupt = chance(r, 0.25) ? mr_random_unit(r) * 0.03 : 0;
    return p;
}

static uint16_t draw_mtu(struct mr_random *r)
{
    static const uint16_t common[] = {300, 576, 1280, 1500, 1500, 1500, 4000, 9000};
    return chance(r, 0.7) ? common[mr_random_below(r, sizeof common / sizeof *common)]
                          : (uint16_t)between(r, 300, 9000);
}

static bool path_is_harsh(const struct path_options *p)
{
    return p->loss > 0.02 || p->burst_enter > 0 || p->corrupt > 0.005 || p->queue_packets == 3;
}

/* ---- applications ---- */

static struct mr_stream_options draw_options(struct mr_random *r)
{
    struct mr_stream_options o = {.nodelay = chance(r, 0.3)};
    o.receive_budget = chance(r, 0.6) ? (uint32_t)between_log(r, 2048, 1 << 20) : 0;
    o.send_budget = chance(r, 0.6) ? (uint32_t)between_log(r, 2048, 1 << 20) : 0;
    return o;
}

static struct flow_side_plan draw_side(struct mr_random *r, uint64_t bytes_max)
{
    struct flow_side_plan p = {
        .total = chance(r, 0.2) ? 0 : between_log(r, 1, bytes_max),
        .close_when_done = chance(r, 0.5),
        .piece_max = (uint32_t)between_log(r, 16, 70000),
        .lend = chance(r, 0.3) ? 0 : mr_random_unit(r),
        .pause_max = between_log(r, 100 * MR_MICROSECOND, 12 * MR_SECOND),
        .options = draw_options(r),
    };
    /* Tiny pieces of a long stream would only cost time. */
    if (p.total / p.piece_max > 2000)
        p.piece_max = (uint32_t)(p.total / 2000) + 1;
    p.send_pause = chance(r, 0.4) ? mr_random_unit(r) * 0.1 : 0;
    p.read_pause = chance(r, 0.5) ? mr_random_unit(r) * 0.1 : 0;
    return p;
}

/* So that the survivor of an abort whose reset was lost finds out. */
static void watch_for_silence(struct flow_plan *p, struct mr_stream_options *listen)
{
    p->side[0].options.keepalive_idle_s = p->side[1].options.keepalive_idle_s = listen->keepalive_idle_s = 30;
    p->side[0].options.keepalive_interval_s = p->side[1].options.keepalive_interval_s = listen->keepalive_interval_s =
        10;
}

static void draw_ending(struct mr_random *r, struct flow_plan *p, struct mr_stream_options *listen)
{
    unsigned side = mr_random_below(r, 2);
    if (chance(r, 0.25)) { /* whoever closes with data queued must not be sent anything */
        p->side[side].ending = FLOW_CLOSE;
        p->side[!side].total = 0;
    } else if (chance(r, 0.25)) {
        p->side[side].ending = FLOW_ABORT;
        p->side[side].abort_bytes = between(r, 0, p->side[0].total + p->side[1].total + 1);
        p->side[side].abort_after = chance(r, 0.5) ? 1 + between_log(r, MR_MICROSECOND, 3 * MR_SECOND) : 10 * MR_SECOND;
        watch_for_silence(p, listen);
    }
}

static struct flow_plan draw_flow(struct mr_random *r, uint64_t bytes_max, struct mr_stream_options *listen)
{
    struct flow_plan p = {.kind = chance(r, 0.1)    ? FLOW_REFUSED
                                  : chance(r, 0.15) ? FLOW_SIMULTANEOUS
                                                    : FLOW_CONNECT,
                          .start = chance(r, 0.5) ? 0 : between_log(r, MR_MICROSECOND, 2 * MR_SECOND)};
    p.side[0] = draw_side(r, bytes_max);
    p.side[1] = draw_side(r, bytes_max);
    draw_ending(r, &p, listen);
    return p;
}

void scenario_draw(struct scenario *s, uint64_t seed, struct rte_mempool *const large[2],
                   struct rte_mempool *const small[2])
{
    struct mr_random r;
    mr_random_seed(&r, seed ^ 0x6d696c6c72616365u);
    *s = (struct scenario){.world = {.seed = seed, .mtu = draw_mtu(&r), .out = draw_path(&r), .in = draw_path(&r)},
                           .listen = draw_options(&r)};
    s->small_pool = chance(&r, 0.1);
    for (unsigned i = 0; i < 2; i++)
        s->world.pool[i] = s->small_pool ? small[i] : large[i];
    s->harsh = s->small_pool || path_is_harsh(&s->world.out) || path_is_harsh(&s->world.in);
    double kind = mr_random_unit(&r);
    s->kind = kind < 0.5 ? "one" : kind < 0.85 ? "several" : "many";
    s->count = kind < 0.5 ? 1 : (unsigned)(kind < 0.85 ? between(&r, 2, 6) : between(&r, 40, SCENARIO_FLOWS_MAX));
    /* So many bytes that a run stays below some thousand segments. */
    uint64_t bytes_max = (uint64_t)s->world.mtu * (kind < 0.5 ? 600 : kind < 0.85 ? 150 : 2);
    for (unsigned i = 0; i < s->count; i++)
        s->plan[i] = draw_flow(&r, bytes_max < 1500000 ? bytes_max : 1500000, &s->listen);
    /* A hundred SYNs at once meet in a queue of four, and all their retransmissions after them. */
    for (unsigned i = 0; kind >= 0.85 && i < s->count; i++)
        s->plan[i].start = between(&r, 0, 5 * MR_SECOND);
}

void scenario_draw_relayed(struct scenario *s, uint64_t seed, struct rte_mempool *const large[3],
                           struct rte_mempool *const small[3])
{
    scenario_draw(s, seed, large, small);
    s->world.hosts = 3;
    s->world.pool[2] = s->small_pool ? small[2] : large[2];
    s->count = s->count > 40 ? 40 : s->count;
    for (unsigned i = 0; i < s->count; i++) {
        s->plan[i].kind = s->plan[i].kind == FLOW_SIMULTANEOUS ? FLOW_CONNECT : s->plan[i].kind;
        watch_for_silence(&s->plan[i], &s->listen);
    }
}

static int describe_path(const struct path_options *p, char *text, size_t bytes)
{
    return snprintf(text, bytes,
                    "%" PRIu64 " kb/s, %.3f+%.3f ms%s, queue %u/%u, loss %.3f, burst %.3f, reorder %.3f by %.3f ms, "
                    "duplicate %.3f, corrupt %.3f",
                    p->rate_bits_per_s / 1000, (double)p->delay / 1e6, (double)p->jitter / 1e6,
                    p->jitter_reorders ? " unordered" : "", p->queue_packets, p->queue_bytes, p->loss, p->burst_enter,
                    p->reorder, (double)p->reorder_delay / 1e6, p->duplicate, p->corrupt);
}

void scenario_describe(const struct scenario *s, char *text, size_t bytes)
{
    char out[300], in[300];
    describe_path(&s->world.out, out, sizeof out);
    describe_path(&s->world.in, in, sizeof in);
    snprintf(text, bytes, "%u flows (%s), mtu %u%s\n  to the client: %s\n  to the server: %s", s->count, s->kind,
             s->world.mtu, s->small_pool ? ", small pools" : "", out, in);
}

void scenario_run(const struct scenario *s, struct scenario_result *r)
{
    struct world w;
    struct flow_set set;
    struct sim_counts out, in;
    world_create(&w, &s->world);
    mr_time start = world_now(&w);
    flow_set_create(&set, &w, s->world.seed * 1000003, s->plan, s->count, &s->listen);
    if (flow_set_run(&set, STALL) && world_settle(&w))
        flow_set_judge(&set, s->harsh);
    sim_counts(w.end[1][0], &out);
    sim_counts(w.end[1][1], &in);
    *r = (struct scenario_result){.trace_hash = sim_trace_hash(w.sim),
                                  .turns = w.turns,
                                  .frames = out.sent + in.sent,
                                  .flows = s->count,
                                  .given_up = set.given_up,
                                  .lasted = world_now(&w) - start};
    for (unsigned i = 0; i < s->count; i++)
        r->bytes += set.flow[i].side[0].received + set.flow[i].side[1].received;
    world_destroy(&w);
    flow_set_destroy(&set);
    snprintf(r->failure, sizeof r->failure, "%s", w.failure);
}
