/* Asking for neighbours, waiting for them, and verifying them while they are in use (RFC 826, RFC 1122 2.3.2). */
#include "stack/arp/arp.h"
#include "stack/base/assert.h"
#include "stack/eth/eth_wire.h"
#include "stack/icmp/icmp_wire.h"
#include "stack/ip4/ip4_wire.h"
#include "stack/route/route.h"

void arp_timer_arm(struct mr_worker *w, struct arp_timer *t, mr_time deadline)
{
    wheel_arm(&w->wheel, &t->node, WHEEL_ARP, deadline);
}

void arp_expired(struct mr_worker *w, struct mr_wheel_node *node)
{
    struct arp_timer *t = (struct arp_timer *)node;
    t->expired(w, t);
}

void arp_send(struct mr_worker *w, struct netif *n, const struct arp_packet *p, const uint8_t to[6])
{
    struct rte_mbuf *m = packet_new(w);
    if (!m) {
        stat_add(w, DROP_core_no_memory, 1);
        return;
    }
    arp_emit((uint8_t *)rte_pktmbuf_append(m, ARP_PACKET_BYTES), p);
    eth_out(w, n, m, to, ETH_ARP);
}

/* Asks for `e`: by broadcast, or of the MAC that we know when it is only verified (RFC 1122 2.3.2.1, unicast poll). */
static void send_request(struct mr_worker *w, struct arp_entry *e, bool unicast)
{
    struct mr_address destination = mr_address_ip4(e->address);
    struct route_result route;
    struct arp_packet p = {.operation = ARP_REQUEST, .target = e->address};
    memcpy(p.sender_mac, e->netif->mac, 6);
    /* Our address on that link; without one (it was the route's only reason) ask as a probe does. */
    if (route_lookup(w, &destination, &route) && route.netif == e->netif)
        p.sender = mr_address_to_ip4(&route.source);
    e->tries++;
    stat_add(w, STAT_arp_requests_out, 1);
    arp_send(w, e->netif, &p, unicast ? e->mac : ETH_BROADCAST);
}

/* Tells the transport that wrote `m`, one of our own datagrams, that its host does not answer (RFC 1122 2.3.2.2 asks for
 * it; destination unreachable, host unreachable). */
static void report_unreachable(struct mr_worker *w, const struct rte_mbuf *m)
{
    struct ip4_header h;
    const uint8_t *bytes = rte_pktmbuf_mtod(m, const uint8_t *);
    if (!ip4_parse_quoted(bytes, m->data_len, &h))
        return;
    struct icmp_quote_ports q;
    if (!icmp_quote_ports_parse(bytes + h.header_bytes, m->data_len - h.header_bytes, &q))
        return;
    struct mr_endpoint local = {mr_address_ip4(h.source), q.source_port};
    struct mr_endpoint remote = {mr_address_ip4(h.destination), q.destination_port};
    if (h.protocol == IP_TCP)
        tcp_error(w, &local, &remote, q.sequence, ICMP_UNREACHABLE, ICMP_HOST, 0);
    else if (h.protocol == IP_UDP)
        udp_error(w, &local, &remote, ICMP_UNREACHABLE, ICMP_HOST);
}

/* The reports come last: a transport that answers by sending finds the table in order. */
static void resolution_failed(struct mr_worker *w, struct arp_entry *e)
{
    struct rte_mbuf *waiting[ARP_QUEUE];
    unsigned n = e->queued;
    memcpy(waiting, e->queue, n * sizeof *waiting);
    w->arp->queued -= n;
    e->queued = 0;
    stat_add(w, STAT_arp_failed, 1);
    arp_entry_delete(w, e);
    for (unsigned i = 0; i < n; i++) {
        report_unreachable(w, waiting[i]);
        packet_drop(w, waiting[i], DROP_arp_unresolved);
    }
}

static void entry_expired(struct mr_worker *w, struct arp_timer *t)
{
    struct arp_entry *e = (struct arp_entry *)t;
    if (e->state == ARP_REACHABLE) {
        if (!e->used) {
            stat_add(w, STAT_arp_expired, 1);
            return arp_entry_delete(w, e);
        }
        arp_set_state(w, e, ARP_PROBING);
    }
    if (e->tries == ARP_TRIES)
        return resolution_failed(w, e);
    /* The first verification goes to the station itself; if it moved to another MAC, broadcasts find it. */
    send_request(w, e, e->state == ARP_PROBING && e->tries == 0);
    arp_timer_arm(w, &e->timer, w->now + ARP_RETRY_TIME);
}

void arp_confirm(struct mr_worker *w, struct arp_entry *e, const uint8_t mac[6])
{
    struct rte_mbuf *waiting[ARP_QUEUE];
    unsigned n = e->queued;
    if (e->state == ARP_INCOMPLETE) {
        stat_add(w, STAT_arp_resolved, 1);
    } else if (memcmp(e->mac, mac, 6) != 0) {
        stat_add(w, STAT_arp_changed, 1);
        path_invalidate(w);
    }
    memcpy(e->mac, mac, 6);
    memcpy(waiting, e->queue, n * sizeof *waiting);
    w->arp->queued -= n;
    e->queued = 0;
    arp_set_state(w, e, ARP_REACHABLE);
    e->used = n > 0;
    e->timer.expired = entry_expired;
    arp_timer_arm(w, &e->timer, w->now + ARP_REACHABLE_TIME);
    for (unsigned i = 0; i < n; i++)
        eth_out(w, e->netif, waiting[i], e->mac, ETH_IP4);
}

/* A first packet for a neighbour that we do not know: asks at once. Half of the table stays for those that are known. */
static struct arp_entry *start_resolution(struct mr_worker *w, struct netif *n, uint32_t address)
{
    if (w->arp->incomplete >= w->arp->entries.limit / 2)
        return NULL;
    struct arp_entry *e = arp_entry_new(w, n, address);
    if (!e)
        return NULL;
    e->timer.expired = entry_expired;
    send_request(w, e, false);
    arp_timer_arm(w, &e->timer, w->now + ARP_RETRY_TIME);
    return e;
}

void arp_out(struct mr_worker *w, struct netif *n, struct rte_mbuf *m, uint32_t next_hop)
{
    struct arp_entry *e = arp_find(w, n, next_hop);
    if (e && e->state != ARP_INCOMPLETE) {
        e->used = true;
        return eth_out(w, n, m, e->mac, ETH_IP4);
    }
    if (!e)
        e = start_resolution(w, n, next_hop);
    if (!e)
        return packet_drop(w, m, DROP_arp_table_full);
    if (e->queued == ARP_QUEUE || w->arp->queued == ARP_QUEUE_TOTAL)
        return packet_drop(w, m, DROP_arp_queue_full);
    e->queue[e->queued++] = m;
    w->arp->queued++;
}

bool arp_peek(struct mr_worker *w, struct netif *n, uint32_t next_hop, uint8_t mac[6])
{
    struct arp_entry *e = arp_find(w, n, next_hop);
    if (!e || e->state == ARP_INCOMPLETE)
        return false;
    e->used = true;
    memcpy(mac, e->mac, 6);
    return true;
}
