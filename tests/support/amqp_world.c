#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/amqp_world.h"

#include "queue/amqp/table.h"
#include "queue/catalog/catalog.h"
#include "queue/message.h"

struct amqp_world amqp_world;
#define W (&amqp_world)

/* -- what would be the channel's, the catalog's ------------------------------------------------------------------------------ */

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t room = sizeof W->log - W->log_used;
    int n = vsnprintf(W->log + W->log_used, room, format, arguments);
    va_end(arguments);
    W->log_used += (size_t)n < room ? (size_t)n : room - 1;
}

struct amqp_channel *amqp_channel_open(struct amqp_connection *c, uint16_t number)
{
    struct amqp_channel *ch = memory_alloc(&c->broker->memory, sizeof *ch);
    if (!ch)
        return NULL;
    amqp_channel_init(ch, c, number);
    note("%u open\n", number);
    return ch;
}

static void released(void *argument)
{
    W->lent--;
    message_drop(argument);
}

static void get(struct amqp_channel *ch, const struct amqp_method *m)
{
    static const struct mr_span none = {(const uint8_t *)"", 0};
    static const uint8_t piece[1000] = "0123456789";
    uint64_t bytes = 0; /* at most 999999 */
    for (size_t i = 0; i < m->basic_get.queue.length && i < 6 && m->basic_get.queue.data[i] >= '0' &&
                       m->basic_get.queue.data[i] <= '9';
         i++)
        bytes = bytes * 10 + m->basic_get.queue.data[i] - '0';
    struct message *message = message_create(&ch->connection->broker->memory, none, none, none, bytes);
    assert(message);
    for (uint64_t at = 0; at < bytes; at += sizeof piece)
        assert(message_append(message, piece, bytes - at < sizeof piece ? bytes - at : sizeof piece));
    message_seal(message, 1);
    const struct amqp_method ok = {.id = AMQP_basic_get_ok};
    enum amqp_sent sent = amqp_send_content(ch->connection, ch->number, &ok, message, false, released, message);
    note("%u %s\n", ch->number, sent == AMQP_SENT_NOT ? "not sent" : sent == AMQP_SENT_COPIED ? "copied" : "lent");
    if (sent == AMQP_SENT_LENT)
        W->lent++;
    else
        message_drop(message);
}

void amqp_channel_method(struct amqp_channel *ch, const struct amqp_method *m)
{
    static const struct amqp_method qos_ok = {.id = AMQP_basic_qos_ok};
    note("%u %s\n", ch->number, amqp_method_name(m->id));
    switch (m->id) {
    case AMQP_basic_qos:
        amqp_send_method(ch->connection, ch->number, &qos_ok);
        return;
    case AMQP_basic_get:
        get(ch, m);
        return;
    case AMQP_queue_purge:
        amqp_channel_error(ch, AMQP_NOT_FOUND, m->id, "no queue '%.*s' in vhost '/'", (int)m->queue_purge.queue.length,
                           (const char *)m->queue_purge.queue.data);
        return;
    case AMQP_queue_delete:
        amqp_channel_error(ch, AMQP_INTERNAL_ERROR, m->id, "asked for");
        return;
    case AMQP_tx_select:
        amqp_connection_hold(ch->connection);
        return;
    case AMQP_tx_commit:
        amqp_output_wait(ch);
        return;
    default:
        return;
    }
}

void amqp_channel_header(struct amqp_channel *ch, const struct amqp_header *h)
{
    note("%u header %llu\n", ch->number, (unsigned long long)h->body_bytes);
    W->body_bytes = W->body_sum = 0;
}

void amqp_channel_body(struct amqp_channel *ch, struct mr_span bytes)
{
    assert(bytes.length);
    W->body_bytes += bytes.length;
    for (size_t i = 0; i < bytes.length; i++)
        W->body_sum += bytes.data[i];
    if (!ch->body_missing)
        note("%u body %llu %llu\n", ch->number, (unsigned long long)W->body_bytes, (unsigned long long)W->body_sum);
}

void amqp_channel_writable(struct amqp_channel *ch)
{
    note("%u writable\n", ch->number);
    if (W->writable_again) {
        W->writable_again--;
        amqp_output_wait(ch);
    }
}

void amqp_channel_end(struct amqp_channel *ch)
{
    note("%u end\n", ch->number);
    if (W->drain_later && W->ended_count < sizeof W->ended / sizeof W->ended[0])
        W->ended[W->ended_count++] = ch;
    else
        amqp_channel_drained(ch);
}

void amqp_channel_free(struct amqp_channel *ch)
{
    note("%u free\n", ch->number);
    memory_free(&ch->connection->broker->memory, ch, sizeof *ch);
}

void amqp_exclusive_end(struct amqp_connection *c)
{
    assert(!c->exclusive && !c->channel_alive);
}

void amqp_channel_check(const struct amqp_channel *ch)
{
    assert(ch->content <= AMQP_EXPECT_BODY);
}

unsigned catalog_vhost_find(const struct catalog *c, struct mr_span name)
{
    return name.length == 1 && *name.data == '/'                      ? 0
           : name.length == 7 && memcmp(name.data, "private", 7) == 0 ? 1
                                                                      : UINT_MAX;
}

