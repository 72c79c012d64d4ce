#include "cache/durability.h"

#include <stdio.h>
#include <string.h>

#include "cache/command/call.h"
#include "cache/command/effect.h"
#include "cache/connection.h"
#include "cache/durable/log.h"
#include "cache/durable/snapshot.h"
#include "cache/shard/shard.h"

#define REPLAY_TURNS_MAX 1000000 /* for one command: each turn evicts or frees something, or it is hopeless */

int cache_durability_open(struct cache_shared *shared)
{
    const struct cache_config *config = shared->config;
    struct cache_log_options options = {.folder = config->folder,
                                        .log = config->durability == CACHE_DURABLE_LOG,
                                        .fsync = (enum cache_fsync)config->fsync,
                                        .repair = (enum cache_log_repair)config->log_repair,
                                        .workers = shared->workers,
                                        .rewrite_percentage = config->rewrite_percentage,
                                        .rewrite_bytes_min = config->rewrite_bytes_min,
                                        .held_bytes_max = CACHE_LOG_HELD_BYTES_DEFAULT};
    return config->durability == CACHE_DURABLE_NONE ? MR_OK : cache_log_open(&options, &shared->log);
}

/* -- load ------------------------------------------------------------------------------------------------------------------ */

/* memcached's part of an entry: key, flags, cas, meta. */
static bool replay_memcached(struct cache *cache, unsigned database, const struct cache_argument *argv, unsigned argc)
{
    uint64_t flags, cas, meta;
    if (argc != 5 || !cache_argument_unsigned(&argv[2], &flags) || !cache_argument_unsigned(&argv[3], &cas) ||
        !cache_argument_unsigned(&argv[4], &meta))
        return false;
    struct cache_store *s = &cache->store;
    struct cache_entry *e = cache_store_peek(s, database, cache_argument_span(&argv[1]));
    if (e && cache_store_reserve(s, CACHE_EXPIRY_COST) == CACHE_ROOM_READY)
        e = cache_store_memcached(s, cache_store_peek(s, database, cache_argument_span(&argv[1])));
    if (!e || !cache_entry_memcached(e))
        return true; /* it was dead, or there is no room for it any more */
    *cache_entry_memcached(e) = (struct cache_memcached_part){cas, (uint32_t)flags, (uint32_t)meta};
    if (s->cas < cas)
        s->cas = cas;
    return true;
}

static bool refused(const struct cache_argument *argv, const char *why)
{
    mr_log(MR_LOG_ERROR, "cache", "the log has a command that cannot be replayed: '%.*s': %s",
           (int)(argv[0].length < 64 ? argv[0].length : 64), (const char *)argv[0].data, why);
    return false;
}

/* A store's work of a turn, without which neither its clock begins nor its budgets are filled again. */
static void stores_turn(const struct cache_shared *shared)
{
    for (unsigned i = 0; i < shared->workers; i++) {
        cache_store_turn(&shared->instance[i]->store, shared->instance[i]->now_ms);
        cache_store_background(&shared->instance[i]->store);
    }
}

/* Time in the replay is what it was: a key that was alive when a command changed it is alive for it again. */
static void replay_begin(void *context, uint64_t ms)
{
    struct cache_shared *shared = context;
    for (unsigned i = 0; i < shared->workers; i++)
        shared->instance[i]->now_ms = ms;
    stores_turn(shared);
}

/* Room that is made over turns is waited for as a client would. */
static bool replay_run(const struct cache_shared *shared, struct cache_call *call)
{
    for (unsigned i = 0; i < REPLAY_TURNS_MAX; i++) {
        enum cache_outcome outcome = cache_call_execute(call);
        if (outcome != CACHE_AGAIN)
            return outcome == CACHE_DONE;
        stores_turn(shared);
    }
    return false;
}

/* Keys decide where it goes: the number of workers may be another than when it was written. */
static bool replay(void *context, unsigned database, const struct cache_argument *argv, unsigned argc)
{
    struct cache_shared *shared = context;
    const struct cache_command *c = cache_command_find(argv[0].data, argv[0].length);
    bool memcached = cache_argument_is(&argv[0], "_memcached");
    unsigned owner = 0;
    if (!c && !memcached)
        return refused(argv, "unknown");
    if (database >= CACHE_DATABASES)
        return refused(argv, "no such database");
    uint64_t shards =
        memcached ? UINT64_C(1) << cache_slot_owner(cache_key_slot(cache_argument_span(&argv[1])), shared->workers)
                  : cache_command_shards(shared->instance[0], c, argv, argc);
    if (shards)
        owner = (unsigned)__builtin_ctzll(shards);
    struct cache *cache = shared->instance[owner];
    if (memcached)
        return replay_memcached(cache, database, argv, argc);
    struct cache_reply reply;
    cache_reply_init(&reply, &cache->clients, cache->scratch, CACHE_SCRATCH_BYTES, 2, UINT64_MAX);
    struct cache_call call = {.cache = cache,
                              .command = c,
                              .argv = (struct cache_argument *)(uintptr_t)argv,
                              .argc = argc,
                              .database = database,
                              .reply = &reply,
                              .replaying = true};
    bool fits = c->arity >= 0 ? argc == (unsigned)c->arity : argc >= (unsigned)-c->arity;
    bool good = fits && c->function && replay_run(shared, &call);
    cache_reply_free(&reply);
    return good || refused(argv, fits ? "it cannot be run" : "wrong number of arguments");
}

