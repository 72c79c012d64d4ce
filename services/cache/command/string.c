/* String commands: the table, and the ones that read or replace a value whole. */
#include "cache/command/string.h"

/* -- what the files of string commands share -------------------------------------------------------------------------- */

void cache_reply_out_of_memory(struct cache_reply *r)
{
    cache_reply_error(r, "OOM command not allowed when used memory > 'maxmemory'.");
}

bool cache_string_put(struct cache_call *call, struct cache_store *store, struct mr_span key,
                      struct cache_argument *value)
{
    struct cache_entry *e;
    if (__builtin_expect(!value->rope, 1))
        e = cache_store_set(store, call->database, key, cache_argument_span(value));
    else if ((e = cache_store_set_rope(store, call->database, key, value->rope)))
        value->rope = NULL;
    if (__builtin_expect(!e, 0)) {
        cache_reply_out_of_memory(call->reply);
        return false;
    }
    cache_call_counted(call, store);
    return true;
}

void cache_string_put_expiry(struct cache_call *call, struct cache_store *store, struct mr_span key, uint64_t at_ms)
{
    struct cache_entry *e = cache_store_peek(store, call->database, key);
    if (e)
        cache_store_expire_at(store, e, at_ms);
}

uint64_t cache_string_put_cost(const struct cache_store *store, struct mr_span key, const struct cache_argument *value)
{
    uint64_t bytes =
        cache_store_string_cost(store, key.length, value->rope ? sizeof(union cache_value) : value->length);
    if (value->rope && value->rope->memory != &store->memory)
        bytes += cache_rope_bytes(value->rope); /* it changes hands */
    return bytes;
}

uint64_t cache_command_room_later(const struct cache_call *call)
{
    (void)call;
    return 0;
}

unsigned cache_integer_text(int64_t value, char text[24])
{
    char digits[24];
    unsigned n = 0, length = 0;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do
        digits[n++] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0)
        text[length++] = '-';
    while (n)
        text[length++] = digits[--n];
    return length;
}

/* -- whole values ------------------------------------------------------------------------------------------------------- */

/* Replies with the value, or null. False: wrong type, replied. */
static inline bool value_reply(struct cache_call *call)
{
    struct cache_entry *e;
    if (!cache_call_read(call, &call->argv[1], CACHE_STRING, &e))
        return false;
    if (e)
        cache_reply_string(call->reply, e);
    else
        cache_reply_null(call->reply);
    return true;
}

static enum cache_outcome command_get(struct cache_call *call)
{
    value_reply(call);
    return CACHE_DONE;
}

static enum cache_outcome command_strlen(struct cache_call *call)
{
    struct cache_entry *e;
    if (cache_call_read(call, &call->argv[1], CACHE_STRING, &e))
        cache_reply_integer(call->reply, e ? (int64_t)cache_string_length(e) : 0);
    return CACHE_DONE;
}

static enum cache_outcome command_getset(struct cache_call *call)
{
    if (value_reply(call))
        cache_string_put(call, call->store, cache_argument_span(&call->argv[1]), &call->argv[2]);
    return CACHE_DONE;
}

static enum cache_outcome command_getdel(struct cache_call *call)
{
    struct cache_entry *e;
    if (!cache_call_write(call, &call->argv[1], CACHE_STRING, &e))
        return CACHE_DONE;
    if (!e) {
        cache_reply_null(call->reply);
        return CACHE_DONE;
    }
    struct mr_span key = cache_argument_span(&call->argv[1]);
    cache_reply_string(call->reply, e); /* what is lent stays while it is sent */
    cache_store_delete_entry(call->store, e);
    cache_call_counted(call, call->store);
    cache_call_propagate(call, 2, (struct mr_span[]){CACHE_SPAN("DEL"), key});
    return CACHE_DONE;
}

/* -- room, exact: a small maxmemory must not refuse what fits ------------------------------------------------------------- */

#define ROOM_PLENTY (1u << 20) /* more than any value of CACHE_SMALL_MAX takes, with the growth of a table */

/* Where there is plenty no sum is needed. */
static uint64_t put_room(const struct cache_call *call, unsigned value)
{
    const struct cache_store *s = call->store;
    if (__builtin_expect(s->memory.used + 2 * (uint64_t)ROOM_PLENTY <= s->limit && !call->argv[value].rope, 1))
        return ROOM_PLENTY;
    return cache_string_put_cost(call->store, cache_argument_span(&call->argv[1]), &call->argv[value]);
}

