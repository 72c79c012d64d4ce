/* Worker 0's half of a snapshot: entries arrive as records from all workers and go to one file, by a job of its own
 * beside the log's.
 *
 *     begun -> records ... -> walked by every shard -> flush asked of every worker -> flushed by every worker
 *           -> end record, sync
 *
 * A shard's entry may be written by another worker that held the shard: what that worker has not sent yet when the
 * walk of the shard ends comes before its "flushed".
 *
 * A base counts once the manifest names it, and that only when the log holds everything that was admitted before the
 * base was complete (finish_at): state that left the keyspace during the walk left it by a record of the new log. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <millrace/log.h>

#include "cache/durable/log_state.h"

static const char *use_name(const struct cache_log *log)
{
    return log->use == LOG_USE_SAVE ? "snapshot" : "rewrite of the log";
}

static void file_name(const struct cache_log *log, char name[CACHE_FILE_NAME_BYTES])
{
    if (log->use == LOG_USE_SAVE)
        strcpy(name, CACHE_SNAPSHOT_HALF);
    else
        cache_folder_base_name(log->snapshot_generation, name);
}

/* Offload thread. */
static int base_write(struct cache_base_job *j)
{
    struct cache_log *log = j->log;
    struct cache_log_file *f = &log->base;
    int error = log_file_write(f, NULL, j->records.first, 0, false);
    for (const struct cache_log_record *r = j->records.first; r && !error; r = r->next)
        log->base_commands += r->commands;
    if (!error && f->size - f->synced >= SNAPSHOT_SYNC_BYTES) {
        error = fdatasync(f->fd) == 0 ? 0 : errno;
        f->synced = f->size;
    }
    return error;
}

static int base_end_write(struct cache_log *log)
{
    int error = log_file_end(&log->base, log->base_commands);
    if (!error && log->use == LOG_USE_SAVE)
        error = cache_folder_rename(&log->folder, CACHE_SNAPSHOT_HALF, CACHE_SNAPSHOT_NAME);
    log_file_close(&log->base);
    return error;
}

static void base_work(void *argument)
{
    struct cache_base_job *j = argument;
    struct cache_log *log = j->log;
    char name[CACHE_FILE_NAME_BYTES];
    file_name(log, name);
    j->error = 0;
    if (j->begin) {
        log->base_commands = 0;
        j->error = log_file_create(log, &log->base, name, CACHE_FILE_BASE, log->snapshot_generation);
    }
    if (!j->error && j->records.first)
        j->error = base_write(j);
    if (!j->error && j->end)
        j->error = base_end_write(log);
    if (j->error || j->discard) {
        log_file_close(&log->base);
        unlinkat(log->folder.fd, name, 0);
    }
    j->finished = true;
}

void base_finished(struct cache_log *log, bool done)
{
    struct mr_worker *w = log->worker[0]->worker;
    const struct cache_log_hooks *hooks = &log->worker[0]->hooks;
    if (log->use == LOG_USE_SAVE) {
        atomic_store(&log->stat.last_save_ok, done);
        atomic_fetch_add(&log->stat.saves, done);
        if (done)
            atomic_store(&log->stat.last_save_ms, log->snapshot_ms);
    } else {
        atomic_store(&log->stat.last_rewrite_ok, done);
        atomic_fetch_add(&log->stat.rewrites, done);
        log->rewrite_wanted &= !done;
    }
    mr_log(done ? MR_LOG_INFO : MR_LOG_WARNING, "cache", "%s: %s of %lu commands, %lu bytes %s", log->folder.path,
           use_name(log), (unsigned long)log->base_commands, (unsigned long)log->base.size,
           done ? "is complete" : "was given up");
    log->base_open = log->base_end = log->base_failed = false;
    log->walked = log->flushed = 0;
    atomic_store(&log->stat.saving, false);
    atomic_store(&log->stat.rewriting, false);
    atomic_store(&log->snapshot_running, false);
    if (w && hooks->snapshot)
        hooks->snapshot(hooks->context, done);
}

static void base_fail(struct cache_log *log, int error)
{
    mr_log(MR_LOG_ERROR, "cache", "%s: writing the %s: %s", log->folder.path, use_name(log), strerror(error));
    log->base_failed = true;
    atomic_store(&log->snapshot_cancelled, true); /* the walks end */
}

static void base_done(struct mr_worker *w, void *argument)
{
    struct cache_base_job *j = argument;
    struct cache_log *log = j->log;
    j->outstanding = false;
    for (struct cache_log_record *r; (r = log_list_take(&j->records));)
        log_home(log, r);
    if (j->error) {
        base_fail(log, j->error);
        log->base_end |= j->end; /* to be discarded */
    }
    if (j->discard) {
        base_finished(log, false);
    } else if (j->end && !j->error && log->use == LOG_USE_SAVE) {
        base_finished(log, true);
    } else if (j->end && !j->error) {
        log->base_complete = true;
        log->finish_at = log->admitted;
    }
    base_pump(log);
    log_pump(log);
    log_owed_send(log);
}

/* What is not written any more goes home unwritten. */
static void queue_drop(struct cache_log *log)
{
    for (struct cache_log_record *r; (r = log_list_take(&log->base_queue));)
        log_home(log, r);
}

void base_pump(struct cache_log *log)
{
    struct cache_base_job *j = &log->base_job;
    struct mr_worker *w = log->worker[0]->worker;
    if (j->outstanding || log->closing || !w || log->base_complete || log->job.finish)
        return;
    bool failed = log->base_failed || atomic_load(&log->snapshot_cancelled);
    if (failed)
        queue_drop(log);
    j->begin = !failed && !log->base_open && (log->base_end || log->base_queue.first);
    j->end = !failed && log->base_end;
    j->discard = failed && log->base_end;
    if (!j->begin && !j->end && !j->discard && !log->base_queue.first)
        return;
    while (log->base_queue.first && j->records.bytes < SNAPSHOT_HELD_BYTES)
        log_list_add(&j->records, log_list_take(&log->base_queue));
    j->end &= log->base_queue.first == NULL;
    j->finished = false;
    j->outstanding = true;
    if (mr_offload(w, base_work, base_done, j) == MR_OK) {
        log->base_open |= j->begin;
        log->base_end &= !j->end && !j->discard;
        return;
    }
    j->outstanding = false;
    for (struct cache_log_record *r; (r = log_list_take(&log->base_queue));)
        log_list_add(&j->records, r);
    log->base_queue = j->records;
    j->records = (struct cache_log_list){0};
    log_timer_set(log, &log->owed_retry, LOG_OWED_RETRY);
}

/* In order with the records of the worker that sent it. */
void base_control(struct cache_log *log, enum cache_log_kind kind)
{
    switch (kind) {
    case LOG_SNAPSHOT_BEGUN:
        log_admit(log, NULL); /* nothing may come for the new log: the switch is due all the same */
        break;
    case LOG_SNAPSHOT_WALKED:
        if (++log->walked == log->workers)
            for (unsigned i = 0; i < log->workers; i++)
                log_owe(log, i, OWED_FLUSH);
        break;
    case LOG_SNAPSHOT_FLUSHED:
        log->base_end = ++log->flushed == log->workers;
        break;
    default:
        break;
    }
}

/* At close: the one that is being written is given up. */
void base_discard(struct cache_log *log)
{
    char name[CACHE_FILE_NAME_BYTES];
    if (!atomic_load(&log->snapshot_running))
        return;
    log_file_close(&log->base);
    file_name(log, name);
    if (log->use == LOG_USE_SAVE || log->folder.manifest.base != log->snapshot_generation)
        unlinkat(log->folder.fd, name, 0);
}
