/* A worker goes over from one plan to the next, in one turn and so between two packets.
 *
 *   listeners: those in the way closed, new ones opened (here alone can it fail, and is taken back), removed ones closed
 *   upstreams: slots look at the new plan; what is not in it drains
 *   the old plan stays as long as sessions hold it */
#include <string.h>

#include "proxy/health/health.h"
#include "proxy/http/session.h"
#include "proxy/l4/l4.h"
#include "proxy/plan.h"
#include "proxy/proxy.h"

struct change {
    struct proxy *p;
    struct proxy_plan *next;
    bool stays[PLAN_LISTENER_SLOTS];  /* listens now, and does so in the next plan */
    bool moved[PLAN_LISTENER_SLOTS];  /* was closed to make way */
    bool opened[PLAN_LISTENER_SLOTS]; /* listens anew */
};

/* -- listeners ------------------------------------------------------------------------------------------------------------- */

static bool listens(const struct proxy_listener *l)
{
    return l->listener || l->port;
}

/* Heads and answers are written whole, and a tunnel's bytes are others' to delay. */
static int listener_open(struct proxy_listener *l)
{
    static const struct mr_stream_options options = {.nodelay = true};
    const struct proxy_listener_config *config = l->plan->config;
    if (config->mode == PROXY_UDP)
        return l4_udp_open(l);
    return mr_listen(l->proxy->worker, &config->listen, config->mode == PROXY_TCP ? &l4_tcp_handler : &session_handler,
                     &options, l, &l->listener);
}

static void listener_close(struct proxy_listener *l)
{
    if (l->port)
        l4_udp_close(l);
    if (l->listener)
        mr_listener_close(l->listener);
    l->port = NULL;
    l->listener = NULL;
}

static bool collide(const struct proxy_listener_config *a, const struct proxy_listener_config *b)
{
    bool address = mr_address_is_any(&a->listen.address) || mr_address_is_any(&b->listen.address) ||
                   mr_address_equal(&a->listen.address, &b->listen.address);
    return address && a->listen.port == b->listen.port && (a->mode == PROXY_UDP) == (b->mode == PROXY_UDP);
}

/* The same address under another name: the old one gives it up first. Nothing is lost, for no packet comes in between. */
static void listeners_make_way(struct change *c)
{
    for (uint32_t slot = 0; slot < PLAN_LISTENER_SLOTS; slot++) {
        struct proxy_listener *l = &c->p->listeners[slot];
        for (uint32_t i = 0; listens(l) && !c->stays[slot] && i < c->next->listener_count; i++)
            if (collide(l->plan->config, c->next->listeners[i].config)) {
                listener_close(l);
                c->moved[slot] = true;
            }
    }
}

/* What was open under the old plan is open again; its `plan` was not touched yet. */
static void listeners_take_back(struct change *c)
{
    for (uint32_t slot = 0; slot < PLAN_LISTENER_SLOTS; slot++)
        if (c->opened[slot]) {
            listener_close(&c->p->listeners[slot]);
            c->p->listeners[slot].plan = NULL;
        }
    for (uint32_t slot = 0; slot < PLAN_LISTENER_SLOTS; slot++)
        if (c->moved[slot] && listener_open(&c->p->listeners[slot]) != MR_OK)
            mr_log(MR_LOG_ERROR, "proxy", "listener %s could not be opened again after a change that failed",
                   c->p->listeners[slot].plan->config->name);
}

static int listeners_open(struct change *c, const struct plan_listener **failed)
{
    for (uint32_t i = 0; i < c->next->listener_count; i++) {
        const struct plan_listener *wanted = &c->next->listeners[i];
        struct proxy_listener *l = &c->p->listeners[wanted->slot];
        if (c->stays[wanted->slot])
            continue;
        l->proxy = c->p;
        l->plan = wanted;
        int error = listener_open(l);
        if (error != MR_OK) {
            l->plan = NULL;
            *failed = wanted;
            return error;
        }
        c->opened[wanted->slot] = true;
    }
    return MR_OK;
}

static int listeners_change(struct change *c, const struct plan_listener **failed)
{
    for (uint32_t i = 0; i < c->next->listener_count; i++) {
        uint32_t slot = c->next->listeners[i].slot;
        c->stays[slot] = listens(&c->p->listeners[slot]);
    }
    listeners_make_way(c);
    int error = listeners_open(c, failed);
    if (error != MR_OK)
        listeners_take_back(c);
    return error;
}

