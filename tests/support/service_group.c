#include "tests/support/service_group.h"

#include <stdio.h>
#include <stdlib.h>

static void must(bool good, const struct mr_service *service, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "service_group: %s: %s\n", service->name, what);
    abort();
}

void service_group_start(struct service_group *g, const struct mr_service *service, const void *config,
                         unsigned workers)
{
    unsigned counters = 0;
    while (service->counters && service->counters[counters].name)
        counters++;
    must(workers <= SERVICE_GROUP_MAX && counters <= SERVICE_GROUP_COUNTERS_MAX, service,
         "more than a group has room for");
    *g = (struct service_group){.service = service, .workers = workers};
    for (unsigned i = 0; i < workers; i++)
        g->w[i] = fake_worker_create();
    fake_group(g->w, workers);
    must(!service->open || service->open(config, workers, &g->shared) == MR_OK, service, "does not open");
    for (unsigned i = 0; i < workers; i++) {
        g->state[i] = g->shared;
        must(service->start(g->w[i], config, g->counters[i], &g->state[i]) == MR_OK, service, "does not start");
    }
}

void service_group_turns(struct service_group *g, unsigned rounds)
{
    for (unsigned n = 0; n < rounds; n++)
        for (unsigned i = 0; i < g->workers; i++)
            fake_turn(g->w[i]);
}

void service_group_stop(struct service_group *g)
{
    for (unsigned i = 0; i < g->workers; i++)
        g->service->stop(g->w[i], g->state[i]);
}

void service_group_end(struct service_group *g)
{
    for (unsigned i = 0; i < g->workers; i++)
        if (g->service->release)
            g->service->release(g->w[i], g->state[i]);
    if (g->service->close)
        g->service->close(g->shared);
    for (unsigned i = 0; i < g->workers; i++)
        fake_worker_free(g->w[i]);
}
