/* Each member that can be chosen, in turn. Where the turn begins is random, so that the workers of many proxies that start together do not
 * all begin with the first backend. */
#include <assert.h>

#include "proxy/balance/member_set.h"
#include "proxy/balance/policy.h"

struct round_robin {
    uint32_t next;
    struct balance_set set; /* last: it goes on behind */
};

size_t balance_round_robin_bytes(uint32_t members)
{
    return sizeof(struct round_robin) + balance_set_bytes(members);
}

void balance_round_robin_init(struct balance *b)
{
    struct round_robin *r = b->state;
    balance_set_init(&r->set, b->count);
    r->next = mr_random_below(b->random, b->count);
}

void balance_round_robin_changed(struct balance *b, uint32_t member)
{
    struct round_robin *r = b->state;
    balance_set_put(&r->set, member, balance_takes(b, member));
}

int balance_round_robin_choose(struct balance *b, const struct balance_query *q)
{
    struct round_robin *r = b->state;
    uint32_t m = balance_set_next(&r->set, r->next);
    while (balance_tried(q, m)) /* at most BALANCE_TRIED_MAX times: one that was not tried is there */
        m = balance_set_next(&r->set, m + 1);
    r->next = m + 1;
    return (int)m;
}

void balance_round_robin_check(const struct balance *b)
{
    const struct round_robin *r = b->state;
    assert(r->next <= b->count);
    balance_set_check(&r->set, b);
}
