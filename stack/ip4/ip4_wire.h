/* The IPv4 header (RFC 791 3.1).
 *
 *    0         1           2             4    6             8     9          10         12       16            20
 *    | ver,ihl | dscp,ecn | total length | id | flags, frag | ttl | protocol | checksum | source | destination | options */
#ifndef STACK_IP4_IP4_WIRE_H
#define STACK_IP4_IP4_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stack/core/stat.h"

#define IP4_HEADER_BYTES     20 /* without options */
#define IP4_HEADER_BYTES_MAX 60
#define IP4_TTL_DEFAULT      64 /* RFC 1700 */

#define IP4_DONT_FRAGMENT  0x4000
#define IP4_MORE_FRAGMENTS 0x2000
#define IP4_OFFSET_MASK    0x1fff

enum ip_protocol { IP_ICMP = 1, IP_TCP = 6, IP_UDP = 17 };

struct ip4_header {
    uint8_t header_bytes; /* options included */
    uint8_t dscp_ecn, ttl, protocol;
    uint16_t total_bytes;
    uint16_t id, fragment; /* flags and offset as in the header */
    uint32_t source, destination;
};

/* Reads the header at `bytes`. `contiguous` bytes may be read there, `frame_bytes` are left in the whole frame (more when
 * the packet is a chain). With `checksum_known_good` the header checksum is not computed. Proves: the header with its
 * options is contiguous, each option lies inside it, the datagram lies inside the frame. */
bool ip4_parse(const uint8_t *bytes, size_t contiguous, size_t frame_bytes, bool checksum_known_good,
               struct ip4_header *h, enum stat *reason);

/* The header of a datagram quoted by ICMP, of which only the first part is there: the checks above but for the length
 * of the whole and the checksum. */
bool ip4_parse_quoted(const uint8_t *bytes, size_t n, struct ip4_header *h);

/* Writes IP4_HEADER_BYTES with a zero checksum. */
void ip4_emit(uint8_t *bytes, const struct ip4_header *h);

/* Computes the header checksum in place. */
void ip4_emit_checksum(uint8_t *bytes);

/* Neither host nor network: 0/8, 127/8 (RFC 1122 3.2.1.3), multicast and the reserved 240/4. */
static inline bool ip4_is_host(uint32_t address)
{
    uint32_t top = address >> 24;
    return top != 0 && top != 127 && top < 224;
}

static inline bool ip4_is_multicast(uint32_t address)
{
    return address >> 28 == 0xe;
}

#define IP4_LIMITED_BROADCAST 0xffffffffu
#define IP4_ALL_HOSTS         0xe0000001u /* 224.0.0.1 */

#endif
