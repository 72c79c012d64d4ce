/* ICMP (RFC 792): type, code, checksum and four bytes whose meaning the type gives; an error quotes the datagram that
 * caused it, from its IP header on.
 *
 *    0      1      2          4                     8
 *    | type | code | checksum | id,seq / .. mtu     | data, or the quoted IP header + 8 or more bytes */
#ifndef STACK_ICMP_ICMP_WIRE_H
#define STACK_ICMP_ICMP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stack/core/stat.h"
#include "stack/ip4/ip4_wire.h"

#define ICMP_HEADER_BYTES    8
#define ICMP_QUOTE_BYTES_MIN 8   /* of the transport header, RFC 792 */
#define ICMP_ERROR_BYTES_MAX 576 /* of the whole datagram: reaches everywhere (RFC 1812 4.3.2.3) */

enum icmp_type {
    ICMP_ECHO_REPLY = 0,
    ICMP_UNREACHABLE = 3,
    ICMP_SOURCE_QUENCH = 4,
    ICMP_REDIRECT = 5,
    ICMP_ECHO = 8,
    ICMP_TIME_EXCEEDED = 11,
    ICMP_PARAMETER_PROBLEM = 12,
};

struct icmp_header {
    uint8_t type, code;
    uint16_t mtu; /* of the next hop, in ICMP_UNREACHABLE with code 4 (RFC 1191 4); 0 from old routers */
};

/* Reads `n` contiguous bytes of a message; the checksum covers the whole message and is the caller's. */
bool icmp_parse(const uint8_t *bytes, size_t n, struct icmp_header *h, enum stat *reason);

/* What the first ICMP_QUOTE_BYTES_MIN bytes of a TCP or UDP header tell. */
struct icmp_quote_ports {
    uint16_t source_port, destination_port;
    uint32_t sequence; /* TCP only */
};
bool icmp_quote_ports_parse(const uint8_t *bytes, size_t n, struct icmp_quote_ports *q);

/* The quoted datagram: its header, and its ports when it is TCP or UDP. Fragments but the first carry no ports and are
 * refused. */
struct icmp_quote {
    struct ip4_header ip;
    struct icmp_quote_ports ports;
};
bool icmp_quote_parse(const uint8_t *bytes, size_t n, struct icmp_quote *q, enum stat *reason);

/* Writes ICMP_HEADER_BYTES with zero checksum and zero rest. */
void icmp_emit(uint8_t *bytes, uint8_t type, uint8_t code);

#endif
