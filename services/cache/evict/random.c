/* Any entry goes. The owner can draw from all its entries, not from ours alone: when few have an expiry, or some are in
 * another policy, draws miss. Then a hand goes on by a random number of steps through a list of our own, which finds one
 * always. */
#include <assert.h>

#include "cache/evict/evict_list.h"
#include "cache/evict/policies.h"

#define DRAWS     4
#define STEPS_MAX 8

struct lottery {
    struct evict_list list;
    memory_link hand;  /* 0: at the oldest */
    memory_link drawn; /* the victim that was named and not removed yet: asked again, it is the same */
};

static struct lottery *lottery_of(const struct cache_evict *e)
{
    return e->state;
}

static size_t state_bytes(uint64_t entries_expected)
{
    return sizeof(struct lottery);
}

static void init(struct cache_evict *e)
{
    *lottery_of(e) = (struct lottery){0};
}

static void insert(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash, uint32_t bytes)
{
    evict_enter(e, n, bytes);
    evict_list_add(e, &lottery_of(e)->list, n);
}

static void hit(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash)
{
    evict_touch(e, n);
}

static void leave(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash, bool evicted)
{
    struct lottery *r = lottery_of(e);
    memory_link link = memory_link_pack(e->owner.base, n);
    if (r->hand == link)
        r->hand = n->newer;
    if (r->drawn == link)
        r->drawn = 0;
    evict_list_remove(e, &r->list, n);
    evict_leave(e, n);
}

static struct cache_evict_node *draw(struct cache_evict *e)
{
    for (unsigned i = 0; i < DRAWS && e->owner.sample; i++) {
        struct cache_evict_node *n = e->owner.sample(e->owner.owner);
        if (n && cache_evict_holds(e, n))
            return n;
    }
    return NULL;
}

static struct cache_evict_node *walk(struct cache_evict *e, struct lottery *r)
{
    for (uint32_t steps = 1 + mr_random_below(e->owner.random, STEPS_MAX); steps; steps--)
        r->hand = r->hand ? evict_node_at(e, r->hand)->newer : r->list.oldest;
    return evict_node_at(e, r->hand ? r->hand : r->list.oldest);
}

static struct cache_evict_node *victim(struct cache_evict *e)
{
    struct lottery *r = lottery_of(e);
    if (!r->list.count)
        return NULL;
    struct cache_evict_node *n = evict_node_at(e, r->drawn);
    if (!n)
        n = draw(e);
    if (!n)
        n = walk(e, r);
    r->drawn = memory_link_pack(e->owner.base, n);
    return n;
}

static void moved(struct cache_evict *e, struct cache_evict_node *from, struct cache_evict_node *to)
{
    struct lottery *r = lottery_of(e);
    memory_link old = memory_link_pack(e->owner.base, from), now = memory_link_pack(e->owner.base, to);
    if (r->hand == old)
        r->hand = now;
    if (r->drawn == old)
        r->drawn = now;
    evict_list_moved(e, &r->list, from, to);
}

static void check(const struct cache_evict *e)
{
    const struct lottery *r = lottery_of(e);
    evict_list_check(e, &r->list, NULL, 0);
    assert(r->list.count == e->entries && r->list.bytes == e->bytes);
    assert(!r->hand || cache_evict_holds(e, evict_node_at(e, r->hand)));
    assert(!r->drawn || cache_evict_holds(e, evict_node_at(e, r->drawn)));
}

#define RANDOM                                                                                                 \
    .state_bytes = state_bytes, .init = init, .insert = insert, .hit = hit, .remove = leave, .victim = victim, \
    .moved = moved, .idle = evict_idle_by_clock, .check = check

const struct cache_evict_policy evict_allkeys_random = {
    .name = "allkeys-random",
    .also = (const char *const[]){"random", NULL},
    .sentence = "any key goes",
    RANDOM,
};

const struct cache_evict_policy evict_volatile_random = {
    .name = "volatile-random",
    .volatile_only = true,
    .sentence = "any key with an expiry goes",
    RANDOM,
};
