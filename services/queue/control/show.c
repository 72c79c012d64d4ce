/* Commands that show what there is. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "queue/amqp/server.h"
#include "queue/amqp/table.h"
#include "queue/control/words.h"

static const char *vhost_text(const struct control_call *c, unsigned vhost)
{
    return vhost < c->shared->config->vhost_count ? c->shared->config->vhosts[vhost].name : "-";
}

static bool several_vhosts(const struct control_call *c)
{
    return c->shared->config->vhost_count > 1 && !c->vhost;
}

static const char *duration_text(uint64_t ms, char text[32])
{
    if (ms < 1000)
        snprintf(text, 32, "%" PRIu64 "ms", ms);
    else if (ms < 600000)
        snprintf(text, 32, "%.1fs", (double)ms / 1000);
    else
        snprintf(text, 32, "%" PRIu64 "m", ms / 60000);
    return text;
}

/* -- queues --------------------------------------------------------------------------------------------------------------------- */

static void list_queue(struct control_call *c, const struct control_queue *q)
{
    struct control_answer *a = &c->answer;
    char age[32];
    control_answer_open(a, NULL, '{');
    if (several_vhosts(c))
        control_answer_text(a, "vhost", vhost_text(c, q->vhost));
    control_answer_span(a, "name", control_queue_name(q));
    control_answer_text(a, "durability", q->durable ? QUEUE_DURABILITY_NAMES[q->durability] : "-");
    control_answer_number(a, "ready", q->status.ready);
    control_answer_number(a, "unacked", q->status.unacknowledged);
    control_answer_number(a, "delayed", q->status.delayed);
    control_answer_number(a, "consumers", q->status.consumers);
    control_answer_number(a, "in/s", q->status.publish_rate);
    control_answer_number(a, "out/s", q->status.deliver_rate);
    control_answer_number(a, "ack/s", q->status.acknowledge_rate);
    control_answer_text(a, "oldest", q->status.ready ? duration_text(q->status.oldest_ms, age) : "-");
    control_answer_number(a, "bytes", q->status.bytes);
    control_answer_number(a, "worker", q->owner);
    control_answer_close(a, '}');
}

bool queue_control_list(struct control_call *c)
{
    unsigned vhost = c->vhost ? queue_control_vhost(c) : UINT_MAX;
    if (c->wrong)
        return false;
    struct control_queues *g = control_queues_gather(c, vhost, (struct mr_span){NULL, 0});
    if (!g)
        return false;
    control_silence(c, g->answered);
    control_answer_open(&c->answer, "queues", '[');
    for (size_t i = 0; i < g->count; i++)
        list_queue(c, &g->rows[i]);
    control_answer_close(&c->answer, ']');
    control_queues_free(g);
    return true;
}

static void show_status(struct control_answer *a, const struct queue_status *s)
{
    control_answer_number(a, "ready", s->ready);
    control_answer_number(a, "unacknowledged", s->unacknowledged);
    control_answer_number(a, "delayed", s->delayed);
    control_answer_number(a, "consumers", s->consumers);
    control_answer_number(a, "bytes", s->bytes);
    control_answer_number(a, "memory_bytes", s->memory_bytes);
    control_answer_number(a, "log_bytes", s->log_bytes);
    control_answer_number(a, "oldest_ms", s->oldest_ms);
    control_answer_number(a, "published", s->published);
    control_answer_number(a, "delivered", s->delivered);
    control_answer_number(a, "redelivered", s->redelivered);
    control_answer_number(a, "acknowledged", s->acknowledged);
    control_answer_number(a, "expired", s->expired);
    control_answer_number(a, "dead_lettered", s->dead_lettered);
    control_answer_number(a, "dropped", s->dropped);
    control_answer_number(a, "publish_rate", s->publish_rate);
    control_answer_number(a, "deliver_rate", s->deliver_rate);
    control_answer_number(a, "acknowledge_rate", s->acknowledge_rate);
    if (s->error)
        control_answer_text(a, "log_error", strerror(s->error));
}

/* The arguments as they were declared. */
struct arguments {
    struct broker_shared *shared;
    uint64_t id;
    size_t length; /* SIZE_MAX: there is no such queue */
    uint8_t table[QUEUE_TABLE_MAX];
};

static void arguments_copy(struct mr_worker *w, void *argument)
{
    struct arguments *a = argument;
    const struct catalog_queue *q = catalog_queue_by_id(a->shared->instance[mr_worker_index(w)]->catalog, a->id);
    a->length = q && q->table.length <= sizeof a->table ? q->table.length : 0;
    if (a->length)
        memcpy(a->table, q->table.data, a->length);
}

static void show_value(struct control_answer *a, const char *name, const struct amqp_value *v)
{
    int64_t number;
    if (v->type == 't')
        control_answer_bool(a, name, v->boolean);
    else if (v->type == 'S')
        control_answer_span(a, name, v->text);
    else if (amqp_value_integer(v, &number))
        control_answer_format(a, name, "%" PRId64, number);
    else
        control_answer_format(a, name, "a value of type %c", v->type);
}

