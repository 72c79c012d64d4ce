/* A queue on its owner. Everything here runs on the owner's worker, by items (shard.h): sessions send requests and get them back answered;
 * the queue sends deliveries, which come back as credit. No session touches a struct queue.
 *
 *     publish -> ready (by priority, in order) -> delivered (unacknowledged) -> acknowledged: gone
 *                  ^    delayed, until due              |  requeue: back at its place, redelivered
 *                  '------------------------------------'  reject, expired, over the limit: dead-lettered or dropped
 */
#ifndef SERVICES_QUEUE_CORE_H
#define SERVICES_QUEUE_CORE_H

#include "queue/catalog/catalog.h"
#include "queue/shard/shard.h"

struct queue;

enum queue_result {
    QUEUE_DONE,
    QUEUE_EMPTY,          /* get */
    QUEUE_GONE,           /* 404: deleted meanwhile */
    QUEUE_ACCESS_REFUSED, /* 403: consumed exclusively, or there are consumers and exclusive is wanted */
    QUEUE_IN_USE,         /* 406: if-unused */
    QUEUE_NOT_EMPTY,      /* 406: if-empty */
    QUEUE_UNKNOWN_TAG,    /* settle: such an entry is not delivered */
    QUEUE_NO_MEMORY,
    QUEUE_UNREADABLE, /* its message could not be read back from the log */
};

enum queue_verb {
    QUEUE_GET,      /* -> message, entry, redelivered, count */
    QUEUE_CONSUME,  /* subscriber, no_ack, exclusive, prefetch, priority */
    QUEUE_CANCEL,   /* subscriber: after the answer no delivery comes; what is unacknowledged stays so */
    QUEUE_PREFETCH, /* subscriber, prefetch */
    QUEUE_SETTLE,   /* entries, settle */
    QUEUE_PURGE,    /* -> count */
    QUEUE_DELETE,   /* if_unused, if_empty -> count. Consumers are told by `cancelled` (not the asker's own choice) */
    QUEUE_STATUS,   /* -> count, consumers, status */
};
enum queue_settle { SETTLE_ACK, SETTLE_REJECT, SETTLE_REQUEUE };

struct queue_status {
    uint64_t ready, unacknowledged, delayed, consumers, bytes, memory_bytes, log_bytes;
    uint64_t published, delivered, acknowledged, redelivered, expired, dead_lettered, dropped;
    uint64_t oldest_ms;                                    /* age of the oldest ready message */
    uint64_t publish_rate, deliver_rate, acknowledge_rate; /* a second, over the last five */
    int error;                                             /* errno of its log; 0 */
};

/* A consumer as its session sees it: made and freed there, only after the answer to QUEUE_CANCEL or after `cancelled`. */
struct queue_delivery;
struct queue_subscriber {
    struct broker *home;
    void (*deliver)(struct queue_subscriber *s,
                    struct queue_delivery *d); /* on `home`; the session owes queue_delivery_return */
    void (*cancelled)(
        struct queue_subscriber *s); /* on `home`: the queue is gone; nothing follows, QUEUE_CANCEL is not needed */
    void *context;
    void *consumer; /* the owner's */
};

/* One message on its way to a consumer; travels to the subscriber's worker and back. */
struct queue_delivery {
    struct broker_item item;
    struct queue_delivery *next; /* the session's, while it holds it */
    struct queue_subscriber *subscriber;
    uint64_t queue_id;
    uint64_t entry;          /* names the message in its queue, for settling */
    struct message *message; /* to be read until the delivery is given back; never held or dropped by the session */
    uint32_t deliveries;     /* so often before: 0 is the first time */
    bool redelivered;
    bool refused; /* set by the session: it was not written, the entry goes back to its place as if never delivered */
    struct broker *owner; /* private */
    void *private_consumer;
};
/* On the session's worker: the bytes of the message are not needed any more (they were copied, or the lend was released). This is what gives
 * the consumer room for the next: at most QUEUE_TRANSIT_MAX deliveries are on their way. With no_ack the entry ends here. */
void queue_delivery_return(struct queue_delivery *d);

struct queue_request {
    struct broker_item item;
    struct broker *home;
    enum queue_verb verb;
    uint64_t queue_id;
    void (*done)(struct queue_request *
                     r); /* on `home`, never from inside queue_request_send; frees or reuses it. NULL: nobody waits, and
                                            * it is freed with memory_free(home->memory, r, queue_request_bytes(r)) */
    void *context;
    uint64_t connection; /* the asker's, for exclusive queues; 0: internal, may all */

    bool no_ack, exclusive, if_unused, if_empty;
    uint32_t prefetch; /* 0: no limit */
    int32_t priority;  /* of the consumer, x-priority */
    struct queue_subscriber *subscriber;
    enum queue_settle settle;

    enum queue_result result;
    uint64_t count, consumers;
    struct queue_status *status;     /* given by the asker for QUEUE_STATUS, or NULL */
    struct queue_delivery *delivery; /* QUEUE_GET: to be given back like any other */

    uint32_t entry_count;
    uint64_t entries[]; /* QUEUE_SETTLE */
};
#define QUEUE_SETTLE_MAX 1024u /* entries of one request */
static inline size_t queue_request_bytes(const struct queue_request *r)
{
    return sizeof *r + r->entry_count * sizeof r->entries[0];
}
/* On r->home's worker. The queue is found by id at its owner, which the replica tells. */
void queue_request_send(struct queue_request *r);

/* What shard/publish.c sends to each owner: one queue's part of a publication. */
struct queue_put {
    struct broker_item item;
    struct publication *publication;
    uint64_t queue_id;
    struct message *message; /* to be copied by an owner that is another worker, held by our own */
    enum { PUT_TAKEN, PUT_REJECTED, PUT_FAILED } result;
    struct queue_put *next; /* at the owner, until it is durable */
    uint64_t log_offset;
};
/* At the owner; answers by sending it home when the message is as durable as the queue promises. */
void queue_put_arrived(struct broker *here, struct broker_item *item);

/* Life of all queues of a worker. */
bool queue_set_start(
    struct broker *b); /* before catalog_start, whose hooks add the queues; opens their logs (blocks) */
void queue_set_ready(
    struct broker *b); /* after catalog_start: logs of queues that are not declared any more are deleted */
void queue_set_stop(struct broker *b);
void queue_set_release(struct broker *b);
void queue_added(struct broker *b, const struct catalog_queue *q); /* hooks of the catalog */
void queue_removed(struct broker *b, const struct catalog_queue *q);
struct qlog;
void queue_log_advanced(struct broker *b, struct qlog *log); /* hook of the engine */
void queue_set_second(struct broker *b);                     /* once a second: rates, gauges, retention */
void queue_set_check(const struct broker *b);                /* every sum recomputed and compared; for tests */
struct queue *queue_find(const struct broker *b, uint64_t id);
void queue_status_fill(const struct queue *q, struct queue_status *out);
/* Shows up to `n` ready messages from the head without taking them: `peek`. Messages that only the log holds are read; `show` is called
 * with m NULL at the end. On the owner. */
void queue_peek(struct broker *b, uint64_t id, unsigned n,
                void (*show)(void *context, uint64_t entry, const struct message *m), void *context);
/* Moves up to `n` ready messages to the end of another queue, each removed when the other has it as durably as promised. */
void queue_move(struct broker *b, uint64_t from, const struct catalog_queue *to, uint64_t n,
                void (*done)(void *context, uint64_t moved, enum queue_result result), void *context);

#endif
