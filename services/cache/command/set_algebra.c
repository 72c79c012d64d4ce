/* Intersection, union and difference of sets, replied or stored.
 *
 * None needs memory beside its result: a member of the union is taken from the first operand that has it, so what comes
 * later asks those before. A result that is stored is counted first, then its room is reserved, and only then it is made:
 * beside its operands, as its key may be one of them. */
#include "cache/command/set.h"
#include "cache/command/string.h"
#include "cache/type/set.h"

enum set_operation { SET_INTER, SET_UNION, SET_DIFF };

#define OPERANDS_KEPT 64 /* of more the rest is looked up each time */

struct operands {
    struct cache_call *call;
    const struct cache_argument *key;
    unsigned count;
    struct cache_entry *kept[OPERANDS_KEPT]; /* NULL: an empty set */
    bool any_missing;
    unsigned smallest;
};

static const struct cache_entry *operand(const struct operands *o, unsigned i)
{
    if (i < OPERANDS_KEPT)
        return o->kept[i];
    struct mr_span key = cache_argument_span(&o->key[i]);
    return cache_store_peek(cache_call_store(o->call, key), o->call->database, key);
}

/* False: one is no set, replied. */
static bool operands_read(struct cache_call *call, unsigned first, unsigned count, struct operands *o)
{
    o->call = call;
    o->key = &call->argv[first];
    o->count = count;
    o->any_missing = false;
    o->smallest = 0;
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < count; i++) {
        struct cache_entry *e;
        if (!cache_call_read(call, &o->key[i], CACHE_SET, &e))
            return false;
        if (i < OPERANDS_KEPT)
            o->kept[i] = e;
        o->any_missing |= !e;
        if (e && cache_set_length(e) < least) {
            least = cache_set_length(e);
            o->smallest = i;
        }
    }
    return true;
}

struct produce {
    const struct operands *operands;
    enum set_operation operation;
    unsigned current; /* the operand that is walked */
    bool (*each)(struct mr_span member, void *argument);
    void *argument;
    bool enough;
};

static bool belongs(const struct produce *p, struct mr_span member)
{
    bool wanted = p->operation == SET_INTER;
    unsigned end = p->operation == SET_UNION ? p->current : p->operands->count;
    for (unsigned i = 0; i < end; i++) {
        if (i == p->current)
            continue;
        const struct cache_entry *e = operand(p->operands, i);
        if ((e && cache_set_contains(e, member)) != wanted)
            return false;
    }
    return true;
}

static bool produce_member(struct mr_span member, void *argument)
{
    struct produce *p = argument;
    if (belongs(p, member))
        p->enough = !p->each(member, p->argument);
    return !p->enough;
}

/* Calls `each` once for every member of the result, until it returns false. */
static void produce(const struct operands *o, enum set_operation operation,
                    bool (*each)(struct mr_span member, void *argument), void *argument)
{
    struct produce p = {.operands = o, .operation = operation, .each = each, .argument = argument};
    if (operation == SET_INTER && o->any_missing)
        return;
    unsigned first = operation == SET_INTER ? o->smallest : 0, end = operation == SET_UNION ? o->count : first + 1;
    for (p.current = first; p.current < end && !p.enough; p.current++) {
        const struct cache_entry *e = operand(o, p.current);
        if (e)
            cache_set_each(e, produce_member, &p);
    }
}

/* Replied */

struct emitted {
    struct cache_reply *reply;
    uint64_t count;
};

static bool emit(struct mr_span member, void *argument)
{
    struct emitted *x = argument;
    cache_reply_bulk(x->reply, member.data, member.length);
    x->count++;
    return !x->reply->failed;
}

static enum cache_outcome reply_result(struct cache_call *call, enum set_operation operation)
{
    struct operands o;
    if (!operands_read(call, 1, call->argc - 1, &o))
        return CACHE_DONE;
    struct emitted x = {.reply = call->reply};
    struct cache_reply_block *header = cache_reply_defer(call->reply);
    produce(&o, operation, emit, &x);
    cache_reply_defer_end(call->reply, header, '~', x.count);
    return CACHE_DONE;
}

enum cache_outcome cache_set_sinter(struct cache_call *call)
{
    return reply_result(call, SET_INTER);
}

enum cache_outcome cache_set_sunion(struct cache_call *call)
{
    return reply_result(call, SET_UNION);
}

enum cache_outcome cache_set_sdiff(struct cache_call *call)
{
    return reply_result(call, SET_DIFF);
}

/* Stored */

struct counted {
    uint64_t members, costs, limit; /* limit 0: none */
};

static bool count(struct mr_span member, void *argument)
{
    struct counted *c = argument;
    c->costs += cache_set_member_cost(member.length);
    return ++c->members != c->limit;
}

