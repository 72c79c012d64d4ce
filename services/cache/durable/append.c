/* A worker's side: records in its own memory, posted to worker 0 once a turn, freed when they come home. */
#include <millrace/log.h>
#include <stdlib.h>
#include <string.h>

#include "cache/durable/log_state.h"

#define PIECE_BYTES_MAX          (MEMORY_LARGEST - sizeof(struct cache_log_piece))
#define PIECE_BYTES_MIN          256
#define SNAPSHOT_PIECE_BYTES_MIN 4000
#define PADDING                  8

/* Unwritten bytes are bounded by cache_log_ready, so only a caller that ignores it comes here; what it executed
 * would be lost. */
static void *memory_take(struct cache_log_worker *lw, size_t bytes)
{
    void *p = memory_alloc(&lw->memory, bytes);
    if (!p) {
        mr_log(MR_LOG_ERROR, "cache", "worker %u: %lu bytes wait for the log and there is no room for %zu more",
               lw->index, (unsigned long)lw->memory.used, bytes);
        abort();
    }
    return p;
}

static void live_add(struct cache_log_worker *lw, struct cache_log_record *r)
{
    r->older = lw->live;
    if (lw->live)
        lw->live->newer = r;
    lw->live = r;
}

static void live_remove(struct cache_log_record *r)
{
    if (r->newer)
        r->newer->older = r->older;
    else
        r->origin->live = r->older;
    if (r->older)
        r->older->newer = r->newer;
}

static struct cache_log_record *record_create(struct cache_log_worker *lw, enum cache_log_kind kind, size_t head_bytes,
                                              unsigned part_count)
{
    size_t fixed = sizeof(struct cache_log_record) + part_count * sizeof(struct cache_log_part);
    struct cache_log_record *r = memory_take(lw, fixed + head_bytes);
    *r = (struct cache_log_record){
        .origin = lw, .kind = kind, .part_count = part_count, .alloc_bytes = (uint32_t)(fixed + head_bytes)};
    r->head = (uint8_t *)r + fixed;
    r->held_bytes = memory_cost(r->alloc_bytes);
    r->generation = atomic_load_explicit(&lw->log->append_generation, memory_order_acquire);
    live_add(lw, r);
    return r;
}

void log_out_begin(struct cache_log_out *o, struct cache_log_worker *lw, enum cache_log_kind kind, uint64_t own_bytes,
                   unsigned part_count)
{
    size_t room = MEMORY_LARGEST - sizeof(struct cache_log_record) - part_count * sizeof(struct cache_log_part);
    own_bytes += CACHE_RECORD_HEADER_BYTES + PADDING;
    size_t head = own_bytes < room ? (size_t)own_bytes : room;
    struct cache_log_record *r = record_create(lw, kind, head, part_count);
    *o = (struct cache_log_out){.worker = lw, .record = r, .at = r->head, .end = r->head + head, .left = own_bytes};
    memset(o->at, 0, CACHE_RECORD_HEADER_BYTES); /* filled when its place in the file is known */
    o->at += CACHE_RECORD_HEADER_BYTES;
}

/* The piece being filled has got its last byte. */
static void piece_close(struct cache_log_out *o)
{
    uint32_t n;
    if (o->last && o->last->extent)
        return;
    if (o->last) {
        n = o->last->length = (uint32_t)(o->at - o->last->bytes);
    } else {
        n = o->record->head_length = (uint32_t)(o->at - o->record->head);
    }
    o->record->disk_bytes += n;
    o->left = o->left > n ? o->left - n : 0;
    o->end = o->at;
}

static struct cache_log_piece *piece_add(struct cache_log_out *o, size_t capacity)
{
    struct cache_log_piece *p = memory_take(o->worker, sizeof *p + capacity);
    *p = (struct cache_log_piece){.capacity = (uint32_t)capacity, .data = p->bytes};
    if (o->last)
        o->last->next = p;
    else
        o->record->pieces = p;
    o->last = p;
    o->record->held_bytes += memory_cost(sizeof *p + capacity);
    return p;
}

