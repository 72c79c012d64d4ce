/* The log `catalog`: read before the workers start, rewritten when most of it is dead, appended to by worker 0.
 *
 * Each start is a record: how often this folder was started is the upper part of the ids of its queues, so none comes twice. A rewrite is
 * RECORD_SNAPSHOT, everything declared, RECORD_SNAPSHOT_END, at the end of the same log; when that is on the disk the segments before it go.
 * A rewrite that was cut short counts for nothing: the next RECORD_START ends it. */
#include <inttypes.h>
#include <limits.h>
#include <millrace/log.h>
#include <stdlib.h>

#include "queue/catalog/replica.h"
#include "queue/log/log.h"

#define SEGMENT_BYTES  (UINT64_C(1) << 20)
#define PENDING_BYTES  (UINT64_C(8) << 20)
#define DEAD_MIN       1024 /* records: below it a rewrite is not worth it */
#define ID_START_SHIFT 40

void catalog_log_options(const struct queue_config *config, struct qlog_options *out)
{
    uint64_t bytes =
        config->segment_bytes && config->segment_bytes < SEGMENT_BYTES ? config->segment_bytes : SEGMENT_BYTES;
    *out = (struct qlog_options){.safety = QLOG_SYNCED, .segment_bytes = bytes, .retain_segments = 1};
}

void catalog_log(struct catalog *c, enum catalog_record kind, const struct catalog_change *change)
{
    struct catalog_record_out record;
    if (!c->log)
        return;
    catalog_record_make(c, kind, change, &record);
    const struct mr_span spans[] = {{record.head, record.head_bytes}, record.arguments};
    if (qlog_append(c->log, record.kind, c->b ? broker_unix_ms(c->b) : 0, spans, 2, NULL) == UINT64_MAX)
        mr_log(MR_LOG_ERROR, "queue", "log %s: no room for a record, though there was", CATALOG_LOG);
}

/* -- reading ------------------------------------------------------------------------------------------------------------------------------- */

struct reading {
    struct catalog_source *source;
    struct catalog *next; /* within a snapshot */
    bool snapshot;        /* a whole one was seen */
    const char *wrong;
};

static struct catalog *state_create(const struct queue_config *config)
{
    struct catalog *c = catalog_create(config, 1, true);
    if (c)
        c->keep_unbound = true;
    return c;
}

static bool snapshot_begin(struct reading *r)
{
    if (r->next)
        catalog_free(r->next);
    r->next = state_create(r->source->config);
    if (!r->next)
        r->wrong = "no memory";
    return r->next != NULL;
}

static void snapshot_end(struct reading *r)
{
    if (!r->next)
        return;
    catalog_free(r->source->state);
    r->source->state = r->next;
    r->next = NULL;
    r->snapshot = true;
}

static void snapshot_cut_short(struct reading *r)
{
    if (r->next)
        catalog_free(r->next);
    r->next = NULL;
}

static bool entry_read(struct reading *r, const struct qlog_record *record)
{
    struct catalog *c = r->next ? r->next : r->source->state;
    struct catalog_change change;
    struct mr_span vhost;
    if (!catalog_record_parse(record->kind, record->payload, &change, &vhost)) {
        r->wrong = "a record that is none of ours";
        return false;
    }
    change.vhost = catalog_vhost_find(c, vhost);
    if (change.vhost == UINT_MAX)
        change.vhost = catalog_vhost_add(c, vhost);
    if (change.vhost == UINT_MAX || !catalog_apply(c, &change)) {
        r->wrong = "more is declared than there is memory for: memory_max";
        return false;
    }
    return true;
}

static bool record_read(void *context, const struct qlog_record *record)
{
    struct reading *r = context;
    bool number = record->kind == RECORD_START || record->kind == RECORD_SNAPSHOT;
    if (number && record->payload.length != 8) {
        r->wrong = "a record that is none of ours";
        return false;
    }
    if (number)
        r->source->starts = catalog_record_number(record->payload.data);
    switch (record->kind) {
    case RECORD_START:
        snapshot_cut_short(r);
        return true;
    case RECORD_SNAPSHOT:
        return snapshot_begin(r);
    case RECORD_SNAPSHOT_END:
        snapshot_end(r);
        return true;
    default:
        return entry_read(r, record);
    }
}

