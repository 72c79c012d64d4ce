/* The simulated network: order, rates, loss, conservation, and that a seed repeats a run bit for bit. */
#include "drivers/sim/sim.h"

#include <rte_mbuf.h>
#include <string.h>

#include "drivers/sim/mark.h"
#include "drivers/sim/schedule.h"
#include "tests/support/cmocka.h"
#include "tests/support/support.h"

static struct rte_mempool *pool;

struct network {
    struct sim *sim;
    struct mr_link *end[2];
};

static struct network network_new(uint64_t seed, const struct path_options *path)
{
    struct network n = {.sim = sim_create(seed)};
    struct sim_link_options o = {.end = {{.pool = pool, .out = *path}, {.pool = pool, .out = *path}}, .mtu = 9000};
    assert_non_null(n.sim);
    assert_true(sim_link_create(n.sim, &o, n.end));
    return n;
}

/* A frame of `bytes` that carries `number` in its first four and a pattern made of it in the rest. */
static void frame_put(struct network *n, unsigned from, uint32_t number, uint16_t bytes)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
    assert_non_null(m);
    uint8_t *data = (uint8_t *)rte_pktmbuf_append(m, bytes);
    assert_non_null(data);
    memset(data, (int)(number & 0xff), bytes);
    memcpy(data, &number, sizeof number);
    assert_int_equal(n->end[from]->transmit(n->end[from]->self, &m, 1), 1);
}

/* Everything that has arrived at end `to`: the numbers, at most `max`. */
static unsigned frames_take(struct network *n, unsigned to, uint32_t *numbers, unsigned max)
{
    unsigned count = 0;
    struct rte_mbuf *m;
    while (count < max && n->end[to]->receive(n->end[to]->self, &m, 1)) {
        memcpy(&numbers[count++], rte_pktmbuf_mtod(m, void *), 4);
        rte_pktmbuf_free(m);
    }
    return count;
}

/* Sends `total` frames one each `gap`, receives whatever arrives in between and at the end; returns how many came. */
static unsigned run(struct network *n, unsigned total, uint16_t bytes, mr_time gap, uint32_t *numbers, unsigned max)
{
    unsigned got = 0;
    for (uint32_t i = 0; i < total; i++) {
        frame_put(n, 0, i, bytes);
        sim_advance(n->sim, sim_now(n->sim) + gap);
        got += frames_take(n, 1, numbers + got, max - got);
    }
    while (sim_next_any(n->sim) != MR_NEVER) {
        sim_advance(n->sim, sim_next_any(n->sim) > sim_now(n->sim) ? sim_next_any(n->sim) : sim_now(n->sim));
        got += frames_take(n, 1, numbers + got, max - got);
    }
    sim_check(n->sim);
    return got;
}

static unsigned descents(const uint32_t *numbers, unsigned n)
{
    unsigned count = 0;
    for (unsigned i = 1; i < n; i++)
        count += numbers[i] < numbers[i - 1];
    return count;
}

#define MANY 20000
static uint32_t numbers[2 * MANY];

static void path_delay_and_rate_give_exact_arrival(void **state)
{
    /* 1250 bytes at 10 Mb/s last 1 ms; the second waits for the first */
    struct network n =
        network_new(1, &(struct path_options){.rate_bits_per_s = 10000000, .delay = 20 * MR_MILLISECOND});
    mr_time start = sim_now(n.sim);
    frame_put(&n, 0, 1, 1250);
    frame_put(&n, 0, 2, 1250);
    assert_int_equal(sim_next(n.end[1]), start + 21 * MR_MILLISECOND);
    assert_int_equal(sim_next(n.end[0]), MR_NEVER);
    sim_advance(n.sim, start + 21 * MR_MILLISECOND - 1);
    assert_int_equal(frames_take(&n, 1, numbers, 9), 0);
    sim_advance(n.sim, start + 21 * MR_MILLISECOND);
    assert_int_equal(frames_take(&n, 1, numbers, 9), 1);
    assert_int_equal(numbers[0], 1);
    assert_int_equal(sim_next(n.end[1]), start + 22 * MR_MILLISECOND);
    assert_int_equal(n.end[1]->next(n.end[1]->self), sim_next(n.end[1]));
    sim_destroy(n.sim);
}

