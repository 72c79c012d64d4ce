/* basic.qos, consume, cancel, and what the queues deliver.
 *
 * A queue counts each consumer's prefetch; the prefetch of the whole channel is counted here, where all its consumers meet. A delivery that
 * may not be written yet (that limit, no room in the output, unacknowledged_max) is kept, in order, at most QUEUE_TRANSIT_MAX a consumer:
 * then its queue sends no more. So that few are kept from other channels' consumers, a queue is told the smaller limit of the two. */
#include "queue/amqp/channel.h"
#include "queue/amqp/table.h"

#include <string.h>

static size_t consumer_bytes(size_t tag_length)
{
    return sizeof(struct channel_consumer) + tag_length;
}

/* -- deliveries ------------------------------------------------------------------------------------------------------------------------ */

static void refuse(struct queue_delivery *d)
{
    d->refused = true;
    queue_delivery_return(d);
}

/* Who lends a body to the stream keeps the channel until it comes back. */
void channel_delivery_release(void *delivery)
{
    struct queue_delivery *d = delivery;
    queue_delivery_return(d);
}

static bool may_write(struct channel *ch, const struct channel_consumer *s)
{
    if (s->no_ack)
        return true;
    return ch->unacknowledged < ch->broker->config->unacknowledged_max &&
           (!ch->prefetch_global || ch->unacknowledged_consumed < ch->prefetch_global);
}

/* False: not now. */
static bool deliver(struct channel *ch, struct channel_consumer *s, struct queue_delivery *d)
{
    struct amqp_connection *c = ch->base.connection;
    if (!may_write(ch, s))
        return false;
    if (!amqp_output_room(c)) {
        amqp_output_wait(&ch->base);
        return false;
    }
    if (!s->no_ack && !channel_unacknowledged_reserve(ch)) {
        amqp_output_wait(&ch->base); /* no memory: tried again when the output is looked at again */
        return false;
    }
    struct amqp_method m = {.id = AMQP_basic_deliver,
                            .basic_deliver = {.consumer_tag = consumer_tag(s),
                                              .delivery_tag = ch->tag + 1,
                                              .redelivered = d->redelivered,
                                              .exchange = message_exchange(d->message),
                                              .routing_key = message_routing_key(d->message)}};
    enum amqp_sent sent = amqp_send_content(c, ch->base.number, &m, d->message, false, channel_delivery_release, d);
    if (sent == AMQP_SENT_NOT) {
        amqp_output_wait(&ch->base);
        return false;
    }
    ch->tag++;
    c->delivered++;
    if (!s->no_ack)
        channel_unacknowledged_add(ch, d, ch->tag, true);
    if (sent == AMQP_SENT_COPIED)
        queue_delivery_return(d);
    return true;
}

static struct channel_consumer *consumer_of(const struct queue_delivery *d)
{
    return d->subscriber->context;
}

void channel_consume_pump(struct channel *ch)
{
    struct queue_delivery *d;
    while (!channel_ended(ch) && (d = ch->kept)) {
        struct channel_consumer *s = consumer_of(d);
        struct queue_delivery *next = d->next;
        if (s->state == CONSUMER_STARTING || !deliver(ch, s, d))
            return;
        ch->kept = next;
        if (!next)
            ch->kept_end = &ch->kept;
    }
}

static void keep(struct channel *ch, struct queue_delivery *d)
{
    d->next = NULL;
    *ch->kept_end = d;
    ch->kept_end = &d->next;
}

static void delivered(struct queue_subscriber *subscriber, struct queue_delivery *d)
{
    struct channel_consumer *s = subscriber->context;
    struct channel *ch = s->channel;
    if (channel_ended(ch) || s->state == CONSUMER_CANCELLING)
        refuse(d);
    else if (ch->kept || s->state == CONSUMER_STARTING || !deliver(ch, s, d))
        keep(ch, d);
}

/* What is kept for `s` (NULL: for anybody) goes back to its queue. */
static void kept_refuse(struct channel *ch, const struct channel_consumer *s)
{
    struct queue_delivery *d = ch->kept, *next;
    ch->kept = NULL;
    ch->kept_end = &ch->kept;
    for (; d; d = next) {
        next = d->next;
        if (!s || consumer_of(d) == s)
            refuse(d);
        else
            keep(ch, d);
    }
}

/* -- the end of a consumer --------------------------------------------------------------------------------------------------------------- */

static void consumer_unlink(struct channel_consumer *s)
{
    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    s->channel->consumer_count--;
    s->channel->base.connection->consumers--;
}

static void consumer_free(struct channel_consumer *s)
{
    struct channel *ch = s->channel;
    consumer_unlink(s);
    channel_free(ch, s, consumer_bytes(s->tag_length));
    channel_drop(ch);
}

static void cancel_ok(struct channel *ch, struct mr_span tag)
{
    channel_send(ch, &(struct amqp_method){.id = AMQP_basic_cancel_ok, .basic_cancel_ok = {.consumer_tag = tag}});
}

