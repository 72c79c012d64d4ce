/* The memory of a shard: what is counted, limits hit to the byte, exhaustion and recovery, classes taking over each other's
 * pages, and allocations that change hands. With ASan each allocation is malloc's: then pages are not looked at. */
#include "memory/memory.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/cmocka.h"

#define PAGE UINT64_C(65536)

static struct memory memory;

static void start(uint64_t region_bytes, uint64_t limit)
{
    assert_true(memory_init(&memory, region_bytes, limit));
    memory_check(&memory);
}

static void stop(void)
{
    memory_check(&memory);
    memory_release(&memory);
    assert_null(memory.base);
}

/* Allocates until refused; slots are chained through their first bytes. */
static void *fill(size_t bytes, uint64_t *count)
{
    void *list = NULL, *p;
    for (*count = 0; (p = memory_alloc(&memory, bytes)); ++*count) {
        memset(p, 0xa5, bytes);
        memcpy(p, &list, sizeof list);
        list = p;
    }
    return list;
}

static void empty(void *list, size_t bytes)
{
    for (void *next; list; list = next) {
        memcpy(&next, list, sizeof next);
        memory_free(&memory, list, bytes);
    }
}

static void cost_covers_the_bytes_and_wastes_little(void **state)
{
    /* Every size: the cost is enough, is aligned, never falls, and up to 256 bytes wastes less than 16. */
    (void)state;
    size_t before = 0;
    for (size_t bytes = 1; bytes <= MEMORY_LARGEST; bytes++) {
        size_t cost = memory_cost(bytes);
        assert_true(cost >= bytes && cost % 16 == 0 && cost >= before);
        assert_true(bytes > 256 || cost < bytes + 16);
        assert_true(bytes > 16368 || cost <= bytes + bytes / 4 + 16);
        assert_int_equal(memory_cost(cost), cost);
        before = cost;
    }
    assert_int_equal(before, MEMORY_LARGEST);
}

static void slots_fill_a_page(void **state)
{
    /* What is left behind the last slot of a page is less than a 64th of it, whatever the class. */
    (void)state;
    for (size_t cost = 16; cost <= MEMORY_LARGEST; cost = cost < MEMORY_LARGEST ? memory_cost(cost + 1) : cost + 1)
        assert_true(MEMORY_LARGEST % cost < MEMORY_LARGEST / 64);
}

static void alloc_returns_aligned_bytes_of_ones_own(void **state)
{
    (void)state;
    start(4 << 20, 4 << 20);
    uint8_t *p[300];
    for (unsigned i = 0; i < 300; i++) {
        p[i] = memory_alloc(&memory, i + 1);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % 16, 0);
        memset(p[i], (int)i, i + 1);
        memory_check(&memory);
    }
    assert_int_equal(memory.allocations, 300);
    for (unsigned i = 0; i < 300; i++) {
        for (unsigned k = 0; k <= i; k++)
            assert_int_equal(p[i][k], (uint8_t)i);
        memory_free(&memory, p[i], i + 1);
        memory_check(&memory);
    }
    assert_int_equal(memory.used, 0);
    stop();
}

static void limit_is_reached_to_the_byte_and_never_passed(void **state)
{
    /* Ten slots fit and an eleventh does not; one that is smaller than what is left does. */
    (void)state;
    size_t cost = memory_cost(100);
    start(1 << 20, 10 * cost + 16);
    void *p[10];
    for (unsigned i = 0; i < 10; i++)
        assert_non_null(p[i] = memory_alloc(&memory, 100));
    assert_int_equal(memory_room(&memory), 16);
    assert_null(memory_alloc(&memory, 100));
    assert_null(memory_alloc(&memory, 17));
    void *small = memory_alloc(&memory, 16);
    assert_non_null(small);
    assert_int_equal(memory.used, memory.limit);
    assert_null(memory_alloc(&memory, 1));
    memory_check(&memory);
    memory_free(&memory, p[3], 100);
    assert_non_null(p[3] = memory_alloc(&memory, 100));
    assert_int_equal(memory.used_peak, memory.limit);
    for (unsigned i = 0; i < 10; i++)
        memory_free(&memory, p[i], 100);
    memory_free(&memory, small, 16);
    assert_int_equal(memory.used, 0);
    stop();
}

