/* What workers see of a configuration: immutable, made by the control thread, one version after the other.
 *
 *     config --plan_build--> plan v7 --mr_control.ask--> each worker: plan_apply     sessions of v6 hold v6 until they end
 *
 * A session keeps the plan that it began with, so nothing it points at goes away under it. When no worker uses an old plan any more
 * it is freed off the packet path, and the slots of what was removed become free.
 *
 * Slots. What lives longer than a plan (connections, health, counters) lies in tables of the instance, one entry a slot; the control
 * thread gives a backend (known by upstream and name and address), an upstream and a listener (known by their names) the same slot in
 * each version. */
#ifndef SERVICES_PROXY_PLAN_H
#define SERVICES_PROXY_PLAN_H

#include <millrace/service.h>

#include "proxy/balance/balance.h"
#include "proxy/config.h"
#include "proxy/route/route.h"

struct proxy;
struct proxy_shared;

struct plan_backend {
    const struct proxy_backend_config *config;
    uint32_t slot;     /* of struct proxy's backends */
    uint32_t upstream; /* index in the plan */
    char sticky[17];   /* value of the sticky cookie: 64 bits of a keyed hash, in hex: says nothing about the address */
};

struct plan_upstream {
    const struct proxy_upstream_config *config;
    uint32_t slot;
    uint32_t backend_count;
    struct plan_backend *backends;
    const struct maglev_table *maglev; /* NULL unless its balance needs it */
    struct balance **balance;          /* of each worker: its members are `backends`, in order */
};

struct plan_listener {
    const struct proxy_listener_config *config;
    uint32_t slot;
    const struct plan_upstream *upstream; /* NULL: none */
};

struct proxy_plan {
    uint64_t version;            /* from 1 */
    struct proxy_config *config; /* owned: a deep copy; every pointer above is into it */
    uint32_t listener_count, upstream_count, route_count;
    struct plan_listener *listeners;
    struct plan_upstream *upstreams;
    struct plan_route *routes; /* route/route.h; in order */
    struct route_index *index; /* of them: route_index_build and route_index_free */

    _Atomic uint32_t workers_using; /* freed when 0 */
    struct plan_use {
        uint64_t sessions; /* written by its worker alone */
        uint8_t padding[56];
    } * use; /* of each worker */
};

/* Takes `config` (also on failure). NULL: `message` says why (no slot free, no memory). On the control thread. */
struct proxy_plan *plan_build(struct proxy_shared *shared, struct proxy_config *config, char *message,
                              size_t message_bytes);
void plan_free(struct proxy_plan *p); /* by whoever counted workers_using down to 0, off the packet path */

/* In a turn of a worker: `next` takes the place of p->plan. New listeners listen, changed backends are seen by the balancers, removed ones
 * drain. MR_OK, or the error of a listener that could not be opened (name in *failed): then nothing has changed on this worker. */
int plan_apply(struct proxy *p, struct proxy_plan *next, const struct plan_listener **failed);

/* A session begins, or ends, with the plan. */
struct proxy_plan *plan_hold(struct proxy *p);
void plan_release(struct proxy *p, struct proxy_plan *plan);

#endif
