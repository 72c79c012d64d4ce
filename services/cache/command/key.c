/* Commands that take keys of any type: the table, and those that ask whether and what. */
#include "cache/command/key.h"

#include "cache/command/call.h"

struct cache_entry *cache_key_look(struct cache_call *call, struct mr_span key)
{
    struct cache_store *store = cache_call_store(call, key);
    struct cache_entry *e = cache_store_peek(store, call->database, key);
    if (e)
        store->stat.hits++;
    else
        store->stat.misses++;
    return e;
}

/* Counts the keys for which `is` says so; a key that cannot be one is not there. */
static void keys_count(struct cache_call *call, bool (*is)(struct cache_call *call, struct mr_span key))
{
    int64_t n = 0;
    for (unsigned i = 1; i < call->argc; i++) {
        const struct cache_argument *a = &call->argv[i];
        n += !a->rope && a->length <= CACHE_KEY_MAX && is(call, cache_argument_span(a));
    }
    cache_reply_integer(call->reply, n);
}

static bool key_delete(struct cache_call *call, struct mr_span key)
{
    struct cache_store *store = cache_call_store(call, key);
    if (!cache_store_delete(store, call->database, key))
        return false;
    cache_call_counted(call, store);
    return true;
}

static enum cache_outcome command_del(struct cache_call *call)
{
    keys_count(call, key_delete);
    return CACHE_DONE;
}

static bool key_exists(struct cache_call *call, struct mr_span key)
{
    return cache_key_look(call, key);
}

static enum cache_outcome command_exists(struct cache_call *call)
{
    keys_count(call, key_exists);
    return CACHE_DONE;
}

static bool key_touch(struct cache_call *call, struct mr_span key)
{
    return cache_store_read(cache_call_store(call, key), call->database, key);
}

static enum cache_outcome command_touch(struct cache_call *call)
{
    keys_count(call, key_touch);
    return CACHE_DONE;
}

static enum cache_outcome command_type(struct cache_call *call)
{
    struct mr_span key;
    if (!cache_call_key(call, &call->argv[1], &key))
        return CACHE_DONE;
    struct cache_entry *e = cache_key_look(call, key);
    cache_reply_simple(call->reply, e ? cache_collection_types[e->type]->name : "none");
    return CACHE_DONE;
}

static bool is_dead(const struct cache_entry *e, uint64_t now_ms)
{
    uint64_t at_ms = cache_entry_expires_ms(e);
    return at_ms && at_ms <= now_ms;
}

struct listing {
    struct cache_reply *reply;
    struct mr_span pattern;
    bool all;
    uint64_t now_ms, found;
};

static void key_list(void *item, void *argument)
{
    struct listing *l = argument;
    struct mr_span key = cache_entry_key(item);
    if (is_dead(item, l->now_ms) || !(l->all || cache_glob_match(l->pattern, key, false)))
        return;
    cache_reply_bulk(l->reply, key.data, key.length);
    l->found++;
}

static enum cache_outcome command_keys(struct cache_call *call)
{
    const struct cache_argument *pattern = &call->argv[1];
    struct cache_reply_block *header = cache_reply_defer(call->reply);
    struct listing l = {.reply = call->reply, .pattern = cache_argument_span(pattern), .now_ms = call->now_ms};
    l.all = l.pattern.data && l.pattern.length == 1 && l.pattern.data[0] == '*';
    struct cache_store *store;
    /* A rope as a pattern is longer than any key can be written out; stars in it find nobody worth the search. */
    for (unsigned i = 0; !pattern->rope && (store = cache_call_each_store(call, i)); i++)
        cache_table_each(&store->database[call->database], key_list, &l);
    cache_reply_defer_end(call->reply, header, '*', l.found);
    return CACHE_DONE;
}

#define RANDOM_TRIES 100 /* when all that is found is dead */

