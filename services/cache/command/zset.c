/* Sorted sets: single members, ZSCAN, and the table of all their commands. Ranges, pops, random members and algebra are in
 * zset_*.c. */
#include "cache/command/zset.h"

#include <math.h>

#include "cache/command/pop.h"
#include "cache/command/scan_options.h"

static struct cache_zset_target target(const struct cache_call *call, const struct cache_argument *key,
                                       struct cache_entry *e)
{
    struct mr_span span = cache_argument_span(key);
    struct cache_zset_target t = {.store = cache_call_store(call, span), .key = span, .found = e};
    if (e)
        t.zset = cache_zset_of(t.store, e);
    return t;
}

bool cache_zset_read(struct cache_call *call, const struct cache_argument *key, struct cache_zset_target *t)
{
    struct cache_entry *e;
    if (!cache_call_read(call, key, CACHE_ZSET, &e))
        return false;
    *t = target(call, key, e);
    return true;
}

bool cache_zset_write(struct cache_call *call, const struct cache_argument *key, struct cache_zset_target *t)
{
    struct cache_entry *e;
    if (!cache_call_write(call, key, CACHE_ZSET, &e))
        return false;
    *t = target(call, key, e);
    return true;
}

bool cache_zset_member(struct cache_call *call, const struct cache_argument *a, struct mr_span *member)
{
    *member = cache_argument_span(a);
    if (!a->rope && a->length <= CACHE_KEY_MAX)
        return true;
    cache_reply_error(call->reply, "ERR member is longer than %u bytes", a->rope ? CACHE_SMALL_MAX : CACHE_KEY_MAX);
    return false;
}

void cache_zset_reply_flat(struct cache_reply *r, struct cache_zset_element x)
{
    cache_reply_bulk(r, x.member.data, x.member.length);
    cache_reply_double(r, x.score);
}

void cache_zset_reply_nested(struct cache_reply *r, struct cache_zset_element x)
{
    cache_reply_array(r, 2);
    cache_zset_reply_flat(r, x);
}

void cache_zset_reply_header(struct cache_reply *r, uint64_t n, bool with_scores)
{
    cache_reply_array(r, with_scores && r->protocol < 3 ? 2 * n : n);
}

void cache_zset_reply_element(struct cache_reply *r, struct cache_zset_element x, bool with_scores)
{
    if (!with_scores)
        cache_reply_bulk(r, x.member.data, x.member.length);
    else if (r->protocol < 3)
        cache_zset_reply_flat(r, x);
    else
        cache_zset_reply_nested(r, x);
}

void cache_zset_shrunk(struct cache_call *call, struct cache_zset_target *t, uint64_t removed)
{
    if (!t->found || cache_zset_count(&t->zset) == 0) {
        (void)cache_store_delete(t->store, call->database, t->key);
        t->found = false;
    }
    cache_call_changed(call, t->store, t->key);
    call->changes += removed - 1;
}

enum cache_room cache_zset_store_reserve(struct cache_call *call, struct mr_span key, uint64_t members, uint64_t bytes)
{
    struct cache_store *s = cache_call_store(call, key);
    return cache_call_reserve(call, s,
                              cache_zset_new_cost(s, members, bytes) +
                                  cache_store_string_cost(s, key.length, sizeof(union cache_value)));
}

void cache_zset_store(struct cache_call *call, struct mr_span key, struct cache_zset *draft)
{
    struct cache_store *s = cache_call_store(call, key);
    uint64_t n = draft ? cache_zset_count(draft) : 0;
    if (draft && !n)
        cache_zset_free(draft);
    if (n && !cache_store_add_collection(s, call->database, key, CACHE_ZSET, draft->encoding, draft->collection)) {
        cache_zset_free(draft);
        cache_reply_no_memory(call->reply);
        return;
    }
    bool changed = n || cache_store_delete(s, call->database, key);
    cache_reply_integer(call->reply, (int64_t)n);
    if (changed)
        cache_call_changed(call, s, key);
    if (n)
        cache_call_ready(call, s, key);
}

/* ZADD and ZINCRBY. */

struct add_options {
    bool nx, xx, gt, lt, incr, ch;
    unsigned first; /* score of the first pair */
};

struct add_counts {
    uint64_t added, updated, processed;
    double score; /* of the last one processed */
};

