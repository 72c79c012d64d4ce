/* The parsers below TCP: malformed input against a guard page, one case a line, each with the reason that must be given;
 * and what a good header is read as. */
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "stack/arp/arp_wire.h"
#include "stack/eth/eth_wire.h"
#include "stack/icmp/icmp_wire.h"
#include "stack/ip4/ip4_wire.h"
#include "stack/udp/udp_wire.h"
#include "tests/support/support.h"

struct malformed {
    const char *what;
    enum stat reason;
    const char *hex; /* blanks are ignored */
};

static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t n = 0;
    for (; *hex; hex++) {
        if (*hex == ' ')
            continue;
        char digits[3] = {hex[0], hex[1], 0};
        out[n++] = (uint8_t)strtoul(digits, NULL, 16);
        hex++;
    }
    return n;
}

typedef bool (*parse_fn)(const uint8_t *bytes, size_t n, enum stat *reason);

static void reject_all(const struct malformed *cases, size_t count, parse_fn parse)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[128];
        size_t n = from_hex(cases[i].hex, bytes);
        uint8_t *guarded = support_guarded(bytes, n);
        enum stat reason = STAT_COUNT;
        bool accepted = parse(guarded, n, &reason);
        support_guarded_free(guarded, n);
        if (accepted || reason != cases[i].reason)
            fail_msg("%s: %s, expected %s", cases[i].what, accepted ? "accepted" : stat_descriptions[reason].name,
                     stat_descriptions[cases[i].reason].name);
    }
}

#define REJECT_ALL(cases, parse) reject_all(cases, sizeof cases / sizeof *cases, parse)

static bool parse_eth(const uint8_t *bytes, size_t n, enum stat *reason)
{
    struct eth_header h;
    return eth_parse(bytes, n, &h, reason);
}

static void eth_malformed_is_dropped_with_its_reason(void **state)
{
    (void)state;
    static const struct malformed cases[] = {
        {"empty", DROP_eth_too_short, ""},
        {"one byte short", DROP_eth_too_short, "020000000002 020000000001 08"},
        {"multicast source", DROP_eth_bad_source, "020000000002 01005e000001 0800"},
        {"broadcast source", DROP_eth_bad_source, "020000000002 ffffffffffff 0800"},
        {"802.1Q", DROP_eth_vlan_tagged, "020000000002 020000000001 8100 0001 0800"},
        {"802.1ad", DROP_eth_vlan_tagged, "020000000002 020000000001 88a8 0001 0800"},
    };
    REJECT_ALL(cases, parse_eth);
}

static bool parse_arp(const uint8_t *bytes, size_t n, enum stat *reason)
{
    struct arp_packet p;
    return arp_parse(bytes, n, &p, reason);
}

static void arp_malformed_is_dropped_with_its_reason(void **state)
{
    (void)state;
    static const struct malformed cases[] = {
        {"empty", DROP_arp_too_short, ""},
        {"one byte short", DROP_arp_too_short, "0001 0800 06 04 0001 020000000001 c6120001 000000000000 c61200"},
        {"token ring", DROP_arp_bad_format, "0006 0800 06 04 0001 020000000001 c6120001 000000000000 c6120002"},
        {"IPv6", DROP_arp_bad_format, "0001 86dd 06 04 0001 020000000001 c6120001 000000000000 c6120002"},
        {"MAC of 8 bytes", DROP_arp_bad_format, "0001 0800 08 04 0001 020000000001 c6120001 000000000000 c6120002"},
        {"address of 16", DROP_arp_bad_format, "0001 0800 06 10 0001 020000000001 c6120001 000000000000 c6120002"},
        {"operation 0", DROP_arp_bad_operation, "0001 0800 06 04 0000 020000000001 c6120001 000000000000 c6120002"},
        {"RARP", DROP_arp_bad_operation, "0001 0800 06 04 0003 020000000001 c6120001 000000000000 c6120002"},
        {"operation 257", DROP_arp_bad_operation, "0001 0800 06 04 0101 020000000001 c6120001 000000000000 c6120002"},
        {"group MAC", DROP_arp_bad_sender, "0001 0800 06 04 0001 030000000001 c6120001 000000000000 c6120002"},
        {"zero MAC", DROP_arp_bad_sender, "0001 0800 06 04 0001 000000000000 c6120001 000000000000 c6120002"},
        {"broadcast sender", DROP_arp_bad_sender, "0001 0800 06 04 0001 020000000001 ffffffff 000000000000 c6120002"},
        {"multicast sender", DROP_arp_bad_sender, "0001 0800 06 04 0001 020000000001 e0000001 000000000000 c6120002"},
        {"loopback sender", DROP_arp_bad_sender, "0001 0800 06 04 0001 020000000001 7f000001 000000000000 c6120002"},
        {"probing reply", DROP_arp_bad_sender, "0001 0800 06 04 0002 020000000001 00000000 000000000000 c6120002"},
    };
    REJECT_ALL(cases, parse_arp);
}

