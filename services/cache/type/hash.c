/* See hash.h. */
#include "cache/type/hash.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include "cache/type/compact.h"
#include "cache/type/encoding_limits.h"

struct hash_item {
    uint32_t value_length; /* of a rope: what its tail takes */
    uint16_t field_length;
    bool is_rope;
    uint8_t bytes[]; /* field, value */
};

/* In place of a long value. */
struct rope_tail {
    struct cache_rope *rope;
    struct hash_item *next; /* while the hash is taken apart: ropes still to free */
};

struct hash_table {
    struct cache_table table;
    uint64_t item_bytes;     /* of memory */
    struct hash_item *ropes; /* taken out of the table, waiting to be freed */
};

static struct cache_compact *compact_of(const struct cache_entry *e)
{
    assert(e->encoding == CACHE_HASH_COMPACT);
    return cache_entry_value(e)->collection;
}

static struct hash_table *table_of(const struct cache_entry *e)
{
    assert(e->encoding == CACHE_HASH_TABLE);
    return cache_entry_value(e)->collection;
}

/* Items of the table */

static size_t item_bytes(size_t field, size_t value)
{
    return offsetof(struct hash_item, bytes) + field + value;
}

static size_t item_size(const struct hash_item *i)
{
    return item_bytes(i->field_length, i->value_length);
}

static struct mr_span item_key(const void *item)
{
    const struct hash_item *i = item;
    return (struct mr_span){i->bytes, i->field_length};
}

static const struct cache_table_type item_type = {.key = item_key};

static struct rope_tail item_tail(const struct hash_item *i)
{
    struct rope_tail tail;
    memcpy(&tail, i->bytes + i->field_length, sizeof tail);
    return tail;
}

static void item_set_tail(struct hash_item *i, struct rope_tail tail)
{
    memcpy(i->bytes + i->field_length, &tail, sizeof tail);
}

static struct cache_hash_value item_value(const struct hash_item *i)
{
    if (i->is_rope)
        return (struct cache_hash_value){.rope = item_tail(i).rope};
    return (struct cache_hash_value){.bytes = {i->bytes + i->field_length, i->value_length}};
}

struct cache_hash_pair cache_hash_item_pair(const void *item)
{
    return (struct cache_hash_pair){item_key(item), item_value(item)};
}

/* A rope becomes the item's, in this store's memory. NULL: no memory. */
static struct hash_item *item_create(struct cache_store *s, struct mr_span field, struct cache_argument *value)
{
    assert(field.length <= CACHE_KEY_MAX && (value->rope || value->length <= CACHE_SMALL_MAX));
    size_t tail = value->rope ? sizeof(struct rope_tail) : value->length;
    struct hash_item *i = memory_alloc(&s->memory, item_bytes(field.length, tail));
    if (!i)
        return NULL;
    *i = (struct hash_item){(uint32_t)tail, (uint16_t)field.length, value->rope != NULL};
    memcpy(i->bytes, field.data, field.length);
    if (!value->rope) {
        memcpy(i->bytes + field.length, value->data, value->length);
        return i;
    }
    if (value->rope->memory != &s->memory && !cache_rope_adopt(value->rope, &s->memory)) {
        memory_free(&s->memory, i, item_size(i));
        return NULL;
    }
    item_set_tail(i, (struct rope_tail){.rope = value->rope});
    value->rope = NULL;
    return i;
}

/* All that it takes; a rope counts as whole extents, which is what it takes but for the last. */
static uint64_t item_memory(const struct hash_item *i)
{
    return memory_cost(item_size(i)) + (i->is_rope ? cache_rope_cost(item_tail(i).rope->length) : 0);
}

/* A long value goes in pieces, as any other that is deleted. */
static void item_free(struct cache_store *s, struct hash_item *i)
{
    if (i->is_rope)
        cache_store_discard(s, &(struct cache_taken){.type = CACHE_STRING,
                                                     .encoding = CACHE_STRING_ROPE,
                                                     .value.rope = item_tail(i).rope});
    memory_free(&s->memory, i, item_size(i));
}