/* A shard is as likely as it has keys. */
static const struct cache_entry *random_entry(struct cache_call *call)
{
    struct cache_store *store;
    uint64_t keys = 0;
    for (unsigned i = 0; (store = cache_call_each_store(call, i)); i++)
        keys += store->database[call->database].count;
    if (!keys)
        return NULL;
    uint64_t at = mr_random_next(&call->store->random) % keys;
    for (unsigned i = 0; (store = cache_call_each_store(call, i)); i++) {
        const struct cache_table *table = &store->database[call->database];
        if (at < table->count)
            return cache_table_random(table, &store->random);
        at -= table->count;
    }
    return NULL;
}

static enum cache_outcome command_randomkey(struct cache_call *call)
{
    const struct cache_entry *e = NULL;
    for (unsigned i = 0; i < RANDOM_TRIES && (e = random_entry(call)) && is_dead(e, call->now_ms); i++)
        ;
    if (e && !is_dead(e, call->now_ms))
        cache_reply_bulk(call->reply, cache_entry_key(e).data, e->key_length);
    else
        cache_reply_null(call->reply);
    return CACHE_DONE;
}

#define ROW(name, function, arity, flags, first, last, sentence)                                          \
    {                                                                                                     \
        name, function, arity, flags, first, last, (first) ? 1 : 0, "generic", sentence, NULL, NULL, NULL \
    }
#define CHANGE CACHE_WRITE
#define READ   CACHE_READONLY
#define FAST   CACHE_FAST
#define SHARDS CACHE_ALL_SHARDS

const struct cache_command cache_commands_key[] = {
    ROW("del", command_del, -2, CHANGE, 1, -1, "deletes keys"),
    ROW("unlink", command_del, -2, CHANGE | FAST, 1, -1, "deletes keys; so does DEL: neither waits for large values"),
    ROW("exists", command_exists, -2, READ | FAST, 1, -1, "how many of the keys are there"),
    ROW("touch", command_touch, -2, READ | FAST, 1, -1, "marks keys as used"),
    ROW("type", command_type, 2, READ | FAST, 1, 1, "the type of a key"),
    ROW("keys", command_keys, 2, READ | SHARDS, 0, 0, "all keys that match a pattern"),
    ROW("randomkey", command_randomkey, 1, READ | SHARDS, 0, 0, "any key"),
    ROW("rename", cache_command_rename, 3, CHANGE, 1, 2, "gives a key another name"),
    ROW("renamenx", cache_command_renamenx, 3, CHANGE | FAST, 1, 2, "gives a key a name that is not taken"),
    {"copy", cache_command_copy, -3, CHANGE | CACHE_DENYOOM, 1, 2, 1, "generic", "copies a key", NULL,
     cache_command_room_later, NULL},
    ROW("move", cache_command_move, 3, CHANGE | FAST, 1, 1, "moves a key to another database"),
    ROW("expire", cache_command_expire, -3, CHANGE | FAST, 1, 1, "sets the time to live in seconds"),
    ROW("pexpire", cache_command_pexpire, -3, CHANGE | FAST, 1, 1, "sets the time to live in milliseconds"),
    ROW("expireat", cache_command_expireat, -3, CHANGE | FAST, 1, 1, "sets when a key dies, Unix seconds"),
    ROW("pexpireat", cache_command_pexpireat, -3, CHANGE | FAST, 1, 1, "sets when a key dies, Unix milliseconds"),
    ROW("ttl", cache_command_ttl, 2, READ | FAST, 1, 1, "seconds left to live"),
    ROW("pttl", cache_command_pttl, 2, READ | FAST, 1, 1, "milliseconds left to live"),
    ROW("expiretime", cache_command_expiretime, 2, READ | FAST, 1, 1, "when a key dies, Unix seconds"),
    ROW("pexpiretime", cache_command_pexpiretime, 2, READ | FAST, 1, 1, "when a key dies, Unix milliseconds"),
    ROW("persist", cache_command_persist, 2, CHANGE | FAST, 1, 1, "takes the expiry off"),
    {"object", NULL, -2, CACHE_CONTAINER, 0, 0, 0, "generic", "how a value is kept", NULL, NULL,
     cache_subcommands_object},
    {0},
};