static void catalog_seen(void *context, const char *name)
{
    if (!strcmp(name, CATALOG_LOG))
        *(bool *)context = true;
}

/* What belongs to a virtual host that is not configured would be lost with the queues' logs: so it is not let go in silence. */
static bool vhosts_known(const struct catalog_source *s)
{
    for (const struct catalog_ring *at = s->state->all_queues.next; at != &s->state->all_queues; at = at->next) {
        const struct queue_entry_replica *q = CATALOG_OF(at, struct queue_entry_replica, all);
        if (q->public.vhost < s->config->vhost_count)
            continue;
        mr_log(MR_LOG_ERROR, "queue",
               "folder %s has queue '%.*s' of virtual host '%s', expected that virtual host in `vhosts`: configure it, "
               "or delete its queues first",
               s->config->folder, (int)q->public.name.length, (const char *)q->public.name.data,
               s->state->vhosts[q->public.vhost]);
        return false;
    }
    return true;
}

static int log_read(struct catalog_source *s, struct qlog_engine *engine, struct qlog **log)
{
    struct qlog_options options;
    struct reading r = {.source = s};
    bool there = false;
    catalog_log_options(s->config, &options);
    int error = qlog_folder_list(s->config->folder, catalog_seen, &there);
    if (error != MR_OK)
        return error;
    if (!there) {
        *log = qlog_create(engine, CATALOG_LOG, &options, NULL);
        return *log ? MR_OK : MR_ERROR_NO_MEMORY;
    }
    error = qlog_open(engine, CATALOG_LOG, &options, &r, record_read, log);
    snapshot_cut_short(&r);
    if (error == MR_OK && qlog_begin(*log) > 0 && !r.snapshot) {
        r.wrong = "its begin is missing";
        error = MR_ERROR_INVALID;
    }
    if (error != MR_OK && r.wrong)
        mr_log(MR_LOG_ERROR, "queue", "folder %s: log %s: %s", s->config->folder, CATALOG_LOG, r.wrong);
    return error == MR_OK && !vhosts_known(s) ? MR_ERROR_INVALID : error;
}

/* -- writing ------------------------------------------------------------------------------------------------------------------------------- */

static void number_append(struct qlog *log, enum catalog_record kind, uint64_t n)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(n >> 8 * i);
    qlog_append(log, (uint8_t)kind, 0, &(struct mr_span){bytes, sizeof bytes}, 1, NULL);
}

static bool log_flush(struct qlog_engine *engine, struct qlog *log)
{
    while (qlog_synced(log) < qlog_next(log)) {
        qlog_engine_run(engine);
        if (qlog_engine_error(engine))
            return false; /* it has said what and where */
    }
    return true;
}

struct rewriting {
    struct catalog *state;
    struct qlog_engine *engine;
};

static bool entry_append(void *context, const struct catalog_change *change)
{
    static const enum catalog_record kinds[] = {[CATALOG_EXCHANGE_DECLARE] = RECORD_EXCHANGE,
                                                [CATALOG_QUEUE_DECLARE] = RECORD_QUEUE,
                                                [CATALOG_BIND] = RECORD_BIND,
                                                [CATALOG_EXCHANGE_BIND] = RECORD_BIND};
    struct rewriting *r = context;
    if (!qlog_ready(r->engine) && !log_flush(r->engine, r->state->log))
        return false;
    catalog_log(r->state, kinds[change->verb], change);
    return true;
}

