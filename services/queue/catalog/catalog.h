/* What is declared: virtual hosts, exchanges, queues' entries, bindings. Each worker has a whole replica and reads it freely; worker 0
 * decides every change, in one order, and tells all. A change is answered when every replica has it: what a client declared on one
 * connection is there for every other, whatever its worker.
 *
 *     session: catalog_change --> worker 0: legal? number it, log it (durable ones) --> every worker: apply --> worker 0 --> session: done
 *
 * Durable entries are in the log `catalog` of worker 0's engine, and come back at start. */
#ifndef SERVICES_QUEUE_CATALOG_H
#define SERVICES_QUEUE_CATALOG_H

#include "queue/broker.h"
#include "queue/shard/shard.h"

enum exchange_type { EXCHANGE_DIRECT, EXCHANGE_FANOUT, EXCHANGE_TOPIC, EXCHANGE_HEADERS };
#define EXCHANGE_TYPE_NAMES   ((const char *const[]){"direct", "fanout", "topic", "headers", NULL})
#define EXCHANGE_TYPE_DELAYED "x-delayed-message" /* with the argument x-delayed-type */

struct catalog_exchange {
    unsigned vhost;
    enum exchange_type type;
    bool delayed; /* the header x-delay (ms) is obeyed */
    bool durable, auto_delete, internal;
    struct mr_span name;      /* "" is the default exchange */
    struct mr_span alternate; /* length 0: none */
    struct mr_span arguments; /* the table, as declared */
    /* bindings and indexes: private to routing */
};

enum queue_overflow { OVERFLOW_DROP_HEAD, OVERFLOW_REJECT_PUBLISH, OVERFLOW_REJECT_PUBLISH_DLX };

/* Arguments of a queue as plain values (arguments.c); what is unknown is ignored, what is malformed is PRECONDITION_FAILED. */
struct queue_arguments {
    uint64_t message_ttl_ms;             /* x-message-ttl; UINT64_MAX: none */
    uint64_t expires_ms;                 /* x-expires; 0: none */
    uint64_t length_max;                 /* x-max-length; UINT64_MAX: none */
    uint64_t length_bytes_max;           /* x-max-length-bytes */
    enum queue_overflow overflow;        /* x-overflow */
    bool dead_letter;                    /* x-dead-letter-exchange is there */
    struct mr_span dead_letter_exchange; /* "" is the default exchange */
    bool dead_letter_key_given;
    struct mr_span dead_letter_key;   /* x-dead-letter-routing-key */
    uint8_t priority_max;             /* x-max-priority; 0: none */
    bool single_active_consumer;      /* x-single-active-consumer */
    uint64_t delivery_limit;          /* x-delivery-limit; UINT64_MAX: none */
    enum queue_durability durability; /* x-durability: memory, written, fsync */
};

struct catalog_queue {
    uint64_t id; /* never used twice, restarts included */
    unsigned vhost;
    unsigned owner; /* worker */
    bool durable, auto_delete;
    uint64_t exclusive; /* the connection that alone may use it; 0: anybody */
    struct mr_span name;
    struct mr_span table; /* arguments as declared */
    struct queue_arguments arguments;
    bool deleted; /* its id is dead; memory stays until nobody can have seen it */
};

/* Replica: from the worker itself, valid until this worker's next turn. */
unsigned catalog_vhost_find(const struct catalog *c, struct mr_span name); /* UINT_MAX: none */
const char *catalog_vhost_name(const struct catalog *c, unsigned vhost);
const struct catalog_exchange *catalog_exchange_find(const struct catalog *c, unsigned vhost, struct mr_span name);
const struct catalog_queue *catalog_queue_find(const struct catalog *c, unsigned vhost, struct mr_span name);
const struct catalog_queue *catalog_queue_by_id(const struct catalog *c, uint64_t id);
/* Each queue of a virtual host (UINT_MAX: of all), in no order. */
void catalog_queue_each(const struct catalog *c, unsigned vhost,
                        void (*visit)(void *context, const struct catalog_queue *q), void *context);
void catalog_exchange_each(const struct catalog *c, unsigned vhost,
                           void (*visit)(void *context, const struct catalog_exchange *x), void *context);

/* What is bound, in no order. Spans are the catalog's, valid during the call. */
struct catalog_binding_info {
    unsigned vhost;
    struct mr_span source, destination, key, arguments;
    bool to_exchange; /* the destination is an exchange, not a queue */
};
void catalog_binding_each(const struct catalog *c, unsigned vhost,
                          void (*visit)(void *context, const struct catalog_binding_info *b), void *context);

