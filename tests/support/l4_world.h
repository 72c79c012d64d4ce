/* Layer 4 of the proxy over the stand-in for the stack, with a stand-in for what it asks of upstreams, plans and listeners, so that each answer
 * can be chosen: two backends, one listener, one plan. */
#ifndef TESTS_SUPPORT_L4_WORLD_H
#define TESTS_SUPPORT_L4_WORLD_H

#include "proxy/l4/l4_table.h"
#include "tests/support/fake_stream.h"

#define L4_WORLD_BACKENDS 2
#define L4_WORLD_IDLE     (30 * MR_SECOND)
#define L4_WORLD_HEADER   (5 * MR_SECOND)
#define L4_WORLD_LINGER   (2 * MR_SECOND)

struct l4_world {
    struct mr_worker *worker;
    struct proxy proxy;
    uint64_t counters[PROXY_COUNTERS];
    struct proxy_plan plan, next_plan;
    struct proxy_config config;
    struct proxy_listener_config listener_config;
    struct proxy_upstream_config upstream_config;
    struct proxy_backend_config backend_config[L4_WORLD_BACKENDS];
    struct plan_backend plan_backends[L4_WORLD_BACKENDS];
    struct plan_upstream upstream;
    struct plan_listener plan_listener;
    struct proxy_listener listener;
    struct upstream_backend backends[L4_WORLD_BACKENDS];
    struct upstream_connection connections[64];

    /* what is answered */
    bool no_backend;
    unsigned tries_max;
    unsigned connections_max;
    int choose; /* the slot that takes a flow; -1: none */
    bool down[L4_WORLD_BACKENDS];

    /* what was seen */
    unsigned held, entered, succeeded, cancelled, dropped;
    struct upstream_request *pending[64];
    uint64_t last_hash;
};

extern struct l4_world world;

/* With tables for so many; with a TCP listener, PROXY headers expected or not. */
void l4_world_start(unsigned sessions, unsigned flows, bool header);
void l4_world_stop(void); /* demands that all is given back */
void l4_world_check(void);

/* A client that has connected, and the connection made for it, the i-th of all. */
struct mr_stream *l4_world_client(void);
struct mr_stream *l4_world_backend(unsigned i);
/* Turns until nothing changes. */
void l4_world_settle(void);

#endif
