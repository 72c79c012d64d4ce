/* ZUNION, ZINTER, ZDIFF, the same into a key, and ZINTERCARD. Sets count as sorted sets whose members all have the score 1.
 *
 * There may be very many keys, so that no list of them is made: an operand is looked up when it is needed. The result is a
 * sorted set without a key, in the destination's store, or in the first key's when it is only replied. */
#include <math.h>
#include <string.h>

#include "cache/command/pop.h"
#include "cache/command/zset.h"
#include "cache/type/encoding_limits.h"
#include "cache/type/set.h"

#define ORDERED_KEYS_MAX 256 /* operands that are taken in the order of their size, as Redis does with all */

enum operation { UNION, INTERSECTION, DIFFERENCE };
enum aggregate { SUM, MIN, MAX };

struct algebra {
    struct cache_call *call;
    enum operation operation;
    unsigned first_key, keys;
    unsigned weights; /* position of the first; 0: all are 1 */
    enum aggregate aggregate;
    bool with_scores, stores, counts;
    uint64_t limit; /* ZINTERCARD; 0: none */
    uint16_t order[ORDERED_KEYS_MAX];
    bool ordered;
    struct cache_zset result;
    uint64_t counted;
    bool failed; /* no memory */
};

/* An operand, looked up. */
struct operand {
    struct cache_store *store;
    struct cache_entry *entry; /* NULL: empty */
    double weight;
};

/* Arguments. */

static bool weights(struct algebra *a, unsigned at)
{
    double weight;
    for (unsigned i = 0; i < a->keys; i++)
        if (!cache_argument_double(&a->call->argv[at + i], &weight)) {
            cache_reply_error(a->call->reply, "ERR weight value is not a float");
            return false;
        }
    a->weights = at;
    return true;
}

static bool aggregate(struct algebra *a, const struct cache_argument *word)
{
    static const char *const names[] = {[SUM] = "sum", [MIN] = "min", [MAX] = "max"};
    for (unsigned i = SUM; i <= MAX; i++)
        if (cache_argument_is(word, names[i])) {
            a->aggregate = (enum aggregate)i;
            return true;
        }
    cache_reply_syntax_error(a->call->reply);
    return false;
}

static bool limit(struct algebra *a, const struct cache_argument *value)
{
    int64_t n;
    if (!cache_argument_integer(value, &n) || n < 0) {
        cache_reply_error(a->call->reply, "ERR LIMIT can't be negative");
        return false;
    }
    a->limit = (uint64_t)n;
    return true;
}

static bool algebra_options(struct algebra *a)
{
    const struct cache_argument *argv = a->call->argv;
    bool scored = a->operation != DIFFERENCE && !a->counts;
    for (unsigned i = a->first_key + a->keys, rest; i < a->call->argc;) {
        rest = a->call->argc - i;
        if (scored && rest >= a->keys + 1 && cache_argument_is(&argv[i], "weights")) {
            if (!weights(a, i + 1))
                return false;
            i += 1 + a->keys;
        } else if (scored && rest >= 2 && cache_argument_is(&argv[i], "aggregate")) {
            if (!aggregate(a, &argv[i + 1]))
                return false;
            i += 2;
        } else if (!a->stores && !a->counts && cache_argument_is(&argv[i], "withscores")) {
            a->with_scores = true;
            i++;
        } else if (a->counts && rest >= 2 && cache_argument_is(&argv[i], "limit")) {
            if (!limit(a, &argv[i + 1]))
                return false;
            i += 2;
        } else {
            cache_reply_syntax_error(a->call->reply);
            return false;
        }
    }
    return true;
}

/* Every key is looked up once: for its type, and so that it counts as used. */
static bool operands_valid(struct algebra *a)
{
    struct mr_span key;
    for (unsigned i = 0; i < a->keys; i++) {
        if (!cache_call_key(a->call, &a->call->argv[a->first_key + i], &key))
            return false;
        const struct cache_entry *e = cache_store_read(cache_call_store(a->call, key), a->call->database, key);
        if (e && e->type != CACHE_ZSET && e->type != CACHE_SET) {
            cache_reply_wrong_type(a->call->reply);
            return false;
        }
    }
    return true;
}

static bool algebra_arguments(struct algebra *a, unsigned numkeys)
{
    struct cache_call *call = a->call;
    int64_t keys;
    if (!cache_argument_integer(&call->argv[numkeys], &keys)) {
        cache_reply_not_integer(call->reply);
        return false;
    }
    if (keys < 1) {
        cache_reply_error(call->reply, "ERR at least 1 input key is needed for '%s' command", call->command->name);
        return false;
    }
    if (keys > (int64_t)call->argc - numkeys - 1) {
        cache_reply_syntax_error(call->reply);
        return false;
    }
    a->first_key = numkeys + 1;
    a->keys = (unsigned)keys;
    return operands_valid(a) && algebra_options(a);
}

/* Operands. */