static void piece_open(struct cache_log_out *o)
{
    piece_close(o);
    size_t n = o->left < PIECE_BYTES_MAX ? (size_t)o->left : PIECE_BYTES_MAX;
    size_t least = o->record->kind == LOG_RECORD ? PIECE_BYTES_MIN : SNAPSHOT_PIECE_BYTES_MIN;
    struct cache_log_piece *p = piece_add(o, n < least ? least : n);
    o->at = p->bytes;
    o->end = p->bytes + p->capacity;
}

void log_out_bytes(struct cache_log_out *o, const void *data, size_t n)
{
    const uint8_t *from = data;
    while (n > 0) {
        if (o->at == o->end)
            piece_open(o);
        size_t part = (size_t)(o->end - o->at) < n ? (size_t)(o->end - o->at) : n;
        memcpy(o->at, from, part);
        o->at += part;
        from += part;
        n -= part;
    }
}

void log_out_varint(struct cache_log_out *o, uint64_t value)
{
    uint8_t bytes[CACHE_VARINT_MAX];
    log_out_bytes(o, bytes, cache_varint_emit(value, bytes));
}

void log_out_extent(struct cache_log_out *o, struct mr_span data, struct cache_extent *x)
{
    if (!x || data.length < CACHE_LEND_MIN) {
        log_out_bytes(o, data.data, data.length);
        return;
    }
    piece_close(o);
    struct cache_log_piece *p = piece_add(o, 0);
    cache_extent_hold(x);
    p->extent = x;
    p->data = data.data;
    p->length = (uint32_t)data.length;
    o->record->disk_bytes += data.length;
    o->record->held_bytes += data.length;
    o->at = o->end = NULL; /* further bytes open a piece of their own */
}

void log_out_command(struct cache_log_out *o, unsigned database, unsigned argc)
{
    o->record->commands++;
    log_out_varint(o, argc);
    log_out_varint(o, database);
}

void log_out_argument(struct cache_log_out *o, const void *data, size_t n)
{
    log_out_varint(o, n);
    log_out_bytes(o, data, n);
}

void log_out_rope(struct cache_log_out *o, const struct cache_rope *rope)
{
    log_out_varint(o, rope->length);
    for (uint64_t at = 0; at < rope->length;) {
        struct cache_extent *x = NULL;
        struct mr_span s = cache_rope_at(rope, at, &x);
        log_out_extent(o, s, x);
        at += s.length;
    }
}

struct cache_log_record *log_out_end(struct cache_log_out *o)
{
    static const uint8_t zeros[PADDING];
    struct cache_log_worker *lw = o->worker;
    struct cache_log_record *r = o->record;
    uint64_t open = o->last && o->last->extent ? 0 : (uint64_t)(o->at - (o->last ? o->last->bytes : r->head));
    log_out_bytes(o, zeros, -(r->disk_bytes + open) & 7);
    piece_close(o);
    o->record = NULL;
    lw->held_bytes += r->held_bytes;
    if (r->kind != LOG_RECORD)
        lw->snapshot_held_bytes += r->held_bytes;
    log_list_add(o->late ? &lw->late : &lw->outbox, r);
    if (lw->worker)
        mr_defer(lw->worker, &lw->turn_end);
    return r;
}

void log_control(struct cache_log_worker *lw, enum cache_log_kind kind)
{
    struct cache_log_out o;
    log_out_begin(&o, lw, kind, 0, 0);
    log_out_end(&o);
}

/* An upper bound of what is copied. */
static uint64_t own_bytes(const struct cache_log_command *commands, unsigned count, unsigned part_count)
{
    uint64_t n = CACHE_VARINT_MAX * 2 + (uint64_t)part_count * (CACHE_VARINT_MAX + 2);
    for (unsigned i = 0; i < count; i++) {
        const struct cache_log_command *c = &commands[i];
        n += 4;
        for (unsigned k = 0; k < c->argc; k++)
            n += c->argv[k].data ? c->argv[k].length + 3 : 6;
    }
    return n;
}

