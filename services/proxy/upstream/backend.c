/* What a worker keeps of a backend: how many go there, whether it is fit and with what weight, and when that changes by itself.
 *
 *   fit --failures in a row--> ejected --duration--> weight from a tenth, grown over slow_start --> fit
 *       --checks fail--> down  --checks pass--> the same */
#include <string.h>

#include "proxy/upstream/table.h"

#define RAMP_STEPS       32
#define RAMP_FIRST       0.1
#define RAMP_STEP_LEAST  (10 * MR_MILLISECOND)
#define EJECTION_LONGEST 10 /* times the first */

/* -- counts ---------------------------------------------------------------------------------------------------------------- */

void backend_active(struct upstream_backend *b, int by)
{
    upstream_count(&b->active, by);
    if (b->balance)
        balance_set_active(b->balance, b->member, b->active);
}

void backend_attach(struct upstream_request *q, struct upstream_backend *b)
{
    q->counted = true;
    b->requests++;
    backend_active(b, 1);
}

void backend_detach(struct upstream_request *q)
{
    if (q->counted)
        backend_active(&q->proxy->backends[q->slot], -1);
    q->counted = false;
}

void backend_connections(struct upstream_backend *b, int by)
{
    upstream_count(&b->open, by);
    backend_refresh(b);
    if (by < 0)
        queue_serve_later(upstream_state_of(b));
}

/* -- fitness --------------------------------------------------------------------------------------------------------------- */

bool backend_is_usable(const struct upstream_backend *b)
{
    return b->plan && b->plan->config->state == BACKEND_ENABLED && b->health != HEALTH_DOWN && b->ejected_until == 0;
}

/* Without an idle connection, that is, and no more may be opened. */
bool backend_is_full(const struct upstream_backend *b)
{
    uint64_t max = b->plan ? upstream_config_of(b)->connections_max : 0;
    return max > 0 && b->open >= max && b->idle == 0;
}

static uint32_t backend_weight(const struct upstream_backend *b)
{
    mr_time ramp = upstream_config_of(b)->slow_start, now = mr_now(b->proxy->worker);
    double weight = (double)b->plan->config->weight * PLAN_WEIGHT_UNIT;
    if (b->fit_since && now - b->fit_since < ramp)
        weight *= RAMP_FIRST + (1.0 - RAMP_FIRST) * (double)(now - b->fit_since) / (double)ramp;
    return weight > 0 && weight < 1 ? 1 : (uint32_t)weight;
}

void backend_refresh(struct upstream_backend *b)
{
    bool usable = backend_is_usable(b), full = backend_is_full(b);
    struct upstream_state *s = upstream_state_of(b);
    s->full += (usable && full) - b->full;
    b->full = usable && full;
    if (b->balance)
        balance_set_fit(b->balance, b->member, usable && !full);
}

static void weight_refresh(struct upstream_backend *b)
{
    if (b->balance)
        balance_set_weight(b->balance, b->member, backend_weight(b));
}

void upstream_backend_update(struct proxy *p, uint32_t slot)
{
    struct upstream_backend *b = &p->backends[slot];
    if (!b->plan)
        return;
    weight_refresh(b);
    balance_set_active(b->balance, b->member, b->active);
    backend_refresh(b);
    queue_serve_later(upstream_state_of(b));
}

/* -- slow start ------------------------------------------------------------------------------------------------------------ */

static void ramp_begin(struct upstream_backend *b)
{
    mr_time ramp = b->plan ? upstream_config_of(b)->slow_start : 0, now = mr_now(b->proxy->worker);
    b->fit_since = ramp ? now : 0;
    if (!ramp)
        return;
    mr_time step = ramp / RAMP_STEPS;
    mr_timer_set(b->proxy->worker, &b->fit_timer, now + (step > RAMP_STEP_LEAST ? step : RAMP_STEP_LEAST));
}

static void ramp_step(struct upstream_backend *b, mr_time now)
{
    mr_time ramp = b->plan ? upstream_config_of(b)->slow_start : 0, step = ramp / RAMP_STEPS;
    if (now - b->fit_since >= ramp)
        b->fit_since = 0;
    else
        mr_timer_set(b->proxy->worker, &b->fit_timer, now + (step > RAMP_STEP_LEAST ? step : RAMP_STEP_LEAST));
}

/* -- ejection -------------------------------------------------------------------------------------------------------------- */

static bool share_permits(const struct upstream_state *s)
{
    return (double)s->ejected + 1 <= s->plan->config->ejection.share_max * s->plan->backend_count + 1e-9;
}

