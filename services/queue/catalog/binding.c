/* Where routing looks for a binding: by key (direct), in the trie (topic), in the list of its exchange (fanout, headers). */
#include "queue/catalog/replica.h"

static uint64_t group_hash(const struct catalog *c, const struct exchange_entry *x, struct mr_span key)
{
    return catalog_hash(c->seed ^ (uint64_t)(uintptr_t)x * 0x9e3779b97f4a7c15u, key);
}

static struct catalog_group *group_find(const struct catalog *c, const struct exchange_entry *x, struct mr_span key)
{
    uint64_t hash = group_hash(c, x, key);
    for (struct catalog_link *l = catalog_index_bucket(&c->groups, hash); l; l = l->next) {
        struct catalog_group *g = CATALOG_OF(l, struct catalog_group, link);
        if (l->hash == hash && g->exchange == x && span_equal((struct mr_span){g->key, g->key_length}, key))
            return g;
    }
    return NULL;
}

static struct catalog_group *group_get(struct catalog *c, const struct exchange_entry *x, struct mr_span key)
{
    struct catalog_group *g = group_find(c, x, key);
    if (g || !(g = memory_alloc(&c->memory, sizeof *g + key.length)))
        return g;
    *g = (struct catalog_group){.link.hash = group_hash(c, x, key), .exchange = x, .key_length = (uint8_t)key.length};
    ring_init(&g->bindings);
    if (key.length)
        memcpy(g->key, key.data, key.length);
    catalog_index_insert(&c->groups, &g->link);
    return g;
}

bool catalog_binding_attach(struct catalog *c, struct catalog_bound *b)
{
    struct mr_span key = {b->key, b->key_length};
    ring_init(&b->of_key);
    switch (b->source->public.type) {
    case EXCHANGE_DIRECT:
        if ((b->group = group_get(c, b->source, key)))
            ring_append(&b->group->bindings, &b->of_key);
        return b->group != NULL;
    case EXCHANGE_TOPIC:
        if ((b->node = catalog_topic_add(c, b->source->root, key)))
            ring_append(&b->node->bindings, &b->of_key);
        return b->node != NULL;
    case EXCHANGE_HEADERS:
        catalog_headers_prepare(b);
        return true;
    case EXCHANGE_FANOUT:
        break;
    }
    return true;
}

void catalog_binding_detach(struct catalog *c, struct catalog_bound *b)
{
    ring_remove(&b->of_key);
    if (b->source->public.type == EXCHANGE_TOPIC)
        catalog_topic_prune(c, b->node);
    if (b->source->public.type == EXCHANGE_DIRECT && ring_empty(&b->group->bindings)) {
        catalog_index_remove(&c->groups, &b->group->link);
        memory_free(&c->memory, b->group, sizeof *b->group + b->group->key_length);
    }
}

/* -- routing ------------------------------------------------------------------------------------------------------------------------------ */

struct route {
    struct catalog *c;
    struct exchange_entry *work;
    struct mr_span headers;
};

static void queue_reached(struct catalog *c, struct queue_entry_replica *q)
{
    if (q->marked == c->serial)
        return;
    q->marked = c->serial;
    c->routed[c->routed_count++] = &q->public;
}

/* Each exchange is looked at once: cycles end. */
static void exchange_reached(struct route *r, struct exchange_entry *x)
{
    if (x->marked == r->c->serial)
        return;
    x->marked = r->c->serial;
    x->work = r->work;
    r->work = x;
}

static void binding_taken(struct route *r, const struct catalog_bound *b)
{
    if (b->queue)
        queue_reached(r->c, b->queue);
    else
        exchange_reached(r, b->exchange);
}

static unsigned list_take(struct route *r, const struct catalog_ring *head)
{
    unsigned n = 0;
    for (const struct catalog_ring *at = head->next; at != head; at = at->next, n++)
        binding_taken(r, CATALOG_OF(at, struct catalog_bound, of_key));
    return n;
}

static unsigned direct_route(struct route *r, const struct exchange_entry *x, struct mr_span key)
{
    if (!x->public.name.length) { /* the default exchange: every queue is bound by its name */
        struct queue_entry_replica *q = catalog_queue_entry(r->c, x->public.vhost, key);
        if (q)
            queue_reached(r->c, q);
        return q != NULL;
    }
    struct catalog_group *g = group_find(r->c, x, key);
    return g ? list_take(r, &g->bindings) : 0;
}

static unsigned topic_route(struct route *r, const struct exchange_entry *x, struct mr_span key)
{
    unsigned n = 0;
    for (struct catalog_node *at = catalog_topic_match(r->c, x->root, key); at; at = catalog_topic_next(r->c, at))
        n += list_take(r, &at->bindings);
    return n;
}

static unsigned each_route(struct route *r, const struct exchange_entry *x)
{
    unsigned n = 0;
    struct catalog_headers headers = {0};
    if (x->public.type == EXCHANGE_HEADERS)
        headers = catalog_headers_of(r->c, r->headers);
    for (const struct catalog_ring *at = x->from.next; at != &x->from; at = at->next) {
        const struct catalog_bound *b = CATALOG_OF(at, struct catalog_bound, of_source);
        if (x->public.type == EXCHANGE_HEADERS && !catalog_headers_match(b, &headers))
            continue;
        binding_taken(r, b);
        n++;
    }
    return n;
}

static unsigned exchange_route(struct route *r, const struct exchange_entry *x, const struct mr_span *keys,
                               unsigned key_count)
{
    unsigned n = 0;
    if (x->public.type != EXCHANGE_DIRECT && x->public.type != EXCHANGE_TOPIC)
        return each_route(r, x);
    for (unsigned i = 0; i < key_count; i++)
        n += x->public.type == EXCHANGE_DIRECT ? direct_route(r, x, keys[i]) : topic_route(r, x, keys[i]);
    return n;
}

unsigned catalog_route(struct catalog *c, const struct catalog_exchange *x, const struct mr_span *keys,
                       unsigned key_count, struct mr_span headers, const struct catalog_queue *const **out)
{
    struct route r = {.c = c, .headers = headers};
    c->serial++;
    c->routed_count = 0;
    exchange_reached(&r, CATALOG_OF(x, struct exchange_entry, public));
    while (r.work) {
        struct exchange_entry *at = r.work;
        r.work = at->work;
        if (exchange_route(&r, at, keys, key_count) || !at->public.alternate.length)
            continue;
        struct exchange_entry *other = catalog_exchange_entry(c, at->public.vhost, at->public.alternate);
        if (other)
            exchange_reached(&r, other);
    }
    *out = c->routed;
    return c->routed_count;
}
