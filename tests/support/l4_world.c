#include "tests/support/l4_world.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/cmocka.h"

struct l4_world world;

/* -- what layer 4 asks of others ------------------------------------------------------------------------------------------ */

struct proxy_plan *plan_hold(struct proxy *p)
{
    world.held++;
    return p->plan;
}

void plan_release(struct proxy *p, struct proxy_plan *plan)
{
    assert_true(world.held-- > 0);
}

bool proxy_listener_enter(struct proxy_listener *l)
{
    if (l->connections >= world.connections_max)
        return false;
    world.entered++;
    l->connections++;
    return true;
}

void proxy_listener_leave(struct proxy_listener *l)
{
    assert_true(l->connections-- > 0);
}

static void upstream_on_open(struct mr_stream *s)
{
    struct upstream_connection *c = mr_stream_context(s);
    if (c)
        c->user->ready(c->user);
}

static void upstream_on_data(struct mr_stream *s)
{
    struct upstream_connection *c = mr_stream_context(s);
    if (c)
        c->user->user->on_data(c->user);
}

static void upstream_on_writable(struct mr_stream *s)
{
    struct upstream_connection *c = mr_stream_context(s);
    if (c)
        c->user->user->on_writable(c->user);
}

static void upstream_on_close(struct mr_stream *s, enum mr_close_reason reason)
{
    struct upstream_connection *c = mr_stream_context(s);
    if (!c)
        return;
    struct upstream_request *q = c->user;
    q->connection = NULL;
    if (c->state == 0)
        q->failed(q, reason == MR_CLOSE_TIMEOUT ? UPSTREAM_CONNECT_TIMEOUT : UPSTREAM_CONNECT_REFUSED);
    else
        q->user->on_close(q, reason);
}

static void opened(struct mr_stream *s)
{
    struct upstream_connection *c = mr_stream_context(s);
    if (c)
        c->state = 1;
    upstream_on_open(s);
}

static const struct mr_stream_handler upstream_handler = {opened, upstream_on_data, upstream_on_writable,
                                                          upstream_on_close};

static void fail_later(struct mr_worker *w, struct mr_timer *t)
{
    struct upstream_request *q = t->context;
    q->failed(q, UPSTREAM_NO_BACKEND);
}

enum upstream_answer upstream_ask(struct upstream_request *q)
{
    struct mr_endpoint any = {0};
    world.last_hash = q->hash;
    assert_true(q->fresh && q->user && q->ready && q->failed && q->upstream);
    if (world.no_backend) {
        mr_timer_init(&q->timer, fail_later, q);
        mr_timer_set(q->proxy->worker, &q->timer, mr_now(q->proxy->worker));
        return UPSTREAM_PENDING;
    }
    unsigned i = fake_connect_count(world.worker);
    struct upstream_connection *c = &world.connections[i];
    *c = (struct upstream_connection){.proxy = q->proxy, .slot = q->tries % L4_WORLD_BACKENDS, .user = q};
    q->connection = c;
    assert_int_equal(
        mr_connect(q->proxy->worker, &any, &world.backends[c->slot].address, &upstream_handler, NULL, c, &c->stream),
        MR_OK);
    return UPSTREAM_PENDING;
}

bool upstream_retry(struct upstream_request *q, enum upstream_answer *answer)
{
    if (world.no_backend || ++q->tries >= world.tries_max)
        return false;
    *answer = upstream_ask(q);
    return true;
}

void upstream_cancel(struct upstream_request *q)
{
    world.cancelled++;
    if (q->timer.expired)
        mr_timer_cancel(q->proxy->worker, &q->timer);
    if (!q->connection)
        return;
    mr_stream_set_context(q->connection->stream, NULL);
    mr_stream_abort(q->connection->stream);
    q->connection = NULL;
}

void upstream_drop(struct upstream_request *q, bool abort)
{
    assert_non_null(q->connection);
    world.dropped++;
    mr_stream_set_context(q->connection->stream, NULL);
    if (abort)
        mr_stream_abort(q->connection->stream);
    else
        mr_stream_close(q->connection->stream);
    q->connection = NULL;
}

