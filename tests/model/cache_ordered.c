/* Lists and sorted sets against plain sorted arrays: random operations, small limits so that encodings change and nodes are
 * split often, every invariant checked, and no byte left when they are freed. */
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "cache/type/encoding_limits.h"
#include "cache/type/list.h"
#include "cache/type/zset.h"
#include "tests/support/seed.h"

#define LISTS      40
#define ZSETS      60
#define OPERATIONS 1500
#define MODEL_MAX  4096
#define MEMORY_MAX (256u << 20)

static struct cache_store store;
static struct cache_type_limits limits;
static struct mr_random chance;
static uint64_t memory_at_start;

static uint32_t below(uint32_t bound)
{
    return mr_random_below(&chance, bound);
}

/* What was thrown away is taken apart first. */
static void assert_nothing_left(void)
{
    for (uint64_t now = store.now_ms; cache_store_background(&store);)
        cache_store_turn(&store, ++now);
    assert_int_equal(store.memory.used, memory_at_start);
}

static int start(void **state)
{
    (void)state;
    uint64_t seed = support_seed("model-cache_ordered");
    mr_random_seed(&chance, seed);
    const uint64_t secret[2] = {seed, ~seed};
    if (!cache_store_init(&store, MEMORY_MAX, "noeviction", secret, seed + 1))
        return -1;
    store.type_limits = &limits;
    memory_at_start = store.memory.used;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    assert_nothing_left();
    memory_check(&store.memory);
    cache_store_release(&store);
    return 0;
}

/* Bytes of a model's element: `length` times one letter, so that few bytes say all. */
struct text {
    uint32_t length;
    char letter;
};

static char bytes_of_text[64 << 10];

static struct mr_span span_of(struct text t)
{
    memset(bytes_of_text, t.letter, t.length);
    return (struct mr_span){(const uint8_t *)bytes_of_text, t.length};
}

static struct text random_text(void)
{
    static const uint32_t longest[] = {4, 4, 60, 60, 300, 5000, 20000, 40000};
    return (struct text){below(longest[below(below(20) ? 5 : 8)] + 1), (char)('a' + below(4))};
}

/* Lists. */

static struct text list_model[MODEL_MAX + 1];
static unsigned list_count;

static void list_model_insert(unsigned at, struct text t)
{
    memmove(list_model + at + 1, list_model + at, (list_count - at) * sizeof(*list_model));
    list_model[at] = t;
    list_count++;
}

static void list_model_erase(unsigned at, unsigned n)
{
    memmove(list_model + at, list_model + at + n, (list_count - at - n) * sizeof(*list_model));
    list_count -= n;
}

static void assert_list_element(struct cache_list_at at, struct text t)
{
    struct cache_list_element x = cache_list_get(at), own = {span_of(t), NULL};
    assert_int_equal(cache_list_element_length(&x), t.length);
    assert_true(cache_list_element_equal(&x, &own));
    assert_int_equal(x.rope != NULL, t.length > CACHE_SMALL_MAX);
}

static void assert_list(const struct cache_list *l)
{
    cache_list_check(l);
    assert_int_equal(l->count, list_count);
    struct cache_list_at at = cache_list_first(l);
    for (unsigned i = 0; i < list_count; i++, at = cache_list_next(at))
        assert_list_element(at, list_model[i]);
    assert_null(at.node);
    at = cache_list_last(l);
    for (unsigned i = list_count; i-- > 0; at = cache_list_previous(at))
        assert_int_equal(cache_list_get(at).span.length,
                         list_model[i].length > CACHE_SMALL_MAX ? 0 : list_model[i].length);
    assert_null(at.node);
}

static void list_operation(struct cache_list *l)
{
    struct text t = random_text();
    struct cache_list_element x = {span_of(t), NULL};
    unsigned at = list_count ? below(list_count) : 0, kind = below(12);
    if (kind < 4 && list_count < MODEL_MAX) {
        assert_true(cache_list_push(&store, l, kind & 1, &x));
        list_model_insert(kind & 1 ? 0 : list_count, t);
    } else if (kind < 7 && list_count && list_count < MODEL_MAX) {
        assert_true(cache_list_insert(&store, l, cache_list_index(l, at), &x));
        list_model_insert(at, t);
    } else if (kind < 9 && list_count) {
        assert_true(cache_list_replace(&store, l, cache_list_index(l, (int64_t)at - list_count), &x));
        list_model[at] = t;
    } else if (kind < 11 && list_count) {
        struct cache_list_at next = cache_list_erase(&store, l, cache_list_index(l, at));
        list_model_erase(at, 1);
        assert_int_equal(next.node != NULL, at < list_count);
        if (next.node)
            assert_list_element(next, list_model[at]);
    } else if (list_count && below(8) == 0) {
        unsigned n = below(list_count - at + 1);
        cache_list_erase_range(&store, l, at, n);
        list_model_erase(at, n);
    }
}

