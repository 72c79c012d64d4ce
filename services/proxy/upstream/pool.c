/* Connections to backends: opened, kept idle, closed. What a stream says goes to whoever has the connection.
 *
 *   FREE --connection_open--> OPENING --on_open--> BUSY <--taken, kept--> IDLE
 *                                |                   |                     |
 *                                +---- refused ------+-- CLOSING --on_close+--> FREE
 *
 * Idle ones are taken from the front, the last that was used: its congestion window is the warmest, and those behind, that nobody needs,
 * grow old and are closed. */
#include <stdlib.h>

#include "proxy/l4/proxy_protocol.h"
#include "proxy/upstream/table.h"

#define PROXY_HEADER_ROOM 108

static struct upstream_backend *backend_of(const struct upstream_connection *c)
{
    return &c->proxy->backends[c->slot];
}

/* -- entries --------------------------------------------------------------------------------------------------------------- */

static struct upstream_connection *entry_take(struct upstream_table *t)
{
    struct upstream_connection *c = t->free;
    if (c)
        t->free = c->next;
    else if (t->used < t->max)
        c = &t->connections[t->used++];
    if (c)
        t->proxy->counters[PROXY_UPSTREAM_CONNECTIONS]++;
    return c;
}

/* When every entry was taken, requests wait that no backend's own bound made wait. */
static void entry_give(struct upstream_connection *c)
{
    struct upstream_table *t = c->proxy->connections;
    bool none_left = !t->free && t->used == t->max;
    c->state = CONNECTION_FREE;
    c->stream = NULL;
    c->next = t->free;
    t->free = c;
    t->proxy->counters[PROXY_UPSTREAM_CONNECTIONS]--;
    if (none_left)
        queue_serve_all(t);
}

/* -- the idle list --------------------------------------------------------------------------------------------------------- */

static struct upstream_connection *idle_before(const struct upstream_backend *b, const struct upstream_connection *c)
{
    return c->link == &b->idle_first
               ? NULL
               : (struct upstream_connection *)((char *)c->link - offsetof(struct upstream_connection, next));
}

static void idle_remove(struct upstream_backend *b, struct upstream_connection *c)
{
    if (b->idle_last == c)
        b->idle_last = idle_before(b, c);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    b->idle--;
    b->proxy->counters[PROXY_UPSTREAM_IDLE]--;
    if (!b->idle)
        mr_timer_cancel(b->proxy->worker, &b->idle_timer);
}

static void idle_timer_set(struct upstream_backend *b)
{
    mr_timer_set(b->proxy->worker, &b->idle_timer, b->idle_last->idle_since + upstream_config_of(b)->idle_timeout);
}

static void idle_insert(struct upstream_backend *b, struct upstream_connection *c)
{
    c->state = CONNECTION_IDLE;
    c->idle_since = mr_now(b->proxy->worker);
    c->next = b->idle_first;
    c->link = &b->idle_first;
    if (c->next)
        c->next->link = &c->next;
    b->idle_first = c;
    b->idle++;
    b->proxy->counters[PROXY_UPSTREAM_IDLE]++;
    if (!b->idle_last) {
        b->idle_last = c;
        idle_timer_set(b);
    }
}

void backend_idle_expired(struct mr_worker *w, struct mr_timer *t)
{
    struct upstream_backend *b = t->context;
    mr_time timeout = b->plan ? upstream_config_of(b)->idle_timeout : 0;
    while (b->idle_last && b->idle_last->idle_since + timeout <= mr_now(w))
        connection_close(b->idle_last, false);
    if (b->idle_last)
        idle_timer_set(b);
}

static bool too_old(const struct upstream_connection *c, const struct proxy_upstream_config *config)
{
    return (config->age_max && mr_now(c->proxy->worker) - c->opened >= config->age_max) ||
           (config->requests_max && c->requests >= config->requests_max);
}

