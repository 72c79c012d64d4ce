/* Shards lent to the worker that runs a command over several of them. */
#include <assert.h>

#include "cache/blocked.h"
#include "cache/shard/shard.h"

struct cache_hold_return { /* one shard on its way back */
    struct cache_item item;
    struct cache_hold *hold;
};

struct cache_hold {
    struct cache_item item;              /* on its way to the shard that is asked, and back */
    struct cache_hold *next;             /* in the queue of a shard */
    struct cache *by;                    /* the worker that runs the command */
    struct cache_connection *connection; /* NULL: it has been given up, or `run` */
    void (*run)(struct cache *cache);    /* no connection asked: all is held for this */
    uint64_t wanted, granted;            /* a bit a shard */
    unsigned asking;
    unsigned returning; /* shards on their way back */
    struct cache_hold_return back[];
};

static size_t hold_bytes(const struct cache *cache)
{
    return sizeof(struct cache_hold) + cache->workers * sizeof(struct cache_hold_return);
}

static void hold_granted(struct cache *here, struct cache_item *item);
static void hold_next(struct cache_hold *h);

static void grant(struct cache *shard, struct cache_hold *h)
{
    assert(!shard->holder);
    shard->holder = h;
    shard->store.memory.away = h->by != shard;
    h->item.run = hold_granted;
    cache_send(shard, h->by->index, &h->item);
}

/* At the shard. While one of its own commands waits in line before us we stand behind it. */
static void hold_arrived(struct cache *here, struct cache_item *item)
{
    struct cache_hold *h = (struct cache_hold *)item;
    if (!here->holder && !here->hold_queue) {
        grant(here, h);
        return;
    }
    h->next = NULL;
    *here->hold_queue_end = h;
    here->hold_queue_end = &h->next;
}

static void hold_queue_take(struct cache *shard)
{
    struct cache_hold *h = shard->hold_queue;
    if (!h || shard->holder)
        return;
    shard->hold_queue = h->next;
    if (!shard->hold_queue)
        shard->hold_queue_end = &shard->hold_queue;
    grant(shard, h);
}

/* Ours again: what waited goes on, and only then the next holder comes. */
static void shard_returned(struct cache *here)
{
    here->holder = NULL;
    here->store.memory.away = false;
    cache_turn_prepare(here);
    cache_packed_returned(&here->store.memory);
    struct cache_reply_block *b = here->drops;
    here->drops = NULL;
    while (b) {
        struct cache_reply_block *next = b->next;
        cache_extent_let_go(here, b);
        b = next;
    }
    cache_blocked_serve(here);
    cache_requests_resume(here);
    cache_connections_resume(here, &here->store_waiters, &here->store_waiters_end);
    hold_queue_take(here);
}

static void return_done(struct cache *here, struct cache_item *item)
{
    struct cache_hold *h = ((struct cache_hold_return *)item)->hold;
    if (--h->returning == 0)
        memory_free(&here->clients, h, hold_bytes(here));
}

static void return_arrived(struct cache *here, struct cache_item *item)
{
    struct cache *by = ((struct cache_hold_return *)item)->hold->by;
    shard_returned(here);
    item->run = return_done;
    cache_send(here, by->index, item);
}

/* Also our own shard comes back by message: in the next turn, not in the middle of the connection that runs. */
static void give_back(struct cache_hold *h)
{
    struct cache *by = h->by;
    h->connection = NULL;
    for (uint64_t left = h->granted; left; left &= left - 1) {
        unsigned shard = (unsigned)__builtin_ctzll(left);
        h->back[shard] = (struct cache_hold_return){.item.run = return_arrived, .hold = h};
        h->returning++;
        cache_send(by, shard, &h->back[shard].item);
    }
    if (!h->returning)
        memory_free(&by->clients, h, hold_bytes(by));
}

static void hold_granted(struct cache *here, struct cache_item *item)
{
    struct cache_hold *h = (struct cache_hold *)item;
    h->granted |= UINT64_C(1) << h->asking;
    if (!h->connection && !h->run)
        give_back(h);
    else if (h->granted != h->wanted)
        hold_next(h);
    else if (h->connection)
        cache_connection_run(h->connection);
    else {
        h->run(here);
        give_back(h);
    }
}

static void hold_next(struct cache_hold *h)
{
    h->asking = (unsigned)__builtin_ctzll(h->wanted & ~h->granted);
    h->item.run = hold_arrived;
    cache_send(h->by, h->asking, &h->item);
}

bool cache_hold_ask(struct cache_connection *c, uint64_t mask)
{
    struct cache *cache = c->cache;
    struct cache_hold *h = memory_alloc(&cache->clients, hold_bytes(cache));
    if (!h)
        return false;
    *h = (struct cache_hold){.by = cache, .connection = c, .wanted = mask};
    c->hold = h;
    cache->counters[CACHE_COUNTER_HOLDS]++;
    hold_next(h);
    return true;
}

bool cache_hold_has(const struct cache_connection *c, uint64_t mask)
{
    return c->hold && c->hold->granted == c->hold->wanted && (mask & ~c->hold->granted) == 0;
}

uint64_t cache_hold_granted(const struct cache_connection *c)
{
    return c->hold ? c->hold->granted : 0;
}

/* Given up while it is still being asked for: it gives back what it has when the answer comes. */
void cache_hold_release(struct cache_connection *c)
{
    struct cache_hold *h = c->hold;
    if (!h)
        return;
    c->hold = NULL;
    h->connection = NULL;
    if (h->granted == h->wanted)
        give_back(h);
}

struct cache *cache_shard_worker(struct cache *shard)
{
    return shard->holder ? shard->holder->by : shard;
}

bool cache_hold_all(struct cache *cache, void (*run)(struct cache *cache))
{
    if (cache->workers == 1) {
        run(cache);
        return true;
    }
    struct cache_hold *h = memory_alloc(&cache->clients, hold_bytes(cache));
    if (!h)
        return false;
    *h = (struct cache_hold){
        .by = cache, .run = run, .wanted = cache->workers == 64 ? UINT64_MAX : (UINT64_C(1) << cache->workers) - 1};
    hold_next(h);
    return true;
}
