/* Maglev's table against the pseudo-code of the paper, its shares, and what moves when a member comes, goes or fails. */
#include "tests/support/cmocka.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/balance/balance.h"
#include "proxy/balance/maglev_hash.h"
#include "proxy/config.h"
#include "tests/support/seed.h"

#define MEMBERS_MAX 4096
#define LOOKUPS     100000

static struct mr_random chance;
static uint64_t keys[MEMBERS_MAX];
static uint32_t weights[MEMBERS_MAX];

static void members_make(uint32_t n, uint32_t weight_max)
{
    for (uint32_t m = 0; m < n; m++) {
        keys[m] = mr_random_next(&chance);
        weights[m] = 256 * (weight_max == 1 ? 1 : 1 + mr_random_below(&chance, weight_max));
    }
}

/* NSDI 2016, figure "Populate": permutations written out, entry by entry. Members are listed in the order of their keys. */
static void paper_populate(const uint64_t *key, uint32_t n, uint32_t size, uint16_t *entry)
{
    uint32_t *permutation = malloc((size_t)n * size * sizeof *permutation), *next = calloc(n, sizeof *next);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t offset = maglev_hash(key[i], 1) % size, skip = maglev_hash(key[i], 2) % (size - 1) + 1;
        for (uint32_t j = 0; j < size; j++)
            permutation[(size_t)i * size + j] = (uint32_t)((offset + j * skip) % size);
    }
    memset(entry, 0xff, size * sizeof *entry);
    for (uint32_t filled = 0, i = 0; filled < size; filled++, i = (i + 1) % n) {
        uint32_t c = permutation[(size_t)i * size + next[i]];
        while (entry[c] != UINT16_MAX)
            c = permutation[(size_t)i * size + ++next[i]];
        entry[c] = (uint16_t)i;
        next[i]++;
    }
    free(permutation);
    free(next);
}

static int key_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void table_of_equal_weights_is_that_of_the_paper(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= 40; n += 13) {
        members_make(n, 1);
        qsort(keys, n, sizeof *keys, key_compare);
        struct maglev_table *t = maglev_build(keys, weights, n);
        uint16_t *entry = malloc(t->size * sizeof *entry);
        paper_populate(keys, n, t->size, entry);
        assert_memory_equal(t->slots, entry, t->size * sizeof *entry);
        free(entry);
        free(t);
    }
}

/* Within 1 % of what the weights say, or one slot of the table where 1 % is less than that. */
static void every_member_has_the_share_of_its_weight(void **state)
{
    (void)state;
    static const struct {
        uint32_t members, weight_max;
    } cases[] = {{1, 1},   {2, 1},   {3, 1},    {3, 10},   {100, 1},  {100, 20},
                 {655, 1}, {656, 1}, {656, 50}, {4096, 1}, {4096, 10}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t n = cases[i].members;
        members_make(n, cases[i].weight_max);
        struct maglev_table *t = maglev_build(keys, weights, n);
        assert_true(t->size >= 100 * n);
        uint32_t *count = calloc(n, sizeof *count);
        double sum = 0, worst = 0;
        for (uint32_t s = 0; s < t->size; s++)
            count[t->slots[s]]++;
        for (uint32_t m = 0; m < n; m++)
            sum += weights[m];
        for (uint32_t m = 0; m < n; m++) {
            double expected = t->size * (weights[m] / sum), off = fabs(count[m] - expected);
            assert_true(off <= expected * 0.01 || off <= 1);
            worst = fmax(worst, off / expected);
        }
        printf("%u members, weights to %u: %u slots, share off by at most %.3f %%\n", n, cases[i].weight_max, t->size,
               100 * worst);
        free(count);
        free(t);
    }
}

