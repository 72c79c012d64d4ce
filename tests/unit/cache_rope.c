/* Ropes: bytes in and out over the edges of extents, growth by small appends, copies of what others hold, and each byte
 * accounted for, also when memory ends in the middle. */
#include "cache/store/rope.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/cmocka.h"

#define MIB          ((uint64_t)1 << 20)
#define EXTENT       ((uint64_t)CACHE_EXTENT_BYTES)
#define PATTERN_SIZE (4 * MIB)

static struct memory memory;
static uint8_t *pattern; /* no two places look alike */
static uint8_t *scratch;

static int pattern_make(void **state)
{
    (void)state;
    pattern = malloc(PATTERN_SIZE);
    scratch = malloc(PATTERN_SIZE);
    uint32_t x = 1;
    for (size_t i = 0; i < PATTERN_SIZE; i++) {
        x = x * 1664525 + 1013904223;
        pattern[i] = (uint8_t)(x >> 24);
    }
    return 0;
}

static int pattern_free(void **state)
{
    (void)state;
    free(pattern);
    free(scratch);
    return 0;
}

static struct cache_rope *start(uint64_t limit)
{
    assert_true(memory_init(&memory, 1024 * MIB, limit));
    struct cache_rope *r = cache_rope_create(&memory);
    assert_non_null(r);
    return r;
}

static void free_all(struct cache_rope *r)
{
    unsigned budget = UINT_MAX;
    assert_true(cache_rope_free_step(r, &budget));
}

static void stop(void)
{
    memory_check(&memory);
    assert_int_equal(memory.used, 0);
    assert_int_equal(memory.allocations, 0);
    memory_release(&memory);
}

/* The rope holds the first `n` bytes of the pattern, and is counted for what it says. */
static void rope_is(const struct cache_rope *r, uint64_t n)
{
    cache_rope_check(r);
    assert_int_equal(r->length, n);
    assert_true(cache_rope_equal(r, pattern, n));
    memset(scratch, 0, n);
    cache_rope_copy_out(r, 0, scratch, n);
    assert_memory_equal(scratch, pattern, n);
}

static void append_in_one_piece_takes_what_cost_says(void **state)
{
    (void)state;
    const uint64_t lengths[] = {0, 1, 100, 16384, EXTENT - 1, EXTENT, EXTENT + 1, 2 * EXTENT, 5 * EXTENT + 7, 3 * MIB};
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct cache_rope *r = start(64 * MIB);
        uint64_t expected = memory.used + cache_rope_append_cost(r, lengths[i]);
        assert_true(cache_rope_append(r, pattern, lengths[i]));
        assert_int_equal(memory.used, expected);
        assert_int_equal(memory.used, cache_rope_cost(lengths[i]));
        assert_int_equal(memory.used, cache_rope_bytes(r));
        rope_is(r, lengths[i]);
        free_all(r);
        stop();
    }
}

static void append_in_pieces_is_counted_exactly(void **state)
{
    /* Whatever the pieces: same bytes, and `used` rises by what append_cost said. */
    (void)state;
    const size_t pieces[] = {1000, 1460, 7, 16384, EXTENT - 1, EXTENT + 1, 200000};
    for (unsigned i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct cache_rope *r = start(64 * MIB);
        for (uint64_t n = 0; n + pieces[i] < 700000; n += pieces[i]) {
            uint64_t expected = memory.used + cache_rope_append_cost(r, pieces[i]);
            assert_true(cache_rope_append(r, pattern + n, pieces[i]));
            assert_int_equal(memory.used, expected);
            assert_int_equal(memory.used, cache_rope_bytes(r));
            cache_rope_check(r);
        }
        rope_is(r, r->length);
        free_all(r);
        stop();
    }
}

static void append_of_single_bytes_moves_the_last_extent_seldom(void **state)
{
    /* Doubling: growing to a full extent byte by byte moves it no more often than 16 times. */
    (void)state;
    struct cache_rope *r = start(MIB);
    const uint8_t *at = NULL;
    unsigned moves = 0;
    for (uint64_t n = 0; n < EXTENT; n++) {
        assert_true(cache_rope_append(r, pattern + n, 1));
        const uint8_t *now = cache_rope_at(r, 0, NULL).data;
        moves += now != at;
        at = now;
    }
    assert_in_range(moves, 1, 16);
    rope_is(r, EXTENT);
    free_all(r);
    stop();
}

