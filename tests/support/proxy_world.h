/* The proxy on one worker over the stand-in for the stack: real plans, routes, upstreams and sessions; clients and backends are turned by
 * hand. One listener "front" (port 80) for the upstream "app" of two backends, and what a test adds to the configuration. */
#ifndef TESTS_SUPPORT_PROXY_WORLD_H
#define TESTS_SUPPORT_PROXY_WORLD_H

#include "proxy/http/session_machine.h"
#include "tests/support/service_group.h"

struct proxy_world {
    struct service_group group;
    struct mr_worker *worker;
    struct proxy *proxy;
    uint64_t *counters;
};

extern struct proxy_world proxy_world;

/* With presets, to be changed before proxy_world_start, which takes it. All texts are of malloc. */
struct proxy_config *proxy_world_config(void);
struct proxy_route_config *proxy_world_route(struct proxy_config *c, const char *path, const char *upstream);
void proxy_world_start(struct proxy_config *c);
void proxy_world_apply(struct proxy_config *c); /* a next plan */
/* Stops; demands that everything was given back. Clients that are left are closed by their peers. */
void proxy_world_stop(void);

/* Turns until nothing changes, with every invariant checked. Connections to backends are accepted unless a test says otherwise. */
void proxy_world_settle(void);

struct mr_stream *proxy_world_client(void);
void proxy_world_say(struct mr_stream *s, const char *text); /* a peer sends it, and all settles */
/* The i-th connection that was made to a backend. */
struct mr_stream *proxy_world_backend(unsigned i);
/* Is what was sent to the peer since the last time exactly this? */
void proxy_world_expect(struct mr_stream *s, const char *text);
/* Is this a part of what was sent? */
void proxy_world_contains(struct mr_stream *s, const char *text);
void proxy_world_lacks(struct mr_stream *s, const char *text);

#endif
