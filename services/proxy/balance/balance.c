/* Members and the table of policies; what all policies have in common: how many can be chosen, and what was tried. */
#include "proxy/balance/policy.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/config.h"

#define POLICY(symbol, word, text)                       \
    static const struct balance_policy policy_##word = { \
        .name = #word,                                   \
        .sentence = text,                                \
        .bytes = balance_##word##_bytes,                 \
        .init = balance_##word##_init,                   \
        .changed = balance_##word##_changed,             \
        .choose = balance_##word##_choose,               \
        .check = balance_##word##_check,                 \
    };
#include "proxy/balance/policies.def"
#undef POLICY

#define POLICY(symbol, word, text) [BALANCE_##symbol] = &policy_##word,
const struct balance_policy *const balance_policies[] = {
#include "proxy/balance/policies.def"
    NULL};
#undef POLICY

#define POLICY(symbol, word, text) [BALANCE_##symbol] = #word,
const char *const balance_names[] = {
#include "proxy/balance/policies.def"
    NULL};
#undef POLICY

#define ALIGNMENT 16 /* of the parts of the one block */

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

struct balance *balance_create(const struct balance_policy *policy, uint32_t members, const struct maglev_table *maglev,
                               struct mr_random *random)
{
    size_t members_at = aligned(sizeof(struct balance));
    size_t state_at = members_at + aligned(members * sizeof(struct balance_member));
    uint8_t *block = calloc(1, state_at + policy->bytes(members));
    if (!block)
        return NULL;
    struct balance *b = (struct balance *)block;
    *b = (struct balance){
        .policy = policy,
        .maglev = maglev,
        .random = random,
        .count = members,
        .members = (struct balance_member *)(block + members_at),
        .state = block + state_at,
    };
    policy->init(b);
    return b;
}

void balance_free(struct balance *b)
{
    free(b);
}

/* One member becomes `next`: the only place that changes members. */
static void member_change(struct balance *b, uint32_t member, struct balance_member next)
{
    assert(member < b->count);
    struct balance_member *m = &b->members[member];
    if (m->weight == next.weight && m->active == next.active && m->fit == next.fit)
        return;
    b->fit -= balance_takes(b, member);
    *m = next;
    b->fit += balance_takes(b, member);
    b->policy->changed(b, member);
}

void balance_set_weight(struct balance *b, uint32_t member, uint32_t weight)
{
    struct balance_member next = b->members[member];
    next.weight = weight;
    member_change(b, member, next);
}

void balance_set_fit(struct balance *b, uint32_t member, bool fit)
{
    struct balance_member next = b->members[member];
    next.fit = fit;
    member_change(b, member, next);
}

void balance_set_active(struct balance *b, uint32_t member, uint32_t active)
{
    struct balance_member next = b->members[member];
    next.active = active;
    member_change(b, member, next);
}

/* Members that can be chosen and were not tried; the same one may stand in `tried` twice. */
static uint32_t untried(const struct balance *b, const struct balance_query *q)
{
    uint32_t n = b->fit;
    assert(q->tried_count <= BALANCE_TRIED_MAX);
    for (uint32_t i = 0; i < q->tried_count; i++) {
        bool again = false;
        for (uint32_t j = 0; j < i; j++)
            again |= q->tried[j] == q->tried[i];
        n -= !again && q->tried[i] < b->count && balance_takes(b, q->tried[i]);
    }
    return n;
}

int balance_choose(struct balance *b, const struct balance_query *q)
{
    if (b->fit == 0)
        return BALANCE_NONE;
    if (q->tried_count > 0 && untried(b, q) == 0) {
        const struct balance_query anew = {.hash = q->hash};
        return b->policy->choose(b, &anew);
    }
    return b->policy->choose(b, q);
}
