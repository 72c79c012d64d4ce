/* PROXY protocol: version 2, and what both have in common. Of the TLVs of version 2 only the checksum says something to us; all others are
 * skipped, their lengths are not taken on trust. A header may come in pieces: parsing begins anew with each, there is no state. */
#include "proxy/l4/proxy_protocol.h"

#include <stdio.h>
#include <string.h>

#include "proxy/l4/proxy_protocol_v1.h"

/* Version 2 (section 2.2 of the specification):
 *
 *   0           12        13        14       16
 *   | signature | ver cmd | fam tra | length | addresses | TLVs ... |
 *                                            |<------ length ------>| */
#define V2_HEAD_BYTES 16
#define V2_LOCAL      0x20
#define V2_PROXY      0x21
#define TLV_CRC32C    0x03
#define TLV_HEAD      3 /* type, 16 bits of length */

static const uint8_t v2_signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

enum v2_family { V2_UNSPEC, V2_INET, V2_INET6, V2_UNIX, V2_FAMILIES };
enum v2_transport { V2_TRANSPORT_UNSPEC, V2_STREAM, V2_DATAGRAM, V2_TRANSPORTS };

/* What the addresses and ports of a family take. */
static const size_t v2_address_bytes[V2_FAMILIES] = {0, 12, 36, 216};

static uint16_t load16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void store16(uint8_t *p, uint16_t n)
{
    p[0] = (uint8_t)(n >> 8);
    p[1] = (uint8_t)n;
}

/* CRC-32C (Castagnoli, reflected), four bits at a time: it is rare and short. */
static uint32_t crc32c(uint32_t crc, uint8_t byte)
{
    static const uint32_t of_nibble[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
                                           0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                           0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    crc = crc >> 4 ^ of_nibble[(crc ^ byte) & 15];
    return crc >> 4 ^ of_nibble[(crc ^ byte >> 4) & 15];
}

/* "If the checksum is present, receivers must verify it": over the whole header, with zeroes in the place of the checksum. */
static bool crc_right(const uint8_t *header, size_t total, size_t value)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < total; i++)
        crc = crc32c(crc, i >= value && i < value + 4 ? 0 : header[i]);
    return ~crc == ((uint32_t)load16(header + value) << 16 | load16(header + value + 2));
}

static bool tlvs_right(const uint8_t *header, size_t from, size_t total)
{
    while (from < total) {
        if (total - from < TLV_HEAD)
            return false;
        size_t value = from + TLV_HEAD, n = load16(header + from + 1);
        if (n > total - value)
            return false;
        if (header[from] == TLV_CRC32C && (n != 4 || !crc_right(header, total, value)))
            return false;
        from = value + n;
    }
    return true;
}

static void addresses_read(const uint8_t *p, enum v2_family family, struct proxy_protocol *out)
{
    if (family == V2_INET) {
        out->source.address = mr_address_ip4((uint32_t)load16(p) << 16 | load16(p + 2));
        out->destination.address = mr_address_ip4((uint32_t)load16(p + 4) << 16 | load16(p + 6));
        p += 8;
    } else {
        memcpy(out->source.address.bytes, p, 16);
        memcpy(out->destination.address.bytes, p + 16, 16);
        p += 32;
    }
    out->source.port = load16(p);
    out->destination.port = load16(p + 2);
}

static int parse_v2(const uint8_t *data, size_t length, struct proxy_protocol *out)
{
    size_t seen = length < sizeof v2_signature ? length : sizeof v2_signature;
    if (memcmp(data, v2_signature, seen) != 0)
        return -1;
    if (length > 12 && data[12] != V2_LOCAL && data[12] != V2_PROXY)
        return -1;
    if (length > 13 && (data[13] >> 4 >= V2_FAMILIES || (data[13] & 15) >= V2_TRANSPORTS))
        return -1; /* "receivers must drop connections presenting unexpected values here" */
    if (length < V2_HEAD_BYTES)
        return 0;
    enum v2_family family = data[13] >> 4;
    size_t total = V2_HEAD_BYTES + (size_t)load16(data + 14), addresses = v2_address_bytes[family];
    if (total > PROXY_PROTOCOL_BYTES_MAX)
        return -1;
    if (length < total)
        return 0;
    out->local = true;
    if (data[12] == V2_LOCAL) /* "must discard the protocol block including the family which is ignored" */
        return (int)total;
    if (total - V2_HEAD_BYTES < addresses || !tlvs_right(data, V2_HEAD_BYTES + addresses, total))
        return -1;
    if (family == V2_INET || family == V2_INET6) {
        out->local = false;
        addresses_read(data + V2_HEAD_BYTES, family, out);
    }
    return (int)total;
}

