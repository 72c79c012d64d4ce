/* Private to route/: the table, the path cache, the loop to ourselves. */
#ifndef STACK_ROUTE_ROUTE_PRIVATE_H
#define STACK_ROUTE_ROUTE_PRIVATE_H

#include "stack/core/layers.h"
#include "stack/route/route.h"
#include "stack/route/route_trie.h"

#define PATH_CACHE_BITS 10
/* A cached path looks at the neighbour table this often, so that ageing there sees that the neighbour is used. */
#define PATH_VALID_TIME MR_SECOND
#define ROUTE_LOOP_MAX  64 /* packets from us to us in one turn */

struct route_entry {
    struct route_key prefix;
    struct mr_address gateway; /* any: on-link */
    struct netif *netif;       /* NULL: the slot is free */
    uint8_t bits;
};

enum path_kind {
    PATH_NONE,       /* no route */
    PATH_SELF,       /* an address of ours */
    PATH_UNRESOLVED, /* the next hop's MAC is not known: through arp_out */
    PATH_READY,      /* `mac` is where the frame goes */
};

/* One line: all that a packet needs to leave. Only READY and SELF are ever found again, see path_find. */
struct path {
    struct mr_address destination;
    struct netif *netif;
    mr_time expires;
    uint64_t generation;
    uint32_t source, next_hop;
    uint8_t mac[6];
    uint8_t kind; /* enum path_kind */
    bool multicast;
};
_Static_assert(sizeof(struct path) <= 64, "a path is one cache line");

struct route_loop {
    struct mr_timer timer;
    unsigned count;
    struct rte_mbuf *packet[ROUTE_LOOP_MAX];
};

/* What each received datagram is compared with: our IPv4 addresses, and the broadcast addresses of their prefixes. */
struct route_own {
    uint32_t address, broadcast; /* equal when the prefix has none */
};

struct route {
    struct path path[1u << PATH_CACHE_BITS];
    uint64_t generation; /* of all that paths are made from; never 0 */
    struct route_trie trie;
    struct route_entry entry[ROUTE_MAX];
    struct route_loop loop;
    struct route_own own[NETIF_MAX * NETIF_ADDRESS_MAX];
    unsigned own_count;
};

/* Our address on `n` to talk to `next_hop`: of those whose prefix contains it the longest, of equals the first; else the
 * first of the family. False: `n` has none. */
bool route_source(const struct netif *n, const struct mr_address *next_hop, struct mr_address *source);

/* The path to `remote`, from the cache or made now; valid until the next call. */
const struct path *path_find(struct mr_worker *w, const struct mr_address *remote);

/* `m` starts at the IP header and is complete: it comes back through ip4_in of `n` in the timer phase. */
void route_loop_init(struct route_loop *l);
void route_loop_out(struct mr_worker *w, struct netif *n, struct rte_mbuf *m);
void route_loop_release(struct mr_worker *w);

#endif
