/* Sorted sets: when the encoding changes, ranks, infinities, what is left when memory ends. The order of everything is the
 * business of model/cache_ordered. */
#include "tests/support/cmocka.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cache/type/encoding_limits.h"
#include "cache/type/zset.h"

#define MEMORY (16u << 20)

static struct cache_store store;
static struct cache_type_limits limits;
static struct cache_zset zset;
static uint64_t used_at_start;

static int start(void **state)
{
    (void)state;
    static const uint64_t secret[2] = {1, 2};
    limits = CACHE_TYPE_LIMITS_DEFAULT;
    if (!cache_store_init(&store, MEMORY, "noeviction", secret, 3))
        return -1;
    store.type_limits = &limits;
    used_at_start = store.memory.used;
    return cache_zset_create(&zset, &store, 1, 1) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    cache_zset_check(&zset);
    cache_zset_free(&zset);
    bool clean = store.memory.used == used_at_start;
    cache_store_release(&store);
    return clean ? 0 : -1;
}

static struct mr_span text(const char *t)
{
    return (struct mr_span){(const uint8_t *)t, strlen(t)};
}

static enum cache_zset_change set_number(unsigned i)
{
    char member[16];
    snprintf(member, sizeof(member), "m%u", i);
    return cache_zset_set(&zset, text(member), i);
}

static void encoding_changes_with_one_member_too_many(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 128; i++)
        assert_int_equal(set_number(i), CACHE_ZSET_ADDED);
    assert_int_equal(zset.encoding, CACHE_ZSET_COMPACT);
    assert_int_equal(set_number(5), CACHE_ZSET_SAME);
    assert_int_equal(zset.encoding, CACHE_ZSET_COMPACT);
    assert_int_equal(set_number(128), CACHE_ZSET_ADDED);
    assert_int_equal(zset.encoding, CACHE_ZSET_SKIPLIST);
    assert_int_equal(cache_zset_count(&zset), 129);
}

static void encoding_changes_with_a_member_too_long(void **state)
{
    (void)state;
    char member[66] = {0};
    memset(member, 'x', 64);
    assert_int_equal(cache_zset_set(&zset, text(member), 1), CACHE_ZSET_ADDED);
    assert_int_equal(zset.encoding, CACHE_ZSET_COMPACT);
    member[64] = 'x';
    assert_int_equal(cache_zset_set(&zset, text(member), 1), CACHE_ZSET_ADDED);
    assert_int_equal(zset.encoding, CACHE_ZSET_SKIPLIST);
}

static void equal_scores_are_in_the_order_of_bytes(void **state)
{
    (void)state;
    static const char *const members[] = {"", "a", "aa", "b", "\xff"};
    for (unsigned i = 5; i-- > 0;)
        assert_int_equal(cache_zset_set(&zset, text(members[i]), 7), CACHE_ZSET_ADDED);
    for (unsigned i = 0; i < 5; i++) {
        uint64_t rank;
        assert_true(cache_zset_rank(&zset, text(members[i]), &rank));
        assert_int_equal(rank, i);
    }
}

static void infinities_are_first_and_last(void **state)
{
    (void)state;
    assert_int_equal(cache_zset_set(&zset, text("last"), INFINITY), CACHE_ZSET_ADDED);
    assert_int_equal(cache_zset_set(&zset, text("zero"), 0), CACHE_ZSET_ADDED);
    assert_int_equal(cache_zset_set(&zset, text("first"), -INFINITY), CACHE_ZSET_ADDED);
    assert_int_equal(cache_zset_get(&zset, cache_zset_at_rank(&zset, 0)).score == -INFINITY, 1);
    assert_int_equal(cache_zset_get(&zset, cache_zset_at_rank(&zset, 2)).score == INFINITY, 1);
    assert_int_equal(cache_zset_at_rank(&zset, 3), 0);
}

static void negative_zero_is_zero_in_the_compact_form(void **state)
{
    (void)state;
    double score;
    assert_int_equal(cache_zset_set(&zset, text("a"), -0.0), CACHE_ZSET_ADDED);
    assert_true(cache_zset_score(&zset, text("a"), &score));
    assert_false(signbit(score));
}

static void score_that_keeps_the_order_moves_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(set_number(i), CACHE_ZSET_ADDED);
    cache_zset_at at = cache_zset_at_rank(&zset, 100);
    assert_int_equal(cache_zset_set(&zset, text("m100"), 100.5), CACHE_ZSET_UPDATED);
    assert_int_equal(cache_zset_at_rank(&zset, 100), at);
    assert_int_equal(cache_zset_set(&zset, text("m100"), 500), CACHE_ZSET_UPDATED);
    assert_int_equal(cache_zset_at_rank(&zset, 199), at);
    cache_zset_check(&zset);
}

static void set_without_memory_stays_as_it_was(void **state)
{
    (void)state;
    unsigned n = 0;
    while (set_number(n) == CACHE_ZSET_ADDED) /* then there is no memory */
        n++;
    assert_true(n > 10000);
    assert_int_equal(cache_zset_count(&zset), n);
    cache_zset_check(&zset);
    assert_int_equal(cache_zset_set(&zset, text("m7"), 1e9), CACHE_ZSET_UPDATED); /* needs none */
}

static void change_of_encoding_without_memory_changes_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 128; i++)
        assert_int_equal(set_number(i), CACHE_ZSET_ADDED);
    for (uint64_t room = 0; zset.encoding == CACHE_ZSET_COMPACT; room += 100) {
        store.memory.limit = store.memory.used + room;
        enum cache_zset_change change = set_number(128);
        cache_zset_check(&zset);
        assert_int_equal(cache_zset_count(&zset), change == CACHE_ZSET_ADDED ? 129 : 128);
        assert_true(room < 64 << 10);
    }
    store.memory.limit = MEMORY;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(encoding_changes_with_one_member_too_many, start, stop),
        cmocka_unit_test_setup_teardown(encoding_changes_with_a_member_too_long, start, stop),
        cmocka_unit_test_setup_teardown(equal_scores_are_in_the_order_of_bytes, start, stop),
        cmocka_unit_test_setup_teardown(infinities_are_first_and_last, start, stop),
        cmocka_unit_test_setup_teardown(negative_zero_is_zero_in_the_compact_form, start, stop),
        cmocka_unit_test_setup_teardown(score_that_keeps_the_order_moves_nothing, start, stop),
        cmocka_unit_test_setup_teardown(set_without_memory_stays_as_it_was, start, stop),
        cmocka_unit_test_setup_teardown(change_of_encoding_without_memory_changes_nothing, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
