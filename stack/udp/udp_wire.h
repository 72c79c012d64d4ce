/* The UDP header (RFC 768).
 *
 *    0             2                  4        6          8
 *    | source port | destination port | length | checksum | payload ... */
#ifndef STACK_UDP_UDP_WIRE_H
#define STACK_UDP_UDP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stack/core/stat.h"

#define UDP_HEADER_BYTES 8

struct udp_header {
    uint16_t source_port, destination_port;
    uint16_t length; /* header and payload; at most what the IP datagram carries */
    bool has_checksum;
};

/* Reads the header from `contiguous` bytes of a datagram whose IP payload is `bytes_total` long. */
bool udp_parse(const uint8_t *bytes, size_t contiguous, size_t bytes_total, struct udp_header *h, enum stat *reason);

/* Writes UDP_HEADER_BYTES with a zero checksum; `length` counts the header. */
void udp_emit(uint8_t *bytes, uint16_t source_port, uint16_t destination_port, uint16_t length);

#endif
