/* Commands about the server as a whole: the table, and what is said in a line or two. */
#include "cache/command/server.h"

#include <inttypes.h>
#include <stdio.h>

#include "cache/cache.h"
#include "cache/command/help.h"
#include "cache/command/slowlog.h"

/* To the microsecond as far as turns have it: no clock is read for it. */
static enum cache_outcome server_time(struct cache_call *call)
{
    struct cache *cache = call->cache;
    uint64_t us = cache->worker ? (uint64_t)((int64_t)mr_now(cache->worker) + cache->unix_offset_ns) / 1000
                                : cache->now_ms * 1000;
    cache_reply_array(call->reply, 2);
    cache_reply_bulk_integer(call->reply, (int64_t)(us / 1000000));
    cache_reply_bulk_integer(call->reply, (int64_t)(us % 1000000));
    return CACHE_DONE;
}

/* The process may have other services: a client of the cache does not end them. */
static enum cache_outcome server_shutdown(struct cache_call *call)
{
    bool abort = false;
    for (unsigned i = 1; i < call->argc; i++) {
        const struct cache_argument *a = &call->argv[i];
        bool aborts = cache_argument_is(a, "abort");
        if (!aborts && !cache_argument_is(a, "nosave") && !cache_argument_is(a, "save") &&
            !cache_argument_is(a, "now") && !cache_argument_is(a, "force")) {
            cache_reply_syntax_error(call->reply);
            return CACHE_DONE;
        }
        abort |= aborts;
    }
    if (abort)
        cache_reply_error(call->reply, "ERR No shutdown in progress.");
    else
        cache_reply_error(call->reply, "ERR SHUTDOWN is not for clients of this server: end its process with SIGTERM");
    return CACHE_DONE;
}

/* -- replication: there is none ------------------------------------------------------------------------------------------------ */

static enum cache_outcome server_replicaof(struct cache_call *call)
{
    if (cache_argument_is(&call->argv[1], "no") && cache_argument_is(&call->argv[2], "one"))
        cache_reply_ok(call->reply);
    else
        cache_reply_error(call->reply, "ERR replication is not provided by this server");
    return CACHE_DONE;
}

static enum cache_outcome server_role(struct cache_call *call)
{
    cache_reply_array(call->reply, 3);
    cache_reply_bulk_text(call->reply, "master");
    cache_reply_integer(call->reply, 0);
    cache_reply_array(call->reply, 0);
    return CACHE_DONE;
}

/* No replica will ever have acknowledged anything, so that nobody waits. */
static enum cache_outcome server_wait(struct cache_call *call)
{
    int64_t replicas, timeout_ms;
    if (!cache_argument_integer(&call->argv[1], &replicas))
        cache_reply_not_integer(call->reply);
    else if (!cache_argument_integer(&call->argv[2], &timeout_ms))
        cache_reply_error(call->reply, "ERR timeout is not an integer or out of range");
    else if (timeout_ms < 0)
        cache_reply_error(call->reply, "ERR timeout is negative");
    else
        cache_reply_integer(call->reply, 0);
    return CACHE_DONE;
}

static enum cache_outcome server_failover(struct cache_call *call)
{
    cache_reply_error(call->reply, "ERR FAILOVER requires connected replicas.");
    return CACHE_DONE;
}

/* -- cluster: there is none ---------------------------------------------------------------------------------------------------- */

static enum cache_outcome cluster_disabled(struct cache_call *call)
{
    cache_reply_error(call->reply, "ERR This instance has cluster support disabled");
    return CACHE_DONE;
}

#define CLUSTER(name, arity) \
    CACHE_ROW(name, cluster_disabled, arity, CACHE_STALE, "cluster", "refused: there is no cluster")

static const struct cache_command subcommands_cluster[] = {
    CLUSTER("info", 2),          CLUSTER("myid", 2),
    CLUSTER("nodes", 2),         CLUSTER("slots", 2),
    CLUSTER("shards", 2),        CLUSTER("links", 2),
    CLUSTER("keyslot", 3),       CLUSTER("countkeysinslot", 3),
    CLUSTER("getkeysinslot", 4), {0},
};

/* -- and a picture ------------------------------------------------------------------------------------------------------------- */

static enum cache_outcome server_lolwut(struct cache_call *call)
{
    static const char picture[] =
        "      ___  ___\n"
        "  ___|   \\/   |___      the mill does not grind\n"
        " /  _   ~~~~   _  \\     with water that has passed\n"
        " \\_/ \\________/ \\_/\n\n"
        "Millrace " CACHE_MILLRACE_VERSION ", with the commands of Redis ver. " CACHE_REDIS_VERSION "\n";
    cache_reply_verbatim(call->reply, "txt", picture, sizeof picture - 1);
    return CACHE_DONE;
}

