/* What a worker needs of the outside world: links that carry packets, and one clock that also knows how to rest.
 *
 * drivers/dpdk fills both for real ports, drivers/sim for virtual time; drivers/wrap puts a link around any link
 * (capture, impairment). The stack knows nothing else about where packets come from. */
#ifndef MILLRACE_LINK_H
#define MILLRACE_LINK_H

#include <millrace/types.h>

struct rte_mbuf;

/* Work the device does for us; what is missing is done in software, decided once at start. */
enum mr_link_offload {
    MR_LINK_RX_IP4_CHECKSUM = 1 << 0, /* received mbufs carry RTE_MBUF_F_RX_IP_CKSUM_* */
    MR_LINK_RX_L4_CHECKSUM = 1 << 1,  /* received mbufs carry RTE_MBUF_F_RX_L4_CKSUM_* */
    MR_LINK_TX_IP4_CHECKSUM = 1 << 2,
    MR_LINK_TX_TCP_CHECKSUM = 1 << 3, /* expects the pseudo-header sum in the field, l2_len/l3_len set */
    MR_LINK_TX_UDP_CHECKSUM = 1 << 4,
    MR_LINK_TX_MULTI_SEGMENT = 1 << 5, /* accepts mbuf chains */
    MR_LINK_RX_HASH = 1 << 6,          /* received mbufs carry the RSS hash */
    MR_LINK_TX_POOL_ONLY = 1 << 7,     /* a limit: only pool memory can be transmitted (DMA), lent memory is copied */
};

#define MR_LINK_RETA_MAX 2048

/* How the device spreads what it receives over its queues: the Toeplitz hash of a packet's source and destination address,
 * and source and destination port where `tcp` and `udp` say so, all in network order; then queue reta[hash % reta_entries]. */
struct mr_link_rss {
    const uint8_t *key;
    unsigned key_bytes; /* at least 16 */
    const uint16_t *reta;
    unsigned reta_entries; /* a power of two, at most MR_LINK_RETA_MAX */
    uint16_t queue;        /* this link's: what comes here has reta[...] == queue */
    bool tcp, udp;         /* ports are part of the hash */
};

struct mr_link_statistics {
    uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
    uint64_t rx_missed;    /* the device had no descriptor or the pool no mbuf */
    uint64_t rx_errors;    /* the device dropped a damaged frame */
    uint64_t tx_errors;    /* accepted, then dropped by the device */
    uint64_t rx_no_memory; /* no mbuf for a frame */
};

struct mr_link {
    void *self;
    const char *name; /* as configured: "tap0"; lives as long as the link */
    uint8_t mac[6];
    uint16_t mtu;      /* bytes of IP datagram */
    uint32_t offloads; /* enum mr_link_offload */
    const struct mr_link_rss *rss; /* NULL: one queue, or nobody knows which flow comes to which; lives as long as the link */

    /* At most `max` frames, FCS stripped, into `burst`; the caller owns them. Never blocks. */
    uint16_t (*receive)(void *self, struct rte_mbuf **burst, uint16_t max);

    /* Takes the first k of `burst` and returns k; the rest stays the caller's. Never blocks. */
    uint16_t (*transmit)(void *self, struct rte_mbuf **burst, uint16_t n);

    /* Counts since start; may be called from the control thread. */
    void (*statistics)(void *self, struct mr_link_statistics *out);

    /* Stops the link and releases everything it holds; wrappers close what they wrap. */
    void (*close)(void *self);

    /* When the link will have work though no frame arrives, MR_NEVER: not. For links that hold frames back in time
     * (impairment, simulation); an idle worker must not rest past it. NULL: never; called from the worker's thread. */
    mr_time (*next)(void *self);
};

struct mr_clock {
    void *self;

    /* Monotonic; read once a turn. */
    mr_time (*now)(void *self);

    /* Called by an idle worker on every idle turn. May return at any time; must return soon after a frame arrives on
     * any link of this worker, after wake(), or at `deadline` (MR_NEVER: none). Two-step by contract: the first idle
     * call arms interrupts and returns at once, so that the caller polls once more and no wake-up is lost; a next call
     * without busy() between may sleep. */
    void (*rest)(void *self, mr_time deadline);

    /* The worker found work: disarm, forget how long it has been idle. */
    void (*busy)(void *self);

    /* Ends a rest; the only function here that another thread may call. */
    void (*wake)(void *self);
};

#endif
