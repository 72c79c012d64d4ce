/* Bodies away from memory: above half of the limit what came to rest behind the next few messages of a queue is dropped from memory, the log
 * has it. Whoever wants one gets it read back, and the next few of the queue with it. */
#include <errno.h>
#include <inttypes.h>
#include <millrace/log.h>

#include "queue/core/durable_state.h"

bool durable_memory_short(const struct broker *b)
{
    return b->memory.used > b->memory.limit / 2;
}

/* -- in ------------------------------------------------------------------------------------------------------------------------- */

static void read_free(struct durable_read *r)
{
    if (r->durable) {
        *r->link = r->next;
        if (r->next)
            r->next->link = r->link;
    }
    memory_free(r->memory, r, sizeof *r);
}

void durable_reads_cancel(struct durable *d)
{
    for (struct durable_read *r = d->reads; r; r = r->next)
        r->durable = NULL; /* freed when it comes back */
    d->reads = NULL;
}

static void again_later(struct durable *d, uint64_t id)
{
    if (!d->page_again)
        d->page_again = id;
}

static void paged_in(struct durable *d, const struct durable_read *r, const struct qlog_record *record, int error)
{
    struct broker *b = d->broker;
    struct queue *q = d->queue;
    struct queue_entry *e = queue_entry_find(q, r->id);
    struct queue_record_message m;
    if (!e)
        return;
    e->flags &= (uint8_t)~ENTRY_READING;
    if (record &&
        (record->kind != QUEUE_RECORD_MESSAGE || !queue_record_message_parse(record->payload, &m) || m.entry != r->id))
        error = EBADMSG;
    struct message *message = error ? NULL : queue_record_message_load(&b->memory, &m);
    if (!message && error != EBADMSG) { /* no memory, or the disk: it is still there */
        d->read_error = error;
        again_later(d, r->id);
        return;
    }
    d->read_error = 0;
    b->counters[QUEUE_COUNTER_PAGED_IN] += message != NULL;
    queue_entry_paged_in(q, r->id, message, error);
    letters_wake(q);
    queue_waiters_wake(b, q->id);
}

static void read_done(void *context, const struct qlog_record *record, int error)
{
    struct durable_read *r = context;
    struct durable *d = r->durable;
    if (error == 0 && !record)
        error = EIO;
    if (d && error && error != ECANCELED && error != d->read_error)
        mr_log(MR_LOG_ERROR, "queue", "queue %.*s: record %" PRIu64 " of its log cannot be read: errno %d",
               (int)d->queue->declared->name.length, (const char *)d->queue->declared->name.data, r->offset, error);
    if (d && r->carry) {
        d->carry_reads--;
        d->read_error = error;
        d->carry_paused |= error != 0;
        if (!error)
            durable_carried(d, r, record->payload);
        else if (error == EBADMSG)
            queue_entry_paged_in(d->queue, r->id, NULL, error); /* ends it, unless memory has it still */
        durable_dirty(d);
    } else if (d) {
        d->page_reads--;
        d->page_bytes -= r->bytes;
        paged_in(d, r, error ? NULL : record, error);
    }
    read_free(r);
}

bool durable_read_start(struct durable *d, uint64_t id, const struct queue_entry *e, bool carry)
{
    struct memory *memory = &d->broker->memory;
    struct durable_read *r = memory_alloc(memory, sizeof *r);
    if (!r)
        return false;
    *r = (struct durable_read){.durable = d,
                               .memory = memory,
                               .next = d->reads,
                               .link = &d->reads,
                               .id = id,
                               .offset = e->log_offset,
                               .bytes = e->log_bytes,
                               .carry = carry};
    struct qlog_place place = durable_place(d, e);
    if (r->next)
        r->next->link = &r->next;
    d->reads = r;
    if (qlog_read(d->log, &place, e->log_offset, read_done, r) != MR_OK) {
        read_free(r);
        return false;
    }
    d->carry_reads += carry;
    d->page_reads += !carry;
    d->page_bytes += carry ? 0 : e->log_bytes;
    return true;
}

static bool page_in_start(struct durable *d, uint64_t id, struct queue_entry *e)
{
    if (e->message || e->flags & ENTRY_READING)
        return true;
    if (!durable_read_start(d, id, e, false))
        return false;
    e->flags |= ENTRY_READING;
    return true;
}