/* Begin and end */

static struct hash_table *table_create(struct cache_store *s)
{
    struct hash_table *h = memory_alloc(&s->memory, sizeof *h);
    if (!h)
        return NULL;
    *h = (struct hash_table){0};
    cache_table_init(&h->table, &s->memory, &item_type, s->secret);
    return h;
}

/* Ropes may be long: they are set aside, to be freed within the budget. */
static void item_discard(void *item, void *argument)
{
    struct hash_item *i = item;
    struct hash_table *h = argument;
    if (i->is_rope) {
        item_set_tail(i, (struct rope_tail){item_tail(i).rope, h->ropes});
        h->ropes = i;
    } else {
        memory_free(h->table.memory, i, item_size(i));
    }
}

static bool ropes_free(struct hash_table *h, unsigned *budget)
{
    while (h->ropes && *budget) {
        struct hash_item *i = h->ropes;
        struct rope_tail tail = item_tail(i);
        if (!cache_rope_free_step(tail.rope, budget))
            return false;
        h->ropes = tail.next;
        memory_free(h->table.memory, i, item_size(i));
    }
    return !h->ropes;
}

static bool hash_free_step(struct cache_store *s, unsigned encoding, void *collection, unsigned *budget)
{
    if (encoding == CACHE_HASH_COMPACT) {
        cache_compact_free(&s->memory, collection);
        *budget -= *budget > 0;
        return true;
    }
    struct hash_table *h = collection;
    if (!ropes_free(h, budget) || !*budget)
        return false;
    if (!cache_table_free_step(&h->table, budget, item_discard, h) || !ropes_free(h, budget))
        return false;
    memory_free(&s->memory, h, sizeof *h);
    return true;
}

struct cache_entry *cache_hash_create(struct cache_store *s, unsigned database, struct mr_span key)
{
    struct cache_compact *c = cache_compact_create(&s->memory, 0);
    if (!c)
        return NULL;
    struct cache_entry *e = cache_store_add_collection(s, database, key, CACHE_HASH, CACHE_HASH_COMPACT, c);
    if (!e)
        cache_compact_free(&s->memory, c);
    return e;
}

static void table_discard(struct cache_store *s, struct hash_table *h)
{
    unsigned all = UINT_MAX;
    hash_free_step(s, CACHE_HASH_TABLE, h, &all);
}

/* Looking */

static uint64_t hash_length(unsigned encoding, const void *collection)
{
    if (encoding == CACHE_HASH_COMPACT)
        return ((const struct cache_compact *)collection)->count / 2;
    return ((const struct hash_table *)collection)->table.count;
}

uint64_t cache_hash_length(const struct cache_entry *e)
{
    return hash_length(e->encoding, cache_entry_value(e)->collection);
}

const struct cache_table *cache_hash_table(const struct cache_entry *e)
{
    return e->encoding == CACHE_HASH_TABLE ? &table_of(e)->table : NULL;
}

static uint32_t compact_find(const struct cache_compact *c, struct mr_span field)
{
    return cache_compact_find(c, cache_compact_first(c), 2, field.data, field.length);
}

static struct cache_hash_pair compact_pair(const struct cache_compact *c, uint32_t at)
{
    return (struct cache_hash_pair){cache_compact_get(c, at), {cache_compact_get(c, cache_compact_next(c, at)), NULL}};
}

struct cache_hash_pair cache_hash_pair_at(const struct cache_entry *e, uint32_t index)
{
    const struct cache_compact *c = compact_of(e);
    return compact_pair(c, cache_compact_index(c, (int64_t)index * 2));
}

bool cache_hash_get(const struct cache_entry *e, struct mr_span field, struct cache_hash_value *value)
{
    if (e->encoding == CACHE_HASH_COMPACT) {
        const struct cache_compact *c = compact_of(e);
        uint32_t at = compact_find(c, field);
        if (at)
            *value = compact_pair(c, at).value;
        return at != 0;
    }
    const struct cache_table *t = &table_of(e)->table;
    const struct hash_item *i =
        cache_table_find(t, cache_table_hash(t, field.data, field.length), field.data, field.length);
    if (i)
        *value = item_value(i);
    return i != NULL;
}

