/* The life of one connection: its states, what comes on channel 0, its timer, its turn, its end. */
#include "queue/amqp/connection.h"

#include <assert.h>
#include <string.h>

#define TO(state) (1u << (state))
#define ENDS      (TO(AMQP_EXPECT_END) | TO(AMQP_CLOSED))
static const uint16_t legal[AMQP_CONNECTION_STATES] = {
    [AMQP_EXPECT_PROTOCOL] = TO(AMQP_EXPECT_START_OK) | ENDS,
    [AMQP_EXPECT_START_OK] = TO(AMQP_EXPECT_SECURE_OK) | TO(AMQP_EXPECT_TUNE_OK) | TO(AMQP_EXPECT_CLOSE_OK) | ENDS,
    [AMQP_EXPECT_SECURE_OK] = TO(AMQP_EXPECT_TUNE_OK) | TO(AMQP_EXPECT_CLOSE_OK) | ENDS,
    [AMQP_EXPECT_TUNE_OK] = TO(AMQP_EXPECT_OPEN) | TO(AMQP_EXPECT_CLOSE_OK) | ENDS,
    [AMQP_EXPECT_OPEN] = TO(AMQP_OPEN) | TO(AMQP_EXPECT_CLOSE_OK) | ENDS,
    [AMQP_OPEN] = TO(AMQP_EXPECT_CLOSE_OK) | ENDS,
    [AMQP_EXPECT_CLOSE_OK] = ENDS,
    [AMQP_EXPECT_END] = TO(AMQP_CLOSED),
};

const char *const amqp_connection_state_names[AMQP_CONNECTION_STATES] = {
    [AMQP_EXPECT_PROTOCOL] = "expects protocol",
    [AMQP_EXPECT_START_OK] = "expects start-ok",
    [AMQP_EXPECT_SECURE_OK] = "expects secure-ok",
    [AMQP_EXPECT_TUNE_OK] = "expects tune-ok",
    [AMQP_EXPECT_OPEN] = "expects open",
    [AMQP_OPEN] = "open",
    [AMQP_EXPECT_CLOSE_OK] = "expects close-ok",
    [AMQP_EXPECT_END] = "expects end",
    [AMQP_CLOSED] = "closed",
};

void amqp_connection_set_state(struct amqp_connection *c, enum amqp_connection_state state)
{
    assert(legal[c->state] & TO(state));
    if (c->state < AMQP_OPEN && state > AMQP_OPEN)
        c->broker->counters[QUEUE_COUNTER_HANDSHAKES_FAILED]++;
    c->state = (uint8_t)state;
}

/* -- time ------------------------------------------------------------------------------------------------------------------------------------ */

/* Open: every half heartbeat, both to send ours and to see whether theirs come. Else what must be over by `due`. */
void amqp_connection_deadline(struct amqp_connection *c)
{
    struct mr_worker *w = c->broker->worker;
    if (c->state != AMQP_OPEN)
        mr_timer_set(w, &c->timer, c->due);
    else if (c->heartbeat)
        mr_timer_set(w, &c->timer, mr_now(w) + c->heartbeat / 2);
    else
        mr_timer_cancel(w, &c->timer);
}

/* While we do not read nobody can be heard. */
static bool silent(const struct amqp_connection *c)
{
    return mr_now(c->broker->worker) - c->heard >= 2 * c->heartbeat && amqp_input_allowed(c);
}

/* 4.2.7: anything counts as a heartbeat; missed are those of two intervals. */
static void beat(struct amqp_connection *c)
{
    if (silent(c)) {
        c->broker->counters[QUEUE_COUNTER_HEARTBEATS_MISSED]++;
        amqp_connection_cut(c);
        return;
    }
    if (c->sent_bytes == c->sent_mark && !c->output_bytes)
        amqp_send_heartbeat(c);
    c->sent_mark = c->sent_bytes + (c->output_bytes ? AMQP_FRAME_OVERHEAD : 0);
    amqp_connection_deadline(c);
}

static void linger_over(struct amqp_connection *c)
{
    c->lingers = false;
    c->due = mr_now(c->broker->worker) + AMQP_END_TIMEOUT;
    amqp_connection_deadline(c);
    amqp_connection_turn(c);
}

static void timer_expired(struct mr_worker *w, struct mr_timer *t)
{
    struct amqp_connection *c = t->context;
    if (c->state == AMQP_OPEN && c->heartbeat)
        beat(c);
    else if (c->lingers)
        linger_over(c);
    else if (c->state != AMQP_OPEN)
        amqp_connection_cut(c);
}

/* -- begin ------------------------------------------------------------------------------------------------------------------------------------ */

