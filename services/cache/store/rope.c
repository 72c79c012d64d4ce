/* All extents but the last are full and of the largest size, so that an offset is found by a division. The last one is as
 * large as the append that began it wanted and doubles as others add to it; likewise the blocks that name the extents.
 * Appending byte by byte so copies each byte some two times. */
#include "cache/store/rope.h"

#include <assert.h>
#include <string.h>

#define EXTENT_BYTES       CACHE_EXTENT_BYTES
#define EXTENTS_MAX        (CACHE_ROPE_BLOCK * CACHE_ROPE_BLOCKS)
#define BLOCK_CAPACITY_MIN 4
_Static_assert(EXTENTS_MAX *EXTENT_BYTES >= CACHE_VALUE_MAX, "the largest value fits");
_Static_assert(CACHE_ROPE_BLOCK * sizeof(struct cache_extent *) <= MEMORY_LARGEST, "a block is one allocation");

struct cache_extent *cache_extent_create(struct memory *m, size_t bytes)
{
    struct cache_extent *x = memory_alloc(m, sizeof *x + bytes);
    if (x)
        *x = (struct cache_extent){.references = 1, .length = (uint32_t)bytes, .memory = m};
    return x;
}

void cache_extent_drop(struct cache_extent *x)
{
    assert(x->references > 0);
    if (--x->references == 0)
        memory_free(x->memory, x, sizeof *x + x->length);
}

size_t cache_extent_cost(size_t bytes)
{
    return memory_cost(sizeof(struct cache_extent) + bytes);
}

static size_t block_bytes(uint64_t capacity)
{
    return capacity * sizeof(struct cache_extent *);
}

static uint64_t block_cost(uint64_t capacity)
{
    return capacity ? memory_cost(block_bytes(capacity)) : 0;
}

/* The capacity of block `b` when there are `count` extents. */
static uint16_t block_capacity_for(unsigned b, uint64_t count)
{
    uint64_t before = (uint64_t)b * CACHE_ROPE_BLOCK;
    if (count <= before)
        return 0;
    uint64_t wanted = count - before, capacity = BLOCK_CAPACITY_MIN;
    while (capacity < wanted && capacity < CACHE_ROPE_BLOCK)
        capacity *= 2;
    return (uint16_t)capacity;
}

static uint64_t extents_for(uint64_t length)
{
    return length / EXTENT_BYTES + (length % EXTENT_BYTES != 0);
}

/* All that the slot has room for: it costs no more. */
static uint32_t capacity_for(uint64_t bytes)
{
    return (uint32_t)(cache_extent_cost(bytes) - sizeof(struct cache_extent));
}

static uint32_t capacity_grown(uint32_t capacity, uint64_t wanted)
{
    uint64_t doubled = 2 * (uint64_t)capacity < EXTENT_BYTES ? 2 * (uint64_t)capacity : EXTENT_BYTES;
    return capacity_for(wanted > doubled ? wanted : doubled);
}

static struct cache_extent **extent_place(const struct cache_rope *r, uint64_t index)
{
    return &r->block[index / CACHE_ROPE_BLOCK][index % CACHE_ROPE_BLOCK];
}

/* Bytes of the extent that belong to the rope. */
static size_t extent_used(const struct cache_rope *r, uint64_t index)
{
    return index + 1 < r->count ? EXTENT_BYTES : (size_t)(r->length - index * EXTENT_BYTES);
}

struct cache_rope *cache_rope_create(struct memory *m)
{
    struct cache_rope *r = memory_alloc(m, sizeof *r);
    if (r)
        *r = (struct cache_rope){.memory = m};
    return r;
}

uint64_t cache_rope_cost(uint64_t length)
{
    uint64_t cost = memory_cost(sizeof(struct cache_rope));
    for (unsigned b = 0; b < CACHE_ROPE_BLOCKS; b++)
        cost += block_cost(block_capacity_for(b, extents_for(length)));
    cost += length / EXTENT_BYTES * cache_extent_cost(EXTENT_BYTES);
    return length % EXTENT_BYTES ? cost + cache_extent_cost(length % EXTENT_BYTES) : cost;
}