static struct operand operand(const struct algebra *a, unsigned i)
{
    if (a->ordered)
        i = a->order[i];
    struct mr_span key = cache_argument_span(&a->call->argv[a->first_key + i]);
    struct operand o = {.store = cache_call_store(a->call, key), .weight = 1};
    o.entry = cache_store_peek(o.store, a->call->database, key);
    if (a->weights)
        (void)cache_argument_double(&a->call->argv[a->weights + i], &o.weight);
    return o;
}

static uint64_t operand_count(const struct operand *o)
{
    if (!o->entry)
        return 0;
    return cache_collection_types[o->entry->type]->length(o->entry->encoding, cache_entry_value(o->entry)->collection);
}

static bool operand_score(const struct operand *o, struct mr_span member, double *score)
{
    *score = 1;
    if (!o->entry)
        return false;
    if (o->entry->type == CACHE_SET)
        return cache_set_contains(o->entry, member);
    struct cache_zset z = cache_zset_of(o->store, o->entry);
    return cache_zset_score(&z, member, score);
}

struct each_member {
    bool (*each)(struct cache_zset_element x, void *argument);
    void *argument;
};

static bool set_member(struct mr_span member, void *argument)
{
    const struct each_member *e = argument;
    return e->each((struct cache_zset_element){member, 1}, e->argument);
}

/* Until `each` returns false. */
static void operand_each(const struct operand *o, bool (*each)(struct cache_zset_element x, void *argument),
                         void *argument)
{
    if (!o->entry)
        return;
    if (o->entry->type == CACHE_SET) {
        cache_set_each(o->entry, set_member, &(struct each_member){each, argument});
        return;
    }
    struct cache_zset z = cache_zset_of(o->store, o->entry);
    for (cache_zset_at at = cache_zset_at_rank(&z, 0); at; at = cache_zset_next(&z, at))
        if (!each(cache_zset_get(&z, at), argument))
            return;
}

static bool sum_bytes(struct cache_zset_element x, void *argument)
{
    *(uint64_t *)argument += x.member.length;
    return true;
}

static uint64_t operand_bytes(const struct operand *o)
{
    uint64_t bytes = 0;
    if (o->entry && o->entry->type == CACHE_ZSET) {
        struct cache_zset z = cache_zset_of(o->store, o->entry);
        return cache_zset_member_bytes(&z);
    }
    operand_each(o, sum_bytes, &bytes);
    return bytes;
}

/* By size, those of the same size as they were given: sums of floats depend on the order. */
static void operands_order(struct algebra *a)
{
    uint64_t counts[ORDERED_KEYS_MAX];
    a->ordered = false;
    if (a->operation == DIFFERENCE || a->keys > ORDERED_KEYS_MAX)
        return;
    for (unsigned i = 0; i < a->keys; i++) {
        struct operand o = operand(a, i);
        uint64_t count = operand_count(&o);
        unsigned at = i;
        for (; at > 0 && counts[at - 1] > count; at--) {
            counts[at] = counts[at - 1];
            a->order[at] = a->order[at - 1];
        }
        counts[at] = count;
        a->order[at] = (uint16_t)i;
    }
    a->ordered = true;
}

/* Calculating. */

static double weighted(double score, double weight)
{
    double product = score * weight;
    return isnan(product) ? 0 : product;
}

static double aggregated(const struct algebra *a, double x, double y)
{
    switch (a->aggregate) {
    case SUM:
        return isnan(x + y) ? 0 : x + y; /* of infinities of different signs */
    case MIN:
        return y < x ? y : x;
    case MAX:
        return y > x ? y : x;
    }
    return x;
}

static bool result_set(struct algebra *a, struct mr_span member, double score)
{
    if (a->counts)
        return !(++a->counted == a->limit);
    a->failed = cache_zset_set(&a->result, member, score) == CACHE_ZSET_NO_MEMORY;
    return !a->failed;
}

struct step {
    struct algebra *a;
    struct operand operand;
};

static bool union_member(struct cache_zset_element x, void *argument)
{
    struct step *s = argument;
    double there, score = weighted(x.score, s->operand.weight);
    if (cache_zset_score(&s->a->result, x.member, &there))
        score = aggregated(s->a, there, score);
    return result_set(s->a, x.member, score);
}

static bool intersection_member(struct cache_zset_element x, void *argument)
{
    struct step *s = argument;
    double score = weighted(x.score, s->operand.weight), other;
    for (unsigned i = 1; i < s->a->keys; i++) {
        struct operand o = operand(s->a, i);
        if (!operand_score(&o, x.member, &other))
            return true;
        score = aggregated(s->a, score, other * o.weight);
    }
    return result_set(s->a, x.member, score);
}

static bool difference_member(struct cache_zset_element x, void *argument)
{
    struct step *s = argument;
    double other;
    for (unsigned i = 1; i < s->a->keys; i++) {
        struct operand o = operand(s->a, i);
        if (operand_score(&o, x.member, &other))
            return true;
    }
    return result_set(s->a, x.member, x.score);
}