struct built {
    struct cache_store *store;
    struct cache_set_draft draft;
    bool failed;
};

static bool build(struct mr_span member, void *argument)
{
    struct built *b = argument;
    b->failed = cache_set_add(b->store, cache_set_draft_entry(&b->draft), member) == CACHE_SET_NO_MEMORY;
    return !b->failed;
}

/* False: no memory. */
static bool store_made(struct cache_call *call, struct cache_store *s, const struct operands *o,
                       enum set_operation operation)
{
    struct built b = {.store = s};
    if (!cache_set_draft(s, &b.draft))
        return false;
    produce(o, operation, build, &b);
    if (b.failed) {
        cache_set_draft_free(s, &b.draft);
        return false;
    }
    return cache_set_publish(s, call->database, cache_argument_span(&call->argv[1]), &b.draft);
}

static enum cache_outcome store_nothing(struct cache_call *call, struct cache_store *s, struct mr_span key)
{
    if (cache_store_delete(s, call->database, key))
        cache_call_changed(call, s, key);
    cache_reply_integer(call->reply, 0);
    return CACHE_DONE;
}

/* Making room may evict an operand: then the result is another, and is counted anew. */
static enum cache_outcome store_result(struct cache_call *call, enum set_operation operation)
{
    struct operands o;
    struct counted c;
    struct mr_span key;
    if (!cache_call_key(call, &call->argv[1], &key))
        return CACHE_DONE;
    struct cache_store *s = cache_call_store(call, key);
    uint64_t evicted;
    do {
        if (!operands_read(call, 2, call->argc - 2, &o))
            return CACHE_DONE;
        c = (struct counted){0};
        produce(&o, operation, count, &c);
        if (!c.members)
            return store_nothing(call, s, key);
        evicted = s->stat.evicted;
        uint64_t bytes = cache_store_string_cost(s, key.length, 0) + c.costs + cache_set_room(s, NULL, c.members);
        enum cache_room room = cache_call_reserve(call, s, bytes);
        if (room != CACHE_ROOM_READY)
            return cache_room_outcome(room);
    } while (s->stat.evicted != evicted);

    if (!store_made(call, s, &o, operation)) {
        cache_reply_out_of_memory(call->reply);
        return CACHE_DONE;
    }
    cache_call_changed(call, s, key);
    cache_reply_integer(call->reply, (int64_t)c.members);
    return CACHE_DONE;
}

enum cache_outcome cache_set_sinterstore(struct cache_call *call)
{
    return store_result(call, SET_INTER);
}

enum cache_outcome cache_set_sunionstore(struct cache_call *call)
{
    return store_result(call, SET_UNION);
}

enum cache_outcome cache_set_sdiffstore(struct cache_call *call)
{
    return store_result(call, SET_DIFF);
}

/* SINTERCARD numkeys key [key ...] [LIMIT limit] */

int cache_set_sintercard_keys(const struct cache_argument *argv, unsigned argc, unsigned *positions, unsigned max)
{
    int64_t keys;
    if (argc < 3 || !cache_argument_integer(&argv[1], &keys) || keys < 1 || keys > (int64_t)argc - 2)
        return -1;
    unsigned n = keys < (int64_t)max ? (unsigned)keys : max;
    for (unsigned i = 0; i < n; i++)
        positions[i] = 2 + i;
    return (int)n;
}

/* False: replied. */
static bool read_limit(struct cache_call *call, unsigned first, uint64_t *limit)
{
    int64_t value = 0;
    for (unsigned i = first; i < call->argc; i += 2) {
        if (i + 1 >= call->argc || !cache_argument_is(&call->argv[i], "limit")) {
            cache_reply_syntax_error(call->reply);
            return false;
        }
        if (!cache_argument_integer(&call->argv[i + 1], &value) || value < 0) {
            cache_reply_error(call->reply, "ERR LIMIT can't be negative");
            return false;
        }
    }
    *limit = (uint64_t)value;
    return true;
}

enum cache_outcome cache_set_sintercard(struct cache_call *call)
{
    struct operands o;
    struct counted c = {0};
    int64_t keys;
    if (!cache_argument_integer(&call->argv[1], &keys) || keys < 1) {
        cache_reply_error(call->reply, "ERR numkeys should be greater than 0");
        return CACHE_DONE;
    }
    if (keys > (int64_t)call->argc - 2) {
        cache_reply_error(call->reply, "ERR Number of keys can't be greater than number of args");
        return CACHE_DONE;
    }
    if (!read_limit(call, 2 + (unsigned)keys, &c.limit) || !operands_read(call, 2, (unsigned)keys, &o))
        return CACHE_DONE;
    produce(&o, SET_INTER, count, &c);
    cache_reply_integer(call->reply, (int64_t)c.members);
    return CACHE_DONE;
}
