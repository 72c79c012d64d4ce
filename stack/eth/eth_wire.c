#include "stack/eth/eth_wire.h"

bool eth_parse(const uint8_t *bytes, size_t n, struct eth_header *h, enum stat *reason)
{
    if (n < ETH_HEADER_BYTES) {
        *reason = DROP_eth_too_short;
        return false;
    }
    memcpy(h->destination, bytes, 6);
    memcpy(h->source, bytes + 6, 6);
    h->type = (uint16_t)(bytes[12] << 8 | bytes[13]);
    if (eth_is_group(h->source)) {
        *reason = DROP_eth_bad_source;
        return false;
    }
    if (h->type == ETH_VLAN || h->type == ETH_QINQ) {
        *reason = DROP_eth_vlan_tagged;
        return false;
    }
    return true;
}
