/* A legal change in one replica, with all that follows from it. Every worker runs this with the same changes in the same order. */
#include "queue/amqp/table.h"
#include "queue/catalog/replica.h"

/* The same in every run. */
static uint64_t owner_hash(uint64_t h, struct mr_span s)
{
    h ^= s.length * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < s.length; i += 8) {
        uint64_t word = 0;
        memcpy(&word, s.data + i, s.length - i < 8 ? s.length - i : 8);
        h = (h ^ word) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    h *= 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 29;
}

unsigned catalog_owner(const char *vhost, struct mr_span name, unsigned workers)
{
    uint64_t h = owner_hash(owner_hash(0, span_of(vhost)), name);
    return (unsigned)((h >> 32) * workers >> 32);
}

static void gauges(struct catalog *c)
{
    if (!c->b)
        return;
    c->b->counters[QUEUE_COUNTER_EXCHANGES] = c->exchange_count;
    c->b->counters[QUEUE_COUNTER_BINDINGS] = c->binding_count;
}

static struct mr_span keep(uint8_t **to, struct mr_span from)
{
    struct mr_span kept = {*to, from.length};
    if (from.length)
        memcpy(*to, from.data, from.length);
    *to += from.length;
    return kept;
}

/* -- what has gone: its memory stays until the end of the next turn ------------------------------------------------------------------------- */

static size_t exchange_bytes(const struct exchange_entry *x)
{
    return sizeof *x + x->public.name.length + x->public.arguments.length;
}

static size_t queue_bytes(const struct queue_entry_replica *q)
{
    return sizeof *q + q->public.name.length + q->public.table.length;
}

static size_t binding_bytes(size_t key, size_t arguments)
{
    return sizeof(struct catalog_bound) + key + arguments;
}

static void old_free(struct catalog *c)
{
    while (c->old_exchanges) {
        struct exchange_entry *x = c->old_exchanges;
        c->old_exchanges = x->gone;
        memory_free(&c->memory, x, exchange_bytes(x));
    }
    while (c->old_queues) {
        struct queue_entry_replica *q = c->old_queues;
        c->old_queues = q->gone;
        memory_free(&c->memory, q, queue_bytes(q));
    }
}

static void reclaim(struct mr_worker *w, struct mr_deferred *d)
{
    struct catalog *c = d->context;
    old_free(c);
    c->old_exchanges = c->gone_exchanges;
    c->old_queues = c->gone_queues;
    c->gone_exchanges = NULL;
    c->gone_queues = NULL;
    if (c->old_exchanges || c->old_queues)
        mr_defer(w, d);
}

static void reclaim_later(struct catalog *c)
{
    c->reclaim.run = reclaim;
    c->reclaim.context = c;
    if (c->b) {
        mr_defer(c->b->worker, &c->reclaim);
        return;
    }
    for (unsigned i = 0; i < 2; i++) { /* nobody else looks at the source */
        old_free(c);
        c->old_exchanges = c->gone_exchanges;
        c->old_queues = c->gone_queues;
        c->gone_exchanges = NULL;
        c->gone_queues = NULL;
    }
}

/* -- bindings ------------------------------------------------------------------------------------------------------------------------------- */

static uint64_t arguments_hash(uint64_t seed, struct mr_span arguments)
{
    struct mr_span name;
    struct amqp_value v;
    uint64_t sum = 0;
    for (size_t at = 0; amqp_table_next(arguments, &at, &name, &v);) { /* in any order */
        int64_t n = 0;
        amqp_value_integer(&v, &n);
        sum += catalog_hash(catalog_hash(seed, name) ^ (uint64_t)n, v.type == 'S' ? v.text : (struct mr_span){NULL, 0});
    }
    return sum;
}

static uint64_t binding_hash(const struct catalog *c, const void *source, const void *target, struct mr_span key,
                             struct mr_span arguments)
{
    struct mr_span pointers = {(const uint8_t *)(const void *[]){source, target}, 2 * sizeof(void *)};
    return catalog_hash(catalog_hash(c->seed, pointers) ^ arguments_hash(c->seed, arguments), key);
}

struct ends {
    struct exchange_entry *source, *exchange;
    struct queue_entry_replica *queue;
};

static bool ends_find(const struct catalog *c, const struct catalog_change *change, struct ends *e)
{
    bool queue = change->verb == CATALOG_BIND || change->verb == CATALOG_UNBIND;
    e->source = catalog_exchange_entry(c, change->vhost, change->source);
    e->queue = queue ? catalog_queue_entry(c, change->vhost, change->name) : NULL;
    e->exchange = queue ? NULL : catalog_exchange_entry(c, change->vhost, change->name);
    return e->source && (e->queue || e->exchange);
}

