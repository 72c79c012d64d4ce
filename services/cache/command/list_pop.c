/* Commands that pop: LPOP, RPOP, LMPOP, and BLPOP, BRPOP, BLMPOP, which wait. */
#include "cache/command/list.h"
#include "cache/command/pop.h"

static struct cache_list_at end_of(const struct cache_list *l, bool front)
{
    return front ? cache_list_first(l) : cache_list_last(l);
}

/* `n` elements from one end, as an array of its own. */
static void pop_many(struct cache_call *call, struct cache_list_target *t, bool front, uint64_t n)
{
    uint64_t count = t->list->count;
    if (n > count)
        n = count;
    cache_reply_array(call->reply, n);
    struct cache_list_at at = end_of(t->list, front);
    for (uint64_t i = 0; i < n; i++, at = front ? cache_list_next(at) : cache_list_previous(at))
        cache_list_reply(call->reply, at);
    if (n == count) {
        (void)cache_store_delete(t->store, call->database, t->key); /* freed in pieces */
        cache_call_changed(call, t->store, t->key);
    } else {
        cache_list_erase_range(t->store, t->list, front ? 0 : count - n, n);
        cache_list_shrunk(call, t);
    }
    call->changes += n - 1;
}

static void pop_one(struct cache_call *call, struct cache_list_target *t, bool front)
{
    struct cache_list_at at = end_of(t->list, front);
    cache_list_reply(call->reply, at);
    if (t->list->count == 1) {
        (void)cache_store_delete(t->store, call->database, t->key);
        cache_call_changed(call, t->store, t->key);
        return;
    }
    (void)cache_list_erase(t->store, t->list, at);
    cache_list_shrunk(call, t);
}

static enum cache_outcome pop(struct cache_call *call, bool front)
{
    struct cache_list_target t;
    bool counted = call->argc == 3;
    uint64_t n = 1;
    if (call->argc > 3) {
        cache_reply_arity(call->reply, NULL, call->command);
        return CACHE_DONE;
    }
    if ((counted && !cache_pop_count(call, &call->argv[2], &n)) || !cache_list_write(call, &call->argv[1], &t))
        return CACHE_DONE;
    if (!t.list && counted)
        cache_reply_null_array(call->reply);
    else if (!t.list)
        cache_reply_null(call->reply);
    else if (n == 0)
        cache_reply_array(call->reply, 0);
    else if (counted)
        pop_many(call, &t, front, n);
    else
        pop_one(call, &t, front);
    return CACHE_DONE;
}

enum cache_outcome cache_list_lpop(struct cache_call *call)
{
    return pop(call, true);
}

enum cache_outcome cache_list_rpop(struct cache_call *call)
{
    return pop(call, false);
}

static const char *pop_name(bool front)
{
    return front ? "LPOP" : "RPOP";
}

/* The first of the keys that has a list: *t. False: an error is replied. t->list NULL: none has. */
static bool first_list(struct cache_call *call, unsigned first, unsigned keys, struct cache_list_target *t)
{
    t->list = NULL;
    for (unsigned i = first; i < first + keys && !t->list; i++)
        if (!cache_list_write(call, &call->argv[i], t))
            return false;
    return true;
}

static enum cache_outcome pop_waiting(struct cache_call *call, bool front)
{
    struct cache_list_target t;
    uint64_t until_ms;
    if (!cache_pop_timeout(call, &call->argv[call->argc - 1], &until_ms) || !first_list(call, 1, call->argc - 2, &t))
        return CACHE_DONE;
    if (!t.list)
        return cache_pop_nothing(call, until_ms, false);
    cache_reply_array(call->reply, 2);
    cache_reply_bulk(call->reply, t.key.data, t.key.length);
    pop_one(call, &t, front);
    cache_pop_propagate(call, pop_name(front), t.key, 0);
    return CACHE_DONE;
}

enum cache_outcome cache_list_blpop(struct cache_call *call)
{
    return pop_waiting(call, true);
}

enum cache_outcome cache_list_brpop(struct cache_call *call)
{
    return pop_waiting(call, false);
}

/* False: none of the keys has a list, nothing is replied. */
static bool pop_requested(struct cache_call *call, const struct cache_pop_request *request)
{
    struct cache_list_target t;
    if (!first_list(call, request->first_key, request->keys, &t))
        return true;
    if (!t.list)
        return false;
    uint64_t n = request->count < t.list->count ? request->count : t.list->count;
    cache_reply_array(call->reply, 2);
    cache_reply_bulk(call->reply, t.key.data, t.key.length);
    pop_many(call, &t, request->first, n);
    cache_pop_propagate(call, pop_name(request->first), t.key, n);
    return true;
}

enum cache_outcome cache_list_lmpop(struct cache_call *call)
{
    struct cache_pop_request request;
    if (cache_pop_request(call, 1, "left", "right", &request) && !pop_requested(call, &request))
        cache_reply_null_array(call->reply);
    return CACHE_DONE;
}

enum cache_outcome cache_list_blmpop(struct cache_call *call)
{
    struct cache_pop_request request;
    uint64_t until_ms;
    if (!cache_pop_request(call, 2, "left", "right", &request) || !cache_pop_timeout(call, &call->argv[1], &until_ms) ||
        pop_requested(call, &request))
        return CACHE_DONE;
    return cache_pop_nothing(call, until_ms, false);
}
