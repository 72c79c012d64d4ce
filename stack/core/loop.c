/* THE loop: every phase of a turn, in order. The clock is read once a turn, by whoever calls worker_turn. */
#include <rte_mbuf.h>
#include <rte_prefetch.h>
#include <string.h>

#include "stack/core/layers.h"
#include "stack/core/mailbox.h"
#include "stack/core/timer.h"
#include "stack/core/worker.h"

#define TIMERS_PER_TURN 1024 /* the rest fires in the next turn: packets must not wait for a storm of timers */
#define BACKLOG_RETRY (20 * MR_MICROSECOND)

/* Phase 1 and 2: one burst of each link, every layer over all of it. */
static unsigned links_receive(struct mr_worker *w)
{
    unsigned total = 0;
    for (unsigned i = 0; i < w->netif_count; i++) {
        struct rte_mbuf *burst[WORKER_BURST];
        struct mr_link *link = w->netif[i]->link;
        unsigned n = link->receive(link->self, burst, WORKER_BURST);
        for (unsigned k = 0; k < n; k++)
            rte_prefetch0(rte_pktmbuf_mtod(burst[k], void *));
        for (unsigned k = 0; k < n; k++) {
            stat_add(w, STAT_core_bytes_in, burst[k]->pkt_len);
            eth_in(w, w->netif[i], burst[k]);
        }
        if (n)
            tcp_in_burst(w);
        total += n;
    }
    stat_add(w, STAT_core_packets_in, total);
    return total;
}

static unsigned timers_run(struct mr_worker *w)
{
    unsigned fired = 0;
    struct mr_wheel_node *node;
    while (fired < TIMERS_PER_TURN && (node = wheel_expire(&w->wheel, w->now))) {
        switch (wheel_node_kind(node)) {
        case WHEEL_PUBLIC:
            timer_expired(w, node);
            break;
        case WHEEL_TCP:
            tcp_expired(w, node);
            break;
        case WHEEL_TCP_HALF_OPEN:
            tcp_half_open_expired(w, node);
            break;
        case WHEEL_TCP_TIME_WAIT:
            tcp_time_wait_expired(w, node);
            break;
        case WHEEL_ARP:
            arp_expired(w, node);
            break;
        case WHEEL_KINDS:
            break;
        }
        fired++;
    }
    return fired;
}

/* Phase 7. What the link does not take now is kept for the next turn. */
void netif_flush(struct mr_worker *w, struct netif *n)
{
    unsigned sent = 0;
    while (sent < n->backlog_count) {
        unsigned k = n->link->transmit(n->link->self, n->backlog + sent, (uint16_t)(n->backlog_count - sent));
        if (!k)
            break;
        sent += k;
    }
    stat_add(w, STAT_core_packets_out, sent);
    n->backlog_count -= sent;
    if (n->backlog_count)
        memmove(n->backlog, n->backlog + sent, n->backlog_count * sizeof *n->backlog);
}

void netif_out(struct mr_worker *w, struct netif *n, struct rte_mbuf *m)
{
    if (n->backlog_count == NETIF_BACKLOG)
        netif_flush(w, n);
    if (n->backlog_count == NETIF_BACKLOG) {
        packet_drop(w, m, DROP_core_transmit_full);
        return;
    }
    stat_add(w, STAT_core_bytes_out, m->pkt_len);
    n->backlog[n->backlog_count++] = m;
}

unsigned worker_turn(struct mr_worker *w, mr_time now)
{
    w->now = now;
    unsigned work = links_receive(w);
    work += mailbox_drain(w);
    work += timers_run(w);
    work += udp_deliver(w);
    work += stream_deliver(w);
    work += turn_end(w);
    work += tcp_output(w);
    for (unsigned i = 0; i < w->netif_count; i++)
        if (w->netif[i]->backlog_count)
            netif_flush(w, w->netif[i]);
    stat_add(w, STAT_core_turns, 1);
    return work;
}

mr_time worker_next_deadline(const struct mr_worker *w)
{
    if (stream_ready(w) || w->deferred || mailbox_pending(w))
        return w->now;
    mr_time next = wheel_next(&w->wheel);
    for (unsigned i = 0; i < w->netif_count; i++) {
        const struct mr_link *link = w->netif[i]->link;
        if (w->netif[i]->backlog_count)
            next = RTE_MIN(next, w->now + BACKLOG_RETRY);
        if (link->next)
            next = RTE_MIN(next, link->next(link->self));
    }
    if (tcp_output_pending(w)) /* held back by a full link */
        next = RTE_MIN(next, w->now + BACKLOG_RETRY);
    return next;
}

void worker_run(struct mr_worker *w, const volatile int *stop)
{
    while (!*stop) {
        if (worker_turn(w, w->clock->now(w->clock->self))) {
            w->clock->busy(w->clock->self);
            continue;
        }
        stat_add(w, STAT_core_idle_turns, 1);
        __atomic_store_n(&w->resting, true, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the other half is owner_wake in mailbox.c */
        if (!mailbox_pending(w) && !*stop) { /* a sender that saw us awake does not wake us: look again */
            stat_add(w, STAT_core_rests, 1);
            w->clock->rest(w->clock->self, worker_next_deadline(w));
        }
        __atomic_store_n(&w->resting, false, __ATOMIC_RELAXED);
    }
}