int proxy_protocol_parse(const uint8_t *data, size_t length, struct proxy_protocol *out)
{
    memset(out, 0, sizeof *out);
    if (length == 0)
        return 0;
    return data[0] == v2_signature[0] ? parse_v2(data, length, out) : proxy_protocol_parse_v1(data, length, out);
}

/* Either address being IPv6 makes the header one of IPv6: the other is written as ::ffff:a.b.c.d then (RFC 4291 2.5.5.2). */
static bool both_ip4(const struct mr_endpoint *source, const struct mr_endpoint *destination)
{
    return mr_address_is_ip4(&source->address) && mr_address_is_ip4(&destination->address);
}

/* In groups of hexadecimal digits throughout, as the specification asks for: no dotted tail. */
static char *ip6_text(const struct mr_address *a, char *text)
{
    if (!mr_address_is_ip4(a))
        return mr_address_text(a, text);
    snprintf(text, MR_ADDRESS_TEXT_MAX, "::ffff:%x:%x", load16(a->bytes + 12), load16(a->bytes + 14));
    return text;
}

size_t proxy_protocol_write_v1(const struct mr_endpoint *source, const struct mr_endpoint *destination, uint8_t *out)
{
    static const char unknown[] = "PROXY UNKNOWN\r\n";
    char from[MR_ADDRESS_TEXT_MAX], to[MR_ADDRESS_TEXT_MAX];
    if (!source) {
        memcpy(out, unknown, sizeof unknown - 1);
        return sizeof unknown - 1;
    }
    bool ip4 = both_ip4(source, destination);
    char *(*text)(const struct mr_address *, char *) = ip4 ? mr_address_text : ip6_text;
    return (size_t)snprintf((char *)out, PROXY_PROTOCOL_WRITE_MAX, "PROXY %s %s %s %u %u\r\n", ip4 ? "TCP4" : "TCP6",
                            text(&source->address, from), text(&destination->address, to), source->port,
                            destination->port);
}

static size_t write_v2(const struct mr_endpoint *source, const struct mr_endpoint *destination, enum v2_transport t,
                       uint8_t *out)
{
    memcpy(out, v2_signature, sizeof v2_signature);
    out[12] = source ? V2_PROXY : V2_LOCAL;
    if (!source) {
        memset(out + 13, 0, 3);
        return V2_HEAD_BYTES;
    }
    bool ip4 = both_ip4(source, destination);
    size_t bytes = ip4 ? 4 : 16;
    uint8_t *p = out + V2_HEAD_BYTES;
    out[13] = (uint8_t)((ip4 ? V2_INET : V2_INET6) << 4 | t);
    store16(out + 14, (uint16_t)(2 * bytes + 4));
    memcpy(p, source->address.bytes + 16 - bytes, bytes);
    memcpy(p + bytes, destination->address.bytes + 16 - bytes, bytes);
    store16(p + 2 * bytes, source->port);
    store16(p + 2 * bytes + 2, destination->port);
    return V2_HEAD_BYTES + 2 * bytes + 4;
}

size_t proxy_protocol_write_v2(const struct mr_endpoint *source, const struct mr_endpoint *destination, uint8_t *out)
{
    return write_v2(source, destination, V2_STREAM, out);
}

size_t proxy_protocol_write_v2_datagram(const struct mr_endpoint *source, const struct mr_endpoint *destination,
                                        uint8_t *out)
{
    return write_v2(source, destination, V2_DATAGRAM, out);
}
