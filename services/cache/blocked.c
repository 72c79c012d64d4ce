#include "cache/blocked.h"

#include <assert.h>
#include <string.h>

#include "cache/command/call.h"
#include "cache/connection.h"
#include "cache/shard/shard.h"

struct cache_blocked_key {
    struct cache_waiter *first, **end;
    struct cache_blocked_key *ready_next;
    bool ready;
    uint16_t length; /* of name */
    uint8_t name[];  /* the number of the database, the key */
};

struct cache_waiter {
    struct cache_item item;             /* to the shard, when it is of another worker: forget me */
    struct cache_waiter *next, **link;  /* of the key */
    struct cache_waiter *of_connection; /* the next key that the connection waits for */
    struct cache_blocked_key *key;
    struct cache_connection *connection; /* NULL: it waits no more, which is known only to the shard's own worker */
    uint64_t client;                     /* its id: a message about it may come late */
    struct cache *shard, *home;          /* whose key, whose connection */
};

struct cache_blocked {
    struct cache_table keys;
    uint32_t clients;
};

static struct mr_span key_name(const void *item)
{
    const struct cache_blocked_key *k = item;
    return (struct mr_span){k->name, k->length};
}

static const struct cache_table_type key_type = {key_name};

bool cache_blocked_start(struct cache *cache)
{
    cache->blocked = memory_alloc(&cache->clients, sizeof *cache->blocked);
    if (!cache->blocked)
        return false;
    *cache->blocked = (struct cache_blocked){0};
    cache_table_init(&cache->blocked->keys, &cache->waiting, &key_type, cache->shared->secret);
    cache->ready_end = &cache->ready;
    return true;
}

uint32_t cache_blocked_count(const struct cache *cache)
{
    return cache->blocked->clients;
}

/* -- keys ---------------------------------------------------------------------------------------------------------------- */

static size_t name_make(uint8_t name[CACHE_KEY_MAX + 1], unsigned database, struct mr_span key)
{
    name[0] = (uint8_t)database;
    memcpy(name + 1, key.data, key.length);
    return key.length + 1;
}

static struct cache_blocked_key *key_find(struct cache *shard, unsigned database, struct mr_span key)
{
    uint8_t name[CACHE_KEY_MAX + 1];
    size_t n = name_make(name, database, key);
    struct cache_table *t = &shard->blocked->keys;
    return cache_table_find(t, cache_table_hash(t, name, n), name, n);
}

static struct cache_blocked_key *key_make(struct cache *shard, unsigned database, struct mr_span key)
{
    struct cache_blocked_key *k = key_find(shard, database, key);
    struct cache_table *t = &shard->blocked->keys;
    size_t bytes = sizeof *k + key.length + 1;
    if (k || !(k = memory_alloc(&shard->waiting, bytes)))
        return k;
    *k = (struct cache_blocked_key){.end = &k->first, .length = (uint16_t)(key.length + 1)};
    name_make(k->name, database, key);
    if (cache_table_insert(t, cache_table_hash(t, k->name, k->length), k))
        return k;
    memory_free(&shard->waiting, k, bytes);
    return NULL;
}

static void key_end(struct cache *shard, struct cache_blocked_key *k)
{
    struct cache_table *t = &shard->blocked->keys;
    if (k->first || k->ready)
        return;
    cache_table_remove(t, cache_table_hash(t, k->name, k->length), k->name, k->length);
    memory_free(&shard->waiting, k, sizeof *k + k->length);
}

/* -- waiters --------------------------------------------------------------------------------------------------------------- */

static void waiter_remove(struct cache *shard, struct cache_waiter *w)
{
    struct cache_blocked_key *k = w->key;
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    else
        k->end = w->link;
    shard->waiters--;
    memory_free(&shard->waiting, w, sizeof *w);
    key_end(shard, k);
}

/* On the shard's worker. While it is held somebody else may look at the list: later. */
static void waiter_forget(struct cache *here, struct cache_item *item)
{
    struct cache_waiter *w = (struct cache_waiter *)item;
    if (here->holder)
        cache_send(here, here->index, item);
    else
        waiter_remove(here, w);
}

static bool waiter_add(struct cache_connection *c, struct cache *shard, unsigned database, struct mr_span key)
{
    struct cache_blocked_key *k = key_make(shard, database, key);
    if (!k)
        return false;
    for (struct cache_waiter *w = c->waiters; w; w = w->of_connection)
        if (w->key == k)
            return true; /* the same key twice */
    struct cache_waiter *w = memory_alloc(&shard->waiting, sizeof *w);
    if (!w) {
        key_end(shard, k);
        return false;
    }
    *w = (struct cache_waiter){.item.run = waiter_forget,
                               .link = k->end,
                               .of_connection = c->waiters,
                               .key = k,
                               .connection = c,
                               .client = c->client.id,
                               .shard = shard,
                               .home = c->cache};
    *k->end = w;
    k->end = &w->next;
    c->waiters = w;
    shard->waiters++;
    return true;
}

