/* What the log is told: a call's own arguments, or the commands that it named instead; and whether its reply must wait for that. */
#include "cache/command/effect.h"

#include <assert.h>
#include <limits.h>

#include "cache/cache.h"
#include "cache/durable/log.h"
#include "cache/durable/snapshot.h"
#include "cache/memcached/memcached.h"
#include "cache/shard/shard.h"

#define CLIENTS_RESERVE \
    (1u << 20) /* memory of clients that must be free before a logged command runs, for its effects */
#define KEYS_MAX 64

void cache_transaction_init(struct cache_transaction *t)
{
    *t = (struct cache_transaction){.end = &t->first};
}

static struct cache_effect *effect_add(struct cache *cache, struct cache_effect ***end, unsigned database)
{
    struct cache_effect *e = memory_alloc(&cache->clients, sizeof *e);
    assert(e); /* cache_effects_ready kept room */
    *e = (struct cache_effect){.database = database};
    cache_packed_init(&e->packed, &cache->clients);
    **end = e;
    *end = &e->next;
    return e;
}

void cache_effects_free(struct cache *cache, struct cache_effect *e)
{
    while (e) {
        struct cache_effect *next = e->next;
        cache_packed_free(&e->packed);
        memory_free(&cache->clients, e, sizeof *e);
        e = next;
    }
}

/* -- long arguments --------------------------------------------------------------------------------------------------------- */

/* A command takes a rope over into the store; what the log needs of it is a second rope over the same extents, made before. */
static void ropes_free(struct cache_call *call)
{
    for (unsigned i = 0; i < call->rope_count; i++) {
        unsigned all = UINT_MAX;
        if (call->ropes[i])
            cache_rope_free_step(call->ropes[i], &all);
    }
    call->rope_count = 0;
}

static bool ropes_share(struct cache_call *call)
{
    call->rope_count = 0;
    for (unsigned i = 0; i < call->argc; i++) {
        if (!call->argv[i].rope)
            continue;
        if (call->rope_count == CACHE_CALL_ROPES)
            return false;
        struct cache_rope *copy = cache_rope_share(call->argv[i].rope, call->argv[i].rope->memory);
        if (!copy)
            return false;
        call->ropes[call->rope_count++] = copy;
    }
    return true;
}

/* The shared rope that stands for an argument of this length without bytes; it is the caller's then. */
static struct cache_rope *rope_for(struct cache_call *call, uint32_t length)
{
    for (unsigned i = 0; i < call->rope_count; i++)
        if (call->ropes[i] && call->ropes[i]->length == length) {
            struct cache_rope *r = call->ropes[i];
            call->ropes[i] = NULL;
            return r;
        }
    return NULL;
}

static void argument_add(struct cache_call *call, struct cache_packed *p, const struct cache_argument *a)
{
    struct cache_argument argument = *a;
    if (!a->data && a->length)
        argument.rope = rope_for(call, a->length);
    bool added = cache_packed_add(p, &argument);
    assert(added);
}

/* -- what commands say ------------------------------------------------------------------------------------------------------- */

void cache_call_propagate(struct cache_call *call, unsigned argc, const struct mr_span *argv)
{
    if (!call->cache->log || call->replaying)
        return;
    struct cache_effect *e = effect_add(call->cache, &call->effects_end, call->database);
    for (unsigned i = 0; i < argc; i++)
        argument_add(call, &e->packed,
                     &(struct cache_argument){.data = argv[i].data, .length = (uint32_t)argv[i].length});
}

static bool keys_busy(struct cache_call *call)
{
    struct cache *cache = call->cache;
    unsigned positions[KEYS_MAX];
    int n = cache_command_keys(call->command, call->argv, call->argc, positions, KEYS_MAX);
    for (int i = 0; i < n; i++) {
        const struct cache_argument *a = &call->argv[positions[i]];
        if (a->rope)
            continue;
        struct cache_store *s = cache_call_store(call, cache_argument_span(a));
        struct cache *owner = s->listener.owner;
        if (cache_snapshot_busy(cache->log, owner->index, s, call->database, cache_argument_span(a)))
            return true;
    }
    return false;
}

bool cache_effects_ready(struct cache_call *call, bool *refused)
{
    struct cache *cache = call->cache;
    if (__builtin_expect(cache_log_error(cache->log) != 0, 0)) {
        char text[128];
        cache_log_error_text(cache->log, text);
        if (!cache_memcached_refused(call))
            cache_reply_error(call->reply, "%s", text);
        *refused = call->blind = true;
        return false;
    }
    if (!cache_log_ready(cache->log) || memory_room(&cache->clients) < CLIENTS_RESERVE)
        return false;
    if (__builtin_expect(cache_snapshot_running(cache->log), 0) && keys_busy(call))
        return false;
    return true;
}

