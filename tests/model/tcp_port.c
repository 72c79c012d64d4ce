/* Ports chosen so that answers come to this worker's queue, against a hash computed bit by bit as Microsoft describes it ("RSS
 * hashing functions"), verified with the vectors published there: 1 to 8 queues, redirection tables of 64, 128 and 512
 * entries. Every port chosen is right, and every right port is chosen before there is none left. */
#include <millrace/random.h>
#include <stdio.h>
#include <string.h>

#include "stack/route/route.h"
#include "stack/tcp/tcp_port.h"
#include "tests/support/cmocka.h"
#include "tests/support/frame.h"
#include "tests/support/link.h"
#include "tests/support/support.h"

static struct rte_mempool *pool;

static const uint8_t published_key[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                          0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                          0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                          0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

static uint32_t key_bit(const uint8_t *key, unsigned bit)
{
    return key[bit / 8] >> (7 - bit % 8) & 1;
}

static uint32_t slow_hash(const uint8_t *key, uint32_t source, uint32_t destination, uint16_t source_port,
                          uint16_t destination_port)
{
    uint8_t input[12];
    uint32_t hash = 0;
    frame_put_32(input, source);
    frame_put_32(input + 4, destination);
    frame_put_16(input + 8, source_port);
    frame_put_16(input + 10, destination_port);
    for (unsigned i = 0; i < 96; i++)
        if (input[i / 8] >> (7 - i % 8) & 1)
            for (unsigned k = 0; k < 32; k++)
                hash ^= key_bit(key, i + k) << (31 - k);
    return hash;
}

#define IP(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

static void slow_hash_has_the_published_values(void **state)
{
    static const struct {
        uint32_t source, destination;
        uint16_t source_port, destination_port;
        uint32_t hash;
    } vectors[] = {
        {IP(66, 9, 149, 187), IP(161, 142, 100, 80), 2794, 1766, 0x51ccc178},
        {IP(199, 92, 111, 2), IP(65, 69, 140, 83), 14230, 4739, 0xc626b0ea},
        {IP(24, 19, 198, 95), IP(12, 22, 207, 184), 12898, 38024, 0x5c2b394a},
        {IP(38, 27, 205, 30), IP(209, 142, 163, 6), 48228, 2217, 0xafc7327f},
        {IP(153, 39, 163, 191), IP(202, 188, 127, 2), 44251, 1303, 0x10e828a2},
    };
    for (unsigned i = 0; i < sizeof vectors / sizeof *vectors; i++)
        assert_int_equal(slow_hash(published_key, vectors[i].source, vectors[i].destination, vectors[i].source_port,
                                   vectors[i].destination_port),
                         vectors[i].hash);
}

struct ground {
    struct test_link link;
    struct test_clock clock;
    struct mr_link_rss rss;
    uint8_t key[40];
    uint16_t reta[512];
    struct mr_worker *w;
};

static void ground_start(struct ground *g, struct mr_random *r, unsigned queues, unsigned entries, bool symmetric)
{
    struct netif *n;
    struct mr_address a;
    unsigned bits;
    memcpy(g->key, published_key, sizeof g->key);
    for (unsigned i = 0; symmetric && i < sizeof g->key; i++)
        g->key[i] = i % 2 ? 0x5a : 0x6d;
    for (unsigned i = 0; i < entries; i++) /* as drivers set it, or as somebody balanced it */
        g->reta[i] = (uint16_t)(symmetric ? i % queues : mr_random_below(r, queues));
    g->rss = (struct mr_link_rss){g->key,     sizeof g->key, g->reta, entries, (uint16_t)mr_random_below(r, queues),
                                  .tcp = true};
    test_clock_init(&g->clock, 1000 * MR_SECOND);
    test_link_init(&g->link, "test0", pool);
    g->link.link.rss = &g->rss;
    g->w = worker_create(&(struct worker_options){.seed = mr_random_next(r),
                                                  .secret = {mr_random_next(r), 2},
                                                  .pool = pool,
                                                  .clock = &g->clock.clock,
                                                  .limits = {.connections = 64}});
    assert_non_null(g->w);
    assert_int_equal(worker_add_link(g->w, &g->link.link, &n), MR_OK);
    assert_true(mr_prefix_parse("10.9.8.7/8", &a, &bits));
    assert_int_equal(netif_add_address(g->w, n, &a, bits), MR_OK);
}

static void ground_stop(struct ground *g)
{
    worker_destroy(g->w);
    test_link_empty(&g->link);
}

static bool answer_is_ours(const struct ground *g, const struct flow_key *key, unsigned port)
{
    uint32_t hash = slow_hash(g->key, mr_address_to_ip4(&key->remote), mr_address_to_ip4(&key->local), key->remote_port,
                              (uint16_t)port);
    return g->reta[hash & (g->rss.reta_entries - 1)] == g->rss.queue;
}

/* Chooses until none is left; what is chosen must be what the slow hash says. */
static void every_port_to(struct ground *g, struct mr_random *r)
{
    static uint8_t chosen[65536];
    struct flow_key key = {mr_address_ip4(0x0a090807), mr_address_ip4(0x0a000000u | mr_random_below(r, 1u << 24)), 0,
                           (uint16_t)(1 + mr_random_below(r, 65535))};
    uint32_t sequence_min, count = 0;
    memset(chosen, 0, sizeof chosen);
    while (tcp_port_choose(g->w, g->w->netif[0], &key, &sequence_min)) {
        assert_int_equal(chosen[key.local_port]++, 0);
        assert_true(answer_is_ours(g, &key, key.local_port));
        count++;
    }
    unsigned expected = 0;
    for (unsigned port = PORT_FIRST; port < PORT_FIRST + PORT_COUNT; port++)
        expected += answer_is_ours(g, &key, port);
    assert_int_equal(count, expected);
    assert_true(count > 0);
    for (unsigned port = PORT_FIRST; port < PORT_FIRST + PORT_COUNT; port++) {
        key.local_port = (uint16_t)port;
        if (chosen[port])
            tcp_port_release(g->w, &key);
    }
}

static void every_chosen_port_brings_answers_here_and_none_is_missed(void **state)
{
    static struct ground g;
    static const unsigned entries[] = {64, 128, 512};
    struct mr_random r;
    mr_random_seed(&r, 20);
    for (unsigned queues = 1; queues <= 8; queues++)
        for (unsigned e = 0; e < 3; e++)
            for (unsigned symmetric = 0; symmetric < 2; symmetric++) {
                ground_start(&g, &r, queues, entries[e], symmetric);
                every_port_to(&g, &r);
                every_port_to(&g, &r);
                ground_stop(&g);
            }
}

int main(void)
{
    support_start_dpdk(128);
    pool = support_pool(1023);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_hash_has_the_published_values),
        cmocka_unit_test(every_chosen_port_brings_answers_here_and_none_is_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
