#include "queue/core/waiter.h"

#include "queue/core/durable_state.h"

void queue_waiter_wake(struct broker *b, struct queue_waiter *w)
{
    w->woken = true;
    mr_defer(b->worker, &b->queues->durable->turn_end);
}

void queue_waiter_add(struct broker *b, struct queue_waiter *w)
{
    struct durable_set *set = b->queues->durable;
    w->next = set->waiters;
    w->link = &set->waiters;
    if (w->next)
        w->next->link = &w->next;
    set->waiters = w;
    queue_waiter_wake(b, w);
}

void queue_waiter_remove(struct queue_waiter *w)
{
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
}

void queue_waiters_wake(struct broker *b, uint64_t queue_id)
{
    for (struct queue_waiter *w = b->queues->durable->waiters; w; w = w->next)
        if (w->queue_id == queue_id) {
            w->seconds = 0;
            queue_waiter_wake(b, w);
        }
}

void queue_waiters_turn(struct broker *b)
{
    for (struct queue_waiter *w = b->queues->durable->waiters, *next; w; w = next) {
        next = w->next;
        if (w->woken) {
            w->woken = false;
            w->step(w);
        }
    }
}

void queue_waiters_second(struct broker *b)
{
    for (struct queue_waiter *w = b->queues->durable->waiters; w; w = w->next) {
        w->seconds++;
        queue_waiter_wake(b, w);
    }
}
