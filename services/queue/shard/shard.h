/* Workers among each other. Sessions (connections, the C interface, HTTP) live on the worker of their connection; a queue lives on its
 * owner. What one turn has for another worker travels as one message, a chain of items. Each item runs once on the worker it was sent to;
 * to be answered it is sent back. An item for the own worker takes the same way, at the end of the same turn: nothing is ever run from
 * inside a call, and one worker behaves as many do. */
#ifndef SERVICES_QUEUE_SHARD_H
#define SERVICES_QUEUE_SHARD_H

#include "queue/broker.h"

struct broker_item {
    struct broker_item *next;
    struct broker *to;
    void (*run)(struct broker *here, struct broker_item *item);
};

/* Goes with this turn's message to worker `to`, in order with everything else sent there. It is the target's from then on. Never fails:
 * when a mailbox is full the chain waits for the next turn. */
void broker_send(struct broker *from, unsigned to, struct broker_item *item);

/* -- publishing --------------------------------------------------------------------------------------------------------------------- */

/* One message on its way into queues. Sessions, dead-lettering and the C interface all publish by this. */
struct publication {
    struct broker *home;
    struct message *message; /* one reference */
    uint32_t targets;        /* queues that it was routed to */
    uint32_t missing;        /* of them, not answered yet */
    uint32_t rejected;       /* queues that refused it: overflow reject-publish */
    uint32_t failed;         /* queues that could not take it (no memory, no room in the log) or went away meanwhile */
    void (*done)(
        struct publication *p); /* on `home`, once, after all have answered: each that took it holds it as durably as
                                          * its queue promises. Frees or reuses what it is embedded in. NULL: nobody waits */
    void *context;
    uint64_t tag;                    /* the caller's */
    struct publication_parts *parts; /* private to publish.c: what was sent */
};

/* Routes by the replica of this worker and sends to each queue's owner. Returns how many queues it goes to: with 0 nothing is
 * sent and `done` is not called (unrouted; alternate exchanges were tried). -1: no memory, likewise. p->home, message, done, context
 * and tag are given; the reference of `message` passes to the publication when the return value is positive, and is dropped before `done`.
 * `p` must stay valid until `done`; with done NULL it is copied. `keys`: the routing keys (the first one is the message's own; more are those
 * of CC and BCC headers). A message already in a queue by one key is not put there twice. */
int broker_publish(struct broker *b, unsigned vhost, const struct catalog_exchange *exchange,
                   const struct mr_span *keys, unsigned key_count, struct publication *p);
/* To exactly one queue (dead-lettering by the default exchange, moving, the C interface). Return value as above. */
int broker_publish_to(struct broker *b, const struct catalog_queue *queue, struct publication *p);
/* The header x-delay (ms) of an exchange that obeys it becomes deliver_at_ms of `m`, which nobody else has yet. */
void broker_delay_obey(const struct catalog_exchange *x, struct message *m, struct mr_span headers);
/* What the item of a struct queue_put runs when its owner sends it home, answered (core/queue.h). */
void broker_put_answered(struct broker *home, struct broker_item *item);

/* After b's memory, index and workers are set, before anything is sent. False: no memory. */
bool broker_shard_start(struct broker *b);
void broker_shard_release(struct broker *b);

#endif
