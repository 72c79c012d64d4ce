/* A request on its way to a connection.
 *
 *   NONE --upstream_ask--> READY                       an idle connection
 *                          OPENING --on_open--> READY
 *                          QUEUED --something free--> READY, OPENING
 *                          FAILING                     told by the timer
 *   each of them --failed, cancelled, given, dropped--> NONE --upstream_retry--> ...
 *
 * From the choice of a backend on the request holds the plan that it was chosen from: the session's own may be an older one. */
#include "proxy/upstream/table.h"

static struct upstream_backend *backend_of(const struct upstream_request *q)
{
    return &q->proxy->backends[q->slot];
}

static void plan_forget(struct upstream_request *q)
{
    if (q->plan)
        plan_release(q->proxy, q->plan);
    q->plan = NULL;
}

/* -- how it ends ----------------------------------------------------------------------------------------------------------- */

/* `failed` and `on_close` may ask again, with another plan; the one that q->backend is of lives until they return. */
void request_failed(struct upstream_request *q, enum upstream_failure why)
{
    struct proxy *p = q->proxy;
    struct proxy_plan *plan = q->plan;
    mr_timer_cancel(p->worker, &q->timer);
    backend_detach(q);
    q->plan = NULL;
    q->connection = NULL;
    q->state = REQUEST_NONE;
    if (why == UPSTREAM_NO_BACKEND)
        proxy_count(p, PROXY_NO_BACKEND);
    q->failed(q, why);
    if (plan)
        plan_release(p, plan);
}

static void fail_later(struct upstream_request *q, enum upstream_failure why)
{
    q->state = REQUEST_FAILING;
    q->why = (uint8_t)why;
    mr_timer_set(q->proxy->worker, &q->timer, mr_now(q->proxy->worker));
}

/* Only what the backend did counts against it: not that we ran out of something, or stop. */
static void connect_failed(struct upstream_request *q, enum upstream_failure why, bool by_backend)
{
    struct upstream_backend *b = backend_of(q);
    b->connect_failures++;
    proxy_count(q->proxy, PROXY_CONNECT_FAILURES);
    if (by_backend)
        backend_failed(b);
    request_failed(q, why);
}

void request_lost(struct upstream_request *q, enum mr_close_reason reason)
{
    struct proxy *p = q->proxy;
    struct proxy_plan *plan = q->plan;
    if (q->state == REQUEST_OPENING) {
        enum upstream_failure why = reason == MR_CLOSE_REFUSED   ? UPSTREAM_CONNECT_REFUSED
                                    : reason == MR_CLOSE_TIMEOUT ? UPSTREAM_CONNECT_TIMEOUT
                                                                 : UPSTREAM_CONNECT_FAILED;
        connect_failed(q, why, reason != MR_CLOSE_NO_MEMORY && reason != MR_CLOSE_STOPPED && reason != MR_CLOSE_LOCAL);
        return;
    }
    backend_detach(q);
    q->plan = NULL;
    q->connection = NULL;
    q->state = REQUEST_NONE;
    q->user->on_close(q, reason);
    if (plan)
        plan_release(p, plan);
}

static void timer_expired(struct mr_worker *w, struct mr_timer *t)
{
    struct upstream_request *q = t->context;
    (void)w;
    if (q->state == REQUEST_QUEUED) {
        queue_leave(q);
        request_failed(q, UPSTREAM_QUEUE_TIMEOUT);
    } else if (q->state == REQUEST_OPENING) {
        connection_close(q->connection, true);
        connect_failed(q, UPSTREAM_CONNECT_TIMEOUT, true);
    } else {
        request_failed(q, (enum upstream_failure)q->why);
    }
}

/* -- how it begins --------------------------------------------------------------------------------------------------------- */

static void request_ready(struct upstream_request *q)
{
    mr_timer_cancel(q->proxy->worker, &q->timer);
    q->state = REQUEST_READY;
    q->asked = mr_now(q->proxy->worker);
}

void request_opened(struct upstream_request *q)
{
    request_ready(q);
    q->ready(q);
}

/* Whether `b` can have one more request now. Idle connections make room for one that must be fresh; when the whole table is taken, an idle
 * one of any backend is closed, and the request waits until it is gone. */
static bool has_room(struct upstream_request *q, struct upstream_backend *b)
{
    uint64_t max = q->upstream->config->connections_max;
    if (!q->fresh && b->idle > 0)
        return true;
    if (max && b->open >= max && b->idle == 0)
        return false;
    return connection_room(q->proxy->connections);
}

/* `b` was chosen, and has room. */
static enum place place_at(struct upstream_request *q, struct upstream_backend *b)
{
    const struct proxy_upstream_config *config = q->upstream->config;
    q->connection = q->fresh ? NULL : connection_take_idle(q, b);
    q->reused = q->connection;
    if (q->reused) {
        proxy_count(q->proxy, PROXY_REUSED);
        request_ready(q);
        return PLACE_READY;
    }
    if (config->connections_max && b->open >= config->connections_max)
        connection_close_idle(b);
    q->connection = connection_open(q, b, config);
    if (!q->connection) {
        b->connect_failures++;
        proxy_count(q->proxy, PROXY_CONNECT_FAILURES);
        fail_later(q, UPSTREAM_CONNECT_FAILED);
        return PLACE_FAILED;
    }
    q->state = REQUEST_OPENING;
    mr_timer_set(q->proxy->worker, &q->timer, mr_now(q->proxy->worker) + config->connect_timeout);
    return PLACE_OPENING;
}

