/* Choosing elements at random, each choice as likely as any other. */
#ifndef SERVICES_CACHE_SAMPLE_H
#define SERVICES_CACHE_SAMPLE_H

#include <millrace/random.h>

#include "cache/store/table.h"

/* `wanted` of `left` in one pass over all of them (Knuth, TAOCP 2, 3.4.2, algorithm S): ask once for each. */
struct cache_sample {
    uint64_t left, wanted;
};

static inline bool cache_sample_take(struct cache_sample *s, struct mr_random *random)
{
    uint64_t drawn = (uint64_t)(((unsigned __int128)mr_random_next(random) * s->left--) >> 64);
    if (drawn >= s->wanted)
        return false;
    s->wanted--;
    return true;
}

#define CACHE_SAMPLE_MAX 512

/* Whether `n` different items are better drawn than found by a pass over all. */
static inline bool cache_sample_sparse(const struct cache_table *t, uint64_t n)
{
    return n <= CACHE_SAMPLE_MAX && n <= t->count / 3;
}
/* Draws `n` different items; cache_sample_sparse. */
void cache_sample_table(const struct cache_table *t, struct mr_random *random, unsigned n,
                        void (*each)(void *item, void *argument), void *argument);

#endif
