#include "tests/support/catalog_world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/log/log.h"

/* -- workers ------------------------------------------------------------------------------------------------------------------------------ */

static struct catalog_world *world; /* hooks know their broker alone */

static void queue_was_added(struct broker *b, const struct catalog_queue *q)
{
    assert(q->owner == b->index && !q->deleted);
    world->added[b->index]++;
}

static void queue_was_removed(struct broker *b, const struct catalog_queue *q)
{
    assert(q->owner == b->index && q->deleted);
    world->removed[b->index]++;
}

static const struct catalog_hooks hooks = {.queue_added = queue_was_added, .queue_removed = queue_was_removed};

static void log_advanced(void *context, struct qlog *log)
{
    catalog_log_advanced(context, log);
}

void catalog_world_init(struct catalog_world *x)
{
    *x = (struct catalog_world){0};
    x->vhosts[0].name = (char *)(uintptr_t) "/";
    x->vhosts[1].name = (char *)(uintptr_t) "other";
    x->config = (struct queue_config){.memory_max = 64 << 20,
                                      .durability = QUEUE_WRITTEN,
                                      .segment_bytes = 1 << 20,
                                      .queues_max = 1000,
                                      .vhosts = x->vhosts,
                                      .vhost_count = 2};
}

static void engine_open(struct catalog_world *x, struct broker *b)
{
    const struct qlog_engine_hooks engine_hooks = {.advanced = log_advanced, .context = b};
    const struct qlog_engine_options options = {
        .folder = x->config.folder, .pending_bytes_max = 8 << 20, .no_uring = true};
    if (x->config.folder)
        assert(qlog_engine_open(&options, &engine_hooks, b->worker, &b->engine) == MR_OK);
}

int catalog_world_start(struct catalog_world *x, unsigned workers)
{
    world = x;
    x->workers = workers;
    x->shared = (struct broker_shared){.workers = workers, .config = &x->config};
    memset(x->added, 0, sizeof x->added);
    memset(x->removed, 0, sizeof x->removed);
    int error = catalog_source_open(&x->shared, &x->shared.source);
    if (error != MR_OK)
        return error;
    for (unsigned i = 0; i < workers; i++)
        x->w[i] = fake_worker_create();
    fake_group(x->w, workers);
    for (unsigned i = 0; i < workers; i++) {
        struct broker *b = x->b[i] = calloc(1, sizeof *b);
        *b = (struct broker){.worker = x->w[i],
                             .counters = x->counters[i],
                             .shared = &x->shared,
                             .config = &x->config,
                             .index = i,
                             .workers = workers};
        x->shared.instance[i] = b;
        assert(memory_init(&b->memory, 16 << 20, 8 << 20));
        engine_open(x, b);
        assert(broker_shard_start(b) && catalog_start(b, &hooks));
    }
    return MR_OK;
}

void catalog_world_settle(struct catalog_world *x)
{
    bool busy = true;
    for (unsigned n = 0; busy; n++) {
        assert(n < 1000000);
        busy = false;
        for (unsigned i = 0; i < x->workers; i++) {
            busy |= fake_worker_busy(x->w[i]);
            fake_turn(x->w[i]);
        }
    }
}

void catalog_world_stop(struct catalog_world *x)
{
    for (unsigned i = 0; i < x->workers; i++)
        if (x->b[i]->engine)
            qlog_engine_stop(x->b[i]->engine);
    catalog_world_settle(x);
    for (unsigned i = 0; i < x->workers; i++) {
        catalog_release(x->b[i]);
        if (x->b[i]->engine)
            qlog_engine_close(x->b[i]->engine);
        broker_shard_release(x->b[i]);
        memory_release(&x->b[i]->memory);
        fake_worker_free(x->w[i]);
        free(x->b[i]);
    }
    catalog_source_close(x->shared.source);
}

/* -- changes ------------------------------------------------------------------------------------------------------------------------------ */

static void answered(struct catalog_change *change)
{
    *(bool *)change->context = true;
}

enum catalog_result catalog_world_change(struct catalog_world *x, unsigned home, struct catalog_change *change)
{
    bool done = false;
    change->home = x->b[home];
    change->done = answered;
    change->context = &done;
    catalog_change(x->b[home], change);
    assert(!done); /* never from inside */
    catalog_world_settle(x);
    assert(done);
    return change->result;
}

