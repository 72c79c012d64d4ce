/* Durable logs: append-only sequences of checksummed records in segments, many of them, written in groups off the packet path. A library:
 * it knows bytes and offsets, not messages. README.md has the promises and the format.
 *
 *     worker: qlog_append -> buffers of the log ---mr_offload, one job at a time---> writes of all dirty logs, then their syncs
 *        ^                                                                             (io_uring; pwrite and fdatasync where refused)
 *        '---- hooks.advanced(log): written, synced offsets <---------------------------------'
 *
 * One engine a worker; everything of a log runs on the worker of its engine but the jobs. While a job is out (a sync takes milliseconds)
 * appends gather for the next one: group commit, without a clock. A failed write or sync changes nothing: the group is kept and written
 * again at the same place every 100 ms; `error` says so meanwhile. After a failed sync everything since the last good one is written again:
 * the kernel may have dropped it (it is kept in memory until synced, when the log is one that syncs). */
#ifndef SERVICES_QUEUE_LOG_H
#define SERVICES_QUEUE_LOG_H

#include <millrace/error.h>
#include <millrace/mailbox.h>
#include <millrace/types.h>

#include "memory/memory.h"

struct qlog_engine;
struct qlog;
struct qlog_io; /* the system calls, for tests to fail: io.h */

enum qlog_safety {
    QLOG_WRITTEN, /* advanced when the kernel has it */
    QLOG_SYNCED,  /* advanced when the disk has it */
};

struct qlog_engine_options {
    const char *folder;         /* each log is a folder in it */
    uint64_t pending_bytes_max; /* appended and not written, all logs together; then qlog_ready is false */
    bool no_uring;
    const struct qlog_io *io; /* NULL: the system's */
};

/* Each runs on the engine's worker. Members may be NULL. */
struct qlog_engine_hooks {
    void (*advanced)(void *context, struct qlog *log); /* its written or synced offset is another; once a job and log */
    void (*state)(void *context,
                  int error); /* errno, or 0: it works again; or pending bytes fell below 3/4 of the maximum */
    void *context;
};

/* Blocks (makes the folder, with one level above it). `w` NULL: for tests and tools, jobs are run by qlog_engine_run.
 * MR_OK, MR_ERROR_IN_USE (locked by another process), MR_ERROR_SYSTEM, MR_ERROR_NO_MEMORY; the reason is logged with the path. */
int qlog_engine_open(const struct qlog_engine_options *o, const struct qlog_engine_hooks *hooks, struct mr_worker *w,
                     struct qlog_engine **out);
void qlog_engine_stop(
    struct qlog_engine *e); /* on its worker: no more timers; what is appended is still written by close */
void qlog_engine_close(
    struct qlog_engine *e); /* after the worker has ended: writes and syncs the rest, blocking; frees all logs */
void qlog_engine_run(struct qlog_engine *e);        /* one round of a job on this thread; only with `w` NULL */
int qlog_engine_error(const struct qlog_engine *e); /* errno of what fails at present; 0: nothing */
bool qlog_ready(
    const struct qlog_engine *e); /* false: too much is unwritten; hooks.state tells when it is worth asking again */
/* Several engines share a folder (one a worker); who opens it first locks it for the process. Names of the logs there: */
int qlog_folder_list(const char *folder, void (*name)(void *context, const char *name), void *context);

struct qlog_options {
    enum qlog_safety safety;
    uint64_t segment_bytes;   /* a record that does not fit begins the next; a larger one has a segment of its own */
    uint32_t retain_segments; /* at least so many are kept by retention */
    uint64_t retain_bytes;    /* 0: for ever. Oldest whole segments go when all together are more */
    uint64_t retain_ms;       /* 0: for ever. A segment goes when its youngest record is older */
};

/* A record lies at an offset: its number in its log, from 0, one more each. `position` names where it is, for qlog_read. */
struct qlog_place {
    uint64_t segment;  /* offset of the segment's first record: its file's name */
    uint32_t position; /* of the record in the file */
    uint32_t bytes;    /* of the record with its header */
};

