/* One instance of the cache without connections: a line of text is run as a command, the reply is text. */
#ifndef TESTS_SUPPORT_CACHE_SHELL_H
#define TESTS_SUPPORT_CACHE_SHELL_H

#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/command/call.h"
#include "cache/command/table.h"
#include "cache/resp/reply.h"

#define CACHE_SHELL_WORDS 4096
#define CACHE_SHELL_REPLY (1u << 20)

struct cache_shell {
    struct cache cache;
    struct cache_shared shared;
    struct cache_config config;
    uint64_t counters[CACHE_COUNTERS];
    uint8_t scratch[CACHE_SCRATCH_BYTES];
    struct cache_argument argv[CACHE_SHELL_WORDS];
    char reply[CACHE_SHELL_REPLY];
    uint8_t protocol;
};

/* NULL: no memory. */
static inline struct cache_shell *cache_shell_start(uint64_t memory_limit, const char *policy, uint64_t seed)
{
    struct cache_shell *s = calloc(1, sizeof *s);
    const uint64_t secret[2] = {seed, ~seed};
    if (!s || !cache_store_init(&s->cache.store, memory_limit, policy, secret, seed) ||
        !cache_memory_init(&s->cache.clients, 64u << 20, 64u << 20))
        return NULL;
    s->protocol = 2;
    s->shared.workers = s->cache.workers = 1;
    s->shared.instance[0] = &s->cache;
    s->shared.config = s->cache.config = &s->config;
    s->cache.shared = &s->shared;
    s->cache.counters = s->counters;
    s->cache.settings.limits = CACHE_TYPE_LIMITS_DEFAULT;
    s->cache.settings.slowlog_slower_than_us = -1;
    s->cache.store.type_limits = &s->cache.settings.limits;
    s->cache.command_calls = calloc(cache_command_count(), sizeof *s->cache.command_calls);
    s->cache.command_us = calloc(cache_command_count(), sizeof *s->cache.command_us);
    s->cache.now_ms = 1700000000000;
    cache_store_turn(&s->cache.store, s->cache.now_ms);
    return s;
}

static inline void cache_shell_stop(struct cache_shell *s)
{
    cache_store_release(&s->cache.store);
    cache_memory_release(&s->cache.clients);
    free(s->cache.command_calls);
    free(s->cache.command_us);
    free(s);
}

/* A turn: what waits in the background goes on. True: there is more. */
static inline bool cache_shell_turn(struct cache_shell *s)
{
    cache_store_turn(&s->cache.store, ++s->cache.now_ms);
    return cache_store_background(&s->cache.store);
}

/* The reply with a space for each line end, none at its end. */
static inline const char *cache_shell_reply(struct cache_shell *s, struct cache_reply *r)
{
    cache_reply_settle(r);
    size_t n = r->scratch_used;
    memcpy(s->reply, r->scratch, n);
    for (const struct cache_reply_block *b = r->first; b && n + b->length < CACHE_SHELL_REPLY; b = b->next) {
        memcpy(s->reply + n, b->data, b->length);
        n += b->length;
    }
    size_t end = 0;
    for (size_t i = 0; i < n; i++) {
        if (s->reply[i] == '\r' && i + 1 < n && s->reply[i + 1] == '\n')
            i++;
        s->reply[end++] = s->reply[i] == '\n' ? ' ' : s->reply[i];
    }
    s->reply[end ? end - 1 : 0] = 0;
    return s->reply;
}

/* Runs what is in argv, whole; CACHE_AGAIN is called again in a new turn. Long arguments become ropes. */
static inline const char *cache_shell_run_arguments(struct cache_shell *s, unsigned argc)
{
    struct cache_reply r;
    cache_reply_init(&r, &s->cache.clients, s->scratch, sizeof s->scratch, s->protocol, 32u << 20);
    struct cache_call call = {.cache = &s->cache, .argv = s->argv, .argc = argc, .reply = &r};
    call.command = cache_command_find(s->argv[0].data, s->argv[0].length);
    if (call.command && call.command->flags & CACHE_CONTAINER)
        call.command = argc > 1 ? cache_subcommand_find(call.command, s->argv[1].data, s->argv[1].length) : NULL;
    if (!call.command)
        return "no such command";
    if (call.command->arity > 0 ? (int)argc != call.command->arity : (int)argc < -call.command->arity)
        return "wrong arity";
    while (cache_call_execute(&call) == CACHE_AGAIN)
        cache_shell_turn(s);
    const char *reply = cache_shell_reply(s, &r);
    cache_reply_free(&r);
    return reply;
}

/* Words of `line` between single spaces; two quotes are an empty word. */
static inline const char *cache_shell_run(struct cache_shell *s, const char *line)
{
    unsigned argc = 0;
    while (*line && argc < CACHE_SHELL_WORDS) {
        size_t n = strcspn(line, " ");
        bool empty = n == 2 && memcmp(line, "\"\"", 2) == 0;
        s->argv[argc++] = (struct cache_argument){.data = (const uint8_t *)line, .length = empty ? 0 : (uint32_t)n};
        line += n + (line[n] == ' ');
    }
    return cache_shell_run_arguments(s, argc);
}

#endif
