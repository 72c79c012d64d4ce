/* From the protocol header to an open connection (section 4.2.2 and class connection), as RabbitMQ negotiates. */
#include <stdio.h>
#include <string.h>

#include "queue/amqp/connection.h"
#include "queue/amqp/table.h"
#include "queue/catalog/catalog.h"

static struct mr_span span_of(const char *text)
{
    return (struct mr_span){(const uint8_t *)text, strlen(text)};
}

/* -- start ------------------------------------------------------------------------------------------------------------------------------------ */

static void capabilities_put(struct amqp_table_out *o)
{
    static const char *const names[] = {
        "publisher_confirms",           "exchange_exchange_bindings", "basic.nack",
        "consumer_cancel_notify",       "connection.blocked",         "consumer_priorities",
        "authentication_failure_close", "per_consumer_qos",           "direct_reply_to"};
    size_t opened = amqp_table_open(o, "capabilities", 'F');
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        amqp_table_put_bool(o, names[i], true);
    amqp_table_close(o, opened);
}

void amqp_handshake_start(struct amqp_connection *c)
{
    uint8_t table[1024];
    char mechanisms[64];
    struct amqp_table_out o = {.data = table, .room = sizeof table};
    capabilities_put(&o);
    amqp_table_put_text(&o, "cluster_name", span_of(c->broker->shared->node));
    amqp_table_put_text(&o, "copyright", span_of("The Millrace authors"));
    amqp_table_put_text(&o, "information", span_of("AMQP 0-9-1 on a stack in user space"));
    amqp_table_put_text(&o, "platform", span_of("C"));
    amqp_table_put_text(&o, "product", span_of("Millrace"));
    amqp_table_put_text(&o, "version", span_of(QUEUE_MILLRACE_VERSION));
    struct amqp_method start = {
        .id = AMQP_connection_start,
        .connection_start = {
            .version_major = 0,
            .version_minor = 9,
            .server_properties = {table, o.used},
            .mechanisms = {(uint8_t *)mechanisms, amqp_mechanism_list(c, mechanisms, sizeof mechanisms)},
            .locales = span_of("en_US")}};
    amqp_connection_set_state(c, AMQP_EXPECT_START_OK);
    amqp_send_method(c, 0, &start);
}

/* -- start-ok, secure-ok ---------------------------------------------------------------------------------------------------------------------- */

static void capabilities_take(struct amqp_connection *c, struct mr_span properties)
{
    static const char *const names[] = {"publisher_confirms", "exchange_exchange_bindings",
                                        "basic.nack",         "consumer_cancel_notify",
                                        "connection.blocked", "authentication_failure_close"};
    struct amqp_value table, value;
    if (!amqp_table_find(properties, "capabilities", &table) || table.type != 'F')
        return;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (amqp_table_find(table.text, names[i], &value) && value.type == 't' && value.boolean)
            c->capabilities |= 1u << i;
}

static void tune(struct amqp_connection *c)
{
    const struct queue_config *config = c->broker->config;
    struct amqp_method m = {
        .id = AMQP_connection_tune,
        .connection_tune = {.channel_max = (uint16_t)(config->channels_max < 65535 ? config->channels_max : 65535),
                            .frame_max = (uint32_t)config->frame_bytes_max,
                            .heartbeat = (uint16_t)(config->heartbeat / MR_SECOND)}};
    c->channel_max = m.connection_tune.channel_max;
    amqp_connection_set_state(c, AMQP_EXPECT_TUNE_OK);
    amqp_send_method(c, 0, &m);
}

/* Who can be told (a capability) is told with connection.close; else the end of the connection says it. */
static void login_refused(struct amqp_connection *c)
{
    char text[QUEUE_NAME_MAX];
    snprintf(
        text, sizeof text,
        "ACCESS_REFUSED - Login was refused using authentication mechanism %s. For details see the broker logfile.",
        amqp_mechanisms[c->mechanism].name);
    c->broker->counters[QUEUE_COUNTER_LOGINS_REFUSED]++;
    if (c->capabilities & AMQP_CAPABLE_AUTHENTICATION_CLOSE)
        amqp_connection_close(c, AMQP_ACCESS_REFUSED, 0, span_of(text));
    else
        amqp_connection_end(c);
}

static void login(struct amqp_connection *c, struct mr_span response)
{
    static const struct amqp_method secure = {.id = AMQP_connection_secure};
    switch (amqp_mechanisms[c->mechanism].response(c, response)) {
    case AMQP_LOGIN_DONE:
        tune(c);
        return;
    case AMQP_LOGIN_REFUSED:
        login_refused(c);
        return;
    case AMQP_LOGIN_MORE: /* once: an answer to our (empty) challenge must say something */
        if (c->state == AMQP_EXPECT_START_OK) {
            amqp_connection_set_state(c, AMQP_EXPECT_SECURE_OK);
            amqp_send_method(c, 0, &secure);
            return;
        }
        break;
    case AMQP_LOGIN_MALFORMED:
        break;
    }
    amqp_connection_error(c, AMQP_SYNTAX_ERROR, 0, "malformed response to %s", amqp_mechanisms[c->mechanism].name);
}

