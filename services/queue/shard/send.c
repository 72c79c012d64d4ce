/* Items to workers: collected over a turn, posted as one chain; those for the own worker run when the turn ends. */
#include "queue/shard/alarm.h"
#include "queue/shard/shard.h"

/* An item that the own worker sends itself is run in the same turn, and what that sends itself too: a publish into a queue of the own worker is
 * answered without a turn between. Who goes on longer than this waits for the next turn, so that packets are not kept waiting. */
#define OWN_ROUNDS_MAX 8

void broker_send(struct broker *from, unsigned to, struct broker_item *item)
{
    if (!from->outbox[to])
        from->outbox_end[to] = &from->outbox[to];
    item->next = NULL;
    item->to = from->shared->instance[to];
    *from->outbox_end[to] = item;
    from->outbox_end[to] = &item->next;
    from->counters[QUEUE_COUNTER_ITEMS_SENT]++;
    mr_defer(from->worker, &from->turn_end);
}

static void chain_run(struct mr_worker *w, void *argument)
{
    struct broker_item *item = argument;
    (void)w;
    while (item) {
        struct broker_item *next = item->next;
        item->run(item->to, item);
        item = next;
    }
}

static struct broker_item *outbox_take(struct broker *b, unsigned to)
{
    struct broker_item *chain = b->outbox[to];
    b->outbox[to] = NULL;
    return chain;
}

static void turn_ended(struct mr_worker *w, struct mr_deferred *d)
{
    struct broker *b = d->context;
    bool left = false;
    for (unsigned i = 0; i < OWN_ROUNDS_MAX && b->outbox[b->index]; i++)
        chain_run(w, outbox_take(b, b->index));
    for (unsigned to = 0; to < b->workers; to++) {
        if (b->outbox[to] && to != b->index && mr_post(w, to, chain_run, b->outbox[to]) == MR_OK)
            outbox_take(b, to);
        left |= b->outbox[to] != NULL; /* its mailbox is full: what follows gathers behind it */
    }
    if (left)
        mr_defer(w, d);
}

bool broker_shard_start(struct broker *b)
{
    b->turn_end = (struct mr_deferred){.run = turn_ended, .context = b};
    return broker_alarms_start(b);
}

void broker_shard_release(struct broker *b)
{
    broker_alarms_release(b);
}