uint64_t cache_rope_bytes(const struct cache_rope *r)
{
    uint64_t bytes = memory_cost(sizeof *r);
    for (unsigned b = 0; b < CACHE_ROPE_BLOCKS; b++)
        bytes += block_cost(r->block_capacity[b]);
    if (r->count)
        bytes += (r->count - 1) * (uint64_t)cache_extent_cost(EXTENT_BYTES) + cache_extent_cost(r->last_capacity);
    return bytes;
}

bool cache_rope_free_step(struct cache_rope *r, unsigned *budget)
{
    for (; r->count && *budget; --*budget) {
        uint32_t last = --r->count, b = last / CACHE_ROPE_BLOCK;
        cache_extent_drop(*extent_place(r, last));
        r->length = (uint64_t)last * EXTENT_BYTES;
        r->last_capacity = last ? EXTENT_BYTES : 0;
        if (last % CACHE_ROPE_BLOCK == 0) {
            memory_free(r->memory, r->block[b], block_bytes(r->block_capacity[b]));
            r->block_capacity[b] = 0;
        }
    }
    if (r->count)
        return false;
    memory_free(r->memory, r, sizeof *r);
    return true;
}

/* Drops the extents from `count` on, and blocks that named only them. */
static void rope_cut(struct cache_rope *r, uint32_t count)
{
    while (r->count > count)
        cache_extent_drop(*extent_place(r, --r->count));
    for (unsigned b = 0; b < CACHE_ROPE_BLOCKS; b++)
        if (r->block_capacity[b] && (uint64_t)b * CACHE_ROPE_BLOCK >= count) {
            memory_free(r->memory, r->block[b], block_bytes(r->block_capacity[b]));
            r->block_capacity[b] = 0;
        }
}

/* What an append is going to do: the last extent takes some, whole ones and a new last one take the rest. */
struct append {
    uint64_t into_last;
    uint32_t last_capacity; /* of the present last extent, afterwards */
    bool last_replaced;     /* others hold it: it is copied */
    uint64_t count;         /* of extents, afterwards */
    uint64_t tail;          /* bytes in a new last extent that is not full; 0: there is none */
};

static struct append append_plan(const struct cache_rope *r, uint64_t n)
{
    struct append a = {.count = r->count, .last_capacity = r->last_capacity};
    if (r->count) {
        size_t used = extent_used(r, r->count - 1), room = EXTENT_BYTES - used;
        a.into_last = n < room ? n : room;
        a.last_replaced = a.into_last && (*extent_place(r, r->count - 1))->references > 1;
        if (used + a.into_last > r->last_capacity)
            a.last_capacity = capacity_grown(r->last_capacity, used + a.into_last);
    }
    a.count += extents_for(n - a.into_last);
    a.tail = (n - a.into_last) % EXTENT_BYTES;
    return a;
}

uint64_t cache_rope_append_cost(const struct cache_rope *r, uint64_t n)
{
    if (n > EXTENTS_MAX * EXTENT_BYTES - r->length)
        return UINT64_MAX;
    struct append a = append_plan(r, n);
    uint64_t cost = 0;
    if (a.last_replaced)
        cost = cache_extent_cost(a.last_capacity);
    else if (a.last_capacity > r->last_capacity)
        cost = cache_extent_cost(a.last_capacity) - cache_extent_cost(r->last_capacity);
    cost += (n - a.into_last) / EXTENT_BYTES * cache_extent_cost(EXTENT_BYTES);
    cost += a.tail ? cache_extent_cost(a.tail) : 0;
    for (unsigned b = 0; b < CACHE_ROPE_BLOCKS; b++) {
        uint16_t capacity = block_capacity_for(b, a.count);
        if (capacity > r->block_capacity[b])
            cost += block_cost(capacity) - block_cost(r->block_capacity[b]);
    }
    return cost;
}

/* A copy of the first `used` bytes in an extent of its own takes its place. */
static struct cache_extent *extent_replace(struct cache_extent **place, struct memory *m, size_t used,
                                           uint32_t capacity)
{
    struct cache_extent *copy = cache_extent_create(m, capacity);
    if (!copy)
        return NULL;
    memcpy(copy->bytes, (*place)->bytes, used);
    cache_extent_drop(*place);
    return *place = copy;
}

