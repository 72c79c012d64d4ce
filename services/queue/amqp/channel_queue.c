/* queue.declare, bind, unbind, purge, delete; and the end of a connection's exclusive queues. */
#include "queue/amqp/channel.h"
#include "queue/amqp/table.h"

#include <string.h>

static bool exclusive_reserve(struct channel *ch, uint32_t method);

static void declare_ok(struct channel *ch, struct mr_span name, uint64_t messages, uint64_t consumers)
{
    if (!ch->no_wait)
        channel_send(ch, &(struct amqp_method){.id = AMQP_queue_declare_ok,
                                               .queue_declare_ok = {.queue = name,
                                                                    .message_count = (uint32_t)messages,
                                                                    .consumer_count = (uint32_t)consumers}});
}

static void last_set(struct channel *ch, struct mr_span name)
{
    memcpy(ch->last_queue, name.data, name.length);
    ch->last_queue_length = (uint8_t)name.length;
}

static struct mr_span last_queue(const struct channel *ch)
{
    return (struct mr_span){ch->last_queue, ch->last_queue_length};
}

static void status_done(struct queue_request *r)
{
    struct channel *ch = r->context;
    if (channel_request_done(ch)) {
        if (r->result == QUEUE_DONE)
            declare_ok(ch, last_queue(ch), r->count, r->consumers);
        else
            channel_queue_error(ch, r, last_queue(ch), ch->method);
    }
    channel_drop(ch);
}

/* It is there: its counts are its owner's to say. */
static void status_ask(struct channel *ch, uint64_t id, uint32_t method)
{
    if (!ch->no_wait)
        channel_request(ch, QUEUE_STATUS, id, method, status_done);
}

static void declared(struct channel *ch, struct channel_change *c)
{
    const struct catalog_queue *q = catalog_queue_find(ch->broker->catalog, c->change.vhost, c->change.name);
    ch->no_wait = c->no_wait;
    last_set(ch, c->change.name);
    if (c->change.created || !q)
        declare_ok(ch, c->change.name, 0, 0);
    else
        status_ask(ch, q->id, c->method);
}

static void declare_passive(struct channel *ch, const struct amqp_method *m, struct mr_span name)
{
    const struct catalog_queue *q = channel_queue_find(ch, name, m->id);
    if (!q)
        return;
    ch->no_wait = m->queue_declare.no_wait;
    last_set(ch, name);
    status_ask(ch, q->id, m->id);
}

static void declare_reply(struct channel *ch, const struct amqp_method *m, struct mr_span name)
{
    ch->no_wait = m->queue_declare.no_wait;
    if (channel_reply_exists(ch, name))
        declare_ok(ch, name, 0, 1);
    else
        amqp_channel_error(&ch->base, AMQP_NOT_FOUND, m->id, "no queue '%.*s' in vhost '%s'", SPAN(name),
                           ch->base.connection->vhost_name);
}

/* Who names a dead-letter exchange could read from the queue and publish to that exchange. Nobody is told so about a queue that is there; but
 * should it go before the catalog decides, it is not made again that way (*no_create). */
static bool dead_letter_may(struct channel *ch, const struct amqp_method *m, struct mr_span name, bool *no_create)
{
    struct amqp_value v;
    if (!amqp_table_find(m->queue_declare.arguments, "x-dead-letter-exchange", &v) || v.type != 'S')
        return true;
    if (catalog_queue_find(ch->broker->catalog, ch->base.connection->vhost, name)) {
        *no_create = !channel_has_right(ch, RIGHT_READ, name) || !channel_has_right(ch, RIGHT_WRITE, v.text);
        return true;
    }
    return channel_may(ch, RIGHT_READ, "queue", name, m->id) && channel_may(ch, RIGHT_WRITE, "exchange", v.text, m->id);
}

