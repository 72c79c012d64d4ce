/* One log: its life and what is known of it. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "queue/log/state.h"

bool qlog_name_legal(const char *name)
{
    static const char legal[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t n = strlen(name);
    return n > 0 && n <= QLOG_NAME_MAX && strspn(name, legal) == n && name[0] != '.';
}

void qlog_segment_path(const struct qlog *log, uint64_t first, char path[QLOG_PATH_BYTES])
{
    snprintf(path, QLOG_PATH_BYTES, "%s/%020" PRIu64 ".log", log->name, first);
}

struct qlog *qlog_new(struct qlog_engine *e, const char *name, const struct qlog_options *o, void *context)
{
    size_t n = strlen(name) + 1, bytes = sizeof(struct qlog) + n;
    struct qlog *log = qlog_name_legal(name) ? memory_alloc(&e->memory, bytes) : NULL;
    if (!log)
        return NULL;
    *log = (struct qlog){
        .engine = e, .context = context, .options = *o, .older = e->logs, .fd = -1, .struct_bytes = (uint16_t)bytes};
    memcpy(log->name, name, n);
    if (log->options.segment_bytes > QLOG_SEGMENT_MAX)
        log->options.segment_bytes = QLOG_SEGMENT_MAX;
    if (e->logs)
        e->logs->newer = log;
    e->logs = log;
    return log;
}

static void segments_free(struct qlog_engine *e, struct qlog_segment *s)
{
    while (s) {
        struct qlog_segment *next = s->next;
        qlog_segment_free(e, s);
        s = next;
    }
}

void qlog_drop(struct qlog *log)
{
    struct qlog_engine *e = log->engine;
    assert(!log->dirty && log->reads == 0);
    qlog_file_close(e, log);
    log->written = log->synced = log->appended;
    qlog_release(log);
    segments_free(e, log->first);
    segments_free(e, log->doomed);
    if (log->newer)
        log->newer->older = log->older;
    else
        e->logs = log->older;
    if (log->older)
        log->older->newer = log->newer;
    memory_free(&e->memory, log, log->struct_bytes);
}

struct qlog *qlog_create(struct qlog_engine *e, const char *name, const struct qlog_options *o, void *context)
{
    struct qlog *log = qlog_new(e, name, o, context);
    if (log)
        qlog_mark(log);
    return log;
}

void qlog_delete(struct qlog *log)
{
    log->deleted = true;
    qlog_mark(log);
}

void qlog_sync(struct qlog *log)
{
    log->sync_to = log->appended;
    qlog_mark(log);
}

void *qlog_context(const struct qlog *log)
{
    return log->context;
}

uint64_t qlog_begin(const struct qlog *log)
{
    return log->first ? log->first->first : log->next;
}

uint64_t qlog_next(const struct qlog *log)
{
    return log->next;
}

uint64_t qlog_written(const struct qlog *log)
{
    return log->written_offset;
}

uint64_t qlog_synced(const struct qlog *log)
{
    return log->synced_offset;
}

uint64_t qlog_safe(const struct qlog *log)
{
    return log->options.safety == QLOG_SYNCED ? log->synced_offset : log->written_offset;
}

uint64_t qlog_bytes(const struct qlog *log)
{
    return log->bytes;
}

unsigned qlog_segments(const struct qlog *log)
{
    return log->segments;
}

uint64_t qlog_segment_of(const struct qlog *log, uint64_t offset)
{
    const struct qlog_segment *s = qlog_segment_find(log, offset);
    return s ? s->first : log->last ? log->last->first : log->next;
}
