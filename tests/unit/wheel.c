/* The timing wheel: when nodes fire, and what may happen while they do. */
#include "tests/support/cmocka.h"

#include <string.h>

#include "stack/base/wheel.h"

#define TICK ((mr_time)1 << WHEEL_TICK_SHIFT)

static struct wheel wheel;
static struct mr_wheel_node node[8];

static int start(void **state)
{
    (void)state;
    memset(node, 0, sizeof node);
    wheel_init(&wheel, 1000 * TICK + 17);
    return 0;
}

static void assert_nothing_due(mr_time now)
{
    assert_null(wheel_expire(&wheel, now));
    wheel_check(&wheel);
}

static void armed_node_fires_at_the_first_tick_after_its_deadline(void **state)
{
    /* Deadlines at every level of the wheel: never early, at most one tick late, at the time wheel_next named. */
    static const mr_time distances[] = {1,          TICK,       200 * TICK, 256 * TICK, 70000 * TICK,
                                        TICK << 24, TICK << 33, TICK << 40};
    for (unsigned i = 0; i < sizeof distances / sizeof *distances; i++) {
        start(state);
        mr_time deadline = wheel.now + distances[i];
        wheel_arm(&wheel, &node[0], WHEEL_TCP, deadline);
        assert_true(wheel_node_armed(&node[0]));
        struct mr_wheel_node *fired = NULL;
        while (!fired) {
            mr_time next = wheel_next(&wheel);
            assert_int_not_equal(next, MR_NEVER);
            assert_nothing_due(next - 1);
            fired = wheel_expire(&wheel, next);
            if (fired) {
                assert_true(next >= deadline);
                assert_true(next <= deadline + TICK);
            }
        }
        assert_ptr_equal(fired, &node[0]);
        assert_int_equal(wheel_node_kind(fired), WHEEL_TCP);
        assert_false(wheel_node_armed(fired));
        assert_int_equal(wheel_next(&wheel), MR_NEVER);
        assert_nothing_due(wheel.now);
    }
}

static void deadline_with_low_bits_never_fires_early(void **state)
{
    /* The kind takes the low bits of the deadline: it is rounded up, not down, even at the edge of a tick. */
    mr_time deadline = 2000 * TICK + 1;
    wheel_arm(&wheel, &node[0], WHEEL_ARP, deadline);
    assert_true(wheel_node_deadline(&node[0]) >= deadline);
    assert_true(wheel_node_deadline(&node[0]) < deadline + 8);
    assert_nothing_due(2000 * TICK);
    assert_ptr_equal(wheel_expire(&wheel, 2001 * TICK), &node[0]);
    assert_int_equal(wheel_node_kind(&node[0]), WHEEL_ARP);
}

static void past_deadline_fires_in_the_next_pass(void **state)
{
    wheel_arm(&wheel, &node[0], WHEEL_TCP, 1);
    assert_true(wheel_next(&wheel) <= wheel.now);
    wheel_check(&wheel);
    assert_ptr_equal(wheel_expire(&wheel, wheel.now), &node[0]);
    assert_nothing_due(wheel.now);
}

static void node_rearmed_in_the_past_does_not_fire_again_in_this_pass(void **state)
{
    /* An owner that always arms `now` must not keep the worker in its timer phase. */
    mr_time now = 5000 * TICK;
    wheel_arm(&wheel, &node[0], WHEEL_TCP, now);
    unsigned fired = 0;
    for (struct mr_wheel_node *n; (n = wheel_expire(&wheel, now)); fired++)
        wheel_arm(&wheel, n, WHEEL_TCP, now);
    assert_int_equal(fired, 1);
    assert_true(wheel_next(&wheel) <= now);
    assert_ptr_equal(wheel_expire(&wheel, now), &node[0]);
    assert_nothing_due(now);
}

static void due_node_cancelled_by_another_does_not_fire(void **state)
{
    mr_time deadline = wheel.now + 10 * TICK;
    for (unsigned i = 0; i < 4; i++)
        wheel_arm(&wheel, &node[i], WHEEL_TCP, deadline);
    struct mr_wheel_node *first = wheel_expire(&wheel, deadline + TICK);
    assert_non_null(first);
    for (unsigned i = 0; i < 4; i++)
        wheel_cancel(&wheel, &node[i]);
    assert_nothing_due(deadline + TICK);
    assert_int_equal(wheel.armed, 0);
    assert_int_equal(wheel_next(&wheel), MR_NEVER);
}

