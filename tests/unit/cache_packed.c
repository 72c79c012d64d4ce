/* Kept commands against plain copies: arguments of any length, in any pieces, and memory that ends anywhere. */
#include "tests/support/cmocka.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/command/packed.h"
#include "tests/support/seed.h"

#define ARGUMENTS 40

static struct memory memory;
static uint8_t bytes[300000]; /* what arguments are cut from */

static int set_up(void **state)
{
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 13 + i / 255);
    assert_true(memory_init(&memory, UINT64_C(64) << 20, UINT64_C(32) << 20));
    return 0;
}

static int tear_down(void **state)
{
    memory_release(&memory);
    return 0;
}

struct plain {
    size_t at;
    uint32_t length;
};

static void assert_same(const struct cache_packed *p, const struct plain *plain, unsigned n)
{
    struct cache_argument argv[ARGUMENTS];
    assert_int_equal(p->argc, n);
    cache_packed_arguments(p, argv);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(argv[i].length, plain[i].length);
        assert_int_equal(!argv[i].data, plain[i].length > CACHE_SMALL_MAX);
        if (argv[i].data)
            assert_memory_equal(argv[i].data, bytes + plain[i].at, plain[i].length);
        else
            assert_true(cache_rope_equal(argv[i].rope, bytes + plain[i].at, plain[i].length));
    }
}

/* Lengths of all sizes, more short ones. */
static struct plain any_plain(unsigned *seed)
{
    uint32_t most = 1u << rand_r(seed) % 18;
    uint32_t length = (uint32_t)rand_r(seed) % (most + 1);
    return (struct plain){(size_t)rand_r(seed) % (sizeof bytes - length), length};
}

static bool keep_in_pieces(struct cache_packed *p, struct plain a, unsigned *seed)
{
    if (!cache_packed_begin(p, a.length, &memory))
        return false;
    for (uint32_t at = 0; at < a.length;) {
        uint32_t n = 1 + (uint32_t)rand_r(seed) % (a.length / 3 + 1);
        n = n < a.length - at ? n : a.length - at;
        assert_int_equal(p->missing, a.length - at);
        if (!cache_packed_append(p, bytes + a.at + at, n))
            return false;
        at += n;
    }
    return true;
}

static void arguments_in_any_pieces_are_kept(void **state)
{
    unsigned seed = (unsigned)support_seed("unit-cache_packed");
    for (unsigned round = 0; round < 300; round++) {
        struct cache_packed p;
        struct plain plain[ARGUMENTS];
        unsigned n = (unsigned)rand_r(&seed) % ARGUMENTS;
        cache_packed_init(&p, &memory);
        for (unsigned i = 0; i < n; i++) {
            plain[i] = any_plain(&seed);
            assert_true(keep_in_pieces(&p, plain[i], &seed));
        }
        assert_same(&p, plain, n);
        cache_packed_free(&p);
        assert_int_equal(memory.used, 0);
        assert_int_equal(p.argc, 0);
    }
}

static void whole_arguments_are_copied_and_ropes_taken_over(void **state)
{
    struct cache_packed from, p;
    struct plain plain[] = {{5, 3}, {0, 0}, {9, 100000}, {77, CACHE_SMALL_MAX}, {3, CACHE_SMALL_MAX + 1}};
    struct cache_argument argv[5];
    unsigned seed = 1;
    cache_packed_init(&from, &memory);
    cache_packed_init(&p, &memory);
    for (unsigned i = 0; i < 5; i++)
        assert_true(keep_in_pieces(&from, plain[i], &seed));
    cache_packed_arguments(&from, argv);
    for (unsigned i = 0; i < 5; i++) {
        assert_true(cache_packed_add(&p, &argv[i]));
        argv[i].rope = NULL;
    }
    cache_packed_taken(&from, argv);
    assert_int_equal(from.rope_bytes, 0);
    cache_packed_free(&from);
    assert_int_equal(p.rope_bytes, 100000 + CACHE_SMALL_MAX + 1);
    assert_same(&p, plain, 5);
    cache_packed_free(&p);
    assert_int_equal(memory.used, 0);
}

static void rope_taken_by_the_store_is_not_freed(void **state)
{
    struct cache_packed p;
    struct cache_argument argv[3];
    unsigned seed = 1;
    cache_packed_init(&p, &memory);
    for (unsigned i = 0; i < 3; i++)
        assert_true(keep_in_pieces(&p, (struct plain){i, 50000}, &seed));
    cache_packed_arguments(&p, argv);
    struct cache_rope *taken = argv[1].rope;
    argv[1].rope = NULL;
    cache_packed_taken(&p, argv);
    assert_int_equal(p.rope_bytes, 100000);
    cache_packed_free(&p);
    assert_true(cache_rope_equal(taken, bytes + 1, 50000));
    unsigned budget = UINT_MAX;
    assert_true(cache_rope_free_step(taken, &budget));
    assert_int_equal(memory.used, 0);
}

static void command_given_up_in_the_middle_leaves_nothing(void **state)
{
    for (uint32_t length = 10; length < 200000; length *= 3) {
        struct cache_packed p;
        cache_packed_init(&p, &memory);
        assert_true(cache_packed_begin(&p, length, &memory));
        assert_true(cache_packed_append(&p, bytes, length / 2));
        assert_int_equal(p.argc, 0);
        cache_packed_free(&p);
        assert_int_equal(memory.used, 0);
    }
}

static void memory_that_ends_is_told(void **state)
{
    unsigned seed = 3;
    uint64_t limit = memory.limit;
    for (unsigned round = 0; round < 2000; round++) {
        struct cache_packed p;
        struct plain plain[ARGUMENTS];
        unsigned n = 0;
        cache_packed_init(&p, &memory);
        memory.limit = (uint64_t)rand_r(&seed) % 400000;
        while (n < ARGUMENTS) {
            plain[n] = any_plain(&seed);
            if (!keep_in_pieces(&p, plain[n], &seed))
                break;
            n++;
        }
        assert_same(&p, plain, n);
        memory.limit = limit;
        cache_packed_free(&p);
        assert_int_equal(memory.used, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_in_any_pieces_are_kept),
        cmocka_unit_test(whole_arguments_are_copied_and_ropes_taken_over),
        cmocka_unit_test(rope_taken_by_the_store_is_not_freed),
        cmocka_unit_test(command_given_up_in_the_middle_leaves_nothing),
        cmocka_unit_test(memory_that_ends_is_told),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
