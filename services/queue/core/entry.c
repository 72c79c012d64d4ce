/* An entry of a queue from its put to its end. queue_entry_set_state is the only writer of its state, and keeps every sum that depends on it. */
#include <assert.h>

#include <millrace/log.h>

#include "queue/core/queue_state.h"

#define BIT(state) (1u << (state))
static const uint8_t legal[] = {
    [ENTRY_NONE] = BIT(ENTRY_READY) | BIT(ENTRY_DELAYED),
    [ENTRY_READY] = BIT(ENTRY_DELIVERED) | BIT(ENTRY_LEAVING) | BIT(ENTRY_NONE),
    [ENTRY_DELAYED] = BIT(ENTRY_READY) | BIT(ENTRY_NONE),
    [ENTRY_DELIVERED] = BIT(ENTRY_READY) | BIT(ENTRY_LEAVING) | BIT(ENTRY_NONE),
    [ENTRY_LEAVING] = BIT(ENTRY_READY) | BIT(ENTRY_NONE),
};

static struct queue_entry *entry_of(struct tree_leaf *leaf, uint64_t id)
{
    unsigned slot = entry_sequence(id) % TREE_WAYS;
    return leaf && leaf->present >> slot & 1 ? &leaf->entries[slot] : NULL;
}

struct queue_entry *queue_entry_find(const struct queue *q, uint64_t id)
{
    return entry_of(lane_leaf(q, id), id);
}

/* -- in the order of delivery ------------------------------------------------------------------------------------------------ */

uint64_t queue_entry_next_ready(const struct queue *q, uint64_t after)
{
    unsigned priority = after ? entry_priority(after) : q->lane_count - 1;
    uint64_t id = after ? lane_first(q, priority, entry_sequence(after) + 1, true) : 0;
    if (id)
        return id;
    if (q->lane_count == 1)
        return after ? 0 : lane_first(q, 0, 0, true);
    /* The highest lane below `priority` (from it on, at the head) with something ready. */
    for (int lane = (int)priority - (after != 0); lane >= 0;) {
        uint64_t bits = q->lanes_ready[lane / 64] & UINT64_MAX >> (63 - lane % 64);
        if (bits)
            return lane_first(q, (unsigned)(lane / 64 * 64 + 63 - __builtin_clzll(bits)), 0, true);
        lane = lane / 64 * 64 - 1;
    }
    return 0;
}

uint64_t queue_entry_next(const struct queue *q, uint64_t after)
{
    uint64_t from = entry_sequence(after) + 1;
    for (unsigned priority = entry_priority(after); priority < q->lane_count; priority++, from = 0) {
        uint64_t id = lane_first(q, priority, from, false);
        if (id)
            return id;
    }
    return 0;
}

/* -- state ------------------------------------------------------------------------------------------------------------------- */

static void count_state(struct queue *q, const struct queue_entry *e, uint64_t by)
{
    uint64_t *counters = q->broker->counters;
    switch (e->state) {
    case ENTRY_READY:
        q->ready += by;
        q->ready_bytes += by * e->body_bytes;
        counters[QUEUE_COUNTER_READY] += by;
        break;
    case ENTRY_DELAYED:
        q->delayed += by;
        counters[QUEUE_COUNTER_DELAYED] += by;
        break;
    case ENTRY_DELIVERED:
        q->unacknowledged += by;
        counters[QUEUE_COUNTER_UNACKNOWLEDGED] += by;
        break;
    case ENTRY_LEAVING:
        q->leaving += by;
        break;
    default:
        break;
    }
}

static void consumer_give_up(struct queue *q, struct queue_entry *e)
{
    struct queue_consumer *c = memory_link_unpack(q->broker->memory.base, e->link);
    e->link = 0;
    if (!c)
        return;
    if (!(e->flags & ENTRY_NO_ACK))
        c->unacknowledged--;
    consumer_look(c);
    consumer_unhold(c);
}

static void leave_state(struct queue *q, uint64_t id, struct queue_entry *e)
{
    count_state(q, e, UINT64_MAX);
    if (e->state == ENTRY_READY) {
        lane_ready_set(q, id, false);
        if (q->waiting)
            queue_work(q); /* who waits for this one to be read gets another */
    }
    if ((e->state == ENTRY_READY || e->state == ENTRY_DELAYED) && e->link)
        queue_timer_remove(q->broker->queues, e);
    else if (e->state == ENTRY_DELIVERED)
        consumer_give_up(q, e);
    e->flags &= (uint8_t)~ENTRY_NO_ACK;
}

/* False: there was no memory for the time that it waits for. It is ready nevertheless, and expires at the head; a delayed one has not
 * changed. */
