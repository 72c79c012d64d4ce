/* ARP for IPv4 over Ethernet (RFC 826): one fixed form of 28 bytes, link-layer padding may follow.
 *
 *    0       2       4    5    6           8            14          18           24          28
 *    | htype | ptype | hl | pl | operation | sender MAC | sender IP | target MAC | target IP | */
#ifndef STACK_ARP_ARP_WIRE_H
#define STACK_ARP_ARP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stack/core/stat.h"

#define ARP_PACKET_BYTES 28

enum arp_operation { ARP_REQUEST = 1, ARP_REPLY = 2 };

struct arp_packet {
    enum arp_operation operation;
    uint8_t sender_mac[6], target_mac[6];
    uint32_t sender, target; /* IPv4 in host order; sender 0: a probe (RFC 5227 1.1) */
};

/* Reads `n` contiguous bytes; false with the drop reason. Proves that the sender is one station: a unicast MAC and a
 * host's address, or 0 in a request. */
bool arp_parse(const uint8_t *bytes, size_t n, struct arp_packet *p, enum stat *reason);

/* Writes ARP_PACKET_BYTES. */
void arp_emit(uint8_t *bytes, const struct arp_packet *p);

#endif
