/* Each balancing policy by example. tests/model/proxy_balance.c has them against slow versions, and their distributions. */
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/balance/balance.h"
#include "proxy/config.h"

#define UNIT 256 /* weight of a member configured with 1 */

static struct mr_random chance;
static const struct balance_query first_try;

/* Members with these weights, all fit. */
static struct balance *balance_of(enum proxy_balance policy, const uint32_t *weights, uint32_t n)
{
    mr_random_seed(&chance, 7);
    struct balance *b = balance_create(balance_policies[policy], n, NULL, &chance);
    assert_non_null(b);
    for (uint32_t m = 0; m < n; m++) {
        balance_set_weight(b, m, weights[m] * UNIT);
        balance_set_fit(b, m, true);
    }
    b->policy->check(b);
    return b;
}

static struct balance *balance_even(enum proxy_balance policy, uint32_t n)
{
    uint32_t weights[64];
    for (uint32_t m = 0; m < n; m++)
        weights[m] = 1;
    return balance_of(policy, weights, n);
}

static void balance_end(struct balance *b)
{
    b->policy->check(b);
    balance_free(b);
}

static void policies_are_named_in_the_order_of_the_configuration(void **state)
{
    (void)state;
    static const char *const names[] = {[BALANCE_ROUND_ROBIN] = "round_robin",
                                        [BALANCE_WEIGHTED] = "weighted",
                                        [BALANCE_LEAST_CONNECTIONS] = "least_connections",
                                        [BALANCE_TWO_CHOICES] = "two_choices",
                                        [BALANCE_MAGLEV] = "maglev"};
    for (int i = 0; i < 5; i++) {
        assert_string_equal(balance_names[i], names[i]);
        assert_string_equal(balance_policies[i]->name, names[i]);
        assert_non_null(balance_policies[i]->sentence);
    }
    assert_null(balance_names[5]);
    assert_null(balance_policies[5]);
}

/* For every policy: without a fit member there is none; the only one is taken; what was tried is avoided while another is there. */
static void any_policy_takes_what_is_fit_and_not_tried(void **state)
{
    (void)state;
    const uint64_t keys[3] = {11, 22, 33};
    const uint32_t weights[3] = {UNIT, UNIT, UNIT};
    struct maglev_table *table = maglev_build(keys, weights, 3);
    const struct balance_query tried_0 = {.hash = 5, .tried = {0}, .tried_count = 1},
                               tried_1_twice = {.hash = 5, .tried = {1, 1}, .tried_count = 2},
                               tried_both = {.hash = 5, .tried = {0, 1, 0}, .tried_count = 3};
    for (int p = 0; balance_policies[p]; p++) {
        struct balance *b = balance_create(balance_policies[p], 3, table, &chance);
        assert_int_equal(balance_choose(b, &first_try), BALANCE_NONE);
        balance_set_fit(b, 1, true);
        assert_int_equal(balance_choose(b, &first_try), BALANCE_NONE); /* no weight yet */
        balance_set_weight(b, 1, UNIT);
        for (int i = 0; i < 10; i++)
            assert_int_equal(balance_choose(b, &first_try), 1);
        assert_int_equal(balance_choose(b, &tried_1_twice), 1); /* there is no other */
        balance_set_weight(b, 0, UNIT);
        balance_set_fit(b, 0, true);
        for (int i = 0; i < 10; i++) {
            assert_int_equal(balance_choose(b, &tried_1_twice), 0);
            assert_int_equal(balance_choose(b, &tried_0), 1);
            assert_in_range(balance_choose(b, &tried_both), 0, 1);
        }
        balance_set_fit(b, 1, false);
        balance_set_weight(b, 0, 0);
        assert_int_equal(balance_choose(b, &first_try), BALANCE_NONE);
        balance_end(b);
    }
    free(table);
}

static void round_robin_takes_members_in_turn_whatever_their_weights(void **state)
{
    (void)state;
    struct balance *b = balance_of(BALANCE_ROUND_ROBIN, (const uint32_t[]){1, 50, 1, 9}, 4);
    int at = balance_choose(b, &first_try);
    for (int i = 1; i < 20; i++)
        assert_int_equal(balance_choose(b, &first_try), (at + i) % 4);
    balance_end(b);
}

static void round_robin_passes_over_the_unfit_and_the_tried(void **state)
{
    (void)state;
    struct balance *b = balance_even(BALANCE_ROUND_ROBIN, 4);
    while (balance_choose(b, &first_try) != 3) {
    }
    balance_set_fit(b, 1, false);
    const struct balance_query tried_0 = {.tried = {0}, .tried_count = 1};
    assert_int_equal(balance_choose(b, &tried_0), 2);
    assert_int_equal(balance_choose(b, &first_try), 3);
    assert_int_equal(balance_choose(b, &first_try), 0);
    assert_int_equal(balance_choose(b, &first_try), 2);
    balance_end(b);
}

