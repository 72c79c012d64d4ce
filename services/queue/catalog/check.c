/* Every index against every list, for tests. */
#include <stdio.h>
#include <stdlib.h>

#include "queue/catalog/replica.h"

#define CHECK(condition)                                                                   \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "catalog_check: %s:%d: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                       \
        }                                                                                  \
    } while (0)

static uint64_t ring_count(const struct catalog_ring *head)
{
    uint64_t n = 0;
    for (const struct catalog_ring *at = head->next; at != head; at = at->next, n++)
        CHECK(at->next->previous == at && at->previous->next == at);
    return n;
}

static void index_check(const struct catalog_index *x)
{
    uint64_t n = 0;
    CHECK(x->buckets <= (uint64_t)x->mask + 1 && (x->mask & ((uint64_t)x->mask + 1)) == 0);
    for (uint32_t i = 0; i < x->buckets; i++)
        for (const struct catalog_link *l = catalog_index_at(x, i); l; l = l->next, n++)
            CHECK(catalog_index_bucket(x, l->hash) == catalog_index_at(x, i));
    CHECK(n == x->count);
}

static bool is_under(const struct catalog_node *node, const struct catalog_node *root)
{
    while (node && node != root)
        node = node->parent;
    return node != NULL;
}

static void binding_check(const struct catalog *c, const struct catalog_bound *b)
{
    struct catalog_change change = catalog_binding_change(b);
    CHECK(!b->queue != !b->exchange);
    CHECK(catalog_binding_find(c, &change) == b);
    CHECK(catalog_exchange_entry(c, b->source->public.vhost, b->source->public.name) == b->source);
    if (b->queue)
        CHECK(catalog_id_entry(c, b->queue->public.id) == b->queue &&
              b->queue->public.vhost == b->source->public.vhost);
    if (b->source->public.type == EXCHANGE_DIRECT)
        CHECK(b->group->exchange == b->source && ring_count(&b->group->bindings) > 0);
    if (b->source->public.type == EXCHANGE_TOPIC)
        CHECK(is_under(b->node, b->source->root));
}

static uint64_t exchanges_check(const struct catalog *c)
{
    uint64_t bound = 0;
    for (const struct catalog_ring *at = c->all_exchanges.next; at != &c->all_exchanges; at = at->next) {
        const struct exchange_entry *x = CATALOG_OF(at, struct exchange_entry, all);
        CHECK(catalog_exchange_entry(c, x->public.vhost, x->public.name) == x);
        CHECK(!x->going && (x->public.type == EXCHANGE_TOPIC) == (x->root != NULL));
        for (const struct catalog_ring *b = x->from.next; b != &x->from; b = b->next, bound++)
            CHECK(CATALOG_OF(b, struct catalog_bound, of_source)->source == x);
        for (const struct catalog_ring *b = x->to.next; b != &x->to; b = b->next)
            CHECK(CATALOG_OF(b, struct catalog_bound, of_target)->exchange == x);
        ring_count(&x->from);
        ring_count(&x->to);
    }
    return bound;
}

void catalog_check(const struct catalog *c)
{
    const struct catalog_index *all[] = {&c->exchanges, &c->queues, &c->ids, &c->bindings, &c->groups, &c->edges};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        index_check(all[i]);
    CHECK(ring_count(&c->all_exchanges) == c->exchange_count && c->exchanges.count == c->exchange_count);
    CHECK(ring_count(&c->all_queues) == c->queue_count && c->queues.count == c->queue_count);
    CHECK(ring_count(&c->all_bindings) == c->binding_count && c->bindings.count == c->binding_count);
    CHECK(c->ids.count == c->queue_count);
    CHECK(exchanges_check(c) == c->binding_count);
    for (const struct catalog_ring *at = c->all_queues.next; at != &c->all_queues; at = at->next) {
        const struct queue_entry_replica *q = CATALOG_OF(at, struct queue_entry_replica, all);
        CHECK(!q->public.deleted && catalog_id_entry(c, q->public.id) == q);
        CHECK(catalog_queue_entry(c, q->public.vhost, q->public.name) == q);
        for (const struct catalog_ring *b = q->to.next; b != &q->to; b = b->next)
            CHECK(CATALOG_OF(b, struct catalog_bound, of_target)->queue == q);
    }
    for (const struct catalog_ring *at = c->all_bindings.next; at != &c->all_bindings; at = at->next)
        binding_check(c, CATALOG_OF(at, struct catalog_bound, all));
    memory_check(&c->memory);
}
