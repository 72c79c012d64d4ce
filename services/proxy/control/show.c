/* Commands that show: what there is (`list`), what it did (`stat`), which version. */
#include <stdatomic.h>

#include "proxy/control/gather.h"
#include "proxy/control/words.h"

/* A missing worker makes sums too small: that is said. */
static void show_silence(struct control_answer *a, const struct gather *g)
{
    if (g->answered < g->workers)
        control_answer_format(a, "warning", "%u of %u workers did not answer: their part is missing",
                              g->workers - g->answered, g->workers);
}

bool control_version(struct control_call *c)
{
    struct control_answer *a = &c->answer;
    plan_sweep(c->shared);
    control_answer_number(a, "version", c->shared->plan->version);
    control_answer_open(a, "older", '[');
    for (const struct proxy_plan *p = c->shared->retired; p; p = p->next_retired) {
        uint64_t sessions = 0;
        for (unsigned i = 0; i < c->shared->workers; i++)
            sessions += p->use[i].sessions; /* written by workers: about right is enough */
        control_answer_open(a, NULL, '{');
        control_answer_number(a, "version", p->version);
        control_answer_number(a, "sessions", sessions);
        control_answer_close(a, '}');
    }
    control_answer_close(a, ']');
    return true;
}

/* -- list -------------------------------------------------------------------------------------------------------------- */

static void list_listeners(struct control_answer *a, const struct proxy_plan *p, const struct gather *g)
{
    static const char *const modes[] = {
        [PROXY_HTTP] = "http", [PROXY_FORWARD] = "forward", [PROXY_TCP] = "tcp", [PROXY_UDP] = "udp"};
    control_answer_open(a, "listeners", '[');
    for (uint32_t i = 0; i < p->listener_count; i++) {
        const struct plan_listener *l = &p->listeners[i];
        control_answer_open(a, NULL, '{');
        control_answer_text(a, "name", l->config->name);
        control_answer_endpoint(a, "listen", &l->config->listen);
        control_answer_text(a, "mode", modes[l->config->mode]);
        control_answer_text(a, "upstream", l->config->upstream ? l->config->upstream : "-");
        control_answer_number(a, "connections", g->listeners[l->slot].connections);
        control_answer_number(a, "accepted", g->listeners[l->slot].accepted);
        control_answer_close(a, '}');
    }
    control_answer_close(a, ']');
}

static void list_routes(struct control_answer *a, const struct proxy_plan *p)
{
    control_answer_open(a, "routes", '[');
    for (uint32_t i = 0; i < p->route_count; i++) {
        const struct proxy_route_config *r = p->routes[i].config;
        control_answer_open(a, NULL, '{');
        control_answer_text(a, "name", r->name);
        control_answer_text(a, "listener", r->listener ? r->listener : "-");
        control_answer_text(a, "host", r->host ? r->host : "-");
        control_answer_text(a, "path", r->path ? r->path : "-");
        control_answer_text(a, "method", r->method ? r->method : "-");
        control_answer_number(a, "headers", r->header_count);
        control_answer_text(a, "upstream", r->upstream);
        control_answer_close(a, '}');
    }
    control_answer_close(a, ']');
}

static void list_upstreams(struct control_answer *a, const struct proxy_plan *p, const struct gather *g)
{
    control_answer_open(a, "upstreams", '[');
    for (uint32_t i = 0; i < p->upstream_count; i++) {
        const struct plan_upstream *u = &p->upstreams[i];
        control_answer_open(a, NULL, '{');
        control_answer_text(a, "name", u->config->name);
        control_answer_text(a, "balance", balance_names[u->config->balance]);
        control_answer_number(a, "backends", u->backend_count);
        control_answer_number(a, "requests", g->upstreams[u->slot].requests);
        control_answer_number(a, "queued", g->upstreams[u->slot].queued);
        control_answer_close(a, '}');
    }
    control_answer_close(a, ']');
}

static uint64_t errors_of(const struct gather_backend *b)
{
    return b->connect_failures + b->resets + b->timeouts;
}

static void list_backend(struct control_answer *a, const struct plan_upstream *u, const struct plan_backend *b,
                         const struct gather *g)
{
    const struct gather_backend *now = &g->backends[b->slot];
    control_answer_open(a, NULL, '{');
    control_answer_text(a, "upstream", u->config->name);
    control_answer_text(a, "name", b->config->name);
    control_answer_endpoint(a, "address", &b->config->address);
    control_answer_text(a, "state", control_backend_state(b, u, g));
    control_answer_number(a, "weight", b->config->weight);
    control_answer_number(a, "active", now->active);
    control_answer_number(a, "open", now->open);
    control_answer_number(a, "requests", now->requests);
    control_answer_number(a, "errors", errors_of(now));
    control_answer_format(a, "latency", "%.2fms", control_backend_latency(now));
    control_answer_format(a, "reuse", "%.1f%%", 100 * control_backend_reuse(now));
    control_answer_close(a, '}');
}

/* Not in the plan any more, and still connected. */
static void list_removed(struct control_answer *a, const struct gather *g)
{
    for (uint32_t i = 0; i < g->backend_slots; i++) {
        const struct gather_backend *now = &g->backends[i];
        if (!now->used || !now->removed)
            continue;
        control_answer_open(a, NULL, '{');
        control_answer_text(a, "upstream", "-");
        control_answer_text(a, "name", "-");
        control_answer_endpoint(a, "address", &now->address);
        control_answer_text(a, "state", "removed");
        control_answer_number(a, "weight", 0);
        control_answer_number(a, "active", now->active);
        control_answer_number(a, "open", now->open);
        control_answer_close(a, '}');
    }
}