bool cache_effects_begin(struct cache_call *call)
{
    call->rope_count = 0;
    if (call->replaying || !(call->command->flags & CACHE_WRITE) || ropes_share(call))
        return true;
    ropes_free(call);
    return false;
}

/* -- to the log ---------------------------------------------------------------------------------------------------------------- */

static void append(struct cache *cache, uint64_t touched, const struct cache_log_command *commands, unsigned count)
{
    struct cache_log_part parts[CACHE_WORKERS_MAX];
    unsigned n = 0;
    for (uint64_t left = touched; left; left &= left - 1)
        parts[n++].shard = (uint32_t)__builtin_ctzll(left);
    cache_log_append(cache->log, parts, n, cache->now_ms, commands, count);
    for (unsigned i = 0; i < n; i++)
        cache->shared->instance[parts[i].shard]->log_sequence = parts[i].sequence;
}

/* Commands kept as effects, as one record. What clients' memory can hold of them fits CACHE_LOG_ARGUMENTS. */
static void append_effects(struct cache *cache, uint64_t touched, const struct cache_effect *first)
{
    unsigned count = 0, used = 0;
    for (const struct cache_effect *e = first; e; e = e->next) {
        struct cache_argument *argv = cache->log_argv + used;
        assert(used + e->packed.argc <= CACHE_LOG_ARGUMENTS);
        cache_packed_arguments(&e->packed, argv);
        cache->log_commands[count++] = (struct cache_log_command){e->database, e->packed.argc, argv};
        used += e->packed.argc;
    }
    if (count)
        append(cache, touched, cache->log_commands, count);
}

static struct cache_effect *own_effect(struct cache_call *call)
{
    struct cache_effect *e = effect_add(call->cache, &call->effects_end, call->database);
    for (unsigned i = 0; i < call->argc; i++)
        argument_add(call, &e->packed, &call->argv[i]);
    return e;
}

void cache_effects_log(struct cache_call *call)
{
    struct cache *cache = call->cache;
    struct cache_transaction *t = call->transaction;
    if (call->changes && t) {
        if (!call->effects)
            own_effect(call);
        t->touched |= call->touched;
        *t->end = call->effects;
        t->end = call->effects_end;
        call->effects = NULL;
        call->effects_end = &call->effects;
    } else if (call->changes && !call->effects && !call->rope_count) {
        struct cache_log_command command = {call->database, call->argc, call->argv};
        append(cache, call->touched, &command, 1);
    } else if (call->changes) {
        if (!call->effects)
            own_effect(call);
        append_effects(cache, call->touched, call->effects);
    }
    ropes_free(call);
}

void cache_transaction_log(struct cache *cache, struct cache_transaction *t)
{
    if (cache->log && t->first)
        append_effects(cache, t->touched, t->first);
    cache_effects_free(cache, t->first);
    cache_transaction_init(t);
}

/* Nobody's command: time or want of room. `owner` is the shard's; while it is held, the holder's worker runs this. */
void cache_effects_removed(struct cache *owner, unsigned database, struct mr_span key)
{
    struct cache *by = cache_shard_worker(owner);
    struct cache_argument argv[2] = {{.data = (const uint8_t *)"DEL", .length = 3},
                                     {.data = key.data, .length = (uint32_t)key.length}};
    struct cache_log_command command = {database, 2, argv};
    if (by->log)
        append(by, UINT64_C(1) << owner->index, &command, 1);
}

/* -- gates ---------------------------------------------------------------------------------------------------------------------- */

bool cache_effects_durable(const struct cache *cache, unsigned shard, uint64_t sequence)
{
    return !cache->log || cache_log_durable(cache->log, shard, sequence);
}

#define SEES_KEYS (CACHE_WRITE | CACHE_READONLY | CACHE_QUEUED_SHARDS)

/* Not only who wrote waits: who read what is not yet safe must not show it either. Who did neither is answered, so that PING,
 * INFO and MISCONF tell what is wrong while the log cannot be written. */
uint64_t cache_effects_gate(const struct cache *cache, unsigned shard, const struct cache_call *call)
{
    if (call->blind || !(call->command->flags & SEES_KEYS))
        return 0;
    uint64_t sequence = cache->shared->instance[shard]->log_sequence;
    if (cache->settings.fsync != CACHE_FSYNC_ALWAYS || cache_log_durable(cache->log, shard, sequence))
        return 0;
    return sequence;
}
