/* Which elements a command means: by rank, by score or by member. Each kind becomes an interval of ranks. */
#ifndef SERVICES_CACHE_ZSET_BOUNDS_H
#define SERVICES_CACHE_ZSET_BOUNDS_H

#include "cache/command/command.h"
#include "cache/type/zset.h"

enum cache_zset_by { CACHE_ZSET_BY_RANK, CACHE_ZSET_BY_SCORE, CACHE_ZSET_BY_LEX };

struct cache_zset_bound {
    bool open;    /* the bound itself is not meant */
    double score; /* BY_SCORE */
    int infinite; /* BY_LEX: -1 before all, 1 behind all, 0: `member` */
    struct mr_span member;
};

struct cache_zset_bounds {
    enum cache_zset_by by;
    int64_t first, last; /* BY_RANK; negative: from the end */
    struct cache_zset_bound min, max;
};

/* False: replied what Redis says of it. */
bool cache_zset_bounds(struct cache_call *call, enum cache_zset_by by, const struct cache_argument *min,
                       const struct cache_argument *max, struct cache_zset_bounds *b);
/* The ranks first .. end - 1; first == end: none. `reverse`: BY_RANK counts from the end. */
void cache_zset_bounds_ranks(const struct cache_zset_bounds *b, const struct cache_zset *z, bool reverse,
                             uint64_t *first, uint64_t *end);

#endif
