/* The machine of one connection: accepts, reads, runs, writes, waits, ends. What a command is, the protocol says; where it runs,
 * dispatch does. */
#include "cache/connection.h"

#include <assert.h>
#include <string.h>

#include "cache/blocked.h"
#include "cache/command/session.h"
#include "cache/output.h"
#include "cache/shard/shard.h"

#define TO(state) (1u << (state))
#define WAITS                                                                                           \
    (TO(CACHE_EXPECT_KEYS) | TO(CACHE_EXPECT_ROOM) | TO(CACHE_EXPECT_STORE) | TO(CACHE_EXPECT_SHARDS) | \
     TO(CACHE_EXPECT_REPLIES) | TO(CACHE_EXPECT_PAUSE_END))
static const uint16_t legal[CACHE_CONNECTION_STATES] = {
    [CACHE_CONNECTION_FREE] = TO(CACHE_EXPECT_COMMAND),
    [CACHE_EXPECT_COMMAND] = WAITS | TO(CACHE_EXPECT_DRAIN) | TO(CACHE_EXPECT_CLOSE),
    [CACHE_EXPECT_KEYS] = WAITS | TO(CACHE_EXPECT_COMMAND) | TO(CACHE_EXPECT_CLOSE),
    [CACHE_EXPECT_ROOM] = WAITS | TO(CACHE_EXPECT_COMMAND) | TO(CACHE_EXPECT_CLOSE),
    [CACHE_EXPECT_STORE] = WAITS | TO(CACHE_EXPECT_COMMAND) | TO(CACHE_EXPECT_CLOSE),
    [CACHE_EXPECT_SHARDS] = WAITS | TO(CACHE_EXPECT_COMMAND) | TO(CACHE_EXPECT_CLOSE),
    [CACHE_EXPECT_REPLIES] = WAITS | TO(CACHE_EXPECT_COMMAND) | TO(CACHE_EXPECT_CLOSE),
    [CACHE_EXPECT_PAUSE_END] = WAITS | TO(CACHE_EXPECT_COMMAND) | TO(CACHE_EXPECT_CLOSE),
    [CACHE_EXPECT_DRAIN] = TO(CACHE_EXPECT_COMMAND) | TO(CACHE_EXPECT_CLOSE),
    [CACHE_EXPECT_CLOSE] = TO(CACHE_CONNECTION_FREE),
};

void cache_connection_set_state(struct cache_connection *c, enum cache_connection_state state)
{
    assert(c->state == (uint8_t)state || legal[c->state] & TO(state));
    c->state = (uint8_t)state;
}

/* -- lists of those who wait -------------------------------------------------------------------------------------------- */

static void list_add(struct cache_connection *c, struct cache_connection ***end)
{
    c->next = NULL;
    c->link = *end;
    **end = c;
    *end = &c->next;
}

static struct cache_connection ***list_end(struct cache_connection *c)
{
    struct cache *cache = c->cache;
    if (c->resume)
        return &cache->resumed_end;
    switch ((enum cache_connection_state)c->state) {
    case CACHE_EXPECT_ROOM:
        return &cache->room_waiters_end;
    case CACHE_EXPECT_STORE:
        return &cache->store_waiters_end;
    case CACHE_EXPECT_PAUSE_END:
        return &cache->paused_end;
    default:
        return NULL;
    }
}

void cache_connection_unlink(struct cache_connection *c)
{
    struct cache_connection ***end = list_end(c);
    if (c->link) {
        if (*end == &c->next)
            *end = c->link;
        *c->link = c->next;
        if (c->next)
            c->next->link = c->link;
        c->link = NULL;
    }
    c->resume = false;
    if (c->waiters)
        cache_blocked_forget(c);
}

void cache_connection_wait(struct cache_connection *c, enum cache_connection_state state)
{
    cache_connection_unlink(c);
    cache_connection_set_state(c, state);
    struct cache_connection ***end = list_end(c);
    if (end)
        list_add(c, end);
    mr_defer(c->cache->worker, &c->cache->turn_end);
}

void cache_connections_resume(struct cache *cache, struct cache_connection **waiters, struct cache_connection ***end)
{
    struct cache_connection *last =
        *waiters ? (struct cache_connection *)((char *)*end - offsetof(struct cache_connection, next)) : NULL;
    while (*waiters) { /* who waits again goes behind the last of this round */
        struct cache_connection *c = *waiters;
        cache_connection_unlink(c);
        if (c->waiting == NULL && c->state != CACHE_EXPECT_COMMAND)
            cache_connection_set_state(c, CACHE_EXPECT_COMMAND);
        cache_connection_run(c);
        if (c == last)
            return;
    }
}

