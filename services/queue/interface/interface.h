/* The C interface (include/millrace/queue.h) on one worker: what its files share.
 *
 * Each call is an operation: memory of the worker, with what the answer needs, freed when it was given. What can be said at once is said at the
 * end of the turn all the same: nothing is answered from inside a call. */
#ifndef SERVICES_QUEUE_INTERFACE_INTERFACE_H
#define SERVICES_QUEUE_INTERFACE_INTERFACE_H

#include <millrace/queue.h>

#include "queue/broker.h"
#include "queue/catalog/catalog.h"
#include "queue/core/queue.h"

enum {
    INTERFACE_HELD_BUCKETS = 1024, /* a power of two */
    INTERFACE_SETTLE_MS = 30000,
    INTERFACE_SETTLE_MS_MAX = 86400000,
    INTERFACE_PREFETCH = 256,
    INTERFACE_LIST_WINDOW = 64, /* queues asked at a time */
};

/* A message that was shown and is not settled. */
struct interface_held {
    struct interface_held *next, **link;       /* of the bucket */
    struct interface_held *of_next, **of_link; /* of the consumer */
    struct mr_queue_consumer *consumer;        /* NULL: got */
    struct broker *broker;
    uint64_t delivery; /* random begin, counted up; the worker in the low bits */
    uint64_t queue_id, entry;
    unsigned vhost;
    struct mr_timer timer; /* of those that were got */
};

/* What mr_queues_find gives: a virtual host on a worker. */
struct mr_queues {
    struct broker *broker;
    unsigned vhost;
};

struct interface {
    struct interface_held *held[INTERFACE_HELD_BUCKETS];
    uint64_t held_count, delivery_last;
    uint8_t *scratch; /* message_bytes_max: a body in several pieces is shown in one */
    unsigned host_count;
    struct mr_queues hosts[];
};

bool interface_start(struct broker *b);   /* after the catalog */
void interface_stop(struct broker *b);    /* on its worker: no more timers */
void interface_release(struct broker *b); /* when no worker turns any more */

enum mr_queue_outcome interface_outcome(enum queue_result result);
static inline bool interface_name_fits(struct mr_span name)
{
    return name.length <= QUEUE_NAME_MAX;
}

/* The queue of that name, if anybody may use it. NULL: *outcome says why. */
const struct catalog_queue *interface_queue(const struct mr_queues *q, struct mr_span name,
                                            enum mr_queue_outcome *outcome);

/* Calls done(context, outcome) at the end of the turn; MR_OK or MR_ERROR_NO_MEMORY. */
int interface_say(struct broker *b, enum mr_queue_outcome outcome, mr_queue_done_fn done, void *context);
int interface_say_message(struct broker *b, enum mr_queue_outcome outcome, mr_queue_message_fn done, void *context);

/* A request to a queue, all zeros but home, queue, verb and done. NULL: no memory. Freed by interface_request_free, after the answer. */
struct queue_request *interface_request(struct broker *b, uint64_t queue_id, enum queue_verb verb, unsigned entries,
                                        void (*done)(struct queue_request *r), void *context);
void interface_request_free(struct queue_request *r);
/* Nobody waits for the answer. False: no memory. */
bool interface_settle(struct broker *b, uint64_t queue_id, uint64_t entry, enum queue_settle how);

/* held.c. NULL: no memory, or as many as may be are held. `within_ms` 0: no timer. */
struct interface_held *interface_hold(struct broker *b, unsigned vhost, const struct queue_delivery *d,
                                      struct mr_queue_consumer *consumer, uint64_t within_ms);
void interface_held_forget(struct interface_held *h); /* out of its lists, and freed */
void interface_held_put_back(
    struct interface_held *h); /* requeued, and freed; again in a while when there is no memory */

/* A message as the interface shows it; valid until the next. */
void interface_show(struct broker *b, const struct message *m, struct mr_queue_message *out);

/* consume.c: one of its messages was settled. */
void interface_consumer_forget(struct mr_queue_consumer *c, struct interface_held *h);

#endif
