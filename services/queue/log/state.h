/* What the files of the log share. Each member has one owner: the worker, the write job or the read job; one of each is outstanding at most.
 *
 *     stream:  bytes of a log's records, counted from its oldest segment at open, without the headers of segments
 *
 *         segment      segment          segment (active)            segment
 *     |------------|--------------|-----------------------------|--------------------|
 *                                          ^synced  ^written    ^task ends here       ^appended
 *                                                   |--- chunks: kept until released ---|
 *
 * A task of a job stays within one segment: the one before must be whole and on the disk when the next is made. */
#ifndef SERVICES_QUEUE_LOG_STATE_H
#define SERVICES_QUEUE_LOG_STATE_H

#include <millrace/mailbox.h>
#include <millrace/timer.h>
#include <millrace/turn.h>

#include "queue/log/io.h"
#include "queue/log/log.h"
#include "queue/log/segment.h"

#define QLOG_TASKS         256u                 /* logs of one job */
#define QLOG_BATCH         64u                  /* of them, written and synced by one submission */
#define QLOG_VECTORS       256u                 /* of each in a submission */
#define QLOG_FILES         256u                 /* kept open by the write jobs of an engine */
#define QLOG_JOB_BYTES     (UINT64_C(16) << 20) /* and what the log that passes it has: bounds how long others wait */
#define QLOG_RETRY         (100 * MR_MILLISECOND)
#define QLOG_OFFLOAD_RETRY MR_MILLISECOND
#define QLOG_INDEX_EVERY   UINT32_C(4096)
#define QLOG_NAME_MAX      128u
#define QLOG_SEGMENT_MAX   (UINT64_C(2) << 30) /* positions are 32 bits wide */
#define QLOG_READS_MAX     1024u               /* outstanding, an engine */
#define QLOG_READ_BYTES    (UINT64_C(1) << 20) /* of one read job, and one record */
#define QLOG_SCAN_BYTES    UINT32_C(131072)    /* of one step of a scan, or one record */
#define QLOG_PATH_BYTES    (QLOG_NAME_MAX + 40)

/* Bytes of the stream, filled to the last one before the next chunk begins. */
struct qlog_chunk {
    struct qlog_chunk *next;
    uint32_t capacity;
    uint8_t bytes[];
};

struct qlog_index_entry {
    uint32_t record; /* offset - first */
    uint32_t position;
};
struct qlog_index_block {
    struct qlog_index_block *next;
    uint32_t count, room;
    struct qlog_index_entry entries[];
};

struct qlog_segment {
    struct qlog_segment *next; /* newer */
    uint64_t first;            /* offset */
    uint64_t stream;           /* of the byte behind its header */
    uint64_t ms_last;
    uint64_t salt;  /* written by the job that makes the file; read when `created` */
    uint32_t bytes; /* header and what is unwritten included */
    bool created;
    bool unlinked; /* of those that are doomed; written by the job */
    uint64_t before_first, before_bytes;
    uint32_t indexed; /* position of the last entry */
    struct qlog_index_block *index, *index_last;
};

static inline uint64_t qlog_segment_end(const struct qlog_segment *s)
{
    return s->stream + s->bytes - QLOG_SEGMENT_HEADER;
}

struct qlog {
    struct qlog_engine *engine;
    void *context;
    struct qlog_options options;
    struct qlog *newer, *older; /* all of the engine's */
    struct qlog *dirty_next;
    bool dirty;         /* in the list */
    bool made;          /* its folder is on the disk */
    bool deleted, gone; /* gone: its folder, too; reads keep the struct */
    bool rewrite;       /* a sync of what is not in chunks any more has failed */
    unsigned reads;     /* requests that name it */
    unsigned holds;     /* of them, of chunks */

    struct qlog_segment *first, *last, *active; /* active: that tasks write */
    struct qlog_segment *doomed;                /* not of the log any more; their files go with the next job */
    unsigned segments;
    uint64_t bytes;
    uint64_t next, written_offset, synced_offset;
    uint64_t appended, written, synced, sync_to; /* stream */
    uint64_t trim;

    struct qlog_chunk *chunks, *chunk_last;
    uint64_t chunk_stream; /* of the first byte of the first chunk */
    uint32_t chunk_used;   /* of the last */
    uint64_t released;     /* stream; all before it is not needed */

    /* The write job's. */
    bool folder_there; /* made by us, perhaps not synced */
    char trash[20];    /* its folder's name once it is deleted; "": not yet */
    int fd;            /* of the active segment; -1 */
    uint64_t fd_segment;
    struct qlog *fd_newer, *fd_older;

    uint16_t struct_bytes;
    char name[];
};

/* What one job does for one log: given by the worker, answered by the job. */
struct qlog_task {
    struct qlog *log;
    bool remove, make, create, sync, rewrite;
    struct qlog_segment *segment; /* NULL: nothing to write */
    struct qlog_segment *doomed;
    uint64_t from, to, to_offset; /* stream; offset of the first record behind `to` */
    uint32_t rewrite_from;        /* position; up to that of `from` */
    uint32_t vouched;

    /* Where the job stands. */
    struct qlog_chunk *chunk;
    uint32_t chunk_at;
    uint64_t left;
    uint32_t position;
    bool finished;

    bool created;
    bool wrote; /* all of it, and synced where wanted */
    bool sync_failed;
    int error;
    const char *what;
};

/* One write with, behind it, one sync. */
struct qlog_write {
    struct qlog_task *task;
    int fd;
    struct iovec *vectors;
    unsigned count;
    bool sync;
    int written, synced; /* or -errno */
};

