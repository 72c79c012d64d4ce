/* Commands of hashes. */
#include <math.h>

#include "cache/command/command.h"
#include "cache/command/scan_options.h"
#include "cache/command/string.h"
#include "cache/type/hash.h"
#include "cache/type/sample.h"

/* Room */

static uint64_t room_for_pairs(const struct cache_call *call, uint64_t pairs, uint64_t pair_costs)
{
    struct mr_span key = cache_argument_span(&call->argv[1]);
    if (!key.data)
        return 0; /* refused by the function */
    const struct cache_entry *e = cache_store_peek(call->store, call->database, key);
    if (e && e->type != CACHE_HASH)
        return 0;
    return cache_store_string_cost(call->store, key.length, 0) + pair_costs +
           cache_hash_room(call->store, e, pairs, pair_costs);
}

/* HSET, HMSET, HSETNX: key field value ... */
static uint64_t room_of_arguments(const struct cache_call *call)
{
    uint64_t costs = 0;
    for (unsigned i = 2; i + 1 < call->argc; i += 2)
        costs += cache_hash_pair_cost(call->argv[i].rope ? 0 : call->argv[i].length, &call->argv[i + 1]);
    return room_for_pairs(call, (call->argc - 2) / 2, costs);
}

/* HINCRBY, HINCRBYFLOAT: one field whose value may get this long. */
static uint64_t room_of_number(const struct cache_call *call)
{
    struct cache_argument value = {.data = (const uint8_t *)"", .length = CACHE_FLOAT_TEXT_MAX};
    return room_for_pairs(call, 1, cache_hash_pair_cost(call->argv[2].rope ? 0 : call->argv[2].length, &value));
}

/* The hash at argv[1], made when it is not there. Room is reserved: NULL only when the books are wrong. */
static struct cache_entry *hash_or_new(struct cache_call *call, struct cache_entry *e)
{
    if (!e)
        e = cache_hash_create(call->store, call->database, cache_argument_span(&call->argv[1]));
    if (!e)
        cache_reply_out_of_memory(call->reply);
    return e;
}

static void hash_changed(struct cache_call *call, uint64_t changes)
{
    if (!changes)
        return;
    cache_call_changed(call, call->store, cache_argument_span(&call->argv[1]));
    call->changes += changes - 1;
}

/* False: no memory, replied; a hash that was made for it is gone again. */
static bool hash_set(struct cache_call *call, struct cache_entry *e, struct mr_span field, struct cache_argument *value,
                     uint64_t *added)
{
    enum cache_hash_outcome outcome = cache_hash_set(call->store, e, field, value);
    *added += outcome == CACHE_HASH_ADDED;
    if (outcome != CACHE_HASH_NO_MEMORY)
        return true;
    if (!cache_hash_length(e))
        cache_store_delete_entry(call->store, e);
    cache_reply_out_of_memory(call->reply);
    return false;
}

/* Writing */

static bool fields_valid(struct cache_call *call, unsigned step)
{
    struct mr_span field;
    for (unsigned i = 2; i < call->argc; i += step)
        if (!cache_call_key(call, &call->argv[i], &field))
            return false;
    return true;
}

/* HSET and HMSET; how many were added, -1: replied. */
static int64_t set_pairs(struct cache_call *call)
{
    struct cache_entry *e;
    uint64_t added = 0;
    if (call->argc % 2) {
        cache_reply_arity(call->reply, NULL, call->command);
        return -1;
    }
    if (!cache_call_write(call, &call->argv[1], CACHE_HASH, &e) || !fields_valid(call, 2) ||
        !(e = hash_or_new(call, e)))
        return -1;
    for (unsigned i = 2; i < call->argc; i += 2) {
        if (!hash_set(call, e, cache_argument_span(&call->argv[i]), &call->argv[i + 1], &added)) {
            hash_changed(call, (i - 2) / 2);
            return -1;
        }
    }
    hash_changed(call, (call->argc - 2) / 2);
    return (int64_t)added;
}

static enum cache_outcome hset(struct cache_call *call)
{
    int64_t added = set_pairs(call);
    if (added >= 0)
        cache_reply_integer(call->reply, added);
    return CACHE_DONE;
}

