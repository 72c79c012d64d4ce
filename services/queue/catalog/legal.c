/* Whether a change is legal, by the replica of worker 0. Texts as RabbitMQ 3.10 words them. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "queue/amqp/table.h"
#include "queue/catalog/replica.h"

#define SPAN(s) (int)(s).length, (const char *)(s).data

bool catalog_refuse(struct catalog_change *change, enum catalog_result result, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(change->text, sizeof change->text, format, arguments);
    va_end(arguments);
    change->result = result;
    return false;
}

static bool begins(struct mr_span name, const char *prefix)
{
    size_t n = strlen(prefix);
    return name.length >= n && !memcmp(name.data, prefix, n);
}

static bool not_default(struct catalog_change *change, struct mr_span exchange)
{
    return exchange.length ||
           catalog_refuse(change, CATALOG_ACCESS_REFUSED, "operation not permitted on the default exchange");
}

static bool exists(const struct catalog *c, struct catalog_change *change, struct mr_span exchange)
{
    return catalog_exchange_entry(c, change->vhost, exchange) ||
           catalog_refuse(change, CATALOG_NOT_FOUND, "no exchange '%.*s' in vhost '%s'", SPAN(exchange),
                          c->vhosts[change->vhost]);
}

/* -- what was declared before ----------------------------------------------------------------------------------------------------------- */

static bool flag_equal(const struct catalog *c, struct catalog_change *change, const char *kind, const char *flag,
                       bool received, bool current)
{
    return received == current ||
           catalog_refuse(change, CATALOG_PRECONDITION_FAILED,
                          "inequivalent arg '%s' for %s '%.*s' in vhost '%s': received '%s' but current is '%s'", flag,
                          kind, SPAN(change->name), c->vhosts[change->vhost], received ? "true" : "false",
                          current ? "true" : "false");
}

static const char *type_text(enum exchange_type type, bool delayed)
{
    return delayed ? EXCHANGE_TYPE_DELAYED : EXCHANGE_TYPE_NAMES[type];
}

static bool exchange_same(const struct catalog *c, struct catalog_change *change, const struct catalog_exchange *x)
{
    const char *received = type_text(change->exchange_type, change->delayed), *current = type_text(x->type, x->delayed);
    const char *vhost = c->vhosts[change->vhost];
    if (strcmp(received, current))
        return catalog_refuse(
            change, CATALOG_PRECONDITION_FAILED,
            "inequivalent arg 'type' for exchange '%.*s' in vhost '%s': received '%s' but current is '%s'",
            SPAN(change->name), vhost, received, current);
    return flag_equal(c, change, "exchange", "durable", change->durable, x->durable) &&
           flag_equal(c, change, "exchange", "auto_delete", change->auto_delete, x->auto_delete) &&
           flag_equal(c, change, "exchange", "internal", change->internal, x->internal) &&
           catalog_argument_equal(change, "exchange", vhost, "alternate-exchange", x->arguments) &&
           (!x->delayed || catalog_argument_equal(change, "exchange", vhost, "x-delayed-type", x->arguments));
}

/* An exclusive queue is its connection's; and it is never durable, whatever is said. */
static bool queue_unlocked(const struct catalog *c, struct catalog_change *change, const struct catalog_queue *q,
                           bool exclusive)
{
    if (q->exclusive ? exclusive && q->exclusive == change->connection : !exclusive)
        return true;
    return catalog_refuse(
        change, CATALOG_RESOURCE_LOCKED,
        "cannot obtain exclusive access to locked queue '%.*s' in vhost '%s'. It could be originally declared on "
        "another connection or the exclusive property value does not match that of the original declaration.",
        SPAN(change->name), c->vhosts[change->vhost]);
}

static bool queue_same(const struct catalog *c, struct catalog_change *change, const struct catalog_queue *q)
{
    return queue_unlocked(c, change, q, change->exclusive) &&
           flag_equal(c, change, "queue", "durable", change->durable && !change->exclusive, q->durable) &&
           flag_equal(c, change, "queue", "auto_delete", change->auto_delete, q->auto_delete) &&
           catalog_arguments_equal(change, c->vhosts[change->vhost], q->table);
}

/* -- by verb ---------------------------------------------------------------------------------------------------------------------------- */

static bool reserved(struct catalog_change *change, const char *kind)
{
    return catalog_refuse(change, CATALOG_ACCESS_REFUSED, "%s name '%.*s' contains reserved prefix 'amq.*'", kind,
                          SPAN(change->name));
}

/* It was there when the asker's rights were looked at, and has gone since. */
static bool creatable(const struct catalog *c, struct catalog_change *change, const char *kind)
{
    return !change->no_create ||
           catalog_refuse(change, CATALOG_ACCESS_REFUSED, "access to %s '%.*s' in vhost '%s' refused", kind,
                          SPAN(change->name), c->vhosts[change->vhost]);
}

static bool room(struct catalog_change *change, uint64_t count, uint64_t most, const char *what)
{
    return count < most ||
           catalog_refuse(change, CATALOG_NO_MEMORY, "there are %" PRIu64 " %s: no more are allowed", count, what);
}

