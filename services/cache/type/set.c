/* See set.h. */
#include "cache/type/set.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include "cache/command/argument.h"
#include "cache/resp/decimal.h"
#include "cache/type/encoding_limits.h"
#include "cache/type/intset.h"

struct set_item {
    uint16_t length;
    uint8_t bytes[];
};

struct set_table {
    struct cache_table table;
    uint64_t item_bytes; /* of memory */
};

static struct cache_intset *intset_of(const struct cache_entry *e)
{
    assert(e->encoding == CACHE_SET_INTSET);
    return cache_entry_value(e)->collection;
}

static struct set_table *table_of(const struct cache_entry *e)
{
    assert(e->encoding == CACHE_SET_TABLE);
    return cache_entry_value(e)->collection;
}

static bool span_integer(struct mr_span member, int64_t *value)
{
    if (member.length >= CACHE_SET_DIGITS)
        return false;
    return cache_argument_integer(&(struct cache_argument){member.data, (uint32_t)member.length, NULL}, value);
}

static struct mr_span integer_text(int64_t value, char digits[CACHE_SET_DIGITS])
{
    uint8_t *text = (uint8_t *)digits;
    digits[0] = '-';
    uint8_t *end = cache_decimal_write(text + (value < 0), value < 0 ? -(uint64_t)value : (uint64_t)value);
    return (struct mr_span){text, (size_t)(end - text)};
}

/* Items of the table */

static size_t item_size(size_t member_bytes)
{
    return offsetof(struct set_item, bytes) + member_bytes;
}

struct mr_span cache_set_item_member(const void *item)
{
    const struct set_item *i = item;
    return (struct mr_span){i->bytes, i->length};
}

static const struct cache_table_type item_type = {.key = cache_set_item_member};

static void item_free(void *item, void *argument)
{
    struct memory *m = argument;
    memory_free(m, item, item_size(((struct set_item *)item)->length));
}

/* Begin and end */

static struct set_table *table_create(struct cache_store *s)
{
    struct set_table *t = memory_alloc(&s->memory, sizeof *t);
    if (!t)
        return NULL;
    t->item_bytes = 0;
    cache_table_init(&t->table, &s->memory, &item_type, s->secret);
    return t;
}

static bool set_free_step(struct cache_store *s, unsigned encoding, void *collection, unsigned *budget)
{
    if (encoding == CACHE_SET_INTSET) {
        cache_intset_free(&s->memory, collection);
        *budget -= *budget > 0;
        return true;
    }
    struct set_table *t = collection;
    if (!cache_table_free_step(&t->table, budget, item_free, &s->memory))
        return false;
    memory_free(&s->memory, t, sizeof *t);
    return true;
}

struct cache_entry *cache_set_create(struct cache_store *s, unsigned database, struct mr_span key)
{
    struct cache_intset *set = cache_intset_create(&s->memory);
    if (!set)
        return NULL;
    struct cache_entry *e = cache_store_add_collection(s, database, key, CACHE_SET, CACHE_SET_INTSET, set);
    if (!e)
        cache_intset_free(&s->memory, set);
    return e;
}

bool cache_set_draft(struct cache_store *s, struct cache_set_draft *d)
{
    struct cache_entry *e = cache_set_draft_entry(d);
    memset(d, 0, sizeof *d);
    e->type = CACHE_SET;
    e->encoding = CACHE_SET_INTSET;
    e->flags = CACHE_ENTRY_VALUE;
    cache_entry_value(e)->collection = cache_intset_create(&s->memory);
    return cache_entry_value(e)->collection != NULL;
}

void cache_set_draft_free(struct cache_store *s, struct cache_set_draft *d)
{
    struct cache_entry *e = cache_set_draft_entry(d);
    unsigned all = UINT_MAX;
    set_free_step(s, e->encoding, cache_entry_value(e)->collection, &all);
}

bool cache_set_publish(struct cache_store *s, unsigned database, struct mr_span key, struct cache_set_draft *d)
{
    struct cache_entry *e = cache_set_draft_entry(d);
    if (cache_store_add_collection(s, database, key, CACHE_SET, e->encoding, cache_entry_value(e)->collection))
        return true;
    cache_set_draft_free(s, d);
    return false;
}

/* Looking */

static uint64_t set_length(unsigned encoding, const void *collection)
{
    if (encoding == CACHE_SET_INTSET)
        return ((const struct cache_intset *)collection)->count;
    return ((const struct set_table *)collection)->table.count;
}

uint64_t cache_set_length(const struct cache_entry *e)
{
    return set_length(e->encoding, cache_entry_value(e)->collection);
}

const struct cache_table *cache_set_table(const struct cache_entry *e)
{
    return e->encoding == CACHE_SET_TABLE ? &table_of(e)->table : NULL;
}

