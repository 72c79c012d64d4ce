/* Balancing policies against obvious slow versions of them: members come, go, are weighted and loaded at random, and each choice is
 * compared with what a scan over all members says. What is random by design is compared with its exact distribution by chi-square. */
#include "tests/support/cmocka.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/balance/balance.h"
#include "proxy/config.h"
#include "tests/support/seed.h"

#define MEMBERS_MAX 200
#define STEPS       20000
#define WEIGHT_MAX  (65535 * 256)

static struct mr_random chance;

static uint32_t below(uint32_t bound)
{
    return mr_random_below(&chance, bound);
}

/* -- a slow version: every member, looked at each time ------------------------------------------------------------------------ */

struct slow_member {
    uint32_t weight, active;
    bool fit;
    uint64_t wait; /* weighted: until its turn, in virtual time, of which a choice takes 2^48 / weight */
    uint32_t pace; /* its weight, or the last that was not 0 */
    bool begun;
    uint64_t turn; /* least connections: among equals */
};

struct slow {
    uint32_t count;
    struct slow_member members[MEMBERS_MAX];
    struct mr_random random; /* draws what the policy draws */
    uint64_t now;
    uint32_t cursor;
};

static bool slow_takes(const struct slow *s, uint32_t m)
{
    return s->members[m].fit && s->members[m].weight > 0;
}

static bool tried(const struct balance_query *q, uint32_t m)
{
    for (uint32_t i = 0; i < q->tried_count; i++)
        if (q->tried[i] == m)
            return true;
    return false;
}

static unsigned slow_allowed(const struct slow *s, const struct balance_query *q, bool *allowed)
{
    unsigned n = 0, fit = 0;
    for (uint32_t m = 0; m < s->count; m++) {
        fit += slow_takes(s, m);
        n += allowed[m] = slow_takes(s, m) && !tried(q, m);
    }
    for (uint32_t m = 0; n == 0 && m < s->count; m++)
        allowed[m] = slow_takes(s, m);
    return n ? n : fit;
}

/* Each checks the choice `got` and takes note of it. */
static void round_robin_follow(struct slow *s, const bool *allowed, int got)
{
    while (!allowed[s->cursor % s->count])
        s->cursor++;
    assert_int_equal(got, s->cursor % s->count);
    s->cursor = s->cursor % s->count + 1;
}

static void weighted_follow(struct slow *s, const bool *allowed, int got)
{
    uint64_t least = UINT64_MAX;
    int best = -1;
    for (uint32_t m = 0; m < s->count; m++) {
        if (allowed[m] && (best < 0 || s->members[m].wait < s->members[best].wait))
            best = (int)m;
        if (slow_takes(s, m) && s->members[m].wait < least)
            least = s->members[m].wait;
    }
    assert_int_equal(got, best);
    for (uint32_t m = 0; m < s->count; m++)
        s->members[m].wait -= s->members[m].wait < least ? s->members[m].wait : least;
    s->members[got].wait += (UINT64_C(1) << 48) / s->members[got].weight;
}

/* Its next turn is as much work away as it was. */
static void slow_weigh(struct slow_member *m, uint32_t weight)
{
    m->weight = weight;
    if (weight && m->begun)
        m->wait = (uint64_t)((unsigned __int128)m->wait * m->pace / weight);
    m->pace = weight ? weight : m->pace;
}

static void least_connections_follow(struct slow *s, const bool *allowed, int got)
{
    int best = -1;
    for (uint32_t m = 0; m < s->count; m++) {
        if (!allowed[m])
            continue;
        const struct slow_member *x = &s->members[m], *y = &s->members[best < 0 ? (int)m : best];
        uint64_t left = ((uint64_t)x->active << 31) / x->weight, right = ((uint64_t)y->active << 31) / y->weight;
        if (best < 0 || left < right || (left == right && x->turn < y->turn))
            best = (int)m;
    }
    assert_int_equal(got, best);
    struct slow_member *chosen = &s->members[got];
    s->now = chosen->turn > s->now ? chosen->turn : s->now;
    chosen->turn = s->now + (UINT64_C(1) << 32) / chosen->weight;
}

