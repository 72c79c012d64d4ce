/* The probers of three workers under everything at once, in random order: backends that come, go and are others, checks switched on and
 * off, peers that accept, refuse, answer in pieces, answer nonsense, reset or do nothing, full mailboxes, time. After each step
 * every invariant holds; in the end, when all has been quiet, each worker knows of each backend what its prober knows. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/health/prober.h"
#include "proxy/proxy.h"
#include "tests/support/fake_stream.h"
#include "tests/support/seed.h"

#define WORKERS  3
#define BACKENDS 1500
#define STEPS    5000
#define ROUNDS   4

static struct mr_random chance;
static char path[] = "/", name[] = "m";
static struct proxy_upstream_config configs[2];
static struct plan_upstream upstreams[2] = {{.config = &configs[0]}, {.config = &configs[1]}};
static struct proxy_backend_config backend_config = {
    .name = name, .address = {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1}}, 80}, .weight = 1};
static struct plan_backend *backends; /* one for each version of each slot, so that none changes under a worker */
static uint32_t generations[BACKENDS];
static const struct plan_backend *current[BACKENDS];
static struct mr_worker *workers[WORKERS];
static struct proxy proxies[WORKERS];
static uint64_t counters[WORKERS][PROXY_COUNTERS];
static enum health_verdict told[WORKERS][BACKENDS];
static unsigned looked_at[WORKERS]; /* streams before this one are closed */

void upstream_health_changed(struct proxy *p, uint32_t slot, enum health_verdict verdict)
{
    told[p - proxies][slot] = verdict;
}

static uint32_t below(uint32_t bound)
{
    return mr_random_below(&chance, bound);
}

static void upstream_configure(struct proxy_upstream_config *c)
{
    *c = (struct proxy_upstream_config){
        .name = name,
        .proxy_protocol = (int)below(3),
        .health = {.type = (int)below(3),
                   .interval = (100 + below(1000)) * MR_MILLISECOND,
                   .timeout = (50 + below(500)) * MR_MILLISECOND,
                   .rise = 1 + below(3),
                   .fall = 1 + below(3),
                   .jitter = 0.2,
                   .path = path,
                   .status_minimum = 200,
                   .status_maximum = 399},
    };
}

static void checks_all(void)
{
    for (unsigned i = 0; i < WORKERS; i++)
        health_table_check(&proxies[i]);
}

/* -- steps ----------------------------------------------------------------------------------------------------------------- */

/* A plan: some backends are in it, some are others, and every worker applies it in turn. */
static void plan_change(void)
{
    static unsigned made;
    for (unsigned n = below(100); n > 0; n--) {
        uint32_t slot = below(BACKENDS);
        if (current[slot] && below(2)) {
            for (unsigned i = 0; i < WORKERS; i++)
                health_forget(&proxies[i], slot);
            current[slot] = NULL;
            continue;
        }
        struct plan_backend *b = &backends[made++];
        *b = (struct plan_backend){
            .config = &backend_config, .slot = slot, .generation = generations[slot] += below(3) == 0};
        current[slot] = b;
        for (unsigned i = 0; i < WORKERS; i++) {
            health_watch(&proxies[i], &upstreams[slot % 2], b);
            if (below(20) == 0)
                fake_turn(workers[i]);
        }
    }
}

static struct mr_stream *any_stream(unsigned *worker, unsigned *which)
{
    *worker = below(WORKERS);
    struct mr_worker *w = workers[*worker];
    unsigned n = fake_connect_count(w);
    while (looked_at[*worker] < n && fake_closed(fake_connected(w, looked_at[*worker])))
        looked_at[*worker]++;
    if (looked_at[*worker] == n)
        return NULL;
    *which = looked_at[*worker] + below(n - looked_at[*worker]);
    return fake_connected(w, *which);
}

static bool opened[WORKERS][1 << 20];

static void peer_speaks(struct mr_stream *s)
{
    static const char *const texts[] = {"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 500 Bad\r\nA: b\r\n\r\n",
                                        "HTTP/1.1 100 \r\n\r\n", "nonsense\r\n\r\n", "HTTP/1.1 20"};
    const char *text = texts[below(4) ? 0 : below(5)];
    switch (below(6)) {
    case 0:
        fake_end(s);
        break;
    case 1:
        fake_reset(s);
        break;
    case 2:
        for (; *text && !fake_closed(s); text++)
            fake_input(s, text, 1);
        break;
    default:
        fake_input(s, text, strlen(text));
    }
}

static void peer_acts(void)
{
    unsigned w, i;
    struct mr_stream *s = any_stream(&w, &i);
    if (!s || fake_closed(s))
        return;
    if (opened[w][i]) {
        peer_speaks(s);
    } else if (below(4) == 0) {
        fake_lose(s, below(2) ? MR_CLOSE_REFUSED : MR_CLOSE_UNREACHABLE);
    } else if (!fake_aborted(s)) {
        opened[w][i] = true;
        if (below(5) == 0)
            fake_throttle(s, 1 + below(50));
        fake_connect_accept(s);
    }
}

