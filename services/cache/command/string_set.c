/* SET with all its options, its relatives that are one option each, and GETEX. Whatever is relative to now is told to the log
 * in absolute time. */
#include "cache/command/string.h"

enum expiry_kind { EXPIRY_NONE, EXPIRY_KEEP, EXPIRY_PERSIST, EXPIRY_AT };

struct set_options {
    bool only_new, only_there, get;
    enum expiry_kind expiry;
    bool seconds, absolute;
    const struct cache_argument *time; /* with EXPIRY_AT */
};

/* Which words take a time, and how it is meant. */
static const struct expiry_word {
    const char *word;
    bool seconds, absolute;
} expiry_words[] = {{"ex", true, false}, {"px", false, false}, {"exat", true, true}, {"pxat", false, true}};
#define EXPIRY_WORDS (sizeof expiry_words / sizeof *expiry_words)

/* EX, PX, EXAT, PXAT: the same again is taken, another one is a contradiction. */
static bool read_time(struct set_options *o, const struct cache_argument *word, const struct cache_argument *time)
{
    for (unsigned i = 0; i < EXPIRY_WORDS; i++) {
        const struct expiry_word *w = &expiry_words[i];
        if (!cache_argument_is(word, w->word))
            continue;
        if (o->expiry != EXPIRY_NONE &&
            !(o->expiry == EXPIRY_AT && o->seconds == w->seconds && o->absolute == w->absolute))
            return false;
        o->expiry = EXPIRY_AT;
        o->seconds = w->seconds;
        o->absolute = w->absolute;
        o->time = time;
        return true;
    }
    return false;
}

static bool read_kind(struct set_options *o, enum expiry_kind kind)
{
    if (o->expiry != EXPIRY_NONE && o->expiry != kind)
        return false;
    o->expiry = kind;
    return true;
}

static bool read_set_word(struct set_options *o, const struct cache_argument *a)
{
    if (cache_argument_is(a, "nx"))
        return o->only_new = !o->only_there;
    if (cache_argument_is(a, "xx"))
        return o->only_there = !o->only_new;
    if (cache_argument_is(a, "get"))
        return o->get = true;
    return cache_argument_is(a, "keepttl") && read_kind(o, EXPIRY_KEEP);
}

static bool read_options(struct cache_call *call, unsigned first, bool getex, struct set_options *o)
{
    for (unsigned i = first; i < call->argc; i++) {
        const struct cache_argument *a = &call->argv[i];
        if (getex ? cache_argument_is(a, "persist") && read_kind(o, EXPIRY_PERSIST) : read_set_word(o, a))
            continue;
        if (i + 1 == call->argc || !read_time(o, a, a + 1)) {
            cache_reply_syntax_error(call->reply);
            return false;
        }
        i++;
    }
    return true;
}

bool cache_expiry_argument(struct cache_call *call, const struct cache_argument *a, bool seconds, bool absolute,
                           uint64_t *at_ms)
{
    int64_t at;
    if (!cache_argument_integer(a, &at)) {
        cache_reply_not_integer(call->reply);
        return false;
    }
    bool valid = at > 0 && !(seconds && __builtin_mul_overflow(at, INT64_C(1000), &at)) &&
                 !(!absolute && __builtin_add_overflow(at, (int64_t)call->now_ms, &at));
    if (!valid)
        cache_reply_error(call->reply, "ERR invalid expire time in '%s' command", call->command->name);
    *at_ms = (uint64_t)at;
    return valid;
}

/* A rope that was taken over has no bytes here: a span of its length without data stands for what the key holds now. */
static void propagate_set_at(struct cache_call *call, struct mr_span key, struct mr_span value, uint64_t at_ms)
{
    char text[24];
    struct mr_span at = cache_text_span(text, cache_integer_text((int64_t)at_ms, text));
    cache_call_propagate(call, 5, (struct mr_span[]){CACHE_SPAN("SET"), key, value, CACHE_SPAN("PXAT"), at});
}

/* False: no memory, replied. */
static bool put_until(struct cache_call *call, struct mr_span key, struct cache_argument *value, uint64_t at_ms)
{
    struct mr_span bytes = cache_argument_span(value);
    if (!cache_string_put(call, call->store, key, value))
        return false;
    cache_string_put_expiry(call, call->store, key, at_ms);
    propagate_set_at(call, key, bytes, at_ms);
    return true;
}

static enum cache_outcome set_with_options(struct cache_call *call, struct mr_span key)
{
    struct set_options o = {0};
    uint64_t at_ms = 0;
    if (!read_options(call, 3, false, &o) ||
        (o.expiry == EXPIRY_AT && !cache_expiry_argument(call, o.time, o.seconds, o.absolute, &at_ms)))
        return CACHE_DONE;

    struct cache_entry *e = cache_store_read(call->store, call->database, key);
    if (o.get && e && e->type != CACHE_STRING) {
        cache_reply_wrong_type(call->reply);
        return CACHE_DONE;
    }
    if (o.get && e)
        cache_reply_string(call->reply, e);
    else if (o.get)
        cache_reply_null(call->reply);
    if ((o.only_new && e) || (o.only_there && !e)) {
        if (!o.get)
            cache_reply_null(call->reply);
        return CACHE_DONE;
    }

