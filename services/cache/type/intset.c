/* See intset.h. */
#include "cache/type/intset.h"

#include <assert.h>
#include <string.h>

#define HEADER sizeof(struct cache_intset)

unsigned cache_intset_width(int64_t value)
{
    return value == (int16_t)value ? 2 : value == (int32_t)value ? 4 : 8;
}

/* All of the slot that is paid for. */
static uint32_t capacity_for(uint64_t count, unsigned width)
{
    size_t cost = memory_cost(HEADER + count * width);
    return (uint32_t)(cost < MEMORY_LARGEST ? cost : MEMORY_LARGEST);
}

uint64_t cache_intset_cost(uint64_t count, unsigned width)
{
    return HEADER + count * width < MEMORY_LARGEST ? memory_cost(HEADER + count * width) : memory_cost(MEMORY_LARGEST);
}

struct cache_intset *cache_intset_create(struct memory *m)
{
    uint32_t capacity = capacity_for(1, 2);
    struct cache_intset *set = memory_alloc(m, capacity);
    if (set)
        *set = (struct cache_intset){.capacity = capacity, .width = 2};
    return set;
}

void cache_intset_free(struct memory *m, struct cache_intset *set)
{
    memory_free(m, set, set->capacity);
}

static int64_t value_at(const struct cache_intset *set, uint32_t index, unsigned width)
{
    switch (width) {
    case 2:
        return ((const int16_t *)(const void *)set->bytes)[index];
    case 4:
        return ((const int32_t *)(const void *)set->bytes)[index];
    default:
        return ((const int64_t *)(const void *)set->bytes)[index];
    }
}

static void value_set(struct cache_intset *set, uint32_t index, int64_t value)
{
    switch (set->width) {
    case 2:
        ((int16_t *)(void *)set->bytes)[index] = (int16_t)value;
        break;
    case 4:
        ((int32_t *)(void *)set->bytes)[index] = (int32_t)value;
        break;
    default:
        ((int64_t *)(void *)set->bytes)[index] = value;
    }
}

int64_t cache_intset_get(const struct cache_intset *set, uint32_t index)
{
    assert(index < set->count);
    return value_at(set, index, set->width);
}

bool cache_intset_find(const struct cache_intset *set, int64_t value, uint32_t *index)
{
    uint32_t low = 0, high = set->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (value_at(set, middle, set->width) < value)
            low = middle + 1;
        else
            high = middle;
    }
    *index = low;
    return low < set->count && value_at(set, low, set->width) == value;
}

/* Room for `count` integers of `width`. False: there is none. */
static bool intset_resize(struct memory *m, struct cache_intset **set, uint64_t count, unsigned width)
{
    if (HEADER + count * width > MEMORY_LARGEST)
        return false;
    uint32_t capacity = capacity_for(count, width);
    if (capacity == (*set)->capacity)
        return true;
    struct cache_intset *resized = memory_resize(m, *set, (*set)->capacity, capacity);
    if (!resized)
        return false;
    resized->capacity = capacity;
    *set = resized;
    return true;
}

/* From the last to the first, as each needs more room than it had. */
static void widen(struct cache_intset *set, unsigned width)
{
    unsigned narrow = set->width;
    set->width = width;
    for (uint32_t i = set->count; i-- > 0;)
        value_set(set, i, value_at(set, i, narrow));
}

bool cache_intset_insert(struct memory *m, struct cache_intset **set, int64_t value)
{
    uint32_t index;
    bool found = cache_intset_find(*set, value, &index);
    assert(!found);
    (void)found;
    unsigned width = cache_intset_width(value);
    if (width < (*set)->width)
        width = (*set)->width;
    if (!intset_resize(m, set, (uint64_t)(*set)->count + 1, width))
        return false;

    struct cache_intset *s = *set;
    if (width > s->width)
        widen(s, width);
    uint8_t *at = s->bytes + (size_t)index * width;
    memmove(at + width, at, (size_t)(s->count - index) * width);
    s->count++;
    value_set(s, index, value);
    return true;
}

void cache_intset_erase(struct memory *m, struct cache_intset **set, uint32_t index)
{
    struct cache_intset *s = *set;
    assert(index < s->count);
    uint8_t *at = s->bytes + (size_t)index * s->width;
    memmove(at, at + s->width, (size_t)(s->count - index - 1) * s->width);
    s->count--;
    if (capacity_for(s->count, s->width) <= s->capacity / 2)
        (void)intset_resize(m, set, s->count, s->width); /* smaller; where there is no other slot it stays */
}