static bool intset_find(const struct cache_intset *set, struct mr_span member, uint32_t *index)
{
    int64_t value;
    return span_integer(member, &value) && cache_intset_find(set, value, index);
}

bool cache_set_contains(const struct cache_entry *e, struct mr_span member)
{
    uint32_t index;
    if (e->encoding == CACHE_SET_INTSET)
        return intset_find(intset_of(e), member, &index);
    const struct cache_table *t = &table_of(e)->table;
    return cache_table_find(t, cache_table_hash(t, member.data, member.length), member.data, member.length) != NULL;
}

struct each {
    bool (*each)(struct mr_span member, void *argument);
    void *argument;
    bool enough;
};

static void each_item(void *item, void *argument)
{
    struct each *x = argument;
    if (!x->enough)
        x->enough = !x->each(cache_set_item_member(item), x->argument);
}

void cache_set_each(const struct cache_entry *e, bool (*each)(struct mr_span member, void *argument), void *argument)
{
    if (e->encoding == CACHE_SET_TABLE) {
        struct each x = {each, argument, false};
        uint64_t cursor = 0;
        do
            cursor = cache_table_scan(&table_of(e)->table, cursor, each_item, &x);
        while (cursor && !x.enough);
        return;
    }
    const struct cache_intset *set = intset_of(e);
    char digits[CACHE_SET_DIGITS];
    for (uint32_t i = 0; i < set->count; i++)
        if (!each(integer_text(cache_intset_get(set, i), digits), argument))
            return;
}

struct mr_span cache_set_random(const struct cache_entry *e, struct mr_random *random, char digits[CACHE_SET_DIGITS])
{
    if (e->encoding == CACHE_SET_TABLE)
        return cache_set_item_member(cache_table_random(&table_of(e)->table, random));
    const struct cache_intset *set = intset_of(e);
    return integer_text(cache_intset_get(set, mr_random_below(random, set->count)), digits);
}

/* Room */

#define INTEGER_BYTES 20 /* "-9223372036854775808" */

uint64_t cache_set_member_cost(size_t bytes)
{
    return memory_cost(item_size(bytes));
}

/* An intset may grow as such, and become a table while it is still there. */
uint64_t cache_set_room(struct cache_store *s, const struct cache_entry *e, uint64_t members)
{
    if (e && e->encoding == CACHE_SET_TABLE)
        return cache_table_insert_cost(&table_of(e)->table, members);
    uint64_t present = e ? intset_of(e)->count : 0;
    struct cache_table fresh;
    cache_table_init(&fresh, &s->memory, &item_type, s->secret);
    return cache_intset_cost(present + members, 8) + memory_cost(sizeof(struct set_table)) +
           present * cache_set_member_cost(INTEGER_BYTES) + cache_table_insert_cost(&fresh, present + members);
}

/* Changing */

/* Adds to a table that has no such member. */
static bool table_add(struct cache_store *s, struct set_table *t, uint64_t hash, struct mr_span member)
{
    assert(member.length <= CACHE_KEY_MAX);
    struct set_item *i = memory_alloc(&s->memory, item_size(member.length));
    if (!i)
        return false;
    i->length = (uint16_t)member.length;
    memcpy(i->bytes, member.data, member.length);
    if (!cache_table_insert(&t->table, hash, i)) {
        item_free(i, &s->memory);
        return false;
    }
    t->item_bytes += cache_set_member_cost(member.length);
    return true;
}

/* From intset to table. False: no memory, nothing changed. */
static bool set_convert(struct cache_store *s, struct cache_entry *e)
{
    struct cache_intset *set = intset_of(e);
    struct set_table *t = table_create(s);
    if (!t)
        return false;
    char digits[CACHE_SET_DIGITS];
    for (uint32_t i = 0; i < set->count; i++) {
        struct mr_span member = integer_text(cache_intset_get(set, i), digits);
        if (!table_add(s, t, cache_table_hash(&t->table, member.data, member.length), member)) {
            unsigned all = UINT_MAX;
            set_free_step(s, CACHE_SET_TABLE, t, &all);
            return false;
        }
    }
    cache_intset_free(&s->memory, set);
    cache_entry_value(e)->collection = t;
    e->encoding = CACHE_SET_TABLE;
    return true;
}

static bool stays_intset(const struct cache_store *s, const struct cache_intset *set)
{
    return set->count < cache_type_limits_of(s)->set_max_intset_entries &&
           sizeof *set + ((size_t)set->count + 1) * sizeof(int64_t) <= MEMORY_LARGEST;
}

