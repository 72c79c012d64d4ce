/* MULTI and EXEC. Commands are queued packed, as they arrive; EXEC runs them one behind the other while every shard that they
 * and the watched keys need is held (shard/dispatch.c), with room for all of them made before the first. */
#include <string.h>

#include "cache/cache.h"
#include "cache/command/call.h"
#include "cache/command/effect.h"
#include "cache/command/session.h"
#include "cache/command/watch.h"
#include "cache/connection.h"
#include "cache/shard/shard.h"

#define KEYS_MAX 1024 /* of one queued command; more ask every shard */

/* -- the queue -------------------------------------------------------------------------------------------------------------- */

static void queued_free(struct cache *cache, struct cache_queued *q)
{
    cache_packed_free(&q->packed);
    memory_free(&cache->clients, q, sizeof *q);
}

void cache_client_discard(struct cache *cache, struct cache_client *c)
{
    while (c->queue) {
        struct cache_queued *q = c->queue;
        c->queue = q->next;
        queued_free(cache, q);
    }
    c->queue_end = &c->queue;
    c->queued = 0;
    c->queued_bytes = 0;
    c->multi = c->multi_failed = false;
}

static struct cache_queued *queued_make(struct cache *cache, const struct cache_command *command,
                                        const struct cache_argument *argv, unsigned argc)
{
    struct cache_queued *q = memory_alloc(&cache->clients, sizeof *q);
    bool packed = q != NULL;
    if (!q)
        return NULL;
    *q = (struct cache_queued){.command = command};
    cache_packed_init(&q->packed, &cache->clients);
    for (unsigned i = 0; i < argc && packed; i++) {
        packed = cache_packed_add(&q->packed, &argv[i]);
        if (packed && argv[i].rope) /* it is the queue's now */
            ((struct cache_argument *)(uintptr_t)&argv[i])->rope = NULL;
    }
    if (packed)
        return q;
    queued_free(cache, q);
    return NULL;
}

void cache_multi_queue(struct cache *cache, struct cache_client *client, const struct cache_command *command,
                       const struct cache_argument *argv, unsigned argc, struct cache_reply *reply)
{
    struct cache_queued *q = queued_make(cache, command, argv, argc);
    uint64_t bytes = q ? sizeof *q + q->packed.bytes + q->packed.rope_bytes : 0;
    if (q && client->queued_bytes + bytes > cache->settings.query_bytes_max) {
        queued_free(cache, q);
        q = NULL;
    }
    if (!q) {
        client->multi_failed = true;
        cache_reply_error(reply, "OOM command not allowed when used memory > 'maxmemory'.");
        return;
    }
    client->queued_bytes += bytes;
    *client->queue_end = q;
    client->queue_end = &q->next;
    client->queued++;
    cache_reply_simple(reply, "QUEUED");
}

static uint64_t queued_shards(const struct cache *cache, const struct cache_queued *q)
{
    cache_packed_arguments(&q->packed, cache->argv);
    uint64_t mask = q->packed.rope_bytes ? UINT64_C(1) << cache->index : 0; /* long values lie in our shard's memory */
    return mask | cache_command_shards(cache, q->command, cache->argv, q->packed.argc);
}

uint64_t cache_multi_shards(const struct cache *cache, const struct cache_client *client)
{
    uint64_t mask = cache_client_watched_shards(client);
    for (const struct cache_queued *q = client->queue; client->multi && !client->multi_failed && q; q = q->next)
        mask |= queued_shards(cache, q);
    return mask;
}

/* -- room ------------------------------------------------------------------------------------------------------------------- */

static unsigned owner_index(const struct cache *cache, struct mr_span key)
{
    return cache->workers == 1 ? 0 : cache_slot_owner(cache_key_slot(key), cache->workers);
}

/* Adds what a queued command may take to the sum of each shard that its keys lie in. */
static void room_add(struct cache_call *inner, uint64_t sums[CACHE_WORKERS_MAX])
{
    const struct cache *cache = inner->cache;
    uint64_t bytes = inner->command->room ? inner->command->room(inner) : cache_command_room(inner), asked = 0;
    unsigned positions[KEYS_MAX];
    int n = cache_command_keys(inner->command, inner->argv, inner->argc, positions, KEYS_MAX);
    if (n <= 0 || n == KEYS_MAX) {
        for (unsigned i = 0; i < cache->workers; i++)
            sums[i] += bytes;
        return;
    }
    for (int i = 0; i < n; i++) {
        const struct cache_argument *a = &inner->argv[positions[i]];
        unsigned owner = a->rope ? cache->index : owner_index(cache, cache_argument_span(a));
        if (!(asked >> owner & 1))
            sums[owner] += bytes;
        asked |= UINT64_C(1) << owner;
    }
}

