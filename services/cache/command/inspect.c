/* SLOWLOG, MEMORY, LATENCY, MODULE: what looks into the server. */
#include <string.h>

#include "cache/cache.h"
#include "cache/command/help.h"
#include "cache/command/key.h"
#include "cache/command/server.h"
#include "cache/command/slowlog.h"

#define GROUP(name, function, arity, flags, sentence) CACHE_ROW(name, function, arity, flags, "server", sentence)
#define HELP_ROW(function, sentence)                  GROUP("help", function, 2, CACHE_LOADING | CACHE_STALE, sentence)
#define LOOK(value)                                   __atomic_load_n(&(value), __ATOMIC_RELAXED)

static enum cache_outcome empty(struct cache_call *call)
{
    cache_reply_array(call->reply, 0);
    return CACHE_DONE;
}

/* -- SLOWLOG ----------------------------------------------------------------------------------------------------------------- */

static enum cache_outcome slowlog_help(struct cache_call *call)
{
    static const char *const lines[] = {
        "GET [<count>]",
        "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
        "    Entries are made of:",
        "    id, timestamp, time in microseconds, arguments array, client IP and port,",
        "    client name",
        "LEN",
        "    Return the length of the slowlog.",
        "RESET",
        "    Reset the slowlog.",
        NULL,
    };
    return cache_reply_help(call, "SLOWLOG", lines);
}

#define SLOWLOG_FLAGS (CACHE_ADMIN | CACHE_LOADING | CACHE_STALE | CACHE_FAN_OUT)

const struct cache_command cache_subcommands_slowlog[] = {
    GROUP("get", cache_command_slowlog_get, -2, SLOWLOG_FLAGS, "the newest, of each worker"),
    GROUP("len", cache_command_slowlog_len, 2, SLOWLOG_FLAGS, "how many are kept"),
    GROUP("reset", cache_command_slowlog_reset, 2, SLOWLOG_FLAGS, "forgets them"),
    HELP_ROW(slowlog_help, "what SLOWLOG takes"),
    {0},
};

/* -- MEMORY ------------------------------------------------------------------------------------------------------------------ */

struct memory_sums {
    uint64_t used, peak, resident, clients, keys;
};

static struct memory_sums memory_sum(const struct cache *cache)
{
    struct memory_sums sums = {0};
    for (unsigned i = 0; i < cache->workers; i++) {
        const struct cache *c = cache->shared->instance[i];
        sums.used += LOOK(c->store.memory.used);
        sums.peak += LOOK(c->store.memory.used_peak);
        sums.resident += LOOK(c->store.memory.resident);
        sums.clients += LOOK(c->clients.used);
    }
    for (unsigned i = 0; i < CACHE_DATABASES; i++)
        sums.keys += cache_keys_count(cache, i);
    return sums;
}

static void pair_integer(struct cache_reply *r, const char *name, uint64_t value)
{
    cache_reply_bulk_text(r, name);
    cache_reply_integer(r, (int64_t)value);
}

static void pair_ratio(struct cache_reply *r, const char *name, uint64_t part, uint64_t whole, double factor)
{
    cache_reply_bulk_text(r, name);
    cache_reply_double(r, whole ? factor * (double)part / (double)whole : 0);
}

/* Names as Redis has them where the meaning is the same; the others of Redis have none here. */
static enum cache_outcome memory_stats(struct cache_call *call)
{
    struct memory_sums sums = memory_sum(call->cache);
    struct cache_reply *r = call->reply;
    cache_reply_map(r, 12);
    pair_integer(r, "peak.allocated", sums.peak);
    pair_integer(r, "total.allocated", sums.used);
    pair_integer(r, "replication.backlog", 0);
    pair_integer(r, "clients.slaves", 0);
    pair_integer(r, "clients.normal", sums.clients);
    pair_integer(r, "keys.count", sums.keys);
    pair_integer(r, "keys.bytes-per-key", sums.keys ? sums.used / sums.keys : 0);
    pair_integer(r, "dataset.bytes", sums.used);
    pair_ratio(r, "peak.percentage", sums.used, sums.peak, 100);
    pair_integer(r, "allocator.resident", sums.resident);
    pair_ratio(r, "fragmentation", sums.resident, sums.used, 1);
    pair_integer(r, "fragmentation.bytes", sums.resident > sums.used ? sums.resident - sums.used : 0);
    return CACHE_DONE;
}

#define FRAGMENTED_BYTES_MIN (UINT64_C(64) << 20)

static enum cache_outcome memory_doctor(struct cache_call *call)
{
    struct memory_sums sums = memory_sum(call->cache);
    const char *text = "No fault is seen in how memory is used.";
    if (sums.resident > 2 * sums.used && sums.resident - sums.used > FRAGMENTED_BYTES_MIN)
        text = "More than half of the pages' bytes are free between those in use: values of other sizes were deleted. "
               "They are used again by values of the same sizes; wholly free pages by any.";
    else if (sums.used > call->cache->settings.memory_max / 100 * 95)
        text = "The keyspace is at its limit: keys are evicted, or writes refused, as maxmemory-policy says.";
    cache_reply_verbatim(call->reply, "txt", text, strlen(text));
    return CACHE_DONE;
}

static enum cache_outcome memory_malloc_stats(struct cache_call *call)
{
    static const char text[] = "Stats not supported for the current allocator";
    cache_reply_bulk_text(call->reply, text);
    return CACHE_DONE;
}

