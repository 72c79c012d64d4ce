/* W-TinyLFU (Einziger, Friedman, Manes: "TinyLFU: A Highly Efficient Cache Admission Policy", ACM TOS 2017): a small LRU
 * window that takes every new entry, and a segmented LRU behind a gate. What falls out of the window competes with main's
 * next victim: the sketch says who was asked for more often lately, and the other one goes.
 *
 *     insert --> [ window, 1 % ] --> candidate >?< victim <-- [ probation | protected, 80 % of main ]
 *                                                                  `-- hit --^      |
 *                                                                  ^-- overflow ----'
 *
 * Shares are of bytes. The window's size is fixed: it does not adapt to the trace, and there is no doorkeeper before the
 * sketch. */
#include <assert.h>

#include "cache/evict/evict_list.h"
#include "cache/evict/evict_sketch.h"
#include "cache/evict/policies.h"

#define WINDOW_SHARE      100 /* one part in */
#define PROTECTED_PERCENT 80  /* of main */
#define SAMPLE            10  /* records an entry, until the sketch is halved */
#define SAMPLE_MIN        64
#define OVERFLOW_STEPS    4 /* entries pushed on by one that comes: they may be smaller */
/* Someone who knows the hash can make worthless entries look popular. Now and then a candidate that is asked for wins
 * whatever its rival's estimate, so that such entries do not stay. As Caffeine does. */
#define CHANCE_ESTIMATE 6
#define CHANCE          128

enum segment { WINDOW, PROBATION, PROTECTED, SEGMENTS };

struct tinylfu {
    struct evict_list segment[SEGMENTS];
    memory_link candidate; /* fell out of the window last, and has not been judged; in probation. 0: none */
    memory_link named;     /* the last victim, as long as it was neither removed nor hit. 0: none */
    struct evict_sketch sketch;
};

static struct tinylfu *tinylfu_of(const struct cache_evict *e)
{
    return e->state;
}

static size_t state_bytes(uint64_t entries_expected)
{
    return sizeof(struct tinylfu) + evict_sketch_bytes(entries_expected);
}

static void init(struct cache_evict *e)
{
    struct tinylfu *t = tinylfu_of(e);
    evict_sketch_init(&t->sketch, t + 1, e->entries_expected);
}

/* A cache of more entries than the sketch was made for ages faster: else all of its counters would be full. */
static void record(struct cache_evict *e, struct tinylfu *t, uint64_t hash)
{
    uint64_t room = (t->sketch.block_mask + 1) * 8, entries = e->entries < room ? e->entries : room;
    evict_sketch_record(&t->sketch, hash, entries * SAMPLE < SAMPLE_MIN ? SAMPLE_MIN : entries * SAMPLE);
}

static void take_out(struct cache_evict *e, struct tinylfu *t, struct cache_evict_node *n)
{
    memory_link link = memory_link_pack(e->owner.base, n);
    if (t->candidate == link)
        t->candidate = 0;
    if (t->named == link)
        t->named = 0;
    evict_list_remove(e, &t->segment[evict_flags(n)], n);
}

static void put_in(struct cache_evict *e, struct tinylfu *t, struct cache_evict_node *n, enum segment to)
{
    evict_set_flags(n, to);
    evict_list_add(e, &t->segment[to], n);
}

static void window_overflow(struct cache_evict *e, struct tinylfu *t)
{
    struct evict_list *window = &t->segment[WINDOW];
    for (int i = 0; i < OVERFLOW_STEPS && window->count > 1 && window->bytes * WINDOW_SHARE > e->bytes; i++) {
        struct cache_evict_node *n = evict_list_oldest(e, window);
        take_out(e, t, n);
        put_in(e, t, n, PROBATION);
        t->candidate = memory_link_pack(e->owner.base, n);
    }
}

static void insert(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash, uint32_t bytes)
{
    struct tinylfu *t = tinylfu_of(e);
    evict_enter(e, n, bytes);
    record(e, t, hash);
    put_in(e, t, n, WINDOW);
    window_overflow(e, t);
}

static void protected_overflow(struct cache_evict *e, struct tinylfu *t)
{
    struct evict_list *kept = &t->segment[PROTECTED];
    uint64_t main_bytes = kept->bytes + t->segment[PROBATION].bytes;
    for (int i = 0; i < OVERFLOW_STEPS && kept->count > 1 && kept->bytes * 100 > main_bytes * PROTECTED_PERCENT; i++) {
        struct cache_evict_node *n = evict_list_oldest(e, kept);
        take_out(e, t, n);
        put_in(e, t, n, PROBATION);
    }
}