void channel_queue_declare(struct channel *ch, const struct amqp_method *m)
{
    uint8_t buffer[QUEUE_NAME_MAX];
    struct mr_span name = channel_name(buffer, m->queue_declare.queue), none = {NULL, 0};
    if (channel_reply_named(name)) {
        declare_reply(ch, m, name);
        return;
    }
    if (m->queue_declare.passive) {
        declare_passive(ch, m, name);
        return;
    }
    if (!name.length) {
        name = channel_name_generated(ch, buffer, "amq.gen");
    } else if (span_begins(name, TEXT_SPAN("amq."))) {
        amqp_channel_error(&ch->base, AMQP_ACCESS_REFUSED, m->id, "queue name '%.*s' contains reserved prefix 'amq.*'",
                           SPAN(name));
        return;
    }
    if (!channel_may(ch, RIGHT_CONFIGURE, "queue", name, m->id))
        return;
    bool no_create = false;
    if (!dead_letter_may(ch, m, name, &no_create))
        return;
    if (m->queue_declare.exclusive && !exclusive_reserve(ch, m->id))
        return;
    struct channel_change *c =
        channel_change_create(ch, m->id, CATALOG_QUEUE_DECLARE, name, none, none, m->queue_declare.arguments);
    if (!c)
        return;
    c->change.no_create = no_create;
    c->change.exclusive = m->queue_declare.exclusive;
    c->change.durable = m->queue_declare.durable && !m->queue_declare.exclusive; /* it cannot outlive its connection */
    c->change.auto_delete = m->queue_declare.auto_delete;
    channel_change_send(c, m->queue_declare.no_wait, declared);
}

/* -- bindings -------------------------------------------------------------------------------------------------------------------------- */

static void bound(struct channel *ch, struct channel_change *c)
{
    bool bind = c->change.verb == CATALOG_BIND;
    if (!c->no_wait)
        channel_send(ch, &(struct amqp_method){.id = bind ? AMQP_queue_bind_ok : AMQP_queue_unbind_ok});
}

static void binding(struct channel *ch, uint32_t method, enum catalog_verb verb, const struct amqp_queue_bind *m)
{
    uint8_t to[QUEUE_NAME_MAX], from[QUEUE_NAME_MAX];
    struct mr_span queue = channel_name(to, m->queue), exchange = channel_name(from, m->exchange), key = m->routing_key;
    bool shortcut = !queue.length;
    if (!channel_queue_name(ch, &queue, method))
        return;
    if (shortcut && !key.length)
        key = queue; /* both empty: the last declared queue by its own name */
    if (!channel_may(ch, RIGHT_WRITE, "queue", queue, method))
        return;
    if (!exchange.length) {
        amqp_channel_error(&ch->base, AMQP_ACCESS_REFUSED, method, "operation not permitted on the default exchange");
        return;
    }
    if (!channel_may(ch, RIGHT_READ, "exchange", exchange, method))
        return;
    struct channel_change *c = channel_change_create(ch, method, verb, queue, exchange, key, m->arguments);
    if (c)
        channel_change_send(c, m->no_wait, bound);
}

void channel_queue_bind(struct channel *ch, const struct amqp_method *m)
{
    binding(ch, m->id, CATALOG_BIND, &m->queue_bind);
}

void channel_queue_unbind(struct channel *ch, const struct amqp_method *m)
{
    const struct amqp_queue_unbind *u = &m->queue_unbind;
    binding(ch, m->id, CATALOG_UNBIND,
            &(struct amqp_queue_bind){
                .queue = u->queue, .exchange = u->exchange, .routing_key = u->routing_key, .arguments = u->arguments});
}

/* -- purge, delete --------------------------------------------------------------------------------------------------------------------- */

static void purged(struct queue_request *r)
{
    struct channel *ch = r->context;
    if (channel_request_done(ch)) {
        if (r->result != QUEUE_DONE)
            channel_queue_error(ch, r, channel_name_kept(ch), ch->method);
        else if (!ch->no_wait)
            channel_send(ch, &(struct amqp_method){.id = AMQP_queue_purge_ok,
                                                   .queue_purge_ok = {.message_count = (uint32_t)r->count}});
    }
    channel_drop(ch);
}

void channel_queue_purge(struct channel *ch, const struct amqp_method *m)
{
    uint8_t buffer[QUEUE_NAME_MAX];
    struct mr_span name = channel_name(buffer, m->queue_purge.queue);
    if (!channel_queue_name(ch, &name, m->id) || !channel_may(ch, RIGHT_READ, "queue", name, m->id))
        return;
    const struct catalog_queue *q = channel_queue_find(ch, name, m->id);
    if (!q)
        return;
    ch->no_wait = m->queue_purge.no_wait;
    channel_name_keep(ch, name);
    channel_request(ch, QUEUE_PURGE, q->id, m->id, purged);
}

