/* UDP by flow: what a client sends to a listener goes to one backend from a port of its own, and what comes to that port from the backend
 * goes back to the client from the address that it had sent to.
 *
 *   client:port --> listener      flow's port --> backend
 *   client:port <-- listener      flow's port <-- backend      the stack drops all else that comes there
 *
 * A flow whose backend was removed, disabled or found down goes on at another one, from another port; so it does when its listener has been
 * given another upstream. Errors that ICMP reports are only counted by the stack: a backend that is gone is noticed by its health checks. */
#include "proxy/l4/l4_table.h"
#include "proxy/l4/proxy_protocol.h"

#include <string.h>

static void backend_datagrams(struct mr_port *port, const struct mr_datagram *burst, unsigned n);
static const struct mr_datagram_handler backend_handler = {backend_datagrams};

/* -- the backend of a flow -------------------------------------------------------------------------------------------------- */

static bool backend_choose(struct l4_flow *f)
{
    struct proxy *p = f->proxy;
    const struct plan_upstream *u = f->listener->plan->upstream;
    const struct balance_query query = {.hash = l4_hash_source(&f->source.address)};
    int slot = u ? upstream_choose(p, u, &query) : -1;
    if (slot < 0)
        return false;
    if (f->slot != UINT32_MAX) {
        upstream_flow_leave(p, f->slot);
        proxy_count(p, PROXY_L4_FLOWS_MOVED);
    }
    f->slot = (uint32_t)slot;
    f->upstream = u->slot;
    f->backend = p->backends[slot].address;
    upstream_flow_enter(p, f->slot);
    return true;
}

static bool backend_stays(const struct l4_flow *f)
{
    const struct plan_upstream *u = f->listener->plan->upstream;
    return f->slot != UINT32_MAX && u && u->slot == f->upstream && upstream_flow_may_stay(f->proxy, f->slot);
}

/* To its backend alone, and such that the answers come to this worker. From one of the upstream's own addresses, by the port that the client
 * has; or from what the route says. */
static bool port_open(struct l4_flow *f)
{
    const struct proxy_upstream_config *config = f->listener->plan->upstream->config;
    struct mr_endpoint local = {0};
    if (f->port)
        mr_datagram_close(f->port);
    f->port = NULL;
    if (config->source_count)
        local.address = config->sources[f->client.port % config->source_count];
    return mr_datagram_open_to(f->proxy->worker, &local, &f->backend, &backend_handler, f, &f->port) == MR_OK;
}

/* False: the datagram is dropped, and counted; a flow that cannot go anywhere is ended. */
static bool flow_ready(struct l4_flow *f)
{
    enum proxy_counter why;
    if (__builtin_expect(f->port && backend_stays(f), 1))
        return true;
    if (!backend_choose(f))
        why = PROXY_L4_DROP_NO_BACKEND;
    else if (!port_open(f) && !(l4_flow_replace(f->proxy, f) && port_open(f)))
        why = PROXY_L4_DROP_NO_PORT;
    else
        return true;
    proxy_count(f->proxy, why);
    l4_flow_end(f);
    return false;
}

/* -- from the client --------------------------------------------------------------------------------------------------------- */

/* In front of each datagram, since each stands for itself. */
static bool header_write(const struct l4_flow *f, struct mr_span *payload)
{
    uint8_t *out = f->proxy->l4->datagram;
    const struct mr_endpoint destination = {f->local, f->listener->plan->config->listen.port};
    if (payload->length > L4_DATAGRAM_BYTES_MAX)
        return false;
    size_t n = proxy_protocol_write_v2_datagram(&f->source, &destination, out);
    memcpy(out + n, payload->data, payload->length);
    *payload = (struct mr_span){out, n + payload->length};
    return true;
}

static void forward(struct l4_flow *f, struct mr_span payload)
{
    struct proxy *p = f->proxy;
    struct mr_datagram d = {.remote = f->backend, .payload = payload};
    bool header = f->listener->plan->upstream->config->proxy_protocol == PROXY_PROTOCOL_V2;
    l4_flow_touch(f);
    if ((header && !header_write(f, &d.payload)) || mr_datagram_send(f->port, &d, 1) == 0) {
        proxy_count(p, PROXY_L4_DROP_UNSENT);
        return;
    }
    f->to_backend += payload.length;
    p->backends[f->slot].bytes_to += payload.length;
    proxy_count(p, PROXY_L4_DATAGRAMS_TO_BACKENDS);
    proxy_add(p, PROXY_L4_DATAGRAM_BYTES_TO_BACKENDS, payload.length);
}

/* Takes the header off the payload; the flow is its source's, whoever sent it on. */
static bool header_read(struct proxy *p, struct mr_span *payload, struct mr_endpoint *source)
{
    struct proxy_protocol header;
    int n = proxy_protocol_parse(payload->data, payload->length, &header);
    if (n <= 0) {
        proxy_count(p, PROXY_L4_HEADER_MALFORMED);
        return false;
    }
    *payload = (struct mr_span){payload->data + n, payload->length - (size_t)n};
    if (!header.local)
        *source = header.source;
    return true;
}

static void client_datagram(struct proxy_listener *l, const struct mr_datagram *d)
{
    struct mr_span payload = d->payload;
    struct mr_endpoint source = d->remote;
    if (l->plan->config->proxy_protocol && !header_read(l->proxy, &payload, &source))
        return;
    struct l4_flow *f = l4_flow_find(l, d);
    if (!f) {
        f = l4_flow_add(l, d);
        if (!f) {
            proxy_count(l->proxy, PROXY_L4_DROP_FULL);
            return;
        }
        f->source = source;
    }
    if (flow_ready(f))
        forward(f, payload);
}

static void client_datagrams(struct mr_port *port, const struct mr_datagram *burst, unsigned n)
{
    struct proxy_listener *l = mr_port_context(port);
    for (unsigned i = 0; i < n && l->plan; i++)
        client_datagram(l, &burst[i]);
}

/* -- from the backend -------------------------------------------------------------------------------------------------------- */

static void backend_datagram(struct l4_flow *f, const struct mr_datagram *d)
{
    struct proxy *p = f->proxy;
    const struct mr_datagram reply = {{f->local, 0}, f->client, d->payload};
    l4_flow_touch(f);
    if (mr_datagram_send(f->listener->port, &reply, 1) == 0) {
        proxy_count(p, PROXY_L4_DROP_UNSENT);
        return;
    }
    f->to_client += d->payload.length;
    p->backends[f->slot].bytes_from += d->payload.length;
    proxy_count(p, PROXY_L4_DATAGRAMS_TO_CLIENTS);
    proxy_add(p, PROXY_L4_DATAGRAM_BYTES_TO_CLIENTS, d->payload.length);
}

static void backend_datagrams(struct mr_port *port, const struct mr_datagram *burst, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        backend_datagram(mr_port_context(port), &burst[i]);
}

/* -- listeners ----------------------------------------------------------------------------------------------------------------- */

static const struct mr_datagram_handler client_handler = {client_datagrams};

int l4_udp_open(struct proxy_listener *l)
{
    return mr_datagram_open(l->proxy->worker, &l->plan->config->listen, &client_handler, l, &l->port);
}

/* Its flows have nothing to answer from any more. */
void l4_udp_close(struct proxy_listener *l)
{
    if (!l->port)
        return;
    for (struct l4_flow *f = l->proxy->l4->oldest, *next; f; f = next) {
        next = f->younger;
        if (f->listener == l)
            l4_flow_end(f);
    }
    mr_datagram_close(l->port);
    l->port = NULL;
}