static bool add_flag(const struct cache_argument *a, struct add_options *o)
{
    const struct {
        const char *word;
        bool *flag;
    } words[] = {{"nx", &o->nx}, {"xx", &o->xx}, {"gt", &o->gt}, {"lt", &o->lt}, {"incr", &o->incr}, {"ch", &o->ch}};
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (cache_argument_is(a, words[i].word))
            return *words[i].flag = true;
    return false;
}

static bool add_options(struct cache_call *call, struct add_options *o)
{
    *o = (struct add_options){.first = 2};
    while (o->first < call->argc && add_flag(&call->argv[o->first], o))
        o->first++;
    unsigned rest = call->argc - o->first;
    if (rest % 2 || !rest)
        cache_reply_syntax_error(call->reply);
    else if (o->nx && o->xx)
        cache_reply_error(call->reply, "ERR XX and NX options at the same time are not compatible");
    else if ((o->gt && o->nx) || (o->lt && o->nx) || (o->gt && o->lt))
        cache_reply_error(call->reply, "ERR GT, LT, and/or NX options at the same time are not compatible");
    else if (o->incr && rest > 2)
        cache_reply_error(call->reply, "ERR INCR option supports a single increment-element pair");
    else
        return true;
    return false;
}

/* Every score and member is looked at before the first change. */
static bool add_pairs_valid(struct cache_call *call, const struct add_options *o)
{
    double score;
    struct mr_span member;
    for (unsigned i = o->first; i < call->argc; i += 2)
        if (!cache_argument_double(&call->argv[i], &score)) {
            cache_reply_not_float(call->reply);
            return false;
        }
    for (unsigned i = o->first; i < call->argc; i += 2)
        if (!cache_zset_member(call, &call->argv[i + 1], &member))
            return false;
    return true;
}

/* False: replied; what pairs before did stays counted. */
static bool add_pair(struct cache_call *call, struct cache_zset *z, const struct add_options *o,
                     const struct cache_argument *pair, struct add_counts *counts)
{
    double score = 0, old = 0;
    (void)cache_argument_double(pair, &score);
    struct mr_span member = cache_argument_span(pair + 1);
    bool exists = cache_zset_score(z, member, &old);
    if (exists ? o->nx : o->xx)
        return true;
    if (exists && o->incr)
        score += old;
    if (isnan(score)) {
        cache_reply_error(call->reply, "ERR resulting score is not a number (NaN)");
        return false;
    }
    if (exists && ((o->lt && score >= old) || (o->gt && score <= old)))
        return true;
    enum cache_zset_change change = cache_zset_set(z, member, score);
    if (change == CACHE_ZSET_NO_MEMORY) {
        cache_reply_no_memory(call->reply);
        return false;
    }
    counts->added += change == CACHE_ZSET_ADDED;
    counts->updated += change == CACHE_ZSET_UPDATED;
    counts->processed++;
    counts->score = score;
    return true;
}

static void add_reply(struct cache_call *call, const struct add_options *o, const struct add_counts *counts)
{
    if (!o->incr)
        cache_reply_integer(call->reply, (int64_t)(counts->added + (o->ch ? counts->updated : 0)));
    else if (counts->processed)
        cache_reply_double(call->reply, counts->score);
    else
        cache_reply_null(call->reply);
}

/* All pairs into the set, which gets its key only when it is new and not empty. */
static bool add_pairs(struct cache_call *call, struct cache_zset_target *t, const struct add_options *o,
                      struct add_counts *counts)
{
    bool made = !t->found;
    if (made && !cache_zset_create(&t->zset, t->store, (call->argc - o->first) / 2, 0)) {
        cache_reply_no_memory(call->reply);
        return false;
    }
    bool done = true;
    for (unsigned i = o->first; i < call->argc && done; i += 2)
        done = add_pair(call, &t->zset, o, &call->argv[i], counts);
    if (!made)
        return done;
    if (done &&
        cache_store_add_collection(t->store, call->database, t->key, CACHE_ZSET, t->zset.encoding, t->zset.collection))
        return true;
    cache_zset_free(&t->zset);
    *counts = (struct add_counts){0};
    if (done)
        cache_reply_no_memory(call->reply);
    return false;
}

