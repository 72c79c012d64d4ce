/* The keyspace: begin and end, turns, looking, removing, databases.
 *
 * SWAPDB without touching a key: entries call their database by a color; the tables, their counters and the meaning of the
 * two colors are exchanged. */
#include <assert.h>
#include <string.h>

#include "cache/store/store_private.h"

#define REGION_MAX (UINT64_C(64) << 30) /* of address space; what links can say */

/* Begin and end */

static struct mr_span entry_key(const void *item)
{
    return cache_entry_key(item);
}

static const struct cache_table_type keyspace_type = {entry_key};

/* Address space costs nothing, and the limit may be raised later; where the system is strict about it, less must do. */
static bool store_memory_init(struct cache_store *s, uint64_t limit)
{
    uint64_t page = CACHE_ALLOC_MAX, least = 2 * limit + (UINT64_C(64) << 20);
    for (uint64_t region = REGION_MAX - page;; region /= 2) {
        if (memory_init(&s->memory, region, limit))
            return true;
        if (region < least)
            return false;
    }
}

bool cache_store_init(struct cache_store *s, uint64_t memory_limit, const char *policy, const uint64_t secret[2],
                      uint64_t seed)
{
    const struct cache_evict_policy *found = cache_evict_find(policy);
    *s = (struct cache_store){.secret = {secret[0], secret[1]}, .limit = memory_limit};
    if (!found || memory_limit >= REGION_MAX || !store_memory_init(s, memory_limit))
        return false;
    mr_random_seed(&s->random, seed);
    for (unsigned i = 0; i < CACHE_DATABASES; i++) {
        s->color[i] = s->color_database[i] = (uint8_t)i;
        cache_table_init(&s->database[i], &s->memory, &keyspace_type, s->secret);
    }
    cache_expire_init(&s->expire, s->memory.base, 0);
    if (store_trash_init(s) && store_evict_init(s, found)) {
        s->evictions_left = CACHE_EVICTIONS_PER_TURN;
        s->frees_left = CACHE_FREES_PER_TURN;
        return true;
    }
    store_trash_release(s);
    memory_release(&s->memory);
    return false;
}

/* The region goes whole. */
void cache_store_release(struct cache_store *s)
{
    store_evict_release(s);
    store_trash_release(s);
    memory_release(&s->memory);
}

/* Turns */

void cache_store_turn(struct cache_store *s, uint64_t now_ms)
{
    if (!s->now_ms)
        cache_expire_init(&s->expire, s->memory.base, now_ms);
    s->now_ms = now_ms;
    s->evictions_left = CACHE_EVICTIONS_PER_TURN;
    s->frees_left = CACHE_FREES_PER_TURN;
    store_evict_set_clock(s);
}

bool cache_store_background(struct cache_store *s)
{
    bool more = store_expiry_background(s);
    store_trash_drain(s, &s->frees_left);
    more |= store_evict_background(s);
    return more || !store_trash_empty(s);
}

uint64_t cache_store_next_expiry_ms(const struct cache_store *s)
{
    return s->expire_paused ? UINT64_MAX : cache_expire_next_ms(&s->expire);
}

/* Looking */

struct store_place store_place_of(const struct cache_store *s, unsigned database, struct mr_span key)
{
    return (struct store_place){database, key, cache_hash(s->secret, key.data, key.length)};
}

struct store_place store_place_of_entry(const struct cache_store *s, const struct cache_entry *e)
{
    return store_place_of(s, cache_store_database_of(s, e), cache_entry_key(e));
}

static struct cache_entry *table_find(const struct cache_store *s, const struct store_place *p)
{
    return cache_table_find(&s->database[p->database], p->hash, p->key.data, p->key.length);
}

void cache_store_prefetch(const struct cache_store *s, unsigned database, struct mr_span key)
{
    cache_table_prefetch(&s->database[database], cache_hash(s->secret, key.data, key.length));
}

struct cache_entry *store_find(struct cache_store *s, const struct store_place *p)
{
    struct cache_entry *e = table_find(s, p);
    if (!e || !store_dead(s, e))
        return e;
    store_remove(s, p, e, STORE_EXPIRED);
    return NULL;
}

static struct cache_entry *find_counted(struct cache_store *s, const struct store_place *p)
{
    struct cache_entry *e = store_find(s, p);
    if (!e) {
        s->stat.misses++;
        return NULL;
    }
    s->stat.hits++;
    store_evict_hit(s, e, p->hash);
    return e;
}

struct cache_entry *cache_store_read(struct cache_store *s, unsigned database, struct mr_span key)
{
    struct store_place p = store_place_of(s, database, key);
    return find_counted(s, &p);
}

