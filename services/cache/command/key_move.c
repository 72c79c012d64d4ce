/* RENAME, RENAMENX and MOVE: a value changes its name or its database. */
#include <string.h>

#include "cache/command/key.h"

struct place {
    struct cache_store *store;
    unsigned database;
    struct mr_span key;
};

/* Room for an entry's move: what lies in pieces stays where it is, unless the shard changes. */
static enum cache_room move_room(struct cache_call *call, const struct place *from, const struct cache_entry *e,
                                 const struct place *to)
{
    uint64_t bytes = from->store == to->store
                         ? CACHE_EXPIRY_COST + 2 * cache_store_string_cost(to->store, to->key.length, CACHE_SMALL_MAX)
                         : cache_key_copy_cost(from->store, e, to->store, to->key.length);
    return cache_call_reserve(call, to->store, bytes);
}

/* False: no memory, the value is where it was. */
static bool value_move(struct cache_call *call, const struct place *from, const struct place *to)
{
    struct cache_taken taken;
    if (!cache_store_take(from->store, from->database, from->key, &taken))
        return false;
    if (!cache_store_put(to->store, to->database, to->key, &taken)) {
        /* The room of the old entry was just given back. */
        if (!cache_store_put(from->store, from->database, from->key, &taken))
            cache_store_discard(from->store, &taken);
        return false;
    }
    cache_call_changed(call, from->store, from->key);
    cache_key_appeared(call, to->store, to->database, to->key);
    return true;
}

/* The entry at `from` moves to `to`. Done when *moved; else refused room (the outcome says how to go on) or gone meanwhile. */
static enum cache_outcome entry_move(struct cache_call *call, const struct place *from, const struct cache_entry *e,
                                     const struct place *to, bool *moved)
{
    enum cache_room room = move_room(call, from, e, to);
    *moved = false;
    if (room != CACHE_ROOM_READY)
        return cache_room_outcome(room);
    if (!cache_store_peek(from->store, from->database, from->key)) { /* it was what had to go for the room */
        if (from->database == to->database)
            cache_reply_error(call->reply, "ERR no such key");
        else
            cache_reply_integer(call->reply, 0);
        return CACHE_DONE;
    }
    *moved = value_move(call, from, to);
    if (!*moved)
        cache_reply_out_of_memory(call->reply);
    return CACHE_DONE;
}

static enum cache_outcome rename_key(struct cache_call *call, bool only_new)
{
    struct place from = {.database = call->database}, to = from;
    if (!cache_call_key(call, &call->argv[1], &from.key) || !cache_call_key(call, &call->argv[2], &to.key))
        return CACHE_DONE;
    from.store = cache_call_store(call, from.key);
    to.store = cache_call_store(call, to.key);
    struct cache_entry *e = cache_store_write(from.store, from.database, from.key);
    if (!e) {
        cache_reply_error(call->reply, "ERR no such key");
        return CACHE_DONE;
    }
    bool same = from.key.length == to.key.length && memcmp(from.key.data, to.key.data, to.key.length) == 0;
    bool moved = false;
    enum cache_outcome outcome = CACHE_DONE;
    if (only_new && (same || cache_store_peek(to.store, to.database, to.key)))
        cache_reply_integer(call->reply, 0);
    else if (same)
        cache_reply_ok(call->reply);
    else
        outcome = entry_move(call, &from, e, &to, &moved);
    if (moved && only_new)
        cache_reply_integer(call->reply, 1);
    else if (moved)
        cache_reply_ok(call->reply);
    return outcome;
}

enum cache_outcome cache_command_rename(struct cache_call *call)
{
    return rename_key(call, false);
}

enum cache_outcome cache_command_renamenx(struct cache_call *call)
{
    return rename_key(call, true);
}

enum cache_outcome cache_command_move(struct cache_call *call)
{
    struct place from = {.database = call->database}, to;
    if (!cache_call_key(call, &call->argv[1], &from.key))
        return CACHE_DONE;
    from.store = cache_call_store(call, from.key);
    to = from;
    if (!cache_database_argument(call, &call->argv[2], &to.database))
        return CACHE_DONE;
    if (to.database == from.database) {
        cache_reply_error(call->reply, "ERR source and destination objects are the same");
        return CACHE_DONE;
    }
    struct cache_entry *e = cache_store_write(from.store, from.database, from.key);
    if (!e || cache_store_peek(to.store, to.database, to.key)) {
        cache_reply_integer(call->reply, 0);
        return CACHE_DONE;
    }
    bool moved;
    enum cache_outcome outcome = entry_move(call, &from, e, &to, &moved);
    if (moved)
        cache_reply_integer(call->reply, 1);
    return outcome;
}
