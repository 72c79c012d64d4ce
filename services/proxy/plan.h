/* What workers see of a configuration: immutable, made by the control thread, one version after the other.
 *
 *     config --plan_build--> plan v7 --mr_control.ask--> each worker: plan_apply     sessions of v6 hold v6 until they end
 *
 * A session keeps the plan that it began with, so nothing it points at goes away under it (an HTTP session: for one request; its next one
 * begins with the newest). When nobody uses an old plan any more it is freed off the packet path, by the next command; the slots of
 * what was removed become free when besides nothing is connected to it.
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

#define PLAN_LISTENER_SLOTS (2 * PROXY_LISTENERS_MAX) /* as many may drain as there are */
#define PLAN_WEIGHT_UNIT    256                       /* of a balancer's weights, for one of the configuration */

struct plan_backend {
    const struct proxy_backend_config *config;
    uint32_t slot;       /* of struct proxy's backends */
    uint64_t generation; /* of the slot: another one means another backend than before */
    uint32_t upstream;   /* index in the plan */
    char sticky[17]; /* value of the sticky cookie: 64 bits of a keyed hash, in hex: says nothing about the address */
};

/* Backends by the value of their sticky cookie, in its order. */
struct plan_sticky {
    uint64_t value;
    uint32_t member;
};

struct plan_upstream {
    const struct proxy_upstream_config *config;
    uint32_t slot;
    uint64_t generation;
    uint32_t backend_count;
    struct plan_backend *backends;
    struct plan_sticky *sticky;        /* backend_count of them */
    const struct maglev_table *maglev; /* NULL unless its balance needs it */
    struct balance **balance;          /* of each worker: its members are `backends`, in order */
};

struct plan_listener {
    const struct proxy_listener_config *config;
    uint32_t slot;
    uint64_t generation;
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

    struct proxy_shared *shared;
    struct proxy_plan *next_retired;

    /* Workers that have it as their current one or in sessions, messages that carry it to one, and the control thread as long as it has
     * not retired it. Freed by plan_sweep when 0. */
    _Atomic uint32_t users;
    struct plan_use {
        uint64_t sessions; /* written by its worker alone, as is `current` */
        bool current;
        uint8_t padding[55];
    } * use; /* of each worker */
};

/* The control thread's side; all with shared->lock held, or before any worker runs. */

/* Takes `config` (also on failure). NULL: `message` says why (no slot free, no memory). The plan has one user: the caller. */
struct proxy_plan *plan_build(struct proxy_shared *shared, struct proxy_config *config, char *message,
                              size_t message_bytes);
/* Ends the control thread's use of a plan that another has replaced, or that was not taken. */
void plan_retire(struct proxy_shared *shared, struct proxy_plan *plan);
/* Frees the retired plans that nobody uses any more; returns how many are still in use. */
unsigned plan_sweep(struct proxy_shared *shared);

struct plan_slots *plan_slots_create(const struct proxy_limits_config *limits); /* NULL: no memory */
void plan_slots_free(struct plan_slots *s);

/* Any thread: a message that carries a plan to a worker is a user of it too, for it may come late (MR_ERROR_SILENT). */
void plan_keep(struct proxy_plan *plan);
void plan_let_go(struct proxy_plan *plan);

/* A worker's side. */

/* In a turn of a worker: `next` takes the place of p->plan. New listeners listen, changed backends are seen by the balancers, removed ones
 * drain. MR_OK, or the error of a listener that could not be opened (in *failed): then nothing has changed on this worker. `next` may also
 * be one that was in use before, to take a change back. */
int plan_apply(struct proxy *p, struct proxy_plan *next, const struct plan_listener **failed);
/* The service stops: no listener listens any more, and all that is under way drains. */
void plan_stop(struct proxy *p);
/* The worker has no plan any more. */
void plan_leave(struct proxy *p);

/* A session begins, or ends, with the plan. */
struct proxy_plan *plan_hold(struct proxy *p);
void plan_release(struct proxy *p, struct proxy_plan *plan);

/* By the value of a sticky cookie, 16 characters; NULL: none. */
const struct plan_backend *plan_backend_sticky(const struct plan_upstream *u, const char *value);

#endif
