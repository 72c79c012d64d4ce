/* A worker with one in-memory link and a virtual clock: 198.18.0.2/24 on our side, the peer 198.18.0.1 on the other,
 * which answers ARP by itself. Used by the script runner and by the fuzz target of an established connection. */
#ifndef TESTS_SCRIPT_WORLD_H
#define TESTS_SCRIPT_WORLD_H

#include "stack/core/worker.h"

#define WORLD_LOCAL_IP    0xc6120002u /* 198.18.0.2 */
#define WORLD_PEER_IP     0xc6120001u /* 198.18.0.1 */
#define WORLD_INBOUND_MAX 256

struct world {
    struct mr_worker *worker;
    struct mr_link link;
    struct mr_clock clock;
    struct netif *netif;
    struct rte_mempool *pool;
    unsigned pool_packets;
    mr_time now, start; /* script time 0 is `start` */
    unsigned inbound_count;
    struct rte_mbuf *inbound[WORLD_INBOUND_MAX];
    /* Called for each IP datagram that the worker transmits. */
    void (*captured)(void *argument, const uint8_t *datagram, size_t n);
    void *argument;
    bool restless; /* the worker did not come to rest in a bounded number of turns */
};

struct world_options {
    uint16_t mtu;
    uint64_t seed;
    struct worker_limits limits;
};

/* `pool` has `packets` packets, all of them free. False when the worker cannot be made. */
bool world_open(struct world *world, struct rte_mempool *pool, unsigned packets, const struct world_options *options);

/* Destroys the worker. Returns how many packets of the pool did not come back. */
unsigned world_close(struct world *world);

/* Queues an IP datagram as a frame from the peer, to our MAC or to all stations; false when no buffer is left. */
bool world_inject(struct world *world, const uint8_t *datagram, size_t n, bool group_mac);

/* Turns until the worker is at rest at this instant. */
void world_settle(struct world *world);

/* One step towards `until`: the clock moves to the next deadline or to `until`, whichever is earlier, and the worker
 * settles. True while `until` has not been reached. */
bool world_step(struct world *world, mr_time until);

#endif
