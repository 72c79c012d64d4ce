/* Ethernet II framing (IEEE 802.3 clause 3, RFC 894): destination, source, type; the FCS is the device's business.
 *
 *    0       6        12     14
 *    | destination | source | type | payload ... */
#ifndef STACK_ETH_ETH_WIRE_H
#define STACK_ETH_ETH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "stack/core/stat.h"

#define ETH_HEADER_BYTES 14

enum eth_type { ETH_IP4 = 0x0800, ETH_ARP = 0x0806, ETH_VLAN = 0x8100, ETH_QINQ = 0x88a8 };

static const uint8_t ETH_BROADCAST[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

struct eth_header {
    uint8_t destination[6], source[6];
    uint16_t type;
};

/* Reads the header from the first of `n` contiguous bytes; false with the drop reason when it is not one. */
bool eth_parse(const uint8_t *bytes, size_t n, struct eth_header *h, enum stat *reason);

/* Writes ETH_HEADER_BYTES. */
static inline void eth_emit(uint8_t *bytes, const uint8_t destination[6], const uint8_t source[6], uint16_t type)
{
    memcpy(bytes, destination, 6);
    memcpy(bytes + 6, source, 6);
    bytes[12] = (uint8_t)(type >> 8);
    bytes[13] = (uint8_t)type;
}

/* The lowest bit of the first octet marks broadcast and multicast addresses. */
static inline bool eth_is_group(const uint8_t mac[6])
{
    return mac[0] & 1;
}

#endif
