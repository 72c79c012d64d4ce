/* The one way of every call: room, the log's readiness, the function, the log, the slow log, counters. What depends on the
 * session (authentication, MULTI) was decided before, in admit.c; where the keys are, in shard/dispatch.c. */
#include "cache/command/call.h"

#include <string.h>
#include <time.h>

#include "cache/blocked.h"
#include "cache/cache.h"
#include "cache/client.h"
#include "cache/command/effect.h"
#include "cache/command/slowlog.h"
#include "cache/command/table.h"
#include "cache/memcached/memcached.h"

/* -- stores ------------------------------------------------------------------------------------------------------------- */

static const uint16_t crc16_nibble[16] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
                                          0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};

static uint16_t crc16(const uint8_t *p, size_t n)
{
    uint16_t crc = 0;
    for (; n; p++, n--) {
        crc = (uint16_t)(crc << 4 ^ crc16_nibble[(crc >> 12 ^ *p >> 4) & 15]);
        crc = (uint16_t)(crc << 4 ^ crc16_nibble[(crc >> 12 ^ *p) & 15]);
    }
    return crc;
}

unsigned cache_key_slot(struct mr_span key)
{
    const uint8_t *open = memchr(key.data, '{', key.length);
    if (open) {
        size_t rest = key.length - (size_t)(open + 1 - key.data);
        const uint8_t *close = memchr(open + 1, '}', rest);
        if (close && close != open + 1)
            return crc16(open + 1, (size_t)(close - open - 1)) & 16383;
    }
    return crc16(key.data, key.length) & 16383;
}

struct cache_store *cache_call_store(const struct cache_call *call, struct mr_span key)
{
    struct cache *cache = call->cache;
    if (__builtin_expect(cache->workers == 1, 1))
        return &cache->store;
    return &cache->shared->instance[cache_slot_owner(cache_key_slot(key), cache->workers)]->store;
}

struct cache_store *cache_call_each_store(const struct cache_call *call, unsigned i)
{
    return i < call->cache->workers ? &call->cache->shared->instance[i]->store : NULL;
}

static struct cache *store_owner(const struct cache_store *s)
{
    return (struct cache *)((char *)(uintptr_t)s - offsetof(struct cache, store));
}

/* -- what commands tell --------------------------------------------------------------------------------------------------- */

void cache_call_counted(struct cache_call *call, struct cache_store *store)
{
    call->changes++;
    call->touched |= UINT64_C(1) << store_owner(store)->index;
}

void cache_call_changed(struct cache_call *call, struct cache_store *store, struct mr_span key)
{
    cache_call_counted(call, store);
    cache_store_changed(store, call->database, key);
}

void cache_call_ready(struct cache_call *call, struct cache_store *store, struct mr_span key)
{
    struct cache *owner = store_owner(store);
    if (__builtin_expect(cache_blocked_any(owner), 0))
        cache_blocked_ready(owner, call->database, key);
}

/* -- room ------------------------------------------------------------------------------------------------------------------ */

#define ROOM_SLACK    (32u << 10) /* an encoding that outgrows its compact form, growth of a table */
#define ROOM_ARGUMENT 160         /* headers, links and table slot of one element at most */

uint64_t cache_command_room(const struct cache_call *call)
{
    uint64_t bytes = ROOM_SLACK;
    for (unsigned i = 1; i < call->argc; i++)
        bytes += ROOM_ARGUMENT + (call->argv[i].rope ? 0 : 2 * (uint64_t)call->argv[i].length);
    return bytes;
}

static enum cache_room refused(struct cache_call *call)
{
    if (!cache_memcached_refused(call))
        cache_reply_error(call->reply, "OOM command not allowed when used memory > 'maxmemory'.");
    cache_call_error(call->cache, call->reply);
    return CACHE_ROOM_NEVER;
}

/* Inside a transaction nothing may be called again from its begin: the budget of the turn gives way. */
static enum cache_room reserve(struct cache_call *call, struct cache_store *store, uint64_t bytes)
{
    enum cache_room room = cache_store_reserve(store, bytes);
    while (room == CACHE_ROOM_LATER && (call->transaction || call->replaying)) {
        cache_store_turn(store, store->now_ms);
        room = cache_store_reserve(store, bytes);
    }
    return room;
}

