/* Routes, our own addresses, cached paths and path_out: what is chosen, and what leaves, flags included. */
#include <rte_mbuf.h>
#include <string.h>

#include "stack/ip4/ip4_wire.h"
#include "stack/route/route_private.h"
#include "tests/support/cmocka.h"
#include "tests/support/host.h"
#include "tests/support/tcp_recorder.h"

#define OURS 0xc6120002u
#define PEER 0xc6120001u

static const uint8_t OUR_MAC[6] = {2, 0, 0, 0, 0, 2}, PEER_MAC[6] = {2, 0, 0, 0, 0, 1};

static struct test_host host;

static int start(void **state)
{
    test_host_start(&host, "198.18.0.2/24", 0);
    test_host_settle(&host);
    test_host_learn(&host, PEER, PEER_MAC);
    return 0;
}

static int stop(void **state)
{
    worker_check(host.w);
    test_host_stop(&host);
    return 0;
}

static struct mr_address address(const char *text)
{
    struct mr_address a;
    assert_true(mr_address_parse(text, &a));
    return a;
}

static int add_route(const char *prefix, const char *gateway, struct netif *n)
{
    struct mr_address a, via = gateway ? address(gateway) : mr_address_any();
    unsigned bits;
    assert_true(mr_prefix_parse(prefix, &a, &bits));
    return route_add(host.w, &a, bits, &via, n);
}

static int add_address(const char *prefix)
{
    struct mr_address a;
    unsigned bits;
    assert_true(mr_prefix_parse(prefix, &a, &bits));
    return netif_add_address(host.w, host.netif, &a, bits);
}

/* "next hop from source", or "none". */
static const char *looked_up(const char *destination)
{
    static char text[2 * MR_ADDRESS_TEXT_MAX + 8];
    char hop[MR_ADDRESS_TEXT_MAX], source[MR_ADDRESS_TEXT_MAX];
    struct mr_address to = address(destination);
    struct route_result r;
    if (!route_lookup(host.w, &to, &r))
        return "none";
    assert_ptr_equal(r.netif, host.netif);
    snprintf(text, sizeof text, "%s from %s", mr_address_text(&r.next_hop, hop), mr_address_text(&r.source, source));
    return text;
}

static void longest_prefix_wins_and_gateways_are_next_hops(void **state)
{
    assert_string_equal(looked_up("198.18.0.77"), "198.18.0.77 from 198.18.0.2");
    assert_string_equal(looked_up("10.1.2.3"), "none");
    assert_int_equal(add_route("0.0.0.0/0", "198.18.0.1", NULL), MR_OK);
    assert_int_equal(add_route("10.0.0.0/8", "198.18.0.5", NULL), MR_OK);
    assert_int_equal(add_route("10.1.2.3/32", "198.18.0.6", host.netif), MR_OK);
    assert_string_equal(looked_up("8.8.8.8"), "198.18.0.1 from 198.18.0.2");
    assert_string_equal(looked_up("10.1.2.4"), "198.18.0.5 from 198.18.0.2");
    assert_string_equal(looked_up("10.1.2.3"), "198.18.0.6 from 198.18.0.2");
    assert_string_equal(looked_up("2001:db8::1"), "none");                /* 0.0.0.0/0 is not ::/0 */
    assert_int_equal(add_route("10.0.0.0/8", "198.18.0.7", NULL), MR_OK); /* replaces */
    assert_string_equal(looked_up("10.9.9.9"), "198.18.0.7 from 198.18.0.2");
    struct mr_address ten = address("10.0.0.0");
    assert_int_equal(route_remove(host.w, &ten, 8), MR_OK);
    assert_int_equal(route_remove(host.w, &ten, 8), MR_ERROR_UNKNOWN);
    assert_string_equal(looked_up("10.9.9.9"), "198.18.0.1 from 198.18.0.2");
}