/* -- time ----------------------------------------------------------------------------------------------------------------- */

static void deadline_set(struct cache_connection *c, mr_time deadline)
{
    c->deadline = deadline;
    if (__builtin_expect(deadline < c->armed, 0)) {
        c->armed = deadline;
        mr_timer_set(c->cache->worker, &c->timer, deadline);
    }
}

/* A subscriber, or who waits for a key, may be silent. */
static bool idle_limited(const struct cache_connection *c)
{
    return c->cache->settings.timeout_s && c->state == CACHE_EXPECT_COMMAND && !cache_client_subscribed(&c->client);
}

static bool sending(const struct cache_connection *c)
{
    return !cache_reply_empty(&c->output) || mr_stream_unacknowledged(c->stream);
}

static mr_time nearer(mr_time a, mr_time b)
{
    return a < b ? a : b;
}

/* Who has not taken its reply yet is not idle, and when it has taken it we are not told: it is looked at again. */
static mr_time idle_due(const struct cache_connection *c, mr_time now)
{
    mr_time due = c->client.active + c->cache->settings.timeout_s * MR_SECOND;
    return due <= now && sending(c) ? now + MR_SECOND : due;
}

/* The nearest of what may happen to a connection that nobody touches. */
static void deadline_update(struct cache_connection *c)
{
    struct cache *cache = c->cache;
    mr_time now = mr_now(cache->worker), deadline = MR_NEVER;
    if (!sending(c))
        c->reply_due = MR_NEVER;
    else if (c->reply_due == MR_NEVER)
        c->reply_due = now + cache->config->reply_timeout;
    deadline = c->reply_due;
    if (c->state == CACHE_EXPECT_KEYS)
        deadline = nearer(deadline, c->wait_until);
    if (idle_limited(c))
        deadline = nearer(deadline, idle_due(c, now));
    c->deadline = MR_NEVER;
    if (deadline != MR_NEVER)
        deadline_set(c, deadline);
}

static void connection_abort(struct cache_connection *c, enum cache_counter counter)
{
    c->cache->counters[counter]++;
    cache_connection_unlink(c);
    cache_connection_set_state(c, CACHE_EXPECT_CLOSE);
    mr_stream_abort(c->stream);
}

static void reply_timeout(struct cache_connection *c)
{
    uint64_t acknowledged = c->sent - mr_stream_unacknowledged(c->stream);
    if (acknowledged == c->acknowledged) {
        connection_abort(c, CACHE_COUNTER_REPLY_TIMEOUTS);
        return;
    }
    c->acknowledged = acknowledged;
    c->reply_due = MR_NEVER; /* the peer reads: it has its time again */
    deadline_update(c);
}

static void run(struct cache_connection *c, bool retry);

static void timer_expired(struct mr_worker *w, struct mr_timer *t)
{
    struct cache_connection *c = t->context;
    mr_time now = mr_now(w);
    c->armed = MR_NEVER;
    if (c->state == CACHE_EXPECT_CLOSE || c->state == CACHE_CONNECTION_FREE || c->deadline == MR_NEVER)
        return;
    if (now < c->deadline) {
        deadline_set(c, c->deadline);
        return;
    }
    cache_turn_begin(c->cache);
    if (c->state == CACHE_EXPECT_KEYS && now >= c->wait_until) {
        c->timed_out = true;
        run(c, true);
    } else if (sending(c) && now >= c->reply_due) {
        reply_timeout(c);
    } else if (!sending(c) && idle_limited(c) && now >= c->client.active + c->cache->settings.timeout_s * MR_SECOND) {
        c->cache->counters[CACHE_COUNTER_IDLE_TIMEOUTS]++;
        cache_connection_kill(c);
    } else {
        deadline_update(c);
    }
}

/* -- begin and end ----------------------------------------------------------------------------------------------------------- */

static struct cache_connection *connection_take(struct cache *cache)
{
    struct cache_connection *c = cache->free_connections;
    if (c)
        cache->free_connections = c->next;
    else if (cache->connections_used < cache->config->connections_max)
        c = &cache->connections[cache->connections_used++];
    if (c)
        cache->connections_open++;
    return c;
}

static void connection_give(struct cache_connection *c)
{
    struct cache *cache = c->cache;
    cache_connection_set_state(c, CACHE_CONNECTION_FREE);
    c->next = cache->free_connections;
    cache->free_connections = c;
}

static void connection_refuse(struct cache *cache, struct mr_stream *s, const struct cache_protocol *protocol)
{
    cache->counters[CACHE_COUNTER_CONNECTIONS_REFUSED]++;
    mr_stream_set_context(s, NULL);
    mr_stream_send(s, protocol->too_many, strlen(protocol->too_many));
    mr_stream_close(s);
}

