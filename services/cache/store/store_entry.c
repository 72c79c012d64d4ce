/* Making, moving and replacing entries. An entry is known to three others by its address: the table, the wheel (when it
 * expires) and the eviction policy; store_entry_substitute tells all of them. */
#include <assert.h>
#include <string.h>

#include "cache/store/store_private.h"

#define ENTRY_ALIGN 16u /* sizes are multiples of it: a string of about the same length is replaced in place */

size_t store_entry_bytes_for(unsigned flags, size_t key_bytes, size_t embedded_bytes)
{
    size_t parts = (flags & CACHE_ENTRY_EXPIRES ? sizeof(struct cache_expiry) : 0) +
                   (flags & CACHE_ENTRY_MEMCACHED ? sizeof(struct cache_memcached_part) : 0) +
                   (flags & CACHE_ENTRY_VALUE ? sizeof(union cache_value) : 0);
    size_t bytes = offsetof(struct cache_entry, parts) + parts + key_bytes + embedded_bytes;
    return (bytes + ENTRY_ALIGN - 1) & ~(size_t)(ENTRY_ALIGN - 1);
}

size_t store_entry_bytes(const struct cache_entry *e)
{
    return store_entry_bytes_for(e->flags, e->key_length, store_embedded_bytes(e));
}

struct cache_entry *store_entry_create(struct cache_store *s, const struct store_place *p, unsigned flags,
                                       size_t embedded_bytes)
{
    assert(p->key.length <= CACHE_KEY_MAX);
    struct cache_entry *e = memory_alloc(&s->memory, store_entry_bytes_for(flags, p->key.length, embedded_bytes));
    if (!e)
        return NULL;
    memset(e, 0, offsetof(struct cache_entry, parts));
    e->flags = flags & 15;
    e->database = s->color[p->database] & 15;
    e->generation = s->generation[e->database];
    e->snapshot = s->snapshot_epoch;
    e->key_length = (uint16_t)p->key.length;
    if (flags & CACHE_ENTRY_EXPIRES)
        *cache_entry_expiry(e) = (struct cache_expiry){0};
    if (flags & CACHE_ENTRY_MEMCACHED)
        *cache_entry_memcached(e) = (struct cache_memcached_part){0};
    if (p->key.length)
        memcpy((uint8_t *)(uintptr_t)cache_entry_key(e).data, p->key.data, p->key.length);
    return e;
}

void store_entry_free(struct cache_store *s, struct cache_entry *e)
{
    memory_free(&s->memory, e, store_entry_bytes(e));
}

void store_entry_assign(struct cache_entry *e, const struct store_value *v)
{
    e->type = v->type & 15;
    e->encoding = v->encoding & 15;
    e->value_length = v->length;
    if (e->flags & CACHE_ENTRY_VALUE)
        *cache_entry_value(e) = v->value;
    else if (v->length) /* it may lie in this very entry */
        memmove(cache_entry_embedded(e), v->embedded, v->length);
}

struct store_value store_entry_value(const struct cache_entry *e)
{
    struct store_value v = {.type = e->type, .encoding = e->encoding, .length = e->value_length};
    if (e->flags & CACHE_ENTRY_VALUE)
        v.value = *cache_entry_value(e);
    else
        v.embedded = cache_entry_embedded(e);
    return v;
}

/* Both expire: the wheel lets `to` take the place of `from`. Only one does: it is put in or taken out. */
static void expiry_substitute(struct cache_store *s, const struct store_place *p, struct cache_entry *from,
                              struct cache_entry *to)
{
    bool before = from->flags & CACHE_ENTRY_EXPIRES, after = to->flags & CACHE_ENTRY_EXPIRES;
    if (before && after) {
        *cache_entry_expiry(to) = *cache_entry_expiry(from);
        cache_expire_moved(&s->expire, from, to);
    } else if (before) {
        cache_expire_remove(&s->expire, from);
        s->keys_expiring[p->database]--;
    } else if (after) {
        cache_expire_add(&s->expire, to);
        s->keys_expiring[p->database]++;
    }
}

void store_entry_substitute(struct cache_store *s, const struct store_place *p, struct cache_entry *from,
                            struct cache_entry *to)
{
    to->evict = from->evict;
    expiry_substitute(s, p, from, to);
    if (from->flags & to->flags & CACHE_ENTRY_MEMCACHED)
        *cache_entry_memcached(to) = *cache_entry_memcached(from);
    s->memcached_parts += (to->flags & CACHE_ENTRY_MEMCACHED) != 0;
    s->memcached_parts -= (from->flags & CACHE_ENTRY_MEMCACHED) != 0;
    cache_table_replace(&s->database[p->database], p->hash, from, to);
    store_evict_moved(s, from, to);
    if ((from->flags ^ to->flags) & CACHE_ENTRY_EXPIRES)
        store_evict_expiry_changed(s, to, p->hash);
}

