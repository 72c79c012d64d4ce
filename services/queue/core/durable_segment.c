/* Which segments of a queue's log are still needed. A segment goes when none of its entries is alive, oldest first. Where one entry that nobody
 * acknowledges holds many dead ones back, it is written again at the end:
 *
 *     | e . . . | . . . . | . . . . | . . x y |        e carried forward       | . . x y e' |
 *
 * until the log takes at most twice what is alive and two segments more. The old records stay until the new ones are safe. */
#include <string.h>

#include "queue/core/durable_state.h"

bool durable_segment_reserve(struct durable *d)
{
    if (d->segment_count < d->segment_room)
        return true;
    unsigned room = d->segment_room ? 2 * d->segment_room : 4;
    size_t bytes = room * sizeof *d->segments, old_bytes = d->segment_room * sizeof *d->segments;
    if (bytes > MEMORY_LARGEST)
        return false;
    struct durable_segment *more = d->segments ? memory_resize(&d->broker->memory, d->segments, old_bytes, bytes)
                                               : memory_alloc(&d->broker->memory, bytes);
    if (!more)
        return false;
    d->segments = more;
    d->segment_room = room;
    return true;
}

/* Where `offset` is or would be: the last segment that does not begin behind it. */
static struct durable_segment *segment_find(const struct durable *d, uint64_t offset)
{
    unsigned low = 0, high = d->segment_count;
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (d->segments[middle].first <= offset)
            low = middle;
        else
            high = middle;
    }
    return &d->segments[low];
}

void durable_segment_add(struct durable *d, uint64_t offset, const struct qlog_place *place)
{
    if (!d->segment_count || d->segments[d->segment_count - 1].first < place->segment)
        d->segments[d->segment_count++] = (struct durable_segment){.first = place->segment};
    segment_find(d, offset)->live++;
    d->live_bytes += place->bytes;
}

void durable_segment_drop(struct durable *d, uint64_t offset, uint32_t bytes)
{
    segment_find(d, offset)->live--;
    d->live_bytes -= bytes;
}

struct qlog_place durable_place(const struct durable *d, const struct queue_entry *e)
{
    return (struct qlog_place){segment_find(d, e->log_offset)->first, e->log_position, e->log_bytes};
}

static void dead_trim(struct durable *d)
{
    unsigned dead = 0;
    while (dead + 1 < d->segment_count && !d->segments[dead].live)
        dead++;
    if (dead + 1 == d->segment_count && !d->segments[dead].live && qlog_segments(d->log) > 1)
        qlog_trim(d->log, qlog_next(d->log)); /* nothing is alive at all */
    if (!dead)
        return;
    d->segment_count -= dead;
    memmove(d->segments, d->segments + dead, d->segment_count * sizeof *d->segments);
    d->carry_cursor = 0;
    qlog_trim(d->log, d->segments[0].first);
}

static bool worth_carrying(const struct durable *d)
{
    return d->segment_count > 2 && !d->carry_paused && qlog_ready(d->broker->engine) &&
           qlog_bytes(d->log) > 2 * (d->live_bytes + d->broker->config->segment_bytes);
}

/* Reads back entries of the first segment, a few at a time; durable_carried writes them. Entries mostly lie in the log as they lie in the queue: the
 * walk finds them at its begin. */
static void carry(struct durable *d)
{
    unsigned looked = 0;
    while (d->carry_reads < CARRY_READS_MAX && looked++ < CARRY_LOOK_MAX) {
        uint64_t id = queue_entry_next(d->queue, d->carry_cursor);
        const struct queue_entry *e = id ? queue_entry_find(d->queue, id) : NULL;
        if (!e) {
            d->carry_cursor = 0;
            return;
        }
        if (e->log_offset < d->segments[1].first && !durable_read_start(d, id, e, true))
            return;
        d->carry_cursor = id;
    }
    if (looked > CARRY_LOOK_MAX)
        durable_dirty(d); /* goes on next turn */
}

void durable_trim(struct durable *d)
{
    if (!d->log || (d->carried_until && qlog_safe(d->log) < d->carried_until))
        return;
    if (!d->carry_reads) {
        d->carried_until = 0;
        dead_trim(d);
    }
    if (!d->carry_paused && (d->carry_reads || (worth_carrying(d) && d->segments[0].live)))
        carry(d);
}

/* A record read back goes to the end as it is, but for what was delivered since. */
void durable_carried(struct durable *d, const struct durable_read *r, struct mr_span payload)
{
    struct queue_entry *e = queue_entry_find(d->queue, r->id);
    struct queue_record_message m;
    struct qlog_place place;
    uint8_t head[QUEUE_RECORD_HEAD_BYTES];
    if (!e || e->log_offset != r->offset || !queue_record_message_parse(payload, &m))
        return;
    m.deliveries = e->deliveries;
    queue_record_message_emit(head, &m);
    struct mr_span spans[] = {{head, sizeof head}, {payload.data + sizeof head, payload.length - sizeof head}};
    uint64_t offset = UINT64_MAX;
    if (durable_segment_reserve(d))
        offset = qlog_append(d->log, QUEUE_RECORD_MESSAGE, broker_unix_ms(d->broker), spans, 2, &place);
    if (offset == UINT64_MAX) {
        d->carry_paused = true; /* no memory: else it would be read again at once, and again */
        return;
    }
    durable_segment_drop(d, e->log_offset, e->log_bytes);
    durable_segment_add(d, offset, &place);
    e->log_offset = offset;
    e->log_position = place.position;
    e->log_bytes = place.bytes;
    d->carried_until = offset + 1;
}
