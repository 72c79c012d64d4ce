/* The verdict on a backend, in virtual time. tests/model/proxy_health.c has it against a version that looks through the history. */
#include "tests/support/cmocka.h"

#include <string.h>

#include "proxy/health/health.h"

#define BEGIN (1000 * MR_SECOND)

static const struct proxy_health_config usual = {
    .type = HEALTH_TCP, .interval = 2 * MR_SECOND, .timeout = MR_SECOND, .rise = 2, .fall = 3, .jitter = 0.1};

static struct mr_random chance;
static struct health health;
static mr_time now;

/* The next check, when it is due, finds `r`. */
static bool next_is(enum health_result r)
{
    now = health.next;
    bool changed = health_report(&health, &usual, &chance, r, now);
    health_check(&health);
    return changed;
}

static void next_are(const char *results) /* g: good; b: bad; none of them may change the verdict */
{
    for (; *results; results++)
        assert_false(next_is(*results == 'g' ? HEALTH_GOOD : HEALTH_TIMEOUT));
}

static int begin(void **state)
{
    (void)state;
    mr_random_seed(&chance, 3);
    now = BEGIN;
    health_init(&health, &usual, &chance, now);
    health_check(&health);
    return 0;
}

static void next_changes(enum health_result r, enum health_verdict to)
{
    assert_true(next_is(r));
    assert_int_equal(health.verdict, to);
    assert_int_equal(health.changed, now);
    assert_int_equal(health.in_a_row, 0);
}

static void new_backend_is_unknown_and_checked_within_a_second(void **state)
{
    (void)state;
    mr_time earliest = MR_NEVER, latest = 0;
    for (int i = 0; i < 1000; i++) {
        health_init(&health, &usual, &chance, BEGIN);
        assert_int_equal(health.verdict, HEALTH_UNKNOWN);
        earliest = health.next < earliest ? health.next : earliest;
        latest = health.next > latest ? health.next : latest;
    }
    assert_true(earliest >= BEGIN && earliest < BEGIN + 50 * MR_MILLISECOND);
    assert_true(latest < BEGIN + MR_SECOND && latest > BEGIN + 950 * MR_MILLISECOND);
}

static void unknown_good_is_up(void **state)
{
    (void)state;
    next_changes(HEALTH_GOOD, HEALTH_UP);
}

static void unknown_bad_is_down_after_fall(void **state)
{
    (void)state;
    next_are("bb");
    next_changes(HEALTH_REFUSED, HEALTH_DOWN);
    assert_int_equal(health.last, HEALTH_REFUSED);
}

static void up_goes_down_only_after_fall_in_a_row(void **state)
{
    (void)state;
    next_changes(HEALTH_GOOD, HEALTH_UP);
    next_are("bbgbbgbb");
    next_changes(HEALTH_STATUS, HEALTH_DOWN);
    assert_int_equal(health.checks, 10);
    assert_int_equal(health.failures, 7);
}

static void down_comes_up_only_after_rise_in_a_row(void **state)
{
    (void)state;
    next_are("bb");
    next_changes(HEALTH_RESET, HEALTH_DOWN);
    next_are("gbgbbbg");
    next_changes(HEALTH_GOOD, HEALTH_UP);
}

static void check_that_could_not_be_made_counts_neither_way(void **state)
{
    (void)state;
    next_changes(HEALTH_GOOD, HEALTH_UP);
    next_are("bb");
    for (int i = 0; i < 10; i++)
        assert_false(next_is(HEALTH_NO_MEMORY));
    assert_int_equal(health.checks, 3);
    assert_int_equal(health.last, HEALTH_TIMEOUT);
    next_changes(HEALTH_TIMEOUT, HEALTH_DOWN);
}

static void interval_is_jittered_to_both_sides(void **state)
{
    (void)state;
    mr_time least = MR_NEVER, most = 0, sum = 0;
    for (int i = 0; i < 2000; i++) {
        health_report(&health, &usual, &chance, HEALTH_GOOD, now);
        mr_time delay = health.next - now;
        least = delay < least ? delay : least;
        most = delay > most ? delay : most;
        sum += delay;
        now = health.next;
    }
    assert_true(least >= 1800 * MR_MILLISECOND && least < 1810 * MR_MILLISECOND);
    assert_true(most <= 2200 * MR_MILLISECOND && most > 2190 * MR_MILLISECOND);
    assert_true(sum / 2000 > 1990 * MR_MILLISECOND && sum / 2000 < 2010 * MR_MILLISECOND);
}

