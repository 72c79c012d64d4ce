/* A worker's half of a snapshot: the walk of its shard, and what is written ahead of a change.
 *
 * Every entry that lived at the begin is written once: by the walk, or before its first change; `e->snapshot` is the
 * epoch then. What is made later carries the epoch from its birth and is not written. A collection of some size is
 * written over turns, by name; a command that would change it waits (cache_snapshot_busy). Should it change all the
 * same, by eviction, by expiry, it is written whole at once: behind its own first pieces where the shard's own
 * worker does it; where another worker holds the shard, as DEL and the whole value, kept until all pieces are sent. */
#include "cache/durable/snapshot.h"

#include <assert.h>
#include <string.h>

#include "cache/durable/dump.h"

#define TURN_BYTES        (UINT64_C(256) << 10)
#define SPREAD_OVER       (DUMP_PIECE_ELEMENTS * 4) /* elements; a larger collection is written over turns */
#define SPREAD_OVER_BYTES (UINT64_C(64) << 10)
#define UNIT_ELEMENTS     8 /* that cost a turn as much as an entry */

int cache_snapshot_begin(struct cache_log_worker *lw, enum cache_snapshot_use use, struct cache_store *const *stores,
                         uint64_t ms)
{
    struct cache_log *log = lw->log;
    if (use == CACHE_SNAPSHOT_REWRITE && !log->options.log)
        return MR_ERROR_UNSUPPORTED;
    if (atomic_exchange(&log->snapshot_running, true))
        return MR_ERROR_IN_USE;
    uint8_t epoch = (uint8_t)(atomic_load(&log->epoch) % UINT8_MAX + 1);
    uint64_t generation = atomic_load(&log->append_generation);
    atomic_store(&log->epoch, epoch);
    atomic_store(&log->snapshot_cancelled, false);
    atomic_store(use == CACHE_SNAPSHOT_SAVE ? &log->stat.saving : &log->stat.rewriting, true);
    log->use = use == CACHE_SNAPSHOT_SAVE ? LOG_USE_SAVE : LOG_USE_REWRITE;
    log->snapshot_ms = ms;
    log->snapshot_generation = generation + 1;
    for (unsigned i = 0; i < log->workers; i++) {
        struct cache_walk *walk = &log->worker[i]->walk;
        assert(!walk->walking);
        walk->walking = true;
        walk->active = false;
        walk->color = 0;
        walk->cursor = 0;
        memcpy(walk->databases, stores[i]->color_database, sizeof walk->databases);
        stores[i]->snapshot_epoch = epoch;
        if (use == CACHE_SNAPSHOT_REWRITE)
            log->cut[i] = log->worker[i]->sequence;
    }
    if (use == CACHE_SNAPSHOT_REWRITE)
        atomic_store_explicit(&log->append_generation, generation + 1, memory_order_release);
    log_control(lw, LOG_SNAPSHOT_BEGUN);
    return MR_OK;
}

bool cache_snapshot_running(const struct cache_log_worker *lw)
{
    return atomic_load(&lw->log->snapshot_running);
}

static struct cache_log_out *out_ready(struct cache_log_worker *lw, const struct cache_walk *walk)
{
    struct cache_log_out *o = &lw->snapshot_out;
    if (!o->record) {
        log_out_begin(o, lw, LOG_SNAPSHOT_RECORD, LOG_OUT_BYTES, 0);
        log_out_varint(o, 0); /* parts */
        log_out_varint(o, lw->log->snapshot_ms);
    }
    o->databases = walk->databases;
    return o;
}

/* Bytes in the record that is open. */
static uint64_t out_bytes(const struct cache_log_out *o)
{
    if (!o->record)
        return 0;
    const uint8_t *begin = o->last ? o->last->bytes : o->record->head;
    return o->record->disk_bytes + (o->last && o->last->extent ? 0 : (uint64_t)(o->at - begin));
}

static void out_close(struct cache_log_worker *lw, uint64_t more_than)
{
    if (lw->snapshot_out.record && out_bytes(&lw->snapshot_out) > more_than)
        log_out_end(&lw->snapshot_out);
}

