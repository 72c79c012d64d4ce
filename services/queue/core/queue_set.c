/* The queues of a worker: found by id, added and removed as the catalog says, and their turn: what can be delivered is delivered when the turn
 * ends, each queue its share. */
#include <assert.h>
#include <millrace/log.h>
#include <string.h>

#include "queue/core/queue_state.h"

#define QUEUE_SHARE 64u   /* deliveries of one queue, then it is the next one's turn */
#define TURN_SHARE  512u  /* and of all; the rest waits for the next round */
#define ENDED_SHARE 4096u /* entries of a queue that is gone */

/* -- finding ------------------------------------------------------------------------------------------------------------------- */

static struct queue **bucket_of(struct queue_set *set, uint64_t id)
{
    return &set->buckets[(id * UINT64_C(0x9e3779b97f4a7c15)) >> 52];
}
_Static_assert(QUEUE_BUCKETS == 1u << 12, "twelve bits of the product");

struct queue *queue_find(const struct broker *b, uint64_t id)
{
    struct queue *q = *bucket_of(b->queues, id);
    while (q && q->id != id)
        q = q->hash_next;
    return q;
}

void queue_set_each(const struct broker *b, void (*visit)(void *context, struct queue *q), void *context)
{
    for (unsigned i = 0; i < QUEUE_BUCKETS; i++)
        for (struct queue *q = b->queues->buckets[i]; q; q = q->hash_next)
            visit(context, q);
}

/* -- the turn ------------------------------------------------------------------------------------------------------------------ */

void queue_set_work(struct queue_set *set)
{
    if (set->work_sent || set->stopped || set->starting)
        return;
    set->work_sent = true;
    broker_send(set->broker, set->broker->index, &set->work);
}

void queue_work(struct queue *q)
{
    struct queue_set *set = q->broker->queues;
    if (!q->working) {
        q->working = true;
        q->work_next = NULL;
        *set->working_end = q;
        set->working_end = &q->work_next;
    }
    queue_set_work(set);
}

static struct queue *working_take(struct queue_set *set)
{
    struct queue *q = set->working;
    if (q) {
        if (!(set->working = q->work_next))
            set->working_end = &set->working;
        q->working = false;
    }
    return q;
}

static void working_forget(struct queue_set *set, struct queue *q)
{
    struct queue **at = &set->working;
    if (!q->working)
        return;
    while (*at != q)
        at = &(*at)->work_next;
    if (!(*at = q->work_next))
        set->working_end = at;
    q->working = false;
}

static size_t queue_bytes(unsigned lanes)
{
    return sizeof(struct queue) + lanes * sizeof(struct queue_lane);
}
_Static_assert(sizeof(struct queue) + QUEUE_PRIORITIES * sizeof(struct queue_lane) <= MEMORY_LARGEST, "one allocation");

static void queue_free(struct queue *q)
{
    struct broker *b = q->broker;
    assert(!q->structure_memory && !q->message_memory && !q->consumers && !q->ranks);
    memory_free(&b->memory, q, queue_bytes(q->lane_count));
}

/* A queue of a million messages that was deleted keeps the others waiting no longer than this takes. */
static void ended_step(struct queue_set *set, uint64_t share)
{
    struct queue *q = set->ended;
    if (q && queue_entries_free(q, share)) {
        set->ended = q->work_next;
        queue_free(q);
    }
    if (set->ended)
        queue_set_work(set);
}

static void work_run(struct broker *here, struct broker_item *item)
{
    struct queue_set *set = here->queues;
    unsigned left = TURN_SHARE;
    struct queue *q;
    (void)item;
    set->work_sent = false;
    while (left && !set->stopped && (q = working_take(set)) != NULL) {
        unsigned share = left < QUEUE_SHARE ? left : QUEUE_SHARE;
        if (q->waiting)
            queue_requests_wake(q);
        unsigned steps = queue_deliver(q, share);
        bool more = q->purge && queue_purge_step(q);
        left -= steps ? steps : 1;
        if (more || steps == share)
            queue_work(q);
        if (more)
            break;
    }
    ended_step(set, ENDED_SHARE);
    queue_timer_run(set);
    if (set->working)
        queue_set_work(set);
}

/* -- coming and going ------------------------------------------------------------------------------------------------------------- */

