/* Linear hashing. Bucket numbers are the low bits of the hash:
 *
 *     buckets = 2^level + split        0 .. split - 1 and 2^level .. buckets - 1   told apart by level + 1 bits
 *                                      split .. 2^level - 1                        not split yet: by level bits
 *
 * Where bucket i lies: up to SEGMENT_BUCKETS of them in one segment, which `directory` then is, sized to the next power of
 * two or one less; beyond, `directory` is a root of leaves of pointers to full segments. What is allocated follows from `buckets` alone. */
#include "cache/store/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BUCKET_SLOTS    7
#define SEGMENT_BUCKETS ((uint32_t)(MEMORY_LARGEST / sizeof(struct cache_table_bucket)))
#define LEAF_SEGMENTS   512u
#define ROOT_LEAVES     512u
#define BUCKETS_MAX     (SEGMENT_BUCKETS * LEAF_SEGMENTS * ROOT_LEAVES)

/* Items a bucket, on average: above, it grows; below, it shrinks. Far apart, so that no sequence of inserts and removes
 * moves buckets to and fro. A table of one bucket is filled to its 7 slots. */
#define LOAD_GROW   5
#define LOAD_SHRINK 2

/* Catching up when a step had to be left out for want of memory. */
#define STEPS_PER_CHANGE 2

#define POINTER_MASK ((UINT64_C(1) << 48) - 1)

struct cache_table_bucket {
    uint64_t slot[BUCKET_SLOTS]; /* 0: free */
    struct cache_table_bucket *overflow;
};
_Static_assert(sizeof(struct cache_table_bucket) == 64, "a bucket is a cache line");
_Static_assert(((SEGMENT_BUCKETS + 1) & SEGMENT_BUCKETS) == 0, "the first segment ends as a full one");

struct table_leaf {
    struct cache_table_bucket *segment[LEAF_SEGMENTS];
};

/* What `directory` is beyond one segment. */
struct table_root {
    struct table_leaf *leaf[ROOT_LEAVES];
};

/* Slots */

static inline uint64_t slot_pack(uint64_t hash, const void *item)
{
    return (hash & ~POINTER_MASK) | ((uint64_t)(uintptr_t)item & POINTER_MASK);
}

static inline void *slot_item(uint64_t slot)
{
    return (void *)(uintptr_t)(slot & POINTER_MASK);
}

static inline uint64_t item_hash(const struct cache_table *t, const void *item)
{
    struct mr_span key = t->type->key(item);
    return cache_table_hash(t, key.data, key.length);
}

/* Where buckets lie */

static inline unsigned table_level(uint32_t buckets)
{
    return 31u - (unsigned)__builtin_clz(buckets);
}

static inline uint32_t bucket_number(uint32_t buckets, uint64_t hash)
{
    uint32_t mask = (uint32_t)((UINT64_C(2) << table_level(buckets)) - 1);
    uint32_t i = (uint32_t)hash & mask;
    return i < buckets ? i : i & (mask >> 1);
}

/* Low bits of the hash that all items of bucket i share. */
static inline unsigned bucket_depth(uint32_t buckets, uint32_t i)
{
    unsigned level = table_level(buckets);
    uint32_t half = UINT32_C(1) << level;
    return level + (i >= half || i + half < buckets);
}

static inline struct cache_table_bucket *bucket_at(const struct cache_table *t, uint32_t i)
{
    if (t->buckets <= SEGMENT_BUCKETS)
        return (struct cache_table_bucket *)t->directory + i;
    const struct table_root *root = (const struct table_root *)t->directory;
    uint32_t segment = i / SEGMENT_BUCKETS;
    return root->leaf[segment / LEAF_SEGMENTS]->segment[segment % LEAF_SEGMENTS] + i % SEGMENT_BUCKETS;
}

static inline struct cache_table_bucket *bucket_of(const struct cache_table *t, uint64_t hash)
{
    return bucket_at(t, bucket_number(t->buckets, hash));
}

static uint32_t power_above(uint32_t n)
{
    return n <= 1 ? 1 : UINT32_C(2) << table_level(n - 1);
}

/* Bytes of the first segment of a table of so many buckets: 1, 2, 4, 8, 15, 31, ... 1023, which fit slots of memory. */
static size_t segment_bytes(uint32_t buckets)
{
    uint32_t capacity = buckets <= 8 ? power_above(buckets) : power_above(buckets + 1) - 1;
    return capacity * sizeof(struct cache_table_bucket);
}

