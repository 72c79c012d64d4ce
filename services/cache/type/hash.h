/* Hashes: fields with values. Few and short ones are pairs in a compact collection, in the order they came; more, or longer
 * ones, are items of a table. Values longer than CACHE_SMALL_MAX are ropes and are lent to replies.
 *
 *     compact: | field | value | field | value | ...          table: slot -> | lengths | field | value or rope |
 *
 * Functions that grow a hash need room: the sum of cache_hash_pair_cost over what is set, and cache_hash_room once. */
#ifndef SERVICES_CACHE_HASH_H
#define SERVICES_CACHE_HASH_H

#include "cache/command/argument.h"
#include "cache/store/store.h"

enum cache_hash_encoding { CACHE_HASH_COMPACT, CACHE_HASH_TABLE };

/* Borrowed until the hash changes. */
struct cache_hash_value {
    struct mr_span bytes;          /* data NULL: it is a rope */
    const struct cache_rope *rope; /* else NULL */
};

struct cache_hash_pair {
    struct mr_span field;
    struct cache_hash_value value;
};

extern const struct cache_collection_type cache_hash_type;

/* An empty hash, which the caller fills or deletes at once. NULL: no memory. */
struct cache_entry *cache_hash_create(struct cache_store *s, unsigned database, struct mr_span key);

uint64_t cache_hash_length(const struct cache_entry *e);
static inline uint64_t cache_hash_value_length(const struct cache_hash_value *v)
{
    return v->rope ? v->rope->length : v->bytes.length;
}
bool cache_hash_get(const struct cache_entry *e, struct mr_span field, struct cache_hash_value *value);
/* Compact: in the order they were added. `each` may not change the hash. */
void cache_hash_each(const struct cache_entry *e, void (*each)(const struct cache_hash_pair *pair, void *argument),
                     void *argument);
/* The pair at `index` of a compact hash. */
struct cache_hash_pair cache_hash_pair_at(const struct cache_entry *e, uint32_t index);
const struct cache_table *cache_hash_table(const struct cache_entry *e); /* NULL: compact */
struct cache_hash_pair cache_hash_item_pair(const void *item);           /* of an item of that table */

uint64_t cache_hash_pair_cost(size_t field_bytes, const struct cache_argument *value);
/* Of everything but the pairs themselves. `e` NULL: there is no hash yet. `pairs` as set, `pair_costs` their sum. */
uint64_t cache_hash_room(struct cache_store *s, const struct cache_entry *e, uint64_t pairs, uint64_t pair_costs);

enum cache_hash_outcome { CACHE_HASH_ADDED, CACHE_HASH_REPLACED, CACHE_HASH_NO_MEMORY };
/* A rope is taken over, unless memory was short: then nothing is changed. */
enum cache_hash_outcome cache_hash_set(struct cache_store *s, struct cache_entry *e, struct mr_span field,
                                       struct cache_argument *value);
/* False: was not there. Whoever removes the last deletes the entry. */
bool cache_hash_remove(struct cache_store *s, struct cache_entry *e, struct mr_span field);

/* All invariants; for tests. */
void cache_hash_check(const struct cache_entry *e);

#endif
