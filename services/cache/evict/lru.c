/* Exact LRU: one list in the order of the last access. Redis samples instead and is near; here the list costs nothing
 * more, because every policy has its two links. */
#include <assert.h>

#include "cache/evict/evict_list.h"
#include "cache/evict/policies.h"

static struct evict_list *list_of(const struct cache_evict *e)
{
    return e->state;
}

static size_t state_bytes(uint64_t entries_expected)
{
    return sizeof(struct evict_list);
}

static void init(struct cache_evict *e)
{
    *list_of(e) = (struct evict_list){0};
}

static void insert(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash, uint32_t bytes)
{
    evict_enter(e, n, bytes);
    evict_list_add(e, list_of(e), n);
}

static void hit(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash)
{
    evict_touch(e, n);
    if (evict_inserted(n))
        evict_list_renew(e, list_of(e), n);
}

static void leave(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash, bool evicted)
{
    evict_list_remove(e, list_of(e), n);
    evict_leave(e, n);
}

static struct cache_evict_node *victim(struct cache_evict *e)
{
    return evict_list_oldest(e, list_of(e));
}

static void moved(struct cache_evict *e, struct cache_evict_node *from, struct cache_evict_node *to)
{
    evict_list_moved(e, list_of(e), from, to);
}

static void check(const struct cache_evict *e)
{
    evict_list_check(e, list_of(e), NULL, 0);
    assert(list_of(e)->count == e->entries);
    assert(list_of(e)->bytes == e->bytes);
}

#define LRU                                                                                                    \
    .state_bytes = state_bytes, .init = init, .insert = insert, .hit = hit, .remove = leave, .victim = victim, \
    .moved = moved, .idle = evict_idle_by_clock, .check = check

const struct cache_evict_policy evict_allkeys_lru = {
    .name = "allkeys-lru",
    .also = (const char *const[]){"lru", NULL},
    .sentence = "the key that was not used for the longest time goes; exact, not sampled",
    LRU,
};

const struct cache_evict_policy evict_volatile_lru = {
    .name = "volatile-lru",
    .volatile_only = true,
    .sentence = "LRU among the keys with an expiry",
    LRU,
};
