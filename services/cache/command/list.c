/* Lists: pushing and reading; the table of all list commands. Editing, popping and moving are in list_*.c. */
#include "cache/command/list.h"

#include "cache/command/pop.h"

bool cache_list_read(struct cache_call *call, const struct cache_argument *key, struct cache_list_target *t)
{
    struct cache_entry *e;
    if (!cache_call_read(call, key, CACHE_LIST, &e))
        return false;
    struct mr_span span = cache_argument_span(key);
    *t = (struct cache_list_target){cache_call_store(call, span), span, e ? cache_list_of(e) : NULL};
    return true;
}

bool cache_list_write(struct cache_call *call, const struct cache_argument *key, struct cache_list_target *t)
{
    struct cache_entry *e;
    if (!cache_call_write(call, key, CACHE_LIST, &e))
        return false;
    struct mr_span span = cache_argument_span(key);
    *t = (struct cache_list_target){cache_call_store(call, span), span, e ? cache_list_of(e) : NULL};
    return true;
}

static bool push_all(struct cache_list_target *t, bool front, const struct cache_list_element *x, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!cache_list_push(t->store, t->list, front, &x[i])) {
            for (; i > 0; i--) /* ropes go back to whom they came from */
                if (!cache_list_take_rope(t->store, t->list,
                                          front ? cache_list_first(t->list) : cache_list_last(t->list)))
                    (void)cache_list_erase(t->store, t->list,
                                           front ? cache_list_first(t->list) : cache_list_last(t->list));
            return false;
        }
    return true;
}

bool cache_list_target_push(struct cache_call *call, struct cache_list_target *t, bool front,
                            const struct cache_list_element *x, unsigned n)
{
    bool made = !t->list;
    if (made)
        t->list = cache_list_create(&t->store->memory);
    bool pushed = t->list && push_all(t, front, x, n);
    if (pushed &&
        (!made || cache_store_add_collection(t->store, call->database, t->key, CACHE_LIST, CACHE_LIST_NODES, t->list)))
        return true;

    if (made && t->list) {
        for (unsigned i = 0; pushed && i < n; i++)
            (void)cache_list_take_rope(t->store, t->list, front ? cache_list_first(t->list) : cache_list_last(t->list));
        cache_list_free(t->store, t->list);
        t->list = NULL;
    }
    cache_reply_no_memory(call->reply);
    return false;
}

void cache_list_shrunk(struct cache_call *call, struct cache_list_target *t)
{
    if (t->list->count == 0) {
        (void)cache_store_delete(t->store, call->database, t->key);
        t->list = NULL;
    }
    cache_call_changed(call, t->store, t->key);
}

bool cache_list_offer(struct cache_call *call, struct cache_store *s, const struct cache_argument *a,
                      struct cache_list_element *x)
{
    *x = (struct cache_list_element){{a->data, a->length}, a->rope};
    if (!a->rope || a->rope->memory == &s->memory || cache_rope_adopt(a->rope, &s->memory))
        return true;
    cache_reply_no_memory(call->reply);
    return false;
}

void cache_list_reply(struct cache_reply *r, struct cache_list_at at)
{
    struct cache_list_element x = cache_list_get(at);
    if (x.rope)
        cache_reply_rope(r, x.rope);
    else
        cache_reply_bulk(r, x.span.data, x.span.length);
}

bool cache_list_side(const struct cache_argument *a, bool *front)
{
    *front = cache_argument_is(a, "left");
    return *front || cache_argument_is(a, "right");
}

/* Room for the arguments from the second on as elements, one of them maybe of a node that splits. */
static uint64_t push_room(const struct cache_call *call)
{
    uint64_t bytes = 0, ropes = 0, rope_bytes = 0;
    for (unsigned i = 2; i < call->argc; i++) {
        const struct cache_rope *rope = call->argv[i].rope;
        if (rope) {
            ropes++;
            rope_bytes += rope->memory == &call->store->memory ? 0 : cache_rope_cost(rope->length);
        } else {
            bytes += call->argv[i].length;
        }
    }
    return cache_list_cost(call->store, call->argc - 2 - ropes, bytes, ropes) + rope_bytes + CACHE_LIST_NEW_COST +
           cache_store_string_cost(call->store, call->argv[1].length, sizeof(union cache_value));
}

