#include "cache/command/slowlog.h"

#include <stdio.h>
#include <string.h>

#include "cache/client.h"
#include "cache/command/help.h"
#include "cache/command/join.h"
#include "cache/connection.h"

#define ARGUMENTS_MAX 32  /* shown of a command, as Redis cuts it */
#define ARGUMENT_MAX  128 /* bytes shown of an argument */
#define ENTRIES_MAX   100000

struct slow_entry {
    struct slow_entry *next; /* older */
    uint64_t id, unix_s, us;
    char peer[MR_ADDRESS_TEXT_MAX + 8], name[64];
    uint32_t bytes; /* of this entry in memory */
    unsigned argc;
    struct {
        uint16_t offset, length;
    } argument[ARGUMENTS_MAX];
    char text[];
};

struct cache_slowlog {
    struct slow_entry *newest;
    uint64_t count, next_id;
};

bool cache_slowlog_start(struct cache *cache)
{
    cache->slowlog = memory_alloc(&cache->clients, sizeof *cache->slowlog);
    if (cache->slowlog)
        *cache->slowlog = (struct cache_slowlog){0};
    return cache->slowlog != NULL;
}

static void cut(struct cache *cache, uint64_t keep)
{
    struct slow_entry **link = &cache->slowlog->newest;
    for (uint64_t i = 0; i < keep && *link; i++)
        link = &(*link)->next;
    while (*link) {
        struct slow_entry *e = *link;
        *link = e->next;
        memory_free(&cache->clients, e, e->bytes);
        cache->slowlog->count--;
    }
}

void cache_slowlog_trim(struct cache *cache)
{
    cut(cache, cache->settings.slowlog_length_max < ENTRIES_MAX ? cache->settings.slowlog_length_max : ENTRIES_MAX);
}

/* What is shown of the i-th argument; returns its length. */
static size_t shown(const struct cache_call *call, unsigned i, char text[ARGUMENT_MAX + 40])
{
    if (i == ARGUMENTS_MAX - 1 && call->argc > ARGUMENTS_MAX)
        return (size_t)sprintf(text, "... (%u more arguments)", call->argc - ARGUMENTS_MAX + 1);
    const struct cache_argument *a = &call->argv[i];
    size_t n = a->length < ARGUMENT_MAX ? a->length : ARGUMENT_MAX;
    if (a->rope)
        cache_rope_copy_out(a->rope, 0, text, n);
    else if (a->data)
        memcpy(text, a->data, n);
    else
        n = 0; /* taken over by the command */
    if (a->length > ARGUMENT_MAX)
        n += (size_t)sprintf(text + n, "... (%u more bytes)", a->length - ARGUMENT_MAX);
    return n;
}

void cache_slowlog_add(struct cache *cache, const struct cache_call *call, uint64_t us)
{
    char text[ARGUMENTS_MAX * (ARGUMENT_MAX + 40)];
    struct slow_entry entry = {.argc = call->argc < ARGUMENTS_MAX ? call->argc : ARGUMENTS_MAX};
    uint16_t used = 0;
    cache->counters[CACHE_COUNTER_SLOW_COMMANDS]++;
    for (unsigned i = 0; i < entry.argc; i++) {
        size_t n = shown(call, i, text + used);
        entry.argument[i].offset = used;
        entry.argument[i].length = (uint16_t)n;
        used = (uint16_t)(used + n);
    }
    entry.bytes = (uint32_t)sizeof entry + used;
    struct slow_entry *e = cache->settings.slowlog_length_max ? memory_alloc(&cache->clients, entry.bytes) : NULL;
    if (!e)
        return;
    entry.id = cache->slowlog->next_id++;
    entry.unix_s = cache->now_ms / 1000;
    entry.us = us;
    entry.next = cache->slowlog->newest;
    if (call->client && call->client->connection->stream) {
        struct mr_endpoint remote;
        char address[MR_ADDRESS_TEXT_MAX];
        mr_stream_remote(call->client->connection->stream, &remote);
        snprintf(entry.peer, sizeof entry.peer, "%s:%u", mr_address_text(&remote.address, address), remote.port);
        memcpy(entry.name, call->client->name, sizeof entry.name);
    }
    *e = entry;
    memcpy(e->text, text, used);
    cache->slowlog->newest = e;
    cache->slowlog->count++;
    cache_slowlog_trim(cache);
}

static void entry_reply(struct cache_reply *r, const struct slow_entry *e)
{
    cache_reply_array(r, 6);
    cache_reply_integer(r, (int64_t)e->id);
    cache_reply_integer(r, (int64_t)e->unix_s);
    cache_reply_integer(r, (int64_t)e->us);
    cache_reply_array(r, e->argc);
    for (unsigned i = 0; i < e->argc; i++)
        cache_reply_bulk(r, e->text + e->argument[i].offset, e->argument[i].length);
    cache_reply_bulk_text(r, e->peer);
    cache_reply_bulk_text(r, e->name);
}

/* SLOWLOG GET [count]: of each worker when there are several, one worker's behind the other's. */
enum cache_outcome cache_command_slowlog_get(struct cache_call *call)
{
    const struct cache_slowlog *log = call->cache->slowlog;
    int64_t count = 10;
    if (call->argc > 3) {
        cache_reply_unknown_subcommand(call, "SLOWLOG");
        return CACHE_DONE;
    }
    if (call->argc == 3 && (!cache_argument_integer(&call->argv[2], &count) || count < -1)) {
        cache_reply_error(call->reply, "ERR count should be greater than or equal to -1");
        return CACHE_DONE;
    }
    uint64_t n = count < 0 || (uint64_t)count > log->count ? log->count : (uint64_t)count;
    cache_reply_array(call->reply, n);
    for (const struct slow_entry *e = log->newest; e && n; e = e->next, n--)
        entry_reply(call->reply, e);
    return CACHE_DONE;
}

enum cache_outcome cache_command_slowlog_len(struct cache_call *call)
{
    cache_reply_integer(call->reply, (int64_t)call->cache->slowlog->count);
    return CACHE_DONE;
}

enum cache_outcome cache_command_slowlog_reset(struct cache_call *call)
{
    cut(call->cache, 0);
    cache_reply_ok(call->reply);
    return CACHE_DONE;
}