static void show_arguments(struct control_call *c, const struct control_queue *q)
{
    struct arguments *what = calloc(1, sizeof *what);
    struct mr_span name;
    struct amqp_value value;
    char text[QUEUE_NAME_MAX + 1];
    if (!what)
        return;
    what->shared = c->shared;
    what->id = q->id;
    int error = c->control->ask(c->control, q->owner, arguments_copy, what);
    if (error == MR_ERROR_SILENT)
        return;
    control_answer_open(&c->answer, "arguments", '{');
    struct mr_span table = {what->table, error == MR_OK ? what->length : 0};
    for (size_t at = 0; amqp_table_next(table, &at, &name, &value);) {
        snprintf(text, sizeof text, "%.*s", (int)name.length, (const char *)name.data);
        show_value(&c->answer, text, &value);
    }
    control_answer_close(&c->answer, '}');
    free(what);
}

bool queue_control_show(struct control_call *c)
{
    struct control_answer *a = &c->answer;
    unsigned vhost = queue_control_vhost(c);
    struct control_queue q;
    if (c->wrong || !control_queue_find(c, vhost, c->argv[1], &q))
        return false;
    control_answer_span(a, "name", control_queue_name(&q));
    control_answer_text(a, "vhost", vhost_text(c, q.vhost));
    control_answer_bool(a, "durable", q.durable);
    control_answer_text(a, "durability", QUEUE_DURABILITY_NAMES[q.durability]);
    control_answer_bool(a, "auto_delete", q.auto_delete);
    control_answer_bool(a, "exclusive", q.exclusive);
    control_answer_number(a, "worker", q.owner);
    show_arguments(c, &q);
    control_answer_open(a, "state", '{');
    show_status(a, &q.status);
    control_answer_close(a, '}');
    return true;
}

/* -- connections -------------------------------------------------------------------------------------------------------------------- */

struct connection_row {
    struct mr_endpoint peer;
    char user[64], vhost[64], state[24];
    unsigned channels, consumers;
    uint64_t unacknowledged, published, delivered;
};

struct connection_sheet {
    struct broker_shared *shared;
    size_t room, count;
    struct connection_row rows[];
};

static void connection_add(void *context, const struct amqp_connection_info *i)
{
    struct connection_sheet *s = context;
    if (s->count < s->room) {
        struct connection_row *row = &s->rows[s->count];
        *row = (struct connection_row){.peer = i->peer,
                                       .channels = i->channels,
                                       .consumers = i->consumers,
                                       .unacknowledged = i->unacknowledged,
                                       .published = i->published,
                                       .delivered = i->delivered};
        snprintf(row->user, sizeof row->user, "%s", i->user ? i->user : "-");
        snprintf(row->vhost, sizeof row->vhost, "%s", i->vhost ? i->vhost : "-");
        snprintf(row->state, sizeof row->state, "%s", i->state ? i->state : "-");
    }
    s->count++;
}

static void connections_fill(struct mr_worker *w, void *argument)
{
    struct connection_sheet *s = argument;
    amqp_server_each(s->shared->instance[mr_worker_index(w)], connection_add, s);
}

static void show_connection(struct control_answer *a, const struct connection_row *row, unsigned worker)
{
    control_answer_open(a, NULL, '{');
    control_answer_endpoint(a, "peer", &row->peer);
    control_answer_text(a, "user", row->user);
    control_answer_text(a, "vhost", row->vhost);
    control_answer_text(a, "state", row->state);
    control_answer_number(a, "channels", row->channels);
    control_answer_number(a, "consumers", row->consumers);
    control_answer_number(a, "unacked", row->unacknowledged);
    control_answer_number(a, "published", row->published);
    control_answer_number(a, "delivered", row->delivered);
    control_answer_number(a, "worker", worker);
    control_answer_close(a, '}');
}

/* True: the worker answered. */
static bool show_connections_of(struct control_call *c, unsigned worker)
{
    size_t room = c->shared->config->connections_max; /* pages that are not written cost nothing */
    struct connection_sheet *s = calloc(1, sizeof *s + room * sizeof s->rows[0]);
    if (!s)
        return false;
    s->shared = c->shared;
    s->room = room;
    int error = c->control->ask(c->control, worker, connections_fill, s);
    for (size_t i = 0; error == MR_OK && i < s->count && i < room; i++)
        show_connection(&c->answer, &s->rows[i], worker);
    if (error != MR_ERROR_SILENT)
        free(s);
    return error == MR_OK;
}

bool queue_control_connections(struct control_call *c)
{
    unsigned answered = 0;
    control_answer_open(&c->answer, "connections", '[');
    for (unsigned i = 0; i < c->control->workers; i++)
        answered += show_connections_of(c, i);
    control_answer_close(&c->answer, ']');
    control_silence(c, answered);
    return true;
}

/* -- exchanges and bindings: every replica has them all, worker 0 is asked --------------------------------------------------------------- */

struct name_copy {
    uint8_t length;
    uint8_t bytes[QUEUE_NAME_MAX];
};

static void name_take(struct name_copy *to, struct mr_span from)
{
    to->length = (uint8_t)from.length;
    if (from.length)
        memcpy(to->bytes, from.data, to->length);
}

