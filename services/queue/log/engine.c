/* The engine: one job at a time writes all dirty logs; what comes meanwhile is the next one. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <millrace/log.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/log/state.h"

#define MEMORY_REGION (UINT64_C(16) << 30) /* address space of logs, segments and indexes: 8 bytes for 4 KiB of log */

void qlog_look_full(struct qlog_engine *e)
{
    e->was_full |= !qlog_ready(e);
}

bool qlog_ready(const struct qlog_engine *e)
{
    return e->buffers.used < e->options.pending_bytes_max;
}

int qlog_engine_error(const struct qlog_engine *e)
{
    return e->error;
}

void qlog_mark(struct qlog *log)
{
    struct qlog_engine *e = log->engine;
    if (!log->dirty) {
        log->dirty = true;
        log->dirty_next = NULL;
        *e->dirty_end = log;
        e->dirty_end = &log->dirty_next;
    }
    if (e->worker && !e->stopping && !e->job->outstanding && !e->retrying)
        mr_defer(e->worker, &e->turn_end);
}

/* -- what a job does for a log ------------------------------------------------------------------------------------------ */

/* The active segment is whole and on the disk: the next may be made. */
static void active_advance(struct qlog *log)
{
    struct qlog_segment *s = log->active;
    while (s && s->next && log->synced >= qlog_segment_end(s))
        s = log->active = s->next;
}

static void task_fill_segment(struct qlog_task *t, struct qlog *log)
{
    struct qlog_segment *s = t->segment = log->active;
    uint64_t end = qlog_segment_end(s);
    bool synced = log->options.safety == QLOG_SYNCED;
    t->from = log->written;
    t->to = end;
    t->to_offset = s->next ? s->next->first : log->next;
    t->create = !s->created && t->to > t->from;
    t->sync = log->synced < end && (synced || s->next || log->sync_to > log->synced);
    t->rewrite = log->rewrite && t->sync && log->synced < log->written;
    t->rewrite_from = (uint32_t)(log->synced - s->stream) + QLOG_SEGMENT_HEADER;
    t->vouched = t->rewrite_from;
    assert(log->synced >= s->stream); /* a segment begins when the one before is synced */
    t->position = (uint32_t)(t->from - s->stream) + QLOG_SEGMENT_HEADER;
    t->left = t->to - t->from;
    if (t->left)
        t->chunk = qlog_chunk_find(log, t->from, &t->chunk_at);
    if (!t->left && !t->sync)
        t->segment = NULL;
}

static void task_fill(struct qlog_task *t, struct qlog *log)
{
    *t = (struct qlog_task){.log = log};
    if (log->deleted) {
        t->remove = true;
        return;
    }
    t->make = !log->made;
    t->doomed = log->doomed;
    log->doomed = NULL;
    active_advance(log);
    if (log->active)
        task_fill_segment(t, log);
}

static bool job_prepare(struct qlog_engine *e)
{
    struct qlog_job *j = e->job;
    uint64_t bytes = 0;
    j->count = 0;
    j->writes = j->syncs = j->sync_ns = 0;
    j->finished = false;
    while (e->dirty && j->count < QLOG_TASKS && bytes < QLOG_JOB_BYTES) {
        struct qlog *log = e->dirty;
        e->dirty = log->dirty_next;
        log->dirty = false;
        if (log->gone) {
            qlog_gone_look(log);
            continue;
        }
        struct qlog_task *t = &j->tasks[j->count++];
        task_fill(t, log);
        bytes += t->left;
    }
    if (!e->dirty)
        e->dirty_end = &e->dirty;
    return j->count > 0;
}

/* -- what became of it -------------------------------------------------------------------------------------------------- */

/* True: an offset is another. */
static bool task_adopt(struct qlog_task *t)
{
    struct qlog *log = t->log;
    bool moved = false;
    log->made |= !t->make;
    if (t->created)
        t->segment->created = true;
    log->rewrite |= t->sync_failed;
    if (t->wrote && t->segment) {
        moved = t->to > log->written || (t->sync && t->to > log->synced);
        log->written = t->to;
        log->written_offset = t->to_offset;
        log->engine->status.written_bytes += t->to - t->from;
        if (t->sync) {
            log->synced = t->to;
            log->synced_offset = t->to_offset;
            log->rewrite = false;
        }
    }
    if (t->doomed) { /* not unlinked: again */
        struct qlog_segment *last = t->doomed;
        while (last->next)
            last = last->next;
        last->next = log->doomed;
        log->doomed = t->doomed;
    }
    active_advance(log);
    return moved;
}

static bool wants_job(const struct qlog *log)
{
    const struct qlog_segment *s = log->active;
    return !log->made || log->deleted || log->doomed || log->appended > log->written || log->sync_to > log->synced ||
           (s && s->next && log->synced < qlog_segment_end(s));
}

void qlog_gone_look(struct qlog *log)
{
    if (log->gone && log->reads == 0 && !log->dirty)
        qlog_drop(log);
}

