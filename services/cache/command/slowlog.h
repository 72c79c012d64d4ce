/* The slow log: the last commands that took longer than slowlog-log-slower-than, in a ring of this worker. */
#ifndef SERVICES_CACHE_SLOWLOG_H
#define SERVICES_CACHE_SLOWLOG_H

#include "cache/command/command.h"

bool cache_slowlog_start(struct cache *cache); /* false: no memory */
/* Arguments are cut as Redis does: 32 of them, 128 bytes each. */
void cache_slowlog_add(struct cache *cache, const struct cache_call *call, uint64_t us);
/* Made smaller by CONFIG SET slowlog-max-len. */
void cache_slowlog_trim(struct cache *cache);

/* SLOWLOG GET, LEN and RESET; rows in server.c, with CACHE_FAN_OUT. */
cache_command_function cache_command_slowlog_get, cache_command_slowlog_len, cache_command_slowlog_reset;

#endif