static struct catalog_bound *between(const struct catalog *c, const struct ends *e, const struct catalog_change *change)
{
    const void *target = e->queue ? (const void *)e->queue : e->exchange;
    uint64_t hash = binding_hash(c, e->source, target, change->key, change->arguments);
    for (struct catalog_link *l = catalog_index_bucket(&c->bindings, hash); l; l = l->next) {
        struct catalog_bound *b = CATALOG_OF(l, struct catalog_bound, link);
        if (l->hash == hash && b->source == e->source && b->queue == e->queue && b->exchange == e->exchange &&
            span_equal((struct mr_span){b->key, b->key_length}, change->key) &&
            amqp_table_equal(b->arguments, change->arguments))
            return b;
    }
    return NULL;
}

struct catalog_bound *catalog_binding_find(const struct catalog *c, const struct catalog_change *change)
{
    struct ends e;
    return ends_find(c, change, &e) ? between(c, &e, change) : NULL;
}

bool catalog_binding_durable(const struct catalog_bound *b)
{
    return b->source->public.durable && (b->queue ? b->queue->public.durable : b->exchange->public.durable);
}

static bool bind(struct catalog *c, const struct catalog_change *change)
{
    struct ends e;
    if (!ends_find(c, change, &e) || between(c, &e, change))
        return true;
    struct catalog_bound *b = memory_alloc(&c->memory, binding_bytes(change->key.length, change->arguments.length));
    if (!b)
        return false;
    *b = (struct catalog_bound){
        .source = e.source, .queue = e.queue, .exchange = e.exchange, .key_length = (uint8_t)change->key.length};
    uint8_t *to = b->key;
    keep(&to, change->key);
    b->arguments = keep(&to, change->arguments);
    if (!catalog_binding_attach(c, b)) {
        memory_free(&c->memory, b, binding_bytes(change->key.length, change->arguments.length));
        return false;
    }
    b->link.hash = binding_hash(c, e.source, e.queue ? (const void *)e.queue : e.exchange, change->key, b->arguments);
    catalog_index_insert(&c->bindings, &b->link);
    ring_append(&c->all_bindings, &b->all);
    ring_append(&e.source->from, &b->of_source);
    ring_append(e.queue ? &e.queue->to : &e.exchange->to, &b->of_target);
    c->binding_count++;
    if (catalog_binding_durable(b))
        catalog_log(c, RECORD_BIND, change);
    return true;
}

/* An exchange that is deleted with its last binding goes onto `going`. Bindings to it do not keep it. */
static void binding_destroy(struct catalog *c, struct catalog_bound *b, struct exchange_entry **going)
{
    struct exchange_entry *x = b->source;
    catalog_binding_detach(c, b);
    catalog_index_remove(&c->bindings, &b->link);
    ring_remove(&b->all);
    ring_remove(&b->of_source);
    ring_remove(&b->of_target);
    c->binding_count--;
    memory_free(&c->memory, b, binding_bytes(b->key_length, b->arguments.length));
    if (!x->public.auto_delete || !ring_empty(&x->from) || x->going || c->keep_unbound)
        return;
    x->going = true;
    x->gone = *going;
    *going = x;
}

static void exchange_destroy(struct catalog *c, struct exchange_entry *x, struct exchange_entry **going)
{
    struct catalog_change change = catalog_exchange_change(x);
    x->going = true;
    if (x->public.durable)
        catalog_log(c, RECORD_EXCHANGE_DELETE, &change);
    while (!ring_empty(&x->from))
        binding_destroy(c, CATALOG_OF(x->from.next, struct catalog_bound, of_source), going);
    while (!ring_empty(&x->to))
        binding_destroy(c, CATALOG_OF(x->to.next, struct catalog_bound, of_target), going);
    if (x->root)
        catalog_topic_free(c, x->root);
    catalog_index_remove(&c->exchanges, &x->link);
    ring_remove(&x->all);
    c->exchange_count--;
    if (c->hooks && c->hooks->exchange_removed)
        c->hooks->exchange_removed(c->b, &x->public);
    x->gone = c->gone_exchanges;
    c->gone_exchanges = x;
    reclaim_later(c);
}

static void going_destroy(struct catalog *c, struct exchange_entry *going)
{
    while (going) {
        struct exchange_entry *x = going;
        going = x->gone;
        exchange_destroy(c, x, &going);
    }
}

static bool unbind(struct catalog *c, const struct catalog_change *change)
{
    struct exchange_entry *going = NULL;
    struct catalog_bound *b = catalog_binding_find(c, change);
    if (!b)
        return true;
    if (catalog_binding_durable(b))
        catalog_log(c, RECORD_UNBIND, change);
    binding_destroy(c, b, &going);
    going_destroy(c, going);
    return true;
}

/* -- exchanges ------------------------------------------------------------------------------------------------------------------------------ */

