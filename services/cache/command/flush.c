/* Commands of whole databases: every shard is held for them, so that they are one moment of all. */
#include "cache/blocked.h"
#include "cache/cache.h"
#include "cache/command/server.h"
#include "cache/command/session.h"
#include "cache/command/watch.h"

/* A relaxed look at a number of another worker's, which is true of some moment. */
#define LOOK(value) __atomic_load_n(&(value), __ATOMIC_RELAXED)

uint64_t cache_keys_count(const struct cache *cache, unsigned database)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < cache->workers; i++)
        n += LOOK(cache->shared->instance[i]->store.database[database].count);
    return n;
}

enum cache_outcome cache_command_dbsize(struct cache_call *call)
{
    cache_reply_integer(call->reply, (int64_t)cache_keys_count(call->cache, call->database));
    return CACHE_DONE;
}

void cache_call_flush(struct cache_call *call, struct cache *shard, unsigned database)
{
    cache_watch_flushed(shard, database);
    cache_store_flush(&shard->store, database);
    cache_call_counted(call, &shard->store);
}

/* SYNC and ASYNC are the same here: what was dropped is taken apart some pieces a turn, and counts as used until it is. */
static bool flush_arguments(struct cache_call *call)
{
    if (call->argc == 1 ||
        (call->argc == 2 && (cache_argument_is(&call->argv[1], "sync") || cache_argument_is(&call->argv[1], "async"))))
        return true;
    cache_reply_syntax_error(call->reply);
    return false;
}

enum cache_outcome cache_command_flushdb(struct cache_call *call)
{
    if (!flush_arguments(call))
        return CACHE_DONE;
    for (unsigned i = 0; i < call->cache->workers; i++)
        cache_call_flush(call, call->cache->shared->instance[i], call->database);
    cache_reply_ok(call->reply);
    return CACHE_DONE;
}

enum cache_outcome cache_command_flushall(struct cache_call *call)
{
    if (!flush_arguments(call))
        return CACHE_DONE;
    for (unsigned i = 0; i < call->cache->workers; i++)
        for (unsigned database = 0; database < CACHE_DATABASES; database++)
            cache_call_flush(call, call->cache->shared->instance[i], database);
    cache_reply_ok(call->reply);
    return CACHE_DONE;
}

static bool swap_argument(struct cache_call *call, unsigned position, const char *which, int64_t *database)
{
    if (cache_argument_integer(&call->argv[position], database) && *database >= INT32_MIN && *database <= INT32_MAX)
        return true;
    cache_reply_error(call->reply, "ERR invalid %s DB index", which);
    return false;
}

enum cache_outcome cache_command_swapdb(struct cache_call *call)
{
    int64_t a, b;
    if (!swap_argument(call, 1, "first", &a) || !swap_argument(call, 2, "second", &b))
        return CACHE_DONE;
    if (a < 0 || a >= CACHE_DATABASES || b < 0 || b >= CACHE_DATABASES) {
        cache_reply_error(call->reply, "ERR DB index is out of range");
        return CACHE_DONE;
    }
    for (unsigned i = 0; i < call->cache->workers && a != b; i++) {
        struct cache *shard = call->cache->shared->instance[i];
        cache_watch_swapped(shard, (unsigned)a, (unsigned)b);
        cache_store_swap(&shard->store, (unsigned)a, (unsigned)b);
        if (cache_blocked_any(shard))
            cache_blocked_swapped(shard, (unsigned)a, (unsigned)b);
        cache_call_counted(call, &shard->store);
    }
    cache_reply_ok(call->reply);
    return CACHE_DONE;
}
