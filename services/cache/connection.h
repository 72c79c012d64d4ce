/* The machine of one connection, of either protocol.
 *
 *     stream -> protocol->step: parse one command -> dispatch (shard/dispatch.c) -> call -> reply -> stream
 *
 * A command runs at once where its keys are this worker's. What cannot go on now (no room yet, a blocked pop, shards of other
 * workers, replies still on their way) is kept packed in `query`, and the connection reads no further until it has ended:
 * its peer's window closes, that is the back-pressure. Replies of forwarded commands are kept in order by `requests`. */
#ifndef SERVICES_CACHE_CONNECTION_H
#define SERVICES_CACHE_CONNECTION_H

#include "cache/cache.h"
#include "cache/client.h"
#include "cache/resp/resp_wire.h"

enum cache_connection_state {
    CACHE_CONNECTION_FREE,
    CACHE_EXPECT_COMMAND,   /* reads on */
    CACHE_EXPECT_KEYS,      /* a blocking command waits for its keys or its time */
    CACHE_EXPECT_ROOM,      /* called again next turn */
    CACHE_EXPECT_STORE,     /* our shard is held by another worker */
    CACHE_EXPECT_SHARDS,    /* shards of others are being asked for */
    CACHE_EXPECT_REPLIES,   /* earlier commands are still with other workers, and this one must come after them */
    CACHE_EXPECT_PAUSE_END, /* CLIENT PAUSE */
    CACHE_EXPECT_DRAIN,     /* the peer has much to read first */
    CACHE_EXPECT_CLOSE,     /* on_close is due */
    CACHE_CONNECTION_STATES
};

enum cache_step {
    CACHE_STEP_ON,   /* a command was dealt with: there may be another */
    CACHE_STEP_MORE, /* the bytes of a command are not all there */
    CACHE_STEP_WAIT, /* the state says for what */
};

struct cache_protocol {
    const char *name;
    const char *too_many; /* connections: what a refused one is told */
    /* Takes one command off the stream and dispatches it. `span` is what is left of the first span that the stream shows, *taken
     * what of it was used: the caller consumes. Called with n > 0. */
    enum cache_step (*step)(struct cache_connection *c, const uint8_t *data, size_t n, size_t *taken);
    /* A reply written for an error of the connection itself, before it is closed. */
    void (*refuse)(struct cache_connection *c, struct cache_reply *r, const char *reason);
    void (*release)(struct cache_connection *c); /* what it keeps; may be NULL */
};
extern const struct cache_protocol cache_protocol_resp, cache_protocol_memcached;

struct cache_connection {
    struct cache *cache;
    struct mr_stream *stream; /* NULL: it has closed, and something of ours is still with another worker */
    const struct cache_protocol *protocol;
    struct cache_connection *next;  /* free list, or the list of what it waits for */
    struct cache_connection **link; /* what points at us in such a list; NULL: in none */
    uint8_t state;
    bool resume;    /* it had its share of this turn: it goes on in the next */
    bool running;   /* inside cache_connection_run */
    bool unblocked; /* ... CLIENT UNBLOCK ended it with an error */
    bool timed_out; /* what it waited for did not come in time */
    bool close_after_reply;
    bool pushed; /* in the list of those that got pushes in this turn */
    struct cache_connection *push_next;
    struct cache_resp_wire wire;
    struct cache_packed query;                      /* a command arriving in pieces, or waiting */
    const struct cache_command *waiting;            /* the command in `query`, whole */
    struct cache_reply output;                      /* what the stream has not taken */
    struct cache_request *requests, **requests_end; /* in order; the first one's reply is sent next */
    uint32_t request_count;
    struct cache_hold *hold;
    uint64_t gate_shards; /* replies in `output` wait for the log, which must have what cache->gates says of these */
    struct cache_connection *gate_next, **gate_link;
    mr_time wait_until; /* CACHE_EXPECT_KEYS; MR_NEVER: for ever */
    struct cache_waiter *waiters;
    mr_time reply_due;           /* the peer must have taken something until then */
    mr_time deadline, armed;     /* the timer is set for `armed`, which may be earlier than the deadline, never later */
    uint64_t sent, acknowledged; /* bytes handed to the stream; of them, acknowledged when reply_timeout last looked */
    struct mr_timer timer;
    struct cache_client client;
    void *memcached; /* memcached/: its own state while a request has several keys; from cache->clients */
};

extern const struct mr_stream_handler cache_stream_handler, cache_memcached_stream_handler;
void cache_connection_set_state(struct cache_connection *c, enum cache_connection_state state);
/* Goes on where the connection stands: calls again what waited, reads, writes. */
void cache_connection_run(struct cache_connection *c);
/* The reply that the command being executed writes to; NULL: no memory for it, the connection is being closed. */
struct cache_reply *cache_connection_reply(struct cache_connection *c);
/* It has been written: its place in the order is done, and what CLIENT REPLY throws away is thrown away. */
void cache_connection_replied(struct cache_connection *c, const struct cache_reply *reply);
/* Into the list of those that wait for the same; taken out by cache_connection_unlink, which forgets also waiters and timers. */
void cache_connection_wait(struct cache_connection *c, enum cache_connection_state state);
void cache_connection_unlink(struct cache_connection *c);
/* Those who waited for room, and for our shard, try again. */
void cache_connections_resume(struct cache *cache, struct cache_connection **waiters, struct cache_connection ***end);
/* The log has become durable further: replies that waited for it go out. */
void cache_connections_ungate(struct cache *cache);
/* Sends what can be sent, reads what can be read; a command that waits goes on waiting. */
void cache_connection_flush(struct cache_connection *c);
/* A reply came back from another worker. */
void cache_connection_progress(struct cache_connection *c);
void cache_connections_push(struct cache *cache);
/* Its stream has closed and nothing of it is with another worker any more: it becomes free. */
void cache_connection_settle(struct cache_connection *c);
void cache_connection_fail(struct cache_connection *c, enum cache_counter counter,
                           const char *reason); /* replies, closes */
/* CLIENT UNBLOCK: as if its time were over, or with an error. */
void cache_connection_unblock(struct cache_connection *c, bool error);
void cache_pause_ended(struct mr_worker *w, struct mr_timer *t);
/* CLIENT PAUSE: commands (writes only, or all) wait for `ms`; 0: no longer. */
void cache_connections_pause(struct cache *cache, uint64_t ms, bool writes);
static inline bool cache_paused(const struct cache *cache, const struct cache_command *command)
{
    return !cache->pause_writes || command->flags & (CACHE_WRITE | CACHE_QUEUED_SHARDS);
}
void cache_connections_stop(struct cache *cache);
void cache_connection_check(const struct cache_connection *c);

/* shard/dispatch.c: runs a whole command for a connection, here or where its keys are. argv may borrow from the stream or from
 * c->query. WAIT: it is kept in c->query and the state says why. */
enum cache_step cache_dispatch(struct cache_connection *c, const struct cache_command *command,
                               struct cache_argument *argv, unsigned argc);

/* The shards of a command's keys, a bit each. */
uint64_t cache_command_shards(const struct cache *cache, const struct cache_command *command,
                              const struct cache_argument *argv, unsigned argc);

#endif