/* Down for the first time in long: rise as configured. Down again soon: four times that (it came up, and went down: two flaps), then
 * eight times and no more. */
static void flapping_needs_more_good_checks(void **state)
{
    (void)state;
    next_changes(HEALTH_GOOD, HEALTH_UP);
    for (int i = 0; i < 100; i++)
        next_are("g");
    next_are("bb");
    next_changes(HEALTH_TIMEOUT, HEALTH_DOWN);
    next_are("g");
    next_changes(HEALTH_GOOD, HEALTH_UP);
    next_are("bb");
    next_changes(HEALTH_TIMEOUT, HEALTH_DOWN);
    next_are("ggggggg");
    next_changes(HEALTH_GOOD, HEALTH_UP);
    for (int i = 0; i < 3; i++) {
        next_are("bb");
        next_changes(HEALTH_TIMEOUT, HEALTH_DOWN);
        next_are("ggggggggggggggg");
        next_changes(HEALTH_GOOD, HEALTH_UP);
    }
}

static void flaps_are_forgotten_after_a_quiet_time(void **state)
{
    (void)state;
    next_changes(HEALTH_GOOD, HEALTH_UP);
    next_are("bb");
    next_changes(HEALTH_TIMEOUT, HEALTH_DOWN);
    next_are("ggg");
    next_changes(HEALTH_GOOD, HEALTH_UP); /* a flap already: it was up so shortly */
    for (int i = 0; i < 30; i++)
        next_are("g");
    next_are("bb");
    next_changes(HEALTH_TIMEOUT, HEALTH_DOWN);
    assert_int_equal(health.flaps, 0);
    next_are("g");
    next_changes(HEALTH_GOOD, HEALTH_UP);
}

/* Down with flaps, and for long: rise is as configured again. */
static void long_outage_needs_rise_as_configured(void **state)
{
    (void)state;
    next_changes(HEALTH_GOOD, HEALTH_UP);
    next_are("bb");
    next_changes(HEALTH_TIMEOUT, HEALTH_DOWN);
    assert_int_equal(health.flaps, 1);
    for (int i = 0; i < 30; i++)
        next_are("b");
    next_are("g");
    next_changes(HEALTH_GOOD, HEALTH_UP);
    assert_int_equal(health.flaps, 0);
}

static void every_result_and_verdict_has_a_text(void **state)
{
    (void)state;
    for (unsigned r = HEALTH_GOOD; r <= HEALTH_NO_MEMORY; r++)
        for (unsigned other = HEALTH_GOOD; other < r; other++)
            assert_string_not_equal(health_result_text(r), health_result_text(other));
    assert_string_equal(health_verdict_text(HEALTH_UNKNOWN), "unknown");
    assert_string_equal(health_verdict_text(HEALTH_UP), "up");
    assert_string_equal(health_verdict_text(HEALTH_DOWN), "down");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(new_backend_is_unknown_and_checked_within_a_second, begin),
        cmocka_unit_test_setup(unknown_good_is_up, begin),
        cmocka_unit_test_setup(unknown_bad_is_down_after_fall, begin),
        cmocka_unit_test_setup(up_goes_down_only_after_fall_in_a_row, begin),
        cmocka_unit_test_setup(down_comes_up_only_after_rise_in_a_row, begin),
        cmocka_unit_test_setup(check_that_could_not_be_made_counts_neither_way, begin),
        cmocka_unit_test_setup(interval_is_jittered_to_both_sides, begin),
        cmocka_unit_test_setup(flapping_needs_more_good_checks, begin),
        cmocka_unit_test_setup(flaps_are_forgotten_after_a_quiet_time, begin),
        cmocka_unit_test_setup(long_outage_needs_rise_as_configured, begin),
        cmocka_unit_test(every_result_and_verdict_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