#define SEGMENT_BYTES ((size_t)SEGMENT_BUCKETS * sizeof(struct cache_table_bucket))

static uint32_t segments_of(uint32_t buckets)
{
    return (buckets + SEGMENT_BUCKETS - 1) / SEGMENT_BUCKETS;
}

/* Room for one more bucket, and its opposite */

/* The first segment becomes the first of many. */
static bool directory_create(struct cache_table *t)
{
    struct table_root *root = memory_alloc(t->memory, sizeof *root);
    struct table_leaf *leaf = root ? memory_alloc(t->memory, sizeof *leaf) : NULL;
    if (!leaf) {
        if (root)
            memory_free(t->memory, root, sizeof *root);
        return false;
    }
    leaf->segment[0] = (struct cache_table_bucket *)t->directory;
    root->leaf[0] = leaf;
    t->directory = (struct cache_table_directory *)root;
    return true;
}

static void directory_free(struct cache_table *t)
{
    struct table_root *root = (struct table_root *)t->directory;
    t->directory = (struct cache_table_directory *)root->leaf[0]->segment[0];
    memory_free(t->memory, root->leaf[0], sizeof *root->leaf[0]);
    memory_free(t->memory, root, sizeof *root);
}

/* Makes segment number `segment` and, when it is the first of its leaf, the leaf. */
static bool leaf_add(struct cache_table *t, uint32_t segment)
{
    struct table_root *root = (struct table_root *)t->directory;
    struct table_leaf **leaf = &root->leaf[segment / LEAF_SEGMENTS];
    uint32_t place = segment % LEAF_SEGMENTS;
    void *added = memory_alloc(t->memory, SEGMENT_BYTES);
    if (!added)
        return false;
    if (!place && !(*leaf = memory_alloc(t->memory, sizeof **leaf))) {
        memory_free(t->memory, added, SEGMENT_BYTES);
        return false;
    }
    (*leaf)->segment[place] = added;
    return true;
}

static bool segment_add(struct cache_table *t)
{
    uint32_t segment = t->buckets / SEGMENT_BUCKETS;
    if (segment > 1)
        return leaf_add(t, segment);
    if (!directory_create(t))
        return false;
    if (leaf_add(t, segment))
        return true;
    directory_free(t);
    return false;
}

/* The last segment, with nothing in it any more. */
static void segment_remove(struct cache_table *t, uint32_t segment)
{
    struct table_root *root = (struct table_root *)t->directory;
    struct table_leaf *leaf = root->leaf[segment / LEAF_SEGMENTS];
    uint32_t place = segment % LEAF_SEGMENTS;
    memory_free(t->memory, leaf->segment[place], SEGMENT_BYTES);
    if (!place)
        memory_free(t->memory, leaf, sizeof *leaf);
}

/* Room for bucket number `buckets`. */
static bool bucket_room(struct cache_table *t)
{
    if (t->buckets >= BUCKETS_MAX)
        return false;
    if (t->buckets >= SEGMENT_BUCKETS)
        return t->buckets % SEGMENT_BUCKETS || segment_add(t);
    size_t now = segment_bytes(t->buckets), then = segment_bytes(t->buckets + 1);
    if (now == then)
        return true;
    void *grown = memory_resize(t->memory, t->directory, now, then);
    if (!grown)
        return false;
    t->directory = grown;
    return true;
}

/* The last bucket is empty and goes; `smaller` is what the first segment moves into, NULL: it stays. */
static void bucket_give_back(struct cache_table *t, void *smaller)
{
    uint32_t last = t->buckets - 1;
    if (smaller) {
        memcpy(smaller, t->directory, last * sizeof(struct cache_table_bucket));
        memory_free(t->memory, t->directory, segment_bytes(t->buckets));
        t->directory = smaller;
    } else if (last >= SEGMENT_BUCKETS && last % SEGMENT_BUCKETS == 0) {
        segment_remove(t, last / SEGMENT_BUCKETS);
        if (last == SEGMENT_BUCKETS)
            directory_free(t);
    }
    t->buckets = last;
}

/* Chains: a bucket and its overflow buckets */

static struct cache_table_bucket *overflow_create(struct cache_table *t)
{
    struct cache_table_bucket *b = memory_alloc(t->memory, sizeof *b);
    if (b) {
        memset(b, 0, sizeof *b);
        t->overflows++;
    }
    return b;
}