/* -- hooks ------------------------------------------------------------------------------------------------------------------- */

static void durable(void *context)
{
    struct cache *cache = context;
    cache_turn_begin(cache); /* whose end tries again what waited for the log */
    cache_connections_ungate(cache);
}

/* An extent that a record held: of our shard, or of one that was held when the command ran. */
static void drop(void *context, struct cache_extent *x)
{
    struct cache *cache = context;
    if (x->memory == &cache->store.memory && cache_shard_free(cache)) {
        cache_extent_drop(x);
        return;
    }
    struct cache_reply r;
    cache_reply_init(&r, &cache->clients, NULL, 0, 0, UINT64_MAX);
    if (cache_reply_lend(&r, x, x->bytes, x->length))
        cache_extent_let_go(cache, r.first);
    else
        mr_log(MR_LOG_ERROR, "cache", "no memory to send an extent of %u bytes home: it is lost", x->length);
}

static void stores_of(const struct cache_shared *shared, struct cache_store *stores[CACHE_WORKERS_MAX])
{
    for (unsigned i = 0; i < shared->workers; i++)
        stores[i] = &shared->instance[i]->store;
}

int cache_durability_snapshot(struct cache *cache, bool rewrite)
{
    struct cache_store *stores[CACHE_WORKERS_MAX];
    if (!cache->log)
        return MR_ERROR_UNSUPPORTED;
    stores_of(cache->shared, stores);
    return cache_snapshot_begin(cache->log, rewrite ? CACHE_SNAPSHOT_REWRITE : CACHE_SNAPSHOT_SAVE, stores,
                                cache->now_ms);
}

static void rewrite_begin(struct cache *cache)
{
    cache_durability_snapshot(cache, true);
}

static void rewrite_due(void *context)
{
    cache_turn_begin(context);
    cache_hold_all(context, rewrite_begin);
}

static void snapshot_ended(void *context, bool done)
{
    struct cache *cache = context;
    for (unsigned i = 0; done && i < cache->workers; i++)
        cache->shared->instance[i]->saved_changes = cache->shared->instance[i]->store.changes;
}

static void before_change(void *owner, struct cache_entry *e)
{
    struct cache *shard = owner, *by = cache_shard_worker(shard);
    if (by->log)
        cache_snapshot_before_change(by->log, shard->index, &shard->store, e);
}

/* -- begin and end ------------------------------------------------------------------------------------------------------------- */

int cache_durability_load(struct cache_shared *shared)
{
    struct cache_log_target target = {.begin = replay_begin, .command = replay, .context = shared};
    if (!shared->log)
        return MR_OK;
    uint64_t now_ms = shared->instance[0]->now_ms;
    int error = cache_log_load(shared->log, &target);
    for (unsigned i = 0; error == MR_OK && i < shared->workers; i++) {
        struct cache *cache = shared->instance[i];
        cache->now_ms = now_ms;
        if (cache->store.stat.evicted) /* the log does not know of them */
            cache_log_want_rewrite(shared->log);
        struct cache_log_hooks hooks = {durable, drop, rewrite_due, snapshot_ended, cache};
        cache->log = cache_log_worker_create(shared->log, cache->worker, &hooks);
        cache->store.listener.before_change = before_change;
        error = cache->log ? MR_OK : MR_ERROR_NO_MEMORY;
    }
    return error;
}

void cache_durability_stop(struct cache *cache)
{
    if (cache->log)
        cache_log_worker_stop(cache->log);
}

void cache_durability_close(struct cache_shared *shared)
{
    if (shared->log)
        cache_log_close(shared->log);
    shared->log = NULL;
}

bool cache_durability_step(struct cache *cache)
{
    return cache->log && cache_snapshot_step(cache->log, &cache->store);
}

bool cache_durability_ready(const struct cache *cache)
{
    return !cache->log || cache_log_ready(cache->log);
}
