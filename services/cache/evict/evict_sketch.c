#include "cache/evict/evict_sketch.h"

#define BLOCK_WORDS 8
#define ROWS        4
#define BLOCKS_MAX  (UINT64_C(1) << 32)

static uint64_t blocks_for(uint64_t entries)
{
    uint64_t blocks = 1;
    while (blocks * BLOCK_WORDS < entries && blocks < BLOCKS_MAX)
        blocks *= 2;
    return blocks;
}

/* One block more than is used: the first one begins at a cache line. */
size_t evict_sketch_bytes(uint64_t entries)
{
    return (blocks_for(entries) + 1) * BLOCK_WORDS * sizeof(uint64_t);
}

void evict_sketch_init(struct evict_sketch *s, void *memory, uint64_t entries)
{
    s->words = (uint64_t *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
    s->block_mask = blocks_for(entries) - 1;
}

/* The counter of row `row`: which word, and where in it. The block takes the hash's low bits, these the high ones of a
 * product, 5 a row. */
static unsigned counter_of(uint64_t mixed, unsigned row, unsigned *shift)
{
    unsigned bits = (unsigned)(mixed >> (64 - 5 * (row + 1))) & 31;
    *shift = (bits & 15) * 4;
    return row * 2 + (bits >> 4);
}

static uint64_t mix(uint64_t hash)
{
    return (hash ^ hash >> 32) * 0x9e3779b97f4a7c15u;
}

uint32_t evict_sketch_estimate(const struct evict_sketch *s, uint64_t hash)
{
    const uint64_t *block = &s->words[(hash & s->block_mask) * BLOCK_WORDS];
    uint64_t mixed = mix(hash);
    uint32_t least = EVICT_SKETCH_MAX;
    for (unsigned row = 0; row < ROWS; row++) {
        unsigned shift, word = counter_of(mixed, row, &shift);
        uint32_t count = block[word] >> shift & EVICT_SKETCH_MAX;
        least = count < least ? count : least;
    }
    return least;
}

static void halve_block(struct evict_sketch *s)
{
    uint64_t *block = &s->words[--s->halving * BLOCK_WORDS];
    for (unsigned i = 0; i < BLOCK_WORDS; i++)
        block[i] = block[i] >> 1 & 0x7777777777777777u;
}

/* Only the smallest counters rise: the others already say too much, because other keys share them. */
void evict_sketch_record(struct evict_sketch *s, uint64_t hash, uint64_t sample)
{
    uint64_t *block = &s->words[(hash & s->block_mask) * BLOCK_WORDS], mixed = mix(hash);
    uint32_t least = evict_sketch_estimate(s, hash);
    if (s->halving)
        halve_block(s);
    if (++s->records >= sample && !s->halving) {
        s->records = 0;
        s->halving = s->block_mask + 1;
    }
    if (least == EVICT_SKETCH_MAX)
        return;
    for (unsigned row = 0; row < ROWS; row++) {
        unsigned shift, word = counter_of(mixed, row, &shift);
        if ((block[word] >> shift & EVICT_SKETCH_MAX) == least)
            block[word] += UINT64_C(1) << shift;
    }
}
