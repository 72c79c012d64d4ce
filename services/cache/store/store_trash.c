/* Freeing what is large, some pieces a turn. A deleted value waits in the entry that it had; a flushed table waits whole. Its
 * entries stay in the wheel and in the policy until they are taken apart; their generation tells them from live ones. */
#include <assert.h>
#include <stdlib.h>

#include "cache/store/store_private.h"

bool store_trash_init(struct cache_store *s)
{
    s->trash = calloc(1, sizeof *s->trash);
    return s->trash != NULL;
}

void store_trash_release(struct cache_store *s)
{
    free(s->trash);
    s->trash = NULL;
}

bool store_trash_empty(const struct cache_store *s)
{
    return !s->trash->first && !s->trash->flushed_count;
}

bool cache_store_flushing(const struct cache_store *s)
{
    return s->trash->flushed_count != 0;
}

/* Values */

bool store_value_free(struct cache_store *s, struct cache_entry *e, unsigned *budget)
{
    if (!(e->flags & CACHE_ENTRY_VALUE))
        return true;
    union cache_value *value = cache_entry_value(e);
    if (e->type != CACHE_STRING)
        return cache_collection_types[e->type]->free_step(s, e->encoding, value->collection, budget);
    if (e->encoding == CACHE_STRING_ROPE)
        return cache_rope_free_step(value->rope, budget);
    if (e->encoding == CACHE_STRING_EXTENT)
        cache_extent_drop(value->extent);
    return true;
}

void store_trash_add(struct cache_store *s, struct cache_entry *e)
{
    e->evict.older = s->trash->first;
    s->trash->first = memory_link_pack(s->memory.base, e);
    s->trash->values++;
}

void store_entry_dispose(struct cache_store *s, struct cache_entry *e)
{
    unsigned budget = STORE_FREES_AT_ONCE;
    if (store_value_free(s, e, &budget))
        store_entry_free(s, e);
    else
        store_trash_add(s, e);
}

/* Each value costs one of the budget, and one for each piece. */
static void values_drain(struct cache_store *s, unsigned *budget)
{
    struct cache_trash *trash = s->trash;
    while (*budget && trash->first) {
        struct cache_entry *e = memory_link_unpack(s->memory.base, trash->first);
        memory_link next = e->evict.older;
        if (!store_value_free(s, e, budget))
            return;
        store_entry_free(s, e);
        trash->first = next;
        trash->values--;
        if (*budget)
            --*budget;
    }
}

/* Tables */

static void flushed_entry_free(void *item, void *argument)
{
    struct cache_store *s = argument;
    struct cache_entry *e = item;
    if (s->trash->flushed[s->trash->flushed_first].epoch)
        store_before_change(s, e);
    if (e->flags & CACHE_ENTRY_EXPIRES && !(e->flags & CACHE_ENTRY_UNWHEELED))
        cache_expire_remove(&s->expire, e);
    s->memcached_parts -= (e->flags & CACHE_ENTRY_MEMCACHED) != 0;
    store_evict_leave(s, e, store_place_of_entry(s, e).hash, false);
    store_entry_dispose(s, e);
}

/* Of the table that waits longest. */
static void flushed_drain(struct cache_store *s, unsigned *budget)
{
    struct cache_trash *trash = s->trash;
    struct store_flushed *first = &trash->flushed[trash->flushed_first];
    if (first->epoch != s->snapshot_epoch) /* that snapshot has ended, and this one began later */
        first->epoch = 0;
    if (!trash->flushed_count || !cache_table_free_step(&first->table, budget, flushed_entry_free, s))
        return;
    trash->flushed_first = (trash->flushed_first + 1) % STORE_FLUSHED_MAX;
    trash->flushed_count--;
}

void store_trash_flush(struct cache_store *s, unsigned database)
{
    struct cache_trash *trash = s->trash;
    while (trash->flushed_count == STORE_FLUSHED_MAX) { /* who flushes that often waits for it */
        unsigned budget = UINT32_MAX;
        flushed_drain(s, &budget);
    }
    struct cache_table *table = &s->database[database];
    trash->flushed[(trash->flushed_first + trash->flushed_count++) % STORE_FLUSHED_MAX] =
        (struct store_flushed){*table, s->snapshot_epoch};
    cache_table_init(table, table->memory, table->type, table->secret);
    s->generation[s->color[database]]++;
    s->keys_expiring[database] = 0;
}

void store_trash_drain(struct cache_store *s, unsigned *budget)
{
    while (*budget && !store_trash_empty(s)) {
        values_drain(s, budget);
        flushed_drain(s, budget);
    }
}
