/* Backends for what has no connection. */
#include "proxy/upstream/table.h"

int upstream_choose(struct proxy *p, const struct plan_upstream *u, const struct balance_query *query)
{
    bool full;
    const struct plan_backend *backend = backend_choose(p, u, query, NULL, &full);
    if (!backend)
        proxy_count(p, PROXY_NO_BACKEND);
    return backend ? (int)backend->slot : -1;
}

void upstream_flow_enter(struct proxy *p, uint32_t slot)
{
    p->backends[slot].requests++;
    backend_active(&p->backends[slot], 1);
}

void upstream_flow_leave(struct proxy *p, uint32_t slot)
{
    backend_active(&p->backends[slot], -1);
}

bool upstream_flow_may_stay(const struct proxy *p, uint32_t slot)
{
    const struct upstream_backend *b = &p->backends[slot];
    return b->plan && b->plan->config->state != BACKEND_DISABLED && b->health != HEALTH_DOWN;
}