/* A frame that ends where its bytes end. */
static bool parse_ip4(const uint8_t *bytes, size_t n, enum stat *reason)
{
    struct ip4_header h;
    return ip4_parse(bytes, n, n, false, &h, reason);
}

static bool parse_ip4_checked(const uint8_t *bytes, size_t n, enum stat *reason)
{
    struct ip4_header h;
    return ip4_parse(bytes, n, n, true, &h, reason);
}

static void ip4_malformed_is_dropped_with_its_reason(void **state)
{
    (void)state;
    static const struct malformed cases[] = {
        {"empty", DROP_ip4_too_short, ""},
        {"one byte short", DROP_ip4_too_short, "4500 0014 0000 4000 40 11 0000 c6120001 c61200"},
        {"version 6", DROP_ip4_bad_version, "6500 0014 0000 4000 40 11 0000 c6120001 c6120002"},
        {"version 0", DROP_ip4_bad_version, "0500 0014 0000 4000 40 11 0000 c6120001 c6120002"},
        {"header of 16", DROP_ip4_bad_header_length, "4400 0014 0000 4000 40 11 0000 c6120001 c6120002"},
        {"header of 0", DROP_ip4_bad_header_length, "4000 0014 0000 4000 40 11 0000 c6120001 c6120002"},
        {"options not there", DROP_ip4_bad_header_length, "4600 0018 0000 4000 40 11 0000 c6120001 c6120002"},
        {"total of 19", DROP_ip4_bad_total_length, "4500 0013 0000 4000 40 11 0000 c6120001 c6120002"},
        {"total below options", DROP_ip4_bad_total_length, "4600 0014 0000 4000 40 11 0000 c6120001 c6120002 00000000"},
        {"total beyond frame", DROP_ip4_bad_total_length, "4500 0015 0000 4000 40 11 0000 c6120001 c6120002"},
        {"total of 65535", DROP_ip4_bad_total_length, "4500 ffff 0000 4000 40 11 0000 c6120001 c6120002"},
        {"checksum", DROP_ip4_bad_checksum, "4500 0014 0000 4000 40 11 1234 c6120001 c6120002"},
    };
    static const struct malformed checked_by_the_device[] = {
        {"option length 0", DROP_ip4_bad_option, "4600 0018 0000 4000 40 11 0000 c6120001 c6120002 07000000"},
        {"option length 1", DROP_ip4_bad_option, "4600 0018 0000 4000 40 11 0000 c6120001 c6120002 07010000"},
        {"option beyond header", DROP_ip4_bad_option, "4600 0018 0000 4000 40 11 0000 c6120001 c6120002 07050400"},
        {"option without length", DROP_ip4_bad_option, "4600 0018 0000 4000 40 11 0000 c6120001 c6120002 01010107"},
        {"loose source route", DROP_ip4_source_route,
         "4700 001c 0000 4000 40 11 0000 c6120001 c6120002 8307040a 00000100"},
        {"strict, after padding", DROP_ip4_source_route,
         "4700 001c 0000 4000 40 11 0000 c6120001 c6120002 01890704 0a000001"},
    };
    REJECT_ALL(cases, parse_ip4);
    REJECT_ALL(checked_by_the_device, parse_ip4_checked);
}

static void ip4_options_that_are_legal_are_skipped(void **state)
{
    (void)state;
    static const char *const legal[] = {
        "4600 0018 0000 4000 40 11 0000 c6120001 c6120002 00070000",          /* what follows the end is not read */
        "4600 0018 0000 4000 40 11 0000 c6120001 c6120002 01010101",          /* no-operation to the end */
        "4600 0018 0000 4000 40 11 0000 c6120001 c6120002 94040000",          /* router alert */
        "4700 001c 0000 4000 40 11 0000 c6120001 c6120002 07070400 00000000", /* record route */
    };
    for (size_t i = 0; i < sizeof legal / sizeof *legal; i++) {
        uint8_t bytes[64];
        struct ip4_header h;
        enum stat reason;
        size_t n = from_hex(legal[i], bytes);
        assert_true(ip4_parse(bytes, n, n, true, &h, &reason));
        assert_int_equal(h.header_bytes, n);
    }
}

