#include "stack/core/packet.h"

#include "stack/core/trace.h"
#include "stack/core/worker.h"

struct rte_mempool *packet_pool_create(const char *name, unsigned count, int socket)
{
    return rte_pktmbuf_pool_create(name, count, PACKET_POOL_CACHE, RTE_ALIGN(sizeof(struct packet_meta), RTE_MBUF_PRIV_ALIGN),
                                   RTE_PKTMBUF_HEADROOM + PACKET_DATA_ROOM, socket);
}

struct rte_mbuf *packet_new(struct mr_worker *w)
{
    if (__builtin_expect(w->fail_packets_after != UINT32_MAX, 0)) {
        if (w->fail_packets_after == 0)
            return NULL;
        w->fail_packets_after--;
    }
    return rte_pktmbuf_alloc(w->pool);
}

void packet_drop(struct mr_worker *w, struct rte_mbuf *m, enum stat reason)
{
    stat_add(w, reason, 1);
    TRACE(w, "drop %s.%s bytes=%u", stat_descriptions[reason].area, stat_descriptions[reason].name, m->pkt_len);
    rte_pktmbuf_free(m);
}
