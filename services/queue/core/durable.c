/* The logs of the queues of a worker: a record for each persistent message of a durable queue, written in groups by the engine (log/log.h); a put is
 * answered when its record is as safe as the queue promises. README.md has the promises. */
#include <errno.h>
#include <inttypes.h>
#include <millrace/log.h>
#include <stdio.h>
#include <stdlib.h>

#include "queue/core/durable_state.h"

const char durable_tag;

/* -- the set ---------------------------------------------------------------------------------------------------------------- */

#define LOG_NAME_BYTES 24

static void log_name(char to[LOG_NAME_BYTES], uint64_t id)
{
    snprintf(to, LOG_NAME_BYTES, "q-%016" PRIx64, id);
}

static void log_found(void *context, const char *name)
{
    struct durable_set *set = context;
    char *end = NULL;
    uint64_t id = name[0] == 'q' && name[1] == '-' ? strtoull(name + 2, &end, 16) : 0;
    if (!end || *end || end - name != 18)
        return; /* somebody else's: the catalog */
    if (set->found_count == set->found_room) {
        unsigned room = set->found_room ? 2 * set->found_room : 64;
        uint64_t *more = realloc(set->found, room * sizeof *more);
        if (!more) {
            set->found_failed = true;
            return;
        }
        set->found = more;
        set->found_room = room;
    }
    set->found[set->found_count++] = id;
}

static int id_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void turn_ended(struct mr_worker *w, struct mr_deferred *deferred)
{
    struct durable_set *set = deferred->context;
    struct durable *d = set->dirty;
    (void)w;
    set->dirty = NULL;
    while (d) {
        struct durable *next = d->dirty_next;
        d->dirty = false;
        durable_gone_flush(d); /* what finds no room is tried again when the log has moved on */
        durable_trim(d);
        d = next;
    }
    letter_set_turn(set->broker);
    queue_waiters_turn(set->broker);
    durable_fresh_page_out(set);
}

void durable_dirty(struct durable *d)
{
    struct durable_set *set = d->broker->queues->durable;
    mr_defer(d->broker->worker, &set->turn_end);
    if (d->dirty)
        return;
    d->dirty = true;
    d->dirty_next = set->dirty;
    set->dirty = d;
}

static bool set_logs_find(struct durable_set *set)
{
    const struct queue_config *config = set->broker->config;
    set->span_room = (unsigned)(config->message_bytes_max / MESSAGE_PIECE_MAX) + 4;
    set->spans = calloc(set->span_room, sizeof *set->spans);
    if (!set->spans || qlog_folder_list(config->folder, log_found, set) != MR_OK || set->found_failed)
        return false;
    if (set->found_count)
        qsort(set->found, set->found_count, sizeof *set->found, id_compare);
    return true;
}

bool durable_set_start(struct broker *b)
{
    struct durable_set *set = calloc(1, sizeof *set);
    b->queues->durable = set;
    if (!set)
        return false;
    set->broker = b;
    set->turn_end = (struct mr_deferred){.run = turn_ended, .context = set};
    if (letter_set_start(&set->letters) && (!b->engine || set_logs_find(set)))
        return true;
    durable_set_release(b);
    return false;
}

static bool nothing_wanted(void *context, const struct qlog_record *r)
{
    (void)context;
    (void)r;
    return true;
}

/* A queue that was deleted just before the process ended: the catalog knows it no more, its log is still there. What is remembered of the others: for
 * which queue there was no memory. It may come while the worker turns, which opens no log that exists. */
void durable_set_ready(struct broker *b)
{
    struct durable_set *set = b->queues->durable;
    struct qlog_options options = {.safety = QLOG_WRITTEN, .segment_bytes = b->config->segment_bytes};
    unsigned kept = 0;
    for (unsigned i = 0; i < set->found_count; i++) {
        char name[LOG_NAME_BYTES];
        struct qlog *log;
        const struct catalog_queue *declared = catalog_queue_by_id(b->catalog, set->found[i]);
        if (declared && declared->owner == b->index && !queue_find(b, declared->id))
            set->found[kept++] = declared->id;
        if (declared || set->found[i] % b->workers != b->index)
            continue;
        log_name(name, set->found[i]);
        mr_log(MR_LOG_INFO, "queue", "log %s is of no queue any more: deleted", name);
        if (qlog_open(b->engine, name, &options, NULL, nothing_wanted, &log) == MR_OK)
            qlog_delete(log);
    }
    set->found_count = kept;
}

