#include "cache/evict/evict_ghost.h"

#define WAYS        8
#define BUCKETS_MAX (UINT64_C(1) << 32)
#define TICKS_A_TABLE \
    12 /* as a power of two: what is older than 16 tables' worth of insertions would look young again */

static uint64_t buckets_for(uint64_t entries)
{
    uint64_t buckets = 1;
    while (buckets * WAYS < entries && buckets < BUCKETS_MAX)
        buckets *= 2;
    return buckets;
}

size_t evict_ghost_bytes(uint64_t entries)
{
    return sizeof(struct evict_ghost) + buckets_for(entries) * WAYS * sizeof(uint32_t);
}

void evict_ghost_init(struct evict_ghost *g, uint64_t entries)
{
    g->bucket_mask = buckets_for(entries) - 1;
    while ((g->bucket_mask + 1) * WAYS >> g->tick_shift > UINT64_C(1) << TICKS_A_TABLE)
        g->tick_shift++;
}

static uint32_t *bucket_of(struct evict_ghost *g, uint64_t hash)
{
    return &g->slots[(hash & g->bucket_mask) * WAYS];
}

/* Never 0: that is an empty slot. */
static uint32_t fingerprint_of(uint64_t hash)
{
    uint32_t fingerprint = (uint32_t)(hash >> 48);
    return (fingerprint ? fingerprint : 1) << 16;
}

static uint64_t age_of(const struct evict_ghost *g, uint32_t slot)
{
    uint32_t now = (uint32_t)(g->insertions >> g->tick_shift);
    return (uint64_t)((now - slot) & 0xffff) << g->tick_shift;
}

/* The key's own slot, else an empty one, else the oldest of its bucket. */
static uint32_t *slot_for(struct evict_ghost *g, uint64_t hash)
{
    uint32_t *bucket = bucket_of(g, hash), *best = bucket, fingerprint = fingerprint_of(hash);
    for (unsigned i = 0; i < WAYS; i++)
        if ((bucket[i] & 0xffff0000) == fingerprint)
            return &bucket[i];
    for (unsigned i = 0; i < WAYS && *best; i++)
        if (!bucket[i] || age_of(g, bucket[i]) > age_of(g, *best))
            best = &bucket[i];
    return best;
}

void evict_ghost_add(struct evict_ghost *g, uint64_t hash)
{
    g->insertions++;
    *slot_for(g, hash) = fingerprint_of(hash) | (uint32_t)(g->insertions >> g->tick_shift & 0xffff);
}

bool evict_ghost_take(struct evict_ghost *g, uint64_t hash, uint64_t limit)
{
    uint32_t *slot = slot_for(g, hash);
    if ((*slot & 0xffff0000) != fingerprint_of(hash))
        return false;
    bool young = age_of(g, *slot) < limit;
    *slot = 0;
    return young;
}
