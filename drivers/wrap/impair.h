/* Impairment in real time: a link around any link that delays, loses, reorders, duplicates, corrupts and shapes frames
 * by the model of drivers/sim/path.h, each direction by itself, from a seed.
 *
 * Frames are held in a bounded queue and released when receive or transmit is called at or after their time; `next`
 * tells when that is, so that an idle worker does not rest past it. One thread uses it, the worker's. */
#ifndef DRIVERS_WRAP_IMPAIR_H
#define DRIVERS_WRAP_IMPAIR_H

#include <millrace/link.h>

#include "drivers/sim/path.h"

struct rte_mempool;

struct impair_options {
    struct path_options in, out; /* what is received, what is transmitted */
    uint64_t seed;
    uint32_t held_max;        /* frames held in each direction; beyond it they are dropped and counted; 0: 4096 */
    struct rte_mempool *pool; /* copies of duplicated and of shared corrupted frames come from it */
};

enum impair_drop {
    IMPAIR_DROP_QUEUE,
    IMPAIR_DROP_LOSS,
    IMPAIR_DROP_BURST,
    IMPAIR_DROP_HELD,
    IMPAIR_DROP_MEMORY,
    IMPAIR_DROP_CLOSED,
    IMPAIR_DROPS
};

/* entered + duplicated = passed + the sum of dropped + held. */
struct impair_counts {
    uint64_t entered, duplicated, passed, held;
    uint64_t dropped[IMPAIR_DROPS];
    uint64_t corrupted, marked;
};

/* `clock` is the one of the worker that uses it. Closing it drops what is held, closes `inner`, and frees it. NULL when
 * memory is short or an option is out of range. */
struct mr_link *impair_wrap(struct mr_link *inner, struct mr_clock *clock, const struct impair_options *options);

/* From now on; the worker's thread. False, and nothing changes, when an option is out of range. */
bool impair_set(struct mr_link *link, const struct path_options *in, const struct path_options *out);

void impair_counts(const struct mr_link *link, struct impair_counts *in, struct impair_counts *out);

#endif