static enum cache_set_outcome intset_add(struct cache_store *s, struct cache_entry *e, int64_t value)
{
    struct cache_intset *set = intset_of(e);
    bool added = cache_intset_insert(&s->memory, &set, value);
    cache_entry_value(e)->collection = set;
    return added ? CACHE_SET_ADDED : CACHE_SET_NO_MEMORY;
}

enum cache_set_outcome cache_set_add(struct cache_store *s, struct cache_entry *e, struct mr_span member)
{
    if (e->encoding == CACHE_SET_INTSET) {
        int64_t value;
        uint32_t index;
        if (span_integer(member, &value)) {
            if (cache_intset_find(intset_of(e), value, &index))
                return CACHE_SET_PRESENT;
            if (stays_intset(s, intset_of(e)))
                return intset_add(s, e, value);
        }
        if (!set_convert(s, e))
            return CACHE_SET_NO_MEMORY;
    }
    struct set_table *t = table_of(e);
    uint64_t hash = cache_table_hash(&t->table, member.data, member.length);
    if (cache_table_find(&t->table, hash, member.data, member.length))
        return CACHE_SET_PRESENT;
    return table_add(s, t, hash, member) ? CACHE_SET_ADDED : CACHE_SET_NO_MEMORY;
}

bool cache_set_remove(struct cache_store *s, struct cache_entry *e, struct mr_span member)
{
    if (e->encoding == CACHE_SET_INTSET) {
        struct cache_intset *set = intset_of(e);
        uint32_t index;
        if (!intset_find(set, member, &index))
            return false;
        cache_intset_erase(&s->memory, &set, index);
        cache_entry_value(e)->collection = set;
        return true;
    }
    struct set_table *t = table_of(e);
    uint64_t hash = cache_table_hash(&t->table, member.data, member.length);
    struct set_item *i = cache_table_remove(&t->table, hash, member.data, member.length);
    if (!i)
        return false;
    t->item_bytes -= cache_set_member_cost(i->length);
    item_free(i, &s->memory);
    return true;
}

/* The type */

static void *intset_copy(struct cache_store *s, const struct cache_intset *set)
{
    struct cache_intset *copy = memory_alloc(&s->memory, set->capacity);
    if (copy)
        memcpy(copy, set, sizeof *set + (size_t)set->count * set->width);
    return copy;
}

struct copying {
    struct cache_store *store;
    struct set_table *copy;
    bool failed;
};

static void copy_item(void *item, void *argument)
{
    struct copying *c = argument;
    struct mr_span member = cache_set_item_member(item);
    if (!c->failed)
        c->failed =
            !table_add(c->store, c->copy, cache_table_hash(&c->copy->table, member.data, member.length), member);
}

static void *set_copy(struct cache_store *s, unsigned encoding, const void *collection)
{
    if (encoding == CACHE_SET_INTSET)
        return intset_copy(s, collection);
    struct copying c = {.store = s, .copy = table_create(s)};
    if (!c.copy)
        return NULL;
    cache_table_each(&((const struct set_table *)collection)->table, copy_item, &c);
    if (!c.failed)
        return c.copy;
    unsigned all = UINT_MAX;
    set_free_step(s, CACHE_SET_TABLE, c.copy, &all);
    return NULL;
}

static uint64_t set_bytes(unsigned encoding, const void *collection)
{
    if (encoding == CACHE_SET_INTSET)
        return memory_cost(((const struct cache_intset *)collection)->capacity);
    const struct set_table *t = collection;
    return memory_cost(sizeof *t) + cache_table_bytes(&t->table) + t->item_bytes;
}

static const char *set_encoding_name(const struct cache_entry *e)
{
    return e->encoding == CACHE_SET_INTSET ? "intset" : "hashtable";
}

const struct cache_collection_type cache_set_type = {
    .name = "set",
    .bytes = set_bytes,
    .length = set_length,
    .encoding_name = set_encoding_name,
    .free_step = set_free_step,
    .copy = set_copy,
};

static void add_item_bytes(void *item, void *argument)
{
    *(uint64_t *)argument += cache_set_member_cost(((struct set_item *)item)->length);
}

static void intset_check(const struct cache_intset *set)
{
    assert(sizeof *set + (size_t)set->count * set->width <= set->capacity);
    for (uint32_t i = 1; i < set->count; i++)
        assert(cache_intset_get(set, i - 1) < cache_intset_get(set, i));
}

void cache_set_check(const struct cache_entry *e)
{
    assert(e->type == CACHE_SET);
    if (e->encoding == CACHE_SET_INTSET) {
        intset_check(intset_of(e));
        return;
    }
    const struct set_table *t = table_of(e);
    uint64_t bytes = 0;
    cache_table_each(&t->table, add_item_bytes, &bytes);
    assert(bytes == t->item_bytes);
    cache_table_check(&t->table);
}