static enum cache_outcome hmset(struct cache_call *call)
{
    if (set_pairs(call) >= 0)
        cache_reply_ok(call->reply);
    return CACHE_DONE;
}

static enum cache_outcome hsetnx(struct cache_call *call)
{
    struct cache_entry *e;
    struct mr_span field;
    struct cache_hash_value present;
    uint64_t added = 0;
    if (!cache_call_write(call, &call->argv[1], CACHE_HASH, &e) || !cache_call_key(call, &call->argv[2], &field))
        return CACHE_DONE;
    if (e && cache_hash_get(e, field, &present)) {
        cache_reply_integer(call->reply, 0);
        return CACHE_DONE;
    }
    if (!(e = hash_or_new(call, e)) || !hash_set(call, e, field, &call->argv[3], &added))
        return CACHE_DONE;
    hash_changed(call, 1);
    cache_reply_integer(call->reply, 1);
    return CACHE_DONE;
}

static enum cache_outcome hdel(struct cache_call *call)
{
    struct cache_entry *e;
    uint64_t removed = 0;
    if (!cache_call_write(call, &call->argv[1], CACHE_HASH, &e) || !fields_valid(call, 1))
        return CACHE_DONE;
    for (unsigned i = 2; e && i < call->argc; i++) {
        removed += cache_hash_remove(call->store, e, cache_argument_span(&call->argv[i]));
        if (!cache_hash_length(e)) {
            cache_store_delete_entry(call->store, e);
            break;
        }
    }
    hash_changed(call, removed);
    cache_reply_integer(call->reply, (int64_t)removed);
    return CACHE_DONE;
}

/* A value as a number's argument; one that is a rope is no number. */
static struct cache_argument value_argument(const struct cache_hash_value *v)
{
    if (v->rope)
        return (struct cache_argument){.data = (const uint8_t *)"", .length = 0};
    return (struct cache_argument){.data = v->bytes.data, .length = (uint32_t)v->bytes.length};
}

/* Sets argv[2] to a number's text. False: replied. */
static bool set_number(struct cache_call *call, struct cache_entry *e, const char *text, unsigned n)
{
    struct cache_argument value = {.data = (const uint8_t *)text, .length = n};
    uint64_t added = 0;
    if (!(e = hash_or_new(call, e)) || !hash_set(call, e, cache_argument_span(&call->argv[2]), &value, &added))
        return false;
    hash_changed(call, 1);
    return true;
}

static enum cache_outcome hincrby(struct cache_call *call)
{
    struct cache_entry *e;
    struct mr_span field;
    struct cache_hash_value present;
    int64_t value = 0, by;
    if (!cache_argument_integer(&call->argv[3], &by)) {
        cache_reply_not_integer(call->reply);
        return CACHE_DONE;
    }
    if (!cache_call_write(call, &call->argv[1], CACHE_HASH, &e) || !cache_call_key(call, &call->argv[2], &field))
        return CACHE_DONE;
    if (e && cache_hash_get(e, field, &present)) {
        struct cache_argument text = value_argument(&present);
        if (!cache_argument_integer(&text, &value)) {
            cache_reply_error(call->reply, "ERR hash value is not an integer");
            return CACHE_DONE;
        }
    }
    if (__builtin_add_overflow(value, by, &value)) {
        cache_reply_error(call->reply, "ERR increment or decrement would overflow");
        return CACHE_DONE;
    }
    char text[24];
    if (set_number(call, e, text, cache_integer_text(value, text)))
        cache_reply_integer(call->reply, value);
    return CACHE_DONE;
}

/* The sum depends on how floats are computed: the log gets the result. */
static void propagate_number(struct cache_call *call, const char *text, unsigned n)
{
    cache_call_propagate(call, 4,
                         (const struct mr_span[]){CACHE_SPAN("HSET"),
                                                  cache_argument_span(&call->argv[1]),
                                                  cache_argument_span(&call->argv[2]),
                                                  {(const uint8_t *)text, n}});
}

