/* Worker 0: one write of the log at a time on an offload thread. What is admitted meanwhile is the next one (group
 * commit).
 *
 * A job may also switch the log to the next generation, and name a complete base in the manifest; both change the
 * manifest, which so has one writer. A job that fails leaves everything as it was and is tried again: its records
 * stay in it, in their order. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <millrace/log.h>

#include "cache/durable/log_state.h"

/* Offload thread. The log before is synced whatever the policy: only the last log may have a torn end. */
static int switch_work(struct cache_log_job *j)
{
    struct cache_log *log = j->log;
    struct cache_manifest m = log->folder.manifest;
    struct cache_log_file next;
    char name[CACHE_FILE_NAME_BYTES];
    j->what = "switching to a new log";
    if (log->file.fd >= 0 && fdatasync(log->file.fd) < 0)
        return errno;
    cache_folder_log_name(j->switch_to, name);
    int error = log_file_create(log, &next, name, CACHE_FILE_LOG, j->switch_to);
    if (error)
        return error;
    m.log_first = m.log_first ? m.log_first : j->switch_to;
    m.log_last = j->switch_to;
    error = cache_folder_write_manifest(&log->folder, &m);
    if (error) {
        log_file_close(&next);
        return error;
    }
    log_file_close(&log->file);
    log->file = next;
    j->switch_to = 0; /* done, should the rest be tried again */
    return 0;
}

/* Offload thread. The base stands for everything before the log of its generation. */
static int finish_work(struct cache_log_job *j)
{
    struct cache_log *log = j->log;
    uint64_t g = log->snapshot_generation;
    j->what = "naming the new base";
    int error = cache_folder_write_manifest(&log->folder, &(struct cache_manifest){g, g, g});
    if (!error)
        cache_folder_clean(&log->folder);
    return error;
}

void log_job_work(void *argument)
{
    struct cache_log_job *j = argument;
    struct cache_log *log = j->log;
    j->error = j->switch_to ? switch_work(j) : 0;
    if (!j->error && (j->records.first || j->sync)) {
        /* Without syncs, what was written before is vouched for: holes in it are damage. */
        uint64_t vouched = atomic_load(&log->fsync) == CACHE_FSYNC_NO ? log->file.size : log->file.synced;
        j->what = "writing";
        j->error = log_file_write(&log->file, log->ring, j->records.first, vouched, j->sync);
    }
    if (!j->error && j->finish)
        j->error = finish_work(j);
    j->finished = true;
}

static void durable_advance(struct cache_log *log, const struct cache_log_record *r)
{
    for (unsigned i = 0; i < r->part_count; i++)
        atomic_store_explicit(&log->durable[r->parts[i].shard], r->parts[i].sequence, memory_order_release);
}

static void error_set(struct cache_log *log, int error, const char *what)
{
    int before = atomic_exchange(&log->error, error);
    if (before == error)
        return;
    if (error)
        mr_log(MR_LOG_ERROR, "cache", "%s: %s the log: %s; tried again until it succeeds, writes are refused meanwhile",
               log->folder.path, what, strerror(error));
    else
        mr_log(MR_LOG_WARNING, "cache", "%s: the log is written again", log->folder.path);
    log_notify(log);
}

/* The log has grown by so much since its last rewrite: as Redis's auto-aof-rewrite-percentage and -min-size. */
static void rewrite_if_due(struct cache_log *log)
{
    uint64_t bytes = log->before_bytes + log->file_size, percentage = log->options.rewrite_percentage;
    const struct cache_log_hooks *hooks = &log->worker[0]->hooks;
    uint64_t base = log->base_bytes ? log->base_bytes : 1, grown = bytes > base ? bytes - base : 0;
    bool due = percentage && bytes >= log->options.rewrite_bytes_min && grown * 100 / base >= percentage;
    if (!log->options.log || !hooks->rewrite || log->rewrite_asked || atomic_load(&log->snapshot_running) ||
        !(due || log->rewrite_wanted))
        return;
    log->rewrite_asked = true; /* until the next tick */
    hooks->rewrite(hooks->context);
}

static void stat_refresh(struct cache_log *log)
{
    atomic_store(&log->stat.bytes, log->before_bytes + log->file_size);
    atomic_store(&log->stat.base_bytes, log->base_bytes);
    atomic_store(&log->stat.pending_bytes, log->queue.bytes + log->job.records.bytes);
    atomic_store(&log->stat.generation, log->file_generation);
}

/* The files are as the job left them. */
static void files_adopt(struct cache_log *log, bool finished)
{
    if (log->file.generation != log->file_generation)
        log->before_bytes += log->file_size;
    log->file_generation = log->file.generation;
    log->file_size = log->file.size;
    log->file_synced = log->file.synced;
    if (finished) {
        log->before_bytes = log->base.size;
        log->base_bytes = log->base.size + log->file.size;
    }
}

static void job_succeeded(struct cache_log *log)
{
    struct cache_log_job *j = &log->job;
    bool any = j->records.first != NULL, finished = j->finish;
    atomic_fetch_add(&log->stat.writes, any);
    atomic_fetch_add(&log->stat.syncs, j->sync);
    atomic_fetch_add(&log->stat.records, j->records.count);
    log->written += j->records.count;
    for (struct cache_log_record *r; (r = log_list_take(&j->records));) {
        durable_advance(log, r);
        log_home(log, r);
    }
    j->sync = j->finish = false;
    files_adopt(log, finished);
    error_set(log, 0, "");
    if (any)
        log_notify(log);
    if (finished)
        base_finished(log, true);
}

