/* One instance of the queue service: what a worker owns, and what all share. */
#ifndef SERVICES_QUEUE_BROKER_H
#define SERVICES_QUEUE_BROKER_H

#include <millrace/service.h>
#include <millrace/turn.h>

#include "memory/memory.h"
#include "queue/limits.h"
#include "queue/message.h"

struct amqp_server;
struct broker_alarm_news;
struct broker_item;
struct catalog;
struct catalog_exchange;
struct catalog_queue;
struct catalog_source;
struct qlog_engine;
struct interface;
struct queue_set;

extern const struct mr_service queue_service;

/* How safe a message is when it is confirmed, weakest first. In words in README.md and the reference. */
enum queue_durability {
    QUEUE_MEMORY,  /* it is in the queue; lost when the process ends */
    QUEUE_WRITTEN, /* the kernel has it: survives the process, not a power loss */
    QUEUE_FSYNC,   /* the disk has said that it has it */
};
#define QUEUE_DURABILITY_NAMES ((const char *const[]){"memory", "written", "fsync", NULL})

struct queue_permission {
    char *vhost;
    char *configure, *write,
        *read; /* extended regular expressions over names, anchored as they are written; "" matches only "" */
    struct catalog_patterns *patterns; /* the three, compiled: catalog/users.c */
};

struct queue_user {
    char *name, *password, *password_file;
    struct queue_permission *permissions;
    unsigned permission_count;
};

struct queue_config {
    struct mr_endpoint listen; /* AMQP 0-9-1 */
    char *folder;   /* of the logs; NULL: nothing is durable, and declaring durable queues still works as in memory */
    int durability; /* enum queue_durability: preset of durable queues */
    uint64_t
        memory_max; /* bytes of messages, queues and sessions, all workers together; above 3/4 of it publishers are blocked */
    uint64_t disk_free_min;   /* bytes; below it publishers are blocked */
    uint64_t segment_bytes;   /* of a log's segment */
    uint64_t connections_max; /* a worker */
    uint64_t channels_max;    /* a connection */
    uint64_t frame_bytes_max;
    uint64_t message_bytes_max;
    uint64_t queues_max;         /* all virtual hosts together; exchanges likewise; bindings 16 times as many */
    uint64_t unacknowledged_max; /* a channel: deliveries not acknowledged, whatever its prefetch */
    mr_time heartbeat;           /* proposed; 0: none */
    mr_time handshake_timeout;
    struct queue_vhost {
        char *name;
    } * vhosts;
    unsigned vhost_count; /* none: "/" */
    struct queue_user *users;
    unsigned user_count; /* none: guest, password guest, with all rights; a line in the log says so */
};

enum queue_counter {
#define COUNTER(symbol, name, sentence) QUEUE_COUNTER_##symbol,
#define GAUGE(symbol, name, sentence)   QUEUE_COUNTER_##symbol,
#include "queue/counter.def"
#undef COUNTER
#undef GAUGE
    QUEUE_COUNTERS
};

/* One a process, made before the workers. */
struct broker_shared {
    unsigned workers;
    struct broker *instance[QUEUE_WORKERS_MAX]; /* written by each start, before any worker turns */
    const struct queue_config *config;
    struct catalog_source *source; /* what the catalog's log holds, read at start: catalog/catalog.h */
    char node[64];                 /* of server properties and generated names */
};

struct broker {
    struct mr_worker *worker;
    uint64_t *counters; /* the worker's; after `release` those below, which nobody reads */
    uint64_t counters_after[QUEUE_COUNTERS];
    struct broker_shared *shared;
    const struct queue_config *config;
    unsigned index, workers;
    bool stopping;
    struct memory memory;        /* messages, entries, sessions, catalog: everything that lives on this worker */
    int64_t unix_offset_ns;      /* Unix time = mr_now + offset, looked at once a second */
    int64_t monotonic_offset_ns; /* of the clock that the turns go by, or virtual */
    struct mr_timer second;

    struct catalog *catalog;     /* this worker's replica */
    struct qlog_engine *engine;  /* its logs; NULL: no folder */
    struct queue_set *queues;    /* those that it owns */
    struct amqp_server *amqp;    /* its connections */
    struct interface *interface; /* other services of this process: interface/ */
    struct broker_disk {
        bool asked; /* an offload thread is looking; then it owns the two below */
        bool known;
        uint64_t free_bytes;
    } disk;
    struct broker_notice { /* notice.c: what the log has been told, and what it will be */
        uint64_t logins_refused;
        uint32_t alarms;
        uint8_t user_length;
        char user[64];
        struct mr_endpoint peer;
    } notice;

    /* shard/ */
    struct broker_item *outbox[QUEUE_WORKERS_MAX], **outbox_end[QUEUE_WORKERS_MAX];
    struct mr_deferred turn_end;

    /* Why publishers are held up: of all workers, told by each to all (shard/alarm.c). */
    uint32_t alarms; /* enum broker_alarm bits, of any worker */
    uint32_t alarms_own;
    uint8_t alarms_of[QUEUE_WORKERS_MAX];
    struct broker_alarm_news *news; /* one a worker, made at start: an alarm is told when there is no memory, too */
};

enum broker_alarm {
    BROKER_ALARM_MEMORY = 1, /* "low on memory" */
    BROKER_ALARM_DISK = 2,   /* "low on disk": free space under disk_free_min */
    BROKER_ALARM_LOG = 4,    /* a log cannot be written: full disk, I/O error; or more is unwritten than may be */
};

static inline uint64_t broker_unix_ms(const struct broker *b)
{
    return (uint64_t)((int64_t)mr_now(b->worker) + b->unix_offset_ns) / 1000000;
}

/* The text of basic.blocked for the lowest alarm set; NULL: none. */
const char *broker_alarm_text(uint32_t alarms);
/* Sets or clears an alarm of this worker and tells all; then amqp_server_alarms_changed runs on each. */
void broker_alarm_set(struct broker *b, enum broker_alarm alarm, bool on);
/* Called where memory was taken: sets BROKER_ALARM_MEMORY above 3/4 of the limit, clears it below 5/8. */
void broker_memory_look(struct broker *b);

#endif
