/* What the queues of all workers hold at this moment: each worker writes the rows of those that it owns. */
#include <limits.h>
#include <stdlib.h>

#include "queue/control/words.h"

int queue_control_ask(const struct mr_control *control, unsigned worker, mr_message_fn fn, void *argument, size_t bytes)
{
    void *copy = malloc(bytes);
    if (!copy)
        return MR_ERROR_NO_MEMORY;
    memcpy(copy, argument, bytes);
    int error = control->ask(control, worker, fn, copy);
    if (error == MR_ERROR_SILENT)
        return error; /* the copy is the worker's */
    if (error == MR_OK)
        memcpy(argument, copy, bytes);
    free(copy);
    return error;
}

/* One worker's rows. With `room` 0 they are counted only. */
struct sheet {
    struct broker_shared *shared;
    struct broker *broker;
    unsigned vhost;
    bool named;
    uint8_t name_length;
    uint8_t name[QUEUE_NAME_MAX];
    size_t room, count;
    struct control_queue rows[];
};

static void row_fill(struct control_queue *row, const struct catalog_queue *q, const struct queue *live)
{
    *row = (struct control_queue){
        .id = q->id,
        .vhost = q->vhost,
        .owner = q->owner,
        .durable = q->durable,
        .auto_delete = q->auto_delete,
        .exclusive = q->exclusive != 0,
        .name_length = (uint8_t)q->name.length,
        .durability = q->durable ? q->arguments.durability : QUEUE_MEMORY,
    };
    memcpy(row->name, q->name.data, q->name.length);
    queue_status_fill(live, &row->status);
}

static void row_add(void *context, const struct catalog_queue *q)
{
    struct sheet *s = context;
    const struct queue *live = q->owner == s->broker->index ? queue_find(s->broker, q->id) : NULL;
    if (!live || (s->named && (q->name.length != s->name_length || memcmp(q->name.data, s->name, s->name_length))))
        return;
    if (s->count < s->room)
        row_fill(&s->rows[s->count], q, live);
    s->count++;
}

static void sheet_fill(struct mr_worker *w, void *argument)
{
    struct sheet *s = argument;
    s->broker = s->shared->instance[mr_worker_index(w)];
    s->count = 0;
    catalog_queue_each(s->broker->catalog, s->vhost, row_add, s);
}

static struct sheet *sheet_ask(struct control_call *c, unsigned worker, const struct sheet *what, size_t room)
{
    struct sheet *s = calloc(1, sizeof *s + room * sizeof s->rows[0]);
    if (!s)
        return NULL;
    *s = *what;
    s->room = room;
    int error = c->control->ask(c->control, worker, sheet_fill, s);
    if (error == MR_OK)
        return s;
    if (error != MR_ERROR_SILENT)
        free(s);
    return NULL;
}

#define ROOM_SPARE 64 /* queues declared between counting and writing */

static bool sheet_add(struct control_queues *g, const struct sheet *s)
{
    size_t count = s->count < s->room ? s->count : s->room;
    struct control_queue *rows = realloc(g->rows, (g->count + count + 1) * sizeof *rows);
    if (!rows)
        return false;
    memcpy(rows + g->count, s->rows, count * sizeof *rows);
    g->rows = rows;
    g->count += count;
    g->answered++;
    return true;
}

static bool gather_one(struct control_call *c, struct control_queues *g, unsigned worker, const struct sheet *what)
{
    struct sheet *counted = sheet_ask(c, worker, what, 0);
    struct sheet *s = counted ? sheet_ask(c, worker, what, counted->count + ROOM_SPARE) : NULL;
    bool good = !s || sheet_add(g, s);
    free(counted);
    free(s);
    return good;
}

static int row_compare(const void *a, const void *b)
{
    const struct control_queue *x = a, *y = b;
    size_t n = x->name_length < y->name_length ? x->name_length : y->name_length;
    if (x->vhost != y->vhost)
        return x->vhost < y->vhost ? -1 : 1;
    int order = memcmp(x->name, y->name, n);
    return order ? order : (int)x->name_length - (int)y->name_length;
}

struct control_queues *control_queues_gather(struct control_call *c, unsigned vhost, struct mr_span name)
{
    struct control_queues *g = calloc(1, sizeof *g);
    struct sheet what = {.shared = c->shared, .vhost = vhost, .named = name.data != NULL};
    bool good = g != NULL;
    if (name.data) {
        what.name_length = (uint8_t)name.length;
        memcpy(what.name, name.data, name.length);
    }
    if (g)
        g->workers = c->control->workers;
    for (unsigned i = 0; good && i < c->control->workers; i++)
        good = gather_one(c, g, i, &what);
    if (!good && g) {
        control_queues_free(g);
        return NULL;
    }
    if (g && g->count > 1)
        qsort(g->rows, g->count, sizeof *g->rows, row_compare);
    return g;
}

void control_queues_free(struct control_queues *g)
{
    free(g->rows);
    free(g);
}

void control_silence(struct control_call *c, unsigned answered)
{
    if (answered < c->control->workers)
        control_answer_format(&c->answer, "warning", "%u of %u workers did not answer: their part is missing",
                              c->control->workers - answered, c->control->workers);
}

bool control_queue_find(struct control_call *c, unsigned vhost, const char *name, struct control_queue *out)
{
    size_t n = strlen(name);
    struct control_queues *g =
        n <= QUEUE_NAME_MAX ? control_queues_gather(c, vhost, control_span(name)) : calloc(1, sizeof *g);
    bool found = g && g->count > 0;
    if (found)
        *out = g->rows[0];
    else if (g)
        c->wrong = control_say("there is no queue '%.60s' in virtual host '%s'; `list` shows them", name,
                               c->vhost ? c->vhost : "/");
    if (g)
        control_queues_free(g);
    return found;
}