const char *catalog_vhost_name(const struct catalog *c, unsigned vhost)
{
    return vhost ? "private" : "/";
}

static bool is(struct mr_span s, const char *text)
{
    return s.length == strlen(text) && memcmp(s.data, text, s.length) == 0;
}

const struct queue_user *catalog_user_check(const struct queue_config *config, struct mr_span name,
                                            struct mr_span password)
{
    static const struct queue_user guest = {.name = (char *)"guest"};
    return is(name, "guest") && is(password, "secret") ? &guest : NULL;
}

bool catalog_user_vhost(const struct queue_user *user, const char *vhost)
{
    return strcmp(vhost, "/") == 0;
}

const char *broker_alarm_text(uint32_t alarms)
{
    return alarms & BROKER_ALARM_MEMORY ? "low on memory" : "low on disk";
}

/* -- the world ----------------------------------------------------------------------------------------------------------------- */

void amqp_world_start(void)
{
    memset(W, 0, sizeof *W);
    W->w = fake_worker_create();
    W->config = (struct queue_config){.listen = {.port = 5672},
                                      .connections_max = 4,
                                      .channels_max = 2047,
                                      .frame_bytes_max = 131072,
                                      .message_bytes_max = 1 << 27,
                                      .heartbeat = 60 * MR_SECOND,
                                      .handshake_timeout = 10 * MR_SECOND};
    strcpy(W->shared.node, "millrace@test");
    W->shared.workers = 1;
    W->shared.config = &W->config;
    W->b = (struct broker){
        .worker = W->w, .counters = W->counters, .shared = &W->shared, .config = &W->config, .workers = 1};
    W->shared.instance[0] = &W->b;
    assert(memory_init(&W->b.memory, 64 << 20, 64 << 20));
    assert(amqp_server_start(&W->b) == MR_OK);
}

void amqp_world_end(void)
{
    amqp_world_drain();
    fake_turn(W->w);
    assert(!W->lent);
    amqp_server_stop(&W->b);
    amqp_server_release(&W->b);
    assert(!W->b.memory.allocations);
    fake_worker_free(W->w);
    memory_release(&W->b.memory);
}

void amqp_world_drain(void)
{
    while (W->ended_count)
        amqp_channel_drained(W->ended[--W->ended_count]);
}

const char *amqp_world_log(void)
{
    static char text[sizeof W->log];
    memcpy(text, W->log, W->log_used);
    text[W->log_used] = 0;
    W->log_used = 0;
    return text;
}

/* -- what is said ------------------------------------------------------------------------------------------------------------------- */

static int text_of_method(char *to, size_t room, uint16_t channel, struct mr_span payload)
{
    struct amqp_method m;
    uint32_t id;
    assert(!amqp_method_parse(payload, &m, &id));
    if (m.id == AMQP_connection_close || m.id == AMQP_channel_close) {
        const struct amqp_connection_close *close = &m.connection_close; /* the fields of both are the same */
        return snprintf(to, room, "%u close %u %.*s (%u,%u)\n", channel, close->reply_code,
                        (int)close->reply_text.length, (const char *)close->reply_text.data, close->class_id,
                        close->method_id);
    }
    if (m.id == AMQP_connection_tune)
        return snprintf(to, room, "tune %u %u %u\n", m.connection_tune.channel_max, m.connection_tune.frame_max,
                        m.connection_tune.heartbeat);
    if (m.id == AMQP_connection_blocked)
        return snprintf(to, room, "blocked %.*s\n", (int)m.connection_blocked.reason.length,
                        (const char *)m.connection_blocked.reason.data);
    return snprintf(to, room, "%u %s\n", channel, amqp_method_name(m.id));
}

static int text_of_frame(char *to, size_t room, const struct amqp_frame *f)
{
    struct amqp_header h;
    switch (f->type) {
    case AMQP_FRAME_METHOD:
        return text_of_method(to, room, f->channel, f->payload);
    case AMQP_FRAME_HEADER:
        assert(!amqp_header_parse(f->payload, &h));
        return snprintf(to, room, "%u header %llu\n", f->channel, (unsigned long long)h.body_bytes);
    case AMQP_FRAME_BODY:
        for (size_t i = 0; i < f->payload.length; i++)
            W->body_sum += f->payload.data[i];
        return snprintf(to, room, "%u body %zu\n", f->channel, f->payload.length);
    default:
        return snprintf(to, room, "heartbeat\n");
    }
}

const char *amqp_world_said(struct mr_stream *s)
{
    static char text[64 << 10];
    size_t n, at = 0, used = 0;
    const uint8_t *data = (const uint8_t *)fake_output(s, &n);
    text[0] = 0;
    W->body_sum = 0;
    if (n >= sizeof amqp_protocol_header && !memcmp(data, amqp_protocol_header, sizeof amqp_protocol_header)) {
        used += (size_t)snprintf(text, sizeof text, "header\n");
        at = sizeof amqp_protocol_header;
    }
    while (at < n) {
        struct amqp_frame f;
        int64_t taken = amqp_frame_parse(data + at, n - at, UINT32_MAX, &f);
        assert(taken > 0);
        at += (size_t)taken;
        used += (size_t)text_of_frame(text + used, sizeof text - used, &f);
        assert(used < sizeof text);
    }
    fake_output_clear(s);
    return text;
}
