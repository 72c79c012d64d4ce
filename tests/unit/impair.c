/* The impairment wrapper around a simulated link with nothing wrong with it: what it does to frames is its own. */
#include "drivers/wrap/impair.h"

#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/sim/sim.h"
#include "tests/support/cmocka.h"
#include "tests/support/support.h"

static struct rte_mempool *pool;

struct bench {
    struct sim *sim;
    struct mr_link *end[2];
    struct mr_link *impaired; /* around end[0] */
};

static struct bench bench_new(const struct impair_options *options)
{
    struct bench b = {.sim = sim_create(1)};
    struct sim_link_options o = {.end = {{.pool = pool}, {.pool = pool}}};
    struct impair_options with_pool = *options;
    with_pool.pool = pool;
    assert_true(sim_link_create(b.sim, &o, b.end));
    b.impaired = impair_wrap(b.end[0], sim_clock(b.sim), &with_pool);
    assert_non_null(b.impaired);
    return b;
}

static void conservation_check(const struct impair_counts *c)
{
    uint64_t out = c->passed + c->held;
    for (unsigned i = 0; i < IMPAIR_DROPS; i++)
        out += c->dropped[i];
    assert_int_equal(c->entered + c->duplicated, out);
}

static void bench_free(struct bench *b)
{
    struct impair_counts in, out;
    impair_counts(b->impaired, &in, &out);
    conservation_check(&in);
    conservation_check(&out);
    b->impaired->close(b->impaired->self);
    sim_destroy(b->sim);
    assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

static struct rte_mbuf *frame(uint32_t number)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
    assert_non_null(m);
    uint8_t *data = (uint8_t *)rte_pktmbuf_append(m, 100);
    if (!data)
        abort();
    memset(data, 0, 100);
    memcpy(data, &number, sizeof number);
    return m;
}

static void send(struct mr_link *l, uint32_t number)
{
    struct rte_mbuf *m = frame(number);
    assert_int_equal(l->transmit(l->self, &m, 1), 1);
}

static unsigned take(struct mr_link *l, uint32_t *numbers, unsigned max)
{
    struct rte_mbuf *burst[8];
    unsigned n = l->receive(l->self, burst, (uint16_t)(max < 8 ? max : 8));
    for (unsigned i = 0; i < n; i++) {
        memcpy(&numbers[i], rte_pktmbuf_mtod(burst[i], void *), 4);
        rte_pktmbuf_free(burst[i]);
    }
    return n;
}

static void delay_holds_both_directions_and_next_tells_when_it_ends(void **state)
{
    struct bench b = bench_new(&(struct impair_options){.in.delay = 3000, .out.delay = 5000});
    mr_time start = sim_now(b.sim);
    uint32_t numbers[8];
    assert_int_equal(b.impaired->next(b.impaired->self), MR_NEVER);

    send(b.impaired, 1);
    assert_int_equal(b.impaired->next(b.impaired->self), start + 5000);
    assert_int_equal(sim_next(b.end[1]), MR_NEVER);
    sim_advance(b.sim, start + 5000);
    assert_int_equal(take(b.impaired, numbers, 8), 0); /* receiving releases what is due to be sent */
    assert_int_equal(take(b.end[1], numbers, 8), 1);
    assert_int_equal(b.impaired->next(b.impaired->self), MR_NEVER);

    send(b.end[1], 2);
    assert_int_equal(take(b.impaired, numbers, 8), 0);
    assert_int_equal(b.impaired->next(b.impaired->self), start + 8000);
    sim_advance(b.sim, start + 7999);
    assert_int_equal(take(b.impaired, numbers, 8), 0);
    sim_advance(b.sim, start + 8000);
    assert_int_equal(take(b.impaired, numbers, 8), 1);
    assert_int_equal(numbers[0], 2);
    bench_free(&b);
}

static void loss_has_the_rate_asked_for_and_seeds_repeat(void **state)
{
    uint64_t lost[3];
    for (unsigned run = 0; run < 3; run++) {
        struct bench b = bench_new(&(struct impair_options){.out.loss = 0.1, .seed = run == 2 ? 8 : 7});
        struct impair_counts in, out;
        uint32_t numbers[8];
        for (uint32_t i = 0; i < 10000; i++) {
            send(b.impaired, i);
            while (take(b.end[1], numbers, 8))
                ;
        }
        impair_counts(b.impaired, &in, &out);
        lost[run] = out.dropped[IMPAIR_DROP_LOSS];
        assert_in_range(lost[run], 850, 1150);
        assert_int_equal(out.passed, 10000 - lost[run]);
        bench_free(&b);
    }
    assert_int_equal(lost[0], lost[1]);
    assert_int_not_equal(lost[0], lost[2]);
}

static void corrupt_shared_frame_leaves_the_owners_bytes_alone(void **state)
{
    struct bench b = bench_new(&(struct impair_options){.out.corrupt = 1});
    struct rte_mbuf *m = frame(0), *got;
    uint8_t zero[100] = {0};
    unsigned flipped = 0;
    rte_mbuf_refcnt_update(m, 1); /* as a retransmission queue does */
    assert_int_equal(b.impaired->transmit(b.impaired->self, &m, 1), 1);
    assert_memory_equal(rte_pktmbuf_mtod(m, void *), zero, 100);
    assert_int_equal(b.end[1]->receive(b.end[1]->self, &got, 1), 1);
    for (unsigned i = 0; i < 100; i++)
        flipped += (unsigned)__builtin_popcount(rte_pktmbuf_mtod(got, uint8_t *)[i]);
    assert_int_equal(flipped, 1);
    rte_pktmbuf_free(got);
    rte_pktmbuf_free(m);
    bench_free(&b);
}

