/* The table of policies, and what is the same for all of them. */
#include "cache/evict/evict.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cache/evict/evict_node.h"
#include "cache/evict/policies.h"

/* The first is the default. */
const struct cache_evict_policy *const cache_evict_policies[] = {
#define POLICY(file, symbol) &evict_##symbol,
#include "cache/evict/policies.def"
#undef POLICY
    NULL,
};

static bool is_named(const struct cache_evict_policy *p, const char *name)
{
    if (!strcmp(p->name, name))
        return true;
    for (const char *const *also = p->also; also && *also; also++)
        if (!strcmp(*also, name))
            return true;
    return false;
}

const struct cache_evict_policy *cache_evict_find(const char *name)
{
    for (const struct cache_evict_policy *const *p = cache_evict_policies; *p; p++)
        if (is_named(*p, name))
            return *p;
    return NULL;
}

bool cache_evict_init(struct cache_evict *e, const struct cache_evict_policy *policy,
                      const struct cache_evict_owner *owner, uint64_t entries_expected)
{
    *e = (struct cache_evict){.policy = policy, .owner = *owner, .entries_expected = entries_expected};
    e->state_bytes = policy->state_bytes(entries_expected);
    if (e->state_bytes && !(e->state = calloc(1, e->state_bytes)))
        return false;
    policy->init(e);
    return true;
}

void cache_evict_release(struct cache_evict *e)
{
    free(e->state);
    *e = (struct cache_evict){0};
}

bool cache_evict_holds(const struct cache_evict *e, const struct cache_evict_node *n)
{
    return evict_inserted(n) && !(n->state & EVICT_ODD) == !e->owner.odd;
}

void cache_evict_moved(struct cache_evict *e, struct cache_evict_node *from, struct cache_evict_node *to)
{
    if (e->policy->moved && cache_evict_holds(e, to))
        e->policy->moved(e, from, to);
}

bool evict_idle_by_clock(const struct cache_evict *e, const struct cache_evict_node *n, uint32_t *seconds)
{
    uint32_t idle = (e->clock - (n->state >> EVICT_CLOCK_SHIFT)) & EVICT_CLOCK_MASK;
    *seconds = idle <= EVICT_CLOCK_MASK - EVICT_CLOCK_SET_BACK ? idle : 0;
    return true;
}

size_t evict_plain_state_bytes(uint64_t entries_expected)
{
    return 0;
}

void evict_plain_init(struct cache_evict *e)
{
}

void evict_plain_insert(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash, uint32_t bytes)
{
    evict_enter(e, n, bytes);
}

void evict_plain_hit(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash)
{
    evict_touch(e, n);
}

void evict_plain_remove(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash, bool evicted)
{
    evict_leave(e, n);
}

void evict_plain_check(const struct cache_evict *e)
{
    assert(!e->state_bytes);
}

bool cache_evict_idle(const struct cache_evict *e, const struct cache_evict_node *n, uint32_t *seconds)
{
    return e->policy->idle && e->policy->idle(e, n, seconds);
}

bool cache_evict_frequency(const struct cache_evict *e, const struct cache_evict_node *n, uint32_t *frequency)
{
    return e->policy->frequency && e->policy->frequency(e, n, frequency);
}

void cache_evict_check(const struct cache_evict *e)
{
    assert(e->entries || !e->bytes);
    e->policy->check(e);
}
