/* basic.get. */
#include "queue/amqp/channel.h"

static void get_ok(struct channel *ch, const struct queue_request *r)
{
    struct queue_delivery *d = r->delivery;
    struct amqp_method m = {.id = AMQP_basic_get_ok,
                            .basic_get_ok = {.delivery_tag = ch->tag + 1,
                                             .redelivered = d->redelivered,
                                             .exchange = message_exchange(d->message),
                                             .routing_key = message_routing_key(d->message),
                                             .message_count = (uint32_t)r->count}};
    struct amqp_connection *c = ch->base.connection;
    enum amqp_sent sent = amqp_send_content(c, ch->base.number, &m, d->message, true, channel_delivery_release, d);
    d->refused = sent == AMQP_SENT_NOT;
    if (sent != AMQP_SENT_NOT) {
        ch->tag++;
        c->delivered++;
        if (!ch->request.no_ack)
            channel_unacknowledged_add(ch, d, ch->tag, false);
    }
    if (sent != AMQP_SENT_LENT)
        queue_delivery_return(d);
}

static void get_done(struct queue_request *r)
{
    struct channel *ch = r->context;
    bool there = channel_request_done(ch);
    if (there && r->result == QUEUE_DONE && (r->no_ack || channel_unacknowledged_reserve(ch))) {
        get_ok(ch, r);
    } else if (r->result == QUEUE_DONE) {
        r->delivery->refused = true;
        queue_delivery_return(r->delivery);
        if (there)
            channel_no_memory(ch, AMQP_basic_get);
    } else if (there && r->result == QUEUE_EMPTY) {
        channel_send(ch, &(struct amqp_method){.id = AMQP_basic_get_empty});
    } else if (there) {
        channel_queue_error(ch, r, channel_name_kept(ch), AMQP_basic_get);
    }
    channel_drop(ch);
}

void channel_basic_get(struct channel *ch, const struct amqp_method *m)
{
    uint8_t buffer[QUEUE_NAME_MAX];
    struct mr_span name = channel_name(buffer, m->basic_get.queue);
    if (!channel_queue_name(ch, &name, m->id) || !channel_may(ch, RIGHT_READ, "queue", name, m->id))
        return;
    const struct catalog_queue *q = channel_queue_find(ch, name, m->id);
    if (!q)
        return;
    if (ch->unacknowledged >= ch->broker->config->unacknowledged_max) {
        amqp_channel_error(&ch->base, AMQP_PRECONDITION_FAILED, m->id, "%llu deliveries are not acknowledged",
                           (unsigned long long)ch->unacknowledged);
        return;
    }
    channel_name_keep(ch, name);
    ch->request.no_ack = m->basic_get.no_ack;
    channel_request(ch, QUEUE_GET, q->id, m->id, get_done);
}
