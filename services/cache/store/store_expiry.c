/* When entries die. One that is dead is removed by whoever finds it: an access, or the wheel in the background. */
#include "cache/store/store_private.h"

struct cache_entry *cache_store_expire_at(struct cache_store *s, struct cache_entry *e, uint64_t at_ms)
{
    store_before_change(s, e);
    if (e->flags & CACHE_ENTRY_EXPIRES) {
        cache_expire_remove(&s->expire, e);
        cache_entry_expiry(e)->at_ms = at_ms;
        cache_expire_add(&s->expire, e);
        return e;
    }
    /* The wheel is told of an expiry part, so the time must be in it before it takes its place. */
    struct store_place p = store_place_of_entry(s, e);
    struct cache_entry *to = store_entry_create(s, &p, e->flags | CACHE_ENTRY_EXPIRES, store_embedded_bytes(e));
    if (!to)
        return NULL;
    struct store_value v = store_entry_value(e);
    store_entry_assign(to, &v);
    cache_entry_expiry(to)->at_ms = at_ms;
    store_entry_substitute(s, &p, e, to);
    store_entry_free(s, e);
    return to;
}

struct cache_entry *cache_store_persist(struct cache_store *s, struct cache_entry *e)
{
    if (!(e->flags & CACHE_ENTRY_EXPIRES))
        return e;
    store_before_change(s, e);
    return store_entry_with_flags(s, e, e->flags & ~CACHE_ENTRY_EXPIRES);
}

struct cache_entry *cache_store_memcached(struct cache_store *s, struct cache_entry *e)
{
    if (e->flags & CACHE_ENTRY_MEMCACHED)
        return e;
    store_before_change(s, e);
    struct cache_entry *to = store_entry_with_flags(s, e, e->flags | CACHE_ENTRY_MEMCACHED);
    if (to)
        cache_entry_memcached(to)->cas = ++s->cas;
    return to;
}

/* An entry of a flushed table is left to the trash. */
static void entry_due(struct cache_store *s, struct cache_entry *e)
{
    e->flags |= CACHE_ENTRY_UNWHEELED;
    if (store_flushed(s, e))
        return;
    struct store_place p = store_place_of_entry(s, e);
    store_remove(s, &p, e, STORE_EXPIRED);
}

bool store_expiry_background(struct cache_store *s)
{
    unsigned budget = CACHE_EXPIRIES_PER_TURN;
    struct cache_entry *e;
    if (s->expire_paused)
        return false;
    while (budget && (e = cache_expire_next(&s->expire, s->now_ms, &budget)))
        entry_due(s, e);
    return !budget;
}