static void listeners_settle(struct change *c)
{
    for (uint32_t slot = 0; slot < PLAN_LISTENER_SLOTS; slot++) {
        struct proxy_listener *l = &c->p->listeners[slot];
        if (l->plan && !c->stays[slot] && !c->opened[slot]) {
            listener_close(l);
            l->plan = NULL;
            l->drain_until = proxy_drain_begin(c->p);
        }
    }
    for (uint32_t i = 0; i < c->next->listener_count; i++) {
        struct proxy_listener *l = &c->p->listeners[c->next->listeners[i].slot];
        if (l->generation != c->next->listeners[i].generation)
            l->accepted = 0;
        l->generation = c->next->listeners[i].generation;
        l->plan = &c->next->listeners[i];
        l->drain_until = 0;
    }
}

/* -- upstreams ------------------------------------------------------------------------------------------------------------- */

static void upstreams_set(struct proxy *p, struct proxy_plan *next)
{
    for (uint32_t i = 0; i < next->upstream_count; i++) {
        const struct plan_upstream *u = &next->upstreams[i];
        upstream_state_set(p, u->slot, u);
        for (uint32_t k = 0; k < u->backend_count; k++) {
            upstream_backend_set(p, u, &u->backends[k]);
            health_watch(p, u, &u->backends[k]);
        }
    }
}

/* Slots that still look at the old plan are not in the new one. */
static void upstreams_remove(struct proxy *p, struct proxy_plan *old)
{
    for (uint32_t i = 0; i < old->upstream_count; i++) {
        const struct plan_upstream *u = &old->upstreams[i];
        for (uint32_t k = 0; k < u->backend_count; k++)
            if (p->backends[u->backends[k].slot].plan == &u->backends[k]) {
                health_forget(p, u->backends[k].slot);
                upstream_backend_remove(p, u->backends[k].slot);
            }
        if (p->upstreams[u->slot].plan == u)
            upstream_state_set(p, u->slot, NULL);
    }
}

/* Of the limits those by which no table is sized: control.c lets no others change. */
static void limits_take(struct proxy *p, const struct proxy_limits_config *next)
{
    struct proxy_limits_config *l = &p->limits;
    l->line_bytes = next->line_bytes;
    l->header_count = next->header_count;
    l->body_bytes = next->body_bytes;
    l->header_timeout = next->header_timeout;
    l->body_timeout = next->body_timeout;
    l->send_timeout = next->send_timeout;
    l->linger_timeout = next->linger_timeout;
    p->wire_limits.line_bytes = (uint32_t)l->line_bytes;
    p->wire_limits.fields = (uint32_t)l->header_count;
}

/* -- the whole ------------------------------------------------------------------------------------------------------------- */

static void plan_enter(struct proxy *p, struct proxy_plan *next)
{
    struct plan_use *use = &next->use[mr_worker_index(p->worker)];
    if (use->sessions == 0)
        plan_keep(next);
    use->current = true;
    p->plan = next;
}

static void plan_exit(struct proxy *p, struct proxy_plan *old)
{
    struct plan_use *use = &old->use[mr_worker_index(p->worker)];
    use->current = false;
    if (use->sessions == 0)
        plan_let_go(old);
}

int plan_apply(struct proxy *p, struct proxy_plan *next, const struct plan_listener **failed)
{
    struct change c = {.p = p, .next = next};
    struct proxy_plan *old = p->plan;
    if (old == next || p->stopping)
        return MR_OK;
    int error = listeners_change(&c, failed);
    if (error != MR_OK)
        return error;
    plan_enter(p, next);
    limits_take(p, &next->config->limits);
    listeners_settle(&c);
    upstreams_set(p, next);
    if (old) {
        upstreams_remove(p, old);
        plan_exit(p, old);
    }
    return MR_OK;
}

void plan_stop(struct proxy *p)
{
    for (uint32_t slot = 0; slot < PLAN_LISTENER_SLOTS; slot++)
        if (listens(&p->listeners[slot])) {
            listener_close(&p->listeners[slot]);
            p->listeners[slot].drain_until = proxy_drain_begin(p);
        }
}

void plan_leave(struct proxy *p)
{
    struct proxy_plan *old = p->plan;
    p->plan = NULL;
    if (old)
        plan_exit(p, old);
}
