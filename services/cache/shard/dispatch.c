/* Where a command runs: here, at the owner of its key, or here with other shards held. With one worker it is always here, and all
 * that this file costs is one comparison. */
#include <assert.h>

#include "cache/blocked.h"
#include "cache/command/call.h"
#include "cache/command/effect.h"
#include "cache/command/session.h"
#include "cache/output.h"
#include "cache/shard/shard.h"

unsigned cache_scan_shard(const struct cache_argument *cursor, unsigned shards); /* scan.c */

#define REQUESTS_MAX 256 /* forwarded commands of one connection on their way */

/* Kept in `query`, if it does not lie there already. */
static enum cache_step wait_for(struct cache_connection *c, enum cache_connection_state state,
                                const struct cache_command *command, struct cache_argument *argv, unsigned argc)
{
    if (c->query.argc == 0)
        for (unsigned i = 0; i < argc; i++)
            if (!cache_packed_add(&c->query, &argv[i])) {
                cache_connection_fail(c, CACHE_COUNTER_QUERY_OVERFLOWS, NULL);
                cache_packed_free(&c->query);
                return CACHE_STEP_ON;
            }
    c->waiting = command;
    cache_connection_wait(c, state);
    return CACHE_STEP_WAIT;
}

struct cache_reply *cache_connection_reply(struct cache_connection *c)
{
    struct cache *cache = c->cache;
    if (__builtin_expect(c->client.reply_mode != CACHE_REPLY_ON, 0)) {
        if (!cache->discard.first)
            cache_reply_init(&cache->discard, &cache->clients, NULL, 0, c->client.protocol, UINT64_MAX);
        return &cache->discard;
    }
    if (__builtin_expect(c->requests == NULL, 1))
        return &cache->reply;
    struct cache_request *r = cache_request_local(c);
    return r ? &r->reply : NULL;
}

static void reply_discard(struct cache_connection *c)
{
    cache_output_free(c->cache, &c->cache->discard);
    if (c->client.reply_mode == CACHE_REPLY_SKIP)
        c->client.reply_mode = CACHE_REPLY_ON;
    else if (c->client.reply_mode == CACHE_REPLY_SKIP_NEXT) /* said by a command that was itself skipped */
        c->client.reply_mode = CACHE_REPLY_SKIP;
}

void cache_connection_replied(struct cache_connection *c, const struct cache_reply *reply)
{
    if (__builtin_expect(reply == &c->cache->discard, 0))
        reply_discard(c);
    cache_request_local_done(c);
}

/* On the monotonic clock: setting the wall clock neither cuts nor stretches a wait. */
static mr_time wait_until(const struct cache *cache, uint64_t until_ms)
{
    uint64_t ms = until_ms > cache->now_ms ? until_ms - cache->now_ms : 0;
    if (!until_ms || ms > UINT64_MAX / 2 / MR_MILLISECOND)
        return MR_NEVER;
    return mr_now(cache->worker) + ms * MR_MILLISECOND;
}

/* Of every shard that the call may have looked at: ours, and those held for it. */
static void gates_set(struct cache_connection *c, const struct cache_call *call)
{
    uint64_t left = UINT64_C(1) << c->cache->index | cache_hold_granted(c);
    for (; left; left &= left - 1) {
        unsigned shard = (unsigned)__builtin_ctzll(left);
        uint64_t sequence = cache_effects_gate(c->cache, shard, call);
        if (sequence)
            cache_output_gate(c, shard, sequence);
    }
}

static enum cache_step run_here(struct cache_connection *c, const struct cache_command *command,
                                struct cache_argument *argv, unsigned argc)
{
    struct cache *cache = c->cache;
    struct cache_reply *reply = cache_connection_reply(c);
    if (!reply)
        return CACHE_STEP_ON;
    struct cache_call call = {.cache = cache,
                              .client = &c->client,
                              .command = command,
                              .argv = argv,
                              .argc = argc,
                              .database = c->client.database,
                              .reply = reply,
                              .asker = c->client.id,
                              .may_block = true,
                              .timed_out = c->timed_out};
    enum cache_outcome outcome = cache_call_execute(&call);
    if (__builtin_expect(outcome == CACHE_AGAIN, 0))
        return wait_for(c, CACHE_EXPECT_ROOM, command, argv, argc);
    if (__builtin_expect(outcome == CACHE_WAIT, 0)) {
        if (!c->wait_until) /* called again, it waits no longer than it said first */
            c->wait_until = wait_until(cache, call.wait_until_ms);
        enum cache_step step = wait_for(c, CACHE_EXPECT_KEYS, command, argv, argc);
        if (step == CACHE_STEP_WAIT && !cache_blocked_wait(c, &call))
            cache_connection_fail(c, CACHE_COUNTER_QUERY_OVERFLOWS, NULL);
        return step;
    }
    c->wait_until = 0;
    if (__builtin_expect(cache->log != NULL, 0))
        gates_set(c, &call);
    cache_connection_replied(c, reply);
    return CACHE_STEP_ON;
}