static enum cache_outcome add(struct cache_call *call, const struct add_options *o)
{
    struct cache_zset_target t;
    struct add_counts counts = {0};
    if (!add_pairs_valid(call, o) || !cache_zset_write(call, &call->argv[1], &t))
        return CACHE_DONE;
    if (!t.found && o->xx) {
        add_reply(call, o, &counts);
        return CACHE_DONE;
    }
    if (add_pairs(call, &t, o, &counts))
        add_reply(call, o, &counts);
    if (counts.added + counts.updated) {
        cache_call_changed(call, t.store, t.key);
        call->changes += counts.added + counts.updated - 1;
    }
    if (counts.added)
        cache_call_ready(call, t.store, t.key);
    return CACHE_DONE;
}

static enum cache_outcome zadd(struct cache_call *call)
{
    struct add_options o;
    return add_options(call, &o) ? add(call, &o) : CACHE_DONE;
}

static enum cache_outcome zincrby(struct cache_call *call)
{
    return add(call, &(struct add_options){.incr = true, .first = 2});
}

static uint64_t add_room(const struct cache_call *call)
{
    struct cache_store *s = call->store;
    uint64_t bytes = 0, members = call->argc / 2;
    for (unsigned i = 3; i < call->argc; i++)
        bytes += call->argv[i].length;
    struct mr_span key = cache_argument_span(&call->argv[1]);
    if (call->argv[1].rope)
        return 0; /* no key */
    struct cache_entry *e = cache_store_peek(s, call->database, key);
    if (e && e->type == CACHE_ZSET) {
        struct cache_zset z = cache_zset_of(s, e);
        return cache_zset_cost(&z, members, bytes);
    }
    return cache_zset_new_cost(s, members, bytes) + cache_store_string_cost(s, key.length, sizeof(union cache_value));
}

/* Single members. */

static enum cache_outcome zrem(struct cache_call *call)
{
    struct cache_zset_target t;
    uint64_t removed = 0;
    if (!cache_zset_write(call, &call->argv[1], &t))
        return CACHE_DONE;
    for (unsigned i = 2; t.found && i < call->argc; i++) {
        removed += !call->argv[i].rope && cache_zset_remove(&t.zset, cache_argument_span(&call->argv[i]));
        t.found = cache_zset_count(&t.zset);
    }
    if (removed)
        cache_zset_shrunk(call, &t, removed);
    cache_reply_integer(call->reply, (int64_t)removed);
    return CACHE_DONE;
}

static enum cache_outcome zcard(struct cache_call *call)
{
    struct cache_zset_target t;
    if (cache_zset_read(call, &call->argv[1], &t))
        cache_reply_integer(call->reply, t.found ? (int64_t)cache_zset_count(&t.zset) : 0);
    return CACHE_DONE;
}

static void reply_score(struct cache_call *call, const struct cache_zset_target *t, const struct cache_argument *member)
{
    double score;
    if (t->found && !member->rope && cache_zset_score(&t->zset, cache_argument_span(member), &score))
        cache_reply_double(call->reply, score);
    else
        cache_reply_null(call->reply);
}

static enum cache_outcome zscore(struct cache_call *call)
{
    struct cache_zset_target t;
    if (cache_zset_read(call, &call->argv[1], &t))
        reply_score(call, &t, &call->argv[2]);
    return CACHE_DONE;
}

static enum cache_outcome zmscore(struct cache_call *call)
{
    struct cache_zset_target t;
    if (!cache_zset_read(call, &call->argv[1], &t))
        return CACHE_DONE;
    cache_reply_array(call->reply, call->argc - 2);
    for (unsigned i = 2; i < call->argc; i++)
        reply_score(call, &t, &call->argv[i]);
    return CACHE_DONE;
}

static enum cache_outcome rank(struct cache_call *call, bool reverse)
{
    struct cache_zset_target t;
    uint64_t at;
    if (!cache_zset_read(call, &call->argv[1], &t))
        return CACHE_DONE;
    const struct cache_argument *member = &call->argv[2];
    if (!t.found || member->rope || !cache_zset_rank(&t.zset, cache_argument_span(member), &at))
        cache_reply_null(call->reply);
    else
        cache_reply_integer(call->reply, (int64_t)(reverse ? cache_zset_count(&t.zset) - 1 - at : at));
    return CACHE_DONE;
}

