/* What the files of server commands share: each has its functions or its table of subcommands; server.c has the rows. */
#ifndef SERVICES_CACHE_COMMAND_SERVER_H
#define SERVICES_CACHE_COMMAND_SERVER_H

#include "cache/command/call.h"

#define CACHE_REDIS_VERSION "7.0.15" /* whose commands and texts these are: clients choose what they say by it */

/* config.c */
cache_command_function cache_command_config_set, cache_command_config_resetstat;
extern const struct cache_command cache_subcommands_config[];
/* info.c */
cache_command_function cache_command_info;
void cache_info_reset(struct cache *cache);
/* inspect.c: what looks at the server */
extern const struct cache_command cache_subcommands_slowlog[], cache_subcommands_memory[], cache_subcommands_latency[],
    cache_subcommands_module[];
/* acl.c */
extern const struct cache_command cache_subcommands_acl[];
/* flush.c */
cache_command_function cache_command_dbsize, cache_command_flushall, cache_command_flushdb, cache_command_swapdb;
/* save.c */
cache_command_function cache_command_save, cache_command_bgsave, cache_command_bgrewriteaof, cache_command_lastsave;
/* debug.c */
cache_command_function cache_command_debug;

/* For rows of tables without keys. */
#define CACHE_ROW(name, function, arity, flags, group, sentence)                 \
    {                                                                            \
        name, function, arity, flags, 0, 0, 0, group, sentence, NULL, NULL, NULL \
    }
#define CACHE_ADMIN_FLAGS (CACHE_ADMIN | CACHE_NOSCRIPT | CACHE_LOADING | CACHE_STALE)

/* Keys of every shard, all databases or one; from any worker, each number true of some moment. */
uint64_t cache_keys_count(const struct cache *cache, unsigned database);

/* flush.c: a database of a shard that is at hand becomes empty; its watchers hear of it. */
void cache_call_flush(struct cache_call *call, struct cache *shard, unsigned database);

#endif
