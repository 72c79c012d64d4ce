/* What log, snapshot and load share among themselves. Three sets of owners, and each member says which: a worker
 * (its own cache_log_worker), worker 0 (order and durability), the one job that is outstanding (files). */
#ifndef SERVICES_CACHE_LOG_STATE_H
#define SERVICES_CACHE_LOG_STATE_H

#include <millrace/mailbox.h>
#include <millrace/timer.h>
#include <millrace/turn.h>
#include <stdatomic.h>

#include "cache/durable/folder.h"
#include "cache/durable/log.h"

struct cache_log_file;

#define LOG_JOB_BYTES       (UINT64_C(16) << 20)   /* of one job: bounds how long a commit waits for the one before */
#define LOG_RETRY           (100 * MR_MILLISECOND) /* after an error of the disk */
#define LOG_OWED_RETRY      MR_MILLISECOND         /* after a full mailbox */
#define LOG_SYNC_EVERY      MR_SECOND
#define LOG_MEMORY_REGION   (UINT64_C(8) << 30)  /* address space of a worker's records: see cache_log_append */
#define LOG_OUT_BYTES       (UINT32_C(32) << 10) /* of a record of a snapshot, about */
#define SNAPSHOT_HELD_BYTES (UINT64_C(4) << 20)  /* a worker: walked, not written; then the walk waits */
#define SNAPSHOT_SYNC_BYTES (UINT64_C(8) << 20)  /* of a base between syncs, so that its last one is short */

/* Bytes of a record beyond the first ones: in memory of the worker, or an extent that is held. */
struct cache_log_piece {
    struct cache_log_piece *next;
    struct cache_extent *extent;
    const uint8_t *data;
    uint32_t length;
    uint32_t capacity; /* of bytes[] */
    uint8_t bytes[];
};

enum cache_log_kind {
    LOG_RECORD,           /* a transaction */
    LOG_SNAPSHOT_RECORD,  /* entries of a snapshot */
    LOG_SNAPSHOT_BEGUN,   /* control: no bytes; in order with the records of the same worker */
    LOG_SNAPSHOT_WALKED,  /* a shard is written */
    LOG_SNAPSHOT_FLUSHED, /* nothing more of the snapshot comes from this worker */
};

/* One allocation of the worker that appends; it goes home to be freed. */
struct cache_log_record {
    struct cache_log_record *next;
    struct cache_log_record *newer, *older; /* all of its worker's that are not freed */
    struct cache_log_worker *origin;
    uint64_t generation; /* of the log that it belongs to: fixed when it was appended */
    uint64_t disk_bytes; /* header and padding included */
    uint64_t held_bytes; /* of memory, extents included */
    uint64_t commands;
    enum cache_log_kind kind;
    bool admitted; /* its order is settled: in the queue, a job, or on its way home */
    unsigned part_count;
    uint32_t alloc_bytes;
    struct cache_log_piece *pieces;
    uint8_t *head; /* header of the record and the first bytes of its payload */
    uint32_t head_length;
    struct cache_log_part parts[];
};

struct cache_log_list {
    struct cache_log_record *first, *last;
    uint64_t bytes, count;
};

static inline void log_list_add(struct cache_log_list *l, struct cache_log_record *r)
{
    r->next = NULL;
    if (l->last)
        l->last->next = r;
    else
        l->first = r;
    l->last = r;
    l->bytes += r->disk_bytes;
    l->count++;
}

static inline struct cache_log_record *log_list_take(struct cache_log_list *l)
{
    struct cache_log_record *r = l->first;
    if (!r)
        return NULL;
    l->first = r->next;
    if (!l->first)
        l->last = NULL;
    l->bytes -= r->disk_bytes;
    l->count--;
    return r;
}

/* Writes a record piece by piece; used by one worker within one call, or kept open by its snapshot. */
struct cache_log_out {
    struct cache_log_worker *worker;
    struct cache_log_record *record; /* NULL: not open */
    struct cache_log_piece *last;
    uint8_t *at, *end;
    uint64_t left;            /* upper bound of own bytes to come */
    const uint8_t *databases; /* of entries: by color */
    bool late;                /* kept until the walks have ended */
};

