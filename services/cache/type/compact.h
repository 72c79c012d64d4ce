/* A small collection in one allocation: elements back to back, walked in both directions. Lists use it as a node, hashes and
 * sorted sets as pairs, until they outgrow their limits.
 *
 *     | bytes used 4 | count 4 | element: length (1, 2 or 4 bytes), bytes, length again backwards | ...
 *
 * Changing may move it: functions that can take struct cache_compact ** and leave it as it was when memory is short. An
 * element is named by its offset, which is good until the next change; 0 is none. */
#ifndef SERVICES_CACHE_COMPACT_H
#define SERVICES_CACHE_COMPACT_H

#include <millrace/types.h>

#include "memory/memory.h"

struct cache_compact {
    uint32_t used;     /* bytes, header included */
    uint32_t capacity; /* bytes allocated */
    uint32_t count;    /* elements */
    uint8_t bytes[];
};

struct cache_compact *cache_compact_create(struct memory *m, size_t bytes_expected); /* NULL: no memory */
void cache_compact_free(struct memory *m, struct cache_compact *c);
/* Into `to`, which was created with room for it and is empty. */
void cache_compact_copy(struct cache_compact *to, const struct cache_compact *from);
size_t cache_compact_element_bytes(size_t n); /* that an element of `n` bytes takes */

uint32_t cache_compact_first(const struct cache_compact *c);
uint32_t cache_compact_last(const struct cache_compact *c);
uint32_t cache_compact_next(const struct cache_compact *c, uint32_t at);
uint32_t cache_compact_previous(const struct cache_compact *c, uint32_t at);
uint32_t cache_compact_index(const struct cache_compact *c,
                             int64_t index); /* negative: from the end; 0: out of range */
struct mr_span cache_compact_get(const struct cache_compact *c, uint32_t at);
/* From `at` on, every `step`-th element (2: keys of pairs); 0: not there. */
uint32_t cache_compact_find(const struct cache_compact *c, uint32_t at, unsigned step, const void *data, size_t n);

/* Before the element at `at`; 0: at the end. */
bool cache_compact_insert(struct memory *m, struct cache_compact **c, uint32_t at, const void *data, size_t n);
bool cache_compact_replace(struct memory *m, struct cache_compact **c, uint32_t at, const void *data, size_t n);
/* Returns where the element after the erased ones is now; 0: the end. Gives memory back when much is unused. */
uint32_t cache_compact_erase(struct memory *m, struct cache_compact **c, uint32_t at, unsigned elements);

#endif