static void armed_node_moved_fires_only_at_its_new_deadline(void **state)
{
    wheel_arm(&wheel, &node[0], WHEEL_TCP, wheel.now + 10 * TICK);
    wheel_arm(&wheel, &node[0], WHEEL_PUBLIC, wheel.now + 900 * TICK);
    mr_time moved = wheel_node_deadline(&node[0]);
    assert_int_equal(wheel.armed, 1);
    wheel_check(&wheel);
    assert_nothing_due(moved - 1);
    assert_ptr_equal(wheel_expire(&wheel, moved + TICK), &node[0]);
    assert_nothing_due(moved + TICK);
}

static void cancelled_node_leaves_the_others(void **state)
{
    mr_time deadline = wheel.now + 300 * TICK;
    for (unsigned i = 0; i < 3; i++)
        wheel_arm(&wheel, &node[i], WHEEL_TCP, deadline);
    wheel_cancel(&wheel, &node[1]);
    wheel_cancel(&wheel, &node[1]);
    wheel_check(&wheel);
    assert_ptr_not_equal(wheel_expire(&wheel, deadline + TICK), &node[1]);
    assert_ptr_not_equal(wheel_expire(&wheel, deadline + TICK), &node[1]);
    assert_nothing_due(deadline + TICK);
}

static void long_jump_returns_nodes_in_order_of_ticks(void **state)
{
    static const mr_time distances[] = {TICK << 33, 5 * TICK, TICK << 20, 300 * TICK, TICK << 26, 70000 * TICK};
    mr_time base = wheel.now;
    for (unsigned i = 0; i < 6; i++)
        wheel_arm(&wheel, &node[i], WHEEL_TCP, base + distances[i]);
    mr_time last = 0;
    for (unsigned i = 0; i < 6; i++) {
        struct mr_wheel_node *n = wheel_expire(&wheel, base + (TICK << 34));
        assert_non_null(n);
        assert_true(wheel_node_deadline(n) > last);
        last = wheel_node_deadline(n);
        wheel_check(&wheel);
    }
    assert_nothing_due(base + (TICK << 34));
}

static void deadline_never_stays_armed(void **state)
{
    wheel_arm(&wheel, &node[0], WHEEL_TCP_TIME_WAIT, MR_NEVER);
    wheel_check(&wheel);
    assert_nothing_due(MR_NEVER >> 1);
    assert_nothing_due(MR_NEVER);
    assert_true(wheel_node_armed(&node[0]));
    assert_int_equal(wheel_node_kind(&node[0]), WHEEL_TCP_TIME_WAIT);
    wheel_cancel(&wheel, &node[0]);
    assert_int_equal(wheel_next(&wheel), MR_NEVER);
}

static void time_that_goes_back_changes_nothing(void **state)
{
    wheel_arm(&wheel, &node[0], WHEEL_TCP, wheel.now + 100 * TICK);
    mr_time deadline = wheel_node_deadline(&node[0]);
    assert_nothing_due(deadline - 1);
    assert_nothing_due(0);
    assert_ptr_equal(wheel_expire(&wheel, deadline + TICK), &node[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(armed_node_fires_at_the_first_tick_after_its_deadline, start),
        cmocka_unit_test_setup(deadline_with_low_bits_never_fires_early, start),
        cmocka_unit_test_setup(past_deadline_fires_in_the_next_pass, start),
        cmocka_unit_test_setup(node_rearmed_in_the_past_does_not_fire_again_in_this_pass, start),
        cmocka_unit_test_setup(due_node_cancelled_by_another_does_not_fire, start),
        cmocka_unit_test_setup(armed_node_moved_fires_only_at_its_new_deadline, start),
        cmocka_unit_test_setup(cancelled_node_leaves_the_others, start),
        cmocka_unit_test_setup(long_jump_returns_nodes_in_order_of_ticks, start),
        cmocka_unit_test_setup(deadline_never_stays_armed, start),
        cmocka_unit_test_setup(time_that_goes_back_changes_nothing, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