static void path_full_queue_drops_the_newest(void **state)
{
    struct network n = network_new(1, &(struct path_options){.rate_bits_per_s = 1000000, .queue_packets = 3});
    for (uint32_t i = 0; i < 10; i++)
        frame_put(&n, 0, i, 100);
    struct sim_counts c;
    sim_counts(n.end[0], &c);
    assert_int_equal(c.dropped[SIM_DROP_QUEUE], 7);
    sim_advance(n.sim, sim_now(n.sim) + 800 * MR_MICROSECOND); /* one has left */
    frame_put(&n, 0, 10, 100);
    frame_put(&n, 0, 11, 100);
    sim_counts(n.end[0], &c);
    assert_int_equal(c.dropped[SIM_DROP_QUEUE], 8);
    sim_advance(n.sim, sim_now(n.sim) + MR_SECOND);
    const uint32_t expected[] = {0, 1, 2, 10};
    assert_int_equal(frames_take(&n, 1, numbers, 99), 4);
    assert_memory_equal(numbers, expected, sizeof expected);
    sim_check(n.sim);
    sim_destroy(n.sim);
}

static void path_byte_limit_passes_one_frame_larger_than_itself(void **state)
{
    struct network n = network_new(1, &(struct path_options){.rate_bits_per_s = 1000000, .queue_bytes = 100});
    frame_put(&n, 0, 0, 1000);
    frame_put(&n, 0, 1, 60);
    struct sim_counts c;
    sim_counts(n.end[0], &c);
    assert_int_equal(c.dropped[SIM_DROP_QUEUE], 1);
    sim_destroy(n.sim);
}

static void path_random_loss_has_the_rate_asked_for(void **state)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct network n = network_new(seed, &(struct path_options){.loss = 0.05});
        unsigned got = run(&n, MANY, 60, 1000, numbers, 2 * MANY);
        /* mean 1000 lost, standard deviation 31: five of them */
        assert_in_range(MANY - got, 845, 1155);
        assert_int_equal(descents(numbers, got), 0);
        sim_destroy(n.sim);
    }
}

static void path_burst_loss_comes_in_bursts_of_the_mean_length_asked_for(void **state)
{
    struct network n = network_new(3, &(struct path_options){.burst_enter = 0.01, .burst_leave = 0.2, .burst_loss = 1});
    unsigned got = run(&n, MANY, 60, 1000, numbers, 2 * MANY), gaps = 0;
    for (unsigned i = 1; i < got; i++)
        gaps += numbers[i] != numbers[i - 1] + 1;
    unsigned lost = MANY - got;
    /* stationary share in the bad state 0.01 / 0.21 = 4.8 %; mean burst 5 */
    assert_in_range(lost, MANY * 35 / 1000, MANY * 60 / 1000);
    assert_in_range(lost * 10 / gaps, 40, 60);
    sim_destroy(n.sim);
}

static void path_jitter_without_reorder_keeps_order(void **state)
{
    struct path_options p = {.delay = MR_MILLISECOND, .jitter = 5 * MR_MILLISECOND};
    struct network n = network_new(4, &p);
    assert_int_equal(run(&n, MANY, 60, 10000, numbers, 2 * MANY), MANY);
    assert_int_equal(descents(numbers, MANY), 0);
    sim_destroy(n.sim);

    p.jitter_reorders = true;
    n = network_new(4, &p);
    assert_int_equal(run(&n, MANY, 60, 10000, numbers, 2 * MANY), MANY);
    assert_in_range(descents(numbers, MANY), MANY / 4, MANY);
    sim_destroy(n.sim);
}

static void path_reorder_lets_the_share_asked_for_be_overtaken(void **state)
{
    struct network n = network_new(5, &(struct path_options){.reorder = 0.1, .reorder_delay = 25000});
    assert_int_equal(run(&n, MANY, 60, 10000, numbers, 2 * MANY), MANY);
    assert_in_range(descents(numbers, MANY), MANY * 7 / 100, MANY * 11 / 100);
    sim_destroy(n.sim);
}

