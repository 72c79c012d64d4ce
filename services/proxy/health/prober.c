/* Whom this worker checks and when. Backends are shared out by slot modulo workers; their verdicts go to every worker. */
#include <stdlib.h>
#include <string.h>

#include "proxy/health/prober.h"
#include "proxy/proxy.h"

static uint32_t workers_of(const struct proxy *p)
{
    return mr_worker_count(p->worker);
}

struct health_watch *health_watch_of(const struct health_table *t, uint32_t slot)
{
    uint32_t workers = workers_of(t->proxy);
    return slot < t->slots && slot % workers == mr_worker_index(t->proxy->worker) ? &t->watches[slot / workers] : NULL;
}

static const struct proxy_health_config *config_of(const struct health_watch *w)
{
    return &w->upstream->config->health;
}

/* -- checks ---------------------------------------------------------------------------------------------------------------- */

static void watch_wait(struct health_table *t, struct health_watch *w)
{
    if (w->waiting)
        return;
    w->waiting = true;
    w->next_waiting = NULL;
    *t->waiting_end = w;
    t->waiting_end = &w->next_waiting;
}

static enum health_result error_result(int error)
{
    return error == MR_ERROR_NO_ROUTE || error == MR_ERROR_INVALID ? HEALTH_UNREACHABLE : HEALTH_NO_MEMORY;
}

static void watch_check(struct health_watch *w)
{
    int error;
    if (!probe_begin(w, &error))
        watch_wait(w->table, w);
    else if (error != MR_OK)
        health_found(w, error_result(error));
}

static void watch_due(struct mr_worker *worker, struct mr_timer *timer)
{
    (void)worker;
    watch_check(timer->context);
}

void health_probe_freed(struct health_table *t)
{
    while (t->free && t->waiting_first && !t->stopping) {
        struct health_watch *w = t->waiting_first;
        if (!(t->waiting_first = w->next_waiting))
            t->waiting_end = &t->waiting_first;
        w->waiting = false;
        if (w->upstream && !mr_timer_armed(&w->timer)) /* not one that went, or came anew, while it waited */
            watch_check(w);
    }
}

void health_found(struct health_watch *w, enum health_result r)
{
    struct health_table *t = w->table;
    struct proxy *p = t->proxy;
    enum health_verdict before = w->health.verdict;
    bool changed = health_report(&w->health, config_of(w), &t->random, r, mr_now(p->worker));
    mr_timer_set(p->worker, &w->timer, w->health.next);
    proxy_count(p, r == HEALTH_NO_MEMORY ? PROXY_HEALTH_UNMADE : PROXY_HEALTH_CHECKS);
    if (r != HEALTH_GOOD && r != HEALTH_NO_MEMORY)
        proxy_count(p, PROXY_HEALTH_FAILURES);
    if (changed) {
        proxy_count(p, PROXY_HEALTH_CHANGES);
        health_announce(w, before);
        upstream_health_changed(p, w->backend->slot, w->health.verdict);
    }
    if (w->health.verdict != HEALTH_UNKNOWN)
        health_tell(w);
}

/* -- who is looked after --------------------------------------------------------------------------------------------------- */

static void watch_end(struct health_watch *w)
{
    if (!w->upstream)
        return;
    mr_timer_cancel(w->table->proxy->worker, &w->timer);
    if (w->probe)
        probe_abandon(w->probe);
    w->probe = NULL;
    w->upstream = NULL;
    w->backend = NULL;
}

static void watch_begin(struct health_table *t, struct health_watch *w)
{
    struct mr_worker *worker = t->proxy->worker;
    w->table = t;
    mr_timer_init(&w->timer, watch_due, w);
    health_init(&w->health, config_of(w), &w->table->random, mr_now(worker));
    mr_timer_set(worker, &w->timer, w->health.next);
}

