/* Cycles to choose a local port, when none, half and nearly all ports to a destination are taken, for one queue and for four;
 * beside it what was done before: ports tried one after the other from a keyed beginning, at most 4096 of them (RFC 6056,
 * algorithm 3), and with four queues those whose answers come elsewhere passed over. */
#include <stdio.h>
#include <stdlib.h>
#include <x86intrin.h>

#include "stack/route/route.h"
#include "stack/tcp/tcp_port.h"
#include "tests/support/link.h"
#include "tests/support/support.h"

#define ROUNDS 20000

static const struct mr_endpoint backend = {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 198, 18, 0, 9}}, 8080};

static void on_close(struct mr_stream *s, enum mr_close_reason reason)
{
}

static const struct mr_stream_handler handler = {.on_close = on_close};

static bool trying(struct mr_worker *w, const struct port_order *order, struct flow_key *key, uint64_t *counter)
{
    struct tcp *tcp = w->tcp;
    key->local_port = 0;
    uint64_t offset = hash_secure(&w->secret, key, sizeof *key);
    for (unsigned i = 0; i < 4096; i++) {
        key->local_port = (uint16_t)(PORT_FIRST + (offset + (*counter)++) % PORT_COUNT);
        if ((!order || port_order_suits(order, key)) &&
            table_lookup(&tcp->table, key, table_hash(&tcp->table, key)) == FLOW_NONE)
            return true;
    }
    return false;
}

static void measure(struct mr_worker *w, struct flow_key key, unsigned queues, unsigned percent)
{
    const struct port_order *order = w->tcp->ports->order[0];
    uint64_t counter = 0, chosen = 0, tried = 0, failed = 0;
    uint32_t sequence_min;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t start = __rdtsc();
        if (!tcp_port_choose(w, w->netif[0], &key, &sequence_min))
            abort();
        chosen += __rdtsc() - start;
        tcp_port_release(w, &key);
        start = __rdtsc();
        failed += !trying(w, order, &key, &counter);
        tried += __rdtsc() - start;
    }
    printf("%u queue%s, %2u %% taken: %6.0f cycles; one after the other %8.0f%s\n", queues, queues > 1 ? "s" : " ",
           percent, (double)chosen / ROUNDS, (double)tried / ROUNDS, failed ? ", and often none found" : "");
}

static void case_run(struct rte_mempool *pool, unsigned queues)
{
    static struct test_link link;
    static struct test_clock clock;
    static uint8_t key_bytes[40];
    static uint16_t reta[128];
    struct netif *n;
    struct mr_address a;
    unsigned bits, opened = 0;
    for (unsigned i = 0; i < sizeof key_bytes; i++)
        key_bytes[i] = i % 2 ? 0x5a : 0x6d;
    for (unsigned i = 0; i < 128; i++)
        reta[i] = (uint16_t)(i % queues);
    const struct mr_link_rss rss = {key_bytes, sizeof key_bytes, reta, 128, 0, .tcp = true};
    test_clock_init(&clock, 1000 * MR_SECOND);
    test_link_init(&link, "test0", pool);
    link.link.rss = queues > 1 ? &rss : NULL;
    struct mr_worker *w = worker_create(&(struct worker_options){
        .seed = 1, .secret = {1, 2}, .pool = pool, .clock = &clock.clock, .limits = {.connections = PORT_COUNT}});
    if (!w || worker_add_link(w, &link.link, &n) != MR_OK || !mr_prefix_parse("198.18.0.2/24", &a, &bits) ||
        netif_add_address(w, n, &a, bits) != MR_OK)
        exit(1);
    static const unsigned percents[] = {0, 50, 99};
    for (unsigned i = 0; i < 3; i++) {
        for (; opened < PORT_COUNT / queues * percents[i] / 100; opened++) {
            struct mr_stream *s;
            if (mr_connect(w, NULL, &backend, &handler, NULL, NULL, &s) != MR_OK)
                exit(1);
        }
        measure(w, (struct flow_key){a, backend.address, 0, backend.port}, queues, percents[i]);
    }
    worker_destroy(w);
    test_link_empty(&link);
}

int main(void)
{
    support_start_dpdk(128);
    struct rte_mempool *pool = support_pool(8191);
    case_run(pool, 1);
    case_run(pool, 4);
    return 0;
}
