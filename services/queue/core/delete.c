/* The end of a queue: asked for, with its last consumer, or because nobody used it. The catalog decides and tells every worker; then the
 * hook queue_removed (queue_set.c) ends it here. */
#include <string.h>

#include "queue/core/queue_state.h"

#define EXPIRES_MAX_MS (UINT64_C(1) << 40) /* more does not fit the clock, nor anybody's life */

struct queue_deletion {
    struct catalog_change change;
    struct queue_request *request; /* NULL: nobody asked */
    uint8_t name[QUEUE_NAME_MAX + 1];
};

static enum queue_result result_of(enum catalog_result result)
{
    return result == CATALOG_OK ? QUEUE_DONE : result == CATALOG_NOT_FOUND ? QUEUE_GONE : QUEUE_NO_MEMORY;
}

static void deleted(struct catalog_change *change)
{
    struct queue_deletion *d = (struct queue_deletion *)change;
    struct broker *b = change->home;
    struct queue *q = queue_find(b, change->queue_id);
    if (q)
        q->deleting = false; /* the catalog refused it: it stays */
    if (d->request)
        queue_request_answer(b, d->request, result_of(change->result));
    memory_free(&b->memory, d, sizeof *d);
}

bool queue_delete_begin(struct queue *q, struct queue_request *r)
{
    struct broker *b = q->broker;
    struct queue_deletion *d = memory_alloc(&b->memory, sizeof *d);
    if (!d)
        return false;
    *d = (struct queue_deletion){.change = {.home = b,
                                            .verb = CATALOG_QUEUE_DELETE,
                                            .vhost = q->declared->vhost,
                                            .name = {d->name, q->declared->name.length},
                                            .queue_id = q->id,
                                            .connection = q->declared->exclusive,
                                            .done = deleted},
                                 .request = r};
    memcpy(d->name, q->declared->name.data, q->declared->name.length);
    q->deleting = true;
    catalog_change(b, &d->change);
    return true;
}

/* -- x-expires --------------------------------------------------------------------------------------------------------------------- */

void queue_used(struct queue *q)
{
    struct broker *b = q->broker;
    uint64_t expires_ms = q->declared->arguments.expires_ms;
    if (!expires_ms || b->queues->stopped)
        return;
    if (q->consumer_count)
        mr_timer_cancel(b->worker, &q->expiry);
    else
        mr_timer_set(b->worker, &q->expiry,
                     mr_now(b->worker) +
                         (mr_time)(expires_ms < EXPIRES_MAX_MS ? expires_ms : EXPIRES_MAX_MS) * MR_MILLISECOND);
}

void queue_unused(struct mr_worker *w, struct mr_timer *t)
{
    struct queue *q = t->context;
    if (!q->deleting && !queue_delete_begin(q, NULL))
        mr_timer_set(w, t, mr_now(w) + MR_SECOND);
}
