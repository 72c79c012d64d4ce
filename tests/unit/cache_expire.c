/* The wheel of expiries: who dies when, from the past to beyond what it can name, in steps that are bounded however many
 * die at once. */
#include "cache/store/expire.h"

#include <string.h>

#include "tests/support/cmocka.h"

#define NOW     UINT64_C(1795000000123)
#define BYTES   (sizeof(struct cache_entry) + sizeof(struct cache_expiry))
#define FOREVER (UINT64_C(1) << 48)

static struct memory memory;
static struct cache_expire wheel;

static int start(void **state)
{
    (void)state;
    assert_true(memory_init(&memory, 64 << 20, 64 << 20));
    cache_expire_init(&wheel, memory.base, NOW);
    cache_expire_check(&wheel);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    cache_expire_check(&wheel);
    memory_release(&memory);
    return 0;
}

static struct cache_entry *entry(uint64_t at_ms)
{
    struct cache_entry *e = memory_alloc(&memory, BYTES);
    assert_non_null(e);
    memset(e, 0, BYTES);
    e->flags = CACHE_ENTRY_EXPIRES;
    cache_entry_expiry(e)->at_ms = at_ms;
    return e;
}

static struct cache_entry *added(uint64_t at_ms)
{
    struct cache_entry *e = entry(at_ms);
    cache_expire_add(&wheel, e);
    cache_expire_check(&wheel);
    return e;
}

static struct cache_entry *next(uint64_t now_ms)
{
    unsigned budget = 10000;
    struct cache_entry *e = cache_expire_next(&wheel, now_ms, &budget);
    assert_true(budget > 0);
    cache_expire_check(&wheel);
    return e;
}

static void empty_wheel_has_nobody(void **state)
{
    (void)state;
    assert_null(next(NOW));
    assert_null(cache_expire_soonest(&wheel));
    assert_int_equal(cache_expire_next_ms(&wheel), UINT64_MAX);
    assert_null(next(NOW + FOREVER));
    assert_int_equal(wheel.now_ms, NOW + FOREVER);
}

static void entry_dies_at_its_millisecond_and_not_before(void **state)
{
    (void)state;
    const uint64_t after_ms[] = {
        1,          2, 63, 64, 65, 4095, 4096, 1000, 60000, 86400000, UINT64_C(31536000000), (UINT64_C(1) << 42) + 5,
        FOREVER - 1};
    for (unsigned i = 0; i < sizeof after_ms / sizeof *after_ms; i++) {
        cache_expire_init(&wheel, memory.base, NOW);
        struct cache_entry *e = added(NOW + after_ms[i]);
        assert_true(cache_expire_next_ms(&wheel) <= NOW + after_ms[i]);
        assert_ptr_equal(cache_expire_soonest(&wheel), e);
        assert_null(next(NOW + after_ms[i] - 1));
        assert_true(cache_expire_next_ms(&wheel) <= NOW + after_ms[i]);
        assert_ptr_equal(next(NOW + after_ms[i]), e);
        assert_null(next(NOW + after_ms[i]));
        assert_int_equal(wheel.count, 0);
    }
}

static void entry_of_the_past_dies_at_once(void **state)
{
    (void)state;
    struct cache_entry *a = added(0), *b = added(NOW - 1), *c = added(NOW);
    assert_int_equal(cache_expire_next_ms(&wheel), NOW);
    cache_expire_remove(&wheel, b);
    cache_expire_check(&wheel);
    assert_ptr_equal(next(NOW), c);
    assert_ptr_equal(next(NOW), a);
    assert_null(next(NOW));
}

static void entry_beyond_the_wheel_waits_in_its_last_level(void **state)
{
    /* 2^60 ms are many rounds of the last level, each of which looks at it once; the end of time never comes. */
    (void)state;
    struct cache_entry *far = added(UINT64_C(1) << 60), *never = added(UINT64_MAX);
    assert_null(next(NOW + FOREVER));
    cache_expire_remove(&wheel, never);
    cache_expire_check(&wheel);
    assert_null(next((UINT64_C(1) << 60) - 1));
    assert_ptr_equal(next(UINT64_C(1) << 60), far);
    assert_int_equal(wheel.count, 0);
}

static void next_ms_lets_nobody_oversleep(void **state)
{
    /* Who sleeps until next_ms each time wakes at most once a level, and then exactly when the entry dies. */
    (void)state;
    struct cache_entry *e = added(NOW + UINT64_C(123456789012));
    unsigned wakes = 0;
    for (struct cache_entry *dead = NULL; !dead; wakes++)
        dead = next(cache_expire_next_ms(&wheel));
    assert_int_equal(wheel.now_ms, cache_entry_expiry(e)->at_ms);
    assert_in_range(wakes, 1, CACHE_EXPIRE_LEVELS);
}

static void removed_entry_does_not_die(void **state)
{
    /* First, middle and last of a slot. */
    (void)state;
    for (unsigned gone = 0; gone < 3; gone++) {
        cache_expire_init(&wheel, memory.base, NOW);
        struct cache_entry *e[3];
        for (unsigned i = 0; i < 3; i++)
            e[i] = added(NOW + 500);
        cache_expire_remove(&wheel, e[gone]);
        cache_expire_check(&wheel);
        assert_int_equal(wheel.count, 2);
        struct cache_entry *a = next(NOW + 500), *b = next(NOW + 500);
        assert_true(a && b && a != b && a != e[gone] && b != e[gone]);
        assert_null(next(NOW + 500));
    }
}