static enum cache_outcome hincrbyfloat(struct cache_call *call)
{
    struct cache_entry *e;
    struct mr_span field;
    struct cache_hash_value present;
    long double value = 0, by;
    if (!cache_argument_long_double(&call->argv[3], &by)) {
        cache_reply_not_float(call->reply);
        return CACHE_DONE;
    }
    if (!isfinite(by)) {
        cache_reply_error(call->reply, "ERR value is NaN or Infinity");
        return CACHE_DONE;
    }
    if (!cache_call_write(call, &call->argv[1], CACHE_HASH, &e) || !cache_call_key(call, &call->argv[2], &field))
        return CACHE_DONE;
    if (e && cache_hash_get(e, field, &present)) {
        struct cache_argument text = value_argument(&present);
        if (!cache_argument_long_double(&text, &value)) {
            cache_reply_error(call->reply, "ERR hash value is not a float");
            return CACHE_DONE;
        }
    }
    value += by;
    if (!isfinite(value)) {
        cache_reply_error(call->reply, "ERR increment would produce NaN or Infinity");
        return CACHE_DONE;
    }
    char text[CACHE_FLOAT_TEXT_MAX];
    unsigned n = cache_float_text(value, text);
    if (!set_number(call, e, text, n))
        return CACHE_DONE;
    propagate_number(call, text, n);
    cache_reply_bulk(call->reply, text, n);
    return CACHE_DONE;
}

/* Reading */

static void reply_value(struct cache_reply *r, const struct cache_hash_value *v)
{
    if (v->rope)
        cache_reply_rope(r, v->rope);
    else
        cache_reply_bulk(r, v->bytes.data, v->bytes.length);
}

static void reply_field(struct cache_call *call, const struct cache_entry *e, struct mr_span field)
{
    struct cache_hash_value value;
    if (e && cache_hash_get(e, field, &value))
        reply_value(call->reply, &value);
    else
        cache_reply_null(call->reply);
}

static enum cache_outcome hget(struct cache_call *call)
{
    struct cache_entry *e;
    struct mr_span field;
    if (cache_call_read(call, &call->argv[1], CACHE_HASH, &e) && cache_call_key(call, &call->argv[2], &field))
        reply_field(call, e, field);
    return CACHE_DONE;
}

static enum cache_outcome hmget(struct cache_call *call)
{
    struct cache_entry *e;
    if (!cache_call_read(call, &call->argv[1], CACHE_HASH, &e) || !fields_valid(call, 1))
        return CACHE_DONE;
    cache_reply_array(call->reply, call->argc - 2);
    for (unsigned i = 2; i < call->argc; i++)
        reply_field(call, e, cache_argument_span(&call->argv[i]));
    return CACHE_DONE;
}

static enum cache_outcome hlen(struct cache_call *call)
{
    struct cache_entry *e;
    if (cache_call_read(call, &call->argv[1], CACHE_HASH, &e))
        cache_reply_integer(call->reply, e ? (int64_t)cache_hash_length(e) : 0);
    return CACHE_DONE;
}

static enum cache_outcome hexists(struct cache_call *call)
{
    struct cache_entry *e;
    struct mr_span field;
    struct cache_hash_value value;
    if (cache_call_read(call, &call->argv[1], CACHE_HASH, &e) && cache_call_key(call, &call->argv[2], &field))
        cache_reply_integer(call->reply, e && cache_hash_get(e, field, &value));
    return CACHE_DONE;
}

static enum cache_outcome hstrlen(struct cache_call *call)
{
    struct cache_entry *e;
    struct mr_span field;
    struct cache_hash_value value;
    if (cache_call_read(call, &call->argv[1], CACHE_HASH, &e) && cache_call_key(call, &call->argv[2], &field))
        cache_reply_integer(call->reply,
                            e && cache_hash_get(e, field, &value) ? (int64_t)cache_hash_value_length(&value) : 0);
    return CACHE_DONE;
}

static void emit_field(const struct cache_hash_pair *pair, void *reply)
{
    cache_reply_bulk(reply, pair->field.data, pair->field.length);
}

static void emit_value(const struct cache_hash_pair *pair, void *reply)
{
    reply_value(reply, &pair->value);
}

static void emit_pair(const struct cache_hash_pair *pair, void *reply)
{
    emit_field(pair, reply);
    emit_value(pair, reply);
}

static enum cache_outcome reply_all(struct cache_call *call, void (*frame)(struct cache_reply *r, uint64_t n),
                                    void (*emit)(const struct cache_hash_pair *pair, void *reply))
{
    struct cache_entry *e;
    if (!cache_call_read(call, &call->argv[1], CACHE_HASH, &e))
        return CACHE_DONE;
    frame(call->reply, e ? cache_hash_length(e) : 0);
    if (e)
        cache_hash_each(e, emit, call->reply);
    return CACHE_DONE;
}

