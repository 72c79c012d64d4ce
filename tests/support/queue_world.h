/* A broker without AMQP: fake workers, their queues, and a catalog that only knows the queues a test declares. Everything that sessions do is
 * done here by hand: publish, ask, consume. With x->config.folder set there are logs, and queue_world_stop and _start are a restart. */
#ifndef TESTS_SUPPORT_QUEUE_WORLD_H
#define TESTS_SUPPORT_QUEUE_WORLD_H

#include "queue/core/queue.h"
#include "queue/log/log.h"
#include "tests/support/fake_stream.h"

#define QUEUE_WORLD_WORKERS 4
#define QUEUE_WORLD_QUEUES  2048

struct queue_world_queue {
    struct catalog_queue declared; /* what the replicas of all workers show */
    char name[64], dead_letter_exchange[64], dead_letter_key[64];
};

struct queue_world {
    struct queue_config
        config; /* memory_max (of each worker here), folder, segment_bytes: before _start; kept over restarts */
    const struct qlog_io *io; /* system calls of the logs; NULL: the system's */
    bool uring;               /* the logs may use io_uring; else they write by pwrite */
    unsigned workers;
    struct mr_worker *w[QUEUE_WORLD_WORKERS];
    struct broker *b[QUEUE_WORLD_WORKERS];
    struct broker_shared shared;
    struct queue_world_queue *queues[QUEUE_WORLD_QUEUES]; /* declared, not deleted; durable ones outlive a restart */
    unsigned queue_count;
    uint64_t next_id;
    unsigned refuse_deletes;              /* so many QUEUE_DELETE are answered with CATALOG_NO_MEMORY */
    unsigned alarms_changed;              /* calls of amqp_server_alarms_changed, all workers */
    uint64_t confirmed, rejected, failed; /* of queue_world_publish, all together */
    int64_t unix_offset_ns;               /* of all workers */
    mr_time now;                          /* of all workers: goes on over a restart */
};

/* Zeroed, with a configuration: 64 MiB of memory a worker, no folder. */
void queue_world_init(struct queue_world *x);
void queue_world_start(struct queue_world *x, unsigned workers);
/* In order: what is on its way arrives, logs are written. Queues that are not durable are forgotten. */
void queue_world_stop(struct queue_world *x);
void queue_world_free(struct queue_world *x); /* after stop */

void queue_world_turn(struct queue_world *x, unsigned worker);
void queue_world_settle(struct queue_world *x);            /* turns all until nobody has anything to do */
void queue_world_pass(struct queue_world *x, uint64_t ms); /* time goes by for all; queue_set_second runs each second */
uint64_t queue_world_unix_ms(const struct queue_world *x);
void queue_world_check(const struct queue_world *x); /* queue_set_check of all workers */

/* No argument given. */
struct queue_arguments queue_world_arguments(void);
/* Spans of `a` are copied. NULL arguments: none. */
const struct catalog_queue *queue_world_declare(struct queue_world *x, const char *name, unsigned owner, bool durable,
                                                const struct queue_arguments *a);
struct queue_world_queue *queue_world_find(const struct queue_world *x, const char *name);
struct queue *queue_world_queue(const struct queue_world *x, const char *name); /* at its owner; NULL: gone */

struct queue_world_message {
    const void *body;
    size_t body_bytes; /* 0: body is text */
    uint64_t ttl_ms;   /* as the property; UINT64_MAX or, for convenience, 0 with no_ttl false: none */
    bool has_ttl;      /* ttl_ms counts, 0 too */
    uint64_t delay_ms;
    uint8_t priority;
    bool persistent;
    struct mr_span properties; /* length 0: none */
};

struct queue_world_publication {
    struct publication publication;
    struct queue_world *world;
    bool answered;
    unsigned targets, rejected, failed;
};
/* From `worker` to the queue called `name`. *p (may be NULL) is filled when it is answered. False: no memory. */
bool queue_world_publish(struct queue_world *x, unsigned worker, const char *name, const struct queue_world_message *m,
                         struct queue_world_publication *p);
bool queue_world_publish_text(struct queue_world *x, unsigned worker, const char *name, const char *text);

/* Sends a request from `worker`, turns all until it is answered, and shows the answer. */
struct queue_request queue_world_ask(struct queue_world *x, unsigned worker, const char *name,
                                     const struct queue_request *r, const uint64_t *entries, uint32_t n);
/* Sends it without waiting. */
void queue_world_send(struct queue_world *x, unsigned worker, uint64_t queue_id, const struct queue_request *r,
                      const uint64_t *entries, uint32_t n);
enum queue_result queue_world_settle_entry(struct queue_world *x, unsigned worker, const char *name, uint64_t entry,
                                           enum queue_settle how);
/* Gets one. False: empty. The body as text; `entry` may be NULL: no_ack. */
bool queue_world_get(struct queue_world *x, unsigned worker, const char *name, char *text, size_t bytes,
                     uint64_t *entry, bool *redelivered);
struct queue_status queue_world_status(struct queue_world *x, const char *name);
size_t queue_world_body(const struct message *m, char *text, size_t bytes); /* zero-terminated */

struct queue_world_delivery {
    uint64_t entry;
    char body[24];
    uint32_t deliveries;
    bool redelivered;
};
struct queue_world_consumer {
    struct queue_subscriber subscriber;
    struct queue_world *world;
    unsigned worker;
    char queue[64];
    bool hold;   /* deliveries stay here until queue_world_return */
    bool refuse; /* they go back unwritten */
    struct queue_delivery *held, **held_end;
    struct queue_world_delivery *got; /* all, in order */
    unsigned count, room;
    bool cancelled; /* told so */
};
/* `options` as of a request: no_ack, exclusive, prefetch, priority; NULL: none. `c` must stay until it is cancelled or told so. */
enum queue_result queue_world_consume(struct queue_world *x, struct queue_world_consumer *c, unsigned worker,
                                      const char *name, const struct queue_request *options);
enum queue_result queue_world_cancel(struct queue_world_consumer *c);
unsigned queue_world_return(struct queue_world_consumer *c, unsigned n); /* how many it gave back */
void queue_world_consumer_free(struct queue_world_consumer *c);          /* what it remembers */

#endif
