/* A cache without values around the policies of services/cache/evict: one node a key in one array. */
#include "tools/millrace/lab_cache.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/millrace/command.h"

#define BYTES_AN_ENTRY    64
#define REQUESTS_A_SECOND 10000 /* of the policies' clock: only LFU looks at it, which ages once a minute */
#define ASKS_MAX          1000  /* a policy may say "not now", but not for ever */

struct slot {
    _Alignas(16) struct cache_evict_node node;
};

struct cache {
    struct cache_evict evict;
    struct mr_random random;
    struct slot *slots; /* of key k: [k + 1]; a link to the first one would be none */
    uint64_t capacity, count;
    uint32_t *present, *place; /* the keys that are there, in any order; where in it a key is */
    uint32_t *arrivals;        /* a ring of keys in the order of insertion */
    uint64_t arrived, departed;
};

/* A hash of the key's number in place of the text's: splitmix64's finish, a bijection. */
static uint64_t hash_of(uint64_t key)
{
    uint64_t z = (key + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint32_t key_of(const struct cache *c, const struct cache_evict_node *n)
{
    return (uint32_t)((const struct slot *)n - c->slots - 1);
}

static uint64_t owner_hash(void *owner, const struct cache_evict_node *n)
{
    return hash_of(key_of(owner, n));
}

static struct cache_evict_node *owner_sample(void *owner)
{
    struct cache *c = owner;
    return c->count ? &c->slots[c->present[mr_random_below(&c->random, (uint32_t)c->count)] + 1].node : NULL;
}

/* Every key is given the same time to live when it comes in: the first one dies first. */
static struct cache_evict_node *owner_next_dead(void *owner)
{
    struct cache *c = owner;
    return c->count ? &c->slots[c->arrivals[c->departed % c->capacity] + 1].node : NULL;
}

static bool cache_init(struct cache *c, const struct lab_trace *t, const struct cache_evict_policy *policy,
                       uint64_t entries, uint64_t seed)
{
    *c = (struct cache){.capacity = entries};
    mr_random_seed(&c->random, seed);
    c->slots = aligned_alloc(_Alignof(struct slot), (t->universe + 1ul) * sizeof *c->slots);
    c->present = malloc(t->universe * sizeof *c->present);
    c->place = malloc(t->universe * sizeof *c->place);
    c->arrivals = malloc(entries * sizeof *c->arrivals);
    if (!c->slots || !c->present || !c->place || !c->arrivals)
        return false;
    memset(c->slots, 0, (t->universe + 1ul) * sizeof *c->slots);
    struct cache_evict_owner owner = {.base = (const uint8_t *)c->slots,
                                      .random = &c->random,
                                      .sample = owner_sample,
                                      .next_dead = owner_next_dead,
                                      .hash_of = owner_hash,
                                      .owner = c};
    return cache_evict_init(&c->evict, policy, &owner, entries);
}

static void cache_free(struct cache *c)
{
    cache_evict_release(&c->evict);
    free(c->slots);
    free(c->present);
    free(c->place);
    free(c->arrivals);
}

static bool cache_evict_one(struct cache *c)
{
    struct cache_evict_node *n = NULL;
    for (int asks = 0; !n && asks < ASKS_MAX; asks++)
        n = c->evict.policy->victim(&c->evict);
    if (!n)
        return false;
    uint32_t key = key_of(c, n);
    c->evict.policy->remove(&c->evict, n, hash_of(key), true);
    uint32_t last = c->present[--c->count];
    c->present[c->place[key]] = last;
    c->place[last] = c->place[key];
    c->departed++;
    return true;
}

static void cache_insert(struct cache *c, uint32_t key)
{
    c->evict.policy->insert(&c->evict, &c->slots[key + 1].node, hash_of(key), BYTES_AN_ENTRY);
    c->place[key] = (uint32_t)c->count;
    c->present[c->count++] = key;
    c->arrivals[c->arrived++ % c->capacity] = key;
}

bool lab_cache_hits(const struct lab_trace *t, const struct cache_evict_policy *policy, uint64_t entries, uint64_t seed,
                    uint64_t *hits)
{
    struct cache c;
    bool good = cache_init(&c, t, policy, entries, seed);
    *hits = 0;
    for (uint64_t i = 0; i < t->requests && good; i++) {
        uint32_t key = t->keys[i];
        struct cache_evict_node *n = &c.slots[key + 1].node;
        c.evict.clock = (uint32_t)(i / REQUESTS_A_SECOND);
        if (cache_evict_holds(&c.evict, n)) {
            ++*hits;
            policy->hit(&c.evict, n, hash_of(key));
            continue;
        }
        good = c.count < entries || cache_evict_one(&c);
        if (good)
            cache_insert(&c, key);
    }
    cache_free(&c);
    return good;
}

const char *lab_policy_label(const struct cache_evict_policy *policy)
{
    return policy->also ? policy->also[0] : policy->name;
}

double lab_ratio(const struct lab_cache *lab, uint64_t hits)
{
    return (double)hits / (double)lab->trace.requests;
}

static bool measure(struct lab_cache *lab)
{
    for (unsigned s = 0; s < lab->sizes_count; s++) {
        struct lab_size *size = &lab->sizes[s];
        if (size->share > 0)
            size->entries = (uint64_t)llround(size->share * lab->trace.distinct);
        size->entries = size->entries ? size->entries : 1;
        for (unsigned p = 0; p < lab->policies_count; p++)
            if (!lab_cache_hits(&lab->trace, lab->policies[p], size->entries, lab->seed + 1, &lab->hits[s][p]))
                return false;
        if (!lab_belady_hits(&lab->trace, size->entries, &lab->belady[s]))
            return false;
    }
    return true;
}

int lab_cache_measure(struct lab_cache *lab, char *error, size_t error_bytes)
{
    bool usage;
    if (!lab_trace_make(&lab->trace, lab->trace_name, lab->requests, lab->keys, lab->seed, error, error_bytes, &usage))
        return usage ? EXIT_USAGE : EXIT_FAILED;
    bool good = measure(lab);
    if (!good)
        snprintf(error, error_bytes, "no memory for a cache of this size");
    free(lab->trace.keys);
    lab->trace.keys = NULL;
    return good ? EXIT_GOOD : EXIT_FAILED;
}
