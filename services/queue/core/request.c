/* What sessions ask of a queue: get, consume, cancel, prefetch, settle, purge, delete, status. */
#include <assert.h>

#include "queue/core/queue_state.h"

#define PURGE_STEP 2048u /* entries of one turn */
#define GET_STEP   512u  /* of them that have expired, before the one that a get wants */

/* -- the way there and back ----------------------------------------------------------------------------------------------------- */

static void request_done(struct broker *here, struct broker_item *item)
{
    struct queue_request *r = (struct queue_request *)item;
    if (r->done)
        r->done(r);
    else
        memory_free(&here->memory, r, queue_request_bytes(r));
}

void queue_request_answer(struct broker *from, struct queue_request *r, enum queue_result result)
{
    r->result = result;
    r->item.run = request_done;
    broker_send(from, r->home->index, &r->item);
}

/* -- get --------------------------------------------------------------------------------------------------------------------------- */

/* False: its message is being read back, or so many had expired that the rest is for the next round. */
static bool get(struct queue *q, struct queue_request *r)
{
    for (unsigned n = 0; n < GET_STEP; n++) {
        uint64_t id = queue_entry_next_ready(q, 0);
        if (!id) {
            queue_request_answer(q->broker, r, QUEUE_EMPTY);
            return true;
        }
        struct queue_entry *e = queue_entry_find(q, id);
        if (queue_entry_expired(q, e)) {
            queue_entry_die(q, id, e, REASON_EXPIRED);
            continue;
        }
        if (!e->message) {
            durable_page_in(q, id);
            return false;
        }
        r->delivery = queue_delivery_make(q, id, e, NULL, r->no_ack);
        if (r->delivery)
            r->delivery->item.to = r->home;
        r->count = q->ready;
        queue_request_answer(q->broker, r, r->delivery ? QUEUE_DONE : QUEUE_NO_MEMORY);
        return true;
    }
    queue_work(q);
    return false;
}

static void wait_in_line(struct queue *q, struct queue_request *r)
{
    r->item.next = NULL;
    *q->waiting_end = &r->item;
    q->waiting_end = &r->item.next;
}

static struct queue_request *line_take(struct queue *q)
{
    struct broker_item *first = q->waiting;
    if (first && !(q->waiting = first->next))
        q->waiting_end = &q->waiting;
    return (struct queue_request *)first;
}

static void request_get(struct queue *q, struct queue_request *r)
{
    queue_used(q);
    if (q->waiting || !get(q, r))
        wait_in_line(q, r);
}

void queue_requests_wake(struct queue *q)
{
    while (q->waiting) {
        struct broker_item *rest = q->waiting->next;
        if (!get(q, (struct queue_request *)q->waiting)) /* answering it changes its `next` */
            return;
        if (!(q->waiting = rest))
            q->waiting_end = &q->waiting;
    }
}

void queue_get_failed(struct queue *q)
{
    struct queue_request *r = line_take(q);
    if (r)
        queue_request_answer(q->broker, r, QUEUE_UNREADABLE);
    queue_requests_wake(q);
}

/* -- consumers ------------------------------------------------------------------------------------------------------------------------ */

static void request_consume(struct queue *q, struct queue_request *r)
{
    enum queue_result result = consumer_add(q, r);
    queue_used(q);
    r->count = q->ready;
    r->consumers = q->consumer_count;
    queue_request_answer(q->broker, r, result);
}

static void request_cancel(struct queue *q, struct queue_request *r)
{
    struct queue_consumer *c = r->subscriber->consumer;
    if (c && c->queue == q) {
        consumer_remove(q, c);
        consumer_unhold(c);
    }
    queue_used(q);
    queue_request_answer(q->broker, r, QUEUE_DONE);
    if (!q->consumer_count && q->declared->auto_delete && !q->deleting)
        queue_delete_begin(q, NULL);
}

static void request_prefetch(struct queue *q, struct queue_request *r)
{
    struct queue_consumer *c = r->subscriber->consumer;
    if (c && c->queue == q) {
        c->prefetch = r->prefetch;
        consumer_look(c);
    }
    queue_request_answer(q->broker, r, QUEUE_DONE);
}

/* -- settling ------------------------------------------------------------------------------------------------------------------------- */

static void settle(struct queue *q, uint64_t id, struct queue_entry *e, enum queue_settle how)
{
    switch (how) {
    case SETTLE_ACK:
        q->counts.acknowledged++;
        q->broker->counters[QUEUE_COUNTER_ACKNOWLEDGED]++;
        queue_entry_remove(q, id);
        break;
    case SETTLE_REJECT:
        queue_entry_die(q, id, e, REASON_REJECTED);
        break;
    case SETTLE_REQUEUE:
        queue_requeue(q, id, e, true);
        break;
    }
}

