/* The state machine of health checks against one that keeps the whole history of results and changes, and looks through it each time:
 * random results in runs, random configurations, hours of virtual time. */
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/health/health.h"
#include "tests/support/seed.h"

#define STEPS  3000
#define ROUNDS 200

struct event {
    mr_time at;
    bool good;
};

static struct mr_random chance;
static struct event results[STEPS]; /* since the verdict last changed */
static unsigned result_count;
static mr_time changes[STEPS]; /* all there ever were */
static unsigned change_count;

/* How many results at the end of the history are of one kind. */
static unsigned tail(bool good)
{
    unsigned n = 0;
    while (n < result_count && results[result_count - 1 - n].good == good)
        n++;
    return n;
}

/* The changes at the end of the list that are each sooner after the one before than `window`, the last one included. */
static unsigned flaps(mr_time window)
{
    unsigned n = 0;
    for (unsigned i = change_count; i > 1 && changes[i - 1] - changes[i - 2] < window; i--)
        n++;
    return n > 3 ? 3 : n;
}

static enum health_verdict slow_verdict(enum health_verdict before, const struct proxy_health_config *config,
                                        mr_time now)
{
    mr_time window = 10 * config->rise * config->interval;
    uint64_t rise = config->rise;
    if (change_count > 0 && now - changes[change_count - 1] < window)
        rise <<= flaps(window);
    if (before == HEALTH_UNKNOWN && tail(true) > 0)
        return HEALTH_UP;
    if (before == HEALTH_DOWN)
        return tail(true) >= rise ? HEALTH_UP : HEALTH_DOWN;
    return tail(false) >= config->fall ? HEALTH_DOWN : before;
}

static struct proxy_health_config random_config(void)
{
    return (struct proxy_health_config){
        .type = HEALTH_TCP,
        .interval = (10 + mr_random_below(&chance, 5000)) * MR_MILLISECOND,
        .rise = 1 + mr_random_below(&chance, 5),
        .fall = 1 + mr_random_below(&chance, 5),
        .jitter = mr_random_unit(&chance),
    };
}

static unsigned history_follow(void)
{
    struct proxy_health_config config = random_config();
    struct health h;
    mr_time now = MR_SECOND + mr_random_below(&chance, 1000000);
    enum health_verdict verdict = HEALTH_UNKNOWN;
    uint32_t goodness = 0;
    result_count = change_count = 0;
    health_init(&h, &config, &chance, now);
    for (unsigned i = 0; i < STEPS; i++) {
        if (mr_random_below(&chance, 30) == 0) /* backends are good or bad for a while, with slips */
            goodness = mr_random_below(&chance, 101);
        assert_true(h.next >= now && h.next - now <= 2 * config.interval);
        now = h.next + mr_random_below(&chance, 1000000); /* the check takes its time */
        bool good = mr_random_below(&chance, 100) < goodness;
        bool changed = health_report(&h, &config, &chance, good ? HEALTH_GOOD : HEALTH_REFUSED, now);
        health_check(&h);
        assert_true(h.in_a_row < (h.verdict == HEALTH_DOWN ? config.rise << 3 : config.fall));
        results[result_count++] = (struct event){now, good};
        enum health_verdict expected = slow_verdict(verdict, &config, now);
        assert_int_equal(h.verdict, expected);
        assert_int_equal(changed, expected != verdict);
        if (expected != verdict) {
            changes[change_count++] = now;
            result_count = 0;
        }
        verdict = expected;
    }
    return change_count;
}

static void verdict_is_what_the_history_says(void **state)
{
    (void)state;
    unsigned changes_seen = 0;
    for (int i = 0; i < ROUNDS; i++)
        changes_seen += history_follow();
    printf("%u checks, %u changes\n", ROUNDS * STEPS, changes_seen);
    assert_true(changes_seen > 10 * ROUNDS);
}

static int start(void **state)
{
    (void)state;
    mr_random_seed(&chance, support_seed("model-proxy_health"));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(verdict_is_what_the_history_says)};
    return cmocka_run_group_tests(tests, start, NULL);
}