static void lists_are_as_arrays(void **state)
{
    (void)state;
    static const int64_t sizes[] = {-1, -2, -3, -5, 1, 5, 128};
    for (unsigned round = 0; round < LISTS; round++) {
        limits = CACHE_TYPE_LIMITS_DEFAULT;
        limits.list_max_listpack_size = sizes[below(7)];
        struct cache_list *l = cache_list_create(&store.memory);
        list_count = 0;
        for (unsigned i = 0; i < OPERATIONS; i++) {
            list_operation(l);
            if (below(50) == 0)
                assert_list(l);
        }
        assert_list(l);
        uint64_t estimate = cache_list_type.bytes(CACHE_LIST_NODES, l);
        assert_true(list_count > 64 || estimate <= store.memory.used - memory_at_start);
        struct cache_list *copy = cache_list_type.copy(&store, CACHE_LIST_NODES, l);
        unsigned budget = 0;
        for (bool gone = false; !gone; budget = 1 + below(5))
            gone = cache_list_type.free_step(&store, CACHE_LIST_NODES, l, &budget);
        assert_list(copy);
        cache_list_free(&store, copy);
        assert_nothing_left();
    }
}

/* A cost that is promised is enough: the limit is set to it, and everything finds room. */
static void list_cost_is_enough(void **state)
{
    (void)state;
    for (unsigned round = 0; round < LISTS; round++) {
        limits = CACHE_TYPE_LIMITS_DEFAULT;
        limits.list_max_listpack_size = below(2) ? -2 : 3;
        struct cache_list *l = cache_list_create(&store.memory);
        static struct text texts[500];
        uint64_t bytes = 0;
        for (unsigned i = 0; i < 500; i++) {
            texts[i] = (struct text){below(below(10) ? 50 : CACHE_SMALL_MAX), 'a'};
            bytes += texts[i].length;
        }
        store.memory.limit = store.memory.used + cache_list_cost(&store, 500, bytes, 0);
        for (unsigned i = 0; i < 500; i++) {
            struct cache_list_element x = {span_of(texts[i]), NULL};
            assert_true(cache_list_insert(
                &store, l, l->count ? cache_list_index(l, below((uint32_t)l->count)) : (struct cache_list_at){NULL, 0},
                &x));
        }
        store.memory.limit = MEMORY_MAX;
        cache_list_free(&store, l);
    }
}

/* Sorted sets. */

struct scored {
    struct text member;
    double score;
};

static struct scored zset_model[MODEL_MAX];
static unsigned zset_count;

static int scored_compare(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    if (x->member.letter != y->member.letter && x->member.length && y->member.length)
        return x->member.letter < y->member.letter ? -1 : 1;
    return (x->member.length > y->member.length) - (x->member.length < y->member.length);
}

static bool same(struct text a, struct text b)
{
    return a.length == b.length && (a.letter == b.letter || !a.length);
}

static int zset_model_find(struct text member)
{
    for (unsigned i = 0; i < zset_count; i++)
        if (same(zset_model[i].member, member))
            return (int)i;
    return -1;
}

static bool score_below(const void *bound, struct cache_zset_element x)
{
    return x.score < *(const double *)bound;
}

static void assert_zset(const struct cache_zset *z)
{
    cache_zset_check(z);
    assert_int_equal(cache_zset_count(z), zset_count);
    cache_zset_at at = cache_zset_at_rank(z, 0);
    for (unsigned i = 0; i < zset_count; i++, at = cache_zset_next(z, at)) {
        struct cache_zset_element x = cache_zset_get(z, at);
        struct mr_span own = span_of(zset_model[i].member);
        uint64_t rank;
        assert_true(x.score == zset_model[i].score);
        assert_int_equal(x.member.length, own.length);
        assert_memory_equal(x.member.data, own.data, own.length);
        assert_true(cache_zset_rank(z, own, &rank));
        assert_int_equal(rank, i);
        assert_true(at == cache_zset_at_rank(z, i));
    }
    assert_true(at == 0);
    at = zset_count ? cache_zset_at_rank(z, zset_count - 1) : 0;
    unsigned back = 0;
    for (; at; at = cache_zset_previous(z, at))
        back++;
    assert_int_equal(back, zset_count);
    double bound = (double)below(12) - 6;
    unsigned expected = 0;
    while (expected < zset_count && zset_model[expected].score < bound)
        expected++;
    assert_int_equal(cache_zset_count_while(z, score_below, &bound), expected);
}