static bool exchange_declare(const struct catalog *c, struct catalog_change *change)
{
    struct amqp_value v;
    if (change->exchange_type > EXCHANGE_HEADERS)
        return catalog_refuse(change, CATALOG_COMMAND_INVALID, "unknown exchange type");
    if (!not_default(change, change->name))
        return false;
    const struct exchange_entry *x = catalog_exchange_entry(c, change->vhost, change->name);
    if (x)
        return exchange_same(c, change, &x->public);
    if (begins(change->name, "amq."))
        return reserved(change, "exchange");
    if (amqp_table_find(change->arguments, "alternate-exchange", &v) && v.type != 'S')
        return catalog_refuse(change, CATALOG_PRECONDITION_FAILED,
                              "invalid type '%s' for arg 'alternate-exchange' in exchange '%.*s' in vhost '%s'",
                              amqp_type_name(v.type), SPAN(change->name), c->vhosts[change->vhost]);
    return creatable(c, change, "exchange") &&
           room(change, c->exchange_count, c->queues_max + 7 * (uint64_t)c->vhost_count, "exchanges");
}

static bool exchange_delete(const struct catalog *c, struct catalog_change *change)
{
    if (!not_default(change, change->name))
        return false;
    if (begins(change->name, "amq."))
        return catalog_refuse(change, CATALOG_ACCESS_REFUSED,
                              "deletion of system exchange '%.*s' in vhost '%s' not allowed", SPAN(change->name),
                              c->vhosts[change->vhost]);
    const struct exchange_entry *x = catalog_exchange_entry(c, change->vhost, change->name);
    return !x || !change->if_unused || ring_empty(&x->from) ||
           catalog_refuse(change, CATALOG_PRECONDITION_FAILED, "exchange '%.*s' in vhost '%s' in use",
                          SPAN(change->name), c->vhosts[change->vhost]);
}

static bool queue_declare(const struct catalog *c, struct catalog_change *change)
{
    const struct queue_entry_replica *q = catalog_queue_entry(c, change->vhost, change->name);
    struct queue_arguments ignored;
    if (q)
        return queue_same(c, change, &q->public);
    if (begins(change->name, "amq.") && !begins(change->name, "amq.gen-")) /* those are made by the session */
        return reserved(change, "queue");
    return catalog_arguments_parse(change, c->vhosts[change->vhost], &ignored) && creatable(c, change, "queue") &&
           room(change, c->queue_count, c->queues_max, "queues");
}

static bool queue_delete(const struct catalog *c, struct catalog_change *change)
{
    (void)c;
    (void)change;
    return true; /* its owner says so; one that is gone is gone */
}

static bool bindable(const struct catalog *c, struct catalog_change *change)
{
    const struct exchange_entry *source = catalog_exchange_entry(c, change->vhost, change->source);
    if (source->public.type == EXCHANGE_HEADERS && !catalog_headers_legal(change))
        return false;
    return catalog_binding_find(c, change) ||
           room(change, c->binding_count, CATALOG_BINDINGS_PER_QUEUE * c->queues_max, "bindings");
}

static bool bind(const struct catalog *c, struct catalog_change *change)
{
    if (!not_default(change, change->source) || !exists(c, change, change->source))
        return false;
    const struct queue_entry_replica *q = catalog_queue_entry(c, change->vhost, change->name);
    if (!q)
        return catalog_refuse(change, CATALOG_NOT_FOUND, "no queue '%.*s' in vhost '%s'", SPAN(change->name),
                              c->vhosts[change->vhost]);
    return queue_unlocked(c, change, &q->public, q->public.exclusive != 0) && bindable(c, change);
}

/* What is not bound is as wanted. */
static bool unbind(const struct catalog *c, struct catalog_change *change)
{
    if (!not_default(change, change->source))
        return false;
    const struct catalog_bound *b = catalog_binding_find(c, change);
    return !b || queue_unlocked(c, change, &b->queue->public, b->queue->public.exclusive != 0);
}

static bool exchange_bind(const struct catalog *c, struct catalog_change *change)
{
    return not_default(change, change->name) && not_default(change, change->source) &&
           exists(c, change, change->source) && exists(c, change, change->name) && bindable(c, change);
}

static bool exchange_unbind(const struct catalog *c, struct catalog_change *change)
{
    (void)c;
    return not_default(change, change->name) && not_default(change, change->source);
}

bool catalog_legal(const struct catalog *c, struct catalog_change *change)
{
    static bool (*const verbs[])(const struct catalog *, struct catalog_change *) = {
        [CATALOG_EXCHANGE_DECLARE] = exchange_declare,
        [CATALOG_EXCHANGE_DELETE] = exchange_delete,
        [CATALOG_QUEUE_DECLARE] = queue_declare,
        [CATALOG_QUEUE_DELETE] = queue_delete,
        [CATALOG_BIND] = bind,
        [CATALOG_UNBIND] = unbind,
        [CATALOG_EXCHANGE_BIND] = exchange_bind,
        [CATALOG_EXCHANGE_UNBIND] = exchange_unbind,
    };
    if (change->vhost >= c->vhost_count)
        return catalog_refuse(change, CATALOG_NOT_FOUND, "no such vhost");
    if (change->name.length > QUEUE_NAME_MAX || change->source.length > QUEUE_NAME_MAX ||
        change->key.length > QUEUE_NAME_MAX || change->arguments.length > QUEUE_TABLE_MAX)
        return catalog_refuse(change, CATALOG_PRECONDITION_FAILED, "a name or arguments that are too long");
    return verbs[change->verb](c, change);
}