static void append_of_null_is_zeros(void **state)
{
    (void)state;
    struct cache_rope *r = start(8 * MIB);
    assert_true(cache_rope_append(r, pattern, 10));
    assert_true(cache_rope_append(r, NULL, 200000));
    assert_true(cache_rope_append(r, pattern, 10));
    memset(scratch, 0xff, 200020);
    cache_rope_copy_out(r, 0, scratch, 200020);
    assert_memory_equal(scratch, pattern, 10);
    for (unsigned i = 0; i < 200000; i++)
        assert_int_equal(scratch[10 + i], 0);
    assert_memory_equal(scratch + 200010, pattern, 10);
    free_all(r);
    stop();
}

static void append_beyond_the_limit_changes_nothing(void **state)
{
    /* The limit is set one byte short of what the append needs, then exactly to it. */
    (void)state;
    const uint64_t before[] = {0, 500, EXTENT, 3 * EXTENT + 1}, more[] = {1, 50000, EXTENT, 20 * EXTENT};
    for (unsigned i = 0; i < 16; i++) {
        struct cache_rope *r = start(64 * MIB);
        uint64_t n = before[i / 4], m = more[i % 4];
        assert_true(cache_rope_append(r, pattern, n));
        uint64_t used = memory.used, cost = cache_rope_append_cost(r, m);
        if (cost > 0) {
            memory.limit = used + cost - 1;
            assert_false(cache_rope_append(r, pattern + n, m));
            assert_int_equal(memory.used, used);
            rope_is(r, n);
        }
        memory.limit = used + cost;
        assert_true(cache_rope_append(r, pattern + n, m));
        assert_int_equal(memory.used, memory.limit);
        rope_is(r, n + m);
        free_all(r);
        stop();
    }
}

static void append_into_a_full_region_changes_no_byte(void **state)
{
    /* The limit allows it, but pages run out midway: what was taken is given back. */
    (void)state;
    assert_true(memory_init(&memory, 8 * CACHE_ALLOC_MAX, UINT64_MAX));
    struct cache_rope *r = cache_rope_create(&memory);
    assert_false(cache_rope_append(r, pattern, 12 * EXTENT));
    rope_is(r, 0);
    assert_int_equal(memory.used, cache_rope_bytes(r));
    assert_true(cache_rope_append(r, pattern, 1000));
    assert_false(cache_rope_append(r, pattern + 1000, 12 * EXTENT));
    rope_is(r, 1000);
    assert_int_equal(memory.used, cache_rope_bytes(r));
    memory_check(&memory);
    assert_true(cache_rope_append(r, pattern + 1000, 3 * EXTENT));
    rope_is(r, 1000 + 3 * EXTENT);
    free_all(r);
    stop();
}

static void largest_value_fits_and_longer_ones_are_refused(void **state)
{
    (void)state;
    struct cache_rope *r = start(1023 * MIB);
    uint64_t most = EXTENT * CACHE_ROPE_BLOCK * CACHE_ROPE_BLOCKS;
    assert_true(cache_rope_append_cost(r, CACHE_VALUE_MAX) < 520 * MIB); /* 512 MiB cost less than 2 % more */
    assert_true(cache_rope_append_cost(r, most) < 1023 * MIB);
    assert_int_equal(cache_rope_append_cost(r, most + 1), UINT64_MAX);
    assert_false(cache_rope_append(r, NULL, most + 1));
    /* Two blocks and a bit are filled for real. */
    assert_true(cache_rope_append(r, NULL, 2100 * EXTENT));
    assert_int_equal(memory.used, cache_rope_cost(2100 * EXTENT));
    assert_int_equal(cache_rope_append_cost(r, most - 2100 * EXTENT + 1), UINT64_MAX);
    assert_int_equal(cache_rope_append_cost(r, UINT64_MAX), UINT64_MAX);
    cache_rope_check(r);
    free_all(r);
    stop();
}

