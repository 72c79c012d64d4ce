#include "tests/support/amqp_client.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/amqp/wire.h"
#include "queue/catalog/catalog.h"
#include "queue/core/queue.h"

struct amqp_client amqp_client;
#define W (&amqp_client)

static struct {
    uint8_t data[4 << 20];
    size_t n;
} in;

/* -- the service -------------------------------------------------------------------------------------------------------------- */

void amqp_client_defaults(void)
{
    memset(W, 0, sizeof *W);
    W->config = (struct queue_config){.listen = {.port = 5672},
                                      .durability = QUEUE_FSYNC,
                                      .memory_max = UINT64_C(256) << 20,
                                      .segment_bytes = 1 << 20,
                                      .connections_max = 100,
                                      .channels_max = 2047,
                                      .frame_bytes_max = 131072,
                                      .message_bytes_max = 16 << 20,
                                      .queues_max = 10000,
                                      .unacknowledged_max = 10000,
                                      .handshake_timeout = 10 * MR_SECOND};
}

void amqp_client_start(unsigned workers)
{
    service_group_start(&W->g, &queue_service, &W->config, workers);
}

struct broker *amqp_client_broker(unsigned worker)
{
    return W->g.state[worker];
}

static bool busy(void)
{
    for (unsigned i = 0; i < W->g.workers; i++)
        if (fake_worker_busy(W->g.w[i]))
            return true;
    return false;
}

void amqp_client_turns(void)
{
    for (unsigned n = 0; n < 1000 && (n < 4 || busy()); n++)
        service_group_turns(&W->g, 1);
    for (unsigned i = 0; i < W->g.workers; i++) {
        amqp_server_check(amqp_client_broker(i));
        queue_set_check(amqp_client_broker(i));
    }
}

void amqp_client_end(void)
{
    amqp_client_turns();
    service_group_stop(&W->g);
    amqp_client_turns();
    service_group_end(&W->g);
}

/* -- what a peer sends --------------------------------------------------------------------------------------------------------- */

void queue_put(uint16_t channel, const struct amqp_method *m)
{
    size_t n = amqp_method_emit(in.data + in.n, sizeof in.data - in.n, channel, m);
    assert(n);
    in.n += n;
}

void queue_put_content(uint16_t channel, const struct amqp_properties *p, const void *body, size_t n, size_t frame)
{
    static const struct amqp_properties none;
    uint8_t properties[70000];
    size_t length = amqp_properties_emit(properties, sizeof properties, p ? p : &none);
    size_t head =
        amqp_header_emit(in.data + in.n, sizeof in.data - in.n, channel, n, (struct mr_span){properties, length});
    assert(length && head);
    in.n += head;
    for (size_t at = 0; at < n; at += frame) {
        size_t part = n - at < frame ? n - at : frame;
        assert(in.n + part + AMQP_FRAME_OVERHEAD <= sizeof in.data);
        amqp_body_head(in.data + in.n, channel, (uint32_t)part);
        memcpy(in.data + in.n + AMQP_FRAME_HEAD, (const uint8_t *)body + at, part);
        in.data[in.n + AMQP_FRAME_HEAD + part] = AMQP_FRAME_END;
        in.n += part + AMQP_FRAME_OVERHEAD;
    }
}

const char *amqp_client_send_quietly(struct mr_stream *s)
{
    size_t n = in.n;
    in.n = 0;
    fake_input(s, in.data, n);
    return NULL;
}

const char *amqp_client_send(struct mr_stream *s)
{
    amqp_client_send_quietly(s);
    amqp_client_turns();
    return amqp_client_said(s);
}

static struct mr_span span_of(const char *text)
{
    return (struct mr_span){(const uint8_t *)text, strlen(text)};
}

static struct mr_span client_properties(uint8_t data[256])
{
    struct amqp_table_out o = {.data = data, .room = 256};
    size_t opened = amqp_table_open(&o, "capabilities", 'F');
    amqp_table_put_bool(&o, "consumer_cancel_notify", true);
    amqp_table_put_bool(&o, "publisher_confirms", true);
    amqp_table_put_bool(&o, "basic.nack", true);
    amqp_table_close(&o, opened);
    assert(!o.failed);
    return (struct mr_span){data, o.used};
}

struct mr_stream *amqp_client_connect(unsigned worker, const char *user, const char *password)
{
    uint8_t response[256], properties[256];
    size_t n = 0;
    response[n++] = 0;
    memcpy(response + n, user, strlen(user));
    n += strlen(user);
    response[n++] = 0;
    memcpy(response + n, password, strlen(password));
    n += strlen(password);
    struct mr_stream *s = fake_open(W->g.w[worker]);
    memcpy(in.data, amqp_protocol_header, sizeof amqp_protocol_header);
    in.n = sizeof amqp_protocol_header;
    queue_put(0, &(struct amqp_method){.id = AMQP_connection_start_ok,
                                       .connection_start_ok = {.client_properties = client_properties(properties),
                                                               .mechanism = span_of("PLAIN"),
                                                               .response = {response, n},
                                                               .locale = span_of("en_US")}});
    queue_put(0, &(struct amqp_method){.id = AMQP_connection_tune_ok, .connection_tune_ok = {2047, 131072, 0}});
    queue_put(0, &(struct amqp_method){.id = AMQP_connection_open, .connection_open = {.virtual_host = span_of("/")}});
    const char *said = amqp_client_send(s);
    if (!strstr(said, "connection.open_ok")) {
        fprintf(stderr, "not open: %s\n", said);
        abort();
    }
    return s;
}