/* A connection that began with a PROXY header says of all its requests that they are one client's. */
static bool may_be_kept(const struct upstream_connection *c)
{
    const struct upstream_backend *b = backend_of(c);
    if (c->proxy->stopping || !b->plan || b->plan->config->state == BACKEND_DISABLED || b->health == HEALTH_DOWN ||
        b->ejected_until)
        return false;
    const struct proxy_upstream_config *config = upstream_config_of(b);
    return config->proxy_protocol == PROXY_PROTOCOL_OFF && b->idle < config->idle_max && !too_old(c, config) &&
           mr_stream_readable(c->stream) == 0 && !mr_stream_ended(c->stream);
}

void connection_keep(struct upstream_connection *c)
{
    struct upstream_backend *b = backend_of(c);
    c->user = NULL;
    c->requests++;
    if (!may_be_kept(c)) {
        connection_close(c, false);
        return;
    }
    idle_insert(b, c);
    backend_refresh(b);
    queue_serve_later(upstream_state_of(b));
}

struct upstream_connection *connection_take_idle(struct upstream_request *q, struct upstream_backend *b)
{
    struct upstream_connection *c;
    while (b->plan && (c = b->idle_first) != NULL) {
        if (too_old(c, upstream_config_of(b))) {
            connection_close(c, false);
            continue;
        }
        idle_remove(b, c);
        c->state = CONNECTION_BUSY;
        c->reused = true;
        c->user = q;
        backend_refresh(b);
        return c;
    }
    return NULL;
}

/* -- closing --------------------------------------------------------------------------------------------------------------- */

/* It is its backend's no more at once; the entry is free when the stream is gone. */
void connection_close(struct upstream_connection *c, bool abort)
{
    struct upstream_backend *b = backend_of(c);
    if (c->state == CONNECTION_IDLE)
        idle_remove(b, c);
    c->state = CONNECTION_CLOSING;
    c->user = NULL;
    if (abort)
        mr_stream_abort(c->stream);
    else
        mr_stream_close(c->stream);
    backend_connections(b, -1);
}

bool connection_close_idle(struct upstream_backend *b)
{
    if (!b->idle_last)
        return false;
    connection_close(b->idle_last, false);
    return true;
}

void connection_close_all_idle(struct upstream_backend *b)
{
    while (connection_close_idle(b))
        ;
}

/* Looks at backends in turn, and at each only when every entry is taken. */
bool connection_room(struct upstream_table *t)
{
    struct proxy *p = t->proxy;
    if (t->free || t->used < t->max)
        return true;
    for (uint32_t i = 0; i < p->limits.backends && p->counters[PROXY_UPSTREAM_IDLE] > 0; i++) {
        t->hand = (t->hand + 1) % (uint32_t)p->limits.backends;
        if (connection_close_idle(&p->backends[t->hand]))
            break;
    }
    return false;
}

/* -- events ---------------------------------------------------------------------------------------------------------------- */

static bool header_send(struct upstream_connection *c, const struct proxy_upstream_config *config)
{
    uint8_t header[PROXY_HEADER_ROOM];
    const struct upstream_request *q = c->user;
    size_t n = config->proxy_protocol == PROXY_PROTOCOL_V1   ? proxy_protocol_write_v1(&q->client, &q->local, header)
               : config->proxy_protocol == PROXY_PROTOCOL_V2 ? proxy_protocol_write_v2(&q->client, &q->local, header)
                                                             : 0;
    return n == 0 || mr_stream_send(c->stream, header, n) == n;
}

static void on_open(struct mr_stream *s)
{
    struct upstream_connection *c = mr_stream_context(s);
    if (c->state != CONNECTION_OPENING)
        return;
    c->state = CONNECTION_BUSY;
    c->opened = mr_now(c->proxy->worker);
    header_send(c, c->user->upstream->config); /* a stream with nothing queued takes it */
    request_opened(c->user);
}

static void on_data(struct mr_stream *s)
{
    struct upstream_connection *c = mr_stream_context(s);
    if (c->state == CONNECTION_BUSY)
        c->user->user->on_data(c->user);
    else if (c->state == CONNECTION_IDLE)
        connection_close(c, false); /* its end, or an answer to nothing: not to be had by the next request */
}

