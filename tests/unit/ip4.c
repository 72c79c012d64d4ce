/* Ethernet and IPv4 input with whole frames against a guard page: what is taken, and the named reason for each drop. */
#include "tests/support/cmocka.h"

#include <string.h>

#include "tests/support/host.h"
#include "tests/support/tcp_recorder.h"

#define OURS      0xc6120002u
#define PEER      0xc6120001u
#define BROADCAST 0xc61200ffu

static const uint8_t OUR_MAC[6] = {2, 0, 0, 0, 0, 2}, PEER_MAC[6] = {2, 0, 0, 0, 0, 1};
static const uint8_t EVERYBODY[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, ALL_HOSTS[6] = {1, 0, 0x5e, 0, 0, 1};

static struct test_host host;

static int start(void **state)
{
    test_host_start(&host, "198.18.0.2/24", 0);
    test_host_settle(&host);
    return 0;
}

static int stop(void **state)
{
    test_host_stop(&host);
    return 0;
}

static void segment(struct frame *f)
{
    frame_begin(f, OUR_MAC, PEER_MAC, 0x0800);
    frame_ip4(f, PEER, OURS, 6);
    frame_fill(f, 20);
    frame_end(f);
}

static void to_mac(struct frame *f, const uint8_t mac[6])
{
    memcpy(f->bytes, mac, 6);
}

static void set_addresses(struct frame *f, uint32_t source, uint32_t destination)
{
    frame_put_32(f->bytes + 14 + 12, source);
    frame_put_32(f->bytes + 14 + 16, destination);
    frame_ip4_checksum(f);
}

/* Each takes a good segment and spoils one thing. */
/* clang-format off */
static void other_station(struct frame *f) { f->bytes[5] = 0x77; }
static void group_not_joined(struct frame *f) { to_mac(f, ALL_HOSTS); f->bytes[5] = 0x05; }
static void group_source(struct frame *f) { f->bytes[6] |= 1; }
static void vlan(struct frame *f) { frame_put_16(f->bytes + 12, 0x8100); }
static void ip6(struct frame *f) { frame_put_16(f->bytes + 12, 0x86dd); }
static void llc(struct frame *f) { frame_put_16(f->bytes + 12, 40); }
static void runt(struct frame *f) { f->n = 13; }
static void no_ip(struct frame *f) { f->n = 14; }
static void half_header(struct frame *f) { f->n = 14 + 19; }
static void cut_short(struct frame *f) { f->n -= 1; }
static void checksum(struct frame *f) { f->bytes[14 + 10] ^= 1; }
static void first_fragment(struct frame *f) { frame_put_16(f->bytes + 14 + 6, 0x2000); frame_ip4_checksum(f); }
static void later_fragment(struct frame *f) { frame_put_16(f->bytes + 14 + 6, 0x0001); frame_ip4_checksum(f); }
static void other_host(struct frame *f) { set_addresses(f, PEER, 0xc6120063); }
static void other_group(struct frame *f) { to_mac(f, ALL_HOSTS); set_addresses(f, PEER, 0xe0000102); }
static void source_zero(struct frame *f) { set_addresses(f, 0, OURS); }
static void source_this_net(struct frame *f) { set_addresses(f, 0x00000007, OURS); }
static void source_loopback(struct frame *f) { set_addresses(f, 0x7f000001, OURS); }
static void source_multicast(struct frame *f) { set_addresses(f, 0xe0000001, OURS); }
static void source_reserved(struct frame *f) { set_addresses(f, 0xf0000001, OURS); }
static void source_broadcast(struct frame *f) { set_addresses(f, 0xffffffff, OURS); }
static void source_subnet_broadcast(struct frame *f) { set_addresses(f, BROADCAST, OURS); }
static void source_ours(struct frame *f) { set_addresses(f, OURS, OURS); }
static void to_loopback(struct frame *f) { set_addresses(f, PEER, 0x7f000001); }
static void unicast_in_broadcast(struct frame *f) { to_mac(f, EVERYBODY); }
static void protocol_89(struct frame *f) { f->bytes[14 + 9] = 89; frame_ip4_checksum(f); }
/* clang-format on */

static const struct {
    const char *what;
    void (*spoil)(struct frame *f);
    enum stat reason;
} spoiled[] = {
    {"another station's MAC", other_station, DROP_eth_not_for_us},
    {"a group that we are not in", group_not_joined, DROP_eth_not_for_us},
    {"group source MAC", group_source, DROP_eth_bad_source},
    {"802.1Q tag", vlan, DROP_eth_vlan_tagged},
    {"IPv6", ip6, DROP_eth_unknown_type},
    {"802.3 length", llc, DROP_eth_unknown_type},
    {"13 bytes", runt, DROP_eth_too_short},
    {"Ethernet header alone", no_ip, DROP_ip4_too_short},
    {"half an IP header", half_header, DROP_ip4_too_short},
    {"last byte missing", cut_short, DROP_ip4_bad_total_length},
    {"checksum", checksum, DROP_ip4_bad_checksum},
    {"first fragment", first_fragment, DROP_ip4_fragment},
    {"later fragment", later_fragment, DROP_ip4_fragment},
    {"another host of the prefix", other_host, DROP_ip4_not_for_us},
    {"another group", other_group, DROP_ip4_not_for_us},
    {"to loopback", to_loopback, DROP_ip4_not_for_us},
    {"from 0.0.0.0", source_zero, DROP_ip4_bad_source},
    {"from 0/8", source_this_net, DROP_ip4_bad_source},
    {"from loopback", source_loopback, DROP_ip4_bad_source},
    {"from a group", source_multicast, DROP_ip4_bad_source},
    {"from 240/4", source_reserved, DROP_ip4_bad_source},
    {"from limited broadcast", source_broadcast, DROP_ip4_bad_source},
    {"from our broadcast", source_subnet_broadcast, DROP_ip4_bad_source},
    {"from ourselves (LAND)", source_ours, DROP_ip4_own_source},
    {"unicast in a broadcast frame", unicast_in_broadcast, DROP_ip4_unicast_in_group_frame},
    {"unknown protocol", protocol_89, DROP_ip4_unknown_protocol},
};

static void each_spoiled_frame_is_dropped_for_its_one_reason(void **state)
{
    static struct frame f;
    for (size_t i = 0; i < sizeof spoiled / sizeof *spoiled; i++) {
        uint64_t before = host.w->stat[spoiled[i].reason];
        segment(&f);
        spoiled[i].spoil(&f);
        test_host_in(&host, &f);
        if (host.w->stat[spoiled[i].reason] != before + 1)
            fail_msg("%s: not counted as %s.%s", spoiled[i].what, stat_descriptions[spoiled[i].reason].area,
                     stat_descriptions[spoiled[i].reason].name);
        assert_int_equal(test_host_drops(&host), i + 1); /* the sum of reasons is what was not delivered */
    }
    assert_int_equal(tcp_record.segments, 0);
    segment(&f);
    test_host_in(&host, &f);
    assert_int_equal(tcp_record.segments, 1);
    assert_int_equal(test_host_drops(&host), sizeof spoiled / sizeof *spoiled);
}

/* Cutting a good frame anywhere is a drop, and reads nothing beyond the cut. */
static void frame_cut_at_every_byte_is_dropped(void **state)
{
    static struct frame f;
    segment(&f);
    size_t whole = f.n;
    for (f.n = 1; f.n < whole; f.n++)
        test_host_in(&host, &f);
    assert_int_equal(test_host_drops(&host), whole - 1);
    assert_int_equal(tcp_record.segments, 0);
}

static void good_segment_goes_up_with_mapped_addresses(void **state)
{
    static struct frame f;
    segment(&f);
    test_host_in(&host, &f);
    assert_int_equal(tcp_record.segments, 1);
    assert_int_equal(tcp_record.bytes, 20);
    assert_true(mr_address_is_ip4(&tcp_record.source));
    assert_int_equal(mr_address_to_ip4(&tcp_record.source), PEER);
    assert_int_equal(mr_address_to_ip4(&tcp_record.destination), OURS);
}

static void link_padding_is_stripped(void **state)
{
    static struct frame f;
    segment(&f);
    frame_fill(&f, 26);
    test_host_in(&host, &f);
    assert_int_equal(tcp_record.bytes, 20);
    assert_int_equal(host.w->stat[STAT_ip4_padding_removed], 1);
}

/* As a device delivers a frame larger than its buffers. */
static struct rte_mbuf *split(const struct frame *f, size_t at, size_t again)
{
    size_t cuts[4] = {0, at, again, f->n};
    struct rte_mbuf *first = NULL;
    for (unsigned i = 0; i < 3; i++) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(host.pool);
        size_t n = cuts[i + 1] - cuts[i];
        memcpy(rte_pktmbuf_append(m, (uint16_t)n), f->bytes + cuts[i], n);
        if (first)
            rte_pktmbuf_chain(first, m);
        else
            first = m;
    }
    return first;
}

