#include "tests/support/host.h"

#include <rte_mempool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/cmocka.h"
#include "tests/support/support.h"

#define HOST_PACKETS 4095

void test_host_start(struct test_host *h, const char *prefix, uint32_t offloads)
{
    static struct rte_mempool *pool;
    support_start_dpdk(128);
    if (!pool)
        pool = support_pool(HOST_PACKETS);
    struct mr_address address;
    unsigned bits;
    memset(h, 0, sizeof *h);
    h->pool = pool;
    test_clock_init(&h->clock, 1000 * MR_SECOND);
    test_link_init(&h->link, "test0", pool);
    h->link.link.offloads = offloads;
    const struct worker_options options = {.seed = 1,
                                           .secret = {1, 2},
                                           .pool = pool,
                                           .clock = &h->clock.clock,
                                           .limits = {.connections = 64, .half_open = 64, .time_wait = 64}};
    h->w = worker_create(&options);
    if (!h->w || worker_add_link(h->w, &h->link.link, &h->netif) != MR_OK ||
        !mr_prefix_parse(prefix, &address, &bits) || netif_add_address(h->w, h->netif, &address, bits) != MR_OK)
        abort();
}

void test_host_stop(struct test_host *h)
{
    worker_destroy(h->w);
    test_link_empty(&h->link);
    if (rte_mempool_avail_count(h->pool) != HOST_PACKETS) {
        fprintf(stderr, "host: %u packets were lost\n", HOST_PACKETS - rte_mempool_avail_count(h->pool));
        abort();
    }
}

void test_host_turn(struct test_host *h)
{
    while (worker_turn(h->w, h->clock.now) > 0)
        ;
}

void test_host_pass(struct test_host *h, mr_time duration)
{
    mr_time end = h->clock.now + duration;
    for (;;) {
        test_host_turn(h);
        mr_time next = worker_next_deadline(h->w);
        if (next > end)
            break;
        h->clock.now = next > h->clock.now ? next : h->clock.now + 1;
    }
    h->clock.now = end;
    test_host_turn(h);
}

void test_host_settle(struct test_host *h)
{
    test_host_pass(h, 15 * MR_SECOND);
    test_link_empty(&h->link);
}

void test_host_in(struct test_host *h, const struct frame *f)
{
    if (!test_link_inject_guarded(&h->link, f->bytes, f->n))
        abort();
    test_host_turn(h);
}

static void print_hex(const char *what, const uint8_t *bytes, size_t n)
{
    fprintf(stderr, "%s (%zu bytes):", what, n);
    for (size_t i = 0; i < n && i < 128; i++)
        fprintf(stderr, "%s%02x", i % 16 ? " " : "\n  ", bytes[i]);
    fputc('\n', stderr);
}

void test_host_expect(struct test_host *h, const struct frame *f)
{
    static uint8_t got[sizeof f->bytes];
    size_t n = test_link_take(&h->link, got, sizeof got);
    if (n == f->n && memcmp(got, f->bytes, n) == 0)
        return;
    print_hex("expected", f->bytes, f->n);
    print_hex("transmitted", got, n);
    fail_msg("the transmitted frame is not the expected one");
}

void test_host_expect_nothing(struct test_host *h)
{
    static uint8_t got[16384];
    size_t n = test_link_take(&h->link, got, sizeof got);
    if (!n)
        return;
    print_hex("transmitted", got, n);
    fail_msg("a frame was transmitted where none was expected");
}

void test_host_learn(struct test_host *h, uint32_t address, const uint8_t mac[6])
{
    static const uint8_t nobody[6];
    struct frame f;
    frame_begin(&f, h->netif->mac, mac, 0x0806);
    frame_arp(&f, 1, mac, address, nobody, mr_address_to_ip4(&h->netif->address[0].address));
    test_host_in(h, &f);
    rte_pktmbuf_free(test_link_take_mbuf(&h->link));
}

uint64_t test_host_drops(const struct test_host *h)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < STAT_COUNT; i++)
        if (stat_descriptions[i].is_drop)
            sum += h->w->stat[i];
    return sum;
}
