/* The neighbour table: chained hashing with the worker's secret, so that a peer cannot choose buckets.
 *
 * What strangers can make us hold is bounded three ways: unresolved entries take at most half of the table, entries that
 * we learn from requests fill it to three quarters at most, and packets that wait are bounded per neighbour and in all. */
#include <stdlib.h>

#include "stack/arp/arp.h"
#include "stack/base/assert.h"
#include "stack/route/route.h"

#define EVICT_LOOK 32 /* entries looked at to find an idle one */

static uint32_t *bucket_of(struct mr_worker *w, const struct netif *n, uint32_t address)
{
    uint64_t key = (uint64_t)n->index << 32 | address;
    return &w->arp->bucket[hash_bytes(&w->secret, &key, sizeof key) & w->arp->bucket_mask];
}

bool arp_init(struct mr_worker *w, uint32_t entries)
{
    struct arp *a = w->arp = calloc(1, sizeof *a);
    if (!a)
        return false;
    a->bucket_mask = rte_align32pow2(entries) - 1; /* at most one entry a bucket on average */
    a->bucket = calloc(a->bucket_mask + 1, sizeof *a->bucket);
    return a->bucket && slab_init(&a->entries, "arp entries", sizeof(struct arp_entry), 64, entries);
}

void arp_release(struct mr_worker *w)
{
    struct arp *a = w->arp;
    if (!a)
        return;
    for (uint32_t b = 0; a->bucket && a->entries.base && b <= a->bucket_mask; b++)
        for (uint32_t i = a->bucket[b]; i;) {
            struct arp_entry *e = slab_at(&a->entries, i - 1);
            i = e->next;
            wheel_cancel(&w->wheel, &e->timer.node);
            rte_pktmbuf_free_bulk(e->queue, e->queued);
        }
    for (unsigned i = 0; i < ARP_CLAIMS; i++)
        if (wheel_node_armed(&a->claim[i].timer.node))
            wheel_cancel(&w->wheel, &a->claim[i].timer.node);
    if (a->entries.base)
        slab_free_all(&a->entries);
    free(a->bucket);
    free(a);
    w->arp = NULL;
}

struct arp_entry *arp_find(struct mr_worker *w, const struct netif *n, uint32_t address)
{
    for (uint32_t i = *bucket_of(w, n, address); i;) {
        struct arp_entry *e = slab_at(&w->arp->entries, i - 1);
        if (e->address == address && e->netif == n)
            return e;
        i = e->next;
    }
    return NULL;
}

/* Sweeps a few entries for one that nothing was sent to lately; else takes any resolved one of them. */
static bool evict(struct mr_worker *w)
{
    struct arp *a = w->arp;
    struct arp_entry *victim = NULL;
    for (unsigned looked = 0; looked < EVICT_LOOK; looked++) {
        a->hand = (a->hand + 1) % a->entries.limit;
        struct arp_entry *e = slab_at(&a->entries, a->hand);
        if (e->state == ARP_INCOMPLETE)
            continue;
        if (!victim || !e->used)
            victim = e;
        if (!e->used)
            break;
    }
    if (!victim)
        return false;
    stat_add(w, STAT_arp_evicted, 1);
    arp_entry_delete(w, victim);
    return true;
}

struct arp_entry *arp_entry_new(struct mr_worker *w, struct netif *n, uint32_t address)
{
    struct arp *a = w->arp;
    if (a->entries.used == a->entries.limit && !evict(w))
        return NULL;
    struct arp_entry *e = slab_get(&a->entries);
    if (!e)
        return NULL;
    uint32_t *bucket = bucket_of(w, n, address);
    e->netif = n;
    e->address = address;
    e->next = *bucket;
    *bucket = slab_index(&a->entries, e) + 1;
    e->state = ARP_INCOMPLETE;
    a->incomplete++;
    return e;
}

void arp_entry_delete(struct mr_worker *w, struct arp_entry *e)
{
    struct arp *a = w->arp;
    ASSERT_COMPARE(e->queued, ==, 0);
    if (e->state == ARP_INCOMPLETE)
        a->incomplete--;
    else
        path_invalidate(w); /* a cached path may carry its MAC */
    if (wheel_node_armed(&e->timer.node))
        wheel_cancel(&w->wheel, &e->timer.node);
    uint32_t *link = bucket_of(w, e->netif, e->address), index = slab_index(&a->entries, e) + 1;
    while (*link != index)
        link = &((struct arp_entry *)slab_at(&a->entries, *link - 1))->next;
    *link = e->next;
    slab_put(&a->entries, e);
}

void arp_set_state(struct mr_worker *w, struct arp_entry *e, enum arp_state state)
{
    static const bool legal[3][3] = {
        [ARP_INCOMPLETE] = {[ARP_REACHABLE] = true},
        [ARP_REACHABLE] = {[ARP_REACHABLE] = true, [ARP_PROBING] = true},
        [ARP_PROBING] = {[ARP_REACHABLE] = true},
    };
    ASSERT(legal[e->state][state]);
    if (e->state == ARP_INCOMPLETE)
        w->arp->incomplete--;
    e->state = (uint8_t)state;
    e->tries = 0;
}

void arp_check(const struct mr_worker *w)
{
    const struct arp *a = w->arp;
    uint32_t used = 0, incomplete = 0, queued = 0;
    for (uint32_t b = 0; b <= a->bucket_mask; b++)
        for (uint32_t i = a->bucket[b]; i;) {
            const struct arp_entry *e = slab_at(&a->entries, i - 1);
            ASSERT(wheel_node_armed(&e->timer.node));
            ASSERT_COMPARE(e->queued, <=, e->state == ARP_INCOMPLETE ? ARP_QUEUE : 0);
            used++;
            incomplete += e->state == ARP_INCOMPLETE;
            queued += e->queued;
            i = e->next;
        }
    ASSERT_COMPARE(used, ==, a->entries.used);
    ASSERT_COMPARE(incomplete, ==, a->incomplete);
    ASSERT_COMPARE(queued, ==, a->queued);
    ASSERT_COMPARE(queued, <=, ARP_QUEUE_TOTAL);
}