struct cache_entry *cache_store_write(struct cache_store *s, unsigned database, struct mr_span key)
{
    struct store_place p = store_place_of(s, database, key);
    struct cache_entry *e = find_counted(s, &p);
    if (e)
        store_before_change(s, e);
    return e;
}

struct cache_entry *cache_store_peek(const struct cache_store *s, unsigned database, struct mr_span key)
{
    struct store_place p = store_place_of(s, database, key);
    struct cache_entry *e = table_find(s, &p);
    return e && !store_dead(s, e) ? e : NULL;
}

/* Telling */

void store_before_change(struct cache_store *s, struct cache_entry *e)
{
    if (!s->snapshot_epoch || e->snapshot == s->snapshot_epoch)
        return;
    if (s->listener.before_change)
        s->listener.before_change(s->listener.owner, e);
    e->snapshot = s->snapshot_epoch;
}

void store_tell_changed(struct cache_store *s, const struct store_place *p, struct cache_entry *e)
{
    struct cache_memcached_part *part = e ? cache_entry_memcached(e) : NULL;
    if (part)
        part->cas = ++s->cas;
    s->changes++;
    if (s->listener.changed)
        s->listener.changed(s->listener.owner, p->database, p->key);
}

/* Only where memcached clients are does anybody look for a part. */
void cache_store_changed(struct cache_store *s, unsigned database, struct mr_span key)
{
    struct store_place p = {database, key, 0};
    struct cache_entry *e = NULL;
    if (s->memcached_parts) {
        p = store_place_of(s, database, key);
        e = table_find(s, &p);
    }
    store_tell_changed(s, &p, e);
}

/* Removing */

void store_remove(struct cache_store *s, const struct store_place *p, struct cache_entry *e, enum store_cause cause)
{
    struct store_place own = {p->database, cache_entry_key(e), p->hash};
    store_before_change(s, e);
    store_entry_leave(s, &own, e, cause == STORE_EVICTED);
    s->stat.expired += cause == STORE_EXPIRED;
    s->stat.evicted += cause == STORE_EVICTED;
    if (cause != STORE_COMMANDED && s->listener.removed)
        s->listener.removed(s->listener.owner, own.database, own.key, cause == STORE_EXPIRED);
    store_tell_changed(s, &own, NULL);
    store_entry_dispose(s, e);
}

bool cache_store_delete(struct cache_store *s, unsigned database, struct mr_span key)
{
    struct store_place p = store_place_of(s, database, key);
    struct cache_entry *e = store_find(s, &p);
    if (!e)
        return false;
    store_remove(s, &p, e, STORE_COMMANDED);
    return true;
}

void cache_store_delete_entry(struct cache_store *s, struct cache_entry *e)
{
    struct store_place p = store_place_of_entry(s, e);
    store_remove(s, &p, e, STORE_COMMANDED);
}

/* Collections */

struct cache_entry *cache_store_add_collection(struct cache_store *s, unsigned database, struct mr_span key,
                                               enum cache_type type, unsigned encoding, void *collection)
{
    struct store_place p = store_place_of(s, database, key);
    struct store_value v = {.type = type, .encoding = encoding, .value.collection = collection};
    return store_entry_put(s, &p, store_find(s, &p), &v, false);
}

uint64_t cache_entry_bytes(const struct cache_store *s, const struct cache_entry *e)
{
    uint64_t bytes = memory_cost(store_entry_bytes(e));
    if (!(e->flags & CACHE_ENTRY_VALUE))
        return bytes;
    union cache_value *value = cache_entry_value(e);
    if (e->type != CACHE_STRING)
        return bytes + cache_collection_types[e->type]->bytes(e->encoding, value->collection);
    if (e->encoding == CACHE_STRING_EXTENT)
        return bytes + cache_extent_cost(value->extent->length);
    return e->encoding == CACHE_STRING_ROPE ? bytes + cache_rope_bytes(value->rope) : bytes;
}

/* Databases */

void cache_store_flush(struct cache_store *s, unsigned database)
{
    if (!s->database[database].count)
        return;
    s->changes += s->database[database].count;
    store_trash_flush(s, database);
}

#define EXCHANGE(a, b)                 \
    do {                               \
        __typeof__(a) exchanged = (a); \
        (a) = (b);                     \
        (b) = exchanged;               \
    } while (0)

void cache_store_swap(struct cache_store *s, unsigned a, unsigned b)
{
    EXCHANGE(s->database[a], s->database[b]);
    EXCHANGE(s->keys_expiring[a], s->keys_expiring[b]);
    EXCHANGE(s->color[a], s->color[b]);
    s->color_database[s->color[a]] = (uint8_t)a;
    s->color_database[s->color[b]] = (uint8_t)b;
    s->evict_database = 0; /* an exchange of policies looks at all tables again */
    s->evict_cursor = 0;
}
