/* What balance.c and the policies share: one file a policy, named in policies.def. */
#ifndef SERVICES_PROXY_BALANCE_POLICY_H
#define SERVICES_PROXY_BALANCE_POLICY_H

#include "proxy/balance/balance.h"

#define POLICY(symbol, name, sentence)                                             \
    size_t balance_##name##_bytes(uint32_t members);                               \
    void balance_##name##_init(struct balance *b);                                 \
    void balance_##name##_changed(struct balance *b, uint32_t member);             \
    int balance_##name##_choose(struct balance *b, const struct balance_query *q); \
    void balance_##name##_check(const struct balance *b);
#include "proxy/balance/policies.def"
#undef POLICY

/* Can be chosen. A policy is asked only when there is such a member that was not tried. */
static inline bool balance_takes(const struct balance *b, uint32_t member)
{
    return b->members[member].fit && b->members[member].weight > 0;
}

static inline bool balance_tried(const struct balance_query *q, uint32_t member)
{
    for (uint32_t i = 0; i < q->tried_count; i++)
        if (q->tried[i] == member)
            return true;
    return false;
}

/* Less loaded for its weight. Exact: 32 bits times 24. */
static inline bool balance_lighter(const struct balance_member *x, const struct balance_member *y)
{
    return (uint64_t)x->active * y->weight < (uint64_t)y->active * x->weight;
}

#endif