static void overflow_free(struct cache_table *t, struct cache_table_bucket *b)
{
    memory_free(t->memory, b, sizeof *b);
    t->overflows--;
}

/* Puts a slot into the chain; the spare buckets are taken before memory is asked. False: no memory. */
static bool chain_add(struct cache_table *t, struct cache_table_bucket *b, uint64_t slot,
                      struct cache_table_bucket **spare)
{
    for (;; b = b->overflow) {
        for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
            if (!b->slot[i]) {
                b->slot[i] = slot;
                return true;
            }
        }
        if (!b->overflow)
            break;
    }
    if (spare && *spare) {
        b->overflow = *spare;
        *spare = b->overflow->overflow;
        memset(b->overflow, 0, sizeof *b);
    } else if (!(b->overflow = overflow_create(t))) {
        return false;
    }
    b->overflow->slot[0] = slot;
    return true;
}

static unsigned chain_count(const struct cache_table_bucket *b, unsigned *buckets)
{
    unsigned count = 0;
    for (*buckets = 0; b; b = b->overflow, (*buckets)++)
        for (unsigned i = 0; i < BUCKET_SLOTS; i++)
            count += b->slot[i] != 0;
    return count;
}

static bool bucket_empty(const struct cache_table_bucket *b)
{
    uint64_t any = 0;
    for (unsigned i = 0; i < BUCKET_SLOTS; i++)
        any |= b->slot[i];
    return !any;
}

/* Overflow buckets with nothing in them go. */
static void chain_trim(struct cache_table *t, struct cache_table_bucket *b)
{
    while (b->overflow) {
        struct cache_table_bucket *next = b->overflow;
        if (bucket_empty(next)) {
            b->overflow = next->overflow;
            overflow_free(t, next);
        } else {
            b = next;
        }
    }
}

static void spare_free(struct cache_table *t, struct cache_table_bucket *spare)
{
    while (spare) {
        struct cache_table_bucket *next = spare->overflow;
        overflow_free(t, spare);
        spare = next;
    }
}

/* Growth and shrinking, one bucket */

/* Places the items of a bucket that was emptied. */
static void slots_divide(struct cache_table *t, const uint64_t slots[BUCKET_SLOTS], struct cache_table_bucket *low,
                         struct cache_table_bucket *high, uint64_t bit, struct cache_table_bucket **spare)
{
    for (unsigned i = 0; i < BUCKET_SLOTS; i++)
        __builtin_prefetch(slot_item(slots[i]));
    for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
        if (!slots[i])
            continue;
        bool added = chain_add(t, item_hash(t, slot_item(slots[i])) & bit ? high : low, slots[i], spare);
        assert(added);
    }
}

/* Bucket `from` is divided by bit `bit` of the hashes; half goes to `to`. Each overflow bucket is emptied before its items
 * are placed, and used again: two chains of c items need together no more of them than one chain did. So this cannot fail. */
static void bucket_divide(struct cache_table *t, struct cache_table_bucket *from, struct cache_table_bucket *to,
                          uint64_t bit)
{
    uint64_t slots[BUCKET_SLOTS];
    struct cache_table_bucket *spare = NULL, *chain = from->overflow;
    memcpy(slots, from->slot, sizeof slots);
    memset(from, 0, sizeof *from);
    memset(to, 0, sizeof *to);
    slots_divide(t, slots, from, to, bit, &spare);
    while (chain) {
        struct cache_table_bucket *next = chain->overflow;
        memcpy(slots, chain->slot, sizeof slots);
        chain->overflow = spare;
        spare = chain;
        slots_divide(t, slots, from, to, bit, &spare);
        chain = next;
    }
    spare_free(t, spare);
}

static bool table_grow(struct cache_table *t)
{
    if (!bucket_room(t))
        return false;
    uint32_t level = UINT32_C(1) << table_level(t->buckets), from = t->buckets - level, to = t->buckets++;
    bucket_divide(t, bucket_at(t, from), bucket_at(t, to), level);
    return true;
}

