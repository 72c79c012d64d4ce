/* Lists; see list.h for the picture.
 *
 * A node that is full is followed by a new one; an insertion into the middle of a full node splits it. Nodes that have
 * become small are not joined again: their allocation shrinks with them, so a sparse node costs its header alone. */
#include "cache/type/list.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include "cache/type/encoding_limits.h"

#define COUNTED_NODE_BYTES 8192 /* of a node that is limited by elements, as Redis */
#define SAMPLED_NODES      64   /* that MEMORY USAGE looks at */

/* -1 .. -5 of list-max-listpack-size; the last is what an allocation can be. */
static const uint32_t node_bytes_by_level[] = {4096, 8192, 16384, 32768, MEMORY_LARGEST};

static uint32_t node_bytes_max(const struct cache_store *s)
{
    int64_t size = cache_type_limits_of(s)->list_max_listpack_size;
    if (size >= 0)
        return COUNTED_NODE_BYTES;
    int64_t levels = sizeof(node_bytes_by_level) / sizeof(node_bytes_by_level[0]);
    return node_bytes_by_level[-size <= levels ? -size - 1 : levels - 1];
}

static uint32_t node_elements_max(const struct cache_store *s)
{
    int64_t size = cache_type_limits_of(s)->list_max_listpack_size;
    return size < 0 || size > UINT32_MAX ? UINT32_MAX : size ? (uint32_t)size : 1;
}

static bool node_takes(const struct cache_store *s, const struct cache_list_node *n, const struct cache_list_element *x)
{
    return n && n->compact && !x->rope && n->compact->count < node_elements_max(s) &&
           n->compact->used + cache_compact_element_bytes(x->span.length) <= node_bytes_max(s);
}

struct cache_list *cache_list_create(struct memory *m)
{
    struct cache_list *l = memory_alloc(m, sizeof(*l));
    if (l)
        *l = (struct cache_list){0};
    return l;
}

uint64_t cache_list_cost(const struct cache_store *s, uint64_t elements, uint64_t bytes, uint64_t ropes)
{
    uint64_t framed = bytes + elements * 2 * sizeof(uint32_t);
    /* Two neighbours together are more than one node may be. */
    uint64_t nodes = 2 + ropes + 2 * framed / node_bytes_max(s);
    if (node_elements_max(s) != UINT32_MAX)
        nodes += elements / node_elements_max(s);
    uint64_t moved = 4 * (uint64_t)node_bytes_max(s); /* a node lies twice while it grows or is split */
    return framed + framed / 2 + nodes * 2 * sizeof(struct cache_list_node) + moved;
}

/* Walking. */

static struct cache_list_at node_first(struct cache_list_node *n)
{
    return (struct cache_list_at){n, n && n->compact ? cache_compact_first(n->compact) : 0};
}

static struct cache_list_at node_last(struct cache_list_node *n)
{
    return (struct cache_list_at){n, n && n->compact ? cache_compact_last(n->compact) : 0};
}

static uint32_t node_count(const struct cache_list_node *n)
{
    return n->compact ? n->compact->count : 1;
}

struct cache_list_at cache_list_first(const struct cache_list *l)
{
    return node_first(l->first);
}

struct cache_list_at cache_list_last(const struct cache_list *l)
{
    return node_last(l->last);
}

struct cache_list_at cache_list_next(struct cache_list_at at)
{
    uint32_t offset = at.node->compact ? cache_compact_next(at.node->compact, at.offset) : 0;
    return offset ? (struct cache_list_at){at.node, offset} : node_first(at.node->next);
}

struct cache_list_at cache_list_previous(struct cache_list_at at)
{
    uint32_t offset = at.node->compact ? cache_compact_previous(at.node->compact, at.offset) : 0;
    return offset ? (struct cache_list_at){at.node, offset} : node_last(at.node->previous);
}

static struct cache_list_at node_index(struct cache_list_node *n, int64_t index)
{
    return (struct cache_list_at){n, n->compact ? cache_compact_index(n->compact, index) : 0};
}

struct cache_list_at cache_list_index(const struct cache_list *l, int64_t index)
{
    int64_t count = (int64_t)l->count;
    if (index < 0)
        index += count;
    if (index < 0 || index >= count)
        return (struct cache_list_at){NULL, 0};

    if (index < count / 2) {
        struct cache_list_node *n = l->first;
        for (; index >= node_count(n); n = n->next)
            index -= node_count(n);
        return node_index(n, index);
    }
    struct cache_list_node *n = l->last;
    int64_t from_end = count - 1 - index;
    for (; from_end >= node_count(n); n = n->previous)
        from_end -= node_count(n);
    return node_index(n, -1 - from_end);
}

