/* Checks of backends over tests/support/fake_stream.c: what each kind of answer is taken for, what is told to whom, and that every
 * check ends whatever its peer does. Upstreams are a stand-in that writes down what it is told. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/health/prober.h"
#include "proxy/proxy.h"
#include "tests/support/fake_stream.h"

#define WORKERS  2
#define BACKENDS 600

static struct proxy_upstream_config config;
static struct proxy_backend_config backend_configs[BACKENDS];
static struct plan_backend backends[BACKENDS];
static struct plan_upstream upstream = {.config = &config};
static struct mr_worker *workers[WORKERS];
static struct proxy proxies[WORKERS];
static uint64_t counters[WORKERS][PROXY_COUNTERS];
static enum health_verdict told[WORKERS][BACKENDS];
static unsigned told_count[WORKERS];

void upstream_health_changed(struct proxy *p, uint32_t slot, enum health_verdict verdict)
{
    unsigned i = (unsigned)(p - proxies);
    told_count[i] += told[i][slot] != verdict;
    told[i][slot] = verdict;
}

/* -- the world ------------------------------------------------------------------------------------------------------------- */

static void backend_name(uint32_t i)
{
    static char names[BACKENDS][16];
    snprintf(names[i], sizeof names[i], "b%u", i);
    backend_configs[i] =
        (struct proxy_backend_config){.name = names[i], .address = {mr_address_ip4(0x0a000000 + i), 8080}, .weight = 1};
    backends[i] = (struct plan_backend){.config = &backend_configs[i], .slot = i, .generation = 7};
}

static void world_start(unsigned n)
{
    static char path[] = "/health", name[] = "web";
    config = (struct proxy_upstream_config){
        .name = name,
        .health = {.type = HEALTH_HTTP,
                   .interval = 2 * MR_SECOND,
                   .timeout = MR_SECOND,
                   .rise = 2,
                   .fall = 3,
                   .jitter = 0.1,
                   .path = path,
                   .status_minimum = 200,
                   .status_maximum = 399},
    };
    for (uint32_t i = 0; i < BACKENDS; i++)
        backend_name(i);
    memset(told, 0, sizeof told);
    memset(told_count, 0, sizeof told_count);
    memset(counters, 0, sizeof counters);
    for (unsigned i = 0; i < n; i++) {
        workers[i] = fake_worker_create();
        proxies[i] = (struct proxy){.worker = workers[i], .counters = counters[i], .limits = {.backends = BACKENDS}};
        fake_service_add(workers[i], "proxy", &proxies[i]);
    }
    fake_group(workers, n);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(health_start(&proxies[i]), MR_OK);
}

static void world_stop(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        health_stop(&proxies[i]);
    for (unsigned i = 0; i < 3 * n; i++)
        fake_turn(workers[i % n]);
    for (unsigned i = 0; i < n; i++)
        health_release(&proxies[i]);
    for (unsigned i = 0; i < n; i++)
        fake_worker_free(workers[i]);
}

static int start(void **state)
{
    (void)state;
    world_start(1);
    return 0;
}

static int start_two(void **state)
{
    (void)state;
    world_start(WORKERS);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(1);
    return 0;
}

static int stop_two(void **state)
{
    (void)state;
    world_stop(WORKERS);
    return 0;
}

/* A plan with these backends comes to every worker. */
static void watch(unsigned n_workers, uint32_t first, uint32_t n)
{
    for (unsigned w = 0; w < n_workers; w++)
        for (uint32_t i = first; i < first + n; i++)
            health_watch(&proxies[w], &upstream, &backends[i]);
}

static unsigned connects(void)
{
    return fake_connect_count(workers[0]);
}

/* The next check of the first worker begins: its connection, not yet open. */
static struct mr_stream *next_check(void)
{
    unsigned before = connects();
    for (int i = 0; i < 1000 && connects() == before; i++)
        fake_pass(workers[0], 10 * MR_MILLISECOND);
    assert_true(connects() > before);
    return fake_connected(workers[0], before);
}

static struct mr_stream *next_check_open(void)
{
    struct mr_stream *s = next_check();
    fake_connect_accept(s);
    return s;
}

