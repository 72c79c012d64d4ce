/* What the link tells about neighbours. The position against spoofing: an entry is made only by a request for an address
 * of ours (the sender wants to talk to us) and by the answer to a question of ours; an entry that exists is updated by
 * whatever its station says (RFC 826's merge), because failover announces itself so. Senders outside the prefixes of the
 * interface are never learned. Whoever shares the link can still lie, as with any ARP. */
#include "stack/arp/arp.h"
#include "stack/eth/eth_wire.h"
#include "stack/route/route.h"

static bool is_ours(const struct netif *n, uint32_t address)
{
    struct mr_address a = mr_address_ip4(address);
    for (unsigned i = 0; i < n->address_count; i++)
        if (mr_address_equal(&n->address[i].address, &a))
            return true;
    return false;
}

/* The sender of a request for us will be answered over IP soon: known now, it need not be asked then. */
static void learn(struct mr_worker *w, struct netif *n, const struct arp_packet *p)
{
    struct arp *a = w->arp;
    struct mr_address sender = mr_address_ip4(p->sender);
    if (!route_on_link(n, &sender))
        return; /* we would never send to it directly */
    if (a->entries.used >= a->entries.limit - a->entries.limit / 4) {
        stat_add(w, STAT_arp_not_learned, 1);
        return;
    }
    struct arp_entry *e = arp_entry_new(w, n, p->sender);
    if (e)
        arp_confirm(w, e, p->sender_mac);
}

static void answer(struct mr_worker *w, struct netif *n, const struct arp_packet *request)
{
    struct arp_packet reply = {.operation = ARP_REPLY, .sender = request->target, .target = request->sender};
    memcpy(reply.sender_mac, n->mac, 6);
    memcpy(reply.target_mac, request->sender_mac, 6);
    stat_add(w, STAT_arp_replies_out, 1);
    arp_send(w, n, &reply, request->sender_mac);
}

/* What the packet tells about its sender: the entry that it made or confirmed, or NULL. */
static struct arp_entry *hear(struct mr_worker *w, struct netif *n, const struct arp_packet *p)
{
    struct arp_entry *e = p->sender ? arp_find(w, n, p->sender) : NULL;
    if (e)
        arp_confirm(w, e, p->sender_mac);
    else if (p->operation == ARP_REQUEST && p->sender && is_ours(n, p->target))
        learn(w, n, p);
    return e;
}

/* A packet that another worker received: heard, not answered. */
static void arp_shared(struct mr_worker *w, void *argument)
{
    struct rte_mbuf *m = argument;
    struct arp_packet p;
    enum stat reason;
    unsigned index = m->port;
    if (index < w->netif_count && arp_parse(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &p, &reason))
        hear(w, w->netif[index], &p);
    stat_add(w, STAT_arp_shared_in, 1);
    rte_pktmbuf_free(m);
}

/* A device with several queues gives an ARP packet to one of them, and seldom to the one whose worker asked: every worker
 * has the table to itself, so each hears every packet. */
static void share(struct mr_worker *w, const struct netif *n, const struct rte_mbuf *m)
{
    for (unsigned i = 0, workers = w->mailbox ? mr_worker_count(w) : 1; i < workers; i++) {
        if (i == w->index)
            continue;
        struct rte_mbuf *copy = rte_pktmbuf_copy(m, w->pool, 0, UINT32_MAX);
        if (!copy)
            return; /* they ask again */
        copy->port = n->index;
        if (mr_post(w, i, arp_shared, copy) != MR_OK)
            rte_pktmbuf_free(copy);
    }
}

void arp_in(struct mr_worker *w, struct netif *n, struct rte_mbuf *m)
{
    struct arp_packet p;
    enum stat reason;
    if (!arp_parse(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &p, &reason))
        return packet_drop(w, m, reason);
    if (memcmp(p.sender_mac, n->mac, 6) == 0)
        return packet_drop(w, m, DROP_arp_own_sender);
    if (arp_claim_conflict(w, n, &p))
        return packet_drop(w, m, DROP_arp_conflict);

    bool for_us = is_ours(n, p.target), request = p.operation == ARP_REQUEST;
    struct arp_entry *e = hear(w, n, &p);
    if (for_us || e)
        share(w, n, m);
    if (request && for_us) {
        stat_add(w, p.sender ? STAT_arp_requests_in : STAT_arp_probes_in, 1);
        answer(w, n, &p);
    } else if (e) {
        stat_add(w, STAT_arp_replies_in, 1);
    } else {
        return packet_drop(w, m, for_us || p.sender == p.target ? DROP_arp_unsolicited : DROP_arp_not_for_us);
    }
    rte_pktmbuf_free(m);
}
