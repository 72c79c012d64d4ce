/* The service as the rest sees it: configuration, counters, start and stop of an instance, and the turn. */
#include "cache/cache.h"

#include <inttypes.h>
#include <millrace/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

#include "cache/blocked.h"
#include "cache/command/effect.h"
#include "cache/command/session.h"
#include "cache/command/slowlog.h"
#include "cache/command/table.h"
#include "cache/connection.h"
#include "cache/durability.h"
#include "cache/durable/log.h"
#include "cache/memcached/memcached.h"
#include "cache/shard/shard.h"

#define AT(member) offsetof(struct cache_config, member)

static const char *const durability_choices[] = {"none", "log", "snapshot", NULL};
static const char *const fsync_choices[] = {"always", "everysec", "no", NULL};
static const char *const repair_choices[] = {"tail", "none", "truncate", NULL};

static const struct mr_config_key cache_keys[] = {
    {"listen", MR_CONFIG_ENDPOINT, AT(listen), .preset = ":6379",
     .sentence = "address and port for RESP, as Redis clients speak it"},
    {"memcached", MR_CONFIG_ENDPOINT, AT(memcached), .preset = ":0",
     .sentence = "address and port for memcached's protocols (text, meta, binary); port 0: none"},
    {"memory_max", MR_CONFIG_BYTES, AT(memory_max), 1 << 20, UINT64_C(1) << 40, .preset = "256MiB",
     .sentence = "bytes of the keyspace, shared out to the workers (no more than 63GiB each); never passed"},
    {"policy", MR_CONFIG_STRING, AT(policy), .preset = "allkeys-s3fifo",
     .sentence = "which keys go when room is needed: a name of services/cache/evict/, as maxmemory-policy"},
    {"password", MR_CONFIG_STRING, AT(password), .optional = true,
     .sentence = "what AUTH must say; without it nobody is asked"},
    {"connections_max", MR_CONFIG_UNSIGNED, AT(connections_max), 1, 4 << 20, .preset = "65536", .unit = "connections",
     .sentence = "open connections per worker; more are refused"},
    {"client_memory_max", MR_CONFIG_BYTES, AT(client_memory_max), 1 << 20, UINT64_C(31) << 30, .preset = "256MiB",
     .sentence = "bytes of queries and replies of all connections of a worker"},
    {"query_bytes_max", MR_CONFIG_BYTES, AT(query_bytes_max), 1 << 16, UINT64_C(1) << 34, .preset = "1GiB",
     .sentence = "bytes of one command that is not whole yet; more closes the connection"},
    {"reply_bytes_max", MR_CONFIG_BYTES, AT(reply_bytes_max), 1 << 16, UINT64_C(1) << 34, .preset = "64MiB",
     .sentence = "copied bytes of replies that one peer has not read; more closes the connection"},
    {"push_bytes_max", MR_CONFIG_BYTES, AT(push_bytes_max), 1 << 16, UINT64_C(1) << 34, .preset = "32MiB",
     .sentence = "bytes of messages that one subscriber has not read; more closes the connection"},
    {"reply_timeout", MR_CONFIG_DURATION, AT(reply_timeout), MR_SECOND, 86400 * MR_SECOND, .preset = "60s",
     .sentence = "a peer that takes nothing of its replies for so long is cut"},
    {"idle_timeout", MR_CONFIG_DURATION, AT(idle_timeout), 0, 86400 * MR_SECOND, .preset = "0s",
     .sentence = "an idle connection is closed after this; 0s: never"},
    {"commands_per_turn", MR_CONFIG_UNSIGNED, AT(commands_per_turn), 1, 65536, .preset = "256", .unit = "commands",
     .sentence = "pipelined commands of one connection run before the others have their turn"},
    {"item_bytes_max", MR_CONFIG_BYTES, AT(item_bytes_max), 1024, UINT64_C(512) << 20, .preset = "1MiB",
     .sentence = "largest value that memcached's protocols may set"},
    {"durability", MR_CONFIG_CHOICE, AT(durability), .preset = "none", .choices = durability_choices,
     .sentence = "what outlives the process: nothing, a log of every change, or snapshots when asked for"},
    {"fsync", MR_CONFIG_CHOICE, AT(fsync), .preset = "everysec", .choices = fsync_choices,
     .sentence = "when the log reaches the disk: before a change is answered, once a second, or when the system likes"},
    {"folder", MR_CONFIG_PATH, AT(folder), .preset = ".", .sentence = "where log and snapshot lie"},
    {"log_repair", MR_CONFIG_CHOICE, AT(log_repair), .preset = "tail", .choices = repair_choices,
     .sentence = "what a damaged log means at start: cut a torn tail, refuse anything, or cut at the first damage"},
    {"rewrite_percentage", MR_CONFIG_UNSIGNED, AT(rewrite_percentage), 0, 100000, .preset = "100", .unit = "%",
     .sentence = "the log is rewritten when it has grown by so much since it last was; 0: never by itself"},
    {"rewrite_bytes_min", MR_CONFIG_BYTES, AT(rewrite_bytes_min), .preset = "64MiB",
     .sentence = "... and is at least so long"},
    {.name = NULL}};