static void padding_is_stripped_over_several_segments(void **state)
{
    static struct frame f;
    for (size_t at = 34; at < 60; at++) {
        segment(&f);
        frame_fill(&f, 40);
        tcp_record.segments = 0;
        test_link_inject_mbuf(&host.link, split(&f, at, at + 15));
        test_host_turn(&host);
        assert_int_equal(tcp_record.segments, 1);
        assert_int_equal(tcp_record.bytes, 20);
    }
}

static void header_split_over_segments_is_dropped(void **state)
{
    static struct frame f;
    segment(&f);
    test_link_inject_mbuf(&host.link, split(&f, 20, 40));
    test_host_turn(&host);
    assert_int_equal(host.w->stat[DROP_ip4_too_short], 1);
}

static void options_are_skipped(void **state)
{
    static struct frame f;
    frame_begin(&f, OUR_MAC, PEER_MAC, 0x0800);
    frame_ip4(&f, PEER, OURS, 6);
    frame_bytes(&f, "\x94\x04\x00\x00\x01\x01\x01\x00", 8);
    f.transport_at = f.n;
    frame_fill(&f, 20);
    f.bytes[14] = 0x47;
    frame_end(&f);
    test_host_in(&host, &f);
    assert_int_equal(tcp_record.segments, 1);
    assert_int_equal(tcp_record.bytes, 20);
    assert_int_equal(host.w->stat[STAT_ip4_with_options], 1);
}

