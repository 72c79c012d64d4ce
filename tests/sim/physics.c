/* What a TCP must do on a link whose behaviour is known: grow, fill, back off, wait, and do it again from the same seed. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/flow.h"
#include "tests/support/cmocka.h"
#include "tests/support/support.h"

#define PACKETS     16384
#define STALL       (400 * MR_SECOND)
#define FRAME_BYTES 1514
#define SEGMENT     1448 /* of 1500 bytes: 20 IP, 20 TCP, 12 timestamps */

static struct rte_mempool *pools[2];

struct bench {
    struct world world;
    struct flow_set flows;
};

/* One connection: the client sends `total`, the server nothing; both ends' budget is `budget`. */
static void bench_start(struct bench *b, const struct path_options *path, uint64_t total, uint32_t budget,
                        uint64_t seed)
{
    struct world_options o = {
        .seed = seed, .in = *path, .out = {.delay = path->delay}, .pool = {pools[0], pools[1]}, .unchecked = true};
    const struct mr_stream_options options = {.receive_budget = budget, .send_budget = budget};
    struct flow_plan plan = {.side = {{.total = total, .piece_max = 65536, .options = options}, {.piece_max = 1}}};
    world_create(&b->world, &o);
    flow_set_create(&b->flows, &b->world, seed, &plan, 1, &options);
}

/* Nothing may be lost in any of these: the stream complete, the resources back. */
static void bench_end(struct bench *b)
{
    bool over = flow_set_run(&b->flows, STALL) && world_settle(&b->world);
    if (over)
        flow_set_judge(&b->flows, false);
    world_destroy(&b->world);
    flow_set_destroy(&b->flows);
    if (b->world.failure[0])
        fail_msg("%s", b->world.failure);
}

static struct flow_side *client(struct bench *b)
{
    return &b->flows.flow[0].side[0];
}

static struct flow_side *server(struct bench *b)
{
    return &b->flows.flow[0].side[1];
}

static void run_for(struct bench *b, mr_time duration)
{
    assert_true(world_run(&b->world, world_now(&b->world) + duration));
}

static void info(struct bench *b, struct mr_stream_info *i)
{
    assert_non_null(client(b)->stream);
    mr_stream_info(client(b)->stream, i);
}

static void slow_start_doubles_the_window_each_round_trip(void **state)
{
    const mr_time round_trip = 100 * MR_MILLISECOND;
    struct bench b;
    struct mr_stream_info before, after;
    bench_start(&b, &(struct path_options){.delay = round_trip / 2}, 8 << 20, 4 << 20, 1);
    /* ARP and SYN take a round trip each; halfway into the next one the initial window is on its way. */
    run_for(&b, 2 * round_trip + round_trip / 2);
    info(&b, &before);
    assert_in_range(before.cwnd, 10 * SEGMENT, 10 * SEGMENT + SEGMENT); /* RFC 6928 */
    for (unsigned round = 0; round < 5; round++) {
        run_for(&b, round_trip);
        info(&b, &after);
        /* A delayed acknowledgement counts for at most two segments (RFC 3465): nothing is lost by it here. */
        assert_in_range(after.cwnd, before.cwnd * 18ull / 10, before.cwnd * 2ull + 2 * SEGMENT);
        before = after;
    }
    bench_end(&b);
}

/* How much of a link of 10 Mb/s and 20 ms a transfer of 20 MiB uses, headers counted. */
static double share_of_link(uint32_t queue_packets)
{
    const uint64_t rate = 10000000, total = 20 << 20;
    struct bench b;
    bench_start(
        &b,
        &(struct path_options){.rate_bits_per_s = rate, .delay = 10 * MR_MILLISECOND, .queue_packets = queue_packets},
        total, 1 << 20, 2);
    mr_time start = world_now(&b.world);
    assert_true(flow_set_run(&b.flows, STALL));
    double seconds = (double)(world_now(&b.world) - start) / 1e9;
    double share = (double)total * 8 * FRAME_BYTES / SEGMENT / (double)rate / seconds;
    print_message("%.1f s, %.1f %% of the link\n", seconds, share * 100);
    bench_end(&b);
    return share;
}

static void clean_link_is_filled_to_95_percent(void **state)
{
    double share = share_of_link(1000); /* more than the window: nothing is lost */
    assert_true(share >= 0.95 && share <= 1.0);
}

/* The first slow start overshoots by a hundred segments, and without SACK one hole a round trip is repaired: that is
 * several seconds of the twenty. With SACK this bound can be raised. */
static void short_queue_costs_no_more_than_the_first_recovery(void **state)
{
    double share = share_of_link(100);
    assert_true(share >= 0.82 && share <= 1.0);
}

