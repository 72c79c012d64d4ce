/* Appending: bytes go into chunks of the log, in memory that is reserved; a record may lie in several. */
#include <assert.h>
#include <string.h>

#include "queue/log/state.h"

#define CHUNK_BYTES_MAX (MEMORY_LARGEST - sizeof(struct qlog_chunk))
#define CHUNK_BYTES_MIN (512 - sizeof(struct qlog_chunk))

static size_t chunk_cost(uint32_t capacity)
{
    return sizeof(struct qlog_chunk) + capacity;
}

static void chunks_free(struct qlog_engine *e, struct qlog_chunk *c)
{
    while (c) {
        struct qlog_chunk *next = c->next;
        memory_free(&e->buffers, c, chunk_cost(c->capacity));
        c = next;
    }
}

/* Chunks for `n` bytes more than the last one has room for; the more waits already, the larger. False: no memory, nothing changed. */
static bool chunks_reserve(struct qlog *log, uint64_t n, struct qlog_chunk **out)
{
    struct qlog_chunk *first = NULL, **end = &first;
    uint64_t least = log->appended - log->released;
    least = least > CHUNK_BYTES_MIN ? least : CHUNK_BYTES_MIN;
    while (n > 0) {
        uint64_t capacity = n > least ? n : least;
        capacity = capacity < CHUNK_BYTES_MAX ? (capacity + 7) & ~UINT64_C(7) : CHUNK_BYTES_MAX & ~UINT64_C(7);
        struct qlog_chunk *c = memory_alloc(&log->engine->buffers, chunk_cost((uint32_t)capacity));
        if (!c) {
            chunks_free(log->engine, first);
            return false;
        }
        c->next = NULL;
        c->capacity = (uint32_t)capacity;
        *end = c;
        end = &c->next;
        n -= n < capacity ? n : capacity;
    }
    *out = first;
    return true;
}

static void chunks_put(struct qlog *log, const void *data, size_t n)
{
    const uint8_t *from = data;
    while (n > 0) {
        if (log->chunk_used == log->chunk_last->capacity) {
            log->chunk_last = log->chunk_last->next;
            log->chunk_used = 0;
        }
        size_t room = log->chunk_last->capacity - log->chunk_used, part = n < room ? n : room;
        memcpy(log->chunk_last->bytes + log->chunk_used, from, part);
        log->chunk_used += (uint32_t)part;
        from += part;
        n -= part;
    }
}

static void chunks_add(struct qlog *log, struct qlog_chunk *fresh)
{
    if (!fresh)
        return;
    if (log->chunk_last) {
        log->chunk_last->next = fresh;
        return;
    }
    log->chunks = log->chunk_last = fresh;
    log->chunk_used = 0;
    log->chunk_stream = log->appended;
}

struct qlog_chunk *qlog_chunk_find(const struct qlog *log, uint64_t stream, uint32_t *at)
{
    struct qlog_chunk *c = log->chunks;
    uint64_t begin = log->chunk_stream;
    assert(stream >= begin);
    for (; stream - begin >= c->capacity && c->next; c = c->next)
        begin += c->capacity;
    *at = (uint32_t)(stream - begin);
    return c;
}

void qlog_release(struct qlog *log)
{
    uint64_t safe = log->options.safety == QLOG_SYNCED ? log->synced : log->written;
    if (log->holds > 0) /* a read job looks at them */
        return;
    log->engine->pending -= safe - log->released;
    log->released = safe;
    while (log->chunks && (safe == log->appended || safe - log->chunk_stream >= log->chunks->capacity)) {
        struct qlog_chunk *c = log->chunks;
        log->chunk_stream += c->capacity;
        log->chunks = c->next;
        memory_free(&log->engine->buffers, c, chunk_cost(c->capacity));
    }
    if (!log->chunks)
        log->chunk_last = NULL;
}

/* The segment that takes a record of `bytes`; a new one when it does not fit. NULL: no memory. */
static struct qlog_segment *segment_for(struct qlog *log, uint64_t bytes)
{
    struct qlog_segment *s = log->last;
    bool fits = s && (s->bytes + bytes <= log->options.segment_bytes || s->bytes == QLOG_SEGMENT_HEADER);
    return fits ? s : qlog_segment_add(log, log->next);
}

uint64_t qlog_append(struct qlog *log, uint8_t kind, uint64_t ms, const struct mr_span *spans, unsigned n,
                     struct qlog_place *place)
{
    static const uint8_t zeros[8];
    uint8_t header[QLOG_RECORD_HEADER];
    struct qlog_chunk *fresh;
    uint64_t length = 0;
    for (unsigned i = 0; i < n; i++)
        length += spans[i].length;
    assert(length <= QLOG_RECORD_MAX && !log->deleted);
    uint64_t bytes = qlog_record_bytes(length),
             room = log->chunk_last ? log->chunk_last->capacity - log->chunk_used : 0;
    if (!chunks_reserve(log, bytes > room ? bytes - room : 0, &fresh))
        return UINT64_MAX;
    struct qlog_segment *s = segment_for(log, bytes);
    if (!s) {
        chunks_free(log->engine, fresh);
        return UINT64_MAX;
    }
    if (place)
        *place = (struct qlog_place){s->first, s->bytes, (uint32_t)bytes};
    chunks_add(log, fresh);
    qlog_record_emit(
        &(struct qlog_record_header){.length = (uint32_t)length, .offset = log->next, .ms = ms, .kind = kind}, header);
    chunks_put(log, header, sizeof header); /* checksum, tag and `vouched` are the job's */
    for (unsigned i = 0; i < n; i++)
        chunks_put(log, spans[i].data, spans[i].length);
    chunks_put(log, zeros, (size_t)(bytes - QLOG_RECORD_HEADER - length));
    qlog_segment_grow(log, log->next, ms, (uint32_t)bytes);
    log->appended += bytes;
    log->engine->pending += bytes;
    log->engine->status.records++;
    qlog_look_full(log->engine);
    qlog_mark(log);
    return log->next++;
}