static void zset_operation(struct cache_zset *z, uint32_t longest)
{
    struct text member = {below(longest + 1), (char)('a' + below(4))};
    static const double scales[] = {1, 1, 100, 20000, 1e9, 1e17, 1.0 / 3};
    double score = ((double)below(10) - 5) * scales[below(7)] + 0.0;
    int at = zset_model_find(member);
    unsigned kind = below(20);
    if (kind < 14 && zset_count < MODEL_MAX) {
        enum cache_zset_change change = cache_zset_set(z, span_of(member), score);
        assert_int_equal(change, at < 0                          ? CACHE_ZSET_ADDED
                                 : zset_model[at].score == score ? CACHE_ZSET_SAME
                                                                 : CACHE_ZSET_UPDATED);
        if (at < 0)
            at = (int)zset_count++;
        zset_model[at] = (struct scored){member, score};
        qsort(zset_model, zset_count, sizeof(*zset_model), scored_compare);
    } else if (kind < 19) {
        assert_int_equal(cache_zset_remove(z, span_of(member)), at >= 0);
        if (at >= 0)
            memmove(zset_model + at, zset_model + at + 1, (--zset_count - (unsigned)at) * sizeof(*zset_model));
    } else if (zset_count && below(4) == 0) {
        unsigned first = below(zset_count), n = below(6);
        cache_zset_remove_ranks(z, first, n);
        n = n < zset_count - first ? n : zset_count - first;
        memmove(zset_model + first, zset_model + first + n, (zset_count - first - n) * sizeof(*zset_model));
        zset_count -= n;
    }
}

static void zsets_are_as_sorted_arrays(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ZSETS; round++) {
        limits = CACHE_TYPE_LIMITS_DEFAULT;
        limits.zset_max_listpack_entries = below(2) ? 128 : below(8);
        uint32_t longest = below(2) ? 40 : 400;
        struct cache_zset z;
        assert_true(cache_zset_create(&z, &store, below(2) ? 1 : 1000, 1));
        zset_count = 0;
        for (unsigned i = 0; i < OPERATIONS; i++) {
            zset_operation(&z, longest);
            if (below(100) == 0)
                assert_zset(&z);
        }
        assert_zset(&z);
        assert_true(zset_count > 64 ||
                    cache_zset_type.bytes(z.encoding, z.collection) == store.memory.used - memory_at_start);
        struct cache_zset copy = z;
        copy.collection = cache_zset_type.copy(&store, z.encoding, z.collection);
        unsigned budget = 0;
        for (bool gone = false; !gone; budget = 1 + below(5))
            gone = cache_zset_type.free_step(&store, z.encoding, z.collection, &budget);
        assert_zset(&copy);
        cache_zset_free(&copy);
        assert_nothing_left();
    }
}

static void zset_cost_is_enough(void **state)
{
    (void)state;
    limits = CACHE_TYPE_LIMITS_DEFAULT;
    for (unsigned round = 0; round < ZSETS; round++) {
        struct cache_zset z;
        assert_true(cache_zset_create(&z, &store, 1, 1));
        for (unsigned total = 0, n; total < 600; total += n) {
            n = 1 + below(300);
            uint64_t bytes = (uint64_t)n * (sizeof(total) + 1 + round);
            store.memory.limit = store.memory.used + cache_zset_cost(&z, n, bytes);
            for (unsigned i = total; i < total + n; i++) {
                char member[128] = {0};
                memcpy(member + 1 + round, &i, sizeof(i));
                assert_int_equal(
                    cache_zset_set(&z, (struct mr_span){(uint8_t *)member, sizeof(i) + 1 + round}, below(9)),
                    CACHE_ZSET_ADDED);
            }
        }
        store.memory.limit = MEMORY_MAX;
        cache_zset_check(&z);
        cache_zset_free(&z);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lists_are_as_arrays, start, stop),
        cmocka_unit_test_setup_teardown(list_cost_is_enough, start, stop),
        cmocka_unit_test_setup_teardown(zsets_are_as_sorted_arrays, start, stop),
        cmocka_unit_test_setup_teardown(zset_cost_is_enough, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
