/* Ports: opening, finding, closing. Public side: include/millrace/datagram.h. */
#include <stdlib.h>

#include "stack/route/route.h"
#include "stack/udp/udp.h"

bool udp_init(struct mr_worker *w, uint32_t ports)
{
    w->udp = calloc(1, sizeof *w->udp);
    return w->udp && slab_init(&w->udp->ports, "datagram ports", sizeof(struct mr_port), 64, ports);
}

static void drop_queue(struct mr_worker *w, struct mr_port *p)
{
    for (unsigned i = 0; i < p->count; i++)
        packet_drop(w, p->queue[i].m, DROP_udp_closed);
    p->count = 0;
}

void udp_release(struct mr_worker *w)
{
    struct udp *u = w->udp;
    for (uint32_t i = u->ready_first; i;) {
        struct mr_port *p = slab_at(&u->ports, i - 1);
        drop_queue(w, p);
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

/* RFC 6056 3.3.1: a random start, then the next free one. 0: all are taken. */
static uint16_t ephemeral_port(struct mr_worker *w, const struct mr_address *address)
{
    uint32_t start = mr_random_below(&w->random, UDP_EPHEMERAL_COUNT);
    for (uint32_t i = 0; i < UDP_EPHEMERAL_COUNT; i++) {
        uint16_t port = (uint16_t)(UDP_EPHEMERAL_FIRST + (start + i) % UDP_EPHEMERAL_COUNT);
        if (!udp_port_find(w->udp, address, port))
            return port;
    }
    return 0;
}

int mr_datagram_open(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_datagram_handler *handler,
                     void *context, struct mr_port **out)
{
    struct udp *u = w->udp;
    if (!mr_address_is_any(&local->address) && !route_is_local(w, &local->address))
        return MR_ERROR_NO_ADDRESS;
    uint16_t port = local->port ? local->port : ephemeral_port(w, &local->address);
    if (!port)
        return MR_ERROR_NO_PORT;
    if (find_bound(u, &local->address, port))
        return MR_ERROR_IN_USE;
    struct mr_port *p = slab_get(&u->ports);
    if (!p)
        return MR_ERROR_NO_MEMORY;
    uint32_t *bucket = &u->bucket[port % UDP_BUCKETS];
    p->worker = w;
    p->local = (struct mr_endpoint){local->address, port};
    p->handler = handler;
    p->context = context;
    p->next = *bucket;
    *bucket = slab_index(&u->ports, p) + 1;
    *out = p;
    return MR_OK;
}

/* From inside a handler the port is still in the ready list: udp_deliver drops what waits and frees it there. */
void mr_datagram_close(struct mr_port *p)
{
    struct udp *u = p->worker->udp;
    uint32_t *link = &u->bucket[p->local.port % UDP_BUCKETS], index = slab_index(&u->ports, p) + 1;
    while (*link != index)
        link = &port_at(u, *link)->next;
    *link = p->next;
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