void cache_blocked_forget(struct cache_connection *c)
{
    struct cache *cache = c->cache;
    struct cache_waiter *w = c->waiters;
    c->waiters = NULL;
    if (w)
        cache->blocked->clients--;
    while (w) {
        struct cache_waiter *next = w->of_connection;
        if (w->shard == cache) /* else it is not ours to write to: a call that comes too late finds nobody waiting */
            w->connection = NULL;
        if (w->shard == cache && cache_shard_free(cache))
            waiter_remove(cache, w);
        else
            cache_send(cache, w->shard->index, &w->item);
        w = next;
    }
}

#define KEYS_MAX 1024

bool cache_blocked_wait(struct cache_connection *c, const struct cache_call *call)
{
    struct cache *cache = c->cache;
    unsigned positions[KEYS_MAX];
    int n = cache_command_keys(call->command, call->argv, call->argc, positions, KEYS_MAX);
    for (int i = 0; i < n; i++) {
        struct mr_span key = cache_argument_span(&call->argv[positions[i]]);
        struct cache *shard = cache->workers == 1
                                  ? cache
                                  : cache->shared->instance[cache_slot_owner(cache_key_slot(key), cache->workers)];
        if (!key.data || key.length > CACHE_KEY_MAX || !waiter_add(c, shard, call->database, key)) {
            cache->blocked->clients += c->waiters != NULL;
            cache_blocked_forget(c);
            return false;
        }
    }
    cache->blocked->clients += c->waiters != NULL; /* who waits for its time alone has none */
    return true;
}

/* -- serving ----------------------------------------------------------------------------------------------------------------- */

static void key_ready(struct cache *owner, struct cache_blocked_key *k)
{
    if (k->ready)
        return;
    k->ready = true;
    k->ready_next = NULL;
    *owner->ready_end = k;
    owner->ready_end = &k->ready_next;
}

void cache_blocked_ready(struct cache *owner, unsigned database, struct mr_span key)
{
    struct cache_blocked_key *k = key_find(owner, database, key);
    if (k)
        key_ready(owner, k);
}

struct swapped {
    struct cache *owner;
    unsigned a, b;
};

static void swapped_each(void *item, void *argument)
{
    const struct swapped *s = argument;
    struct cache_blocked_key *k = item;
    if (k->name[0] == s->a || k->name[0] == s->b)
        key_ready(s->owner, k);
}

void cache_blocked_swapped(struct cache *owner, unsigned a, unsigned b)
{
    struct swapped s = {owner, a, b};
    cache_table_each(&owner->blocked->keys, swapped_each, &s);
}

struct wake {
    struct cache_item item;
    struct cache *shard;
    struct cache_connection *connection;
    uint64_t client;
};

static void wake_returned(struct cache *here, struct cache_item *item)
{
    memory_free(&here->clients, item, sizeof(struct wake));
}

/* On the worker of the client. Connections are never freed, so that looking at a stale one is safe. */
static void wake_arrived(struct cache *here, struct cache_item *item)
{
    struct wake *m = (struct wake *)item;
    struct cache_connection *c = m->connection;
    if (c->client.id == m->client && c->state == CACHE_EXPECT_KEYS)
        cache_connection_run(c);
    item->run = wake_returned;
    cache_send(here, m->shard->index, item);
}

static void waiter_wake(struct cache *shard, struct cache_waiter *w)
{
    struct cache_connection *c = w->connection; /* not to be looked at, when it is another worker's */
    if (w->home == shard) {
        cache_connection_run(c);
        return;
    }
    struct wake *m = memory_alloc(&shard->clients, sizeof *m);
    if (!m)
        return; /* it waits on; the next element wakes it */
    *m = (struct wake){.item.run = wake_arrived, .shard = shard, .connection = c, .client = w->client};
    cache_send(shard, w->home->index, &m->item);
}

/* Each waiter that stood here when the key became ready, once, as long as there is something: who finds nothing for him (the
 * wrong type) goes behind the others. */
static void key_serve(struct cache *shard, struct cache_blocked_key *k)
{
    struct mr_span key = {k->name + 1, k->length - 1u};
    unsigned n = 0;
    for (struct cache_waiter *w = k->first; w; w = w->next)
        n++;
    for (struct cache_waiter *w = k->first, *next; w && n && cache_store_peek(&shard->store, k->name[0], key);
         w = next, n--) {
        bool local = w->home == shard && w->connection;
        next = w->next;
        if (w->connection) /* else it waits no more, and who stands behind it has its turn */
            waiter_wake(shard, w);
        if (local)
            next = k->first; /* a local one is gone from the front, or stands at the end */
    }
}

void cache_blocked_serve(struct cache *cache)
{
    while (cache->ready && cache_shard_free(cache)) {
        struct cache_blocked_key *k = cache->ready;
        cache->ready = k->ready_next;
        if (!cache->ready)
            cache->ready_end = &cache->ready;
        key_serve(cache, k); /* still marked: pushes by those served need no second round */
        k->ready = false;
        key_end(cache, k);
    }
}
