#include "stack/core/packet.h"

#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>

#include "stack/core/trace.h"
#include "stack/core/worker.h"

struct rte_mempool *packet_pool_create(const char *name, unsigned count, int socket, bool packed)
{
    struct rte_pktmbuf_pool_private room = {.mbuf_data_room_size = RTE_PKTMBUF_HEADROOM + PACKET_DATA_ROOM,
                                            .mbuf_priv_size =
                                                RTE_ALIGN(sizeof(struct packet_meta), RTE_MBUF_PRIV_ALIGN)};
    unsigned bytes = (unsigned)sizeof(struct rte_mbuf) + room.mbuf_priv_size + room.mbuf_data_room_size;
    struct rte_mempool *pool = rte_mempool_create_empty(name, count, bytes, PACKET_POOL_CACHE, sizeof room, socket,
                                                        packed ? RTE_MEMPOOL_F_NO_IOVA_CONTIG : 0);
    if (!pool)
        return NULL;
    if (rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL) == 0) {
        rte_pktmbuf_pool_init(pool, &room);
        int made = rte_mempool_populate_default(pool);
        if (made >= 0) {
            rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
            return pool;
        }
        rte_errno = -made;
    }
    rte_mempool_free(pool);
    return NULL;
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