bool control_list(struct control_call *c)
{
    const struct proxy_plan *p = c->shared->plan;
    struct control_answer *a = &c->answer;
    struct gather *g = control_gather(c->shared, c->control);
    if (!g)
        return false;
    control_answer_number(a, "version", p->version);
    show_silence(a, g);
    list_listeners(a, p, g);
    list_routes(a, p);
    list_upstreams(a, p, g);
    control_answer_open(a, "backends", '[');
    for (uint32_t i = 0; i < p->upstream_count; i++)
        for (uint32_t k = 0; k < p->upstreams[i].backend_count; k++)
            list_backend(a, &p->upstreams[i], &p->upstreams[i].backends[k], g);
    list_removed(a, g);
    control_answer_close(a, ']');
    control_gather_free(g);
    return true;
}

/* -- stat -------------------------------------------------------------------------------------------------------------- */

/* Numbers of a backend in one place: `stat`, and from it the exposition for Prometheus. */
static void stat_numbers(struct control_answer *a, const struct gather_backend *b)
{
    static const char *const classes[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
    control_answer_number(a, "active", b->active);
    control_answer_number(a, "open", b->open);
    control_answer_number(a, "idle", b->idle);
    control_answer_number(a, "requests", b->requests);
    for (unsigned i = 1; i < 6; i++)
        control_answer_number(a, classes[i], b->responses[i]);
    control_answer_number(a, "connects", b->connects);
    control_answer_number(a, "connect_failures", b->connect_failures);
    control_answer_number(a, "resets", b->resets);
    control_answer_number(a, "timeouts", b->timeouts);
    control_answer_number(a, "bytes_to", b->bytes_to);
    control_answer_number(a, "bytes_from", b->bytes_from);
    control_answer_fraction(a, "latency_ms", control_backend_latency(b));
    control_answer_fraction(a, "reuse", control_backend_reuse(b));
}

static void stat_upstream(struct control_answer *a, const struct plan_upstream *u, const struct gather *g)
{
    uint64_t active = 0, connects = 0, requests = 0;
    for (uint32_t i = 0; i < u->backend_count; i++) {
        const struct gather_backend *b = &g->backends[u->backends[i].slot];
        active += b->active;
        connects += b->connects;
        requests += b->requests;
    }
    control_answer_open(a, NULL, '{');
    control_answer_text(a, "upstream", u->config->name);
    control_answer_number(a, "active", active);
    control_answer_number(a, "queued", g->upstreams[u->slot].queued);
    control_answer_number(a, "requests", g->upstreams[u->slot].requests);
    control_answer_number(a, "retries", g->upstreams[u->slot].retries);
    control_answer_fraction(a, "reuse", requests > connects ? 1 - (double)connects / (double)requests : 0);
    control_answer_close(a, '}');
}

static void stat_cache(struct control_answer *a, const struct hcache_statistics *s)
{
    uint64_t asked = s->hits + s->stale + s->misses + s->validations;
    control_answer_open(a, "cache", '{');
    control_answer_number(a, "entries", s->entries);
    control_answer_number(a, "bytes", s->bytes);
    control_answer_number(a, "hits", s->hits);
    control_answer_number(a, "stale", s->stale);
    control_answer_number(a, "misses", s->misses);
    control_answer_number(a, "validations", s->validations);
    control_answer_number(a, "waits", s->waits);
    control_answer_number(a, "bypasses", s->bypasses);
    control_answer_number(a, "stores", s->stores);
    control_answer_number(a, "evictions", s->evictions);
    control_answer_number(a, "purged", s->purged);
    control_answer_fraction(a, "hit_ratio", asked ? (double)(s->hits + s->stale) / (double)asked : 0);
    control_answer_close(a, '}');
}

bool control_stat(struct control_call *c)
{
    const struct proxy_plan *p = c->shared->plan;
    struct control_answer *a = &c->answer;
    struct gather *g = control_gather(c->shared, c->control);
    if (!g)
        return false;
    show_silence(a, g);
    control_answer_open(a, "backends", '[');
    for (uint32_t i = 0; i < p->upstream_count; i++)
        for (uint32_t k = 0; k < p->upstreams[i].backend_count; k++) {
            const struct plan_backend *b = &p->upstreams[i].backends[k];
            control_answer_open(a, NULL, '{');
            control_answer_text(a, "upstream", p->upstreams[i].config->name);
            control_answer_text(a, "backend", b->config->name);
            control_answer_text(a, "state", control_backend_state(b, &p->upstreams[i], g));
            control_answer_number(a, "weight", b->config->weight);
            stat_numbers(a, &g->backends[b->slot]);
            control_answer_close(a, '}');
        }
    control_answer_close(a, ']');
    control_answer_open(a, "upstreams", '[');
    for (uint32_t i = 0; i < p->upstream_count; i++)
        stat_upstream(a, &p->upstreams[i], g);
    control_answer_close(a, ']');
    if (g->caches)
        stat_cache(a, &g->cache);
    control_gather_free(g);
    return true;
}
