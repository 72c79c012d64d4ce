/* Commands that count or remove a range: ZCOUNT, ZLEXCOUNT, ZREMRANGEBYRANK, -SCORE, -LEX. */
#include "cache/command/zset.h"
#include "cache/command/zset_bounds.h"

static enum cache_outcome count(struct cache_call *call, enum cache_zset_by by)
{
    struct cache_zset_bounds b;
    struct cache_zset_target t;
    uint64_t first = 0, end = 0;
    if (!cache_zset_bounds(call, by, &call->argv[2], &call->argv[3], &b) || !cache_zset_read(call, &call->argv[1], &t))
        return CACHE_DONE;
    if (t.found)
        cache_zset_bounds_ranks(&b, &t.zset, false, &first, &end);
    cache_reply_integer(call->reply, (int64_t)(end - first));
    return CACHE_DONE;
}

enum cache_outcome cache_zset_zcount(struct cache_call *call)
{
    return count(call, CACHE_ZSET_BY_SCORE);
}

enum cache_outcome cache_zset_zlexcount(struct cache_call *call)
{
    return count(call, CACHE_ZSET_BY_LEX);
}

static enum cache_outcome remove_range(struct cache_call *call, enum cache_zset_by by)
{
    struct cache_zset_bounds b;
    struct cache_zset_target t;
    uint64_t first = 0, end = 0;
    if (!cache_zset_bounds(call, by, &call->argv[2], &call->argv[3], &b) || !cache_zset_write(call, &call->argv[1], &t))
        return CACHE_DONE;
    if (t.found)
        cache_zset_bounds_ranks(&b, &t.zset, false, &first, &end);
    cache_reply_integer(call->reply, (int64_t)(end - first));
    if (first == end)
        return CACHE_DONE;
    if (end - first < cache_zset_count(&t.zset)) /* all of it is freed in pieces, with its key */
        cache_zset_remove_ranks(&t.zset, first, end - first);
    else
        t.found = false;
    cache_zset_shrunk(call, &t, end - first);
    return CACHE_DONE;
}

enum cache_outcome cache_zset_zremrangebyrank(struct cache_call *call)
{
    return remove_range(call, CACHE_ZSET_BY_RANK);
}

enum cache_outcome cache_zset_zremrangebyscore(struct cache_call *call)
{
    return remove_range(call, CACHE_ZSET_BY_SCORE);
}

enum cache_outcome cache_zset_zremrangebylex(struct cache_call *call)
{
    return remove_range(call, CACHE_ZSET_BY_LEX);
}
