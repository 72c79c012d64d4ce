/* Consumers of a queue: who may take a delivery, and whose turn it is. Higher x-priority first, then in turns; a queue with a single active
 * or an exclusive consumer gives to that one alone. Credit is what the session and the client leave: prefetch, and what is in transit. */
#include <assert.h>

#include "queue/core/queue_state.h"

/* -- the able, by rank ---------------------------------------------------------------------------------------------------------- */

static struct queue_rank *rank_get(struct queue *q, int32_t priority)
{
    struct queue_rank **at = &q->ranks;
    while (*at && (*at)->priority > priority)
        at = &(*at)->next;
    if (*at && (*at)->priority == priority)
        return *at;
    struct queue_rank *rank = memory_alloc(&q->broker->memory, sizeof *rank);
    if (rank) {
        *rank = (struct queue_rank){.next = *at, .priority = priority};
        *at = rank;
    }
    return rank;
}

static void rank_leave(struct queue *q, struct queue_rank *rank)
{
    struct queue_rank **at = &q->ranks;
    if (--rank->consumers)
        return;
    while (*at != rank)
        at = &(*at)->next;
    *at = rank->next;
    memory_free(&q->broker->memory, rank, sizeof *rank);
}

static void able_append(struct queue_consumer *c)
{
    struct queue_rank *rank = c->rank;
    c->able_next = NULL;
    c->able_before = rank->able_last;
    if (rank->able_last)
        rank->able_last->able_next = c;
    else
        rank->able = c;
    rank->able_last = c;
}

static void able_take(struct queue_consumer *c)
{
    struct queue_rank *rank = c->rank;
    if (c->able_before)
        c->able_before->able_next = c->able_next;
    else
        rank->able = c->able_next;
    if (c->able_next)
        c->able_next->able_before = c->able_before;
    else
        rank->able_last = c->able_before;
}

static bool can_take(const struct queue_consumer *c)
{
    const struct queue *q = c->queue;
    if (!q || (q->active && q->active != c))
        return false;
    if (!c->no_ack && c->prefetch && c->unacknowledged >= c->prefetch)
        return false;
    return c->transit < QUEUE_TRANSIT_MAX && (!c->transit || c->transit_bytes < QUEUE_TRANSIT_BYTES);
}

void consumer_look(struct queue_consumer *c)
{
    bool able = can_take(c);
    if (able == c->is_able)
        return;
    c->is_able = able;
    if (!able) {
        able_take(c);
        c->queue->able_count--;
        return;
    }
    able_append(c);
    c->queue->able_count++;
    if (c->queue->ready)
        queue_work(c->queue);
}

struct queue_consumer *consumer_next(struct queue *q)
{
    if (!q->able_count)
        return NULL;
    for (struct queue_rank *rank = q->ranks; rank; rank = rank->next)
        if (rank->able)
            return rank->able;
    return NULL;
}

void consumer_turn_over(struct queue_consumer *c)
{
    if (c->is_able && c != c->rank->able_last) {
        able_take(c);
        able_append(c);
    }
}

/* -- coming and going --------------------------------------------------------------------------------------------------------------- */

/* Who consumes exclusively is alone; a single-active-consumer queue has no other kind of exclusiveness. */
static bool may_consume(const struct queue *q, bool exclusive)
{
    if (q->declared->arguments.single_active_consumer)
        return !exclusive;
    return !q->active && !(exclusive && q->consumer_count);
}

enum queue_result consumer_add(struct queue *q, struct queue_request *r)
{
    struct broker *b = q->broker;
    if (!may_consume(q, r->exclusive))
        return QUEUE_ACCESS_REFUSED;
    struct queue_consumer *c = memory_alloc(&b->memory, sizeof *c);
    struct queue_rank *rank = c ? rank_get(q, r->priority) : NULL;
    if (!rank) {
        if (c)
            memory_free(&b->memory, c, sizeof *c);
        return QUEUE_NO_MEMORY;
    }
    *c = (struct queue_consumer){.queue = q,
                                 .subscriber = r->subscriber,
                                 .home = r->home,
                                 .owner = b,
                                 .before = q->consumers_last,
                                 .rank = rank,
                                 .no_ack = r->no_ack,
                                 .exclusive = r->exclusive,
                                 .prefetch = r->prefetch,
                                 .held = 1};
    rank->consumers++;
    r->subscriber->consumer = c;
    if (q->consumers_last)
        q->consumers_last->next = c;
    else
        q->consumers = c;
    q->consumers_last = c;
    q->consumer_count++;
    q->had_consumer = true;
    b->counters[QUEUE_COUNTER_CONSUMERS]++;
    if (!q->active && (c->exclusive || q->declared->arguments.single_active_consumer))
        q->active = c;
    consumer_look(c);
    return QUEUE_DONE;
}

/* The active one has gone: of those of the highest priority, who has waited longest. */
static void active_choose(struct queue *q)
{
    struct queue_consumer *chosen = q->consumers;
    for (struct queue_consumer *c = chosen; c; c = c->next)
        if (c->rank->priority > chosen->rank->priority)
            chosen = c;
    q->active = chosen;
    if (chosen)
        consumer_look(chosen);
}

void consumer_remove(struct queue *q, struct queue_consumer *c)
{
    c->queue = NULL;
    if (c->is_able) {
        able_take(c);
        c->is_able = false;
        q->able_count--;
    }
    if (c->before)
        c->before->next = c->next;
    else
        q->consumers = c->next;
    if (c->next)
        c->next->before = c->before;
    else
        q->consumers_last = c->before;
    q->consumer_count--;
    q->broker->counters[QUEUE_COUNTER_CONSUMERS]--;
    rank_leave(q, c->rank);
    c->rank = NULL;
    if (q->active == c) {
        q->active = NULL;
        if (q->declared->arguments.single_active_consumer)
            active_choose(q);
    }
}

void consumer_unhold(struct queue_consumer *c)
{
    assert(c->held);
    if (!--c->held)
        memory_free(&c->owner->memory, c, sizeof *c);
}

/* -- the queue is gone ---------------------------------------------------------------------------------------------------------------- */

static void notice_back(struct broker *here, struct broker_item *item)
{
    (void)here;
    consumer_unhold((struct queue_consumer *)item);
}

static void notice_arrived(struct broker *here, struct broker_item *item)
{
    struct queue_consumer *c = (struct queue_consumer *)item;
    c->subscriber->cancelled(c->subscriber);
    c->item.run = notice_back;
    broker_send(here, c->owner->index, &c->item);
}

void consumers_cancel(struct queue *q)
{
    while (q->consumers) {
        struct queue_consumer *c = q->consumers;
        q->active = NULL; /* nobody takes over */
        consumer_remove(q, c);
        c->item.run = notice_arrived;
        broker_send(q->broker, c->home->index, &c->item);
    }
}
