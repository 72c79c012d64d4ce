/* What is seen of queues: status, rates, gauges; and the check of every sum. */
#include <assert.h>
#include <string.h>

#include "queue/core/queue_state.h"

/* -- status --------------------------------------------------------------------------------------------------------------------- */

/* When the entry came, as exactly as is known: to the second when its message is away, or was delayed. */
static uint64_t arrived_ms(const struct queue_entry *e)
{
    const struct message *m = e->message;
    uint64_t second_ms = (uint64_t)e->arrived_s * 1000;
    return m && m->published_ms >= second_ms && m->published_ms < second_ms + 1000 ? m->published_ms : second_ms;
}

static uint64_t oldest_ms(const struct queue *q)
{
    uint64_t now_ms = broker_unix_ms(q->broker), oldest = 0;
    for (unsigned i = 0; i < q->lane_count; i++) {
        uint64_t id = q->lanes[i].ready ? lane_first(q, i, 0, true) : 0;
        uint64_t since = id ? arrived_ms(queue_entry_find(q, id)) : now_ms;
        if (since < now_ms && now_ms - since > oldest)
            oldest = now_ms - since;
    }
    return oldest;
}

static uint64_t rate(const struct queue *q, size_t member)
{
    const uint8_t *young = (const uint8_t *)&q->at_second[0], *old = (const uint8_t *)&q->at_second[q->seconds];
    uint64_t now, then;
    memcpy(&now, young + member, sizeof now);
    memcpy(&then, old + member, sizeof then);
    return q->seconds ? (now - then) / q->seconds : 0;
}

void queue_status_fill(const struct queue *q, struct queue_status *out)
{
    *out = (struct queue_status){
        .ready = q->ready,
        .unacknowledged = q->unacknowledged,
        .delayed = q->delayed,
        .consumers = q->consumer_count,
        .bytes = q->body_bytes,
        .memory_bytes = q->message_memory + q->structure_memory,
        .log_bytes = durable_log_bytes(q),
        .published = q->counts.published,
        .delivered = q->counts.delivered,
        .acknowledged = q->counts.acknowledged,
        .redelivered = q->counts.redelivered,
        .expired = q->counts.expired,
        .dead_lettered = q->counts.dead_lettered,
        .dropped = q->counts.dropped,
        .oldest_ms = oldest_ms(q),
        .publish_rate = rate(q, offsetof(struct queue_counts, published)),
        .deliver_rate = rate(q, offsetof(struct queue_counts, delivered)),
        .acknowledge_rate = rate(q, offsetof(struct queue_counts, acknowledged)),
        .error = durable_error(q),
    };
}

/* -- once a second ---------------------------------------------------------------------------------------------------------------- */

static void second_of(void *context, struct queue *q)
{
    uint64_t *oldest = context, age_ms = oldest_ms(q);
    *oldest = age_ms > *oldest ? age_ms : *oldest;
    memmove(&q->at_second[1], &q->at_second[0], QUEUE_RATE_SECONDS * sizeof q->at_second[0]);
    q->at_second[0] = q->counts;
    q->seconds += q->seconds < QUEUE_RATE_SECONDS;
    if (q->ready && q->able_count)
        queue_work(q); /* there was no memory to deliver */
    lane_trim(q);
    bool unused = q->declared->auto_delete && q->had_consumer && !q->consumer_count;
    if ((unused || q->deserted) && !q->deleting)
        queue_delete_begin(q, NULL); /* there was no memory to ask */
}

void queue_set_second(struct broker *b)
{
    uint64_t oldest = 0;
    queue_set_missed(b->queues);
    queue_set_each(b, second_of, &oldest);
    b->counters[QUEUE_COUNTER_OLDEST_SECONDS] = oldest / 1000;
    b->counters[QUEUE_COUNTER_MEMORY_BYTES] = b->memory.used;
    b->queues->timer_ms = 0; /* Unix time may have moved against the worker's */
    queue_timer_arm(b->queues);
    durable_set_second(b);
    broker_memory_look(b);
}

