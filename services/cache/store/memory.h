/* The memory of one shard: a region reserved once, size classes in pages of 64 KiB, every byte counted.
 *
 *     region:  | page | page | page | ...            reserved at start, touched when first used
 *     page:    | header, slots of one class ... |     an empty page goes back and may serve another class
 *
 * `used` is the sum of what the slots of live allocations take, not of what was asked for: it never passes `limit`, because
 * cache_memory_alloc fails first. Frees state the size, so an allocation has no header. One worker owns it; there is no
 * lock. With ASan each allocation is malloc's, so that an overrun is seen; the sums are the same. */
#ifndef SERVICES_CACHE_MEMORY_H
#define SERVICES_CACHE_MEMORY_H

#include <millrace/types.h>

#include "cache/limits.h"

#define CACHE_MEMORY_CLASSES 64

struct cache_memory_page;
struct cache_memory_freed;
struct cache_rope;

struct cache_memory {
    uint8_t *base; /* of the region; aligned to a page */
    uint64_t region_bytes;
    uint64_t limit; /* bytes that may be used */
    uint64_t used;  /* bytes of slots in use, at all times <= limit */
    uint64_t used_peak;
    uint64_t resident;    /* bytes of pages ever touched and not given back */
    uint64_t allocations; /* live */
    uint32_t pages_touched;
    struct cache_memory_page *empty;                         /* pages of no class */
    struct cache_memory_page *partial[CACHE_MEMORY_CLASSES]; /* pages with a free slot */
    struct cache_memory_freed *foreign; /* slots of other workers' regions, freed here, on their way home */
    uint64_t foreign_count;
    struct cache_memory *shard; /* of clients' memory: of the same worker's shard */
    bool away;                  /* the shard is lent to another worker: its own must not touch this memory */
    struct cache_rope *left;    /* ... and what it would have freed waits here (command/packed.c) */
    int64_t elsewhere;          /* bytes of slots of this region that others count, less those of others counted here */
    int64_t elsewhere_count;    /* and how many */
};

/* Reserves address space for `region_bytes` (rounded up; it costs nothing until touched). False: the system refused, or it
 * is more than links can name (64 GiB). */
bool cache_memory_init(struct cache_memory *m, uint64_t region_bytes, uint64_t limit);
void cache_memory_release(struct cache_memory *m); /* gives the whole region back, whatever lives in it */

/* What `bytes` will be counted as. bytes <= CACHE_ALLOC_MAX - 64 (the page header): see cache_memory_largest. */
size_t cache_memory_cost(size_t bytes);
#define CACHE_MEMORY_LARGEST (CACHE_ALLOC_MAX - 64)

/* 16-byte aligned, not zeroed. NULL: the limit would be passed, or the region is full. 0 < bytes <= CACHE_MEMORY_LARGEST. */
void *cache_memory_alloc(struct cache_memory *m, size_t bytes);
/* `bytes` as given to cache_memory_alloc. `p` may be of another shard's region (see cache_memory_adopt). */
void cache_memory_free(struct cache_memory *m, void *p, size_t bytes);
/* Keeps the first min(old, new) bytes; on failure NULL and `p` is as it was. In place when the class stays. Only the
 * difference counts against the limit. */
void *cache_memory_resize(struct cache_memory *m, void *p, size_t old_bytes, size_t new_bytes);

static inline uint64_t cache_memory_room(const struct cache_memory *m)
{
    return m->used < m->limit ? m->limit - m->used : 0;
}

/* An allocation changes hands between shards: the giver stops counting it, the taker counts it (false: no room). The bytes
 * stay where they are; when the taker frees them they wait in `foreign` until cache_memory_foreign_take, and whoever
 * posts them home calls cache_memory_free_home there. */
void cache_memory_disown(struct cache_memory *giver, size_t bytes);
bool cache_memory_adopt(struct cache_memory *taker, size_t bytes);
/* Takes the list of freed slots of the region `home`; NULL when there is none. The list is opaque. */
void *cache_memory_foreign_take(struct cache_memory *m, const struct cache_memory *home);
void cache_memory_free_home(struct cache_memory *home, void *list);

/* Every sum recomputed and compared; for tests. */
void cache_memory_check(const struct cache_memory *m);

/* A pointer into the region in half the room. 0 is NULL. With ASan pointers are anywhere, and links are wide. */
#if defined(__SANITIZE_ADDRESS__)
#define CACHE_MEMORY_MALLOC 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CACHE_MEMORY_MALLOC 1
#endif
#endif
#ifdef CACHE_MEMORY_MALLOC
typedef uint64_t cache_link;
static inline cache_link cache_link_pack(const uint8_t *base, const void *p)
{
    return (uint64_t)(uintptr_t)p;
}
static inline void *cache_link_unpack(const uint8_t *base, cache_link link)
{
    return (void *)(uintptr_t)link;
}
#else
typedef uint32_t cache_link; /* 16-byte units behind the base: 64 GiB a shard; the base itself is a page header */
static inline cache_link cache_link_pack(const uint8_t *base, const void *p)
{
    return p ? (uint32_t)((uint64_t)((const uint8_t *)p - base) >> 4) : 0;
}
static inline void *cache_link_unpack(const uint8_t *base, cache_link link)
{
    return link ? (void *)(uintptr_t)(base + ((uint64_t)link << 4)) : NULL;
}
#endif

#endif