static void out_command(struct cache_log_out *o, const struct cache_log_command *c)
{
    log_out_command(o, c->database, c->argc);
    for (unsigned i = 0; i < c->argc; i++) {
        const struct cache_argument *a = &c->argv[i];
        if (a->rope)
            log_out_rope(o, a->rope);
        else
            log_out_argument(o, a->data, a->length);
    }
}

uint64_t cache_log_append(struct cache_log_worker *lw, struct cache_log_part *parts, unsigned part_count, uint64_t ms,
                          const struct cache_log_command *commands, unsigned count)
{
    struct cache_log_out o;
    if (!lw->log->options.log) { /* snapshots alone: nobody would ever write it */
        for (unsigned i = 0; i < part_count; i++)
            parts[i].sequence = 0;
        return 0;
    }
    log_out_begin(&o, lw, LOG_RECORD, own_bytes(commands, count, part_count), part_count);
    log_out_varint(&o, part_count);
    for (unsigned i = 0; i < part_count; i++) {
        parts[i].sequence = ++lw->log->worker[parts[i].shard]->sequence;
        o.record->parts[i] = parts[i];
        log_out_varint(&o, parts[i].shard);
        log_out_varint(&o, parts[i].sequence);
    }
    log_out_varint(&o, ms);
    for (unsigned i = 0; i < count; i++)
        out_command(&o, &commands[i]);
    log_out_end(&o);
    return parts[0].sequence;
}

bool cache_log_ready(const struct cache_log_worker *lw)
{
    return lw->held_bytes - lw->snapshot_held_bytes < lw->log->options.held_bytes_max &&
           lw->snapshot_held_bytes < SNAPSHOT_HELD_BYTES * 4;
}

bool cache_log_durable(const struct cache_log_worker *lw, unsigned shard, uint64_t sequence)
{
    return atomic_load_explicit(&lw->log->durable[shard], memory_order_acquire) >= sequence;
}

int cache_log_error(const struct cache_log_worker *lw)
{
    return atomic_load_explicit(&lw->log->error, memory_order_relaxed);
}

/* Once a turn. Worker 0 has no mailbox to itself to pay for. */
void log_outbox_send(struct cache_log_worker *lw)
{
    struct cache_log_record *first = lw->outbox.first;
    if (!first || !lw->worker)
        return;
    if (lw->index == 0) {
        lw->outbox = (struct cache_log_list){0};
        log_arrive(lw->log, first);
        return;
    }
    if (mr_post(lw->worker, 0, log_arrived, first) == MR_OK)
        lw->outbox = (struct cache_log_list){0};
    else
        mr_defer(lw->worker, &lw->turn_end); /* the mailbox is full: next turn */
}

void log_record_free(struct cache_log_record *r, bool plainly)
{
    struct cache_log_worker *lw = r->origin;
    lw->held_bytes -= r->held_bytes;
    if (r->kind != LOG_RECORD)
        lw->snapshot_held_bytes -= r->held_bytes;
    while (r->pieces) {
        struct cache_log_piece *p = r->pieces;
        r->pieces = p->next;
        if (p->extent && lw->hooks.drop && !plainly)
            lw->hooks.drop(lw->hooks.context, p->extent);
        else if (p->extent)
            cache_extent_drop(p->extent);
        memory_free(&lw->memory, p, sizeof *p + p->capacity);
    }
    live_remove(r);
    memory_free(&lw->memory, r, r->alloc_bytes);
}

/* Written records of this worker, from worker 0. */
void log_home_arrived(struct mr_worker *w, void *argument)
{
    struct cache_log_record *r = argument;
    struct cache_log_worker *lw = r->origin;
    bool was_ready = cache_log_ready(lw);
    while (r) {
        struct cache_log_record *next = r->next;
        log_record_free(r, false);
        r = next;
    }
    if ((!was_ready || lw->walk.walking) && lw->hooks.durable)
        lw->hooks.durable(lw->hooks.context);
}
