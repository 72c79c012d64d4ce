/* Slabs: index addressing, reuse, limits, injected failures. */
#include "tests/support/cmocka.h"

#include <string.h>

#include "stack/base/slab.h"

static struct slab slab;

static int start(void **state)
{
    (void)state;
    return slab_init(&slab, "test", 20, 16, 4) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    slab_free_all(&slab);
    return 0;
}

static void objects_are_aligned_distinct_and_found_by_index(void **state)
{
    (void)state;
    assert_int_equal(slab.stride, 32);
    for (uint32_t i = 0; i < 4; i++) {
        uint8_t *object = slab_get(&slab);
        assert_non_null(object);
        assert_int_equal((uintptr_t)object % 16, 0);
        assert_int_equal(slab_index(&slab, object), i);
        assert_ptr_equal(slab_at(&slab, i), object);
        memset(object, 0xff, 32);
    }
    assert_int_equal(slab.used, 4);
}

static void full_slab_refuses_until_one_is_put_back(void **state)
{
    (void)state;
    void *object = NULL;
    for (unsigned i = 0; i < 4; i++)
        object = slab_get(&slab);
    assert_null(slab_get(&slab));
    assert_int_equal(slab.used, 4);
    slab_put(&slab, object);
    assert_int_equal(slab.used, 3);
    assert_ptr_equal(slab_get(&slab), object);
    assert_null(slab_get(&slab));
}

static void reused_object_is_the_last_put_and_zero(void **state)
{
    (void)state;
    uint8_t *a = slab_get(&slab), *b = slab_get(&slab), zero[32] = {0};
    memset(a, 0xaa, 32);
    memset(b, 0xbb, 32);
    slab_put(&slab, a);
    slab_put(&slab, b);
    assert_ptr_equal(slab_get(&slab), b);
    assert_memory_equal(b, zero, 32);
    assert_ptr_equal(slab_get(&slab), a);
    assert_memory_equal(a, zero, 32);
    assert_int_equal(slab.touched, 2);
}

static void injected_failure_comes_after_the_given_number(void **state)
{
    (void)state;
    slab.fail_after = 2;
    assert_non_null(slab_get(&slab));
    assert_non_null(slab_get(&slab));
    assert_null(slab_get(&slab));
    assert_null(slab_get(&slab));
    slab.fail_after = UINT32_MAX;
    assert_non_null(slab_get(&slab));
    assert_int_equal(slab.used, 3);
}

static void generous_limit_costs_only_what_is_used(void **state)
{
    /* 64 GiB of address space; more than the machine has. */
    (void)state;
    struct slab large;
    assert_true(slab_init(&large, "large", 64, 64, 1u << 30));
    uint8_t *object = slab_get(&large);
    assert_non_null(object);
    assert_int_equal((uintptr_t)object % 64, 0);
    slab_put(&large, object);
    slab_free_all(&large);
    assert_null(large.base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(objects_are_aligned_distinct_and_found_by_index, start, stop),
        cmocka_unit_test_setup_teardown(full_slab_refuses_until_one_is_put_back, start, stop),
        cmocka_unit_test_setup_teardown(reused_object_is_the_last_put_and_zero, start, stop),
        cmocka_unit_test_setup_teardown(injected_failure_comes_after_the_given_number, start, stop),
        cmocka_unit_test(generous_limit_costs_only_what_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
