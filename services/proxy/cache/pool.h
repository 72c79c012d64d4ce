/* The memory of a cache: blocks of one size, all made at start, so what is held never passes it. Block 0 is none.
 *
 *     memory:  | 0: scratch | 1 | 2 | 3 | ...      next: what each is, or the free one behind it */
#ifndef SERVICES_PROXY_CACHE_POOL_H
#define SERVICES_PROXY_CACHE_POOL_H

#include <millrace/types.h>

#define HCACHE_BLOCK_BYTES 4096

#define HCACHE_BLOCK_DATA  UINT32_MAX       /* in use */
#define HCACHE_BLOCK_ENTRY (UINT32_MAX - 1) /* in use, and begins with a linked struct hcache_entry */

struct hcache_pool {
    uint8_t *memory;
    uint32_t *next;
    uint32_t count; /* blocks 1 .. count */
    uint32_t used;
    uint32_t free;  /* the first; 0: none */
    uint32_t fresh; /* from here on no block was ever used: they cost no memory yet */
};

bool hcache_pool_init(struct hcache_pool *p, uint32_t blocks);
void hcache_pool_release(struct hcache_pool *p);
uint32_t hcache_pool_take(struct hcache_pool *p); /* 0: none is left */
void hcache_pool_give(struct hcache_pool *p, uint32_t block);

static inline void *hcache_block(const struct hcache_pool *p, uint32_t block)
{
    return p->memory + (size_t)block * HCACHE_BLOCK_BYTES;
}

static inline uint32_t hcache_block_of(const struct hcache_pool *p, const void *at)
{
    return (uint32_t)((size_t)((const uint8_t *)at - p->memory) / HCACHE_BLOCK_BYTES);
}

#endif