/* Returns bytes written; *done: the entry is. */
static uint64_t piece_write(struct cache_log_worker *lw, const struct cache_walk *walk, struct cache_store *s,
                            struct cache_entry *e, struct cache_dump_at *at, uint64_t *elements, bool *done)
{
    struct cache_log_out *o = out_ready(lw, walk);
    uint64_t before = out_bytes(o);
    *done = cache_dump_piece(o, s, e, at, elements);
    uint64_t written = out_bytes(o) - before;
    if (*done)
        e->snapshot = s->snapshot_epoch;
    out_close(lw, LOG_OUT_BYTES);
    return written;
}

static void whole_write(struct cache_log_worker *lw, const struct cache_walk *walk, struct cache_store *s,
                        struct cache_entry *e, struct cache_dump_at *at)
{
    uint64_t elements = 0;
    for (bool done = false; !done;)
        piece_write(lw, walk, s, e, at, &elements, &done);
}

static void key_delete(struct cache_log_out *o, unsigned database, struct mr_span key)
{
    log_out_command(o, database, 2);
    log_out_argument(o, "DEL", 3);
    log_out_argument(o, key.data, key.length);
}

/* In place of pieces that the shard's own worker may have on their way. */
static void late_write(struct cache_log_worker *lw, const struct cache_walk *walk, struct cache_store *s,
                       struct cache_entry *e)
{
    struct cache_log_out o;
    struct cache_dump_at at = {0};
    uint64_t elements = 0;
    log_out_begin(&o, lw, LOG_SNAPSHOT_RECORD, LOG_OUT_BYTES, 0);
    o.late = true;
    o.databases = walk->databases;
    log_out_varint(&o, 0);
    log_out_varint(&o, lw->log->snapshot_ms);
    key_delete(&o, walk->databases[e->database], cache_entry_key(e));
    while (!cache_dump_piece(&o, s, e, &at, &elements))
        continue;
    log_out_end(&o);
    e->snapshot = s->snapshot_epoch;
}

/* The walk. */

static void walk_end(struct cache_log_worker *lw, struct cache_store *s)
{
    out_close(lw, 0);
    s->snapshot_epoch = 0;
    lw->walk.walking = lw->walk.active = false;
    log_control(lw, LOG_SNAPSHOT_WALKED);
}

static void walk_activate(struct cache_walk *walk, unsigned color, struct mr_span key)
{
    walk->active = true;
    walk->key_color = color;
    walk->key_length = (uint32_t)key.length;
    memcpy(walk->key, key.data, key.length);
    walk->at = (struct cache_dump_at){0};
}

static bool walk_is_active(const struct cache_walk *walk, unsigned color, struct mr_span key)
{
    return walk->active && walk->key_color == color && walk->key_length == key.length &&
           memcmp(walk->key, key.data, key.length) == 0;
}

struct turn {
    struct cache_log_worker *lw;
    struct cache_store *store;
    int64_t units;
    int64_t bytes;
};

static uint64_t collection_bytes(const struct cache_entry *e)
{
    return cache_collection_types[e->type]->bytes(e->encoding, cache_entry_value(e)->collection);
}

static bool is_spread(const struct cache_entry *e)
{
    if (e->type == CACHE_STRING)
        return false;
    uint64_t n = cache_dump_elements(e);
    return n > SPREAD_OVER || (n > UNIT_ELEMENTS && collection_bytes(e) > SPREAD_OVER_BYTES);
}

static void entry_visit(void *item, void *argument)
{
    struct turn *t = argument;
    struct cache_entry *e = item;
    struct cache_walk *walk = &t->lw->walk;
    struct cache_dump_at at = {0};
    uint64_t elements = 0;
    bool done = false;
    if (e->snapshot == t->store->snapshot_epoch)
        return;
    uint64_t expires = cache_entry_expires_ms(e);
    if (expires != 0 && expires <= t->store->now_ms) {
        e->snapshot = t->store->snapshot_epoch; /* dead: it need not come back */
        return;
    }
    if (is_spread(e)) {
        if (!walk->active)
            walk_activate(walk, e->database, cache_entry_key(e));
        return; /* the bucket is looked at again */
    }
    while (!done)
        t->bytes -= (int64_t)piece_write(t->lw, walk, t->store, e, &at, &elements, &done);
    t->units -= 1 + (int64_t)(elements / UNIT_ELEMENTS);
}

/* The key may have gone by flushing its database, and be another by now: the entry itself then comes by
 * before_change, and its pieces so far are taken back. */