/* A shorter interval holds from now on, not after the longer one has passed. */
static void watch_hasten(struct health_watch *w)
{
    struct mr_worker *worker = w->table->proxy->worker;
    mr_time latest = mr_now(worker) + config_of(w)->interval;
    if (mr_timer_armed(&w->timer) && w->health.next > latest) {
        w->health.next = latest;
        mr_timer_set(worker, &w->timer, latest);
    }
}

void health_watch(struct proxy *p, const struct plan_upstream *u, const struct plan_backend *b)
{
    struct health_table *t = p->health;
    struct health_watch *w = health_watch_of(t, b->slot);
    if (u->config->health.type == HEALTH_OFF || t->stopping) {
        health_forget(p, b->slot);
        return;
    }
    bool known = t->watched[b->slot] == b->generation;
    if (!known) {
        health_forget(p, b->slot);
        upstream_health_changed(p, b->slot, HEALTH_UNKNOWN); /* what another time of the same backend has left */
    }
    t->watched[b->slot] = b->generation;
    if (!w)
        return;
    w->upstream = u;
    w->backend = b;
    if (known)
        watch_hasten(w);
    else
        watch_begin(t, w);
}

/* Every worker does this by itself, for each has the plan: no message needs to tell that nothing is known any more. */
void health_forget(struct proxy *p, uint32_t slot)
{
    struct health_table *t = p->health;
    struct health_watch *w = health_watch_of(t, slot);
    if (!t->watched[slot])
        return;
    t->watched[slot] = 0;
    if (w)
        watch_end(w);
    upstream_health_changed(p, slot, HEALTH_UNKNOWN);
}

const struct health *health_of(const struct proxy *p, uint32_t slot)
{
    const struct health_watch *w = p->health ? health_watch_of(p->health, slot) : NULL;
    return w && w->upstream ? &w->health : NULL;
}

/* -- start and stop -------------------------------------------------------------------------------------------------------- */

static void again_expired(struct mr_worker *worker, struct mr_timer *timer)
{
    (void)worker;
    struct health_table *t = timer->context;
    health_tell_again(t);
    health_announce_again(t);
}

void health_table_free(struct health_table *t)
{
    free(t->watched);
    free(t->watches);
    free(t->probes);
    free(t);
}

static bool table_memory(struct health_table *t)
{
    t->watched = calloc(t->slots, sizeof *t->watched);
    t->watches = calloc(t->watch_count, sizeof *t->watches);
    t->probes = calloc(HEALTH_PROBES_MAX, sizeof *t->probes);
    return t->watched && t->watches && t->probes;
}

int health_start(struct proxy *p)
{
    struct health_table *t = calloc(1, sizeof *t);
    if (!t)
        return MR_ERROR_NO_MEMORY;
    t->proxy = p;
    t->slots = (uint32_t)p->limits.backends;
    t->watch_count = t->slots / workers_of(p) + 1;
    t->waiting_end = &t->waiting_first;
    mr_random_seed(&t->random, mr_random(p->worker));
    mr_timer_init(&t->again, again_expired, t);
    if (!table_memory(t)) {
        health_table_free(t);
        return MR_ERROR_NO_MEMORY;
    }
    for (uint32_t i = HEALTH_PROBES_MAX; i-- > 0;) {
        t->probes[i].table = t;
        t->probes[i].next = t->free;
        t->free = &t->probes[i];
    }
    p->health = t;
    return MR_OK;
}

/* Verdicts stay as they are: what is under way drains by them. */
void health_stop(struct proxy *p)
{
    struct health_table *t = p->health;
    t->stopping = true;
    mr_timer_cancel(p->worker, &t->again);
    for (uint32_t i = 0; i < t->watch_count; i++)
        watch_end(&t->watches[i]);
    for (uint32_t i = 0; i < HEALTH_PROBES_MAX; i++) /* those that drain */
        probe_abandon(&t->probes[i]);
}

void health_release(struct proxy *p)
{
    struct health_table *t = p->health;
    health_stop(p);
    p->health = NULL;
    t->released = true;
    if (!t->announcer.writing && !t->announcer.lost_writing) /* else whoever writes comes back last: announce.c */
        health_table_free(t);
}
