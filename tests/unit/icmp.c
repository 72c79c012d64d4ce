/* ICMP: echo with whole frames, rate limits, and errors handed to the transport that they are about. */
#include <string.h>

#include "stack/icmp/icmp.h"
#include "tests/support/cmocka.h"
#include "tests/support/host.h"
#include "tests/support/tcp_recorder.h"

#define OURS 0xc6120002u
#define PEER 0xc6120001u

static const uint8_t OUR_MAC[6] = {2, 0, 0, 0, 0, 2}, PEER_MAC[6] = {2, 0, 0, 0, 0, 1};
static const uint8_t EVERYBODY[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

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
    test_host_stop(&host);
    return 0;
}

static struct frame *message(uint8_t type, uint8_t code, uint32_t rest, size_t bytes)
{
    static struct frame f;
    frame_begin(&f, OUR_MAC, PEER_MAC, 0x0800);
    frame_ip4(&f, PEER, OURS, 1);
    frame_icmp(&f, type, code, rest);
    frame_fill(&f, bytes);
    frame_end(&f);
    return &f;
}

/* The reply to message(8, 0, rest, bytes); the identification is taken from what was sent. */
static void expect_echo(uint32_t rest, size_t bytes, uint8_t dscp_ecn)
{
    static struct frame expected;
    static uint8_t got[16384];
    size_t n = test_link_take(&host.link, got, sizeof got);
    assert_true(n > 34);
    frame_begin(&expected, PEER_MAC, OUR_MAC, 0x0800);
    frame_ip4(&expected, OURS, PEER, 1);
    expected.bytes[14 + 1] = dscp_ecn;
    memcpy(expected.bytes + 14 + 4, got + 14 + 4, 2);
    frame_put_16(expected.bytes + 14 + 6, 0);
    frame_icmp(&expected, 0, 0, rest);
    frame_fill(&expected, bytes);
    frame_end(&expected);
    assert_int_equal(n, expected.n);
    assert_memory_equal(got, expected.bytes, n);
}

static void echo_returns_the_data_of_every_size(void **state)
{
    for (size_t bytes = 0; bytes <= 1472; bytes += bytes < 64 ? 1 : 44) {
        test_host_in(&host, message(8, 0, 0x12340001, bytes)); /* in memory that cannot be used again: copied */
        expect_echo(0x12340001, bytes, 0);
        test_link_inject(&host.link, message(8, 0, 0x12340002, bytes)->bytes, 14 + 20 + 8 + bytes); /* in place */
        test_host_turn(&host);
        expect_echo(0x12340002, bytes, 0);
    }
}

static void echo_keeps_the_service_class_and_not_the_congestion_mark(void **state)
{
    struct frame *f = message(8, 0, 1, 10);
    f->bytes[14 + 1] = 0xbb;
    frame_end(f);
    test_host_in(&host, f);
    expect_echo(1, 10, 0xb8);
}

static void echo_in_place_forgets_what_the_device_said_of_the_request(void **state)
{
    struct frame *f = message(8, 0, 1, 10);
    struct rte_mbuf *m = rte_pktmbuf_alloc(host.pool);
    memcpy(rte_pktmbuf_append(m, (uint16_t)f->n), f->bytes, f->n);
    m->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_RSS_HASH;
    test_link_inject_mbuf(&host.link, m);
    test_host_turn(&host);
    m = test_link_take_mbuf(&host.link);
    assert_non_null(m);
    assert_int_equal(m->ol_flags, 0);
    rte_pktmbuf_free(m);
}

static void echo_in_a_chain_is_returned_whole(void **state)
{
    host.netif->offloads = MR_LINK_TX_MULTI_SEGMENT;
    host.netif->mtu = 9000;
    struct frame *f = message(8, 0, 7, 5000);
    struct rte_mbuf *first = NULL;
    for (size_t at = 0; at < f->n; at += 1500) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(host.pool);
        size_t n = RTE_MIN((size_t)1500, f->n - at);
        memcpy(rte_pktmbuf_append(m, (uint16_t)n), f->bytes + at, n);
        if (first)
            rte_pktmbuf_chain(first, m);
        else
            first = m;
    }
    test_link_inject_mbuf(&host.link, first);
    test_host_turn(&host);
    expect_echo(7, 5000, 0);
}

