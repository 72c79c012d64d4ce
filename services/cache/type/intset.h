/* Integers in ascending order, each once, in the width that the largest of them needs: found by halving, at an eighth of what
 * a table takes. */
#ifndef SERVICES_CACHE_INTSET_H
#define SERVICES_CACHE_INTSET_H

#include <millrace/types.h>

#include "memory/memory.h"

struct cache_intset {
    uint32_t count;
    uint32_t capacity; /* bytes allocated */
    uint32_t width;    /* bytes of an integer: 2, 4 or 8; grows, never shrinks */
    uint32_t reserved;
    uint8_t bytes[];
};

struct cache_intset *cache_intset_create(struct memory *m); /* NULL: no memory */
void cache_intset_free(struct memory *m, struct cache_intset *set);
/* Bytes that a set of `count` integers of `width` takes in memory. */
uint64_t cache_intset_cost(uint64_t count, unsigned width);
unsigned cache_intset_width(int64_t value);

int64_t cache_intset_get(const struct cache_intset *set, uint32_t index); /* in ascending order; index < count */
/* Where it is, or, when it is not there (false), where it would be inserted. */
bool cache_intset_find(const struct cache_intset *set, int64_t value, uint32_t *index);
/* `value` must not be there. False: no memory, or it would be larger than an allocation; nothing changed. */
bool cache_intset_insert(struct memory *m, struct cache_intset **set, int64_t value);
void cache_intset_erase(struct memory *m, struct cache_intset **set, uint32_t index);

#endif