static struct cache_call inner_call(struct cache_call *call, const struct cache_queued *q)
{
    cache_packed_arguments(&q->packed, call->cache->argv);
    return (struct cache_call){.cache = call->cache,
                               .client = call->client,
                               .command = q->command,
                               .argv = call->cache->argv,
                               .argc = q->packed.argc,
                               .database = call->client->database,
                               .store = &call->cache->store,
                               .reply = call->reply,
                               .now_ms = call->cache->now_ms};
}

/* For everything that was queued, before the first of it runs. */
static enum cache_room room_make(struct cache_call *call)
{
    struct cache *cache = call->cache;
    uint64_t sums[CACHE_WORKERS_MAX] = {0};
    enum cache_room room = CACHE_ROOM_READY;
    for (const struct cache_queued *q = call->client->queue; q && room == CACHE_ROOM_READY; q = q->next) {
        if (!(q->command->flags & CACHE_DENYOOM))
            continue;
        struct cache_call inner = inner_call(call, q);
        unsigned key = (unsigned)q->command->first_key;
        if (key && key < inner.argc && !inner.argv[key].rope)
            inner.store = cache_call_store(&inner, cache_argument_span(&inner.argv[key]));
        room_add(&inner, sums);
        if (cache->workers > 1 && q->packed.rope_bytes)
            room = cache_ropes_adopt(cache, q->command, inner.argv, inner.argc);
    }
    for (unsigned i = 0; i < cache->workers && room == CACHE_ROOM_READY; i++)
        if (sums[i])
            room = cache_store_reserve(&cache->shared->instance[i]->store, sums[i]);
    return room;
}

static bool writes(const struct cache_client *c)
{
    for (const struct cache_queued *q = c->queue; q; q = q->next)
        if (q->command->flags & CACHE_WRITE)
            return true;
    return false;
}

/* -- EXEC ------------------------------------------------------------------------------------------------------------------- */

static enum cache_outcome end(struct cache_call *call)
{
    cache_client_discard(call->cache, call->client);
    cache_client_unwatch(call->cache, call->client);
    return CACHE_DONE;
}

/* What each worker runs for itself is told to the others; inside a transaction nobody waits for their answers. Publish and subscribe
 * sees to that itself (pubsub.c). */
struct elsewhere {
    struct cache_item item;
    struct cache *home;
    const struct cache_command *command;
    struct cache_packed packed;
};

static void elsewhere_home(struct cache *here, struct cache_item *item)
{
    struct elsewhere *e = (struct elsewhere *)item;
    cache_packed_free(&e->packed);
    memory_free(&here->clients, e, sizeof *e);
}

static void elsewhere_run(struct cache *here, struct cache_item *item)
{
    struct elsewhere *e = (struct elsewhere *)item;
    struct cache_reply reply;
    cache_reply_init(&reply, &here->clients, NULL, 0, 2, UINT64_MAX);
    struct cache_call call = {.cache = here,
                              .command = e->command,
                              .argv = here->argv,
                              .argc = e->packed.argc,
                              .reply = &reply,
                              .part = true};
    cache_packed_arguments(&e->packed, here->argv);
    cache_call_execute(&call);
    cache_reply_free(&reply);
    item->run = elsewhere_home;
    cache_send(here, e->home->index, item);
}

static void elsewhere_send(struct cache *cache, const struct cache_queued *q)
{
    for (unsigned i = 0; i < cache->workers; i++) {
        struct elsewhere *e = i == cache->index ? NULL : memory_alloc(&cache->clients, sizeof *e);
        bool packed = e != NULL;
        if (!e)
            continue;
        *e = (struct elsewhere){.item.run = elsewhere_run, .home = cache, .command = q->command};
        cache_packed_init(&e->packed, &cache->clients);
        cache_packed_arguments(&q->packed, cache->argv);
        for (unsigned k = 0; k < q->packed.argc && packed; k++)
            packed = !cache->argv[k].rope && cache_packed_add(&e->packed, &cache->argv[k]);
        if (packed)
            cache_send(cache, i, &e->item);
        else
            elsewhere_home(cache, &e->item);
    }
}