static const struct mr_service_counter cache_counters[] = {
#define COUNTER(symbol, name, sentence) {name, sentence, false},
#define GAUGE(symbol, name, sentence)   {name, sentence, true},
#include "cache/counter.def"
#undef COUNTER
    {0}};

/* -- the turn -------------------------------------------------------------------------------------------------------------- */

void cache_turn_prepare(struct cache *cache)
{
    cache->in_turn = true;
    cache->now_ms = cache_unix_ms(cache, mr_now(cache->worker));
    if (cache_shard_free(cache))
        cache_store_turn(&cache->store, cache->now_ms);
}

void cache_turn_begin(struct cache *cache)
{
    if (cache->in_turn)
        return;
    cache_turn_prepare(cache);
    mr_defer(cache->worker, &cache->turn_end);
}

static void background_arm(struct cache *cache)
{
    uint64_t next_ms = cache_store_next_expiry_ms(&cache->store);
    if (next_ms == UINT64_MAX || !cache->settings.active_expire)
        return;
    uint64_t wait_ms = next_ms > cache->now_ms ? next_ms - cache->now_ms : 0;
    mr_time deadline = mr_now(cache->worker) + (wait_ms < 86400000 ? wait_ms + 1 : 86400000) * MR_MILLISECOND;
    if (!mr_timer_armed(&cache->background) || deadline < cache->background_armed) {
        cache->background_armed = deadline;
        mr_timer_set(cache->worker, &cache->background, deadline);
    }
}

static void counters_update(struct cache *cache)
{
    const struct cache_store_stat *s = &cache->store.stat;
    if (!cache_shard_free(cache))
        return; /* another worker counts now */
    cache->counters[CACHE_COUNTER_HITS] = s->hits;
    cache->counters[CACHE_COUNTER_MISSES] = s->misses;
    cache->counters[CACHE_COUNTER_EXPIRED] = s->expired;
    cache->counters[CACHE_COUNTER_EVICTED] = s->evicted;
    cache->counters[CACHE_COUNTER_EVICTIONS_DEFERRED] = s->evictions_deferred;
    cache->counters[CACHE_COUNTER_MEMORY_USED] = cache->store.memory.used;
    cache->counters[CACHE_COUNTER_CONNECTIONS_OPEN] = cache->connections_open;
}

/* Gauges that need not be right to the turn. */
static void gauges_update(struct cache *cache)
{
    uint64_t keys = 0;
    for (unsigned i = 0; i < CACHE_DATABASES; i++)
        keys += cache->store.database[i].count;
    cache->counters[CACHE_COUNTER_KEYS] = keys;
    cache->counters[CACHE_COUNTER_MEMORY_LIMIT] = cache->store.limit;
    cache->counters[CACHE_COUNTER_CLIENT_MEMORY] = cache->clients.used;
    cache->counters[CACHE_COUNTER_CLIENTS_BLOCKED] = cache_blocked_count(cache);
    cache->counters[CACHE_COUNTER_COMMANDS_RATE] = cache->commands_per_second;
}

