/* Small collections in one allocation; see compact.h for the layout.
 *
 * A length is written in as few bytes as it needs, in front of the element's bytes and, mirrored, behind them, so that
 * the byte next to the boundary tells the form from either side:
 *
 *     0xxxxxxx                              up to 127
 *     10xxxxxx xxxxxxxx                     up to 16,383
 *     11xxxxxx xxxxxxxx xxxxxxxx xxxxxxxx   up to 2^30 - 1 (an allocation ends before)
 *
 * Offsets count from the begin of the structure, so that no element has offset 0. */
#include "cache/type/compact.h"

#include <assert.h>
#include <string.h>

#define HEADER sizeof(struct cache_compact)

static unsigned length_bytes(size_t n)
{
    return n < 1u << 7 ? 1 : n < 1u << 14 ? 2 : 4;
}

/* Most significant byte first: forwards at `to`, mirrored when `step` is -1 and `to` is the last byte. */
static void length_write(uint8_t *to, int step, size_t n)
{
    switch (length_bytes(n)) {
    case 1:
        to[0] = (uint8_t)n;
        break;
    case 2:
        to[0] = (uint8_t)(0x80 | n >> 8);
        to[step] = (uint8_t)n;
        break;
    default:
        to[0] = (uint8_t)(0xc0 | n >> 24);
        to[step] = (uint8_t)(n >> 16);
        to[2 * step] = (uint8_t)(n >> 8);
        to[3 * step] = (uint8_t)n;
    }
}

static size_t length_read(const uint8_t *from, int step)
{
    if (from[0] < 0x80)
        return from[0];
    if (from[0] < 0xc0)
        return (size_t)(from[0] & 0x3f) << 8 | from[step];
    return (size_t)(from[0] & 0x3f) << 24 | (size_t)from[step] << 16 | (size_t)from[2 * step] << 8 | from[3 * step];
}

static const uint8_t *byte_at(const struct cache_compact *c, uint32_t at)
{
    return (const uint8_t *)c + at;
}

/* The offset behind the element at `at`; `used` behind the last. */
static uint32_t element_end(const struct cache_compact *c, uint32_t at)
{
    assert(at >= HEADER && at < c->used);
    return at + (uint32_t)cache_compact_element_bytes(length_read(byte_at(c, at), 1));
}

size_t cache_compact_element_bytes(size_t n)
{
    return n + 2 * length_bytes(n);
}

/* All of the slot that `bytes` will be counted as: growth within it is free. */
static uint32_t capacity_for(size_t bytes)
{
    size_t cost = memory_cost(bytes);
    return (uint32_t)(cost < MEMORY_LARGEST ? cost : MEMORY_LARGEST);
}

struct cache_compact *cache_compact_create(struct memory *m, size_t bytes_expected)
{
    if (bytes_expected > MEMORY_LARGEST - HEADER)
        bytes_expected = MEMORY_LARGEST - HEADER;
    uint32_t capacity = capacity_for(HEADER + bytes_expected);
    struct cache_compact *c = memory_alloc(m, capacity);
    if (c)
        *c = (struct cache_compact){.used = HEADER, .capacity = capacity};
    return c;
}

void cache_compact_free(struct memory *m, struct cache_compact *c)
{
    memory_free(m, c, c->capacity);
}

void cache_compact_copy(struct cache_compact *to, const struct cache_compact *from)
{
    assert(from->used <= to->capacity);
    memcpy(to->bytes, from->bytes, from->used - HEADER);
    to->used = from->used;
    to->count = from->count;
}

uint32_t cache_compact_first(const struct cache_compact *c)
{
    return c->count ? HEADER : 0;
}

uint32_t cache_compact_last(const struct cache_compact *c)
{
    return c->count ? cache_compact_previous(c, c->used) : 0;
}

uint32_t cache_compact_next(const struct cache_compact *c, uint32_t at)
{
    uint32_t next = element_end(c, at);
    return next < c->used ? next : 0;
}

uint32_t cache_compact_previous(const struct cache_compact *c, uint32_t at)
{
    assert(at >= HEADER && at <= c->used);
    if (at == HEADER)
        return 0;
    return at - (uint32_t)cache_compact_element_bytes(length_read(byte_at(c, at - 1), -1));
}

