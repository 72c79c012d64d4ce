/* Sorted sets: what is the same for both encodings, and the compact one. */
#include "cache/type/zset.h"

#include <assert.h>
#include <string.h>

#include "cache/type/compact.h"
#include "cache/type/encoding_limits.h"
#include "cache/type/skiplist.h"

#define COMPACT_BYTES_MAX (UINT32_C(32) << 10) /* whatever the limits say: it moves when it grows */

static struct cache_compact *compact_of(const struct cache_zset *z)
{
    return z->collection;
}

static struct cache_skiplist *skiplist_of(const struct cache_zset *z)
{
    return z->collection;
}

/* The entry hears where the collection is now. */
static void put_back(struct cache_zset *z)
{
    if (!z->entry)
        return;
    z->entry->encoding = z->encoding;
    cache_entry_value(z->entry)->collection = z->collection;
}

struct cache_zset cache_zset_of(struct cache_store *s, struct cache_entry *e)
{
    return (struct cache_zset){
        .store = s, .entry = e, .encoding = e->encoding, .collection = cache_entry_value(e)->collection};
}

bool cache_zset_create(struct cache_zset *z, struct cache_store *s, uint64_t members_expected, uint64_t longest_bytes)
{
    const struct cache_type_limits *limits = cache_type_limits_of(s);
    bool small =
        members_expected <= limits->zset_max_listpack_entries && longest_bytes <= limits->zset_max_listpack_value;
    *z = (struct cache_zset){.store = s, .encoding = small ? CACHE_ZSET_COMPACT : CACHE_ZSET_SKIPLIST};
    z->collection = small ? (void *)cache_compact_create(&s->memory, 1) : (void *)cache_skiplist_create(s);
    return z->collection;
}

void cache_zset_free(struct cache_zset *z)
{
    if (z->encoding == CACHE_ZSET_COMPACT)
        cache_compact_free(&z->store->memory, compact_of(z));
    else
        cache_skiplist_free(skiplist_of(z));
    z->collection = NULL;
}

uint64_t cache_zset_count(const struct cache_zset *z)
{
    return z->encoding == CACHE_ZSET_COMPACT ? compact_of(z)->count / 2 : skiplist_of(z)->count;
}

uint64_t cache_zset_member_bytes(const struct cache_zset *z)
{
    return z->encoding == CACHE_ZSET_COMPACT ? compact_of(z)->used : skiplist_of(z)->member_bytes;
}

/* Of a compact one of so many members and bytes that gets some more. */
static uint64_t compact_cost(const struct cache_store *s, uint64_t count, uint64_t used, uint64_t members,
                             uint64_t bytes)
{
    const struct cache_type_limits *limits = cache_type_limits_of(s);
    uint64_t grown = used + bytes + members * (uint64_t)(2 * sizeof(uint32_t) + sizeof(double) + 2) + 64;
    uint64_t lies_twice = 2 * (grown < COMPACT_BYTES_MAX ? grown : COMPACT_BYTES_MAX);
    uint64_t cost = lies_twice + lies_twice / 4;
    bool stays = count + members <= limits->zset_max_listpack_entries && bytes <= limits->zset_max_listpack_value &&
                 grown <= COMPACT_BYTES_MAX;
    return stays ? cost : cost + cache_skiplist_new_cost(count + members, used + bytes);
}

uint64_t cache_zset_cost(const struct cache_zset *z, uint64_t members, uint64_t bytes)
{
    if (z->encoding == CACHE_ZSET_SKIPLIST)
        return cache_skiplist_insert_cost(skiplist_of(z), members, bytes);
    return compact_cost(z->store, cache_zset_count(z), compact_of(z)->used, members, bytes);
}

uint64_t cache_zset_new_cost(const struct cache_store *s, uint64_t members, uint64_t bytes)
{
    return compact_cost(s, 0, sizeof(struct cache_compact), members, bytes);
}

/* Compact: pairs in order. */

static uint32_t pair_next(const struct cache_compact *c, uint32_t at)
{
    return cache_compact_next(c, cache_compact_next(c, at));
}

/* A score takes 1, 2 or 4 bytes when it is such an integer, else the 8 of a double: its length says which. A negative zero
 * becomes zero, as in a listpack of Redis. */