static enum cache_outcome zrank(struct cache_call *call)
{
    return rank(call, false);
}

static enum cache_outcome zrevrank(struct cache_call *call)
{
    return rank(call, true);
}

/* ZSCAN: scores are text in both protocols. */

static void scan_reply(struct cache_reply *r, struct cache_zset_element x)
{
    char text[40];
    cache_reply_bulk(r, x.member.data, x.member.length);
    unsigned n = cache_double_text(x.score, text);
    cache_reply_bulk(r, text, n);
}

/* A listpack keeps whole scores as integers, and shows them so. */
static void scan_reply_compact(struct cache_reply *r, struct cache_zset_element x)
{
    if (x.score < -0x1p62 || x.score > 0x1p62 || x.score != (double)(int64_t)x.score) {
        scan_reply(r, x);
        return;
    }
    cache_reply_bulk(r, x.member.data, x.member.length);
    cache_reply_bulk_integer(r, (int64_t)x.score);
}

static void scan_emit(struct cache_reply *r, void *item)
{
    scan_reply(r, cache_zset_item(item));
}

static void scan_compact(struct cache_call *call, const struct cache_zset *z, const struct cache_scan_options *o)
{
    uint64_t matched = 0;
    for (cache_zset_at at = cache_zset_at_rank(z, 0); at; at = cache_zset_next(z, at))
        matched += cache_scan_matches(o, cache_zset_get(z, at).member);
    cache_reply_array(call->reply, 2);
    cache_reply_bulk_text(call->reply, "0");
    cache_reply_array(call->reply, 2 * matched);
    for (cache_zset_at at = cache_zset_at_rank(z, 0); at; at = cache_zset_next(z, at)) {
        struct cache_zset_element x = cache_zset_get(z, at);
        if (cache_scan_matches(o, x.member))
            scan_reply_compact(call->reply, x);
    }
}

static enum cache_outcome zscan(struct cache_call *call)
{
    struct cache_zset_target t;
    struct cache_scan_options o;
    uint64_t cursor;
    if (!cache_scan_cursor(call, &call->argv[2], &cursor) || !cache_zset_read(call, &call->argv[1], &t))
        return CACHE_DONE;
    if (!t.found)
        cache_scan_empty(call);
    else if (!cache_scan_options(call, 3, false, &o))
        return CACHE_DONE;
    else if (t.zset.encoding == CACHE_ZSET_SKIPLIST)
        cache_scan_table(call, cache_zset_table(&t.zset), cursor, &o, 2, scan_emit);
    else
        scan_compact(call, &t.zset, &o);
    return CACHE_DONE;
}

#define ROW(name_, function_, arity_, flags_, first_, last_, sentence_, ...)                                       \
    {                                                                                                              \
        .name = name_, .function = function_, .arity = arity_, .flags = flags_, .first_key = first_,               \
        .last_key = last_, .key_step = (first_) ? 1 : 0, .group = "sorted set", .sentence = sentence_, __VA_ARGS__ \
    }

#define LOOKS  CACHE_READONLY
#define GROWS  (CACHE_WRITE | CACHE_DENYOOM)
#define WAITS  (CACHE_WRITE | CACHE_NOSCRIPT | CACHE_BLOCKING | CACHE_FAST)
#define NUMKEY CACHE_MOVABLE_KEYS