static void connection_open(struct mr_stream *s, const struct cache_protocol *protocol)
{
    struct cache *cache = mr_stream_context(s);
    cache_turn_begin(cache);
    struct cache_connection *c = cache->connections_open < cache->settings.clients_max ? connection_take(cache) : NULL;
    if (!c) {
        connection_refuse(cache, s, protocol);
        return;
    }
    cache->counters[CACHE_COUNTER_CONNECTIONS]++;
    mr_time now = mr_now(cache->worker);
    *c = (struct cache_connection){.cache = cache,
                                   .stream = s,
                                   .protocol = protocol,
                                   .armed = MR_NEVER,
                                   .reply_due = MR_NEVER,
                                   .deadline = MR_NEVER};
    c->requests_end = &c->requests;
    cache_packed_init(&c->query, &cache->clients);
    cache_reply_init(&c->output, &cache->clients, NULL, 0, 2, cache->settings.reply_bytes_max);
    c->client = (struct cache_client){.connection = c,
                                      .id = ++cache->connection_next * cache->workers + cache->index,
                                      .protocol = protocol == &cache_protocol_resp ? 2 : 0,
                                      .authenticated = !cache->settings.password[0],
                                      .connected = now,
                                      .active = now};
    c->client.queue_end = &c->client.queue;
    c->state = CACHE_EXPECT_COMMAND;
    mr_timer_init(&c->timer, timer_expired, c);
    mr_stream_set_context(s, c);
    deadline_update(c);
}

static void resp_opened(struct mr_stream *s)
{
    connection_open(s, &cache_protocol_resp);
}

static void memcached_opened(struct mr_stream *s)
{
    connection_open(s, &cache_protocol_memcached);
}

/* Everything it holds; the object itself lives until what is with other workers has come back. */
static void connection_release(struct cache_connection *c)
{
    struct cache *cache = c->cache;
    cache_connection_unlink(c);
    cache_hold_release(c);
    mr_timer_cancel(cache->worker, &c->timer);
    cache_client_unsubscribe(cache, &c->client);
    cache_client_unwatch(cache, &c->client);
    cache_client_discard(cache, &c->client);
    if (c->protocol->release)
        c->protocol->release(c);
    cache_output_ungate(c);
    cache_packed_free(&c->query);
    cache_output_free(cache, &c->output);
    cache_request_local_done(c); /* a command that had its place and waited: nothing comes of it any more */
    c->waiting = NULL;
    c->stream = NULL;
    cache->connections_open--;
    cache_connection_settle(c);
}

void cache_connection_settle(struct cache_connection *c)
{
    while (c->requests && c->requests->done)
        cache_request_free(c->cache, c);
    if (!c->stream && !c->requests && !c->hold)
        connection_give(c);
}

static void closed(struct mr_stream *s, enum mr_close_reason reason)
{
    struct cache_connection *c = mr_stream_context(s);
    if (!c)
        return; /* refused */
    cache_turn_begin(c->cache);
    if (c->state != CACHE_EXPECT_CLOSE) {
        cache_connection_unlink(c);
        cache_connection_set_state(c, CACHE_EXPECT_CLOSE);
    }
    connection_release(c);
}

static void connection_close(struct cache_connection *c)
{
    cache_connection_unlink(c);
    cache_connection_set_state(c, CACHE_EXPECT_CLOSE);
    if (mr_stream_readable(c->stream)) /* else a reset could overtake the reply: what we were told to forget is read */
        mr_stream_consume(c->stream, mr_stream_readable(c->stream));
    mr_stream_close(c->stream);
}

void cache_connection_kill(struct cache_connection *c)
{
    if (c->state == CACHE_EXPECT_CLOSE)
        return;
    if (c->running) {
        c->close_after_reply = true;
        return;
    }
    connection_close(c);
}

void cache_connection_fail(struct cache_connection *c, enum cache_counter counter, const char *reason)
{
    c->cache->counters[counter]++;
    c->close_after_reply = true;
    struct cache_reply *reply = reason ? cache_connection_reply(c) : NULL;
    if (!reply)
        return;
    c->protocol->refuse(c, reply, reason);
    cache_connection_replied(c, reply);
}

/* -- running ------------------------------------------------------------------------------------------------------------------ */

/* How much may wait to be sent before no further command is run for this peer. */
#define OUTPUT_SOFT (1u << 20)

static bool output_full(const struct cache_connection *c)
{
    return c->output.bytes + c->output.lent > OUTPUT_SOFT;
}

