/* Choice by hash over a table that was built once. A key has a fixed order of members: those of 64 slots that come of its hash, then
 * all in a ring from a place of its own. It goes to the first of them that takes it. So when a member stops being fit its keys alone
 * move, they spread over all others, and they return with it.
 *
 * A member whose weight is below that of the table (slow start) takes the part of its keys that its weight is of the table's,
 * always the same ones, so that keys only ever move to a member whose weight grows. */
#include <assert.h>

#include "proxy/balance/maglev_hash.h"
#include "proxy/balance/member_set.h"
#include "proxy/balance/policy.h"

#define SLOTS_TRIED 64 /* with half of the members out, the ring is met once in 2^64 keys */

struct maglev {
    struct balance_set set; /* goes on behind */
};

size_t balance_maglev_bytes(uint32_t members)
{
    return sizeof(struct maglev) + balance_set_bytes(members);
}

void balance_maglev_init(struct balance *b)
{
    struct maglev *m = b->state;
    assert(b->maglev && b->maglev->members == b->count);
    balance_set_init(&m->set, b->count);
}

void balance_maglev_changed(struct balance *b, uint32_t member)
{
    struct maglev *m = b->state;
    balance_set_put(&m->set, member, balance_takes(b, member));
}

static bool takes_key(const struct balance *b, const struct balance_query *q, uint32_t member)
{
    if (member >= b->count || !balance_takes(b, member) || balance_tried(q, member))
        return false;
    uint64_t weight = b->members[member].weight, full = b->maglev->weights[member];
    if (weight >= full)
        return true;
    uint32_t lot = (uint32_t)maglev_hash(q->hash, member);
    return lot * full < weight << 32;
}

int balance_maglev_choose(struct balance *b, const struct balance_query *q)
{
    const struct maglev *m = b->state;
    const struct maglev_table *t = b->maglev;
    for (uint32_t i = 0; i < SLOTS_TRIED; i++) {
        uint32_t member = t->slots[maglev_hash(q->hash, ~(uint64_t)i) % t->size];
        if (takes_key(b, q, member))
            return (int)member;
    }
    uint32_t at = balance_set_next(&m->set, (uint32_t)(maglev_hash(q->hash, ~(uint64_t)SLOTS_TRIED) % b->count));
    while (balance_tried(q, at)) /* at most BALANCE_TRIED_MAX times: one that was not tried is there */
        at = balance_set_next(&m->set, at + 1);
    return (int)at;
}

void balance_maglev_check(const struct balance *b)
{
    const struct maglev *m = b->state;
    balance_set_check(&m->set, b);
}
