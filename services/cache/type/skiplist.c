/* The skip list of sorted sets; see zset.h for the picture. A level has a quarter of the elements of the one below. Links are
 * half pointers (memory_link), so that a level costs 8 bytes with its span. */
#include "cache/type/skiplist.h"

#include <assert.h>
#include <string.h>

#define MEAN_LEVELS_BOUND 3 /* 4/3 are expected; that many are never passed on average where it matters */

/* Where a change takes place: on each level the last node before it, and that node's rank (the head's is 0). */
struct path {
    struct cache_skiplist_node *node[CACHE_SKIPLIST_LEVELS];
    uint64_t rank[CACHE_SKIPLIST_LEVELS];
};

static size_t node_bytes(unsigned levels, size_t length)
{
    return sizeof(struct cache_skiplist_node) + levels * sizeof(struct cache_skiplist_link) + length;
}

static struct mr_span node_member(const struct cache_skiplist_node *n)
{
    return (struct mr_span){(const uint8_t *)&n->link[n->levels], n->length};
}

static struct mr_span table_key(const void *item)
{
    return node_member(item);
}

static const struct cache_table_type table_type = {.key = table_key};

static struct cache_skiplist_node *follow(const struct cache_skiplist *l, memory_link link)
{
    return memory_link_unpack(l->memory->base, link);
}

static memory_link pack(const struct cache_skiplist *l, const struct cache_skiplist_node *n)
{
    return memory_link_pack(l->memory->base, n);
}

static struct cache_skiplist_node *node_create(struct cache_skiplist *l, unsigned levels, struct mr_span member,
                                               double score)
{
    struct cache_skiplist_node *n = memory_alloc(l->memory, node_bytes(levels, member.length));
    if (!n)
        return NULL;
    *n = (struct cache_skiplist_node){.score = score, .length = (uint16_t)member.length, .levels = (uint8_t)levels};
    memset(n->link, 0, levels * sizeof(n->link[0]));
    if (member.length)
        memcpy(&n->link[levels], member.data, member.length);
    return n;
}

static void node_free(struct cache_skiplist *l, struct cache_skiplist_node *n)
{
    memory_free(l->memory, n, node_bytes(n->levels, n->length));
}

struct cache_skiplist *cache_skiplist_create(struct cache_store *s)
{
    struct cache_skiplist *l = memory_alloc(&s->memory, sizeof(*l));
    if (!l)
        return NULL;
    *l = (struct cache_skiplist){.memory = &s->memory, .random = &s->random, .levels = 1};
    l->head = node_create(l, CACHE_SKIPLIST_LEVELS, (struct mr_span){NULL, 0}, 0);
    if (!l->head) {
        memory_free(&s->memory, l, sizeof(*l));
        return NULL;
    }
    cache_table_init(&l->table, &s->memory, &table_type, s->secret);
    return l;
}

static void item_free(void *item, void *l)
{
    node_free(l, item);
}

bool cache_skiplist_free_step(struct cache_skiplist *l, unsigned *budget)
{
    if (!cache_table_free_step(&l->table, budget, item_free, l))
        return false;
    node_free(l, l->head);
    memory_free(l->memory, l, sizeof(*l));
    return true;
}

void cache_skiplist_free(struct cache_skiplist *l)
{
    unsigned budget;
    do
        budget = UINT32_MAX;
    while (!cache_skiplist_free_step(l, &budget));
}

/* An allocation is counted as a fourth more than asked for at most, and by 16 bytes at least. */
static uint64_t nodes_cost(uint64_t members, uint64_t bytes)
{
    uint64_t sum = members * node_bytes(MEAN_LEVELS_BOUND, 0) + bytes;
    return sum + sum / 4 + members * 16 + node_bytes(CACHE_SKIPLIST_LEVELS, 0);
}

uint64_t cache_skiplist_insert_cost(const struct cache_skiplist *l, uint64_t members, uint64_t bytes)
{
    return nodes_cost(members, bytes) + cache_table_insert_cost(&l->table, members);
}

uint64_t cache_skiplist_new_cost(uint64_t members, uint64_t bytes)
{
    struct cache_table empty = {0};
    return memory_cost(sizeof(struct cache_skiplist)) + memory_cost(node_bytes(CACHE_SKIPLIST_LEVELS, 0)) +
           nodes_cost(members, bytes) + cache_table_insert_cost(&empty, members);
}

#define SAMPLED_NODES 64