bool queue_entry_set_state(struct queue *q, uint64_t id, struct queue_entry *e, enum entry_state state)
{
    struct queue_set *set = q->broker->queues;
    bool timed = true;
    assert(legal[e->state] >> state & 1);
    leave_state(q, id, e);
    e->state = (uint8_t)state;
    count_state(q, e, 1);
    if (state == ENTRY_READY)
        lane_ready_set(q, id, true);
    if ((state == ENTRY_READY && e->expires_ms != UINT64_MAX) || state == ENTRY_DELAYED) {
        timed = queue_timer_add(set, lane_leaf(q, id), entry_sequence(id) % TREE_WAYS);
        if (e->flags & ENTRY_AT_ONCE)
            queue_set_work(set);
        else
            queue_timer_arm(set);
    }
    return timed;
}

/* -- beginning --------------------------------------------------------------------------------------------------------------- */

static uint64_t ttl_of(const struct queue *q, uint64_t message_ttl_ms)
{
    uint64_t ttl_ms = q->declared->arguments.message_ttl_ms;
    return message_ttl_ms < ttl_ms ? message_ttl_ms : ttl_ms;
}

static void live_from(const struct queue *q, struct queue_entry *e, uint64_t message_ttl_ms, uint64_t begin_ms)
{
    uint64_t ttl_ms = ttl_of(q, message_ttl_ms);
    e->expires_ms = ttl_ms < UINT64_MAX / 2 ? begin_ms + ttl_ms : UINT64_MAX;
    if (!ttl_ms)
        e->flags |= ENTRY_AT_ONCE;
}

static void message_take(struct queue *q, struct queue_entry *e, struct message *m)
{
    e->message = m;
    if (m)
        q->message_memory += message_cost(m);
    else
        q->paged++;
}

static void message_give(struct queue *q, struct queue_entry *e)
{
    struct message *m = e->message;
    if (!m) {
        q->paged--;
        return;
    }
    q->message_memory -= message_cost(m);
    e->message = NULL;
    message_drop(m);
}

void queue_entry_free(struct queue *q, uint64_t id, struct queue_entry *e)
{
    queue_entry_set_state(q, id, e, ENTRY_NONE);
    q->body_bytes -= e->body_bytes;
    message_give(q, e);
    lane_remove(q, id);
}

static unsigned priority_of(const struct queue *q, const struct message *m)
{
    return m->priority < q->lane_count ? m->priority : q->lane_count - 1;
}

uint64_t queue_entry_add(struct queue *q, struct message *m, struct queue_put *put, enum durable_outcome *outcome)
{
    unsigned priority = priority_of(q, m);
    uint64_t now_ms = broker_unix_ms(q->broker), sequence = q->lanes[priority].next;
    uint64_t id = entry_id(priority, sequence);
    bool delayed = m->deliver_at_ms > now_ms;
    struct queue_entry *e = lane_add(q, priority, sequence);
    *outcome = DURABLE_FAILED;
    if (!e)
        return 0;
    q->lanes[priority].next++;
    e->log_offset = ENTRY_NO_LOG;
    e->body_bytes = (uint32_t)m->body_bytes;
    e->arrived_s = (uint32_t)(now_ms / 1000);
    q->body_bytes += e->body_bytes;
    message_take(q, e, message_hold(m));
    if (delayed)
        e->expires_ms = m->deliver_at_ms;
    else
        live_from(q, e, m->ttl_ms, now_ms);
    if (queue_entry_set_state(q, id, e, delayed ? ENTRY_DELAYED : ENTRY_READY))
        *outcome = durable_put(q, id, e, put);
    if (*outcome == DURABLE_FAILED) {
        queue_entry_free(q, id, e);
        return 0;
    }
    message_drop(m); /* the caller's reference */
    return id;
}

bool queue_entry_restore(struct queue *q, const struct queue_restored *r)
{
    unsigned priority = entry_priority(r->id);
    if (priority >= q->lane_count || !entry_sequence(r->id) || queue_entry_find(q, r->id))
        return false;
    struct queue_entry *e = lane_add(q, priority, entry_sequence(r->id));
    if (!e)
        return false;
    queue_sequence_reach(q, r->id);
    e->log_offset = r->log_offset;
    e->log_position = r->place.position;
    e->log_bytes = r->place.bytes;
    e->body_bytes = (uint32_t)r->body_bytes;
    e->deliveries = r->deliveries < UINT16_MAX ? (uint16_t)r->deliveries : UINT16_MAX;
    e->arrived_s = (uint32_t)(r->arrived_ms / 1000);
    q->body_bytes += e->body_bytes;
    message_take(q, e, r->message);
    bool delayed = r->deliver_at_ms > broker_unix_ms(q->broker);
    if (delayed)
        e->expires_ms = r->deliver_at_ms;
    else
        live_from(q, e, r->ttl_ms, r->deliver_at_ms > r->arrived_ms ? r->deliver_at_ms : r->arrived_ms);
    if (queue_entry_set_state(q, r->id, e, delayed ? ENTRY_DELAYED : ENTRY_READY))
        return true;
    if (e->message)
        message_hold(e->message); /* stays the caller's */
    queue_entry_free(q, r->id, e);
    return false;
}

