#include "proxy/balance/heap.h"

#include <assert.h>

#include "proxy/balance/policy.h"

size_t balance_heap_bytes(uint32_t members)
{
    return sizeof(struct balance_heap) + members * (sizeof(struct balance_heap_entry) + sizeof(uint32_t));
}

void balance_heap_init(struct balance_heap *h, uint32_t members)
{
    h->place = (uint32_t *)(h->entries + members);
}

static bool before(const struct balance_heap_entry *x, const struct balance_heap_entry *y)
{
    if (x->first != y->first)
        return (int64_t)(x->first - y->first) < 0;
    if (x->second != y->second)
        return (int64_t)(x->second - y->second) < 0;
    return x->member < y->member;
}

static void store(struct balance_heap *h, uint32_t at, struct balance_heap_entry e)
{
    h->entries[at] = e;
    h->place[e.member] = at + 1;
}

/* `e` goes into the hole at `at`, or above it. */
static void rise(struct balance_heap *h, uint32_t at, struct balance_heap_entry e)
{
    for (; at > 0; at = (at - 1) / 2) {
        uint32_t parent = (at - 1) / 2;
        if (!before(&e, &h->entries[parent]))
            break;
        store(h, at, h->entries[parent]);
    }
    store(h, at, e);
}

/* `e` goes into the hole at `at`, or below it. */
static void sink(struct balance_heap *h, uint32_t at, struct balance_heap_entry e)
{
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && before(&h->entries[child + 1], &h->entries[child]))
            child++;
        if (!before(&h->entries[child], &e))
            break;
        store(h, at, h->entries[child]);
        at = child;
    }
    store(h, at, e);
}

static void settle(struct balance_heap *h, uint32_t at, struct balance_heap_entry e)
{
    if (at > 0 && before(&e, &h->entries[(at - 1) / 2]))
        rise(h, at, e);
    else
        sink(h, at, e);
}

void balance_heap_put(struct balance_heap *h, uint32_t member, uint64_t first, uint64_t second)
{
    struct balance_heap_entry e = {first, second, member};
    if (balance_heap_has(h, member))
        settle(h, h->place[member] - 1, e);
    else
        rise(h, h->count++, e);
}

void balance_heap_remove(struct balance_heap *h, uint32_t member)
{
    if (!balance_heap_has(h, member))
        return;
    uint32_t at = h->place[member] - 1;
    h->place[member] = 0;
    if (at < --h->count)
        settle(h, at, h->entries[h->count]);
}

/* Those that were tried are taken out while the least of the others is looked at. */
struct balance_heap_entry balance_heap_least(struct balance_heap *h, const struct balance_query *q)
{
    struct balance_heap_entry out[BALANCE_TRIED_MAX];
    uint32_t n = 0;
    while (balance_tried(q, h->entries[0].member)) {
        out[n++] = h->entries[0];
        balance_heap_remove(h, h->entries[0].member);
        assert(h->count > 0);
    }
    struct balance_heap_entry least = h->entries[0];
    while (n-- > 0)
        balance_heap_put(h, out[n].member, out[n].first, out[n].second);
    return least;
}

void balance_heap_check(const struct balance_heap *h, const struct balance *b)
{
    assert(h->count == b->fit);
    for (uint32_t m = 0; m < b->count; m++)
        assert(balance_heap_has(h, m) == balance_takes(b, m));
    for (uint32_t i = 0; i < h->count; i++) {
        assert(h->place[h->entries[i].member] == i + 1);
        assert(i == 0 || before(&h->entries[(i - 1) / 2], &h->entries[i]));
    }
}
