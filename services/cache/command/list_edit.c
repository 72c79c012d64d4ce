/* Commands that change or look for elements inside a list: LSET, LINSERT, LREM, LTRIM, LPOS. */
#include "cache/command/list.h"
#include "cache/command/pop.h"

/* Of one more element, whichever node it splits. */
static enum cache_room reserve_one(struct cache_call *call, struct cache_store *s, const struct cache_argument *a)
{
    uint64_t bytes = cache_list_cost(s, 1, a->rope ? 0 : a->length, a->rope != NULL);
    if (a->rope && a->rope->memory != &s->memory)
        bytes += cache_rope_cost(a->rope->length);
    return cache_call_reserve(call, s, bytes);
}

/* Reserves, and looks the list up anew. False: *outcome is what the command returns. */
static bool list_with_room(struct cache_call *call, const struct cache_argument *a, struct cache_list_target *t,
                           enum cache_outcome *outcome)
{
    enum cache_room room = reserve_one(call, cache_call_store(call, cache_argument_span(&call->argv[1])), a);
    *outcome = room == CACHE_ROOM_LATER ? CACHE_AGAIN : CACHE_DONE;
    return room == CACHE_ROOM_READY && cache_list_write(call, &call->argv[1], t);
}

enum cache_outcome cache_list_lset(struct cache_call *call)
{
    struct cache_list_target t;
    struct cache_list_element x;
    struct cache_argument *value = &call->argv[3];
    enum cache_outcome outcome = CACHE_DONE;
    int64_t index;
    struct mr_span key;
    if (!cache_call_key(call, &call->argv[1], &key) || !list_with_room(call, value, &t, &outcome))
        return outcome;
    if (!t.list) {
        cache_reply_error(call->reply, "ERR no such key");
        return CACHE_DONE;
    }
    if (!cache_argument_integer(&call->argv[2], &index)) {
        cache_reply_not_integer(call->reply);
        return CACHE_DONE;
    }
    struct cache_list_at at = cache_list_index(t.list, index);
    if (!at.node) {
        cache_reply_error(call->reply, "ERR index out of range");
        return CACHE_DONE;
    }
    if (!cache_list_offer(call, t.store, value, &x))
        return CACHE_DONE;
    if (!cache_list_replace(t.store, t.list, at, &x)) {
        cache_reply_no_memory(call->reply);
        return CACHE_DONE;
    }
    value->rope = NULL; /* taken over */
    cache_reply_ok(call->reply);
    cache_call_changed(call, t.store, t.key);
    return CACHE_DONE;
}

static struct cache_list_element wanted_element(const struct cache_argument *a)
{
    return (struct cache_list_element){{a->data, a->length}, a->rope};
}

static bool element_is(struct cache_list_at at, const struct cache_list_element *wanted)
{
    struct cache_list_element x = cache_list_get(at);
    return cache_list_element_equal(&x, wanted);
}

static struct cache_list_at find(const struct cache_list *l, const struct cache_argument *a)
{
    struct cache_list_element wanted = wanted_element(a);
    struct cache_list_at at = cache_list_first(l);
    while (at.node && !element_is(at, &wanted))
        at = cache_list_next(at);
    return at;
}

enum cache_outcome cache_list_linsert(struct cache_call *call)
{
    struct cache_list_target t;
    struct cache_list_element x;
    struct cache_argument *value = &call->argv[4];
    enum cache_outcome outcome = CACHE_DONE;
    struct mr_span key;
    bool behind = cache_argument_is(&call->argv[2], "after");
    if (!behind && !cache_argument_is(&call->argv[2], "before")) {
        cache_reply_syntax_error(call->reply);
        return CACHE_DONE;
    }
    if (!cache_call_key(call, &call->argv[1], &key) || !list_with_room(call, value, &t, &outcome))
        return outcome;
    struct cache_list_at at = {NULL, 0};
    if (t.list)
        at = find(t.list, &call->argv[3]);
    if (!at.node) {
        cache_reply_integer(call->reply, t.list ? -1 : 0);
        return CACHE_DONE;
    }
    if (!cache_list_offer(call, t.store, value, &x))
        return CACHE_DONE;
    if (!cache_list_insert(t.store, t.list, behind ? cache_list_next(at) : at, &x)) {
        cache_reply_no_memory(call->reply);
        return CACHE_DONE;
    }
    value->rope = NULL; /* taken over */
    cache_reply_integer(call->reply, (int64_t)t.list->count);
    cache_call_changed(call, t.store, t.key);
    return CACHE_DONE;
}

/* Backwards an erased element leaves its predecessor where it was. */
static uint64_t remove_equal(struct cache_list_target *t, const struct cache_list_element *wanted, bool backwards,
                             uint64_t most)
{
    uint64_t removed = 0;
    struct cache_list_at at = backwards ? cache_list_last(t->list) : cache_list_first(t->list);
    while (at.node && removed < most) {
        struct cache_list_at previous = backwards ? cache_list_previous(at) : at;
        if (element_is(at, wanted)) {
            at = cache_list_erase(t->store, t->list, at);
            removed++;
        } else if (!backwards) {
            at = cache_list_next(at);
        }
        if (backwards)
            at = previous;
    }
    return removed;
}

