/* SIEVE (Zhang, Yang, Yue, Vigfusson, Rashmi: "SIEVE is Simpler than LRU", NSDI 2024): a queue in the order of insertion,
 * one bit an entry, and a hand that walks from the oldest to the newest. It clears the bits of entries that were hit and
 * leaves them where they are; the first one without goes. New entries come in at the newest end, so that they are judged
 * soon after the hand started over.
 *
 *     oldest  [1] [0] [1] [1] [0] [0]  newest <- insert
 *                      ^hand ->
 *
 * Apart from the paper: a hand out of looks (evict_node.h) takes the entry that it is at. */
#include <assert.h>

#include "cache/evict/evict_list.h"
#include "cache/evict/policies.h"

#define VISITED 1u

struct sieve {
    struct evict_list queue;
    memory_link hand; /* the next to be looked at; 0: the oldest */
    uint32_t looks;
};

static struct sieve *sieve_of(const struct cache_evict *e)
{
    return e->state;
}

static size_t state_bytes(uint64_t entries_expected)
{
    return sizeof(struct sieve);
}

static void init(struct cache_evict *e)
{
    *sieve_of(e) = (struct sieve){.looks = EVICT_LOOKS_SAVED};
}

static void insert(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash, uint32_t bytes)
{
    evict_enter(e, n, bytes);
    evict_list_add(e, &sieve_of(e)->queue, n);
}

static void hit(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash)
{
    evict_touch(e, n);
    if (evict_inserted(n) && !evict_flags(n))
        evict_set_flags(n, VISITED);
}

static void leave(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash, bool evicted)
{
    struct sieve *s = sieve_of(e);
    if (evict_node_at(e, s->hand) == n)
        s->hand = n->newer;
    evict_list_remove(e, &s->queue, n);
    evict_leave(e, n);
}

/* The hand stays at the victim, so that asking again names the same one; removing it moves the hand on. */
static struct cache_evict_node *victim(struct cache_evict *e)
{
    struct sieve *s = sieve_of(e);
    if (!s->queue.count)
        return NULL;
    evict_looks_earn(&s->looks);
    for (;;) {
        struct cache_evict_node *n = evict_node_at(e, s->hand ? s->hand : s->queue.oldest);
        s->hand = memory_link_pack(e->owner.base, n);
        if (!evict_flags(n))
            return n;
        evict_set_flags(n, 0);
        if (!evict_look(e, &s->looks))
            return n;
        s->hand = n->newer;
    }
}

static void moved(struct cache_evict *e, struct cache_evict_node *from, struct cache_evict_node *to)
{
    struct sieve *s = sieve_of(e);
    if (s->hand == memory_link_pack(e->owner.base, from))
        s->hand = memory_link_pack(e->owner.base, to);
    evict_list_moved(e, &s->queue, from, to);
}

static void check_node(const struct cache_evict *e, const struct cache_evict_node *n, uint32_t argument)
{
    assert(evict_flags(n) <= VISITED);
}

static void check(const struct cache_evict *e)
{
    const struct sieve *s = sieve_of(e);
    evict_list_check(e, &s->queue, check_node, 0);
    assert(s->queue.count == e->entries && s->queue.bytes == e->bytes);
    assert(s->looks <= EVICT_LOOKS_SAVED);
    bool found = !s->hand;
    for (memory_link at = s->queue.oldest; at && !found; at = evict_node_at(e, at)->newer)
        found = at == s->hand;
    assert(found);
}

#define SIEVE                                                                                                  \
    .state_bytes = state_bytes, .init = init, .insert = insert, .hit = hit, .remove = leave, .victim = victim, \
    .moved = moved, .idle = evict_idle_by_clock, .check = check

const struct cache_evict_policy evict_allkeys_sieve = {
    .name = "allkeys-sieve",
    .also = (const char *const[]){"sieve", NULL},
    .sentence =
        "a hand passes over the keys in the order of arrival, spares those used since it last came, and takes the "
        "first that was not (SIEVE, NSDI 2024)",
    SIEVE,
};

const struct cache_evict_policy evict_volatile_sieve = {
    .name = "volatile-sieve",
    .volatile_only = true,
    .sentence = "SIEVE among the keys with an expiry",
    SIEVE,
};