static void order_of_the_list_does_not_matter(void **state)
{
    (void)state;
    enum { N = 50 };
    members_make(N, 9);
    struct maglev_table *t = maglev_build(keys, weights, N);
    uint64_t other_keys[N];
    uint32_t other_weights[N], place[N];
    for (uint32_t i = 0; i < N; i++) { /* an inside-out shuffle */
        uint32_t j = mr_random_below(&chance, i + 1);
        place[i] = place[j];
        place[j] = i;
    }
    for (uint32_t i = 0; i < N; i++) {
        other_keys[i] = keys[place[i]];
        other_weights[i] = weights[place[i]];
    }
    struct maglev_table *other = maglev_build(other_keys, other_weights, N);
    for (uint32_t s = 0; s < t->size; s++)
        assert_int_equal(t->slots[s], place[other->slots[s]]);
    free(other);
    free(t);
}

/* Part of the slots whose member, known by its key, is not the same; slots of the last member of either do not count. */
static double moved_beyond_last(const struct maglev_table *less, const struct maglev_table *more, double *of_last)
{
    uint32_t moved = 0, last = 0;
    for (uint32_t s = 0; s < more->size; s++) {
        last += more->slots[s] == more->members - 1;
        moved += more->slots[s] != more->members - 1 && more->slots[s] != less->slots[s];
    }
    *of_last = (double)last / more->size;
    return (double)moved / more->size;
}

/* The list changes by one: its share moves, as it must, and little else (the paper's section 5.3: with 100 slots to a member and
 * more, a few percent). */
static void one_member_more_or_less_moves_little_beside_its_share(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {3, 10, 100, 600};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint32_t n = sizes[i];
        members_make(n + 1, 1);
        struct maglev_table *less = maglev_build(keys, weights, n), *more = maglev_build(keys, weights, n + 1);
        double share, moved = moved_beyond_last(less, more, &share);
        printf("%u or %u members: %.2f %% of slots move, 1/N is %.2f %%\n", n, n + 1, 100 * (share + moved),
               100. / (n + 1));
        assert_true(moved < 0.08); /* chance alone: 4.3 % were seen with 10 members */
        free(less);
        free(more);
    }
}

static struct balance *balance_full(const struct maglev_table *t)
{
    struct balance *b = balance_create(balance_policies[BALANCE_MAGLEV], t->members, t, &chance);
    for (uint32_t m = 0; m < t->members; m++) {
        balance_set_weight(b, m, weights[m]);
        balance_set_fit(b, m, true);
    }
    return b;
}

static int lookup(struct balance *b, uint32_t key)
{
    return balance_choose(b, &(struct balance_query){.hash = key});
}

/* Failing is not leaving the list: exactly the keys of who failed move, over all others, and all of them return. */
static void keys_of_the_unfit_alone_move_and_return(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {2, 3, 10, 100, 1000};
    static int before[LOOKUPS];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint32_t n = sizes[i], moved = 0, out[2] = {mr_random_below(&chance, n), 0};
        out[1] = n > 2 ? (out[0] + 1) % n : out[0];
        members_make(n, 4);
        struct maglev_table *t = maglev_build(keys, weights, n);
        struct balance *b = balance_full(t);
        uint32_t *to = calloc(n, sizeof *to);
        for (uint32_t k = 0; k < LOOKUPS; k++)
            before[k] = lookup(b, k);
        balance_set_fit(b, out[0], false);
        balance_set_fit(b, out[1], false);
        for (uint32_t k = 0; k < LOOKUPS; k++) {
            int now = lookup(b, k);
            bool lost = before[k] == (int)out[0] || before[k] == (int)out[1];
            assert_true(lost ? now != (int)out[0] && now != (int)out[1] : now == before[k]);
            moved += lost;
            to[now] += lost;
        }
        double sum = 0, gone = weights[out[0]] + (out[1] != out[0] ? weights[out[1]] : 0);
        for (uint32_t m = 0; m < n; m++)
            sum += weights[m];
        printf("%u members, %.0f of weight %.0f fail: %.2f %% of keys move\n", n, gone, sum, 100. * moved / LOOKUPS);
        assert_true(fabs(moved - LOOKUPS * gone / sum) <= 6 * sqrt(LOOKUPS * gone / sum) + LOOKUPS * gone / sum * 0.02);
        for (uint32_t m = 0; m < n && moved > 0; m++) { /* each other member takes its part of them */
            double expected = m == out[0] || m == out[1] ? 0 : moved * (weights[m] / (sum - gone));
            assert_true(fabs(to[m] - expected) <= 7 * sqrt(expected) + 0.02 * expected + 4 * (expected > 0));
        }
        balance_set_fit(b, out[0], true);
        balance_set_fit(b, out[1], true);
        for (uint32_t k = 0; k < LOOKUPS; k++)
            assert_int_equal(lookup(b, k), before[k]);
        free(to);
        balance_free(b);
        free(t);
    }
}