struct cache_list_element cache_list_get(struct cache_list_at at)
{
    if (at.node->compact)
        return (struct cache_list_element){cache_compact_get(at.node->compact, at.offset), NULL};
    return (struct cache_list_element){{NULL, 0}, at.node->rope};
}

uint64_t cache_list_element_length(const struct cache_list_element *x)
{
    return x->rope ? x->rope->length : x->span.length;
}

static bool ropes_equal(const struct cache_rope *a, const struct cache_rope *b)
{
    struct cache_extent *extent;
    for (uint64_t at = 0; at < a->length;) {
        struct mr_span x = cache_rope_at(a, at, &extent), y = cache_rope_at(b, at, &extent);
        size_t n = x.length < y.length ? x.length : y.length;
        if (memcmp(x.data, y.data, n) != 0)
            return false;
        at += n;
    }
    return true;
}

bool cache_list_element_equal(const struct cache_list_element *a, const struct cache_list_element *b)
{
    uint64_t length = cache_list_element_length(a);
    if (length != cache_list_element_length(b))
        return false;
    if (a->rope && b->rope)
        return ropes_equal(a->rope, b->rope);
    if (a->rope || b->rope)
        return a->rope ? cache_rope_equal(a->rope, b->span.data, b->span.length)
                       : cache_rope_equal(b->rope, a->span.data, a->span.length);
    return length == 0 || memcmp(a->span.data, b->span.data, length) == 0;
}

/* Nodes. */

/* A long element goes in pieces, as any long value that is deleted. */
static void node_free(struct cache_store *s, struct cache_list_node *n)
{
    if (n->compact)
        cache_compact_free(&s->memory, n->compact);
    if (n->rope)
        cache_store_discard(
            s, &(struct cache_taken){.type = CACHE_STRING, .encoding = CACHE_STRING_ROPE, .value.rope = n->rope});
    memory_free(&s->memory, n, sizeof(*n));
}

/* Of the one element, or empty with room for `bytes` when `x` is NULL. A rope is the node's on success. */
static struct cache_list_node *node_create(struct cache_store *s, const struct cache_list_element *x, size_t bytes)
{
    struct memory *m = &s->memory;
    struct cache_list_node *n = memory_alloc(m, sizeof(*n));
    if (!n)
        return NULL;
    *n = (struct cache_list_node){.rope = x ? x->rope : NULL};
    if (n->rope)
        return n;
    n->compact = cache_compact_create(m, x ? cache_compact_element_bytes(x->span.length) : bytes);
    if (n->compact && (!x || cache_compact_insert(m, &n->compact, 0, x->span.data, x->span.length)))
        return n;
    n->rope = NULL;
    node_free(s, n);
    return NULL;
}

/* Behind `previous`; NULL: in front of all. */
static void node_link(struct cache_list *l, struct cache_list_node *previous, struct cache_list_node *n)
{
    n->previous = previous;
    n->next = previous ? previous->next : l->first;
    *(n->previous ? &n->previous->next : &l->first) = n;
    *(n->next ? &n->next->previous : &l->last) = n;
    l->nodes++;
}

static void node_remove(struct cache_store *s, struct cache_list *l, struct cache_list_node *n)
{
    *(n->previous ? &n->previous->next : &l->first) = n->next;
    *(n->next ? &n->next->previous : &l->last) = n->previous;
    l->nodes--;
    node_free(s, n);
}

/* What lies from `at` on goes to a new node behind. False: no memory, nothing changed. */
static bool node_split(struct cache_store *s, struct cache_list *l, struct cache_list_at at)
{
    struct memory *m = &s->memory;
    struct cache_compact *from = at.node->compact;
    struct cache_list_node *tail = node_create(s, NULL, from->used - at.offset);
    if (!tail)
        return false;
    for (uint32_t offset = at.offset; offset; offset = cache_compact_next(from, offset)) {
        struct mr_span x = cache_compact_get(from, offset);
        if (!cache_compact_insert(m, &tail->compact, 0, x.data, x.length)) {
            node_free(s, tail);
            return false;
        }
    }
    (void)cache_compact_erase(m, &at.node->compact, at.offset, tail->compact->count);
    node_link(l, at.node, tail);
    return true;
}

/* Changing. */

/* Between two neighbours, either of which may be NULL: in the one that has room, or in a node of its own. */
static bool insert_between(struct cache_store *s, struct cache_list *l, struct cache_list_node *left,
                           struct cache_list_node *right, const struct cache_list_element *x)
{
    struct memory *m = &s->memory;
    if (node_takes(s, left, x))
        return cache_compact_insert(m, &left->compact, 0, x->span.data, x->span.length);
    if (node_takes(s, right, x))
        return cache_compact_insert(m, &right->compact, cache_compact_first(right->compact), x->span.data,
                                    x->span.length);
    struct cache_list_node *n = node_create(s, x, 0);
    if (!n)
        return false;
    node_link(l, left, n);
    return true;
}

