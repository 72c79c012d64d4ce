/* The worker behind /orders: one consumer on each worker of the process. An order counts when its increment has been answered, and
 * only then is it acknowledged: one that was counted while its acknowledgement got lost is counted again (at least once). */
#include <millrace/timer.h>
#include <stdlib.h>

#include "http/orders.h"

#define PREFETCH 16

enum order_state { ORDER_FREE, ORDER_COUNTING, ORDER_COUNTED, ORDER_FAILED };
struct order {
    struct orders *orders;
    uint64_t delivery;
    enum order_state state; /* COUNTED and FAILED: the queue has not been told yet */
};

struct orders {
    struct http *http;
    struct mr_timer timer; /* once a second: begins what has not begun, tells what could not be told */
    struct mr_queue_consumer *consumer;
    bool declaring;
    struct order order[PREFETCH];
};

static void ignored(void *context, enum mr_queue_outcome outcome)
{
}

static void order_settle(struct order *order)
{
    struct mr_queues *q = mr_queues_find(order->orders->http->worker);
    enum mr_queue_settle how = order->state == ORDER_COUNTED ? MR_QUEUE_ACKNOWLEDGE : MR_QUEUE_REQUEUE;
    if (!q || mr_queue_settle(q, order->delivery, how, ignored, NULL) == MR_OK)
        order->state = ORDER_FREE;
}

static void order_counted(void *context, const struct mr_cache_answer *a)
{
    struct order *order = context;
    struct http *http = order->orders->http;
    order->state = a->kind == MR_CACHE_INTEGER ? ORDER_COUNTED : ORDER_FAILED;
    if (order->state == ORDER_COUNTED)
        order_settle(order); /* what failed goes back with the timer: not at once, round and round */
    http_job_ended(http);
}

static struct order *order_free(struct orders *o)
{
    for (unsigned i = 0; i < PREFETCH; i++)
        if (o->order[i].state == ORDER_FREE)
            return &o->order[i];
    return NULL;
}

static void order_came(void *context, enum mr_queue_outcome outcome, const struct mr_queue_message *m)
{
    struct orders *o = context;
    if (!m) {
        o->consumer = NULL; /* the queue is gone; the timer declares it again */
        return;
    }
    struct mr_cache *cache = mr_cache_find(o->http->worker);
    struct order *order = order_free(o);
    if (!order) { /* what an earlier consumer took has not been told to the queue yet */
        struct mr_queues *q = mr_queues_find(o->http->worker);
        if (q)
            mr_queue_settle(q, m->delivery, MR_QUEUE_REQUEUE, ignored, NULL);
        return;
    }
    order->delivery = m->delivery;
    order->state = ORDER_FAILED;
    if (cache && mr_cache_increment(cache, http_orders_text(ORDERS_COUNT_KEY), 1, order_counted, order) == MR_OK) {
        order->state = ORDER_COUNTING;
        o->http->files.outstanding++; /* the instance lives until it is answered */
    }
}

static void queue_declared(void *context, enum mr_queue_outcome outcome)
{
    struct orders *o = context;
    struct http *http = o->http;
    struct mr_queues *q = mr_queues_find(http->worker);
    o->declaring = false;
    /* REFUSED: it exists, with properties that somebody chose. */
    if (q && !http->stopping && (outcome == MR_QUEUE_DONE || outcome == MR_QUEUE_REFUSED) &&
        mr_queue_consume(q, http_orders_text(ORDERS_QUEUE), PREFETCH, order_came, o, &o->consumer) != MR_OK)
        o->consumer = NULL;
    http_job_ended(http);
}

static void tick(struct mr_worker *w, struct mr_timer *t)
{
    static const struct mr_queue_options options = {0};
    struct orders *o = t->context;
    struct mr_queues *q = mr_queues_find(w);
    mr_timer_set(w, t, mr_now(w) + MR_SECOND);
    for (unsigned i = 0; i < PREFETCH; i++)
        if (o->order[i].state == ORDER_COUNTED || o->order[i].state == ORDER_FAILED)
            order_settle(&o->order[i]);
    if (!q || !mr_cache_find(w) || o->consumer || o->declaring)
        return;
    if (mr_queue_declare(q, http_orders_text(ORDERS_QUEUE), &options, queue_declared, o) == MR_OK) {
        o->declaring = true;
        o->http->files.outstanding++;
    }
}

int http_orders_start(struct http *http)
{
    struct orders *o = calloc(1, sizeof *o);
    if (!o)
        return MR_ERROR_NO_MEMORY;
    o->http = http;
    for (unsigned i = 0; i < PREFETCH; i++)
        o->order[i].orders = o;
    http->orders = o;
    mr_timer_init(&o->timer, tick, o);
    mr_timer_set(http->worker, &o->timer, mr_now(http->worker) + MR_SECOND / 10); /* the other services start, too */
    return MR_OK;
}

void http_orders_stop(struct http *http)
{
    struct orders *o = http->orders;
    if (!o)
        return;
    mr_timer_cancel(http->worker, &o->timer);
    if (o->consumer && mr_queues_find(http->worker))
        mr_queue_consumer_end(o->consumer); /* what is not settled goes back */
    o->consumer = NULL;
}

void http_orders_release(struct http *http)
{
    if (http->orders)
        mr_timer_cancel(http->worker, &http->orders->timer);
    free(http->orders);
}