static const struct health *health(void)
{
    return health_of(&proxies[0], 0);
}

static void answer(struct mr_stream *s, const char *text)
{
    fake_input(s, text, strlen(text));
}

/* The check that runs is over, with this result. */
static void found(uint64_t checks, enum health_result r)
{
    health_check(health());
    assert_int_equal(health()->checks, checks);
    assert_int_equal(health()->last, r);
    assert_int_equal(counters[0][PROXY_HEALTH_CHECKS], checks);
}

static void fail_three_times(void)
{
    for (int i = 0; i < 3; i++)
        fake_lose(next_check(), MR_CLOSE_REFUSED);
    assert_int_equal(told[0][0], HEALTH_DOWN);
}

/* -- TCP ------------------------------------------------------------------------------------------------------------------- */

static void tcp_connected_is_good_and_closed_in_order(void **state)
{
    (void)state;
    config.health.type = HEALTH_TCP;
    watch(1, 0, 1);
    assert_int_equal(health()->verdict, HEALTH_UNKNOWN);
    struct mr_stream *s = next_check_open();
    found(1, HEALTH_GOOD);
    assert_int_equal(told[0][0], HEALTH_UP);
    size_t n;
    fake_output(s, &n);
    assert_int_equal(n, 0);
    assert_true(fake_shutdown_seen(s) && !fake_aborted(s));
    fake_end(s);
    assert_true(fake_closed(s));
    assert_int_equal(fake_close_reason(s), MR_CLOSE_DONE);
}

static void tcp_peer_that_does_not_end_is_reset(void **state)
{
    (void)state;
    config.health.type = HEALTH_TCP;
    watch(1, 0, 1);
    struct mr_stream *s = next_check_open();
    answer(s, "220 a greeting that nobody reads\r\n");
    assert_int_equal(fake_unread(s), 0);
    fake_pass(workers[0], 300 * MR_MILLISECOND);
    assert_true(fake_aborted(s) && fake_closed(s));
    found(1, HEALTH_GOOD);
}