static void delete_ok(struct channel *ch, uint64_t count)
{
    if (!ch->no_wait)
        channel_send(ch, &(struct amqp_method){.id = AMQP_queue_delete_ok,
                                               .queue_delete_ok = {.message_count = (uint32_t)count}});
}

static void queue_deleted(struct queue_request *r)
{
    struct channel *ch = r->context;
    if (channel_request_done(ch)) {
        if (r->result == QUEUE_DONE || r->result == QUEUE_GONE)
            delete_ok(ch, r->result == QUEUE_DONE ? r->count : 0);
        else
            channel_queue_error(ch, r, channel_name_kept(ch), ch->method);
    }
    channel_drop(ch);
}

void channel_queue_delete(struct channel *ch, const struct amqp_method *m)
{
    uint8_t buffer[QUEUE_NAME_MAX];
    struct mr_span name = channel_name(buffer, m->queue_delete.queue);
    if (!channel_queue_name(ch, &name, m->id) || !channel_may(ch, RIGHT_CONFIGURE, "queue", name, m->id))
        return;
    ch->no_wait = m->queue_delete.no_wait;
    if (!catalog_queue_find(ch->broker->catalog, ch->base.connection->vhost, name)) {
        delete_ok(ch, 0); /* RabbitMQ: it is as wanted */
        return;
    }
    const struct catalog_queue *q = channel_queue_find(ch, name, m->id);
    if (!q)
        return;
    channel_name_keep(ch, name);
    ch->request.if_unused = m->queue_delete.if_unused;
    ch->request.if_empty = m->queue_delete.if_empty;
    channel_request(ch, QUEUE_DELETE, q->id, m->id, queue_deleted);
}

/* -- exclusive ones ------------------------------------------------------------------------------------------------------------------- */

/* Made with the first exclusive queue of a connection, so that the end needs no memory: `request` deletes one queue after the other when
 * there is none for all at once. */
struct amqp_exclusive {
    struct broker *broker;
    uint64_t connection;
    unsigned vhost;
    bool busy, again;
    struct queue_request request;
};

static bool exclusive_reserve(struct channel *ch, uint32_t method)
{
    struct amqp_connection *c = ch->base.connection;
    if (c->exclusive)
        return true;
    c->exclusive = channel_alloc(ch, sizeof *c->exclusive);
    if (!c->exclusive) {
        channel_no_memory(ch, method);
        return false;
    }
    *c->exclusive = (struct amqp_exclusive){.broker = ch->broker, .connection = c->id, .vhost = c->vhost};
    return true;
}

static void exclusive_walk(struct amqp_exclusive *x);

static void exclusive_done(struct queue_request *r)
{
    struct amqp_exclusive *x = r->context;
    x->busy = false;
    if (x->again)
        exclusive_walk(x);
    else
        memory_free(&x->broker->memory, x, sizeof *x);
}

static void exclusive_delete(void *context, const struct catalog_queue *q)
{
    struct amqp_exclusive *x = context;
    if (q->exclusive != x->connection || q->deleted)
        return;
    struct queue_request *r = memory_alloc(&x->broker->memory, sizeof *r);
    bool spare = !r && !x->busy;
    if (!r && !spare) {
        x->again = true;
        return;
    }
    if (spare)
        r = &x->request, x->busy = true;
    *r = (struct queue_request){.home = x->broker,
                                .verb = QUEUE_DELETE,
                                .queue_id = q->id,
                                .connection = x->connection,
                                .done = spare ? exclusive_done : NULL,
                                .context = x};
    queue_request_send(r);
}

static void exclusive_walk(struct amqp_exclusive *x)
{
    x->again = false;
    if (!x->broker->stopping)
        catalog_queue_each(x->broker->catalog, x->vhost, exclusive_delete, x);
    if (!x->busy)
        memory_free(&x->broker->memory, x, sizeof *x);
}

void amqp_exclusive_end(struct amqp_connection *c)
{
    struct amqp_exclusive *x = c->exclusive;
    c->exclusive = NULL;
    if (x)
        exclusive_walk(x);
}
