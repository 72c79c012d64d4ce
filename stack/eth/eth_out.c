#include "stack/core/layers.h"
#include "stack/eth/eth_wire.h"

void eth_out(struct mr_worker *w, struct netif *n, struct rte_mbuf *m, const uint8_t destination[6], uint16_t type)
{
    uint8_t *header = (uint8_t *)rte_pktmbuf_prepend(m, ETH_HEADER_BYTES);
    if (!header)
        return packet_drop(w, m, DROP_eth_no_headroom);
    eth_emit(header, destination, n->mac, type);
    stat_add(w, STAT_eth_frames_out, 1);
    netif_out(w, n, m);
}