static void path_duplicates_are_counted_and_delivered(void **state)
{
    struct network n = network_new(6, &(struct path_options){.duplicate = 0.1, .delay = 1000});
    unsigned got = run(&n, MANY, 60, 1000, numbers, 2 * MANY);
    struct sim_counts c;
    sim_counts(n.end[0], &c);
    assert_int_equal(got, MANY + c.duplicated);
    assert_in_range(c.duplicated, 1780, 2220);
    sim_destroy(n.sim);
}

static void path_corruption_flips_exactly_one_bit(void **state)
{
    struct network n = network_new(7, &(struct path_options){.corrupt = 1});
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t expected[200];
        struct rte_mbuf *m;
        unsigned flipped = 0;
        frame_put(&n, 0, 0x55555555, sizeof expected);
        memset(expected, 0x55, sizeof expected);
        assert_int_equal(n.end[1]->receive(n.end[1]->self, &m, 1), 1);
        assert_int_equal(m->pkt_len, sizeof expected);
        for (unsigned k = 0; k < sizeof expected; k++)
            flipped += (unsigned)__builtin_popcount(expected[k] ^ rte_pktmbuf_mtod(m, uint8_t *)[k]);
        assert_int_equal(flipped, 1);
        rte_pktmbuf_free(m);
    }
    sim_destroy(n.sim);
}

static void sim_same_seed_same_trace_other_seed_another(void **state)
{
    const struct path_options p = {.rate_bits_per_s = 5000000,
                                   .delay = 3 * MR_MILLISECOND,
                                   .jitter = MR_MILLISECOND,
                                   .jitter_reorders = true,
                                   .queue_packets = 20,
                                   .loss = 0.02,
                                   .burst_enter = 0.01,
                                   .burst_leave = 0.5,
                                   .burst_loss = 0.5,
                                   .reorder = 0.02,
                                   .reorder_delay = MR_MILLISECOND,
                                   .duplicate = 0.02,
                                   .corrupt = 0.02};
    uint64_t hash[3];
    for (unsigned i = 0; i < 3; i++) {
        struct network n = network_new(i == 2 ? 43 : 42, &p);
        run(&n, 3000, 500, 700000, numbers, 2 * MANY);
        hash[i] = sim_trace_hash(n.sim);
        sim_destroy(n.sim);
    }
    assert_true(hash[0] == hash[1]);
    assert_false(hash[0] == hash[2]);
}

static void receive_exhausted_pool_counts_missed_and_recovers(void **state)
{
    struct rte_mempool *small = rte_pktmbuf_pool_create("small", 8, 0, 0, 2048, SOCKET_ID_ANY);
    struct rte_mbuf *held[8];
    struct network n = {.sim = sim_create(1)};
    struct sim_link_options o = {.end = {{.pool = pool}, {.pool = small}}};
    assert_true(sim_link_create(n.sim, &o, n.end));
    for (uint32_t i = 0; i < 12; i++)
        frame_put(&n, 0, i, 100);
    assert_int_equal(n.end[1]->receive(n.end[1]->self, held, 8), 8);
    assert_int_equal(frames_take(&n, 1, numbers, 9), 0);
    struct mr_link_statistics s;
    n.end[1]->statistics(n.end[1]->self, &s);
    assert_int_equal(s.rx_missed, 4);
    assert_int_equal(s.rx_packets, 8);
    sim_check(n.sim);
    rte_pktmbuf_free_bulk(held, 8);
    frame_put(&n, 0, 77, 100);
    assert_int_equal(frames_take(&n, 1, numbers, 9), 1);
    assert_int_equal(rte_mempool_avail_count(small), 8);
    sim_destroy(n.sim);
}