static void any_follow(struct slow *s, const bool *allowed, int got)
{
    (void)s;
    assert_true(allowed[got]);
}

static void (*const follow[])(struct slow *s, const bool *allowed, int got) = {
    [BALANCE_ROUND_ROBIN] = round_robin_follow,
    [BALANCE_WEIGHTED] = weighted_follow,
    [BALANCE_LEAST_CONNECTIONS] = least_connections_follow,
    [BALANCE_TWO_CHOICES] = any_follow,
    [BALANCE_MAGLEV] = any_follow,
};

/* A member begins or comes back. */
static void slow_enters(struct slow *s, enum proxy_balance policy, struct slow_member *m)
{
    if (policy == BALANCE_LEAST_CONNECTIONS && m->turn < s->now)
        m->turn = s->now;
    if (policy == BALANCE_WEIGHTED && !m->begun) {
        m->wait = mr_random_next(&s->random) % ((UINT64_C(1) << 48) / m->weight);
        m->begun = true;
    }
}

static void member_change(struct balance *b, struct slow *s, enum proxy_balance policy)
{
    uint32_t i = below(s->count);
    struct slow_member *m = &s->members[i];
    bool before = slow_takes(s, i);
    switch (below(4)) {
    case 0:
        slow_weigh(m, below(8) ? 1 + below(WEIGHT_MAX >> below(20)) : 0);
        balance_set_weight(b, i, m->weight);
        break;
    case 1:
        m->fit = below(4) > 0;
        balance_set_fit(b, i, m->fit);
        break;
    default:
        m->active = below(1u << below(12));
        balance_set_active(b, i, m->active);
    }
    if (!before && slow_takes(s, i))
        slow_enters(s, policy, m);
}

static void choose_once(struct balance *b, struct slow *s, enum proxy_balance policy)
{
    struct balance_query q = {.hash = mr_random_next(&chance)};
    for (uint32_t n = below(4) ? 0 : below(BALANCE_TRIED_MAX + 1); q.tried_count < n;)
        q.tried[q.tried_count++] = below(s->count);
    bool allowed[MEMBERS_MAX];
    unsigned n = slow_allowed(s, &q, allowed);
    int got = balance_choose(b, &q);
    if (n == 0) {
        assert_int_equal(got, BALANCE_NONE);
        return;
    }
    assert_in_range(got, 0, s->count - 1);
    assert_true(allowed[got]);
    follow[policy](s, allowed, got);
}

static void slow_begin(struct slow *s, enum proxy_balance policy, uint32_t count, uint64_t random_seed)
{
    *s = (struct slow){.count = count};
    mr_random_seed(&s->random, random_seed);
    if (policy == BALANCE_ROUND_ROBIN)
        s->cursor = mr_random_below(&s->random, count);
    for (uint32_t m = 0; policy == BALANCE_LEAST_CONNECTIONS && m < count; m++)
        s->members[m].turn = mr_random_below(&s->random, 256);
}

static void policy_follow_random_steps(enum proxy_balance policy, uint32_t count)
{
    static struct slow slow;
    struct mr_random random;
    uint64_t random_seed = mr_random_next(&chance);
    mr_random_seed(&random, random_seed);
    slow_begin(&slow, policy, count, random_seed);
    uint64_t keys[MEMBERS_MAX];
    uint32_t weights[MEMBERS_MAX];
    for (uint32_t m = 0; m < count; m++) {
        keys[m] = mr_random_next(&chance);
        weights[m] = 1 + below(WEIGHT_MAX);
    }
    struct maglev_table *table = policy == BALANCE_MAGLEV ? maglev_build(keys, weights, count) : NULL;
    struct balance *b = balance_create(balance_policies[policy], count, table, &random);
    for (int i = 0; i < STEPS; i++) {
        if (below(3) == 0 || i < (int)count)
            member_change(b, &slow, policy);
        else
            choose_once(b, &slow, policy);
        b->policy->check(b);
    }
    balance_free(b);
    free(table);
}