static void proxy_header_says_that_the_connection_is_our_own(void **state)
{
    (void)state;
    size_t n;
    config.health.type = HEALTH_TCP;
    config.proxy_protocol = PROXY_PROTOCOL_V1;
    watch(1, 0, 1);
    assert_string_equal(fake_output(next_check_open(), &n), "PROXY UNKNOWN\r\n");
    config.health.type = HEALTH_HTTP;
    config.proxy_protocol = PROXY_PROTOCOL_V2;
    struct mr_stream *s = next_check_open();
    const char *out = fake_output(s, &n);
    assert_true(n > 16);
    assert_memory_equal(out, "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16); /* version 2, LOCAL, no addresses */
    assert_memory_equal(out + 16, "GET /health HTTP/1.1\r\n", 22);
    fake_reset(s);
}

static void connect_fails_as_the_reason_says(void **state)
{
    (void)state;
    static const struct {
        enum mr_close_reason reason;
        enum health_result result;
    } cases[] = {{MR_CLOSE_REFUSED, HEALTH_REFUSED},
                 {MR_CLOSE_TIMEOUT, HEALTH_TIMEOUT},
                 {MR_CLOSE_UNREACHABLE, HEALTH_UNREACHABLE}};
    watch(1, 0, 1);
    for (unsigned i = 0; i < 3; i++) {
        fake_lose(next_check(), cases[i].reason);
        found(i + 1, cases[i].result);
    }
    assert_int_equal(told[0][0], HEALTH_DOWN);
    assert_int_equal(told_count[0], 1);
    assert_int_equal(counters[0][PROXY_HEALTH_FAILURES], 3);
    assert_int_equal(counters[0][PROXY_HEALTH_CHANGES], 1);
}

static void connect_that_nobody_answers_times_out(void **state)
{
    (void)state;
    watch(1, 0, 1);
    struct mr_stream *s = next_check();
    fake_pass(workers[0], 900 * MR_MILLISECOND);
    assert_false(fake_closed(s));
    fake_pass(workers[0], 200 * MR_MILLISECOND);
    assert_true(fake_aborted(s) && fake_closed(s));
    found(1, HEALTH_TIMEOUT);
}

static void connection_that_cannot_be_begun_counts_by_its_reason(void **state)
{
    (void)state;
    fake_connect_error(workers[0], MR_ERROR_NO_ROUTE);
    watch(1, 0, 1);
    fake_pass(workers[0], MR_SECOND);
    found(1, HEALTH_UNREACHABLE);
    fake_connect_error(workers[0], MR_ERROR_NO_PORT);
    fake_pass(workers[0], 10 * MR_SECOND);
    found(1, HEALTH_UNREACHABLE);
    assert_true(counters[0][PROXY_HEALTH_UNMADE] >= 4);
    fake_connect_error(workers[0], MR_OK);
    fake_lose(next_check(), MR_CLOSE_REFUSED);
    found(2, HEALTH_REFUSED);
}

static void source_addresses_are_taken_in_turn(void **state)
{
    (void)state;
    config.source_count = 2;
    config.sources[0] = mr_address_ip4(0xc6120010);
    config.sources[1] = mr_address_ip4(0xc6120011);
    watch(1, 0, 1);
    for (unsigned i = 0; i < 4; i++) {
        struct mr_stream *s = next_check();
        struct mr_endpoint local, remote;
        mr_stream_local(s, &local);
        mr_stream_remote(s, &remote);
        assert_true(mr_address_equal(&local.address, &config.sources[i % 2]));
        assert_true(mr_address_equal(&remote.address, &backend_configs[0].address.address));
        assert_int_equal(remote.port, 8080);
        fake_lose(s, MR_CLOSE_REFUSED);
    }
}

/* -- HTTP ------------------------------------------------------------------------------------------------------------------ */

static void http_asks_for_its_path_and_host(void **state)
{
    (void)state;
    static char host[] = "app.example";
    watch(1, 0, 1);
    struct mr_stream *s = next_check_open();
    assert_string_equal(fake_output(s, NULL), "GET /health HTTP/1.1\r\nHost: 10.0.0.0:8080\r\n"
                                              "User-Agent: millrace-health\r\nConnection: close\r\n\r\n");
    fake_reset(s);
    config.health.host = host;
    s = next_check_open();
    assert_string_equal(fake_output(s, NULL), "GET /health HTTP/1.1\r\nHost: app.example\r\n"
                                              "User-Agent: millrace-health\r\nConnection: close\r\n\r\n");
    fake_reset(s);
}

static void http_answers_are_judged(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum health_result result;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", HEALTH_GOOD},
        {"HTTP/1.0 204 No Content\r\n\r\n", HEALTH_GOOD},
        {"HTTP/1.1 399 \r\n\r\n", HEALTH_GOOD}, /* the greatest that is good */
        {"HTTP/1.1 400 Bad\r\n\r\n", HEALTH_STATUS},
        {"HTTP/1.1 503 Later\r\n\r\n", HEALTH_STATUS},
        {"HTTP/1.1 101 Other\r\n\r\n", HEALTH_STATUS}, /* not asked for, so it is final */
        {"HTTP/1.1 100 \r\n\r\nHTTP/1.1 103 Hints\r\nLink: </>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", HEALTH_GOOD},
        {"HTTP/1.1 100 \r\n\r\nHTTP/1.1 500 Bad\r\n\r\n", HEALTH_STATUS},
        {"HTTP/1.1 100 \r\n\r\nHTTP/1.1 100 \r\n\r\nHTTP/1.1 100 \r\n\r\nHTTP/1.1 100 \r\n\r\nHTTP/1.1 100 \r\n\r\n"
         "HTTP/1.1 100 \r\n\r\nHTTP/1.1 100 \r\n\r\nHTTP/1.1 100 \r\n\r\nHTTP/1.1 100 \r\n\r\nHTTP/1.1 200 \r\n\r\n",
         HEALTH_MALFORMED}, /* nine interim ones */
        {"SSH-2.0-OpenSSH_9.2\r\n", HEALTH_MALFORMED},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", HEALTH_MALFORMED},
        {"HTTP/1.1 200 OK\r\n folded: line\r\n\r\n", HEALTH_MALFORMED},
    };
    watch(1, 0, 1);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
        for (unsigned pieces = 0; pieces < 2; pieces++) {
            struct mr_stream *s = next_check_open();
            for (const char *at = cases[i].text; pieces && *at; at++)
                fake_input(s, at, 1);
            if (!pieces)
                answer(s, cases[i].text);
            found(2 * i + pieces + 1, cases[i].result);
            fake_end(s);
            fake_turn(workers[0]);
            assert_true(fake_closed(s));
        }
}

