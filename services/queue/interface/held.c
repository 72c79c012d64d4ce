/* Messages that were shown and wait to be settled: found by the number that the caller has, put back when their time is over. */
#include "queue/interface/interface.h"

#define RETRY       (100 * MR_MILLISECOND) /* without memory to put one back */
#define WORKER_BITS 6
_Static_assert(1 << WORKER_BITS >= QUEUE_WORKERS_MAX, "a delivery names its worker");

static struct interface_held **bucket_of(struct interface *i, uint64_t delivery)
{
    return &i->held[(delivery >> WORKER_BITS) & (INTERFACE_HELD_BUCKETS - 1)];
}

static void time_over(struct mr_worker *w, struct mr_timer *t)
{
    interface_held_put_back(t->context);
}

struct interface_held *interface_hold(struct broker *b, unsigned vhost, const struct queue_delivery *d,
                                      struct mr_queue_consumer *consumer, uint64_t within_ms)
{
    struct interface *i = b->interface;
    struct interface_held *h =
        i->held_count < b->config->unacknowledged_max ? memory_alloc(&b->memory, sizeof *h) : NULL;
    if (!h)
        return NULL;
    uint64_t delivery = ++i->delivery_last << WORKER_BITS | b->index;
    struct interface_held **bucket = bucket_of(i, delivery);
    *h = (struct interface_held){.next = *bucket,
                                 .link = bucket,
                                 .consumer = consumer,
                                 .broker = b,
                                 .delivery = delivery,
                                 .queue_id = d->queue_id,
                                 .entry = d->entry,
                                 .vhost = vhost};
    if (h->next)
        h->next->link = &h->next;
    *bucket = h;
    i->held_count++;
    mr_timer_init(&h->timer, time_over, h);
    if (within_ms)
        mr_timer_set(b->worker, &h->timer, mr_now(b->worker) + within_ms * MR_MILLISECOND);
    return h;
}

void interface_held_forget(struct interface_held *h)
{
    struct broker *b = h->broker;
    if (mr_timer_armed(&h->timer))
        mr_timer_cancel(b->worker, &h->timer);
    *h->link = h->next;
    if (h->next)
        h->next->link = h->link;
    if (h->consumer)
        interface_consumer_forget(h->consumer, h);
    b->interface->held_count--;
    memory_free(&b->memory, h, sizeof *h);
}

void interface_held_put_back(struct interface_held *h)
{
    struct broker *b = h->broker;
    if (interface_settle(b, h->queue_id, h->entry, SETTLE_REQUEUE))
        interface_held_forget(h);
    else
        mr_timer_set(b->worker, &h->timer, mr_now(b->worker) + RETRY);
}

/* -- settling, wherever it was got ------------------------------------------------------------------------------------------------------ */

struct settling {
    struct broker_item item;
    struct broker *home;
    uint64_t delivery;
    unsigned vhost;
    enum queue_settle how;
    enum mr_queue_outcome outcome;
    mr_queue_done_fn done;
    void *context;
};

static void settled_home(struct broker *here, struct broker_item *item)
{
    struct settling s = *(struct settling *)item;
    memory_free(&here->memory, item, sizeof s);
    if (s.done)
        s.done(s.context, s.outcome);
}

static void go_home(struct broker *from, struct settling *s, enum mr_queue_outcome outcome)
{
    s->outcome = outcome;
    s->item.run = settled_home;
    broker_send(from, s->home->index, &s->item);
}

static void settled(struct queue_request *r)
{
    struct settling *s = r->context;
    struct broker *b = r->home;
    enum mr_queue_outcome outcome = interface_outcome(r->result);
    interface_request_free(r);
    go_home(b, s, outcome);
}

static struct interface_held *held_find(struct broker *b, uint64_t delivery, unsigned vhost)
{
    struct interface_held *h = *bucket_of(b->interface, delivery);
    while (h && (h->delivery != delivery || h->vhost != vhost))
        h = h->next;
    return h;
}

static void settle_here(struct broker *here, struct broker_item *item)
{
    struct settling *s = (struct settling *)item;
    struct interface_held *h = held_find(here, s->delivery, s->vhost);
    if (!h) {
        go_home(here, s, MR_QUEUE_REFUSED);
        return;
    }
    struct queue_request *r = interface_request(here, h->queue_id, QUEUE_SETTLE, 1, settled, s);
    if (!r) {
        go_home(here, s, MR_QUEUE_NO_MEMORY); /* it may be tried again */
        return;
    }
    r->settle = s->how;
    r->entries[0] = h->entry;
    interface_held_forget(h);
    queue_request_send(r);
}

static void ignore(void *context, enum mr_queue_outcome outcome)
{
}

int mr_queue_settle(struct mr_queues *q, uint64_t delivery, enum mr_queue_settle how, mr_queue_done_fn done,
                    void *context)
{
    static const enum queue_settle settles[] = {
        [MR_QUEUE_ACKNOWLEDGE] = SETTLE_ACK, [MR_QUEUE_REJECT] = SETTLE_REJECT, [MR_QUEUE_REQUEUE] = SETTLE_REQUEUE};
    struct broker *b = q->broker;
    done = done ? done : ignore;
    unsigned worker = delivery & ((1 << WORKER_BITS) - 1);
    struct settling *s = memory_alloc(&b->memory, sizeof *s);
    if (!s)
        return MR_ERROR_NO_MEMORY;
    *s = (struct settling){.item.run = settle_here,
                           .home = b,
                           .delivery = delivery,
                           .vhost = q->vhost,
                           .how = settles[how],
                           .done = done,
                           .context = context};
    if (worker < b->workers)
        broker_send(b, worker, &s->item);
    else
        go_home(b, s, MR_QUEUE_REFUSED);
    return MR_OK;
}