uint64_t cache_skiplist_bytes(const struct cache_skiplist *l)
{
    uint64_t sum = 0, nodes = 0;
    for (const struct cache_skiplist_node *n = follow(l, l->head->link[0].next); n && nodes < SAMPLED_NODES;
         n = follow(l, n->link[0].next), nodes++)
        sum += memory_cost(node_bytes(n->levels, n->length));
    if (nodes < l->count)
        sum = (uint64_t)((double)sum / (double)nodes * (double)l->count);
    return sum + cache_table_bytes(&l->table) + memory_cost(sizeof(*l)) +
           memory_cost(node_bytes(CACHE_SKIPLIST_LEVELS, 0));
}

/* Searching. */

struct cache_zset_element cache_skiplist_element(const struct cache_skiplist_node *n)
{
    return (struct cache_zset_element){node_member(n), n->score};
}

int cache_zset_compare(struct cache_zset_element a, struct cache_zset_element b)
{
    if (a.score != b.score)
        return a.score < b.score ? -1 : 1;
    size_t common = a.member.length < b.member.length ? a.member.length : b.member.length;
    int order = common ? memcmp(a.member.data, b.member.data, common) : 0;
    return order ? order : (a.member.length > b.member.length) - (a.member.length < b.member.length);
}

static bool before_element(const void *bound, struct cache_zset_element x)
{
    return cache_zset_compare(x, *(const struct cache_zset_element *)bound) < 0;
}

/* Down the levels, on each as far as `below` holds. */
static void path_find(const struct cache_skiplist *l, struct path *p,
                      bool (*below)(const void *bound, struct cache_zset_element x), const void *bound)
{
    struct cache_skiplist_node *n = l->head, *next;
    uint64_t rank = 0;
    for (unsigned level = l->levels; level-- > 0;) {
        while ((next = follow(l, n->link[level].next)) && below(bound, cache_skiplist_element(next))) {
            rank += n->link[level].span;
            n = next;
        }
        p->node[level] = n;
        p->rank[level] = rank;
    }
}

/* As path_find, to before the element of that rank. */
static void path_find_rank(const struct cache_skiplist *l, struct path *p, uint64_t rank_wanted)
{
    struct cache_skiplist_node *n = l->head;
    uint64_t rank = 0;
    for (unsigned level = l->levels; level-- > 0;) {
        while (n->link[level].next && rank + n->link[level].span <= rank_wanted) {
            rank += n->link[level].span;
            n = follow(l, n->link[level].next);
        }
        p->node[level] = n;
        p->rank[level] = rank;
    }
}

uint64_t cache_skiplist_count_while(const struct cache_skiplist *l,
                                    bool (*below)(const void *bound, struct cache_zset_element x), const void *bound)
{
    struct path p;
    path_find(l, &p, below, bound);
    return p.rank[0];
}

struct cache_skiplist_node *cache_skiplist_at_rank(const struct cache_skiplist *l, uint64_t rank)
{
    struct path p;
    if (rank >= l->count)
        return NULL;
    path_find_rank(l, &p, rank);
    return follow(l, p.node[0]->link[0].next);
}

struct cache_skiplist_node *cache_skiplist_next(const struct cache_skiplist *l, const struct cache_skiplist_node *n)
{
    return follow(l, n->link[0].next);
}

struct cache_skiplist_node *cache_skiplist_previous(const struct cache_skiplist *l, const struct cache_skiplist_node *n)
{
    return follow(l, n->previous);
}

struct cache_skiplist_node *cache_skiplist_find(const struct cache_skiplist *l, struct mr_span member)
{
    if (!l->count)
        return NULL;
    return cache_table_find(&l->table, cache_table_hash(&l->table, member.data, member.length), member.data,
                            member.length);
}

/* Changing. */

static unsigned random_levels(struct mr_random *random)
{
    unsigned levels = 1;
    for (uint64_t bits = mr_random_next(random); levels < CACHE_SKIPLIST_LEVELS && (bits & 3) == 0; bits >>= 2)
        levels++;
    return levels;
}

static void link_in(struct cache_skiplist *l, struct cache_skiplist_node *n)
{
    struct path p;
    struct cache_zset_element own = cache_skiplist_element(n);
    path_find(l, &p, before_element, &own);
    for (; l->levels < n->levels; l->levels++) {
        p.node[l->levels] = l->head;
        p.rank[l->levels] = 0;
        l->head->link[l->levels] = (struct cache_skiplist_link){0, (uint32_t)l->count};
    }
    for (unsigned level = 0; level < n->levels; level++) {
        struct cache_skiplist_link *left = &p.node[level]->link[level];
        uint32_t before = (uint32_t)(p.rank[0] - p.rank[level]); /* elements between that node and the new one */
        n->link[level] = (struct cache_skiplist_link){left->next, left->span - before};
        *left = (struct cache_skiplist_link){pack(l, n), before + 1};
    }
    for (unsigned level = n->levels; level < l->levels; level++)
        p.node[level]->link[level].span++;

    struct cache_skiplist_node *next = follow(l, n->link[0].next);
    n->previous = p.node[0] == l->head ? 0 : pack(l, p.node[0]);
    if (next)
        next->previous = pack(l, n);
    else
        l->last = n;
    l->count++;
}