static bool log_rewrite(struct catalog_source *s, struct qlog_engine *engine, struct qlog *log)
{
    struct rewriting r = {s->state, engine};
    uint64_t from = qlog_next(log);
    s->state->log = log;
    number_append(log, RECORD_SNAPSHOT, s->starts);
    bool good = catalog_each_change(s->state, entry_append, &r);
    s->state->log = NULL;
    qlog_append(log, RECORD_SNAPSHOT_END, 0, NULL, 0, NULL);
    if (!good || !log_flush(engine, log))
        return false;
    qlog_trim(log, from);
    mr_log(MR_LOG_INFO, "queue", "log %s: rewritten, %" PRIu64 " records are alive", CATALOG_LOG,
           qlog_next(log) - from);
    return true;
}

static bool mostly_dead(const struct catalog_source *s, const struct qlog *log)
{
    uint64_t records = qlog_next(log) - qlog_begin(log);
    uint64_t alive = s->state->exchange_count + s->state->queue_count + s->state->binding_count;
    return records > DEAD_MIN && records - DEAD_MIN > 2 * alive;
}

static int log_start(struct catalog_source *s)
{
    struct qlog_engine *engine;
    struct qlog *log;
    struct qlog_engine_options options = {.folder = s->config->folder, .pending_bytes_max = PENDING_BYTES};
    int error = qlog_engine_open(&options, &(struct qlog_engine_hooks){0}, NULL, &engine);
    if (error != MR_OK)
        return error;
    error = log_read(s, engine, &log);
    if (error == MR_OK) {
        number_append(log, RECORD_START, ++s->starts);
        if (!log_flush(engine, log) || (mostly_dead(s, log) && !log_rewrite(s, engine, log)))
            error = MR_ERROR_SYSTEM;
        qlog_engine_run(engine); /* what was trimmed goes */
    }
    qlog_engine_close(engine);
    return error;
}

int catalog_source_open(struct broker_shared *shared, struct catalog_source **out)
{
    struct catalog_source *s = calloc(1, sizeof *s);
    if (!s)
        return MR_ERROR_NO_MEMORY;
    s->config = shared->config;
    s->state = state_create(s->config);
    int error =
        s->state && catalog_users_open((struct queue_config *)(uintptr_t)s->config) ? MR_OK : MR_ERROR_NO_MEMORY;
    if (error == MR_OK && s->config->folder)
        error = log_start(s);
    if (error == MR_OK)
        *out = s;
    else
        catalog_source_close(s);
    return error;
}

void catalog_source_close(struct catalog_source *s)
{
    if (!s)
        return;
    catalog_users_close((struct queue_config *)(uintptr_t)s->config);
    if (s->state)
        catalog_free(s->state);
    free(s);
}

/* -- a worker's ------------------------------------------------------------------------------------------------------------------------------ */

static bool nothing(void *context, const struct qlog_record *record)
{
    (void)context;
    (void)record;
    return true;
}

static bool entry_apply(void *context, const struct catalog_change *change)
{
    return catalog_apply(context, change);
}

bool catalog_start(struct broker *b, const struct catalog_hooks *hooks)
{
    const struct catalog_source *s = b->shared->source;
    struct qlog_options options;
    struct catalog *c = catalog_create(b->config, b->workers, b->index == 0);
    if (!c)
        return false;
    c->b = b;
    c->hooks = hooks;
    b->catalog = c;
    bool good = catalog_routed_room(c, s->state->queue_count) && catalog_each_change(s->state, entry_apply, c);
    if (b->index == 0) {
        c->id_next = s->starts << ID_START_SHIFT | 1;
        catalog_log_options(b->config, &options);
        good = good && (!b->engine || qlog_open(b->engine, CATALOG_LOG, &options, NULL, nothing, &c->log) == MR_OK);
    }
    if (good)
        return true;
    mr_log(MR_LOG_ERROR, "queue", "what is declared in folder %s could not be taken: memory_max",
           b->config->folder ? b->config->folder : "-");
    return false; /* catalog_release follows, after the queues that know their entries */
}

void catalog_release(struct broker *b)
{
    catalog_free(b->catalog);
    b->catalog = NULL;
}