static void low_ttl_is_no_reason_to_drop(void **state)
{
    static struct frame f;
    for (uint8_t ttl = 0; ttl < 2; ttl++) {
        segment(&f);
        f.bytes[14 + 8] = ttl;
        frame_ip4_checksum(&f);
        test_host_in(&host, &f);
    }
    assert_int_equal(tcp_record.segments, 2);
}

static void broadcasts_and_all_hosts_are_taken(void **state)
{
    static struct frame f;
    static const struct {
        const uint8_t *mac;
        uint32_t to;
    } groups[] = {{EVERYBODY, BROADCAST}, {EVERYBODY, 0xffffffff}, {ALL_HOSTS, 0xe0000001}};
    for (unsigned i = 0; i < 3; i++) {
        segment(&f);
        to_mac(&f, groups[i].mac);
        set_addresses(&f, PEER, groups[i].to);
        test_host_in(&host, &f);
        assert_int_equal(tcp_record.segments, i + 1);
        assert_int_equal(mr_address_to_ip4(&tcp_record.destination), groups[i].to);
    }
}

static void unknown_protocol_is_answered(void **state)
{
    static struct frame f, expected;
    test_host_learn(&host, PEER, PEER_MAC);
    segment(&f);
    protocol_89(&f);
    test_host_in(&host, &f);
    frame_begin(&expected, PEER_MAC, OUR_MAC, 0x0800);
    frame_ip4(&expected, OURS, PEER, 1);
    frame_icmp(&expected, 3, 2, 0);
    frame_bytes(&expected, f.bytes + 14, f.n - 14);
    uint8_t got[128];
    assert_int_equal(test_link_take(&host.link, got, sizeof got), expected.n);
    /* May be fragmented: the identification is random, DF clear; everything else is compared. */
    memcpy(expected.bytes + 14 + 4, got + 14 + 4, 2);
    frame_put_16(expected.bytes + 14 + 6, 0);
    frame_end(&expected);
    assert_memory_equal(got, expected.bytes, expected.n);
}

static void device_verdict_on_the_header_is_believed_only_when_offered(void **state)
{
    static struct frame f;
    for (unsigned offered = 0; offered < 2; offered++) {
        host.netif->offloads = offered ? MR_LINK_RX_IP4_CHECKSUM : 0;
        segment(&f);
        checksum(&f);
        struct rte_mbuf *m = split(&f, 40, 45);
        m->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD;
        test_link_inject_mbuf(&host.link, m);
        test_host_turn(&host);
        assert_int_equal(tcp_record.segments, offered);
    }
    segment(&f); /* a device that says bad is checked on */
    struct rte_mbuf *m = split(&f, 40, 45);
    m->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_BAD;
    test_link_inject_mbuf(&host.link, m);
    test_host_turn(&host);
    assert_int_equal(tcp_record.segments, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_spoiled_frame_is_dropped_for_its_one_reason),
        TEST(frame_cut_at_every_byte_is_dropped),
        TEST(good_segment_goes_up_with_mapped_addresses),
        TEST(link_padding_is_stripped),
        TEST(padding_is_stripped_over_several_segments),
        TEST(header_split_over_segments_is_dropped),
        TEST(options_are_skipped),
        TEST(low_ttl_is_no_reason_to_drop),
        TEST(broadcasts_and_all_hosts_are_taken),
        TEST(unknown_protocol_is_answered),
        TEST(device_verdict_on_the_header_is_believed_only_when_offered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