    uint64_t kept_ms = e && o.expiry == EXPIRY_KEEP ? cache_entry_expires_ms(e) : 0;
    bool put = o.expiry == EXPIRY_AT ? put_until(call, key, &call->argv[2], at_ms)
                                     : cache_string_put(call, call->store, key, &call->argv[2]);
    if (put && kept_ms)
        cache_string_put_expiry(call, call->store, key, kept_ms);
    if (put && !o.get)
        cache_reply_ok(call->reply);
    return CACHE_DONE;
}

enum cache_outcome cache_command_set(struct cache_call *call)
{
    struct mr_span key;
    if (!cache_call_key(call, &call->argv[1], &key))
        return CACHE_DONE;
    if (__builtin_expect(call->argc > 3, 0))
        return set_with_options(call, key);
    if (cache_string_put(call, call->store, key, &call->argv[2]))
        cache_reply_ok(call->reply);
    return CACHE_DONE;
}

enum cache_outcome cache_command_setnx(struct cache_call *call)
{
    struct mr_span key;
    if (!cache_call_key(call, &call->argv[1], &key))
        return CACHE_DONE;
    if (cache_store_read(call->store, call->database, key))
        cache_reply_integer(call->reply, 0);
    else if (cache_string_put(call, call->store, key, &call->argv[2]))
        cache_reply_integer(call->reply, 1);
    return CACHE_DONE;
}

static enum cache_outcome setex(struct cache_call *call, bool seconds)
{
    struct mr_span key;
    uint64_t at_ms;
    if (!cache_call_key(call, &call->argv[1], &key) ||
        !cache_expiry_argument(call, &call->argv[2], seconds, false, &at_ms))
        return CACHE_DONE;
    if (put_until(call, key, &call->argv[3], at_ms))
        cache_reply_ok(call->reply);
    return CACHE_DONE;
}

enum cache_outcome cache_command_setex(struct cache_call *call)
{
    return setex(call, true);
}

enum cache_outcome cache_command_psetex(struct cache_call *call)
{
    return setex(call, false);
}

/* -- GETEX ---------------------------------------------------------------------------------------------------------------- */

static void propagate_expiry(struct cache_call *call, struct mr_span key, uint64_t at_ms)
{
    char text[24];
    struct mr_span at = cache_text_span(text, cache_integer_text((int64_t)at_ms, text));
    cache_call_propagate(call, 3, (struct mr_span[]){CACHE_SPAN("PEXPIREAT"), key, at});
}

/* A time that has passed deletes; only an absolute one can have. */
static void expire_or_delete(struct cache_call *call, struct mr_span key, struct cache_entry *e, uint64_t at_ms)
{
    if (at_ms > call->now_ms) {
        cache_store_expire_at(call->store, e, at_ms);
        cache_call_changed(call, call->store, key);
        propagate_expiry(call, key, at_ms);
        return;
    }
    cache_store_delete_entry(call->store, e);
    cache_call_counted(call, call->store);
    cache_call_propagate(call, 2, (struct mr_span[]){CACHE_SPAN("DEL"), key});
}

static void persist(struct cache_call *call, struct mr_span key, struct cache_entry *e)
{
    if (!cache_entry_expires_ms(e))
        return;
    cache_store_persist(call->store, e);
    cache_call_changed(call, call->store, key);
    cache_call_propagate(call, 2, (struct mr_span[]){CACHE_SPAN("PERSIST"), key});
}

enum cache_outcome cache_command_getex(struct cache_call *call)
{
    struct set_options o = {0};
    struct cache_entry *e;
    uint64_t at_ms = 0;
    if (!read_options(call, 2, true, &o) || !cache_call_write(call, &call->argv[1], CACHE_STRING, &e))
        return CACHE_DONE;
    if (!e) {
        cache_reply_null(call->reply);
        return CACHE_DONE;
    }
    if (o.expiry == EXPIRY_AT && !cache_expiry_argument(call, o.time, o.seconds, o.absolute, &at_ms))
        return CACHE_DONE;

    struct mr_span key = cache_argument_span(&call->argv[1]);
    if (o.expiry == EXPIRY_AT && !cache_entry_expires_ms(e)) {
        enum cache_room room = cache_call_reserve(call, call->store, CACHE_EXPIRY_COST);
        if (room != CACHE_ROOM_READY)
            return cache_room_outcome(room);
        e = cache_store_write(call->store, call->database, key);
        if (!e) { /* it was what had to go for the room */
            cache_reply_null(call->reply);
            return CACHE_DONE;
        }
    }
    cache_reply_string(call->reply, e);
    if (o.expiry == EXPIRY_AT)
        expire_or_delete(call, key, e, at_ms);
    else if (o.expiry == EXPIRY_PERSIST)
        persist(call, key, e);
    return CACHE_DONE;
}
