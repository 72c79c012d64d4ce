/* What transaction.c asks of watch.c. */
#ifndef SERVICES_CACHE_COMMAND_WATCH_H
#define SERVICES_CACHE_COMMAND_WATCH_H

#include "cache/command/session.h"

cache_command_function cache_command_watch, cache_command_unwatch;
/* Whether EXEC must not run; every shard of cache_client_watched_shards is at hand. A key whose time was over meanwhile has changed. */
bool cache_client_watched_changed(const struct cache_client *c);
uint64_t cache_client_watched_shards(const struct cache_client *c);
/* SWAPDB: a watched key that is in either database has changed. Before they are swapped; the shard is at hand. */
void cache_watch_swapped(struct cache *shard, unsigned a, unsigned b);

#endif
