/* All invariants of a store: what each part says of the entries is compared with the entries. */
#include <assert.h>

#include "cache/store/store_private.h"

struct census {
    struct cache_store *store;
    unsigned database;
    uint64_t entries, expiring, memcached, held, held_next;
    uint64_t expiring_here;
};

static void entry_count(struct census *c, const struct cache_entry *e)
{
    struct cache_store *s = c->store;
    bool expires = e->flags & CACHE_ENTRY_EXPIRES;
    bool held = cache_evict_holds(&s->evict, &e->evict);
    bool held_next = s->evict_next && cache_evict_holds(s->evict_next, &e->evict);
    assert(!(held && held_next));
    c->entries++;
    c->expiring += expires && !(e->flags & CACHE_ENTRY_UNWHEELED);
    c->expiring_here += expires;
    c->memcached += cache_entry_memcached(e) != NULL;
    c->held += held;
    c->held_next += held_next;
}

static void entry_check(void *item, void *argument)
{
    struct census *c = argument;
    const struct cache_store *s = c->store;
    const struct cache_entry *e = item;
    assert(!store_flushed(s, e) && cache_store_database_of(s, e) == c->database);
    assert(!(e->flags & CACHE_ENTRY_UNWHEELED));
    assert(e->type < CACHE_TYPES);
    bool embedded = e->type == CACHE_STRING && e->encoding == CACHE_STRING_EMBEDDED;
    assert(embedded == !(e->flags & CACHE_ENTRY_VALUE));
    assert(!embedded || e->key_length + e->value_length <= CACHE_EMBEDDED_MAX);
    if (!s->evict_next)
        assert(cache_evict_holds(&s->evict, &e->evict) ==
               (!s->evict.policy->volatile_only || e->flags & CACHE_ENTRY_EXPIRES));
    entry_count(c, e);
}

static void flushed_check(void *item, void *argument)
{
    struct census *c = argument;
    assert(store_flushed(c->store, item));
    entry_count(c, item);
}

static void databases_check(struct census *c)
{
    struct cache_store *s = c->store;
    for (c->database = 0; c->database < CACHE_DATABASES; c->database++) {
        assert(s->color_database[s->color[c->database]] == c->database);
        c->expiring_here = 0;
        cache_table_check(&s->database[c->database]);
        cache_table_each(&s->database[c->database], entry_check, c);
        assert(c->expiring_here == s->keys_expiring[c->database]);
    }
}

static void trash_check(struct census *c)
{
    const struct cache_trash *trash = c->store->trash;
    uint64_t values = 0;
    for (unsigned i = 0; i < trash->flushed_count; i++)
        cache_table_each(&trash->flushed[(trash->flushed_first + i) % STORE_FLUSHED_MAX].table, flushed_check, c);
    for (memory_link link = trash->first; link; values++) {
        const struct cache_entry *e = memory_link_unpack(c->store->memory.base, link);
        link = e->evict.older;
    }
    assert(values == trash->values);
}

void cache_store_check(struct cache_store *s)
{
    struct census c = {.store = s};
    databases_check(&c);
    trash_check(&c);
    assert(s->expire.count == c.expiring);
    assert(s->memcached_parts == c.memcached);
    assert(s->evict.entries == c.held);
    assert(!s->evict_next || s->evict_next->entries == c.held_next);
    assert(s->memory.used <= s->memory.limit && s->memory.limit >= s->limit);
    cache_expire_check(&s->expire);
    cache_evict_check(&s->evict);
    if (s->evict_next)
        cache_evict_check(s->evict_next);
    memory_check(&s->memory);
}
