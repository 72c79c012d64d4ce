/* In turn, as often as the weights say, spread evenly: earliest deadline first. Time is virtual: it goes to the deadline of each that is
 * chosen, whose next deadline lies a stride of 1/weight behind it. In a stretch of virtual time T a member of weight w is chosen
 * T x w times, rounded up or down.
 *
 * What is left until a deadline, times the weight, is work: a change of weight keeps the work, so that growing step by step, as slow start
 * does, gives neither a burst nor a gap. A member that comes back after it was not fit keeps what was left of its wait, so
 * nothing is won by going (a full backend goes and comes with each request), and if it stayed away for longer it is next, once. */
#include <assert.h>

#include "proxy/balance/heap.h"
#include "proxy/balance/policy.h"

#define WORK ((uint64_t)1 << 48) /* of one choice: strides are exact to 2^-24 at the largest weight, 65535 x 256 */

struct turn {
    uint32_t weight; /* by which `wait` counts; 0: it never had one */
    uint64_t wait;   /* while not in the heap: from `left` to the deadline, in virtual time */
    uint64_t left;
};

struct weighted {
    uint64_t now; /* virtual; wraps */
    struct turn *turns;
    struct balance_heap heap; /* key: deadline; last: it goes on behind */
};

size_t balance_weighted_bytes(uint32_t members)
{
    return sizeof(struct weighted) + balance_heap_bytes(members) + sizeof(uint64_t) + members * sizeof(struct turn);
}

void balance_weighted_init(struct balance *b)
{
    struct weighted *w = b->state;
    size_t heap_bytes = balance_heap_bytes(b->count);
    balance_heap_init(&w->heap, b->count);
    w->turns = (struct turn *)((uint8_t *)&w->heap +
                               (heap_bytes + sizeof(uint64_t) - 1) / sizeof(uint64_t) * sizeof(uint64_t));
}

/* The first deadline lies anywhere within the first stride: not every worker begins with the same backend. */
static uint64_t first_wait(struct balance *b, uint32_t weight)
{
    return mr_random_next(b->random) % (WORK / weight);
}

/* What is left to wait for a member at w->now, at its former weight. */
static uint64_t wait_left(const struct weighted *w, uint32_t member)
{
    const struct turn *t = &w->turns[member];
    if (balance_heap_has(&w->heap, member))
        return balance_heap_at(&w->heap, member)->first - w->now;
    return w->now - t->left < t->wait ? t->wait - (w->now - t->left) : 0;
}

/* The same work at another weight. */
static uint64_t wait_scaled(uint64_t wait, uint32_t from, uint32_t to)
{
    return (uint64_t)((unsigned __int128)wait * from / to);
}

void balance_weighted_changed(struct balance *b, uint32_t member)
{
    struct weighted *w = b->state;
    struct turn *t = &w->turns[member];
    uint32_t weight = b->members[member].weight;
    bool in = balance_heap_has(&w->heap, member), takes = balance_takes(b, member);
    if (in == takes && (!t->weight || !weight || weight == t->weight))
        return; /* of one that had no turn yet, or not its weight: nothing waits otherwise */
    uint64_t wait = !t->weight ? first_wait(b, weight) : wait_left(w, member);
    if (t->weight && weight)
        wait = wait_scaled(wait, t->weight, weight);
    if (weight)
        t->weight = weight;
    if (takes) {
        balance_heap_put(&w->heap, member, w->now + wait, 0);
    } else {
        balance_heap_remove(&w->heap, member);
        t->wait = wait;
        t->left = w->now;
    }
}

int balance_weighted_choose(struct balance *b, const struct balance_query *q)
{
    struct weighted *w = b->state;
    struct balance_heap_entry e = balance_heap_least(&w->heap, q);
    /* After tried ones were passed over, their deadlines are the earlier ones: virtual time waits for them. */
    uint64_t earliest = w->heap.entries[0].first;
    balance_heap_put(&w->heap, e.member, e.first + WORK / b->members[e.member].weight, 0);
    w->now = earliest;
    return (int)e.member;
}

void balance_weighted_check(const struct balance *b)
{
    const struct weighted *w = b->state;
    balance_heap_check(&w->heap, b);
    for (uint32_t i = 0; i < w->heap.count; i++) {
        const struct balance_heap_entry *e = &w->heap.entries[i];
        assert(w->turns[e->member].weight == b->members[e->member].weight);
        assert((int64_t)(e->first - w->now) >= 0); /* time never passes a deadline */
    }
}
