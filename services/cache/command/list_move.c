/* Commands that move an element from one list to another, or within one: LMOVE, RPOPLPUSH, and BLMOVE, BRPOPLPUSH. */
#include <string.h>

#include "cache/command/list.h"
#include "cache/command/pop.h"

struct move {
    bool from_front, to_front;
};

/* Of any element that is no rope; the elements of ropes are there already. */
uint64_t cache_list_move_room(const struct cache_call *call)
{
    return cache_list_cost(call->store, 1, CACHE_SMALL_MAX, 1) + CACHE_LIST_NEW_COST +
           cache_store_string_cost(call->store, call->argv[2].length, sizeof(union cache_value));
}

static struct cache_list_at end_of(const struct cache_list *l, bool front)
{
    return front ? cache_list_first(l) : cache_list_last(l);
}

/* A long element of another shard's store needs room here first. */
static enum cache_room room_for_rope(struct cache_call *call, const struct cache_list_target *from, bool front,
                                     struct cache_store *to)
{
    struct cache_list_element x = cache_list_get(end_of(from->list, front));
    if (!x.rope || from->store == to)
        return CACHE_ROOM_READY;
    return cache_call_reserve(call, to, cache_rope_cost(x.rope->length) + cache_list_move_room(call));
}

static bool move_rope(struct cache_call *call, struct cache_list_target *from, struct cache_list_target *to,
                      struct move m)
{
    struct cache_rope *rope = cache_list_get(end_of(from->list, m.from_front)).rope;
    if (from->store != to->store && !cache_rope_adopt(rope, &to->store->memory)) {
        cache_reply_no_memory(call->reply);
        return false;
    }
    struct cache_list_element x = {{NULL, 0},
                                   cache_list_take_rope(from->store, from->list, end_of(from->list, m.from_front))};
    if (cache_list_target_push(call, to, m.to_front, &x, 1))
        return true;
    /* The node that it lay in has just been freed, so that there is one. */
    (void)cache_list_push(from->store, from->list, m.from_front, &x);
    return false;
}

/* The bytes are copied on the way: pushing may move the node that they lie in. */
static bool move_bytes(struct cache_call *call, struct cache_list_target *from, struct cache_list_target *to,
                       struct move m)
{
    uint8_t copy[CACHE_SMALL_MAX];
    struct mr_span span = cache_list_get(end_of(from->list, m.from_front)).span;
    struct cache_list_element x = {{copy, span.length}, NULL};
    memcpy(copy, span.data, span.length);
    if (from->list == to->list && m.from_front == m.to_front)
        return true;
    if (!cache_list_target_push(call, to, m.to_front, &x, 1))
        return false;
    (void)cache_list_erase(from->store, from->list, end_of(from->list, m.from_front));
    return true;
}

static void move(struct cache_call *call, struct cache_list_target *from, struct cache_list_target *to, struct move m)
{
    bool rope = cache_list_get(end_of(from->list, m.from_front)).rope;
    if (rope ? !move_rope(call, from, to, m) : !move_bytes(call, from, to, m))
        return;
    cache_list_reply(call->reply, end_of(to->list, m.to_front));
    cache_call_changed(call, to->store, to->key);
    cache_call_ready(call, to->store, to->key);
    if (from->list != to->list)
        cache_list_shrunk(call, from);
}

/* CACHE_WAIT: there is no list to take from. */
static enum cache_outcome try_move(struct cache_call *call, struct move m)
{
    struct cache_list_target from, to;
    if (!cache_list_write(call, &call->argv[1], &from))
        return CACHE_DONE;
    if (!from.list)
        return CACHE_WAIT;
    if (!cache_list_write(call, &call->argv[2], &to))
        return CACHE_DONE;
    switch (room_for_rope(call, &from, m.from_front, to.store)) {
    case CACHE_ROOM_LATER:
        return CACHE_AGAIN;
    case CACHE_ROOM_NEVER:
        return CACHE_DONE;
    case CACHE_ROOM_READY:
        break;
    }
    if (cache_list_write(call, &call->argv[2], &to)) /* to make room may have removed it */
        move(call, &from, &to, m);
    return CACHE_DONE;
}

static enum cache_outcome move_or_null(struct cache_call *call, struct move m)
{
    enum cache_outcome outcome = try_move(call, m);
    if (outcome != CACHE_WAIT)
        return outcome;
    cache_reply_null(call->reply);
    return CACHE_DONE;
}

static bool sides(struct cache_call *call, struct move *m)
{
    if (cache_list_side(&call->argv[3], &m->from_front) && cache_list_side(&call->argv[4], &m->to_front))
        return true;
    cache_reply_syntax_error(call->reply);
    return false;
}

enum cache_outcome cache_list_lmove(struct cache_call *call)
{
    struct move m;
    return sides(call, &m) ? move_or_null(call, m) : CACHE_DONE;
}

enum cache_outcome cache_list_rpoplpush(struct cache_call *call)
{
    return move_or_null(call, (struct move){.from_front = false, .to_front = true});
}

static struct mr_span side_word(bool front)
{
    return front ? CACHE_SPAN("LEFT") : CACHE_SPAN("RIGHT");
}

static enum cache_outcome move_waiting(struct cache_call *call, struct move m, const struct cache_argument *timeout)
{
    uint64_t until_ms;
    if (!cache_pop_timeout(call, timeout, &until_ms))
        return CACHE_DONE;
    enum cache_outcome outcome = try_move(call, m);
    if (outcome == CACHE_WAIT)
        return cache_pop_nothing(call, until_ms, true);
    if (call->changes) {
        struct mr_span argv[] = {CACHE_SPAN("LMOVE"), cache_argument_span(&call->argv[1]),
                                 cache_argument_span(&call->argv[2]), side_word(m.from_front), side_word(m.to_front)};
        cache_call_propagate(call, 5, argv);
    }
    return outcome;
}

enum cache_outcome cache_list_blmove(struct cache_call *call)
{
    struct move m;
    return sides(call, &m) ? move_waiting(call, m, &call->argv[5]) : CACHE_DONE;
}

enum cache_outcome cache_list_brpoplpush(struct cache_call *call)
{
    return move_waiting(call, (struct move){.from_front = false, .to_front = true}, &call->argv[3]);
}
