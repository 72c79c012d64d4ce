/* A lane: the entries of one priority by their sequence, in leaves of 64 under nodes of 64 children. A path exists only where entries do, so
 * one message that nobody acknowledges keeps one leaf and its path, however many pass by. Bits of what is ready go up to the root: the
 * next ready entry is a walk down, whatever lies between. */
#include <assert.h>
#include <string.h>

#include "queue/core/queue_state.h"

#define HEIGHT_MAX 9 /* 50 bits of leaf numbers */

struct path {
    struct tree_node *node[HEIGHT_MAX + 1]; /* by height; [0] is not used */
    struct tree_leaf *leaf;
};

static unsigned way(uint64_t number, unsigned height)
{
    return (unsigned)(number >> (height - 1) * TREE_BITS) & (TREE_WAYS - 1);
}

static bool covers(unsigned height, uint64_t number)
{
    return number >> height * TREE_BITS == 0;
}

static void *take(struct queue *q, size_t bytes)
{
    void *p = memory_alloc(&q->broker->memory, bytes);
    if (p)
        q->structure_memory += memory_cost(bytes);
    return p;
}

static void give(struct queue *q, void *p, size_t bytes)
{
    q->structure_memory -= memory_cost(bytes);
    memory_free(&q->broker->memory, p, bytes);
}

static struct tree_node *node_create(struct queue *q)
{
    struct tree_node *node = take(q, sizeof *node);
    if (node)
        node->present = node->ready = 0; /* a child is looked at only where its bit is set */
    return node;
}

/* -- the way down ---------------------------------------------------------------------------------------------------------- */

/* How far down the path to leaf `number` exists: true, all of it. */
static bool path_find(const struct queue_lane *lane, uint64_t number, struct path *path)
{
    *path = (struct path){.leaf = NULL};
    if (!lane->root || !covers(lane->height, number))
        return false;
    void *at = lane->root;
    for (unsigned h = lane->height; h; h--) {
        path->node[h] = at;
        if (!(path->node[h]->present >> way(number, h) & 1))
            return false;
        at = path->node[h]->child[way(number, h)];
    }
    path->leaf = at;
    return path->leaf->number == number;
}

struct tree_leaf *lane_leaf(const struct queue *q, uint64_t id)
{
    unsigned priority = entry_priority(id);
    uint64_t number = entry_sequence(id) >> TREE_BITS;
    if (priority >= q->lane_count)
        return NULL;
    const struct queue_lane *lane = &q->lanes[priority];
    if (lane->tail && lane->tail->number == number)
        return lane->tail;
    if (lane->last && lane->last->number == number)
        return lane->last;
    if (lane->head && lane->head->number == number)
        return lane->head;
    if (!lane->root || !covers(lane->height, number))
        return NULL;
    void *at = lane->root;
    for (unsigned h = lane->height; h; h--) {
        const struct tree_node *node = at;
        if (!(node->present >> way(number, h) & 1))
            return NULL;
        at = node->child[way(number, h)];
    }
    return ((struct tree_leaf *)at)->number == number ? at : NULL;
}

/* -- growing and shrinking --------------------------------------------------------------------------------------------------- */

/* Nodes above the root until it covers `number`; an empty tree begins as high as it must. */
static bool grow_up(struct queue *q, struct queue_lane *lane, uint64_t number)
{
    if (!lane->root) {
        for (lane->height = 0; !covers(lane->height, number);)
            lane->height++;
        return true;
    }
    while (!covers(lane->height, number)) {
        struct tree_node *above = node_create(q);
        if (!above)
            return false;
        const struct tree_leaf *leaf = lane->root;
        const struct tree_node *node = lane->root;
        /* A lone leaf at height 0 has number 0: a tree covers what it holds. */
        above->present = 1;
        above->ready = (lane->height ? node->ready : leaf->ready) != 0;
        above->child[0] = lane->root;
        lane->root = above;
        lane->height++;
    }
    return true;
}

