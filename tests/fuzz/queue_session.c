/* The whole queue service on two workers, three connections on them: any method of the protocol with fields that make sense now and then, contents
 * with properties that mean something, raw bytes, slow readers, time. After the input every invariant is checked, and again after all have gone. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "queue/amqp/server.h"
#include "queue/amqp/table.h"
#include "queue/broker.h"
#include "queue/catalog/catalog.h"
#include "queue/core/queue.h"
#include "tests/support/amqp_bytes.h"
#include "tests/support/service_group.h"

#define CONNECTIONS 3
#define STEPS_MAX   400

struct input {
    const uint8_t *data;
    size_t left;
};

static struct service_group group;
static struct mr_stream *streams[CONNECTIONS];
static struct amqp_bytes out;

static uint8_t take(struct input *in)
{
    if (!in->left)
        return 0;
    in->left--;
    return *in->data++;
}

/* -- fields --------------------------------------------------------------------------------------------------------------- */

static struct mr_span take_name(struct input *in)
{
    static const char *const names[] = {"",
                                        "a",
                                        "b",
                                        "c",
                                        "x",
                                        "y",
                                        "z",
                                        "a.b",
                                        "*.b",
                                        "#",
                                        "amq.direct",
                                        "amq.topic",
                                        "amq.fanout",
                                        "amq.headers",
                                        "amq.match",
                                        "direct",
                                        "topic",
                                        "fanout",
                                        "headers",
                                        "x-delayed-message",
                                        "t",
                                        "u",
                                        "amq.rabbitmq.reply-to",
                                        "nobody"};
    return span_of_text(names[take(in) % (sizeof names / sizeof names[0])]);
}

static uint64_t take_number(struct input *in, unsigned bytes)
{
    static const uint64_t numbers[] = {0, 1, 2, 3, 5, 10, 1000, UINT64_MAX};
    uint8_t which = take(in);
    uint64_t n = which & 128 ? numbers[which & 7] : which % 16;
    return bytes < 8 ? n & ((UINT64_C(1) << (8 * bytes)) - 1) : n;
}

static void put_integer(struct amqp_table_out *o, struct input *in)
{
    static const char *const names[] = {"x-max-length",       "x-message-ttl",    "x-expires",  "x-max-priority",
                                        "x-max-length-bytes", "x-delivery-limit", "x-priority", "x-delay"};
    amqp_table_put_integer(o, names[take(in) % 8], (int64_t)take_number(in, 2));
}

static void put_text(struct amqp_table_out *o, struct input *in)
{
    static const char *const names[] = {"x-dead-letter-exchange",
                                        "x-dead-letter-routing-key",
                                        "alternate-exchange",
                                        "x-overflow",
                                        "x-match",
                                        "x-delayed-type",
                                        "h",
                                        "x-durability"};
    static const char *const values[] = {"drop-head", "reject-publish", "reject-publish-dlx", "all", "any"};
    const char *name = names[take(in) % 8];
    uint8_t which = take(in);
    amqp_table_put_text(o, name, which & 1 ? take_name(in) : span_of_text(values[which / 2 % 5]));
}

static struct mr_span take_table(struct input *in)
{
    static uint8_t data[2][1024]; /* a method has one, its content's properties another */
    static unsigned turn;
    struct amqp_table_out o = {.data = data[turn++ & 1], .room = sizeof data[0]};
    for (unsigned n = take(in) % 4; n; n--) {
        switch (take(in) % 3) {
        case 0:
            put_integer(&o, in);
            break;
        case 1:
            put_text(&o, in);
            break;
        default:
            amqp_table_put_bool(&o, take(in) & 1 ? "x-single-active-consumer" : "h", take(in) & 1);
        }
    }
    return (struct mr_span){o.data, o.used};
}