static void limit_below_what_is_used_refuses_until_enough_was_freed(void **state)
{
    (void)state;
    start(1 << 20, 1 << 20);
    void *a = memory_alloc(&memory, 1000), *b = memory_alloc(&memory, 1000);
    memory.limit = memory_cost(1000);
    assert_int_equal(memory_room(&memory), 0);
    assert_null(memory_alloc(&memory, 1));
    memory_free(&memory, a, 1000);
    assert_null(memory_alloc(&memory, 1));
    memory_free(&memory, b, 1000);
    assert_non_null(a = memory_alloc(&memory, 1000));
    memory_free(&memory, a, 1000);
    stop();
}

static void region_that_is_full_recovers_when_freed(void **state)
{
    /* The limit is far: it is the region that ends. */
    (void)state;
    start(8 * PAGE, UINT64_MAX);
    uint64_t first, second;
    void *list = fill(MEMORY_LARGEST, &first);
    assert_int_equal(first, 8);
    memory_check(&memory);
    empty(list, MEMORY_LARGEST);
    memory_check(&memory);
    list = fill(MEMORY_LARGEST, &second);
    assert_int_equal(second, first);
    empty(list, MEMORY_LARGEST);
    stop();
}

static void region_serves_other_classes_when_emptied(void **state)
{
    /* 100 bytes, then 5 KB, then 100 again: each time as many as a fresh region holds. */
    (void)state;
    const size_t sizes[] = {100, 5000, 16, 30000, 100};
    start(16 * PAGE, UINT64_MAX);
    for (unsigned i = 0; i < 5; i++) {
        uint64_t count;
        void *list = fill(sizes[i], &count);
        uint64_t page_slots = MEMORY_LARGEST / memory_cost(sizes[i]);
#ifndef MEMORY_MALLOC
        assert_int_equal(count, 16 * page_slots);
        assert_int_equal(memory.resident, 16 * PAGE);
#else
        assert_in_range(count, 15 * page_slots, 17 * page_slots);
#endif
        assert_int_equal(memory.used, count * memory_cost(sizes[i]));
        memory_check(&memory);
        empty(list, sizes[i]);
        assert_int_equal(memory.used, 0);
        memory_check(&memory);
    }
    stop();
}

static void resize_keeps_the_bytes_and_stays_in_place_within_a_class(void **state)
{
    (void)state;
    start(1 << 20, 1 << 20);
    uint8_t *p = memory_alloc(&memory, 33);
    for (unsigned i = 0; i < 33; i++)
        p[i] = (uint8_t)i;
#ifndef MEMORY_MALLOC
    assert_ptr_equal(memory_resize(&memory, p, 33, 48), p);
    assert_ptr_equal(memory_resize(&memory, p, 48, 33), p);
#endif
    size_t before = 33;
    for (size_t bytes = 34; bytes <= MEMORY_LARGEST; before = bytes, bytes = bytes * 3 / 2) {
        assert_non_null(p = memory_resize(&memory, p, before, bytes));
        for (unsigned i = 0; i < 33; i++)
            assert_int_equal(p[i], i);
        assert_int_equal(memory.used, memory_cost(bytes));
        memory_check(&memory);
    }
    assert_non_null(p = memory_resize(&memory, p, before, 5));
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(p[i], i);
    assert_int_equal(memory.used, 16);
    assert_int_equal(memory.allocations, 1);
    memory_free(&memory, p, 5);
    stop();
}

static void resize_at_the_limit_counts_the_difference_only(void **state)
{
    (void)state;
    start(1 << 20, 1008);
    uint8_t *p = memory_alloc(&memory, 816);
    memset(p, 7, 816);
    assert_null(memory_resize(&memory, p, 816, 1009));
    assert_int_equal(p[815], 7);
    assert_int_equal(memory.used, 816);
    assert_non_null(p = memory_resize(&memory, p, 816, 1008));
    assert_int_equal(memory.used, memory.limit);
    assert_int_equal(memory.used_peak, memory.limit);
    assert_non_null(p = memory_resize(&memory, p, 1008, 10));
    assert_int_equal(p[9], 7);
    memory_free(&memory, p, 10);
    stop();
}

