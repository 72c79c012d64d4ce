#include "stack/ip4/ip4_wire.h"

#include "stack/base/bytes.h"
#include "stack/base/checksum.h"

/* RFC 791 3.1: one octet (end, no-operation), or type, length, data, where the length counts all three. */
enum { OPTION_END = 0, OPTION_NOP = 1, OPTION_LOOSE_ROUTE = 131, OPTION_STRICT_ROUTE = 137 };

/* Walks the options once. Source routes are refused: they let a sender steer traffic around filters (RFC 7126 4.3). */
static bool options_valid(const uint8_t *options, size_t n, enum stat *reason)
{
    size_t at = 0;
    while (at < n && options[at] != OPTION_END) {
        if (options[at] == OPTION_NOP) {
            at++;
            continue;
        }
        if (n - at < 2 || options[at + 1] < 2 || options[at + 1] > n - at) {
            *reason = DROP_ip4_bad_option;
            return false;
        }
        if (options[at] == OPTION_LOOSE_ROUTE || options[at] == OPTION_STRICT_ROUTE) {
            *reason = DROP_ip4_source_route;
            return false;
        }
        at += options[at + 1];
    }
    return true;
}

static void read_fields(const uint8_t *bytes, struct ip4_header *h)
{
    h->header_bytes = (uint8_t)((bytes[0] & 0xf) * 4);
    h->dscp_ecn = bytes[1];
    h->total_bytes = bytes_get_16(bytes + 2);
    h->id = bytes_get_16(bytes + 4);
    h->fragment = bytes_get_16(bytes + 6);
    h->ttl = bytes[8];
    h->protocol = bytes[9];
    h->source = bytes_get_32(bytes + 12);
    h->destination = bytes_get_32(bytes + 16);
}

static inline bool checksum_valid(const uint8_t *bytes, size_t n)
{
    if (__builtin_expect(n == IP4_HEADER_BYTES, 1))
        return checksum_of_20_bytes(bytes) == 0xffff;
    return checksum_fold(checksum_add(0, bytes, n)) == 0xffff;
}

bool ip4_parse(const uint8_t *bytes, size_t contiguous, size_t frame_bytes, bool checksum_known_good,
               struct ip4_header *h, enum stat *reason)
{
    *reason = DROP_ip4_too_short;
    if (contiguous < IP4_HEADER_BYTES)
        return false;
    read_fields(bytes, h);
    *reason = DROP_ip4_bad_version;
    if (bytes[0] >> 4 != 4)
        return false;
    *reason = DROP_ip4_bad_header_length;
    if (h->header_bytes < IP4_HEADER_BYTES || h->header_bytes > contiguous)
        return false;
    *reason = DROP_ip4_bad_total_length;
    if (h->total_bytes < h->header_bytes || h->total_bytes > frame_bytes)
        return false;
    *reason = DROP_ip4_bad_checksum;
    if (!checksum_known_good && !checksum_valid(bytes, h->header_bytes))
        return false;
    return h->header_bytes == IP4_HEADER_BYTES ||
           options_valid(bytes + IP4_HEADER_BYTES, h->header_bytes - IP4_HEADER_BYTES, reason);
}

bool ip4_parse_quoted(const uint8_t *bytes, size_t n, struct ip4_header *h)
{
    if (n < IP4_HEADER_BYTES || bytes[0] >> 4 != 4)
        return false;
    read_fields(bytes, h);
    return h->header_bytes >= IP4_HEADER_BYTES && h->header_bytes <= n;
}

void ip4_emit(uint8_t *bytes, const struct ip4_header *h)
{
    bytes[0] = 0x45;
    bytes[1] = h->dscp_ecn;
    bytes_put_16(bytes + 2, h->total_bytes);
    bytes_put_16(bytes + 4, h->id);
    bytes_put_16(bytes + 6, h->fragment);
    bytes[8] = h->ttl;
    bytes[9] = h->protocol;
    bytes_put_16(bytes + 10, 0);
    bytes_put_32(bytes + 12, h->source);
    bytes_put_32(bytes + 16, h->destination);
}

void ip4_emit_checksum(uint8_t *bytes)
{
    uint16_t sum = (uint16_t)~checksum_of_20_bytes(bytes);
    __builtin_memcpy(bytes + 10, &sum, sizeof sum);
}
