/* A plan is made, counted by who uses it, and freed. */
#include "proxy/plan.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_tree.h"
#include "proxy/plan_hash.h"
#include "proxy/plan_slots.h"
#include "proxy/proxy.h"

struct build {
    struct proxy_shared *shared;
    struct proxy_plan *plan;
    char *message;
    size_t bytes;
};

static bool fault(struct build *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fault(struct build *b, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(b->message, b->bytes, format, arguments);
    va_end(arguments);
    return false;
}

static bool no_memory(struct build *b)
{
    return fault(b, "no memory for another version of the configuration");
}

/* Names hold no control characters, so lines keep them apart. */
static bool slot_take(struct build *b, enum plan_slot_kind kind, uint32_t *slot, uint64_t *generation,
                      const char *first, const char *second, const struct mr_endpoint *at)
{
    static const char *const what[] = {"listeners", "upstreams (limits.upstreams)", "backends (limits.backends)"};
    char identity[512], text[MR_ENDPOINT_TEXT_MAX] = "";
    if (at)
        mr_endpoint_text(at, text);
    snprintf(identity, sizeof identity, "%s\n%s\n%s", first, second, text);
    return plan_slot_take(b->shared, kind, identity, slot, generation) ||
           fault(b, "too many %s at a time, those that still drain included", what[kind]);
}

/* -- upstreams ------------------------------------------------------------------------------------------------------------- */

static int sticky_compare(const void *a, const void *b)
{
    const struct plan_sticky *x = a, *y = b;
    return x->value < y->value ? -1 : x->value > y->value;
}

static bool backend_build(struct build *b, struct plan_upstream *u, uint32_t index, const uint64_t key[2])
{
    const struct proxy_backend_config *config = &u->config->backends[index];
    struct plan_backend *backend = &u->backends[index];
    uint64_t value = plan_hash(key, config->name, strlen(config->name));
    if (!slot_take(b, SLOT_BACKEND, &backend->slot, &backend->generation, u->config->name, config->name,
                   &config->address))
        return false;
    backend->config = config;
    backend->upstream = (uint32_t)(u - b->plan->upstreams);
    snprintf(backend->sticky, sizeof backend->sticky, "%016" PRIx64, value);
    u->sticky[index] = (struct plan_sticky){value, index};
    u->backend_count = index + 1; /* what plan_free gives back */
    return true;
}

/* The same backends have the same keys in every proxy with this upstream, whatever their order. */
static bool maglev_for(struct plan_upstream *u)
{
    static const uint64_t no_key[2];
    uint32_t n = u->backend_count;
    uint64_t *keys = calloc(n ? n : 1, sizeof *keys);
    uint32_t *weights = calloc(n ? n : 1, sizeof *weights);
    for (uint32_t i = 0; keys && weights && i < n; i++) {
        const char *name = u->backends[i].config->name;
        keys[i] = plan_hash(no_key, name, strlen(name));
        weights[i] = (uint32_t)u->backends[i].config->weight * PLAN_WEIGHT_UNIT;
    }
    u->maglev = keys && weights ? maglev_build(keys, weights, n) : NULL;
    free(keys);
    free(weights);
    return u->maglev;
}

static bool balances_build(struct build *b, struct plan_upstream *u)
{
    unsigned workers = b->shared->workers;
    if (u->config->balance == BALANCE_MAGLEV && !maglev_for(u))
        return no_memory(b);
    u->balance = calloc(workers, sizeof(struct balance *));
    for (unsigned w = 0; u->balance && w < workers; w++)
        if (!(u->balance[w] = balance_create(balance_policies[u->config->balance], u->backend_count, u->maglev,
                                             &b->shared->random[w].random)))
            return no_memory(b);
    return u->balance || no_memory(b);
}

static bool upstream_build(struct build *b, uint32_t index, const uint64_t via_hash)
{
    const struct proxy_upstream_config *config = &b->plan->config->upstreams[index];
    struct plan_upstream *u = &b->plan->upstreams[index];
    uint64_t key[2] = {via_hash, 0};
    uint32_t n = config->backend_count;
    if (!slot_take(b, SLOT_UPSTREAM, &u->slot, &u->generation, config->name, "", NULL))
        return false;
    b->plan->upstream_count = index + 1;
    key[1] = plan_hash(key, config->name, strlen(config->name));
    u->config = config;
    u->backends = calloc(n ? n : 1, sizeof *u->backends);
    u->sticky = calloc(n ? n : 1, sizeof *u->sticky);
    if (!u->backends || !u->sticky)
        return no_memory(b);
    for (uint32_t i = 0; i < n; i++)
        if (!backend_build(b, u, i, key))
            return false;
    qsort(u->sticky, n, sizeof *u->sticky, sticky_compare);
    return balances_build(b, u);
}

/* The key of the cookies' hashes is made of names alone, so cookies outlive a restart and are the same in a pair of proxies. */
static bool upstreams_build(struct build *b)
{
    static const uint64_t no_key[2];
    uint64_t via_hash = plan_hash(no_key, b->plan->config->via, strlen(b->plan->config->via));
    for (uint32_t i = 0; i < b->plan->config->upstream_count; i++)
        if (!upstream_build(b, i, via_hash))
            return false;
    return true;
}

const struct plan_backend *plan_backend_sticky(const struct plan_upstream *u, const char *value)
{
    struct plan_sticky wanted = {0};
    for (unsigned i = 0; i < 16; i++) {
        unsigned char c = (unsigned char)value[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return NULL;
        wanted.value = wanted.value << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    const struct plan_sticky *found = bsearch(&wanted, u->sticky, u->backend_count, sizeof *u->sticky, sticky_compare);
    return found ? &u->backends[found->member] : NULL;
}

/* -- listeners and routes -------------------------------------------------------------------------------------------------- */

static bool upstream_by_name(struct build *b, const char *name, const struct plan_upstream **out)
{
    for (uint32_t i = 0; i < b->plan->upstream_count; i++)
        if (!strcmp(b->plan->upstreams[i].config->name, name)) {
            *out = &b->plan->upstreams[i];
            return true;
        }
    return fault(b, "there is no upstream '%s'", name);
}

static bool listener_by_name(struct build *b, const char *name, const struct plan_listener **out)
{
    for (uint32_t i = 0; i < b->plan->listener_count; i++)
        if (!strcmp(b->plan->listeners[i].config->name, name)) {
            *out = &b->plan->listeners[i];
            return true;
        }
    return fault(b, "there is no listener '%s'", name);
}

/* One with another address or mode is another listener: its slot is not the same. */
static bool listeners_build(struct build *b)
{
    static const char *const modes[] = {"http", "forward", "tcp", "udp"};
    for (uint32_t i = 0; i < b->plan->config->listener_count; i++) {
        const struct proxy_listener_config *config = &b->plan->config->listeners[i];
        struct plan_listener *l = &b->plan->listeners[i];
        if (!slot_take(b, SLOT_LISTENER, &l->slot, &l->generation, config->name, modes[config->mode], &config->listen))
            return false;
        l->config = config;
        b->plan->listener_count = i + 1;
        if (config->upstream && !upstream_by_name(b, config->upstream, &l->upstream))
            return false;
    }
    return true;
}

static bool routes_build(struct build *b)
{
    for (uint32_t i = 0; i < b->plan->config->route_count; i++) {
        const struct proxy_route_config *config = &b->plan->config->routes[i];
        struct plan_route *r = &b->plan->routes[i];
        r->config = config;
        b->plan->route_count = i + 1;
        if (!upstream_by_name(b, config->upstream, &r->upstream) ||
            (config->listener && !listener_by_name(b, config->listener, &r->listener)) ||
            !route_compile(r, b->message, b->bytes))
            return false;
    }
    return route_index_build(b->plan) || no_memory(b);
}

/* -- the whole ------------------------------------------------------------------------------------------------------------- */

static void config_free(struct proxy_config *config)
{
    config_tree_free(proxy_keys, config);
    free(config);
}

static void upstream_free(struct proxy_plan *p, struct plan_upstream *u)
{
    plan_slot_give(p->shared->slots, SLOT_UPSTREAM, u->slot);
    for (uint32_t i = 0; i < u->backend_count; i++)
        plan_slot_give(p->shared->slots, SLOT_BACKEND, u->backends[i].slot);
    for (unsigned w = 0; u->balance && w < p->shared->workers; w++)
        balance_free(u->balance[w]);
    free(u->balance);
    free((void *)(uintptr_t)u->maglev);
    free(u->sticky);
    free(u->backends);
}

static void plan_free(struct proxy_plan *p)
{
    route_index_free(p->index);
    for (uint32_t i = 0; i < p->listener_count; i++)
        plan_slot_give(p->shared->slots, SLOT_LISTENER, p->listeners[i].slot);
    for (uint32_t i = 0; i < p->upstream_count; i++)
        upstream_free(p, &p->upstreams[i]);
    config_free(p->config);
    free(p->listeners);
    free(p->upstreams);
    free(p->routes);
    free(p->use);
    free(p);
}

static struct proxy_plan *plan_alloc(struct proxy_shared *shared, struct proxy_config *config)
{
    struct proxy_plan *p = calloc(1, sizeof *p);
    if (!p) {
        config_free(config);
        return NULL;
    }
    p->shared = shared;
    p->config = config;
    p->listeners = calloc(config->listener_count + 1, sizeof *p->listeners);
    p->upstreams = calloc(config->upstream_count + 1, sizeof *p->upstreams);
    p->routes = calloc(config->route_count + 1, sizeof *p->routes);
    p->use = aligned_alloc(64, shared->workers * sizeof *p->use);
    if (p->use)
        memset(p->use, 0, shared->workers * sizeof *p->use);
    return p;
}

struct proxy_plan *plan_build(struct proxy_shared *shared, struct proxy_config *config, char *message,
                              size_t message_bytes)
{
    struct build b = {shared, NULL, message, message_bytes};
    bool filled = proxy_config_fill(config);
    b.plan = plan_alloc(shared, config);
    if (!b.plan) {
        no_memory(&b);
        return NULL;
    }
    bool whole = filled && b.plan->listeners && b.plan->upstreams && b.plan->routes && b.plan->use;
    if (!(whole || no_memory(&b)) || !upstreams_build(&b) || !listeners_build(&b) || !routes_build(&b)) {
        plan_free(b.plan);
        return NULL;
    }
    b.plan->version = ++shared->version;
    atomic_store(&b.plan->users, 1);
    return b.plan;
}

/* -- who uses it ----------------------------------------------------------------------------------------------------------- */

void plan_keep(struct proxy_plan *plan)
{
    atomic_fetch_add_explicit(&plan->users, 1, memory_order_relaxed);
}

/* Release: what its user did with the plan, and what it counted in slots, is seen by who finds 0. */
void plan_let_go(struct proxy_plan *plan)
{
    atomic_fetch_sub_explicit(&plan->users, 1, memory_order_release);
}

void plan_retire(struct proxy_shared *shared, struct proxy_plan *plan)
{
    plan->next_retired = shared->retired;
    shared->retired = plan;
    plan_let_go(plan);
}

unsigned plan_sweep(struct proxy_shared *shared)
{
    unsigned left = 0;
    for (struct proxy_plan **link = &shared->retired; *link;) {
        struct proxy_plan *plan = *link;
        if (atomic_load_explicit(&plan->users, memory_order_acquire) == 0) {
            *link = plan->next_retired;
            plan_free(plan);
        } else {
            link = &plan->next_retired;
            left++;
        }
    }
    return left;
}

struct proxy_plan *plan_hold(struct proxy *p)
{
    p->plan->use[mr_worker_index(p->worker)].sessions++;
    return p->plan;
}

void plan_release(struct proxy *p, struct proxy_plan *plan)
{
    struct plan_use *use = &plan->use[mr_worker_index(p->worker)];
    if (--use->sessions == 0 && !use->current)
        plan_let_go(plan);
}
