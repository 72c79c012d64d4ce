/* What DEBUG DIGEST and DIGEST-VALUE show: forty hexadecimal digits, zeros for nothing. */
#ifndef SERVICES_CACHE_DIGEST_H
#define SERVICES_CACHE_DIGEST_H

#include "cache/command/call.h"

#define CACHE_DIGEST_LANES 3

struct cache_digest {
    uint64_t lane[CACHE_DIGEST_LANES];
};

/* Of type, value and expiry; not of the key. O(value). */
struct cache_digest cache_digest_value(struct cache_store *s, struct cache_entry *e);
/* Of every shard, all of which the call holds. O(keyspace), in this turn. */
struct cache_digest cache_digest_keyspace(const struct cache_call *call);
void cache_digest_reply(struct cache_reply *r, const struct cache_digest *d);

#endif
