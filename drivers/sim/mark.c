#include "drivers/sim/mark.h"

#define ETHERNET_HEADER_BYTES 14
#define IP4_HEADER_BYTES      20
#define ECN_MASK              3
#define ECN_CE                3

/* RFC 1624 equation 3: HC' = ~(~HC + ~m + m'), on the word that holds version, length and traffic class. */
static void ip4_mark(uint8_t *ip)
{
    uint32_t before = (uint32_t)ip[0] << 8 | ip[1];
    ip[1] |= ECN_CE;
    uint32_t after = (uint32_t)ip[0] << 8 | ip[1];
    uint32_t sum = (~((uint32_t)ip[10] << 8 | ip[11]) & 0xffff) + (~before & 0xffff) + after;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    ip[10] = (uint8_t)(~sum >> 8);
    ip[11] = (uint8_t)~sum;
}

bool mark_ce(uint8_t *frame, uint32_t bytes)
{
    if (bytes < ETHERNET_HEADER_BYTES + IP4_HEADER_BYTES)
        return false;
    uint8_t *ip = frame + ETHERNET_HEADER_BYTES;
    uint32_t type = (uint32_t)frame[12] << 8 | frame[13];
    if (type == 0x0800 && (ip[1] & ECN_MASK) != 0) {
        ip4_mark(ip);
        return true;
    }
    if (type == 0x86dd && (ip[1] >> 4 & ECN_MASK) != 0) { /* the low bits of the traffic class: bits 4-5 of octet 1 */
        ip[1] |= ECN_CE << 4;
        return true;
    }
    return false;
}
