#include "proxy/cache/pool.h"

#include <assert.h>
#include <stdlib.h>

/* With ASan what lies in a free block is seen when somebody reads it. */
#ifdef __SANITIZE_ADDRESS__
#define POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON 1
#endif
#endif
#ifdef POISON
#include <sanitizer/asan_interface.h>
#define HIDE(at) __asan_poison_memory_region(at, HCACHE_BLOCK_BYTES)
#define SHOW(at) __asan_unpoison_memory_region(at, HCACHE_BLOCK_BYTES)
#else
#define HIDE(at) ((void)(at))
#define SHOW(at) ((void)(at))
#endif

bool hcache_pool_init(struct hcache_pool *p, uint32_t blocks)
{
    *p = (struct hcache_pool){.count = blocks, .fresh = 1};
    p->memory = aligned_alloc(HCACHE_BLOCK_BYTES, ((size_t)blocks + 1) * HCACHE_BLOCK_BYTES);
    p->next = calloc((size_t)blocks + 1, sizeof *p->next);
    if (p->memory && p->next)
        return true;
    hcache_pool_release(p);
    return false;
}

void hcache_pool_release(struct hcache_pool *p)
{
    for (uint32_t b = 1; p->memory && b < p->fresh; b++)
        SHOW(hcache_block(p, b));
    free(p->memory);
    free(p->next);
    *p = (struct hcache_pool){0};
}

uint32_t hcache_pool_take(struct hcache_pool *p)
{
    uint32_t block = p->free;
    if (block)
        p->free = p->next[block];
    else if (p->fresh <= p->count)
        block = p->fresh++;
    else
        return 0;
    p->next[block] = HCACHE_BLOCK_DATA;
    p->used++;
    SHOW(hcache_block(p, block));
    return block;
}

void hcache_pool_give(struct hcache_pool *p, uint32_t block)
{
    assert(block && block <= p->count && p->next[block] >= HCACHE_BLOCK_ENTRY);
    p->next[block] = p->free;
    p->free = block;
    p->used--;
    HIDE(hcache_block(p, block));
}