void store_entry_enlist(struct cache_store *s, const struct store_place *p, struct cache_entry *e)
{
    if (e->flags & CACHE_ENTRY_EXPIRES) {
        cache_expire_add(&s->expire, e);
        s->keys_expiring[p->database]++;
    }
    s->memcached_parts += (e->flags & CACHE_ENTRY_MEMCACHED) != 0;
    store_evict_enter(s, e, p->hash);
}

bool store_entry_enter(struct cache_store *s, const struct store_place *p, struct cache_entry *e)
{
    if (!cache_table_insert(&s->database[p->database], p->hash, e))
        return false;
    store_entry_enlist(s, p, e);
    return true;
}

void store_entry_leave(struct cache_store *s, const struct store_place *p, struct cache_entry *e, bool evicted)
{
    void *removed = cache_table_remove(&s->database[p->database], p->hash, p->key.data, p->key.length);
    assert(removed == e);
    store_entry_unlist(s, p, e, evicted);
}

void store_entry_unlist(struct cache_store *s, const struct store_place *p, struct cache_entry *e, bool evicted)
{
    if (e->flags & CACHE_ENTRY_EXPIRES) {
        if (!(e->flags & CACHE_ENTRY_UNWHEELED))
            cache_expire_remove(&s->expire, e);
        s->keys_expiring[p->database]--;
    }
    s->memcached_parts -= (e->flags & CACHE_ENTRY_MEMCACHED) != 0;
    store_evict_leave(s, e, p->hash, evicted);
}

struct cache_entry *store_entry_with_flags(struct cache_store *s, struct cache_entry *e, unsigned flags)
{
    struct store_place p = store_place_of_entry(s, e);
    struct cache_entry *to = store_entry_create(s, &p, flags, store_embedded_bytes(e));
    if (!to)
        return NULL;
    struct store_value v = store_entry_value(e);
    store_entry_assign(to, &v);
    store_entry_substitute(s, &p, e, to);
    store_entry_free(s, e);
    return to;
}

/* The part stays with a key that memcached clients use, but says nothing of the value before. */
static void memcached_part_reset(struct cache_entry *e)
{
    struct cache_memcached_part *part = cache_entry_memcached(e);
    if (part)
        part->flags = part->meta = 0;
}

/* Strings without pieces of their own, of about the same length: the bytes change, nobody need be told an address. */
static bool value_replace_in_place(struct cache_store *s, struct cache_entry *e, const struct store_value *v,
                                   unsigned flags)
{
    size_t embedded = flags & CACHE_ENTRY_VALUE ? 0 : v->length;
    if (e->type != CACHE_STRING || e->encoding == CACHE_STRING_ROPE || flags != e->flags ||
        store_entry_bytes(e) != store_entry_bytes_for(flags, e->key_length, embedded))
        return false;
    if (e->encoding == CACHE_STRING_EXTENT)
        cache_extent_drop(cache_entry_value(e)->extent);
    store_entry_assign(e, v);
    return true;
}

static unsigned flags_for(const struct cache_entry *old, const struct store_value *v, bool keep_expiry)
{
    unsigned flags = v->type == CACHE_STRING && v->encoding == CACHE_STRING_EMBEDDED ? 0 : CACHE_ENTRY_VALUE;
    if (old)
        flags |= old->flags & (CACHE_ENTRY_MEMCACHED | (keep_expiry ? CACHE_ENTRY_EXPIRES : 0));
    return flags;
}

struct cache_entry *store_entry_put(struct cache_store *s, const struct store_place *p, struct cache_entry *old,
                                    const struct store_value *v, bool keep_expiry)
{
    unsigned flags = flags_for(old, v, keep_expiry);
    struct cache_entry *e = old;
    if (old)
        store_before_change(s, old);
    if (!old || !value_replace_in_place(s, old, v, flags)) {
        e = store_entry_create(s, p, flags, flags & CACHE_ENTRY_VALUE ? 0 : v->length);
        if (!e)
            return NULL;
        store_entry_assign(e, v);
        if (old) {
            store_entry_substitute(s, p, old, e);
            store_entry_dispose(s, old);
        } else if (!store_entry_enter(s, p, e)) {
            store_entry_free(s, e);
            return NULL;
        }
    }
    if (old) {
        store_evict_hit(s, e, p->hash);
        if (!keep_expiry)
            memcached_part_reset(e);
    }
    return e;
}