static void at_names_the_rest_of_its_extent(void **state)
{
    (void)state;
    struct cache_rope *r = start(8 * MIB);
    assert_true(cache_rope_append(r, pattern, 2 * EXTENT + 5));
    struct cache_extent *first, *second;
    struct mr_span s = cache_rope_at(r, 0, &first);
    assert_int_equal(s.length, EXTENT);
    assert_ptr_equal(s.data, first->bytes);
    s = cache_rope_at(r, EXTENT - 1, &second);
    assert_int_equal(s.length, 1);
    assert_ptr_equal(first, second);
    assert_int_equal(*s.data, pattern[EXTENT - 1]);
    s = cache_rope_at(r, EXTENT, &second);
    assert_ptr_not_equal(first, second);
    s = cache_rope_at(r, 2 * EXTENT + 2, NULL);
    assert_int_equal(s.length, 3);
    assert_memory_equal(s.data, pattern + 2 * EXTENT + 2, 3);
    free_all(r);
    stop();
}

static void writable_copies_only_what_others_hold(void **state)
{
    (void)state;
    struct cache_rope *r = start(8 * MIB);
    assert_true(cache_rope_append(r, pattern, 2 * EXTENT + 100));
    struct cache_extent *held;
    struct mr_span lent = cache_rope_at(r, EXTENT, &held);
    cache_extent_hold(held);
    uint64_t used = memory.used;
    struct mr_span mine = cache_rope_writable(r, 5);
    assert_ptr_equal(mine.data, cache_rope_at(r, 5, NULL).data);
    assert_int_equal(memory.used, used);
    mine = cache_rope_writable(r, EXTENT + 10);
    assert_int_equal(mine.length, EXTENT - 10);
    assert_int_equal(memory.used, used + cache_extent_cost(EXTENT));
    ((uint8_t *)(uintptr_t)mine.data)[0] ^= 0xff;
    assert_memory_equal(lent.data, pattern + EXTENT, EXTENT); /* the peer gets what it was promised */
    assert_false(cache_rope_equal(r, pattern, r->length));
    ((uint8_t *)(uintptr_t)mine.data)[0] ^= 0xff;
    rope_is(r, 2 * EXTENT + 100);
    cache_extent_drop(held);
    assert_int_equal(memory.used, used);
    free_all(r);
    stop();
}

static void writable_without_memory_changes_nothing(void **state)
{
    (void)state;
    struct cache_rope *r = start(8 * MIB);
    assert_true(cache_rope_append(r, pattern, EXTENT));
    struct cache_extent *held;
    cache_rope_at(r, 0, &held);
    cache_extent_hold(held);
    memory.limit = memory.used + cache_extent_cost(EXTENT) - 1;
    assert_null(cache_rope_writable(r, 0).data);
    rope_is(r, EXTENT);
    memory.limit++;
    assert_non_null(cache_rope_writable(r, 0).data);
    cache_extent_drop(held);
    free_all(r);
    stop();
}

static void append_leaves_a_held_extent_alone(void **state)
{
    /* The last extent has room, but another rope has it, too: both append, neither sees the other's bytes. */
    (void)state;
    struct cache_rope *a = start(8 * MIB);
    assert_true(cache_rope_append(a, pattern, EXTENT + 10));
    struct cache_rope *b = cache_rope_share(a, &memory);
    assert_non_null(b);
    uint64_t expected = memory.used + cache_rope_append_cost(a, 50);
    assert_true(cache_rope_append(a, pattern + EXTENT + 10, 50));
    assert_int_equal(memory.used, expected);
    assert_true(cache_rope_append(b, "0123456789", 10));
    rope_is(a, EXTENT + 60);
    uint8_t tail[20];
    cache_rope_copy_out(b, EXTENT, tail, 20);
    assert_memory_equal(tail, pattern + EXTENT, 10);
    assert_memory_equal(tail + 10, "0123456789", 10);
    free_all(a);
    free_all(b);
    stop();
}

static void share_costs_no_extent_and_outlives_the_first(void **state)
{
    (void)state;
    struct cache_rope *a = start(8 * MIB);
    assert_true(cache_rope_append(a, pattern, 10 * EXTENT + 1));
    uint64_t used = memory.used;
    struct cache_rope *b = cache_rope_share(a, &memory);
    assert_in_range(memory.used - used, 1, 300);
    free_all(a);
    rope_is(b, 10 * EXTENT + 1);
    assert_int_equal(memory.used, cache_rope_bytes(b));
    /* Without room for the second rope there is none. */
    memory.limit = memory.used + memory_cost(sizeof *b);
    assert_null(cache_rope_share(b, &memory));
    assert_int_equal(memory.used, cache_rope_bytes(b));
    free_all(b);
    stop();
}