void durable_set_stop(struct broker *b)
{
    struct durable_set *set = b->queues->durable;
    for (struct durable *d = set->all; d; d = d->next) {
        durable_gone_flush(d);
        durable_delivered_flush(d);
    }
}

void durable_set_release(struct broker *b)
{
    struct durable_set *set = b->queues->durable;
    if (!set)
        return;
    free(set->found);
    free(set->spans);
    letter_set_release(&set->letters);
    free(set);
    b->queues->durable = NULL;
}

void durable_set_second(struct broker *b)
{
    struct durable_set *set = b->queues->durable;
    uint64_t bytes = 0;
    for (struct durable *d = set->all; d; d = d->next) {
        durable_delivered_flush(d);
        if (d->gone)
            durable_dirty(d);
        bytes += durable_log_bytes(d->queue);
    }
    durable_page_second(set);
    letter_set_second(b);
    queue_waiters_second(b);
    b->counters[QUEUE_COUNTER_LOG_BYTES] = bytes;
}

/* -- queues ----------------------------------------------------------------------------------------------------------------- */

static bool wants_log(const struct queue *q)
{
    return q->broker->engine && q->declared->durable && q->declared->arguments.durability != QUEUE_MEMORY;
}

void durable_added(struct queue *q)
{
    struct broker *b = q->broker;
    struct durable_set *set = b->queues->durable;
    struct durable *d = wants_log(q) ? memory_alloc(&b->memory, sizeof *d) : NULL;
    if (!d) {
        if (wants_log(q))
            mr_log(MR_LOG_ERROR, "queue", "no memory for the log of queue %.*s: it takes no persistent messages",
                   (int)q->declared->name.length, (const char *)q->declared->name.data);
        return;
    }
    *d = (struct durable){.tag = &durable_tag, .queue = q, .broker = b};
    d->waiting_end = &d->waiting;
    d->next = set->all;
    d->link = &set->all;
    if (d->next)
        d->next->link = &d->next;
    set->all = q->durable = d;

    char name[LOG_NAME_BYTES];
    struct qlog_options options = {.safety =
                                       q->declared->arguments.durability == QUEUE_FSYNC ? QLOG_SYNCED : QLOG_WRITTEN,
                                   .segment_bytes = b->config->segment_bytes};
    log_name(name, q->id);
    if (set->found_count && bsearch(&q->id, set->found, set->found_count, sizeof q->id, id_compare)) {
        if (!set->broker->queues->starting || !durable_recover(d, name, &options))
            mr_log(MR_LOG_ERROR, "queue", "queue %.*s takes and gives nothing: its log %s cannot be read",
                   (int)q->declared->name.length, (const char *)q->declared->name.data, name);
    } else {
        d->log = qlog_create(b->engine, name, &options, d);
    }
}

static void durable_free(struct durable *d)
{
    struct durable_set *set = d->broker->queues->durable;
    for (struct durable **link = &set->dirty; d->dirty && *link; link = &(*link)->dirty_next)
        if (*link == d) {
            *link = d->dirty_next;
            break;
        }
    for (unsigned i = 0; i < set->fresh_count; i++)
        if (set->fresh[i].durable == d)
            set->fresh[i].durable = NULL;
    durable_reads_cancel(d);
    durable_marks_free(d);
    if (d->segments)
        memory_free(&d->broker->memory, d->segments, d->segment_room * sizeof *d->segments);
    *d->link = d->next;
    if (d->next)
        d->next->link = d->link;
    d->queue->durable = NULL;
    memory_free(&d->broker->memory, d, sizeof *d);
}

static void waiting_answer(struct durable *d, uint64_t below, int result)
{
    while (d->waiting && d->waiting->log_offset < below) {
        struct queue_put *put = d->waiting;
        d->waiting = put->next;
        if (!d->waiting)
            d->waiting_end = &d->waiting;
        queue_put_answer(d->broker, put, result);
    }
}

void durable_removed(struct queue *q)
{
    struct durable *d = q->durable;
    letters_detach(q);
    if (!d)
        return;
    waiting_answer(d, UINT64_MAX, PUT_FAILED);
    struct qlog *log = d->log;
    durable_free(d);
    if (log)
        qlog_delete(log);
}