struct qlog_record {
    uint64_t offset;
    uint64_t ms;  /* Unix, as appended */
    uint8_t kind; /* the caller's */
    struct mr_span payload;
    struct qlog_place place;
};

/* A new, empty log. The folder is made by the next job; appending may begin at once. NULL: no memory. `name`: letters, digits, '-', '_',
 * '.', at most 128; whoever has other names encodes them. MR_ERROR_IN_USE is logged and an error of the engine when it exists. */
struct qlog *qlog_create(struct qlog_engine *e, const char *name, const struct qlog_options *o, void *context);

/* Opens one that exists and shows every record in order. Blocks: before the worker turns. Torn tail: cut, after a line that names file,
 * position and bytes (they are kept in FILE.torn). Damage before the tail (a later record or segment vouches that it was whole):
 * MR_ERROR_INVALID, nothing is changed, the line says what and where. `record` returns false to stop with MR_ERROR_INVALID. */
int qlog_open(struct qlog_engine *e, const char *name, const struct qlog_options *o, void *context,
              bool (*record)(void *context, const struct qlog_record *r), struct qlog **out);
void *qlog_context(const struct qlog *log);

/* Copies the bytes. Returns the offset; *place may be NULL. Never fails by the disk. UINT64_MAX: no memory (malloc-free: buffers come
 * from the engine's region of pending_bytes_max and one record more; ask qlog_ready first and it does not happen).
 * Payload of all spans together at most QLOG_RECORD_MAX. */
uint64_t qlog_append(struct qlog *log, uint8_t kind, uint64_t ms, const struct mr_span *spans, unsigned n,
                     struct qlog_place *place);
#define QLOG_RECORD_MAX (UINT32_C(512) << 20)

uint64_t qlog_begin(const struct qlog *log);   /* offset of the oldest record kept */
uint64_t qlog_next(const struct qlog *log);    /* of the next append */
uint64_t qlog_written(const struct qlog *log); /* all below are with the kernel */
uint64_t qlog_synced(const struct qlog *log);  /* all below are on the disk */
uint64_t qlog_safe(const struct qlog *log);    /* written or synced, as its options say */
uint64_t qlog_bytes(const struct qlog *log);   /* of its segments */
unsigned qlog_segments(const struct qlog *log);
uint64_t qlog_segment_of(const struct qlog *log, uint64_t offset); /* the segment's first offset */

/* Reads records back, off the path. The bytes are checked (checksum, offset) and lie in memory of the engine until the callback has
 * returned. `done` on the worker, never from inside the call; r NULL with an errno on failure (EBADMSG: damaged). It may still lie in
 * buffers, unwritten: that is shown too. MR_OK, MR_ERROR_NO_MEMORY (too many outstanding: later). */
int qlog_read(struct qlog *log, const struct qlog_place *place, uint64_t offset,
              void (*done)(void *context, const struct qlog_record *r, int error), void *context);
/* From `offset` on (by the sparse index, one entry each 4 KiB of a segment), up to `records` or `bytes`: for streams. `done` for each,
 * then once with r NULL and 0. */
int qlog_scan(struct qlog *log, uint64_t offset, unsigned records, uint64_t bytes,
              void (*done)(void *context, const struct qlog_record *r, int error), void *context);

/* By consumption: whole segments all of whose records lie below `offset` are deleted, oldest first, never the last one. */
void qlog_trim(struct qlog *log, uint64_t offset);
void qlog_retain(struct qlog *log, uint64_t now_ms); /* by time and bytes; the caller calls it now and then */
void qlog_sync(struct qlog *log); /* this much is synced by the next job even where the log promises only written */
void qlog_delete(
    struct qlog
        *log); /* with its folder, by a later job; `log` is gone for the caller. Reads under way get ECANCELED */

struct qlog_status {
    int error;
    bool uring; /* as of the last job */
    uint64_t pending_bytes, written_bytes, records, writes, syncs, jobs;
    uint64_t sync_ns_last, sync_ns_max; /* of a job's syncs together */
    uint64_t torn_bytes;                /* cut at open */
};
void qlog_status(const struct qlog_engine *e, struct qlog_status *out);

#endif