/* The engine's own error, told when it changes. */
static void error_set(struct qlog_engine *e, const struct qlog_task *t, int error)
{
    if (error == e->error)
        return;
    e->error = error;
    if (error)
        mr_log(MR_LOG_ERROR, "queue", "%s/%s: %s: %s; tried again until it succeeds", e->folder, t->log->name, t->what,
               strerror(error));
    else
        mr_log(MR_LOG_WARNING, "queue", "%s: the logs are written again", e->folder);
    if (e->hooks.state && !e->stopping)
        e->hooks.state(e->hooks.context, error);
}

static void full_look_again(struct qlog_engine *e)
{
    if (!e->was_full || e->buffers.used >= e->options.pending_bytes_max / 4 * 3)
        return;
    e->was_full = false;
    if (e->hooks.state && !e->stopping)
        e->hooks.state(e->hooks.context, e->error);
}

static void task_end(struct qlog_task *t, bool hooks)
{
    struct qlog *log = t->log;
    struct qlog_engine *e = log->engine;
    if (t->remove && !t->error) {
        log->gone = true;
        qlog_gone_look(log);
        return;
    }
    bool moved = !t->remove && task_adopt(t);
    qlog_release(log);
    if (moved && hooks && e->hooks.advanced && !log->deleted)
        e->hooks.advanced(e->hooks.context, log);
    qlog_trim_apply(log);
    if (wants_job(log))
        qlog_mark(log);
}

static void status_add(struct qlog_engine *e, const struct qlog_job *j)
{
    struct qlog_status *s = &e->status;
    s->jobs++;
    s->uring = e->ring != NULL;
    s->writes += j->writes;
    s->syncs += j->syncs;
    if (j->syncs == 0)
        return;
    s->sync_ns_last = j->sync_ns;
    s->sync_ns_max = j->sync_ns > s->sync_ns_max ? j->sync_ns : s->sync_ns_max;
}

/* True: everything worked. */
static bool job_adopt(struct qlog_engine *e, bool hooks)
{
    struct qlog_job *j = e->job;
    const struct qlog_task *failed = NULL;
    struct qlog_segment *unlinked;
    j->outstanding = false;
    status_add(e, j);
    for (unsigned i = 0; i < j->count && !failed; i++)
        failed = j->tasks[i].error ? &j->tasks[i] : NULL;
    int error = failed ? failed->error : 0;
    error_set(e, failed, error);
    e->retrying = error != 0; /* until the timer; marks of hooks start no job then */
    for (unsigned i = 0; i < j->count; i++) {
        while ((unlinked = j->tasks[i].doomed) && unlinked->unlinked) {
            j->tasks[i].doomed = unlinked->next;
            qlog_segment_free(e, unlinked);
        }
        task_end(&j->tasks[i], hooks);
    }
    full_look_again(e);
    return error == 0;
}

static void pump(struct qlog_engine *e);

static void retry_set(struct qlog_engine *e, mr_time delay)
{
    e->retrying = true;
    if (!e->stopping)
        mr_timer_set(e->worker, &e->retry, mr_now(e->worker) + delay);
}

static void job_done(struct mr_worker *w, void *argument)
{
    struct qlog_engine *e = ((struct qlog_job *)argument)->engine;
    if (job_adopt(e, true))
        pump(e);
    else
        retry_set(e, QLOG_RETRY);
}

/* Tasks of a job that never ran. */
static void job_undo(struct qlog_engine *e)
{
    struct qlog_job *j = e->job;
    j->outstanding = false;
    for (unsigned i = 0; i < j->count; i++) {
        j->tasks[i].error = EAGAIN;
        task_end(&j->tasks[i], false);
    }
}

static void pump(struct qlog_engine *e)
{
    if (e->stopping || e->retrying || e->job->outstanding || !job_prepare(e))
        return;
    e->job->outstanding = true;
    if (mr_offload(e->worker, qlog_job_work, job_done, e->job) == MR_OK)
        return;
    retry_set(e, QLOG_OFFLOAD_RETRY);
    job_undo(e);
}

static void turn_ended(struct mr_worker *w, struct mr_deferred *d)
{
    pump(d->context);
}

static void retry_expired(struct mr_worker *w, struct mr_timer *t)
{
    struct qlog_engine *e = t->context;
    e->retrying = false;
    pump(e);
}

/* One job on this thread. False: it failed, or there was nothing to do. */
static bool job_round(struct qlog_engine *e, bool hooks)
{
    e->retrying = false;
    if (!job_prepare(e))
        return false;
    e->job->outstanding = true;
    qlog_job_work(e->job);
    return job_adopt(e, hooks);
}

void qlog_engine_run(struct qlog_engine *e)
{
    assert(!e->worker);
    qlog_reader_pump(e);
    if (e->reader.outstanding) {
        qlog_reader_work(&e->reader);
        qlog_reader_done(NULL, &e->reader);
    }
    job_round(e, true);
}

/* -- life --------------------------------------------------------------------------------------------------------------- */