static void every_policy_chooses_as_the_slow_version_does(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 2, 3, 8, 64, 65, MEMBERS_MAX};
    for (int p = 0; balance_policies[p]; p++)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            policy_follow_random_steps((enum proxy_balance)p, counts[i]);
}

/* -- slow start and weights ---------------------------------------------------------------------------------------------------- */

/* One of five grows from a tenth to its weight in a hundred steps: it is chosen as often as the sum of its shares says, give or take
 * two, and never waits twice as long as its weight of that moment says. */
static void weighted_member_grows_without_burst_or_gap(void **state)
{
    (void)state;
    struct balance *b = balance_create(balance_policies[BALANCE_WEIGHTED], 5, NULL, &chance);
    const struct balance_query q = {0};
    const uint32_t full = 256 * 10, step_choices = 50;
    for (uint32_t m = 0; m < 5; m++) {
        balance_set_weight(b, m, m == 4 ? full / 10 : full);
        balance_set_fit(b, m, true);
    }
    double expected = 0, since = 0;
    unsigned count = 0;
    for (uint32_t step = 0; step < 100; step++) {
        uint32_t weight = full / 10 + full * 9 / 10 * step / 99;
        balance_set_weight(b, 4, weight);
        for (uint32_t i = 0; i < step_choices; i++) {
            double share = (double)weight / (weight + 4. * full);
            expected += share;
            since += share;
            if (balance_choose(b, &q) == 4) {
                count++;
                assert_true(since > 0.15 || count == 1); /* four others may come between, or not, at a fifth each */
                since = 0;
            }
            assert_true(since < 2);
        }
    }
    printf("slow start: %u choices, %.1f expected\n", count, expected);
    assert_true(fabs(count - expected) <= 2);
    balance_free(b);
}

static void weighted_shares_are_those_of_the_weights(void **state)
{
    (void)state;
    enum { N = 40, CHOICES = 400000 };
    struct balance *b = balance_create(balance_policies[BALANCE_WEIGHTED], N, NULL, &chance);
    const struct balance_query q = {0};
    unsigned count[N] = {0};
    uint32_t weights[N];
    double sum = 0;
    for (uint32_t m = 0; m < N; m++) {
        weights[m] = 256 * (1 + below(65535 >> below(14)));
        sum += weights[m];
        balance_set_weight(b, m, weights[m]);
        balance_set_fit(b, m, true);
    }
    for (int i = 0; i < CHOICES; i++)
        count[balance_choose(b, &q)]++;
    for (uint32_t m = 0; m < N; m++) {
        double expected = CHOICES * (weights[m] / sum);
        assert_true(fabs(count[m] - expected) <= 2 + expected * 1e-4);
    }
    balance_free(b);
}

/* -- two choices ----------------------------------------------------------------------------------------------------------------- */

/* The exact probability of each member: over all pairs, the lighter, or lots by weight. */
static void two_choices_probabilities(const struct slow_member *members, uint32_t n, double *p)
{
    memset(p, 0, n * sizeof *p);
    for (uint32_t x = 0; x < n; x++)
        for (uint32_t y = x + 1; y < n; y++) {
            double pair = 2. / (n * (n - 1.));
            uint64_t left = (uint64_t)members[x].active * members[y].weight,
                     right = (uint64_t)members[y].active * members[x].weight;
            double to_x = left < right   ? 1
                          : left > right ? 0
                                         : members[x].weight / ((double)members[x].weight + members[y].weight);
            p[x] += pair * to_x;
            p[y] += pair * (1 - to_x);
        }
}

