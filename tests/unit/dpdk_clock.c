/* Time from the TSC, and the steps of rest: spin, arm, sleep. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include <millrace/error.h>

#include "drivers/dpdk/dpdk.h"
#include "drivers/dpdk/tsc.h"

static mr_time kernel_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (mr_time)t.tv_sec * MR_SECOND + (mr_time)t.tv_nsec;
}

/* Off by less than 2^-32 ns a tick, after an hour and after a year. */
static void conversion_loses_less_than_its_rounding(void **state)
{
    static const uint64_t hertz[] = {1000000, 24000000, 999999937, 2445406000, 5100000000};
    static const uint64_t seconds[] = {1, 3600, 365 * 86400};
    for (size_t i = 0; i < sizeof hertz / sizeof *hertz; i++) {
        struct tsc_scale s = {0};
        assert_true(tsc_scale_make(&s, 5, 7, 5 + hertz[i], 7 + MR_SECOND));
        for (size_t k = 0; k < sizeof seconds / sizeof *seconds; k++) {
            uint64_t loss_max = (hertz[i] * seconds[k] >> 32) + 1;
            uint64_t ns = tsc_to_ns(&s, 5 + seconds[k] * hertz[i]) - 7;
            assert_in_range(ns, seconds[k] * MR_SECOND - loss_max, seconds[k] * MR_SECOND);
        }
    }
}

static void conversion_never_runs_backwards(void **state)
{
    struct tsc_scale s = {0};
    uint64_t last = 0, ticks = 0;
    assert_true(tsc_scale_make(&s, 1000, 1000, 1000 + 2445406123u, 1000 + MR_SECOND));
    srandom(1);
    for (int i = 0; i < 1000000; i++) {
        uint64_t ns = tsc_to_ns(&s, ticks);
        assert_true(ns >= last);
        last = ns;
        ticks += (uint64_t)random() % (i % 100 == 0 ? UINT32_MAX : 3);
    }
}

static void ticks_before_the_base_read_as_the_base(void **state)
{
    struct tsc_scale s = {0};
    assert_true(tsc_scale_make(&s, 100, 5000, 200, 6000));
    assert_int_equal(tsc_to_ns(&s, 99), 5000);
    assert_int_equal(tsc_to_ns(&s, 0), 5000);
}

static void readings_that_say_nothing_are_refused(void **state)
{
    struct tsc_scale s = {0};
    assert_false(tsc_scale_make(&s, 100, 5000, 100, 6000));
    assert_false(tsc_scale_make(&s, 100, 5000, 200, 5000));
    assert_false(tsc_scale_make(&s, 100, 5000, 99, 6000));
}

static struct mr_clock clock_make(enum dpdk_poll_mode poll)
{
    struct mr_clock c;
    const struct dpdk_clock_options options = {.poll = poll, .spin_turns = 3};
    assert_int_equal(dpdk_clock_create(&options, NULL, 0, &c), MR_OK);
    return c;
}

static void clock_follows_the_kernel(void **state)
{
    struct mr_clock c = clock_make(DPDK_POLL_ADAPTIVE);
    mr_time last = 0;
    for (int i = 0; i < 100000; i++) {
        mr_time now = c.now(c.self);
        assert_true(now >= last);
        last = now;
    }
    int64_t off = (int64_t)(c.now(c.self) - kernel_now());
    assert_true(llabs(off) < (int64_t)(5 * MR_MILLISECOND));
    dpdk_clock_destroy(&c);
}

/* The first idle calls spin, one arms and returns; only then may a rest sleep, and then until its deadline. */
static void rest_spins_then_arms_then_sleeps_to_the_deadline(void **state)
{
    struct mr_clock c = clock_make(DPDK_POLL_ADAPTIVE);
    mr_time start = c.now(c.self), deadline = start + 300 * MR_MILLISECOND;
    for (int i = 0; i < 4; i++)
        c.rest(c.self, deadline);
    assert_true(c.now(c.self) < deadline);
    c.rest(c.self, deadline);
    assert_true(c.now(c.self) >= deadline - MR_MICROSECOND);
    dpdk_clock_destroy(&c);
}