static void corrupt_received_frame_loses_the_devices_word_on_its_checksum(void **state)
{
    struct bench b = bench_new(&(struct impair_options){.in.corrupt = 1});
    struct rte_mbuf *m;
    send(b.end[1], 0);
    assert_int_equal(b.impaired->receive(b.impaired->self, &m, 1), 1);
    assert_int_equal(m->ol_flags & (RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK), 0);
    rte_pktmbuf_free(m);
    bench_free(&b);
}

static void duplicate_frame_arrives_twice(void **state)
{
    struct bench b = bench_new(&(struct impair_options){.out.duplicate = 1});
    uint32_t numbers[8];
    send(b.impaired, 5);
    sim_advance(b.sim, sim_now(b.sim) + MR_MILLISECOND);
    assert_int_equal(take(b.impaired, numbers, 8), 0);
    assert_int_equal(take(b.end[1], numbers, 8), 2);
    assert_int_equal(numbers[0], 5);
    assert_int_equal(numbers[1], 5);
    bench_free(&b);
}

static void rate_spaces_frames_and_the_bounded_queue_drops(void **state)
{
    /* 100 bytes at 800 kb/s: one each millisecond; 4 held */
    struct bench b = bench_new(&(struct impair_options){.out.rate_bits_per_s = 800000, .held_max = 4});
    struct impair_counts in, out;
    uint32_t numbers[8];
    for (uint32_t i = 0; i < 10; i++)
        send(b.impaired, i);
    for (uint32_t i = 0; i < 4; i++) {
        sim_advance(b.sim, sim_now(b.sim) + MR_MILLISECOND);
        assert_int_equal(take(b.impaired, numbers, 8), 0);
        assert_int_equal(take(b.end[1], numbers, 8), 1);
        assert_int_equal(numbers[0], i);
    }
    impair_counts(b.impaired, &in, &out);
    assert_int_equal(out.dropped[IMPAIR_DROP_QUEUE] + out.dropped[IMPAIR_DROP_HELD], 6);
    bench_free(&b);
}

static void delay_more_frames_than_held_are_dropped_and_counted(void **state)
{
    struct bench b = bench_new(&(struct impair_options){.out.delay = 1000, .held_max = 4});
    struct impair_counts in, out;
    for (uint32_t i = 0; i < 10; i++)
        send(b.impaired, i);
    impair_counts(b.impaired, &in, &out);
    assert_int_equal(out.held, 4);
    assert_int_equal(out.dropped[IMPAIR_DROP_HELD], 6);
    struct mr_link_statistics s;
    b.impaired->statistics(b.impaired->self, &s);
    assert_int_equal(s.tx_errors, 6);
    bench_free(&b); /* the held ones are freed */
}

static void transmit_checksum_offloads_are_not_offered(void **state)
{
    struct sim *sim = sim_create(1);
    struct mr_link *end[2];
    struct sim_link_options o = {.end = {{.pool = pool}, {.pool = pool}}};
    assert_true(sim_link_create(sim, &o, end));
    end[0]->offloads = UINT32_MAX;
    struct mr_link *l = impair_wrap(end[0], sim_clock(sim), &(struct impair_options){.pool = pool});
    assert_int_equal(l->offloads & (MR_LINK_TX_IP4_CHECKSUM | MR_LINK_TX_TCP_CHECKSUM | MR_LINK_TX_UDP_CHECKSUM), 0);
    assert_int_not_equal(l->offloads & MR_LINK_TX_MULTI_SEGMENT, 0);
    l->close(l->self);
    sim_destroy(sim);
}

/* A device that takes `room` frames. */
static unsigned room;
static uint16_t (*inner_transmit)(void *, struct rte_mbuf **, uint16_t);

static uint16_t transmit_bounded(void *self, struct rte_mbuf **burst, uint16_t n)
{
    uint16_t k = n < room ? n : (uint16_t)room;
    room -= k;
    return k ? inner_transmit(self, burst, k) : 0;
}

static void full_device_keeps_frames_in_order_and_is_tried_again_soon(void **state)
{
    struct bench b = bench_new(&(struct impair_options){0});
    uint32_t numbers[8];
    inner_transmit = b.end[0]->transmit;
    b.end[0]->transmit = transmit_bounded;
    room = 1;
    for (uint32_t i = 0; i < 3; i++)
        send(b.impaired, i);
    mr_time next = b.impaired->next(b.impaired->self);
    assert_in_range(next, sim_now(b.sim) + 1, sim_now(b.sim) + MR_MILLISECOND);
    assert_int_equal(take(b.end[1], numbers, 8), 1);
    room = 8;
    sim_advance(b.sim, next);
    assert_int_equal(take(b.impaired, numbers, 8), 0);
    assert_int_equal(take(b.end[1], numbers, 8), 2);
    assert_int_equal(numbers[0], 1);
    assert_int_equal(numbers[1], 2);
    bench_free(&b);
}

int main(void)
{
    support_start_dpdk(64);
    pool = support_pool(1024);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delay_holds_both_directions_and_next_tells_when_it_ends),
        cmocka_unit_test(loss_has_the_rate_asked_for_and_seeds_repeat),
        cmocka_unit_test(corrupt_shared_frame_leaves_the_owners_bytes_alone),
        cmocka_unit_test(corrupt_received_frame_loses_the_devices_word_on_its_checksum),
        cmocka_unit_test(duplicate_frame_arrives_twice),
        cmocka_unit_test(rate_spaces_frames_and_the_bounded_queue_drops),
        cmocka_unit_test(delay_more_frames_than_held_are_dropped_and_counted),
        cmocka_unit_test(transmit_checksum_offloads_are_not_offered),
        cmocka_unit_test(full_device_keeps_frames_in_order_and_is_tried_again_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