/* One of a thousand left: the slots tried are all unfit, and the ring finds it. */
static void last_fit_member_takes_every_key(void **state)
{
    (void)state;
    members_make(1000, 1);
    struct maglev_table *t = maglev_build(keys, weights, 1000);
    struct balance *b = balance_full(t);
    for (uint32_t m = 0; m < 1000; m++)
        balance_set_fit(b, m, m == 333);
    for (uint32_t k = 0; k < 1000; k++)
        assert_int_equal(lookup(b, k), 333);
    balance_free(b);
    free(t);
}

/* Its weight grows from nothing to the table's: keys move to it alone, as many as its weight says, and at the end it has what is its own. */
static void slow_start_moves_keys_to_who_grows_alone(void **state)
{
    (void)state;
    enum { N = 10 };
    static int before[LOOKUPS], full[LOOKUPS];
    members_make(N, 1);
    struct maglev_table *t = maglev_build(keys, weights, N);
    struct balance *b = balance_full(t);
    uint32_t own = 0;
    for (uint32_t k = 0; k < LOOKUPS; k++)
        own += (full[k] = lookup(b, k)) == 4;
    balance_set_weight(b, 4, 0);
    for (uint32_t k = 0; k < LOOKUPS; k++)
        before[k] = lookup(b, k);
    for (uint32_t tenth = 1; tenth <= 10; tenth++) {
        uint32_t has = 0;
        balance_set_weight(b, 4, weights[4] * tenth / 10);
        for (uint32_t k = 0; k < LOOKUPS; k++) {
            int now = lookup(b, k);
            assert_true(now == before[k] || now == 4);
            has += now == 4;
            before[k] = now;
        }
        double expected = own * (double)(weights[4] * tenth / 10) / weights[4];
        assert_true(fabs(has - expected) <= 6 * sqrt(expected));
    }
    assert_memory_equal(before, full, sizeof full);
    balance_free(b);
    free(t);
}

static void table_without_weights_has_nobody(void **state)
{
    (void)state;
    const uint32_t none[2] = {0, 0};
    struct maglev_table *t = maglev_build(keys, none, 2);
    for (uint32_t s = 0; s < t->size; s++)
        assert_int_equal(t->slots[s], UINT16_MAX);
    struct balance *b = balance_create(balance_policies[BALANCE_MAGLEV], 2, t, &chance);
    assert_int_equal(lookup(b, 1), BALANCE_NONE);
    balance_set_fit(b, 1, true);
    balance_set_weight(b, 1, 256); /* given one since */
    assert_int_equal(lookup(b, 1), 1);
    balance_free(b);
    free(t);
}

static int start(void **state)
{
    (void)state;
    mr_random_seed(&chance, support_seed("model-proxy_maglev"));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_of_equal_weights_is_that_of_the_paper),
        cmocka_unit_test(every_member_has_the_share_of_its_weight),
        cmocka_unit_test(order_of_the_list_does_not_matter),
        cmocka_unit_test(one_member_more_or_less_moves_little_beside_its_share),
        cmocka_unit_test(keys_of_the_unfit_alone_move_and_return),
        cmocka_unit_test(last_fit_member_takes_every_key),
        cmocka_unit_test(slow_start_moves_keys_to_who_grows_alone),
        cmocka_unit_test(table_without_weights_has_nobody),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
