/* Local ports of connections that we open, private to tcp_port*.c: for each destination that is in use a set of free ports.
 *
 *   destination (local address, remote endpoint) -> set of free ports; one at or after a random place is found by two or three looks
 *
 * Where a device spreads flows (RSS) the ports lie in the order of their class: the low bits of their share in the Toeplitz
 * hash. Which classes come to this worker depends on the destination only, so a set is made with the others taken. */
#ifndef STACK_TCP_PORT_H
#define STACK_TCP_PORT_H

#include "stack/base/bits.h"
#include "stack/tcp/tcp.h"

#define PORT_FIRST 32768
#define PORT_COUNT 28232 /* up to 60999, as Linux; below it live services */

_Static_assert(PORT_COUNT <= BITS_MAX, "a set holds every port");

#define PORT_SETS_MAX    4096 /* destinations of one worker; beyond them ports are tried one after the other */
#define PORT_SET_BUCKETS 4096

/* Ports in the order of their class, for one interface. */
struct port_order {
    const struct mr_link_rss *rss;
    uint16_t class_start[MR_LINK_RETA_MAX + 1]; /* position of the first of each class */
    uint16_t port_at[PORT_COUNT];               /* less PORT_FIRST, by position */
    uint16_t position_of[PORT_COUNT];
};

struct port_set {
    struct flow_key destination;    /* local_port 0 */
    const struct port_order *order; /* NULL: by number */
    uint32_t next;                  /* index + 1 in the bucket's chain */
    uint32_t idle_next, idle_previous;
    uint32_t used;                       /* ports taken by connections of ours */
    uint32_t waiting_head, waiting_tail; /* TIME-WAIT records, index + 1, oldest first */
    struct bits free;                    /* positions */
};

struct tcp_ports {
    struct slab sets;
    struct port_order *order[NETIF_MAX]; /* by netif->index; NULL: the device spreads nothing */
    uint32_t bucket[PORT_SET_BUCKETS];   /* index + 1 */
    uint32_t idle_head, idle_tail;       /* sets without a connection, index + 1, longest idle first */
    struct port_set *last;
};

/* tcp_port_order.c: NULL when memory is short. */
struct port_order *port_order_create(const struct mr_link_rss *rss);
/* All ports to the set's destination whose answers come to this queue become free. */
void port_order_fill(const struct port_order *order, struct port_set *s);
bool port_order_suits(const struct port_order *order, const struct flow_key *key);

#endif