/* Reno on a link of 20 segments with room for 20 more: the window climbs to what both hold, is halved, and climbs again. */
static void sawtooth_stays_between_half_and_all_that_the_path_holds(void **state)
{
    const uint64_t rate = 10000000;
    const mr_time round_trip = 24 * MR_MILLISECOND; /* 20 frames */
    const uint32_t holds = 40 * SEGMENT;
    struct bench b;
    struct mr_stream_info i;
    uint32_t lowest = UINT32_MAX, highest = 0;
    unsigned drops = 0, previous = 0;
    bench_start(&b, &(struct path_options){.rate_bits_per_s = rate, .delay = round_trip / 2, .queue_packets = 20},
                30 << 20, 1 << 20, 3);
    run_for(&b, 4 * MR_SECOND); /* slow start, its overshoot and the recovery from that */
    for (unsigned sample = 0; sample < 1500; sample++) {
        run_for(&b, 10 * MR_MILLISECOND);
        info(&b, &i);
        highest = i.cwnd > highest ? i.cwnd : highest;
        lowest = i.cwnd < lowest ? i.cwnd : lowest;
        drops += previous && i.cwnd < previous * 3ull / 4;
        previous = i.cwnd;
    }
    print_message("window %u..%u bytes, %u times halved, %u segments sent again\n", lowest, highest, drops,
                  i.retransmits);
    assert_in_range(highest, holds * 8 / 10, holds * 13 / 10);
    assert_in_range(lowest, holds * 35 / 100, holds * 65 / 100);
    /* From half to all is 20 round trips of about 36 ms: some 20 teeth in 15 s. */
    assert_in_range(drops, 8, 40);
    bench_end(&b);
}

static void closed_window_is_respected_and_opens_again(void **state)
{
    const uint32_t budget = 64 << 10;
    struct bench b;
    struct sim_counts before, after;
    bench_start(&b, &(struct path_options){.delay = 5 * MR_MILLISECOND}, 1 << 20, budget, 4);
    while (server(&b)->received < 200000)
        assert_true(world_step(&b.world, MR_NEVER - 1));
    /* The reader stops for a minute. */
    mr_timer_set(server(&b)->worker, &server(&b)->resume, world_now(&b.world) + 60 * MR_SECOND);
    run_for(&b, 5 * MR_SECOND);
    uint64_t held = client(&b)->sent, read = server(&b)->received;
    struct mr_stream_info i;
    info(&b, &i);
    assert_true(i.send_window < SEGMENT);
    assert_true(mr_stream_readable(server(&b)->stream) <= budget + 128);
    sim_counts(b.world.end[1][1], &before);
    run_for(&b, 50 * MR_SECOND);
    sim_counts(b.world.end[1][1], &after);
    /* Probes at doubling intervals, ARP beside them; nothing moves. */
    assert_in_range(after.sent - before.sent, 2, 40);
    assert_int_equal(client(&b)->sent, held);
    assert_int_equal(server(&b)->received, read);
    mr_time resumed = world_now(&b.world) + 5 * MR_SECOND;
    bench_end(&b);
    assert_true(resumed < 70 * MR_SECOND + MR_SECOND);
}

static uint64_t lossy_trace(uint64_t seed)
{
    struct bench b;
    bench_start(&b,
                &(struct path_options){.rate_bits_per_s = 20000000,
                                       .delay = 7 * MR_MILLISECOND,
                                       .loss = 0.02,
                                       .jitter = MR_MILLISECOND,
                                       .queue_packets = 50},
                1 << 20, 1 << 20, seed);
    assert_true(flow_set_run(&b.flows, STALL));
    uint64_t hash = sim_trace_hash(b.world.sim);
    bench_end(&b);
    return hash;
}

static void same_seed_leaves_the_same_trace(void **state)
{
    uint64_t first = lossy_trace(7), second = lossy_trace(7), other = lossy_trace(8);
    assert_true(first == second);
    assert_true(first != other);
}

int main(void)
{
    support_start_dpdk(256);
    pools[0] = support_pool(PACKETS);
    pools[1] = support_pool(PACKETS);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_start_doubles_the_window_each_round_trip),
        cmocka_unit_test(clean_link_is_filled_to_95_percent),
        cmocka_unit_test(short_queue_costs_no_more_than_the_first_recovery),
        cmocka_unit_test(sawtooth_stays_between_half_and_all_that_the_path_holds),
        cmocka_unit_test(closed_window_is_respected_and_opens_again),
        cmocka_unit_test(same_seed_leaves_the_same_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
