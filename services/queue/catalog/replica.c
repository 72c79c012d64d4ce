/* One worker's replica: made and freed, looked up. */
#include "queue/catalog/replica.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/random.h>

/* A quarter of a worker's share of the memory, counted apart from messages: a worker that has no room for a message must still learn of a
 * queue. Address space is taken for far more, so that it is never scattered pages that decide. */
static bool memory_start(struct catalog *c, const struct queue_config *config, unsigned workers, bool decides)
{
    const uint64_t region_max = UINT64_C(63) << 30;
    uint64_t limit = config->memory_max / workers / 4;
    if (limit < (UINT64_C(1) << 20))
        limit = UINT64_C(1) << 20;
    uint64_t region = limit < region_max / 8 ? 8 * limit : region_max;
    if (memory_init(&c->memory, region, decides ? limit : 2 * limit))
        return true;
    c->memory.limit = 0; /* nothing to release */
    return false;
}

static bool indexes_start(struct catalog *c)
{
    struct catalog_index *all[] = {&c->exchanges, &c->queues, &c->ids, &c->bindings, &c->groups, &c->edges};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (!catalog_index_init(all[i], &c->memory))
            return false;
    return true;
}

struct catalog *catalog_create(const struct queue_config *config, unsigned workers, bool decides)
{
    struct catalog *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->queues_max = config->queues_max;
    c->durability = (enum queue_durability)config->durability;
    ring_init(&c->all_exchanges);
    ring_init(&c->all_queues);
    ring_init(&c->all_bindings);
    catalog_changes_start(c);
    c->header_slots = calloc(CATALOG_HEADER_SLOTS, sizeof *c->header_slots);
    bool good = c->header_slots && getrandom(&c->seed, sizeof c->seed, 0) == sizeof c->seed &&
                memory_start(c, config, workers, decides) && catalog_routed_room(c, c->queues_max) && indexes_start(c);
    for (unsigned i = 0; good && i < config->vhost_count; i++)
        good = catalog_vhost_add(c, span_of(config->vhosts[i].name)) != UINT_MAX;
    if (good)
        return c;
    catalog_free(c);
    return NULL;
}

bool catalog_routed_room(struct catalog *c, uint64_t queues)
{
    if (c->routed && queues <= c->queues_max)
        return true;
    free(c->routed);
    c->routed = calloc(queues + 1, sizeof *c->routed); /* touched as far as it is used */
    return c->routed != NULL;
}

void catalog_free(struct catalog *c)
{
    for (unsigned i = 0; i < c->vhost_count; i++)
        free(c->vhosts[i]);
    free(c->vhosts);
    free(c->routed);
    free(c->header_slots);
    if (c->memory.limit) /* where allocations are malloc's there is no base */
        memory_release(&c->memory);
    free(c);
}

/* -- virtual hosts ------------------------------------------------------------------------------------------------------------------------ */

static bool predeclare(struct catalog *c, unsigned vhost)
{
    static const struct {
        const char *name;
        enum exchange_type type;
        bool internal;
    } exchanges[] = {{"", EXCHANGE_DIRECT, false},
                     {"amq.direct", EXCHANGE_DIRECT, false},
                     {"amq.fanout", EXCHANGE_FANOUT, false},
                     {"amq.topic", EXCHANGE_TOPIC, false},
                     {"amq.headers", EXCHANGE_HEADERS, false},
                     {"amq.match", EXCHANGE_HEADERS, false},
                     {"amq.rabbitmq.trace", EXCHANGE_TOPIC, true}};
    for (size_t i = 0; i < sizeof exchanges / sizeof exchanges[0]; i++) {
        struct catalog_change change = {.verb = CATALOG_EXCHANGE_DECLARE,
                                        .vhost = vhost,
                                        .name = span_of(exchanges[i].name),
                                        .exchange_type = exchanges[i].type,
                                        .durable = true,
                                        .internal = exchanges[i].internal};
        if (!catalog_apply(c, &change))
            return false;
        catalog_exchange_entry(c, vhost, change.name)->predeclared = true;
    }
    return true;
}