static struct amqp_connection *connection_create(struct amqp_server *server, struct mr_stream *s)
{
    struct broker *b = server->broker;
    bool room = server->connection_count < b->config->connections_max && !server->stopping;
    struct amqp_connection *c = room ? memory_alloc(&b->memory, sizeof *c) : NULL;
    if (!c)
        return NULL;
    mr_time now = mr_now(b->worker);
    *c = (struct amqp_connection){.server = server,
                                  .broker = b,
                                  .stream = s,
                                  .id = ++server->connection_last * b->workers + b->index,
                                  .frame_max = QUEUE_FRAME_MIN,
                                  .state = AMQP_EXPECT_PROTOCOL,
                                  .heard = now,
                                  .due = now + b->config->handshake_timeout};
    c->waiters_end = &c->waiters;
    c->link = &server->connections;
    if ((c->next = server->connections) != NULL)
        c->next->link = &c->next;
    server->connections = c;
    server->connection_count++;
    return c;
}

static void opened(struct mr_stream *s)
{
    struct amqp_server *server = mr_stream_context(s);
    uint64_t *counters = server->broker->counters;
    struct amqp_connection *c = connection_create(server, s);
    mr_stream_set_context(s, c);
    if (!c) {
        counters[QUEUE_COUNTER_CONNECTIONS_REFUSED]++;
        mr_stream_close(s);
        return;
    }
    counters[QUEUE_COUNTER_CONNECTIONS]++;
    counters[QUEUE_COUNTER_CONNECTIONS_OPEN]++;
    mr_timer_init(&c->timer, timer_expired, c);
    amqp_connection_deadline(c);
}

/* -- the turn ----------------------------------------------------------------------------------------------------------------------------------- */

void amqp_connection_turn(struct amqp_connection *c)
{
    struct amqp_server *server = c->server;
    if (c->turn_link || c->finished || c->state == AMQP_CLOSED)
        return;
    c->turn_next = NULL;
    c->turn_link = server->turn_end;
    *server->turn_end = c;
    server->turn_end = &c->turn_next;
    mr_defer(server->broker->worker, &server->deferred);
}

void amqp_connection_turn_forget(struct amqp_connection *c)
{
    if (!c->turn_link)
        return;
    *c->turn_link = c->turn_next;
    if (c->turn_next)
        c->turn_next->turn_link = c->turn_link;
    else
        c->server->turn_end = c->turn_link;
    c->turn_link = NULL;
}

/* All is said, and sent: our end follows, and the peer's is awaited. A close at once could reset what it has not read (RFC 9293 3.10.4). */
static void end_go_on(struct amqp_connection *c)
{
    bool peer_ended = mr_stream_ended(c->stream);
    if (c->output || (c->lingers && !peer_ended))
        return;
    if (!c->ended) {
        c->ended = true;
        mr_stream_shutdown(c->stream);
    }
    if (peer_ended) {
        c->finished = true;
        mr_stream_close(c->stream);
    }
}

static void read_on(struct amqp_connection *c)
{
    amqp_input_run(c);
    if (mr_stream_ended(c->stream) && c->state < AMQP_EXPECT_END)
        amqp_connection_end(c); /* hung up without connection.close */
}

void amqp_connection_turn_run(struct amqp_connection *c)
{
    if (c->cut) {
        c->finished = true;
        mr_stream_abort(c->stream);
        return;
    }
    amqp_output_flush(c);
    if (c->input_stopped && amqp_input_allowed(c)) {
        c->heard = mr_now(c->broker->worker); /* its time begins again */
        read_on(c);
    }
    amqp_output_tell(c);
    amqp_output_flush(c);
    if (amqp_output_told(c) || (c->input_stopped && amqp_input_allowed(c)))
        amqp_connection_turn(c);
    if (c->state == AMQP_EXPECT_END)
        end_go_on(c);
}

static void data(struct mr_stream *s)
{
    struct amqp_connection *c = mr_stream_context(s);
    if (!c)
        return;
    c->heard = mr_now(c->broker->worker);
    read_on(c);
    if (c->state == AMQP_EXPECT_END)
        amqp_connection_turn(c);
}

static void writable(struct mr_stream *s)
{
    struct amqp_connection *c = mr_stream_context(s);
    if (!c)
        return;
    c->starved = false;
    amqp_connection_turn(c);
}

void amqp_connection_hold(struct amqp_connection *c)
{
    c->holds++;
}

void amqp_connection_resume(struct amqp_connection *c)
{
    assert(c->holds > 0);
    if (!--c->holds)
        amqp_connection_turn(c);
}

/* -- alarms ------------------------------------------------------------------------------------------------------------------------------------------ */