static enum cache_outcome hgetall(struct cache_call *call)
{
    return reply_all(call, cache_reply_map, emit_pair);
}

static enum cache_outcome hkeys(struct cache_call *call)
{
    return reply_all(call, cache_reply_array, emit_field);
}

static enum cache_outcome hvals(struct cache_call *call)
{
    return reply_all(call, cache_reply_array, emit_value);
}

/* HSCAN */

static void emit_item(struct cache_reply *r, void *item)
{
    struct cache_hash_pair pair = cache_hash_item_pair(item);
    emit_pair(&pair, r);
}

struct scan {
    const struct cache_scan_options *options;
    struct cache_reply *reply; /* NULL: counts only */
    uint64_t matched;
};

static void scan_pair(const struct cache_hash_pair *pair, void *argument)
{
    struct scan *s = argument;
    if (!cache_scan_matches(s->options, pair->field))
        return;
    s->matched++;
    if (s->reply)
        emit_pair(pair, s->reply);
}

static enum cache_outcome hscan(struct cache_call *call)
{
    struct cache_entry *e;
    struct cache_scan_options options;
    uint64_t cursor;
    if (!cache_scan_cursor(call, &call->argv[2], &cursor) || !cache_call_read(call, &call->argv[1], CACHE_HASH, &e))
        return CACHE_DONE;
    if (!e) {
        cache_scan_empty(call);
        return CACHE_DONE;
    }
    if (!cache_scan_options(call, 3, false, &options))
        return CACHE_DONE;
    if (cache_hash_table(e)) {
        cache_scan_table(call, cache_hash_table(e), cursor, &options, 2, emit_item);
        return CACHE_DONE;
    }
    struct scan counted = {.options = &options}, emitted = {.options = &options, .reply = call->reply};
    cache_hash_each(e, scan_pair, &counted);
    cache_reply_array(call->reply, 2);
    cache_reply_bulk_text(call->reply, "0");
    cache_reply_array(call->reply, counted.matched * 2);
    cache_hash_each(e, scan_pair, &emitted);
    return CACHE_DONE;
}

/* HRANDFIELD */

struct random_reply {
    struct cache_call *call;
    bool with_values;
    struct cache_sample sample;
};

static void random_emit(const struct random_reply *x, const struct cache_hash_pair *pair)
{
    struct cache_reply *r = x->call->reply;
    if (x->with_values && r->protocol > 2)
        cache_reply_array(r, 2);
    emit_field(pair, r);
    if (x->with_values)
        emit_value(pair, r);
}

static void random_emit_item(void *item, void *argument)
{
    struct cache_hash_pair pair = cache_hash_item_pair(item);
    random_emit(argument, &pair);
}

static void random_emit_sampled(const struct cache_hash_pair *pair, void *argument)
{
    struct random_reply *x = argument;
    if (cache_sample_take(&x->sample, &x->call->store->random))
        random_emit(x, pair);
}

static struct cache_hash_pair random_pair(struct cache_call *call, const struct cache_entry *e)
{
    const struct cache_table *t = cache_hash_table(e);
    struct mr_random *random = &call->store->random;
    if (t)
        return cache_hash_item_pair(cache_table_random(t, random));
    return cache_hash_pair_at(e, mr_random_below(random, (uint32_t)cache_hash_length(e)));
}

static void random_frame(const struct random_reply *x, uint64_t n)
{
    cache_reply_array(x->call->reply, x->with_values && x->call->reply->protocol <= 2 ? n * 2 : n);
}

/* Some may come twice. */
static void random_repeated(const struct random_reply *x, const struct cache_entry *e, uint64_t n)
{
    random_frame(x, n);
    for (; n && !x->call->reply->failed; n--) {
        struct cache_hash_pair pair = random_pair(x->call, e);
        random_emit(x, &pair);
    }
}

