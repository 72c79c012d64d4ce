/* Segments of a log in memory, with the sparse index of each: an entry for the first record of every 4 KiB. */
#include <assert.h>

#include "queue/log/state.h"

#define BLOCK_ENTRIES_MIN 14u /* 128 bytes */
#define BLOCK_ENTRIES_MAX 4000u

struct qlog_segment *qlog_segment_add(struct qlog *log, uint64_t first)
{
    struct qlog_segment *s = memory_alloc(&log->engine->memory, sizeof *s), *before = log->last;
    if (!s)
        return NULL;
    *s = (struct qlog_segment){.first = first,
                               .stream = before ? qlog_segment_end(before) : 0,
                               .bytes = QLOG_SEGMENT_HEADER,
                               .before_first = before ? before->first : QLOG_NONE,
                               .before_bytes = before ? before->bytes : 0};
    if (before)
        before->next = s;
    else
        log->first = log->active = s;
    log->last = s;
    log->segments++;
    log->bytes += s->bytes;
    return s;
}

static size_t block_bytes(uint32_t room)
{
    return sizeof(struct qlog_index_block) + room * sizeof(struct qlog_index_entry);
}

void qlog_segment_free(struct qlog_engine *e, struct qlog_segment *s)
{
    while (s->index) {
        struct qlog_index_block *b = s->index;
        s->index = b->next;
        memory_free(&e->memory, b, block_bytes(b->room));
    }
    memory_free(&e->memory, s, sizeof *s);
}

static struct qlog_index_block *block_with_room(struct qlog_engine *e, struct qlog_segment *s)
{
    struct qlog_index_block *b = s->index_last;
    if (b && b->count < b->room)
        return b;
    uint32_t room = b ? b->room * 2 : BLOCK_ENTRIES_MIN;
    room = room < BLOCK_ENTRIES_MAX ? room : BLOCK_ENTRIES_MAX;
    struct qlog_index_block *fresh = memory_alloc(&e->memory, block_bytes(room));
    if (!fresh)
        return NULL; /* the index has a gap: a scan walks further */
    fresh->next = NULL;
    fresh->count = 0;
    fresh->room = room;
    if (b)
        b->next = fresh;
    else
        s->index = fresh;
    return s->index_last = fresh;
}

void qlog_segment_grow(struct qlog *log, uint64_t offset, uint64_t ms, uint32_t bytes)
{
    struct qlog_segment *s = log->last;
    uint32_t base = s->indexed ? s->indexed : QLOG_SEGMENT_HEADER;
    if (s->bytes - base >= QLOG_INDEX_EVERY) {
        struct qlog_index_block *b = block_with_room(log->engine, s);
        if (b) {
            b->entries[b->count++] = (struct qlog_index_entry){(uint32_t)(offset - s->first), s->bytes};
            s->indexed = s->bytes;
        }
    }
    s->bytes += bytes;
    s->ms_last = ms > s->ms_last ? ms : s->ms_last;
    log->bytes += bytes;
}

struct qlog_segment *qlog_segment_find(const struct qlog *log, uint64_t offset)
{
    struct qlog_segment *s = log->first;
    if (!s || offset < s->first || offset >= log->next)
        return NULL;
    if (offset >= log->last->first)
        return log->last;
    while (s->next && s->next->first <= offset)
        s = s->next;
    return s;
}

uint32_t qlog_index_find(const struct qlog_segment *s, uint64_t offset)
{
    uint32_t position = QLOG_SEGMENT_HEADER, record = (uint32_t)(offset - s->first);
    const struct qlog_index_block *b = s->index;
    while (b && b->next && b->next->count && b->next->entries[0].record <= record)
        b = b->next;
    if (!b)
        return position;
    for (uint32_t low = 0, high = b->count; low < high;) {
        uint32_t middle = (low + high) / 2;
        if (b->entries[middle].record > record) {
            high = middle;
        } else {
            position = b->entries[middle].position;
            low = middle + 1;
        }
    }
    return position;
}