#define PUSHED_AT_ONCE 64

/* Elements are offered some at a time; what was pushed before memory ended is taken back. */
static bool push_arguments(struct cache_call *call, struct cache_list_target *t, bool front)
{
    struct cache_list_element x[PUSHED_AT_ONCE];
    for (unsigned i = 2; i < call->argc; i++) /* before the first change */
        if (!cache_list_offer(call, t->store, &call->argv[i], &x[0]))
            return false;
    uint64_t before = t->list ? t->list->count : 0;
    for (unsigned at = 2; at < call->argc;) {
        unsigned n = call->argc - at < PUSHED_AT_ONCE ? call->argc - at : PUSHED_AT_ONCE;
        for (unsigned i = 0; i < n; i++)
            (void)cache_list_offer(call, t->store, &call->argv[at + i], &x[i]);
        if (!cache_list_target_push(call, t, front, x, n)) {
            if (t->list && t->list->count > before) {
                uint64_t pushed = t->list->count - before;
                cache_list_erase_range(t->store, t->list, front ? 0 : before, pushed);
                cache_list_shrunk(call, t);
            }
            return false;
        }
        for (unsigned i = 0; i < n; i++)
            call->argv[at + i].rope = NULL; /* taken over */
        at += n;
    }
    return true;
}

static enum cache_outcome push(struct cache_call *call, bool front, bool only_existing)
{
    struct cache_list_target t;
    if (!cache_list_write(call, &call->argv[1], &t))
        return CACHE_DONE;
    if (!t.list && only_existing) {
        cache_reply_integer(call->reply, 0);
        return CACHE_DONE;
    }
    unsigned pushed = call->argc - 2;
    if (!push_arguments(call, &t, front))
        return CACHE_DONE;
    cache_reply_integer(call->reply, (int64_t)t.list->count);
    cache_call_changed(call, t.store, t.key);
    call->changes += pushed - 1;
    cache_call_ready(call, t.store, t.key);
    return CACHE_DONE;
}

static enum cache_outcome lpush(struct cache_call *call)
{
    return push(call, true, false);
}

static enum cache_outcome rpush(struct cache_call *call)
{
    return push(call, false, false);
}

static enum cache_outcome lpushx(struct cache_call *call)
{
    return push(call, true, true);
}

static enum cache_outcome rpushx(struct cache_call *call)
{
    return push(call, false, true);
}

static enum cache_outcome llen(struct cache_call *call)
{
    struct cache_list_target t;
    if (cache_list_read(call, &call->argv[1], &t))
        cache_reply_integer(call->reply, t.list ? (int64_t)t.list->count : 0);
    return CACHE_DONE;
}

static enum cache_outcome lindex(struct cache_call *call)
{
    struct cache_list_target t;
    int64_t index;
    if (!cache_list_read(call, &call->argv[1], &t))
        return CACHE_DONE;
    if (!t.list) {
        cache_reply_null(call->reply);
        return CACHE_DONE;
    }
    if (!cache_argument_integer(&call->argv[2], &index)) {
        cache_reply_not_integer(call->reply);
        return CACHE_DONE;
    }
    struct cache_list_at at = cache_list_index(t.list, index);
    if (at.node)
        cache_list_reply(call->reply, at);
    else
        cache_reply_null(call->reply);
    return CACHE_DONE;
}

static enum cache_outcome lrange(struct cache_call *call)
{
    struct cache_list_target t;
    int64_t first, last;
    if (!cache_argument_integer(&call->argv[2], &first) || !cache_argument_integer(&call->argv[3], &last)) {
        cache_reply_not_integer(call->reply);
        return CACHE_DONE;
    }
    if (!cache_list_read(call, &call->argv[1], &t))
        return CACHE_DONE;
    int64_t count = t.list ? (int64_t)t.list->count : 0;
    first = first < 0 ? (first + count < 0 ? 0 : first + count) : first;
    last = last < 0 ? last + count : last < count ? last : count - 1;
    if (first > last || first >= count) {
        cache_reply_array(call->reply, 0);
        return CACHE_DONE;
    }
    cache_reply_array(call->reply, (uint64_t)(last - first + 1));
    struct cache_list_at at = cache_list_index(t.list, first);
    for (; first <= last; first++, at = cache_list_next(at))
        cache_list_reply(call->reply, at);
    return CACHE_DONE;
}