static bool last_prepare(struct cache_rope *r, const struct append *a)
{
    if (!r->count)
        return true;
    struct cache_extent **place = extent_place(r, r->count - 1), *x = *place;
    if (a->last_replaced) {
        if (!extent_replace(place, r->memory, extent_used(r, r->count - 1), a->last_capacity))
            return false;
    } else if (a->last_capacity > r->last_capacity) {
        x = memory_resize(x->memory, x, sizeof *x + x->length, sizeof *x + a->last_capacity);
        if (!x)
            return false;
        x->length = a->last_capacity;
        *place = x;
    }
    r->last_capacity = a->last_capacity;
    return true;
}

static bool blocks_prepare(struct cache_rope *r, uint64_t count)
{
    for (unsigned b = 0; b < CACHE_ROPE_BLOCKS; b++) {
        uint16_t old = r->block_capacity[b], capacity = block_capacity_for(b, count);
        if (capacity <= old)
            continue;
        void *p = old ? memory_resize(r->memory, r->block[b], block_bytes(old), block_bytes(capacity))
                      : memory_alloc(r->memory, block_bytes(capacity));
        if (!p)
            return false;
        r->block[b] = p;
        r->block_capacity[b] = capacity;
    }
    return true;
}

static bool extents_prepare(struct cache_rope *r, const struct append *a)
{
    while (r->count < a->count) {
        bool tail = a->tail && r->count + 1 == a->count;
        struct cache_extent *x = cache_extent_create(r->memory, tail ? capacity_for(a->tail) : EXTENT_BYTES);
        if (!x)
            return false;
        *extent_place(r, r->count++) = x;
        r->last_capacity = x->length;
    }
    return true;
}

static void rope_write(struct cache_rope *r, uint64_t offset, const uint8_t *data, size_t n)
{
    while (n) {
        size_t at = offset % EXTENT_BYTES, piece = EXTENT_BYTES - at < n ? EXTENT_BYTES - at : n;
        uint8_t *to = (*extent_place(r, offset / EXTENT_BYTES))->bytes + at;
        if (data)
            memcpy(to, data, piece);
        else
            memset(to, 0, piece);
        data = data ? data + piece : NULL;
        offset += piece;
        n -= piece;
    }
}

/* Everything is there before a byte is written. What fails midway is taken back, but for room that was made larger. */
bool cache_rope_append(struct cache_rope *r, const void *data, size_t n)
{
    if (cache_rope_append_cost(r, n) > memory_room(r->memory))
        return false;
    struct append a = append_plan(r, n);
    uint32_t count = r->count;
    if (!last_prepare(r, &a))
        return false;
    uint32_t last_capacity = r->last_capacity;
    if (!blocks_prepare(r, a.count) || !extents_prepare(r, &a)) {
        rope_cut(r, count);
        r->last_capacity = last_capacity;
        return false;
    }
    uint64_t offset = r->length;
    r->length += n;
    rope_write(r, offset, data, n);
    return true;
}

struct mr_span cache_rope_at(const struct cache_rope *r, uint64_t offset, struct cache_extent **extent)
{
    assert(offset < r->length);
    uint64_t index = offset / EXTENT_BYTES;
    size_t at = offset % EXTENT_BYTES;
    struct cache_extent *x = *extent_place(r, index);
    if (extent)
        *extent = x;
    return (struct mr_span){x->bytes + at, extent_used(r, index) - at};
}

struct mr_span cache_rope_writable(struct cache_rope *r, uint64_t offset)
{
    assert(offset < r->length);
    uint64_t index = offset / EXTENT_BYTES;
    struct cache_extent **place = extent_place(r, index);
    if ((*place)->references > 1 && !extent_replace(place, r->memory, extent_used(r, index), (*place)->length))
        return (struct mr_span){NULL, 0};
    return cache_rope_at(r, offset, NULL);
}

