/* EXPIRE and its relatives. Every time is made absolute Unix milliseconds, and the log hears of PEXPIREAT or DEL only. */
#include <stdio.h>

#include "cache/command/key.h"

#define NX (1u << 0) /* only when there is no expiry */
#define XX (1u << 1) /* only when there is one */
#define GT (1u << 2) /* only when it becomes later; no expiry is the latest */
#define LT (1u << 3) /* only when it becomes sooner */

static bool read_conditions(struct cache_call *call, unsigned *conditions)
{
    static const char *const names[] = {"nx", "xx", "gt", "lt"};
    *conditions = 0;
    for (unsigned i = 3; i < call->argc; i++) {
        const struct cache_argument *a = &call->argv[i];
        unsigned n = 0;
        while (n < 4 && !cache_argument_is(a, names[n]))
            n++;
        if (n == 4) {
            cache_reply_error(call->reply, "ERR Unsupported option %.*s", (int)(a->data ? a->length : 0),
                              a->data ? (const char *)a->data : "");
            return false;
        }
        *conditions |= 1u << n;
    }
    if (*conditions & NX && *conditions & (XX | GT | LT))
        cache_reply_error(call->reply, "ERR NX and XX, GT or LT options at the same time are not compatible");
    else if (*conditions & GT && *conditions & LT)
        cache_reply_error(call->reply, "ERR GT and LT options at the same time are not compatible");
    else
        return true;
    return false;
}

/* False: not an integer, or too far; replied. What lies in the past is fine. */
static bool read_time(struct cache_call *call, bool seconds, bool absolute, int64_t *at_ms)
{
    if (!cache_argument_integer(&call->argv[2], at_ms)) {
        cache_reply_not_integer(call->reply);
        return false;
    }
    if ((seconds && __builtin_mul_overflow(*at_ms, INT64_C(1000), at_ms)) ||
        (!absolute && __builtin_add_overflow(*at_ms, (int64_t)call->now_ms, at_ms))) {
        cache_reply_error(call->reply, "ERR invalid expire time in '%s' command", call->command->name);
        return false;
    }
    return true;
}

static bool allowed(unsigned conditions, uint64_t expires_ms, int64_t at_ms)
{
    bool has = expires_ms;
    return !((conditions & NX && has) || (conditions & XX && !has) ||
             (conditions & GT && (!has || at_ms <= (int64_t)expires_ms)) ||
             (conditions & LT && has && at_ms >= (int64_t)expires_ms));
}

static void expire_past(struct cache_call *call, struct mr_span key, struct cache_entry *e)
{
    cache_store_delete_entry(call->store, e);
    cache_call_counted(call, call->store);
    cache_call_propagate(call, 2, (struct mr_span[]){CACHE_SPAN("DEL"), key});
}

static void expire_at(struct cache_call *call, struct mr_span key, struct cache_entry *e, int64_t at_ms)
{
    char text[24];
    if (!cache_store_expire_at(call->store, e, (uint64_t)at_ms)) {
        cache_reply_out_of_memory(call->reply);
        return;
    }
    cache_call_changed(call, call->store, key);
    struct mr_span at = cache_text_span(text, cache_integer_text(at_ms, text));
    cache_call_propagate(call, 3, (struct mr_span[]){CACHE_SPAN("PEXPIREAT"), key, at});
    cache_reply_integer(call->reply, 1);
}

static enum cache_outcome expire(struct cache_call *call, bool seconds, bool absolute)
{
    unsigned conditions;
    int64_t at_ms;
    struct mr_span key;
    if (!read_conditions(call, &conditions) || !read_time(call, seconds, absolute, &at_ms) ||
        !cache_call_key(call, &call->argv[1], &key))
        return CACHE_DONE;
    struct cache_entry *e = cache_store_write(call->store, call->database, key);
    if (!e || !allowed(conditions, cache_entry_expires_ms(e), at_ms)) {
        cache_reply_integer(call->reply, 0);
        return CACHE_DONE;
    }
    if (at_ms <= (int64_t)call->now_ms) {
        expire_past(call, key, e);
        cache_reply_integer(call->reply, 1);
        return CACHE_DONE;
    }
    if (!cache_entry_expires_ms(e)) { /* the entry grows by its expiry part */
        enum cache_room room = cache_call_reserve(call, call->store, CACHE_EXPIRY_COST);
        if (room != CACHE_ROOM_READY)
            return cache_room_outcome(room);
        e = cache_store_write(call->store, call->database, key);
        if (!e) { /* it was what had to go for the room */
            cache_reply_integer(call->reply, 0);
            return CACHE_DONE;
        }
    }
    expire_at(call, key, e, at_ms);
    return CACHE_DONE;
}

enum cache_outcome cache_command_expire(struct cache_call *call)
{
    return expire(call, true, false);
}

enum cache_outcome cache_command_pexpire(struct cache_call *call)
{
    return expire(call, false, false);
}

enum cache_outcome cache_command_expireat(struct cache_call *call)
{
    return expire(call, true, true);
}

enum cache_outcome cache_command_pexpireat(struct cache_call *call)
{
    return expire(call, false, true);
}

#define TTL_NO_KEY    (-2)
#define TTL_NO_EXPIRY (-1)

static enum cache_outcome time_left(struct cache_call *call, bool seconds, bool absolute)
{
    struct mr_span key;
    if (!cache_call_key(call, &call->argv[1], &key))
        return CACHE_DONE;
    const struct cache_entry *e = cache_key_look(call, key);
    int64_t value = e ? TTL_NO_EXPIRY : TTL_NO_KEY;
    if (e && cache_entry_expires_ms(e)) {
        value = (int64_t)(cache_entry_expires_ms(e) - (absolute ? 0 : call->now_ms));
        value = seconds ? (value + 500) / 1000 : value;
    }
    cache_reply_integer(call->reply, value);
    return CACHE_DONE;
}

enum cache_outcome cache_command_ttl(struct cache_call *call)
{
    return time_left(call, true, false);
}

enum cache_outcome cache_command_pttl(struct cache_call *call)
{
    return time_left(call, false, false);
}

enum cache_outcome cache_command_expiretime(struct cache_call *call)
{
    return time_left(call, true, true);
}

enum cache_outcome cache_command_pexpiretime(struct cache_call *call)
{
    return time_left(call, false, true);
}

enum cache_outcome cache_command_persist(struct cache_call *call)
{
    struct mr_span key;
    if (!cache_call_key(call, &call->argv[1], &key))
        return CACHE_DONE;
    struct cache_entry *e = cache_store_write(call->store, call->database, key);
    bool had = e && cache_entry_expires_ms(e);
    if (had) {
        cache_store_persist(call->store, e);
        cache_call_changed(call, call->store, key);
    }
    cache_reply_integer(call->reply, had);
    return CACHE_DONE;
}
