/* Private to control/: what the workers know at this moment, added up. */
#ifndef SERVICES_PROXY_CONTROL_GATHER_H
#define SERVICES_PROXY_CONTROL_GATHER_H

#include "proxy/cache/hcache.h"
#include "proxy/proxy.h"

/* Of a backend's slot. Sums over workers; `latency` is their mean, weighted by requests. */
struct gather_backend {
    bool used;    /* it is somebody's: in the plan, or still connected */
    bool removed; /* in no plan: it drains */
    struct mr_endpoint address;
    unsigned health_up, health_down, ejected; /* workers that think so */
    mr_time ejected_for;                      /* the longest */
    uint64_t active, open, idle;
    uint64_t requests, connects, connect_failures, resets, timeouts, responses[6];
    uint64_t bytes_to, bytes_from;
    double latency_sum;
};

struct gather_upstream {
    uint64_t requests, retries, queued;
};

struct gather_listener {
    uint64_t connections, accepted;
};

struct gather {
    unsigned workers, answered;
    uint32_t backend_slots, upstream_slots;
    struct gather_backend *backends;
    struct gather_upstream *upstreams;
    struct gather_listener *listeners; /* PLAN_LISTENER_SLOTS */
    bool caches;
    struct hcache_statistics cache;
};

/* Asks all of them. NULL: no memory. Those that do not answer are missing in the sums: g->answered < g->workers. */
struct gather *control_gather(struct proxy_shared *s, const struct mr_control *control);
void control_gather_free(struct gather *g);

/* "up", "down", "ejected", "drain", "disabled", "unchecked", "removed" */
const char *control_backend_state(const struct plan_backend *b, const struct plan_upstream *u, const struct gather *g);

/* Milliseconds to the first byte; of requests, the part that opened no connection. */
double control_backend_latency(const struct gather_backend *b);
double control_backend_reuse(const struct gather_backend *b);

/* Runs `fn(worker, argument)` on a worker with a copy of `argument`, `bytes` long, which comes back changed. MR_OK, or why not. */
int control_run(const struct mr_control *control, unsigned worker, mr_message_fn fn, void *argument, size_t bytes);

#endif