static void cancel_done(struct queue_request *r)
{
    struct channel_consumer *s = r->context;
    struct channel *ch = s->channel;
    if (s->told) {
        channel_go_on(ch);
        if (!s->no_wait)
            cancel_ok(ch, consumer_tag(s));
        s->told = false;
        channel_drop(ch);
    }
    s->asked = false;
    if (r->result != QUEUE_GONE || s->gone)
        consumer_free(s); /* else `cancelled` is on its way */
}

static void cancel_send(struct channel_consumer *s)
{
    struct channel *ch = s->channel;
    s->state = CONSUMER_CANCELLING;
    s->asked = true;
    kept_refuse(ch, s);
    s->request = (struct queue_request){.home = ch->broker,
                                        .verb = QUEUE_CANCEL,
                                        .queue_id = s->queue_id,
                                        .done = cancel_done,
                                        .context = s,
                                        .connection = ch->base.connection->id,
                                        .subscriber = &s->subscriber};
    queue_request_send(&s->request);
}

/* The queue was deleted. */
static void cancelled(struct queue_subscriber *subscriber)
{
    struct channel_consumer *s = subscriber->context;
    struct channel *ch = s->channel;
    bool told = s->state == CONSUMER_CANCELLING;
    kept_refuse(ch, s);
    if (!told && s->state == CONSUMER_ACTIVE && ch->base.connection->capabilities & AMQP_CAPABLE_CANCEL_NOTIFY)
        channel_send(ch, &(struct amqp_method){.id = AMQP_basic_cancel,
                                               .basic_cancel = {.consumer_tag = consumer_tag(s), .no_wait = true}});
    s->gone = true;
    if (!s->asked)
        consumer_free(s);
}

void channel_consume_end(struct channel *ch)
{
    kept_refuse(ch, NULL);
    for (struct channel_consumer *s = ch->consumers, *next; s; s = next) {
        next = s->next;
        if (s->state == CONSUMER_ACTIVE)
            cancel_send(s); /* one that starts is cancelled when it has */
    }
}

void channel_basic_cancel(struct channel *ch, const struct amqp_method *m)
{
    struct mr_span tag = m->basic_cancel.consumer_tag;
    struct channel_consumer *s = ch->consumers;
    while (s && !span_equal(consumer_tag(s), tag))
        s = s->next;
    if (!s || s->state != CONSUMER_ACTIVE) {
        channel_reply_cancel(ch, tag);
        if (!m->basic_cancel.no_wait)
            cancel_ok(ch, tag); /* also for a tag that nobody has */
        return;
    }
    s->no_wait = m->basic_cancel.no_wait;
    s->told = true;
    channel_settle_flush(ch);
    channel_wait(ch, m->id);
    cancel_send(s);
    channel_consume_pump(ch);
}

/* -- consume ---------------------------------------------------------------------------------------------------------------------------- */

static uint32_t prefetch_of(const struct channel *ch, const struct channel_consumer *s)
{
    uint32_t own = s->prefetch, all = ch->prefetch_global;
    return !own ? all : !all || own < all ? own : all;
}

static void consume_started(struct channel *ch, struct channel_consumer *s)
{
    s->state = CONSUMER_ACTIVE;
    if (!s->no_wait)
        channel_send(ch, &(struct amqp_method){.id = AMQP_basic_consume_ok,
                                               .basic_consume_ok = {.consumer_tag = consumer_tag(s)}});
}

static void consume_done(struct queue_request *r)
{
    struct channel_consumer *s = r->context;
    struct channel *ch = s->channel;
    bool there = r->result == QUEUE_DONE;
    channel_go_on(ch);
    s->asked = false;
    if (!channel_ended(ch)) {
        if (there)
            consume_started(ch, s);
        else
            channel_queue_error(ch, r, channel_name_kept(ch), AMQP_basic_consume);
    } else if (there && !s->gone) {
        cancel_send(s);
    }
    if (there && s->gone) { /* deleted in the same moment: consume-ok, then its end */
        s->gone = false;
        cancelled(&s->subscriber);
    } else if (!there) {
        kept_refuse(ch, s);
        consumer_free(s);
    }
    channel_consume_pump(ch);
    channel_drop(ch);
}

static struct channel_consumer *consumer_create(struct channel *ch, const struct catalog_queue *q, struct mr_span tag,
                                                const struct amqp_basic_consume *m)
{
    struct channel_consumer *s = channel_alloc(ch, consumer_bytes(tag.length));
    if (!s)
        return NULL;
    memset(s, 0, sizeof *s);
    memcpy(s + 1, tag.data, tag.length);
    s->tag_length = (uint8_t)tag.length;
    s->subscriber =
        (struct queue_subscriber){.home = ch->broker, .deliver = delivered, .cancelled = cancelled, .context = s};
    s->channel = ch;
    s->queue_id = q->id;
    s->prefetch = ch->prefetch;
    s->no_ack = m->no_ack;
    s->no_wait = m->no_wait;
    s->state = CONSUMER_STARTING;
    s->next = ch->consumers;
    if (s->next)
        s->next->link = &s->next;
    s->link = &ch->consumers;
    ch->consumers = s;
    ch->consumer_count++;
    ch->base.connection->consumers++;
    channel_hold(ch);
    return s;
}