/* -- several workers --------------------------------------------------------------------------------------------------------- */

#define POSITIONS_MAX 1024

static uint64_t shard_of(const struct cache *cache, const struct cache_argument *key)
{
    if (key->rope)
        return UINT64_C(1) << cache->index; /* no key is as long as that: the command will say so */
    return UINT64_C(1) << cache_slot_owner(cache_key_slot(cache_argument_span(key)), cache->workers);
}

static uint64_t every_shard(const struct cache *cache)
{
    return cache->workers == 64 ? UINT64_MAX : (UINT64_C(1) << cache->workers) - 1;
}

uint64_t cache_command_shards(const struct cache *cache, const struct cache_command *command,
                              const struct cache_argument *argv, unsigned argc)
{
    uint64_t mask = 0;
    if (command->flags & CACHE_ALL_SHARDS)
        return every_shard(cache);
    if (command->flags & CACHE_CURSOR_SHARD)
        return UINT64_C(1) << cache_scan_shard(&argv[1], cache->workers);
    if (command->flags & CACHE_MOVABLE_KEYS) {
        unsigned positions[POSITIONS_MAX];
        int n = cache_command_keys(command, argv, argc, positions, POSITIONS_MAX);
        if (n == POSITIONS_MAX)
            return every_shard(cache);
        for (int i = 0; i < n; i++)
            mask |= shard_of(cache, &argv[positions[i]]);
        return mask;
    }
    if (!command->first_key)
        return 0;
    int last = command->last_key < 0 ? (int)argc + command->last_key : command->last_key;
    for (int i = command->first_key; i <= last && i < (int)argc; i += command->key_step)
        mask |= shard_of(cache, &argv[i]);
    return mask;
}

static uint64_t shards_of(const struct cache_connection *c, const struct cache_command *command,
                          const struct cache_argument *argv, unsigned argc)
{
    if (command->flags & CACHE_QUEUED_SHARDS)
        return cache_multi_shards(c->cache, &c->client);
    return cache_command_shards(c->cache, command, argv, argc);
}

static enum cache_step forward(struct cache_connection *c, unsigned owner, const struct cache_command *command,
                               struct cache_argument *argv, unsigned argc)
{
    if (c->request_count >= REQUESTS_MAX)
        return wait_for(c, CACHE_EXPECT_REPLIES, command, argv, argc);
    struct cache_request *r = cache_request_add(c, command, argv, argc);
    if (!r) {
        cache_connection_fail(c, CACHE_COUNTER_QUERY_OVERFLOWS, NULL);
        return CACHE_STEP_ON;
    }
    c->cache->counters[CACHE_COUNTER_COMMANDS_FORWARDED]++;
    cache_request_forward(r, owner);
    return CACHE_STEP_ON;
}

static bool has_rope(const struct cache_argument *argv, unsigned argc)
{
    for (unsigned i = 0; i < argc; i++)
        if (argv[i].rope)
            return true;
    return false;
}

enum cache_room cache_ropes_adopt(struct cache *cache, const struct cache_command *command, struct cache_argument *argv,
                                  unsigned argc)
{
    const struct cache_argument *key = &argv[command->first_key];
    if (!command->first_key || key->rope)
        return CACHE_ROOM_READY;
    unsigned owner = cache_slot_owner(cache_key_slot(cache_argument_span(key)), cache->workers);
    struct cache_store *store = &cache->shared->instance[owner]->store;
    enum cache_room room = CACHE_ROOM_READY;
    for (unsigned i = 0; i < argc && room == CACHE_ROOM_READY; i++)
        if (argv[i].rope && argv[i].rope->memory != &store->memory) {
            room = cache_store_reserve(store, cache_rope_bytes(argv[i].rope));
            if (room == CACHE_ROOM_READY && !cache_rope_adopt(argv[i].rope, &store->memory))
                room = CACHE_ROOM_NEVER;
        }
    return room;
}

static void refuse(struct cache_connection *c)
{
    struct cache_reply *reply = cache_connection_reply(c);
    cache_reply_error(
        reply, "OOM command not allowed when used memory > 'maxmemory'."); /* nothing is before it: there is one */
    cache_connection_replied(c, reply);
}

