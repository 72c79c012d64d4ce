/* One instance of the cache: what a worker owns. Every instance holds the shard of the keyspace whose keys hash to it; the
 * instances know each other through `shared` and talk by messages (shard/). */
#ifndef SERVICES_CACHE_CACHE_H
#define SERVICES_CACHE_CACHE_H

#include <millrace/service.h>
#include <millrace/turn.h>

#include "cache/resp/reply.h"
#include "cache/store/store.h"
#include "cache/type/encoding_limits.h"

struct cache;
struct cache_blocked;
struct cache_blocked_key;
struct cache_connection;
struct cache_item;
struct cache_log;
struct cache_log_command;
struct cache_log_worker;
struct cache_pubsub;
struct cache_slowlog;
struct cache_watch;

extern const struct mr_service cache_service;

enum cache_durability { CACHE_DURABLE_NONE, CACHE_DURABLE_LOG, CACHE_DURABLE_SNAPSHOT };
enum cache_fsync { CACHE_FSYNC_ALWAYS, CACHE_FSYNC_EVERYSEC, CACHE_FSYNC_NO };

struct cache_config {
    struct mr_endpoint listen;    /* RESP */
    struct mr_endpoint memcached; /* port 0: off */
    uint64_t memory_max;          /* bytes of the keyspace, all workers together */
    char *policy;                 /* eviction */
    char *password;               /* NULL: none wanted */
    uint64_t connections_max;     /* a worker */
    uint64_t client_memory_max;   /* bytes of queries and replies of all connections of a worker */
    uint64_t query_bytes_max;     /* of one connection: a command that is not whole yet */
    uint64_t reply_bytes_max;     /* of one connection: copied reply bytes that its peer has not taken */
    uint64_t push_bytes_max;      /* of one subscriber: messages that its peer has not taken */
    mr_time reply_timeout;        /* a peer that takes nothing for so long is cut */
    mr_time idle_timeout;         /* 0: never */
    uint64_t commands_per_turn;   /* pipelined commands of one connection before the others have their turn */
    uint64_t item_bytes_max;      /* memcached's item_size_max */
    int durability;               /* enum cache_durability */
    int fsync;                    /* enum cache_fsync */
    char *folder;                 /* of log and snapshot */
    int log_repair;
    uint64_t rewrite_percentage, rewrite_bytes_min;
};

enum cache_counter {
#define COUNTER(symbol, name, sentence) CACHE_COUNTER_##symbol,
#include "cache/counter.def"
#undef COUNTER
    CACHE_COUNTERS
};

/* What CONFIG SET changes while running; each worker has its copy and hears of changes by message. */
struct cache_settings {
    uint64_t memory_max;
    char policy[32];
    char password[512]; /* "": none */
    uint64_t timeout_s;
    int64_t slowlog_slower_than_us; /* negative: off */
    uint64_t slowlog_length_max;
    uint64_t clients_max;
    uint64_t proto_max_bulk_len;
    uint64_t query_bytes_max, reply_bytes_max, push_bytes_max;
    int64_t fsync; /* enum cache_fsync */
    int64_t rewrite_percentage;
    uint64_t rewrite_bytes_min;
    bool active_expire; /* DEBUG SET-ACTIVE-EXPIRE */
    struct cache_type_limits limits;
    int64_t accepted[32]; /* taken and shown, without effect: parameter.c */
};

/* One a process. Made before the workers, changed by nobody but as said. */
struct cache_shared {
    unsigned workers;
    struct cache *instance[CACHE_WORKERS_MAX]; /* written by each start, before any worker turns */
    const struct cache_config *config;
    struct cache_log *log; /* NULL: no durability; worker 0's, others reach it by message */
    uint64_t started_ms;   /* Unix */
    char run_id[41];
    uint64_t secret[2]; /* of hash tables */
};

/* Error replies that begin with the same word. */
struct cache_error_count {
    char code[15];
    uint64_t count;
};
#define CACHE_ERROR_CODES 32

struct cache {
    struct mr_worker *worker;
    uint64_t *counters;
    struct cache_shared *shared;
    const struct cache_config *config;
    struct cache_settings settings;
    unsigned index, workers;
    bool stopping;
    bool shared_own; /* a single instance that made `shared` itself */
    struct mr_listener *listener, *memcached_listener;
    uint64_t memcached_flush_ms; /* when flush_all takes effect here, Unix; 0: none is due */

    struct cache_store store;
    struct memory clients; /* queries, replies, messages, everything a connection holds */
    struct memory waiting; /* who waits for keys of this shard: of whoever has the shard, our worker or who holds it */

