/* Compact collections: both directions, every form of a length, growth and shrinking, memory that ends. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/type/compact.h"

static struct memory memory;
static struct cache_compact *compact;

static int start(void **state)
{
    (void)state;
    if (!memory_init(&memory, 16 << 20, 16 << 20))
        return -1;
    compact = cache_compact_create(&memory, 64);
    return compact ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    cache_compact_free(&memory, compact);
    bool clean = memory.used == 0;
    memory_check(&memory);
    memory_release(&memory);
    return clean ? 0 : -1;
}

static void append(const char *text)
{
    assert_true(cache_compact_insert(&memory, &compact, 0, text, strlen(text)));
}

static void assert_element(uint32_t at, const void *data, size_t n)
{
    struct mr_span element = cache_compact_get(compact, at);
    assert_int_equal(element.length, n);
    assert_memory_equal(element.data, data, n);
}

/* The whole content, forwards, and the same backwards. */
static void assert_elements(const char *const *texts, unsigned n)
{
    assert_int_equal(compact->count, n);
    uint32_t at = cache_compact_first(compact);
    for (unsigned i = 0; i < n; i++, at = cache_compact_next(compact, at))
        assert_element(at, texts[i], strlen(texts[i]));
    assert_int_equal(at, 0);
    at = cache_compact_last(compact);
    for (unsigned i = n; i-- > 0; at = cache_compact_previous(compact, at))
        assert_element(at, texts[i], strlen(texts[i]));
    assert_int_equal(at, 0);
}

static void empty_collection_has_no_first_and_no_last(void **state)
{
    (void)state;
    assert_elements(NULL, 0);
    assert_int_equal(cache_compact_index(compact, 0), 0);
    assert_int_equal(cache_compact_index(compact, -1), 0);
    assert_int_equal(cache_compact_find(compact, cache_compact_first(compact), 1, "", 0), 0);
}

static void elements_are_inserted_before_an_offset_or_at_the_end(void **state)
{
    (void)state;
    append("b");
    append("d");
    assert_true(cache_compact_insert(&memory, &compact, cache_compact_first(compact), "a", 1));
    assert_true(cache_compact_insert(&memory, &compact, cache_compact_last(compact), "", 0));
    assert_elements((const char *const[]){"a", "b", "", "d"}, 4);
}

static void lengths_at_the_edges_of_each_form_are_kept(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 127, 128, 300, 16383, 16384, 20000};
    uint8_t bytes[20000];
    for (unsigned i = 0; i < 8; i++) {
        memset(bytes, 'a' + (int)i, sizeof bytes);
        assert_true(cache_compact_insert(&memory, &compact, 0, bytes, lengths[i]));
    }
    uint32_t forwards = cache_compact_first(compact), backwards = cache_compact_last(compact);
    for (unsigned i = 0; i < 8; i++) {
        memset(bytes, 'a' + (int)i, sizeof bytes);
        assert_element(forwards, bytes, lengths[i]);
        memset(bytes, 'a' + 7 - (int)i, sizeof bytes);
        assert_element(backwards, bytes, lengths[7 - i]);
        forwards = cache_compact_next(compact, forwards);
        backwards = cache_compact_previous(compact, backwards);
    }
    assert_int_equal(forwards | backwards, 0);
}

static void index_counts_from_both_ends(void **state)
{
    (void)state;
    char text[8];
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "%d", i);
        append(text);
    }
    for (int i = 0; i < 100; i++) {
        int n = snprintf(text, sizeof text, "%d", i);
        assert_element(cache_compact_index(compact, i), text, (size_t)n);
        assert_int_equal(cache_compact_index(compact, i), cache_compact_index(compact, i - 100));
    }
    assert_int_equal(cache_compact_index(compact, 100), 0);
    assert_int_equal(cache_compact_index(compact, -101), 0);
    assert_int_equal(cache_compact_index(compact, INT64_MIN), 0);
    assert_int_equal(cache_compact_index(compact, INT64_MAX), 0);
}