static uint64_t set_room(const struct cache_call *call)
{
    return put_room(call, 2) + (call->argc > 3 ? CACHE_EXPIRY_COST : 0);
}

static uint64_t setex_room(const struct cache_call *call)
{
    return put_room(call, 3) + CACHE_EXPIRY_COST;
}

static uint64_t counter_room(const struct cache_call *call)
{
    return cache_store_string_cost(call->store, call->argv[1].length, 24);
}

static uint64_t float_room(const struct cache_call *call)
{
    return cache_store_string_cost(call->store, call->argv[1].length, 5120); /* 4933 digits at most */
}

static uint64_t mset_room(const struct cache_call *call)
{
    uint64_t bytes = 0;
    for (unsigned i = 1; i + 1 < call->argc; i += 2) {
        struct mr_span key = cache_argument_span(&call->argv[i]);
        if (!call->argv[i].rope)
            bytes += cache_string_put_cost(cache_call_store(call, key), key, &call->argv[i + 1]);
    }
    return bytes;
}

#define ROW(name, function, arity, flags, first, last, step, room, sentence)                  \
    {                                                                                         \
        name, function, arity, flags, first, last, step, "string", sentence, NULL, room, NULL \
    }
#define ADD  (CACHE_WRITE | CACHE_DENYOOM)
#define READ CACHE_READONLY
#define FAST CACHE_FAST

const struct cache_command cache_commands_string[] = {
    ROW("get", command_get, 2, READ | FAST, 1, 1, 1, NULL, "the value of a key"),
    ROW("set", cache_command_set, -3, ADD | CACHE_BRIEF, 1, 1, 1, set_room, "sets a key, with expiry and conditions"),
    ROW("setnx", cache_command_setnx, 3, ADD | FAST, 1, 1, 1, set_room, "sets a key that is not there"),
    ROW("setex", cache_command_setex, 4, ADD | CACHE_BRIEF, 1, 1, 1, setex_room,
        "sets a key and its time to live in seconds"),
    ROW("psetex", cache_command_psetex, 4, ADD | CACHE_BRIEF, 1, 1, 1, setex_room,
        "sets a key and its time to live in milliseconds"),
    ROW("getset", command_getset, 3, ADD | FAST, 1, 1, 1, set_room, "sets a key and returns what it was"),
    ROW("getdel", command_getdel, 2, CACHE_WRITE | FAST, 1, 1, 1, NULL, "returns a value and deletes the key"),
    ROW("getex", cache_command_getex, -2, CACHE_WRITE | FAST, 1, 1, 1, NULL, "returns a value and sets its expiry"),
    ROW("mget", cache_command_mget, -2, READ | FAST, 1, -1, 1, NULL, "the values of several keys"),
    ROW("mset", cache_command_mset, -3, ADD, 1, -1, 2, mset_room, "sets several keys, all or none"),
    ROW("msetnx", cache_command_msetnx, -3, ADD, 1, -1, 2, mset_room, "sets several keys if none of them is there"),
    ROW("append", cache_command_append, 3, ADD | FAST, 1, 1, 1, cache_command_room_later, "appends to a value"),
    ROW("strlen", command_strlen, 2, READ | FAST, 1, 1, 1, NULL, "the length of a value"),
    ROW("setrange", cache_command_setrange, 4, ADD, 1, 1, 1, cache_command_room_later, "overwrites part of a value"),
    ROW("getrange", cache_command_getrange, 4, READ, 1, 1, 1, NULL, "part of a value"),
    ROW("substr", cache_command_getrange, 4, READ, 1, 1, 1, NULL, "GETRANGE by its old name"),
    ROW("incr", cache_command_incr, 2, ADD | FAST, 1, 1, 1, counter_room, "adds one"),
    ROW("decr", cache_command_decr, 2, ADD | FAST, 1, 1, 1, counter_room, "takes one off"),
    ROW("incrby", cache_command_incrby, 3, ADD | FAST, 1, 1, 1, counter_room, "adds an integer"),
    ROW("decrby", cache_command_decrby, 3, ADD | FAST, 1, 1, 1, counter_room, "takes an integer off"),
    ROW("incrbyfloat", cache_command_incrbyfloat, 3, ADD | FAST, 1, 1, 1, float_room, "adds a float"),
    ROW("lcs", cache_command_lcs, -3, READ, 1, 2, 1, NULL, "the longest common subsequence of two values"),
    {0},
};