void amqp_connection_alarms(struct amqp_connection *c)
{
    uint32_t alarms = c->publisher && c->state == AMQP_OPEN ? c->broker->alarms : 0;
    struct amqp_method m = {.id = AMQP_connection_unblocked};
    if (!alarms == !c->blocked_told)
        return;
    c->blocked_told = alarms != 0;
    if (alarms) {
        const char *text = broker_alarm_text(alarms);
        m.id = AMQP_connection_blocked;
        m.connection_blocked.reason = (struct mr_span){(const uint8_t *)text, strlen(text)};
    } else {
        amqp_connection_turn(c);
    }
    if (c->capabilities & AMQP_CAPABLE_BLOCKED)
        amqp_send_method(c, 0, &m);
}

/* -- channel 0 ------------------------------------------------------------------------------------------------------------------------------------------ */

static void closed_by_peer(struct amqp_connection *c)
{
    struct amqp_method ok = {.id = AMQP_connection_close_ok};
    amqp_channels_end(c);
    amqp_send_method(c, 0, &ok);
    c->lingers = true;
    amqp_connection_end(c);
}

void amqp_connection_method(struct amqp_connection *c, const struct amqp_method *m)
{
    static const char *const names[AMQP_CONNECTION_STATES] = {
        [AMQP_EXPECT_START_OK] = "starting",
        [AMQP_EXPECT_SECURE_OK] = "securing",
        [AMQP_EXPECT_TUNE_OK] = "tuning",
        [AMQP_EXPECT_OPEN] = "opening",
        [AMQP_OPEN] = "running",
    };
    if (m->id == AMQP_connection_close && c->state >= AMQP_EXPECT_OPEN)
        closed_by_peer(c);
    else if (c->state == AMQP_EXPECT_CLOSE_OK && m->id == AMQP_connection_close_ok)
        amqp_connection_end(c);
    else if (c->state < AMQP_EXPECT_CLOSE_OK && !amqp_handshake_method(c, m))
        amqp_connection_error(c, AMQP_CHANNEL_ERROR, m->id, "unexpected method in connection state %s",
                              names[c->state]);
}

/* -- end ---------------------------------------------------------------------------------------------------------------------------------------------------- */

void amqp_connection_end(struct amqp_connection *c)
{
    amqp_connection_set_state(c, AMQP_EXPECT_END);
    c->due = mr_now(c->broker->worker) + AMQP_END_TIMEOUT;
    amqp_channels_end(c);
    amqp_connection_deadline(c);
    amqp_connection_turn(c);
}

void amqp_connection_cut(struct amqp_connection *c)
{
    c->cut = true;
    amqp_connection_turn(c);
}

static void closed(struct mr_stream *s, enum mr_close_reason reason)
{
    struct amqp_connection *c = mr_stream_context(s);
    if (!c)
        return; /* refused */
    struct broker *b = c->broker;
    mr_timer_cancel(b->worker, &c->timer);
    c->cut = true; /* nothing is sent from here on */
    amqp_connection_turn_forget(c);
    amqp_channels_end(c);
    amqp_output_drop(c);
    amqp_connection_turn_forget(c);
    amqp_connection_set_state(c, AMQP_CLOSED);
    c->stream = NULL;
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    c->server->connection_count--;
    b->counters[QUEUE_COUNTER_CONNECTIONS_OPEN]--;
    amqp_connection_settle(c);
}

void amqp_connection_settle(struct amqp_connection *c)
{
    if (c->state >= AMQP_EXPECT_CLOSE_OK && !c->channel_alive)
        amqp_exclusive_end(c);
    if (c->state == AMQP_CLOSED && !c->channel_alive && !c->lent)
        memory_free(&c->broker->memory, c, sizeof *c);
}

const struct mr_stream_handler amqp_stream_handler = {
    .on_open = opened, .on_data = data, .on_writable = writable, .on_close = closed};

/* -- invariants ------------------------------------------------------------------------------------------------------------------------------------------------ */

void amqp_connection_check(const struct amqp_connection *c)
{
    uint32_t channels = 0;
    for (uint32_t i = 0; i < c->bucket_count; i++)
        for (const struct amqp_channel *ch = c->buckets[i]; ch; ch = ch->next) {
            assert(ch->connection == c && ch->state != AMQP_CHANNEL_GONE);
            assert(ch->ended == (ch->state == AMQP_CHANNEL_EXPECT_CLOSE_OK));
            assert((ch->number & (c->bucket_count - 1)) == i);
            channels++;
        }
    assert(channels == c->channel_count && channels <= c->channel_alive);
    assert(c->state == AMQP_OPEN || !channels);
    assert(c->stream && (c->state != AMQP_OPEN || c->user));
    assert(!c->blocked_told || c->publisher);
    amqp_output_check(c);
    amqp_channels_each(c, amqp_channel_check);
}
