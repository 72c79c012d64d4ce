/* A session: what a RESP client has set up on its connection. The connection (connection.h) is how it talks. */
#ifndef SERVICES_CACHE_CLIENT_H
#define SERVICES_CACHE_CLIENT_H

#include "cache/command/command.h"
#include "cache/command/packed.h"

struct cache_connection;
struct cache_subscription;
struct cache_watched;

/* One command queued by MULTI. */
struct cache_queued {
    struct cache_queued *next;
    const struct cache_command *command;
    struct cache_packed packed;
};

struct cache_client {
    struct cache_connection *connection;
    uint64_t id;
    uint8_t protocol; /* 2 or 3 */
    uint8_t database;
    bool authenticated;
    bool multi;        /* MULTI was said */
    bool multi_failed; /* a command could not be queued: EXECABORT */
    bool watch_failed; /* set by transaction.c when it sees a watched key changed */
    bool no_evict;
    enum { CACHE_REPLY_ON, CACHE_REPLY_OFF, CACHE_REPLY_SKIP, CACHE_REPLY_SKIP_NEXT } reply_mode;
    struct cache_queued *queue, **queue_end;
    uint32_t queued;
    uint64_t queued_bytes; /* of memory, ropes included: at most query_bytes_max */
    struct cache_watched *watched;            /* transaction.c */
    struct cache_subscription *subscriptions; /* pubsub.c; channels, patterns and shard channels */
    uint32_t channels, patterns, shard_channels;
    char name[64];
    const struct cache_command *last, *container; /* what it said last, and of which command that is a part */
    uint64_t commands;
    mr_time connected, active; /* times of mr_now */
};

/* A subscriber with RESP2 may only (un)subscribe, PING, QUIT, RESET. */
static inline bool cache_client_subscribed(const struct cache_client *c)
{
    return c->channels + c->patterns + c->shard_channels != 0;
}

/* transaction.c and pubsub.c: what a client leaves behind when it goes, or says RESET. */
void cache_client_discard(struct cache *cache, struct cache_client *c); /* MULTI's queue */
void cache_client_unwatch(struct cache *cache, struct cache_client *c);
void cache_client_unsubscribe(struct cache *cache, struct cache_client *c);

/* connection.c: writes a push message (pub/sub) to a client, now or behind what it is being sent. `write` fills the reply. */
void cache_client_push(struct cache_connection *to, void (*write)(struct cache_reply *r, const void *argument),
                       const void *argument);
/* Ends a connection as CLIENT KILL does. */
void cache_connection_kill(struct cache_connection *c);

#endif