enum cache_room cache_call_reserve(struct cache_call *call, struct cache_store *store, uint64_t bytes)
{
    enum cache_room room = reserve(call, store, bytes);
    return room == CACHE_ROOM_NEVER ? refused(call) : room;
}

#define KEYS_MAX 64 /* looked at for room; commands of more keys ask every shard */

enum cache_room cache_call_room(struct cache_call *call)
{
    struct cache *cache = call->cache;
    if (!(call->command->flags & CACHE_DENYOOM))
        return CACHE_ROOM_READY;
    uint64_t bytes = call->command->room ? call->command->room(call) : cache_command_room(call);
    if (__builtin_expect(cache->workers == 1, 1))
        return reserve(call, &cache->store, bytes);
    unsigned positions[KEYS_MAX];
    int n = cache_command_keys(call->command, call->argv, call->argc, positions, KEYS_MAX);
    uint64_t asked = 0;
    enum cache_room room = CACHE_ROOM_READY;
    for (int i = 0; i < n && room == CACHE_ROOM_READY; i++) {
        if (n < KEYS_MAX && call->argv[positions[i]].rope)
            continue; /* too long for a key: the function will say */
        struct cache_store *s = n == KEYS_MAX ? cache_call_each_store(call, (unsigned)i)
                                              : cache_call_store(call, cache_argument_span(&call->argv[positions[i]]));
        if (!s)
            break;
        uint64_t bit = UINT64_C(1) << store_owner(s)->index;
        if (!(asked & bit))
            room = reserve(call, s, bytes);
        asked |= bit;
    }
    return room;
}

/* -- looking up ------------------------------------------------------------------------------------------------------------- */

bool cache_call_key(struct cache_call *call, const struct cache_argument *a, struct mr_span *key)
{
    if (__builtin_expect(a->rope || a->length > CACHE_KEY_MAX, 0)) {
        cache_reply_error(call->reply, "ERR key is longer than %u bytes", CACHE_KEY_MAX);
        return false;
    }
    *key = cache_argument_span(a);
    return true;
}

static bool wanted(struct cache_call *call, const struct cache_entry *e, enum cache_type type)
{
    if (!e || e->type == (unsigned)type)
        return true;
    cache_reply_wrong_type(call->reply);
    return false;
}

bool cache_call_read(struct cache_call *call, const struct cache_argument *a, enum cache_type type,
                     struct cache_entry **e)
{
    struct mr_span key;
    if (!cache_call_key(call, a, &key))
        return false;
    *e = cache_store_read(cache_call_store(call, key), call->database, key);
    return wanted(call, *e, type);
}

bool cache_call_write(struct cache_call *call, const struct cache_argument *a, enum cache_type type,
                      struct cache_entry **e)
{
    struct mr_span key;
    if (!cache_call_key(call, a, &key))
        return false;
    *e = cache_store_write(cache_call_store(call, key), call->database, key);
    return wanted(call, *e, type);
}

/* -- shared replies ---------------------------------------------------------------------------------------------------------- */

void cache_reply_wrong_type(struct cache_reply *r)
{
    cache_reply_error(r, "WRONGTYPE Operation against a key holding the wrong kind of value");
}

void cache_reply_syntax_error(struct cache_reply *r)
{
    cache_reply_error(r, "ERR syntax error");
}

void cache_reply_not_integer(struct cache_reply *r)
{
    cache_reply_error(r, "ERR value is not an integer or out of range");
}

void cache_reply_not_float(struct cache_reply *r)
{
    cache_reply_error(r, "ERR value is not a valid float");
}

void cache_reply_arity(struct cache_reply *r, const struct cache_command *container, const struct cache_command *c)
{
    if (container)
        cache_reply_error(r, "ERR wrong number of arguments for '%s|%s' command", container->name, c->name);
    else
        cache_reply_error(r, "ERR wrong number of arguments for '%s' command", c->name);
}

