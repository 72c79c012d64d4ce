#include "cache/durable/log.h"

#include <millrace/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/durable/log_state.h"

int cache_log_open(const struct cache_log_options *o, struct cache_log **out)
{
    struct cache_log *log = calloc(1, sizeof *log);
    if (!log)
        return MR_ERROR_NO_MEMORY;
    log->options = *o;
    log->options.folder = NULL; /* log->folder.path */
    if (log->options.held_bytes_max == 0)
        log->options.held_bytes_max = CACHE_LOG_HELD_BYTES_DEFAULT;
    log->workers = o->workers;
    log->file.fd = log->base.fd = -1;
    atomic_store(&log->fsync, (int)o->fsync);
    atomic_store(&log->stat.last_rewrite_ok, true);
    atomic_store(&log->stat.last_save_ok, true);
    for (unsigned i = 0; i < o->workers; i++)
        log->expected[i] = 1;
    int error = cache_folder_open(&log->folder, o->folder);
    if (error) {
        free(log);
        return error;
    }
    *out = log;
    return MR_OK;
}

static void turn_end(struct mr_worker *w, struct mr_deferred *d)
{
    log_outbox_send(d->context);
}

struct cache_log_worker *cache_log_worker_create(struct cache_log *log, struct mr_worker *w,
                                                 const struct cache_log_hooks *hooks)
{
    struct cache_log_worker *lw = calloc(1, sizeof *lw);
    if (!lw || !memory_init(&lw->memory, LOG_MEMORY_REGION, LOG_MEMORY_REGION)) {
        free(lw);
        return NULL;
    }
    lw->log = log;
    lw->worker = w;
    lw->index = mr_worker_index(w);
    lw->hooks = *hooks;
    lw->turn_end = (struct mr_deferred){.run = turn_end, .context = lw};
    log->worker[lw->index] = lw;
    if (lw->index == 0)
        log_pump_init(log);
    return lw;
}

void cache_log_worker_stop(struct cache_log_worker *lw)
{
    struct cache_log *log = lw->log;
    if (lw->index != 0)
        return;
    mr_timer_cancel(lw->worker, &log->tick);
    mr_timer_cancel(lw->worker, &log->retry);
    mr_timer_cancel(lw->worker, &log->owed_retry);
    log->stopping = true;
    log->retrying = false;
}

/* Admits what workers appended and what was on its way, as if it had arrived: by shard and number all of it is in
 * order. */
static void admit_rest(struct cache_log *log)
{
    for (unsigned i = 0; i < log->workers; i++) {
        log->waiting[i] = NULL;
        if (log->worker[i])
            log->worker[i]->worker = NULL;
    }
    log->later = (struct cache_log_list){0};
    struct cache_log_list rest = {0};
    for (unsigned i = 0; i < log->workers; i++)
        for (struct cache_log_record *r = log->worker[i] ? log->worker[i]->live : NULL; r; r = r->older)
            if (r->kind == LOG_RECORD && !r->admitted)
                log_list_add(&rest, r);
    for (struct cache_log_record *r; (r = log_list_take(&rest));)
        log_admit(log, r);
}

static void worker_free(struct cache_log_worker *lw)
{
    while (lw->live)
        log_record_free(lw->live, true);
    memory_release(&lw->memory);
    free(lw);
}

void cache_log_close(struct cache_log *log)
{
    if (!log)
        return;
    log->closing = true;
    if (log->loaded && log->options.log) {
        admit_rest(log);
        log_write_rest(log);
    }
    base_discard(log);
    for (unsigned i = 0; i < log->workers; i++)
        if (log->worker[i])
            worker_free(log->worker[i]);
    log_file_close(&log->file);
    log_file_close(&log->base);
    log_ring_free(log->ring);
    cache_folder_close(&log->folder);
    free(log);
}

void cache_log_error_text(const struct cache_log_worker *lw, char text[128])
{
    snprintf(text, 128, "MISCONF Errors writing to the AOF file: %s", strerror(cache_log_error(lw)));
}

void cache_log_set_fsync(struct cache_log *log, enum cache_fsync fsync)
{
    atomic_store(&log->fsync, (int)fsync);
    log->sync_due = true;
    log_pump(log);
}

void cache_log_set_rewrite(struct cache_log *log, uint64_t percentage, uint64_t bytes_min)
{
    log->options.rewrite_percentage = percentage;
    log->options.rewrite_bytes_min = bytes_min;
}

void cache_log_want_rewrite(struct cache_log *log)
{
    log->rewrite_wanted = true;
}

void cache_log_status(const struct cache_log *log, struct cache_log_status *out)
{
    *out = (struct cache_log_status){
        .log = log->options.log,
        .rewriting = atomic_load(&log->stat.rewriting),
        .saving = atomic_load(&log->stat.saving),
        .last_rewrite_ok = atomic_load(&log->stat.last_rewrite_ok),
        .last_save_ok = atomic_load(&log->stat.last_save_ok),
        .error = atomic_load(&log->error),
        .fsync = (enum cache_fsync)atomic_load(&log->fsync),
        .uring = log->ring != NULL,
        .bytes = atomic_load(&log->stat.bytes),
        .base_bytes = atomic_load(&log->stat.base_bytes),
        .pending_bytes = atomic_load(&log->stat.pending_bytes),
        .records = atomic_load(&log->stat.records),
        .syncs = atomic_load(&log->stat.syncs),
        .writes = atomic_load(&log->stat.writes),
        .generation = atomic_load(&log->stat.generation),
        .rewrites = atomic_load(&log->stat.rewrites),
        .saves = atomic_load(&log->stat.saves),
        .last_save_ms = atomic_load(&log->stat.last_save_ms),
        .loaded_transactions = atomic_load(&log->stat.loaded_transactions),
        .loaded_commands = atomic_load(&log->stat.loaded_commands),
        .torn_bytes = atomic_load(&log->stat.torn_bytes),
    };
}