struct qlog_job {
    struct qlog_engine *engine;
    bool outstanding, finished;
    unsigned count;
    uint64_t writes, syncs, sync_ns;
    struct qlog_task tasks[QLOG_TASKS];
    struct qlog_write batch[QLOG_BATCH];
    struct iovec vectors[QLOG_BATCH][QLOG_VECTORS];
};

struct qlog_request {
    struct qlog_request *next;
    struct qlog *log;
    void (*done)(void *context, const struct qlog_record *r, int error);
    void *context;
    bool scan, held;
    bool ended;              /* the job has nothing to do for it: an error, or nothing is there */
    uint64_t offset;         /* of the next record to show */
    uint64_t records, bytes; /* so many more */

    /* One step, for the job. */
    uint64_t segment, salt;
    uint32_t position, limit; /* limit: bytes there are from `position` on */
    uint32_t want;            /* of them */
    struct qlog_chunk *chunk; /* NULL: from the file */
    uint32_t chunk_at;

    int error;
    size_t at; /* in the buffer */
    uint32_t length;
};

struct qlog_reader {
    struct qlog_engine *engine;
    bool outstanding, finished;
    unsigned count; /* of all requests */
    struct qlog_request *queue, **queue_end, *step;
    struct mr_deferred turn_end;
    struct mr_timer retry;
    /* The read job's while it is out. */
    uint8_t *buffer;
    size_t used, room;
};

struct qlog_ring;
struct qlog_engine {
    struct qlog_engine_options options;
    struct qlog_engine_hooks hooks;
    const struct qlog_io *io;
    struct mr_worker *worker;
    char *folder;
    int folder_fd, lock_fd;
    struct memory buffers; /* chunks: what qlog_ready looks at */
    struct memory memory;  /* logs, segments, indexes, requests */
    struct qlog *logs;
    struct qlog *dirty, **dirty_end;
    struct mr_deferred turn_end;
    struct mr_timer retry;
    bool stopping, retrying, was_full;
    int error;
    uint64_t pending; /* bytes in chunks, as appended */
    struct qlog_status status;
    struct qlog_reader reader;
    struct qlog_job *job;
    struct qlog_ring *ring; /* the write job's; NULL: not to be had, or it failed */
    unsigned files;         /* open; the write job's, like the list, most recently used first */
    struct qlog *file_newest, *file_oldest;
};

/* engine.c */
void qlog_mark(struct qlog *log); /* the next job looks at it */
void qlog_look_full(struct qlog_engine *e);
void qlog_gone_look(struct qlog *log); /* frees it when nothing names it any more */

/* log.c */
struct qlog *qlog_new(struct qlog_engine *e, const char *name, const struct qlog_options *o, void *context);
void qlog_drop(struct qlog *log); /* out of the engine, with all it has; files stay */
void qlog_segment_path(const struct qlog *log, uint64_t first, char path[QLOG_PATH_BYTES]);
bool qlog_name_legal(const char *name);

/* index.c */
struct qlog_segment *qlog_segment_add(struct qlog *log, uint64_t first); /* the newest; NULL: no memory */
void qlog_segment_free(struct qlog_engine *e, struct qlog_segment *s);
/* A record of `bytes` was put at the end of the newest. */
void qlog_segment_grow(struct qlog *log, uint64_t offset, uint64_t ms, uint32_t bytes);
struct qlog_segment *qlog_segment_find(const struct qlog *log, uint64_t offset); /* holds it; NULL */
/* The position of a record at or before `offset`. */
uint32_t qlog_index_find(const struct qlog_segment *s, uint64_t offset);

/* append.c */
void qlog_release(struct qlog *log); /* chunks that are not needed any more */
/* The chunk that has byte `stream`, and where in it. */
struct qlog_chunk *qlog_chunk_find(const struct qlog *log, uint64_t stream, uint32_t *at);

/* job.c, write.c: on any thread that may block */
void qlog_job_work(void *job);
void qlog_batch_write(struct qlog_job *j, struct qlog_task **tasks, unsigned n);
int qlog_file_open(struct qlog_engine *e, struct qlog *log, uint64_t segment);
void qlog_file_close(struct qlog_engine *e, struct qlog *log);
int qlog_file_write(const struct qlog_io *io, int fd, const void *data, size_t n, uint64_t at); /* 0 or errno */
int qlog_file_read(const struct qlog_io *io, int fd, void *data, size_t n, uint64_t at);        /* short is EBADMSG */
int qlog_folder_remove(struct qlog_engine *e, const char *name); /* with its files; 0 or errno */
int qlog_folder_sync(struct qlog_engine *e, const char *name);   /* NULL: the engine's */

/* folder.c */
int qlog_folder_list_all(const char *folder, void (*name)(void *context, const char *name),
                         void *context); /* 0 or errno */

/* read.c, read_job.c */
void qlog_reader_init(struct qlog_engine *e);
void qlog_reader_pump(struct qlog_engine *e);
void qlog_reader_work(void *reader);
void qlog_reader_done(struct mr_worker *w, void *reader);

/* retain.c */
void qlog_trim_apply(struct qlog *log);

/* uring.c */
struct qlog_ring *qlog_ring_create(unsigned entries); /* NULL: not to be had here */
void qlog_ring_free(struct qlog_ring *r);
int qlog_ring_submit(struct qlog_ring *r, struct qlog_write *writes, unsigned n); /* 0 or errno; results are in each */

#endif
