/* The large form of a sorted set: nodes in a skip list and in a table. Only zset.c and its commands' tests see it. */
#ifndef SERVICES_CACHE_SKIPLIST_H
#define SERVICES_CACHE_SKIPLIST_H

#include "cache/store/store.h"
#include "cache/type/zset.h"

#define CACHE_SKIPLIST_LEVELS 32 /* enough for 4^32 elements */

struct cache_skiplist_link {
    memory_link next;
    uint32_t span; /* elements from here to next; to the end when there is none */
};

struct cache_skiplist_node {
    double score;
    memory_link previous; /* of level 0 */
    uint16_t length;      /* bytes of the member, which lies behind the links */
    uint8_t levels;
    struct cache_skiplist_link link[];
};

struct cache_skiplist {
    struct memory *memory;
    struct mr_random *random;
    struct cache_table table;
    struct cache_skiplist_node *head; /* no element; has all levels */
    struct cache_skiplist_node *last; /* NULL: empty */
    uint64_t count;
    uint64_t member_bytes;
    uint8_t levels; /* in use */
};

struct cache_skiplist *cache_skiplist_create(struct cache_store *s); /* NULL: no memory */
void cache_skiplist_free(struct cache_skiplist *l);
struct cache_skiplist *cache_skiplist_copy(struct cache_store *s,
                                           const struct cache_skiplist *from); /* NULL: no memory */
bool cache_skiplist_free_step(struct cache_skiplist *l, unsigned *budget);
uint64_t cache_skiplist_insert_cost(const struct cache_skiplist *l, uint64_t members, uint64_t bytes);
uint64_t cache_skiplist_new_cost(uint64_t members, uint64_t bytes);
uint64_t cache_skiplist_bytes(const struct cache_skiplist *l);

struct cache_skiplist_node *cache_skiplist_find(const struct cache_skiplist *l, struct mr_span member); /* NULL: none */
/* The member must not be there. False: no memory, nothing changed. */
bool cache_skiplist_insert(struct cache_skiplist *l, struct mr_span member, double score);
void cache_skiplist_set_score(struct cache_skiplist *l, struct cache_skiplist_node *n, double score); /* cannot fail */
void cache_skiplist_remove(struct cache_skiplist *l, struct cache_skiplist_node *n);
void cache_skiplist_remove_ranks(struct cache_skiplist *l, uint64_t first, uint64_t n);

struct cache_skiplist_node *cache_skiplist_at_rank(const struct cache_skiplist *l, uint64_t rank);
struct cache_skiplist_node *cache_skiplist_next(const struct cache_skiplist *l, const struct cache_skiplist_node *n);
struct cache_skiplist_node *cache_skiplist_previous(const struct cache_skiplist *l,
                                                    const struct cache_skiplist_node *n);
struct cache_zset_element cache_skiplist_element(const struct cache_skiplist_node *n);
uint64_t cache_skiplist_count_while(const struct cache_skiplist *l,
                                    bool (*below)(const void *bound, struct cache_zset_element x), const void *bound);

int cache_zset_compare(struct cache_zset_element a, struct cache_zset_element b);
void cache_skiplist_check(const struct cache_skiplist *l);

#endif
