/* Private to arp/: the neighbour table and the claims on our own addresses. */
#ifndef STACK_ARP_ARP_H
#define STACK_ARP_ARP_H

#include "stack/arp/arp_wire.h"
#include "stack/base/slab.h"
#include "stack/core/layers.h"

/* Constants. */

#define ARP_QUEUE          8   /* packets that wait for one neighbour */
#define ARP_QUEUE_TOTAL    256 /* ... and for all of them */
#define ARP_REACHABLE_TIME (60 * MR_SECOND)
#define ARP_RETRY_TIME     MR_SECOND /* RFC 1122 2.3.2.1: at most one request a second for an address */
#define ARP_TRIES          3

/* RFC 5227 1.1 */
#define ARP_PROBE_WAIT        MR_SECOND
#define ARP_PROBE_NUM         3
#define ARP_PROBE_MIN         MR_SECOND
#define ARP_PROBE_MAX         (2 * MR_SECOND)
#define ARP_ANNOUNCE_WAIT     (2 * MR_SECOND)
#define ARP_ANNOUNCE_NUM      2
#define ARP_ANNOUNCE_INTERVAL (2 * MR_SECOND)
#define ARP_DEFEND_INTERVAL   (10 * MR_SECOND)

#define ARP_CLAIMS (NETIF_MAX * NETIF_ADDRESS_MAX)

/* Structs. */

/* Both kinds of timer share WHEEL_ARP; the node is first in its owner and the function knows which owner it is. */
struct arp_timer {
    struct mr_wheel_node node;
    void (*expired)(struct mr_worker *w, struct arp_timer *t);
};

/*    arp_out           answer             60 s, used         answer
 * (none) -> INCOMPLETE ------> REACHABLE ------------> PROBING ------> REACHABLE
 *               | 3 requests       | 60 s, unused         | 3 requests
 *             (none)             (none)                 (none)              */
enum arp_state { ARP_INCOMPLETE, ARP_REACHABLE, ARP_PROBING };

struct arp_entry {
    struct arp_timer timer;
    struct netif *netif;
    uint32_t address;
    uint32_t next;  /* index + 1 in its bucket's chain */
    uint8_t mac[6]; /* not yet known while INCOMPLETE */
    uint8_t state;  /* enum arp_state */
    uint8_t tries;  /* requests sent in this state */
    bool used;      /* something was sent to it since it was last confirmed */
    uint8_t queued;
    struct rte_mbuf *queue[ARP_QUEUE];
};

/* An address of ours on its way through RFC 5227. */
enum arp_claim_state { ARP_CLAIM_FREE, ARP_CLAIM_PROBE, ARP_CLAIM_ANNOUNCE, ARP_CLAIM_HELD, ARP_CLAIM_CONFLICT };

struct arp_claim {
    struct arp_timer timer;
    struct netif *netif;
    uint32_t address;
    uint8_t state;    /* enum arp_claim_state */
    uint8_t sent;     /* probes or announcements */
    mr_time defended; /* last; 0: never */
};

struct arp {
    struct slab entries;
    uint32_t *bucket; /* index + 1 of the first entry */
    uint32_t bucket_mask;
    uint32_t hand;       /* where eviction looks next */
    uint32_t incomplete; /* entries in that state */
    uint32_t queued;     /* packets in all queues */
    struct arp_claim claim[ARP_CLAIMS];
};

/* Table. */

struct arp_entry *arp_find(struct mr_worker *w, const struct netif *n, uint32_t address);

/* A new INCOMPLETE entry, evicting an idle one at the limit; NULL when there is none. */
struct arp_entry *arp_entry_new(struct mr_worker *w, struct netif *n, uint32_t address);

/* Removes the entry; its queue must be empty. */
void arp_entry_delete(struct mr_worker *w, struct arp_entry *e);

/* The only writer of `state`. */
void arp_set_state(struct mr_worker *w, struct arp_entry *e, enum arp_state state);

/* The neighbour said that it has `mac`: reachable, and everything that waited is sent in order. */
void arp_confirm(struct mr_worker *w, struct arp_entry *e, const uint8_t mac[6]);

/* Out. */

/* Sends one ARP packet from `n`; `to` is the Ethernet destination. */
void arp_send(struct mr_worker *w, struct netif *n, const struct arp_packet *p, const uint8_t to[6]);

void arp_timer_arm(struct mr_worker *w, struct arp_timer *t, mr_time deadline);

/* Claims. */

/* Looks for another station that uses an address of ours; true when `p` shows one (RFC 5227 2.1.1, 2.4). */
bool arp_claim_conflict(struct mr_worker *w, struct netif *n, const struct arp_packet *p);

#endif