static void weather_change(void)
{
    struct mr_worker *w = workers[below(WORKERS)];
    static const int errors[8] = {[6] = MR_ERROR_NO_ROUTE, [7] = MR_ERROR_NO_PORT};
    switch (below(4)) {
    case 0:
        fake_connect_error(w, errors[below(8)]);
        break;
    case 1:
        fake_post_error(w, below(4) ? MR_OK : MR_ERROR_NO_MEMORY);
        break;
    case 2:
        fake_offload_refuse(w, below(2));
        break;
    default:
        upstream_configure(&configs[below(2)]);
        for (uint32_t slot = 0; slot < BACKENDS; slot++)
            for (unsigned i = 0; current[slot] && i < WORKERS; i++)
                health_watch(&proxies[i], &upstreams[slot % 2], current[slot]);
    }
}

static void time_passes(mr_time at_most)
{
    mr_time duration = 1 + mr_random_next(&chance) % at_most;
    for (unsigned i = 0; i < WORKERS; i++)
        fake_pass(workers[i], duration);
}

/* -- the whole ------------------------------------------------------------------------------------------------------------- */

static void world_start(void)
{
    memset(told, 0, sizeof told);
    memset(current, 0, sizeof current);
    memset(looked_at, 0, sizeof looked_at);
    memset(opened, 0, sizeof opened);
    for (uint32_t slot = 0; slot < BACKENDS; slot++)
        generations[slot] = 1;
    for (unsigned i = 0; i < 2; i++)
        upstream_configure(&configs[i]);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = fake_worker_create();
        proxies[i] = (struct proxy){.worker = workers[i], .counters = counters[i], .limits = {.backends = BACKENDS}};
        fake_service_add(workers[i], "proxy", &proxies[i]);
    }
    fake_group(workers, WORKERS);
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(health_start(&proxies[i]), MR_OK);
}

/* Whoever is checked was told of, by everybody, and nobody else. */
static void workers_agree(void)
{
    for (uint32_t slot = 0; slot < BACKENDS; slot++) {
        const struct health *h = health_of(&proxies[slot % WORKERS], slot);
        enum health_verdict verdict = h ? h->verdict : HEALTH_UNKNOWN;
        for (unsigned i = 0; i < WORKERS; i++)
            assert_int_equal(told[i][slot], verdict);
    }
}

static void settle(void)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        fake_connect_error(workers[i], MR_ERROR_NO_ROUTE); /* checks end at once */
        fake_post_error(workers[i], MR_OK);
        fake_offload_refuse(workers[i], false);
    }
    for (int n = 0; n < 100; n++) {
        time_passes(100 * MR_MILLISECOND);
        checks_all();
    }
    for (unsigned i = 0; i < WORKERS; i++)
        fake_connect_error(workers[i], MR_ERROR_NO_PORT); /* and then say nothing */
    time_passes(10 * MR_MILLISECOND);
    time_passes(10 * MR_MILLISECOND);
}

static void world_stop(void)
{
    for (unsigned i = 0; i < WORKERS; i++)
        health_stop(&proxies[i]);
    for (unsigned i = 0; i < 3 * WORKERS; i++)
        fake_turn(workers[i % WORKERS]);
    for (unsigned i = 0; i < WORKERS; i++) {
        health_table_check(&proxies[i]);
        assert_int_equal(fake_streams_open(workers[i]), 0);
        health_release(&proxies[i]);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        fake_worker_free(workers[i]);
}

static void round_run(void)
{
    world_start();
    for (unsigned n = 0; n < STEPS; n++) {
        uint32_t what = below(100);
        if (what < 2)
            plan_change();
        else if (what < 3)
            weather_change();
        else if (what < 80)
            peer_acts();
        else
            time_passes(20 * MR_MILLISECOND);
        checks_all();
    }
    settle();
    workers_agree();
    world_stop();
}

static void probers_hold_their_invariants_and_agree(void **state)
{
    (void)state;
    uint64_t checks = 0, failures = 0, changes = 0;
    backends = calloc(ROUNDS * STEPS * 100ul, sizeof *backends);
    for (int i = 0; i < ROUNDS; i++)
        round_run();
    free(backends);
    for (unsigned i = 0; i < WORKERS; i++) {
        checks += counters[i][PROXY_HEALTH_CHECKS];
        failures += counters[i][PROXY_HEALTH_FAILURES];
        changes += counters[i][PROXY_HEALTH_CHANGES];
    }
    printf("%llu checks, %llu of them bad, %llu changes\n", (unsigned long long)checks, (unsigned long long)failures,
           (unsigned long long)changes);
    assert_true(changes > 1000 && checks - failures > 500);
}

static int start(void **state)
{
    (void)state;
    mr_random_seed(&chance, support_seed("model-proxy_prober"));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(probers_hold_their_invariants_and_agree)};
    return cmocka_run_group_tests(tests, start, NULL);
}