static void job_done(struct mr_worker *w, void *argument)
{
    struct cache_log_job *j = argument;
    struct cache_log *log = j->log;
    j->outstanding = false;
    if (j->error) {
        if (log->file.generation != log->file_generation) /* the switch was done, the rest was not */
            files_adopt(log, false);
        error_set(log, j->error, j->what);
        log->rewrite_wanted |= j->error == EIO; /* what the kernel held of earlier writes may be gone */
        log->retrying = true;
        log_timer_set(log, &log->retry, LOG_RETRY);
    } else {
        job_succeeded(log);
        rewrite_if_due(log);
        log_pump(log);
    }
    stat_refresh(log);
    log_owed_send(log);
}

/* Records of one generation, up to LOG_JOB_BYTES. */
static void job_fill(struct cache_log *log)
{
    struct cache_log_job *j = &log->job;
    uint64_t generation = log->queue.first ? log->queue.first->generation : log->admit_generation;
    if (generation > log->file_generation)
        j->switch_to = generation;
    while (log->queue.first && log->queue.first->generation == generation && j->records.bytes < LOG_JOB_BYTES)
        log_list_add(&j->records, log_list_take(&log->queue));
}

static bool job_prepare(struct cache_log *log)
{
    struct cache_log_job *j = &log->job;
    int fsync = atomic_load(&log->fsync);
    if (j->records.first || j->switch_to || j->finish) /* a job that failed */
        return true;
    j->sync = false;
    job_fill(log);
    uint64_t written = log->written + j->records.count;
    j->finish = log->base_complete && written >= log->finish_at;
    if (j->finish)
        log->base_complete = false;
    if (j->records.first)
        j->sync = fsync == CACHE_FSYNC_ALWAYS;
    if (fsync == CACHE_FSYNC_EVERYSEC && log->sync_due && (j->records.first || log->file_synced < log->file_size)) {
        j->sync = true;
        log->sync_due = false;
    }
    j->sync |= j->finish;
    return j->records.first || j->switch_to || j->sync;
}

void log_pump(struct cache_log *log)
{
    struct cache_log_job *j = &log->job;
    if (j->outstanding || log->retrying || log->closing || !log->options.log || !log->worker[0]->worker)
        return;
    if (!job_prepare(log))
        return;
    struct mr_worker *w = log->worker[0]->worker;
    j->finished = false;
    j->outstanding = true;
    if (mr_offload(w, log_job_work, job_done, j) == MR_OK)
        return;
    j->outstanding = false;
    log->retrying = true;
    log_timer_set(log, &log->retry, LOG_OWED_RETRY);
}

static void retry_expired(struct mr_worker *w, struct mr_timer *t)
{
    struct cache_log *log = t->context;
    log->retrying = false;
    log_pump(log);
    log_owed_send(log);
}

static void tick_expired(struct mr_worker *w, struct mr_timer *t)
{
    struct cache_log *log = t->context;
    log_timer_set(log, t, LOG_SYNC_EVERY);
    log->sync_due = true;
    log->rewrite_asked = false;
    log_pump(log);
    rewrite_if_due(log);
    stat_refresh(log);
    log_owed_send(log);
}

static void owed_expired(struct mr_worker *w, struct mr_timer *t)
{
    struct cache_log *log = t->context;
    log_owed_send(log);
    base_pump(log);
}

void log_timer_set(struct cache_log *log, struct mr_timer *t, mr_time delay)
{
    struct mr_worker *w = log->worker[0]->worker;
    if (!log->stopping && !mr_timer_armed(t))
        mr_timer_set(w, t, mr_now(w) + delay);
}

void log_pump_init(struct cache_log *log)
{
    log->job.log = log->base_job.log = log;
    mr_timer_init(&log->retry, retry_expired, log);
    mr_timer_init(&log->tick, tick_expired, log);
    mr_timer_init(&log->owed_retry, owed_expired, log);
    log_timer_set(log, &log->tick, LOG_SYNC_EVERY);
    stat_refresh(log);
}

/* At close, when no worker turns any more: what a job has begun is ended here. */
bool log_write_rest(struct cache_log *log)
{
    struct cache_log_job *j = &log->job;
    log->job.log = log;
    if (j->outstanding && j->finished && !j->error) {
        bool finished = j->finish;
        while (log_list_take(&j->records))
            continue;
        j->sync = j->finish = false;
        files_adopt(log, finished);
    }
    j->outstanding = false;
    log->base_complete = false;
    do {
        if (job_prepare(log) || log->file.synced < log->file.size) {
            j->sync = true;
            log_job_work(j);
            if (j->error) {
                mr_log(MR_LOG_ERROR, "cache", "%s: %s the log at the end: %s; %lu transactions are lost",
                       log->folder.path, j->what, strerror(j->error),
                       (unsigned long)(j->records.count + log->queue.count));
                return false;
            }
            while (log_list_take(&j->records))
                continue;
            j->sync = j->finish = false;
            files_adopt(log, false);
        }
    } while (log->queue.first);
    return true;
}