#define U8(n)    m->n = (uint8_t)take_number(in, 1);
#define U16(n)   m->n = (uint16_t)take_number(in, 2);
#define U32(n)   m->n = (uint32_t)take_number(in, 4);
#define U64(n)   m->n = take_number(in, 8);
#define BIT(n)   m->n = take(in) % 4 == 1;
#define SHORT(n) m->n = take_name(in);
#define LONG(n)  m->n = take_name(in);
#define TABLE(n) m->n = take_table(in);
#define NOTHING
#define METHOD(class, class_id, name, method_id, content, fields)                        \
    static void fill_##class##_##name(struct amqp_##class##_##name *m, struct input *in) \
    {                                                                                    \
        fields;                                                                          \
        (void)m;                                                                         \
        (void)in;                                                                        \
    }
#include "queue/amqp/method.def"
#undef METHOD

static void fill(struct amqp_method *m, struct input *in)
{
    switch (m->id) {
#define METHOD(class, class_id, name, method_id, content, fields) \
    case AMQP_##class##_##name:                                   \
        fill_##class##_##name(&m->class##_##name, in);            \
        return;
#include "queue/amqp/method.def"
#undef METHOD
    }
}

/* What a client does most comes most often; then anything. */
static enum amqp_method_id take_method(struct input *in)
{
    static const enum amqp_method_id usual[] = {
        AMQP_queue_declare,    AMQP_queue_declare,  AMQP_queue_bind,     AMQP_exchange_declare, AMQP_basic_consume,
        AMQP_basic_consume,    AMQP_basic_get,      AMQP_basic_ack,      AMQP_basic_ack,        AMQP_basic_nack,
        AMQP_basic_reject,     AMQP_basic_qos,      AMQP_confirm_select, AMQP_tx_select,        AMQP_tx_commit,
        AMQP_tx_rollback,      AMQP_basic_cancel,   AMQP_queue_delete,   AMQP_queue_purge,      AMQP_basic_recover,
        AMQP_exchange_bind,    AMQP_queue_unbind,   AMQP_channel_open,   AMQP_channel_open,     AMQP_channel_close,
        AMQP_channel_close_ok, AMQP_exchange_delete};
    static const enum amqp_method_id all[] = {
#define METHOD(class, class_id, name, method_id, content, fields) AMQP_##class##_##name,
#include "queue/amqp/method.def"
#undef METHOD
    };
    uint8_t which = take(in);
    return which < 240 ? usual[which % (sizeof usual / sizeof usual[0])] : all[take(in) % (sizeof all / sizeof all[0])];
}

/* -- steps ----------------------------------------------------------------------------------------------------------------- */

static void add_method(struct input *in, uint8_t channel)
{
    struct amqp_method m = {.id = take_method(in)};
    fill(&m, in);
    bytes_method(&out, channel, &m);
}

static size_t properties(struct input *in, uint8_t *to, size_t room)
{
    static const char *const expirations[] = {"0", "1", "1000", "never"};
    struct amqp_properties p = {.flags = (uint16_t)(take(in) << 8)};
    p.content_type = p.content_encoding = p.correlation_id = span_of_text("t");
    p.headers = p.flags & AMQP_HEADERS ? take_table(in) : span_of_text("");
    p.delivery_mode = take(in) % 3;
    p.priority = (uint8_t)take_number(in, 1);
    p.reply_to = take_name(in);
    p.expiration = span_of_text(expirations[take(in) % 4]);
    return amqp_properties_emit(to, room, &p);
}

static void add_publish(struct input *in, uint8_t channel)
{
    uint8_t list[2048];
    struct amqp_method m = {.id = AMQP_basic_publish};
    fill(&m, in);
    bytes_method(&out, channel, &m);
    size_t n = properties(in, list, sizeof list);
    uint8_t size = take(in);
    size_t body = size < 128 ? size % 16 : size * 50u;
    out.n += amqp_header_emit(out.data + out.n, sizeof out.data - out.n, channel, body, (struct mr_span){list, n});
    for (size_t at = 0, part; at < body; at += part) {
        part = body - at < 4000 ? body - at : 4000;
        bytes_body(&out, channel, part);
    }
}