/* The last bucket goes back into the one that it was divided from, when their chains hold all without more memory. */
static bool table_shrink(struct cache_table *t)
{
    uint32_t last = t->buckets - 1;
    struct cache_table_bucket *from = bucket_at(t, last);
    struct cache_table_bucket *to = bucket_at(t, last - (UINT32_C(1) << table_level(last)));
    unsigned from_buckets, to_buckets;
    unsigned items = chain_count(from, &from_buckets) + chain_count(to, &to_buckets);
    if (items > (from_buckets + to_buckets - 1) * BUCKET_SLOTS)
        return false;
    void *smaller = NULL;
    if (last < SEGMENT_BUCKETS && segment_bytes(last) != segment_bytes(t->buckets)) {
        smaller = memory_alloc(t->memory, segment_bytes(last));
        if (!smaller)
            return false;
    }
    struct cache_table_bucket *tail = to;
    while (tail->overflow)
        tail = tail->overflow;
    tail->overflow = from->overflow;
    for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
        bool added = !from->slot[i] || chain_add(t, to, from->slot[i], NULL);
        assert(added);
    }
    bucket_give_back(t, smaller);
    return true;
}

static void table_adapt_up(struct cache_table *t)
{
    for (unsigned i = 0; i < STEPS_PER_CHANGE && t->count > (uint64_t)t->buckets * LOAD_GROW + 2; i++)
        if (!table_grow(t))
            return;
}

/* Nothing is in it: no memory at all. Segments beyond the first are there only if merging was held up. */
static void table_empty(struct cache_table *t)
{
    while (t->buckets > SEGMENT_BUCKETS)
        bucket_give_back(t, NULL);
    assert(!t->overflows);
    memory_free(t->memory, t->directory, segment_bytes(t->buckets));
    t->directory = NULL;
    t->buckets = 0;
}

static void table_adapt_down(struct cache_table *t)
{
    for (unsigned i = 0; i < STEPS_PER_CHANGE && t->buckets > 1 && t->count < (uint64_t)t->buckets * LOAD_SHRINK; i++)
        if (!table_shrink(t))
            break;
    if (!t->count)
        table_empty(t);
}

/* Public */

void cache_table_init(struct cache_table *t, struct memory *m, const struct cache_table_type *type,
                      const uint64_t secret[2])
{
    *t = (struct cache_table){.memory = m, .type = type, .secret = secret};
}

void cache_table_prefetch(const struct cache_table *t, uint64_t hash)
{
    if (t->buckets)
        __builtin_prefetch(bucket_of(t, hash));
}

/* A bit for each slot with the tag of the hash; free slots may be among them. */
static inline unsigned bucket_match(const struct cache_table_bucket *b, uint64_t hash)
{
    unsigned match = 0;
    for (unsigned i = 0; i < BUCKET_SLOTS; i++)
        match |= (unsigned)((b->slot[i] ^ hash) <= POINTER_MASK) << i;
    return match;
}

static uint64_t *slot_find(const struct cache_table *t, uint64_t hash, const void *key, size_t n)
{
    if (!t->buckets)
        return NULL;
    uint64_t tag = hash & ~POINTER_MASK;
    for (struct cache_table_bucket *b = bucket_of(t, hash); b; b = b->overflow) {
        for (unsigned match = bucket_match(b, tag); match; match &= match - 1) {
            uint64_t *slot = &b->slot[__builtin_ctz(match)];
            if (!*slot)
                continue;
            struct mr_span own = t->type->key(slot_item(*slot));
            if (own.length == n && !memcmp(own.data, key, n))
                return slot;
        }
    }
    return NULL;
}

void *cache_table_find(const struct cache_table *t, uint64_t hash, const void *key, size_t n)
{
    const uint64_t *slot = slot_find(t, hash, key, n);
    return slot ? slot_item(*slot) : NULL;
}

bool cache_table_insert(struct cache_table *t, uint64_t hash, void *item)
{
    assert(!t->freeing && !t->scanning && item && ((uint64_t)(uintptr_t)item & ~POINTER_MASK) == 0);
    if (!t->buckets) {
        struct cache_table_bucket *first = memory_alloc(t->memory, segment_bytes(1));
        if (!first)
            return false;
        memset(first, 0, sizeof *first);
        t->directory = (struct cache_table_directory *)first;
        t->buckets = 1;
    }
    t->count++;
    table_adapt_up(t);
    if (chain_add(t, bucket_of(t, hash), slot_pack(hash, item), NULL))
        return true;
    t->count--;
    return false;
}