void queue_sequence_reach(struct queue *q, uint64_t id)
{
    if (entry_priority(id) >= q->lane_count)
        return;
    struct queue_lane *lane = &q->lanes[entry_priority(id)];
    if (lane->next <= entry_sequence(id))
        lane->next = entry_sequence(id) + 1;
}

/* What it waits for now is its own time to live. A message of which only the log knows has none: queue_entry_page_out. */
void queue_entry_due(struct queue *q, uint64_t id, struct queue_entry *e)
{
    uint64_t due_ms = e->expires_ms;
    queue_timer_remove(q->broker->queues, e);
    live_from(q, e, e->message ? e->message->ttl_ms : UINT64_MAX, due_ms);
    queue_entry_set_state(q, id, e, ENTRY_READY);
    if (q->able_count)
        queue_work(q);
    if (queue_over(q, 0, 0)) {
        queue_deliver(q, UINT32_MAX);
        queue_limit(q);
    }
}

/* -- end --------------------------------------------------------------------------------------------------------------------- */

bool queue_entry_expired(const struct queue *q, const struct queue_entry *e)
{
    return e->expires_ms <= broker_unix_ms(q->broker) && !(e->flags & ENTRY_AT_ONCE);
}

void queue_entry_remove(struct queue *q, uint64_t id)
{
    struct queue_entry *e = queue_entry_find(q, id);
    if (!e)
        return;
    if (e->log_offset != ENTRY_NO_LOG)
        durable_remove(q, id, e);
    queue_entry_free(q, id, e);
}

static void count_reason(struct queue *q, enum queue_reason reason)
{
    uint64_t *counters = q->broker->counters;
    switch (reason) {
    case REASON_EXPIRED:
        q->counts.expired++;
        counters[QUEUE_COUNTER_EXPIRED]++;
        break;
    case REASON_MAXLEN:
        q->counts.dropped++;
        counters[QUEUE_COUNTER_OVERFLOWED]++;
        break;
    case REASON_REJECTED:
    case REASON_DELIVERY_LIMIT:
        counters[QUEUE_COUNTER_REJECTED]++;
        break;
    default:
        break;
    }
}

void queue_entry_die(struct queue *q, uint64_t id, struct queue_entry *e, enum queue_reason reason)
{
    count_reason(q, reason);
    if (!q->declared->arguments.dead_letter) {
        queue_entry_remove(q, id);
        return;
    }
    queue_entry_set_state(q, id, e, ENTRY_LEAVING);
    queue_dead_letter(q, id, reason);
}

void queue_entry_leave(struct queue *q, uint64_t id)
{
    queue_entry_set_state(q, id, queue_entry_find(q, id), ENTRY_LEAVING);
}

void queue_entry_put_back(struct queue *q, uint64_t id)
{
    struct queue_entry *e = queue_entry_find(q, id);
    if (!e)
        return;
    queue_entry_set_state(q, id, e, ENTRY_READY);
    queue_work(q);
}

bool queue_entries_free(struct queue *q, uint64_t limit)
{
    uint64_t id = 0;
    for (; limit && (id = queue_entry_next(q, 0)) != 0; limit--)
        queue_entry_free(q, id, queue_entry_find(q, id));
    if (queue_entry_next(q, 0))
        return false;
    for (unsigned i = 0; i < q->lane_count; i++)
        lane_free(q, i);
    return true;
}

/* -- messages that only the log has ---------------------------------------------------------------------------------------------- */

bool queue_entry_page_out(struct queue *q, uint64_t id)
{
    struct queue_entry *e = queue_entry_find(q, id);
    if (!e || !e->message || e->log_offset == ENTRY_NO_LOG || (e->state != ENTRY_READY && e->state != ENTRY_DELAYED) ||
        (e->state == ENTRY_DELAYED && e->message->ttl_ms != UINT64_MAX))
        return false;
    message_give(q, e);
    q->paged++;
    return true;
}

void queue_entry_paged_in(struct queue *q, uint64_t id, struct message *m, int error)
{
    struct queue_entry *e = queue_entry_find(q, id);
    if (!e || e->message) {
        if (m)
            message_drop(m);
    } else if (m) {
        q->paged--;
        message_take(q, e, m);
        queue_requests_wake(q);
    } else {
        mr_log(MR_LOG_ERROR, "queue", "a message of %.*s cannot be read back and is lost: errno=%d",
               (int)q->declared->name.length, (const char *)q->declared->name.data, error);
        queue_entry_remove(q, id);
        queue_get_failed(q);
    }
    queue_work(q);
}
