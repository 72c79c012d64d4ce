/* What the commands of a session keep beside it: started and released with the instance. */
#ifndef SERVICES_CACHE_SESSION_H
#define SERVICES_CACHE_SESSION_H

#include "cache/cache.h"
#include "cache/client.h"

/* transaction.c: watched keys have versions in the shard that owns them; a version moves with each change while somebody watches. */
bool cache_watch_start(struct cache *cache);
void cache_watch_release(struct cache *cache);
void cache_watch_touched(struct cache *cache, unsigned database,
                         struct mr_span key); /* from the store's listener; must be cheap when nobody watches */
void cache_watch_flushed(struct cache *cache, unsigned database);

/* Queues a command after MULTI (admitted already); replies QUEUED. */
void cache_multi_queue(struct cache *cache, struct cache_client *client, const struct cache_command *command,
                       const struct cache_argument *argv, unsigned argc, struct cache_reply *reply);
/* The shards that EXEC needs: of every queued command's keys and every watched key; a bit each. */
uint64_t cache_multi_shards(const struct cache *cache, const struct cache_client *client);

/* pubsub.c */
bool cache_pubsub_start(struct cache *cache);
/* config.c: what CONFIG GET and SET know; `cache_settings_changed` applies a change on every worker (by message). */
void cache_settings_init(struct cache *cache);
/* False: no memory for the state of another eviction policy; nothing has changed then. */
bool cache_settings_apply(struct cache *cache, const struct cache_settings *s);

#endif
