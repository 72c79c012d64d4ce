/* Packets are struct rte_mbuf from pools made here; each carries a small private area between its header and its data.
 *
 * Ownership follows the verb: X_in and X_out consume the packet on success and on failure; X_peek borrows. */
#ifndef STACK_CORE_PACKET_H
#define STACK_CORE_PACKET_H

#include <rte_mbuf.h>

#include "stack/core/stat.h"

struct mr_worker;
struct netif;

struct packet_meta {
    /* Set by each layer for the next, in packets just received. */
    struct netif *netif;   /* where it came in */
    uint8_t flags;         /* PACKET_* */
    uint8_t ttl, dscp_ecn; /* of the IP header */
    uint8_t protocol;
    uint16_t ip_offset; /* of the IP header from m->buf_addr: for ICMP quotes */
    uint16_t ip_bytes;  /* total length of the datagram */

    /* Of a packet that waits in a queue of TCP: the mbuf's own `next` belongs to the device's chains. */
    struct rte_mbuf *queue_next;
    uint32_t sequence; /* of the first byte kept */
    uint32_t length;   /* payload bytes */
    uint32_t sent_us;  /* send queue: when its last byte was last transmitted, for RTT samples */
    uint16_t offset;   /* send queue: of the payload from buf_addr; data_off moves when headers are prepended */
    uint8_t sent;      /* send queue: enum packet_sent */
    uint16_t payload_sum; /* send queue, with PACKET_PAYLOAD_SUM: one's complement, as it lies in memory */
};

enum packet_flag {
    PACKET_GROUP = 1 << 0,            /* sent to a broadcast or multicast address, at layer 2 or 3 */
    PACKET_L4_CHECKSUM_GOOD = 1 << 1, /* the device checked it */
    PACKET_LOOPED = 1 << 2,           /* sent by ourselves to an address of ours; never on a link */
    PACKET_PAYLOAD_SUM = 1 << 3,      /* of a packet of TCP that is sent: payload_sum is that of all its payload */
};

enum packet_sent { PACKET_UNSENT, PACKET_SENT_PART, PACKET_SENT_ONCE, PACKET_SENT_AGAIN };

#define PACKET_DATA_ROOM  2048 /* after the headroom: one full Ethernet frame and the headers that we prepend */
#define PACKET_POOL_CACHE 256

static inline struct packet_meta *packet_meta(struct rte_mbuf *m)
{
    return (struct packet_meta *)rte_mbuf_to_priv(m);
}

/* A pool of `count` packets with the private area above, or NULL with rte_errno. `name` is unique in the process. `packed`: one behind
 * the other, across the borders of pages, where devices see virtual addresses; else each lies within a page. */
struct rte_mempool *packet_pool_create(const char *name, unsigned count, int socket, bool packed);

/* A packet with headroom and no data, or NULL, counted by the caller. Honours the worker's injected failures. */
struct rte_mbuf *packet_new(struct mr_worker *w);

/* Frees `m` and counts the reason. */
void packet_drop(struct mr_worker *w, struct rte_mbuf *m, enum stat reason);

#endif
