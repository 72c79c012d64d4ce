/* Which backend: where the client's cookie says, or what the balancer chooses. */
#include "proxy/upstream/table.h"

static bool was_tried(const struct balance_query *q, uint32_t member)
{
    for (uint32_t i = 0; i < q->tried_count; i++)
        if (q->tried[i] == member)
            return true;
    return false;
}

/* One that drains goes on with its own clients: that is what draining is. */
static bool takes_sticky(const struct upstream_backend *b)
{
    return b->plan && b->plan->config->state != BACKEND_DISABLED && b->health != HEALTH_DOWN && b->ejected_until == 0;
}

static const struct plan_backend *choose_sticky(struct proxy *p, const struct plan_upstream *u,
                                                const struct balance_query *query, const char *sticky)
{
    const struct plan_backend *backend = plan_backend_sticky(u, sticky);
    if (!backend || was_tried(query, (uint32_t)(backend - u->backends)) || !takes_sticky(&p->backends[backend->slot]))
        return NULL;
    return backend;
}

/* The upstream was removed while a session of its plan still wants it: the least loaded of those that it had. */
static const struct plan_backend *choose_removed(struct proxy *p, const struct plan_upstream *u,
                                                 const struct balance_query *query)
{
    const struct plan_backend *best = NULL;
    for (uint32_t i = 0; i < u->backend_count; i++) {
        const struct plan_backend *backend = &u->backends[i];
        const struct upstream_backend *b = &p->backends[backend->slot];
        bool able = backend->config->state == BACKEND_ENABLED && b->health != HEALTH_DOWN && !was_tried(query, i);
        if (able && (!best || b->active < p->backends[best->slot].active))
            best = backend;
    }
    return best;
}

const struct plan_backend *backend_choose(struct proxy *p, const struct plan_upstream *u,
                                          const struct balance_query *query, const char *sticky, bool *full)
{
    const struct upstream_state *s = &p->upstreams[u->slot];
    const struct plan_upstream *now = s->plan;
    *full = false;
    if (!now)
        return choose_removed(p, u, query);
    const struct plan_backend *backend = sticky ? choose_sticky(p, now, query, sticky) : NULL;
    if (backend) {
        *full = backend_is_full(&p->backends[backend->slot]);
        return *full ? NULL : backend;
    }
    int member = balance_choose(now->balance[mr_worker_index(p->worker)], query);
    *full = member == BALANCE_NONE && s->full > 0;
    return member == BALANCE_NONE ? NULL : &now->backends[member];
}
