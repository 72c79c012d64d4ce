/* UDP input (RFC 768, RFC 1122 4.1): datagrams are queued at their port while the burst is read and handed over, burst by
 * burst, in the service phase of the same turn. */
#include "stack/base/checksum.h"
#include "stack/ip4/ip4_wire.h"
#include "stack/udp/udp.h"

/* RFC 768: no checksum is a choice of the sender on IPv4. */
static bool checksum_good(const struct rte_mbuf *m, const struct udp_header *h, const struct mr_address *source,
                          const struct mr_address *destination)
{
    if (!h->has_checksum || (packet_meta((struct rte_mbuf *)m)->flags & PACKET_L4_CHECKSUM_GOOD))
        return true;
    uint32_t sum = checksum_pseudo_ip4(mr_address_to_ip4(source), mr_address_to_ip4(destination), IP_UDP, h->length);
    return checksum_finish(checksum_add_mbuf(sum, m, 0, h->length)) == 0;
}

static void make_ready(struct udp *u, struct mr_port *p)
{
    if (p->ready)
        return;
    uint32_t index = slab_index(&u->ports, p) + 1;
    p->ready = true;
    p->next_ready = 0;
    if (u->ready_last)
        ((struct mr_port *)slab_at(&u->ports, u->ready_last - 1))->next_ready = index;
    else
        u->ready_first = index;
    u->ready_last = index;
}

static void wait_for(struct udp *u, struct mr_port *p, struct udp_waiting what)
{
    struct udp_waiting *waiting = &u->waiting[u->waiting_count++];
    *waiting = what;
    *(p->count++ ? &p->last->next : &p->first) = waiting;
    p->last = waiting;
    make_ready(u, p);
}

void udp_in(struct mr_worker *w, struct rte_mbuf *m, const struct mr_address *source,
            const struct mr_address *destination)
{
    struct udp_header h;
    enum stat reason;
    if (!udp_parse(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, m->pkt_len, &h, &reason))
        return packet_drop(w, m, reason);
    if (!checksum_good(m, &h, source, destination))
        return packet_drop(w, m, DROP_udp_bad_checksum);
    struct mr_port *p = udp_port_find(w->udp, destination, h.destination_port);
    if (!p) {
        icmp_unreachable_peek(w, m, ICMP_PORT);
        return packet_drop(w, m, DROP_udp_no_port);
    }
    if (p->remote.port && (p->remote.port != h.source_port || !mr_address_equal(&p->remote.address, source)))
        return packet_drop(w, m, DROP_udp_other_remote);
    if (p->count == UDP_QUEUE || w->udp->waiting_count == UDP_WAITING)
        return packet_drop(w, m, DROP_udp_queue_full);
    if (m->nb_segs > 1 && rte_pktmbuf_linearize(m) != 0)
        return packet_drop(w, m, DROP_udp_not_contiguous);
    rte_pktmbuf_adj(m, UDP_HEADER_BYTES);
    rte_pktmbuf_trim(m, (uint16_t)(m->pkt_len - (h.length - UDP_HEADER_BYTES)));
    wait_for(w->udp, p, (struct udp_waiting){m, NULL, *destination, {*source, h.source_port}});
}

/* Up to a burst of what waits at `p`. The handler may close this port or any other, and open new ones; the packets live until
 * it returns. */
static unsigned deliver_burst(struct mr_worker *w, struct mr_port *p)
{
    struct mr_datagram burst[UDP_BURST];
    struct rte_mbuf *packets[UDP_BURST];
    unsigned n = 0;
    for (; n < UDP_BURST && p->count; n++, p->count--, p->first = p->first->next) {
        const struct udp_waiting *waiting = p->first;
        packets[n] = waiting->m;
        burst[n] = (struct mr_datagram){
            .local = {waiting->local, p->local.port},
            .remote = waiting->remote,
            .payload = {rte_pktmbuf_mtod(waiting->m, const uint8_t *), waiting->m->data_len},
        };
    }
    stat_add(w, STAT_udp_datagrams_in, n);
    p->handler->on_datagrams(p, burst, n);
    for (unsigned i = 0; i < n; i++)
        rte_pktmbuf_free(packets[i]);
    return n;
}

/* All that waits at `p`: nothing is added while handlers run. */
static unsigned deliver_port(struct mr_worker *w, struct mr_port *p)
{
    unsigned delivered = 0;
    while (p->count && !p->closed)
        delivered += deliver_burst(w, p);
    udp_waiting_drop(w, p);
    return delivered;
}

unsigned udp_deliver(struct mr_worker *w)
{
    struct udp *u = w->udp;
    unsigned events = 0;
    while (u->ready_first) {
        struct mr_port *p = slab_at(&u->ports, u->ready_first - 1);
        events += deliver_port(w, p);
        u->ready_first = p->next_ready;
        if (!u->ready_first)
            u->ready_last = 0;
        p->ready = false;
        if (p->closed)
            slab_put(&u->ports, p);
    }
    u->waiting_count = 0;
    stat_add(w, STAT_core_events, events);
    return events;
}

void udp_error(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_endpoint *remote, int type,
               int code)
{
    stat_add(w, STAT_udp_errors_in, 1);
}