void durable_page_in(struct queue *q, uint64_t id)
{
    struct durable *d = q->durable;
    struct queue_entry *e = queue_entry_find(q, id);
    if (!d || !d->log || !e || e->log_offset == ENTRY_NO_LOG)
        return;
    if (!page_in_start(d, id, e)) {
        again_later(d, id);
        return;
    }
    if (d->page_reads > READ_AHEAD_ENTRIES / 2)
        return; /* enough are on their way */
    for (unsigned i = 0; i < READ_AHEAD_ENTRIES && d->page_bytes < READ_AHEAD_BYTES; i++) {
        id = queue_entry_next_ready(q, id);
        e = id ? queue_entry_find(q, id) : NULL;
        if (!e || !page_in_start(d, id, e))
            return;
    }
}

/* -- out ------------------------------------------------------------------------------------------------------------------------ */

static void page_out(struct durable *d, uint64_t id)
{
    const struct queue_entry *e = queue_entry_find(d->queue, id);
    if (e && e->message && (e->state == ENTRY_READY || e->state == ENTRY_DELAYED) && e->log_offset != ENTRY_NO_LOG &&
        queue_entry_page_out(d->queue, id))
        d->broker->counters[QUEUE_COUNTER_PAGED_OUT]++;
}

/* New, while memory is short: when the turn has ended it is either with a consumer or can go. */
void durable_fresh(struct durable *d, uint64_t id)
{
    struct durable_set *set = d->broker->queues->durable;
    if (set->fresh_count == FRESH_MAX)
        return; /* durable_page_second finds it */
    set->fresh[set->fresh_count].durable = d;
    set->fresh[set->fresh_count++].id = id;
    mr_defer(d->broker->worker, &set->turn_end);
}

void durable_fresh_page_out(struct durable_set *set)
{
    for (unsigned i = 0; i < set->fresh_count; i++) {
        struct durable *d = set->fresh[i].durable;
        const struct queue_entry *e = d ? queue_entry_find(d->queue, set->fresh[i].id) : NULL;
        if (e && (e->state == ENTRY_DELAYED || d->queue->ready > PAGE_KEEP || d->queue->ready_bytes > READ_AHEAD_BYTES))
            page_out(d, set->fresh[i].id);
    }
    set->fresh_count = 0;
}

/* The last of the next ones, which stay: PAGE_KEEP of them, or what is read ahead. 0: there are not more. */
static uint64_t next_last(const struct queue *q)
{
    uint64_t id = queue_entry_next_ready(q, 0), bytes = 0;
    for (unsigned i = 0; id && i < PAGE_KEEP && bytes < READ_AHEAD_BYTES; i++) {
        bytes += queue_entry_find(q, id)->body_bytes;
        id = queue_entry_next_ready(q, id);
    }
    return id;
}

static bool is_behind(uint64_t id, uint64_t last)
{
    unsigned priority = entry_priority(id), last_priority = entry_priority(last);
    return last && (priority < last_priority || (priority == last_priority && id > last));
}

/* What was there before memory became short, a little of it each second. */
static void page_out_some(struct durable *d, unsigned *budget)
{
    uint64_t last = next_last(d->queue);
    for (; *budget > 0 && durable_memory_short(d->broker); --*budget) {
        uint64_t id = queue_entry_next(d->queue, d->page_cursor);
        d->page_cursor = id;
        if (!id)
            return; /* from the begin next time */
        if (queue_entry_find(d->queue, id)->state == ENTRY_DELAYED || is_behind(id, last))
            page_out(d, id);
    }
}

void durable_page_second(struct durable_set *set)
{
    unsigned budget = PAGE_OUT_MAX;
    for (struct durable *d = set->all; d; d = d->next) {
        uint64_t again = d->page_again;
        if (d->carry_paused)
            durable_dirty(d);
        d->carry_paused = false;
        d->page_again = 0;
        if (again)
            durable_page_in(d->queue, again);
        if (again && !queue_entry_find(d->queue, again))
            queue_work(d->queue);
        if (budget && durable_memory_short(set->broker))
            page_out_some(d, &budget);
    }
}