static struct tree_leaf *leaf_create(struct queue *q, unsigned priority, uint64_t number)
{
    struct tree_leaf *leaf = take(q, sizeof *leaf);
    if (!leaf)
        return NULL;
    leaf->present = leaf->ready = 0;
    leaf->number = number;
    leaf->queue = q;
    leaf->priority = (uint8_t)priority;
    return leaf;
}

/* A leaf with the nodes that its path lacks: all of them, or none. */
static struct tree_leaf *leaf_make(struct queue *q, unsigned priority, uint64_t number)
{
    struct queue_lane *lane = &q->lanes[priority];
    struct path path;
    if (!grow_up(q, lane, number))
        return NULL;
    path_find(lane, number, &path);
    struct tree_leaf *leaf = leaf_create(q, priority, number);
    void *below = leaf;
    unsigned h = 1;
    for (; leaf && h <= lane->height && !path.node[h]; h++) {
        if (!(path.node[h] = node_create(q)))
            break;
        path.node[h]->present = UINT64_C(1) << way(number, h);
        path.node[h]->child[way(number, h)] = below;
        below = path.node[h];
    }
    if (!leaf || (h <= lane->height && !path.node[h])) {
        while (--h)
            give(q, path.node[h], sizeof *path.node[h]);
        if (leaf)
            give(q, leaf, sizeof *leaf);
        return NULL;
    }
    if (h > lane->height) {
        lane->root = below;
    } else {
        path.node[h]->present |= UINT64_C(1) << way(number, h);
        path.node[h]->child[way(number, h)] = below;
    }
    return leaf;
}

/* A leaf that is empty goes, with the nodes that had nothing else below. */
static void leaf_drop(struct queue *q, struct queue_lane *lane, struct tree_leaf *leaf)
{
    uint64_t number = leaf->number;
    struct path path;
    path_find(lane, number, &path);
    assert(path.leaf == leaf);
    if (lane->tail == leaf)
        lane->tail = NULL;
    if (lane->head == leaf)
        lane->head = NULL;
    if (lane->last == leaf)
        lane->last = NULL;
    give(q, leaf, sizeof *leaf);
    for (unsigned h = 1; h <= lane->height; h++) {
        path.node[h]->present &= ~(UINT64_C(1) << way(number, h));
        if (path.node[h]->present)
            return;
        give(q, path.node[h], sizeof *path.node[h]);
    }
    lane->root = NULL;
}

struct queue_entry *lane_add(struct queue *q, unsigned priority, uint64_t sequence)
{
    struct queue_lane *lane = &q->lanes[priority];
    unsigned slot = sequence % TREE_WAYS;
    struct tree_leaf *leaf = lane_leaf(q, entry_id(priority, sequence));
    if (!leaf && !(leaf = leaf_make(q, priority, sequence >> TREE_BITS)))
        return NULL;
    struct tree_leaf *before = lane->tail;
    if (!before || before->number <= leaf->number) {
        lane->tail = leaf;
        if (before && before != leaf && !before->present)
            leaf_drop(q, lane, before); /* it was kept for what would come */
    }
    leaf->present |= UINT64_C(1) << slot;
    memset(&leaf->entries[slot], 0, sizeof leaf->entries[slot]);
    return &leaf->entries[slot];
}

void lane_remove(struct queue *q, uint64_t id)
{
    struct queue_lane *lane = &q->lanes[entry_priority(id)];
    struct tree_leaf *leaf = lane_leaf(q, id);
    uint64_t bit = UINT64_C(1) << entry_sequence(id) % TREE_WAYS;
    assert(leaf && leaf->present & bit && !(leaf->ready & bit));
    leaf->present &= ~bit;
    leaf->entries[entry_sequence(id) % TREE_WAYS].state = ENTRY_NONE;
    if (!leaf->present && leaf != lane->tail)
        leaf_drop(q, lane, leaf);
}

void lane_trim(struct queue *q)
{
    for (unsigned i = 0; i < q->lane_count; i++)
        if (q->lanes[i].tail && !q->lanes[i].tail->present)
            leaf_drop(q, &q->lanes[i], q->lanes[i].tail);
}

/* -- what is ready ------------------------------------------------------------------------------------------------------------ */