/* 5:1:1: any seven choices in a row are five, one and one. */
static void weighted_choices_follow_the_weights_in_every_window(void **state)
{
    (void)state;
    struct balance *b = balance_of(BALANCE_WEIGHTED, (const uint32_t[]){5, 1, 1}, 3);
    int last[7];
    for (int i = 0; i < 700; i++) {
        last[i % 7] = balance_choose(b, &first_try);
        unsigned count[3] = {0};
        for (int j = 0; i >= 6 && j < 7; j++)
            count[last[j]]++;
        if (i >= 6) {
            assert_int_equal(count[0], 5);
            assert_int_equal(count[1], 1);
            assert_int_equal(count[2], 1);
        }
    }
    balance_end(b);
}

static void weighted_member_gains_nothing_by_going_and_coming(void **state)
{
    (void)state;
    struct balance *b = balance_of(BALANCE_WEIGHTED, (const uint32_t[]){1, 3}, 2);
    unsigned count[2] = {0};
    for (int i = 0; i < 4000; i++) { /* full with each request, then free again */
        int m = balance_choose(b, &first_try);
        count[m]++;
        balance_set_fit(b, (uint32_t)m, false);
        balance_set_fit(b, (uint32_t)m, true);
    }
    assert_in_range(count[0], 999, 1001);
    balance_end(b);
}

/* Down for long: one choice when it is back, not all that it missed. */
static void weighted_member_that_was_away_is_owed_nothing(void **state)
{
    (void)state;
    struct balance *b = balance_even(BALANCE_WEIGHTED, 4);
    balance_set_fit(b, 2, false);
    for (int i = 0; i < 1000; i++)
        assert_int_not_equal(balance_choose(b, &first_try), 2);
    balance_set_fit(b, 2, true);
    unsigned count = 0;
    for (int i = 0; i < 40; i++)
        count += balance_choose(b, &first_try) == 2;
    assert_in_range(count, 10, 11);
    balance_end(b);
}

static void least_connections_takes_the_least_loaded_for_its_weight(void **state)
{
    (void)state;
    struct balance *b = balance_of(BALANCE_LEAST_CONNECTIONS, (const uint32_t[]){1, 4, 1}, 3);
    balance_set_active(b, 0, 2);
    balance_set_active(b, 1, 7);
    balance_set_active(b, 2, 3);
    assert_int_equal(balance_choose(b, &first_try), 1); /* 7/4 < 2 < 3 */
    balance_set_active(b, 1, 9);
    assert_int_equal(balance_choose(b, &first_try), 0); /* 2 < 9/4 < 3 */
    balance_set_active(b, 0, 4);
    balance_set_active(b, 1, 13);
    assert_int_equal(balance_choose(b, &first_try), 2);
    balance_end(b);
}

static void least_connections_takes_equals_in_turn(void **state)
{
    (void)state;
    struct balance *b = balance_even(BALANCE_LEAST_CONNECTIONS, 5);
    int order[5];
    for (int i = 0; i < 5; i++)
        order[i] = balance_choose(b, &first_try);
    for (int i = 5; i < 50; i++)
        assert_int_equal(balance_choose(b, &first_try), order[i % 5]);
    balance_end(b);
}

static void least_connections_follows_weights_when_nothing_is_under_way(void **state)
{
    (void)state;
    struct balance *b = balance_of(BALANCE_LEAST_CONNECTIONS, (const uint32_t[]){1, 3}, 2);
    unsigned count[2] = {0};
    for (int i = 0; i < 4000; i++) {
        int m = balance_choose(b, &first_try);
        count[m]++;
        balance_set_active(b, (uint32_t)m, 1);
        balance_set_active(b, (uint32_t)m, 0);
    }
    assert_in_range(count[0], 999, 1001);
    balance_end(b);
}

static void two_choices_never_takes_the_most_loaded(void **state)
{
    (void)state;
    struct balance *b = balance_of(BALANCE_TWO_CHOICES, (const uint32_t[]){1, 4, 1}, 3);
    balance_set_active(b, 0, 3);
    balance_set_active(b, 1, 11); /* 11/4 < 3 */
    balance_set_active(b, 2, 2);
    unsigned count[3] = {0};
    for (int i = 0; i < 3000; i++)
        count[balance_choose(b, &first_try)]++;
    assert_int_equal(count[0], 0);
    assert_in_range(count[1], 850, 1150); /* one pair of three */
    balance_end(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_are_named_in_the_order_of_the_configuration),
        cmocka_unit_test(any_policy_takes_what_is_fit_and_not_tried),
        cmocka_unit_test(round_robin_takes_members_in_turn_whatever_their_weights),
        cmocka_unit_test(round_robin_passes_over_the_unfit_and_the_tried),
        cmocka_unit_test(weighted_choices_follow_the_weights_in_every_window),
        cmocka_unit_test(weighted_member_gains_nothing_by_going_and_coming),
        cmocka_unit_test(weighted_member_that_was_away_is_owed_nothing),
        cmocka_unit_test(least_connections_takes_the_least_loaded_for_its_weight),
        cmocka_unit_test(least_connections_takes_equals_in_turn),
        cmocka_unit_test(least_connections_follows_weights_when_nothing_is_under_way),
        cmocka_unit_test(two_choices_never_takes_the_most_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