struct score_bytes {
    uint8_t bytes[sizeof(double)];
    uint8_t length;
};

static struct score_bytes score_pack(double score)
{
    struct score_bytes packed = {.length = sizeof(score)};
    memcpy(packed.bytes, &score, sizeof(score));
    if (!(score >= INT32_MIN && score <= INT32_MAX) || score != (int32_t)score)
        return packed;
    int32_t whole = (int32_t)score; /* the low bytes come first */
    packed.length = whole == (int8_t)whole ? 1 : whole == (int16_t)whole ? 2 : 4;
    for (unsigned i = 0; i < packed.length; i++)
        packed.bytes[i] = (uint8_t)((uint32_t)whole >> 8 * i);
    return packed;
}

static double score_unpack(struct mr_span packed)
{
    const uint8_t *b = packed.data;
    double score;
    switch (packed.length) {
    case 1:
        return (int8_t)b[0];
    case 2:
        return (int16_t)(b[0] | b[1] << 8);
    case 4:
        return (int32_t)(b[0] | b[1] << 8 | b[2] << 16 | (uint32_t)b[3] << 24);
    default:
        memcpy(&score, b, sizeof(score));
        return score;
    }
}

static struct cache_zset_element pair_get(const struct cache_compact *c, uint32_t at)
{
    struct cache_zset_element x = {.member = cache_compact_get(c, at)};
    x.score = score_unpack(cache_compact_get(c, cache_compact_next(c, at)));
    return x;
}

static uint32_t pair_find(const struct cache_compact *c, struct mr_span member)
{
    return c->count ? cache_compact_find(c, cache_compact_first(c), 2, member.data, member.length) : 0;
}

/* Where the first pair lies that `below` does not hold for, and how many are before it. 0: the end. */
static uint32_t pair_seek(const struct cache_compact *c, bool (*below)(const void *bound, struct cache_zset_element x),
                          const void *bound, uint64_t *rank)
{
    uint32_t at = cache_compact_first(c);
    for (*rank = 0; at && below(bound, pair_get(c, at)); at = pair_next(c, at))
        ++*rank;
    return at;
}

static bool before_element(const void *bound, struct cache_zset_element x)
{
    return cache_zset_compare(x, *(const struct cache_zset_element *)bound) < 0;
}

/* At most. */
static uint32_t pair_bytes(struct mr_span member)
{
    return (uint32_t)(cache_compact_element_bytes(member.length) + cache_compact_element_bytes(sizeof(double)));
}

/* Into its place in the order; *place is the offset. False: no memory, nothing changed. */
static bool pair_insert(struct cache_zset *z, struct cache_zset_element x, uint32_t *place)
{
    struct memory *m = &z->store->memory;
    struct cache_compact *c = compact_of(z);
    uint64_t rank;
    uint32_t at = pair_seek(c, before_element, &x, &rank);
    *place = at ? at : c->used;
    bool done = cache_compact_insert(m, &c, at, x.member.data, x.member.length);
    if (done) {
        uint32_t behind = *place + (uint32_t)cache_compact_element_bytes(x.member.length);
        struct score_bytes score = score_pack(x.score);
        done = cache_compact_insert(m, &c, at ? behind : 0, score.bytes, score.length);
        if (!done)
            (void)cache_compact_erase(m, &c, *place, 1);
    }
    z->collection = c;
    put_back(z);
    return done;
}

static void pair_erase(struct cache_zset *z, uint32_t at, uint64_t pairs)
{
    struct cache_compact *c = compact_of(z);
    (void)cache_compact_erase(&z->store->memory, &c, at, (unsigned)pairs * 2);
    z->collection = c;
    put_back(z);
}

/* The new pair comes first, so that the old one stays when there is no memory. */
static enum cache_zset_change pair_update(struct cache_zset *z, uint32_t old, struct cache_zset_element x)
{
    uint32_t before_used = compact_of(z)->used, place;
    struct cache_zset_element before = pair_get(compact_of(z), old);
    if (before.score == x.score)
        return CACHE_ZSET_SAME;
    if (!pair_insert(z, x, &place))
        return CACHE_ZSET_NO_MEMORY;
    pair_erase(z, place <= old ? old + compact_of(z)->used - before_used : old, 1);
    return CACHE_ZSET_UPDATED;
}

