/* COPY, and the copy itself, which RENAME between shards uses too. Inside a shard long strings share their extents. */
#include <limits.h>

#include "cache/command/key.h"

#define ROPE_SHARE_COST (CACHE_ROPE_BLOCKS * UINT64_C(16384)) /* blocks of references, and the rope itself */

uint64_t cache_key_copy_cost(const struct cache_store *from, const struct cache_entry *e, const struct cache_store *to,
                             size_t key_bytes)
{
    uint64_t parts = CACHE_EXPIRY_COST + cache_store_string_cost(to, key_bytes, CACHE_SMALL_MAX);
    if (e->type != CACHE_STRING)
        return parts + 2 * cache_entry_bytes(from, e);
    if (from == to)
        return parts + (e->encoding == CACHE_STRING_ROPE ? ROPE_SHARE_COST : 0);
    return parts + cache_store_string_cost(to, key_bytes, cache_string_length(e));
}

static struct cache_entry *rope_put(struct cache_store *to, unsigned database, struct mr_span key, struct cache_rope *r)
{
    struct cache_entry *made = r ? cache_store_set_rope(to, database, key, r) : NULL;
    unsigned all = UINT_MAX;
    if (r && !made)
        cache_rope_free_step(r, &all);
    return made;
}

/* The bytes anew, in the memory of another shard. NULL: no memory. */
static struct cache_rope *rope_of(struct memory *m, const struct cache_entry *e)
{
    struct cache_rope *r = cache_rope_create(m);
    char digits[24];
    uint64_t length = cache_string_length(e);
    for (uint64_t at = 0; r && at < length;) {
        struct cache_extent *extent;
        struct mr_span span = cache_string_at(e, at, digits, &extent);
        if (!cache_rope_append(r, span.data, span.length)) {
            unsigned all = UINT_MAX;
            cache_rope_free_step(r, &all);
            return NULL;
        }
        at += span.length;
    }
    return r;
}

static struct cache_entry *extent_share(struct cache_store *to, unsigned database, struct mr_span key,
                                        const struct cache_entry *e)
{
    struct cache_extent *x = cache_entry_value(e)->extent;
    struct cache_taken taken = {
        .type = CACHE_STRING, .encoding = CACHE_STRING_EXTENT, .value_length = e->value_length, .value.extent = x};
    cache_extent_hold(x);
    if (cache_store_put(to, database, key, &taken))
        return cache_store_peek(to, database, key);
    cache_extent_drop(x);
    return NULL;
}

static struct cache_entry *string_copy(const struct cache_store *from, const struct cache_entry *e,
                                       struct cache_store *to, unsigned database, struct mr_span key)
{
    char digits[24];
    if (e->encoding == CACHE_STRING_INTEGER)
        return cache_store_set_integer(to, database, key, cache_entry_value(e)->integer);
    if (from == to && e->encoding == CACHE_STRING_EXTENT)
        return extent_share(to, database, key, e);
    if (from == to && e->encoding == CACHE_STRING_ROPE)
        return rope_put(to, database, key, cache_rope_share(cache_entry_value(e)->rope, &to->memory));
    struct mr_span bytes = cache_string_span(e, digits);
    return bytes.data ? cache_store_set(to, database, key, bytes)
                      : rope_put(to, database, key, rope_of(&to->memory, e));
}

static struct cache_entry *collection_copy(const struct cache_entry *e, struct cache_store *to, unsigned database,
                                           struct mr_span key)
{
    const struct cache_collection_type *type = cache_collection_types[e->type];
    unsigned all = UINT_MAX;
    void *collection = type->copy(to, e->encoding, cache_entry_value(e)->collection);
    if (!collection)
        return NULL;
    cache_store_delete(to, database, key);
    struct cache_entry *made = cache_store_add_collection(to, database, key, e->type, e->encoding, collection);
    if (!made)
        type->free_step(to, e->encoding, collection, &all);
    return made;
}

