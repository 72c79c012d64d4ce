/* Backends for what has no connection. */
#include "proxy/proxy.h"

int upstream_choose(struct proxy *p, const struct plan_upstream *u, const struct balance_query *query)
{
    int member = balance_choose(u->balance[mr_worker_index(p->worker)], query);
    if (member == BALANCE_NONE) {
        proxy_count(p, PROXY_NO_BACKEND);
        return -1;
    }
    return (int)u->backends[member].slot;
}

static void active_add(struct proxy *p, uint32_t slot, int n)
{
    struct upstream_backend *b = &p->backends[slot];
    b->active += (uint32_t)n;
    if (b->plan)
        balance_set_active(b->balance, b->member, b->active);
}

void upstream_flow_enter(struct proxy *p, uint32_t slot)
{
    p->backends[slot].requests++;
    active_add(p, slot, 1);
}

void upstream_flow_leave(struct proxy *p, uint32_t slot)
{
    active_add(p, slot, -1);
}

bool upstream_flow_may_stay(const struct proxy *p, uint32_t slot)
{
    const struct upstream_backend *b = &p->backends[slot];
    return b->plan && b->plan->config->state != BACKEND_DISABLED && b->health != HEALTH_DOWN;
}
