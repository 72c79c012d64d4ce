/* MGET, MSET, MSETNX: several keys, which may lie in several shards. Room for all is there before the first is set (see
 * cache_call_room), so that all are or none. */
#include "cache/command/string.h"

enum cache_outcome cache_command_mget(struct cache_call *call)
{
    cache_reply_array(call->reply, call->argc - 1);
    for (unsigned i = 1; i < call->argc; i++) {
        const struct cache_argument *a = &call->argv[i];
        struct mr_span key = cache_argument_span(a);
        struct cache_entry *e = NULL;
        if (!a->rope && a->length <= CACHE_KEY_MAX)
            e = cache_store_read(cache_call_store(call, key), call->database, key);
        if (e && e->type == CACHE_STRING)
            cache_reply_string(call->reply, e);
        else
            cache_reply_null(call->reply);
    }
    return CACHE_DONE;
}

/* False: replied. */
static bool pairs_check(struct cache_call *call)
{
    struct mr_span key;
    if (call->argc % 2 == 0) {
        cache_reply_arity(call->reply, NULL, call->command);
        return false;
    }
    for (unsigned i = 1; i < call->argc; i += 2)
        if (!cache_call_key(call, &call->argv[i], &key))
            return false;
    return true;
}

/* False: no memory, replied. */
static bool pairs_put(struct cache_call *call)
{
    for (unsigned i = 1; i < call->argc; i += 2) {
        struct mr_span key = cache_argument_span(&call->argv[i]);
        if (!cache_string_put(call, cache_call_store(call, key), key, &call->argv[i + 1]))
            return false;
    }
    return true;
}

enum cache_outcome cache_command_mset(struct cache_call *call)
{
    if (pairs_check(call) && pairs_put(call))
        cache_reply_ok(call->reply);
    return CACHE_DONE;
}

enum cache_outcome cache_command_msetnx(struct cache_call *call)
{
    if (!pairs_check(call))
        return CACHE_DONE;
    for (unsigned i = 1; i < call->argc; i += 2) {
        struct mr_span key = cache_argument_span(&call->argv[i]);
        if (cache_store_read(cache_call_store(call, key), call->database, key)) {
            cache_reply_integer(call->reply, 0);
            return CACHE_DONE;
        }
    }
    if (pairs_put(call))
        cache_reply_integer(call->reply, 1);
    return CACHE_DONE;
}
