/* Workers among each other. What one turn has for another worker goes as one message, a chain of items; each item runs on the worker
 * that it was sent to, and answers by being sent back.
 *
 *     forward   a command of one key, to the key's owner, packed; it comes back with its reply. Many are on their way at a time.
 *     hold      a command of keys of several owners, a transaction, a blocking command: the shards are lent to the worker that runs
 *               it, asked for in ascending order (so that no two wait for each other), and given back when it has run. Whatever
 *               else wants a held shard waits in order. This is what makes them all-or-nothing, and it costs one worker nothing.
 *     fan-out   a command that each worker runs for itself (PUBLISH, CONFIG SET, CLIENT LIST); the replies are joined. */
#ifndef SERVICES_CACHE_SHARD_H
#define SERVICES_CACHE_SHARD_H

#include "cache/connection.h"

struct cache_item {
    struct cache_item *next;
    struct cache *to;
    void (*run)(struct cache *here, struct cache_item *item);
};

/* Goes with this turn's message to worker `to`. The item is the target's from then on. */
void cache_send(struct cache *from, unsigned to, struct cache_item *item);
/* Posts what was collected; in the turn's end. True: something could not go yet (the mailbox is full). */
bool cache_send_all(struct cache *cache);

/* A place in the order of a connection's replies: a command that was forwarded, or a local one behind such. */
struct cache_request {
    struct cache_item item;
    struct cache_request *next;          /* of the connection */
    struct cache_request *waiting_next;  /* at the owner, while it is held or has no room */
    struct cache_connection *connection; /* NULL: it has gone */
    struct cache *home;                  /* whose connection, and whose memory this is */
    const struct cache_command *command;
    struct cache_packed packed;
    struct cache_reply reply;
    uint64_t gate_sequence;               /* of the owner's log sequence */
    uint32_t remaining;                   /* fan-out: replies that are not back; else 1 */
    struct cache_request *parent, *parts; /* of a fan-out */
    /* Of the C interface, which has no connection: called once when the reply is home. */
    void (*finished)(struct cache *here, struct cache_request *r, void *context);
    void *context;
    unsigned database, owner, ran_at;
    uint64_t asker; /* the client's id */
    uint8_t protocol;
    bool silent; /* CLIENT REPLY OFF: nobody wants the reply */
    bool done;
    uint8_t scratch[320];
};

/* A new place behind the others with a command packed; NULL: no memory. */
struct cache_request *cache_request_add(struct cache_connection *c, const struct cache_command *command,
                                        struct cache_argument *argv, unsigned argc);
/* The place of a local command behind forwarded ones. */
struct cache_request *cache_request_local(struct cache_connection *c);
/* Frees the first request of a connection, its reply taken. */
void cache_request_free(struct cache *cache, struct cache_connection *c);
/* The local command behind forwarded ones has written its reply; nothing when there are none. */
void cache_request_local_done(struct cache_connection *c);
void cache_request_forward(struct cache_request *r, unsigned owner);
/* For the C interface: to `owner`, which may be ourselves; `finished` is called once. False: no memory. */
bool cache_request_ask(struct cache *cache, const struct cache_command *command, struct cache_argument *argv,
                       unsigned argc, unsigned owner,
                       void (*finished)(struct cache *here, struct cache_request *r, void *context), void *context);
/* Every worker runs it; false: no memory. */
bool cache_request_fan_out(struct cache_connection *c, const struct cache_command *command, struct cache_argument *argv,
                           unsigned argc);
/* Commands of others that wait for this shard: goes on with them, as far as it can. */
void cache_requests_resume(struct cache *cache);

/* Long arguments lie in extents of our shard: that of the first key takes them over. Both are at hand. */
enum cache_room cache_ropes_adopt(struct cache *cache, const struct cache_command *command, struct cache_argument *argv,
                                  unsigned argc);

/* Asks for the shards of `mask`; cache_dispatch is called again (cache_connection_run) when all are there. False: no memory. */
bool cache_hold_ask(struct cache_connection *c, uint64_t mask);
bool cache_hold_has(const struct cache_connection *c, uint64_t mask);
uint64_t cache_hold_granted(const struct cache_connection *c); /* shards that are held, a bit each */
void cache_hold_release(struct cache_connection *c);
/* Our own shard may be touched: it is not held, or held by the connection that runs. */
static inline bool cache_shard_free(const struct cache *cache)
{
    return cache->holder == NULL;
}

/* The worker that runs commands on this shard now: its own, or who holds it. */
struct cache *cache_shard_worker(struct cache *shard);
/* Holds every shard, runs `run` on this worker, gives them back: for what no connection asked for. False: no memory. */
bool cache_hold_all(struct cache *cache, void (*run)(struct cache *cache));

/* The store is ours again in the middle of a turn. */
void cache_turn_prepare(struct cache *cache);

/* An extent that a peer or another worker has let go; on the worker that had it lent. */
void cache_extent_let_go(struct cache *cache, struct cache_reply_block *block);

bool cache_shard_start(struct cache *cache);

#endif
