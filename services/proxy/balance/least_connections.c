/* The member with the fewest requests under way for its weight: active / weight. Among equals the turn goes on by weight (as in
 * weighted.c, in virtual time), so that with little traffic, when nothing is under way anywhere, weights still hold. */
#include <assert.h>

#include "proxy/balance/heap.h"
#include "proxy/balance/policy.h"

#define WORK       ((uint64_t)1 << 32) /* of one choice, in the turn among equals */
#define LOAD_SHIFT 31                  /* loads that differ by less than 2^-31 are equal; the key stays below 2^63 */

struct least_connections {
    uint64_t now;             /* virtual time of the turn; wraps */
    uint64_t *turns;          /* of each member: when it is due among equals */
    struct balance_heap heap; /* key: load, turn; last: it goes on behind */
};

size_t balance_least_connections_bytes(uint32_t members)
{
    return sizeof(struct least_connections) + balance_heap_bytes(members) + (members + 1) * sizeof(uint64_t);
}

void balance_least_connections_init(struct balance *b)
{
    struct least_connections *l = b->state;
    size_t heap_bytes = balance_heap_bytes(b->count);
    balance_heap_init(&l->heap, b->count);
    l->turns =
        (uint64_t *)((uint8_t *)&l->heap + (heap_bytes + sizeof(uint64_t) - 1) / sizeof(uint64_t) * sizeof(uint64_t));
    for (uint32_t m = 0; m < b->count; m++)
        l->turns[m] = mr_random_below(b->random, 256); /* not every worker begins with the same one */
}

static uint64_t load_of(const struct balance_member *m)
{
    return ((uint64_t)m->active << LOAD_SHIFT) / m->weight;
}

void balance_least_connections_changed(struct balance *b, uint32_t member)
{
    struct least_connections *l = b->state;
    if (!balance_takes(b, member)) {
        balance_heap_remove(&l->heap, member);
        return;
    }
    /* Who comes (back) is not owed what the others had meanwhile. */
    if (!balance_heap_has(&l->heap, member) && (int64_t)(l->turns[member] - l->now) < 0)
        l->turns[member] = l->now;
    balance_heap_put(&l->heap, member, load_of(&b->members[member]), l->turns[member]);
}

int balance_least_connections_choose(struct balance *b, const struct balance_query *q)
{
    struct least_connections *l = b->state;
    struct balance_heap_entry e = balance_heap_least(&l->heap, q);
    if ((int64_t)(e.second - l->now) > 0)
        l->now = e.second;
    l->turns[e.member] = l->now + WORK / b->members[e.member].weight;
    balance_heap_put(&l->heap, e.member, e.first, l->turns[e.member]);
    return (int)e.member;
}

void balance_least_connections_check(const struct balance *b)
{
    const struct least_connections *l = b->state;
    balance_heap_check(&l->heap, b);
    for (uint32_t i = 0; i < l->heap.count; i++) {
        const struct balance_heap_entry *e = &l->heap.entries[i];
        assert(e->first == load_of(&b->members[e->member]));
        assert(e->second == l->turns[e->member]);
    }
}
