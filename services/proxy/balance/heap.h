/* Members in the order of a key: a binary heap that knows where each member lies, so that any can be moved or taken out in O(log n).
 * Keys are compared by `first`, then by `second`, then by the member's number. Both are compared as differences, so they may
 * wrap as long as all of them lie within 2^63 of each other. */
#ifndef SERVICES_PROXY_BALANCE_HEAP_H
#define SERVICES_PROXY_BALANCE_HEAP_H

#include "proxy/balance/balance.h"

struct balance_heap_entry {
    uint64_t first, second;
    uint32_t member;
};

struct balance_heap {
    uint32_t count;
    uint32_t *place; /* by member: index into entries + 1; 0: not in the heap */
    struct balance_heap_entry entries[];
};

size_t balance_heap_bytes(uint32_t members);
void balance_heap_init(struct balance_heap *h, uint32_t members);

static inline bool balance_heap_has(const struct balance_heap *h, uint32_t member)
{
    return h->place[member] != 0;
}

/* Its entry; the member is in the heap. */
static inline const struct balance_heap_entry *balance_heap_at(const struct balance_heap *h, uint32_t member)
{
    return &h->entries[h->place[member] - 1];
}

/* Puts a member in, or moves it to where its new key belongs. */
void balance_heap_put(struct balance_heap *h, uint32_t member, uint64_t first, uint64_t second);
void balance_heap_remove(struct balance_heap *h, uint32_t member); /* nothing when it is not in */

/* The least one that `q` has not tried; there is one. The heap is the same afterwards. */
struct balance_heap_entry balance_heap_least(struct balance_heap *h, const struct balance_query *q);

/* That it is a heap of exactly what can be chosen. */
void balance_heap_check(const struct balance_heap *h, const struct balance *b);

#endif
