/* The queues as a service of the same process sees them: an HTTP handler publishes without blocking and is answered when the message is
 * as safe as its queue promises. Everything is answered by `done`, later, on this worker, never from inside the call.
 * All names are of one virtual host. While the service is at a limit (of memory, of the disk) nothing can be published.
 * The functions handed over may call anything of this header; none is NULL but `done` of publish and settle, for who does not ask.
 * services/http/orders_worker.c consumes with it, orders_page.c publishes. */
#ifndef MILLRACE_QUEUE_H
#define MILLRACE_QUEUE_H

#include <millrace/error.h>
#include <millrace/types.h>

struct mr_queues;

/* The queue service that runs on this worker, its virtual host "/"; NULL: none is configured, or it has not started yet or has ended
 * (services start one after the other). So it is asked for whenever it is needed, not kept. */
struct mr_queues *mr_queues_find(struct mr_worker *w);
/* The same with another virtual host; NULL also when there is none of that name. */
struct mr_queues *mr_queues_find_host(struct mr_worker *w, struct mr_span name);

enum mr_queue_outcome {
    MR_QUEUE_DONE,
    MR_QUEUE_NOT_FOUND, /* no such queue or exchange */
    MR_QUEUE_UNROUTED,  /* published: no queue is bound so */
    MR_QUEUE_REFUSED, /* published: over the queue's limit; declared: exists with other properties; settled: no such delivery */
    MR_QUEUE_EMPTY,     /* got: nothing is ready */
    MR_QUEUE_IN_USE,    /* somebody else's exclusive queue; deleted with a condition that does not hold */
    MR_QUEUE_NO_MEMORY, /* the service is at a limit: later */
};

/* Valid during the call that shows it. Missing spans have length 0. */
struct mr_queue_message {
    struct mr_span exchange, key; /* exchange "" and the queue's name as key: straight to a queue */
    struct mr_span body;
    struct mr_span content_type, correlation_id, reply_to, message_id;
    uint64_t delay_ms; /* invisible for so long */
    uint64_t ttl_ms;   /* 0: none */
    uint8_t priority;
    bool transient;        /* not kept by the log even in a durable queue */
    bool redelivered;      /* got or consumed */
    uint64_t delivery;     /* got or consumed: for mr_queue_settle; 0: nothing to settle */
    uint64_t published_ms; /* Unix */
    uint64_t ready;        /* got: messages left */
};

struct mr_queue_options {
    bool transient;                                                    /* the queue does not survive a restart */
    bool auto_delete;                                                  /* goes with its last consumer */
    uint64_t message_ttl_ms, expires_ms, length_max, length_bytes_max; /* 0: none */
    uint8_t priority_max;
    const char *dead_letter_exchange, *dead_letter_key; /* NULL: none */
    const char *durability;                             /* "memory", "written", "fsync"; NULL: as configured */
};

struct mr_queue_state {
    struct mr_span name;
    uint64_t ready, unacknowledged, delayed, consumers, bytes, oldest_ms;
    uint64_t publish_rate, deliver_rate, acknowledge_rate; /* a second */
};

typedef void (*mr_queue_done_fn)(void *context, enum mr_queue_outcome outcome);
typedef void (*mr_queue_message_fn)(void *context, enum mr_queue_outcome outcome, const struct mr_queue_message *m);
typedef void (*mr_queue_state_fn)(void *context, enum mr_queue_outcome outcome, const struct mr_queue_state *s);

/* Each returns MR_OK: `done` will be called once; MR_ERROR_NO_MEMORY: it will not, later it may work; MR_ERROR_INVALID: a name longer than
 * 255 bytes, a body over the limit. Bytes are copied, options too. */
int mr_queue_publish(struct mr_queues *q, const struct mr_queue_message *m, mr_queue_done_fn done, void *context);
int mr_queue_declare(struct mr_queues *q, struct mr_span name, const struct mr_queue_options *o, mr_queue_done_fn done,
                     void *context);
int mr_queue_delete(struct mr_queues *q, struct mr_span name, mr_queue_done_fn done, void *context);
int mr_queue_purge(struct mr_queues *q, struct mr_span name, mr_queue_done_fn done, void *context);
/* Takes the next message. `automatic`: it is acknowledged by being shown; else mr_queue_settle within `settle_within_ms` (0: 30 s), after
 * which it is put back. A delivery may be settled on any worker, in the virtual host that it was got from. */
int mr_queue_get(struct mr_queues *q, struct mr_span name, bool automatic, uint64_t settle_within_ms,
                 mr_queue_message_fn done, void *context);
enum mr_queue_settle { MR_QUEUE_ACKNOWLEDGE, MR_QUEUE_REJECT, MR_QUEUE_REQUEUE };
int mr_queue_settle(struct mr_queues *q, uint64_t delivery, enum mr_queue_settle how, mr_queue_done_fn done,
                    void *context);
int mr_queue_state(struct mr_queues *q, struct mr_span name, mr_queue_state_fn done, void *context);
/* Every queue of the virtual host, one call of `done` each, then one with s NULL. */
int mr_queue_list(struct mr_queues *q, mr_queue_state_fn done, void *context);

/* A consumer in the process: `message` for each, at most `prefetch` (0: 256) not settled, however long that takes. That it
 * has ended (there is no such queue, it was deleted, somebody consumes it alone) is told with m NULL, once; then the consumer is gone. */
struct mr_queue_consumer;
int mr_queue_consume(struct mr_queues *q, struct mr_span name, unsigned prefetch, mr_queue_message_fn message,
                     void *context, struct mr_queue_consumer **out);
/* What is not settled is put back; `message` is not called any more. Not after the end was told. */
void mr_queue_consumer_end(struct mr_queue_consumer *c);

#endif