static void free_step_drops_no_more_than_its_budget(void **state)
{
    (void)state;
    struct cache_rope *r = start(8 * MIB);
    assert_true(cache_rope_append(r, pattern, 10 * EXTENT));
    unsigned budget = 4;
    assert_false(cache_rope_free_step(r, &budget));
    assert_int_equal(budget, 0);
    rope_is(r, 6 * EXTENT);
    assert_int_equal(memory.used, cache_rope_bytes(r));
    assert_false(cache_rope_free_step(r, &budget));
    budget = 7;
    assert_true(cache_rope_free_step(r, &budget));
    assert_int_equal(budget, 1);
    stop();
}

static void adopted_rope_is_counted_by_the_taker(void **state)
{
    (void)state;
    struct cache_rope *r = start(8 * MIB);
    struct memory taker;
    assert_true(memory_init(&taker, 8 * MIB, 8 * MIB));
    assert_true(cache_rope_append(r, pattern, 3 * EXTENT + 50));
    struct cache_extent *lent;
    cache_rope_at(r, EXTENT, &lent);
    cache_extent_hold(lent);
    uint64_t bytes = cache_rope_bytes(r);
    taker.limit = bytes - 1;
    assert_false(cache_rope_adopt(r, &taker));
    assert_int_equal(memory.used, bytes);
    assert_int_equal(taker.used, 0);
    rope_is(r, 3 * EXTENT + 50);
    taker.limit = bytes;
    assert_true(cache_rope_adopt(r, &taker));
    assert_int_equal(taker.used, bytes);
    assert_int_equal(memory.used, cache_extent_cost(EXTENT)); /* the one that is lent: the giver's reply drops it */
    rope_is(r, 3 * EXTENT + 50);
    cache_extent_drop(lent);
    memory_check(&memory);
    memory_check(&taker);
    free_all(r);
    assert_int_equal(taker.used, 0);
    memory_free_home(&memory, memory_foreign_take(&taker, &memory));
    memory_check(&taker);
    memory_release(&taker);
    assert_int_equal(memory.elsewhere, 0);
    stop();
}

static void adopt_into_a_full_region_changes_nothing(void **state)
{
    /* The taker's limit allows it, but its region has no page for the copies of what others hold. */
    (void)state;
    struct cache_rope *r = start(8 * MIB);
    struct memory taker;
    assert_true(memory_init(&taker, 2 * CACHE_ALLOC_MAX, UINT64_MAX));
    assert_true(cache_rope_append(r, pattern, 4 * EXTENT));
    struct cache_rope *other = cache_rope_share(r, &memory);
    uint64_t used = memory.used;
    assert_false(cache_rope_adopt(r, &taker));
    assert_int_equal(taker.used, 0);
    assert_int_equal(memory.used, used);
    memory_check(&taker);
    rope_is(r, 4 * EXTENT);
    free_all(other);
    free_all(r);
    memory_release(&taker);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(append_in_one_piece_takes_what_cost_says),
        cmocka_unit_test(append_in_pieces_is_counted_exactly),
        cmocka_unit_test(append_of_single_bytes_moves_the_last_extent_seldom),
        cmocka_unit_test(append_of_null_is_zeros),
        cmocka_unit_test(append_beyond_the_limit_changes_nothing),
        cmocka_unit_test(append_into_a_full_region_changes_no_byte),
        cmocka_unit_test(largest_value_fits_and_longer_ones_are_refused),
        cmocka_unit_test(at_names_the_rest_of_its_extent),
        cmocka_unit_test(writable_copies_only_what_others_hold),
        cmocka_unit_test(writable_without_memory_changes_nothing),
        cmocka_unit_test(append_leaves_a_held_extent_alone),
        cmocka_unit_test(share_costs_no_extent_and_outlives_the_first),
        cmocka_unit_test(free_step_drops_no_more_than_its_budget),
        cmocka_unit_test(adopted_rope_is_counted_by_the_taker),
        cmocka_unit_test(adopt_into_a_full_region_changes_nothing),
    };
    return cmocka_run_group_tests(tests, pattern_make, pattern_free);
}
