/* What a policy keeps in the 32 bits of a node.
 *
 *      31           12 11   9  8  7         0
 *     | clock 20      | flags | o | weight 8 |      all but LFU
 *     | level 23              | o | weight 8 |      LFU
 *
 * weight: the bytes given to insert, as a small floating-point number in units of 16 bytes: 5 bits of exponent, 3 of
 *         mantissa; exact to 256 bytes, rounded down by less than 1/8 above; never 0 while inserted, 0 otherwise
 * o:      which of two policies holds the node while they are exchanged
 * flags:  the queue and the recent hits, as each policy defines them
 * clock:  seconds of the last access; wraps after 12 days */
#ifndef SERVICES_CACHE_EVICT_NODE_H
#define SERVICES_CACHE_EVICT_NODE_H

#include "cache/evict/evict.h"

#define EVICT_WEIGHT_MASK 0xffu
#define EVICT_ODD         0x100u
#define EVICT_OWN_SHIFT   9
#define EVICT_FLAGS_MASK  0x7u
#define EVICT_CLOCK_SHIFT 12
#define EVICT_CLOCK_MASK  ((UINT32_C(1) << (32 - EVICT_CLOCK_SHIFT)) - 1)

/* Seconds by which someone may set the clock back: an access in the future is one of now, not of 12 days ago. */
#define EVICT_CLOCK_SET_BACK 3600

static inline uint32_t evict_weight_pack(uint32_t bytes)
{
    uint32_t units = bytes >> 4;
    if (units < 16)
        return units ? units : 1;
    uint32_t exponent = 28 - (uint32_t)__builtin_clz(units);
    return (exponent + 1) << 3 | (units >> exponent & 7);
}

static inline uint64_t evict_weight_bytes(const struct cache_evict_node *n)
{
    uint64_t code = n->state & EVICT_WEIGHT_MASK;
    return code < 16 ? code << 4 : (8 | (code & 7)) << ((code >> 3) - 1) << 4;
}

static inline bool evict_inserted(const struct cache_evict_node *n)
{
    return n->state & EVICT_WEIGHT_MASK;
}

/* The first step of every insert, and the last of every remove: what is common to all policies. */
static inline void evict_enter(struct cache_evict *e, struct cache_evict_node *n, uint32_t bytes)
{
    n->older = n->newer = 0;
    n->state = evict_weight_pack(bytes) | (e->owner.odd ? EVICT_ODD : 0) | e->clock << EVICT_CLOCK_SHIFT;
    e->entries++;
    e->bytes += evict_weight_bytes(n);
}

static inline void evict_leave(struct cache_evict *e, struct cache_evict_node *n)
{
    e->entries--;
    e->bytes -= evict_weight_bytes(n);
    n->state &= EVICT_CLOCK_MASK << EVICT_CLOCK_SHIFT;
    n->older = n->newer = 0;
}

static inline uint32_t evict_flags(const struct cache_evict_node *n)
{
    return n->state >> EVICT_OWN_SHIFT & EVICT_FLAGS_MASK;
}

static inline void evict_set_flags(struct cache_evict_node *n, uint32_t flags)
{
    n->state = (n->state & ~(EVICT_FLAGS_MASK << EVICT_OWN_SHIFT)) | flags << EVICT_OWN_SHIFT;
}

/* Notes the time of an access; writes only when the second is another one. */
static inline void evict_touch(const struct cache_evict *e, struct cache_evict_node *n)
{
    uint32_t state = (n->state & ~(EVICT_CLOCK_MASK << EVICT_CLOCK_SHIFT)) | e->clock << EVICT_CLOCK_SHIFT;
    if (state != n->state)
        n->state = state;
}

/* The member `idle` of every policy that keeps the clock. */
bool evict_idle_by_clock(const struct cache_evict *e, const struct cache_evict_node *n, uint32_t *seconds);

/* The functions of policies that keep no order of their own. */
size_t evict_plain_state_bytes(uint64_t entries_expected);
void evict_plain_init(struct cache_evict *e);
void evict_plain_insert(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash, uint32_t bytes);
void evict_plain_hit(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash);
void evict_plain_remove(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash, bool evicted);
void evict_plain_check(const struct cache_evict *e);

/* How far a hand may walk. A look at a node is a cache miss, and a victim must not cost many: each call earns
 * EVICT_LOOKS_EARNED, what is not used is saved up to EVICT_LOOKS_SAVED, because what was hit often lies together. A hand
 * out of looks takes the node that it is at. */
#define EVICT_LOOKS_EARNED 4
#define EVICT_LOOKS_SAVED  256

static inline void evict_looks_earn(uint32_t *looks)
{
    *looks = *looks + EVICT_LOOKS_EARNED < EVICT_LOOKS_SAVED ? *looks + EVICT_LOOKS_EARNED : EVICT_LOOKS_SAVED;
}

/* One node is passed over. False: it was the last that the hand may. */
static inline bool evict_look(struct cache_evict *e, uint32_t *looks)
{
    e->looks++;
    return --*looks;
}

#endif
