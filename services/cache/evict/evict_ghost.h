/* Fingerprints of the keys that went last, without the keys: S3-FIFO's ghost queue as a table that forgets by age.
 *
 *     bucket of 8 slots:  | fingerprint 16 | tick 16 | ...      a tick is a number of insertions
 *
 * A key is known while fewer than `limit` others came after it. 4 bytes an entry; a stranger is taken for a known key with
 * probability 8 / 65536 at most. */
#ifndef SERVICES_CACHE_EVICT_GHOST_H
#define SERVICES_CACHE_EVICT_GHOST_H

#include <millrace/types.h>

struct evict_ghost {
    uint64_t insertions;
    uint64_t bucket_mask;
    unsigned tick_shift; /* insertions a tick, as a power of two: 1 in small tables */
    uint32_t slots[];
};

/* Of a table that remembers `entries` keys; the number is rounded up, and bounded. */
size_t evict_ghost_bytes(uint64_t entries);
void evict_ghost_init(struct evict_ghost *g, uint64_t entries); /* `g` is zeroed */
void evict_ghost_add(struct evict_ghost *g, uint64_t hash);
bool evict_ghost_take(struct evict_ghost *g, uint64_t hash, uint64_t limit); /* true: was known, and is no more */

#endif