bool cache_key_copy(struct cache_store *from, const struct cache_entry *e, struct cache_store *to, unsigned database,
                    struct mr_span key)
{
    uint64_t at_ms = cache_entry_expires_ms(e);
    const struct cache_memcached_part *part = cache_entry_memcached(e);
    struct cache_memcached_part kept = part ? *part : (struct cache_memcached_part){0};
    bool memcached = part;
    struct cache_entry *made =
        e->type == CACHE_STRING ? string_copy(from, e, to, database, key) : collection_copy(e, to, database, key);
    if (made && at_ms)
        made = cache_store_expire_at(to, made, at_ms);
    if (made && memcached && (made = cache_store_memcached(to, made)))
        *cache_entry_memcached(made) = kept;
    return made;
}

bool cache_database_argument(struct cache_call *call, const struct cache_argument *a, unsigned *database)
{
    int64_t value;
    if (!cache_argument_integer(a, &value)) {
        cache_reply_not_integer(call->reply);
        return false;
    }
    if (value < INT_MIN || value > INT_MAX) {
        cache_reply_error(call->reply, "ERR value is out of range, value must between %d and %d", INT_MIN, INT_MAX);
        return false;
    }
    if (value < 0 || value >= CACHE_DATABASES) {
        cache_reply_error(call->reply, "ERR DB index is out of range");
        return false;
    }
    *database = (unsigned)value;
    return true;
}

void cache_key_appeared(struct cache_call *call, struct cache_store *store, unsigned database, struct mr_span key)
{
    unsigned own = call->database;
    call->database = database;
    cache_call_changed(call, store, key);
    const struct cache_entry *e = cache_store_peek(store, database, key);
    if (e && (e->type == CACHE_LIST || e->type == CACHE_ZSET))
        cache_call_ready(call, store, key);
    call->database = own;
}

struct copy_options {
    unsigned database;
    bool replace;
};

static bool read_options(struct cache_call *call, struct copy_options *o)
{
    *o = (struct copy_options){.database = call->database};
    for (unsigned i = 3; i < call->argc; i++) {
        const struct cache_argument *a = &call->argv[i];
        if (cache_argument_is(a, "replace")) {
            o->replace = true;
        } else if (cache_argument_is(a, "db") && i + 1 < call->argc) {
            if (!cache_database_argument(call, a + 1, &o->database))
                return false;
            i++;
        } else {
            cache_reply_syntax_error(call->reply);
            return false;
        }
    }
    return true;
}

static enum cache_outcome copy(struct cache_call *call, struct mr_span from, struct mr_span to,
                               const struct copy_options *o)
{
    struct cache_store *source = cache_call_store(call, from), *target = cache_call_store(call, to);
    struct cache_entry *e = cache_store_read(source, call->database, from);
    if (!e || (!o->replace && cache_store_peek(target, o->database, to))) {
        cache_reply_integer(call->reply, 0);
        return CACHE_DONE;
    }
    enum cache_room room = cache_call_reserve(call, target, cache_key_copy_cost(source, e, target, to.length));
    if (room != CACHE_ROOM_READY)
        return cache_room_outcome(room);
    e = cache_store_peek(source, call->database, from);
    if (!e) { /* it was what had to go for the room */
        cache_reply_integer(call->reply, 0);
    } else if (cache_key_copy(source, e, target, o->database, to)) {
        cache_key_appeared(call, target, o->database, to);
        cache_reply_integer(call->reply, 1);
    } else {
        cache_reply_out_of_memory(call->reply);
    }
    return CACHE_DONE;
}

enum cache_outcome cache_command_copy(struct cache_call *call)
{
    struct copy_options o;
    struct mr_span from, to;
    if (!read_options(call, &o) || !cache_call_key(call, &call->argv[1], &from) ||
        !cache_call_key(call, &call->argv[2], &to))
        return CACHE_DONE;
    if (o.database == call->database && from.length == to.length &&
        __builtin_memcmp(from.data, to.data, to.length) == 0) {
        cache_reply_error(call->reply, "ERR source and destination objects are the same");
        return CACHE_DONE;
    }
    return copy(call, from, to, &o);
}
