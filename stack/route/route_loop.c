/* Packets from us to us: copied, held until the timer phase, and then received like any other. They are copied because
 * a sender may keep and lend out what it sends, while a receiver owns what it gets. */
#include "stack/route/route_private.h"

static void loop_expired(struct mr_worker *w, struct mr_timer *t)
{
    struct route_loop *l = t->context;
    struct rte_mbuf *packet[ROUTE_LOOP_MAX];
    unsigned n = l->count;
    memcpy(packet, l->packet, n * sizeof *packet);
    l->count = 0;
    for (unsigned i = 0; i < n; i++) {
        ip4_in(w, packet_meta(packet[i])->netif, packet[i]);
        tcp_in_burst(w); /* what was gathered: the burst of phase 2 is over */
    }
}

void route_loop_init(struct route_loop *l)
{
    l->count = 0;
    mr_timer_init(&l->timer, loop_expired, l);
}

void route_loop_release(struct mr_worker *w)
{
    struct route_loop *l = &w->route->loop;
    mr_timer_cancel(w, &l->timer);
    rte_pktmbuf_free_bulk(l->packet, l->count);
    l->count = 0;
}

void route_loop_out(struct mr_worker *w, struct netif *n, struct rte_mbuf *m)
{
    struct route_loop *l = &w->route->loop;
    if (l->count == ROUTE_LOOP_MAX)
        return packet_drop(w, m, DROP_route_loop_full);
    struct rte_mbuf *copy = rte_pktmbuf_copy(m, w->pool, 0, UINT32_MAX);
    if (!copy)
        return packet_drop(w, m, DROP_core_no_memory);
    rte_pktmbuf_free(m);
    copy->ol_flags = 0;
    *packet_meta(copy) = (struct packet_meta){.netif = n, .flags = PACKET_LOOPED};
    l->packet[l->count++] = copy;
    stat_add(w, STAT_route_looped, 1);
    mr_timer_set(w, &l->timer, 0); /* already due: the next timer phase */
}
