/* Every policy there is; evict.c has the table. */
#ifndef SERVICES_CACHE_EVICT_POLICIES_H
#define SERVICES_CACHE_EVICT_POLICIES_H

#include "cache/evict/evict.h"

extern const struct cache_evict_policy evict_allkeys_s3fifo, evict_volatile_s3fifo, evict_allkeys_sieve,
    evict_volatile_sieve, evict_allkeys_lru, evict_volatile_lru, evict_allkeys_lfu, evict_volatile_lfu,
    evict_allkeys_tinylfu, evict_volatile_tinylfu, evict_allkeys_random, evict_volatile_random, evict_volatile_ttl,
    evict_noeviction;

#endif
