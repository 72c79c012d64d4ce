/* The optimum of a cache that must take every key it is asked for: Belady, "A study of replacement algorithms for a
 * virtual-storage computer", 1966. The cached keys are in a heap by the time of their next use, the latest on top. */
#include <stdlib.h>

#include "tools/millrace/lab_cache.h"

#define NEVER   UINT32_MAX
#define NOWHERE UINT32_MAX

struct heap {
    uint32_t count;
    uint32_t *keys;  /* a heap */
    uint32_t *place; /* of a key in it, or NOWHERE */
    uint32_t *when;  /* a key's next use */
};

static void put(struct heap *h, uint32_t at, uint32_t key)
{
    h->keys[at] = key;
    h->place[key] = at;
}

static void sift_up(struct heap *h, uint32_t at, uint32_t key)
{
    for (uint32_t parent; at && h->when[h->keys[parent = (at - 1) / 2]] < h->when[key]; at = parent)
        put(h, at, h->keys[parent]);
    put(h, at, key);
}

static void sift_down(struct heap *h, uint32_t at, uint32_t key)
{
    for (uint64_t child; (child = 2 * (uint64_t)at + 1) < h->count; at = (uint32_t)child) {
        if (child + 1 < h->count && h->when[h->keys[child + 1]] > h->when[h->keys[child]])
            child++;
        if (h->when[h->keys[child]] <= h->when[key])
            break;
        put(h, at, h->keys[child]);
    }
    put(h, at, key);
}

static void drop_latest(struct heap *h)
{
    h->place[h->keys[0]] = NOWHERE;
    if (--h->count)
        sift_down(h, 0, h->keys[h->count]);
}

/* next[i]: when the key of request i is asked for again. `last` is scratch, a word a key. */
static void find_next_uses(const struct lab_trace *t, uint32_t *next, uint32_t *last)
{
    for (uint32_t k = 0; k < t->universe; k++)
        last[k] = NEVER;
    for (uint64_t i = t->requests; i-- > 0;) {
        next[i] = last[t->keys[i]];
        last[t->keys[i]] = (uint32_t)i;
    }
}

static uint64_t run(const struct lab_trace *t, uint64_t entries, const uint32_t *next, struct heap *h)
{
    uint64_t hits = 0;
    for (uint32_t k = 0; k < t->universe; k++)
        h->place[k] = NOWHERE;
    for (uint64_t i = 0; i < t->requests; i++) {
        uint32_t key = t->keys[i];
        h->when[key] = next[i]; /* later than what it was: up */
        if (h->place[key] != NOWHERE) {
            hits++;
            sift_up(h, h->place[key], key);
            continue;
        }
        if (h->count == entries)
            drop_latest(h);
        sift_up(h, h->count++, key);
    }
    return hits;
}

bool lab_belady_hits(const struct lab_trace *t, uint64_t entries, uint64_t *hits)
{
    uint32_t room = entries < t->universe ? (uint32_t)entries : t->universe;
    uint32_t *next = malloc(t->requests * sizeof *next);
    struct heap h = {0, malloc(room * sizeof *h.keys), malloc(t->universe * sizeof *h.place),
                     malloc(t->universe * sizeof *h.when)};
    bool good = next && h.keys && h.place && h.when;
    if (good) {
        find_next_uses(t, next, h.when);
        *hits = run(t, entries, next, &h);
    }
    free(next);
    free(h.keys);
    free(h.place);
    free(h.when);
    return good;
}