/* Where a collection stands between two pieces; all zero: at its begin. Good until the collection changes. */
struct cache_dump_at {
    bool begun;
    uint64_t position[2];
};

/* The walk of a shard; changed by its worker, or by who holds the shard. */
struct cache_walk {
    bool walking;
    bool active;                        /* a large collection is being written over turns: `key` */
    uint8_t databases[CACHE_DATABASES]; /* by color, as they were at the begin */
    unsigned color;
    uint64_t cursor;
    unsigned key_color;
    uint32_t key_length;
    struct cache_dump_at at;
    uint8_t key[CACHE_KEY_MAX];
};

struct cache_log_worker {
    struct cache_log *log;
    struct mr_worker *worker;
    unsigned index;
    struct cache_log_hooks hooks;
    struct memory memory;
    uint64_t held_bytes;          /* of records not back yet */
    uint64_t snapshot_held_bytes; /* of them, of the snapshot */
    struct cache_log_record *live;
    struct cache_log_list outbox;
    struct mr_deferred turn_end;
    uint64_t sequence; /* the last number given in this shard; whoever holds the shard counts it */
    struct cache_log_out snapshot_out;
    struct cache_log_list late; /* of the snapshot: must come after all that other workers have sent */
    struct cache_walk walk;
    atomic_bool notified; /* a notice is on its way */
    bool was_full;
};

/* A log or base being written; owned by the job. */
struct cache_log_file {
    int fd; /* -1: none */
    uint64_t id, generation;
    uint64_t size;   /* bytes of whole records */
    uint64_t synced; /* of them, on the disk */
};

/* One outstanding at most; its members belong to the offload thread from submit to done. */
struct cache_log_job {
    struct cache_log *log;
    bool outstanding, finished;
    struct cache_log_list records;
    bool sync;
    uint64_t switch_to; /* generation; 0: none */
    bool finish;        /* the base is complete: the manifest names it */
    int error;          /* errno; 0: all done */
    const char *what;
};

struct cache_base_job {
    struct cache_log *log;
    bool outstanding, finished;
    struct cache_log_list records;
    bool begin, end, discard;
    int error;
};

enum { OWED_HOME = 1, OWED_NOTICE = 2, OWED_FLUSH = 4 };

struct cache_log {
    struct cache_log_options options;
    struct cache_folder folder;
    struct cache_log_worker *worker[CACHE_WORKERS_MAX];
    unsigned workers;
    bool loaded, stopping, closing;

    /* Written while every shard is held, read by whoever appends or admits afterwards. */
    uint64_t cut[CACHE_WORKERS_MAX]; /* the last transaction of each shard before the switch */
    _Atomic uint64_t append_generation;
    _Atomic uint8_t epoch; /* of the last snapshot begun */

    /* Read by all. */
    _Atomic uint64_t durable[CACHE_WORKERS_MAX];
    atomic_int error;
    atomic_int fsync;
    atomic_bool snapshot_running, snapshot_cancelled;

    /* Worker 0: order. */
    uint64_t expected[CACHE_WORKERS_MAX];                /* the next transaction of each shard */
    struct cache_log_record *waiting[CACHE_WORKERS_MAX]; /* came early, by the shard that blocks them, sorted */
    struct cache_log_list later;                         /* behind a switch whose shards are not all drained */
    uint64_t admit_generation;
    struct cache_log_list queue; /* admitted */
    uint64_t admitted, written;  /* records */

    /* Worker 0: jobs. */
    struct cache_log_job job;
    struct mr_timer retry, tick, owed_retry;
    bool retrying; /* the job failed and waits for its timer */
    bool sync_due;
    uint64_t file_size, file_synced; /* as the last job left them */
    uint64_t file_generation;
    uint64_t base_bytes;   /* of base and logs when the last rewrite ended */
    uint64_t before_bytes; /* of base and logs before the current one */
    uint8_t owed[CACHE_WORKERS_MAX];
    struct cache_log_list home[CACHE_WORKERS_MAX];
    bool rewrite_asked;  /* in this second */
    bool rewrite_wanted; /* whatever the sizes: the files may not say what the stores hold */