static void eject(struct upstream_backend *b, const struct proxy_ejection_config *config)
{
    mr_time now = mr_now(b->proxy->worker);
    if (now - b->ejected_last > EJECTION_LONGEST * config->duration)
        b->ejections = 0;
    uint32_t times = b->ejections < 4 ? 1u << b->ejections : EJECTION_LONGEST;
    b->ejections++;
    b->failures_in_a_row = 0;
    b->ejected_until = now + config->duration * (times < EJECTION_LONGEST ? times : EJECTION_LONGEST);
    upstream_state_of(b)->ejected++;
    proxy_count(b->proxy, PROXY_EJECTIONS);
    mr_timer_set(b->proxy->worker, &b->fit_timer, b->ejected_until);
    connection_close_all_idle(b);
    backend_refresh(b);
}

void backend_failed(struct upstream_backend *b)
{
    if (!b->plan || b->ejected_until)
        return;
    const struct proxy_ejection_config *config = &upstream_config_of(b)->ejection;
    b->failures_in_a_row++;
    if (config->failures > 0 && b->failures_in_a_row >= config->failures && share_permits(upstream_state_of(b)))
        eject(b, config);
}

static void ejection_end(struct upstream_backend *b)
{
    b->ejected_until = 0;
    b->ejected_last = mr_now(b->proxy->worker);
    upstream_state_of(b)->ejected--;
}

static void fit_expired(struct mr_worker *w, struct mr_timer *t)
{
    struct upstream_backend *b = t->context;
    if (b->ejected_until) {
        ejection_end(b);
        ramp_begin(b);
    } else if (b->fit_since) {
        ramp_step(b, mr_now(w));
    }
    upstream_backend_update(b->proxy, (uint32_t)(b - b->proxy->backends));
}

/* -- what others say of it ------------------------------------------------------------------------------------------------- */

void upstream_health_changed(struct proxy *p, uint32_t slot, enum health_verdict verdict)
{
    struct upstream_backend *b = &p->backends[slot];
    enum health_verdict before = b->health;
    b->health = verdict;
    if (!b->plan || before == verdict)
        return;
    if (verdict == HEALTH_DOWN)
        connection_close_all_idle(b);
    if (verdict == HEALTH_UP && before == HEALTH_DOWN) {
        b->failures_in_a_row = 0;
        if (!b->ejected_until)
            ramp_begin(b);
    }
    upstream_backend_update(p, slot);
}

/* Another backend than the slot had before, or its first. Nothing of the other is left: see plan_slots.c. */
static void backend_begin(struct proxy *p, struct upstream_backend *b)
{
    memset(b, 0, sizeof *b);
    b->proxy = p;
    mr_timer_init(&b->idle_timer, backend_idle_expired, b);
    mr_timer_init(&b->fit_timer, fit_expired, b);
}

void upstream_backend_set(struct proxy *p, const struct plan_upstream *u, const struct plan_backend *backend)
{
    struct upstream_backend *b = &p->backends[backend->slot];
    bool disabled = backend->config->state == BACKEND_DISABLED;
    if (b->generation != backend->generation)
        backend_begin(p, b);
    bool was_out = !b->plan || b->plan->config->state == BACKEND_DISABLED;
    b->generation = backend->generation;
    b->plan = backend;
    b->balance = u->balance[mr_worker_index(p->worker)];
    b->member = (uint32_t)(backend - u->backends);
    b->address = backend->config->address;
    b->upstream_slot = u->slot;
    if (!disabled)
        b->drain_until = 0;
    else if (!was_out)
        b->drain_until = proxy_drain_begin(p);
    if (disabled)
        connection_close_all_idle(b);
    else if (was_out && p->plan->version > 1 && !b->ejected_until)
        ramp_begin(b);
    upstream_backend_update(p, backend->slot);
}

void upstream_backend_remove(struct proxy *p, uint32_t slot)
{
    struct upstream_backend *b = &p->backends[slot];
    bool was_disabled = b->plan->config->state == BACKEND_DISABLED;
    if (b->ejected_until)
        ejection_end(b);
    mr_timer_cancel(p->worker, &b->fit_timer);
    b->plan = NULL;
    b->balance = NULL;
    b->fit_since = 0;
    if (!was_disabled)
        b->drain_until = proxy_drain_begin(p);
    backend_refresh(b);
    connection_close_all_idle(b);
}

void upstream_state_set(struct proxy *p, uint32_t slot, const struct plan_upstream *u)
{
    struct upstream_state *s = &p->upstreams[slot];
    if (u && s->generation != u->generation)
        *s = (struct upstream_state){.proxy = p, .generation = u->generation, .queue_end = &s->queue_first};
    s->plan = u;
    queue_serve_later(s);
}