static void ip4_fields_survive_emit_and_parse(void **state)
{
    (void)state;
    const struct ip4_header sent = {.header_bytes = 20,
                                    .dscp_ecn = 0xb9,
                                    .ttl = 1,
                                    .protocol = 6,
                                    .total_bytes = 20,
                                    .id = 0x1234,
                                    .fragment = 0x2003,
                                    .source = 0xc6120001,
                                    .destination = 0x0a0b0c0d};
    uint8_t bytes[20];
    struct ip4_header got;
    enum stat reason;
    memset(&got, 0, sizeof got);
    ip4_emit(bytes, &sent);
    ip4_emit_checksum(bytes);
    assert_true(ip4_parse(bytes, sizeof bytes, sizeof bytes, false, &got, &reason));
    assert_int_equal(got.dscp_ecn, 0xb9);
    assert_int_equal(got.ttl, 1);
    assert_int_equal(got.protocol, 6);
    assert_int_equal(got.total_bytes, 20);
    assert_int_equal(got.id, 0x1234);
    assert_int_equal(got.fragment, 0x2003);
    assert_int_equal(got.source, 0xc6120001);
    assert_int_equal(got.destination, 0x0a0b0c0d);
    /* Each single-bit error of the header is seen. */
    for (unsigned bit = 0; bit < 160; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(ip4_parse(bytes, sizeof bytes, sizeof bytes, false, &got, &reason));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static bool parse_icmp(const uint8_t *bytes, size_t n, enum stat *reason)
{
    struct icmp_header h;
    return icmp_parse(bytes, n, &h, reason);
}

static bool parse_quote(const uint8_t *bytes, size_t n, enum stat *reason)
{
    struct icmp_quote q;
    return icmp_quote_parse(bytes, n, &q, reason);
}

static void icmp_malformed_is_dropped_with_its_reason(void **state)
{
    (void)state;
    static const struct malformed headers[] = {
        {"empty", DROP_icmp_too_short, ""},
        {"one byte short", DROP_icmp_too_short, "0800 0000 000100"},
    };
    static const struct malformed quotes[] = {
        {"empty", DROP_icmp_bad_quote, ""},
        {"half a header", DROP_icmp_bad_quote, "4500 0014 0000 4000"},
        {"no ports", DROP_icmp_bad_quote, "4500 0028 0000 4000 40 06 0000 c6120002 c6120001"},
        {"one byte of ports short", DROP_icmp_bad_quote,
         "4500 0028 0000 4000 40 06 0000 c6120002 c6120001 00500051 000000"},
        {"version 6", DROP_icmp_bad_quote, "6500 0028 0000 4000 40 06 0000 c6120002 c6120001 00500051 00000000"},
        {"header of 16", DROP_icmp_bad_quote, "4400 0028 0000 4000 40 06 0000 c6120002 c6120001 00500051 00000000"},
        {"options beyond the quote", DROP_icmp_bad_quote,
         "4f00 0028 0000 4000 40 06 0000 c6120002 c6120001 00500051 00000000"},
        {"a later fragment", DROP_icmp_bad_quote, "4500 0028 0000 0001 40 06 0000 c6120002 c6120001 00500051 00000000"},
    };
    REJECT_ALL(headers, parse_icmp);
    REJECT_ALL(quotes, parse_quote);
}

static void icmp_quote_gives_addresses_ports_and_sequence(void **state)
{
    (void)state;
    uint8_t bytes[64];
    struct icmp_quote q;
    enum stat reason;
    size_t n = from_hex("4600 0028 0000 4000 40 06 0000 c6120002 c6120001 01010100 00501f90 deadbeef", bytes);
    assert_true(icmp_quote_parse(bytes, n, &q, &reason));
    assert_int_equal(q.ip.source, 0xc6120002);
    assert_int_equal(q.ip.destination, 0xc6120001);
    assert_int_equal(q.ports.source_port, 80);
    assert_int_equal(q.ports.destination_port, 8080);
    assert_int_equal(q.ports.sequence, 0xdeadbeef);
}

static bool parse_udp(const uint8_t *bytes, size_t n, enum stat *reason)
{
    struct udp_header h;
    return udp_parse(bytes, n, n, &h, reason);
}

static void udp_malformed_is_dropped_with_its_reason(void **state)
{
    (void)state;
    static const struct malformed cases[] = {
        {"empty", DROP_udp_too_short, ""},
        {"one byte short", DROP_udp_too_short, "0001 0002 0008 00"},
        {"length of 7", DROP_udp_bad_length, "0001 0002 0007 0000"},
        {"length of 0 (a jumbogram)", DROP_udp_bad_length, "0001 0002 0000 0000"},
        {"beyond the datagram", DROP_udp_bad_length, "0001 0002 000a 0000 aa"},
        {"source port 0", DROP_udp_bad_port, "0000 0002 0008 0000"},
        {"destination port 0", DROP_udp_bad_port, "0001 0000 0008 0000"},
    };
    REJECT_ALL(cases, parse_udp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eth_malformed_is_dropped_with_its_reason),
        cmocka_unit_test(arp_malformed_is_dropped_with_its_reason),
        cmocka_unit_test(ip4_malformed_is_dropped_with_its_reason),
        cmocka_unit_test(ip4_options_that_are_legal_are_skipped),
        cmocka_unit_test(ip4_fields_survive_emit_and_parse),
        cmocka_unit_test(icmp_malformed_is_dropped_with_its_reason),
        cmocka_unit_test(icmp_quote_gives_addresses_ports_and_sequence),
        cmocka_unit_test(udp_malformed_is_dropped_with_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