/* Free pages are given back as they become free. */
static enum cache_outcome memory_purge(struct cache_call *call)
{
    cache_reply_ok(call->reply);
    return CACHE_DONE;
}

static enum cache_outcome memory_help(struct cache_call *call)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    Return memory problems reports.",
        "MALLOC-STATS",
        "    Return internal statistics report from the memory allocator.",
        "PURGE",
        "    Attempt to purge dirty pages for reclamation by the allocator.",
        "STATS",
        "    Return information about the memory usage of the server.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return memory in bytes used by <key> and its value. Nested values are",
        "    sampled up to <count> times (default: 5, 0 means sample all).",
        NULL,
    };
    return cache_reply_help(call, "MEMORY", lines);
}

const struct cache_command cache_subcommands_memory[] = {
    {"usage", cache_command_memory_usage, -3, CACHE_READONLY, 2, 2, 1, "server", "bytes that a key takes", NULL, NULL,
     NULL},
    GROUP("stats", memory_stats, 2, 0, "bytes by what they are for"),
    GROUP("doctor", memory_doctor, 2, 0, "what is wrong, in words"),
    GROUP("malloc-stats", memory_malloc_stats, 2, 0, "none are kept"),
    GROUP("purge", memory_purge, 2, 0, "nothing: free pages are given back at once"),
    HELP_ROW(memory_help, "what MEMORY takes"),
    {0},
};

/* -- LATENCY: no events are kept, the slow log and millrace's own metrics are there for that ----------------------------------- */

static enum cache_outcome latency_reset(struct cache_call *call)
{
    cache_reply_integer(call->reply, 0);
    return CACHE_DONE;
}

static enum cache_outcome latency_graph(struct cache_call *call)
{
    const struct cache_argument *a = &call->argv[2];
    cache_reply_error(call->reply, "ERR No samples available for event '%.*s'",
                      a->rope ? 0 : (int)(a->length < 128 ? a->length : 128), (const char *)a->data);
    return CACHE_DONE;
}

static enum cache_outcome latency_histogram(struct cache_call *call)
{
    cache_reply_map(call->reply, 0);
    return CACHE_DONE;
}

static enum cache_outcome latency_doctor(struct cache_call *call)
{
    static const char text[] =
        "No latency events are kept by this server. Slow commands are in the SLOWLOG, and the time of each "
        "turn of a worker is among its metrics.";
    cache_reply_verbatim(call->reply, "txt", text, sizeof text - 1);
    return CACHE_DONE;
}

static enum cache_outcome latency_help(struct cache_call *call)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    Return a human readable latency analysis report.",
        "GRAPH <event>",
        "    Return an ASCII latency graph for the <event> class.",
        "HISTORY <event>",
        "    Return time-latency samples for the <event> class.",
        "LATEST",
        "    Return the latest latency samples for all events.",
        "RESET [<event> ...]",
        "    Reset latency data of one or more <event> classes.",
        "    (default: reset all data for all event classes)",
        "HISTOGRAM [COMMAND ...]",
        "    Return a cumulative distribution of latencies in the format of a histogram for the specified command "
        "names.",
        "    If no commands are specified then all histograms are replied.",
        NULL,
    };
    return cache_reply_help(call, "LATENCY", lines);
}

const struct cache_command cache_subcommands_latency[] = {
    GROUP("latest", empty, 2, CACHE_ADMIN_FLAGS, "none are kept"),
    GROUP("history", empty, 3, CACHE_ADMIN_FLAGS, "none are kept"),
    GROUP("reset", latency_reset, -2, CACHE_ADMIN_FLAGS, "none are kept"),
    GROUP("graph", latency_graph, 3, CACHE_ADMIN_FLAGS, "none are kept"),
    GROUP("histogram", latency_histogram, -2, CACHE_ADMIN_FLAGS, "none are kept"),
    GROUP("doctor", latency_doctor, 2, CACHE_ADMIN_FLAGS, "where to look instead"),
    HELP_ROW(latency_help, "what LATENCY takes"),
    {0},
};

/* -- MODULE: there are none ---------------------------------------------------------------------------------------------------- */

static enum cache_outcome module_help(struct cache_call *call)
{
    static const char *const lines[] = {
        "LIST",
        "    Return a list of loaded modules.",
        "LOAD <path> [<arg> ...]",
        "    Load a module library from <path>, passing to it any optional arguments.",
        "LOADEX <path> [[CONFIG NAME VALUE] [CONFIG NAME VALUE]] [ARGS ...]",
        "    Load a module library from <path>, while passing it module configurations and optional arguments.",
        "UNLOAD <name>",
        "    Unload a module.",
        NULL,
    };
    return cache_reply_help(call, "MODULE", lines);
}

static enum cache_outcome module_load(struct cache_call *call)
{
    cache_reply_error(call->reply, "ERR this server takes no modules");
    return CACHE_DONE;
}

#define MODULE_FLAGS (CACHE_ADMIN | CACHE_NOSCRIPT)

const struct cache_command cache_subcommands_module[] = {
    GROUP("list", empty, 2, MODULE_FLAGS, "none"),
    GROUP("load", module_load, -3, MODULE_FLAGS | CACHE_NO_ASYNC_LOADING, "refused"),
    GROUP("loadex", module_load, -3, MODULE_FLAGS | CACHE_NO_ASYNC_LOADING, "refused"),
    GROUP("unload", module_load, 3, MODULE_FLAGS | CACHE_NO_ASYNC_LOADING, "refused"),
    HELP_ROW(module_help, "what MODULE takes"),
    {0},
};
