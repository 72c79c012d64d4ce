/* Reads: requests wait for the one read job; each step of it answers some. */
#include <errno.h>

#include "queue/log/state.h"

static void enqueue(struct qlog_reader *r, struct qlog_request *q)
{
    q->next = NULL;
    *r->queue_end = q;
    r->queue_end = &q->next;
}

static int request_add(struct qlog *log, const struct qlog_request *asked)
{
    struct qlog_engine *e = log->engine;
    struct qlog_request *q = e->reader.count < QLOG_READS_MAX ? memory_alloc(&e->memory, sizeof *q) : NULL;
    if (!q)
        return MR_ERROR_NO_MEMORY;
    *q = *asked;
    q->log = log;
    log->reads++;
    e->reader.count++;
    enqueue(&e->reader, q);
    if (e->worker && !e->stopping && !e->reader.outstanding)
        mr_defer(e->worker, &e->reader.turn_end);
    return MR_OK;
}

int qlog_read(struct qlog *log, const struct qlog_place *place, uint64_t offset,
              void (*done)(void *context, const struct qlog_record *r, int error), void *context)
{
    return request_add(log, &(struct qlog_request){.done = done,
                                                   .context = context,
                                                   .offset = offset,
                                                   .records = 1,
                                                   .bytes = UINT64_MAX,
                                                   .segment = place->segment,
                                                   .position = place->position,
                                                   .want = place->bytes});
}

int qlog_scan(struct qlog *log, uint64_t offset, unsigned records, uint64_t bytes,
              void (*done)(void *context, const struct qlog_record *r, int error), void *context)
{
    return request_add(log, &(struct qlog_request){.scan = true,
                                                   .done = done,
                                                   .context = context,
                                                   .offset = offset,
                                                   .records = records,
                                                   .bytes = bytes,
                                                   .segment = QLOG_NONE});
}

/* -- before a step ------------------------------------------------------------------------------------------------------ */

/* The segment that holds the next record; for a scan where in it, too. NULL and q->error; 0: nothing is there. */
static const struct qlog_segment *step_segment(struct qlog_request *q)
{
    const struct qlog *log = q->log;
    if (q->scan && q->offset < qlog_begin(log))
        q->offset = qlog_begin(log); /* retention was here */
    const struct qlog_segment *s = qlog_segment_find(log, q->offset);
    q->error = q->scan || s ? 0 : ENOENT;
    if (!s)
        return NULL;
    if (q->scan && q->segment != s->first)
        q->position = qlog_index_find(s, q->offset);
    bool fits =
        q->position >= QLOG_SEGMENT_HEADER && q->position < s->bytes &&
        (q->scan || (q->segment == s->first && q->want >= QLOG_RECORD_HEADER && q->want <= s->bytes - q->position));
    q->error = fits ? 0 : EBADMSG;
    return fits ? s : NULL;
}

/* True: the job has something to do for it. */
static bool step_prepare(struct qlog_request *q)
{
    struct qlog *log = q->log;
    q->length = 0;
    q->chunk = NULL;
    q->error = log->deleted ? ECANCELED : 0;
    const struct qlog_segment *s = q->error ? NULL : step_segment(q);
    if (!s)
        return false;
    q->segment = s->first;
    uint64_t stream = s->stream + q->position - QLOG_SEGMENT_HEADER;
    q->limit = s->bytes - q->position;
    if (stream >= log->written) {
        q->chunk = qlog_chunk_find(log, stream, &q->chunk_at);
        q->held = true;
        log->holds++;
    } else if (stream + q->limit > log->written) {
        q->limit = (uint32_t)(log->written - stream);
    }
    q->salt = q->chunk ? 0 : s->salt; /* a segment in chunks may be in the making */
    if (q->scan)
        q->want = q->limit < QLOG_SCAN_BYTES ? q->limit : QLOG_SCAN_BYTES;
    return true;
}

