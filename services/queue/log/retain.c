/* Retention: the oldest segments go, whole, and only those that no task writes any more. Their files go with the next job, after what
 * stands behind them is on the disk. */
#include "queue/log/state.h"

static void oldest_remove(struct qlog *log)
{
    struct qlog_segment *s = log->first, **end = &log->doomed;
    while (*end)
        end = &(*end)->next;
    log->first = s->next;
    log->segments--;
    log->bytes -= s->bytes;
    s->next = NULL;
    *end = s;
    qlog_mark(log);
}

/* The segment behind it has its file already: a crash leaves at least one. */
static bool removable(const struct qlog *log)
{
    return log->first && log->first != log->active && log->first->next->created;
}

void qlog_trim_apply(struct qlog *log)
{
    while (removable(log) && log->first->next->first <= log->trim)
        oldest_remove(log);
}

void qlog_trim(struct qlog *log, uint64_t offset)
{
    log->trim = offset > log->trim ? offset : log->trim;
    qlog_trim_apply(log);
}

void qlog_retain(struct qlog *log, uint64_t now_ms)
{
    const struct qlog_options *o = &log->options;
    while (removable(log) && log->segments > o->retain_segments) {
        bool many = o->retain_bytes && log->bytes > o->retain_bytes;
        bool old = o->retain_ms && now_ms > o->retain_ms && log->first->ms_last < now_ms - o->retain_ms;
        if (!many && !old)
            return;
        oldest_remove(log);
    }
}