static void receive_frame_longer_than_a_packet_comes_as_a_chain(void **state)
{
    struct network n = network_new(1, &(struct path_options){0});
    struct rte_mbuf *head = NULL, *m;
    uint8_t expected[6000], got[6000];
    for (unsigned i = 0; i < sizeof expected; i++)
        expected[i] = (uint8_t)(i * 7);
    for (unsigned i = 0; i < 4; i++) { /* sent as a chain too */
        m = rte_pktmbuf_alloc(pool);
        memcpy(rte_pktmbuf_append(m, 1500), expected + 1500 * i, 1500);
        if (!head)
            head = m;
        else
            assert_int_equal(rte_pktmbuf_chain(head, m), 0);
    }
    n.end[1]->transmit(n.end[1]->self, &head, 1);
    assert_int_equal(n.end[0]->receive(n.end[0]->self, &m, 1), 1);
    assert_int_equal(m->pkt_len, 6000);
    rte_mbuf_sanity_check(m, 1);
    assert_memory_equal(rte_pktmbuf_read(m, 0, 6000, got), expected, 6000);
    rte_pktmbuf_free(m);
    sim_destroy(n.sim);
}

static bool every_third(void *argument, mr_time now, uint8_t *frame, uint32_t bytes)
{
    unsigned *seen = argument;
    frame[4] = 0xee;
    return ++*seen % 3 != 0;
}

static void filter_drops_and_changes_frames(void **state)
{
    struct network n = network_new(1, &(struct path_options){0});
    unsigned seen = 0;
    sim_filter_set(n.end[0], every_third, &seen);
    for (uint32_t i = 0; i < 9; i++)
        frame_put(&n, 0, i, 60);
    struct rte_mbuf *m;
    assert_int_equal(n.end[1]->receive(n.end[1]->self, &m, 1), 1);
    assert_int_equal(rte_pktmbuf_mtod(m, uint8_t *)[4], 0xee);
    rte_pktmbuf_free(m);
    const uint32_t expected[] = {1, 3, 4, 6, 7};
    assert_int_equal(frames_take(&n, 1, numbers, 99), 5);
    assert_memory_equal(numbers, expected, sizeof expected);
    struct sim_counts c;
    sim_counts(n.end[0], &c);
    assert_int_equal(c.dropped[SIM_DROP_FILTERED], 3);
    sim_check(n.sim);
    sim_destroy(n.sim);
}

static void close_loses_what_is_under_way_and_after(void **state)
{
    struct network n = network_new(1, &(struct path_options){.delay = 1000});
    struct rte_mbuf *m;
    frame_put(&n, 0, 1, 60);
    n.end[1]->close(n.end[1]->self);
    frame_put(&n, 0, 2, 60);
    sim_advance(n.sim, sim_now(n.sim) + MR_SECOND);
    assert_int_equal(n.end[1]->receive(n.end[1]->self, &m, 1), 0);
    struct sim_counts c;
    sim_counts(n.end[0], &c);
    assert_int_equal(c.dropped[SIM_DROP_CLOSED], 2);
    sim_check(n.sim);
    sim_destroy(n.sim);
}

static void frame_longer_than_the_mtu_is_dropped(void **state)
{
    struct network n = {.sim = sim_create(1)};
    struct sim_link_options o = {.end = {{.pool = pool}, {.pool = pool}}, .mtu = 300};
    assert_true(sim_link_create(n.sim, &o, n.end));
    frame_put(&n, 0, 1, 314);
    frame_put(&n, 0, 2, 315);
    assert_int_equal(frames_take(&n, 1, numbers, 9), 1);
    assert_int_equal(numbers[0], 1);
    sim_destroy(n.sim);
}