struct each {
    void (*each)(const struct cache_hash_pair *pair, void *argument);
    void *argument;
};

static void each_item(void *item, void *argument)
{
    const struct each *x = argument;
    struct cache_hash_pair pair = cache_hash_item_pair(item);
    x->each(&pair, x->argument);
}

void cache_hash_each(const struct cache_entry *e, void (*each)(const struct cache_hash_pair *pair, void *argument),
                     void *argument)
{
    if (e->encoding == CACHE_HASH_TABLE) {
        cache_table_each(&table_of(e)->table, each_item, &(struct each){each, argument});
        return;
    }
    const struct cache_compact *c = compact_of(e);
    for (uint32_t at = cache_compact_first(c); at; at = cache_compact_next(c, cache_compact_next(c, at))) {
        struct cache_hash_pair pair = compact_pair(c, at);
        each(&pair, argument);
    }
}

/* Room */

/* A slot takes less than 16 bytes more than was asked for, or a quarter; a large one up to as much again. */
#define ROUNDING       16
#define ROUNDING_LARGE (16u << 10)

uint64_t cache_hash_pair_cost(size_t field_bytes, const struct cache_argument *value)
{
    if (value->rope)
        return memory_cost(item_bytes(field_bytes, sizeof(struct rope_tail))) + cache_rope_cost(value->length) +
               ROUNDING;
    return memory_cost(item_bytes(field_bytes, value->length)) + ROUNDING;
}

/* A compact hash may grow as such, and then become a table while it is still there: both, and the table of all. What its
 * pairs cost as items is bounded rather than summed: it is asked for with each HSET. */
uint64_t cache_hash_room(struct cache_store *s, const struct cache_entry *e, uint64_t pairs, uint64_t pair_costs)
{
    if (e && e->encoding == CACHE_HASH_TABLE)
        return cache_table_insert_cost(&table_of(e)->table, pairs);
    struct cache_table fresh;
    cache_table_init(&fresh, &s->memory, &item_type, s->secret);
    uint64_t used = e ? compact_of(e)->used : sizeof(struct cache_compact), present = e ? cache_hash_length(e) : 0;
    uint64_t compact = used + pair_costs < MEMORY_LARGEST ? used + pair_costs : MEMORY_LARGEST;
    uint64_t rounded = used < ROUNDING_LARGE ? used / 4 : used;
    uint64_t items = used + rounded + present * (offsetof(struct hash_item, bytes) + ROUNDING);
    return memory_cost(compact) + memory_cost(sizeof(struct hash_table)) + items +
           cache_table_insert_cost(&fresh, present + pairs);
}

/* Changing */

/* Adds to a table that has no such field. */
static bool table_add(struct cache_store *s, struct hash_table *h, struct mr_span field, struct cache_argument *value)
{
    struct cache_rope *rope = value->rope;
    struct hash_item *i = item_create(s, field, value);
    if (!i)
        return false;
    if (!cache_table_insert(&h->table, cache_table_hash(&h->table, field.data, field.length), i)) {
        value->rope = rope; /* the caller's again */
        memory_free(&s->memory, i, item_size(i));
        return false;
    }
    h->item_bytes += item_memory(i);
    return true;
}

static enum cache_hash_outcome table_set(struct cache_store *s, struct hash_table *h, struct mr_span field,
                                         struct cache_argument *value)
{
    uint64_t hash = cache_table_hash(&h->table, field.data, field.length);
    struct hash_item *old = cache_table_find(&h->table, hash, field.data, field.length);
    if (!old)
        return table_add(s, h, field, value) ? CACHE_HASH_ADDED : CACHE_HASH_NO_MEMORY;
    if (!old->is_rope && !value->rope && old->value_length == value->length) {
        memmove(old->bytes + old->field_length, value->data, value->length);
        return CACHE_HASH_REPLACED;
    }
    struct hash_item *i = item_create(s, field, value);
    if (!i)
        return CACHE_HASH_NO_MEMORY;
    cache_table_replace(&h->table, hash, old, i);
    h->item_bytes += item_memory(i) - item_memory(old);
    item_free(s, old);
    return CACHE_HASH_REPLACED;
}

