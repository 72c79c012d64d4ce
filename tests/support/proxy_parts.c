/* Parts of the proxy that tests of sessions do without. */
#include "proxy/health/health.h"

void health_watch(struct proxy *p, const struct plan_upstream *u, const struct plan_backend *b)
{
}

void health_forget(struct proxy *p, uint32_t slot)
{
}
