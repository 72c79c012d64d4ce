/* Every invariant of a worker's prober, for tests. */
#include <assert.h>

#include "proxy/health/prober.h"
#include "proxy/proxy.h"

static uint32_t free_count(const struct health_table *t)
{
    uint32_t n = 0;
    for (const struct health_probe *probe = t->free; probe; probe = probe->next, n++) {
        assert(probe->state == PROBE_FREE && !probe->stream && !mr_timer_armed(&probe->deadline));
        assert(n < HEALTH_PROBES_MAX);
    }
    return n;
}

static void probes_check(const struct health_table *t)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < HEALTH_PROBES_MAX; i++) {
        const struct health_probe *probe = &t->probes[i];
        if (probe->state == PROBE_FREE)
            continue;
        used++;
        assert(probe->stream);
        assert(!probe->watch == (probe->state == PROBE_DRAINING || probe->state == PROBE_CLOSING));
        assert(!probe->watch || probe->watch->probe == probe);
        assert(mr_timer_armed(&probe->deadline) == (probe->state != PROBE_CLOSING)); /* every check comes to an end */
        assert(probe->used <= HEALTH_HEAD_MAX && probe->sent <= probe->used);
    }
    assert(used + free_count(t) == HEALTH_PROBES_MAX);
}

/* A watch has a check under way, waits for a probe, or its timer runs: it is never forgotten. */
static void watch_check(const struct health_table *t, const struct health_watch *w)
{
    if (!w->upstream) {
        assert(!w->backend && !w->probe && !mr_timer_armed(&w->timer));
        return;
    }
    assert(health_watch_of(t, w->backend->slot) == w);
    assert(t->watched[w->backend->slot] == w->backend->generation);
    assert(!w->probe || w->probe->watch == w);
    assert((w->probe != NULL) + mr_timer_armed(&w->timer) <= 1);
    assert(w->probe || mr_timer_armed(&w->timer) || w->waiting);
    health_check(&w->health);
}

void health_table_check(const struct proxy *p)
{
    const struct health_table *t = p->health;
    uint32_t waiting = 0;
    probes_check(t);
    for (uint32_t i = 0; i < t->watch_count; i++) {
        watch_check(t, &t->watches[i]);
        waiting += t->watches[i].waiting;
    }
    for (const struct health_watch *w = t->waiting_first; w; w = w->next_waiting, waiting--)
        assert(w->waiting);
    assert(waiting == 0);
    assert(t->stopping || !t->waiting_first || !t->free);
    assert(t->announcer.count <= HEALTH_LINES && t->announcer.writing <= t->announcer.count);
}
