/* DEBUG, as far as clients' test suites use it. Every shard is held for it, so that it may look at any key and reach every worker. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/command/digest.h"
#include "cache/command/help.h"
#include "cache/command/key.h"
#include "cache/command/server.h"

static enum cache_outcome debug_unknown(struct cache_call *call)
{
    const struct cache_argument *a = &call->argv[1];
    cache_reply_error(call->reply, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try DEBUG HELP.",
                      a->rope ? 0 : (int)(a->length < 128 ? a->length : 128), (const char *)a->data);
    return CACHE_DONE;
}

static enum cache_outcome debug_help(struct cache_call *call)
{
    static const char *const lines[] = {
        "CHANGE-REPL-ID",
        "    Accepted: there is no replication.",
        "DIGEST",
        "    Output a hex signature representing the current content of all databases.",
        "DIGEST-VALUE <key> [<key> ...]",
        "    Output a hex signature of the values of all the specified keys.",
        "ERROR <string>",
        "    Return a Redis protocol error with <string> as message.",
        "LOG <message>",
        "    Write <message> to the log of the process.",
        "OBJECT <key>",
        "    Show low level info about `key` and associated value.",
        "PROTOCOL <type>",
        "    Reply with a test value of the specified type. <type> can be: string,",
        "    integer, double, bignum, null, array, set, map, attrib, push, verbatim,",
        "    true, false.",
        "QUICKLIST-PACKED-THRESHOLD <size>",
        "    Accepted: elements have nodes of their own from a fixed length on.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Setting it to 0 disables expiring keys in background when they are not",
        "    accessed. Setting it to 1 reenables back the default.",
        "SLEEP <seconds>",
        "    This connection waits for <seconds>, the others do not. Decimals allowed.",
        NULL,
    };
    return cache_reply_help(call, "DEBUG", lines);
}

/* -- time ---------------------------------------------------------------------------------------------------------------------- */

#define SLEEP_S_MAX 86400

/* Redis stands still for so long. Here a worker has other services and other clients: only who asked waits. */
static enum cache_outcome debug_sleep(struct cache_call *call)
{
    double seconds;
    if (!cache_argument_double(&call->argv[2], &seconds) || seconds <= 0 || call->timed_out) {
        cache_reply_ok(call->reply);
        return CACHE_DONE;
    }
    if (!call->may_block || seconds > SLEEP_S_MAX) {
        cache_reply_error(call->reply, "ERR no sleep of more than a day, nor inside a transaction");
        return CACHE_DONE;
    }
    call->wait_until_ms = call->now_ms + (uint64_t)(seconds * 1000) + 1;
    return CACHE_WAIT;
}

static enum cache_outcome debug_active_expire(struct cache_call *call)
{
    bool active = !cache_argument_is(&call->argv[2], "0");
    for (unsigned i = 0; i < call->cache->workers; i++) {
        struct cache *shard = call->cache->shared->instance[i];
        shard->settings.active_expire = active;
        shard->store.expire_paused = !active;
    }
    cache_reply_ok(call->reply);
    return CACHE_DONE;
}

/* -- keys ---------------------------------------------------------------------------------------------------------------------- */

/* What is not the same here (addresses, sizes in an RDB file) is left out or said in our own terms. */
static enum cache_outcome debug_object(struct cache_call *call)
{
    struct mr_span key;
    uint32_t idle = 0;
    if (!cache_call_key(call, &call->argv[2], &key))
        return CACHE_DONE;
    const struct cache_store *s = cache_call_store(call, key);
    const struct cache_entry *e = cache_store_peek(s, call->database, key);
    if (!e) {
        cache_reply_error(call->reply, "ERR no such key");
        return CACHE_DONE;
    }
    cache_evict_idle(cache_store_evict_of(s, e), &e->evict, &idle);
    char text[200];
    snprintf(text, sizeof text,
             "Value at:%p refcount:1 encoding:%s serializedlength:%" PRIu64 " lru:%u lru_seconds_idle:%u",
             (const void *)e, cache_collection_types[e->type]->encoding_name(e), cache_entry_bytes(s, e),
             s->evict.clock - idle, idle);
    cache_reply_simple(call->reply, text);
    return CACHE_DONE;
}

static enum cache_outcome debug_digest(struct cache_call *call)
{
    struct cache_digest d = cache_digest_keyspace(call);
    cache_digest_reply(call->reply, &d);
    return CACHE_DONE;
}

static enum cache_outcome debug_digest_value(struct cache_call *call)
{
    cache_reply_array(call->reply, call->argc - 2);
    for (unsigned i = 2; i < call->argc; i++) {
        const struct cache_argument *a = &call->argv[i];
        struct cache_digest d = {0};
        struct mr_span key = cache_argument_span(a);
        struct cache_store *s = cache_call_store(call, a->rope ? (struct mr_span){(const uint8_t *)"", 0} : key);
        struct cache_entry *e = a->rope ? NULL : cache_store_peek(s, call->database, key);
        if (e)
            d = cache_digest_value(s, e);
        cache_digest_reply(call->reply, &d);
    }
    return CACHE_DONE;
}

/* -- replies ------------------------------------------------------------------------------------------------------------------- */