static void add_raw(struct input *in, uint8_t n)
{
    for (unsigned i = 0; i <= n; i++)
        out.data[out.n++] = take(in);
}

static void feed(unsigned i, size_t piece)
{
    for (size_t at = 0; at < out.n && !fake_closed(streams[i]); at += piece)
        fake_input(streams[i], out.data + at, out.n - at < piece ? out.n - at : piece);
    bytes_clear(&out);
}

static void open_connection(unsigned i)
{
    streams[i] = fake_open(group.w[i % group.workers]);
    bytes_handshake(&out, "guest", 4096, 0);
    bytes_simple(&out, 1, AMQP_channel_open);
    feed(i, SIZE_MAX / 2);
    service_group_turns(&group, 2);
}

static void check(void)
{
    for (unsigned i = 0; i < group.workers; i++) {
        const struct broker *b = group.state[i];
        amqp_server_check(b);
        queue_set_check(b);
        catalog_check(b->catalog);
    }
}

static void disturb(struct input *in, unsigned i, uint8_t how)
{
    switch (how % 6) {
    case 0:
        fake_throttle(streams[i], take(in) * 100u);
        return;
    case 1:
        fake_acknowledge(streams[i], take(in) * 200u);
        return;
    case 2:
        for (unsigned w = 0; w < group.workers; w++)
            fake_pass(group.w[w], take(in) % 32 * 100 * MR_MILLISECOND);
        return;
    case 3:
        fake_reset(streams[i]);
        return;
    case 4:
        fake_end(streams[i]);
        return;
    default:
        check();
    }
}

static void step(struct input *in)
{
    uint8_t op = take(in), argument = op >> 4;
    unsigned i = op & 3 ? (op & 3) - 1 : 0;
    uint8_t channel = argument < 12 ? 1 + argument % 2 : argument % 4;
    if (fake_closed(streams[i]))
        open_connection(i);
    switch (op >> 2 & 3) {
    case 0:
        add_method(in, channel);
        break;
    case 1:
        add_publish(in, channel);
        break;
    case 2:
        if (argument == 15)
            add_raw(in, take(in) % 32);
        else
            service_group_turns(&group, 1 + argument % 3);
        break;
    default:
        disturb(in, i, argument);
    }
    if (!fake_closed(streams[i]))
        feed(i, argument == 13 ? 3 : SIZE_MAX / 2);
}

/* -- one run ------------------------------------------------------------------------------------------------------------------- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct queue_vhost vhosts[] = {{(char *)"/"}};
    static struct queue_permission all = {
        .vhost = (char *)"/", .configure = (char *)".*", .write = (char *)".*", .read = (char *)".*"};
    static struct queue_user guest = {
        .name = (char *)"guest", .password = (char *)"guest", .permissions = &all, .permission_count = 1};
    static const struct queue_config config = {.listen = {.port = 5672},
                                               .durability = QUEUE_FSYNC,
                                               .memory_max = 32 << 20,
                                               .segment_bytes = 1 << 20,
                                               .connections_max = 8,
                                               .channels_max = 3,
                                               .frame_bytes_max = 4096,
                                               .message_bytes_max = 10000,
                                               .queues_max = 16,
                                               .unacknowledged_max = 64,
                                               .handshake_timeout = 10 * MR_SECOND,
                                               .vhosts = vhosts,
                                               .vhost_count = 1,
                                               .users = &guest,
                                               .user_count = 1};
    struct input in = {data, size};
    service_group_start(&group, &queue_service, &config, 2);
    bytes_clear(&out);
    for (unsigned i = 0; i < CONNECTIONS; i++)
        open_connection(i);
    for (unsigned n = 0; in.left && n < STEPS_MAX; n++)
        step(&in);
    service_group_turns(&group, 4);
    check();
    for (unsigned i = 0; i < CONNECTIONS; i++)
        if (!fake_closed(streams[i]))
            fake_reset(streams[i]);
    service_group_turns(&group, 8);
    check();
    service_group_stop(&group);
    service_group_turns(&group, 4);
    service_group_end(&group);
    return 0;
}