void *cache_table_remove(struct cache_table *t, uint64_t hash, const void *key, size_t n)
{
    assert(!t->freeing);
    uint64_t *slot = slot_find(t, hash, key, n);
    if (!slot)
        return NULL;
    void *item = slot_item(*slot);
    *slot = 0;
    t->count--;
    if (!t->scanning) {
        chain_trim(t, bucket_of(t, hash));
        table_adapt_down(t);
    }
    return item;
}

void cache_table_replace(struct cache_table *t, uint64_t hash, const void *old, void *item)
{
    uint64_t sought = slot_pack(hash, old);
    for (struct cache_table_bucket *b = bucket_of(t, hash); b; b = b->overflow) {
        for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
            if (b->slot[i] == sought) {
                b->slot[i] = slot_pack(hash, item);
                return;
            }
        }
    }
    assert(!"the item is in its table");
}

/* Bytes that the buckets of a table lie in, without overflows. */
static uint64_t structure_bytes(uint32_t buckets)
{
    if (!buckets)
        return 0;
    if (buckets <= SEGMENT_BUCKETS)
        return memory_cost(segment_bytes(buckets));
    uint64_t segments = segments_of(buckets), leaves = (segments + LEAF_SEGMENTS - 1) / LEAF_SEGMENTS;
    return memory_cost(sizeof(struct table_root)) + leaves * memory_cost(sizeof(struct table_leaf)) +
           segments * memory_cost(SEGMENT_BYTES);
}

uint64_t cache_table_insert_cost(const struct cache_table *t, uint64_t n)
{
    uint64_t least = (t->count + n + LOAD_GROW - 3) / LOAD_GROW, most = (uint64_t)t->buckets + STEPS_PER_CHANGE * n;
    uint64_t buckets = least < most ? least : most;
    uint64_t cost = n * memory_cost(sizeof(struct cache_table_bucket));
    if (buckets < 1)
        buckets = 1;
    if (buckets > BUCKETS_MAX)
        buckets = BUCKETS_MAX;
    uint64_t now = structure_bytes(t->buckets), then = structure_bytes((uint32_t)buckets);
    if (then <= now)
        return cost;
    /* While the first segment grows, the smaller one is there, too. */
    return cost + then - (t->buckets < SEGMENT_BUCKETS ? 0 : now);
}

/* Scanning */

static uint64_t bits_reversed(uint64_t x)
{
    x = ((x >> 1) & 0x5555555555555555u) | ((x & 0x5555555555555555u) << 1);
    x = ((x >> 2) & 0x3333333333333333u) | ((x & 0x3333333333333333u) << 2);
    x = ((x >> 4) & 0x0f0f0f0f0f0f0f0fu) | ((x & 0x0f0f0f0f0f0f0f0fu) << 4);
    return __builtin_bswap64(x);
}

/* The begin of the range behind bucket `i`, of which the cursor is a position; 0 behind the last. */
static uint64_t cursor_next(uint64_t cursor, unsigned depth)
{
    if (!depth)
        return 0;
    uint64_t range = bits_reversed(cursor) >> (64 - depth);
    return bits_reversed((range + 1) << (64 - depth)); /* the last one + 1 is shifted out */
}

uint64_t cache_table_scan(const struct cache_table *table, uint64_t cursor, void (*each)(void *item, void *argument),
                          void *argument)
{
    struct cache_table *t =
        (struct cache_table *)(uintptr_t)table; /* `each` may remove: what it leaves is tidied here */
    if (!t->buckets)
        return 0;
    uint32_t number = bucket_number(t->buckets, cursor);
    uint64_t next = cursor_next(cursor, bucket_depth(t->buckets, number)), before = t->count;
    bool nested = t->scanning;
    t->scanning = true;
    struct cache_table_bucket *first = bucket_at(t, number);
    for (struct cache_table_bucket *b = first; b; b = b->overflow)
        for (unsigned i = 0; i < BUCKET_SLOTS; i++)
            if (b->slot[i])
                each(slot_item(b->slot[i]), argument);
    t->scanning = nested;
    if (!nested && t->count != before) {
        chain_trim(t, first);
        table_adapt_down(t);
    }
    return next;
}

void cache_table_each(const struct cache_table *t, void (*each)(void *item, void *argument), void *argument)
{
    for (uint32_t i = 0; i < t->buckets; i++)
        for (struct cache_table_bucket *b = bucket_at(t, i); b; b = b->overflow)
            for (unsigned j = 0; j < BUCKET_SLOTS; j++)
                if (b->slot[j])
                    each(slot_item(b->slot[j]), argument);
}

