/* Snapshots and rewrites of the log, when asked for. They begin while every shard is held and go on in the turns of all workers, which
 * serve their clients meanwhile. */
#include "cache/command/server.h"
#include "cache/connection.h"
#include "cache/durability.h"
#include "cache/durable/log.h"
#include "cache/durable/snapshot.h"

static enum cache_outcome begun(struct cache_call *call, int error, const char *good, const char *busy)
{
    if (error == MR_OK)
        cache_reply_simple(call->reply, good);
    else if (error == MR_ERROR_IN_USE)
        cache_reply_error(call->reply, "%s", busy);
    else if (error == MR_ERROR_UNSUPPORTED)
        cache_reply_error(call->reply,
                          "ERR nothing of the kind is kept: see 'durability' of this server's configuration");
    else
        cache_reply_error(call->reply, "ERR it could not begin: the log of the process tells why");
    return CACHE_DONE;
}

#define SAVE_LOOK_MS 20

static enum cache_outcome save_wait(struct cache_call *call)
{
    call->client->connection->wait_until = 0; /* a new time, each time */
    call->wait_until_ms = call->now_ms + SAVE_LOOK_MS;
    return CACHE_WAIT;
}

/* Redis stands still until it has ended; here the connection alone waits, and looks again now and then. */
enum cache_outcome cache_command_save(struct cache_call *call)
{
    struct cache *cache = call->cache;
    struct cache_log_status status;
    if (call->timed_out && cache_snapshot_running(cache->log))
        return save_wait(call);
    if (!call->timed_out) {
        int error = cache_durability_snapshot(cache, false);
        if (error == MR_OK && call->may_block && call->client)
            return save_wait(call);
        return begun(call, error, "OK", "ERR Background save already in progress");
    }
    cache_log_status(cache->shared->log, &status);
    if (status.last_save_ok)
        cache_reply_ok(call->reply);
    else
        cache_reply_error(call->reply, "ERR it could not be written: the log of the process tells why");
    return CACHE_DONE;
}

enum cache_outcome cache_command_bgsave(struct cache_call *call)
{
    if (call->argc > 2 || (call->argc == 2 && !cache_argument_is(&call->argv[1], "schedule"))) {
        cache_reply_syntax_error(call->reply);
        return CACHE_DONE;
    }
    return begun(call, cache_durability_snapshot(call->cache, false), "Background saving started",
                 "ERR Background save already in progress");
}

enum cache_outcome cache_command_bgrewriteaof(struct cache_call *call)
{
    return begun(call, cache_durability_snapshot(call->cache, true), "Background append only file rewriting started",
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