uint32_t cache_compact_index(const struct cache_compact *c, int64_t index)
{
    int64_t count = c->count;
    if (index < 0)
        index += count;
    if (index < 0 || index >= count)
        return 0;

    if (index <= count / 2) {
        uint32_t at = cache_compact_first(c);
        while (index-- > 0)
            at = element_end(c, at);
        return at;
    }
    uint32_t at = c->used;
    while (index++ < count)
        at = cache_compact_previous(c, at);
    return at;
}

struct mr_span cache_compact_get(const struct cache_compact *c, uint32_t at)
{
    assert(at >= HEADER && at < c->used);
    size_t n = length_read(byte_at(c, at), 1);
    return (struct mr_span){byte_at(c, at + length_bytes(n)), n};
}

/* Walks by itself: what a small hash or a sorted set costs is this loop. */
uint32_t cache_compact_find(const struct cache_compact *c, uint32_t at, unsigned step, const void *data, size_t n)
{
    const uint8_t *p = byte_at(c, at), *end = byte_at(c, c->used);
    unsigned skip = 0;
    if (!at)
        return 0;
    while (p < end) {
        size_t length = *p < 0x80 ? *p : length_read(p, 1);
        unsigned prefix = *p < 0x80 ? 1 : length_bytes(length);
        if (!skip && length == n && (!n || memcmp(p + prefix, data, n) == 0))
            return (uint32_t)(p - (const uint8_t *)c);
        skip = skip ? skip - 1 : step - 1;
        p += length + 2 * prefix;
    }
    return 0;
}

/* Makes `used` differ by new_bytes - old_bytes at `at`: what lies behind old_bytes moves. False: no memory. */
static bool gap_change(struct memory *m, struct cache_compact **c, uint32_t at, size_t old_bytes, size_t new_bytes)
{
    size_t used = (*c)->used - old_bytes + new_bytes;
    if (used > (*c)->capacity) {
        if (used > MEMORY_LARGEST)
            return false;
        uint32_t capacity = capacity_for(used);
        struct cache_compact *grown = memory_resize(m, *c, (*c)->capacity, capacity);
        if (!grown)
            return false;
        grown->capacity = capacity;
        *c = grown;
    }
    uint8_t *gap = (uint8_t *)*c + at;
    memmove(gap + new_bytes, gap + old_bytes, (*c)->used - at - old_bytes);
    (*c)->used = (uint32_t)used;
    return true;
}

/* Half unused or more: into a smaller slot, if there is one to be had. */
static void shrink(struct memory *m, struct cache_compact **c)
{
    uint32_t capacity = capacity_for((*c)->used);
    if (capacity > (*c)->capacity / 2)
        return;
    struct cache_compact *small = memory_resize(m, *c, (*c)->capacity, capacity);
    if (!small)
        return;
    small->capacity = capacity;
    *c = small;
}

static void element_write(struct cache_compact *c, uint32_t at, const void *data, size_t n)
{
    uint8_t *to = (uint8_t *)c + at;
    unsigned prefix = length_bytes(n);
    length_write(to, 1, n);
    if (n)
        memcpy(to + prefix, data, n);
    length_write(to + cache_compact_element_bytes(n) - 1, -1, n);
}

bool cache_compact_insert(struct memory *m, struct cache_compact **c, uint32_t at, const void *data, size_t n)
{
    if (n > MEMORY_LARGEST)
        return false;
    if (!at)
        at = (*c)->used;
    assert(at >= HEADER && at <= (*c)->used);
    if (!gap_change(m, c, at, 0, cache_compact_element_bytes(n)))
        return false;
    element_write(*c, at, data, n);
    (*c)->count++;
    return true;
}

bool cache_compact_replace(struct memory *m, struct cache_compact **c, uint32_t at, const void *data, size_t n)
{
    if (n > MEMORY_LARGEST)
        return false;
    if (!gap_change(m, c, at, element_end(*c, at) - at, cache_compact_element_bytes(n)))
        return false;
    element_write(*c, at, data, n);
    shrink(m, c);
    return true;
}

uint32_t cache_compact_erase(struct memory *m, struct cache_compact **c, uint32_t at, unsigned elements)
{
    uint32_t end = at;
    unsigned erased = 0;
    for (; erased < elements && end < (*c)->used; erased++)
        end = element_end(*c, end);
    (*c)->count -= erased;
    (void)gap_change(m, c, at, end - at, 0); /* shrinks: cannot fail */
    shrink(m, c);
    return at < (*c)->used ? at : 0;
}
