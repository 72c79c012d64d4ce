/* A message arrives at its queue: limits, the entry, its record; and the answer when it is safe. */
#include "queue/core/queue_state.h"

void queue_put_answer(struct broker *b, struct queue_put *put, int result)
{
    put->result = result;
    put->item.run = broker_put_answered;
    broker_send(b, put->publication->home->index, &put->item);
}

/* One reference in our own memory; NULL: no room. */
static struct message *message_ours(struct broker *here, const struct queue_put *put)
{
    return put->publication->home == here ? message_hold(put->message) : message_copy(&here->memory, put->message);
}

/* What consumers could have taken by now is not there any more when the length is looked at: the turn has not ended yet. */
static bool full(struct queue *q, const struct message *m)
{
    if (m->deliver_at_ms > broker_unix_ms(q->broker) || !queue_over(q, 1, m->body_bytes))
        return false;
    queue_deliver(q, UINT32_MAX);
    return queue_over(q, 1, m->body_bytes);
}

static void refuse(struct queue *q, struct queue_put *put, struct message *m)
{
    q->counts.dropped++;
    if (q->declared->arguments.overflow == OVERFLOW_REJECT_PUBLISH_DLX && q->declared->arguments.dead_letter)
        queue_dead_letter_message(q, m, REASON_MAXLEN);
    else
        message_drop(m);
    queue_put_answer(q->broker, put, PUT_REJECTED);
}

static void added(struct queue *q)
{
    q->counts.published++;
    if (q->able_count)
        queue_work(q);
    if (queue_over(q, 0, 0)) {
        queue_deliver(q, UINT32_MAX);
        queue_limit(q);
    }
    broker_memory_look(q->broker);
}

void queue_put_arrived(struct broker *here, struct broker_item *item)
{
    struct queue_put *put = (struct queue_put *)item;
    struct queue *q = queue_find(here, put->queue_id);
    enum durable_outcome outcome;
    struct message *m = q && !q->deleting ? message_ours(here, put) : NULL;
    if (!m) {
        queue_put_answer(here, put, PUT_FAILED);
    } else if (q->declared->arguments.overflow != OVERFLOW_DROP_HEAD && full(q, m)) {
        refuse(q, put, m);
    } else if (!queue_entry_add(q, m, put, &outcome)) {
        message_drop(m);
        queue_put_answer(here, put, PUT_FAILED);
        broker_memory_look(here);
    } else {
        added(q);
        if (outcome == DURABLE_NOTHING)
            queue_put_answer(here, put, PUT_TAKEN);
    }
}