static void missed_add(struct queue_set *set, const struct catalog_queue *declared)
{
    mr_log(MR_LOG_ERROR, "queue", "no memory for a queue, which takes no messages until there is: name=%.*s",
           (int)declared->name.length, (const char *)declared->name.data);
    if (set->missed_count < QUEUE_MISSED_MAX)
        set->missed[set->missed_count++] = declared->id;
}

void queue_added(struct broker *b, const struct catalog_queue *declared)
{
    struct queue_set *set = b->queues;
    unsigned lanes = declared->arguments.priority_max + 1u;
    struct queue *q = memory_alloc(&b->memory, queue_bytes(lanes));
    if (!q) {
        missed_add(set, declared);
        return;
    }
    memset(q, 0, queue_bytes(lanes));
    q->broker = b;
    q->declared = declared;
    q->id = declared->id;
    q->waiting_end = &q->waiting;
    q->lane_count = lanes;
    for (unsigned i = 0; i < lanes; i++)
        q->lanes[i].next = 1;
    mr_timer_init(&q->expiry, queue_unused, q);
    struct queue **bucket = bucket_of(set, q->id);
    q->hash_next = *bucket;
    *bucket = q;
    b->counters[QUEUE_COUNTER_QUEUES] = ++set->count;
    durable_added(q);
    queue_used(q);
    broker_memory_look(b);
}

void queue_set_missed(struct queue_set *set)
{
    unsigned count = set->missed_count;
    uint64_t again[QUEUE_MISSED_MAX];
    memcpy(again, set->missed, count * sizeof again[0]);
    set->missed_count = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct catalog_queue *declared = catalog_queue_by_id(set->broker->catalog, again[i]);
        if (declared && !declared->deleted)
            queue_added(set->broker, declared);
    }
}

void queue_removed(struct broker *b, const struct catalog_queue *declared)
{
    struct queue_set *set = b->queues;
    struct queue **at = bucket_of(set, declared->id);
    while (*at && (*at)->id != declared->id)
        at = &(*at)->hash_next;
    struct queue *q = *at;
    if (!q)
        return;
    *at = q->hash_next;
    b->counters[QUEUE_COUNTER_QUEUES] = --set->count;
    working_forget(set, q);
    consumers_cancel(q);
    queue_requests_end(q, QUEUE_GONE);
    durable_removed(q);
    mr_timer_cancel(b->worker, &q->expiry);
    q->ended = true;
    q->work_next = set->ended;
    set->ended = q;
    ended_step(set, ENDED_SHARE);
}

/* -- life ------------------------------------------------------------------------------------------------------------------------- */

bool queue_set_start(struct broker *b)
{
    struct queue_set *set = memory_alloc(&b->memory, sizeof *set);
    if (!set)
        return false;
    memset(set, 0, sizeof *set);
    set->broker = b;
    set->starting = true;
    set->work.run = work_run;
    set->working_end = &set->working;
    b->queues = set;
    if (queue_timer_start(set)) {
        if (durable_set_start(b))
            return true;
        queue_timer_release(set);
    }
    memory_free(&b->memory, set, sizeof *set);
    b->queues = NULL;
    return false;
}

void queue_set_ready(struct broker *b)
{
    b->queues->starting = false;
    durable_set_ready(b);
    queue_set_work(b->queues); /* what became due meanwhile */
}

void queue_set_stop(struct broker *b)
{
    struct queue_set *set = b->queues;
    set->stopped = true;
    mr_timer_cancel(b->worker, &set->timer);
    for (unsigned i = 0; i < QUEUE_BUCKETS; i++)
        for (struct queue *q = set->buckets[i]; q; q = q->hash_next)
            mr_timer_cancel(b->worker, &q->expiry);
    durable_set_stop(b);
}

void queue_set_release(struct broker *b)
{
    struct queue_set *set = b->queues;
    for (unsigned i = 0; i < QUEUE_BUCKETS; i++)
        for (struct queue *q; (q = set->buckets[i]) != NULL;) {
            set->buckets[i] = q->hash_next;
            for (struct queue_consumer *c; (c = q->consumers) != NULL;) {
                consumer_remove(q, c);
                consumer_unhold(c);
            }
            durable_release(q);
            queue_entries_free(q, UINT64_MAX);
            queue_free(q);
        }
    while (set->ended)
        ended_step(set, UINT64_MAX);
    durable_set_release(b);
    queue_timer_release(set);
    memory_free(&b->memory, set, sizeof *set);
    b->queues = NULL;
}