#define ROW(name_, function_, arity_, flags_, first_, last_, sentence_, ...)                                 \
    {                                                                                                        \
        .name = name_, .function = function_, .arity = arity_, .flags = flags_, .first_key = first_,         \
        .last_key = last_, .key_step = (first_) ? 1 : 0, .group = "list", .sentence = sentence_, __VA_ARGS__ \
    }

#define GROWS (CACHE_WRITE | CACHE_DENYOOM)
#define WAITS (CACHE_WRITE | CACHE_NOSCRIPT | CACHE_BLOCKING)

const struct cache_command cache_commands_list[] = {
    ROW("lpush", lpush, -3, GROWS | CACHE_FAST, 1, 1, "puts elements before the first", .room = push_room),
    ROW("rpush", rpush, -3, GROWS | CACHE_FAST, 1, 1, "puts elements behind the last", .room = push_room),
    ROW("lpushx", lpushx, -3, GROWS | CACHE_FAST, 1, 1, "LPUSH, if the list exists", .room = push_room),
    ROW("rpushx", rpushx, -3, GROWS | CACHE_FAST, 1, 1, "RPUSH, if the list exists", .room = push_room),
    ROW("lpop", cache_list_lpop, -2, CACHE_WRITE | CACHE_FAST, 1, 1, "takes the first elements", ),
    ROW("rpop", cache_list_rpop, -2, CACHE_WRITE | CACHE_FAST, 1, 1, "takes the last elements", ),
    ROW("llen", llen, 2, CACHE_READONLY | CACHE_FAST, 1, 1, "how many elements", ),
    ROW("lrange", lrange, 4, CACHE_READONLY, 1, 1, "the elements between two indexes", ),
    ROW("lindex", lindex, 3, CACHE_READONLY, 1, 1, "the element at an index", ),
    ROW("lset", cache_list_lset, 4, GROWS, 1, 1, "replaces the element at an index", ),
    ROW("linsert", cache_list_linsert, 5, GROWS, 1, 1, "puts an element before or behind another", ),
    ROW("lrem", cache_list_lrem, 4, CACHE_WRITE, 1, 1, "takes elements that equal one out", ),
    ROW("ltrim", cache_list_ltrim, 4, CACHE_WRITE, 1, 1, "keeps the elements between two indexes", ),
    ROW("lpos", cache_list_lpos, -3, CACHE_READONLY, 1, 1, "where elements that equal one are", ),
    ROW("lmove", cache_list_lmove, 5, GROWS, 1, 2, "moves an element from an end to an end",
        .room = cache_list_move_room),
    ROW("rpoplpush", cache_list_rpoplpush, 3, GROWS, 1, 2, "moves the last element before the first of another list",
        .room = cache_list_move_room),
    ROW("lmpop", cache_list_lmpop, -4, CACHE_WRITE | CACHE_MOVABLE_KEYS, 0, 0,
        "takes elements of the first list that has some", .keys = cache_numbered_keys_1),
    ROW("blpop", cache_list_blpop, -3, WAITS, 1, -2, "LPOP of the first list that has an element; waits for one", ),
    ROW("brpop", cache_list_brpop, -3, WAITS, 1, -2, "RPOP of the first list that has an element; waits for one", ),
    ROW("blmove", cache_list_blmove, 6, WAITS | CACHE_DENYOOM, 1, 2, "LMOVE; waits for an element",
        .room = cache_list_move_room),
    ROW("brpoplpush", cache_list_brpoplpush, 4, WAITS | CACHE_DENYOOM, 1, 2, "RPOPLPUSH; waits for an element",
        .room = cache_list_move_room),
    ROW("blmpop", cache_list_blmpop, -5, CACHE_WRITE | CACHE_BLOCKING | CACHE_MOVABLE_KEYS, 0, 0,
        "LMPOP; waits for an element", .keys = cache_numbered_keys_2),
    {0},
};
