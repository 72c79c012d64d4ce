/* What one peer, and all of them together, can make a worker hold. Those with a configuration key are presets (cache.c has
 * the table); the others are fixed by what the structures can say. */
#ifndef SERVICES_CACHE_LIMITS_H
#define SERVICES_CACHE_LIMITS_H

#include <stdint.h>

#include "memory/memory.h"

/* Fixed. */
#define CACHE_ALLOC_MAX     MEMORY_PAGE_BYTES    /* one allocation; whatever is larger is made of pieces */
#define CACHE_KEY_MAX       (UINT32_C(16) << 10) /* a key, a hash field, a member of a set or sorted set, a channel */
#define CACHE_VALUE_MAX     (UINT64_C(512) << 20) /* a string value, a list element, the value of a hash field: as Redis */
#define CACHE_SMALL_MAX     (UINT32_C(16) << 10) /* an argument up to this is one span; longer ones arrive as a rope */
#define CACHE_LEND_MIN      1024 /* shorter values are copied into the reply: cheaper than a lend of their own */
#define CACHE_ARGUMENTS_MAX (UINT32_C(1) << 20)  /* of one command, as Redis */
#define CACHE_INLINE_MAX    (UINT32_C(64) << 10) /* bytes of an inline command, as Redis */
#define CACHE_SHARD_MAX     (UINT64_C(63) << 30) /* memory_max of one worker: what links of 32 bits reach */
#define CACHE_DATABASES     16
#define CACHE_WORKERS_MAX   64

/* Work of one turn that nobody waits for. With a million keys an eviction costs 0.3 to 0.5 us (it misses the caches some six
 * times), a death 0.3 us, a piece 0.15 us: each sort holds a turn for no longer than some 60 us. */
#define CACHE_EVICTIONS_PER_TURN 128 /* entries evicted to make room, or looked at for it */
#define CACHE_EXPIRIES_PER_TURN  128 /* entries found dead by the wheel */
#define CACHE_FREES_PER_TURN     256 /* pieces of what was deleted whole: elements, extents */
#define CACHE_SNAPSHOT_PER_TURN  64  /* entries written by a snapshot */

#endif
