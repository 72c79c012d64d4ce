/* The whole proxy on a few fake workers, configured and changed by the words of `millrace proxy`. */
#ifndef TESTS_SUPPORT_PROXY_WORLD_H
#define TESTS_SUPPORT_PROXY_WORLD_H

#include "proxy/proxy.h"
#include "tests/support/service_group.h"

struct proxy_world {
    struct proxy_config config;
    struct service_group group;
    struct fake_control control;
    struct proxy_shared *shared;
    struct mr_worker *w; /* the first */
    struct proxy *p;     /* on it */
    char *said;          /* the last answer */
};

/* `lines`: one `add ...` or `set ...` each. Tables are small: 8 sessions, 8 connections, 8 upstreams, 16 backends. */
void proxy_world_start(struct proxy_world *w, unsigned workers, const char *lines);
/* A command; its answer is w->said. */
bool proxy_world_say(struct proxy_world *w, const char *line);
void proxy_world_pass(struct proxy_world *w, mr_time duration); /* on every worker */
/* Asks to stop, lets `drain` go by, and ends: demands that all is given back. */
void proxy_world_stop(struct proxy_world *w, mr_time drain);

struct proxy *proxy_world_on(const struct proxy_world *w, unsigned worker);
/* Of the newest plan. */
const struct plan_upstream *proxy_world_upstream(const struct proxy_world *w, const char *name);
const struct plan_backend *proxy_world_backend(const struct proxy_world *w, const char *upstream, const char *name);

/* A configuration with every preset and then what `lines` say, not checked; free with config_tree_free(proxy_keys, ...). False: a line is
 * refused, `message` says why. */
bool proxy_world_config(struct proxy_config *config, const char *lines, char *message, size_t message_bytes);

#endif