/* Far beyond chance: about one in a million for any number of classes here. */
static void chi_square_check(const unsigned *count, const double *p, uint32_t n, unsigned choices)
{
    double sum = 0;
    uint32_t classes = 0;
    for (uint32_t m = 0; m < n; m++) {
        double expected = p[m] * choices;
        if (p[m] == 0) {
            assert_int_equal(count[m], 0);
            continue;
        }
        sum += (count[m] - expected) * (count[m] - expected) / expected;
        classes++;
    }
    double freedom = classes - 1.;
    assert_true(sum <= freedom + 8 * sqrt(2 * freedom) + 16);
}

static void two_choices_have_their_exact_distribution(void **state)
{
    (void)state;
    enum { CHOICES = 60000 };
    const struct balance_query q = {0};
    for (uint32_t n = 2; n <= 30; n++) {
        struct slow_member members[30] = {0};
        struct balance *b = balance_create(balance_policies[BALANCE_TWO_CHOICES], n, NULL, &chance);
        for (uint32_t m = 0; m < n; m++) {
            members[m] = (struct slow_member){.weight = 256 * (1 + below(5)), .active = below(4)};
            balance_set_weight(b, m, members[m].weight);
            balance_set_active(b, m, members[m].active);
            balance_set_fit(b, m, true);
        }
        double p[30];
        unsigned count[30] = {0};
        two_choices_probabilities(members, n, p);
        for (int i = 0; i < CHOICES; i++)
            count[balance_choose(b, &q)]++;
        chi_square_check(count, p, n, CHOICES);
        balance_free(b);
    }
}

/* -- load: requests of random length ------------------------------------------------------------------------------------------- */

/* The largest number under way at one of 100 members with 1000 requests at a time, each ended at random. */
static uint32_t heaviest_under_load(enum proxy_balance policy)
{
    enum { N = 100, REQUESTS = 1000 };
    struct balance *b = balance_create(balance_policies[policy], N, NULL, &chance);
    const struct balance_query q = {0};
    uint32_t active[N] = {0}, at[REQUESTS], heaviest = 0;
    for (uint32_t m = 0; m < N; m++) {
        balance_set_weight(b, m, 256);
        balance_set_fit(b, m, true);
    }
    for (uint32_t i = 0; i < 50 * REQUESTS; i++) {
        uint32_t r = i < REQUESTS ? i : below(REQUESTS);
        if (i >= REQUESTS) {
            active[at[r]]--;
            balance_set_active(b, at[r], active[at[r]]);
        }
        at[r] = (uint32_t)balance_choose(b, &q);
        balance_set_active(b, at[r], ++active[at[r]]);
        if (active[at[r]] > heaviest)
            heaviest = active[at[r]];
    }
    balance_free(b);
    return heaviest;
}

static void load_is_spread_as_the_policies_promise(void **state)
{
    (void)state;
    uint32_t turn = heaviest_under_load(BALANCE_ROUND_ROBIN), two = heaviest_under_load(BALANCE_TWO_CHOICES),
             least = heaviest_under_load(BALANCE_LEAST_CONNECTIONS);
    printf("1000 requests at 100 members, the most at one: round robin %u, two choices %u, least connections %u\n",
           turn, two, least);
    assert_true(least <= 11); /* 10 each, and the one that is added before another has ended */
    assert_true(two <= 16 && least <= two && two < turn);
}

static int start(void **state)
{
    (void)state;
    mr_random_seed(&chance, support_seed("model-proxy_balance"));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_policy_chooses_as_the_slow_version_does),
        cmocka_unit_test(weighted_member_grows_without_burst_or_gap),
        cmocka_unit_test(weighted_shares_are_those_of_the_weights),
        cmocka_unit_test(two_choices_have_their_exact_distribution),
        cmocka_unit_test(load_is_spread_as_the_policies_promise),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