static bool insert_small(struct cache_store *s, struct cache_list *l, struct cache_list_at before,
                         const struct cache_list_element *x)
{
    struct cache_list_node *n = before.node;
    if (!n)
        return insert_between(s, l, l->last, NULL, x);
    if (!n->compact || before.offset == cache_compact_first(n->compact))
        return insert_between(s, l, n->previous, n, x);
    if (node_takes(s, n, x))
        return cache_compact_insert(&s->memory, &n->compact, before.offset, x->span.data, x->span.length);
    return node_split(s, l, before) && insert_between(s, l, n, n->next, x);
}

/* Bytes that are too many for a node become a rope first. */
static bool insert(struct cache_store *s, struct cache_list *l, struct cache_list_at before,
                   const struct cache_list_element *x)
{
    if (x->rope || x->span.length <= CACHE_SMALL_MAX)
        return insert_small(s, l, before, x);

    struct cache_list_element long_one = {{NULL, 0}, cache_rope_create(&s->memory)};
    if (!long_one.rope)
        return false;
    if (cache_rope_append(long_one.rope, x->span.data, x->span.length) && insert_small(s, l, before, &long_one))
        return true;
    unsigned all = UINT_MAX;
    (void)cache_rope_free_step(long_one.rope, &all);
    return false;
}

bool cache_list_insert(struct cache_store *s, struct cache_list *l, struct cache_list_at before,
                       const struct cache_list_element *x)
{
    if (!insert(s, l, before, x))
        return false;
    l->count++;
    return true;
}

bool cache_list_push(struct cache_store *s, struct cache_list *l, bool front, const struct cache_list_element *x)
{
    struct cache_list_at nowhere = {NULL, 0};
    return cache_list_insert(s, l, front ? cache_list_first(l) : nowhere, x);
}

/* A new node for the element, in place of the rope that was there. */
static bool replace_rope(struct cache_store *s, struct cache_list *l, struct cache_list_at at,
                         const struct cache_list_element *x)
{
    if (!insert(s, l, at, x))
        return false;
    node_remove(s, l, at.node);
    return true;
}

bool cache_list_replace(struct cache_store *s, struct cache_list *l, struct cache_list_at at,
                        const struct cache_list_element *x)
{
    struct cache_list_node *n = at.node;
    if (!n->compact)
        return replace_rope(s, l, at, x);

    size_t old_bytes = cache_compact_element_bytes(cache_compact_get(n->compact, at.offset).length);
    size_t new_bytes = cache_compact_element_bytes(x->span.length);
    bool small = !x->rope && x->span.length <= CACHE_SMALL_MAX;
    if (small && (n->compact->count == 1 || n->compact->used - old_bytes + new_bytes <= node_bytes_max(s)))
        return cache_compact_replace(&s->memory, &n->compact, at.offset, x->span.data, x->span.length);

    /* The old one is made the first of its node, so that it keeps its place when the new one is put before it. */
    if (at.offset != cache_compact_first(n->compact)) {
        if (!node_split(s, l, at))
            return false;
        at = node_first(n->next);
    }
    struct cache_list_node *left = at.node->previous;
    if (small) { /* a node of its own: into `left` it might not fit, and before the old one it would move that */
        struct cache_list_node *alone = node_create(s, x, 0);
        if (!alone)
            return false;
        node_link(l, left, alone);
    } else if (!insert(s, l, at, x)) {
        return false;
    }
    l->count++;
    (void)cache_list_erase(s, l, node_first(at.node));
    return true;
}

struct cache_list_at cache_list_erase(struct cache_store *s, struct cache_list *l, struct cache_list_at at)
{
    struct cache_list_node *n = at.node, *next = n->next;
    l->count--;
    if (node_count(n) == 1) {
        node_remove(s, l, n);
        return node_first(next);
    }
    uint32_t offset = cache_compact_erase(&s->memory, &n->compact, at.offset, 1);
    return offset ? (struct cache_list_at){n, offset} : node_first(next);
}

void cache_list_erase_range(struct cache_store *s, struct cache_list *l, uint64_t index, uint64_t n)
{
    if (index >= l->count)
        return;
    if (n > l->count - index)
        n = l->count - index;
    struct cache_list_at at = cache_list_index(l, (int64_t)index);
    bool whole =
        at.offset == node_first(at.node).offset; /* only the node that the range begins in can be kept in part */
    while (n) {
        struct cache_list_node *node = at.node, *next = node->next;
        uint32_t here = node_count(node);
        if (whole && here <= n) {
            node_remove(s, l, node);
        } else {
            (void)cache_compact_erase(&s->memory, &node->compact, at.offset, n < here ? (unsigned)n : here);
            here -= node_count(node);
        }
        n -= here;
        l->count -= here;
        at = node_first(next);
        whole = true;
    }
}