static void request_settle(struct queue *q, struct queue_request *r)
{
    r->count = 0;
    for (uint32_t i = 0; i < r->entry_count; i++) {
        struct queue_entry *e = queue_entry_find(q, r->entries[i]);
        if (!e || e->state != ENTRY_DELIVERED || e->flags & ENTRY_NO_ACK)
            continue;
        settle(q, r->entries[i], e, r->settle);
        r->count++;
    }
    queue_request_answer(q->broker, r, r->count == r->entry_count ? QUEUE_DONE : QUEUE_UNKNOWN_TAG);
}

/* -- the whole queue -------------------------------------------------------------------------------------------------------------------- */

/* What is ready now goes, a part each turn: a million messages keep no other queue waiting. */
static void request_purge(struct queue *q, struct queue_request *r)
{
    struct broker_item **end = &q->purge;
    bool first = !q->purge;
    while (*end)
        end = &(*end)->next;
    *end = &r->item;
    r->item.next = NULL;
    r->count = 0;
    q->purge_left = q->ready;
    if (!first)
        return; /* one is under way, which goes on to what is ready now, and counts it */
    if (queue_purge_step(q))
        queue_work(q);
}

static void purges_answer(struct queue *q, enum queue_result result)
{
    for (struct broker_item *item = q->purge, *next; item; item = next) {
        next = item->next;
        queue_request_answer(q->broker, (struct queue_request *)item, result);
    }
    q->purge = NULL;
}

bool queue_purge_step(struct queue *q)
{
    struct queue_request *r = (struct queue_request *)q->purge;
    uint64_t id = 0;
    for (unsigned n = 0; n < PURGE_STEP && q->purge_left; n++, q->purge_left--, r->count++) {
        if (!(id = queue_entry_next_ready(q, 0)))
            break;
        queue_entry_remove(q, id);
    }
    if (id && q->purge_left)
        return true;
    purges_answer(q, QUEUE_DONE);
    return false;
}

static void request_delete(struct queue *q, struct queue_request *r)
{
    r->count = q->ready;
    if (q->deleting)
        queue_request_answer(q->broker, r, QUEUE_GONE);
    else if (r->if_unused && q->consumer_count)
        queue_request_answer(q->broker, r, QUEUE_IN_USE);
    else if (r->if_empty && q->ready)
        queue_request_answer(q->broker, r, QUEUE_NOT_EMPTY);
    else if (!queue_delete_begin(q, r)) {
        q->deserted = q->declared->exclusive != 0;
        queue_request_answer(q->broker, r, QUEUE_NO_MEMORY);
    }
}

/* A client that asks has declared it again (AMQP sessions ask for the counts of declare-ok). */
static void request_status(struct queue *q, struct queue_request *r)
{
    if (r->connection)
        queue_used(q);
    r->count = q->ready;
    r->consumers = q->consumer_count;
    if (r->status)
        queue_status_fill(q, r->status);
    queue_request_answer(q->broker, r, QUEUE_DONE);
}

static void (*const verbs[])(struct queue *q, struct queue_request *r) = {
    [QUEUE_GET] = request_get,           [QUEUE_CONSUME] = request_consume, [QUEUE_CANCEL] = request_cancel,
    [QUEUE_PREFETCH] = request_prefetch, [QUEUE_SETTLE] = request_settle,   [QUEUE_PURGE] = request_purge,
    [QUEUE_DELETE] = request_delete,     [QUEUE_STATUS] = request_status,
};

static void request_arrived(struct broker *here, struct broker_item *item)
{
    struct queue_request *r = (struct queue_request *)item;
    struct queue *q = queue_find(here, r->queue_id);
    r->delivery = NULL;
    if (!q)
        queue_request_answer(here, r, QUEUE_GONE);
    else if (r->connection && q->declared->exclusive && q->declared->exclusive != r->connection)
        queue_request_answer(here, r, QUEUE_ACCESS_REFUSED);
    else
        verbs[r->verb](q, r);
}

void queue_request_send(struct queue_request *r)
{
    const struct catalog_queue *declared = catalog_queue_by_id(r->home->catalog, r->queue_id);
    r->delivery = NULL;
    if (!declared || declared->deleted) {
        queue_request_answer(r->home, r, QUEUE_GONE);
        return;
    }
    r->item.run = request_arrived;
    broker_send(r->home, declared->owner, &r->item);
}

void queue_requests_end(struct queue *q, enum queue_result result)
{
    struct queue_request *r;
    while ((r = line_take(q)) != NULL)
        queue_request_answer(q->broker, r, result);
    purges_answer(q, result);
}