static bool ropes_return(struct cache *cache, const struct cache_packed *p)
{
    bool back = true;
    cache_packed_arguments(p, cache->argv);
    for (unsigned i = 0; i < p->argc; i++)
        if (cache->argv[i].rope && cache->argv[i].rope->memory != &cache->store.memory)
            back &= cache_rope_adopt(cache->argv[i].rope, &cache->store.memory);
    return back;
}

/* It will be called again, and the shards are given back until then: what they took over of its arguments is ours again. There was
 * room for it a moment ago, unless maxmemory has been lowered. */
static void adoption_undo(struct cache_connection *c)
{
    struct cache *cache = c->cache;
    bool back = ropes_return(cache, &c->query);
    for (const struct cache_queued *q = c->client.queue; q; q = q->next)
        back &= !q->packed.rope_bytes || ropes_return(cache, &q->packed);
    if (back)
        return;
    cache_connection_fail(c, CACHE_COUNTER_QUERY_OVERFLOWS, NULL);
    cache_packed_free(&c->query);
    cache_client_discard(cache, &c->client);
    c->waiting = NULL;
}

static enum cache_step run_held(struct cache_connection *c, uint64_t mask, const struct cache_command *command,
                                struct cache_argument *argv, unsigned argc)
{
    if (c->requests)
        return wait_for(c, CACHE_EXPECT_REPLIES, command, argv, argc);
    if (!cache_hold_has(c, mask)) {
        if (c->hold)
            cache_hold_release(c); /* of other shards: what was watched or queued has changed meanwhile */
        enum cache_step step = wait_for(c, CACHE_EXPECT_SHARDS, command, argv, argc);
        if (step == CACHE_STEP_WAIT && !cache_hold_ask(c, mask))
            cache_connection_fail(c, CACHE_COUNTER_QUERY_OVERFLOWS, NULL);
        return step;
    }
    enum cache_room room = has_rope(argv, argc) ? cache_ropes_adopt(c->cache, command, argv, argc) : CACHE_ROOM_READY;
    enum cache_step step = CACHE_STEP_ON;
    if (room == CACHE_ROOM_READY)
        step = run_here(c, command, argv, argc);
    else if (room == CACHE_ROOM_LATER)
        step = wait_for(c, CACHE_EXPECT_ROOM, command, argv, argc);
    else
        refuse(c);
    if (step == CACHE_STEP_WAIT && c->state == CACHE_EXPECT_ROOM)
        adoption_undo(c);
    cache_hold_release(c);
    return step;
}

static enum cache_step dispatch_shards(struct cache_connection *c, const struct cache_command *command,
                                       struct cache_argument *argv, unsigned argc)
{
    struct cache *cache = c->cache;
    uint64_t self = UINT64_C(1) << cache->index, mask;
    if (command->flags & CACHE_FAN_OUT) {
        if (!cache_request_fan_out(c, command, argv, argc))
            cache_connection_fail(c, CACHE_COUNTER_QUERY_OVERFLOWS, NULL);
        return CACHE_STEP_ON;
    }
    mask = command->flags & CACHE_PUBSUB ? 0 : shards_of(c, command, argv, argc); /* subscribers are ours */
    if (!mask)
        return c->requests && !(command->flags & CACHE_FAST) ? wait_for(c, CACHE_EXPECT_REPLIES, command, argv, argc)
                                                             : run_here(c, command, argv, argc);
    if (mask == self && !c->hold)
        return cache_shard_free(cache) ? run_here(c, command, argv, argc)
                                       : wait_for(c, CACHE_EXPECT_STORE, command, argv, argc);
    if (has_rope(argv, argc))
        return run_held(c, mask | self, command, argv, argc);
    bool one = (mask & (mask - 1)) == 0;
    if (one && mask != self && !(command->flags & (CACHE_BLOCKING | CACHE_RUNS_IN_MULTI | CACHE_QUEUED_SHARDS)))
        return forward(c, (unsigned)__builtin_ctzll(mask), command, argv, argc);
    return run_held(c, mask, command, argv, argc);
}

enum cache_step cache_dispatch(struct cache_connection *c, const struct cache_command *command,
                               struct cache_argument *argv, unsigned argc)
{
    if (__builtin_expect(c->cache->pause_until != 0, 0) && cache_paused(c->cache, command))
        return wait_for(c, CACHE_EXPECT_PAUSE_END, command, argv, argc);
    if (__builtin_expect(c->cache->workers == 1, 1))
        return run_here(c, command, argv, argc);
    return dispatch_shards(c, command, argv, argc);
}