void amqp_client_hang_up(struct mr_stream *s)
{
    if (!fake_closed(s))
        fake_end(s);
    for (unsigned i = 0; i < 3; i++) {
        if (!fake_closed(s))
            fake_acknowledge(s, SIZE_MAX);
        amqp_client_turns();
    }
    assert(fake_closed(s));
}

/* -- what the service says ----------------------------------------------------------------------------------------------------- */

static char text[1 << 20];
static size_t used;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text + used, sizeof text - used, format, arguments);
    va_end(arguments);
    assert((size_t)n < sizeof text - used);
    used += (size_t)n;
}

static void say_text(struct mr_span s)
{
    static const char *const prefixes[] = {"amq.gen-", "amq.ctag-"};
    for (unsigned i = 0; i < 2; i++)
        if (s.length > strlen(prefixes[i]) && !memcmp(s.data, prefixes[i], strlen(prefixes[i]))) {
            snprintf(W->generated, sizeof W->generated, "%.*s", (int)s.length, (const char *)s.data);
            say(" %s*", prefixes[i]);
            return;
        }
    say(" %.*s", (int)s.length, (const char *)s.data);
}

#define U8(n)    say(" %u", f->n);
#define U16(n)   say(" %u", f->n);
#define U32(n)   say(" %u", f->n);
#define U64(n)   say(" %llu", (unsigned long long)f->n);
#define BIT(n)   say(" %s", f->n ? "true" : "false");
#define SHORT(n) say_text(f->n);
#define LONG(n)
#define TABLE(n)
#define NOTHING
#define METHOD(class, class_id, name, method_id, content, fields)   \
    static void say_##class##_##name(const struct amqp_method *m)   \
    {                                                               \
        const struct amqp_##class##_##name *f = &m->class##_##name; \
        (void)f;                                                    \
        fields                                                      \
    }
#include "queue/amqp/method.def"
#undef METHOD
#undef U8
#undef U16
#undef U32
#undef U64
#undef BIT
#undef SHORT
#undef LONG
#undef TABLE
#undef NOTHING

static void say_method(uint16_t channel, struct mr_span payload)
{
    struct amqp_method m;
    uint32_t id;
    assert(!amqp_method_parse(payload, &m, &id));
    say("%u %s", channel, amqp_method_name(m.id));
    switch (m.id) {
#define METHOD(class, class_id, name, method_id, content, fields) \
    case AMQP_##class##_##name:                                   \
        say_##class##_##name(&m);                                 \
        break;
#include "queue/amqp/method.def"
#undef METHOD
    }
    if (!amqp_method_has_content(m.id))
        say("\n");
}

/* Header and body frames behind their method, with nothing in between (4.2.6). Returns the bytes they take. */
static size_t say_content(const uint8_t *data, size_t n)
{
    struct amqp_frame f;
    struct amqp_header h;
    struct amqp_properties p;
    static uint8_t body[4 << 20];
    uint64_t have = 0;
    int64_t taken = amqp_frame_parse(data, n, UINT32_MAX, &f);
    assert(taken > 0 && f.type == AMQP_FRAME_HEADER && !amqp_header_parse(f.payload, &h));
    assert(!amqp_properties_parse(h.properties, &p));
    if (p.flags & AMQP_REPLY_TO)
        snprintf(W->reply_to, sizeof W->reply_to, "%.*s", (int)p.reply_to.length, (const char *)p.reply_to.data);
    size_t at = (size_t)taken;
    while (have < h.body_bytes) {
        taken = amqp_frame_parse(data + at, n - at, UINT32_MAX, &f);
        assert(taken > 0 && f.type == AMQP_FRAME_BODY && have + f.payload.length <= sizeof body);
        memcpy(body + have, f.payload.data, f.payload.length);
        have += f.payload.length;
        at += (size_t)taken;
    }
    assert(have == h.body_bytes);
    if (have <= 40)
        say(" [%.*s]\n", (int)have, (const char *)body);
    else
        say(" [%llu bytes, %u..%u]\n", (unsigned long long)have, body[0], body[have - 1]);
    return at;
}

const char *amqp_client_said(struct mr_stream *s)
{
    size_t n, at = 0;
    const uint8_t *data = (const uint8_t *)fake_output(s, &n);
    used = 0;
    text[0] = 0;
    while (at < n) {
        struct amqp_frame f;
        int64_t taken = amqp_frame_parse(data + at, n - at, UINT32_MAX, &f);
        assert(taken > 0);
        at += (size_t)taken;
        if (f.type != AMQP_FRAME_METHOD)
            continue;
        say_method(f.channel, f.payload);
        if (used && text[used - 1] != '\n')
            at += say_content(data + at, n - at);
    }
    fake_output_clear(s);
    return text;
}
