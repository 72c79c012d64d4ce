/* The parsers below TCP. The first byte chooses one; the rest is its input, in memory of exactly that size. What is
 * accepted must lie inside the input, and what can be emitted again must come out the same. */
#include <stdlib.h>
#include <string.h>

#include "stack/arp/arp_wire.h"
#include "stack/eth/eth_wire.h"
#include "stack/icmp/icmp_wire.h"
#include "stack/ip4/ip4_wire.h"
#include "stack/udp/udp_wire.h"

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void fuzz_eth(const uint8_t *bytes, size_t n)
{
    struct eth_header h;
    enum stat reason = STAT_COUNT;
    if (!eth_parse(bytes, n, &h, &reason)) {
        require(stat_descriptions[reason].is_drop);
        return;
    }
    uint8_t again[ETH_HEADER_BYTES];
    eth_emit(again, h.destination, h.source, h.type);
    require(memcmp(again, bytes, sizeof again) == 0);
}

static void fuzz_arp(const uint8_t *bytes, size_t n)
{
    struct arp_packet p;
    enum stat reason = STAT_COUNT;
    if (!arp_parse(bytes, n, &p, &reason)) {
        require(stat_descriptions[reason].is_drop);
        return;
    }
    uint8_t again[ARP_PACKET_BYTES];
    arp_emit(again, &p);
    require(memcmp(again, bytes, sizeof again) == 0);
}

static void fuzz_ip4(const uint8_t *bytes, size_t n, bool checksum_known_good)
{
    struct ip4_header h;
    enum stat reason = STAT_COUNT;
    if (!ip4_parse(bytes, n, n, checksum_known_good, &h, &reason)) {
        require(stat_descriptions[reason].is_drop);
        return;
    }
    require(h.header_bytes >= IP4_HEADER_BYTES && h.header_bytes <= h.total_bytes && h.total_bytes <= n);
    uint8_t again[IP4_HEADER_BYTES];
    ip4_emit(again, &h);
    require(memcmp(again + 1, bytes + 1, 9) == 0 && memcmp(again + 12, bytes + 12, 8) == 0);
}

static void fuzz_icmp(const uint8_t *bytes, size_t n)
{
    struct icmp_header h;
    enum stat reason = STAT_COUNT;
    require(icmp_parse(bytes, n, &h, &reason) == (n >= ICMP_HEADER_BYTES));
}

static void fuzz_quote(const uint8_t *bytes, size_t n)
{
    struct icmp_quote q;
    enum stat reason = STAT_COUNT;
    if (icmp_quote_parse(bytes, n, &q, &reason))
        require(q.ip.header_bytes + (size_t)ICMP_QUOTE_BYTES_MIN <= n && !(q.ip.fragment & IP4_OFFSET_MASK));
    else
        require(reason == DROP_icmp_bad_quote);
}

static void fuzz_udp(const uint8_t *bytes, size_t n)
{
    struct udp_header h;
    enum stat reason = STAT_COUNT;
    if (!udp_parse(bytes, n, n, &h, &reason)) {
        require(stat_descriptions[reason].is_drop);
        return;
    }
    require(h.length >= UDP_HEADER_BYTES && h.length <= n);
    uint8_t again[UDP_HEADER_BYTES];
    udp_emit(again, h.source_port, h.destination_port, h.length);
    require(memcmp(again, bytes, 6) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t n = size - 1;
    uint8_t *exact = malloc(n ? n : 1);
    memcpy(exact, data + 1, n);
    switch (data[0] % 7) {
    case 0:
        fuzz_eth(exact, n);
        break;
    case 1:
        fuzz_arp(exact, n);
        break;
    case 2:
        fuzz_ip4(exact, n, false);
        break;
    case 3:
        fuzz_ip4(exact, n, true);
        break;
    case 4:
        fuzz_icmp(exact, n);
        break;
    case 5:
        fuzz_quote(exact, n);
        break;
    case 6:
        fuzz_udp(exact, n);
        break;
    }
    free(exact);
    return 0;
}
