/* Commands that read a range in order: ZRANGE and its older sisters, ZRANGESTORE. */
#include "cache/command/pop.h"
#include "cache/command/zset.h"
#include "cache/command/zset_bounds.h"

#define UNSAID -1

/* What the name of the command says, and what its arguments may add. */
struct range {
    int by;      /* enum cache_zset_by, or UNSAID: the arguments may say */
    int reverse; /* bool, or UNSAID */
    bool with_scores;
    int64_t offset, limit; /* limit negative: all */
    struct cache_zset_bounds bounds;
};

/* The word at argv[*i] and what belongs to it. False: none that may be here, or replied (*failed). */
static bool option(struct cache_call *call, unsigned *i, bool store, struct range *o, bool *failed)
{
    const struct cache_argument *a = &call->argv[*i];
    if (!store && cache_argument_is(a, "withscores")) {
        o->with_scores = true;
    } else if (cache_argument_is(a, "limit") && *i + 2 < call->argc) {
        if (!cache_argument_integer(a + 1, &o->offset) || !cache_argument_integer(a + 2, &o->limit)) {
            cache_reply_not_integer(call->reply);
            *failed = true;
            return false;
        }
        *i += 2;
    } else if (o->reverse == UNSAID && cache_argument_is(a, "rev")) {
        o->reverse = true;
    } else if (o->by == UNSAID && cache_argument_is(a, "bylex")) {
        o->by = CACHE_ZSET_BY_LEX;
    } else if (o->by == UNSAID && cache_argument_is(a, "byscore")) {
        o->by = CACHE_ZSET_BY_SCORE;
    } else {
        return false;
    }
    return true;
}

/* Bounds at argv[at] and argv[at + 1], options behind. False: replied. */
static bool range_arguments(struct cache_call *call, unsigned at, bool store, struct range *o)
{
    bool failed = false;
    o->limit = -1;
    for (unsigned i = at + 2; i < call->argc; i++) {
        if (option(call, &i, store, o, &failed))
            continue;
        if (!failed)
            cache_reply_syntax_error(call->reply);
        return false;
    }
    o->reverse = o->reverse == 1;
    if (o->by == UNSAID)
        o->by = CACHE_ZSET_BY_RANK;
    if (o->limit != -1 && o->by == CACHE_ZSET_BY_RANK) {
        cache_reply_error(call->reply,
                          "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX");
        return false;
    }
    if (o->with_scores && o->by == CACHE_ZSET_BY_LEX) {
        cache_reply_error(call->reply, "ERR syntax error, WITHSCORES not supported in combination with BYLEX");
        return false;
    }
    bool swapped = o->reverse && o->by != CACHE_ZSET_BY_RANK;
    return cache_zset_bounds(call, (enum cache_zset_by)o->by, &call->argv[at + swapped], &call->argv[at + !swapped],
                             &o->bounds);
}

/* The first element in the order wanted; *n: how many from there. */
static cache_zset_at range_begin(const struct range *o, const struct cache_zset *z, uint64_t *n)
{
    uint64_t first, end;
    cache_zset_bounds_ranks(&o->bounds, z, o->reverse, &first, &end);
    *n = end - first;
    if (o->offset < 0 || (uint64_t)o->offset >= *n) {
        *n = 0;
        return 0;
    }
    *n -= (uint64_t)o->offset;
    if (o->limit >= 0 && (uint64_t)o->limit < *n)
        *n = (uint64_t)o->limit;
    return cache_zset_at_rank(z, o->reverse ? end - 1 - (uint64_t)o->offset : first + (uint64_t)o->offset);
}

static cache_zset_at range_step(const struct range *o, const struct cache_zset *z, cache_zset_at at)
{
    return o->reverse ? cache_zset_previous(z, at) : cache_zset_next(z, at);
}

static enum cache_outcome range(struct cache_call *call, int by, int reverse)
{
    struct range o = {.by = by, .reverse = reverse};
    struct cache_zset_target t;
    if (!range_arguments(call, 2, false, &o) || !cache_zset_read(call, &call->argv[1], &t))
        return CACHE_DONE;
    uint64_t n = 0;
    cache_zset_at at = t.found ? range_begin(&o, &t.zset, &n) : 0;
    cache_zset_reply_header(call->reply, n, o.with_scores);
    for (; n; n--, at = range_step(&o, &t.zset, at))
        cache_zset_reply_element(call->reply, cache_zset_get(&t.zset, at), o.with_scores);
    return CACHE_DONE;
}

enum cache_outcome cache_zset_zrange(struct cache_call *call)
{
    return range(call, UNSAID, UNSAID);
}

enum cache_outcome cache_zset_zrevrange(struct cache_call *call)
{
    return range(call, CACHE_ZSET_BY_RANK, true);
}

enum cache_outcome cache_zset_zrangebyscore(struct cache_call *call)
{
    return range(call, CACHE_ZSET_BY_SCORE, false);
}

enum cache_outcome cache_zset_zrevrangebyscore(struct cache_call *call)
{
    return range(call, CACHE_ZSET_BY_SCORE, true);
}

enum cache_outcome cache_zset_zrangebylex(struct cache_call *call)
{
    return range(call, CACHE_ZSET_BY_LEX, false);
}

enum cache_outcome cache_zset_zrevrangebylex(struct cache_call *call)
{
    return range(call, CACHE_ZSET_BY_LEX, true);
}

/* A copy of the range, without a key. False: no memory. */
static bool range_copy(const struct range *o, const struct cache_zset *from, struct cache_zset *to,
                       struct cache_store *store)
{
    uint64_t n;
    cache_zset_at at = range_begin(o, from, &n);
    if (!cache_zset_create(to, store, n, 0))
        return false;
    for (; n; n--, at = range_step(o, from, at)) {
        struct cache_zset_element x = cache_zset_get(from, at);
        if (cache_zset_set(to, x.member, x.score) == CACHE_ZSET_NO_MEMORY) {
            cache_zset_free(to);
            return false;
        }
    }
    return true;
}

enum cache_outcome cache_zset_zrangestore(struct cache_call *call)
{
    struct range o = {.by = UNSAID, .reverse = UNSAID};
    struct cache_zset_target t;
    struct cache_zset copy;
    struct mr_span key;
    if (!range_arguments(call, 3, true, &o) || !cache_call_key(call, &call->argv[1], &key) ||
        !cache_zset_read(call, &call->argv[2], &t))
        return CACHE_DONE;
    uint64_t n = 0;
    if (t.found)
        (void)range_begin(&o, &t.zset, &n);
    if (!n) {
        cache_zset_store(call, key, NULL);
        return CACHE_DONE;
    }
    enum cache_room room = cache_zset_store_reserve(call, key, n, cache_zset_member_bytes(&t.zset));
    if (room != CACHE_ROOM_READY)
        return room == CACHE_ROOM_LATER ? CACHE_AGAIN : CACHE_DONE;
    if (!cache_zset_read(call, &call->argv[2], &t)) /* to make room may have removed it */
        return CACHE_DONE;
    if (!t.found)
        cache_zset_store(call, key, NULL);
    else if (range_copy(&o, &t.zset, &copy, cache_call_store(call, key)))
        cache_zset_store(call, key, &copy);
    else
        cache_reply_no_memory(call->reply);
    return CACHE_DONE;
}