/* -- the call ---------------------------------------------------------------------------------------------------------------- */

static uint64_t clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

#define BRIEF_US 1000 /* no brief command lasts as long */

/* A command that is fast by its flag cannot be slow: only the others are timed, so that no clock is read for a GET; nor for a SET
 * unless the slow log is to show whatever is there. */
static bool is_timed(const struct cache_call *call)
{
    int64_t slower_than_us = call->cache->settings.slowlog_slower_than_us;
    unsigned untimed = CACHE_FAST | CACHE_SKIP_SLOWLOG | (slower_than_us >= BRIEF_US ? CACHE_BRIEF : 0);
    return !((unsigned)call->command->flags & untimed) && slower_than_us >= 0 && !call->replaying;
}

static enum cache_outcome run(struct cache_call *call)
{
    struct cache *cache = call->cache;
    const struct cache_command *c = call->command;
    bool timed = is_timed(call);
    uint64_t begin = timed ? clock_us() : 0;
    enum cache_outcome outcome = c->function(call);
    if (timed) {
        uint64_t us = clock_us() - begin;
        int index = cache_command_index(c);
        if (index >= 0)
            cache->command_us[index] += us;
        if (outcome == CACHE_DONE && us >= (uint64_t)cache->settings.slowlog_slower_than_us)
            cache_slowlog_add(cache, call, us);
    }
    return outcome;
}

void cache_call_error(struct cache *cache, struct cache_reply *reply)
{
    cache->counters[CACHE_COUNTER_COMMANDS_FAILED] += reply->errors;
    for (struct cache_error_count *e = cache->errors; e < cache->errors + CACHE_ERROR_CODES; e++) {
        if (!e->code[0])
            memcpy(e->code, reply->error_code, sizeof e->code);
        if (strcmp(e->code, reply->error_code) == 0) {
            e->count += reply->errors;
            break;
        }
    }
    reply->errors = 0;
}

static void count(struct cache_call *call)
{
    struct cache *cache = call->cache;
    int index = cache_command_index(call->command);
    if (index >= 0)
        cache->command_calls[index]++;
    cache->counters[CACHE_COUNTER_COMMANDS]++;
    if (call->client)
        call->client->commands++;
}

enum cache_outcome cache_call_execute(struct cache_call *call)
{
    struct cache *cache = call->cache;
    const struct cache_command *c = call->command;
    bool never = false;
    call->now_ms = cache->now_ms;
    call->changes = call->touched = 0;
    call->effects = NULL;
    call->effects_end = &call->effects;
    call->store = &cache->store;
    if (cache->workers > 1 && c->first_key && (unsigned)c->first_key < call->argc && !call->argv[c->first_key].rope)
        call->store = cache_call_store(call, cache_argument_span(&call->argv[c->first_key]));
    if (c->flags & CACHE_WRITE) {
        if (cache->log && !call->transaction && !call->replaying && !cache_effects_ready(call, &never))
            return never ? CACHE_DONE : CACHE_AGAIN;
        enum cache_room room = call->transaction ? CACHE_ROOM_READY : cache_call_room(call);
        if (__builtin_expect(room != CACHE_ROOM_READY, 0)) {
            cache->counters[room == CACHE_ROOM_LATER ? CACHE_COUNTER_EVICTIONS_DEFERRED : CACHE_COUNTER_ROOM_REFUSED]++;
            if (room == CACHE_ROOM_NEVER)
                refused(call);
            return room == CACHE_ROOM_NEVER ? CACHE_DONE : CACHE_AGAIN;
        }
    }
    if (cache->log && !cache_effects_begin(call)) {
        refused(call);
        return CACHE_DONE;
    }
    enum cache_outcome outcome = run(call);
    if (outcome == CACHE_DONE)
        count(call);
    if (__builtin_expect(call->reply->errors != 0, 0))
        cache_call_error(cache, call->reply);
    if (cache->log && !call->replaying)
        cache_effects_log(call);
    if (call->effects)
        cache_effects_free(cache, call->effects);
    return outcome;
}