static bool exchange_declare(struct catalog *c, const struct catalog_change *change)
{
    struct amqp_value v;
    if (catalog_exchange_entry(c, change->vhost, change->name))
        return true;
    struct exchange_entry *x = memory_alloc(&c->memory, sizeof *x + change->name.length + change->arguments.length);
    if (!x)
        return false;
    *x = (struct exchange_entry){.public = {.vhost = change->vhost,
                                            .type = change->exchange_type,
                                            .delayed = change->delayed,
                                            .durable = change->durable,
                                            .auto_delete = change->auto_delete,
                                            .internal = change->internal}};
    uint8_t *to = (uint8_t *)(x + 1);
    x->public.name = keep(&to, change->name);
    x->public.arguments = keep(&to, change->arguments);
    if (change->exchange_type == EXCHANGE_TOPIC && !(x->root = catalog_topic_root(c))) {
        memory_free(&c->memory, x, exchange_bytes(x));
        return false;
    }
    if (amqp_table_find(x->public.arguments, "alternate-exchange", &v) && v.type == 'S')
        x->public.alternate = v.text;
    ring_init(&x->from);
    ring_init(&x->to);
    x->link.hash = catalog_hash(c->seed + change->vhost, change->name);
    catalog_index_insert(&c->exchanges, &x->link);
    ring_append(&c->all_exchanges, &x->all);
    c->exchange_count++;
    if (change->durable)
        catalog_log(c, RECORD_EXCHANGE, change);
    return true;
}

static bool exchange_delete(struct catalog *c, const struct catalog_change *change)
{
    struct exchange_entry *going = NULL, *x = catalog_exchange_entry(c, change->vhost, change->name);
    if (x) {
        exchange_destroy(c, x, &going);
        going_destroy(c, going);
    }
    return true;
}

/* -- queues --------------------------------------------------------------------------------------------------------------------------------- */

static unsigned owner_of(const struct catalog *c, const struct catalog_change *change)
{
    if (change->exclusive && change->home)
        return change->home->index; /* that of its connection */
    return catalog_owner(c->vhosts[change->vhost], change->name, c->b ? c->b->workers : 1);
}

static bool queue_declare(struct catalog *c, const struct catalog_change *change)
{
    if (catalog_queue_entry(c, change->vhost, change->name) || catalog_id_entry(c, change->queue_id))
        return true;
    struct queue_entry_replica *q =
        memory_alloc(&c->memory, sizeof *q + change->name.length + change->arguments.length);
    if (!q)
        return false;
    *q = (struct queue_entry_replica){.public = {.id = change->queue_id,
                                                 .vhost = change->vhost,
                                                 .owner = owner_of(c, change),
                                                 .durable = change->durable && !change->exclusive,
                                                 .auto_delete = change->auto_delete,
                                                 .exclusive = change->exclusive ? change->connection : 0}};
    uint8_t *to = (uint8_t *)(q + 1);
    q->public.name = keep(&to, change->name);
    q->public.table = keep(&to, change->arguments);
    catalog_arguments_read(q->public.table, c->durability, &q->public.arguments);
    ring_init(&q->to);
    q->by_name.hash = catalog_hash(c->seed + change->vhost, change->name);
    q->by_id.hash = change->queue_id;
    catalog_index_insert(&c->queues, &q->by_name);
    catalog_index_insert(&c->ids, &q->by_id);
    ring_append(&c->all_queues, &q->all);
    c->queue_count++;
    if (q->public.durable)
        catalog_log(c, RECORD_QUEUE, change);
    if (c->hooks && q->public.owner == c->b->index)
        c->hooks->queue_added(c->b, &q->public);
    return true;
}

static bool queue_delete(struct catalog *c, const struct catalog_change *change)
{
    struct exchange_entry *going = NULL;
    struct queue_entry_replica *q = catalog_id_entry(c, change->queue_id);
    if (!q)
        return true;
    struct catalog_change made = catalog_queue_change(q);
    if (q->public.durable)
        catalog_log(c, RECORD_QUEUE_DELETE, &made);
    while (!ring_empty(&q->to))
        binding_destroy(c, CATALOG_OF(q->to.next, struct catalog_bound, of_target), &going);
    catalog_index_remove(&c->queues, &q->by_name);
    catalog_index_remove(&c->ids, &q->by_id);
    ring_remove(&q->all);
    c->queue_count--;
    q->public.deleted = true;
    if (c->hooks && q->public.owner == c->b->index)
        c->hooks->queue_removed(c->b, &q->public);
    q->gone = c->gone_queues;
    c->gone_queues = q;
    reclaim_later(c);
    going_destroy(c, going);
    return true;
}

bool catalog_apply(struct catalog *c, const struct catalog_change *change)
{
    static bool (*const verbs[])(struct catalog *, const struct catalog_change *) = {
        [CATALOG_EXCHANGE_DECLARE] = exchange_declare,
        [CATALOG_EXCHANGE_DELETE] = exchange_delete,
        [CATALOG_QUEUE_DECLARE] = queue_declare,
        [CATALOG_QUEUE_DELETE] = queue_delete,
        [CATALOG_BIND] = bind,
        [CATALOG_UNBIND] = unbind,
        [CATALOG_EXCHANGE_BIND] = bind,
        [CATALOG_EXCHANGE_UNBIND] = unbind,
    };
    bool good = verbs[change->verb](c, change);
    gauges(c);
    return good;
}
