/* memcached's requests as commands of the table: so they are routed, logged, counted and replayed as all others are. They are
 * not for RESP clients, who get the answer of an unknown command. */
#include <string.h>

#include "cache/cache.h"
#include "cache/command/call.h"
#include "cache/command/server.h"
#include "cache/command/session.h"
#include "cache/memcached/memcached.h"
#include "cache/shard/shard.h"

const struct cache_memcached_answer_text cache_memcached_answers[CACHE_MEMCACHED_ANSWERS] = {
#define ANSWER(symbol, status, text) [CACHE_MEMCACHED_##symbol] = {text, status},
#include "cache/memcached/answer.def"
#undef ANSWER
};

const struct cache_memcached_writer *cache_memcached_writer(const struct cache_memcached_request *r)
{
    static const struct cache_memcached_writer *const writers[] = {
        [CACHE_MEMCACHED_TEXT] = &cache_memcached_text,
        [CACHE_MEMCACHED_META] = &cache_memcached_meta,
        [CACHE_MEMCACHED_BINARY] = &cache_memcached_binary,
    };
    return writers[r->dialect];
}

static bool plausible(const struct cache_memcached_request *r)
{
    return r->op < CACHE_MEMCACHED_OPS && r->dialect <= CACHE_MEMCACHED_BINARY && r->mode <= CACHE_MEMCACHED_PREPEND &&
           r->answer < CACHE_MEMCACHED_ANSWERS && r->wants_count <= CACHE_MEMCACHED_FLAGS_MAX &&
           r->opaque_length < CACHE_MEMCACHED_OPAQUE_MAX;
}

bool cache_memcached_request_of(const struct cache_call *call, struct cache_memcached_request *r)
{
    if (call->reply->protocol != 0 && !call->replaying) {
        cache_reply_error(call->reply, "ERR unknown command '%s', with args beginning with: ", call->command->name);
        return false;
    }
    if (call->argc < 2 || call->argv[1].length != sizeof *r || !call->argv[1].data)
        return false;
    memcpy(r, call->argv[1].data, sizeof *r);
    return plausible(r);
}

bool cache_memcached_refused(struct cache_call *call)
{
    struct cache_memcached_request r;
    if (call->reply->protocol != 0 || !cache_memcached_request_of(call, &r))
        return false;
    cache_memcached_writer(&r)->answer(call->reply, &r, (struct mr_span){NULL, 0}, CACHE_MEMCACHED_NO_MEMORY, NULL);
    return true;
}

enum cache_outcome cache_memcached_answer(struct cache_call *call)
{
    struct cache_memcached_request r;
    if (!cache_memcached_request_of(call, &r))
        return CACHE_DONE;
    const struct cache_memcached_writer *w = cache_memcached_writer(&r);
    if (r.op == CACHE_MEMCACHED_VERSION_ASKED)
        w->statistic(call->reply, &r, "VERSION", CACHE_MEMCACHED_VERSION);
    else if (r.op == CACHE_MEMCACHED_REPLY)
        w->answer(call->reply, &r, (struct mr_span){NULL, 0}, (enum cache_memcached_answer)r.answer, NULL);
    return CACHE_DONE;
}

/* Every key of the database, in every shard; later, when a time is given. */
enum cache_outcome cache_memcached_flush(struct cache_call *call)
{
    struct cache_memcached_request r;
    struct cache_store *s;
    if (!cache_memcached_request_of(call, &r))
        return CACHE_DONE;
    for (unsigned i = 0; (s = cache_call_each_store(call, i)); i++) {
        struct cache *owner = call->cache->shared->instance[i];
        owner->memcached_flush_ms = r.expires_ms > call->now_ms ? r.expires_ms : 0;
        if (!owner->memcached_flush_ms)
            cache_call_flush(call, owner, call->database);
        call->touched |= UINT64_C(1) << i;
    }
    call->changes++;
    if (!call->replaying)
        cache_memcached_writer(&r)->answer(call->reply, &r, (struct mr_span){NULL, 0}, CACHE_MEMCACHED_OK, NULL);
    return CACHE_DONE;
}

/* While another worker holds our shard it waits for the next second. The log knows the time that flush_all gave. */
void cache_memcached_flush_due(struct cache *cache)
{
    if (!cache->memcached_flush_ms || !cache_shard_free(cache))
        return;
    cache_turn_begin(cache);
    if (cache->now_ms < cache->memcached_flush_ms)
        return;
    cache->memcached_flush_ms = 0;
    cache_watch_flushed(cache, 0);
    cache_store_flush(&cache->store, 0);
}

const struct cache_command cache_commands_memcached[] = {
    {"memcached.get", cache_memcached_execute, -3, CACHE_READONLY | CACHE_FAST, 2, 2, 1, "memcached",
     .sentence = "a key that a memcached client reads"},
    {"memcached.store", cache_memcached_execute, -3, CACHE_WRITE | CACHE_FAST, 2, 2, 1, "memcached",
     .sentence = "a key that a memcached client changes"},
    {"memcached.answer", cache_memcached_answer, 2, CACHE_READONLY | CACHE_FAST | CACHE_LOADING | CACHE_STALE, 0, 0, 0,
     "memcached", .sentence = "what is answered without a key"},
    {"memcached.flush", cache_memcached_flush, 2, CACHE_WRITE | CACHE_ALL_SHARDS, 0, 0, 0, "memcached",
     .sentence = "flush_all"},
    {"memcached.stats", cache_memcached_stats, -2, CACHE_READONLY | CACHE_ALL_SHARDS, 0, 0, 0, "memcached",
     .sentence = "stats"},
    {0},
};

const struct cache_command *cache_memcached_command(const struct cache_memcached_request *r)
{
    switch ((enum cache_memcached_op)r->op) {
    case CACHE_MEMCACHED_GET:
        return &cache_commands_memcached[r->touches || r->vivifies];
    case CACHE_MEMCACHED_DEBUG:
        return &cache_commands_memcached[0];
    case CACHE_MEMCACHED_STORE:
    case CACHE_MEMCACHED_DELETE:
    case CACHE_MEMCACHED_ARITHMETIC:
    case CACHE_MEMCACHED_TOUCH:
        return &cache_commands_memcached[1];
    case CACHE_MEMCACHED_FLUSH:
        return &cache_commands_memcached[3];
    case CACHE_MEMCACHED_STATS:
        return &cache_commands_memcached[4];
    default:
        return &cache_commands_memcached[2];
    }
}
