#include "stack/ip4/ip4_wire.h"
#include "stack/route/route.h"
#include "stack/udp/udp.h"

/* A packet, or a chain of them on a link with large frames, with a UDP header and a copy of `payload`. NULL: no memory. */
static struct rte_mbuf *datagram_new(struct mr_worker *w, uint16_t source_port, uint16_t destination_port,
                                     struct mr_span payload)
{
    struct rte_mbuf *first = packet_new(w), *last = first;
    if (!first)
        return NULL;
    udp_emit((uint8_t *)rte_pktmbuf_append(first, UDP_HEADER_BYTES), source_port, destination_port,
             (uint16_t)(UDP_HEADER_BYTES + payload.length));
    for (;;) {
        uint16_t n = (uint16_t)RTE_MIN(payload.length, (size_t)rte_pktmbuf_tailroom(last));
        if (n)
            memcpy(rte_pktmbuf_append(first, n), payload.data, n);
        payload.data += n;
        payload.length -= n;
        if (!payload.length)
            return first;
        struct rte_mbuf *more = packet_new(w);
        if (!more) {
            rte_pktmbuf_free(first);
            return NULL;
        }
        last->next = more;
        first->nb_segs++;
        last = more;
    }
}

/* What can be known before a packet is made; what is only found later is a counted drop. */
static bool may_send(struct mr_worker *w, const struct mr_datagram *d, const struct mr_address *source)
{
    if (d->remote.port == 0 || mr_address_is_any(&d->remote.address))
        return false;
    if (!mr_address_is_any(source) && !route_is_local(w, source))
        return false;
    struct netif *n = path_netif(w, &d->remote.address);
    return n && netif_room(n) > 0 && d->payload.length + UDP_HEADER_BYTES + IP4_HEADER_BYTES <= n->mtu;
}

/* DF is clear: there is no path MTU discovery for datagrams here, so routers may fragment (RFC 8085 3.2). */
static bool send_one(struct mr_worker *w, const struct mr_port *p, const struct mr_datagram *d)
{
    static const struct path_options options = {.protocol = IP_UDP, .may_fragment = true};
    const struct mr_address *source = mr_address_is_any(&d->local.address) ? &p->local.address : &d->local.address;
    if (!may_send(w, d, source))
        return false;
    struct rte_mbuf *m = datagram_new(w, p->local.port, d->remote.port, d->payload);
    if (!m)
        return false;
    stat_add(w, STAT_udp_datagrams_out, 1);
    path_out(w, m, source, &d->remote.address, &options);
    return true;
}

unsigned mr_datagram_send(struct mr_port *p, const struct mr_datagram *burst, unsigned n)
{
    struct mr_worker *w = p->worker;
    for (unsigned i = 0; i < n; i++) {
        if (!send_one(w, p, &burst[i])) {
            stat_add(w, STAT_udp_send_refused, 1);
            return i;
        }
    }
    return n;
}
