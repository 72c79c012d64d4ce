/* The C interface (include/millrace/cache.h): a command of another service travels as one of a connection does, to the owner of its key
 * and back, even when that is this worker: `done` is never called from inside the call. */
#include <millrace/cache.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/command/call.h"
#include "cache/shard/shard.h"

#define ARGUMENTS_MAX 64
#define ANSWER_MAX    (64u << 10)

struct asked {
    mr_cache_done_fn done;
    void *context;
};

struct mr_cache *mr_cache_find(struct mr_worker *w)
{
    return mr_service_find(w, cache_service.name);
}

/* One reply of RESP2, whole at `text`. */
static void answer_parse(const uint8_t *text, size_t n, struct mr_cache_answer *a)
{
    const uint8_t *line = memchr(text, '\r', n);
    size_t length = line ? (size_t)(line - text) - 1 : 0;
    char number[24] = "";
    *a = (struct mr_cache_answer){MR_CACHE_LIST, {text, n}, 0};
    if (!n || !line)
        return;
    a->text = (struct mr_span){text + 1, length};
    memcpy(number, text + 1, length < sizeof number - 1 ? length : sizeof number - 1);
    switch (text[0]) {
    case '+':
        a->kind = MR_CACHE_STATUS;
        return;
    case '-':
        a->kind = MR_CACHE_ERROR;
        return;
    case ':':
        a->kind = MR_CACHE_INTEGER;
        a->integer = strtoll(number, NULL, 10);
        return;
    case '$':
        a->kind = number[0] == '-' ? MR_CACHE_NONE : MR_CACHE_STRING;
        a->text = (struct mr_span){line + 2, a->kind == MR_CACHE_NONE ? 0 : n - (size_t)(line + 2 - text) - 2};
        return;
    default:
        a->kind = number[0] == '-' ? MR_CACHE_NONE : MR_CACHE_LIST;
        a->text = (struct mr_span){text, a->kind == MR_CACHE_NONE ? 0 : n};
    }
}

/* The reply in one piece: it lies in the request's scratch or, when longer, is copied into the worker's. */
static bool reply_flatten(struct cache *cache, const struct cache_reply *r, struct mr_span *out)
{
    size_t n = r->scratch_used;
    if (!r->first) {
        *out = (struct mr_span){r->scratch, n};
        return !r->failed;
    }
    for (const struct cache_reply_block *b = r->first; b; b = b->next)
        n += b->length;
    if (n > ANSWER_MAX || r->failed)
        return false;
    uint8_t *to = cache->scratch;
    if (r->scratch_used)
        memcpy(to, r->scratch, r->scratch_used);
    to += r->scratch_used;
    for (const struct cache_reply_block *b = r->first; b; b = b->next) {
        memcpy(to, b->data, b->length);
        to += b->length;
    }
    *out = (struct mr_span){cache->scratch, n};
    return true;
}

static void finished(struct cache *here, struct cache_request *r, void *context)
{
    static const char too_long[] = "ERR the answer is longer than 65536 bytes";
    struct asked *asked = context;
    struct mr_cache_answer answer = {MR_CACHE_ERROR, {(const uint8_t *)too_long, sizeof too_long - 1}, 0};
    struct mr_span text;
    if (reply_flatten(here, &r->reply, &text))
        answer_parse(text.data, text.length, &answer);
    asked->done(asked->context, &answer);
    memory_free(&here->clients, asked, sizeof *asked);
}

static bool may_be_asked(const struct cache_command *c)
{
    return c->function && !(c->flags & (CACHE_BLOCKING | CACHE_PUBSUB | CACHE_RUNS_IN_MULTI | CACHE_ALL_SHARDS |
                                        CACHE_FAN_OUT | CACHE_ADMIN | CACHE_CURSOR_SHARD));
}

int mr_cache_command(struct mr_cache *c, unsigned argc, const struct mr_span *spans, mr_cache_done_fn done,
                     void *context)
{
    struct cache *cache = (struct cache *)c;
    struct cache_argument argv[ARGUMENTS_MAX];
    if (!argc || argc > ARGUMENTS_MAX)
        return MR_ERROR_INVALID;
    for (unsigned i = 0; i < argc; i++) {
        if (spans[i].length > CACHE_SMALL_MAX)
            return MR_ERROR_INVALID;
        argv[i] = (struct cache_argument){.data = spans[i].data, .length = (uint32_t)spans[i].length};
    }
    const struct cache_command *command = cache_command_find(spans[0].data, spans[0].length);
    if (!command)
        return MR_ERROR_UNKNOWN;
    bool fits = command->arity >= 0 ? argc == (unsigned)command->arity : argc >= (unsigned)-command->arity;
    uint64_t shards = fits && may_be_asked(command) ? cache_command_shards(cache, command, argv, argc) : 0;
    if (!shards || shards & (shards - 1))
        return MR_ERROR_INVALID;
    struct asked *asked = memory_alloc(&cache->clients, sizeof *asked);
    if (!asked)
        return MR_ERROR_NO_MEMORY;
    *asked = (struct asked){.done = done, .context = context};
    if (cache_request_ask(cache, command, argv, argc, (unsigned)__builtin_ctzll(shards), finished, asked))
        return MR_OK;
    memory_free(&cache->clients, asked, sizeof *asked);
    return MR_ERROR_NO_MEMORY;
}

static struct mr_span span_of(const char *text)
{
    return (struct mr_span){(const uint8_t *)text, strlen(text)};
}

int mr_cache_get(struct mr_cache *c, struct mr_span key, mr_cache_done_fn done, void *context)
{
    const struct mr_span argv[] = {span_of("GET"), key};
    return mr_cache_command(c, 2, argv, done, context);
}

int mr_cache_set(struct mr_cache *c, struct mr_span key, struct mr_span value, uint64_t ttl_ms, mr_cache_done_fn done,
                 void *context)
{
    char number[24];
    snprintf(number, sizeof number, "%llu", (unsigned long long)ttl_ms);
    const struct mr_span argv[] = {span_of("SET"), key, value, span_of("PX"), span_of(number)};
    return mr_cache_command(c, ttl_ms ? 5 : 3, argv, done, context);
}

int mr_cache_increment(struct mr_cache *c, struct mr_span key, int64_t by, mr_cache_done_fn done, void *context)
{
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)by);
    const struct mr_span argv[] = {span_of("INCRBY"), key, span_of(number)};
    return mr_cache_command(c, 3, argv, done, context);
}
