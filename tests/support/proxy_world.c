#include "tests/support/proxy_world.h"

#include <stdlib.h>
#include <string.h>

#include "config/config_tree.h"
#include "tests/support/cmocka.h"

#define WALL_NS INT64_C(1000000000000000000) /* Sun, 09 Sep 2001 01:46:40 GMT */

struct proxy_world proxy_world;

/* -- configuration -------------------------------------------------------------------------------------------------------- */

static void limits_preset(struct proxy_limits_config *l)
{
    *l = (struct proxy_limits_config){.sessions = 8,
                                      .flows = 4,
                                      .connections = 16,
                                      .buffers = 8,
                                      .line_bytes = 1024,
                                      .header_bytes = 4096,
                                      .header_count = 30,
                                      .body_bytes = 1 << 20,
                                      .backends = 16,
                                      .upstreams = 8,
                                      .header_timeout = 5 * MR_SECOND,
                                      .body_timeout = 6 * MR_SECOND,
                                      .send_timeout = 7 * MR_SECOND,
                                      .linger_timeout = MR_SECOND};
}

static void upstream_preset(struct proxy_upstream_config *u)
{
    u->name = strdup("app");
    u->balance = BALANCE_ROUND_ROBIN;
    u->backend_count = 2;
    u->backends = calloc(2, sizeof *u->backends);
    for (unsigned i = 0; i < 2; i++)
        u->backends[i] = (struct proxy_backend_config){.name = strdup(i ? "two" : "one"),
                                                       .address = {mr_address_ip4(0xc612000a + i), 8080},
                                                       .weight = 1,
                                                       .state = BACKEND_ENABLED};
    u->queue_max = 4;
    u->queue_timeout = 2 * MR_SECOND;
    u->idle_max = 4;
    u->idle_timeout = 60 * MR_SECOND;
    u->connect_timeout = 2 * MR_SECOND;
    u->response_timeout = 10 * MR_SECOND;
    u->body_timeout = 8 * MR_SECOND;
    u->retries = 1;
    u->retry_budget = 0.5;
}

struct proxy_config *proxy_world_config(void)
{
    struct proxy_config *c = calloc(1, sizeof *c);
    c->listener_count = c->upstream_count = 1;
    c->listeners = calloc(1, sizeof *c->listeners);
    c->listeners[0] = (struct proxy_listener_config){.name = strdup("front"),
                                                     .listen = {mr_address_any(), 80},
                                                     .mode = PROXY_HTTP,
                                                     .upstream = strdup("app"),
                                                     .connections_max = 8,
                                                     .idle_timeout = 20 * MR_SECOND};
    c->upstreams = calloc(1, sizeof *c->upstreams);
    upstream_preset(&c->upstreams[0]);
    limits_preset(&c->limits);
    c->forward.connect_port_count = 1;
    c->forward.connect_ports[0] = 443;
    c->drain_timeout = 30 * MR_SECOND;
    c->via = strdup("mill");
    return c;
}

struct proxy_route_config *proxy_world_route(struct proxy_config *c, const char *path, const char *upstream)
{
    c->routes = realloc(c->routes, (c->route_count + 1) * sizeof *c->routes);
    struct proxy_route_config *r = &c->routes[c->route_count++];
    *r = (struct proxy_route_config){.name = strdup(path), .path = strdup(path), .upstream = strdup(upstream)};
    return r;
}

/* -- the instance ----------------------------------------------------------------------------------------------------------- */

static struct proxy_plan *plan_of(struct proxy_config *c)
{
    char message[256] = "";
    struct proxy_plan *plan = plan_build(proxy_world.group.shared, c, message, sizeof message);
    if (!plan)
        fail_msg("%s", message);
    return plan;
}

static void plan_take(struct proxy_plan *plan)
{
    const struct plan_listener *failed = NULL;
    assert_int_equal(plan_apply(proxy_world.proxy, plan, &failed), MR_OK);
}

void proxy_world_start(struct proxy_config *c)
{
    memset(&proxy_world, 0, sizeof proxy_world);
    service_group_start(&proxy_world.group, &proxy_service, c, 1);
    config_tree_free(proxy_keys, c);
    free(c);
    proxy_world.worker = proxy_world.group.w[0];
    proxy_world.proxy = proxy_world.group.state[0];
    proxy_world.counters = proxy_world.group.counters[0];
    http_clock_set(&proxy_world.proxy->clock, mr_now(proxy_world.worker), WALL_NS);
    fake_connect_automatic(proxy_world.worker, true);
}

void proxy_world_apply(struct proxy_config *c)
{
    struct proxy_shared *shared = proxy_world.group.shared;
    struct proxy_plan *old = shared->plan, *next = plan_of(c);
    plan_take(next);
    shared->plan = next;
    plan_retire(shared, old);
}

static unsigned buffers_free(const struct proxy *p)
{
    unsigned n = 0;
    for (const struct proxy_buffer *b = p->free_buffers; b; b = b->next)
        n++;
    return n;
}

void proxy_world_stop(void)
{
    struct proxy *p = proxy_world.proxy;
    service_group_stop(&proxy_world.group);
    proxy_world_settle();
    fake_pass(p->worker, 120 * MR_SECOND);
    assert_int_equal(p->sessions->open, 0);
    assert_int_equal(p->counters[PROXY_SESSIONS], 0);
    assert_int_equal(p->counters[PROXY_UPSTREAM_CONNECTIONS], 0);
    assert_int_equal(buffers_free(p), p->buffers_out);
    for (uint64_t i = 0; i < p->limits.backends; i++)
        assert_int_equal(p->backends[i].active, 0);
    service_group_end(&proxy_world.group);
}

static void check(void)
{
    const struct session_table *t = proxy_world.proxy->sessions;
    for (uint32_t i = 0; i < t->used; i++)
        session_check(&t->sessions[i]);
}

void proxy_world_settle(void)
{
    for (int i = 0; i < 6; i++) {
        check();
        fake_turn(proxy_world.worker);
    }
    check();
}

/* -- peers -------------------------------------------------------------------------------------------------------------------- */

struct mr_stream *proxy_world_client(void)
{
    return fake_open(proxy_world.worker);
}

void proxy_world_say(struct mr_stream *s, const char *text)
{
    fake_input(s, text, strlen(text));
    proxy_world_settle();
}

struct mr_stream *proxy_world_backend(unsigned i)
{
    assert_true(i < fake_connect_count(proxy_world.worker));
    return fake_connected(proxy_world.worker, i);
}

void proxy_world_expect(struct mr_stream *s, const char *text)
{
    size_t n;
    const char *sent = fake_output(s, &n);
    assert_string_equal(sent, text);
    assert_int_equal(n, strlen(text));
    fake_output_clear(s);
}

void proxy_world_contains(struct mr_stream *s, const char *text)
{
    size_t n;
    const char *sent = fake_output(s, &n);
    if (!memmem(sent, n, text, strlen(text)))
        fail_msg("not in what was sent: %s\nsent:\n%s", text, sent);
}

void proxy_world_lacks(struct mr_stream *s, const char *text)
{
    size_t n;
    const char *sent = fake_output(s, &n);
    if (memmem(sent, n, text, strlen(text)))
        fail_msg("in what was sent: %s\nsent:\n%s", text, sent);
}
