/* Our own addresses: duplicate address detection and announcement (RFC 5227).
 *
 * Optimistic: an address is usable from the first moment, so that a server serves at once; detection runs beside it and
 * reports. A station that turns out to have had the address first is not fought: we stop before announcing, which would
 * turn its peers to us. Once announced the address is defended as RFC 5227 2.4 (c) has it for servers: kept, and
 * announced again at most once in 10 s. Every conflict is counted; the log tells at the same pace. */
#include <stdio.h>

#include "stack/arp/arp.h"
#include "stack/eth/eth_wire.h"

static struct arp_claim *find_claim(struct arp *a, const struct netif *n, uint32_t address)
{
    for (unsigned i = 0; i < ARP_CLAIMS; i++)
        if (a->claim[i].state != ARP_CLAIM_FREE && a->claim[i].address == address && a->claim[i].netif == n)
            return &a->claim[i];
    return NULL;
}

/* A probe has sender 0, so that it disturbs nobody's cache; an announcement has sender and target equal. */
static void send_claim(struct mr_worker *w, const struct arp_claim *c, bool probe)
{
    struct arp_packet p = {.operation = ARP_REQUEST, .sender = probe ? 0 : c->address, .target = c->address};
    memcpy(p.sender_mac, c->netif->mac, 6);
    stat_add(w, probe ? STAT_arp_detection_probes_out : STAT_arp_announcements_out, 1);
    arp_send(w, c->netif, &p, ETH_BROADCAST);
}

static mr_time probe_gap(struct mr_worker *w)
{
    return ARP_PROBE_MIN + mr_random_below(&w->random, (uint32_t)(ARP_PROBE_MAX - ARP_PROBE_MIN));
}

static void claim_expired(struct mr_worker *w, struct arp_timer *t)
{
    struct arp_claim *c = (struct arp_claim *)t;
    mr_time wait;
    if (c->state == ARP_CLAIM_PROBE && c->sent == ARP_PROBE_NUM) {
        c->state = ARP_CLAIM_ANNOUNCE;
        c->sent = 0;
    }
    send_claim(w, c, c->state == ARP_CLAIM_PROBE);
    c->sent++;
    if (c->state == ARP_CLAIM_PROBE) {
        wait = c->sent == ARP_PROBE_NUM ? ARP_ANNOUNCE_WAIT : probe_gap(w);
    } else if (c->sent == ARP_ANNOUNCE_NUM) {
        c->state = ARP_CLAIM_HELD;
        return;
    } else {
        wait = ARP_ANNOUNCE_INTERVAL;
    }
    arp_timer_arm(w, t, w->now + wait);
}

void arp_announce(struct mr_worker *w, struct netif *n, uint32_t address)
{
    struct arp *a = w->arp;
    struct arp_claim *c = find_claim(a, n, address);
    for (unsigned i = 0; !c && i < ARP_CLAIMS; i++)
        if (a->claim[i].state == ARP_CLAIM_FREE)
            c = &a->claim[i];
    if (!c)
        return; /* as many claims as interfaces can have addresses: not reached */
    if (wheel_node_armed(&c->timer.node))
        wheel_cancel(&w->wheel, &c->timer.node);
    *c = (struct arp_claim){.timer.expired = claim_expired, .netif = n, .address = address, .state = ARP_CLAIM_PROBE};
    arp_timer_arm(w, &c->timer, w->now + mr_random_below(&w->random, (uint32_t)ARP_PROBE_WAIT));
}

static void log_conflict(const struct arp_claim *c, const uint8_t mac[6], const char *what)
{
    struct mr_address address = mr_address_ip4(c->address);
    char text[MR_ADDRESS_TEXT_MAX];
    mr_log(MR_LOG_WARNING, "arp",
           "another station uses our address: address=%s interface=%s its_mac=%02x:%02x:%02x:%02x:%02x:%02x: %s",
           mr_address_text(&address, text), c->netif->link->name, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], what);
}

/* RFC 5227 2.4: defend once in DEFEND_INTERVAL. While probing (2.1.1) the other station was first. */
static void conflict_seen(struct mr_worker *w, struct arp_claim *c, const uint8_t mac[6])
{
    stat_add(w, STAT_arp_conflicts, 1);
    bool recent = c->defended && w->now - c->defended < ARP_DEFEND_INTERVAL;
    if (c->state == ARP_CLAIM_PROBE) {
        c->state = ARP_CLAIM_CONFLICT;
        wheel_cancel(&w->wheel, &c->timer.node);
    }
    if (recent)
        return;
    c->defended = w->now;
    if (c->state == ARP_CLAIM_CONFLICT)
        return log_conflict(c, mac, "it was here first, the address is not announced; give one of them another");
    log_conflict(c, mac, "defended by an announcement; give one of them another");
    send_claim(w, c, false);
}

bool arp_claim_conflict(struct mr_worker *w, struct netif *n, const struct arp_packet *p)
{
    struct arp_claim *c = p->sender ? find_claim(w->arp, n, p->sender) : NULL;
    if (!c && p->sender == 0) {
        /* Somebody probes for an address that we probe for too: neither has it yet (RFC 5227 2.1.1). */
        c = find_claim(w->arp, n, p->target);
        if (c && c->state != ARP_CLAIM_PROBE)
            c = NULL;
    }
    if (!c)
        return false;
    conflict_seen(w, c, p->sender_mac);
    return true;
}
