/* See sample.h. */
#include "cache/type/sample.h"

#include <assert.h>

#define SLOTS (2 * CACHE_SAMPLE_MAX) /* a power of two; at most half full */

/* False: it was drawn before. */
static bool remember(void *drawn[SLOTS], void *item)
{
    size_t at = (size_t)((uintptr_t)item * UINT64_C(0x9e3779b97f4a7c15) >> 32) % SLOTS;
    for (; drawn[at]; at = (at + 1) % SLOTS)
        if (drawn[at] == item)
            return false;
    drawn[at] = item;
    return true;
}

void cache_sample_table(const struct cache_table *t, struct mr_random *random, unsigned n,
                        void (*each)(void *item, void *argument), void *argument)
{
    assert(cache_sample_sparse(t, n));
    void *drawn[SLOTS] = {NULL};
    while (n) {
        void *item = cache_table_random(t, random);
        if (!remember(drawn, item))
            continue;
        each(item, argument);
        n--;
    }
}
