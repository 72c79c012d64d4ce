/* The append-only log of a process: what workers append, in which order it enters the file, when it is on the disk.
 *
 *     worker: cache_log_append -> outbox --mr_post, once a turn--> worker 0: order.c -> queue -> mr_offload: write.c
 *        ^                                                                                            |
 *        '---- records go home; "durable has advanced" <----------------------------------------------'
 *
 * One struct cache_log per process, made before the workers; one struct cache_log_worker per worker. README.md has the
 * promises, record.h the bytes, snapshot.h the background rewrite. */
#ifndef SERVICES_CACHE_LOG_H
#define SERVICES_CACHE_LOG_H

#include <millrace/types.h>

#include "cache/cache.h"
#include "cache/durable/record.h"

enum cache_log_repair { CACHE_REPAIR_TAIL, CACHE_REPAIR_NONE, CACHE_REPAIR_TRUNCATE };
#define CACHE_LOG_REPAIR_NAMES ((const char *const[]){"tail", "none", "truncate", NULL})

struct cache_log_options {
    const char *folder;
    bool log; /* false: snapshots only (cache.snapshot) */
    enum cache_fsync fsync;
    enum cache_log_repair repair;
    unsigned workers;
    uint64_t rewrite_percentage; /* 0: no automatic rewrite */
    uint64_t rewrite_bytes_min;
    uint64_t held_bytes_max; /* a worker: unwritten bytes, extents included, after which cache_log_ready is false */
    bool no_uring;           /* plain writes even where io_uring is to be had */
};
#define CACHE_LOG_HELD_BYTES_DEFAULT (UINT64_C(32) << 20)

/* Not a command of clients: the replay gets it for an entry with memcached's part: key, flags, cas, meta in decimal. */
#define CACHE_LOG_MEMCACHED "_MEMCACHED"

/* Replay: each function is called in the order of the log; `command` returns false to refuse the start. begin and end
 * embrace the commands of one transaction; they may be NULL. Long arguments are plain bytes here, never ropes. */
struct cache_log_target {
    void (*begin)(void *context, uint64_t ms);
    bool (*command)(void *context, unsigned database, const struct cache_argument *argv, unsigned argc);
    void (*end)(void *context);
    void *context;
};

/* Opens and locks the folder; nothing is read yet. MR_OK, MR_ERROR_IN_USE (another process has it), MR_ERROR_SYSTEM,
 * MR_ERROR_NO_MEMORY; the reason is logged. `o` is copied, its folder too. */
int cache_log_open(const struct cache_log_options *o, struct cache_log **out);
/* Replays what the folder holds, repairs as the options say, and makes ready to append. Blocks; before any worker
 * turns. MR_OK, MR_ERROR_INVALID (damage that the options do not allow to repair, or a refused command),
 * MR_ERROR_SYSTEM; the reason is logged with file and offset. */
int cache_log_load(struct cache_log *log, const struct cache_log_target *target);
/* After every worker has ended, before any store is released: writes and syncs what is still on its way, frees all. */
void cache_log_close(struct cache_log *log);

/* Functions that a worker's instance gives; each runs on its worker. Members may be NULL. */
struct cache_log_hooks {
    void (*durable)(void *context); /* some shard's durable number has advanced, or the state of errors has changed */
    /* Gives an extent back that a record held. NULL: cache_extent_drop at once. */
    void (*drop)(void *context, struct cache_extent *x);
    void (*rewrite)(void *context); /* worker 0 alone: a rewrite is due: hold all shards, cache_snapshot_begin */
    void (*snapshot)(void *context, bool done); /* worker 0 alone: a snapshot or rewrite has ended, well or not */
    void *context;
};
/* `log` must be loaded; each worker once, in start. NULL: no memory. Freed by cache_log_close. */
struct cache_log_worker *cache_log_worker_create(struct cache_log *log, struct mr_worker *w,
                                                 const struct cache_log_hooks *hooks);
/* The service stops: what is in the outbox is posted, timers are disarmed. Appending goes on to be possible. */
void cache_log_worker_stop(struct cache_log_worker *lw);

struct cache_log_command {
    unsigned database;
    unsigned argc;
    const struct cache_argument *argv; /* bytes are copied, extents of ropes held */
};
/* Appends one transaction of commands that were executed just now on shards that are this worker's, or held by it:
 * numbers it in each shard (parts[i].shard is given, .sequence is filled), the first one's number is returned.
 * Cannot fail. With snapshots alone nothing is kept, and every number is 0. */
uint64_t cache_log_append(struct cache_log_worker *lw, struct cache_log_part *parts, unsigned part_count, uint64_t ms,
                          const struct cache_log_command *commands, unsigned count);
/* False: too much is unwritten, a command that would append must wait (CACHE_AGAIN); the durable hook tells when it
 * is worth asking again. Nor may anything expire or be evicted then. */
bool cache_log_ready(const struct cache_log_worker *lw);
/* True: on the disk (always), or given to the kernel (everysec, no). Any worker may ask about any shard. */
bool cache_log_durable(const struct cache_log_worker *lw, unsigned shard, uint64_t sequence);
/* 0, or the errno with which writing fails at present: writes are refused then, with the text below. It is retried. */
int cache_log_error(const struct cache_log_worker *lw);
void cache_log_error_text(const struct cache_log_worker *lw, char text[128]); /* "MISCONF Errors writing to ..." */

void cache_log_set_fsync(struct cache_log *log, enum cache_fsync fsync);                    /* on worker 0 */
void cache_log_set_rewrite(struct cache_log *log, uint64_t percentage, uint64_t bytes_min); /* on worker 0 */

/* On worker 0, or before it turns: the log is rewritten soon, since replaying it does not give what the stores hold. */
void cache_log_want_rewrite(struct cache_log *log);

/* For INFO and tests, from any worker: each number is true of some moment. */
struct cache_log_status {
    bool log, rewriting, saving, last_rewrite_ok, last_save_ok;
    int error;
    enum cache_fsync fsync;
    bool uring;
    uint64_t bytes, base_bytes; /* of log and base; right after start or the last rewrite */
    uint64_t pending_bytes;     /* admitted, not written */
    uint64_t records, syncs, writes;
    uint64_t generation;
    uint64_t rewrites, saves; /* ended well */
    uint64_t last_save_ms;    /* Unix; 0: never */
    uint64_t loaded_transactions, loaded_commands, torn_bytes;
};
void cache_log_status(const struct cache_log *log, struct cache_log_status *out);

#endif
