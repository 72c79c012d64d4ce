/* Clients that wait for keys: BLPOP and its kin. Each shard keeps, per key, who waits, in the order in which they came. A command
 * that gave a key elements marks it ready (cache_call_ready); when the call has ended the waiters of ready keys are called again
 * in order, until the key has nothing left. A waiter on another worker is told by message and tries again as any command of
 * another shard does. Waiters are made while every shard concerned is this worker's or held, so no element slips by. */
#ifndef SERVICES_CACHE_BLOCKED_H
#define SERVICES_CACHE_BLOCKED_H

#include "cache/cache.h"
#include "cache/client.h"

struct cache_waiter; /* one client waiting for one key, in the shard of that key */

bool cache_blocked_start(struct cache *cache); /* false: no memory */

static inline bool cache_blocked_any(const struct cache *cache)
{
    return cache->waiters != 0;
}
/* The key got something; its waiters are served by cache_blocked_serve on the owner. */
void cache_blocked_ready(struct cache *owner, unsigned database, struct mr_span key);
/* SWAPDB: keys of either database may have come into being where somebody waits. O(keys waited for). */
void cache_blocked_swapped(struct cache *owner, unsigned a, unsigned b);
static inline bool cache_blocked_has_ready(const struct cache *cache)
{
    return !cache->holder && cache->ready != NULL; /* a holder's are served when the shard is back */
}
/* After each call, and when a held shard comes back: tries the waiters of ready keys again. */
void cache_blocked_serve(struct cache *cache);

/* The connection waits for the keys of its call (in c->query), which are all at hand. False: no memory. */
bool cache_blocked_wait(struct cache_connection *c, const struct cache_call *call);
/* It waits no more: served, timed out, gone. */
void cache_blocked_forget(struct cache_connection *c);
uint32_t cache_blocked_count(const struct cache *cache); /* clients: INFO blocked_clients */

#endif
