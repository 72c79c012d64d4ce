/* What is fixed; cache.bytes, cache.object_bytes_max and cache.waiting_max are the configuration's. */
#ifndef SERVICES_PROXY_CACHE_LIMITS_H
#define SERVICES_PROXY_CACHE_LIMITS_H

#define HCACHE_VARIANTS_MAX    16  /* of one URL; the oldest goes */
#define HCACHE_ETAG_BYTES_MAX  255 /* a longer one is as none */
#define HCACHE_DIRECT          8   /* body blocks named in the entry: objects to some 35 KiB need no index block */
#define HCACHE_INDEXES         16  /* index blocks, of 1024 blocks each: 64 MiB */
#define HCACHE_EVICTIONS_MAX   64  /* entries evicted for one block: all of them may be on their way to clients */
#define HCACHE_SWEEP_BLOCKS    16  /* looked at by each fill for entries that a purge has killed */
#define HCACHE_WAKES_PER_TURN  256
#define HCACHE_HOLDER_BUCKETS  1024
#define HCACHE_REFUSED_SLOTS   4096 /* URLs known not to be kept */
#define HCACHE_REFUSED_SECONDS 10   /* ... for so long: nobody waits for their fetch */
#define HCACHE_FETCH_SECONDS \
    5 /* a fetch that takes longer does so for a slow client, or from a slow backend: the next one takes it over */
#define HCACHE_PURGED_SLOTS 1024
#define HCACHE_FAILED_SECONDS \
    2 /* a stale entry served because the backend failed is served so without asking for this long */

#endif
