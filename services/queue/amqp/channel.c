/* The life of a channel, and which of its files a method goes to. */
#include "queue/amqp/channel.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

static void flush_run(struct broker *b, struct broker_item *item)
{
    struct channel *ch = (struct channel *)((uint8_t *)item - offsetof(struct channel, flush));
    (void)b;
    ch->flush_queued = false;
    channel_settle_flush(ch);
    channel_confirm_flush(ch);
    channel_drop(ch);
}

/* An item to the own worker is run when the turn ends: what was read in this turn, and what was answered in it, leaves together. */
void channel_flush_later(struct channel *ch)
{
    if (ch->flush_queued)
        return;
    ch->flush_queued = true;
    channel_hold(ch);
    ch->flush.run = flush_run;
    broker_send(ch->broker, ch->broker->index, &ch->flush);
}

void channel_drop(struct channel *ch)
{
    if (--ch->references == 0)
        amqp_channel_drained(&ch->base);
}

void *channel_alloc(struct channel *ch, size_t bytes)
{
    void *p = memory_alloc(&ch->broker->memory, bytes);
    broker_memory_look(ch->broker);
    return p;
}

void channel_free(struct channel *ch, void *p, size_t bytes)
{
    memory_free(&ch->broker->memory, p, bytes);
}

static size_t batch_bytes(uint32_t capacity)
{
    return sizeof(struct channel_batch) + capacity * sizeof(uint64_t);
}

struct amqp_channel *amqp_channel_open(struct amqp_connection *c, uint16_t number)
{
    struct broker *b = c->broker;
    struct channel *ch = memory_alloc(&b->memory, sizeof *ch);
    struct channel_batch *reserve = ch ? memory_alloc(&b->memory, batch_bytes(CHANNEL_RESERVE)) : NULL;
    if (!reserve) {
        if (ch)
            memory_free(&b->memory, ch, sizeof *ch);
        return NULL;
    }
    memset(ch, 0, sizeof *ch);
    amqp_channel_init(&ch->base, c, number);
    ch->broker = b;
    ch->references = 1;
    ch->under_way_end = &ch->under_way;
    ch->answered_end = &ch->answered;
    ch->tx_end = &ch->tx;
    ch->kept_end = &ch->kept;
    *reserve = (struct channel_batch){.channel = ch, .capacity = CHANNEL_RESERVE};
    ch->reserve = reserve;
    return &ch->base;
}

void amqp_channel_end(struct amqp_channel *base)
{
    struct channel *ch = channel_of(base);
    channel_publish_end(ch);
    channel_tx_end(ch);
    channel_confirm_end(ch);
    channel_reply_end(ch);
    channel_consume_end(ch); /* before what it has is put back, so that it does not come again */
    channel_settle_end(ch);
    channel_drop(ch);
}

void amqp_channel_free(struct amqp_channel *base)
{
    struct channel *ch = channel_of(base);
    struct memory *memory = &ch->broker->memory;
    memory_free(memory, ch->reserve, batch_bytes(CHANNEL_RESERVE));
    if (ch->publisher)
        memory_free(memory, ch->publisher, sizeof *ch->publisher);
    memory_free(memory, ch, sizeof *ch);
}

/* -- waiting ------------------------------------------------------------------------------------------------------------------------- */

void channel_wait(struct channel *ch, uint32_t method)
{
    ch->held = true;
    ch->method = method;
    channel_hold(ch);
    amqp_connection_hold(ch->base.connection);
}

void channel_go_on(struct channel *ch)
{
    ch->held = false;
    amqp_connection_resume(ch->base.connection);
}

void channel_request(struct channel *ch, enum queue_verb verb, uint64_t queue_id, uint32_t method,
                     void (*done)(struct queue_request *r))
{
    channel_settle_flush(ch); /* what was acknowledged before goes before */
    ch->request = (struct queue_request){.home = ch->broker,
                                         .verb = verb,
                                         .queue_id = queue_id,
                                         .done = done,
                                         .context = ch,
                                         .connection = ch->base.connection->id,
                                         .no_ack = ch->request.no_ack,
                                         .if_unused = ch->request.if_unused,
                                         .if_empty = ch->request.if_empty};
    channel_wait(ch, method);
    queue_request_send(&ch->request);
}

bool channel_request_done(struct channel *ch)
{
    channel_go_on(ch);
    return !channel_ended(ch);
}

/* -- answers ------------------------------------------------------------------------------------------------------------------------- */

