/* LFU with ageing, exact and O(1): 256 lists, one for each value of a logarithmic counter as Redis has it. A hit raises the
 * counter by one with probability 1 / (10 * (counter - 5) + 1); a new entry has 5, so that it is not the first to go.
 *
 *     level:   base   base+1   base+2  ...  base+255        counter = level - base
 *              [..]   [....]   [.]          []
 *
 * All counters fall by one at once when `base` rises: the list of the lowest level is put before the next one's. That
 * happens once a minute, as in Redis, and besides whenever ten times as many entries went as there are: what was popular
 * once must not stay for ever in a cache that turns over faster than the clock. A node whose level is below base counts as
 * 0. */
#include <assert.h>

#include "cache/evict/evict_list.h"
#include "cache/evict/policies.h"

#define LEVELS         256
#define COUNTER_NEW    5
#define COUNTER_FACTOR 10
#define PERIOD_S       60
#define TURNOVERS      10
#define LEVEL_BITS     (32 - EVICT_OWN_SHIFT)
#define LEVEL_MASK     ((UINT32_C(1) << LEVEL_BITS) - 1)

struct lfu {
    uint32_t base;
    uint32_t aged_s;    /* when base rose by the clock */
    uint64_t evictions; /* since base rose */
    uint64_t occupied[LEVELS / 64];
    struct evict_list list[LEVELS]; /* of level l: [l % LEVELS] */
};

static struct lfu *lfu_of(const struct cache_evict *e)
{
    return e->state;
}

static size_t state_bytes(uint64_t entries_expected)
{
    return sizeof(struct lfu);
}

static void init(struct cache_evict *e)
{
    lfu_of(e)->aged_s = e->clock;
}

static uint32_t counter_of(const struct lfu *l, const struct cache_evict_node *n)
{
    uint32_t above = ((n->state >> EVICT_OWN_SHIFT) - l->base) & LEVEL_MASK;
    return above < LEVELS ? above : 0;
}

static uint32_t slot_of(const struct lfu *l, uint32_t counter)
{
    return (l->base + counter) % LEVELS;
}

static void slot_mark(struct lfu *l, uint32_t slot)
{
    uint64_t bit = UINT64_C(1) << slot % 64;
    if (l->list[slot].count)
        l->occupied[slot / 64] |= bit;
    else
        l->occupied[slot / 64] &= ~bit;
}

static void level_add(struct cache_evict *e, struct cache_evict_node *n, uint32_t counter)
{
    struct lfu *l = lfu_of(e);
    uint32_t own = (1u << EVICT_OWN_SHIFT) - 1, slot = slot_of(l, counter);
    n->state = (n->state & own) | (l->base + counter) << EVICT_OWN_SHIFT;
    evict_list_add(e, &l->list[slot], n);
    slot_mark(l, slot);
}

static void level_remove(struct cache_evict *e, struct cache_evict_node *n)
{
    struct lfu *l = lfu_of(e);
    uint32_t slot = slot_of(l, counter_of(l, n));
    evict_list_remove(e, &l->list[slot], n);
    slot_mark(l, slot);
}

static void base_raise(struct cache_evict *e, struct lfu *l, uint32_t by)
{
    for (uint32_t i = 0; i < by && i < LEVELS - 1; i++) {
        uint32_t low = slot_of(l, 0), next = slot_of(l, 1);
        evict_list_append(e, &l->list[low], &l->list[next]);
        l->list[next] = l->list[low];
        l->list[low] = (struct evict_list){0};
        slot_mark(l, low);
        slot_mark(l, next);
        l->base++;
    }
    if (by < LEVELS)
        return;
    /* Everything is in one list now: let it stand where base will be. */
    uint32_t low = slot_of(l, 0), target = (l->base + by - (LEVELS - 1)) % LEVELS;
    struct evict_list all = l->list[low];
    l->list[low] = (struct evict_list){0};
    l->list[target] = all;
    slot_mark(l, low);
    slot_mark(l, target);
    l->base += by - (LEVELS - 1);
}

/* Whole periods since base rose. None, if someone set the clock back. */
static uint32_t periods_since(const struct cache_evict *e, const struct lfu *l)
{
    uint32_t seconds = e->clock - l->aged_s;
    return seconds <= INT32_MAX ? seconds / PERIOD_S : 0;
}

