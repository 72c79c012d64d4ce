/* Snapshots and rewrites of the log, when asked for. They begin while every shard is held and go on in the turns of all workers;
 * nobody waits for them. SAVE, for which Redis stands still, begins one as BGSAVE does and says so: LASTSAVE and INFO tell the end. */
#include "cache/cache.h"
#include "cache/command/server.h"
#include "cache/durability.h"
#include "cache/durable/log.h"

static enum cache_outcome begin(struct cache_call *call, bool rewrite, const char *begun, const char *busy)
{
    int error = cache_durability_snapshot(call->cache, rewrite);
    if (error == MR_OK)
        cache_reply_simple(call->reply, begun);
    else if (error == MR_ERROR_IN_USE)
        cache_reply_error(call->reply, "%s", busy);
    else if (error == MR_ERROR_UNSUPPORTED)
        cache_reply_error(call->reply,
                          "ERR nothing of the kind is kept: see 'durability' of this server's configuration");
    else
        cache_reply_error(call->reply, "ERR it could not begin: the log of the process tells why");
    return CACHE_DONE;
}

enum cache_outcome cache_command_save(struct cache_call *call)
{
    return begin(call, false, "OK", "ERR Background save already in progress");
}

enum cache_outcome cache_command_bgsave(struct cache_call *call)
{
    if (call->argc > 2 || (call->argc == 2 && !cache_argument_is(&call->argv[1], "schedule"))) {
        cache_reply_syntax_error(call->reply);
        return CACHE_DONE;
    }
    return begin(call, false, "Background saving started", "ERR Background save already in progress");
}

enum cache_outcome cache_command_bgrewriteaof(struct cache_call *call)
{
    return begin(call, true, "Background append only file rewriting started",
                 "ERR Background append only file rewriting already in progress");
}

/* Before the first snapshot: when the process began, as Redis says it. */
enum cache_outcome cache_command_lastsave(struct cache_call *call)
{
    const struct cache_shared *shared = call->cache->shared;
    struct cache_log_status status = {0};
    if (shared->log)
        cache_log_status(shared->log, &status);
    cache_reply_integer(call->reply,
                        (int64_t)((status.last_save_ms ? status.last_save_ms : shared->started_ms) / 1000));
    return CACHE_DONE;
}
