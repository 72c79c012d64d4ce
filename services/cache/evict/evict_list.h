/* Doubly linked lists over compressed links, from the oldest node to the newest. A list knows the sum of its weights. */
#ifndef SERVICES_CACHE_EVICT_LIST_H
#define SERVICES_CACHE_EVICT_LIST_H

#include "cache/evict/evict_node.h"

struct evict_list {
    memory_link oldest, newest; /* 0: empty */
    uint64_t count, bytes;
};

static inline struct cache_evict_node *evict_node_at(const struct cache_evict *e, memory_link link)
{
    return (struct cache_evict_node *)memory_link_unpack(e->owner.base, link);
}

static inline struct cache_evict_node *evict_list_oldest(const struct cache_evict *e, const struct evict_list *l)
{
    return evict_node_at(e, l->oldest);
}

void evict_list_add(const struct cache_evict *e, struct evict_list *l, struct cache_evict_node *n); /* as the newest */
void evict_list_remove(const struct cache_evict *e, struct evict_list *l, struct cache_evict_node *n);
void evict_list_renew(const struct cache_evict *e, struct evict_list *l,
                      struct cache_evict_node *n); /* to the newest */
/* All of `younger` behind all of `l`, in O(1); `younger` is empty then. */
void evict_list_append(const struct cache_evict *e, struct evict_list *l, struct evict_list *younger);
/* `to` is the copy of `from`, which is not read. */
void evict_list_moved(const struct cache_evict *e, struct evict_list *l, const struct cache_evict_node *from,
                      struct cache_evict_node *to);
/* Links and sums; `each` looks at one node of the list, and may be NULL. */
void evict_list_check(const struct cache_evict *e, const struct evict_list *l,
                      void (*each)(const struct cache_evict *e, const struct cache_evict_node *n, uint32_t argument),
                      uint32_t argument);

#endif
