/* S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction", SOSP 2023), the default.
 *
 *     insert --> [ small, 10 % ] --- hit twice ---> [ main, 90 % ] <--.
 *                      |                               |     `--------' hit since: again, with one hit less
 *                      v not hit twice                 v not hit
 *                 ghost: fingerprints of as many keys as main holds; a key found there on insert starts in main
 *
 * Most keys are asked for once: they pass through the small queue and never push anything out of main. Counts of the paper,
 * which has objects of one size, are bytes here, but for the ghost's. Apart from the paper: a queue out of looks
 * (evict_node.h) gives its oldest entry, whatever its hits. */
#include <assert.h>

#include "cache/evict/evict_ghost.h"
#include "cache/evict/evict_list.h"
#include "cache/evict/policies.h"

#define HITS         3u /* 0 .. 3, then it stays */
#define MAIN         4u
#define HITS_TO_STAY 2u
#define SMALL_SHARE  10 /* one part in */

struct s3fifo {
    struct evict_list small, main;
    uint32_t looks;
    struct evict_ghost ghost; /* last: its table follows */
};

static struct s3fifo *s3fifo_of(const struct cache_evict *e)
{
    return e->state;
}

static struct evict_list *queue_of(struct s3fifo *s, const struct cache_evict_node *n)
{
    return evict_flags(n) & MAIN ? &s->main : &s->small;
}

static size_t state_bytes(uint64_t entries_expected)
{
    return sizeof(struct s3fifo) + evict_ghost_bytes(entries_expected);
}

static void init(struct cache_evict *e)
{
    struct s3fifo *s = s3fifo_of(e);
    s->looks = EVICT_LOOKS_SAVED;
    evict_ghost_init(&s->ghost, e->entries_expected);
}

static void insert(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash, uint32_t bytes)
{
    struct s3fifo *s = s3fifo_of(e);
    uint64_t ghosts = e->entries - e->entries / SMALL_SHARE;
    evict_enter(e, n, bytes);
    if (evict_ghost_take(&s->ghost, hash, ghosts))
        evict_set_flags(n, MAIN);
    evict_list_add(e, queue_of(s, n), n);
}

static void hit(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash)
{
    evict_touch(e, n);
    if (evict_inserted(n) && (evict_flags(n) & HITS) < HITS)
        evict_set_flags(n, evict_flags(n) + 1);
}

static void leave(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash, bool evicted)
{
    struct s3fifo *s = s3fifo_of(e);
    if (evicted && !(evict_flags(n) & MAIN))
        evict_ghost_add(&s->ghost, hash);
    evict_list_remove(e, queue_of(s, n), n);
    evict_leave(e, n);
}

/* Its oldest entry has earned to stay: the small queue's in main, main's for another round. */
static void keep(struct cache_evict *e, struct s3fifo *s, struct cache_evict_node *n)
{
    if (evict_flags(n) & MAIN) {
        evict_set_flags(n, evict_flags(n) - 1);
        evict_list_renew(e, &s->main, n);
    } else {
        evict_list_remove(e, &s->small, n);
        evict_set_flags(n, MAIN);
        evict_list_add(e, &s->main, n);
    }
}

static struct cache_evict_node *victim(struct cache_evict *e)
{
    struct s3fifo *s = s3fifo_of(e);
    if (!e->entries)
        return NULL;
    evict_looks_earn(&s->looks);
    for (;;) {
        bool small = s->small.count && (s->small.bytes * SMALL_SHARE >= e->bytes || !s->main.count);
        struct cache_evict_node *n = evict_list_oldest(e, small ? &s->small : &s->main);
        if ((evict_flags(n) & HITS) < (small ? HITS_TO_STAY : 1))
            return n;
        if (!evict_look(e, &s->looks)) {
            evict_set_flags(n, evict_flags(n) & MAIN);
            return n;
        }
        keep(e, s, n);
    }
}

static void moved(struct cache_evict *e, struct cache_evict_node *from, struct cache_evict_node *to)
{
    evict_list_moved(e, queue_of(s3fifo_of(e), to), from, to);
}

static void check_node(const struct cache_evict *e, const struct cache_evict_node *n, uint32_t queue)
{
    assert((evict_flags(n) & MAIN) == queue);
}

static void check(const struct cache_evict *e)
{
    const struct s3fifo *s = s3fifo_of(e);
    evict_list_check(e, &s->small, check_node, 0);
    evict_list_check(e, &s->main, check_node, MAIN);
    assert(s->small.count + s->main.count == e->entries);
    assert(s->small.bytes + s->main.bytes == e->bytes);
    assert(s->looks <= EVICT_LOOKS_SAVED);
}

#define S3FIFO                                                                                                 \
    .state_bytes = state_bytes, .init = init, .insert = insert, .hit = hit, .remove = leave, .victim = victim, \
    .moved = moved, .idle = evict_idle_by_clock, .check = check

const struct cache_evict_policy evict_allkeys_s3fifo = {
    .name = "allkeys-s3fifo",
    .also = (const char *const[]){"s3fifo", "s3-fifo", NULL},
    .sentence =
        "new keys pass a small queue and must be used twice there to stay; a queue of ghosts remembers those that "
        "went too early (S3-FIFO, SOSP 2023)",
    S3FIFO,
};

const struct cache_evict_policy evict_volatile_s3fifo = {
    .name = "volatile-s3fifo",
    .volatile_only = true,
    .sentence = "S3-FIFO among the keys with an expiry",
    S3FIFO,
};
