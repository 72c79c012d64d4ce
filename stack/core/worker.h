/* The worker: everything that one thread owns. Nothing in stack/ is global; all hangs from here and is passed first. */
#ifndef STACK_CORE_WORKER_H
#define STACK_CORE_WORKER_H

#include <millrace/mailbox.h>
#include <millrace/random.h>
#include <millrace/service.h>
#include <millrace/turn.h>

#include "stack/base/hash.h"
#include "stack/base/wheel.h"
#include "stack/core/netif.h"
#include "stack/core/packet.h"
#include "stack/core/stat.h"

#define WORKER_BURST 32

/* What a worker may hold. 0 takes the default of worker_limits_default. */
struct worker_limits {
    uint32_t connections; /* established and closing connections */
    uint32_t half_open;   /* SYN received, not yet acknowledged */
    uint32_t time_wait;   /* connections in TIME-WAIT */
    uint32_t neighbours;  /* ARP entries */
    uint32_t datagram_ports;
    uint32_t packet_reserve; /* packets of the pool kept for receiving and replying; default a quarter */
};

struct worker_options {
    unsigned index;
    uint64_t seed;            /* everything random of this worker */
    struct hash_key secret;   /* initial sequence numbers, tables; from the operating system in a server */
    struct rte_mempool *pool; /* made by packet_pool_create; lives longer than the worker */
    struct mr_clock *clock;
    struct worker_limits limits;
    const char *congestion; /* default algorithm; NULL: "reno" */
};

struct worker_service {
    const struct mr_service *service;
    uint64_t *counters;
    unsigned counter_count;
    void *state;
};
#define WORKER_SERVICE_MAX 32

struct mr_worker {
    mr_time now;
    struct mr_clock *clock;
    struct rte_mempool *pool;
    uint32_t packets_held;     /* payload packets kept in queues of streams and ports */
    uint32_t packets_held_max; /* the pool's size less the reserve */
    unsigned netif_count;
    struct netif *netif[NETIF_MAX];

    struct wheel wheel;
    struct mr_random random;
    struct hash_key secret;
    uint64_t secret_counter, secret_left; /* of secret_below */

    /* One per protocol, made by X_init, freed by X_release. */
    struct arp *arp;
    struct route *route;
    struct icmp *icmp;
    struct udp *udp;
    struct tcp *tcp;
    struct mailbox *mailbox; /* messages in and out; NULL in a worker without a group */

    struct mr_deferred *deferred, **deferred_end; /* runs at the end of the turn; see turn.c */

    unsigned index;
    bool stopping;
    bool resting;                /* written by us, read by those who may have to wake us */
    uint32_t fail_packets_after; /* tests: packet_new fails after so many; UINT32_MAX: never */
    unsigned service_count;
    struct worker_service services[WORKER_SERVICE_MAX];
    const char *congestion;

    uint64_t stat[STAT_COUNT];
};

static inline void stat_add(struct mr_worker *w, enum stat s, uint64_t n)
{
    w->stat[s] += n;
}

/* Makes a worker with every protocol initialised and no interface. NULL when memory is short; the log says what for. */
struct mr_worker *worker_create(const struct worker_options *options);

/* Attaches `link` with its addresses (may be added later by netif_add_address). MR_OK or MR_ERROR_NO_MEMORY. */
int worker_add_link(struct mr_worker *w, struct mr_link *link, struct netif **out);

/* Adds an address and its on-link route, announces it (gratuitous ARP) and starts duplicate address detection. */
int netif_add_address(struct mr_worker *w, struct netif *n, const struct mr_address *a, unsigned bits);

/* Starts one instance of `service`; `shared` is what its `open` gave, or NULL. MR_OK or what its start returned. */
int worker_start_service(struct mr_worker *w, const struct mr_service *service, const void *config, void *shared);

/* Asks services to stop and accepts no more connections; those that are open go on as their service lets them. The caller
 * turns the loop until worker_idle or its patience ends, and may then close what is left in order, by worker_close_streams. */
void worker_stop(struct mr_worker *w);
void worker_close_streams(struct mr_worker *w);
bool worker_idle(const struct mr_worker *w); /* no connection is left but TIME-WAIT records */

/* Releases all; connections still open are reset. Links are closed by their owner. */
void worker_destroy(struct mr_worker *w);

/* One turn at `now`: phases 1 to 7 of the loop. Returns how much it did: 0 is an idle turn. */
unsigned worker_turn(struct mr_worker *w, mr_time now);

/* When the worker must next be turned though no packet came: `w->now` or earlier means at once. */
mr_time worker_next_deadline(const struct mr_worker *w);

/* Turns until *stop is non-zero (set from another thread or a signal handler, followed by clock->wake). */
void worker_run(struct mr_worker *w, const volatile int *stop);

/* Queues a finished frame on an interface; consumes `m`. Flushed once a turn. */
void netif_out(struct mr_worker *w, struct netif *n, struct rte_mbuf *m);

/* Gives the link what is queued; what it does not take stays queued. */
void netif_flush(struct mr_worker *w, struct netif *n);

/* Room left before the backlog drops; TCP sends no new data when it is short. */
static inline unsigned netif_room(const struct netif *n)
{
    return NETIF_BACKLOG - n->backlog_count;
}

/* True when one more packet of payload may be kept: the rest of the pool is for receiving and replying. Whoever queues a
 * packet beyond the turn adds to packets_held, and takes it off when the packet goes. */
static inline bool worker_may_hold_packet(const struct mr_worker *w)
{
    return w->packets_held < w->packets_held_max;
}

/* The same for payload that goes only when a peer moves: what is queued to be sent, what waits behind a hole. A quarter is
 * left for data in order, which a service can take at once. Without it two hosts whose memory is full of what they want
 * to send each other refuse each other's data, and neither can ever free any. */
static inline bool worker_may_queue_packets(const struct mr_worker *w, uint32_t n)
{
    return w->packets_held + n <= w->packets_held_max - w->packets_held_max / 4;
}

/* Invariants of everything the worker owns; tests and the simulator call it after every event. */
void worker_check(struct mr_worker *w);

#endif
