/* When entries expire or become due: one heap for all queues of a worker, four ways, ordered by time. An entry knows its position, so that it
 * leaves in O(log n) when it is delivered. The heap lies in blocks: memory comes in pieces, and goes back. */
#include <assert.h>

#include "queue/core/queue_state.h"

#define BLOCK_ITEMS 2048u
#define BLOCKS_MAX  8000u /* 16 million entries that wait for a time; a put beyond fails as one without memory */
#define SLOT_BITS   6
#define RUN_MAX     512u /* of one turn */
#define TIME_MAX_MS (UINT64_MAX >> SLOT_BITS)

struct heap_item {
    uint64_t key; /* milliseconds << 6 | slot of the leaf */
    struct tree_leaf *leaf;
};

struct entry_heap {
    uint64_t count;
    unsigned blocks;
    struct heap_item *block[BLOCKS_MAX];
};
_Static_assert(sizeof(struct entry_heap) <= MEMORY_LARGEST, "one allocation");

static struct heap_item *item_at(const struct entry_heap *h, uint64_t i)
{
    return &h->block[i / BLOCK_ITEMS][i % BLOCK_ITEMS];
}

static struct queue_entry *item_entry(const struct heap_item *item)
{
    return &item->leaf->entries[item->key % TREE_WAYS];
}

static uint64_t item_id(const struct heap_item *item)
{
    return entry_id(item->leaf->priority, item->leaf->number * TREE_WAYS + item->key % TREE_WAYS);
}

/* Of the same millisecond who is further ahead in its queue is first: dead letters keep the order of their queue. */
static bool item_before(const struct heap_item *a, const struct heap_item *b)
{
    bool same_ms = a->key >> SLOT_BITS == b->key >> SLOT_BITS;
    return same_ms && a->leaf->number != b->leaf->number ? a->leaf->number < b->leaf->number : a->key < b->key;
}

static void item_put(struct entry_heap *h, uint64_t i, struct heap_item item)
{
    *item_at(h, i) = item;
    item_entry(&item)->link = (memory_link)(i + 1);
}

static void sift_up(struct entry_heap *h, uint64_t i, struct heap_item item)
{
    for (; i; i = (i - 1) / 4) {
        const struct heap_item *parent = item_at(h, (i - 1) / 4);
        if (!item_before(&item, parent))
            break;
        item_put(h, i, *parent);
    }
    item_put(h, i, item);
}

static void sift_down(struct entry_heap *h, uint64_t i, struct heap_item item)
{
    for (;;) {
        uint64_t least = 0, first = 4 * i + 1;
        for (uint64_t c = first; c < first + 4 && c < h->count; c++)
            if (!least || item_before(item_at(h, c), item_at(h, least)))
                least = c;
        if (!least || !item_before(item_at(h, least), &item))
            break;
        item_put(h, i, *item_at(h, least));
        i = least;
    }
    item_put(h, i, item);
}

bool queue_timer_add(struct queue_set *set, struct tree_leaf *leaf, unsigned slot)
{
    struct entry_heap *h = set->heap;
    const struct queue_entry *e = &leaf->entries[slot];
    uint64_t ms = e->expires_ms < TIME_MAX_MS ? e->expires_ms : TIME_MAX_MS;
    if (h->count == (uint64_t)h->blocks * BLOCK_ITEMS) {
        struct heap_item *block =
            h->blocks < BLOCKS_MAX ? memory_alloc(&set->broker->memory, BLOCK_ITEMS * sizeof *block) : NULL;
        if (!block)
            return false;
        h->block[h->blocks++] = block;
    }
    sift_up(h, h->count++, (struct heap_item){ms << SLOT_BITS | slot, leaf});
    return true;
}

void queue_timer_remove(struct queue_set *set, struct queue_entry *e)
{
    struct entry_heap *h = set->heap;
    uint64_t i = (uint64_t)e->link - 1;
    assert(i < h->count && item_entry(item_at(h, i)) == e);
    struct heap_item last = *item_at(h, --h->count);
    e->link = 0;
    if (i < h->count) {
        if (i && item_before(&last, item_at(h, (i - 1) / 4)))
            sift_up(h, i, last);
        else
            sift_down(h, i, last);
    }
    if (h->blocks >= 2 && h->count <= (uint64_t)(h->blocks - 2) * BLOCK_ITEMS)
        memory_free(&set->broker->memory, h->block[--h->blocks], BLOCK_ITEMS * sizeof *h->block[0]);
}

static uint64_t first_ms(const struct entry_heap *h)
{
    return item_at(h, 0)->key >> SLOT_BITS;
}

/* The wheel counts from its own zero; a millisecond of Unix time has come when broker_unix_ms says so. */
void queue_timer_arm(struct queue_set *set)
{
    struct broker *b = set->broker;
    if (set->stopped || !set->heap->count) {
        mr_timer_cancel(b->worker, &set->timer);
        return;
    }
    uint64_t ms = first_ms(set->heap);
    int64_t deadline = ms < (uint64_t)INT64_MAX / 2000000 ? (int64_t)ms * 1000000 - b->unix_offset_ns : INT64_MAX / 2;
    if (mr_timer_armed(&set->timer) && ms == set->timer_ms)
        return;
    set->timer_ms = ms;
    mr_timer_set(b->worker, &set->timer, deadline > 0 ? (mr_time)deadline : 0);
}

void queue_timer_run(struct queue_set *set)
{
    struct entry_heap *h = set->heap;
    uint64_t now_ms = broker_unix_ms(set->broker);
    for (unsigned n = 0; h->count && first_ms(h) <= now_ms; n++) {
        const struct heap_item *item = item_at(h, 0);
        struct queue *q = item->leaf->queue;
        struct queue_entry *e = item_entry(item);
        uint64_t id = item_id(item);
        if (n == RUN_MAX || (e->flags & ENTRY_AT_ONCE && q->working)) {
            queue_set_work(set); /* a consumer may still take it: the queue was not through with its turn */
            break;
        }
        if (q->ended)
            queue_entry_free(q, id, e);
        else if (e->state == ENTRY_DELAYED)
            queue_entry_due(q, id, e);
        else
            queue_entry_die(q, id, e, REASON_EXPIRED);
    }
    queue_timer_arm(set);
}

static void timer_expired(struct mr_worker *w, struct mr_timer *t)
{
    (void)w;
    queue_set_work(t->context);
}

bool queue_timer_start(struct queue_set *set)
{
    mr_timer_init(&set->timer, timer_expired, set);
    set->heap = memory_alloc(&set->broker->memory, sizeof *set->heap);
    if (set->heap)
        set->heap->count = set->heap->blocks = 0;
    return set->heap != NULL;
}

void queue_timer_release(struct queue_set *set)
{
    struct memory *memory = &set->broker->memory;
    while (set->heap->blocks)
        memory_free(memory, set->heap->block[--set->heap->blocks], BLOCK_ITEMS * sizeof *set->heap->block[0]);
    memory_free(memory, set->heap, sizeof *set->heap);
}

void queue_timer_check(const struct queue_set *set)
{
    const struct entry_heap *h = set->heap;
    for (uint64_t i = 0; i < h->count; i++) {
        const struct heap_item *item = item_at(h, i);
        const struct queue_entry *e = item_entry(item);
        assert(!i || !item_before(item, item_at(h, (i - 1) / 4)));
        assert((uint64_t)e->link == i + 1 && (e->state == ENTRY_READY || e->state == ENTRY_DELAYED));
        assert(item->key >> SLOT_BITS == (e->expires_ms < TIME_MAX_MS ? e->expires_ms : TIME_MAX_MS));
    }
}
