/* The memory of one shard: a region reserved once, size classes in pages of 64 KiB, every byte counted.
 *
 *     region:  | page | page | page | ...            reserved at start, touched when first used
 *     page:    | header, slots of one class ... |     an empty page goes back and may serve another class
 *
 * `used` is the sum of what the slots of live allocations take, not of what was asked for: it never passes `limit`, because
 * memory_alloc fails first. Frees state the size, so an allocation has no header. One worker owns it; there is no
 * lock. With ASan each allocation is malloc's, so that an overrun is seen; the sums are the same. */
#ifndef SERVICES_MEMORY_MEMORY_H
#define SERVICES_MEMORY_MEMORY_H

#include <millrace/types.h>

#define MEMORY_PAGE_BYTES (UINT32_C(64) << 10)
#define MEMORY_CLASSES    64

struct memory_page;
struct memory_freed;

struct memory {
    uint8_t *base; /* of the region; aligned to a page */
    uint64_t region_bytes;
    uint64_t limit; /* bytes that may be used */
    uint64_t used;  /* bytes of slots in use, at all times <= limit */
    uint64_t used_peak;
    uint64_t resident;    /* bytes of pages ever touched and not given back */
    uint64_t allocations; /* live */
    uint32_t pages_touched;
    struct memory_page *empty;                   /* pages of no class */
    struct memory_page *partial[MEMORY_CLASSES]; /* pages with a free slot */
    struct memory_freed *foreign;                /* slots of other workers' regions, freed here, on their way home */
    uint64_t foreign_count;
    /* For a service that lends what lives here to another worker for a while: nothing in memory.c looks at it. */
    struct memory *partner;  /* another one of the same worker */
    bool away;               /* lent: its own worker must not touch it */
    void *left;              /* ... and what that would have freed waits here */
    int64_t elsewhere;       /* bytes of slots of this region that others count, less those of others counted here */
    int64_t elsewhere_count; /* and how many */
};

/* Reserves address space for `region_bytes` (rounded up; it costs nothing until touched). False: the system refused, or it
 * is more than links can name (64 GiB). */
bool memory_init(struct memory *m, uint64_t region_bytes, uint64_t limit);
void memory_release(struct memory *m); /* gives the whole region back, whatever lives in it */

/* What `bytes` will be counted as. bytes <= MEMORY_PAGE_BYTES - 64 (the page header): see MEMORY_LARGEST. */
size_t memory_cost(size_t bytes);
#define MEMORY_LARGEST (MEMORY_PAGE_BYTES - 64)

/* 16-byte aligned, not zeroed. NULL: the limit would be passed, or the region is full. 0 < bytes <= MEMORY_LARGEST. */
void *memory_alloc(struct memory *m, size_t bytes);
/* `bytes` as given to memory_alloc. `p` may be of another shard's region (see memory_adopt). */
void memory_free(struct memory *m, void *p, size_t bytes);
/* Keeps the first min(old, new) bytes; on failure NULL and `p` is as it was. In place when the class stays. Only the
 * difference counts against the limit. */
void *memory_resize(struct memory *m, void *p, size_t old_bytes, size_t new_bytes);

static inline uint64_t memory_room(const struct memory *m)
{
    return m->used < m->limit ? m->limit - m->used : 0;
}

/* An allocation changes hands between shards: the giver stops counting it, the taker counts it (false: no room). The bytes
 * stay where they are; when the taker frees them they wait in `foreign` until memory_foreign_take, and whoever
 * posts them home calls memory_free_home there. */
void memory_disown(struct memory *giver, size_t bytes);
bool memory_adopt(struct memory *taker, size_t bytes);
/* Takes the list of freed slots of the region `home`; NULL when there is none. The list is opaque. */
void *memory_foreign_take(struct memory *m, const struct memory *home);
void memory_free_home(struct memory *home, void *list);

/* Every sum recomputed and compared; for tests. */
void memory_check(const struct memory *m);

/* A pointer into the region in half the room. 0 is NULL. With ASan pointers are anywhere, and links are wide. */
#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_MALLOC 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MEMORY_MALLOC 1
#endif
#endif
#ifdef MEMORY_MALLOC
typedef uint64_t memory_link;
static inline memory_link memory_link_pack(const uint8_t *base, const void *p)
{
    return (uint64_t)(uintptr_t)p;
}
static inline void *memory_link_unpack(const uint8_t *base, memory_link link)
{
    return (void *)(uintptr_t)link;
}
#else
typedef uint32_t memory_link; /* 16-byte units behind the base: 64 GiB a shard; the base itself is a page header */
static inline memory_link memory_link_pack(const uint8_t *base, const void *p)
{
    return p ? (uint32_t)((uint64_t)((const uint8_t *)p - base) >> 4) : 0;
}
static inline void *memory_link_unpack(const uint8_t *base, memory_link link)
{
    return link ? (void *)(uintptr_t)(base + ((uint64_t)link << 4)) : NULL;
}
#endif

#endif