void qlog_reader_pump(struct qlog_engine *e)
{
    struct qlog_reader *r = &e->reader;
    struct qlog_request **end = &r->step;
    if (r->outstanding || e->stopping || !r->queue)
        return;
    for (uint64_t bytes = 0; r->queue && bytes < QLOG_READ_BYTES;) {
        struct qlog_request *q = r->queue;
        r->queue = q->next;
        q->next = NULL;
        *end = q;
        end = &q->next;
        q->ended = !step_prepare(q);
        bytes += q->ended ? 0 : q->want;
    }
    if (!r->queue)
        r->queue_end = &r->queue;
    r->finished = false;
    r->outstanding = true;
    if (!e->worker || mr_offload(e->worker, qlog_reader_work, qlog_reader_done, r) == MR_OK)
        return;
    r->outstanding = false;
    *end = r->queue; /* back, in their order */
    r->queue_end = r->queue ? r->queue_end : end;
    r->queue = r->step;
    for (struct qlog_request *q = r->queue; q; q = q->next) {
        q->log->holds -= q->held;
        q->held = false;
    }
    r->step = NULL;
    mr_timer_set(e->worker, &r->retry, mr_now(e->worker) + QLOG_OFFLOAD_RETRY);
}

/* -- after it ------------------------------------------------------------------------------------------------------------ */

static void records_show(struct qlog_reader *r, struct qlog_request *q)
{
    struct qlog *log = q->log;
    const uint8_t *bytes = r->buffer + q->at;
    struct qlog_record_header h;
    for (uint32_t at = 0; at < q->length && !log->deleted; at += (uint32_t)qlog_record_bytes(h.length)) {
        qlog_record_parse(bytes + at, q->salt, q->position + at, &h);
        if (h.offset < q->offset)
            continue;
        if (h.offset > q->offset) {
            q->error = EBADMSG;
            return;
        }
        q->offset++;
        q->records--;
        q->bytes -= h.length < q->bytes ? h.length : q->bytes;
        struct qlog_record record = {h.offset,
                                     h.ms,
                                     h.kind,
                                     {bytes + at + QLOG_RECORD_HEADER, h.length},
                                     {q->segment, q->position + at, (uint32_t)qlog_record_bytes(h.length)}};
        q->done(q->context, &record, 0);
    }
    q->position += q->length;
}

static void request_end(struct qlog_request *q)
{
    struct qlog *log = q->log;
    struct qlog_engine *e = log->engine;
    bool shown = !q->scan && q->records == 0;
    if (!shown)
        q->done(q->context, NULL, q->error || q->scan ? q->error : EBADMSG);
    log->reads--;
    e->reader.count--;
    memory_free(&e->memory, q, sizeof *q);
    qlog_gone_look(log);
}

static void step_end(struct qlog_reader *r, struct qlog_request *q)
{
    struct qlog *log = q->log;
    if (q->held) {
        q->held = false;
        log->holds--;
        qlog_release(log);
    }
    if (!q->error && !q->ended)
        records_show(r, q);
    bool deleted = log->deleted && !(q->records == 0 && !q->scan);
    q->error = deleted ? ECANCELED : q->error;
    if (q->scan && !q->error && !q->ended && q->records && q->bytes && q->offset < log->next)
        enqueue(r, q);
    else
        request_end(q);
}

void qlog_reader_done(struct mr_worker *w, void *argument)
{
    struct qlog_reader *r = argument;
    struct qlog_request *q = r->step;
    r->step = NULL;
    while (q) { /* `outstanding` until all were shown: the buffer is theirs */
        struct qlog_request *next = q->next;
        step_end(r, q);
        q = next;
    }
    r->outstanding = false;
    if (w)
        qlog_reader_pump(r->engine);
}

static void turn_ended(struct mr_worker *w, struct mr_deferred *d)
{
    qlog_reader_pump(d->context);
}

static void retry_expired(struct mr_worker *w, struct mr_timer *t)
{
    qlog_reader_pump(t->context);
}

void qlog_reader_init(struct qlog_engine *e)
{
    struct qlog_reader *r = &e->reader;
    r->engine = e;
    r->queue_end = &r->queue;
    r->turn_end = (struct mr_deferred){.run = turn_ended, .context = e};
    mr_timer_init(&r->retry, retry_expired, e);
}