/* -- checks ----------------------------------------------------------------------------------------------------------------------- */

struct sums {
    uint64_t state[ENTRY_LEAVING + 1], ready_bytes, body_bytes, message_memory, paged;
};

static void check_lane(const struct queue *q, unsigned priority, struct sums *total)
{
    const struct queue_lane *lane = &q->lanes[priority];
    uint64_t ready = 0, next_ready = lane_first(q, priority, 0, true);
    for (uint64_t id = lane_first(q, priority, 0, false); id;
         id = lane_first(q, priority, entry_sequence(id) + 1, false)) {
        const struct queue_entry *e = queue_entry_find(q, id);
        assert(e && e->state != ENTRY_NONE && entry_sequence(id) < lane->next);
        total->state[e->state]++;
        total->body_bytes += e->body_bytes;
        total->ready_bytes += e->state == ENTRY_READY ? e->body_bytes : 0;
        total->message_memory += e->message ? message_cost(e->message) : 0;
        total->paged += !e->message;
        assert((next_ready == id) == (e->state == ENTRY_READY));
        if (next_ready == id) {
            ready++;
            next_ready = lane_first(q, priority, entry_sequence(id) + 1, true);
        }
    }
    assert(!next_ready && ready == lane->ready);
    assert(!lane->ready == !(q->lanes_ready[priority / 64] >> priority % 64 & 1));
}

static void check_consumers(const struct queue *q)
{
    uint32_t consumers = 0, able = 0, ranked = 0, listed = 0;
    for (const struct queue_consumer *c = q->consumers; c; c = c->next) {
        consumers++;
        able += c->is_able;
        assert(c->queue == q && c->held >= 1 + c->unacknowledged);
        assert(!c->prefetch || c->no_ack || !c->is_able || c->unacknowledged < c->prefetch);
        assert(c->transit <= QUEUE_TRANSIT_MAX && (!c->is_able || !q->active || q->active == c));
    }
    for (const struct queue_rank *rank = q->ranks; rank; rank = rank->next) {
        ranked += rank->consumers;
        assert(!rank->next || rank->next->priority < rank->priority);
        for (const struct queue_consumer *c = rank->able; c; c = c->able_next, listed++)
            assert(c->is_able && c->rank == rank && (c->able_next || c == rank->able_last));
    }
    assert(consumers == q->consumer_count && ranked == consumers && able == q->able_count && listed == able);
}

static void check_queue(void *context, struct queue *q)
{
    struct sums *all = context, own = {0};
    for (unsigned i = 0; i < q->lane_count; i++)
        check_lane(q, i, &own);
    assert(own.state[ENTRY_READY] == q->ready && own.state[ENTRY_DELIVERED] == q->unacknowledged);
    assert(own.state[ENTRY_DELAYED] == q->delayed && own.state[ENTRY_LEAVING] == q->leaving);
    assert(own.ready_bytes == q->ready_bytes && own.body_bytes == q->body_bytes);
    assert(own.message_memory == q->message_memory && own.paged == q->paged);
    check_consumers(q);
    for (unsigned i = 0; i <= ENTRY_LEAVING; i++)
        all->state[i] += own.state[i];
}

void queue_set_check(const struct broker *b)
{
    struct sums all = {0};
    queue_set_each(b, check_queue, &all);
    for (struct queue *q = b->queues->ended; q; q = q->work_next)
        check_queue(&all, q);
    assert(all.state[ENTRY_READY] == b->counters[QUEUE_COUNTER_READY]);
    assert(all.state[ENTRY_DELIVERED] == b->counters[QUEUE_COUNTER_UNACKNOWLEDGED]);
    assert(all.state[ENTRY_DELAYED] == b->counters[QUEUE_COUNTER_DELAYED]);
    queue_timer_check(b->queues);
}
