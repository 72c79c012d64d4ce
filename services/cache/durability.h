/* The log and the snapshots (durable/) as the instances use them: made with what they share, loaded when the last has started. */
#ifndef SERVICES_CACHE_DURABILITY_H
#define SERVICES_CACHE_DURABILITY_H

#include "cache/cache.h"

/* MR_OK, or an error whose reason is logged; nothing to do without durability. */
int cache_durability_open(struct cache_shared *shared);
/* On the main thread, when every instance has its store: replays, then gives each its handle. */
int cache_durability_load(struct cache_shared *shared);
void cache_durability_stop(struct cache *cache);
void cache_durability_close(struct cache_shared *shared);

/* At the end of a turn, while our shard is ours. True: there is more. */
bool cache_durability_step(struct cache *cache);
/* Nothing may expire or be evicted while the log is full. */
bool cache_durability_ready(const struct cache *cache);

/* BGSAVE, BGREWRITEAOF: with every shard held. MR_OK, MR_ERROR_IN_USE (one runs), MR_ERROR_UNSUPPORTED (not configured). */
int cache_durability_snapshot(struct cache *cache, bool rewrite);
#endif
