/* Taking one message. */
#include "queue/interface/interface.h"

struct getting {
    mr_queue_message_fn done;
    void *context;
    uint64_t within_ms;
    unsigned vhost;
    bool automatic;
};

/* It is put back as if it had never been taken. */
static void refuse(const struct getting *g, struct queue_delivery *d)
{
    d->refused = true;
    queue_delivery_return(d);
    g->done(g->context, MR_QUEUE_NO_MEMORY, NULL);
}

static void show(struct broker *b, const struct getting *g, struct queue_delivery *d, uint64_t left)
{
    struct mr_queue_message m;
    struct interface_held *h = g->automatic ? NULL : interface_hold(b, g->vhost, d, NULL, g->within_ms);
    if (!g->automatic && !h) {
        refuse(g, d);
        return;
    }
    interface_show(b, d->message, &m);
    m.redelivered = d->redelivered;
    m.delivery = h ? h->delivery : 0;
    m.ready = left;
    g->done(g->context, MR_QUEUE_DONE, &m);
    queue_delivery_return(d);
}

static void got(struct queue_request *r)
{
    struct broker *b = r->home;
    struct getting g = *(struct getting *)r->context;
    enum queue_result result = r->result;
    struct queue_delivery *d = r->delivery;
    uint64_t left = r->count;
    memory_free(&b->memory, r->context, sizeof g);
    interface_request_free(r);
    if (result == QUEUE_DONE)
        show(b, &g, d, left);
    else
        g.done(g.context, interface_outcome(result), NULL);
}

int mr_queue_get(struct mr_queues *q, struct mr_span name, bool automatic, uint64_t settle_within_ms,
                 mr_queue_message_fn done, void *context)
{
    struct broker *b = q->broker;
    enum mr_queue_outcome outcome;
    if (!interface_name_fits(name) || settle_within_ms > INTERFACE_SETTLE_MS_MAX)
        return MR_ERROR_INVALID;
    const struct catalog_queue *queue = interface_queue(q, name, &outcome);
    if (!queue)
        return interface_say_message(b, outcome, done, context);
    struct getting *g = memory_alloc(&b->memory, sizeof *g);
    struct queue_request *r = g ? interface_request(b, queue->id, QUEUE_GET, 0, got, g) : NULL;
    if (!r) {
        if (g)
            memory_free(&b->memory, g, sizeof *g);
        return MR_ERROR_NO_MEMORY;
    }
    *g = (struct getting){.done = done,
                          .context = context,
                          .within_ms = settle_within_ms ? settle_within_ms : INTERFACE_SETTLE_MS,
                          .vhost = q->vhost,
                          .automatic = automatic};
    r->no_ack = automatic;
    queue_request_send(r);
    return MR_OK;
}
