/* What the files of key commands share. */
#ifndef SERVICES_CACHE_COMMAND_KEY_H
#define SERVICES_CACHE_COMMAND_KEY_H

#include "cache/command/string.h"

/* key_move.c */
cache_command_function cache_command_rename, cache_command_renamenx, cache_command_move;
/* key_copy.c */
cache_command_function cache_command_copy;
/* key_expire.c */
cache_command_function cache_command_expire, cache_command_pexpire, cache_command_expireat, cache_command_pexpireat,
    cache_command_ttl, cache_command_pttl, cache_command_expiretime, cache_command_pexpiretime, cache_command_persist;
/* key_object.c: OBJECT's subcommands; MEMORY's table is in server.c */
extern const struct cache_command cache_subcommands_object[];
cache_command_function cache_command_memory_usage;

/* An entry that is alive, looked at without a trace in the eviction's order; counts a hit or a miss. */
struct cache_entry *cache_key_look(struct cache_call *call, struct mr_span key);

/* Makes `key` in `to` a copy of an entry of `from`, expiry and all, in place of what is there. Room as cache_key_copy_cost
 * says must be reserved, and the entry looked up since. False: no memory, nothing changed but that the old value may be gone. */
uint64_t cache_key_copy_cost(const struct cache_store *from, const struct cache_entry *e, const struct cache_store *to,
                             size_t key_bytes);
bool cache_key_copy(struct cache_store *from, const struct cache_entry *e, struct cache_store *to, unsigned database,
                    struct mr_span key);

/* Tells that `key` of `database` changed, and to those who wait for lists and sorted sets that one came. */
void cache_key_appeared(struct cache_call *call, struct cache_store *store, unsigned database, struct mr_span key);
/* A database by its number; false: replied. */
bool cache_database_argument(struct cache_call *call, const struct cache_argument *a, unsigned *database);

#endif