static void http_end_before_the_head_is_an_early_end(void **state)
{
    (void)state;
    watch(1, 0, 1);
    struct mr_stream *s = next_check_open();
    answer(s, "HTTP/1.1 200 OK\r\nConte");
    fake_end(s);
    found(1, HEALTH_ENDED);
    s = next_check_open();
    fake_end(s);
    found(2, HEALTH_ENDED);
}

static void http_reset_is_a_reset(void **state)
{
    (void)state;
    watch(1, 0, 1);
    fake_reset(next_check_open());
    found(1, HEALTH_RESET);
    struct mr_stream *s = next_check_open();
    answer(s, "HTTP/1.1 200 OK\r\n");
    fake_reset(s);
    found(2, HEALTH_RESET);
}

static void http_silence_and_slow_heads_time_out(void **state)
{
    (void)state;
    watch(1, 0, 1);
    struct mr_stream *s = next_check_open();
    for (int i = 0; i < 12 && !fake_closed(s); i++) {
        fake_input(s, &"HTTP/1.1 200 OK\r\n"[i], 1);
        fake_pass(workers[0], 100 * MR_MILLISECOND);
    }
    assert_true(fake_aborted(s));
    found(1, HEALTH_TIMEOUT);
}

static void http_head_without_end_is_bounded(void **state)
{
    (void)state;
    char field[101];
    watch(1, 0, 1);
    struct mr_stream *s = next_check_open();
    answer(s, "HTTP/1.1 200 OK\r\n");
    memset(field, 'x', 100);
    memcpy(field, "Name: ", 6);
    memcpy(field + 98, "\r\n", 3);
    int i = 0;
    for (; i < 100 && health()->checks == 0; i++)
        answer(s, field);
    assert_in_range(i, 39, 41); /* 4096 bytes */
    found(1, HEALTH_MALFORMED);
    assert_true(fake_aborted(s));
}

static void http_body_without_end_is_read_away_and_reset(void **state)
{
    (void)state;
    static const char body[65536];
    watch(1, 0, 1);
    struct mr_stream *s = next_check_open();
    answer(s, "HTTP/1.1 200 OK\r\n\r\n");
    found(1, HEALTH_GOOD);
    for (int i = 0; i < 10; i++) {
        fake_input(s, body, sizeof body);
        assert_true(fake_closed(s) || fake_unread(s) == 0);
        fake_pass(workers[0], 50 * MR_MILLISECOND);
    }
    assert_true(fake_aborted(s) && fake_closed(s));
    found(1, HEALTH_GOOD);
}

static void http_request_goes_out_in_pieces(void **state)
{
    (void)state;
    size_t n = 0;
    watch(1, 0, 1);
    struct mr_stream *s = next_check();
    fake_throttle(s, 10);
    fake_connect_accept(s);
    fake_output(s, &n);
    assert_int_equal(n, 10);
    answer(s, "HTTP/1.1 200 OK\r\n\r\n"); /* before it was asked for all of it: looked at once it was */
    assert_int_equal(health()->checks, 0);
    for (int i = 0; i < 20; i++)
        fake_acknowledge(s, SIZE_MAX);
    assert_string_equal(fake_output(s, &n), "GET /health HTTP/1.1\r\nHost: 10.0.0.0:8080\r\n"
                                            "User-Agent: millrace-health\r\nConnection: close\r\n\r\n");
    found(1, HEALTH_GOOD);
}

/* -- what follows ---------------------------------------------------------------------------------------------------------- */

static void dead_backend_is_out_and_back_again(void **state)
{
    (void)state;
    watch(1, 0, 1);
    answer(next_check_open(), "HTTP/1.1 200 OK\r\n\r\n");
    assert_int_equal(told[0][0], HEALTH_UP);
    fake_pass(workers[0], 300 * MR_MILLISECOND);
    fail_three_times();
    for (int i = 0; i < 30 && told[0][0] == HEALTH_DOWN; i++)
        answer(next_check_open(), "HTTP/1.1 200 OK\r\n\r\n");
    assert_int_equal(told[0][0], HEALTH_UP);
    assert_int_equal(told_count[0], 3);
}