/* -- the table ----------------------------------------------------------------------------------------------------------------- */

#define ROW(name, function, arity, flags, sentence) CACHE_ROW(name, function, arity, flags, "server", sentence)
#define CONTAINER(name, group, subcommands, sentence)                                      \
    {                                                                                      \
        name, NULL, -2, CACHE_CONTAINER, 0, 0, 0, group, sentence, NULL, NULL, subcommands \
    }
#define CACHE_ADMIN_ALONE (CACHE_ADMIN | CACHE_NOSCRIPT)

const struct cache_command cache_commands_server[] = {
    ROW("dbsize", cache_command_dbsize, 1, CACHE_READONLY | CACHE_FAST | CACHE_ALL_SHARDS, "keys of the database"),
    ROW("flushall", cache_command_flushall, -1, CACHE_WRITE | CACHE_ALL_SHARDS, "drops every key"),
    ROW("flushdb", cache_command_flushdb, -1, CACHE_WRITE | CACHE_ALL_SHARDS, "drops every key of the database"),
    ROW("swapdb", cache_command_swapdb, 3, CACHE_WRITE | CACHE_FAST | CACHE_ALL_SHARDS, "two databases change places"),
    ROW("info", cache_command_info, -1, CACHE_LOADING | CACHE_STALE, "numbers about the server"),
    ROW("time", server_time, 1, CACHE_LOADING | CACHE_STALE | CACHE_FAST, "the server's time"),
    ROW("lastsave", cache_command_lastsave, 1, CACHE_LOADING | CACHE_STALE | CACHE_FAST,
        "when the last snapshot ended"),
    ROW("save", cache_command_save, 1, CACHE_ADMIN_ALONE | CACHE_NO_ASYNC_LOADING | CACHE_NO_MULTI | CACHE_ALL_SHARDS,
        "takes a snapshot; this connection alone waits for its end"),
    ROW("bgsave", cache_command_bgsave, -1, CACHE_ADMIN_ALONE | CACHE_NO_ASYNC_LOADING | CACHE_ALL_SHARDS,
        "begins a snapshot"),
    ROW("bgrewriteaof", cache_command_bgrewriteaof, 1, CACHE_ADMIN_ALONE | CACHE_NO_ASYNC_LOADING | CACHE_ALL_SHARDS,
        "begins a rewrite of the log"),
    ROW("shutdown", server_shutdown, -1, CACHE_ADMIN_FLAGS | CACHE_ALLOW_BUSY | CACHE_NO_MULTI,
        "refused: the process may have other services"),
    ROW("replicaof", server_replicaof, 3, CACHE_ADMIN_ALONE | CACHE_NO_ASYNC_LOADING | CACHE_STALE,
        "NO ONE; anything else is refused"),
    ROW("slaveof", server_replicaof, 3, CACHE_ADMIN_ALONE | CACHE_NO_ASYNC_LOADING | CACHE_STALE,
        "NO ONE; anything else is refused"),
    ROW("failover", server_failover, -1, CACHE_ADMIN_ALONE | CACHE_STALE, "refused: there are no replicas"),
    ROW("role", server_role, 1, CACHE_NOSCRIPT | CACHE_LOADING | CACHE_STALE | CACHE_FAST, "master, without replicas"),
    CACHE_ROW("wait", server_wait, 3, CACHE_NOSCRIPT, "generic", "0: there are no replicas"),
    CACHE_ROW("readonly", cluster_disabled, 1, CACHE_LOADING | CACHE_STALE | CACHE_FAST, "cluster",
              "refused: there is no cluster"),
    CACHE_ROW("readwrite", cluster_disabled, 1, CACHE_LOADING | CACHE_STALE | CACHE_FAST, "cluster",
              "refused: there is no cluster"),
    CACHE_ROW("asking", cluster_disabled, 1, CACHE_FAST, "cluster", "refused: there is no cluster"),
    ROW("lolwut", server_lolwut, -1, CACHE_READONLY | CACHE_FAST, "a picture"),
    ROW("debug", cache_command_debug, -2, CACHE_ADMIN_FLAGS | CACHE_ALL_SHARDS, "for tests"),
    CONTAINER("config", "server", cache_subcommands_config, "parameters that can be changed while running"),
    CONTAINER("slowlog", "server", cache_subcommands_slowlog, "commands that took long"),
    CONTAINER("memory", "server", cache_subcommands_memory, "what takes how much memory"),
    CONTAINER("latency", "server", cache_subcommands_latency, "latency events, of which none are kept"),
    CONTAINER("module", "server", cache_subcommands_module, "modules, of which there are none"),
    CONTAINER("acl", "server", cache_subcommands_acl, "users, of which there is one"),
    CONTAINER("cluster", "cluster", subcommands_cluster, "refused: there is no cluster"),
    {0},
};