struct cache_rope *cache_list_take_rope(struct cache_store *s, struct cache_list *l, struct cache_list_at at)
{
    struct cache_rope *rope = at.node->rope;
    if (!rope)
        return NULL;
    at.node->rope = NULL;
    node_remove(s, l, at.node);
    l->count--;
    return rope;
}

/* The type. */

void cache_list_free(struct cache_store *s, struct cache_list *l)
{
    while (l->first)
        node_remove(s, l, l->first);
    memory_free(&s->memory, l, sizeof(*l));
}

struct cache_rope *cache_list_rope_copy(struct cache_store *s, const struct cache_rope *r)
{
    if (r->memory == &s->memory)
        return cache_rope_share(r, &s->memory);
    struct cache_rope *copy = cache_rope_create(&s->memory);
    struct cache_extent *extent;
    unsigned all = UINT_MAX;
    for (uint64_t at = 0; copy && at < r->length;) {
        struct mr_span part = cache_rope_at(r, at, &extent);
        at += part.length;
        if (!cache_rope_append(copy, part.data, part.length)) {
            (void)cache_rope_free_step(copy, &all);
            return NULL;
        }
    }
    return copy;
}

static bool node_copy(struct cache_store *s, struct cache_list *to, const struct cache_list_node *n)
{
    struct cache_list_element rope = {{NULL, 0}, NULL};
    if (n->rope && !(rope.rope = cache_list_rope_copy(s, n->rope)))
        return false;
    struct cache_list_node *copy = node_create(s, n->rope ? &rope : NULL, n->rope ? 0 : n->compact->used);
    if (!copy) {
        unsigned all = UINT_MAX;
        if (rope.rope)
            (void)cache_rope_free_step(rope.rope, &all);
        return false;
    }
    if (n->compact)
        cache_compact_copy(copy->compact, n->compact);
    node_link(to, to->last, copy);
    to->count += node_count(copy);
    return true;
}

static void *copy_list(struct cache_store *s, unsigned encoding, const void *collection)
{
    (void)encoding;
    const struct cache_list *l = collection;
    struct cache_list *copy = cache_list_create(&s->memory);
    for (const struct cache_list_node *n = l->first; copy && n; n = n->next)
        if (!node_copy(s, copy, n)) {
            cache_list_free(s, copy);
            return NULL;
        }
    return copy;
}

static bool free_step(struct cache_store *s, unsigned encoding, void *collection, unsigned *budget)
{
    (void)encoding;
    struct cache_list *l = collection;
    while (l->first && *budget) {
        struct cache_list_node *n = l->first;
        if (n->rope) {
            if (!cache_rope_free_step(n->rope, budget))
                return false;
            n->rope = NULL;
        }
        node_remove(s, l, n);
        *budget -= *budget > 0;
    }
    if (l->first)
        return false;
    memory_free(&s->memory, l, sizeof(*l));
    return true;
}

static uint64_t length(unsigned encoding, const void *collection)
{
    (void)encoding;
    return ((const struct cache_list *)collection)->count;
}

/* From the first nodes: those of one list are alike. */
static uint64_t bytes(unsigned encoding, const void *collection)
{
    (void)encoding;
    const struct cache_list *l = collection;
    uint64_t sum = 0, nodes = 0;
    for (const struct cache_list_node *n = l->first; n && nodes < SAMPLED_NODES; n = n->next, nodes++)
        sum += memory_cost(sizeof(*n)) +
               (n->compact ? memory_cost(n->compact->capacity) : cache_rope_cost(n->rope->length));
    return memory_cost(sizeof(*l)) + (nodes < l->nodes ? sum / nodes * l->nodes : sum);
}

static const char *encoding_name(const struct cache_entry *e)
{
    (void)e;
    return "quicklist";
}

const struct cache_collection_type cache_list_type = {
    .name = "list",
    .bytes = bytes,
    .length = length,
    .encoding_name = encoding_name,
    .free_step = free_step,
    .copy = copy_list,
};

void cache_list_check(const struct cache_list *l)
{
    uint64_t count = 0, nodes = 0;
    const struct cache_list_node *previous = NULL;
    for (const struct cache_list_node *n = l->first; n; previous = n, n = n->next, nodes++) {
        assert(n->previous == previous);
        assert(!n->compact != !n->rope);
        assert(node_count(n) > 0);
        assert(!n->rope || n->rope->length > 0);
        count += node_count(n);
    }
    assert(l->last == previous);
    assert(count == l->count);
    assert(nodes == l->nodes);
}
