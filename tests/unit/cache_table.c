/* The hash table of the cache: its hash, its sizes, its cursors, and what it does without memory. */
#include "tests/support/cmocka.h"

#include <string.h>

#include "cache/store/table.h"

#define ITEMS 20000

struct fixture {
    struct memory memory;
    struct cache_table table;
};

static const uint64_t secret[2] = {1, 2};
static uint64_t keys[ITEMS];

static struct mr_span key_of(const void *item)
{
    return (struct mr_span){item, sizeof(uint64_t)};
}

static const struct cache_table_type type = {key_of};

static int setup(void **state)
{
    static struct fixture f;
    assert_true(memory_init(&f.memory, 64 << 20, UINT64_MAX));
    cache_table_init(&f.table, &f.memory, &type, secret);
    for (uint64_t i = 0; i < ITEMS; i++)
        keys[i] = i;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct cache_table *t = &f->table;
    while (t->count)
        cache_table_remove(t, cache_table_hash(t, &keys[t->count - 1], 8), &keys[t->count - 1], 8);
    assert_int_equal(f->memory.used, 0);
    memory_release(&f->memory);
    return 0;
}

static bool insert(struct cache_table *t, uint64_t i)
{
    return cache_table_insert(t, cache_table_hash(t, &keys[i], 8), &keys[i]);
}

static void *find(struct cache_table *t, uint64_t i)
{
    return cache_table_find(t, cache_table_hash(t, &i, 8), &i, 8);
}

/* Values computed by another implementation of SipHash-1-3 with the key 00 01 .. 0f over the bytes 00 01 .. n - 1. */
static void hash_known_input_known_value(void **state)
{
    static const struct {
        size_t n;
        uint64_t hash;
    } cases[] = {
        {0, 0xabac0158050fc4dc}, {1, 0xc9f49bf37d57ca93},  {7, 0xd3927d989bb11140},  {8, 0x369095118d299a8e},
        {9, 0x25a48eb36c063de4}, {15, 0xd320d86d2a519956}, {16, 0xcc4fdd1a7d908b66}, {63, 0x9d199062b7bbb3a8},
    };
    static const uint64_t counting[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    uint8_t bytes[64];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(cache_hash(counting, bytes, cases[i].n), cases[i].hash);
}

/* A hash of a few fields has one bucket and nothing else; an empty table has nothing at all. */
static void small_filled_takes_one_bucket(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->memory.used, 0);
    for (uint64_t i = 0; i < 7; i++)
        assert_true(insert(&f->table, i));
    assert_int_equal(f->table.buckets, 1);
    assert_int_equal(f->memory.used, memory_cost(64));
    assert_int_equal(cache_table_bytes(&f->table), f->memory.used);
}

/* Without memory an insert fails and changes nothing; the items stay and can be found. */
static void full_insert_fails_and_nothing_changes(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 0; i < 7; i++)
        assert_true(insert(&f->table, i));
    f->memory.limit = f->memory.used;
    assert_false(insert(&f->table, 7));
    assert_int_equal(f->table.count, 7);
    cache_table_check(&f->table);
    for (uint64_t i = 0; i < 7; i++)
        assert_ptr_equal(find(&f->table, i), &keys[i]);
    assert_null(find(&f->table, 7));
    f->memory.limit = UINT64_MAX;
}

/* What insert_cost says is enough, at every size up to several segments. */
static void growing_insert_within_its_cost(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 0; i < ITEMS; i++) {
        uint64_t before = f->memory.used;
        f->memory.limit = before + cache_table_insert_cost(&f->table, 1);
        assert_true(insert(&f->table, i));
    }
    cache_table_check(&f->table);
    assert_true(f->table.buckets >= (ITEMS - 2) / 5);
    f->memory.limit = UINT64_MAX;
}

/* The index takes less than 18 bytes an item when it is large. */
static void large_counted_takes_few_bytes(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 0; i < ITEMS; i++)
        assert_true(insert(&f->table, i));
    assert_true(cache_table_bytes(&f->table) < ITEMS * 18 + 65536);
}

/* Removing never takes memory, not even for a moment, and in the end gives all of it back. */
static void large_emptied_without_room_gives_all_back(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 0; i < ITEMS; i++)
        assert_true(insert(&f->table, i));
    for (uint64_t i = 0; i < ITEMS; i++) {
        f->memory.limit = f->memory.used;
        assert_ptr_equal(cache_table_remove(&f->table, cache_table_hash(&f->table, &i, 8), &i, 8), &keys[i]);
    }
    assert_int_equal(f->memory.used, 0);
    f->memory.limit = UINT64_MAX;
}

struct seen {
    uint64_t calls, last;
    bool item[ITEMS];
};

static void see(void *item, void *argument)
{
    struct seen *seen = argument;
    seen->calls++;
    seen->item[*(uint64_t *)item] = true;
}

/* A table that does not change is scanned with each item once, with cursors below twice its buckets. */
static void unchanged_scanned_each_item_once(void **state)
{
    struct fixture *f = *state;
    static struct seen seen;
    for (uint64_t i = 0; i < ITEMS; i++)
        assert_true(insert(&f->table, i));
    uint64_t cursor = 0;
    do {
        cursor = cache_table_scan(&f->table, cursor, see, &seen);
        assert_true(cursor < UINT64_C(2) * f->table.buckets);
    } while (cursor);
    assert_int_equal(seen.calls, ITEMS);
    for (uint64_t i = 0; i < ITEMS; i++)
        assert_true(seen.item[i]);
}

/* Any cursor a peer invents is a position. */
static void any_cursor_scanned_goes_on(void **state)
{
    struct fixture *f = *state;
    static struct seen seen;
    for (uint64_t i = 0; i < 100; i++)
        assert_true(insert(&f->table, i));
    static const uint64_t cursors[] = {1, 77, UINT32_MAX, UINT64_MAX, UINT64_C(1) << 63};
    for (size_t i = 0; i < sizeof cursors / sizeof cursors[0]; i++) {
        unsigned calls = 0;
        uint64_t cursor = cursors[i];
        do {
            cursor = cache_table_scan(&f->table, cursor, see, &seen);
            assert_true(++calls <= f->table.buckets);
        } while (cursor);
    }
}

/* Every item of a table is drawn about as often as any other. */
static void random_drawn_evenly(void **state)
{
    struct fixture *f = *state;
    enum { FEW = 500, DRAWS = 500 * 200 };
    static unsigned drawn[FEW];
    struct mr_random random;
    mr_random_seed(&random, 1);
    for (uint64_t i = 0; i < FEW; i++)
        assert_true(insert(&f->table, i));
    for (unsigned i = 0; i < DRAWS; i++)
        drawn[*(uint64_t *)cache_table_random(&f->table, &random)]++;
    for (unsigned i = 0; i < FEW; i++)
        assert_in_range(drawn[i], 100, 320); /* 200 expected, sigma 14 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_known_input_known_value),
        cmocka_unit_test_setup_teardown(small_filled_takes_one_bucket, setup, teardown),
        cmocka_unit_test_setup_teardown(full_insert_fails_and_nothing_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(growing_insert_within_its_cost, setup, teardown),
        cmocka_unit_test_setup_teardown(large_counted_takes_few_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(large_emptied_without_room_gives_all_back, setup, teardown),
        cmocka_unit_test_setup_teardown(unchanged_scanned_each_item_once, setup, teardown),
        cmocka_unit_test_setup_teardown(any_cursor_scanned_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(random_drawn_evenly, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
