/* Bytes of a value: one extent when they are few, a rope of equal extents when they are many. Extents are counted by
 * reference: a reply on its way to a peer, a snapshot, a log record each hold one, so a value may be replaced or deleted
 * while it is sent. Whoever would change an extent that others hold changes a copy (cache_rope_writable).
 *
 *     rope:  length | count | block -> [extent, extent, ...] | block -> ...     every extent but the last is full */
#ifndef SERVICES_CACHE_ROPE_H
#define SERVICES_CACHE_ROPE_H

#include <millrace/types.h>

#include "cache/limits.h"
#include "memory/memory.h"

struct cache_extent {
    uint32_t references;
    uint32_t length;       /* bytes allocated behind the header */
    struct memory *memory; /* which counts it */
    uint8_t bytes[];
};
#define CACHE_EXTENT_BYTES (MEMORY_LARGEST - sizeof(struct cache_extent)) /* of one full extent */

/* With one reference, `bytes` <= CACHE_EXTENT_BYTES. NULL: no memory. */
struct cache_extent *cache_extent_create(struct memory *m, size_t bytes);
static inline void cache_extent_hold(struct cache_extent *x)
{
    x->references++;
}
void cache_extent_drop(struct cache_extent *x); /* frees with the last reference */
size_t cache_extent_cost(size_t bytes);

#define CACHE_ROPE_BLOCK  1024 /* extents of a block */
#define CACHE_ROPE_BLOCKS 9    /* 9 * 1024 * ~64 KiB > 512 MiB */
struct cache_rope {
    uint64_t length;        /* bytes */
    uint32_t count;         /* extents */
    uint32_t last_capacity; /* bytes that the last extent can take: grown as a value is appended to */
    struct memory *memory;
    struct cache_rope *next; /* of those that wait to be freed */
    struct cache_extent **block[CACHE_ROPE_BLOCKS];
    uint16_t block_capacity[CACHE_ROPE_BLOCKS]; /* extents that a block can name: doubled as it is needed */
};

struct cache_rope *cache_rope_create(struct memory *m); /* empty; NULL: no memory */
/* Bytes that a rope of `length`, made by one append, takes in all. */
uint64_t cache_rope_cost(uint64_t length);
/* Bytes that this rope takes in all, extents that others hold too included. */
uint64_t cache_rope_bytes(const struct cache_rope *r);
/* By how much an append of `n` bytes would raise `used`, exactly. UINT64_MAX: longer than a rope can be. */
uint64_t cache_rope_append_cost(const struct cache_rope *r, uint64_t n);
/* Drops every extent and the rope itself, `budget` extents at most; true: it is gone. Take *budget = UINT_MAX for all. */
bool cache_rope_free_step(struct cache_rope *r, unsigned *budget);
/* Grows by `n` bytes copied from `data` (NULL: zeros). False: no memory, the rope is as it was. */
bool cache_rope_append(struct cache_rope *r, const void *data, size_t n);
/* The bytes at `offset`, as far as they lie in one extent; *extent may be held by the caller. offset < length. */
struct mr_span cache_rope_at(const struct cache_rope *r, uint64_t offset, struct cache_extent **extent);
/* As cache_rope_at, of an extent that nobody else holds (copied if need be). data NULL: no memory. */
struct mr_span cache_rope_writable(struct cache_rope *r, uint64_t offset);
void cache_rope_copy_out(const struct cache_rope *r, uint64_t offset, void *to, size_t n);
bool cache_rope_equal(const struct cache_rope *a, const void *data, size_t n);
/* A second rope over the same extents, each held once more; `m` counts what is not extents. NULL: no memory. */
struct cache_rope *cache_rope_share(const struct cache_rope *r, struct memory *m);
/* The rope changes hands between shards (memory_disown and _adopt of every piece; the taker gets a copy of an extent
 * that others hold, since they drop it at the giver). Touches both memories: neither's worker may run meanwhile. False: the
 * taker has no room, the rope is as it was. */
bool cache_rope_adopt(struct cache_rope *r, struct memory *taker);

void cache_rope_check(const struct cache_rope *r);

#endif