static void adopted_slot_goes_home_over_the_foreign_list(void **state)
{
    /* Three slots of one region and one of another are freed by a third shard: each list goes to its own home. */
    (void)state;
    struct memory a, b;
    assert_true(memory_init(&a, 1 << 20, 1 << 20) && memory_init(&b, 1 << 20, 1 << 20));
    start(1 << 20, 300);
    void *of_a[3], *of_b = memory_alloc(&b, 50);
    for (unsigned i = 0; i < 3; i++) {
        of_a[i] = memory_alloc(&a, 20 + i);
        memory_disown(&a, 20 + i);
        assert_true(memory_adopt(&memory, 20 + i));
    }
    memory_disown(&b, 50);
    assert_true(memory_adopt(&memory, 50));
    assert_false(memory_adopt(&memory, 200)); /* 32 * 3 + 64 of 300 are taken */
    assert_int_equal(a.used, 0);
    assert_int_equal(memory.used, 3 * 32 + 64);
    memory_check(&a);
    memory_check(&memory);
    assert_null(memory_foreign_take(&memory, &a));

    memory_free(&memory, of_a[0], 20);
    memory_free(&memory, of_b, 50);
    memory_free(&memory, of_a[1], 21);
    memory_free(&memory, of_a[2], 22);
    assert_int_equal(memory.used, 0);
    assert_int_equal(memory.foreign_count, 4);
    memory_check(&memory);
    void *list = memory_foreign_take(&memory, &a);
    assert_non_null(list);
    assert_int_equal(memory.foreign_count, 1);
    memory_free_home(&a, list);
    memory_check(&a);
    assert_int_equal(a.elsewhere, 0);
    memory_free_home(&b, memory_foreign_take(&memory, &b));
    assert_int_equal(b.elsewhere, 0);
    assert_int_equal(memory.elsewhere, 0);
    assert_null(memory.foreign);
    memory_check(&b);
    memory_release(&a);
    memory_release(&b);
    stop();
}

static void adopted_slot_that_comes_back_is_freed_at_once(void **state)
{
    (void)state;
    struct memory other;
    assert_true(memory_init(&other, 1 << 20, 1 << 20));
    start(1 << 20, 1 << 20);
    void *p = memory_alloc(&memory, 500);
    memory_disown(&memory, 500);
    assert_true(memory_adopt(&other, 500));
    memory_disown(&other, 500);
    assert_true(memory_adopt(&memory, 500));
    memory_free(&memory, p, 500);
    assert_int_equal(memory.elsewhere, 0);
    assert_int_equal(other.elsewhere, 0);
    assert_null(memory.foreign);
    memory_check(&other);
    memory_release(&other);
    stop();
}

static void links_name_what_they_were_made_of(void **state)
{
    (void)state;
    start(4 * PAGE, UINT64_MAX);
    uint64_t count;
    void *list = fill(20000, &count);
    for (void *p = list; p; memcpy(&p, p, sizeof p)) {
        memory_link link = memory_link_pack(memory.base, p);
        assert_true(link != 0);
        assert_ptr_equal(memory_link_unpack(memory.base, link), p);
    }
    assert_true(memory_link_pack(memory.base, NULL) == 0);
    assert_null(memory_link_unpack(memory.base, 0));
    empty(list, 20000);
    stop();
}

static void region_beyond_links_or_the_system_is_refused(void **state)
{
    (void)state;
    struct memory m;
    assert_false(memory_init(&m, UINT64_C(1) << 36, 1));
    assert_false(memory_init(&m, UINT64_MAX, 1));
    memory_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cost_covers_the_bytes_and_wastes_little),
        cmocka_unit_test(slots_fill_a_page),
        cmocka_unit_test(alloc_returns_aligned_bytes_of_ones_own),
        cmocka_unit_test(limit_is_reached_to_the_byte_and_never_passed),
        cmocka_unit_test(limit_below_what_is_used_refuses_until_enough_was_freed),
        cmocka_unit_test(region_that_is_full_recovers_when_freed),
        cmocka_unit_test(region_serves_other_classes_when_emptied),
        cmocka_unit_test(resize_keeps_the_bytes_and_stays_in_place_within_a_class),
        cmocka_unit_test(resize_at_the_limit_counts_the_difference_only),
        cmocka_unit_test(adopted_slot_goes_home_over_the_foreign_list),
        cmocka_unit_test(adopted_slot_that_comes_back_is_freed_at_once),
        cmocka_unit_test(links_name_what_they_were_made_of),
        cmocka_unit_test(region_beyond_links_or_the_system_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
