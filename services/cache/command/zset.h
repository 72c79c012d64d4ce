/* What the files of sorted set commands share. */
#ifndef SERVICES_CACHE_COMMAND_ZSET_H
#define SERVICES_CACHE_COMMAND_ZSET_H

#include "cache/command/command.h"
#include "cache/type/zset.h"

/* A sorted set that a command works on. */
struct cache_zset_target {
    struct cache_store *store;
    struct mr_span key;
    bool found;
    struct cache_zset zset; /* found */
};

/* False: wrong type or key, replied. */
bool cache_zset_read(struct cache_call *call, const struct cache_argument *key, struct cache_zset_target *t);
bool cache_zset_write(struct cache_call *call, const struct cache_argument *key, struct cache_zset_target *t);
bool cache_zset_member(struct cache_call *call, const struct cache_argument *a,
                       struct mr_span *member); /* false: replied */

/* Elements from one end, or all of a result. */
void cache_zset_reply_flat(struct cache_reply *r, struct cache_zset_element x);   /* member, score */
void cache_zset_reply_nested(struct cache_reply *r, struct cache_zset_element x); /* [member, score] */
/* As replies "WITHSCORES" are in this protocol: RESP2 flat, RESP3 nested. The header, then one after the other. */
void cache_zset_reply_header(struct cache_reply *r, uint64_t n, bool with_scores);
void cache_zset_reply_element(struct cache_reply *r, struct cache_zset_element x, bool with_scores);

/* After elements went: the key goes with the last. */
void cache_zset_shrunk(struct cache_call *call, struct cache_zset_target *t, uint64_t removed);
/* `draft` takes the place of what is at the key; when it is empty nothing is there then. Replies how many there are. */
void cache_zset_store(struct cache_call *call, struct mr_span key, struct cache_zset *draft);
/* Room in the key's store for a result that is put there. */
enum cache_room cache_zset_store_reserve(struct cache_call *call, struct mr_span key, uint64_t members, uint64_t bytes);

/* zset_range.c */
cache_command_function cache_zset_zrange, cache_zset_zrangestore, cache_zset_zrangebyscore, cache_zset_zrevrangebyscore,
    cache_zset_zrangebylex, cache_zset_zrevrangebylex, cache_zset_zrevrange;
/* zset_span.c */
cache_command_function cache_zset_zcount, cache_zset_zlexcount, cache_zset_zremrangebyrank, cache_zset_zremrangebyscore,
    cache_zset_zremrangebylex;
/* zset_pop.c */
cache_command_function cache_zset_zpopmin, cache_zset_zpopmax, cache_zset_bzpopmin, cache_zset_bzpopmax,
    cache_zset_zmpop, cache_zset_bzmpop;
/* zset_random.c */
cache_command_function cache_zset_zrandmember;
/* zset_algebra.c */
cache_command_function cache_zset_zunion, cache_zset_zinter, cache_zset_zdiff, cache_zset_zunionstore,
    cache_zset_zinterstore, cache_zset_zdiffstore, cache_zset_zintercard;
int cache_zset_store_keys(const struct cache_argument *argv, unsigned argc, unsigned *positions, unsigned max);

#endif