static void routes_that_cannot_be_are_refused(void **state)
{
    assert_int_equal(add_route("10.0.0.0/8", "10.0.0.1", NULL), MR_ERROR_NO_ROUTE);  /* not on-link */
    assert_int_equal(add_route("10.0.0.0/8", "198.18.0.2", NULL), MR_ERROR_INVALID); /* ourselves */
    assert_int_equal(add_route("10.0.0.0/8", "198.18.0.255", NULL), MR_ERROR_INVALID);
    assert_int_equal(add_route("10.0.0.0/8", "224.0.0.1", NULL), MR_ERROR_INVALID);
    assert_int_equal(add_route("2001:db8::/32", "198.18.0.1", NULL), MR_ERROR_INVALID);
    assert_int_equal(add_route("10.0.0.0/8", NULL, NULL), MR_ERROR_INVALID);
    struct mr_address a = address("10.0.0.0"), any = mr_address_any();
    assert_int_equal(route_add(host.w, &a, 33, &any, host.netif), MR_ERROR_INVALID);
    for (uint32_t i = 0; i < ROUTE_MAX - 1; i++) { /* one is the interface's own */
        a = mr_address_ip4(0x0a000000 + (i << 8));
        assert_int_equal(route_add(host.w, &a, 24, &any, host.netif), MR_OK);
    }
    assert_int_equal(add_route("11.0.0.0/8", NULL, host.netif), MR_ERROR_NO_MEMORY);
    a = mr_address_ip4(0x0a000000);
    assert_int_equal(route_remove(host.w, &a, 24), MR_OK);
    assert_int_equal(add_route("11.0.0.0/8", NULL, host.netif), MR_OK);
}

static void source_is_the_longest_prefix_with_the_next_hop_then_the_first(void **state)
{
    assert_int_equal(add_address("198.18.0.3/25"), MR_OK);
    assert_int_equal(add_address("198.18.0.4/25"), MR_OK);
    assert_int_equal(add_address("10.0.0.1/8"), MR_OK);
    assert_string_equal(looked_up("198.18.0.77"), "198.18.0.77 from 198.18.0.3");
    assert_string_equal(looked_up("198.18.0.200"), "198.18.0.200 from 198.18.0.2");
    assert_string_equal(looked_up("10.200.0.1"), "10.200.0.1 from 10.0.0.1");
    assert_int_equal(add_route("172.16.0.0/12", NULL, host.netif), MR_OK);
    assert_string_equal(looked_up("172.16.1.1"), "172.16.1.1 from 198.18.0.2");
}

static void addresses_that_no_host_can_have_are_refused(void **state)
{
    static const struct {
        const char *prefix;
        int error;
    } cases[] = {
        {"198.18.0.2/24", MR_ERROR_IN_USE},
        {"0.0.0.0/0", MR_ERROR_INVALID},
        {"127.0.0.1/8", MR_ERROR_INVALID},
        {"224.0.0.1/4", MR_ERROR_INVALID},
        {"198.18.9.255/24", MR_ERROR_INVALID},
        {"255.255.255.255/32", MR_ERROR_INVALID},
        {"10.0.0.1/31", MR_OK},
        {"10.0.1.1/32", MR_OK},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
        if (add_address(cases[i].prefix) != cases[i].error)
            fail_msg("%s", cases[i].prefix);
    for (unsigned i = host.netif->address_count; i < NETIF_ADDRESS_MAX; i++) {
        struct mr_address a = mr_address_ip4(0x0b000001 + (i << 8));
        assert_int_equal(netif_add_address(host.w, host.netif, &a, 24), MR_OK);
    }
    assert_int_equal(add_address("12.0.0.1/8"), MR_ERROR_NO_MEMORY);
}

static void groups_are_multicast_limited_and_subnet_broadcast(void **state)
{
    static const struct {
        const char *address;
        bool group, local;
    } cases[] = {
        {"198.18.0.255", true, false}, {"198.18.1.255", false, false}, {"255.255.255.255", true, false},
        {"224.0.0.251", true, false},  {"239.1.1.1", true, false},     {"198.18.0.2", false, true},
        {"198.18.0.0", false, false},  {"10.0.0.0", false, true},      {"10.0.0.1", false, false},
        {"10.0.1.1", false, true},     {"ff02::1", true, false},       {"fe80::1", false, false},
    };
    assert_int_equal(add_address("10.0.0.0/31"), MR_OK); /* RFC 3021: both are hosts */
    assert_int_equal(add_address("10.0.1.1/32"), MR_OK);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mr_address a = address(cases[i].address);
        if (route_is_group(host.w, &a) != cases[i].group || route_is_local(host.w, &a) != cases[i].local)
            fail_msg("%s", cases[i].address);
    }
}

static struct rte_mbuf *payload(size_t n)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(host.pool);
    struct frame f = {0};
    frame_fill(&f, n);
    memset(f.bytes + 16, 0, n >= 18 ? 2 : 0); /* TCP's checksum field */
    memcpy(rte_pktmbuf_append(m, (uint16_t)n), f.bytes, n);
    return m;
}

