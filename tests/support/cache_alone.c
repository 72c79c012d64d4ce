/* What commands call that belongs to connections, the log and the slow log, for programs that have none of these. Weak: where
 * something else of the service brings the real ones, those count. */
#include "cache/blocked.h"
#include "cache/command/effect.h"
#include "cache/command/session.h"
#include "cache/command/slowlog.h"

#define ABSENT __attribute__((weak))

ABSENT const struct cache_command cache_commands_pubsub[1] = {{0}};
ABSENT const struct cache_command cache_commands_connection[1] = {{0}};
ABSENT const struct cache_command cache_commands_transaction[1] = {{0}};
ABSENT const struct cache_command cache_commands_server[1] = {{0}};

ABSENT void cache_slowlog_add(struct cache *cache, const struct cache_call *call, uint64_t us)
{
    (void)cache;
    (void)call;
    (void)us;
}

ABSENT void cache_effects_log(struct cache_call *call)
{
    (void)call;
}

ABSENT bool cache_effects_ready(struct cache_call *call, bool *refused)
{
    (void)call;
    *refused = false;
    return true;
}

ABSENT void cache_blocked_ready(struct cache *owner, unsigned database, struct mr_span key)
{
    (void)owner;
    (void)database;
    (void)key;
}

ABSENT void cache_watch_flushed(struct cache *cache, unsigned database)
{
    (void)cache;
    (void)database;
}
