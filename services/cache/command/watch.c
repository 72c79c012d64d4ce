/* WATCH: who watches a key hangs in a hash of the shard that owns it, and is marked when the key changes.
 *
 *     shard: slot -> watched -> watched ...        each is of a client's memory, on its worker; linked and unlinked only
 *                                                   while the shard is held for that client, or by a message to the shard
 *
 * The number of slots is fixed, so that nothing is allocated in another worker's memory. */
#include "cache/command/watch.h"

#include <stdlib.h>
#include <string.h>

#include "cache/command/call.h"
#include "cache/shard/shard.h"

#define SLOTS 4096 /* a power of two */

struct cache_watched {
    struct cache_item item;             /* to the shard: forget me */
    struct cache_watched *of_client;    /* the next key that the client watches */
    struct cache_watched *next, **link; /* in the slot */
    struct cache *home, *shard;
    bool changed;
    bool present; /* the key was there when it was watched */
    uint8_t database;
    uint16_t length; /* of key */
    uint8_t key[];
};

struct cache_watch {
    uint32_t count;
    struct cache_watched *slots[SLOTS];
};

bool cache_watch_start(struct cache *cache)
{
    cache->watch = calloc(1, sizeof *cache->watch);
    return cache->watch != NULL;
}

void cache_watch_release(struct cache *cache)
{
    free(cache->watch);
    cache->watch = NULL;
}

static struct cache_watched **slot_of(struct cache *shard, unsigned database, struct mr_span key)
{
    uint64_t hash = cache_hash(shard->shared->secret, key.data, key.length) + database;
    return &shard->watch->slots[hash & (SLOTS - 1)];
}

static inline bool is_of(const struct cache_watched *w, unsigned database, struct mr_span key)
{
    return w->database == database && w->length == key.length && memcmp(w->key, key.data, key.length) == 0;
}

void cache_watch_touched(struct cache *shard, unsigned database, struct mr_span key)
{
    if (__builtin_expect(!shard->watch || shard->watch->count == 0, 1))
        return;
    for (struct cache_watched *w = *slot_of(shard, database, key); w; w = w->next)
        if (is_of(w, database, key))
            w->changed = true;
}

static inline struct mr_span key_of(const struct cache_watched *w)
{
    return (struct mr_span){w->key, w->length};
}

/* Only keys that are there change by it. */
void cache_watch_flushed(struct cache *shard, unsigned database)
{
    if (!shard->watch || shard->watch->count == 0)
        return;
    for (unsigned i = 0; i < SLOTS; i++)
        for (struct cache_watched *w = shard->watch->slots[i]; w; w = w->next)
            if (w->database == database && cache_store_peek(&shard->store, database, key_of(w)))
                w->changed = true;
}

void cache_watch_swapped(struct cache *shard, unsigned a, unsigned b)
{
    if (!shard->watch || shard->watch->count == 0)
        return;
    for (unsigned i = 0; i < SLOTS; i++)
        for (struct cache_watched *w = shard->watch->slots[i]; w; w = w->next)
            if ((w->database == a || w->database == b) &&
                (cache_store_peek(&shard->store, a, key_of(w)) || cache_store_peek(&shard->store, b, key_of(w))))
                w->changed = true;
}

/* -- of a client ------------------------------------------------------------------------------------------------------------ */

static struct cache *owner_of(struct cache *cache, struct mr_span key)
{
    return cache->workers == 1 ? cache : cache->shared->instance[cache_slot_owner(cache_key_slot(key), cache->workers)];
}

static void watched_free(struct cache *home, struct cache_watched *w)
{
    memory_free(&home->clients, w, sizeof *w + w->length);
}

static void watched_unlink(struct cache_watched *w)
{
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    w->shard->watch->count--;
}

static void watched_home(struct cache *here, struct cache_item *item)
{
    watched_free(here, (struct cache_watched *)item);
}

/* On the shard's worker. While it is held somebody else may walk the list: later. */
static void watched_forget(struct cache *here, struct cache_item *item)
{
    struct cache_watched *w = (struct cache_watched *)item;
    if (!cache_shard_free(here)) {
        cache_send(here, here->index, item);
        return;
    }
    watched_unlink(w);
    item->run = watched_home;
    cache_send(here, w->home->index, item);
}

static bool watched_add(struct cache_client *client, struct cache *cache, unsigned database, struct mr_span key)
{
    struct cache *shard = owner_of(cache, key);
    for (struct cache_watched *w = client->watched; w; w = w->of_client)
        if (is_of(w, database, key))
            return true;
    struct cache_watched *w = memory_alloc(&cache->clients, sizeof *w + key.length);
    if (!w)
        return false;
    struct cache_watched **slot = slot_of(shard, database, key);
    *w = (struct cache_watched){.item.run = watched_forget,
                                .of_client = client->watched,
                                .next = *slot,
                                .link = slot,
                                .home = cache,
                                .shard = shard,
                                .database = (uint8_t)database,
                                .length = (uint16_t)key.length};
    memcpy(w->key, key.data, key.length);
    w->present = cache_store_peek(&shard->store, database, key) != NULL;
    if (*slot)
        (*slot)->link = &w->next;
    *slot = w;
    shard->watch->count++;
    client->watched = w;
    return true;
}

/* A key that is dead already but not removed yet: its removal is no change, so it happens before the watch. */
static void dead_remove(struct cache_store *s, unsigned database, struct mr_span key)
{
    if (cache_store_peek(s, database, key))
        return;
    uint64_t misses = s->stat.misses;
    cache_store_read(s, database, key);
    s->stat.misses = misses;
}

enum cache_outcome cache_command_watch(struct cache_call *call)
{
    struct mr_span key;
    if (call->client->multi) {
        cache_reply_error(call->reply, "ERR WATCH inside MULTI is not allowed");
        return CACHE_DONE;
    }
    for (unsigned i = 1; i < call->argc; i++) {
        if (!cache_call_key(call, &call->argv[i], &key))
            return CACHE_DONE;
        dead_remove(cache_call_store(call, key), call->database, key);
        if (!watched_add(call->client, call->cache, call->database, key)) {
            cache_reply_error(call->reply, "OOM command not allowed when used memory > 'maxmemory'.");
            return CACHE_DONE;
        }
    }
    cache_reply_ok(call->reply);
    return CACHE_DONE;
}

enum cache_outcome cache_command_unwatch(struct cache_call *call)
{
    cache_client_unwatch(call->cache, call->client);
    cache_reply_ok(call->reply);
    return CACHE_DONE;
}

void cache_client_unwatch(struct cache *cache, struct cache_client *c)
{
    struct cache_watched *w = c->watched, *next;
    c->watched = NULL;
    for (; w; w = next) {
        next = w->of_client;
        if (w->shard == cache && cache_shard_free(cache)) {
            watched_unlink(w);
            watched_free(cache, w);
        } else {
            cache_send(cache, w->shard->index, &w->item);
        }
    }
}

bool cache_client_watched_changed(const struct cache_client *c)
{
    for (const struct cache_watched *w = c->watched; w; w = w->of_client)
        if (w->changed || (w->present && !cache_store_peek(&w->shard->store, w->database, key_of(w))))
            return true;
    return false;
}

uint64_t cache_client_watched_shards(const struct cache_client *c)
{
    uint64_t mask = 0;
    for (const struct cache_watched *w = c->watched; w; w = w->of_client)
        mask |= UINT64_C(1) << w->shard->index;
    return mask;
}