/* Clients that waited for what this one's command brought get it before its next command. */
static void ready_serve(struct cache_connection *c)
{
    struct cache *cache = c->cache;
    cache_output_flush(c);
    cache->running = NULL;
    cache_blocked_serve(cache);
    cache->running = c;
    cache_output_begin(c);
}

static void output_check(struct cache_connection *c)
{
    if (c->output.bytes + c->output.lent + cache_output_pending(c->cache) <= OUTPUT_SOFT)
        return;
    cache_output_flush(c);
    if (output_full(c) && c->state == CACHE_EXPECT_COMMAND)
        cache_connection_set_state(c, CACHE_EXPECT_DRAIN);
    cache_output_begin(c);
}

/* Reads and runs until something is missing; true: there may be more, but the others have their turn first. */
static bool commands_run(struct cache_connection *c)
{
    struct cache *cache = c->cache;
    uint64_t left = cache->config->commands_per_turn;
    struct mr_span span;
    while (c->state == CACHE_EXPECT_COMMAND && !c->close_after_reply && mr_stream_peek(c->stream, &span, 1)) {
        size_t used = 0;
        while (used < span.length && c->state == CACHE_EXPECT_COMMAND && !c->close_after_reply && left) {
            size_t taken = 0;
            c->protocol->step(c, span.data + used, span.length - used, &taken);
            used += taken;
            left--;
            if (__builtin_expect(cache_blocked_has_ready(cache), 0))
                ready_serve(c);
            output_check(c);
        }
        cache->counters[CACHE_COUNTER_BYTES_IN] += used;
        mr_stream_consume(c->stream, used);
        if (!left)
            return true;
    }
    return false;
}