static void age(struct cache_evict *e, struct lfu *l)
{
    uint32_t periods = periods_since(e, l);
    if (e->clock - l->aged_s > INT32_MAX)
        l->aged_s = e->clock;
    if (periods) {
        l->aged_s += periods * PERIOD_S;
        base_raise(e, l, periods);
    }
    if (l->evictions > e->entries * TURNOVERS) {
        l->evictions = 0;
        base_raise(e, l, 1);
    }
}

static void insert(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash, uint32_t bytes)
{
    age(e, lfu_of(e));
    evict_enter(e, n, bytes);
    level_add(e, n, COUNTER_NEW);
}

static void hit(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash)
{
    struct lfu *l = lfu_of(e);
    if (!evict_inserted(n))
        return;
    age(e, l);
    uint32_t counter = counter_of(l, n);
    uint32_t over = counter > COUNTER_NEW ? counter - COUNTER_NEW : 0;
    level_remove(e, n);
    if (counter < LEVELS - 1 && mr_random_below(e->owner.random, over * COUNTER_FACTOR + 1) == 0)
        counter++;
    level_add(e, n, counter);
}

static void leave(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash, bool evicted)
{
    level_remove(e, n);
    lfu_of(e)->evictions += evicted;
    evict_leave(e, n);
    n->state = 0;
}

/* The first level at or above `base` that has entries, as a slot; the bits are a ring. */
static uint32_t lowest(const struct lfu *l)
{
    uint32_t from = l->base % LEVELS;
    uint64_t bits = l->occupied[from / 64] >> from % 64;
    if (bits)
        return from + (uint32_t)__builtin_ctzll(bits);
    for (uint32_t i = 1; i <= LEVELS / 64; i++) {
        uint32_t word = (from / 64 + i) % (LEVELS / 64);
        if (l->occupied[word])
            return word * 64 + (uint32_t)__builtin_ctzll(l->occupied[word]);
    }
    return from;
}

static struct cache_evict_node *victim(struct cache_evict *e)
{
    struct lfu *l = lfu_of(e);
    age(e, l);
    return evict_list_oldest(e, &l->list[lowest(l)]);
}

static void moved(struct cache_evict *e, struct cache_evict_node *from, struct cache_evict_node *to)
{
    struct lfu *l = lfu_of(e);
    evict_list_moved(e, &l->list[slot_of(l, counter_of(l, to))], from, to);
}

/* As OBJECT FREQ shows it, with the minutes that nobody has counted yet. */
static bool frequency(const struct cache_evict *e, const struct cache_evict_node *n, uint32_t *counter)
{
    const struct lfu *l = lfu_of(e);
    uint32_t periods = periods_since(e, l);
    uint32_t now = evict_inserted(n) ? counter_of(l, n) : 0;
    *counter = now > periods ? now - periods : 0;
    return true;
}

static void check_node(const struct cache_evict *e, const struct cache_evict_node *n, uint32_t slot)
{
    assert(slot_of(lfu_of(e), counter_of(lfu_of(e), n)) == slot);
}

static void check(const struct cache_evict *e)
{
    const struct lfu *l = lfu_of(e);
    uint64_t count = 0, bytes = 0;
    for (uint32_t slot = 0; slot < LEVELS; slot++) {
        evict_list_check(e, &l->list[slot], check_node, slot);
        assert((l->occupied[slot / 64] >> slot % 64 & 1) == (l->list[slot].count != 0));
        count += l->list[slot].count;
        bytes += l->list[slot].bytes;
    }
    assert(count == e->entries && bytes == e->bytes);
}

#define LFU                                                                                                    \
    .state_bytes = state_bytes, .init = init, .insert = insert, .hit = hit, .remove = leave, .victim = victim, \
    .moved = moved, .frequency = frequency, .check = check

const struct cache_evict_policy evict_allkeys_lfu = {
    .name = "allkeys-lfu",
    .also = (const char *const[]){"lfu", NULL},
    .sentence = "the key used least often goes, by a logarithmic counter that ages; exact, not sampled",
    LFU,
};

const struct cache_evict_policy evict_volatile_lfu = {
    .name = "volatile-lfu",
    .volatile_only = true,
    .sentence = "LFU among the keys with an expiry",
    LFU,
};