    /* Worker 0: the snapshot. */
    enum { LOG_USE_REWRITE, LOG_USE_SAVE } use; /* enum cache_snapshot_use */
    uint64_t snapshot_generation, snapshot_ms;  /* written by who begins it */
    unsigned walked, flushed;
    bool base_open, base_end, base_failed, base_complete;
    struct cache_log_list base_queue;
    struct cache_base_job base_job;
    uint64_t finish_at; /* records written before the manifest may name the base */

    /* Jobs. */
    struct cache_log_file file; /* the log's: the log job's */
    struct cache_log_file base; /* the base job's */
    uint64_t base_commands, base_unsynced;
    struct cache_log_ring *ring; /* NULL: plain writes */

    /* For cache_log_status. */
    struct {
        _Atomic uint64_t bytes, base_bytes, pending_bytes, records, syncs, writes, generation, rewrites, saves,
            last_save_ms, loaded_transactions, loaded_commands, torn_bytes;
        atomic_bool last_rewrite_ok, last_save_ok, saving, rewriting;
    } stat;
};

/* append.c */
void log_out_begin(struct cache_log_out *o, struct cache_log_worker *lw, enum cache_log_kind kind, uint64_t own_bytes,
                   unsigned part_count);
void log_out_bytes(struct cache_log_out *o, const void *data, size_t n);
void log_out_varint(struct cache_log_out *o, uint64_t value);
void log_out_extent(struct cache_log_out *o, struct mr_span data, struct cache_extent *x); /* held */
void log_out_command(struct cache_log_out *o, unsigned database, unsigned argc);           /* arguments follow */
void log_out_argument(struct cache_log_out *o, const void *data, size_t n);
void log_out_rope(struct cache_log_out *o, const struct cache_rope *rope); /* an argument, too */
struct cache_log_record *log_out_end(struct cache_log_out *o);             /* goes to the outbox */
void log_control(struct cache_log_worker *lw, enum cache_log_kind kind);
void log_record_free(struct cache_log_record *r, bool plainly); /* plainly: extents are dropped without the hook */
void log_outbox_send(struct cache_log_worker *lw);
void log_home_arrived(struct mr_worker *w, void *first);

/* order.c, on worker 0 */
void log_arrive(struct cache_log *log, struct cache_log_record *first);
void log_arrived(struct mr_worker *w, void *first); /* a message */
void log_admit(struct cache_log *log, struct cache_log_record *r);
void log_order_check(const struct cache_log *log);
void log_home(struct cache_log *log, struct cache_log_record *r);
void log_notify(struct cache_log *log);
void log_owed_send(struct cache_log *log);
void log_owe(struct cache_log *log, unsigned worker, unsigned what);

/* write.c, on worker 0: starts what jobs there are. */
void log_pump(struct cache_log *log);
void log_pump_init(struct cache_log *log);
void log_timer_set(struct cache_log *log, struct mr_timer *t, mr_time delay); /* unless the service stops */
bool log_write_rest(struct cache_log *log); /* at close: writes the queue on this thread */
void log_job_work(void *job);

/* base.c, on worker 0 */
void base_pump(struct cache_log *log);
void base_control(struct cache_log *log, enum cache_log_kind kind);
void base_finished(struct cache_log *log, bool done);
void base_discard(struct cache_log *log);

/* snapshot.c */
void snapshot_flush(struct cache_log_worker *lw);

/* file.c, on any thread that may block: 0 or errno. */
int log_file_create(struct cache_log *log, struct cache_log_file *f, const char *name, enum cache_file_kind kind,
                    uint64_t generation);
/* Writes whole records behind f->size and, if wanted, syncs; f is unchanged on error. `ring` may be NULL. */
int log_file_write(struct cache_log_file *f, struct cache_log_ring *ring, struct cache_log_record *first,
                   uint64_t vouched, bool sync);
int log_file_end(struct cache_log_file *f, uint64_t commands); /* the end record of a base, synced */
void log_file_close(struct cache_log_file *f);

/* uring.c: one writer at a time. */
struct iovec;
struct cache_log_ring *log_ring_create(void); /* NULL: not to be had here */
void log_ring_free(struct cache_log_ring *r);
/* Writes all and, if wanted, fdatasyncs behind it. 0 or errno. The vectors are used up. */
int log_ring_write(struct cache_log_ring *r, int fd, struct iovec *v, unsigned n, uint64_t offset, bool sync);

#endif