void channel_send(struct channel *ch, const struct amqp_method *m)
{
    if (!channel_ended(ch))
        amqp_send_method(ch->base.connection, ch->base.number, m);
}

void channel_no_memory(struct channel *ch, uint32_t method)
{
    amqp_channel_error(&ch->base, AMQP_RESOURCE_ERROR, method, "no memory");
}

bool channel_has_right(const struct channel *ch, enum catalog_right right, struct mr_span name)
{
    return catalog_user_may(ch->base.connection->user, ch->base.connection->vhost_name, right, name);
}

/* The default exchange has the name amq.default where rights are asked for. */
bool channel_may(struct channel *ch, enum catalog_right right, const char *kind, struct mr_span name, uint32_t method)
{
    const struct amqp_connection *c = ch->base.connection;
    if (!name.length && kind[0] == 'e')
        name = TEXT_SPAN("amq.default");
    if (channel_has_right(ch, right, name))
        return true;
    amqp_channel_error(&ch->base, AMQP_ACCESS_REFUSED, method,
                       "access to %s '%.*s' in vhost '%s' refused for user '%s'", kind, SPAN(name), c->vhost_name,
                       c->user->name);
    return false;
}

/* -- methods ------------------------------------------------------------------------------------------------------------------------- */

static void channel_flow(struct channel *ch, const struct amqp_method *m)
{
    if (!m->channel_flow.active) { /* RabbitMQ: basic.qos is what holds deliveries up */
        amqp_channel_error(&ch->base, AMQP_NOT_IMPLEMENTED, m->id, "active=false");
        return;
    }
    channel_send(ch, &(struct amqp_method){.id = AMQP_channel_flow_ok, .channel_flow_ok = {.active = true}});
}

static void channel_flow_ok(struct channel *ch, const struct amqp_method *m)
{
    (void)ch, (void)m; /* we never ask */
}

static const struct {
    enum amqp_method_id id;
    void (*run)(struct channel *ch, const struct amqp_method *m);
} methods[] = {
    {AMQP_basic_publish, channel_basic_publish}, /* most frequent first */
    {AMQP_basic_ack, channel_basic_ack},
    {AMQP_basic_get, channel_basic_get},
    {AMQP_basic_nack, channel_basic_nack},
    {AMQP_basic_reject, channel_basic_reject},
    {AMQP_basic_consume, channel_basic_consume},
    {AMQP_basic_cancel, channel_basic_cancel},
    {AMQP_basic_qos, channel_basic_qos},
    {AMQP_basic_recover, channel_basic_recover},
    {AMQP_basic_recover_async, channel_basic_recover_async},
    {AMQP_queue_declare, channel_queue_declare},
    {AMQP_queue_bind, channel_queue_bind},
    {AMQP_queue_unbind, channel_queue_unbind},
    {AMQP_queue_purge, channel_queue_purge},
    {AMQP_queue_delete, channel_queue_delete},
    {AMQP_exchange_declare, channel_exchange_declare},
    {AMQP_exchange_delete, channel_exchange_delete},
    {AMQP_exchange_bind, channel_exchange_bind},
    {AMQP_exchange_unbind, channel_exchange_unbind},
    {AMQP_confirm_select, channel_confirm_select},
    {AMQP_tx_select, channel_tx_select},
    {AMQP_tx_commit, channel_tx_commit},
    {AMQP_tx_rollback, channel_tx_rollback},
    {AMQP_channel_flow, channel_flow},
    {AMQP_channel_flow_ok, channel_flow_ok},
};

void amqp_channel_method(struct amqp_channel *base, const struct amqp_method *m)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (methods[i].id == m->id) {
            methods[i].run(channel_of(base), m);
            return;
        }
    /* A method that only a server sends. */
    amqp_connection_error(base->connection, AMQP_COMMAND_INVALID, m->id, "unimplemented method");
}

void amqp_channel_writable(struct amqp_channel *base)
{
    channel_consume_pump(channel_of(base));
}

void amqp_channel_check(const struct amqp_channel *base)
{
    const struct channel *ch = (const struct channel *)base;
    channel_unacknowledged_check(ch);
    uint64_t count = 0, bytes = 0;
    for (const struct channel_publication *p = ch->under_way; p; p = p->next)
        count++, bytes += p->bytes;
    assert(count == ch->under_way_count && bytes == ch->under_way_bytes);
    count = 0;
    for (const struct channel_consumer *s = ch->consumers; s; s = s->next)
        count++;
    assert(count == ch->consumer_count);
    assert(base->drained == (ch->references == 0));
}
