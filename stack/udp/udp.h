/* Private to udp/: ports and what waits for them within a turn. */
#ifndef STACK_UDP_UDP_H
#define STACK_UDP_UDP_H

#include "stack/base/bits.h"
#include "stack/base/slab.h"
#include "stack/core/layers.h"
#include "stack/udp/udp_wire.h"

#define UDP_QUEUE   256  /* datagrams for one port in a turn */
#define UDP_WAITING 1024 /* ... and for all: more than the links of a worker give in a turn */
#define UDP_BURST   64   /* handed to the handler at a time, as the public header says */

/* The ephemeral range, as for TCP and as Linux has it. */
#define UDP_EPHEMERAL_FIRST 32768
#define UDP_EPHEMERAL_COUNT 28232
_Static_assert(UDP_EPHEMERAL_COUNT <= BITS_MAX, "a set holds every port");

#define UDP_BUCKETS 16384 /* by port number: ports are our own choice, they need no secret */

/* What has come in this turn and waits for its port's handler. */
struct udp_waiting {
    struct rte_mbuf *m; /* data is the payload, contiguous */
    struct udp_waiting *next;
    struct mr_address local;
    struct mr_endpoint remote;
};

struct mr_port {
    struct mr_worker *worker;
    struct mr_endpoint local;
    struct mr_endpoint remote; /* port 0: anyone's */
    const struct mr_datagram_handler *handler;
    void *context;
    uint32_t next;       /* index + 1 in its bucket's chain */
    uint32_t next_ready; /* index + 1 */
    bool ready;          /* in the list of ports with something to deliver, or being delivered */
    bool closed;         /* out of the table; freed when it leaves the ready list */
    unsigned count;
    struct udp_waiting *first, *last;
};

struct udp {
    struct slab ports;
    uint32_t bucket[UDP_BUCKETS];     /* index + 1 */
    uint32_t ready_first, ready_last; /* index + 1 */
    struct bits free;                 /* ephemeral ports that nobody has on any address, less the first */
    unsigned waiting_count;           /* since the last delivery */
    struct udp_waiting waiting[UDP_WAITING];
};

/* The port for a datagram to `address`: one bound to exactly it before one bound to any; NULL: none. */
struct mr_port *udp_port_find(struct udp *u, const struct mr_address *address, uint16_t port);

/* Drops what waits at `p`. */
void udp_waiting_drop(struct mr_worker *w, struct mr_port *p);

#endif
