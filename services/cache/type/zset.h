/* Sorted sets: members with a score, in the order of score and then of the member's bytes.
 *
 * Few short members lie as pairs (member, 1 to 8 bytes of score) in one compact collection, in order. Beyond
 * `zset-max-listpack-entries` or `-value` they become nodes that are both in a table by member and in a skip list (Pugh 1990)
 * whose links carry their span, so that a rank is a sum on the way down:
 *
 *     level 2   head ------------ 3 ----------> c ------ 2 -----> (end)
 *     level 1   head --- 1 ---> a ----- 2 ----> c -- 1 --> d --> (end)
 *     level 0   head --- 1 ---> a -- 1 -> b --> c -------> d
 *
 * Ranges of scores, of members and of ranks are all answered as ranks: cache_zset_count_while finds where one begins. */
#ifndef SERVICES_CACHE_ZSET_H
#define SERVICES_CACHE_ZSET_H

#include "cache/store/store.h"

enum cache_zset_encoding { CACHE_ZSET_COMPACT, CACHE_ZSET_SKIPLIST };

/* A sorted set at hand: of an entry, which it keeps up to date, or being built (entry NULL). Good as long as the entry is. */
struct cache_zset {
    struct cache_store *store;
    struct cache_entry *entry;
    enum cache_zset_encoding encoding;
    void *collection;
};

struct cache_zset_element {
    struct mr_span member; /* borrowed until the next change */
    double score;
};

/* A place in the order; good until the next change. 0: nowhere. */
typedef uintptr_t cache_zset_at;

struct cache_zset cache_zset_of(struct cache_store *s, struct cache_entry *e);
/* Empty, in the encoding that so many members of at most so many bytes will have. False: no memory. */
bool cache_zset_create(struct cache_zset *z, struct cache_store *s, uint64_t members_expected, uint64_t longest_bytes);
void cache_zset_free(struct cache_zset *z); /* of one without an entry; whole */

uint64_t cache_zset_count(const struct cache_zset *z);
uint64_t cache_zset_member_bytes(const struct cache_zset *z); /* of all members, at most */
/* Bytes that adding `members` of together `bytes` takes at most, a change of encoding included. */
uint64_t cache_zset_cost(const struct cache_zset *z, uint64_t members, uint64_t bytes);
uint64_t cache_zset_new_cost(const struct cache_store *s, uint64_t members,
                             uint64_t bytes); /* the same for a new one */

bool cache_zset_score(const struct cache_zset *z, struct mr_span member, double *score); /* false: not there */
bool cache_zset_rank(const struct cache_zset *z, struct mr_span member, uint64_t *rank);

enum cache_zset_change { CACHE_ZSET_ADDED, CACHE_ZSET_UPDATED, CACHE_ZSET_SAME, CACHE_ZSET_NO_MEMORY };
/* The member gets the score, which is not NaN. Without memory nothing is changed. */
enum cache_zset_change cache_zset_set(struct cache_zset *z, struct mr_span member, double score);
bool cache_zset_remove(struct cache_zset *z, struct mr_span member); /* false: was not there */
void cache_zset_remove_ranks(struct cache_zset *z, uint64_t first, uint64_t n);

cache_zset_at cache_zset_at_rank(const struct cache_zset *z, uint64_t rank); /* 0: beyond the last */
cache_zset_at cache_zset_next(const struct cache_zset *z, cache_zset_at at);
cache_zset_at cache_zset_previous(const struct cache_zset *z, cache_zset_at at);
struct cache_zset_element cache_zset_get(const struct cache_zset *z, cache_zset_at at);
/* How many of the first elements `below` holds for; it must hold for none behind one that it does not hold for. */
uint64_t cache_zset_count_while(const struct cache_zset *z,
                                bool (*below)(const void *bound, struct cache_zset_element x), const void *bound);
/* One step of ZSCAN over a skip list: its table. */
const struct cache_table *cache_zset_table(const struct cache_zset *z);
struct cache_zset_element cache_zset_item(const void *item); /* what an item of that table is */

void cache_zset_check(const struct cache_zset *z);

extern const struct cache_collection_type cache_zset_type;

#endif
