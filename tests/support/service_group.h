/* One service on a few workers of fake_stream.h that post to each other, from `open` to `close`. */
#ifndef TESTS_SUPPORT_SERVICE_GROUP_H
#define TESTS_SUPPORT_SERVICE_GROUP_H

#include "tests/support/fake_stream.h"

#define SERVICE_GROUP_MAX          4
#define SERVICE_GROUP_COUNTERS_MAX 512

struct service_group {
    const struct mr_service *service;
    unsigned workers;
    struct mr_worker *w[SERVICE_GROUP_MAX];
    void *state[SERVICE_GROUP_MAX];
    uint64_t counters[SERVICE_GROUP_MAX][SERVICE_GROUP_COUNTERS_MAX];
    void *shared;
};

/* Each aborts with a sentence when the service fails. `config` must live until service_group_end; `g` must stay where it is. */
void service_group_start(struct service_group *g, const struct mr_service *service, const void *config,
                         unsigned workers);
void service_group_turns(struct service_group *g, unsigned rounds); /* a turn of each worker, so often */
void service_group_stop(struct service_group *g);                   /* asks each instance to end */
void service_group_end(struct service_group *g); /* every stream is closed by then; frees the workers */

#endif
