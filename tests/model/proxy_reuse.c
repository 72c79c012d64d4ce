/* How many requests find an idle connection to their backend: with one worker, and with two and four that lend each other none. One worker
 * is what lending would give at best, for then every request could have every idle connection. The property: what lending could win is
 * only where next to nothing is asked.
 *
 * usage: proxy_reuse [--print]    the table of services/proxy/README.md */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/upstream/upstream.h"
#include "tests/support/cmocka.h"
#include "tests/support/proxy_words.h"

#define REQUESTS 4000
#define TAKES    (5 * MR_MILLISECOND)
#define PENDING  64

static struct proxy_words world;
static struct mr_random random_state;

struct asker {
    struct upstream_request q;
    struct proxy *p;
    struct proxy_plan *plan;
    mr_time until; /* MR_NEVER: not ready yet */
    bool used;
};
static struct asker askers[PENDING];

static void ready(struct upstream_request *q)
{
    struct asker *a = q->context;
    a->until = mr_now(a->p->worker) + TAKES;
}

static void failed(struct upstream_request *q, enum upstream_failure why)
{
    fail_msg("%s", upstream_failure_text(why));
}

static void nothing(struct upstream_request *q)
{
    (void)q;
}

static void closed(struct upstream_request *q, enum mr_close_reason reason)
{
    fail_msg("a connection in use was closed: %d", reason);
}

static const struct upstream_user user = {nothing, nothing, closed};

static void arrive(unsigned worker)
{
    struct asker *a = askers;
    while (a->used)
        assert_true(++a < askers + PENDING);
    struct proxy *p = proxy_words_on(&world, worker);
    *a = (struct asker){.p = p, .plan = plan_hold(p), .until = MR_NEVER, .used = true};
    a->q = (struct upstream_request){
        .proxy = p, .upstream = &a->plan->upstreams[0], .user = &user, .ready = ready, .failed = failed, .context = a};
    if (upstream_ask(&a->q) == UPSTREAM_READY)
        ready(&a->q);
}

static void leave(mr_time now)
{
    for (struct asker *a = askers; a < askers + PENDING; a++)
        if (a->used && a->until <= now) {
            upstream_give(&a->q);
            plan_release(a->p, a->plan);
            a->used = false;
        }
}

static bool any_left(void)
{
    for (unsigned i = 0; i < PENDING; i++)
        if (askers[i].used)
            return true;
    return false;
}

/* Arrivals at random, `rate` a second, each at a worker by chance, as RSS does with clients' connections. */
static double reuse_ratio(unsigned workers, double rate)
{
    proxy_words_start(
        &world, workers,
        "add upstream app idle_timeout 30s\nadd backend app 10.0.0.1:80\nadd listener front :8080 upstream app\n");
    for (unsigned i = 0; i < workers; i++)
        fake_connect_automatic(world.group.w[i], true);
    mr_random_seed(&random_state, 4711);
    for (unsigned n = 0; n < REQUESTS || any_left();) {
        double wait = -log(1.0 - mr_random_unit(&random_state)) / rate;
        mr_time pause = (mr_time)(wait * (double)MR_SECOND);
        for (mr_time step; pause > 0; pause -= step) {
            step = any_left() && pause > MR_MILLISECOND ? MR_MILLISECOND : pause;
            proxy_words_pass(&world, step);
            leave(mr_now(world.w));
        }
        if (n < REQUESTS) {
            arrive(mr_random_below(&random_state, workers));
            n++;
        }
    }
    double reused = 0, connects = 0;
    for (unsigned i = 0; i < workers; i++) {
        reused += (double)world.group.counters[i][PROXY_REUSED];
        connects += (double)world.group.counters[i][PROXY_CONNECTS];
    }
    assert_true(reused + connects == REQUESTS);
    proxy_words_stop(&world, 0);
    return reused / REQUESTS;
}

static bool print;

static void workers_apart_reuse_almost_as_much_as_one(void **state)
{
    static const double rates[] = {0.1, 0.3, 1, 10, 100, 1000};
    if (print)
        printf("| requests a second | 1 worker | 2 | 4 |\n|---|---|---|---|\n");
    for (unsigned i = 0; i < sizeof rates / sizeof *rates; i++) {
        double one = reuse_ratio(1, rates[i]), two = reuse_ratio(2, rates[i]), four = reuse_ratio(4, rates[i]);
        if (print)
            printf("| %g | %.1f %% | %.1f %% | %.1f %% |\n", rates[i], 100 * one, 100 * two, 100 * four);
        assert_true(two <= one + 0.005 && four <= two + 0.005);
        if (rates[i] >= 1) { /* from one request a second on */
            assert_true(one - two < 0.01);
            assert_true(one - four < 0.02);
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(workers_apart_reuse_almost_as_much_as_one)};
    print = argc > 1 && !strcmp(argv[1], "--print");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