static void hit(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash)
{
    struct tinylfu *t = tinylfu_of(e);
    evict_touch(e, n);
    if (!evict_inserted(n))
        return;
    record(e, t, hash);
    enum segment from = evict_flags(n);
    take_out(e, t, n);
    put_in(e, t, n, from == PROBATION ? PROTECTED : from);
    protected_overflow(e, t);
}

static void leave(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash, bool evicted)
{
    take_out(e, tinylfu_of(e), n);
    evict_leave(e, n);
}

static uint32_t estimate(const struct cache_evict *e, const struct cache_evict_node *n)
{
    return evict_sketch_estimate(&tinylfu_of(e)->sketch, e->owner.hash_of(e->owner.owner, n));
}

static bool candidate_wins(struct cache_evict *e, const struct cache_evict_node *candidate,
                           const struct cache_evict_node *rival)
{
    uint32_t mine = estimate(e, candidate), theirs = estimate(e, rival);
    return mine > theirs || (mine >= CHANCE_ESTIMATE && mr_random_below(e->owner.random, CHANCE) == 0);
}

/* The next to go if there were no candidate: of probation, else protected, else the window. */
static struct cache_evict_node *rival_of(const struct cache_evict *e, const struct tinylfu *t,
                                         const struct cache_evict_node *candidate)
{
    static const enum segment order[] = {PROBATION, PROTECTED, WINDOW};
    for (unsigned i = 0; i < SEGMENTS; i++) {
        struct cache_evict_node *n = evict_list_oldest(e, &t->segment[order[i]]);
        if (n && n == candidate)
            n = evict_node_at(e, n->newer);
        if (n && (order[i] != WINDOW || !candidate))
            return n;
    }
    return NULL;
}

static struct cache_evict_node *judge(struct cache_evict *e, struct tinylfu *t)
{
    struct cache_evict_node *candidate = evict_node_at(e, t->candidate), *rival = rival_of(e, t, candidate);
    t->candidate = 0;
    return candidate && !(rival && candidate_wins(e, candidate, rival)) ? candidate : rival;
}

/* A candidate is judged once: asked again, the same entry goes, as long as nothing happens to it. */
static struct cache_evict_node *victim(struct cache_evict *e)
{
    struct tinylfu *t = tinylfu_of(e);
    if (!t->named)
        t->named = memory_link_pack(e->owner.base, judge(e, t));
    return evict_node_at(e, t->named);
}

static void moved(struct cache_evict *e, struct cache_evict_node *from, struct cache_evict_node *to)
{
    struct tinylfu *t = tinylfu_of(e);
    memory_link old = memory_link_pack(e->owner.base, from), now = memory_link_pack(e->owner.base, to);
    if (t->candidate == old)
        t->candidate = now;
    if (t->named == old)
        t->named = now;
    evict_list_moved(e, &t->segment[evict_flags(to)], from, to);
}

static bool frequency(const struct cache_evict *e, const struct cache_evict_node *n, uint32_t *counter)
{
    *counter = estimate(e, n);
    return true;
}

static void check_node(const struct cache_evict *e, const struct cache_evict_node *n, uint32_t segment)
{
    assert(evict_flags(n) == segment);
}

static void check(const struct cache_evict *e)
{
    const struct tinylfu *t = tinylfu_of(e);
    uint64_t count = 0, bytes = 0;
    for (unsigned i = 0; i < SEGMENTS; i++) {
        evict_list_check(e, &t->segment[i], check_node, i);
        count += t->segment[i].count;
        bytes += t->segment[i].bytes;
    }
    assert(count == e->entries && bytes == e->bytes);
    const struct cache_evict_node *candidate = evict_node_at(e, t->candidate), *named = evict_node_at(e, t->named);
    assert(!candidate || (cache_evict_holds(e, candidate) && evict_flags(candidate) == PROBATION));
    assert(!named || cache_evict_holds(e, named));
    assert(t->sketch.halving <= t->sketch.block_mask + 1);
}

#define TINYLFU                                                                                                \
    .state_bytes = state_bytes, .init = init, .insert = insert, .hit = hit, .remove = leave, .victim = victim, \
    .moved = moved, .idle = evict_idle_by_clock, .frequency = frequency, .check = check

const struct cache_evict_policy evict_allkeys_tinylfu = {
    .name = "allkeys-tinylfu",
    .also = (const char *const[]){"tinylfu", "w-tinylfu", NULL},
    .sentence =
        "a new key stays only if a sketch of the last accesses says that it is used more often than the one that "
        "would go for it (W-TinyLFU, ACM TOS 2017)",
    TINYLFU,
};

const struct cache_evict_policy evict_volatile_tinylfu = {
    .name = "volatile-tinylfu",
    .volatile_only = true,
    .sentence = "W-TinyLFU among the keys with an expiry",
    TINYLFU,
};