unsigned catalog_vhost_add(struct catalog *c, struct mr_span name)
{
    char **vhosts = realloc(c->vhosts, (c->vhost_count + 1) * sizeof *vhosts);
    if (!vhosts)
        return UINT_MAX;
    c->vhosts = vhosts;
    char *text = malloc(name.length + 1);
    if (!text)
        return UINT_MAX;
    memcpy(text, name.data, name.length);
    text[name.length] = 0;
    vhosts[c->vhost_count++] = text;
    return predeclare(c, c->vhost_count - 1) ? c->vhost_count - 1 : UINT_MAX;
}

unsigned catalog_vhost_find(const struct catalog *c, struct mr_span name)
{
    for (unsigned i = 0; i < c->vhost_count; i++)
        if (span_equal(name, span_of(c->vhosts[i])))
            return i;
    return UINT_MAX;
}

const char *catalog_vhost_name(const struct catalog *c, unsigned vhost)
{
    return vhost < c->vhost_count ? c->vhosts[vhost] : NULL;
}

/* -- by name and id ----------------------------------------------------------------------------------------------------------------------- */

struct exchange_entry *catalog_exchange_entry(const struct catalog *c, unsigned vhost, struct mr_span name)
{
    uint64_t hash = catalog_hash(c->seed + vhost, name);
    for (struct catalog_link *l = catalog_index_bucket(&c->exchanges, hash); l; l = l->next) {
        struct exchange_entry *x = CATALOG_OF(l, struct exchange_entry, link);
        if (l->hash == hash && x->public.vhost == vhost && span_equal(x->public.name, name))
            return x;
    }
    return NULL;
}

struct queue_entry_replica *catalog_queue_entry(const struct catalog *c, unsigned vhost, struct mr_span name)
{
    uint64_t hash = catalog_hash(c->seed + vhost, name);
    for (struct catalog_link *l = catalog_index_bucket(&c->queues, hash); l; l = l->next) {
        struct queue_entry_replica *q = CATALOG_OF(l, struct queue_entry_replica, by_name);
        if (l->hash == hash && q->public.vhost == vhost && span_equal(q->public.name, name))
            return q;
    }
    return NULL;
}

struct queue_entry_replica *catalog_id_entry(const struct catalog *c, uint64_t id)
{
    for (struct catalog_link *l = catalog_index_bucket(&c->ids, id); l; l = l->next)
        if (l->hash == id)
            return CATALOG_OF(l, struct queue_entry_replica, by_id);
    return NULL;
}

const struct catalog_exchange *catalog_exchange_find(const struct catalog *c, unsigned vhost, struct mr_span name)
{
    const struct exchange_entry *x = catalog_exchange_entry(c, vhost, name);
    return x ? &x->public : NULL;
}

const struct catalog_queue *catalog_queue_find(const struct catalog *c, unsigned vhost, struct mr_span name)
{
    const struct queue_entry_replica *q = catalog_queue_entry(c, vhost, name);
    return q ? &q->public : NULL;
}

const struct catalog_queue *catalog_queue_by_id(const struct catalog *c, uint64_t id)
{
    const struct queue_entry_replica *q = catalog_id_entry(c, id);
    return q ? &q->public : NULL;
}

/* -- each --------------------------------------------------------------------------------------------------------------------------------- */

void catalog_queue_each(const struct catalog *c, unsigned vhost,
                        void (*visit)(void *context, const struct catalog_queue *q), void *context)
{
    for (const struct catalog_ring *at = c->all_queues.next, *next; at != &c->all_queues; at = next) {
        const struct queue_entry_replica *q = CATALOG_OF(at, struct queue_entry_replica, all);
        next = at->next;
        if (vhost == UINT_MAX || q->public.vhost == vhost)
            visit(context, &q->public);
    }
}