static void out(struct rte_mbuf *m, uint32_t to, uint8_t protocol)
{
    struct mr_address any = mr_address_any(), remote = mr_address_ip4(to);
    path_out(host.w, m, &any, &remote, &(struct path_options){.protocol = protocol});
    test_host_turn(&host);
}

static struct frame *expected_segment(uint32_t to, const uint8_t mac[6], size_t n)
{
    static struct frame f;
    frame_begin(&f, mac, OUR_MAC, 0x0800);
    frame_ip4(&f, OURS, to, 6);
    frame_fill(&f, n);
    frame_end(&f);
    return &f;
}

static void segment_leaves_with_headers_and_checksums(void **state)
{
    for (size_t n = 20; n <= 1480; n += 73) {
        out(payload(n), PEER, IP_TCP);
        test_host_expect(&host, expected_segment(PEER, PEER_MAC, n));
    }
}

static void device_computes_what_it_offers(void **state)
{
    host.netif->offloads = MR_LINK_TX_TCP_CHECKSUM | MR_LINK_TX_IP4_CHECKSUM;
    out(payload(100), PEER, IP_TCP);
    struct rte_mbuf *m = test_link_take_mbuf(&host.link);
    const uint8_t *bytes = rte_pktmbuf_mtod(m, const uint8_t *);
    assert_int_equal(m->ol_flags, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM);
    assert_int_equal(m->l2_len, 14);
    assert_int_equal(m->l3_len, 20);
    assert_int_equal(frame_get_16(bytes + 14 + 10), 0);
    /* The pseudo-header's sum, not complemented. */
    uint8_t pseudo[12] = {0};
    memcpy(pseudo, bytes + 14 + 12, 8);
    pseudo[9] = IP_TCP;
    pseudo[11] = 100;
    assert_int_equal(frame_get_16(bytes + 34 + 16), (uint16_t)~frame_checksum(0, pseudo, sizeof pseudo));
    rte_pktmbuf_free(m);
}

static void chain_is_copied_for_a_link_that_takes_none(void **state)
{
    for (unsigned offered = 0; offered < 2; offered++) {
        host.netif->offloads = offered ? MR_LINK_TX_MULTI_SEGMENT : 0;
        struct rte_mbuf *whole = payload(701), *head = rte_pktmbuf_alloc(host.pool),
                        *tail = rte_pktmbuf_alloc(host.pool);
        const uint8_t *bytes = rte_pktmbuf_mtod(whole, const uint8_t *);
        memcpy(rte_pktmbuf_append(head, 33), bytes, 33); /* odd: the sum goes on in the middle of a word */
        memcpy(rte_pktmbuf_append(tail, 668), bytes + 33, 668);
        rte_pktmbuf_free(whole);
        rte_pktmbuf_chain(head, tail);
        out(head, PEER, IP_TCP);
        struct rte_mbuf *m = host.link.sent.frame[host.link.sent.head % TEST_LINK_FRAMES];
        assert_int_equal(m->nb_segs, offered ? 2 : 1);
        test_host_expect(&host, expected_segment(PEER, PEER_MAC, 701));
    }
    assert_int_equal(host.w->stat[STAT_route_linearised], 1);
}

static void what_cannot_be_sent_is_dropped_with_its_reason(void **state)
{
    struct mr_address any = mr_address_any(), six = address("2001:db8::1");
    out(payload(1481), PEER, IP_TCP);
    assert_int_equal(host.w->stat[DROP_route_too_big], 1);
    out(payload(20), 0x08080808, IP_TCP);
    assert_int_equal(host.w->stat[DROP_route_no_route], 1);
    path_out(host.w, payload(20), &any, &six, &(struct path_options){.protocol = IP_TCP});
    assert_int_equal(host.w->stat[DROP_route_no_ip6], 1);
    struct rte_mbuf *m = payload(20);
    rte_pktmbuf_prepend(m, rte_pktmbuf_headroom(m) - 19);
    out(m, PEER, IP_TCP);
    assert_int_equal(host.w->stat[DROP_route_no_headroom], 1);
    host.netif->mtu = 9000;
    m = payload(2000);
    rte_pktmbuf_chain(m, payload(2000));
    out(m, PEER, IP_TCP);
    assert_int_equal(host.w->stat[DROP_route_not_linear], 1);
    assert_int_equal(test_host_drops(&host), 5);
    test_host_expect_nothing(&host);
}

