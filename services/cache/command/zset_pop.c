/* Commands that pop: ZPOPMIN, ZPOPMAX, ZMPOP, and BZPOPMIN, BZPOPMAX, BZMPOP, which wait. */
#include "cache/command/pop.h"
#include "cache/command/zset.h"

/* Replies to `n` elements from one end by `reply`, then removes them. */
static void pop(struct cache_call *call, struct cache_zset_target *t, bool min, uint64_t n,
                void (*reply)(struct cache_reply *r, struct cache_zset_element x))
{
    uint64_t count = cache_zset_count(&t->zset);
    cache_zset_at at = cache_zset_at_rank(&t->zset, min ? 0 : count - 1);
    for (uint64_t i = 0; i < n; i++) {
        reply(call->reply, cache_zset_get(&t->zset, at));
        at = min ? cache_zset_next(&t->zset, at) : cache_zset_previous(&t->zset, at);
    }
    if (n < count)
        cache_zset_remove_ranks(&t->zset, min ? 0 : count - n, n);
    else
        t->found = false;
    cache_zset_shrunk(call, t, n);
}

static uint64_t at_most(const struct cache_zset_target *t, uint64_t n)
{
    uint64_t count = cache_zset_count(&t->zset);
    return n < count ? n : count;
}

static enum cache_outcome pop_now(struct cache_call *call, bool min)
{
    struct cache_zset_target t;
    uint64_t n = 1;
    bool counted = call->argc == 3;
    if (call->argc > 3) {
        cache_reply_syntax_error(call->reply);
        return CACHE_DONE;
    }
    if ((counted && !cache_pop_count(call, &call->argv[2], &n)) || !cache_zset_write(call, &call->argv[1], &t))
        return CACHE_DONE;
    if (!t.found || n == 0) {
        cache_reply_array(call->reply, 0);
        return CACHE_DONE;
    }
    bool nested = counted && call->reply->protocol > 2;
    n = at_most(&t, n);
    cache_reply_array(call->reply, nested ? n : 2 * n);
    pop(call, &t, min, n, nested ? cache_zset_reply_nested : cache_zset_reply_flat);
    return CACHE_DONE;
}

enum cache_outcome cache_zset_zpopmin(struct cache_call *call)
{
    return pop_now(call, true);
}

enum cache_outcome cache_zset_zpopmax(struct cache_call *call)
{
    return pop_now(call, false);
}

static const char *pop_name(bool min)
{
    return min ? "ZPOPMIN" : "ZPOPMAX";
}

/* The first of the keys that has a sorted set. False: an error is replied. */
static bool first_found(struct cache_call *call, unsigned first, unsigned keys, struct cache_zset_target *t)
{
    t->found = false;
    for (unsigned i = first; i < first + keys && !t->found; i++)
        if (!cache_zset_write(call, &call->argv[i], t))
            return false;
    return true;
}

static enum cache_outcome pop_waiting(struct cache_call *call, bool min)
{
    struct cache_zset_target t;
    uint64_t until_ms;
    if (!cache_pop_timeout(call, &call->argv[call->argc - 1], &until_ms) || !first_found(call, 1, call->argc - 2, &t))
        return CACHE_DONE;
    if (!t.found)
        return cache_pop_nothing(call, until_ms, false);
    cache_reply_array(call->reply, 3);
    cache_reply_bulk(call->reply, t.key.data, t.key.length);
    pop(call, &t, min, 1, cache_zset_reply_flat);
    cache_pop_propagate(call, pop_name(min), t.key, 0);
    return CACHE_DONE;
}

enum cache_outcome cache_zset_bzpopmin(struct cache_call *call)
{
    return pop_waiting(call, true);
}

enum cache_outcome cache_zset_bzpopmax(struct cache_call *call)
{
    return pop_waiting(call, false);
}

/* False: none of the keys has a sorted set, nothing is replied. */
static bool pop_requested(struct cache_call *call, const struct cache_pop_request *request)
{
    struct cache_zset_target t;
    if (!first_found(call, request->first_key, request->keys, &t))
        return true;
    if (!t.found)
        return false;
    uint64_t n = at_most(&t, request->count);
    cache_reply_array(call->reply, 2);
    cache_reply_bulk(call->reply, t.key.data, t.key.length);
    cache_reply_array(call->reply, n);
    pop(call, &t, request->first, n, cache_zset_reply_nested);
    cache_pop_propagate(call, pop_name(request->first), t.key, n);
    return true;
}

enum cache_outcome cache_zset_zmpop(struct cache_call *call)
{
    struct cache_pop_request request;
    if (cache_pop_request(call, 1, "min", "max", &request) && !pop_requested(call, &request))
        cache_reply_null_array(call->reply);
    return CACHE_DONE;
}

enum cache_outcome cache_zset_bzmpop(struct cache_call *call)
{
    struct cache_pop_request request;
    uint64_t until_ms;
    if (!cache_pop_request(call, 2, "min", "max", &request) || !cache_pop_timeout(call, &call->argv[1], &until_ms) ||
        pop_requested(call, &request))
        return CACHE_DONE;
    return cache_pop_nothing(call, until_ms, false);
}