void durable_release(struct queue *q)
{
    letters_detach(q);
    if (q->durable)
        durable_free(q->durable);
}

/* -- entries ---------------------------------------------------------------------------------------------------------------- */

static uint64_t message_append_record(struct durable *d, uint64_t id, const struct queue_entry *e,
                                      struct qlog_place *place)
{
    struct durable_set *set = d->broker->queues->durable;
    const struct message *m = e->message;
    uint64_t now_ms = broker_unix_ms(d->broker);
    struct queue_record_message r = {.entry = id,
                                     .published_ms = m->published_ms,
                                     .arrived_ms = now_ms,
                                     .deliver_at_ms = m->deliver_at_ms,
                                     .ttl_ms = m->ttl_ms,
                                     .body_bytes = m->body_bytes,
                                     .deliveries = e->deliveries,
                                     .priority = m->priority,
                                     .persistent = m->persistent,
                                     .exchange = message_exchange(m),
                                     .key = message_routing_key(m),
                                     .properties = message_properties(m)};
    uint8_t head[QUEUE_RECORD_HEAD_BYTES];
    unsigned n = 0;
    queue_record_message_emit(head, &r);
    set->spans[n++] = (struct mr_span){head, sizeof head};
    set->spans[n++] = (struct mr_span){m->head, m->head_bytes};
    for (const struct message_piece *p = m->body; p; p = p->next)
        set->spans[n++] = (struct mr_span){p->bytes, p->length};
    return qlog_append(d->log, QUEUE_RECORD_MESSAGE, now_ms, set->spans, n, place);
}

/* Publishers are held up before the buffers are full; who gets here all the same is told that it failed. */
static void ready_look(const struct durable *d)
{
    if (!qlog_ready(d->broker->engine))
        broker_alarm_set(d->broker, BROKER_ALARM_LOG, true); /* the engine's hook tells when it is over */
}

static bool spans_fit(const struct durable *d, const struct message *m)
{
    return m->body_bytes / MESSAGE_PIECE_MAX + 3 <= d->broker->queues->durable->span_room;
}

enum durable_outcome durable_put(struct queue *q, uint64_t id, struct queue_entry *e, struct queue_put *put)
{
    struct durable *d = q->durable;
    struct qlog_place place;
    e->log_offset = ENTRY_NO_LOG;
    if (!e->message->persistent || !wants_log(q))
        return DURABLE_NOTHING;
    if (!d || !d->log || !spans_fit(d, e->message) || !durable_segment_reserve(d))
        return DURABLE_FAILED;
    uint64_t offset = message_append_record(d, id, e, &place);
    ready_look(d);
    if (offset == UINT64_MAX)
        return DURABLE_FAILED;
    e->log_offset = offset;
    e->log_position = place.position;
    e->log_bytes = place.bytes;
    durable_segment_add(d, offset, &place);
    if (durable_memory_short(d->broker))
        durable_fresh(d, id);
    if (!put)
        return DURABLE_NOTHING;
    put->log_offset = offset;
    put->next = NULL;
    *d->waiting_end = put;
    d->waiting_end = &put->next;
    return DURABLE_WAITS;
}

void durable_remove(struct queue *q, uint64_t id, const struct queue_entry *e)
{
    struct durable *d = q->durable;
    if (!d || !d->log || e->log_offset == ENTRY_NO_LOG)
        return;
    durable_gone_add(d, id);
    durable_segment_drop(d, e->log_offset, e->log_bytes);
    durable_dirty(d);
}

void queue_log_advanced(struct broker *b, struct qlog *log)
{
    struct durable *d = qlog_context(log);
    if (!d || d->tag != &durable_tag)
        return; /* the catalog's */
    waiting_answer(d, qlog_safe(log), PUT_TAKEN);
    if (d->gone || d->carried_until)
        durable_dirty(d);
    (void)b;
}

uint64_t durable_log_bytes(const struct queue *q)
{
    return q->durable && q->durable->log ? qlog_bytes(q->durable->log) : 0;
}

int durable_error(const struct queue *q)
{
    const struct durable *d = q->durable;
    if (!d)
        return 0;
    if (!d->log)
        return EBADMSG;
    return d->read_error ? d->read_error : qlog_engine_error(d->broker->engine);
}