static void find_looks_at_every_step_th_element_only(void **state)
{
    (void)state;
    append("x"), append("y"), append("y"), append("x");
    uint32_t first = cache_compact_first(compact);
    assert_int_equal(cache_compact_find(compact, first, 2, "x", 1), first);
    assert_int_equal(cache_compact_find(compact, first, 2, "y", 1), cache_compact_index(compact, 2));
    assert_int_equal(cache_compact_find(compact, cache_compact_index(compact, 1), 2, "x", 1),
                     cache_compact_index(compact, 3));
    assert_int_equal(cache_compact_find(compact, first, 1, "xy", 2), 0);
    assert_int_equal(cache_compact_find(compact, cache_compact_index(compact, 3), 2, "y", 1), 0);
}

static void replace_grows_and_shrinks_in_the_middle(void **state)
{
    (void)state;
    append("a"), append("b"), append("c");
    char longer[200];
    memset(longer, 'z', 199);
    longer[199] = 0;
    assert_true(cache_compact_replace(&memory, &compact, cache_compact_index(compact, 1), longer, 199));
    assert_elements((const char *const[]){"a", longer, "c"}, 3);
    assert_true(cache_compact_replace(&memory, &compact, cache_compact_index(compact, 1), "", 0));
    assert_elements((const char *const[]){"a", "", "c"}, 3);
}

static void erase_tells_where_the_next_element_is(void **state)
{
    (void)state;
    append("a"), append("b"), append("c"), append("d");
    uint32_t at = cache_compact_erase(&memory, &compact, cache_compact_index(compact, 1), 2);
    assert_element(at, "d", 1);
    assert_elements((const char *const[]){"a", "d"}, 2);
    assert_int_equal(cache_compact_erase(&memory, &compact, at, 5), 0);
    assert_elements((const char *const[]){"a"}, 1);
    assert_int_equal(cache_compact_erase(&memory, &compact, cache_compact_first(compact), 1), 0);
    assert_elements(NULL, 0);
}

static void erasing_most_gives_memory_back(void **state)
{
    (void)state;
    char text[1000] = {0};
    for (unsigned i = 0; i < 20; i++)
        assert_true(cache_compact_insert(&memory, &compact, 0, text, sizeof text));
    uint64_t full = memory.used;
    cache_compact_erase(&memory, &compact, cache_compact_first(compact), 18);
    assert_true(memory.used < full / 4);
    assert_int_equal(compact->count, 2);
}

static void refused_growth_leaves_everything_as_it_was(void **state)
{
    (void)state;
    append("a"), append("b");
    uint64_t used = memory.used;
    memory.limit = used;
    char text[1000] = {0};
    assert_false(cache_compact_insert(&memory, &compact, cache_compact_first(compact), text, sizeof text));
    assert_false(cache_compact_replace(&memory, &compact, cache_compact_first(compact), text, sizeof text));
    assert_elements((const char *const[]){"a", "b"}, 2);
    assert_int_equal(memory.used, used);
    memory.limit = 16 << 20;
}

static void nothing_grows_past_the_largest_allocation(void **state)
{
    (void)state;
    static const uint8_t bytes[MEMORY_LARGEST];
    assert_false(cache_compact_insert(&memory, &compact, 0, bytes, sizeof bytes));
    size_t fits = MEMORY_LARGEST - sizeof(struct cache_compact) - 8;
    assert_true(cache_compact_insert(&memory, &compact, 0, bytes, fits));
    assert_int_equal(compact->used, MEMORY_LARGEST);
    assert_false(cache_compact_insert(&memory, &compact, 0, "", 0));
    assert_int_equal(compact->count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(empty_collection_has_no_first_and_no_last, start, stop),
        cmocka_unit_test_setup_teardown(elements_are_inserted_before_an_offset_or_at_the_end, start, stop),
        cmocka_unit_test_setup_teardown(lengths_at_the_edges_of_each_form_are_kept, start, stop),
        cmocka_unit_test_setup_teardown(index_counts_from_both_ends, start, stop),
        cmocka_unit_test_setup_teardown(find_looks_at_every_step_th_element_only, start, stop),
        cmocka_unit_test_setup_teardown(replace_grows_and_shrinks_in_the_middle, start, stop),
        cmocka_unit_test_setup_teardown(erase_tells_where_the_next_element_is, start, stop),
        cmocka_unit_test_setup_teardown(erasing_most_gives_memory_back, start, stop),
        cmocka_unit_test_setup_teardown(refused_growth_leaves_everything_as_it_was, start, stop),
        cmocka_unit_test_setup_teardown(nothing_grows_past_the_largest_allocation, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