static void moved_entry_dies_at_its_new_place(void **state)
{
    /* The old place is freed and overwritten before the wheel hears of it, as it is when an entry is reallocated. */
    (void)state;
    struct cache_entry *e[3];
    for (unsigned i = 0; i < 3; i++)
        e[i] = added(NOW + 70000);
    for (unsigned i = 0; i < 3; i++) {
        struct cache_entry *to = memory_alloc(&memory, BYTES), *from = e[i];
        memcpy(to, from, BYTES);
        memset(from, 0xee, BYTES);
        memory_free(&memory, from, BYTES);
        cache_expire_moved(&wheel, from, to);
        cache_expire_check(&wheel);
        e[i] = to;
    }
    for (unsigned i = 3; i-- > 0;)
        assert_ptr_equal(next(NOW + 70000), e[i]);
}

static void death_of_many_at_once_takes_many_small_steps(void **state)
{
    /* 10,000 entries of one far millisecond: no call takes more than its budget, all die, and meanwhile others can be added
     * and removed. */
    (void)state;
    const uint64_t at_ms = NOW + 10000000;
    enum { MANY = 10000 };
    static struct cache_entry *e[MANY];
    for (unsigned i = 0; i < MANY; i++)
        cache_expire_add(&wheel, e[i] = entry(at_ms));
    cache_expire_check(&wheel);
    unsigned dead = 0, calls = 0, removed = 0;
    for (; wheel.count; calls++) {
        unsigned budget = 100;
        while (budget) {
            unsigned before = budget;
            struct cache_entry *found = cache_expire_next(&wheel, at_ms, &budget);
            assert_true(budget < before || !found);
            assert_true(found || !budget || !wheel.count);
            if (!found)
                break;
            assert_int_equal(cache_entry_expiry(found)->at_ms, at_ms);
            cache_entry_expiry(found)->at_ms = 0;
            dead++;
        }
        if (calls % 16 == 0) {
            cache_expire_check(&wheel);
            assert_true(cache_expire_next_ms(&wheel) <= at_ms || !wheel.count);
        }
        if (calls < 200 && cache_entry_expiry(e[calls])->at_ms) { /* the slot is being emptied */
            cache_expire_remove(&wheel, e[calls]);
            removed++;
        }
    }
    assert_int_equal(dead + removed, MANY);
    assert_in_range(removed, 1, 200);
    assert_true(calls >= MANY / 100);
}

static void budget_of_nothing_does_nothing(void **state)
{
    (void)state;
    struct cache_entry *e = added(NOW - 5);
    unsigned budget = 0;
    assert_null(cache_expire_next(&wheel, NOW, &budget));
    assert_int_equal(budget, 0);
    assert_ptr_equal(next(NOW), e);
}

static void first_of_an_open_slot_can_be_removed_and_moved(void **state)
{
    /* One step into the cascade of a slot, what is still in it is no more where its time would put it. */
    (void)state;
    struct cache_entry *e[4];
    for (unsigned i = 0; i < 4; i++)
        e[i] = added(NOW + 100000 + i);
    unsigned budget = 1;
    assert_null(cache_expire_next(&wheel, NOW + 99000, &budget));
    assert_int_equal(budget, 0);
    cache_expire_check(&wheel);
    cache_expire_remove(&wheel, e[2]); /* first now: the last one in was the first out */
    cache_expire_check(&wheel);
    struct cache_entry *to = memory_alloc(&memory, BYTES);
    memcpy(to, e[1], BYTES);
    cache_expire_moved(&wheel, e[1], to);
    cache_expire_check(&wheel);
    assert_ptr_equal(next(NOW + 100000), e[0]);
    assert_ptr_equal(next(NOW + 100001), to);
    assert_null(next(NOW + 100002));
    assert_ptr_equal(next(NOW + 100003), e[3]);
}

static void clock_set_back_kills_nobody_early(void **state)
{
    (void)state;
    struct cache_entry *e = added(NOW + 10);
    assert_null(next(NOW + 9));
    assert_null(next(NOW - 1000000));
    struct cache_entry *late = added(NOW - 900000);
    assert_null(next(NOW - 950000));
    assert_ptr_equal(next(NOW + 9), late);
    assert_ptr_equal(next(NOW + 10), e);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(empty_wheel_has_nobody),
        TEST(entry_dies_at_its_millisecond_and_not_before),
        TEST(entry_of_the_past_dies_at_once),
        TEST(entry_beyond_the_wheel_waits_in_its_last_level),
        TEST(next_ms_lets_nobody_oversleep),
        TEST(removed_entry_does_not_die),
        TEST(moved_entry_dies_at_its_new_place),
        TEST(death_of_many_at_once_takes_many_small_steps),
        TEST(budget_of_nothing_does_nothing),
        TEST(first_of_an_open_slot_can_be_removed_and_moved),
        TEST(clock_set_back_kills_nobody_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