/* The queues that a message goes to, each once, through exchange bindings and alternate exchanges. `headers`: the table of the properties
 * (length 0: none). The array is the catalog's, valid until the next call. */
unsigned catalog_route(struct catalog *c, const struct catalog_exchange *x, const struct mr_span *keys,
                       unsigned key_count, struct mr_span headers, const struct catalog_queue *const **out);

enum catalog_verb {
    CATALOG_EXCHANGE_DECLARE,
    CATALOG_EXCHANGE_DELETE, /* if_unused */
    CATALOG_QUEUE_DECLARE,
    CATALOG_QUEUE_DELETE, /* said by the owner alone: queue_delete (core) asks it first */
    CATALOG_BIND,         /* name: queue, source: exchange */
    CATALOG_UNBIND,
    CATALOG_EXCHANGE_BIND, /* name: destination exchange */
    CATALOG_EXCHANGE_UNBIND,
};

enum catalog_result {
    CATALOG_OK,
    CATALOG_NOT_FOUND,           /* 404 */
    CATALOG_ACCESS_REFUSED,      /* 403: reserved names, the default exchange */
    CATALOG_RESOURCE_LOCKED,     /* 405: somebody else's exclusive queue */
    CATALOG_PRECONDITION_FAILED, /* 406: declared before with other properties; in use; bad argument */
    CATALOG_COMMAND_INVALID,     /* 503: unknown exchange type */
    CATALOG_NOT_ALLOWED,         /* 530 */
    CATALOG_NO_MEMORY,           /* 506 RESOURCE_ERROR: also a limit of queues, exchanges, bindings */
};

/* Given by the asker, who keeps it until `done`; its bytes (names, table) likewise, on the asker's worker. */
struct catalog_change {
    struct broker_item item;
    struct broker *home;
    enum catalog_verb verb;
    unsigned vhost;
    struct mr_span name;        /* of the queue or exchange */
    struct mr_span source, key; /* of bindings */
    struct mr_span arguments;   /* table without its length; length 0: empty */
    enum exchange_type exchange_type;
    bool delayed;
    bool durable, auto_delete, internal, exclusive;
    bool if_unused;
    bool no_create;      /* declare: good only for what is there, because the asker may not make it so */
    uint64_t connection; /* of the asker; 0: none. Exclusive queues are its own */
    uint64_t queue_id;   /* CATALOG_QUEUE_DELETE */
    void (*done)(struct catalog_change *change); /* on `home`, never from inside catalog_change */
    void *context;

    enum catalog_result result;
    char text
        [256]; /* why, as RabbitMQ words it: "inequivalent arg 'durable' for queue 'q' in vhost '/': received ..." */
    bool created;
    struct catalog_change *next; /* private */
    uint64_t log_offset;         /* private: safe when the log is so far */
};
void catalog_change(struct broker *b, struct catalog_change *change);
struct qlog;
/* The engine's hook, for every log: answers the changes that wait for the catalog's. */
void catalog_log_advanced(struct broker *b, struct qlog *log);

/* Told on the owner, in the order of the changes: core. */
struct catalog_hooks {
    void (*queue_added)(struct broker *b, const struct catalog_queue *q);
    void (*queue_removed)(struct broker *b, const struct catalog_queue *q);
    void (*exchange_removed)(struct broker *b, const struct catalog_exchange *x);
};

/* Before the workers: reads the log and the configuration's virtual hosts. MR_OK or an enum mr_error; the reason is logged. */
int catalog_source_open(struct broker_shared *shared, struct catalog_source **out);
void catalog_source_close(struct catalog_source *s);
bool catalog_start(struct broker *b, const struct catalog_hooks *hooks); /* applies the source; hooks are called */
void catalog_release(struct broker *b);
void catalog_check(const struct catalog *c); /* every index against every list; tests */

/* users.c: who may what. From the configuration alone. */
enum catalog_right { RIGHT_CONFIGURE, RIGHT_WRITE, RIGHT_READ };
const struct queue_user *catalog_user_check(const struct queue_config *config, struct mr_span name,
                                            struct mr_span password);
bool catalog_user_vhost(const struct queue_user *user, const char *vhost);
bool catalog_user_may(const struct queue_user *user, const char *vhost, enum catalog_right right, struct mr_span name);

#endif