static void calculate(struct algebra *a)
{
    static bool (*const each[])(struct cache_zset_element x, void *argument) = {
        [UNION] = union_member, [INTERSECTION] = intersection_member, [DIFFERENCE] = difference_member};
    unsigned walked = a->operation == UNION ? a->keys : 1;
    for (unsigned i = 0; i < walked && !a->failed; i++) {
        struct step s = {a, operand(a, i)};
        operand_each(&s.operand, each[a->operation], &s);
    }
}

/* The result in `store`, for which there is room. False: no memory, replied. */
static bool result_make(struct algebra *a, struct cache_store *store)
{
    operands_order(a); /* anew: making room may have removed operands */
    if (!cache_zset_create(&a->result, store, a->stores ? 0 : UINT64_MAX, 0)) {
        cache_reply_no_memory(a->call->reply);
        return false;
    }
    calculate(a);
    if (!a->failed)
        return true;
    cache_zset_free(&a->result);
    cache_reply_no_memory(a->call->reply);
    return false;
}

static enum cache_room result_reserve(struct algebra *a, struct mr_span key)
{
    uint64_t members = 0, bytes = 0;
    unsigned walked = a->operation == UNION ? a->keys : 1;
    operands_order(a);
    for (unsigned i = 0; i < walked; i++) {
        struct operand o = operand(a, i);
        members += operand_count(&o);
        bytes += operand_bytes(&o);
    }
    if (!a->stores) /* never compact: what is only replied keeps a negative zero */
        members += 1 + cache_type_limits_of(cache_call_store(a->call, key))->zset_max_listpack_entries;
    return cache_zset_store_reserve(a->call, key, members, bytes);
}

static enum cache_outcome store_result(struct cache_call *call, enum operation operation)
{
    struct algebra a = {.call = call, .operation = operation, .stores = true};
    struct mr_span key;
    if (!cache_call_key(call, &call->argv[1], &key) || !algebra_arguments(&a, 2))
        return CACHE_DONE;
    enum cache_room room = result_reserve(&a, key);
    if (room != CACHE_ROOM_READY)
        return room == CACHE_ROOM_LATER ? CACHE_AGAIN : CACHE_DONE;
    if (result_make(&a, cache_call_store(call, key)))
        cache_zset_store(call, key, &a.result);
    return CACHE_DONE;
}

static enum cache_outcome reply_result(struct cache_call *call, enum operation operation)
{
    struct algebra a = {.call = call, .operation = operation};
    if (!algebra_arguments(&a, 1))
        return CACHE_DONE;
    struct mr_span key = cache_argument_span(&call->argv[a.first_key]);
    enum cache_room room = result_reserve(&a, key);
    if (room != CACHE_ROOM_READY)
        return room == CACHE_ROOM_LATER ? CACHE_AGAIN : CACHE_DONE;
    if (!result_make(&a, cache_call_store(call, key)))
        return CACHE_DONE;
    cache_zset_reply_header(call->reply, cache_zset_count(&a.result), a.with_scores);
    for (cache_zset_at at = cache_zset_at_rank(&a.result, 0); at; at = cache_zset_next(&a.result, at))
        cache_zset_reply_element(call->reply, cache_zset_get(&a.result, at), a.with_scores);
    cache_zset_free(&a.result);
    return CACHE_DONE;
}

enum cache_outcome cache_zset_zunion(struct cache_call *call)
{
    return reply_result(call, UNION);
}

enum cache_outcome cache_zset_zinter(struct cache_call *call)
{
    return reply_result(call, INTERSECTION);
}

enum cache_outcome cache_zset_zdiff(struct cache_call *call)
{
    return reply_result(call, DIFFERENCE);
}

enum cache_outcome cache_zset_zunionstore(struct cache_call *call)
{
    return store_result(call, UNION);
}

enum cache_outcome cache_zset_zinterstore(struct cache_call *call)
{
    return store_result(call, INTERSECTION);
}

enum cache_outcome cache_zset_zdiffstore(struct cache_call *call)
{
    return store_result(call, DIFFERENCE);
}

enum cache_outcome cache_zset_zintercard(struct cache_call *call)
{
    struct algebra a = {.call = call, .operation = INTERSECTION, .counts = true};
    if (!algebra_arguments(&a, 1))
        return CACHE_DONE;
    operands_order(&a);
    calculate(&a);
    cache_reply_integer(call->reply, (int64_t)a.counted);
    return CACHE_DONE;
}

int cache_zset_store_keys(const struct cache_argument *argv, unsigned argc, unsigned *positions, unsigned max)
{
    if (max == 0)
        return 0;
    positions[0] = 1;
    int n = cache_numbered_keys(argv, argc, 2, positions + 1, max - 1);
    return n < 0 ? n : n + 1;
}
