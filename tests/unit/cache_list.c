/* Lists: nodes and their limits, long elements, what is left when memory ends. The order of everything is the business of
 * model/cache_ordered. */
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "cache/type/encoding_limits.h"
#include "cache/type/list.h"

#define MEMORY (16u << 20)

static struct cache_store store;
static struct cache_type_limits limits;
static struct cache_list *list;
static uint64_t used_at_start;
static uint8_t bytes[64 << 10];

static int start(void **state)
{
    (void)state;
    static const uint64_t secret[2] = {1, 2};
    limits = CACHE_TYPE_LIMITS_DEFAULT;
    if (!cache_store_init(&store, MEMORY, "noeviction", secret, 3))
        return -1;
    store.type_limits = &limits;
    used_at_start = store.memory.used;
    list = cache_list_create(&store.memory);
    return list ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    cache_list_check(list);
    cache_list_free(&store, list);
    while (cache_store_background(&store))
        cache_store_turn(&store, store.now_ms + 1);
    bool clean = store.memory.used == used_at_start;
    cache_store_release(&store);
    return clean ? 0 : -1;
}

static struct cache_list_element element(size_t n)
{
    return (struct cache_list_element){{bytes, n}, NULL};
}

static bool push(size_t n)
{
    struct cache_list_element x = element(n);
    return cache_list_push(&store, list, false, &x);
}

static void node_ends_at_its_bytes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_true(push(4000)); /* two are less than 8 KiB with their lengths, three are more */
    assert_int_equal(list->nodes, 2);
    assert_int_equal(list->first->compact->count, 2);
    limits.list_max_listpack_size = -1;
    assert_true(push(100)); /* the last node has 4,000 already: 4 KiB is not passed by 100 more, nor twice */
    assert_int_equal(list->nodes, 3);
}

static void node_ends_at_its_elements(void **state)
{
    (void)state;
    limits.list_max_listpack_size = 3;
    for (unsigned i = 0; i < 7; i++)
        assert_true(push(1));
    assert_int_equal(list->nodes, 3);
    assert_int_equal(list->last->compact->count, 1);
}

static void element_larger_than_a_node_has_its_own(void **state)
{
    (void)state;
    assert_true(push(10));
    assert_true(push(12000));
    assert_true(push(10));
    assert_int_equal(list->nodes, 3);
    assert_int_equal(cache_list_get(cache_list_index(list, 1)).span.length, 12000);
}

static void element_beyond_the_small_ones_is_a_rope(void **state)
{
    (void)state;
    assert_true(push(CACHE_SMALL_MAX));
    assert_true(push(CACHE_SMALL_MAX + 1));
    assert_null(cache_list_get(cache_list_index(list, 0)).rope);
    struct cache_list_element last = cache_list_get(cache_list_last(list)), same = element(CACHE_SMALL_MAX + 1);
    assert_non_null(last.rope);
    assert_true(cache_list_element_equal(&last, &same));
    struct cache_rope *rope = cache_list_take_rope(&store, list, cache_list_last(list));
    unsigned all = UINT32_MAX;
    assert_int_equal(list->count, 1);
    assert_int_equal(rope->length, CACHE_SMALL_MAX + 1);
    assert_true(cache_rope_free_step(rope, &all));
}

static void insertion_into_a_full_node_splits_it(void **state)
{
    (void)state;
    limits.list_max_listpack_size = 4;
    struct cache_list_element x = element(1);
    for (unsigned i = 0; i < 4; i++)
        assert_true(push(2));
    assert_true(cache_list_insert(&store, list, cache_list_index(list, 2), &x));
    assert_int_equal(list->nodes, 2);
    assert_int_equal(list->first->compact->count, 3);
    assert_int_equal(cache_list_get(cache_list_index(list, 2)).span.length, 1);
}

static void index_beyond_either_end_is_nowhere(void **state)
{
    (void)state;
    assert_null(cache_list_index(list, 0).node);
    assert_true(push(1));
    assert_non_null(cache_list_index(list, 0).node);
    assert_non_null(cache_list_index(list, -1).node);
    assert_null(cache_list_index(list, 1).node);
    assert_null(cache_list_index(list, -2).node);
    assert_null(cache_list_index(list, INT64_MIN).node);
    assert_null(cache_list_index(list, INT64_MAX).node);
}

static void list_without_memory_stays_as_it_was(void **state)
{
    (void)state;
    while (push(300))
        ;
    uint64_t count = list->count;
    struct cache_list_element x = element(8000), rope = element(40000);
    assert_true(count > 1000);
    assert_false(cache_list_insert(&store, list, cache_list_index(list, 13), &x));
    assert_false(cache_list_replace(&store, list, cache_list_index(list, 13), &rope));
    assert_int_equal(list->count, count);
    cache_list_check(list);
    for (struct cache_list_at at = cache_list_first(list); at.node; at = cache_list_next(at))
        assert_int_equal(cache_list_get(at).span.length, 300);
}

static void list_is_freed_in_pieces(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++)
        assert_true(push(5000));
    unsigned budget = 5, calls = 1;
    while (!cache_list_type.free_step(&store, CACHE_LIST_NODES, list, &budget)) {
        assert_int_equal(budget, 0);
        budget = 5;
        calls++;
    }
    assert_true(calls >= 4);
    assert_non_null(list = cache_list_create(&store.memory));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(node_ends_at_its_bytes, start, stop),
        cmocka_unit_test_setup_teardown(node_ends_at_its_elements, start, stop),
        cmocka_unit_test_setup_teardown(element_larger_than_a_node_has_its_own, start, stop),
        cmocka_unit_test_setup_teardown(element_beyond_the_small_ones_is_a_rope, start, stop),
        cmocka_unit_test_setup_teardown(insertion_into_a_full_node_splits_it, start, stop),
        cmocka_unit_test_setup_teardown(index_beyond_either_end_is_nowhere, start, stop),
        cmocka_unit_test_setup_teardown(list_without_memory_stays_as_it_was, start, stop),
        cmocka_unit_test_setup_teardown(list_is_freed_in_pieces, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