static void random_distinct(struct random_reply *x, const struct cache_entry *e, uint64_t n)
{
    const struct cache_table *t = cache_hash_table(e);
    uint64_t length = cache_hash_length(e);
    if (n > length)
        n = length;
    random_frame(x, n);
    if (t && cache_sample_sparse(t, n)) {
        cache_sample_table(t, &x->call->store->random, (unsigned)n, random_emit_item, x);
        return;
    }
    x->sample = (struct cache_sample){.left = length, .wanted = n};
    cache_hash_each(e, random_emit_sampled, x);
}

static enum cache_outcome hrandfield_count(struct cache_call *call)
{
    struct random_reply x = {.call = call, .with_values = call->argc == 4};
    struct cache_entry *e;
    int64_t count;
    if (!cache_argument_integer(&call->argv[2], &count)) {
        cache_reply_not_integer(call->reply);
    } else if (count == INT64_MIN) {
        cache_reply_error(call->reply, "ERR value is out of range, value must between %lld and %lld",
                          (long long)-INT64_MAX, (long long)INT64_MAX);
    } else if (call->argc > 4 || (x.with_values && !cache_argument_is(&call->argv[3], "withvalues"))) {
        cache_reply_syntax_error(call->reply);
    } else if (x.with_values && (count < -(INT64_MAX / 2) || count > INT64_MAX / 2)) {
        cache_reply_error(call->reply, "ERR value is out of range");
    } else if (cache_call_read(call, &call->argv[1], CACHE_HASH, &e)) {
        if (!e || !count)
            cache_reply_array(call->reply, 0);
        else if (count < 0)
            random_repeated(&x, e, (uint64_t)-count);
        else
            random_distinct(&x, e, (uint64_t)count);
    }
    return CACHE_DONE;
}

static enum cache_outcome hrandfield(struct cache_call *call)
{
    struct cache_entry *e;
    if (call->argc > 2)
        return hrandfield_count(call);
    if (!cache_call_read(call, &call->argv[1], CACHE_HASH, &e))
        return CACHE_DONE;
    if (!e) {
        cache_reply_null(call->reply);
        return CACHE_DONE;
    }
    struct cache_hash_pair pair = random_pair(call, e);
    emit_field(&pair, call->reply);
    return CACHE_DONE;
}

#define GROW CACHE_WRITE | CACHE_DENYOOM | CACHE_FAST
#define LOOK CACHE_READONLY | CACHE_FAST
#define WALK CACHE_READONLY
#define HASH 1, 1, 1, "hash"

const struct cache_command cache_commands_hash[] = {
    {"hdel", hdel, -3, CACHE_WRITE | CACHE_FAST, HASH, "removes fields; an empty hash is deleted", NULL, NULL, NULL},
    {"hexists", hexists, 3, LOOK, HASH, "whether a field is there", NULL, NULL, NULL},
    {"hget", hget, 3, LOOK, HASH, "the value of a field", NULL, NULL, NULL},
    {"hgetall", hgetall, 2, WALK, HASH, "all fields and values", NULL, NULL, NULL},
    {"hincrby", hincrby, 4, GROW, HASH, "adds an integer to a field", NULL, room_of_number, NULL},
    {"hincrbyfloat", hincrbyfloat, 4, GROW, HASH, "adds a float to a field", NULL, room_of_number, NULL},
    {"hkeys", hkeys, 2, WALK, HASH, "all fields", NULL, NULL, NULL},
    {"hlen", hlen, 2, LOOK, HASH, "how many fields", NULL, NULL, NULL},
    {"hmget", hmget, -3, LOOK, HASH, "the values of several fields", NULL, NULL, NULL},
    {"hmset", hmset, -4, GROW, HASH, "sets fields; the older HSET", NULL, room_of_arguments, NULL},
    {"hrandfield", hrandfield, -2, WALK, HASH, "random fields", NULL, NULL, NULL},
    {"hscan", hscan, -3, WALK, HASH, "fields and values from a cursor on", NULL, NULL, NULL},
    {"hset", hset, -4, GROW, HASH, "sets fields; how many are new", NULL, room_of_arguments, NULL},
    {"hsetnx", hsetnx, 4, GROW, HASH, "sets a field that is not there yet", NULL, room_of_arguments, NULL},
    {"hstrlen", hstrlen, 3, LOOK, HASH, "how long a value is", NULL, NULL, NULL},
    {"hvals", hvals, 2, WALK, HASH, "all values", NULL, NULL, NULL},
    {0},
};
