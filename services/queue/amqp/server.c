/* All AMQP connections of a worker: listener, the end of each turn, alarms, stop. */
#include "queue/amqp/server.h"

#include <assert.h>
#include <stdlib.h>

#include "queue/amqp/connection.h"

#define SEND_BUDGET    (512u << 10)
#define RECEIVE_BUDGET (512u << 10)
#define KEEPALIVE_S    300 /* for those without heartbeats: a peer that is gone does not stay for ever */
_Static_assert(RECEIVE_BUDGET >= 2 * AMQP_CONTROL_FRAME_MAX, "a frame that is parsed whole fits twice");

/* Everything of a turn goes out at its end: deliveries and confirms of many queues in one piece. */
static void turn_end(struct mr_worker *w, struct mr_deferred *d)
{
    struct amqp_server *server = d->context;
    struct amqp_connection *last =
        server->turn
            ? (struct amqp_connection *)((char *)server->turn_end - offsetof(struct amqp_connection, turn_next))
            : NULL;
    bool more = last != NULL;
    while (more && server->turn) { /* who has something to do again goes behind the last: the next turn */
        struct amqp_connection *c = server->turn;
        more = c != last;
        amqp_connection_turn_forget(c);
        amqp_connection_turn_run(c);
    }
    amqp_channels_bury(server);
}

static size_t scratch_bytes(void)
{
    return AMQP_CONTROL_FRAME_MAX + 2 * AMQP_FRAME_OVERHEAD;
}

int amqp_server_start(struct broker *b)
{
    struct amqp_server *server = calloc(1, sizeof *server);
    if (!server || !(server->scratch = malloc(scratch_bytes()))) {
        free(server);
        return MR_ERROR_NO_MEMORY;
    }
    server->broker = b;
    server->turn_end = &server->turn;
    server->deferred = (struct mr_deferred){.run = turn_end, .context = server};
    b->amqp = server;
    const struct mr_stream_options options = {
        .send_budget = SEND_BUDGET, .receive_budget = RECEIVE_BUDGET, .keepalive_idle_s = KEEPALIVE_S, .nodelay = true};
    int error = mr_listen(b->worker, &b->config->listen, &amqp_stream_handler, &options, server, &server->listener);
    if (error)
        amqp_server_release(b);
    return error;
}

void amqp_server_stop(struct broker *b)
{
    static const char text[] = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
    struct amqp_server *server = b->amqp;
    server->stopping = true;
    if (server->listener)
        mr_listener_close(server->listener);
    server->listener = NULL;
    for (struct amqp_connection *c = server->connections, *next; c; c = next) {
        next = c->next;
        if (c->state >= AMQP_EXPECT_OPEN && c->state < AMQP_EXPECT_CLOSE_OK)
            amqp_connection_close(c, AMQP_CONNECTION_FORCED, 0,
                                  (struct mr_span){(const uint8_t *)text, sizeof text - 1});
        else if (c->state < AMQP_EXPECT_OPEN)
            amqp_connection_end(c);
    }
}

void amqp_server_release(struct broker *b)
{
    struct amqp_server *server = b->amqp;
    if (!server)
        return;
    assert(!server->connections);
    amqp_channels_bury(server);
    free(server->scratch);
    free(server);
    b->amqp = NULL;
}

void amqp_server_alarms_changed(struct broker *b)
{
    struct amqp_server *server = b->amqp;
    if (!server)
        return;
    for (struct amqp_connection *c = server->connections; c; c = c->next) {
        amqp_connection_alarms(c);
        if (!b->alarms && c->publisher)
            amqp_connection_turn(c);
    }
}

/* What found no memory tries again: somebody else's message may have gone. */
void amqp_server_second(struct broker *b)
{
    for (struct amqp_connection *c = b->amqp ? b->amqp->connections : NULL; c; c = c->next) {
        if (!c->starved)
            continue;
        c->starved = false;
        amqp_connection_turn(c);
    }
}

static void info_of(const struct amqp_connection *c, struct amqp_connection_info *i)
{
    bool blocked = c->state == AMQP_OPEN && c->publisher && c->broker->alarms;
    *i = (struct amqp_connection_info){.user = c->user ? c->user->name : NULL,
                                       .vhost = c->vhost_name,
                                       .state = blocked ? "blocked" : amqp_connection_state_names[c->state],
                                       .channels = c->channel_count,
                                       .consumers = c->consumers,
                                       .unacknowledged = c->unacknowledged,
                                       .published = c->published,
                                       .delivered = c->delivered};
    mr_stream_remote(c->stream, &i->peer);
}

void amqp_server_each(struct broker *b, void (*show)(void *context, const struct amqp_connection_info *i),
                      void *context)
{
    for (const struct amqp_connection *c = b->amqp ? b->amqp->connections : NULL; c; c = c->next) {
        struct amqp_connection_info info;
        if (c->finished)
            continue; /* its stream may not be asked any more */
        info_of(c, &info);
        show(context, &info);
    }
}

void amqp_server_check(const struct broker *b)
{
    const struct amqp_server *server = b->amqp;
    uint32_t count = 0;
    for (const struct amqp_connection *c = server->connections; c; c = c->next, count++)
        amqp_connection_check(c);
    assert(count == server->connection_count);
    assert(b->counters[QUEUE_COUNTER_CONNECTIONS_OPEN] == count);
}
