/* A consumer in the process: a subscriber as a channel has one. */
#include "queue/interface/interface.h"

enum consumer_state {
    CONSUMER_ASKED, /* QUEUE_CONSUME is under way; messages may come before its answer */
    CONSUMER_RUNS,
    CONSUMER_ENDING,   /* its user has let go; QUEUE_CANCEL is under way, or waits for the answer to QUEUE_CONSUME */
    CONSUMER_CANCELLED /* the queue is gone while an answer is awaited: nothing is to be asked any more */
};

struct mr_queue_consumer {
    struct queue_subscriber subscriber;
    struct broker *broker;
    unsigned vhost;
    uint64_t queue_id;
    mr_queue_message_fn message;
    void *context;
    enum consumer_state state;
    bool awaited;                  /* an answer is */
    bool let_go;                   /* by its user */
    struct queue_request *request; /* one is enough: made with the consumer, so that ending needs no memory */
    struct interface_held *held;
    enum mr_queue_outcome refusal; /* there is nothing to consume */
};

void interface_consumer_forget(struct mr_queue_consumer *c, struct interface_held *h)
{
    *h->of_link = h->of_next;
    if (h->of_next)
        h->of_next->of_link = h->of_link;
    h->consumer = NULL;
}

static void hold_of(struct mr_queue_consumer *c, struct interface_held *h)
{
    h->of_next = c->held;
    h->of_link = &c->held;
    if (h->of_next)
        h->of_next->of_link = &h->of_next;
    c->held = h;
}

static void delivered(struct queue_subscriber *s, struct queue_delivery *d)
{
    struct mr_queue_consumer *c = s->context;
    struct broker *b = c->broker;
    struct mr_queue_message m;
    struct interface_held *h = c->let_go ? NULL : interface_hold(b, c->vhost, d, c, 0);
    if (!h) {
        d->refused = true;
        queue_delivery_return(d);
        return;
    }
    hold_of(c, h);
    interface_show(b, d->message, &m);
    m.redelivered = d->redelivered;
    m.delivery = h->delivery;
    c->message(c->context, MR_QUEUE_DONE, &m);
    queue_delivery_return(d);
}

/* What is held then is of a queue that is gone. */
static void consumer_free(struct mr_queue_consumer *c)
{
    struct memory *memory = &c->broker->memory;
    while (c->held)
        interface_held_forget(c->held);
    interface_request_free(c->request);
    memory_free(memory, c, sizeof *c);
}

static void consumer_tell_end(struct mr_queue_consumer *c, enum mr_queue_outcome outcome)
{
    mr_queue_message_fn message = c->let_go ? NULL : c->message;
    void *context = c->context;
    consumer_free(c);
    if (message)
        message(context, outcome, NULL);
}

/* The queue is gone, and with it what is held of it. */
static void cancelled(struct queue_subscriber *s)
{
    struct mr_queue_consumer *c = s->context;
    c->state = CONSUMER_CANCELLED;
    if (!c->awaited)
        consumer_tell_end(c, MR_QUEUE_NOT_FOUND);
}

static void request_send(struct mr_queue_consumer *c, enum queue_verb verb, unsigned prefetch,
                         void (*done)(struct queue_request *r))
{
    struct queue_request *r = c->request;
    *r = (struct queue_request){.home = c->broker,
                                .verb = verb,
                                .queue_id = c->queue_id,
                                .done = done,
                                .context = c,
                                .prefetch = prefetch,
                                .subscriber = &c->subscriber};
    c->awaited = true;
    queue_request_send(r);
}

/* Gone by this worker's catalog is not yet gone where the queue lives: its word to the subscriber is then still to come. */
static void cancel_answered(struct queue_request *r)
{
    struct mr_queue_consumer *c = r->context;
    c->awaited = false;
    if (r->result != QUEUE_GONE || c->state == CONSUMER_CANCELLED)
        consumer_free(c);
}

static void consume_answered(struct queue_request *r)
{
    struct mr_queue_consumer *c = r->context;
    c->awaited = false;
    if (r->result != QUEUE_DONE || c->state == CONSUMER_CANCELLED)
        consumer_tell_end(c, r->result == QUEUE_DONE ? MR_QUEUE_NOT_FOUND : interface_outcome(r->result));
    else if (c->state == CONSUMER_ENDING)
        request_send(c, QUEUE_CANCEL, 0, cancel_answered);
    else
        c->state = CONSUMER_RUNS;
}

static void refused(struct broker *here, struct broker_item *item)
{
    struct mr_queue_consumer *c = ((struct queue_request *)item)->context;
    consumer_tell_end(c, c->refusal);
}

int mr_queue_consume(struct mr_queues *q, struct mr_span name, unsigned prefetch, mr_queue_message_fn message,
                     void *context, struct mr_queue_consumer **out)
{
    struct broker *b = q->broker;
    enum mr_queue_outcome outcome;
    *out = NULL;
    if (!interface_name_fits(name))
        return MR_ERROR_INVALID;
    const struct catalog_queue *queue = interface_queue(q, name, &outcome);
    struct mr_queue_consumer *c = memory_alloc(&b->memory, sizeof *c);
    struct queue_request *r = c ? interface_request(b, 0, QUEUE_CONSUME, 0, NULL, NULL) : NULL;
    if (!r) {
        if (c)
            memory_free(&b->memory, c, sizeof *c);
        return MR_ERROR_NO_MEMORY;
    }
    *c = (struct mr_queue_consumer){
        .subscriber = {.home = b, .deliver = delivered, .cancelled = cancelled, .context = c},
        .broker = b,
        .vhost = q->vhost,
        .queue_id = queue ? queue->id : 0,
        .message = message,
        .context = context,
        .awaited = true,
        .request = r,
        .refusal = outcome,
    };
    *out = c;
    if (queue) {
        request_send(c, QUEUE_CONSUME, prefetch ? prefetch : INTERFACE_PREFETCH, consume_answered);
    } else {
        r->item.run = refused;
        r->context = c;
        broker_send(b, b->index, &r->item);
    }
    return MR_OK;
}

void mr_queue_consumer_end(struct mr_queue_consumer *c)
{
    c->let_go = true;
    while (c->held) {
        struct interface_held *h = c->held;
        interface_consumer_forget(c, h);
        interface_held_put_back(h);
    }
    if (c->state == CONSUMER_CANCELLED)
        return; /* freed with the answer that is awaited */
    if (c->state == CONSUMER_RUNS)
        request_send(c, QUEUE_CANCEL, 0, cancel_answered);
    c->state = CONSUMER_ENDING;
}