static void echo_to_a_group_is_not_answered(void **state)
{
    struct frame *f = message(8, 0, 1, 10);
    memcpy(f->bytes, EVERYBODY, 6);
    frame_put_32(f->bytes + 14 + 16, 0xc61200ff);
    frame_end(f);
    test_host_in(&host, f);
    test_host_expect_nothing(&host);
    assert_int_equal(host.w->stat[DROP_icmp_echo_to_group], 1);
}

static void echo_beyond_the_rate_is_dropped_until_time_passes(void **state)
{
    struct frame *f = message(8, 0, 1, 10);
    for (unsigned i = 0; i < ICMP_ECHO_BURST + 7; i++)
        test_host_in(&host, f);
    assert_int_equal(host.w->stat[DROP_icmp_echo_limited], 7);
    test_link_empty(&host.link);
    host.clock.now += MR_SECOND / ICMP_ECHO_PER_SECOND;
    test_host_in(&host, f);
    test_host_in(&host, f);
    assert_int_equal(test_link_sent(&host.link), 1);
    host.clock.now += 3600 * MR_SECOND; /* what is saved up is bounded */
    test_host_learn(&host, PEER, PEER_MAC);
    test_link_empty(&host.link);
    for (unsigned i = 0; i < ICMP_ECHO_BURST + 7; i++)
        test_host_in(&host, f);
    assert_int_equal(host.w->stat[DROP_icmp_echo_limited], 7 + 1 + 7);
}

static void unwanted_messages_are_dropped_with_their_reason(void **state)
{
    static const struct {
        const char *what;
        uint8_t type;
        size_t bytes;
        enum stat reason;
    } cases[] = {
        {"a reply that nobody asked for", 0, 20, DROP_icmp_unexpected_reply},
        {"source quench", 4, 28, DROP_icmp_source_quench},
        {"redirect", 5, 28, DROP_icmp_redirect},
        {"timestamp", 13, 12, DROP_icmp_unknown_type},
        {"router advertisement", 9, 8, DROP_icmp_unknown_type},
        {"unreachable without a quote", 3, 0, DROP_icmp_bad_quote},
        {"time exceeded with half a quote", 11, 20, DROP_icmp_bad_quote},
        {"parameter problem about noise", 12, 40, DROP_icmp_bad_quote},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_host_in(&host, message(cases[i].type, 0, 0, cases[i].bytes));
        if (test_host_drops(&host) != i + 1 || host.w->stat[cases[i].reason] == 0)
            fail_msg("%s: not counted as %s", cases[i].what, stat_descriptions[cases[i].reason].name);
    }
    test_host_expect_nothing(&host);
}

static void wrong_checksum_and_short_message_are_dropped(void **state)
{
    struct frame *f = message(8, 0, 1, 10);
    f->bytes[f->n - 1] ^= 0x40;
    test_host_in(&host, f);
    assert_int_equal(host.w->stat[DROP_icmp_bad_checksum], 1);
    frame_begin(f, OUR_MAC, PEER_MAC, 0x0800);
    frame_ip4(f, PEER, OURS, 1);
    frame_fill(f, 7);
    frame_end(f);
    test_host_in(&host, f);
    assert_int_equal(host.w->stat[DROP_icmp_too_short], 1);
    test_host_expect_nothing(&host);
}

/* An error about a segment or datagram from `source`. */
static struct frame *error_about(uint8_t type, uint8_t code, uint32_t rest, uint32_t source, uint8_t protocol)
{
    static struct frame f;
    frame_begin(&f, OUR_MAC, PEER_MAC, 0x0800);
    frame_ip4(&f, PEER, OURS, 1);
    frame_icmp(&f, type, code, rest);
    size_t quote = f.n;
    struct frame ip = {0};
    frame_ip4(&ip, source, 0x08080808, protocol);
    ip.bytes[2] = 5; /* it was longer */
    frame_bytes(&f, ip.bytes, 20);
    frame_bytes(&f, "\x00\x50\x1f\x90\xde\xad\xbe\xef", 8);
    frame_end(&f);
    assert_int_equal(f.n, quote + 28);
    return &f;
}

