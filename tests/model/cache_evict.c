/* The eviction policies under random operations. Each checks its own invariants after every step, and names entries that are
 * there; LRU, the order of expiry, SIEVE, S3-FIFO and LFU are compared victim by victim with an obvious slow version. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/random.h>

#include "cache/evict/evict.h"
#include "cache/evict/evict_node.h"
#include "tests/support/seed.h"

#define KEYS  200
#define SLOTS (2 * KEYS) /* places in memory: entries move between them */
#define STEPS 20000

struct place {
    _Alignas(16) struct cache_evict_node node;
    int key; /* -1: free */
};

/* The slow version knows keys, in order, and what each policy says about them. */
struct slow_key {
    int key;
    unsigned hits;
    bool main;
};

struct model {
    struct slow_key queue[KEYS]; /* oldest first */
    unsigned count, hand;
    int ghosts[8 * STEPS]; /* every key that went to the ghosts, in order; -1: taken back */
    unsigned ghost_count;
};

static struct place places[SLOTS + 1];
static int place_of[KEYS]; /* -1: not in the cache */
static uint32_t bytes_of[KEYS];
static unsigned live;
static struct model model;
static struct mr_random random_numbers;
static struct cache_evict evict;

static uint64_t hash_of_key(int key)
{
    uint64_t z = ((uint64_t)key + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    return z ^ (z >> 31);
}

static int key_of(const struct cache_evict_node *n)
{
    return ((const struct place *)n)->key;
}

static uint64_t owner_hash(void *owner, const struct cache_evict_node *n)
{
    return hash_of_key(key_of(n));
}

static struct cache_evict_node *owner_sample(void *owner)
{
    struct place *p = &places[1 + mr_random_below(&random_numbers, SLOTS)];
    return p->key >= 0 ? &p->node : NULL;
}

/* Keys expire in their own order. */
static struct cache_evict_node *owner_next_dead(void *owner)
{
    for (int key = 0; key < KEYS; key++)
        if (place_of[key] >= 0)
            return &places[place_of[key]].node;
    return NULL;
}

static int free_place(void)
{
    for (;;) {
        int at = 1 + (int)mr_random_below(&random_numbers, SLOTS);
        if (places[at].key < 0)
            return at;
    }
}

static unsigned model_find(int key)
{
    unsigned i = 0;
    while (model.queue[i].key != key)
        i++;
    return i;
}

static void model_remove_at(unsigned i)
{
    memmove(&model.queue[i], &model.queue[i + 1], (--model.count - i) * sizeof model.queue[0]);
    if (model.hand > i)
        model.hand--;
    if (model.hand >= model.count)
        model.hand = 0;
}

static void model_append(struct slow_key k)
{
    model.queue[model.count++] = k;
}

static void model_renew(unsigned i)
{
    struct slow_key k = model.queue[i];
    model_remove_at(i);
    model_append(k);
}

/* One of the last `limit` keys that became ghosts; a key is there once, at its last place. */
static bool model_ghost_take(int key, uint64_t limit)
{
    for (unsigned i = model.ghost_count; i-- > 0;) {
        if (model.ghosts[i] != key)
            continue;
        bool young = model.ghost_count - 1 - i < limit;
        model.ghosts[i] = -1;
        return young;
    }
    return false;
}

struct subject {
    const char *name;
    int (*victim)(void); /* of the slow version; NULL: only checked */
    bool renews;         /* a hit makes it the newest */
};

static int lru_victim(void)
{
    return model.queue[0].key;
}

static int ttl_victim(void)
{
    return key_of(owner_next_dead(NULL));
}

/* No step of the test needs more looks than a hand has: see hit(). */
static int sieve_victim(void)
{
    for (;;) {
        if (model.hand >= model.count)
            model.hand = 0;
        struct slow_key *k = &model.queue[model.hand];
        if (!k->hits)
            return k->key;
        k->hits = 0;
        model.hand++;
    }
}

static uint64_t model_bytes(bool main, unsigned *first)
{
    uint64_t sum = 0;
    *first = model.count;
    for (unsigned i = model.count; i-- > 0;)
        if (model.queue[i].main == main) {
            sum += evict_weight_bytes(&places[place_of[model.queue[i].key]].node);
            *first = i;
        }
    return sum;
}

static int s3fifo_victim(void)
{
    for (;;) {
        unsigned small, main;
        uint64_t small_bytes = model_bytes(false, &small), main_bytes = model_bytes(true, &main);
        bool from_small = small_bytes && (small_bytes * 10 >= small_bytes + main_bytes || !main_bytes);
        unsigned i = from_small ? small : main;
        struct slow_key *k = &model.queue[i];
        if (k->hits < (from_small ? 2 : 1))
            return k->key;
        k->hits = from_small ? 0 : k->hits - 1;
        k->main = true;
        model_renew(i);
    }
}

/* One of the least frequent. Probabilities are drawn by the policy, so its counters are taken as given, but for those that
 * it ages while it looks for the victim. */
static int lfu_victim(void)
{
    struct cache_evict_node *named = evict.policy->victim(&evict);
    uint32_t least = UINT32_MAX, counter;
    for (unsigned i = 0; i < model.count; i++) {
        assert(cache_evict_frequency(&evict, &places[place_of[model.queue[i].key]].node, &counter));
        least = counter < least ? counter : least;
    }
    assert(cache_evict_frequency(&evict, named, &counter));
    assert(counter == least);
    return key_of(named);
}

static const struct subject subjects[] = {
    {"allkeys-lru", lru_victim, true},         {"volatile-lru", lru_victim, true},
    {"volatile-ttl", ttl_victim, false},       {"allkeys-sieve", sieve_victim, false},
    {"volatile-sieve", sieve_victim, false},   {"allkeys-s3fifo", s3fifo_victim, false},
    {"volatile-s3fifo", s3fifo_victim, false}, {"allkeys-lfu", lfu_victim, false},
    {"volatile-lfu", lfu_victim, false},       {"allkeys-tinylfu", NULL, false},
    {"volatile-tinylfu", NULL, false},         {"allkeys-random", NULL, false},
    {"volatile-random", NULL, false},          {"noeviction", NULL, false},
};

static bool is(const struct subject *s, const char *word)
{
    return strstr(s->name, word);
}

static void insert(const struct subject *s, int key)
{
    int at = free_place();
    places[at].key = key;
    place_of[key] = at;
    bytes_of[key] = mr_random_below(&random_numbers, 10) ? 64 : mr_random_below(&random_numbers, 5000);
    struct slow_key k = {.key = key};
    if (is(s, "s3fifo"))
        k.main = model_ghost_take(key, live - live / 10);
    model_append(k);
    places[at].node = (struct cache_evict_node){0};
    evict.policy->insert(&evict, &places[at].node, hash_of_key(key), bytes_of[key]);
    live++;
}

/* How far a hand walks is bounded, which the slow version does not know: so there are never more hits for it to take back
 * than it has looks. */
static unsigned hits_since_victim;

static bool hand_could_tire(void)
{
    unsigned hits = 0;
    for (unsigned i = 0; i < model.count; i++)
        hits += model.queue[i].hits;
    return hits >= EVICT_LOOKS_SAVED - 2 * EVICT_LOOKS_EARNED || ++hits_since_victim >= EVICT_LOOKS_EARNED;
}

static void hit(const struct subject *s, int key)
{
    unsigned i = model_find(key);
    if ((is(s, "sieve") || is(s, "s3fifo")) && hand_could_tire())
        return;
    if (model.queue[i].hits < (is(s, "sieve") ? 1 : 3))
        model.queue[i].hits++;
    if (s->renews)
        model_renew(i);
    evict.policy->hit(&evict, &places[place_of[key]].node, hash_of_key(key));
}

static void leave(const struct subject *s, int key, bool evicted)
{
    int at = place_of[key];
    unsigned i = model_find(key);
    if (is(s, "s3fifo") && evicted && !model.queue[i].main) {
        model_ghost_take(key, 0);
        model.ghosts[model.ghost_count++] = key;
    }
    model_remove_at(i);
    evict.policy->remove(&evict, &places[at].node, hash_of_key(key), evicted);
    assert(!cache_evict_holds(&evict, &places[at].node));
    places[at].key = place_of[key] = -1;
    live--;
}

static void evict_one(const struct subject *s)
{
    int expected = s->victim && live ? s->victim() : -1;
    struct cache_evict_node *n = evict.policy->victim(&evict);
    hits_since_victim = 0;
    if (!live || is(s, "noeviction")) {
        assert(!n);
        return;
    }
    assert(n && cache_evict_holds(&evict, n));
    assert(place_of[key_of(n)] == (int)((struct place *)n - places));
    if (s->victim && key_of(n) != expected) {
        fprintf(stderr, "%s: key %d goes, expected %d\n", s->name, key_of(n), expected);
        abort();
    }
    cache_evict_check(&evict);
    assert(evict.policy->victim(&evict) == n); /* asked again, the same */
    leave(s, key_of(n), true);
}

/* The old place is filled with rubbish, as memory that was freed. */
static void move(int key)
{
    int from = place_of[key], to = free_place();
    places[to] = places[from];
    memset(&places[from].node, 0xa5, sizeof places[from].node);
    cache_evict_moved(&evict, &places[from].node, &places[to].node);
    places[from].key = -1;
    place_of[key] = to;
}

static void step(const struct subject *s)
{
    int key = (int)(mr_random_unit(&random_numbers) * mr_random_unit(&random_numbers) * KEYS);
    bool there = place_of[key] >= 0;
    switch (mr_random_below(&random_numbers, 8)) {
    case 0:
        if (there && mr_random_below(&random_numbers, 4) == 0)
            leave(s, key, false);
        break;
    case 1:
        if (there)
            move(key);
        break;
    case 2:
        evict_one(s);
        break;
    case 3:
        evict.clock += mr_random_below(&random_numbers, 100) ? 1 : mr_random_below(&random_numbers, 100000);
        break;
    default:
        if (there)
            hit(s, key);
        else if (live < KEYS / 2)
            insert(s, key);
        else
            evict_one(s);
    }
}

/* The sums of the policy are those of the entries, as far as its rounding goes. */
static void check_sums(void)
{
    int64_t least = 0, most = 0;
    for (int key = 0; key < KEYS; key++)
        if (place_of[key] >= 0) {
            least += (int64_t)bytes_of[key] - bytes_of[key] / 8 - 16;
            most += bytes_of[key] < 16 ? 16 : bytes_of[key];
        }
    assert(evict.entries == live);
    assert((int64_t)evict.bytes >= least && (int64_t)evict.bytes <= most);
    cache_evict_check(&evict);
}

static void run(const struct subject *s, uint64_t expected, unsigned steps)
{
    struct cache_evict_owner owner = {.base = (const uint8_t *)places,
                                      .random = &random_numbers,
                                      .sample = owner_sample,
                                      .next_dead = owner_next_dead,
                                      .hash_of = owner_hash,
                                      .odd = mr_random_below(&random_numbers, 2)};
    for (int i = 0; i <= SLOTS; i++)
        places[i].key = -1;
    for (int key = 0; key < KEYS; key++)
        place_of[key] = -1;
    model.count = model.hand = model.ghost_count = live = hits_since_victim = 0;
    const struct cache_evict_policy *policy = cache_evict_find(s->name);
    assert(policy && cache_evict_init(&evict, policy, &owner, expected));
    for (unsigned i = 0; i < steps; i++) {
        step(s);
        check_sums();
    }
    while (live && !is(s, "noeviction"))
        evict_one(s);
    for (int key = 0; key < KEYS; key++)
        if (place_of[key] >= 0)
            leave(s, key, false);
    check_sums();
    assert(!evict.policy->victim(&evict));
    cache_evict_release(&evict);
}

static bool has_model(const char *name)
{
    for (unsigned i = 0; i < sizeof subjects / sizeof *subjects; i++)
        if (!strcmp(subjects[i].name, name))
            return true;
    return false;
}

int main(int argument_count, char **arguments)
{
    mr_random_seed(&random_numbers, support_seed(arguments[0]));
    for (unsigned i = 0; i < sizeof subjects / sizeof *subjects; i++) {
        run(&subjects[i], KEYS * 8, STEPS);
        /* Fewer entries expected than come: ghosts and sketches forget more, nothing breaks. Not victim by victim. */
        struct subject unexpected = subjects[i];
        unexpected.victim = is(&unexpected, "s3fifo") ? NULL : unexpected.victim;
        run(&unexpected, 0, STEPS / 4);
    }
    /* A policy that this file does not know names some entry that is there, and keeps what its check asserts. */
    for (unsigned i = 0; cache_evict_policies[i]; i++)
        if (!has_model(cache_evict_policies[i]->name))
            run(&(struct subject){cache_evict_policies[i]->name, NULL, false}, KEYS * 8, STEPS);
    return 0;
}