enum cache_outcome cache_list_lrem(struct cache_call *call)
{
    struct cache_list_target t;
    int64_t count;
    if (!cache_argument_integer(&call->argv[2], &count)) {
        cache_reply_not_integer(call->reply);
        return CACHE_DONE;
    }
    if (!cache_list_write(call, &call->argv[1], &t))
        return CACHE_DONE;
    uint64_t most = count > 0 ? (uint64_t)count : count < 0 ? -(uint64_t)count : UINT64_MAX, removed = 0;
    struct cache_list_element wanted = wanted_element(&call->argv[3]);
    if (t.list)
        removed = remove_equal(&t, &wanted, count < 0, most);
    cache_reply_integer(call->reply, (int64_t)removed);
    if (removed) {
        cache_list_shrunk(call, &t);
        call->changes += removed - 1;
    }
    return CACHE_DONE;
}

enum cache_outcome cache_list_ltrim(struct cache_call *call)
{
    struct cache_list_target t;
    int64_t first, last;
    if (!cache_argument_integer(&call->argv[2], &first) || !cache_argument_integer(&call->argv[3], &last)) {
        cache_reply_not_integer(call->reply);
        return CACHE_DONE;
    }
    if (!cache_list_write(call, &call->argv[1], &t))
        return CACHE_DONE;
    cache_reply_ok(call->reply);
    if (!t.list)
        return CACHE_DONE;
    int64_t count = (int64_t)t.list->count;
    first = first < 0 ? (first + count < 0 ? 0 : first + count) : first;
    last = last < 0 ? last + count : last < count ? last : count - 1;
    if (first > last || first >= count) { /* in pieces later, not one by one now */
        (void)cache_store_delete(t.store, call->database, t.key);
        cache_call_changed(call, t.store, t.key);
        return CACHE_DONE;
    }
    cache_list_erase_range(t.store, t.list, (uint64_t)(last + 1), (uint64_t)(count - last - 1));
    cache_list_erase_range(t.store, t.list, 0, (uint64_t)first);
    cache_list_shrunk(call, &t);
    return CACHE_DONE;
}

/* LPOS. */

struct position_options {
    int64_t rank;     /* which match is the first wanted; negative: from the end */
    int64_t count;    /* matches wanted; -1: one, replied alone; 0: all */
    uint64_t compare; /* elements looked at, at most */
};

static bool not_negative(struct cache_call *call, const struct cache_argument *a, const char *name, int64_t *value)
{
    if (cache_argument_integer(a, value) && *value >= 0)
        return true;
    cache_reply_error(call->reply, "ERR %s can't be negative", name);
    return false;
}

static bool position_rank(struct cache_call *call, const struct cache_argument *a, int64_t *rank)
{
    if (!cache_argument_integer(a, rank)) {
        cache_reply_not_integer(call->reply);
        return false;
    }
    if (*rank)
        return true;
    cache_reply_error(call->reply,
                      "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use "
                      "negative to start from the end of the list");
    return false;
}

static bool position_options(struct cache_call *call, struct position_options *o)
{
    *o = (struct position_options){1, -1, UINT64_MAX};
    for (unsigned i = 3; i < call->argc; i += 2) {
        const struct cache_argument *name = &call->argv[i], *value = name + 1;
        int64_t compare;
        if (i + 1 == call->argc) {
            cache_reply_syntax_error(call->reply);
            return false;
        }
        if (cache_argument_is(name, "rank")) {
            if (!position_rank(call, value, &o->rank))
                return false;
        } else if (cache_argument_is(name, "count")) {
            if (!not_negative(call, value, "COUNT", &o->count))
                return false;
        } else if (cache_argument_is(name, "maxlen")) {
            if (!not_negative(call, value, "MAXLEN", &compare))
                return false;
            o->compare = compare ? (uint64_t)compare : UINT64_MAX;
        } else {
            cache_reply_syntax_error(call->reply);
            return false;
        }
    }
    return true;
}

/* The index of the next match from *at on, which moves behind it; -1: none. */
static int64_t next_match(const struct cache_list *l, struct cache_list_at *at, uint64_t *seen, bool backwards,
                          uint64_t most, const struct cache_list_element *wanted)
{
    while (at->node && *seen < most) {
        bool match = element_is(*at, wanted);
        *at = backwards ? cache_list_previous(*at) : cache_list_next(*at);
        ++*seen;
        if (match)
            return (int64_t)(backwards ? l->count - *seen : *seen - 1);
    }
    return -1;
}

enum cache_outcome cache_list_lpos(struct cache_call *call)
{
    struct position_options o;
    struct cache_list_target t;
    if (!position_options(call, &o) || !cache_list_read(call, &call->argv[1], &t))
        return CACHE_DONE;

    bool backwards = o.rank < 0;
    uint64_t skip = backwards ? (uint64_t) - (o.rank + 1) : (uint64_t)o.rank - 1, seen = 0, matches = 0;
    if (o.rank == INT64_MIN) /* it has no positive: Redis takes the last match */
        skip = 0;
    struct cache_list_element wanted = wanted_element(&call->argv[2]);
    struct cache_list_at at = {NULL, 0};
    if (t.list)
        at = backwards ? cache_list_last(t.list) : cache_list_first(t.list);
    struct cache_reply_block *header = o.count >= 0 ? cache_reply_defer(call->reply) : NULL;
    uint64_t limit = o.count == 0 ? UINT64_MAX : o.count < 0 ? 1 : (uint64_t)o.count;
    int64_t index;
    while (matches < limit && (index = next_match(t.list, &at, &seen, backwards, o.compare, &wanted)) >= 0) {
        if (skip) {
            skip--;
            continue;
        }
        cache_reply_integer(call->reply, index);
        matches++;
    }
    if (o.count >= 0)
        cache_reply_defer_end(call->reply, header, '*', matches);
    else if (!matches)
        cache_reply_null(call->reply);
    return CACHE_DONE;
}
