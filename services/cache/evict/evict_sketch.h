/* How often was a key asked for, about: a count-min sketch of 4-bit counters that ages. TinyLFU (Einziger, Friedman, Manes,
 * ACM Transactions on Storage 2017).
 *
 *     block, 64 bytes:  | row 0: 2 words | row 1 | row 2 | row 3 |      a word has 16 counters
 *
 * A key has one counter in each row of one block, so that it costs one cache line; its estimate is the smallest of the four.
 * When as many keys were recorded as `sample` says, all counters are halved, one block with each record that follows. */
#ifndef SERVICES_CACHE_EVICT_SKETCH_H
#define SERVICES_CACHE_EVICT_SKETCH_H

#include <millrace/types.h>

#define EVICT_SKETCH_MAX 15

struct evict_sketch {
    uint64_t *words;
    uint64_t block_mask;
    uint64_t records; /* since the last halving */
    uint64_t halving; /* blocks still to be halved */
};

/* Memory of a sketch for that many entries: 8 bytes for each, rounded up to a power of two, and bounded. */
size_t evict_sketch_bytes(uint64_t entries);
void evict_sketch_init(struct evict_sketch *s, void *memory, uint64_t entries); /* `memory` is zeroed */
void evict_sketch_record(struct evict_sketch *s, uint64_t hash, uint64_t sample);
uint32_t evict_sketch_estimate(const struct evict_sketch *s, uint64_t hash);

#endif