/* -- what is declared, as text ------------------------------------------------------------------------------------------------------------ */

struct lines {
    char **line;
    size_t count, room;
};

static void line_add(struct lines *l, char *text)
{
    if (l->count == l->room)
        l->line = realloc(l->line, (l->room = 2 * l->room + 64) * sizeof *l->line);
    l->line[l->count++] = text;
}

static int line_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

#define SPAN(s) (int)(s).length, (const char *)(s).data

static void hex(char *to, struct mr_span s)
{
    *to = '\0';
    for (size_t i = 0; i < s.length; i++)
        to += sprintf(to, "%02x", s.data[i]);
}

struct showing {
    const struct catalog *c;
    struct lines lines;
    bool durable;
};

static bool entry_show(void *context, const struct catalog_change *change)
{
    struct showing *s = context;
    char *line = NULL, *arguments = malloc(2 * change->arguments.length + 1);
    hex(arguments, change->arguments);
    const struct catalog_queue *q =
        change->verb == CATALOG_QUEUE_DECLARE ? catalog_queue_by_id(s->c, change->queue_id) : NULL;
    if (!s->durable || change->durable)
        assert(asprintf(&line, "%d %u %.*s|%.*s|%.*s|%d%d%d%d%d%d %llu owner %u %llx %s\n", change->verb, change->vhost,
                        SPAN(change->name), SPAN(change->source), SPAN(change->key), change->exchange_type,
                        change->delayed, change->durable, change->auto_delete, change->internal, change->exclusive,
                        (unsigned long long)change->connection, q && !s->durable ? q->owner : 0,
                        (unsigned long long)change->queue_id, arguments) > 0);
    if (line)
        line_add(&s->lines, line);
    free(arguments);
    return true;
}

char *catalog_world_text(const struct catalog *c, bool durable)
{
    struct showing s = {.c = c, .durable = durable};
    catalog_each_change(c, entry_show, &s);
    if (durable && s.lines.count) /* in which order is for the replicas to agree on */
        qsort(s.lines.line, s.lines.count, sizeof *s.lines.line, line_compare);
    size_t bytes = 1;
    for (size_t i = 0; i < s.lines.count; i++)
        bytes += strlen(s.lines.line[i]);
    char *text = malloc(bytes), *to = text;
    *to = '\0';
    for (size_t i = 0; i < s.lines.count; i++) {
        to = stpcpy(to, s.lines.line[i]);
        free(s.lines.line[i]);
    }
    free(s.lines.line);
    return text;
}

void catalog_world_check(const struct catalog_world *x)
{
    char *first = catalog_world_text(x->b[0]->catalog, false);
    for (unsigned i = 0; i < x->workers; i++) {
        catalog_check(x->b[i]->catalog);
        char *text = catalog_world_text(x->b[i]->catalog, false);
        if (strcmp(first, text)) {
            fprintf(stderr, "worker 0 has\n%sworker %u has\n%s", first, i, text);
            abort();
        }
        free(text);
    }
    free(first);
}

/* -- routing ------------------------------------------------------------------------------------------------------------------------------ */

const char *catalog_world_route(struct catalog_world *x, unsigned worker, const char *exchange, const char *key)
{
    static char text[4096];
    const struct catalog_queue *const *queues;
    struct catalog *c = x->b[worker]->catalog;
    struct mr_span k = span_of(key);
    const struct catalog_exchange *e = catalog_exchange_find(c, 0, span_of(exchange));
    assert(e);
    unsigned n = catalog_route(c, e, &k, 1, (struct mr_span){NULL, 0}, &queues);
    struct lines l = {0};
    char *to = text;
    for (unsigned i = 0; i < n; i++) {
        char *line = calloc(1, queues[i]->name.length + 1);
        assert(line);
        memcpy(line, queues[i]->name.data, queues[i]->name.length);
        line_add(&l, line);
    }
    if (n)
        qsort(l.line, n, sizeof *l.line, line_compare);
    *to = '\0';
    for (unsigned i = 0; i < n; i++) {
        to += sprintf(to, "%s%s", i ? "," : "", l.line[i]);
        free(l.line[i]);
    }
    free(l.line);
    return text;
}