/* The folder, and the one above it. 0 or errno. */
static int folder_make(const struct qlog_io *io, const char *path)
{
    char *above = strdup(path), *slash = above ? strrchr(above, '/') : NULL;
    if (slash && slash > above) {
        *slash = 0;
        io->mkdir(AT_FDCWD, above, 0755);
    }
    free(above);
    return io->mkdir(AT_FDCWD, path, 0755) == 0 || errno == EEXIST ? 0 : errno;
}

/* Logs that a crash kept from being deleted. */
static void leftover_remove(void *context, const char *name)
{
    struct qlog_engine *e = context;
    if (name[0] == '#')
        qlog_folder_remove(e, name);
}

static int folder_open(struct qlog_engine *e)
{
    const struct qlog_io *io = e->io;
    int error = folder_make(io, e->folder);
    if (error)
        return error;
    e->folder_fd = io->open(AT_FDCWD, e->folder, O_RDONLY | O_DIRECTORY, 0);
    if (e->folder_fd < 0)
        return errno;
    e->lock_fd = io->open(e->folder_fd, ".lock", O_RDWR | O_CREAT, 0644);
    if (e->lock_fd < 0 || io->lock(e->lock_fd) < 0)
        return errno;
    qlog_folder_list_all(e->folder, leftover_remove, e);
    return 0;
}

static void engine_free(struct qlog_engine *e)
{
    if (e->folder_fd >= 0)
        e->io->close(e->folder_fd);
    if (e->lock_fd >= 0)
        e->io->close(e->lock_fd);
    qlog_ring_free(e->ring);
    memory_release(&e->buffers);
    memory_release(&e->memory);
    free(e->reader.buffer);
    free(e->folder);
    free(e->job);
    free(e);
}

int qlog_engine_open(const struct qlog_engine_options *o, const struct qlog_engine_hooks *hooks, struct mr_worker *w,
                     struct qlog_engine **out)
{
    struct qlog_engine *e = calloc(1, sizeof *e);
    uint64_t room = o->pending_bytes_max + QLOG_RECORD_MAX;
    room += room / 4 + (UINT64_C(1) << 20); /* slots are a little larger than what lies in them */
    if (!e)
        return MR_ERROR_NO_MEMORY;
    *e = (struct qlog_engine){.options = *o, .worker = w, .folder_fd = -1, .lock_fd = -1};
    e->hooks = hooks ? *hooks : (struct qlog_engine_hooks){0};
    e->io = o->io ? o->io : &qlog_io_system;
    e->folder = strdup(o->folder);
    e->job = calloc(1, sizeof *e->job);
    e->dirty_end = &e->dirty;
    qlog_reader_init(e);
    e->turn_end = (struct mr_deferred){.run = turn_ended, .context = e};
    mr_timer_init(&e->retry, retry_expired, e);
    if (!e->folder || !e->job || !memory_init(&e->buffers, room, room) ||
        !memory_init(&e->memory, MEMORY_REGION, MEMORY_REGION)) {
        engine_free(e);
        return MR_ERROR_NO_MEMORY;
    }
    e->job->engine = e;
    int error = folder_open(e);
    if (error) {
        bool locked = e->lock_fd >= 0 && (error == EACCES || error == EAGAIN);
        mr_log(MR_LOG_ERROR, "queue", "folder %s: %s", e->folder,
               locked ? "another process has its logs open" : strerror(error));
        engine_free(e);
        return locked ? MR_ERROR_IN_USE : MR_ERROR_SYSTEM;
    }
    e->ring = o->no_uring || !e->io->completed ? NULL : qlog_ring_create(QLOG_BATCH * 2);
    e->status.uring = e->ring != NULL;
    *out = e;
    return MR_OK;
}

void qlog_engine_stop(struct qlog_engine *e)
{
    e->stopping = true;
    if (!e->worker)
        return;
    mr_timer_cancel(e->worker, &e->retry);
    mr_timer_cancel(e->worker, &e->reader.retry);
}

/* What is left goes to the disk, logs that only promise to be written too. */
static void rest_write(struct qlog_engine *e)
{
    if (e->job->outstanding && e->job->finished)
        job_adopt(e, false);
    else if (e->job->outstanding)
        job_undo(e);
    for (struct qlog *log = e->logs; log; log = log->older)
        if (!log->deleted && log->synced < log->appended)
            qlog_sync(log);
    for (uint64_t before = UINT64_MAX; e->dirty && (job_round(e, false) || e->pending < before);)
        before = e->pending; /* one log that fails does not keep the others from it */
    if (e->dirty)
        mr_log(MR_LOG_ERROR, "queue", "%s: %s at the end; %" PRIu64 " bytes are lost", e->folder, strerror(e->error),
               e->pending);
}

void qlog_engine_close(struct qlog_engine *e)
{
    e->stopping = true;
    e->worker = NULL;
    rest_write(e);
    for (struct qlog *log = e->logs; log; log = log->older)
        qlog_file_close(e, log);
    engine_free(e);
}

void qlog_status(const struct qlog_engine *e, struct qlog_status *out)
{
    *out = e->status;
    out->error = e->error;
    out->pending_bytes = e->pending;
}