static struct mr_span name_of(const struct name_copy *n)
{
    return (struct mr_span){n->bytes, n->length};
}

/* An exchange, or a binding: then `name` is the source. */
struct entity {
    unsigned vhost;
    enum exchange_type type;
    bool durable, auto_delete, internal, delayed, to_exchange;
    struct name_copy name, other, key; /* other: the alternate exchange, the destination */
};

struct entity_sheet {
    struct broker_shared *shared;
    unsigned vhost;
    bool bindings;
    size_t room, count;
    struct entity rows[];
};

static void exchange_add(void *context, const struct catalog_exchange *x)
{
    struct entity_sheet *s = context;
    if (s->count < s->room) {
        struct entity *row = &s->rows[s->count];
        *row = (struct entity){.vhost = x->vhost,
                               .type = x->type,
                               .durable = x->durable,
                               .auto_delete = x->auto_delete,
                               .internal = x->internal,
                               .delayed = x->delayed};
        name_take(&row->name, x->name);
        name_take(&row->other, x->alternate);
    }
    s->count++;
}

static void binding_add(void *context, const struct catalog_binding_info *b)
{
    struct entity_sheet *s = context;
    if (s->count < s->room) {
        struct entity *row = &s->rows[s->count];
        *row = (struct entity){.vhost = b->vhost, .to_exchange = b->to_exchange};
        name_take(&row->name, b->source);
        name_take(&row->other, b->destination);
        name_take(&row->key, b->key);
    }
    s->count++;
}

static void entities_fill(struct mr_worker *w, void *argument)
{
    struct entity_sheet *s = argument;
    const struct catalog *catalog = s->shared->instance[mr_worker_index(w)]->catalog;
    s->count = 0;
    if (s->bindings)
        catalog_binding_each(catalog, s->vhost, binding_add, s);
    else
        catalog_exchange_each(catalog, s->vhost, exchange_add, s);
}

static struct entity_sheet *entities_ask(struct control_call *c, unsigned vhost, bool bindings, size_t room)
{
    struct entity_sheet *s = calloc(1, sizeof *s + room * sizeof s->rows[0]);
    if (!s)
        return NULL;
    *s = (struct entity_sheet){.shared = c->shared, .vhost = vhost, .bindings = bindings, .room = room};
    int error = c->control->ask(c->control, 0, entities_fill, s);
    if (error == MR_OK)
        return s;
    if (error != MR_ERROR_SILENT)
        free(s);
    c->wrong = control_say("worker 0: %s", mr_error_text(error));
    return NULL;
}

#define ROOM_SPARE 64 /* what is declared between counting and writing */

static bool show_entities(struct control_call *c, bool bindings, const char *name,
                          void (*show)(struct control_call *c, const struct entity *row))
{
    unsigned vhost = c->vhost ? queue_control_vhost(c) : UINT_MAX;
    struct entity_sheet *counted = c->wrong ? NULL : entities_ask(c, vhost, bindings, 0);
    struct entity_sheet *s = counted ? entities_ask(c, vhost, bindings, counted->count + ROOM_SPARE) : NULL;
    free(counted);
    if (!s)
        return false;
    control_answer_open(&c->answer, name, '[');
    for (size_t i = 0; i < s->count && i < s->room; i++)
        show(c, &s->rows[i]);
    control_answer_close(&c->answer, ']');
    free(s);
    return true;
}

/* The default exchange has no name: that is said. */
static void show_exchange_name(struct control_answer *a, const char *key, const struct name_copy *name)
{
    if (name->length)
        control_answer_span(a, key, name_of(name));
    else
        control_answer_text(a, key, "(default)");
}

static void show_exchange(struct control_call *c, const struct entity *row)
{
    struct control_answer *a = &c->answer;
    control_answer_open(a, NULL, '{');
    if (several_vhosts(c))
        control_answer_text(a, "vhost", vhost_text(c, row->vhost));
    show_exchange_name(a, "name", &row->name);
    control_answer_text(a, "type", EXCHANGE_TYPE_NAMES[row->type]);
    control_answer_bool(a, "durable", row->durable);
    control_answer_bool(a, "auto_delete", row->auto_delete);
    control_answer_bool(a, "internal", row->internal);
    control_answer_bool(a, "delayed", row->delayed);
    control_answer_span(a, "alternate", name_of(&row->other));
    control_answer_close(a, '}');
}

bool queue_control_exchanges(struct control_call *c)
{
    return show_entities(c, false, "exchanges", show_exchange);
}

static void show_binding(struct control_call *c, const struct entity *row)
{
    struct control_answer *a = &c->answer;
    control_answer_open(a, NULL, '{');
    if (several_vhosts(c))
        control_answer_text(a, "vhost", vhost_text(c, row->vhost));
    show_exchange_name(a, "source", &row->name);
    control_answer_text(a, "to", row->to_exchange ? "exchange" : "queue");
    control_answer_span(a, "destination", name_of(&row->other));
    control_answer_span(a, "key", name_of(&row->key));
    control_answer_close(a, '}');
}

bool queue_control_bindings(struct control_call *c)
{
    return show_entities(c, true, "bindings", show_binding);
}