static void active_step(struct turn *t)
{
    struct cache_walk *walk = &t->lw->walk;
    struct mr_span key = {walk->key, walk->key_length};
    uint64_t elements = 0;
    bool done = true;
    struct cache_entry *e = cache_store_peek(t->store, t->store->color_database[walk->key_color], key);
    if (e && e->snapshot != t->store->snapshot_epoch)
        t->bytes -= (int64_t)piece_write(t->lw, walk, t->store, e, &walk->at, &elements, &done);
    else if (walk->at.begun)
        key_delete(out_ready(t->lw, walk), walk->databases[walk->key_color], key);
    t->units -= 1 + (int64_t)(elements / UNIT_ELEMENTS);
    if (done) {
        walk->active = false;
        t->units = 0; /* those who wait for another one come first */
    }
}

/* False: every database is walked. By color, since SWAPDB moves tables. */
static bool bucket_step(struct turn *t)
{
    struct cache_walk *walk = &t->lw->walk;
    if (walk->color == CACHE_DATABASES)
        return false;
    struct cache_table *table = &t->store->database[t->store->color_database[walk->color]];
    uint64_t next = table->count ? cache_table_scan(table, walk->cursor, entry_visit, t) : 0;
    if (walk->active)
        return true;
    walk->cursor = next;
    walk->color += next == 0;
    return true;
}

bool cache_snapshot_step(struct cache_log_worker *lw, struct cache_store *s)
{
    struct turn t = {lw, s, CACHE_SNAPSHOT_PER_TURN, TURN_BYTES};
    if (!lw->walk.walking)
        return false;
    if (atomic_load_explicit(&lw->log->snapshot_cancelled, memory_order_relaxed)) {
        walk_end(lw, s);
        return false;
    }
    if (lw->snapshot_held_bytes > SNAPSHOT_HELD_BYTES)
        return false; /* the durable hook comes when some of it is written */
    for (bool more = true; t.units > 0 && t.bytes > 0;) {
        if (lw->walk.active)
            active_step(&t);
        else
            more = bucket_step(&t);
        if (!more && cache_store_flushing(s))
            return true; /* what was flushed is written as it is taken apart */
        if (!more) {
            walk_end(lw, s);
            return false;
        }
    }
    return true;
}

void cache_snapshot_before_change(struct cache_log_worker *lw, unsigned shard, struct cache_store *s,
                                  struct cache_entry *e)
{
    struct cache_walk *walk = &lw->log->worker[shard]->walk;
    struct cache_dump_at at = {0};
    if (s->snapshot_epoch == 0 || e->snapshot == s->snapshot_epoch)
        return;
    if (atomic_load_explicit(&lw->log->snapshot_cancelled, memory_order_relaxed)) {
        e->snapshot = s->snapshot_epoch;
        return;
    }
    bool active = walk_is_active(walk, e->database, cache_entry_key(e));
    walk->active &= !active;
    if (lw->index != shard && is_spread(e))
        late_write(lw, walk, s, e);
    else
        whole_write(lw, walk, s, e, active ? &walk->at : &at);
}

bool cache_snapshot_busy(struct cache_log_worker *lw, unsigned shard, struct cache_store *s, unsigned database,
                         struct mr_span key)
{
    struct cache_walk *walk = &lw->log->worker[shard]->walk;
    if (s->snapshot_epoch == 0 || key.length > CACHE_KEY_MAX)
        return false;
    const struct cache_entry *e = cache_store_peek(s, database, key);
    if (!e || e->type == CACHE_STRING || e->snapshot == s->snapshot_epoch)
        return false;
    if (cache_dump_elements(e) <= CACHE_SNAPSHOT_WHOLE_ELEMENTS && collection_bytes(e) <= CACHE_SNAPSHOT_WHOLE_BYTES)
        return false;
    if (!walk->active)
        walk_activate(walk, e->database, key);
    return true;
}

/* Worker 0 asks when every shard is walked: what is still here goes, and then the word that there is no more. */
void snapshot_flush(struct cache_log_worker *lw)
{
    out_close(lw, 0);
    for (struct cache_log_record *r; (r = log_list_take(&lw->late));)
        log_list_add(&lw->outbox, r);
    log_control(lw, LOG_SNAPSHOT_FLUSHED);
}