    /* Time: Unix ms = monotonic + offset, looked at once a second. */
    int64_t unix_offset_ns;
    int64_t monotonic_offset_ns; /* at start: mr_now may be another clock than the system\'s */
    uint64_t now_ms;             /* of this turn */
    bool in_turn;                /* the store was prepared for this turn, and turn_end is due */
    struct mr_timer second;      /* each second */
    struct mr_timer background;  /* the next expiry, or more to do */
    mr_time background_armed;
    struct mr_deferred turn_end;

    /* Connections. */
    struct cache_connection *connections; /* array of connections_max */
    uint32_t connections_used, connections_open;
    struct cache_connection *free_connections;
    struct cache_connection *room_waiters, **room_waiters_end;   /* CACHE_AGAIN: called again next turn */
    struct cache_connection *store_waiters, **store_waiters_end; /* this shard is held by another worker */
    struct cache_connection *gated;                              /* replies wait for the log */
    struct cache_connection *paused, **paused_end;               /* CLIENT PAUSE */
    mr_time pause_until;                                         /* 0: no pause */
    bool pause_writes;                                           /* only writes wait */
    struct mr_timer pause;
    uint64_t *gates; /* of each connection, a sequence for each shard; NULL without a log */
    struct cache_connection *resumed, **resumed_end; /* had their share of a turn */
    struct cache_connection *pushed, **pushed_end;   /* got pushed messages in this turn */
    struct cache_connection *running;                /* whose commands are being run; NULL: none */
    uint64_t connection_next;                        /* sequence in their ids */

    /* Scratch, each used within one call only. */
    struct cache_argument *argv;            /* CACHE_ARGUMENTS_MAX */
    struct cache_argument *log_argv;        /* with a log: what one record consists of, CACHE_LOG_ARGUMENTS */
    struct cache_log_command *log_commands; /* as many */
    uint8_t *scratch;                       /* CACHE_SCRATCH_BYTES, replies */
    struct cache_reply reply;               /* the reply of the connection that has its turn */
    struct cache_reply discard;             /* what CLIENT REPLY OFF throws away */
    struct cache_reply aside;               /* what is said of a command before it is known where it runs */

    /* What the commands of several keep. */
    struct cache_watch *watch;
    struct cache_blocked *blocked;
    uint32_t waiters; /* clients of any worker that wait for a key of this shard, once a key */
    struct cache_blocked_key *ready, **ready_end; /* keys whose waiters are served after the call */
    struct cache_pubsub *pubsub;
    struct cache_slowlog *slowlog;
    struct cache_log_worker *log; /* NULL: no durability */
    uint64_t saved_changes;       /* store.changes when the last snapshot had ended */
    uint64_t log_sequence;        /* last record of this shard that was appended */
    uint64_t *command_calls;      /* by position in the table: INFO commandstats */
    uint64_t *command_us;
    struct cache_error_count errors[CACHE_ERROR_CODES]; /* INFO errorstats; those that come too late have no row */
    uint64_t counters_before[CACHE_COUNTERS];           /* when CONFIG RESETSTAT was said: INFO shows what came since */

    /* shard/ */
    struct cache_item *outbox[CACHE_WORKERS_MAX], **outbox_end[CACHE_WORKERS_MAX];
    struct cache_hold *holder; /* whose command this store is lent to; NULL: ours */
    struct cache_hold *hold_queue, **hold_queue_end;
    struct cache_request *stalled, **stalled_end; /* requests that came while held */
    struct cache_homeward *homeward;              /* for each worker */
    struct cache_reply_block *drops;              /* extents let go by peers while held */

    /* Sampled each second, for INFO. */
    uint64_t commands_before, bytes_in_before, bytes_out_before;
    uint64_t commands_per_second, bytes_in_per_second, bytes_out_per_second;
};
#define CACHE_LOG_ARGUMENTS (16u << 20) /* an effect takes 64 bytes of clients' memory at least: 1 GiB of them */
#define CACHE_SCRATCH_BYTES (64u << 10)

/* The member `check` of cache_service. */
bool cache_config_check(const void *configuration, char *message, size_t message_bytes);

/* Brings time and the budgets of the store to this turn; called first in every event. */
void cache_turn_begin(struct cache *cache);

static inline uint64_t cache_unix_ms(const struct cache *cache, mr_time t)
{
    return (uint64_t)((int64_t)t + cache->unix_offset_ns) / 1000000;
}

#endif
