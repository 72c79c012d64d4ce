/* From ready to consumers and back: deliveries as credit allows, their return, requeues, and the limits of a queue's length. */
#include "queue/core/queue_state.h"

/* -- out ------------------------------------------------------------------------------------------------------------------------ */

static void delivery_arrived(struct broker *here, struct broker_item *item)
{
    struct queue_delivery *d = (struct queue_delivery *)item;
    (void)here;
    d->subscriber->deliver(d->subscriber, d);
}

static void count_delivery(struct queue *q, bool again)
{
    uint64_t *counters = q->broker->counters;
    q->counts.delivered++;
    q->counts.redelivered += again;
    counters[QUEUE_COUNTER_DELIVERED]++;
    counters[QUEUE_COUNTER_REDELIVERED] += again;
}

struct queue_delivery *queue_delivery_make(struct queue *q, uint64_t id, struct queue_entry *e,
                                           struct queue_consumer *c, bool no_ack)
{
    struct queue_delivery *d = memory_alloc(&q->broker->memory, sizeof *d);
    if (!d)
        return NULL;
    *d = (struct queue_delivery){.item.run = delivery_arrived,
                                 .subscriber = c ? c->subscriber : NULL,
                                 .queue_id = q->id,
                                 .entry = id,
                                 .message = message_hold(e->message),
                                 .deliveries = e->deliveries,
                                 .redelivered = e->deliveries != 0,
                                 .owner = q->broker,
                                 .private_consumer = c};
    queue_entry_set_state(q, id, e, ENTRY_DELIVERED);
    e->flags |= no_ack ? ENTRY_NO_ACK : 0;
    e->deliveries += e->deliveries < UINT16_MAX;
    count_delivery(q, d->redelivered);
    if (e->log_offset != ENTRY_NO_LOG && !no_ack)
        durable_deliveries(q, id, e);
    return d;
}

static bool give(struct queue *q, struct queue_consumer *c, uint64_t id, struct queue_entry *e)
{
    struct queue_delivery *d = queue_delivery_make(q, id, e, c, c->no_ack);
    if (!d)
        return false;
    e->link = memory_link_pack(q->broker->memory.base, c);
    c->held += 2; /* the entry, the delivery */
    c->unacknowledged += !c->no_ack;
    c->transit++;
    c->transit_bytes += e->body_bytes;
    consumer_look(c);
    consumer_turn_over(c);
    broker_send(q->broker, c->home->index, &d->item);
    return true;
}

unsigned queue_deliver(struct queue *q, unsigned limit)
{
    unsigned steps = 0;
    for (; steps < limit; steps++) {
        struct queue_consumer *c = consumer_next(q);
        uint64_t id = c ? queue_entry_next_ready(q, 0) : 0;
        if (!id)
            break;
        struct queue_entry *e = queue_entry_find(q, id);
        if (queue_entry_expired(q, e)) {
            queue_entry_die(q, id, e, REASON_EXPIRED);
        } else if (!e->message) {
            durable_page_in(q, id);
            break;
        } else if (!give(q, c, id, e)) {
            break; /* no memory: looked at again every second, and when a delivery comes back */
        }
    }
    return steps;
}

/* -- back ----------------------------------------------------------------------------------------------------------------------- */

void queue_requeue(struct queue *q, uint64_t id, struct queue_entry *e, bool counted)
{
    if (counted) {
        q->broker->counters[QUEUE_COUNTER_REQUEUED]++;
        if (e->deliveries > q->declared->arguments.delivery_limit) {
            queue_entry_die(q, id, e, REASON_DELIVERY_LIMIT);
            return;
        }
    } else if (e->deliveries && e->deliveries < UINT16_MAX) {
        e->deliveries--;
    }
    queue_entry_set_state(q, id, e, ENTRY_READY);
    if (q->able_count)
        queue_work(q);
    queue_limit(q);
}

static void entry_returned(struct queue *q, const struct queue_delivery *d)
{
    struct queue_entry *e = queue_entry_find(q, d->entry);
    if (!e || e->state != ENTRY_DELIVERED || memory_link_unpack(q->broker->memory.base, e->link) != d->private_consumer)
        return; /* settled before its bytes were let go */
    if (d->refused)
        queue_requeue(q, d->entry, e, false);
    else if (e->flags & ENTRY_NO_ACK)
        queue_entry_remove(q, d->entry);
}

static void delivery_returned(struct broker *here, struct broker_item *item)
{
    struct queue_delivery *d = (struct queue_delivery *)item;
    struct queue_consumer *c = d->private_consumer;
    struct queue *q = queue_find(here, d->queue_id);
    if (q)
        entry_returned(q, d);
    if (c) {
        c->transit--;
        c->transit_bytes -= d->message->body_bytes;
        consumer_look(c);
        consumer_unhold(c);
    }
    if (q && q->ready && q->able_count)
        queue_work(q); /* memory for another delivery, where there was none */
    message_drop(d->message);
    memory_free(&here->memory, d, sizeof *d);
}

void queue_delivery_return(struct queue_delivery *d)
{
    struct broker *home = d->item.to; /* where it was sent */
    d->item.run = delivery_returned;
    broker_send(home, d->owner->index, &d->item);
}

/* -- length ----------------------------------------------------------------------------------------------------------------------- */

bool queue_over(const struct queue *q, uint64_t more, uint64_t more_bytes)
{
    const struct queue_arguments *a = &q->declared->arguments;
    return q->ready + more > a->length_max || q->ready_bytes + more_bytes > a->length_bytes_max;
}

void queue_limit(struct queue *q)
{
    uint64_t id;
    if (q->declared->arguments.overflow != OVERFLOW_DROP_HEAD)
        return;
    while (queue_over(q, 0, 0) && (id = queue_entry_next_ready(q, 0)) != 0)
        queue_entry_die(q, id, queue_entry_find(q, id), REASON_MAXLEN);
}
