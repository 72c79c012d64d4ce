/* One RESP command off the stream: parsed, admitted, queued by MULTI or dispatched. */
#include <string.h>

#include "cache/command/call.h"
#include "cache/command/session.h"
#include "cache/connection.h"
#include "cache/shard/shard.h"

static struct cache_resp_limits limits_of(const struct cache_connection *c)
{
    if (!c->client.authenticated)
        return (struct cache_resp_limits){
            .arguments_max = 10, .bulk_bytes_max = 16384, .inline_bytes_max = CACHE_INLINE_MAX};
    return (struct cache_resp_limits){.arguments_max = CACHE_ARGUMENTS_MAX,
                                      .bulk_bytes_max = c->cache->settings.proto_max_bulk_len,
                                      .inline_bytes_max = CACHE_INLINE_MAX};
}

/* Behind commands that are with other workers a place in their order is taken only when it is known that the command runs here: what
 * is said about it before is written aside. */
static struct cache_reply *aside_begin(struct cache_connection *c)
{
    struct cache *cache = c->cache;
    if (__builtin_expect(c->requests == NULL, 1))
        return cache_connection_reply(c);
    cache_reply_init(&cache->aside, &cache->clients, NULL, 0, c->client.protocol, UINT64_MAX);
    return &cache->aside;
}

static enum cache_step aside_end(struct cache_connection *c, const struct cache_reply *said)
{
    struct cache *cache = c->cache;
    if (said != &cache->aside) {
        cache_connection_replied(c, said);
        return CACHE_STEP_ON;
    }
    struct cache_reply *reply = cache_connection_reply(c);
    cache_reply_settle(&cache->aside);
    if (reply)
        cache_reply_copy(reply, &cache->aside);
    cache_reply_free(&cache->aside);
    cache_connection_replied(c, reply);
    return CACHE_STEP_ON;
}

/* A page can make a browser send us lines of its choice in a request's body: it ends with the request's own first lines, as in Redis. */
static bool of_a_browser(const struct cache_argument *name)
{
    return cache_argument_is(name, "post") || cache_argument_is(name, "host:");
}

/* Whole, wherever its arguments lie. */
static enum cache_step command_run(struct cache_connection *c, struct cache_argument *argv, unsigned argc)
{
    struct cache *cache = c->cache;
    struct cache_client *client = &c->client;
    struct cache_reply *reply = aside_begin(c);
    client->active = mr_now(cache->worker);
    const struct cache_command *command = cache_call_admit(cache, client, argv, argc, reply);
    if (!command) {
        if (of_a_browser(&argv[0]))
            cache_connection_fail(c, CACHE_COUNTER_PROTOCOL_ERRORS, NULL);
        cache_call_error(cache, reply);
        return aside_end(c, reply);
    }
    client->last = command;
    if (__builtin_expect(client->multi, 0) && !(command->flags & CACHE_RUNS_IN_MULTI)) {
        cache_multi_queue(cache, client, command, argv, argc, reply);
        return aside_end(c, reply);
    }
    return cache_dispatch(c, command, argv, argc);
}

static enum cache_step failed(struct cache_connection *c, int64_t code)
{
    char text[80];
    if (code == CACHE_RESP_NO_MEMORY)
        cache_connection_fail(c, CACHE_COUNTER_QUERY_OVERFLOWS,
                              "OOM command not allowed when used memory > 'maxmemory'.");
    else
        cache_connection_fail(c, CACHE_COUNTER_PROTOCOL_ERRORS, cache_resp_error_text(&c->wire, code, text));
    cache_packed_free(&c->query);
    return CACHE_STEP_WAIT;
}

#define ROPE_ROOM 8192 /* of a rope that begins */

/* Room for the bytes of a long argument, before they are copied into extents of our store. That one begins in these bytes is not known
 * yet: what has no room for it may still be short. */
static enum cache_room room_for(struct cache_connection *c, size_t n)
{
    struct cache_store *s = &c->cache->store;
    if (c->query.missing && c->query.rope)
        return cache_store_reserve(s, n + 2 * (uint64_t)CACHE_ALLOC_MAX);
    enum cache_room room = cache_store_reserve(s, 2 * (uint64_t)n + ROPE_ROOM);
    return room == CACHE_ROOM_NEVER ? CACHE_ROOM_READY : room;
}

/* A command in pieces. */
static enum cache_step feed(struct cache_connection *c, const uint8_t *data, size_t n, size_t *taken)
{
    struct cache *cache = c->cache;
    struct cache_resp_limits limits = limits_of(c);
    bool complete = false;
    if (!cache_shard_free(cache)) { /* a long argument takes memory of our shard */
        cache_connection_wait(c, CACHE_EXPECT_STORE);
        return CACHE_STEP_WAIT;
    }
    enum cache_room room = room_for(c, n);
    if (room == CACHE_ROOM_LATER) {
        cache_connection_wait(c, CACHE_EXPECT_ROOM);
        return CACHE_STEP_WAIT;
    }
    int64_t used = room == CACHE_ROOM_NEVER
                       ? CACHE_RESP_NO_MEMORY
                       : cache_resp_feed(&c->wire, data, n, &limits, &c->query, &cache->store.memory, &complete);
    if (used < 0)
        return failed(c, used);
    *taken = (size_t)used;
    if (c->query.bytes + c->query.rope_bytes > cache->settings.query_bytes_max) {
        cache_connection_fail(c, CACHE_COUNTER_QUERY_OVERFLOWS, NULL);
        return CACHE_STEP_WAIT;
    }
    if (!complete)
        return CACHE_STEP_MORE;
    unsigned argc = c->query.argc;
    cache_packed_arguments(&c->query, cache->argv);
    enum cache_step step = argc ? command_run(c, cache->argv, argc) : CACHE_STEP_ON;
    cache_packed_taken(&c->query, cache->argv);
    if (step != CACHE_STEP_WAIT)
        cache_packed_free(&c->query);
    return step;
}

static enum cache_step step(struct cache_connection *c, const uint8_t *data, size_t n, size_t *taken)
{
    if (__builtin_expect(c->wire.state == 0, 1)) {
        struct cache_resp_limits limits = limits_of(c);
        unsigned argc = 0;
        int64_t used = cache_resp_parse(&c->wire, data, n, &limits, c->cache->argv, &argc);
        if (used < 0)
            return failed(c, used);
        if (used > 0) {
            *taken = (size_t)used;
            return argc ? command_run(c, c->cache->argv, argc) : CACHE_STEP_ON;
        }
    }
    return feed(c, data, n, taken);
}

static void refuse(struct cache_connection *c, struct cache_reply *r, const char *reason)
{
    cache_reply_error(r, "%s", reason);
}

const struct cache_protocol cache_protocol_resp = {
    .name = "resp", .too_many = "-ERR max number of clients reached\r\n", .step = step, .refuse = refuse};
