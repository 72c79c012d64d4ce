/* Routes: longest prefix to (interface, gateway or on-link), source address choice, and a small cache of resolved paths
 * so that a packet of a known destination costs one lookup. */
#ifndef STACK_ROUTE_ROUTE_H
#define STACK_ROUTE_ROUTE_H

#include <millrace/address.h>

#include "stack/core/netif.h"
#include "stack/core/packet.h"

#define ROUTE_MAX 1024

struct mr_worker;
struct route;

struct route_result {
    struct netif *netif;
    struct mr_address next_hop; /* the destination itself when on-link */
    struct mr_address source;   /* our address to use */
};

bool route_init(struct mr_worker *w);
void route_release(struct mr_worker *w);

/* `gateway` any: on-link. Replaces a route of the same prefix. MR_OK, MR_ERROR_INVALID, MR_ERROR_NO_MEMORY (ROUTE_MAX),
 * MR_ERROR_NO_ROUTE (the gateway is on no interface's prefix). */
int route_add(struct mr_worker *w, const struct mr_address *prefix, unsigned bits, const struct mr_address *gateway,
              struct netif *netif);
int route_remove(struct mr_worker *w, const struct mr_address *prefix, unsigned bits);

/* False: no route. */
bool route_lookup(struct mr_worker *w, const struct mr_address *destination, struct route_result *out);

/* True when `a` is an address of one of our interfaces. */
bool route_is_local(const struct mr_worker *w, const struct mr_address *a);

/* True when `a` is multicast, limited broadcast, or the broadcast address of one of our prefixes (RFC 1122 3.2.1.3). */
bool route_is_group(const struct mr_worker *w, const struct mr_address *a);

/* Both answers about an IPv4 address in host order at once; one that is both is local. */
enum route_kind { ROUTE_OTHER, ROUTE_LOCAL, ROUTE_GROUP };
enum route_kind route_kind_ip4(const struct mr_worker *w, uint32_t ip);

/* True when `a` is inside one of `n`'s prefixes: reached without a gateway. */
bool route_on_link(const struct netif *n, const struct mr_address *a);

/* MTU of the interface towards `destination`; 0: no route. */
uint16_t route_mtu(struct mr_worker *w, const struct mr_address *destination);

/* Sends a transport segment: `m` starts at the transport header. Finds the path, finishes the transport checksum
 * (protocols 6 and 17: the checksum field is zero, the pseudo-header is added here, in the device where it can), adds the
 * IP header, resolves the next hop and queues the frame. Consumes `m`. `local` any: chosen by route. */
struct path_options {
    uint8_t protocol;
    uint8_t ttl;       /* 0: 64 */
    uint8_t dscp_ecn;  /* the whole traffic class octet */
    bool may_fragment; /* clears DF; we never fragment ourselves */
    uint8_t header_bytes; /* not 0: payload_sum is the sum of what follows the transport header, an even number of bytes */
    uint16_t payload_sum;
};
void path_out(struct mr_worker *w, struct rte_mbuf *m, const struct mr_address *local, const struct mr_address *remote,
              const struct path_options *options);

/* The interface that path_out would use now, for back-pressure; NULL: no route. */
struct netif *path_netif(struct mr_worker *w, const struct mr_address *remote);

/* Verifies the table of routes; aborts with both values. */
void route_check(const struct mr_worker *w);

/* Something about addresses, routes or neighbours changed: cached paths are void. */
void path_invalidate(struct mr_worker *w);

#endif