const struct cache_command cache_commands_zset[] = {
    ROW("zadd", zadd, -4, GROWS | CACHE_FAST, 1, 1, "adds members, or sets their scores", .room = add_room),
    ROW("zincrby", zincrby, 4, GROWS | CACHE_FAST, 1, 1, "adds to a member's score", .room = add_room),
    ROW("zrem", zrem, -3, CACHE_WRITE | CACHE_FAST, 1, 1, "removes members", ),
    ROW("zcard", zcard, 2, LOOKS | CACHE_FAST, 1, 1, "how many members", ),
    ROW("zcount", cache_zset_zcount, 4, LOOKS | CACHE_FAST, 1, 1, "how many have a score between two", ),
    ROW("zlexcount", cache_zset_zlexcount, 4, LOOKS | CACHE_FAST, 1, 1, "how many lie between two members", ),
    ROW("zscore", zscore, 3, LOOKS | CACHE_FAST, 1, 1, "a member's score", ),
    ROW("zmscore", zmscore, -3, LOOKS | CACHE_FAST, 1, 1, "the scores of members", ),
    ROW("zrank", zrank, 3, LOOKS | CACHE_FAST, 1, 1, "how many come before a member", ),
    ROW("zrevrank", zrevrank, 3, LOOKS | CACHE_FAST, 1, 1, "how many come behind a member", ),
    ROW("zrange", cache_zset_zrange, -4, LOOKS, 1, 1, "a range by rank, score or member", ),
    ROW("zrangestore", cache_zset_zrangestore, -5, GROWS, 1, 2, "ZRANGE into another key", ),
    ROW("zrangebyscore", cache_zset_zrangebyscore, -4, LOOKS, 1, 1, "ZRANGE BYSCORE", ),
    ROW("zrevrangebyscore", cache_zset_zrevrangebyscore, -4, LOOKS, 1, 1, "ZRANGE BYSCORE REV", ),
    ROW("zrangebylex", cache_zset_zrangebylex, -4, LOOKS, 1, 1, "ZRANGE BYLEX", ),
    ROW("zrevrangebylex", cache_zset_zrevrangebylex, -4, LOOKS, 1, 1, "ZRANGE BYLEX REV", ),
    ROW("zrevrange", cache_zset_zrevrange, -4, LOOKS, 1, 1, "ZRANGE REV", ),
    ROW("zremrangebyrank", cache_zset_zremrangebyrank, 4, CACHE_WRITE, 1, 1, "removes a range of ranks", ),
    ROW("zremrangebyscore", cache_zset_zremrangebyscore, 4, CACHE_WRITE, 1, 1, "removes a range of scores", ),
    ROW("zremrangebylex", cache_zset_zremrangebylex, 4, CACHE_WRITE, 1, 1, "removes a range of members", ),
    ROW("zpopmin", cache_zset_zpopmin, -2, CACHE_WRITE | CACHE_FAST, 1, 1, "takes members of the lowest scores", ),
    ROW("zpopmax", cache_zset_zpopmax, -2, CACHE_WRITE | CACHE_FAST, 1, 1, "takes members of the highest scores", ),
    ROW("bzpopmin", cache_zset_bzpopmin, -3, WAITS, 1, -2, "ZPOPMIN of the first set that has one; waits", ),
    ROW("bzpopmax", cache_zset_bzpopmax, -3, WAITS, 1, -2, "ZPOPMAX of the first set that has one; waits", ),
    ROW("zmpop", cache_zset_zmpop, -4, CACHE_WRITE | NUMKEY, 0, 0, "takes members of the first set that has some",
        .keys = cache_numbered_keys_1),
    ROW("bzmpop", cache_zset_bzmpop, -5, CACHE_WRITE | CACHE_BLOCKING | NUMKEY, 0, 0, "ZMPOP; waits for a member",
        .keys = cache_numbered_keys_2),
    ROW("zrandmember", cache_zset_zrandmember, -2, LOOKS, 1, 1, "members by chance", ),
    ROW("zunion", cache_zset_zunion, -3, LOOKS | NUMKEY, 0, 0, "members of any", .keys = cache_numbered_keys_1),
    ROW("zinter", cache_zset_zinter, -3, LOOKS | NUMKEY, 0, 0, "members of all", .keys = cache_numbered_keys_1),
    ROW("zdiff", cache_zset_zdiff, -3, LOOKS | NUMKEY, 0, 0, "members of the first alone",
        .keys = cache_numbered_keys_1),
    ROW("zunionstore", cache_zset_zunionstore, -4, GROWS | NUMKEY, 1, 1, "ZUNION into a key",
        .keys = cache_zset_store_keys),
    ROW("zinterstore", cache_zset_zinterstore, -4, GROWS | NUMKEY, 1, 1, "ZINTER into a key",
        .keys = cache_zset_store_keys),
    ROW("zdiffstore", cache_zset_zdiffstore, -4, GROWS | NUMKEY, 1, 1, "ZDIFF into a key",
        .keys = cache_zset_store_keys),
    ROW("zintercard", cache_zset_zintercard, -3, LOOKS | NUMKEY, 0, 0, "how many members of all",
        .keys = cache_numbered_keys_1),
    ROW("zscan", zscan, -3, LOOKS, 1, 1, "members with scores from a cursor on", ),
    {0},
};
