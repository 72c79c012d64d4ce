/* Items to other workers: collected over a turn, posted as one chain. */
#include "cache/shard/shard.h"

void cache_send(struct cache *from, unsigned to, struct cache_item *item)
{
    if (!from->outbox[to])
        from->outbox_end[to] = &from->outbox[to];
    item->next = NULL;
    item->to = from->shared->instance[to];
    *from->outbox_end[to] = item;
    from->outbox_end[to] = &item->next;
    cache_turn_begin(from); /* whose end posts it */
}

/* Slots of another worker's memory that were freed here go home with the next message: their own list is the item. */
struct cache_homeward {
    struct cache_item item;
    struct cache *from, *to;
    void *store, *clients;
    bool away;
};

static void homeward_returned(struct cache *here, struct cache_item *item)
{
    ((struct cache_homeward *)item)->away = false;
}

static void homeward_arrived(struct cache *here, struct cache_item *item)
{
    struct cache_homeward *m = (struct cache_homeward *)item;
    if (!cache_shard_free(here)) { /* our memory is somebody else's now */
        cache_send(here, here->index, item);
        return;
    }
    if (m->store)
        memory_free_home(&here->store.memory, m->store);
    if (m->clients)
        memory_free_home(&here->clients, m->clients);
    item->run = homeward_returned;
    cache_send(here, m->from->index, item);
}

static void homeward_send(struct cache *from, struct cache *to, struct cache_homeward *m)
{
    if (m->away || from == to || (!from->store.memory.foreign_count && !from->clients.foreign_count))
        return;
    m->store = memory_foreign_take(&from->store.memory, &to->store.memory);
    m->clients = memory_foreign_take(&from->clients, &to->clients);
    if (!m->store && !m->clients)
        return;
    m->away = true;
    m->from = from;
    m->to = to;
    m->item.run = homeward_arrived;
    cache_send(from, to->index, &m->item);
}

bool cache_shard_start(struct cache *cache)
{
    cache->hold_queue_end = &cache->hold_queue;
    cache->stalled_end = &cache->stalled;
    cache->homeward = memory_alloc(&cache->clients, cache->workers * sizeof *cache->homeward);
    for (unsigned i = 0; cache->homeward && i < cache->workers; i++)
        cache->homeward[i] = (struct cache_homeward){.away = false};
    return cache->homeward != NULL;
}

static void chain_run(struct mr_worker *w, void *argument)
{
    struct cache_item *item = argument;
    cache_turn_begin(item->to);
    while (item) {
        struct cache_item *next = item->next;
        item->run(item->to, item);
        item = next;
    }
}

bool cache_send_all(struct cache *cache)
{
    bool left = false;
    for (unsigned to = 0; to < cache->workers; to++) {
        if (cache->workers > 1 && cache_shard_free(cache))
            homeward_send(cache, cache->shared->instance[to], &cache->homeward[to]);
        if (!cache->outbox[to])
            continue;
        if (mr_post(cache->worker, to, chain_run, cache->outbox[to]) != MR_OK) {
            left = true;
            continue;
        }
        cache->counters[CACHE_COUNTER_BATCHES]++;
        cache->outbox[to] = NULL;
    }
    return left;
}