static void errors_about_tcp_reach_it_with_endpoints_and_sequence(void **state)
{
    test_host_in(&host, error_about(3, 4, 1400, OURS, 6));
    assert_int_equal(tcp_record.errors, 1);
    assert_int_equal(tcp_record.type, 3);
    assert_int_equal(tcp_record.code, 4);
    assert_int_equal(tcp_record.mtu, 1400);
    assert_int_equal(tcp_record.sequence, 0xdeadbeef);
    assert_int_equal(tcp_record.local.port, 80);
    assert_int_equal(tcp_record.remote.port, 8080);
    assert_int_equal(mr_address_to_ip4(&tcp_record.local.address), OURS);
    assert_int_equal(mr_address_to_ip4(&tcp_record.remote.address), 0x08080808);
    test_host_in(&host, error_about(11, 0, 1400, OURS, 6));
    assert_int_equal(tcp_record.errors, 2);
    assert_int_equal(tcp_record.type, 11);
    assert_int_equal(tcp_record.mtu, 0);
    assert_int_equal(host.w->stat[STAT_icmp_errors_in], 2);
    assert_int_equal(test_host_drops(&host), 0);
}

static void errors_about_udp_are_counted_there(void **state)
{
    test_host_in(&host, error_about(3, 3, 0, OURS, 17));
    assert_int_equal(host.w->stat[STAT_udp_errors_in], 1);
    assert_int_equal(tcp_record.errors, 0);
}

static void errors_about_what_we_did_not_send_are_dropped(void **state)
{
    test_host_in(&host, error_about(3, 1, 0, PEER, 6));
    test_host_in(&host, error_about(3, 1, 0, OURS, 1));
    assert_int_equal(host.w->stat[DROP_icmp_quote_not_ours], 2);
    assert_int_equal(tcp_record.errors, 0);
}

static struct frame *to_closed_port(const uint8_t mac[6], uint32_t to)
{
    static struct frame f;
    frame_begin(&f, mac, PEER_MAC, 0x0800);
    frame_ip4(&f, PEER, to, 17);
    frame_udp(&f, 5000, 9);
    frame_end(&f);
    return &f;
}

static void unreachables_are_rate_limited(void **state)
{
    for (unsigned i = 0; i < ICMP_ERROR_BURST + 3; i++)
        test_host_in(&host, to_closed_port(OUR_MAC, OURS));
    assert_int_equal(test_link_sent(&host.link), ICMP_ERROR_BURST);
    assert_int_equal(host.w->stat[STAT_icmp_errors_out], ICMP_ERROR_BURST);
    assert_int_equal(host.w->stat[STAT_icmp_errors_limited], 3);
}

static void nothing_is_reported_about_groups(void **state)
{
    test_host_in(&host, to_closed_port(EVERYBODY, 0xc61200ff));
    assert_int_equal(host.w->stat[DROP_udp_no_port], 1);
    test_host_expect_nothing(&host);
}

static void empty_pool_costs_the_report_and_nothing_else(void **state)
{
    host.w->fail_packets_after = 0;
    test_host_in(&host, to_closed_port(OUR_MAC, OURS));
    test_host_expect_nothing(&host);
    assert_int_equal(host.w->stat[DROP_core_no_memory], 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(echo_returns_the_data_of_every_size),
        TEST(echo_keeps_the_service_class_and_not_the_congestion_mark),
        TEST(echo_in_place_forgets_what_the_device_said_of_the_request),
        TEST(echo_in_a_chain_is_returned_whole),
        TEST(echo_to_a_group_is_not_answered),
        TEST(echo_beyond_the_rate_is_dropped_until_time_passes),
        TEST(unwanted_messages_are_dropped_with_their_reason),
        TEST(wrong_checksum_and_short_message_are_dropped),
        TEST(errors_about_tcp_reach_it_with_endpoints_and_sequence),
        TEST(errors_about_udp_are_counted_there),
        TEST(errors_about_what_we_did_not_send_are_dropped),
        TEST(unreachables_are_rate_limited),
        TEST(nothing_is_reported_about_groups),
        TEST(empty_pool_costs_the_report_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
