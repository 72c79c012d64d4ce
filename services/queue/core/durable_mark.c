/* What the log is told of entries that are in it: that they have gone, in one record a turn, and that they were delivered, each second for those that
 * are still there. Nobody waits for either. */
#include "queue/core/durable_state.h"

/* Ids that follow each other with the same count of deliveries are one range. */
static bool range_extend(struct queue_record_range *r, uint64_t id, uint32_t deliveries)
{
    if (r->deliveries != deliveries || r->count == UINT32_MAX || r->first + r->count != id)
        return false;
    r->count++;
    return true;
}

static bool ranges_append(struct durable *d, enum queue_record_kind kind, const struct queue_record_range *ranges,
                          unsigned count)
{
    uint8_t bytes[GONE_RANGES_MAX * QUEUE_RECORD_RANGE_BYTES];
    for (unsigned i = 0; i < count; i++)
        queue_record_range_emit(bytes + i * QUEUE_RECORD_RANGE_BYTES, ranges[i]);
    struct mr_span payload = {bytes, count * QUEUE_RECORD_RANGE_BYTES};
    return qlog_append(d->log, kind, broker_unix_ms(d->broker), &payload, 1, NULL) != UINT64_MAX;
}

void durable_gone_add(struct durable *d, uint64_t id)
{
    struct durable_gone *last = d->gone_last;
    if (last && range_extend(&last->ranges[last->count - 1], id, 0))
        return;
    if (!last || last->count == GONE_RANGES_MAX) {
        struct durable_gone *more = memory_alloc(&d->broker->memory, sizeof *more);
        if (!more) { /* at once then */
            ranges_append(d, QUEUE_RECORD_GONE, &(struct queue_record_range){id, 1, 0}, 1);
            return;
        }
        more->next = NULL;
        more->count = 0;
        *(last ? &last->next : &d->gone) = more;
        d->gone_last = last = more;
    }
    last->ranges[last->count++] = (struct queue_record_range){id, 1, 0};
}

static void gone_free_first(struct durable *d)
{
    struct durable_gone *first = d->gone;
    d->gone = first->next;
    if (!d->gone)
        d->gone_last = NULL;
    memory_free(&d->broker->memory, first, sizeof *first);
}

bool durable_gone_flush(struct durable *d)
{
    while (d->log && d->gone) {
        if (!ranges_append(d, QUEUE_RECORD_GONE, d->gone->ranges, d->gone->count))
            return false;
        gone_free_first(d);
    }
    return true;
}

void durable_deliveries(struct queue *q, uint64_t id, const struct queue_entry *e)
{
    struct durable *d = q->durable;
    if (!d || !d->log || e->log_offset == ENTRY_NO_LOG)
        return;
    if (d->delivered_count == DELIVERED_MAX)
        durable_delivered_flush(d);
    if (!d->delivered)
        d->delivered = memory_alloc(&d->broker->memory, DELIVERED_MAX * sizeof *d->delivered);
    if (d->delivered)
        d->delivered[d->delivered_count++] = id;
}

/* Most were acknowledged by now, and are not worth a record. */
void durable_delivered_flush(struct durable *d)
{
    struct queue_record_range ranges[GONE_RANGES_MAX];
    unsigned count = 0;
    for (unsigned i = 0; d->log && i < d->delivered_count; i++) {
        const struct queue_entry *e = queue_entry_find(d->queue, d->delivered[i]);
        if (!e || (count && range_extend(&ranges[count - 1], d->delivered[i], e->deliveries)))
            continue;
        if (count == GONE_RANGES_MAX) {
            ranges_append(d, QUEUE_RECORD_DELIVERED, ranges, count);
            count = 0;
        }
        ranges[count++] = (struct queue_record_range){d->delivered[i], 1, e->deliveries};
    }
    if (count)
        ranges_append(d, QUEUE_RECORD_DELIVERED, ranges, count);
    if (d->delivered)
        memory_free(&d->broker->memory, d->delivered, DELIVERED_MAX * sizeof *d->delivered);
    d->delivered = NULL;
    d->delivered_count = 0;
}

void durable_marks_free(struct durable *d)
{
    while (d->gone)
        gone_free_first(d);
    if (d->delivered)
        memory_free(&d->broker->memory, d->delivered, DELIVERED_MAX * sizeof *d->delivered);
    d->delivered = NULL;
}
