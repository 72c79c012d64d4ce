/* exchange.declare, delete, bind, unbind. What the catalog decides by what is declared comes from it with its text; here is what concerns
 * the user and the method alone. */
#include "queue/amqp/channel.h"
#include "queue/amqp/table.h"

#include <string.h>

static bool not_default(struct channel *ch, struct mr_span name, uint32_t method)
{
    if (name.length)
        return true;
    amqp_channel_error(&ch->base, AMQP_ACCESS_REFUSED, method, "operation not permitted on the default exchange");
    return false;
}

static void declared(struct channel *ch, struct channel_change *c)
{
    if (!c->no_wait)
        channel_send(ch, &(struct amqp_method){.id = AMQP_exchange_declare_ok});
}

static void declare_passive(struct channel *ch, const struct amqp_method *m, struct mr_span name)
{
    const struct amqp_connection *c = ch->base.connection;
    if (!catalog_exchange_find(ch->broker->catalog, c->vhost, name))
        amqp_channel_error(&ch->base, AMQP_NOT_FOUND, m->id, "no exchange '%.*s' in vhost '%s'", SPAN(name),
                           c->vhost_name);
    else if (!m->exchange_declare.no_wait)
        channel_send(ch, &(struct amqp_method){.id = AMQP_exchange_declare_ok});
}

/* "direct", ..., or x-delayed-message with another one in x-delayed-type. False: the connection was closed. */
static bool type_read(struct channel *ch, const struct amqp_method *m, enum exchange_type *type, bool *delayed)
{
    struct mr_span name = m->exchange_declare.type;
    struct amqp_value v;
    *delayed = span_equal(name, TEXT_SPAN(EXCHANGE_TYPE_DELAYED));
    if (*delayed) {
        if (!amqp_table_find(m->exchange_declare.arguments, "x-delayed-type", &v) || v.type != 'S') {
            amqp_channel_error(&ch->base, AMQP_PRECONDITION_FAILED, m->id,
                               "Invalid argument, 'x-delayed-type' must be an existing exchange type");
            return false;
        }
        name = v.text;
    }
    for (unsigned i = 0; EXCHANGE_TYPE_NAMES[i]; i++)
        if (name.length == strlen(EXCHANGE_TYPE_NAMES[i]) && !memcmp(name.data, EXCHANGE_TYPE_NAMES[i], name.length)) {
            *type = (enum exchange_type)i;
            return true;
        }
    if (*delayed)
        amqp_channel_error(&ch->base, AMQP_PRECONDITION_FAILED, m->id,
                           "Invalid argument, 'x-delayed-type' must be an existing exchange type");
    else
        amqp_channel_error(&ch->base, AMQP_COMMAND_INVALID, m->id, "unknown exchange type '%.*s'", SPAN(name));
    return false;
}

/* Who names an alternate exchange could publish to it and read from this one. Nobody is told so about an exchange that is there; but should it
 * go before the catalog decides, it is not made again that way (*no_create). */
static bool alternate_may(struct channel *ch, const struct amqp_method *m, struct mr_span name, bool *no_create)
{
    struct amqp_value v;
    if (!amqp_table_find(m->exchange_declare.arguments, "alternate-exchange", &v) || v.type != 'S')
        return true;
    if (catalog_exchange_find(ch->broker->catalog, ch->base.connection->vhost, name)) {
        *no_create = !channel_has_right(ch, RIGHT_READ, name) || !channel_has_right(ch, RIGHT_WRITE, v.text);
        return true;
    }
    return channel_may(ch, RIGHT_READ, "exchange", name, m->id) &&
           channel_may(ch, RIGHT_WRITE, "exchange", v.text, m->id);
}