static void *chain_item(const struct cache_table_bucket *b, unsigned n)
{
    for (; b; b = b->overflow)
        for (unsigned i = 0; i < BUCKET_SLOTS; i++)
            if (b->slot[i] && !n--)
                return slot_item(b->slot[i]);
    return NULL;
}

/* A random bucket, and in it one of twice as many places as it has slots: most are hit in the third try, and an item of a
 * full bucket is as likely as one that has its bucket for itself. */
#define RANDOM_PLACES (2 * BUCKET_SLOTS)
#define RANDOM_TRIES  64

void *cache_table_random(const struct cache_table *t, struct mr_random *random)
{
    if (!t->count)
        return NULL;
    for (unsigned i = 0; i < RANDOM_TRIES; i++) {
        uint32_t number = mr_random_below(random, t->buckets), place = mr_random_below(random, RANDOM_PLACES);
        unsigned buckets, items;
        const struct cache_table_bucket *b = bucket_at(t, number);
        items = chain_count(b, &buckets);
        if (items > RANDOM_PLACES)
            place = mr_random_below(random, items);
        if (place < items)
            return chain_item(b, place);
    }
    for (uint32_t i = mr_random_below(random, t->buckets);; i = i + 1 < t->buckets ? i + 1 : 0) {
        void *item = chain_item(bucket_at(t, i), 0);
        if (item)
            return item;
    }
}

/* Taking apart */

/* The items of one bucket, each for one of the budget, then its overflow buckets. False: the budget ended before. */
static bool chain_free(struct cache_table *t, struct cache_table_bucket *b, unsigned *budget,
                       void (*free_item)(void *item, void *argument), void *argument)
{
    for (struct cache_table_bucket *at = b; at; at = at->overflow) {
        for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
            if (!at->slot[i])
                continue;
            if (!*budget)
                return false;
            --*budget;
            void *item = slot_item(at->slot[i]);
            at->slot[i] = 0;
            t->count--;
            free_item(item, argument);
        }
    }
    spare_free(t, b->overflow);
    b->overflow = NULL;
    return true;
}

bool cache_table_free_step(struct cache_table *t, unsigned *budget, void (*free_item)(void *item, void *argument),
                           void *argument)
{
    if (!t->freeing) {
        t->freeing = true;
        t->left = t->buckets;
    }
    while (t->left) {
        if (!*budget || !chain_free(t, bucket_at(t, t->left - 1), budget, free_item, argument))
            return false;
        if (*budget) /* an empty bucket is work, too */
            --*budget;
        t->left--;
        if (t->left >= SEGMENT_BUCKETS && t->left % SEGMENT_BUCKETS == 0)
            segment_remove(t, t->left / SEGMENT_BUCKETS);
    }
    assert(!t->count && !t->overflows);
    if (t->buckets > SEGMENT_BUCKETS) {
        directory_free(t);
        memory_free(t->memory, t->directory, SEGMENT_BYTES);
    } else if (t->buckets) {
        memory_free(t->memory, t->directory, segment_bytes(t->buckets));
    }
    t->directory = NULL;
    t->buckets = 0;
    return true;
}

uint64_t cache_table_bytes(const struct cache_table *t)
{
    return structure_bytes(t->buckets) + t->overflows * (uint64_t)memory_cost(sizeof(struct cache_table_bucket));
}

void cache_table_check(const struct cache_table *t)
{
    uint64_t count = 0;
    uint32_t overflows = 0;
    assert((t->buckets == 0) == (t->directory == NULL));
    for (uint32_t i = 0; i < t->buckets; i++) {
        for (const struct cache_table_bucket *b = bucket_at(t, i), *first = b; b; b = b->overflow) {
            overflows += b != first;
            assert(b == first || !bucket_empty(b));
            for (unsigned j = 0; j < BUCKET_SLOTS; j++) {
                if (!b->slot[j])
                    continue;
                uint64_t hash = item_hash(t, slot_item(b->slot[j]));
                assert(bucket_number(t->buckets, hash) == i && (b->slot[j] & ~POINTER_MASK) == (hash & ~POINTER_MASK));
                count++;
            }
        }
    }
    assert(count == t->count && overflows == t->overflows);
}