void cache_rope_copy_out(const struct cache_rope *r, uint64_t offset, void *to, size_t n)
{
    assert(offset <= r->length && n <= r->length - offset);
    for (uint8_t *p = to; n;) {
        struct mr_span s = cache_rope_at(r, offset, NULL);
        size_t piece = s.length < n ? s.length : n;
        memcpy(p, s.data, piece);
        p += piece;
        offset += piece;
        n -= piece;
    }
}

bool cache_rope_equal(const struct cache_rope *a, const void *data, size_t n)
{
    if (a->length != n)
        return false;
    for (size_t offset = 0; offset < n;) {
        struct mr_span s = cache_rope_at(a, offset, NULL);
        if (memcmp(s.data, (const uint8_t *)data + offset, s.length) != 0)
            return false;
        offset += s.length;
    }
    return true;
}

struct cache_rope *cache_rope_share(const struct cache_rope *r, struct memory *m)
{
    struct cache_rope *copy = cache_rope_create(m);
    if (!copy)
        return NULL;
    if (!blocks_prepare(copy, r->count)) {
        rope_cut(copy, 0);
        memory_free(m, copy, sizeof *copy);
        return NULL;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        struct cache_extent *x = *extent_place(r, i);
        cache_extent_hold(x);
        *extent_place(copy, i) = x;
    }
    copy->length = r->length;
    copy->count = r->count;
    copy->last_capacity = r->last_capacity;
    return copy;
}

/* Copies of the extents that others hold, in the taker's memory, the first of the rope first; chained through `memory` until
 * they take their places. */
static bool shared_copy(const struct cache_rope *r, struct memory *taker, struct cache_extent **copies)
{
    *copies = NULL;
    for (uint32_t i = r->count; i-- > 0;) {
        const struct cache_extent *x = *extent_place(r, i);
        if (x->references == 1)
            continue;
        struct cache_extent *copy = cache_extent_create(taker, x->length);
        if (!copy)
            return false;
        memcpy(copy->bytes, x->bytes, extent_used(r, i));
        copy->memory = (struct memory *)*copies;
        *copies = copy;
    }
    return true;
}

static struct cache_extent *copies_pop(struct cache_extent **copies, struct memory *taker)
{
    struct cache_extent *x = *copies;
    *copies = (struct cache_extent *)x->memory;
    x->memory = taker;
    return x;
}

static void piece_adopt(struct memory *giver, struct memory *taker, size_t bytes)
{
    memory_disown(giver, bytes);
    bool adopted = memory_adopt(taker, bytes);
    assert(adopted);
}

bool cache_rope_adopt(struct cache_rope *r, struct memory *taker)
{
    struct cache_extent *copies = NULL;
    if (r->memory == taker)
        return true;
    if (cache_rope_bytes(r) > memory_room(taker) || !shared_copy(r, taker, &copies)) {
        while (copies)
            cache_extent_drop(copies_pop(&copies, taker));
        return false;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        struct cache_extent **place = extent_place(r, i), *x = *place;
        if (x->references > 1) {
            *place = copies_pop(&copies, taker);
            cache_extent_drop(x);
        } else {
            piece_adopt(x->memory, taker, sizeof *x + x->length);
            x->memory = taker;
        }
    }
    for (unsigned b = 0; b < CACHE_ROPE_BLOCKS; b++)
        if (r->block_capacity[b])
            piece_adopt(r->memory, taker, block_bytes(r->block_capacity[b]));
    piece_adopt(r->memory, taker, sizeof *r);
    r->memory = taker;
    return true;
}

void cache_rope_check(const struct cache_rope *r)
{
    assert(r->count == extents_for(r->length) && r->count <= EXTENTS_MAX);
    assert(r->count > 0 || r->last_capacity == 0);
    for (uint32_t i = 0; i < r->count; i++) {
        const struct cache_extent *x = *extent_place(r, i);
        assert(x->references > 0);
        assert(x->length == (i + 1 < r->count ? EXTENT_BYTES : r->last_capacity));
        assert(extent_used(r, i) > 0 && extent_used(r, i) <= x->length);
    }
    for (unsigned b = 0; b < CACHE_ROPE_BLOCKS; b++)
        assert(r->block_capacity[b] >= block_capacity_for(b, r->count) && r->block_capacity[b] <= CACHE_ROPE_BLOCK);
}