static void groups_need_no_neighbour(void **state)
{
    static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, group[6] = {1, 0, 0x5e, 0x7f, 1, 2};
    out(payload(20), 0xc61200ff, IP_TCP);
    test_host_expect(&host, expected_segment(0xc61200ff, everybody, 20));
    out(payload(20), 0xffffffff, IP_TCP);
    test_host_expect(&host, expected_segment(0xffffffff, everybody, 20));
    assert_int_equal(add_route("224.0.0.0/4", NULL, host.netif), MR_OK);
    out(payload(20), 0xe1ff0102, IP_TCP);
    struct frame *f = expected_segment(0xe1ff0102, group, 20);
    f->bytes[14 + 8] = 1; /* RFC 1112 6.1 */
    frame_ip4_checksum(f);
    test_host_expect(&host, f);
}

static void cached_path_follows_every_change(void **state)
{
    static const uint8_t second[6] = {2, 0, 0, 0, 0, 7};
    assert_int_equal(add_route("10.0.0.0/8", "198.18.0.1", NULL), MR_OK);
    test_host_learn(&host, 0xc6120007, second);
    out(payload(20), 0x0a000001, IP_TCP);
    uint64_t misses = host.w->stat[STAT_route_path_misses];
    out(payload(20), 0x0a000001, IP_TCP);
    assert_int_equal(host.w->stat[STAT_route_path_misses], misses); /* a hit */
    for (unsigned i = 0; i < 2; i++)
        test_host_expect(&host, expected_segment(0x0a000001, PEER_MAC, 20));
    assert_int_equal(add_route("10.0.0.0/16", "198.18.0.7", NULL), MR_OK);
    out(payload(20), 0x0a000001, IP_TCP);
    test_host_expect(&host, expected_segment(0x0a000001, second, 20));
    test_host_pass(&host, MR_SECOND);
    misses = host.w->stat[STAT_route_path_misses];
    out(payload(20), 0x0a000001, IP_TCP);
    assert_int_equal(host.w->stat[STAT_route_path_misses], misses + 1); /* looked at again after a second */
}

static void mtu_and_interface_of_a_destination(void **state)
{
    struct mr_address peer = mr_address_ip4(PEER), far = mr_address_ip4(0x08080808);
    host.netif->mtu = 1400;
    assert_int_equal(route_mtu(host.w, &peer), 1400);
    assert_int_equal(route_mtu(host.w, &far), 0);
    assert_ptr_equal(path_netif(host.w, &peer), host.netif);
    assert_null(path_netif(host.w, &far));
}

static void packets_to_ourselves_come_back_bounded_and_never_reach_the_link(void **state)
{
    for (unsigned i = 0; i < ROUTE_LOOP_MAX + 3; i++) {
        struct mr_address any = mr_address_any(), remote = mr_address_ip4(OURS);
        path_out(host.w, payload(40), &any, &remote, &(struct path_options){.protocol = IP_TCP});
    }
    assert_int_equal(tcp_record.segments, 0);
    assert_int_equal(host.w->stat[DROP_route_loop_full], 3);
    assert_true(worker_next_deadline(host.w) <= host.clock.now + MR_MILLISECOND);
    test_host_turn(&host);
    assert_int_equal(tcp_record.segments, ROUTE_LOOP_MAX);
    assert_int_equal(mr_address_to_ip4(&tcp_record.source), OURS);
    test_host_expect_nothing(&host);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(longest_prefix_wins_and_gateways_are_next_hops),
        TEST(routes_that_cannot_be_are_refused),
        TEST(source_is_the_longest_prefix_with_the_next_hop_then_the_first),
        TEST(addresses_that_no_host_can_have_are_refused),
        TEST(groups_are_multicast_limited_and_subnet_broadcast),
        TEST(segment_leaves_with_headers_and_checksums),
        TEST(device_computes_what_it_offers),
        TEST(chain_is_copied_for_a_link_that_takes_none),
        TEST(what_cannot_be_sent_is_dropped_with_its_reason),
        TEST(groups_need_no_neighbour),
        TEST(cached_path_follows_every_change),
        TEST(mtu_and_interface_of_a_destination),
        TEST(packets_to_ourselves_come_back_bounded_and_never_reach_the_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