static void mark_sets_ce_on_ect_only_and_keeps_the_checksum(void **state)
{
    static const struct {
        uint8_t traffic_class;
        bool marked;
    } table[] = {{0x00, false}, {0x01, true}, {0x02, true}, {0x03, true}, {0xb8, false}, {0xba, true}};
    for (unsigned i = 0; i < sizeof table / sizeof *table; i++) {
        uint8_t frame[34] = {[12] = 0x08, [14] = 0x45, table[i].traffic_class,
                             0,           20,          1,
                             2,           0x40,        0,
                             64,          6,           0,
                             0,           10,          0,
                             0,           1,           10,
                             0,           0,           2};
        uint32_t sum = 0;
        for (unsigned k = 14; k < 34; k += 2)
            sum += (uint32_t)frame[k] << 8 | frame[k + 1];
        sum = (sum & 0xffff) + (sum >> 16);
        frame[24] = (uint8_t)(~sum >> 8);
        frame[25] = (uint8_t)~sum;
        assert_int_equal(mark_ce(frame, sizeof frame), table[i].marked);
        assert_int_equal(frame[15], table[i].marked ? table[i].traffic_class | 3 : table[i].traffic_class);
        sum = 0;
        for (unsigned k = 14; k < 34; k += 2)
            sum += (uint32_t)frame[k] << 8 | frame[k + 1];
        sum = (sum & 0xffff) + (sum >> 16);
        assert_int_equal(sum, 0xffff);
    }
}

static void options_out_of_range_are_refused(void **state)
{
    struct sim *s = sim_create(1);
    struct mr_link *end[2];
    struct sim_link_options o = {.end = {{.pool = pool, .out = {.loss = 1.5}}, {.pool = pool}}};
    assert_false(sim_link_create(s, &o, end));
    o.end[0].out = (struct path_options){.burst_enter = 0.1}; /* no way out of the bad state */
    assert_false(sim_link_create(s, &o, end));
    sim_destroy(s);
}

static void schedule_random_operations_match_a_sorted_list(void **state)
{
    struct schedule s;
    struct mr_random r;
    mr_time last = 0;
    uintptr_t last_item = 0;
    unsigned taken = 0;
    mr_random_seed(&r, 9);
    assert_true(schedule_init(&s, 1, true));
    for (uintptr_t i = 1; i <= 5000; i++)
        assert_true(schedule_put(&s, mr_random_below(&r, 500), (void *)i));
    while (s.count) {
        mr_time at = schedule_next(&s);
        uintptr_t item = (uintptr_t)schedule_take(&s, at);
        assert_true(at > last || (at == last && item > last_item)); /* by time, then by insertion */
        last = at;
        last_item = item;
        taken++;
    }
    assert_int_equal(taken, 5000);
    assert_int_equal(schedule_next(&s), MR_NEVER);
    schedule_free(&s);
    assert_true(schedule_init(&s, 2, false));
    assert_true(schedule_put(&s, 1, &s));
    assert_true(schedule_put(&s, 1, &s));
    assert_false(schedule_put(&s, 1, &s));
    schedule_free(&s);
}

int main(void)
{
    support_start_dpdk(64);
    pool = support_pool(1024);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(path_delay_and_rate_give_exact_arrival),
        cmocka_unit_test(path_full_queue_drops_the_newest),
        cmocka_unit_test(path_byte_limit_passes_one_frame_larger_than_itself),
        cmocka_unit_test(path_random_loss_has_the_rate_asked_for),
        cmocka_unit_test(path_burst_loss_comes_in_bursts_of_the_mean_length_asked_for),
        cmocka_unit_test(path_jitter_without_reorder_keeps_order),
        cmocka_unit_test(path_reorder_lets_the_share_asked_for_be_overtaken),
        cmocka_unit_test(path_duplicates_are_counted_and_delivered),
        cmocka_unit_test(path_corruption_flips_exactly_one_bit),
        cmocka_unit_test(sim_same_seed_same_trace_other_seed_another),
        cmocka_unit_test(receive_exhausted_pool_counts_missed_and_recovers),
        cmocka_unit_test(receive_frame_longer_than_a_packet_comes_as_a_chain),
        cmocka_unit_test(filter_drops_and_changes_frames),
        cmocka_unit_test(close_loses_what_is_under_way_and_after),
        cmocka_unit_test(frame_longer_than_the_mtu_is_dropped),
        cmocka_unit_test(mark_sets_ce_on_ect_only_and_keeps_the_checksum),
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(schedule_random_operations_match_a_sorted_list),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return rte_mempool_avail_count(pool) == 1024 ? failed : 1;
}