/* From compact to table. False: no memory, nothing changed. */
static bool hash_convert(struct cache_store *s, struct cache_entry *e)
{
    struct cache_compact *c = compact_of(e);
    struct hash_table *h = table_create(s);
    if (!h)
        return false;
    for (uint32_t at = cache_compact_first(c); at; at = cache_compact_next(c, cache_compact_next(c, at))) {
        struct cache_hash_pair pair = compact_pair(c, at);
        struct mr_span bytes = pair.value.bytes;
        if (!table_add(s, h, pair.field, &(struct cache_argument){bytes.data, (uint32_t)bytes.length, NULL})) {
            table_discard(s, h);
            return false;
        }
    }
    cache_compact_free(&s->memory, c);
    cache_entry_value(e)->collection = h;
    e->encoding = CACHE_HASH_TABLE;
    return true;
}

static bool stays_compact(const struct cache_store *s, const struct cache_compact *c, bool adds, size_t field_bytes,
                          const struct cache_argument *value)
{
    const struct cache_type_limits *limits = cache_type_limits_of(s);
    if (value->rope || value->length > limits->hash_max_listpack_value || field_bytes > limits->hash_max_listpack_value)
        return false;
    if (adds && c->count / 2 >= limits->hash_max_listpack_entries)
        return false;
    return c->used + cache_compact_element_bytes(field_bytes) + cache_compact_element_bytes(value->length) <=
           MEMORY_LARGEST;
}

static bool compact_add(struct cache_store *s, struct cache_compact **c, struct mr_span field,
                        const struct cache_argument *value)
{
    if (!cache_compact_insert(&s->memory, c, 0, field.data, field.length))
        return false;
    if (cache_compact_insert(&s->memory, c, 0, value->data, value->length))
        return true;
    cache_compact_erase(&s->memory, c, cache_compact_last(*c), 1);
    return false;
}

static enum cache_hash_outcome compact_set(struct cache_store *s, struct cache_entry *e, uint32_t at,
                                           struct mr_span field, const struct cache_argument *value)
{
    struct cache_compact *c = compact_of(e);
    bool done = at ? cache_compact_replace(&s->memory, &c, cache_compact_next(c, at), value->data, value->length)
                   : compact_add(s, &c, field, value);
    cache_entry_value(e)->collection = c;
    return !done ? CACHE_HASH_NO_MEMORY : at ? CACHE_HASH_REPLACED : CACHE_HASH_ADDED;
}

enum cache_hash_outcome cache_hash_set(struct cache_store *s, struct cache_entry *e, struct mr_span field,
                                       struct cache_argument *value)
{
    if (e->encoding == CACHE_HASH_COMPACT) {
        uint32_t at = compact_find(compact_of(e), field);
        if (stays_compact(s, compact_of(e), !at, field.length, value))
            return compact_set(s, e, at, field, value);
        if (!hash_convert(s, e))
            return CACHE_HASH_NO_MEMORY;
    }
    return table_set(s, table_of(e), field, value);
}

static bool compact_remove(struct cache_store *s, struct cache_entry *e, struct mr_span field)
{
    struct cache_compact *c = compact_of(e);
    uint32_t at = compact_find(c, field);
    if (!at)
        return false;
    cache_compact_erase(&s->memory, &c, at, 2);
    cache_entry_value(e)->collection = c;
    return true;
}