static void removed_while_a_check_runs_is_forgotten(void **state)
{
    (void)state;
    watch(1, 0, 1);
    struct mr_stream *s = next_check_open();
    health_forget(&proxies[0], 0);
    fake_turn(workers[0]);
    assert_true(fake_aborted(s) && fake_closed(s));
    assert_null(health());
    unsigned before = connects();
    fake_pass(workers[0], 10 * MR_SECOND);
    assert_int_equal(connects(), before);
    assert_int_equal(counters[0][PROXY_HEALTH_CHECKS], 0);
}

static void removed_and_come_back_is_unknown(void **state)
{
    (void)state;
    watch(1, 0, 1);
    fail_three_times();
    health_forget(&proxies[0], 0);
    assert_int_equal(told[0][0], HEALTH_UNKNOWN);
    watch(1, 0, 1);
    assert_int_equal(health()->verdict, HEALTH_UNKNOWN);
    assert_int_equal(health()->checks, 0);
    fake_lose(next_check(), MR_CLOSE_REFUSED);
}

static void another_backend_in_the_slot_begins_anew(void **state)
{
    (void)state;
    watch(1, 0, 1);
    fail_three_times();
    struct mr_stream *s = next_check();
    backends[0].generation++;
    watch(1, 0, 1);
    fake_turn(workers[0]);
    assert_true(fake_aborted(s));
    assert_int_equal(told[0][0], HEALTH_UNKNOWN);
    assert_int_equal(health()->checks, 0);
}

static void plan_that_changes_nothing_keeps_the_verdict_and_the_check(void **state)
{
    (void)state;
    watch(1, 0, 1);
    fail_three_times();
    struct mr_stream *s = next_check_open();
    watch(1, 0, 1);
    assert_int_equal(told[0][0], HEALTH_DOWN);
    answer(s, "HTTP/1.1 200 OK\r\n\r\n");
    assert_int_equal(health()->checks, 4);
    mr_time long_interval = 3600 * MR_SECOND;
    config.health.interval = long_interval;
    fake_pass(workers[0], 300 * MR_MILLISECOND);
    answer(next_check_open(), "HTTP/1.1 500 Bad\r\n\r\n");
    assert_true(health()->next - mr_now(workers[0]) > long_interval / 2);
    config.health.interval = MR_SECOND; /* holds at once */
    watch(1, 0, 1);
    assert_true(health()->next - mr_now(workers[0]) <= MR_SECOND);
    fake_lose(next_check(), MR_CLOSE_REFUSED);
}

static void checks_switched_off_leave_nothing_known(void **state)
{
    (void)state;
    watch(1, 0, 1);
    fail_three_times();
    struct mr_stream *s = next_check();
    config.health.type = HEALTH_OFF;
    watch(1, 0, 1);
    fake_turn(workers[0]);
    assert_true(fake_aborted(s));
    assert_int_equal(told[0][0], HEALTH_UNKNOWN);
    assert_null(health());
}

static void stop_while_checks_run_ends_them(void **state)
{
    (void)state;
    config.health.type = HEALTH_TCP;
    watch(1, 0, 3);
    struct mr_stream *drains = next_check_open(), *opens = next_check(), *closed = next_check();
    fake_lose(closed, MR_CLOSE_REFUSED);
    health_stop(&proxies[0]);
    fake_turn(workers[0]);
    assert_true(fake_aborted(drains) && fake_closed(drains));
    assert_true(fake_aborted(opens) && fake_closed(opens));
    unsigned before = connects();
    fake_pass(workers[0], 10 * MR_SECOND);
    assert_int_equal(connects(), before);
}

