#include "tests/support/cache_session.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/command/call.h"
#include "cache/command/packed.h"
#include "cache/command/table.h"

#define WORDS_MAX     4096
#define TURNS_MAX     100000 /* that a command may wait for room */
#define CLIENT_BYTES  (UINT64_C(1) << 30)
#define SCRATCH_BYTES 4096 /* small, so that blocks are used too */
#define SOME_DAY_MS   UINT64_C(1700000000000)

static void *needed(void *p)
{
    if (!p)
        abort();
    return p;
}

static struct cache *instance_create(struct cache_session *s, unsigned index, const struct cache_session_options *o)
{
    static const uint64_t secret[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    struct cache *c = needed(calloc(1, sizeof *c));
    c->shared = &s->shared;
    c->index = index;
    c->workers = s->shared.workers;
    c->counters = needed(calloc(CACHE_COUNTERS, sizeof *c->counters));
    c->command_calls = needed(calloc(cache_command_count(), sizeof *c->command_calls));
    c->command_us = needed(calloc(cache_command_count(), sizeof *c->command_us));
    c->settings.slowlog_slower_than_us = -1;
    c->settings.proto_max_bulk_len = CACHE_VALUE_MAX;
    c->settings.limits = CACHE_TYPE_LIMITS_DEFAULT;
    c->now_ms = o->now_ms ? o->now_ms : SOME_DAY_MS;
    if (!cache_store_init(&c->store, o->memory_max ? o->memory_max : UINT64_C(64) << 20,
                          o->policy ? o->policy : "noeviction", secret, index + 1) ||
        !memory_init(&c->clients, CLIENT_BYTES * 2, CLIENT_BYTES))
        abort();
    c->store.type_limits = &c->settings.limits;
    cache_store_turn(&c->store, c->now_ms);
    return c;
}

static void instance_free(struct cache *c)
{
    cache_store_release(&c->store);
    memory_release(&c->clients);
    free(c->counters);
    free(c->command_calls);
    free(c->command_us);
    free(c);
}

struct cache_session *cache_session_start(const struct cache_session_options *options)
{
    struct cache_session_options o = options ? *options : (struct cache_session_options){0};
    struct cache_session *s = needed(calloc(1, sizeof *s));
    s->shared.workers = o.shards ? o.shards : 1;
    s->protocol = 2;
    s->argv = needed(calloc(WORDS_MAX, sizeof *s->argv));
    s->scratch = needed(malloc(SCRATCH_BYTES));
    for (unsigned i = 0; i < s->shared.workers; i++)
        s->shared.instance[i] = instance_create(s, i, &o);
    s->cache = s->shared.instance[0];
    return s;
}

void cache_session_stop(struct cache_session *s)
{
    for (unsigned i = 0; i < s->shared.workers; i++)
        instance_free(s->shared.instance[i]);
    free(s->argv);
    free(s->scratch);
    free(s->reply);
    free(s);
}

/* -- text to arguments ------------------------------------------------------------------------------------------------------- */

static unsigned hex(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
}

static uint8_t escaped(const char **p)
{
    static const char from[] = "nrt", to[] = "\n\r\t";
    char c = *(*p)++;
    if (c == 'x') {
        uint8_t byte = (uint8_t)(hex((*p)[0]) << 4 | hex((*p)[1]));
        *p += 2;
        return byte;
    }
    const char *known = strchr(from, c);
    return (uint8_t)(known && c ? to[known - from] : c);
}

/* The next word of *p into `word`; false: there is none. */
static bool word_next(const char **p, uint8_t *word, uint32_t *length)
{
    *length = 0;
    while (**p == ' ')
        ++*p;
    if (!**p)
        return false;
    bool quoted = **p == '"';
    *p += quoted;
    while (**p && **p != (quoted ? '"' : ' ')) {
        char c = *(*p)++;
        word[(*length)++] = c == '\\' && quoted ? escaped(p) : (uint8_t)c;
    }
    *p += quoted && **p;
    return true;
}

static void turns_begin(struct cache_session *s)
{
    for (unsigned i = 0; i < s->shared.workers; i++)
        cache_store_turn(&s->shared.instance[i]->store, s->shared.instance[i]->now_ms);
}

static bool background(struct cache_session *s)
{
    bool more = false;
    for (unsigned i = 0; i < s->shared.workers; i++)
        more |= cache_store_background(&s->shared.instance[i]->store);
    return more;
}

/* As a connection does before a long argument arrives. */
static bool rope_room(struct cache_session *s, size_t n)
{
    enum cache_room room;
    while ((room = cache_store_reserve(&s->cache->store, cache_rope_cost(n))) == CACHE_ROOM_LATER) {
        background(s);
        turns_begin(s);
    }
    return room == CACHE_ROOM_READY;
}

/* False: no room for it. */
static bool argument_add(struct cache_session *s, struct cache_packed *packed, const void *data, size_t n)
{
    if (n > CACHE_SMALL_MAX && !rope_room(s, n))
        return false;
    if (!cache_packed_begin(packed, (uint32_t)n, &s->cache->store.memory) || !cache_packed_append(packed, data, n))
        abort();
    return true;
}

static bool text_pack(struct cache_session *s, const char *text, const void *data, size_t n,
                      struct cache_packed *packed)
{
    uint8_t *word = needed(malloc(strlen(text) + 1));
    uint32_t length;
    bool fits = true;
    while (fits && word_next(&text, word, &length))
        fits = data && length == 2 && !memcmp(word, "%s", 2) ? argument_add(s, packed, data, n)
                                                             : argument_add(s, packed, word, length);
    free(word);
    if (packed->argc > WORDS_MAX)
        abort();
    return fits;
}

/* -- the call ---------------------------------------------------------------------------------------------------------------- */

static void reply_add(struct cache_session *s, const void *data, size_t n)
{
    if (s->reply_bytes + n + 1 > s->reply_room) {
        s->reply_room = 2 * (s->reply_bytes + n + 1);
        s->reply = needed(realloc(s->reply, s->reply_room));
    }
    if (n)
        memcpy(s->reply + s->reply_bytes, data, n);
    s->reply_bytes += n;
    s->reply[s->reply_bytes] = 0;
}

static void reply_gather(struct cache_session *s, struct cache_reply *r)
{
    s->reply_bytes = 0;
    reply_add(s, "", 0);
    if (r->failed)
        abort();
    cache_reply_settle(r);
    reply_add(s, r->scratch, r->scratch_used);
    for (struct cache_reply_block *b = r->first; b; b = b->next)
        reply_add(s, b->data, b->length);
}

static bool arity_holds(const struct cache_command *c, unsigned argc)
{
    return c->arity >= 0 ? argc == (unsigned)c->arity : argc >= (unsigned)-c->arity;
}

/* NULL: replied. */
static const struct cache_command *find(struct cache_call *call)
{
    const struct cache_command *c = cache_command_find(call->argv[0].data, call->argv[0].length), *container = NULL;
    if (c && c->flags & CACHE_CONTAINER && call->argc > 1) {
        container = c;
        c = cache_subcommand_find(c, call->argv[1].data, call->argv[1].length);
    }
    if (c && arity_holds(c, call->argc) && c->function)
        return c;
    if (c)
        cache_reply_arity(call->reply, container, c);
    else
        cache_reply_error(call->reply, "ERR unknown %s", container ? "subcommand" : "command");
    return NULL;
}

static void call_run(struct cache_session *s, struct cache_call *call)
{
    enum cache_outcome outcome;
    call->command = find(call);
    while (call->command && (outcome = cache_call_execute(call)) != CACHE_DONE) {
        if (!cache_reply_empty(call->reply))
            abort(); /* who waits has not replied */
        s->waits = outcome == CACHE_WAIT;
        if (s->waits || ++s->again > TURNS_MAX)
            return;
        background(s);
        turns_begin(s);
    }
}

const char *cache_session_run_bytes(struct cache_session *s, const char *text, const void *data, size_t length,
                                    size_t *n)
{
    struct cache_packed packed;
    struct cache_reply reply;
    cache_packed_init(&packed, &s->cache->clients);
    bool fits = text_pack(s, text, data, length, &packed);
    cache_packed_arguments(&packed, s->argv);
    cache_reply_init(&reply, &s->cache->clients, s->scratch, SCRATCH_BYTES, s->protocol, UINT64_MAX);
    struct cache_call call = {.cache = s->cache,
                              .argv = s->argv,
                              .argc = packed.argc,
                              .database = s->database,
                              .reply = &reply,
                              .may_block = true};
    s->again = 0;
    s->waits = false;
    if (fits)
        call_run(s, &call);
    else
        cache_reply_error(&reply, "OOM command not allowed when used memory > 'maxmemory'.");
    s->changes = call.changes;
    reply_gather(s, &reply);
    cache_reply_free(&reply);
    cache_packed_taken(&packed, s->argv);
    cache_packed_free(&packed);
    if (n)
        *n = s->reply_bytes;
    return s->reply;
}

const char *cache_session_run(struct cache_session *s, const char *text, size_t *n)
{
    return cache_session_run_bytes(s, text, NULL, 0, n);
}

void cache_session_pass(struct cache_session *s, uint64_t ms)
{
    for (unsigned i = 0; i < s->shared.workers; i++)
        s->shared.instance[i]->now_ms += ms;
    turns_begin(s);
}

void cache_session_settle(struct cache_session *s)
{
    while (background(s))
        turns_begin(s);
}

void cache_session_check(struct cache_session *s)
{
    for (unsigned i = 0; i < s->shared.workers; i++) {
        cache_store_check(&s->shared.instance[i]->store);
        memory_check(&s->shared.instance[i]->clients);
    }
}