static bool fits_compact(const struct cache_zset *z, struct mr_span member)
{
    const struct cache_type_limits *limits = cache_type_limits_of(z->store);
    return cache_zset_count(z) < limits->zset_max_listpack_entries &&
           member.length <= limits->zset_max_listpack_value &&
           compact_of(z)->used + pair_bytes(member) <= COMPACT_BYTES_MAX;
}

/* False: no memory, nothing changed. */
static bool become_skiplist(struct cache_zset *z)
{
    struct cache_compact *c = compact_of(z);
    struct cache_skiplist *l = cache_skiplist_create(z->store);
    if (!l)
        return false;
    for (uint32_t at = cache_compact_first(c); at; at = pair_next(c, at)) {
        struct cache_zset_element x = pair_get(c, at);
        if (!cache_skiplist_insert(l, x.member, x.score)) {
            cache_skiplist_free(l);
            return false;
        }
    }
    cache_compact_free(&z->store->memory, c);
    z->encoding = CACHE_ZSET_SKIPLIST;
    z->collection = l;
    put_back(z);
    return true;
}

/* Either encoding. */

bool cache_zset_score(const struct cache_zset *z, struct mr_span member, double *score)
{
    if (z->encoding == CACHE_ZSET_COMPACT) {
        uint32_t at = pair_find(compact_of(z), member);
        if (at)
            *score = pair_get(compact_of(z), at).score;
        return at;
    }
    const struct cache_skiplist_node *n = cache_skiplist_find(skiplist_of(z), member);
    if (n)
        *score = n->score;
    return n;
}

bool cache_zset_rank(const struct cache_zset *z, struct mr_span member, uint64_t *rank)
{
    struct cache_zset_element x = {.member = member};
    if (!cache_zset_score(z, member, &x.score))
        return false;
    *rank = cache_zset_count_while(z, before_element, &x);
    return true;
}

static enum cache_zset_change skiplist_set(struct cache_skiplist *l, struct mr_span member, double score)
{
    struct cache_skiplist_node *n = cache_skiplist_find(l, member);
    if (!n)
        return cache_skiplist_insert(l, member, score) ? CACHE_ZSET_ADDED : CACHE_ZSET_NO_MEMORY;
    if (n->score == score)
        return CACHE_ZSET_SAME;
    cache_skiplist_set_score(l, n, score);
    return CACHE_ZSET_UPDATED;
}

enum cache_zset_change cache_zset_set(struct cache_zset *z, struct mr_span member, double score)
{
    if (z->encoding == CACHE_ZSET_COMPACT) {
        struct cache_zset_element x = {member, score};
        uint32_t at = pair_find(compact_of(z), member);
        if (at)
            return pair_update(z, at, x);
        if (fits_compact(z, member))
            return pair_insert(z, x, &at) ? CACHE_ZSET_ADDED : CACHE_ZSET_NO_MEMORY;
        if (!become_skiplist(z))
            return CACHE_ZSET_NO_MEMORY;
    }
    return skiplist_set(skiplist_of(z), member, score);
}

bool cache_zset_remove(struct cache_zset *z, struct mr_span member)
{
    if (z->encoding == CACHE_ZSET_COMPACT) {
        uint32_t at = pair_find(compact_of(z), member);
        if (at)
            pair_erase(z, at, 1);
        return at;
    }
    struct cache_skiplist_node *n = cache_skiplist_find(skiplist_of(z), member);
    if (n)
        cache_skiplist_remove(skiplist_of(z), n);
    return n;
}

void cache_zset_remove_ranks(struct cache_zset *z, uint64_t first, uint64_t n)
{
    uint64_t count = cache_zset_count(z);
    if (first >= count || !n)
        return;
    if (n > count - first)
        n = count - first;
    if (z->encoding == CACHE_ZSET_COMPACT)
        pair_erase(z, (uint32_t)cache_zset_at_rank(z, first), n);
    else
        cache_skiplist_remove_ranks(skiplist_of(z), first, n);
}