/* What waited is called again: everything that it needs is said to be there. */
static void waiting_run(struct cache_connection *c)
{
    struct cache *cache = c->cache;
    const struct cache_command *command = c->waiting;
    cache_connection_unlink(c);
    c->waiting = NULL;
    cache_connection_set_state(c, CACHE_EXPECT_COMMAND);
    unsigned argc = c->query.argc;
    if (__builtin_expect(c->unblocked, 0)) {
        c->unblocked = c->timed_out = false;
        c->wait_until = 0;
        struct cache_reply *reply = cache_connection_reply(c);
        if (reply)
            cache_reply_error(reply, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
        cache_connection_replied(c, reply);
        cache_packed_free(&c->query);
        return;
    }
    cache_packed_arguments(&c->query, cache->argv);
    enum cache_step step = cache_dispatch(c, command, cache->argv, argc);
    cache_packed_taken(&c->query, cache->argv);
    if (step == CACHE_STEP_WAIT)
        return; /* that its time is over stays true while it waits for shards */
    c->timed_out = false;
    cache_packed_free(&c->query);
}

/* The peer has said its last: it is answered and closed; what it waits for it would not read. */
static bool peer_ended(const struct cache_connection *c)
{
    if (!mr_stream_ended(c->stream))
        return false;
    return c->state == CACHE_EXPECT_KEYS ||
           (c->state == CACHE_EXPECT_COMMAND && !c->requests && cache_reply_empty(&c->output));
}

/* Others have their turn first. */
static void resume_later(struct cache_connection *c)
{
    if (c->link)
        return;
    c->resume = true;
    list_add(c, &c->cache->resumed_end);
    mr_defer(c->cache->worker, &c->cache->turn_end);
}

/* After a run: what follows from where the connection stands now. */
static void settle(struct cache_connection *c, bool more)
{
    if (c->state == CACHE_EXPECT_CLOSE)
        return;
    if (c->output.failed) {
        connection_abort(c, CACHE_COUNTER_REPLY_OVERFLOWS);
        return;
    }
    if ((c->close_after_reply && !c->requests && cache_reply_empty(&c->output)) || peer_ended(c)) {
        connection_close(c);
        return;
    }
    if (c->state == CACHE_EXPECT_DRAIN && !output_full(c)) {
        cache_connection_set_state(c, CACHE_EXPECT_COMMAND);
        more = true;
    }
    /* The last reply that a waiting command stood behind may have been a local one, and gone out just now: nobody else calls it. */
    if ((more && c->state == CACHE_EXPECT_COMMAND) || (c->state == CACHE_EXPECT_REPLIES && !c->requests))
        resume_later(c);
    deadline_update(c);
}

static void run(struct cache_connection *c, bool retry)
{
    struct cache *cache = c->cache;
    if (c->state == CACHE_EXPECT_CLOSE || c->running || !c->stream)
        return;
    assert(!cache->running);
    cache->running = c;
    c->running = true;
    cache_output_begin(c);
    if (retry && c->waiting)
        waiting_run(c);
    if (c->state == CACHE_EXPECT_DRAIN && !output_full(c))
        cache_connection_set_state(c, CACHE_EXPECT_COMMAND);
    bool more = commands_run(c);
    cache_output_flush(c);
    c->running = false;
    cache->running = NULL;
    settle(c, more);
    if (__builtin_expect(cache_blocked_has_ready(cache), 0))
        cache_blocked_serve(cache);
}

void cache_connection_run(struct cache_connection *c)
{
    run(c, true);
}

void cache_connection_flush(struct cache_connection *c)
{
    run(c, false);
}

void cache_connection_progress(struct cache_connection *c)
{
    run(c, c->state == CACHE_EXPECT_REPLIES);
}

static void readable_or_writable(struct mr_stream *s)
{
    struct cache_connection *c = mr_stream_context(s);
    if (!c)
        return;
    cache_turn_begin(c->cache);
    if (!c->resume)
        run(c, false);
}

const struct mr_stream_handler cache_stream_handler = {resp_opened, readable_or_writable, readable_or_writable, closed};
const struct mr_stream_handler cache_memcached_stream_handler = {memcached_opened, readable_or_writable,
                                                                 readable_or_writable, closed};

void cache_connections_stop(struct cache *cache)
{
    for (uint32_t i = 0; i < cache->connections_used; i++) {
        struct cache_connection *c = &cache->connections[i];
        if (c->state == CACHE_EXPECT_COMMAND && !c->requests && cache_reply_empty(&c->output))
            cache_connection_kill(c);
        else if (c->state == CACHE_EXPECT_KEYS || cache_client_subscribed(&c->client))
            cache_connection_kill(c);
        else
            c->close_after_reply = true;
    }
}

/* -- what other clients do to it ----------------------------------------------------------------------------------------------- */

void cache_connection_unblock(struct cache_connection *c, bool error)
{
    c->timed_out = true;
    c->unblocked = error;
    resume_later(c);
}

void cache_pause_ended(struct mr_worker *w, struct mr_timer *t)
{
    struct cache *cache = t->context;
    cache->pause_until = 0;
    cache_turn_begin(cache);
    cache_connections_resume(cache, &cache->paused, &cache->paused_end);
}

void cache_connections_pause(struct cache *cache, uint64_t ms, bool writes)
{
    mr_time now = mr_now(cache->worker);
    cache->pause_writes = writes;
    cache->pause_until = now + (ms < UINT32_MAX ? ms : UINT32_MAX) * MR_MILLISECOND;
    mr_timer_set(cache->worker, &cache->pause, cache->pause_until);
}

/* -- pushes ------------------------------------------------------------------------------------------------------------------- */

void cache_client_push(struct cache_connection *c, void (*write)(struct cache_reply *r, const void *argument),
                       const void *argument)
{
    struct cache *cache = c->cache;
    if (c->state == CACHE_EXPECT_CLOSE)
        return;
    if (c == cache->running && !c->requests) {
        write(&cache->reply, argument);
        return;
    }
    c->output.protocol = c->client.protocol;
    write(&c->output, argument);
    if (c->output.bytes + c->output.lent > cache->settings.push_bytes_max) {
        connection_abort(c, CACHE_COUNTER_REPLY_OVERFLOWS);
        return;
    }
    if (!c->pushed) {
        c->pushed = true;
        c->push_next = NULL;
        *cache->pushed_end = c;
        cache->pushed_end = &c->push_next;
        mr_defer(cache->worker, &cache->turn_end);
    }
}

/* At the end of the turn: each that got pushes sends them once. */
void cache_connections_push(struct cache *cache)
{
    struct cache_connection *c = cache->pushed;
    cache->pushed = NULL;
    cache->pushed_end = &cache->pushed;
    while (c) {
        struct cache_connection *next = c->push_next;
        c->pushed = false;
        if (c->stream && c->state != CACHE_EXPECT_CLOSE)
            run(c, false);
        c = next;
    }
}

/* -- invariants ---------------------------------------------------------------------------------------------------------------- */

void cache_connection_check(const struct cache_connection *c)
{
    assert(c->state < CACHE_CONNECTION_STATES);
    if (c->state == CACHE_CONNECTION_FREE)
        return;
    assert(!c->waiting || c->state == CACHE_EXPECT_CLOSE || WAITS >> c->state & 1);
    assert((c->state != CACHE_EXPECT_ROOM && c->state != CACHE_EXPECT_STORE) || c->link);
    assert(!c->waiters || c->state == CACHE_EXPECT_KEYS);
    assert(!c->requests == !c->request_count);
}