void channel_exchange_declare(struct channel *ch, const struct amqp_method *m)
{
    uint8_t buffer[QUEUE_NAME_MAX];
    struct mr_span name = channel_name(buffer, m->exchange_declare.exchange), none = {NULL, 0};
    enum exchange_type type;
    bool delayed;
    if (m->exchange_declare.passive) {
        if (not_default(ch, name, m->id))
            declare_passive(ch, m, name);
        return;
    }
    if (!type_read(ch, m, &type, &delayed) || !not_default(ch, name, m->id) ||
        !channel_may(ch, RIGHT_CONFIGURE, "exchange", name, m->id))
        return;
    bool no_create = false;
    if (!alternate_may(ch, m, name, &no_create))
        return;
    struct channel_change *c =
        channel_change_create(ch, m->id, CATALOG_EXCHANGE_DECLARE, name, none, none, m->exchange_declare.arguments);
    if (!c)
        return;
    c->change.no_create = no_create;
    c->change.exchange_type = type;
    c->change.delayed = delayed;
    c->change.durable = m->exchange_declare.durable;
    c->change.auto_delete = m->exchange_declare.auto_delete;
    c->change.internal = m->exchange_declare.internal;
    channel_change_send(c, m->exchange_declare.no_wait, declared);
}

static void deleted(struct channel *ch, struct channel_change *c)
{
    if (!c->no_wait)
        channel_send(ch, &(struct amqp_method){.id = AMQP_exchange_delete_ok});
}

void channel_exchange_delete(struct channel *ch, const struct amqp_method *m)
{
    uint8_t buffer[QUEUE_NAME_MAX];
    struct mr_span name = channel_name(buffer, m->exchange_delete.exchange), none = {NULL, 0};
    const struct amqp_connection *c = ch->base.connection;
    if (!not_default(ch, name, m->id))
        return;
    if (span_begins(name, TEXT_SPAN("amq."))) {
        amqp_channel_error(&ch->base, AMQP_ACCESS_REFUSED, m->id,
                           "deletion of system exchange '%.*s' in vhost '%s' not allowed", SPAN(name), c->vhost_name);
        return;
    }
    if (!channel_may(ch, RIGHT_CONFIGURE, "exchange", name, m->id))
        return;
    if (!catalog_exchange_find(ch->broker->catalog, c->vhost, name)) { /* RabbitMQ: it is as wanted */
        if (!m->exchange_delete.no_wait)
            channel_send(ch, &(struct amqp_method){.id = AMQP_exchange_delete_ok});
        return;
    }
    struct channel_change *change = channel_change_create(ch, m->id, CATALOG_EXCHANGE_DELETE, name, none, none, none);
    if (!change)
        return;
    change->change.if_unused = m->exchange_delete.if_unused;
    channel_change_send(change, m->exchange_delete.no_wait, deleted);
}

static void bound(struct channel *ch, struct channel_change *c)
{
    bool bind = c->change.verb == CATALOG_EXCHANGE_BIND;
    if (!c->no_wait)
        channel_send(ch, &(struct amqp_method){.id = bind ? AMQP_exchange_bind_ok : AMQP_exchange_unbind_ok});
}

/* Both methods have the same fields. */
static void binding(struct channel *ch, uint32_t method, enum catalog_verb verb, const struct amqp_exchange_bind *m)
{
    uint8_t to[QUEUE_NAME_MAX], from[QUEUE_NAME_MAX];
    struct mr_span destination = channel_name(to, m->destination), source = channel_name(from, m->source);
    if (!channel_may(ch, RIGHT_WRITE, "exchange", destination, method) || !not_default(ch, destination, method) ||
        !not_default(ch, source, method) || !channel_may(ch, RIGHT_READ, "exchange", source, method))
        return;
    struct channel_change *c =
        channel_change_create(ch, method, verb, destination, source, m->routing_key, m->arguments);
    if (c)
        channel_change_send(c, m->no_wait, bound);
}

void channel_exchange_bind(struct channel *ch, const struct amqp_method *m)
{
    binding(ch, m->id, CATALOG_EXCHANGE_BIND, &m->exchange_bind);
}

void channel_exchange_unbind(struct channel *ch, const struct amqp_method *m)
{
    const struct amqp_exchange_unbind *u = &m->exchange_unbind;
    binding(ch, m->id, CATALOG_EXCHANGE_UNBIND,
            &(struct amqp_exchange_bind){.destination = u->destination,
                                         .source = u->source,
                                         .routing_key = u->routing_key,
                                         .no_wait = u->no_wait,
                                         .arguments = u->arguments});
}