static void hundreds_are_checked_a_bounded_number_at_a_time(void **state)
{
    (void)state;
    unsigned most = 0;
    config.health.fall = 1;
    watch(1, 0, BACKENDS);
    for (int i = 0; i < 60; i++) { /* every check takes until its timeout: a second */
        fake_pass(workers[0], 100 * MR_MILLISECOND);
        unsigned open = fake_streams_open(workers[0]);
        most = open > most ? open : most;
    }
    assert_int_equal(most, HEALTH_PROBES_MAX);
    for (uint32_t i = 0; i < BACKENDS; i++)
        assert_int_equal(told[0][i], HEALTH_DOWN);
    for (uint32_t i = 0; i < BACKENDS; i += 2) /* while some of them wait */
        health_forget(&proxies[0], i);
    watch(1, 0, 10);
    fake_connect_automatic(workers[0], true);
    config.health.type = HEALTH_TCP;
    fake_pass(workers[0], 60 * MR_SECOND);
    for (uint32_t i = 0; i < BACKENDS; i++)
        assert_int_equal(told[0][i], i % 2 == 1 || i < 10 ? HEALTH_UP : HEALTH_UNKNOWN);
}

/* -- other workers --------------------------------------------------------------------------------------------------------- */

static void both_pass(mr_time duration)
{
    for (; duration > 0; duration -= 10 * MR_MILLISECOND)
        for (unsigned i = 0; i < WORKERS; i++)
            fake_pass(workers[i], 10 * MR_MILLISECOND);
}

static void each_worker_checks_its_share_and_tells_the_other(void **state)
{
    (void)state;
    config.health.type = HEALTH_TCP;
    config.health.fall = 1;
    for (unsigned i = 0; i < WORKERS; i++)
        fake_connect_error(workers[i], MR_ERROR_NO_ROUTE);
    watch(WORKERS, 0, 10);
    for (uint32_t slot = 0; slot < 10; slot++)
        for (unsigned i = 0; i < WORKERS; i++)
            assert_int_equal(health_of(&proxies[i], slot) != NULL, slot % WORKERS == i);
    both_pass(2 * MR_SECOND);
    for (unsigned i = 0; i < WORKERS; i++) {
        for (uint32_t slot = 0; slot < 10; slot++)
            assert_int_equal(told[i][slot], HEALTH_DOWN);
        assert_int_equal(told_count[i], 10);
    }
}

static void full_mailbox_is_tried_again(void **state)
{
    (void)state;
    config.health.fall = 1;
    config.health.interval = 3600 * MR_SECOND;
    fake_post_error(workers[0], MR_ERROR_NO_MEMORY);
    fake_connect_error(workers[0], MR_ERROR_NO_ROUTE);
    for (unsigned w = 0; w < WORKERS; w++)
        for (uint32_t slot = 0; slot < 20; slot += WORKERS)
            health_watch(&proxies[w], &upstream, &backends[slot]);
    both_pass(2 * MR_SECOND);
    health_forget(&proxies[0], 4); /* while it waits to be told */
    assert_int_equal(told_count[0], 11);
    assert_int_equal(told_count[1], 0);
    fake_post_error(workers[0], MR_OK);
    both_pass(100 * MR_MILLISECOND);
    for (uint32_t slot = 0; slot < 20; slot += WORKERS)
        assert_int_equal(told[1][slot], slot == 4 ? HEALTH_UNKNOWN : HEALTH_DOWN);
}

/* The other worker is not at this plan yet, or at another backend: it does not listen, and hears it with the next check. */
static void worker_that_is_behind_hears_it_with_the_next_check(void **state)
{
    (void)state;
    config.health.fall = 1;
    fake_connect_error(workers[0], MR_ERROR_NO_ROUTE);
    watch(1, 0, 1);
    struct plan_backend before = backends[0];
    before.generation--;
    health_watch(&proxies[1], &upstream, &before);
    both_pass(MR_SECOND);
    assert_int_equal(told[0][0], HEALTH_DOWN);
    assert_int_equal(told[1][0], HEALTH_UNKNOWN);
    health_watch(&proxies[1], &upstream, &backends[0]);
    both_pass(3 * MR_SECOND);
    assert_int_equal(told[1][0], HEALTH_DOWN);
}

/* -- the log --------------------------------------------------------------------------------------------------------------- */

/* What is written to standard error while `steps` runs. */
static char *log_of(void (*steps)(void))
{
    static char text[65536];
    FILE *file = tmpfile();
    assert_non_null(file);
    int saved = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    steps();
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    return text;
}

