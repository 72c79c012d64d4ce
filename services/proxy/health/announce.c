/* One line of the log for each change of a verdict, written by an offload thread: writing blocks. When changes come faster than lines
 * are written, the number of those left out is said. */
#include <stdio.h>

#include "proxy/health/prober.h"
#include "proxy/proxy.h"

#define AGAIN_AFTER (10 * MR_MILLISECOND)

/* On an offload thread: nothing that it reads changes before `lines_written`. */
static void lines_write(void *argument)
{
    const struct health_table *t = argument;
    const struct health_announcer *a = &t->announcer;
    for (uint32_t i = 0; i < a->writing; i++) {
        uint32_t at = (a->first + i) % HEALTH_LINES;
        mr_log(a->warning[at] ? MR_LOG_WARNING : MR_LOG_INFO, "proxy", "%s", a->lines[at]);
    }
    if (a->lost_writing)
        mr_log(MR_LOG_WARNING, "proxy", "health: %llu more changes", (unsigned long long)a->lost_writing);
}

static void lines_written(struct mr_worker *worker, void *argument)
{
    (void)worker;
    struct health_table *t = argument;
    struct health_announcer *a = &t->announcer;
    a->first = (a->first + a->writing) % HEALTH_LINES;
    a->count -= a->writing;
    a->writing = 0;
    a->lost_writing = 0;
    if (t->released)
        health_table_free(t);
    else
        health_announce_again(t);
}

void health_announce_again(struct health_table *t)
{
    struct health_announcer *a = &t->announcer;
    if (a->writing || a->lost_writing || (a->count == 0 && a->lost == 0))
        return;
    a->writing = a->count;
    a->lost_writing = a->lost;
    if (mr_offload(t->proxy->worker, lines_write, lines_written, t) == MR_OK) {
        a->lost = 0;
        return;
    }
    a->writing = 0;
    a->lost_writing = 0;
    if (!t->stopping)
        mr_timer_set(t->proxy->worker, &t->again, mr_now(t->proxy->worker) + AGAIN_AFTER);
}

void health_announce(struct health_watch *w, enum health_verdict before)
{
    struct health_table *t = w->table;
    struct health_announcer *a = &t->announcer;
    if (a->count == HEALTH_LINES) {
        a->lost++;
        return;
    }
    uint32_t at = (a->first + a->count++) % HEALTH_LINES;
    char address[MR_ENDPOINT_TEXT_MAX];
    snprintf(a->lines[at], HEALTH_LINE_BYTES, "health: upstream=%.64s backend=%.64s address=%s: %s -> %s: %s",
             w->upstream->config->name, w->backend->config->name,
             mr_endpoint_text(&w->backend->config->address, address), health_verdict_text(before),
             health_verdict_text(w->health.verdict), health_result_text(w->health.last));
    a->warning[at] = w->health.verdict == HEALTH_DOWN;
    health_announce_again(t);
}
