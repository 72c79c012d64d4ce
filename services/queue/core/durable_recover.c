/* A queue's log read back at start: which entries are alive, then restored in the order of their ids. Bodies stay in the log until they are wanted.
 * Runs before the worker turns: it may block and use malloc. */
#include <inttypes.h>
#include <millrace/log.h>
#include <stdlib.h>

#include "queue/core/durable_state.h"

struct found {
    struct queue_restored entry;
    bool dead;
};

struct recovery {
    struct durable *durable;
    struct found *found; /* as they stand in the log */
    size_t count, room;
    size_t *index; /* by id, open addressing: place in found + 1 */
    size_t index_room;
    uint64_t id_max[QUEUE_PRIORITIES];
    bool no_memory;
};

static size_t *index_slot(struct recovery *r, uint64_t id)
{
    size_t at = (size_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (r->index_room - 1);
    while (r->index[at] && r->found[r->index[at] - 1].entry.id != id)
        at = (at + 1) & (r->index_room - 1);
    return &r->index[at];
}

static struct found *found_find(struct recovery *r, uint64_t id)
{
    size_t *slot = r->index_room ? index_slot(r, id) : NULL;
    return slot && *slot ? &r->found[*slot - 1] : NULL;
}

static bool index_grow(struct recovery *r)
{
    size_t room = r->index_room ? 2 * r->index_room : 1024;
    size_t *index = calloc(room, sizeof *index);
    if (!index)
        return false;
    free(r->index);
    r->index = index;
    r->index_room = room;
    for (size_t i = 0; i < r->count; i++)
        *index_slot(r, r->found[i].entry.id) = i + 1;
    return true;
}

static struct found *found_add(struct recovery *r, uint64_t id)
{
    if (2 * (r->count + 1) > r->index_room && !index_grow(r))
        return NULL;
    if (r->count == r->room) {
        size_t room = r->room ? 2 * r->room : 512;
        struct found *more = realloc(r->found, room * sizeof *more);
        if (!more)
            return NULL;
        r->found = more;
        r->room = room;
    }
    struct found *f = &r->found[r->count];
    *f = (struct found){.entry.id = id};
    *index_slot(r, id) = ++r->count;
    return f;
}

/* -- records -------------------------------------------------------------------------------------------------------------------- */

static void id_seen(struct recovery *r, uint64_t id)
{
    if (r->id_max[entry_priority(id)] < id)
        r->id_max[entry_priority(id)] = id;
}

/* The same id again: carried forward. What it says now counts. A delayed message with a time to live of its own comes with its body: nothing else knows
 * that time. */
static bool message_seen(struct recovery *r, const struct qlog_record *record)
{
    struct queue_record_message m;
    struct memory *memory = &r->durable->broker->memory;
    if (!queue_record_message_parse(record->payload, &m))
        return false;
    struct found *f = found_find(r, m.entry);
    if (!f)
        f = found_add(r, m.entry);
    if (!f) {
        r->no_memory = true;
        return false;
    }
    struct message *message = f->entry.message;
    if (!message && m.deliver_at_ms && m.ttl_ms != UINT64_MAX)
        message = queue_record_message_load(memory, &m);
    *f = (struct found){.entry = {.id = m.entry,
                                  .message = message,
                                  .arrived_ms = m.arrived_ms,
                                  .deliver_at_ms = m.deliver_at_ms,
                                  .ttl_ms = m.ttl_ms,
                                  .body_bytes = m.body_bytes,
                                  .deliveries = m.deliveries,
                                  .log_offset = record->offset,
                                  .place = record->place}};
    id_seen(r, m.entry);
    return true;
}

static void mark(struct found *f, enum queue_record_kind kind, uint32_t deliveries)
{
    if (kind == QUEUE_RECORD_DELIVERED && f->entry.deliveries < deliveries)
        f->entry.deliveries = deliveries;
    if (kind == QUEUE_RECORD_DELIVERED)
        return;
    f->dead = true;
    if (f->entry.message)
        message_drop(f->entry.message);
    f->entry.message = NULL;
}

/* Ids without an entry are of records that were trimmed. */
static void range_mark(struct recovery *r, enum queue_record_kind kind, struct queue_record_range range)
{
    for (uint32_t i = 0; i < range.count && range.count <= r->count; i++) {
        struct found *f = found_find(r, range.first + i);
        if (f)
            mark(f, kind, range.deliveries);
    }
    for (size_t i = 0; i < r->count && range.count > r->count; i++)
        if (r->found[i].entry.id >= range.first && r->found[i].entry.id - range.first < range.count)
            mark(&r->found[i], kind, range.deliveries);
    id_seen(r, range.first + range.count - 1);
}

static bool ranges_seen(struct recovery *r, const struct qlog_record *record)
{
    if (!queue_record_ranges_valid(record->payload))
        return false;
    for (size_t i = 0; i < record->payload.length / QUEUE_RECORD_RANGE_BYTES; i++)
        range_mark(r, record->kind, queue_record_range_read(record->payload, i));
    return true;
}

static bool record_seen(void *context, const struct qlog_record *record)
{
    struct recovery *r = ((struct durable *)context)->recovery;
    bool good = record->kind == QUEUE_RECORD_MESSAGE                                          ? message_seen(r, record)
                : record->kind == QUEUE_RECORD_GONE || record->kind == QUEUE_RECORD_DELIVERED ? ranges_seen(r, record)
                                                                                              : false;
    if (!good)
        mr_log(MR_LOG_ERROR, "queue", "record %" PRIu64 " of kind %u: %s", record->offset, record->kind,
               r->no_memory ? "no memory" : "not what a queue writes");
    return good;
}

/* -- entries -------------------------------------------------------------------------------------------------------------------- */

static int by_offset(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    return (x->entry.log_offset > y->entry.log_offset) - (x->entry.log_offset < y->entry.log_offset);
}

static int by_id(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    return (x->entry.id > y->entry.id) - (x->entry.id < y->entry.id);
}

/* Segments are counted for every entry that is alive, restored or not: what found no memory stays in the log. */
static bool segments_count(struct recovery *r)
{
    struct durable *d = r->durable;
    if (r->count)
        qsort(r->found, r->count, sizeof *r->found, by_offset);
    for (size_t i = 0; i < r->count; i++) {
        if (r->found[i].dead)
            continue;
        if (!durable_segment_reserve(d))
            return false;
        durable_segment_add(d, r->found[i].entry.log_offset, &r->found[i].entry.place);
    }
    return true;
}

static void entries_restore(struct recovery *r)
{
    struct queue *q = r->durable->queue;
    size_t left_out = 0;
    if (r->count)
        qsort(r->found, r->count, sizeof *r->found, by_id);
    for (size_t i = 0; i < r->count; i++) {
        struct found *f = &r->found[i];
        if (f->dead || queue_entry_restore(q, &f->entry))
            continue;
        left_out++;
        if (f->entry.message)
            message_drop(f->entry.message);
    }
    for (unsigned i = 0; i < QUEUE_PRIORITIES; i++)
        if (r->id_max[i])
            queue_sequence_reach(q, r->id_max[i]);
    if (left_out)
        mr_log(
            MR_LOG_ERROR, "queue",
            "queue %.*s: %zu messages of its log have no room in memory; they stay in the log until a start with more",
            (int)q->declared->name.length, (const char *)q->declared->name.data, left_out);
}

bool durable_recover(struct durable *d, const char *name, const struct qlog_options *options)
{
    struct recovery r = {.durable = d};
    d->recovery = &r;
    bool good = qlog_open(d->broker->engine, name, options, d, record_seen, &d->log) == MR_OK;
    d->recovery = NULL;
    if (good && segments_count(&r)) {
        entries_restore(&r);
        durable_dirty(d);
    } else {
        d->log = NULL;
        good = false;
    }
    free(r.found);
    free(r.index);
    return good;
}
