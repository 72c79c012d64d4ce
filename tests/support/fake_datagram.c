/* Datagrams of the stand-in: ports as a service opens them, all that it sent in order. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/fake_private.h"

#define EPHEMERAL_FIRST 49152u

static struct mr_port *usable(struct mr_port *p)
{
    fake_demand(p->open, "a port was used after mr_datagram_close");
    return p;
}

static struct mr_port *bound(const struct mr_worker *w, const struct mr_address *address, uint16_t port)
{
    struct mr_port *p = w->ports;
    while (p && !(p->open && p->local.port == port && mr_address_equal(&p->local.address, address)))
        p = p->next;
    return p;
}

static uint16_t ephemeral_port(struct mr_worker *w, const struct mr_address *address)
{
    for (unsigned i = 0; i < 65536 - EPHEMERAL_FIRST; i++) {
        uint16_t port = (uint16_t)(EPHEMERAL_FIRST + w->datagram_port++ % (65536 - EPHEMERAL_FIRST));
        if (!bound(w, address, port))
            return port;
    }
    return 0;
}

int mr_datagram_open(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_datagram_handler *handler,
                     void *context, struct mr_port **out)
{
    if (w->datagram_error)
        return w->datagram_error;
    uint16_t port = local->port ? local->port : ephemeral_port(w, &local->address);
    if (!port)
        return MR_ERROR_NO_PORT;
    if (bound(w, &local->address, port))
        return MR_ERROR_IN_USE;
    struct mr_port *p = malloc(sizeof *p), **end = &w->ports;
    *p = (struct mr_port){
        .worker = w, .handler = handler, .context = context, .local = {local->address, port}, .open = true};
    while (*end)
        end = &(*end)->next;
    *end = *out = p;
    return MR_OK;
}

int mr_datagram_open_to(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_endpoint *remote,
                        const struct mr_datagram_handler *handler, void *context, struct mr_port **out)
{
    struct mr_endpoint bound_to = local ? *local : (struct mr_endpoint){0};
    if (!remote->port || mr_address_is_any(&remote->address))
        return MR_ERROR_INVALID;
    if (mr_address_is_any(&bound_to.address))
        bound_to.address = mr_address_ip4(FAKE_ADDRESS);
    int error = mr_datagram_open(w, &bound_to, handler, context, out);
    if (!error)
        (*out)->remote = *remote;
    return error;
}

static void record(struct mr_port *p, const struct mr_datagram *d)
{
    struct mr_worker *w = p->worker;
    if (w->sent_count == w->sent_room) {
        w->sent_room = w->sent_room * 2 + 16;
        w->sent = realloc(w->sent, w->sent_room * sizeof *w->sent);
    }
    uint8_t *copy = malloc(d->payload.length + 1);
    memcpy(copy, d->payload.data, d->payload.length);
    struct fake_sent *sent = &w->sent[w->sent_count++];
    *sent = (struct fake_sent){p, *d};
    sent->datagram.payload.data = copy;
    sent->datagram.local.port = p->local.port;
    if (mr_address_is_any(&d->local.address))
        sent->datagram.local.address = p->local.address;
}

unsigned mr_datagram_send(struct mr_port *p, const struct mr_datagram *burst, unsigned n)
{
    struct mr_worker *w = usable(p)->worker;
    for (unsigned i = 0; i < n; i++) {
        fake_demand(burst[i].remote.port != 0, "a datagram was sent to port 0");
        if (w->datagram_room == 0 || burst[i].payload.length > 1500 - 28)
            return i;
        w->datagram_room -= w->datagram_room != UINT32_MAX;
        record(p, &burst[i]);
    }
    return n;
}

void mr_datagram_close(struct mr_port *p)
{
    fake_demand(p->open, "a port was closed twice");
    p->open = false;
}

void *mr_port_context(const struct mr_port *p)
{
    return usable((struct mr_port *)(uintptr_t)p)->context;
}

struct mr_worker *mr_port_worker(const struct mr_port *p)
{
    return p->worker;
}

void mr_port_local(const struct mr_port *p, struct mr_endpoint *out)
{
    *out = p->local;
}

/* -- the peer's side -------------------------------------------------------------------------------------------------- */

struct mr_port *fake_port(const struct mr_worker *w, unsigned i)
{
    struct mr_port *p = w->ports;
    for (; p; p = p->next)
        if (p->open && i-- == 0)
            return p;
    return NULL;
}

unsigned fake_ports_open(const struct mr_worker *w)
{
    unsigned n = 0;
    for (const struct mr_port *p = w->ports; p; p = p->next)
        n += p->open;
    return n;
}

void fake_datagram_to(struct mr_port *p, const struct mr_endpoint *remote, const void *data, size_t n)
{
    if (!p->open)
        return; /* the stack answers that the port is unreachable, the service hears nothing */
    if (p->remote.port && (p->remote.port != remote->port || !mr_address_equal(&p->remote.address, &remote->address)))
        return; /* not from the one remote endpoint of this port: dropped */
    struct mr_datagram d = {p->local, *remote, {data, n}};
    if (mr_address_is_any(&d.local.address))
        d.local.address = mr_address_ip4(FAKE_ADDRESS);
    p->handler->on_datagrams(p, &d, 1);
    fake_deferred_run(p->worker);
}

void fake_datagram(struct mr_worker *w, const struct mr_endpoint *remote, const void *data, size_t n)
{
    struct mr_port *p = fake_port(w, 0);
    fake_demand(p != NULL, "no port is open");
    fake_datagram_to(p, remote, data, n);
}

unsigned fake_datagrams_sent(const struct mr_worker *w, struct mr_datagram *last)
{
    if (last && w->sent_count)
        *last = w->sent[w->sent_count - 1].datagram;
    return w->sent_count;
}

const struct fake_sent *fake_datagram_sent(const struct mr_worker *w, unsigned i)
{
    fake_demand(i < w->sent_count, "fewer datagrams were sent");
    return &w->sent[i];
}

void fake_datagram_error(struct mr_worker *w, int error)
{
    w->datagram_error = error;
}

void fake_datagram_room(struct mr_worker *w, unsigned datagrams)
{
    w->datagram_room = datagrams;
}

void fake_ports_free(struct mr_worker *w)
{
    fake_demand(fake_ports_open(w) == 0, "a port is left open");
    for (struct mr_port *p = w->ports, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    for (unsigned i = 0; i < w->sent_count; i++)
        free((void *)(uintptr_t)w->sent[i].datagram.payload.data);
    free(w->sent);
}