void catalog_exchange_each(const struct catalog *c, unsigned vhost,
                           void (*visit)(void *context, const struct catalog_exchange *x), void *context)
{
    for (const struct catalog_ring *at = c->all_exchanges.next, *next; at != &c->all_exchanges; at = next) {
        const struct exchange_entry *x = CATALOG_OF(at, struct exchange_entry, all);
        next = at->next;
        if (vhost == UINT_MAX || x->public.vhost == vhost)
            visit(context, &x->public);
    }
}

void catalog_binding_each(const struct catalog *c, unsigned vhost,
                          void (*visit)(void *context, const struct catalog_binding_info *b), void *context)
{
    for (const struct catalog_ring *at = c->all_bindings.next, *next; at != &c->all_bindings; at = next) {
        const struct catalog_bound *b = CATALOG_OF(at, struct catalog_bound, all);
        next = at->next;
        if (vhost != UINT_MAX && b->source->public.vhost != vhost)
            continue;
        struct catalog_binding_info shown = {.vhost = b->source->public.vhost,
                                             .source = b->source->public.name,
                                             .destination = b->queue ? b->queue->public.name : b->exchange->public.name,
                                             .key = {b->key, b->key_length},
                                             .arguments = b->arguments,
                                             .to_exchange = !b->queue};
        visit(context, &shown);
    }
}

struct catalog_change catalog_exchange_change(const struct exchange_entry *x)
{
    return (struct catalog_change){.verb = CATALOG_EXCHANGE_DECLARE,
                                   .vhost = x->public.vhost,
                                   .name = x->public.name,
                                   .arguments = x->public.arguments,
                                   .exchange_type = x->public.type,
                                   .delayed = x->public.delayed,
                                   .durable = x->public.durable,
                                   .auto_delete = x->public.auto_delete,
                                   .internal = x->public.internal};
}

struct catalog_change catalog_queue_change(const struct queue_entry_replica *q)
{
    return (struct catalog_change){.verb = CATALOG_QUEUE_DECLARE,
                                   .vhost = q->public.vhost,
                                   .name = q->public.name,
                                   .arguments = q->public.table,
                                   .durable = q->public.durable,
                                   .auto_delete = q->public.auto_delete,
                                   .exclusive = q->public.exclusive != 0,
                                   .connection = q->public.exclusive,
                                   .queue_id = q->public.id};
}

struct catalog_change catalog_binding_change(const struct catalog_bound *b)
{
    return (struct catalog_change){.verb = b->queue ? CATALOG_BIND : CATALOG_EXCHANGE_BIND,
                                   .vhost = b->source->public.vhost,
                                   .name = b->queue ? b->queue->public.name : b->exchange->public.name,
                                   .source = b->source->public.name,
                                   .key = {b->key, b->key_length},
                                   .arguments = b->arguments,
                                   .durable = catalog_binding_durable(b)};
}

bool catalog_each_change(const struct catalog *c, bool (*make)(void *context, const struct catalog_change *change),
                         void *context)
{
    struct catalog_change change;
    for (const struct catalog_ring *at = c->all_exchanges.next; at != &c->all_exchanges; at = at->next) {
        const struct exchange_entry *x = CATALOG_OF(at, struct exchange_entry, all);
        change = catalog_exchange_change(x);
        if (!x->predeclared && !make(context, &change))
            return false;
    }
    for (const struct catalog_ring *at = c->all_queues.next; at != &c->all_queues; at = at->next) {
        change = catalog_queue_change(CATALOG_OF(at, struct queue_entry_replica, all));
        if (!make(context, &change))
            return false;
    }
    for (const struct catalog_ring *at = c->all_bindings.next; at != &c->all_bindings; at = at->next) {
        change = catalog_binding_change(CATALOG_OF(at, struct catalog_bound, all));
        if (!make(context, &change))
            return false;
    }
    return true;
}
