/* Lists: nodes that know both neighbours, each a compact collection of elements that lie together.
 *
 *     first <-> | compact, up to 8 KiB | <-> | one long element: a rope | <-> | compact | <-> last
 *
 * Pushing and popping at both ends is O(1); an index is found by skipping nodes from the nearer end. How much a node takes
 * is `list-max-listpack-size`. An element of more than CACHE_SMALL_MAX bytes has a node of its own. */
#ifndef SERVICES_CACHE_LIST_H
#define SERVICES_CACHE_LIST_H

#include "cache/store/store.h"
#include "cache/type/compact.h"

#define CACHE_LIST_NODES 0 /* the only encoding: Redis 7.0 calls it "quicklist" */

struct cache_list_node {
    struct cache_list_node *next, *previous;
    struct cache_compact *compact; /* NULL: the node is one rope */
    struct cache_rope *rope;
};

struct cache_list {
    struct cache_list_node *first, *last;
    uint64_t count; /* elements */
    uint64_t nodes;
};

/* Borrowed from the list, or offered to it. */
struct cache_list_element {
    struct mr_span span;     /* data NULL and a rope: the rope is it */
    struct cache_rope *rope; /* in the store's memory; taken over by whatever puts it into a list and succeeds */
};

/* Where an element lies; good until the list changes. node NULL: nowhere. */
struct cache_list_at {
    struct cache_list_node *node;
    uint32_t offset; /* in a compact node */
};

struct cache_list *cache_list_create(struct memory *m); /* NULL: no memory */
void cache_list_free(struct cache_store *s, struct cache_list *l);
static inline struct cache_list *cache_list_of(const struct cache_entry *e)
{
    return cache_entry_value(e)->collection;
}

/* Bytes that putting `elements` of together `bytes` into a list takes, at most; ropes count neither. */
uint64_t cache_list_cost(const struct cache_store *s, uint64_t elements, uint64_t bytes, uint64_t ropes);
#define CACHE_LIST_NEW_COST 256 /* a list without elements */

struct cache_list_at cache_list_first(const struct cache_list *l);
struct cache_list_at cache_list_last(const struct cache_list *l);
struct cache_list_at cache_list_next(struct cache_list_at at);
struct cache_list_at cache_list_previous(struct cache_list_at at);
struct cache_list_at cache_list_index(const struct cache_list *l, int64_t index); /* negative: from the end */
struct cache_list_element cache_list_get(struct cache_list_at at);
uint64_t cache_list_element_length(const struct cache_list_element *x);
bool cache_list_element_equal(const struct cache_list_element *a, const struct cache_list_element *b);

/* These fail only when memory is short, and then change nothing that can be seen. */
bool cache_list_push(struct cache_store *s, struct cache_list *l, bool front, const struct cache_list_element *x);
bool cache_list_insert(struct cache_store *s, struct cache_list *l, struct cache_list_at before,
                       const struct cache_list_element *x);
bool cache_list_replace(struct cache_store *s, struct cache_list *l, struct cache_list_at at,
                        const struct cache_list_element *x);

/* Returns where the element behind the erased one is now. */
struct cache_list_at cache_list_erase(struct cache_store *s, struct cache_list *l, struct cache_list_at at);
void cache_list_erase_range(struct cache_store *s, struct cache_list *l, uint64_t index, uint64_t n);
/* Erases an element that is a rope without dropping it: it is the caller's. NULL: it is none, nothing is changed. */
struct cache_rope *cache_list_take_rope(struct cache_store *s, struct cache_list *l, struct cache_list_at at);

/* Another rope of the same bytes, in the store's memory; extents are shared within one shard only. NULL: no memory. */
struct cache_rope *cache_list_rope_copy(struct cache_store *s, const struct cache_rope *r);

void cache_list_check(const struct cache_list *l);

extern const struct cache_collection_type cache_list_type;

#endif