static void on_writable(struct mr_stream *s)
{
    struct upstream_connection *c = mr_stream_context(s);
    if (c->state == CONNECTION_BUSY)
        c->user->user->on_writable(c->user);
}

static void on_close(struct mr_stream *s, enum mr_close_reason reason)
{
    struct upstream_connection *c = mr_stream_context(s);
    struct upstream_backend *b = backend_of(c);
    struct upstream_request *user = c->user;
    bool closing = c->state == CONNECTION_CLOSING;
    if (c->state == CONNECTION_IDLE)
        idle_remove(b, c);
    entry_give(c);
    if (closing)
        return;
    backend_connections(b, -1);
    if (user)
        request_lost(user, reason);
}

static const struct mr_stream_handler stream_handler = {
    .on_open = on_open, .on_data = on_data, .on_writable = on_writable, .on_close = on_close};

/* -- opening --------------------------------------------------------------------------------------------------------------- */

/* Source addresses in turn; one whose ports to this backend are all taken is passed over. */
static int connect_from(struct upstream_connection *c, const struct upstream_backend *b,
                        const struct proxy_upstream_config *config)
{
    static const struct mr_stream_options options = {.nodelay = true};
    struct upstream_state *s = upstream_state_of(b);
    int error = MR_ERROR_NO_PORT;
    if (config->source_count == 0)
        return mr_connect(c->proxy->worker, NULL, &b->address, &stream_handler, &options, c, &c->stream);
    for (unsigned i = 0; i < config->source_count && error == MR_ERROR_NO_PORT; i++) {
        struct mr_endpoint local = {config->sources[s->source_next++ % config->source_count], 0};
        error = mr_connect(c->proxy->worker, &local, &b->address, &stream_handler, &options, c, &c->stream);
    }
    return error;
}

struct upstream_connection *connection_open(struct upstream_request *q, struct upstream_backend *b,
                                            const struct proxy_upstream_config *config)
{
    struct upstream_connection *c = entry_take(q->proxy->connections);
    if (!c)
        return NULL;
    *c = (struct upstream_connection){
        .proxy = q->proxy, .slot = (uint32_t)(b - q->proxy->backends), .state = CONNECTION_OPENING, .user = q};
    if (connect_from(c, b, config) != MR_OK) {
        entry_give(c);
        return NULL;
    }
    b->connects++;
    proxy_count(q->proxy, PROXY_CONNECTS);
    backend_connections(b, 1);
    return c;
}

/* -- start and stop -------------------------------------------------------------------------------------------------------- */

int upstream_start(struct proxy *p)
{
    struct upstream_table *t = calloc(1, sizeof *t);
    if (!t)
        return MR_ERROR_NO_MEMORY;
    t->proxy = p;
    t->max = (uint32_t)p->limits.connections;
    t->connections = calloc(t->max, sizeof *t->connections);
    t->serve = (struct mr_deferred){.run = queue_run, .context = t};
    t->serve_end = &t->serve_first;
    p->connections = t;
    if (t->connections)
        return MR_OK;
    upstream_release(p);
    return MR_ERROR_NO_MEMORY;
}

void upstream_stop(struct proxy *p)
{
    for (uint32_t i = 0; i < p->limits.backends; i++)
        if (p->backends[i].proxy) {
            connection_close_all_idle(&p->backends[i]);
            mr_timer_cancel(p->worker, &p->backends[i].fit_timer);
        }
}

void upstream_release(struct proxy *p)
{
    for (uint32_t i = 0; i < p->limits.backends; i++)
        if (p->backends[i].proxy) {
            mr_timer_cancel(p->worker, &p->backends[i].idle_timer);
            mr_timer_cancel(p->worker, &p->backends[i].fit_timer);
        }
    free(p->connections->connections);
    free(p->connections);
    p->connections = NULL;
}