static bool tag_free(struct channel *ch, struct mr_span tag)
{
    const struct channel_consumer *s = ch->consumers;
    while (s && !span_equal(consumer_tag(s), tag))
        s = s->next;
    if (!s && !channel_reply_tagged(ch, tag))
        return true;
    amqp_channel_error(&ch->base, AMQP_NOT_ALLOWED, AMQP_basic_consume, "attempt to reuse consumer tag '%.*s'",
                       SPAN(tag));
    return false;
}

/* x-priority: how much this consumer is preferred to others of its queue. */
static bool priority_read(struct channel *ch, struct mr_span arguments, struct mr_span queue, int32_t *priority)
{
    struct amqp_value v;
    int64_t number = 0;
    if (amqp_table_find(arguments, "x-priority", &v) && !amqp_value_integer(&v, &number)) {
        amqp_channel_error(&ch->base, AMQP_PRECONDITION_FAILED, AMQP_basic_consume,
                           "invalid arg 'x-priority' for queue '%.*s' in vhost '%s': \"expected integer, got %s\"",
                           SPAN(queue), ch->base.connection->vhost_name, amqp_type_name(v.type));
        return false;
    }
    *priority = number > INT32_MAX ? INT32_MAX : number < INT32_MIN ? INT32_MIN : (int32_t)number;
    return true;
}

static void consume(struct channel *ch, const struct catalog_queue *q, struct mr_span tag, int32_t priority,
                    const struct amqp_basic_consume *m)
{
    struct channel_consumer *s = consumer_create(ch, q, tag, m);
    if (!s) {
        channel_no_memory(ch, AMQP_basic_consume);
        return;
    }
    channel_settle_flush(ch);
    s->asked = true;
    s->request = (struct queue_request){.home = ch->broker,
                                        .verb = QUEUE_CONSUME,
                                        .queue_id = q->id,
                                        .done = consume_done,
                                        .context = s,
                                        .connection = ch->base.connection->id,
                                        .no_ack = m->no_ack,
                                        .exclusive = m->exclusive,
                                        .prefetch = m->no_ack ? 0 : prefetch_of(ch, s),
                                        .priority = priority,
                                        .subscriber = &s->subscriber};
    channel_wait(ch, AMQP_basic_consume);
    queue_request_send(&s->request);
}

void channel_basic_consume(struct channel *ch, const struct amqp_method *method)
{
    const struct amqp_basic_consume *m = &method->basic_consume;
    uint8_t buffer[QUEUE_NAME_MAX], generated[QUEUE_NAME_MAX];
    struct mr_span name = channel_name(buffer, m->queue), tag = m->consumer_tag;
    const struct catalog_queue *q;
    int32_t priority;
    if (tag.length && !tag_free(ch, tag))
        return;
    if (span_equal(name, REPLY_QUEUE)) {
        channel_reply_consume(ch, method);
        return;
    }
    if (!channel_queue_name(ch, &name, method->id) || !channel_may(ch, RIGHT_READ, "queue", name, method->id) ||
        !(q = channel_queue_find(ch, name, method->id)) || !priority_read(ch, m->arguments, name, &priority))
        return;
    if (ch->consumer_count == CHANNEL_CONSUMERS_MAX) {
        amqp_channel_error(&ch->base, AMQP_NOT_ALLOWED, method->id, "reached maximum (%u) of consumers per channel",
                           CHANNEL_CONSUMERS_MAX);
        return;
    }
    if (!tag.length)
        tag = channel_name_generated(ch, generated, "amq.ctag");
    channel_name_keep(ch, name);
    consume(ch, q, tag, priority, m);
}

/* -- qos -------------------------------------------------------------------------------------------------------------------------------- */

/* The queues are told; without memory for that the limit is kept here all the same. */
static void prefetch_tell(struct channel *ch, struct channel_consumer *s)
{
    struct queue_request *r = s->no_ack || s->state != CONSUMER_ACTIVE ? NULL : channel_alloc(ch, sizeof *r);
    if (!r)
        return;
    *r = (struct queue_request){.home = ch->broker,
                                .verb = QUEUE_PREFETCH,
                                .queue_id = s->queue_id,
                                .connection = ch->base.connection->id,
                                .prefetch = prefetch_of(ch, s),
                                .subscriber = &s->subscriber};
    queue_request_send(r);
}

void channel_basic_qos(struct channel *ch, const struct amqp_method *m)
{
    const struct amqp_basic_qos *qos = &m->basic_qos;
    if (qos->prefetch_size) {
        amqp_channel_error(&ch->base, AMQP_NOT_IMPLEMENTED, m->id, "prefetch_size!=0 (%u)", qos->prefetch_size);
        return;
    }
    if (qos->global) {
        ch->prefetch_global = qos->prefetch_count;
        for (struct channel_consumer *s = ch->consumers; s; s = s->next)
            prefetch_tell(ch, s);
    } else {
        ch->prefetch = qos->prefetch_count; /* of consumers that are yet to come, as RabbitMQ reads it */
    }
    channel_send(ch, &(struct amqp_method){.id = AMQP_basic_qos_ok});
    channel_consume_pump(ch);
}