void upstream_succeeded(struct upstream_request *q, int status, mr_time first_byte)
{
    assert_int_equal(status, 0);
    world.succeeded++;
}

int upstream_choose(struct proxy *p, const struct plan_upstream *u, const struct balance_query *query)
{
    world.last_hash = query->hash;
    return world.choose;
}

void upstream_flow_enter(struct proxy *p, uint32_t slot)
{
    p->backends[slot].active++;
}

void upstream_flow_leave(struct proxy *p, uint32_t slot)
{
    assert_true(p->backends[slot].active-- > 0);
}

bool upstream_flow_may_stay(const struct proxy *p, uint32_t slot)
{
    return !world.down[slot];
}

/* -- the world ---------------------------------------------------------------------------------------------------------------- */

static void configure(struct l4_world *w, bool header)
{
    w->listener_config = (struct proxy_listener_config){
        .name = (char *)(uintptr_t) "front",
        .listen = {mr_address_any(), 443},
        .mode = PROXY_TCP,
        .proxy_protocol = header,
        .idle_timeout = L4_WORLD_IDLE,
    };
    for (unsigned i = 0; i < L4_WORLD_BACKENDS; i++) {
        w->backend_config[i].address = (struct mr_endpoint){mr_address_ip4(0xc6120010 + i), 8080};
        w->plan_backends[i] = (struct plan_backend){.config = &w->backend_config[i], .slot = i};
        w->backends[i].plan = &w->plan_backends[i];
        w->backends[i].address = w->backend_config[i].address;
    }
    w->upstream = (struct plan_upstream){
        .config = &w->upstream_config,
        .backend_count = L4_WORLD_BACKENDS,
        .backends = w->plan_backends,
    };
    w->plan_listener = (struct plan_listener){.config = &w->listener_config, .upstream = &w->upstream};
}

void l4_world_start(unsigned sessions, unsigned flows, bool header)
{
    memset(&world, 0, sizeof world);
    world.worker = fake_worker_create();
    world.tries_max = 1;
    world.connections_max = sessions;
    configure(&world, header);
    world.proxy = (struct proxy){
        .worker = world.worker,
        .counters = world.counters,
        .plan = &world.plan,
        .limits = {.sessions = sessions,
                   .flows = flows,
                   .backends = L4_WORLD_BACKENDS,
                   .header_timeout = L4_WORLD_HEADER,
                   .linger_timeout = L4_WORLD_LINGER},
        .backends = world.backends,
    };
    world.listener.proxy = &world.proxy;
    world.listener.plan = &world.plan_listener;
    assert_int_equal(l4_start(&world.proxy), MR_OK);
    assert_int_equal(mr_listen(world.worker, &world.listener_config.listen, &l4_tcp_handler, NULL, &world.listener,
                               &world.listener.listener),
                     MR_OK);
}

void l4_world_check(void)
{
    for (const struct l4_tcp *t = world.proxy.l4->first_connection; t; t = t->next)
        l4_tcp_check(t);
    l4_flow_table_check(&world.proxy);
}

void l4_world_settle(void)
{
    for (int i = 0; i < 8; i++) {
        l4_world_check();
        fake_turn(world.worker);
    }
    l4_world_check();
}

void l4_world_stop(void)
{
    struct proxy *p = &world.proxy;
    p->stopping = true;
    l4_udp_close(&world.listener);
    mr_listener_close(world.listener.listener);
    l4_stop(p);
    l4_cut(p, UINT32_MAX);
    l4_world_settle();
    assert_null(p->l4->first_connection);
    assert_int_equal(world.counters[PROXY_L4_CONNECTIONS], 0);
    assert_int_equal(world.counters[PROXY_L4_FLOWS], 0);
    assert_int_equal(world.held, 0);
    assert_int_equal(world.listener.connections, 0);
    for (unsigned i = 0; i < L4_WORLD_BACKENDS; i++)
        assert_int_equal(world.backends[i].active, 0);
    l4_release(p);
    fake_worker_free(world.worker);
}

struct mr_stream *l4_world_client(void)
{
    return fake_open(world.worker);
}

struct mr_stream *l4_world_backend(unsigned i)
{
    return fake_connected(world.worker, i);
}