cache_zset_at cache_zset_at_rank(const struct cache_zset *z, uint64_t rank)
{
    if (rank >= cache_zset_count(z))
        return 0;
    if (z->encoding == CACHE_ZSET_COMPACT)
        return cache_compact_index(compact_of(z), (int64_t)rank * 2);
    return (cache_zset_at)cache_skiplist_at_rank(skiplist_of(z), rank);
}

cache_zset_at cache_zset_next(const struct cache_zset *z, cache_zset_at at)
{
    if (z->encoding == CACHE_ZSET_COMPACT)
        return pair_next(compact_of(z), (uint32_t)at);
    return (cache_zset_at)cache_skiplist_next(skiplist_of(z), (const struct cache_skiplist_node *)at);
}

cache_zset_at cache_zset_previous(const struct cache_zset *z, cache_zset_at at)
{
    if (z->encoding == CACHE_ZSET_SKIPLIST)
        return (cache_zset_at)cache_skiplist_previous(skiplist_of(z), (const struct cache_skiplist_node *)at);
    uint32_t score = cache_compact_previous(compact_of(z), (uint32_t)at);
    return score ? cache_compact_previous(compact_of(z), score) : 0;
}

struct cache_zset_element cache_zset_get(const struct cache_zset *z, cache_zset_at at)
{
    if (z->encoding == CACHE_ZSET_COMPACT)
        return pair_get(compact_of(z), (uint32_t)at);
    return cache_skiplist_element((const struct cache_skiplist_node *)at);
}

uint64_t cache_zset_count_while(const struct cache_zset *z,
                                bool (*below)(const void *bound, struct cache_zset_element x), const void *bound)
{
    if (z->encoding == CACHE_ZSET_SKIPLIST)
        return cache_skiplist_count_while(skiplist_of(z), below, bound);
    uint64_t rank;
    (void)pair_seek(compact_of(z), below, bound, &rank);
    return rank;
}

const struct cache_table *cache_zset_table(const struct cache_zset *z)
{
    return &skiplist_of(z)->table;
}

struct cache_zset_element cache_zset_item(const void *item)
{
    return cache_skiplist_element(item);
}

void cache_zset_check(const struct cache_zset *z)
{
    if (z->encoding == CACHE_ZSET_SKIPLIST) {
        cache_skiplist_check(skiplist_of(z));
        return;
    }
    const struct cache_compact *c = compact_of(z);
    assert(c->count % 2 == 0);
    uint32_t next;
    for (uint32_t at = cache_compact_first(c); at; at = next) {
        next = pair_next(c, at);
        assert(!next || cache_zset_compare(pair_get(c, at), pair_get(c, next)) < 0);
    }
}

/* The type. */

static bool free_step(struct cache_store *s, unsigned encoding, void *collection, unsigned *budget)
{
    if (encoding == CACHE_ZSET_SKIPLIST)
        return cache_skiplist_free_step(collection, budget);
    cache_compact_free(&s->memory, collection);
    *budget -= *budget > 0;
    return true;
}

static uint64_t length(unsigned encoding, const void *collection)
{
    return encoding == CACHE_ZSET_SKIPLIST ? ((const struct cache_skiplist *)collection)->count
                                           : ((const struct cache_compact *)collection)->count / 2;
}

static uint64_t bytes(unsigned encoding, const void *collection)
{
    return encoding == CACHE_ZSET_SKIPLIST ? cache_skiplist_bytes(collection)
                                           : memory_cost(((const struct cache_compact *)collection)->capacity);
}

static void *copy_zset(struct cache_store *s, unsigned encoding, const void *collection)
{
    if (encoding == CACHE_ZSET_SKIPLIST)
        return cache_skiplist_copy(s, collection);
    const struct cache_compact *c = collection;
    struct cache_compact *copy = cache_compact_create(&s->memory, c->used);
    if (copy)
        cache_compact_copy(copy, c);
    return copy;
}

static const char *encoding_name(const struct cache_entry *e)
{
    return e->encoding == CACHE_ZSET_SKIPLIST ? "skiplist" : "listpack";
}

const struct cache_collection_type cache_zset_type = {
    .name = "zset",
    .bytes = bytes,
    .length = length,
    .encoding_name = encoding_name,
    .free_step = free_step,
    .copy = copy_zset,
};