static void start_ok(struct amqp_connection *c, const struct amqp_method *m)
{
    const struct amqp_connection_start_ok *ok = &m->connection_start_ok;
    capabilities_take(c, ok->client_properties);
    for (unsigned i = 0; i < AMQP_MECHANISMS; i++) {
        const struct amqp_mechanism *mechanism = &amqp_mechanisms[i];
        size_t n = strlen(mechanism->name);
        if (ok->mechanism.length != n || memcmp(ok->mechanism.data, mechanism->name, n) || !mechanism->offered(c))
            continue;
        c->mechanism = (uint8_t)i;
        login(c, ok->response);
        return;
    }
    amqp_connection_error(c, AMQP_COMMAND_INVALID, m->id, "unknown authentication mechanism");
}

static void secure_ok(struct amqp_connection *c, const struct amqp_method *m)
{
    login(c, m->connection_secure_ok.response);
}

/* -- tune-ok ---------------------------------------------------------------------------------------------------------------------------------------- */

/* A client may lower what we proposed. 0 (no limit) would be more than that: refused, as RabbitMQ does. */
static void tune_ok(struct amqp_connection *c, const struct amqp_method *m)
{
    const struct amqp_connection_tune_ok *ok = &m->connection_tune_ok;
    uint32_t frame_max = (uint32_t)c->broker->config->frame_bytes_max;
    if (!ok->frame_max || ok->frame_max > frame_max)
        amqp_connection_error(c, AMQP_NOT_ALLOWED, m->id,
                              "negotiated frame_max = %u is higher than the maximum allowed value (%u)", ok->frame_max,
                              frame_max);
    else if (ok->frame_max < QUEUE_FRAME_MIN)
        amqp_connection_error(c, AMQP_NOT_ALLOWED, m->id,
                              "negotiated frame_max = %u is lower than the minimum allowed value (%u)", ok->frame_max,
                              QUEUE_FRAME_MIN);
    else if (!ok->channel_max || ok->channel_max > c->channel_max)
        amqp_connection_error(c, AMQP_NOT_ALLOWED, m->id,
                              "negotiated channel_max = %u is higher than the maximum allowed value (%u)",
                              ok->channel_max, c->channel_max);
    if (c->state != AMQP_EXPECT_TUNE_OK)
        return;
    c->frame_max = ok->frame_max;
    c->channel_max = ok->channel_max;
    c->heartbeat = ok->heartbeat * MR_SECOND; /* the client's word; 0: none */
    amqp_connection_set_state(c, AMQP_EXPECT_OPEN);
}

/* -- open --------------------------------------------------------------------------------------------------------------------------------------------- */

static void open_done(struct amqp_connection *c, unsigned vhost)
{
    static const struct amqp_method ok = {.id = AMQP_connection_open_ok};
    c->vhost = vhost;
    c->vhost_name = catalog_vhost_name(c->broker->catalog, vhost);
    amqp_connection_set_state(c, AMQP_OPEN);
    amqp_connection_deadline(c);
    amqp_send_method(c, 0, &ok);
}

static void open(struct amqp_connection *c, const struct amqp_method *m)
{
    struct mr_span name = m->connection_open.virtual_host;
    unsigned vhost = catalog_vhost_find(c->broker->catalog, name);
    if (vhost == UINT32_MAX)
        amqp_connection_error(c, AMQP_NOT_ALLOWED, m->id, "vhost %.*s not found", (int)name.length,
                              (const char *)name.data);
    else if (!catalog_user_vhost(c->user, catalog_vhost_name(c->broker->catalog, vhost)))
        amqp_connection_error(c, AMQP_NOT_ALLOWED, m->id, "access to vhost '%.*s' refused for user '%s'",
                              (int)name.length, (const char *)name.data, c->user->name);
    else
        open_done(c, vhost);
}

/* -- update-secret -------------------------------------------------------------------------------------------------------------------------------------- */

/* For credentials that expire, which ours do not: the new ones are taken note of by the answer alone. */
static void update_secret(struct amqp_connection *c, const struct amqp_method *m)
{
    static const struct amqp_method ok = {.id = AMQP_connection_update_secret_ok};
    amqp_send_method(c, 0, &ok);
}

bool amqp_handshake_method(struct amqp_connection *c, const struct amqp_method *m)
{
    static const struct {
        enum amqp_connection_state state;
        enum amqp_method_id id;
        void (*run)(struct amqp_connection *c, const struct amqp_method *m);
    } legal[] = {
        {AMQP_EXPECT_START_OK, AMQP_connection_start_ok, start_ok},
        {AMQP_EXPECT_SECURE_OK, AMQP_connection_secure_ok, secure_ok},
        {AMQP_EXPECT_TUNE_OK, AMQP_connection_tune_ok, tune_ok},
        {AMQP_EXPECT_OPEN, AMQP_connection_open, open},
        {AMQP_OPEN, AMQP_connection_update_secret, update_secret},
    };
    for (size_t i = 0; i < sizeof legal / sizeof legal[0]; i++) {
        if (legal[i].state != (enum amqp_connection_state)c->state || legal[i].id != m->id)
            continue;
        legal[i].run(c, m);
        return true;
    }
    return false;
}