static void run_queued(struct cache_call *call, struct cache_queued *q, struct cache_transaction *t)
{
    struct cache *cache = call->cache;
    if ((q->command->flags & (CACHE_FAN_OUT | CACHE_PUBSUB)) == CACHE_FAN_OUT && cache->workers > 1)
        elsewhere_send(cache, q);
    struct cache_call inner = inner_call(call, q);
    inner.transaction = t;
    cache_call_execute(&inner);
    cache_packed_taken(&q->packed, cache->argv);
    call->touched |= inner.touched;
}

static enum cache_outcome run_all(struct cache_call *call)
{
    struct cache_client *client = call->client;
    struct cache_queued *q = client->queue, *next;
    struct cache_transaction t;
    cache_client_unwatch(call->cache, client);
    cache_transaction_init(&t);
    cache_reply_array(call->reply, client->queued);
    client->queue = NULL; /* a command may look at its session: nothing is queued any more */
    client->queue_end = &client->queue;
    client->multi = false;
    for (; q; q = next) {
        next = q->next;
        run_queued(call, q, &t);
        queued_free(call->cache, q);
    }
    cache_transaction_log(call->cache, &t);
    return end(call);
}

static enum cache_outcome command_exec(struct cache_call *call)
{
    struct cache *cache = call->cache;
    struct cache_client *client = call->client;
    bool never = false;
    if (!client->multi) {
        cache_reply_error(call->reply, "ERR EXEC without MULTI");
        return CACHE_DONE;
    }
    if (client->multi_failed) {
        cache_reply_error(call->reply, "EXECABORT Transaction discarded because of previous errors.");
        return end(call);
    }
    if (cache_client_watched_changed(client)) {
        cache_reply_null_array(call->reply);
        return end(call);
    }
    if (cache->log && writes(client) && !cache_effects_ready(call, &never))
        return never ? end(call) : CACHE_AGAIN;
    enum cache_room room = room_make(call);
    if (room == CACHE_ROOM_LATER)
        return CACHE_AGAIN;
    if (room == CACHE_ROOM_NEVER) {
        cache_reply_error(call->reply, "EXECABORT Transaction discarded because of: OOM command not allowed when used "
                                       "memory > 'maxmemory'.");
        return end(call);
    }
    return run_all(call);
}

static enum cache_outcome command_multi(struct cache_call *call)
{
    if (call->client->multi) {
        cache_reply_error(call->reply, "ERR MULTI calls can not be nested");
        return CACHE_DONE;
    }
    call->client->multi = true;
    cache_reply_ok(call->reply);
    return CACHE_DONE;
}

static enum cache_outcome command_discard(struct cache_call *call)
{
    if (!call->client->multi) {
        cache_reply_error(call->reply, "ERR DISCARD without MULTI");
        return CACHE_DONE;
    }
    cache_reply_ok(call->reply);
    return end(call);
}

#define SESSION (CACHE_NOSCRIPT | CACHE_LOADING | CACHE_STALE)
#define ROW(name, function, arity, flags, first, last, step, sentence)                              \
    {                                                                                               \
        name, function, arity, flags, first, last, step, "transactions", sentence, NULL, NULL, NULL \
    }

const struct cache_command cache_commands_transaction[] = {
    ROW("multi", command_multi, 1, SESSION | CACHE_FAST | CACHE_ALLOW_BUSY | CACHE_RUNS_IN_MULTI, 0, 0, 0,
        "begins a transaction: what follows is queued"),
    ROW("exec", command_exec, 1, SESSION | CACHE_SKIP_SLOWLOG | CACHE_RUNS_IN_MULTI | CACHE_QUEUED_SHARDS, 0, 0, 0,
        "runs what is queued, all or nothing"),
    ROW("discard", command_discard, 1, SESSION | CACHE_FAST | CACHE_ALLOW_BUSY | CACHE_RUNS_IN_MULTI, 0, 0, 0,
        "forgets what is queued"),
    ROW("watch", cache_command_watch, -2, SESSION | CACHE_FAST | CACHE_ALLOW_BUSY | CACHE_RUNS_IN_MULTI, 1, -1, 1,
        "makes EXEC run only if these keys did not change"),
    ROW("unwatch", cache_command_unwatch, 1, SESSION | CACHE_FAST | CACHE_ALLOW_BUSY, 0, 0, 0,
        "forgets what is watched"),
    {0},
};
