/* Ports: opening, finding, closing. Public side: include/millrace/datagram.h. */
#include <stdlib.h>

#include "stack/core/rss.h"
#include "stack/core/secret.h"
#include "stack/route/route.h"
#include "stack/udp/udp.h"

bool udp_init(struct mr_worker *w, uint32_t ports)
{
    w->udp = calloc(1, sizeof *w->udp);
    if (w->udp)
        bits_add_range(&w->udp->free, 0, UDP_EPHEMERAL_COUNT);
    return w->udp && slab_init(&w->udp->ports, "datagram ports", sizeof(struct mr_port), 64, ports);
}

void udp_waiting_drop(struct mr_worker *w, struct mr_port *p)
{
    for (; p->count; p->count--, p->first = p->first->next)
        packet_drop(w, p->first->m, DROP_udp_closed);
}

void udp_release(struct mr_worker *w)
{
    struct udp *u = w->udp;
    for (uint32_t i = u->ready_first; i;) {
        struct mr_port *p = slab_at(&u->ports, i - 1);
        udp_waiting_drop(w, p);
        i = p->next_ready;
    }
    slab_free_all(&u->ports);
    free(u);
    w->udp = NULL;
}

static struct mr_port *port_at(struct udp *u, uint32_t index)
{
    return index ? slab_at(&u->ports, index - 1) : NULL;
}

static struct mr_port *find_bound(struct udp *u, const struct mr_address *address, uint16_t port)
{
    struct mr_port *p = port_at(u, u->bucket[port % UDP_BUCKETS]);
    while (p && (p->local.port != port || !mr_address_equal(&p->local.address, address)))
        p = port_at(u, p->next);
    return p;
}

struct mr_port *udp_port_find(struct udp *u, const struct mr_address *address, uint16_t port)
{
    const struct mr_address any = mr_address_any();
    struct mr_port *p = find_bound(u, address, port);
    return p ? p : find_bound(u, &any, port);
}

/* RFC 6056 3.3.1: the first free one from a random place on. 0: all are taken. */
static uint16_t ephemeral_port(struct mr_worker *w)
{
    if (!w->udp->free.count)
        return 0;
    return (uint16_t)(UDP_EPHEMERAL_FIRST + bits_next(&w->udp->free, secret_below(w, UDP_EPHEMERAL_COUNT)));
}

#define RSS_TRIES 512 /* of N queues one port in N suits */

/* One that brings the answers of `remote` to this worker. */
static uint16_t ephemeral_port_to(struct mr_worker *w, const struct mr_link_rss *rss, const struct mr_address *local,
                                  const struct mr_endpoint *remote)
{
    if (!rss || !rss->udp || !mr_address_is_ip4(&remote->address))
        return ephemeral_port(w);
    unsigned bits = rss_tuple_bits(rss, local, &remote->address, remote->port);
    for (unsigned i = 0; i < RSS_TRIES; i++) {
        uint16_t port = ephemeral_port(w);
        if (!port || rss_is_ours(rss, bits ^ rss_port_bits(rss, port)))
            return port;
    }
    return 0;
}

static bool is_ephemeral(uint16_t port)
{
    return port >= UDP_EPHEMERAL_FIRST && port < UDP_EPHEMERAL_FIRST + UDP_EPHEMERAL_COUNT;
}

static int port_bind(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_endpoint *remote,
                     const struct mr_datagram_handler *handler, void *context, struct mr_port **out)
{
    struct udp *u = w->udp;
    if (find_bound(u, &local->address, local->port))
        return MR_ERROR_IN_USE;
    struct mr_port *p = slab_get(&u->ports);
    if (!p)
        return MR_ERROR_NO_MEMORY;
    if (is_ephemeral(local->port) && bits_has(&u->free, local->port - UDP_EPHEMERAL_FIRST))
        bits_remove(&u->free, local->port - UDP_EPHEMERAL_FIRST);
    uint32_t *bucket = &u->bucket[local->port % UDP_BUCKETS];
    p->worker = w;
    p->local = *local;
    p->remote = *remote;
    p->handler = handler;
    p->context = context;
    p->next = *bucket;
    *bucket = slab_index(&u->ports, p) + 1;
    *out = p;
    return MR_OK;
}

int mr_datagram_open(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_datagram_handler *handler,
                     void *context, struct mr_port **out)
{
    struct mr_endpoint bound = *local;
    if (!mr_address_is_any(&bound.address) && !route_is_local(w, &bound.address))
        return MR_ERROR_NO_ADDRESS;
    if (!bound.port && !(bound.port = ephemeral_port(w)))
        return MR_ERROR_NO_PORT;
    return port_bind(w, &bound, &(struct mr_endpoint){0}, handler, context, out);
}

int mr_datagram_open_to(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_endpoint *remote,
                        const struct mr_datagram_handler *handler, void *context, struct mr_port **out)
{
    struct mr_endpoint bound = local ? *local : (struct mr_endpoint){0};
    struct route_result route;
    if (!remote->port || mr_address_is_any(&remote->address))
        return MR_ERROR_INVALID;
    if (!route_lookup(w, &remote->address, &route))
        return MR_ERROR_NO_ROUTE;
    if (mr_address_is_any(&bound.address))
        bound.address = route.source;
    else if (!route_is_local(w, &bound.address))
        return MR_ERROR_NO_ADDRESS;
    if (!bound.port && !(bound.port = ephemeral_port_to(w, route.netif->link->rss, &bound.address, remote)))
        return MR_ERROR_NO_PORT;
    return port_bind(w, &bound, remote, handler, context, out);
}

/* Somebody else may have the same number on another address. */
static void port_give_back(struct udp *u, uint16_t port)
{
    struct mr_port *p = port_at(u, u->bucket[port % UDP_BUCKETS]);
    while (p && p->local.port != port)
        p = port_at(u, p->next);
    if (!p && is_ephemeral(port))
        bits_add(&u->free, port - UDP_EPHEMERAL_FIRST);
}

/* From inside a handler the port is still in the ready list: udp_deliver drops what waits and frees it there. */
void mr_datagram_close(struct mr_port *p)
{
    struct udp *u = p->worker->udp;
    uint32_t *link = &u->bucket[p->local.port % UDP_BUCKETS], index = slab_index(&u->ports, p) + 1;
    while (*link != index)
        link = &port_at(u, *link)->next;
    *link = p->next;
    port_give_back(u, p->local.port);
    p->closed = true;
    if (!p->ready)
        slab_put(&u->ports, p);
}

void *mr_port_context(const struct mr_port *p)
{
    return p->context;
}

struct mr_worker *mr_port_worker(const struct mr_port *p)
{
    return p->worker;
}

void mr_port_local(const struct mr_port *p, struct mr_endpoint *out)
{
    *out = p->local;
}