/* All that is owed once for everything that happened in the turn. What must go on asks for the next turn at once. */
static void turn_end(struct mr_worker *w, struct mr_deferred *d)
{
    struct cache *cache = d->context;
    bool more = false;
    if (!cache->in_turn)
        cache_turn_prepare(cache);
    if (cache_shard_free(cache)) {
        cache_connections_resume(cache, &cache->room_waiters, &cache->room_waiters_end);
        cache_requests_resume(cache);
    }
    cache_connections_resume(cache, &cache->resumed, &cache->resumed_end);
    cache_connections_push(cache);
    if (cache_shard_free(cache) && cache_durability_ready(cache)) {
        more = cache_store_background(&cache->store);
        more |= cache_durability_step(cache);
        background_arm(cache);
    }
    counters_update(cache);
    more |= cache_send_all(cache);
    cache->in_turn = false;
    if (more || cache->room_waiters || cache->resumed || cache->pushed)
        mr_defer(w, d);
}

static void background_expired(struct mr_worker *w, struct mr_timer *t)
{
    cache_turn_begin(t->context); /* its end does the work */
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t unix_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

#define DRIFT_MAX_NS 100000000

/* The wall clock may be set while we run. In virtual time there is none to follow: mr_now goes its own way then. */
static void wall_clock_follow(struct cache *cache)
{
    int64_t drift = clock_ns(CLOCK_MONOTONIC) - (int64_t)mr_now(cache->worker) - cache->monotonic_offset_ns;
    if (drift < DRIFT_MAX_NS && drift > -DRIFT_MAX_NS)
        cache->unix_offset_ns = unix_ns() - (int64_t)mr_now(cache->worker);
}

static void rates_update(struct cache *cache)
{
    const uint64_t *n = cache->counters;
    cache->commands_per_second = n[CACHE_COUNTER_COMMANDS] - cache->commands_before;
    cache->bytes_in_per_second = n[CACHE_COUNTER_BYTES_IN] - cache->bytes_in_before;
    cache->bytes_out_per_second = n[CACHE_COUNTER_BYTES_OUT] - cache->bytes_out_before;
    cache->commands_before = n[CACHE_COUNTER_COMMANDS];
    cache->bytes_in_before = n[CACHE_COUNTER_BYTES_IN];
    cache->bytes_out_before = n[CACHE_COUNTER_BYTES_OUT];
}

/* Not the packet path: once a second the wall clock is looked at, which may be set while we run. */
static void second_expired(struct mr_worker *w, struct mr_timer *t)
{
    struct cache *cache = t->context;
    wall_clock_follow(cache);
    if (cache_shard_free(cache))
        cache->store.evict.clock = (uint32_t)(cache_unix_ms(cache, mr_now(w)) / 1000);
    cache_memcached_flush_due(cache);
    rates_update(cache);
    counters_update(cache);
    gauges_update(cache);
    mr_timer_set(w, t, mr_now(w) + MR_SECOND);
}

/* -- what all instances share ------------------------------------------------------------------------------------------------ */

static int cache_open(const void *configuration, unsigned workers, void **out)
{
    struct cache_shared *shared = calloc(1, sizeof *shared);
    uint8_t id[20];
    if (!shared || workers > CACHE_WORKERS_MAX) {
        free(shared);
        return MR_ERROR_NO_MEMORY;
    }
    if (getrandom(shared->secret, sizeof shared->secret, 0) != sizeof shared->secret ||
        getrandom(id, sizeof id, 0) != sizeof id) {
        free(shared);
        return MR_ERROR_SYSTEM;
    }
    for (unsigned i = 0; i < sizeof id; i++)
        snprintf(shared->run_id + 2 * i, 3, "%02x", id[i]);
    shared->workers = workers;
    shared->config = configuration;
    shared->started_ms = (uint64_t)unix_ns() / 1000000;
    int error = cache_durability_open(shared);
    if (error == MR_OK)
        *out = shared;
    else
        free(shared);
    return error;
}

static void cache_destroy(struct cache *cache);

/* After every worker has ended: only now does no stream hold extents of any shard. */
static void cache_close(void *state)
{
    struct cache_shared *shared = state;
    cache_durability_close(shared);
    for (unsigned i = 0; i < shared->workers; i++)
        if (shared->instance[i])
            cache_destroy(shared->instance[i]);
    free(shared);
}

/* -- instance ---------------------------------------------------------------------------------------------------------------- */

static void *zeroed_pages(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void cache_destroy(struct cache *cache)
{
    cache_store_release(&cache->store);
    memory_release(&cache->clients);
    memory_release(&cache->waiting);
    cache_watch_release(cache);
    if (cache->argv)
        munmap(cache->argv, CACHE_ARGUMENTS_MAX * sizeof *cache->argv);
    if (cache->log_argv)
        munmap(cache->log_argv, CACHE_LOG_ARGUMENTS * sizeof *cache->log_argv);
    if (cache->log_commands)
        munmap(cache->log_commands, CACHE_LOG_ARGUMENTS * sizeof *cache->log_commands);
    free(cache->gates);
    free(cache->scratch);
    free(cache->connections);
    free(cache->command_calls);
    free(cache->command_us);
    cache->shared->instance[cache->index] = NULL;
    free(cache);
}

static void changed(void *owner, unsigned database, struct mr_span key)
{
    cache_watch_touched(owner, database, key);
}

static void removed(void *owner, unsigned database, struct mr_span key, bool expired)
{
    cache_effects_removed(owner, database, key);
}

static int memory_start(struct cache *cache)
{
    const struct cache_config *config = cache->config;
    uint64_t limit = config->memory_max / cache->workers;
    if (limit > CACHE_SHARD_MAX) {
        mr_log(MR_LOG_ERROR, "cache", "memory_max is %" PRIu64 " GiB a worker, no more than %" PRIu64 " are possible",
               limit >> 30, CACHE_SHARD_MAX >> 30);
        return MR_ERROR_INVALID;
    }
    if (!cache_store_init(&cache->store, limit, config->policy, cache->shared->secret, mr_random(cache->worker)) ||
        !memory_init(&cache->clients, 2 * config->client_memory_max, config->client_memory_max) ||
        !memory_init(&cache->waiting, config->client_memory_max, config->client_memory_max / 4))
        return MR_ERROR_NO_MEMORY;
    cache->clients.partner = &cache->store.memory;
    cache->store.listener = (struct cache_store_listener){.changed = changed, .removed = removed, .owner = cache};
    cache->store.type_limits = &cache->settings.limits;
    cache->argv = zeroed_pages(CACHE_ARGUMENTS_MAX * sizeof *cache->argv);
    if (cache->shared->log) {
        cache->log_argv = zeroed_pages(CACHE_LOG_ARGUMENTS * sizeof *cache->log_argv);
        cache->log_commands = zeroed_pages(CACHE_LOG_ARGUMENTS * sizeof *cache->log_commands);
        cache->gates = calloc(config->connections_max, cache->workers * sizeof *cache->gates);
        if (!cache->log_argv || !cache->log_commands || !cache->gates)
            return MR_ERROR_NO_MEMORY;
    }
    cache->scratch = malloc(CACHE_SCRATCH_BYTES);
    cache->connections = calloc(config->connections_max, sizeof *cache->connections);
    cache->command_calls = calloc(cache_command_count(), sizeof *cache->command_calls);
    cache->command_us = calloc(cache_command_count(), sizeof *cache->command_us);
    bool complete = cache->argv && cache->scratch && cache->connections && cache->command_calls && cache->command_us &&
                    cache_blocked_start(cache) && cache_watch_start(cache) && cache_pubsub_start(cache) &&
                    cache_slowlog_start(cache) && cache_shard_start(cache);
    return complete ? MR_OK : MR_ERROR_NO_MEMORY;
}

static int listen_start(struct cache *cache)
{
    static const struct mr_stream_options options = {.nodelay = true}; /* replies are written whole */
    const struct cache_config *config = cache->config;
    int error = mr_listen(cache->worker, &config->listen, &cache_stream_handler, &options, cache, &cache->listener);
    if (error == MR_OK && config->memcached.port) {
        error = mr_listen(cache->worker, &config->memcached, &cache_memcached_stream_handler, &options, cache,
                          &cache->memcached_listener);
        if (error != MR_OK)
            mr_listener_close(cache->listener);
    }
    return error;
}

static void lists_start(struct cache *cache)
{
    cache->room_waiters_end = &cache->room_waiters;
    cache->store_waiters_end = &cache->store_waiters;
    cache->paused_end = &cache->paused;
    cache->resumed_end = &cache->resumed;
    cache->pushed_end = &cache->pushed;
}

static void timers_start(struct cache *cache)
{
    struct mr_worker *w = cache->worker;
    cache->turn_end = (struct mr_deferred){.run = turn_end, .context = cache};
    mr_timer_init(&cache->background, background_expired, cache);
    mr_timer_init(&cache->pause, cache_pause_ended, cache);
    mr_timer_init(&cache->second, second_expired, cache);
    cache->monotonic_offset_ns = clock_ns(CLOCK_MONOTONIC) - (int64_t)mr_now(w);
    cache->unix_offset_ns = unix_ns() - (int64_t)mr_now(w);
    cache->now_ms = cache_unix_ms(cache, mr_now(w));
    mr_timer_set(w, &cache->second, mr_now(w) + MR_SECOND);
}

static int cache_start(struct mr_worker *w, const void *configuration, uint64_t *counters, void **state)
{
    struct cache *cache = calloc(1, sizeof *cache);
    void *shared = *state;
    int error = cache ? MR_OK : MR_ERROR_NO_MEMORY;
    if (cache)
        cache->shared_own = !shared;
    if (cache && !shared)
        error = cache_open(configuration, 1, &shared);
    if (error != MR_OK) {
        free(cache);
        return error;
    }
    cache->worker = w;
    cache->counters = counters;
    cache->config = configuration;
    cache->shared = shared;
    cache->index = cache->shared_own ? 0 : mr_worker_index(w);
    cache->workers = cache->shared->workers;
    cache->shared->instance[cache->index] = cache;
    lists_start(cache);
    timers_start(cache);
    cache_settings_init(cache);
    error = memory_start(cache);
    if (error == MR_OK && cache->index == cache->workers - 1) /* every shard has its store now */
        error = cache_durability_load(cache->shared);
    if (error == MR_OK)
        error = listen_start(cache);
    if (error != MR_OK) {
        mr_timer_cancel(w, &cache->second);
        bool own = cache->shared_own;
        cache_destroy(cache);
        if (own)
            cache_close(shared);
    }
    *state = error == MR_OK ? cache : NULL;
    return error;
}

static void cache_stop(struct mr_worker *w, void *state)
{
    struct cache *cache = state;
    cache->stopping = true;
    mr_listener_close(cache->listener);
    if (cache->memcached_listener)
        mr_listener_close(cache->memcached_listener);
    cache_connections_stop(cache);
    cache_durability_stop(cache);
}

static void cache_release(struct mr_worker *w, void *state)
{
    struct cache *cache = state;
    mr_timer_cancel(w, &cache->second);
    mr_timer_cancel(w, &cache->background);
    mr_timer_cancel(w, &cache->pause);
    if (cache->shared_own)
        cache_close(cache->shared);
}

const struct mr_service cache_service = {.name = "cache",
                                         .sentence = "A sharded cache for Redis and memcached clients",
                                         .config_bytes = sizeof(struct cache_config),
                                         .keys = cache_keys,
                                         .counters = cache_counters,
                                         .check = cache_config_check,
                                         .open = cache_open,
                                         .close = cache_close,
                                         .start = cache_start,
                                         .stop = cache_stop,
                                         .release = cache_release};