static unsigned lines_of(const char *text)
{
    unsigned n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void go_down_and_up(void)
{
    config.health.rise = 1;
    watch(1, 0, 1);
    fail_three_times();
    answer(next_check_open(), "HTTP/1.1 200 OK\r\n\r\n");
    fake_turn(workers[0]);
}

static void every_change_is_a_line(void **state)
{
    (void)state;
    assert_string_equal(log_of(go_down_and_up),
                        "proxy: health: upstream=web backend=b0 address=10.0.0.0:8080: unknown -> down: the connection "
                        "was refused\n"
                        "proxy: health: upstream=web backend=b0 address=10.0.0.0:8080: down -> up: good\n");
}

static void go_down_together(void)
{
    config.health.fall = 1;
    config.health.interval = 3600 * MR_SECOND;
    fake_connect_error(workers[0], MR_ERROR_NO_ROUTE);
    fake_offload_refuse(workers[0], true); /* at first, no thread has time */
    watch(1, 0, BACKENDS);
    fake_pass(workers[0], 2 * MR_SECOND);
    fake_offload_refuse(workers[0], false);
    fake_pass(workers[0], MR_SECOND);
}

static void changes_beyond_the_lines_are_counted(void **state)
{
    (void)state;
    char expected[64], *text = log_of(go_down_together);
    snprintf(expected, sizeof expected, "proxy: health: %d more changes\n", BACKENDS - HEALTH_LINES);
    assert_non_null(strstr(text, expected));
    assert_int_equal(lines_of(text), HEALTH_LINES + 1);
}

/* The thread that writes comes back after everything else is gone. */
static void released_while_lines_are_written(void **state)
{
    (void)state;
    world_start(1);
    watch(1, 0, 1);
    fake_offload_hold(workers[0], true);
    fake_connect_error(workers[0], MR_ERROR_NO_ROUTE);
    fake_pass(workers[0], 10 * MR_SECOND);
    assert_int_equal(told[0][0], HEALTH_DOWN);
    health_stop(&proxies[0]);
    health_release(&proxies[0]);
    fake_offload_hold(workers[0], false);
    fake_turn(workers[0]);
    fake_worker_free(workers[0]);
}

#define ONE(name) cmocka_unit_test_setup_teardown(name, start, stop)
#define TWO(name) cmocka_unit_test_setup_teardown(name, start_two, stop_two)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ONE(tcp_connected_is_good_and_closed_in_order),
        ONE(tcp_peer_that_does_not_end_is_reset),
        ONE(proxy_header_says_that_the_connection_is_our_own),
        ONE(connect_fails_as_the_reason_says),
        ONE(connect_that_nobody_answers_times_out),
        ONE(connection_that_cannot_be_begun_counts_by_its_reason),
        ONE(source_addresses_are_taken_in_turn),
        ONE(http_asks_for_its_path_and_host),
        ONE(http_answers_are_judged),
        ONE(http_end_before_the_head_is_an_early_end),
        ONE(http_reset_is_a_reset),
        ONE(http_silence_and_slow_heads_time_out),
        ONE(http_head_without_end_is_bounded),
        ONE(http_body_without_end_is_read_away_and_reset),
        ONE(http_request_goes_out_in_pieces),
        ONE(dead_backend_is_out_and_back_again),
        ONE(removed_while_a_check_runs_is_forgotten),
        ONE(removed_and_come_back_is_unknown),
        ONE(another_backend_in_the_slot_begins_anew),
        ONE(plan_that_changes_nothing_keeps_the_verdict_and_the_check),
        ONE(checks_switched_off_leave_nothing_known),
        ONE(stop_while_checks_run_ends_them),
        ONE(hundreds_are_checked_a_bounded_number_at_a_time),
        TWO(each_worker_checks_its_share_and_tells_the_other),
        TWO(full_mailbox_is_tried_again),
        TWO(worker_that_is_behind_hears_it_with_the_next_check),
        ONE(every_change_is_a_line),
        ONE(changes_beyond_the_lines_are_counted),
        cmocka_unit_test(released_while_lines_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
