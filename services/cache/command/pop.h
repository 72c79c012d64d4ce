/* What commands that pop from the first of several keys have in common, lists' and sorted sets': a timeout, a number of keys,
 * and what happens when there is nothing. */
#ifndef SERVICES_CACHE_POP_H
#define SERVICES_CACHE_POP_H

#include "cache/command/command.h"

/* A timeout in seconds as *until_ms: Unix time, 0 for ever. False: replied. */
bool cache_pop_timeout(struct cache_call *call, const struct cache_argument *a, uint64_t *until_ms);
/* Nothing to pop: waits if the call may, else replies null; `bulk_null` when it may not wait from the begin. */
enum cache_outcome cache_pop_nothing(struct cache_call *call, uint64_t until_ms, bool bulk_null);

/* "numkeys key [key ...] WHERE [COUNT count]" from argv[at] on. */
struct cache_pop_request {
    unsigned first_key, keys;
    bool first;     /* the first word: LEFT, MIN */
    uint64_t count; /* 1 unless given */
};
bool cache_pop_request(struct cache_call *call, unsigned at, const char *first, const char *last,
                       struct cache_pop_request *request); /* false: replied */

/* Positions of keys behind their number at argv[at]; for the tables' `keys`. -1: there are not so many. */
int cache_numbered_keys(const struct cache_argument *argv, unsigned argc, unsigned at, unsigned *positions,
                        unsigned max);
int cache_numbered_keys_1(const struct cache_argument *argv, unsigned argc, unsigned *positions, unsigned max);
int cache_numbered_keys_2(const struct cache_argument *argv, unsigned argc, unsigned *positions, unsigned max);

/* A count that may be 0. False: replied. */
bool cache_pop_count(struct cache_call *call, const struct cache_argument *a, uint64_t *count);
/* The log gets "NAME key count" (without it when count is 0). */
void cache_pop_propagate(struct cache_call *call, const char *name, struct mr_span key, uint64_t count);
/* Memory was short although it was reserved. */
void cache_reply_no_memory(struct cache_reply *r);

#endif
