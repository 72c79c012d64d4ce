#include "tests/support/amqp_bytes.h"

#include <assert.h>

#include "queue/amqp/table.h"

void bytes_clear(struct amqp_bytes *o)
{
    o->n = 0;
}

void bytes_protocol(struct amqp_bytes *o)
{
    memcpy(o->data + o->n, amqp_protocol_header, sizeof amqp_protocol_header);
    o->n += sizeof amqp_protocol_header;
}

void bytes_method(struct amqp_bytes *o, uint16_t channel, const struct amqp_method *m)
{
    size_t n = amqp_method_emit(o->data + o->n, sizeof o->data - o->n, channel, m);
    assert(n);
    o->n += n;
}

void bytes_frame(struct amqp_bytes *o, uint8_t type, uint16_t channel, const void *payload, size_t n)
{
    assert(o->n + n + AMQP_FRAME_OVERHEAD <= sizeof o->data);
    uint8_t *to = o->data + o->n;
    amqp_body_head(to, channel, (uint32_t)n);
    to[0] = type;
    if (n)
        memcpy(to + AMQP_FRAME_HEAD, payload, n);
    to[AMQP_FRAME_HEAD + n] = AMQP_FRAME_END;
    o->n += n + AMQP_FRAME_OVERHEAD;
}

void bytes_header(struct amqp_bytes *o, uint16_t channel, uint64_t body_bytes)
{
    o->n += amqp_header_emit(o->data + o->n, sizeof o->data - o->n, channel, body_bytes, (struct mr_span){NULL, 0});
}

void bytes_body(struct amqp_bytes *o, uint16_t channel, size_t n)
{
    static const uint8_t ones[1 << 18] = {[0 ...(1 << 18) - 1] = 1};
    assert(n <= sizeof ones);
    bytes_frame(o, AMQP_FRAME_BODY, channel, ones, n);
}

static struct mr_span client_properties(void)
{
    static uint8_t data[256];
    struct amqp_table_out o = {.data = data, .room = sizeof data};
    size_t opened = amqp_table_open(&o, "capabilities", 'F');
    amqp_table_put_bool(&o, "authentication_failure_close", true);
    amqp_table_put_bool(&o, "connection.blocked", true);
    amqp_table_close(&o, opened);
    amqp_table_put_text(&o, "product", span_of_text("test"));
    assert(!o.failed);
    return (struct mr_span){data, o.used};
}

void bytes_start_ok(struct amqp_bytes *o, const char *mechanism, const void *response, size_t n)
{
    bytes_method(o, 0,
                 &(struct amqp_method){.id = AMQP_connection_start_ok,
                                       .connection_start_ok = {.client_properties = client_properties(),
                                                               .mechanism = span_of_text(mechanism),
                                                               .response = {response, n},
                                                               .locale = span_of_text("en_US")}});
}

void bytes_tune_ok(struct amqp_bytes *o, uint16_t channel_max, uint32_t frame_max, uint16_t heartbeat)
{
    bytes_method(o, 0,
                 &(struct amqp_method){.id = AMQP_connection_tune_ok,
                                       .connection_tune_ok = {channel_max, frame_max, heartbeat}});
}

void bytes_open(struct amqp_bytes *o, const char *vhost)
{
    bytes_method(o, 0,
                 &(struct amqp_method){
                     .id = AMQP_connection_open,
                     .connection_open = {.virtual_host = span_of_text(vhost), .reserved_1 = span_of_text("")}});
}

void bytes_handshake(struct amqp_bytes *o, const char *password, uint32_t frame_max, uint16_t heartbeat)
{
    char response[64] = "\0guest";
    strcpy(response + 7, password);
    bytes_protocol(o);
    bytes_start_ok(o, "PLAIN", response, 7 + strlen(password));
    bytes_tune_ok(o, 2047, frame_max, heartbeat);
    bytes_open(o, "/");
}

void bytes_simple(struct amqp_bytes *o, uint16_t channel, enum amqp_method_id id)
{
    struct amqp_method m = {.id = id};
    bytes_method(o, channel, &m);
}

void bytes_publish(struct amqp_bytes *o, uint16_t channel)
{
    bytes_simple(o, channel, AMQP_basic_publish);
}

void bytes_named(struct amqp_bytes *o, uint16_t channel, enum amqp_method_id id, const char *name)
{
    struct amqp_method m = {.id = id};
    struct mr_span span = span_of_text(name);
    if (id == AMQP_basic_get)
        m.basic_get.queue = span;
    else if (id == AMQP_queue_purge)
        m.queue_purge.queue = span;
    else
        assert(!"a method with a queue");
    bytes_method(o, channel, &m);
}
