/* Sets: few integers in an intset, everything else as items of a table.
 *
 * A member of an intset has no bytes of its own: functions that name one write its digits where the caller says.
 * Functions that grow a set need room: cache_set_member_cost for each member, and cache_set_room once. */
#ifndef SERVICES_CACHE_SET_H
#define SERVICES_CACHE_SET_H

#include "cache/store/store.h"

enum cache_set_encoding { CACHE_SET_INTSET, CACHE_SET_TABLE };

#define CACHE_SET_DIGITS 24 /* bytes that an integer's text may take */

extern const struct cache_collection_type cache_set_type;

/* An empty set, which the caller fills or deletes at once. NULL: no memory. */
struct cache_entry *cache_set_create(struct cache_store *s, unsigned database, struct mr_span key);

/* A set without a key, for a result that replaces what its operands are read from: a stand-in for an entry, on the stack.
 * Then cache_set_publish: it takes the place of what is at the key. False: no memory, and the set is freed. */
struct cache_set_draft {
    _Alignas(struct cache_entry) uint8_t bytes[sizeof(struct cache_entry) + sizeof(union cache_value)];
};
static inline struct cache_entry *cache_set_draft_entry(struct cache_set_draft *d)
{
    return (struct cache_entry *)d->bytes;
}
bool cache_set_draft(struct cache_store *s, struct cache_set_draft *d);
void cache_set_draft_free(struct cache_store *s, struct cache_set_draft *d);
bool cache_set_publish(struct cache_store *s, unsigned database, struct mr_span key, struct cache_set_draft *d);

uint64_t cache_set_length(const struct cache_entry *e);
bool cache_set_contains(const struct cache_entry *e, struct mr_span member);
/* Until `each` returns false; it may not change the set. */
void cache_set_each(const struct cache_entry *e, bool (*each)(struct mr_span member, void *argument), void *argument);
/* Any member, each as likely; the set is not empty. */
struct mr_span cache_set_random(const struct cache_entry *e, struct mr_random *random, char digits[CACHE_SET_DIGITS]);

const struct cache_table *cache_set_table(const struct cache_entry *e); /* NULL: an intset */
struct mr_span cache_set_item_member(const void *item);                 /* of an item of that table */

uint64_t cache_set_member_cost(size_t bytes);
/* Of everything but the members themselves. `e` NULL: there is no set yet. */
uint64_t cache_set_room(struct cache_store *s, const struct cache_entry *e, uint64_t members);

enum cache_set_outcome { CACHE_SET_ADDED, CACHE_SET_PRESENT, CACHE_SET_NO_MEMORY };
enum cache_set_outcome cache_set_add(struct cache_store *s, struct cache_entry *e, struct mr_span member);
/* False: was not there. Whoever removes the last deletes the entry. `member` may be the set's own bytes. */
bool cache_set_remove(struct cache_store *s, struct cache_entry *e, struct mr_span member);

/* All invariants; for tests. */
void cache_set_check(const struct cache_entry *e);

#endif
