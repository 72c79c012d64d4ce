/* A value leaves its key and comes under another, maybe in another shard: RENAME, MOVE. */
#include <string.h>

#include "cache/store/store_private.h"

bool cache_store_take(struct cache_store *s, unsigned database, struct mr_span key, struct cache_taken *taken)
{
    struct store_place p = store_place_of(s, database, key);
    struct cache_entry *e = store_find(s, &p);
    if (!e)
        return false;
    struct store_place own = {database, cache_entry_key(e), p.hash};
    struct store_value v = store_entry_value(e);
    const struct cache_memcached_part *part = cache_entry_memcached(e);
    *taken = (struct cache_taken){.from = s,
                                  .type = (uint8_t)v.type,
                                  .encoding = (uint8_t)v.encoding,
                                  .value_length = v.length,
                                  .value = v.value,
                                  .expires_ms = cache_entry_expires_ms(e),
                                  .memcached = part != NULL};
    if (part)
        taken->part = *part;
    if (v.embedded)
        memcpy(taken->embedded, v.embedded, v.length);
    store_before_change(s, e);
    store_entry_leave(s, &own, e, false);
    store_tell_changed(s, &own, NULL);
    store_entry_free(s, e);
    return true;
}

static struct store_value taken_value(const struct cache_taken *taken)
{
    bool embedded = taken->type == CACHE_STRING && taken->encoding == CACHE_STRING_EMBEDDED;
    return (struct store_value){.type = taken->type,
                                .encoding = taken->encoding,
                                .length = taken->value_length,
                                .value = taken->value,
                                .embedded = embedded ? taken->embedded : NULL};
}

/* An extent changes hands; one that others hold is copied. */
static bool extent_adopt(struct cache_store *s, struct cache_extent **place)
{
    struct cache_extent *x = *place;
    if (x->memory == &s->memory)
        return true;
    if (x->references == 1) {
        struct memory *giver = x->memory;
        if (!memory_adopt(&s->memory, sizeof *x + x->length))
            return false;
        memory_disown(giver, sizeof *x + x->length);
        x->memory = &s->memory;
        return true;
    }
    struct cache_extent *copy = cache_extent_create(&s->memory, x->length);
    if (!copy)
        return false;
    memcpy(copy->bytes, x->bytes, x->length);
    cache_extent_drop(x);
    *place = copy;
    return true;
}

static bool of_other_shard(const struct cache_store *s, const struct cache_taken *taken)
{
    return taken->from && taken->from != s;
}

/* Collections are copied; the original is disposed of at the end. */
static bool value_adopt(struct cache_store *s, const struct cache_taken *taken, struct store_value *v)
{
    if (!of_other_shard(s, taken))
        return true;
    if (v->type != CACHE_STRING) {
        const struct cache_collection_type *type = cache_collection_types[v->type];
        void *copy = type->copy ? type->copy(s, v->encoding, v->value.collection) : NULL;
        v->value.collection = copy;
        return copy != NULL;
    }
    if (v->encoding == CACHE_STRING_EXTENT)
        return extent_adopt(s, &v->value.extent);
    return v->encoding != CACHE_STRING_ROPE || cache_rope_adopt(v->value.rope, &s->memory);
}

/* A key of another length may leave no room to embed the string, or more than there was. */
static bool embedded_fits(const struct store_value *v, struct mr_span key)
{
    return !v->embedded || key.length + v->length <= CACHE_EMBEDDED_MAX;
}

static bool embedded_to_extent(struct cache_store *s, struct store_value *v)
{
    struct cache_extent *x = cache_extent_create(&s->memory, v->length);
    if (!x)
        return false;
    memcpy(x->bytes, v->embedded, v->length);
    *v = (struct store_value){
        .type = CACHE_STRING, .encoding = CACHE_STRING_EXTENT, .length = v->length, .value.extent = x};
    return true;
}

static unsigned taken_flags(const struct cache_taken *taken, const struct store_value *v)
{
    return (v->embedded ? 0 : CACHE_ENTRY_VALUE) | (taken->expires_ms ? CACHE_ENTRY_EXPIRES : 0) |
           (taken->memcached ? CACHE_ENTRY_MEMCACHED : 0);
}

/* The value under its new key, in the table already unless it replaces `old`. NULL: no room, nothing changed. */
static struct cache_entry *entry_prepare(struct cache_store *s, const struct store_place *p, bool insert,
                                         const struct cache_taken *taken, struct store_value *v)
{
    struct cache_table *table = &s->database[p->database];
    struct cache_entry *e = store_entry_create(s, p, taken_flags(taken, v), v->embedded ? v->length : 0);
    if (!e)
        return NULL;
    if (!insert || cache_table_insert(table, p->hash, e)) {
        if (value_adopt(s, taken, v))
            return e;
        if (insert)
            cache_table_remove(table, p->hash, p->key.data, p->key.length);
    }
    store_entry_free(s, e);
    return NULL;
}

static void entry_fill(struct cache_entry *e, const struct cache_taken *taken, const struct store_value *v)
{
    store_entry_assign(e, v);
    if (taken->expires_ms)
        cache_entry_expiry(e)->at_ms = taken->expires_ms;
    if (taken->memcached)
        *cache_entry_memcached(e) = taken->part;
}

/* Nothing is given up before all that can fail has been had. */
bool cache_store_put(struct cache_store *s, unsigned database, struct mr_span key, const struct cache_taken *taken)
{
    struct store_place p = store_place_of(s, database, key);
    struct cache_entry *old = store_find(s, &p);
    struct store_value v = taken_value(taken);
    bool own_extent = !embedded_fits(&v, key);
    if (own_extent && !embedded_to_extent(s, &v))
        return false;
    struct cache_entry *e = entry_prepare(s, &p, !old, taken, &v);
    if (!e) {
        if (own_extent)
            cache_extent_drop(v.value.extent);
        return false;
    }
    entry_fill(e, taken, &v);
    if (old) {
        store_before_change(s, old);
        cache_table_replace(&s->database[database], p.hash, old, e);
        store_entry_unlist(s, &p, old, false);
        store_entry_dispose(s, old);
    }
    store_entry_enlist(s, &p, e);
    store_tell_changed(s, &p, e);
    if (v.type != CACHE_STRING && of_other_shard(s, taken))
        cache_store_discard(taken->from, taken);
    return true;
}

/* It becomes an entry without a key, and is disposed of as any other. */
void cache_store_discard(struct cache_store *s, const struct cache_taken *taken)
{
    struct store_value v = taken_value(taken);
    const struct store_place nowhere = {0, {(const uint8_t *)"", 0}, 0};
    if (v.embedded)
        return;
    struct cache_entry *e = store_entry_create(s, &nowhere, CACHE_ENTRY_VALUE, 0);
    if (e) {
        store_entry_assign(e, &v);
        store_entry_dispose(s, e);
        return;
    }
    /* No memory even for that: at once. */
    union {
        struct cache_entry entry;
        uint8_t bytes[sizeof(struct cache_entry) + sizeof(union cache_value)];
    } here = {.entry = {.flags = CACHE_ENTRY_VALUE}};
    unsigned all = UINT32_MAX;
    store_entry_assign(&here.entry, &v);
    store_value_free(s, &here.entry, &all);
}
