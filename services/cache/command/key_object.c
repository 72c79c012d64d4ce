/* OBJECT and MEMORY USAGE: how a value is kept. Looking leaves no trace in the eviction's order. */
#include "cache/command/key.h"

#include <limits.h>

#define SHARED_INTEGERS 10000 /* Redis keeps these once for all keys, and says so */

/* Null replied when it is not there. */
static const struct cache_entry *look(struct cache_call *call, struct mr_span *key)
{
    if (!cache_call_key(call, &call->argv[2], key))
        return NULL;
    const struct cache_entry *e = cache_store_peek(cache_call_store(call, *key), call->database, *key);
    if (!e)
        cache_reply_null(call->reply);
    return e;
}

static enum cache_outcome object_encoding(struct cache_call *call)
{
    struct mr_span key;
    const struct cache_entry *e = look(call, &key);
    if (e)
        cache_reply_bulk_text(call->reply, cache_collection_types[e->type]->encoding_name(e));
    return CACHE_DONE;
}

static enum cache_outcome object_refcount(struct cache_call *call)
{
    struct mr_span key;
    const struct cache_entry *e = look(call, &key);
    bool shared = e && e->type == CACHE_STRING && e->encoding == CACHE_STRING_INTEGER &&
                  (uint64_t)cache_entry_value(e)->integer < SHARED_INTEGERS;
    if (e)
        cache_reply_integer(call->reply, shared ? INT_MAX : 1);
    return CACHE_DONE;
}

static enum cache_outcome object_idletime(struct cache_call *call)
{
    struct mr_span key;
    uint32_t seconds;
    const struct cache_entry *e = look(call, &key);
    if (!e)
        return CACHE_DONE;
    if (cache_evict_idle(cache_store_evict_of(cache_call_store(call, key), e), &e->evict, &seconds))
        cache_reply_integer(call->reply, seconds);
    else
        cache_reply_error(
            call->reply,
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching "
            "between policies at runtime LRU and LFU data will take some time to adjust.");
    return CACHE_DONE;
}

static enum cache_outcome object_freq(struct cache_call *call)
{
    struct mr_span key;
    uint32_t frequency;
    const struct cache_entry *e = look(call, &key);
    if (!e)
        return CACHE_DONE;
    if (cache_evict_frequency(cache_store_evict_of(cache_call_store(call, key), e), &e->evict, &frequency))
        cache_reply_integer(call->reply, frequency);
    else
        cache_reply_error(
            call->reply,
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when "
            "switching between policies at runtime LRU and LFU data will take some time to adjust.");
    return CACHE_DONE;
}

static enum cache_outcome object_help(struct cache_call *call)
{
    static const char *const lines[] = {
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "IDLETIME <key>",
        "    Return the idle time of the <key>, that is the approximated number of",
        "    seconds elapsed since the last access to the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.",
        "HELP",
        "    Prints this help.",
    };
    unsigned n = sizeof lines / sizeof *lines;
    cache_reply_array(call->reply, n);
    for (unsigned i = 0; i < n; i++)
        cache_reply_simple(call->reply, lines[i]);
    return CACHE_DONE;
}

#define ROW(name, function, sentence)                                                     \
    {                                                                                     \
        name, function, 3, CACHE_READONLY, 2, 2, 1, "generic", sentence, NULL, NULL, NULL \
    }

const struct cache_command cache_subcommands_object[] = {
    ROW("encoding", object_encoding, "the encoding of a value"),
    ROW("freq", object_freq, "how often a key was used, under an LFU policy"),
    ROW("idletime", object_idletime, "seconds since a key was used"),
    ROW("refcount", object_refcount, "references of a value"),
    {"help", object_help, 2, CACHE_LOADING | CACHE_STALE, 0, 0, 0, "generic", "what OBJECT takes", NULL, NULL, NULL},
    {0},
};

/* MEMORY USAGE key [SAMPLES n]: sums are kept, so the samples are read and not needed. */
enum cache_outcome cache_command_memory_usage(struct cache_call *call)
{
    struct mr_span key;
    for (unsigned i = 3; i < call->argc; i += 2) {
        int64_t samples = -1;
        bool named = i + 1 < call->argc && cache_argument_is(&call->argv[i], "samples");
        if (named && !cache_argument_integer(&call->argv[i + 1], &samples)) {
            cache_reply_not_integer(call->reply);
            return CACHE_DONE;
        }
        if (samples < 0) {
            cache_reply_syntax_error(call->reply);
            return CACHE_DONE;
        }
    }
    const struct cache_entry *e = look(call, &key);
    if (e)
        cache_reply_integer(call->reply, (int64_t)cache_entry_bytes(cache_call_store(call, key), e));
    return CACHE_DONE;
}
