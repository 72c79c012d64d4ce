/* What the two files of set commands share. */
#ifndef SERVICES_CACHE_COMMAND_SET_H
#define SERVICES_CACHE_COMMAND_SET_H

#include "cache/command/command.h"

/* Bytes that adding members to the set at `key`, which may not be there, takes at most. */
uint64_t cache_set_command_room(const struct cache_call *call, struct cache_store *s, struct mr_span key,
                                uint64_t members, uint64_t member_costs);

/* set_algebra.c */
cache_command_function cache_set_sdiff, cache_set_sdiffstore, cache_set_sinter, cache_set_sinterstore,
    cache_set_sintercard, cache_set_sunion, cache_set_sunionstore;
int cache_set_sintercard_keys(const struct cache_argument *argv, unsigned argc, unsigned *positions, unsigned max);

#endif