/* What was tried are members of one plan; in the next they are others. */
static void tried_renew(struct upstream_request *q, const struct upstream_state *s)
{
    if (q->tried_in != s->plan)
        q->query.tried_count = 0;
    q->tried_in = s->plan;
}

enum place request_place(struct upstream_request *q, struct upstream_state *s)
{
    bool full;
    tried_renew(q, s);
    const struct plan_backend *backend = backend_choose(q->proxy, q->upstream, &q->query, q->sticky, &full);
    if (backend ? !has_room(q, &q->proxy->backends[backend->slot]) : full)
        return PLACE_FULL;
    if (q->state == REQUEST_QUEUED)
        queue_leave(q);
    if (!backend)
        return PLACE_NONE;
    q->backend = backend;
    q->slot = backend->slot;
    q->plan = plan_hold(q->proxy);
    backend_attach(q, backend_of(q));
    return place_at(q, backend_of(q));
}

/* Who comes while others wait waits behind them. */
static enum upstream_answer request_start(struct upstream_request *q)
{
    struct upstream_state *s = &q->proxy->upstreams[q->upstream->slot];
    q->tries++;
    q->answered = q->good = false;
    enum place place = s->queued > 0 ? PLACE_FULL : request_place(q, s);
    if (place == PLACE_READY)
        return UPSTREAM_READY;
    if (place == PLACE_NONE)
        fail_later(q, UPSTREAM_NO_BACKEND);
    if (place == PLACE_FULL && s->queued >= q->upstream->config->queue_max)
        fail_later(q, UPSTREAM_QUEUE_FULL);
    else if (place == PLACE_FULL)
        return queue_enter(q, s);
    return UPSTREAM_PENDING;
}

enum upstream_answer upstream_ask(struct upstream_request *q)
{
    struct upstream_state *s = &q->proxy->upstreams[q->upstream->slot];
    q->query = (struct balance_query){.hash = q->hash};
    q->backend = NULL;
    q->plan = NULL;
    q->tried_in = NULL;
    q->connection = NULL;
    q->counted = q->reused = q->answered = q->good = false;
    q->tries = 0;
    q->state = REQUEST_NONE;
    mr_timer_init(&q->timer, timer_expired, q);
    s->requests++;
    budget_request(s, q->upstream->config->retry_budget, mr_now(q->proxy->worker));
    return request_start(q);
}

/* -- again ----------------------------------------------------------------------------------------------------------------- */

/* An idle connection that its backend closed as we sent: says nothing of the backend, happens once, and the next is a fresh one. */
static bool lost_a_race(const struct upstream_request *q)
{
    return q->reused && !q->answered && !q->fresh;
}

static void tried_add(struct upstream_request *q)
{
    const struct upstream_backend *b = backend_of(q);
    if (q->backend && b->plan && q->query.tried_count < BALANCE_TRIED_MAX)
        q->query.tried[q->query.tried_count++] = b->member;
}

bool upstream_retry(struct upstream_request *q, enum upstream_answer *answer)
{
    struct upstream_state *s = &q->proxy->upstreams[q->upstream->slot];
    if (lost_a_race(q)) {
        q->fresh = true;
        q->tries--;
    } else {
        if (q->tries > q->upstream->config->retries)
            return false;
        if (!budget_retry(s, mr_now(q->proxy->worker))) {
            proxy_count(q->proxy, PROXY_RETRIES_REFUSED);
            return false;
        }
        tried_renew(q, s);
        tried_add(q);
    }
    s->retries++;
    proxy_count(q->proxy, PROXY_RETRIES);
    q->reused = false;
    *answer = request_start(q);
    return true;
}

/* -- done with it ---------------------------------------------------------------------------------------------------------- */

void upstream_cancel(struct upstream_request *q)
{
    if (q->state == REQUEST_QUEUED)
        queue_leave(q);
    if (q->state == REQUEST_OPENING)
        connection_close(q->connection, true);
    mr_timer_cancel(q->proxy->worker, &q->timer);
    backend_detach(q);
    q->connection = NULL;
    q->state = REQUEST_NONE;
    plan_forget(q);
}

/* Only a whole answer clears what a backend has failed: one that cuts each short would never be found out. */
static void request_end(struct upstream_request *q)
{
    if (q->good)
        backend_of(q)->failures_in_a_row = 0;
    q->good = false;
    backend_detach(q);
    q->connection = NULL;
    q->state = REQUEST_NONE;
    plan_forget(q);
}

void upstream_give(struct upstream_request *q)
{
    struct upstream_connection *c = q->connection;
    request_end(q);
    if (c)
        connection_keep(c);
}

void upstream_drop(struct upstream_request *q, bool abort)
{
    struct upstream_connection *c = q->connection;
    request_end(q);
    if (c)
        connection_close(c, abort);
}