/* The node behind the path. */
static void link_out(struct cache_skiplist *l, struct path *p, struct cache_skiplist_node *n)
{
    memory_link own = pack(l, n);
    for (unsigned level = 0; level < l->levels; level++) {
        struct cache_skiplist_link *left = &p->node[level]->link[level];
        if (level < n->levels && left->next == own) {
            left->span += n->link[level].span - 1;
            left->next = n->link[level].next;
        } else {
            left->span--;
        }
    }
    struct cache_skiplist_node *next = follow(l, n->link[0].next);
    if (next)
        next->previous = n->previous;
    else
        l->last = follow(l, n->previous);
    while (l->levels > 1 && !l->head->link[l->levels - 1].next)
        l->levels--;
    l->count--;
}

bool cache_skiplist_insert(struct cache_skiplist *l, struct mr_span member, double score)
{
    struct cache_skiplist_node *n = node_create(l, random_levels(l->random), member, score);
    if (!n)
        return false;
    if (!cache_table_insert(&l->table, cache_table_hash(&l->table, member.data, member.length), n)) {
        node_free(l, n);
        return false;
    }
    link_in(l, n);
    l->member_bytes += member.length;
    return true;
}

void cache_skiplist_set_score(struct cache_skiplist *l, struct cache_skiplist_node *n, double score)
{
    struct cache_skiplist_node *previous = follow(l, n->previous), *next = follow(l, n->link[0].next);
    bool stays = (!previous || previous->score < score) && (!next || score < next->score);
    if (!stays) {
        struct path p;
        struct cache_zset_element own = cache_skiplist_element(n);
        path_find(l, &p, before_element, &own);
        link_out(l, &p, n);
    }
    n->score = score;
    if (!stays)
        link_in(l, n);
}

static void discard(struct cache_skiplist *l, struct path *p, struct cache_skiplist_node *n)
{
    struct mr_span member = node_member(n);
    link_out(l, p, n);
    (void)cache_table_remove(&l->table, cache_table_hash(&l->table, member.data, member.length), member.data,
                             member.length);
    l->member_bytes -= member.length;
    node_free(l, n);
}

void cache_skiplist_remove(struct cache_skiplist *l, struct cache_skiplist_node *n)
{
    struct path p;
    struct cache_zset_element own = cache_skiplist_element(n);
    path_find(l, &p, before_element, &own);
    discard(l, &p, n);
}

void cache_skiplist_remove_ranks(struct cache_skiplist *l, uint64_t first, uint64_t n)
{
    struct path p;
    path_find_rank(l, &p, first);
    struct cache_skiplist_node *at;
    while (n-- && (at = follow(l, p.node[0]->link[0].next)))
        discard(l, &p, at);
}

struct cache_skiplist *cache_skiplist_copy(struct cache_store *s, const struct cache_skiplist *from)
{
    struct cache_skiplist *copy = cache_skiplist_create(s);
    const struct cache_skiplist_node *n = follow(from, from->head->link[0].next);
    for (; copy && n; n = follow(from, n->link[0].next))
        if (!cache_skiplist_insert(copy, node_member(n), n->score)) {
            cache_skiplist_free(copy);
            return NULL;
        }
    return copy;
}

void cache_skiplist_check(const struct cache_skiplist *l)
{
    uint64_t count = 0, bytes = 0;
    const struct cache_skiplist_node *previous = NULL, *n;
    for (n = follow(l, l->head->link[0].next); n; previous = n, n = follow(l, n->link[0].next), count++) {
        assert(follow(l, n->previous) == previous);
        assert(!previous || cache_zset_compare(cache_skiplist_element(previous), cache_skiplist_element(n)) < 0);
        assert(cache_skiplist_find(l, node_member(n)) == n);
        bytes += n->length;
    }
    assert(l->last == previous);
    assert(count == l->count && count == l->table.count);
    assert(bytes == l->member_bytes);
    for (unsigned level = 0; level < l->levels; level++) {
        uint64_t rank = 0;
        for (n = l->head; n; n = follow(l, n->link[level].next)) {
            rank += n->link[level].span;
            if (n->link[level].next)
                assert(cache_skiplist_at_rank(l, rank - 1) == follow(l, n->link[level].next));
        }
        assert(rank == l->count);
    }
    cache_table_check(&l->table);
}