static void ready_up(struct queue_lane *lane, const struct tree_leaf *leaf)
{
    struct path path;
    bool ready = leaf->ready != 0;
    path_find(lane, leaf->number, &path);
    for (unsigned h = 1; h <= lane->height; h++) {
        uint64_t bit = UINT64_C(1) << way(leaf->number, h), was = path.node[h]->ready;
        path.node[h]->ready = ready ? was | bit : was & ~bit;
        if ((was != 0) == (path.node[h]->ready != 0))
            return;
    }
}

/* The first leaf from `number` on below `at`; only the digits of `number` below `height` count. */
static struct tree_leaf *leaf_from(void *at, unsigned height, uint64_t number, bool ready_only)
{
    if (!height)
        return at;
    const struct tree_node *node = at;
    unsigned first = way(number, height);
    uint64_t bits = (ready_only ? node->ready : node->present) & UINT64_MAX << first;
    for (; bits; bits &= bits - 1) {
        unsigned i = (unsigned)__builtin_ctzll(bits);
        struct tree_leaf *leaf = leaf_from(node->child[i], height - 1, i == first ? number : 0, ready_only);
        if (leaf)
            return leaf;
    }
    return NULL;
}

void lane_ready_set(struct queue *q, uint64_t id, bool ready)
{
    unsigned priority = entry_priority(id);
    struct queue_lane *lane = &q->lanes[priority];
    struct tree_leaf *leaf = lane_leaf(q, id);
    uint64_t bit = UINT64_C(1) << entry_sequence(id) % TREE_WAYS, was = leaf->ready;
    assert(leaf->present & bit && !(was & bit) == ready);
    leaf->ready ^= bit;
    if (!ready)
        lane->last = leaf;
    lane->ready += ready ? 1 : UINT64_MAX;
    if ((was != 0) != (leaf->ready != 0))
        ready_up(lane, leaf);
    if (ready && (!lane->head || leaf->number < lane->head->number))
        lane->head = leaf;
    else if (lane->head == leaf && !leaf->ready)
        lane->head = lane->ready ? leaf_from(lane->root, lane->height, 0, true) : NULL;
    uint64_t lane_bit = UINT64_C(1) << priority % 64;
    if (lane->ready)
        q->lanes_ready[priority / 64] |= lane_bit;
    else
        q->lanes_ready[priority / 64] &= ~lane_bit;
}

static uint64_t bits_of(const struct tree_leaf *leaf, bool ready_only)
{
    return ready_only ? leaf->ready : leaf->present;
}

uint64_t lane_first(const struct queue *q, unsigned priority, uint64_t from, bool ready_only)
{
    const struct queue_lane *lane = &q->lanes[priority];
    uint64_t number = from >> TREE_BITS, bits = 0;
    struct tree_leaf *leaf = lane->head;
    if (!lane->root || (ready_only && !lane->ready))
        return 0;
    if (ready_only && !from) /* the head is known whenever something is ready */
        return entry_id(priority, leaf->number * TREE_WAYS + (unsigned)__builtin_ctzll(leaf->ready));
    for (; !bits; number = leaf->number + 1) {
        leaf = covers(lane->height, number) ? leaf_from(lane->root, lane->height, number, ready_only) : NULL;
        if (!leaf)
            return 0;
        bits = bits_of(leaf, ready_only);
        if (leaf->number == from >> TREE_BITS)
            bits &= UINT64_MAX << from % TREE_WAYS;
    }
    return entry_id(priority, leaf->number * TREE_WAYS + (unsigned)__builtin_ctzll(bits));
}

static void tree_free(struct queue *q, void *at, unsigned height)
{
    if (!height) {
        give(q, at, sizeof(struct tree_leaf));
        return;
    }
    struct tree_node *node = at;
    for (uint64_t bits = node->present; bits; bits &= bits - 1)
        tree_free(q, node->child[__builtin_ctzll(bits)], height - 1);
    give(q, node, sizeof *node);
}

void lane_free(struct queue *q, unsigned priority)
{
    struct queue_lane *lane = &q->lanes[priority];
    if (lane->root)
        tree_free(q, lane->root, lane->height);
    lane->root = NULL;
    lane->tail = lane->head = lane->last = NULL;
}
