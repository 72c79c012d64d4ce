#include "stack/arp/arp_wire.h"

#include <string.h>

#include "stack/base/bytes.h"
#include "stack/eth/eth_wire.h"
#include "stack/ip4/ip4_wire.h"

/* Hardware type 1 (Ethernet), protocol type IPv4, their address lengths. */
static const uint8_t ARP_FIXED[6] = {0, 1, 8, 0, 6, 4};

static bool sender_is_station(const struct arp_packet *p)
{
    static const uint8_t none[6];
    if (eth_is_group(p->sender_mac) || memcmp(p->sender_mac, none, 6) == 0)
        return false;
    return ip4_is_host(p->sender) || (p->sender == 0 && p->operation == ARP_REQUEST);
}

bool arp_parse(const uint8_t *bytes, size_t n, struct arp_packet *p, enum stat *reason)
{
    *reason = DROP_arp_too_short;
    if (n < ARP_PACKET_BYTES)
        return false;
    *reason = DROP_arp_bad_format;
    if (memcmp(bytes, ARP_FIXED, sizeof ARP_FIXED) != 0)
        return false;
    *reason = DROP_arp_bad_operation;
    if (bytes[6] != 0 || (bytes[7] != ARP_REQUEST && bytes[7] != ARP_REPLY))
        return false;
    p->operation = bytes[7];
    memcpy(p->sender_mac, bytes + 8, 6);
    p->sender = bytes_get_32(bytes + 14);
    memcpy(p->target_mac, bytes + 18, 6);
    p->target = bytes_get_32(bytes + 24);
    *reason = DROP_arp_bad_sender;
    return sender_is_station(p);
}

void arp_emit(uint8_t *bytes, const struct arp_packet *p)
{
    memcpy(bytes, ARP_FIXED, sizeof ARP_FIXED);
    bytes[6] = 0;
    bytes[7] = (uint8_t)p->operation;
    memcpy(bytes + 8, p->sender_mac, 6);
    bytes_put_32(bytes + 14, p->sender);
    memcpy(bytes + 18, p->target_mac, 6);
    bytes_put_32(bytes + 24, p->target);
}