/* A deadline well below a millisecond is slept to, not rounded to a millisecond: the best of several shows it. */
static void rest_keeps_a_deadline_below_a_millisecond(void **state)
{
    struct mr_clock c = clock_make(DPDK_POLL_INTERRUPT);
    mr_time best = MR_NEVER;
    c.rest(c.self, MR_NEVER); /* arms */
    for (int i = 0; i < 50; i++) {
        mr_time start = c.now(c.self);
        c.rest(c.self, start + 200 * MR_MICROSECOND);
        mr_time took = c.now(c.self) - start;
        assert_true(took >= 199 * MR_MICROSECOND);
        if (took < best)
            best = took;
    }
    assert_true(best < 900 * MR_MICROSECOND);
    dpdk_clock_destroy(&c);
}

static void rest_past_its_deadline_returns_at_once(void **state)
{
    struct mr_clock c = clock_make(DPDK_POLL_INTERRUPT);
    for (int i = 0; i < 100; i++)
        c.rest(c.self, c.now(c.self) - 1);
    dpdk_clock_destroy(&c);
}

static void busy_makes_the_next_rest_arm_again(void **state)
{
    struct mr_clock c = clock_make(DPDK_POLL_INTERRUPT);
    for (int i = 0; i < 10; i++) {
        c.rest(c.self, MR_NEVER); /* arms; sleeping would never end */
        c.busy(c.self);
    }
    dpdk_clock_destroy(&c);
}

static void polling_never_sleeps(void **state)
{
    struct mr_clock c = clock_make(DPDK_POLL_ALWAYS);
    for (int i = 0; i < 1000; i++)
        c.rest(c.self, MR_NEVER);
    dpdk_clock_destroy(&c);
}

static void *wake_later(void *argument)
{
    struct mr_clock *c = argument;
    nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    c->wake(c->self);
    return NULL;
}

/* A wake from another thread ends a sleep without a deadline; so does one that came before the sleep. */
static void wake_ends_a_rest(void **state)
{
    struct mr_clock c = clock_make(DPDK_POLL_INTERRUPT);
    pthread_t thread;
    c.rest(c.self, MR_NEVER);
    assert_int_equal(pthread_create(&thread, NULL, wake_later, &c), 0);
    c.rest(c.self, MR_NEVER);
    pthread_join(thread, NULL);
    c.wake(c.self);
    c.rest(c.self, MR_NEVER);
    dpdk_clock_destroy(&c);
}

static void poll_modes_have_names(void **state)
{
    assert_int_equal(dpdk_poll_mode_parse("adaptive"), DPDK_POLL_ADAPTIVE);
    assert_int_equal(dpdk_poll_mode_parse("always"), DPDK_POLL_ALWAYS);
    assert_int_equal(dpdk_poll_mode_parse("interrupt"), DPDK_POLL_INTERRUPT);
    assert_int_equal(dpdk_poll_mode_parse("never"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversion_loses_less_than_its_rounding),
        cmocka_unit_test(conversion_never_runs_backwards),
        cmocka_unit_test(ticks_before_the_base_read_as_the_base),
        cmocka_unit_test(readings_that_say_nothing_are_refused),
        cmocka_unit_test(clock_follows_the_kernel),
        cmocka_unit_test(rest_spins_then_arms_then_sleeps_to_the_deadline),
        cmocka_unit_test(rest_keeps_a_deadline_below_a_millisecond),
        cmocka_unit_test(rest_past_its_deadline_returns_at_once),
        cmocka_unit_test(busy_makes_the_next_rest_arm_again),
        cmocka_unit_test(polling_never_sleeps),
        cmocka_unit_test(wake_ends_a_rest),
        cmocka_unit_test(poll_modes_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
