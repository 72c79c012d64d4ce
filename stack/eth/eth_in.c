/* Every received frame starts here: filtered by destination, then handed to the protocol that its type names. */
#include "stack/core/layers.h"
#include "stack/eth/eth_wire.h"

/* RFC 1112 6.4: 01:00:5e and the low 23 bits of the group. All-hosts, 224.0.0.1, is the one group that every host is in. */
static const uint8_t ETH_ALL_HOSTS[6] = {0x01, 0x00, 0x5e, 0x00, 0x00, 0x01};

static bool eth_accepts(const struct netif *n, const uint8_t destination[6])
{
    return memcmp(destination, n->mac, 6) == 0 || memcmp(destination, ETH_BROADCAST, 6) == 0 ||
           memcmp(destination, ETH_ALL_HOSTS, 6) == 0;
}

void eth_in(struct mr_worker *w, struct netif *n, struct rte_mbuf *m)
{
    struct eth_header h;
    enum stat reason;
    stat_add(w, STAT_eth_frames_in, 1);
    if (!eth_parse(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &h, &reason))
        return packet_drop(w, m, reason);
    if (!eth_accepts(n, h.destination))
        return packet_drop(w, m, DROP_eth_not_for_us);

    struct packet_meta *meta = packet_meta(m);
    meta->netif = n;
    meta->flags = eth_is_group(h.destination) ? PACKET_GROUP : 0;
    rte_pktmbuf_adj(m, ETH_HEADER_BYTES);
    switch (h.type) {
    case ETH_IP4:
        return ip4_in(w, n, m);
    case ETH_ARP:
        return arp_in(w, n, m);
    default:
        return packet_drop(w, m, DROP_eth_unknown_type);
    }
}