bool cache_hash_remove(struct cache_store *s, struct cache_entry *e, struct mr_span field)
{
    if (e->encoding == CACHE_HASH_COMPACT)
        return compact_remove(s, e, field);
    struct hash_table *h = table_of(e);
    uint64_t hash = cache_table_hash(&h->table, field.data, field.length);
    struct hash_item *i = cache_table_remove(&h->table, hash, field.data, field.length);
    if (!i)
        return false;
    h->item_bytes -= item_memory(i);
    item_free(s, i);
    return true;
}

/* Copying */

static void *compact_copy(struct cache_store *s, const struct cache_compact *c)
{
    struct cache_compact *copy = memory_alloc(&s->memory, c->capacity);
    if (copy)
        memcpy(copy, c, c->used);
    return copy;
}

static void rope_free(struct cache_rope *r)
{
    unsigned all = UINT_MAX;
    cache_rope_free_step(r, &all);
}

/* Extents are shared within a shard only: their references are counted by one worker. */
static struct cache_rope *rope_copy(struct cache_store *s, const struct cache_rope *r)
{
    if (r->memory == &s->memory)
        return cache_rope_share(r, &s->memory);
    struct cache_rope *copy = cache_rope_create(&s->memory);
    struct cache_extent *extent;
    for (uint64_t at = 0; copy && at < r->length;) {
        struct mr_span bytes = cache_rope_at(r, at, &extent);
        at += bytes.length;
        if (!cache_rope_append(copy, bytes.data, bytes.length)) {
            rope_free(copy);
            return NULL;
        }
    }
    return copy;
}

struct copying {
    struct cache_store *store;
    struct hash_table *copy;
    bool failed;
};

static bool copy_value(struct copying *c, struct mr_span field, const struct cache_hash_value *v)
{
    struct cache_argument value = {v->bytes.data, (uint32_t)cache_hash_value_length(v), NULL};
    if (v->rope && !(value.rope = rope_copy(c->store, v->rope)))
        return false;
    if (table_add(c->store, c->copy, field, &value))
        return true;
    if (value.rope)
        rope_free(value.rope);
    return false;
}

static void copy_item(void *item, void *argument)
{
    struct copying *c = argument;
    struct cache_hash_pair pair = cache_hash_item_pair(item);
    if (!c->failed)
        c->failed = !copy_value(c, pair.field, &pair.value);
}

static void *hash_copy(struct cache_store *s, unsigned encoding, const void *collection)
{
    if (encoding == CACHE_HASH_COMPACT)
        return compact_copy(s, collection);
    struct copying c = {.store = s, .copy = table_create(s)};
    if (!c.copy)
        return NULL;
    cache_table_each(&((const struct hash_table *)collection)->table, copy_item, &c);
    if (!c.failed)
        return c.copy;
    table_discard(s, c.copy);
    return NULL;
}

/* The type */

static uint64_t hash_bytes(unsigned encoding, const void *collection)
{
    if (encoding == CACHE_HASH_COMPACT)
        return memory_cost(((const struct cache_compact *)collection)->capacity);
    const struct hash_table *h = collection;
    return memory_cost(sizeof *h) + cache_table_bytes(&h->table) + h->item_bytes;
}

static const char *hash_encoding_name(const struct cache_entry *e)
{
    return e->encoding == CACHE_HASH_COMPACT ? "listpack" : "hashtable";
}

const struct cache_collection_type cache_hash_type = {
    .name = "hash",
    .bytes = hash_bytes,
    .length = hash_length,
    .encoding_name = hash_encoding_name,
    .free_step = hash_free_step,
    .copy = hash_copy,
};

static void add_item_bytes(void *item, void *argument)
{
    *(uint64_t *)argument += item_memory(item);
}

void cache_hash_check(const struct cache_entry *e)
{
    assert(e->type == CACHE_HASH);
    if (e->encoding == CACHE_HASH_COMPACT) {
        assert(compact_of(e)->count % 2 == 0);
        return;
    }
    const struct hash_table *h = table_of(e);
    uint64_t bytes = 0;
    cache_table_each(&h->table, add_item_bytes, &bytes);
    assert(bytes == h->item_bytes && !h->ropes);
    cache_table_check(&h->table);
}