static void protocol_array(struct cache_reply *r)
{
    cache_reply_array(r, 3);
    for (int i = 0; i < 3; i++)
        cache_reply_integer(r, i);
}

static void protocol_set(struct cache_reply *r)
{
    cache_reply_set(r, 3);
    for (int i = 0; i < 3; i++)
        cache_reply_integer(r, i);
}

static void protocol_map(struct cache_reply *r)
{
    cache_reply_map(r, 3);
    for (int i = 0; i < 3; i++) {
        cache_reply_integer(r, i);
        cache_reply_bool(r, i == 1);
    }
}

static void protocol_attribute(struct cache_reply *r)
{
    if (r->protocol == 3) {
        cache_reply_raw(r, "|1\r\n", 4);
        cache_reply_bulk_text(r, "key-popularity");
        cache_reply_array(r, 2);
        cache_reply_bulk_text(r, "key:123");
        cache_reply_integer(r, 90);
    }
    cache_reply_bulk_text(r, "Some real reply following the attribute");
}

static void protocol_push(struct cache_reply *r)
{
    if (r->protocol != 3) {
        cache_reply_error(r, "ERR RESP2 is not supported by this command");
        return;
    }
    cache_reply_push(r, 2);
    cache_reply_bulk_text(r, "server-cpu-usage");
    cache_reply_integer(r, 42);
    cache_reply_bulk_text(r, "Some real reply following the push reply");
}

static void protocol_string(struct cache_reply *r)
{
    cache_reply_bulk_text(r, "Hello World");
}

static void protocol_integer(struct cache_reply *r)
{
    cache_reply_integer(r, 12345);
}

static void protocol_double(struct cache_reply *r)
{
    cache_reply_double(r, 3.141);
}

static void protocol_big_number(struct cache_reply *r)
{
    cache_reply_big_number(r, "1234567999999999999999999999999999999");
}

static void protocol_verbatim(struct cache_reply *r)
{
    static const char text[] = "This is a verbatim\nstring";
    cache_reply_verbatim(r, "txt", text, sizeof text - 1);
}

static void protocol_true(struct cache_reply *r)
{
    cache_reply_bool(r, true);
}

static void protocol_false(struct cache_reply *r)
{
    cache_reply_bool(r, false);
}

static enum cache_outcome debug_protocol(struct cache_call *call)
{
    static const struct {
        const char *name;
        void (*reply)(struct cache_reply *r);
    } types[] = {{"string", protocol_string},     {"integer", protocol_integer},   {"double", protocol_double},
                 {"bignum", protocol_big_number}, {"null", cache_reply_null},      {"array", protocol_array},
                 {"set", protocol_set},           {"map", protocol_map},           {"attrib", protocol_attribute},
                 {"push", protocol_push},         {"verbatim", protocol_verbatim}, {"true", protocol_true},
                 {"false", protocol_false}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (cache_argument_is(&call->argv[2], types[i].name)) {
            types[i].reply(call->reply);
            return CACHE_DONE;
        }
    cache_reply_error(call->reply, "ERR Wrong protocol type name. Please use one of the following: "
                                   "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false");
    return CACHE_DONE;
}

static enum cache_outcome debug_error(struct cache_call *call)
{
    const struct cache_argument *a = &call->argv[2];
    cache_reply_error(call->reply, "%.*s", a->rope ? 0 : (int)a->length, (const char *)a->data);
    return CACHE_DONE;
}

static enum cache_outcome debug_log(struct cache_call *call)
{
    const struct cache_argument *a = &call->argv[2];
    mr_log(MR_LOG_INFO, "cache", "DEBUG LOG: %.*s", a->rope ? 0 : (int)(a->length < 512 ? a->length : 512),
           (const char *)a->data);
    cache_reply_ok(call->reply);
    return CACHE_DONE;
}

/* -- accepted, refused --------------------------------------------------------------------------------------------------------- */

static enum cache_outcome debug_accepted(struct cache_call *call)
{
    cache_reply_ok(call->reply);
    return CACHE_DONE;
}

static enum cache_outcome debug_reload(struct cache_call *call)
{
    cache_reply_error(call->reply, "ERR this server reads its files at its start only");
    return CACHE_DONE;
}

enum cache_outcome cache_command_debug(struct cache_call *call)
{
    static const struct {
        const char *name;
        unsigned argc_min, argc_max;
        cache_command_function *function;
    } rows[] = {
        {"help", 2, 2, debug_help},
        {"sleep", 3, 3, debug_sleep},
        {"object", 3, 3, debug_object},
        {"digest", 2, 2, debug_digest},
        {"digest-value", 2, UINT32_MAX, debug_digest_value},
        {"protocol", 3, 3, debug_protocol},
        {"error", 3, 3, debug_error},
        {"log", 3, 3, debug_log},
        {"set-active-expire", 3, 3, debug_active_expire},
        {"quicklist-packed-threshold", 3, 3, debug_accepted},
        {"change-repl-id", 2, 2, debug_accepted},
        {"reload", 2, UINT32_MAX, debug_reload},
        {"loadaof", 2, 2, debug_reload},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (cache_argument_is(&call->argv[1], rows[i].name) && call->argc >= rows[i].argc_min &&
            call->argc <= rows[i].argc_max)
            return rows[i].function(call);
    return debug_unknown(call);
}
