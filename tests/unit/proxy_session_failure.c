/* Backends that fail, clients that are slow, and what is tried again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/cmocka.h"
#include "tests/support/proxy_world.h"

#define OK2  "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 2\r\n\r\nok"
#define GET  "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"

#define say    proxy_world_say
#define expect proxy_world_expect

static struct mr_worker *w(void)
{
    return proxy_world.worker;
}

static struct mr_stream *backend(unsigned i)
{
    return proxy_world_backend(i);
}

static int start(void **state)
{
    proxy_world_start(proxy_world_config());
    return 0;
}

static int stop(void **state)
{
    proxy_world_stop();
    return 0;
}

/* Makes both backends have an idle connection that was used before. */
static void warm(struct mr_stream *c)
{
    for (unsigned i = 0; i < 2; i++) {
        say(c, GET);
        say(backend(i), OK2);
        fake_output_clear(backend(i));
    }
    fake_output_clear(c);
}

enum accident { RESET, ENDED, HALF_HEAD, NONSENSE, INTERIM_THEN_END };

static void happen(struct mr_stream *b, enum accident a)
{
    if (a == HALF_HEAD)
        say(b, "HTTP/1.1 200 O");
    if (a == NONSENSE)
        say(b, "SSH-2.0-x\r\n");
    if (a == INTERIM_THEN_END)
        say(b, "HTTP/1.1 103 Early Hints\r\n\r\n");
    if (a == RESET)
        fake_reset(b);
    else if (a != NONSENSE)
        fake_end(b);
    proxy_world_settle();
}

static void what_is_tried_again(void **state)
{
    /* Only what may be done twice, when nothing that is an answer came and the request is still there as it came. */
    static const struct {
        const char *request;
        bool reused;
        enum accident accident;
        bool again;
        const char *reason;
    } table[] = {
        {GET, false, RESET, true, "GET, reset"},
        {GET, false, ENDED, true, "GET, ended"},
        {GET, true, RESET, true, "GET on a connection that was idle"},
        {GET, true, ENDED, true, "... that ended as we sent"},
        {GET, false, HALF_HEAD, false, "half an answer is an answer"},
        {GET, false, NONSENSE, true, "nonsense is none"},
        {POST, false, NONSENSE, false, "... but POST may have been done"},
        {GET, false, INTERIM_THEN_END, false, "and so is a 103"},
        {POST, false, RESET, false, "POST may have been done"},
        {POST, true, ENDED, false, "... also on a connection that was idle"},
        {"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", false, RESET, true, "PUT with a small body"},
        {"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", false, RESET, false,
         "PUT whose body has begun to go"},
        {"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", false, RESET, true, "DELETE"},
        {"PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", false, RESET, false, "PATCH"},
        {"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", false, RESET, false, "a method that nobody knows"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        proxy_world_start(proxy_world_config());
        struct mr_stream *c = proxy_world_client();
        unsigned made = table[i].reused ? 2 : 0;
        if (table[i].reused)
            warm(c);
        say(c, table[i].request);
        struct mr_stream *first = backend(0);
        happen(first, table[i].accident);
        size_t n, m;
        bool again = false;
        const char *sent = fake_output(first, &n);
        for (unsigned k = 1; k < fake_connect_count(w()); k++) {
            const char *other = fake_output(backend(k), &m);
            again |= m == n && n > 0 && memcmp(sent, other, n) == 0;
        }
        if (again != table[i].again)
            fail_msg("%s (of %u): %s", table[i].reason, made, again ? "was tried again" : "was not");
        if (!again)
            proxy_world_contains(c, "HTTP/1.1 502 Bad Gateway\r\n");
        else
            proxy_world_lacks(c, "502");
        proxy_world_stop();
    }
}

static void a_backend_that_cannot_be_reached_is_left_out(void **state)
{
    /* Any method: no connection has carried it. */
    fake_connect_automatic(w(), false);
    struct mr_stream *c = proxy_world_client();
    say(c, POST);
    fake_lose(backend(0), MR_CLOSE_REFUSED);
    proxy_world_settle();
    fake_connect_accept(backend(1));
    proxy_world_settle();
    expect(backend(1), "POST / HTTP/1.1\r\nHost: a\r\nVia: 1.1 mill\r\nContent-Length: 3\r\n\r\nabc");
    say(backend(1), OK2);
    proxy_world_contains(c, "\r\n\r\nok");
}

static void when_none_can_be_reached_the_client_is_told(void **state)
{
    static const struct {
        enum mr_close_reason reason;
        const char *status;
    } table[] = {{MR_CLOSE_REFUSED, "HTTP/1.1 502 "}, {MR_CLOSE_UNREACHABLE, "HTTP/1.1 502 "}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        proxy_world_start(proxy_world_config());
        fake_connect_automatic(w(), false);
        struct mr_stream *c = proxy_world_client();
        say(c, POST);
        fake_lose(backend(0), table[i].reason);
        proxy_world_settle();
        fake_lose(backend(1), table[i].reason);
        proxy_world_settle();
        proxy_world_contains(c, table[i].status);
        assert_false(fake_shutdown_seen(c)); /* its body was small: the connection goes on */
        fake_connect_automatic(w(), true);
        fake_output_clear(c);
        say(c, GET);
        say(backend(2), OK2);
        proxy_world_contains(c, "200 OK");
        proxy_world_stop();
    }
}

static void a_backend_that_does_not_answer_is_a_504(void **state)
{
    struct mr_stream *c = proxy_world_client();
    say(c, POST);
    fake_pass(w(), 9 * MR_SECOND);
    expect(c, "");
    fake_pass(w(), 2 * MR_SECOND);
    proxy_world_contains(c, "HTTP/1.1 504 Gateway Timeout\r\n");
    assert_true(fake_aborted(backend(0)));
    assert_int_equal(fake_connect_count(w()), 1); /* it may still be at it: not tried again */
    assert_false(fake_shutdown_seen(c));
}

static void what_may_be_done_twice_is_asked_of_another_backend(void **state)
{
    struct mr_stream *c = proxy_world_client();
    say(c, GET);
    fake_pass(w(), 11 * MR_SECOND);
    assert_true(fake_aborted(backend(0)));
    assert_int_equal(fake_connect_count(w()), 2);
    expect(c, "");
    say(backend(1), OK2);
    proxy_world_contains(c, "HTTP/1.1 200 OK\r\n");
}

static void a_backend_that_falls_silent_is_cut(void **state)
{
    struct mr_stream *c = proxy_world_client();
    say(c, GET);
    say(backend(0), "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    fake_pass(w(), 7 * MR_SECOND);
    say(backend(0), "d");
    fake_pass(w(), 7 * MR_SECOND);
    assert_false(fake_closed(c));
    fake_pass(w(), 2 * MR_SECOND);
    assert_true(fake_aborted(c));
    assert_true(fake_aborted(backend(0)));
}

static void a_client_that_is_late_with_its_head_gets_a_408(void **state)
{
    struct mr_stream *c = proxy_world_client();
    say(c, "GET / HT");
    fake_pass(w(), 6 * MR_SECOND);
    proxy_world_contains(c, "HTTP/1.1 408 ");
    assert_true(fake_shutdown_seen(c));
}

static void a_client_that_is_late_with_its_body_gets_a_408(void **state)
{
    struct mr_stream *c = proxy_world_client();
    say(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\nabc");
    fake_pass(w(), 5 * MR_SECOND);
    say(c, "d");
    fake_pass(w(), 5 * MR_SECOND);
    expect(c, "");
    fake_pass(w(), 2 * MR_SECOND);
    proxy_world_contains(c, "HTTP/1.1 408 ");
    assert_true(fake_aborted(backend(0)));
}

static void a_backend_that_takes_no_body_is_a_504(void **state)
{
    static char body[70001];
    struct mr_stream *c = proxy_world_client();
    say(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\nabc");
    fake_throttle(backend(0), 100);
    memset(body, 'b', 70000);
    say(c, body);
    fake_pass(w(), 7 * MR_SECOND);
    proxy_world_contains(c, "HTTP/1.1 504 ");
    assert_true(fake_aborted(backend(0)));
}

static void a_body_over_its_limit_is_refused(void **state)
{
    /* By its length before a backend is asked; in chunks as soon as a size says so, and the backend gets no end of it. */
    struct mr_stream *c = proxy_world_client();
    say(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n");
    proxy_world_contains(c, "HTTP/1.1 413 ");
    assert_int_equal(fake_connect_count(w()), 0);
    c = proxy_world_client();
    say(c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    proxy_world_contains(backend(0), "3\r\nabc\r\n");
    say(c, "100000\r\nmore");
    proxy_world_contains(c, "HTTP/1.1 413 ");
    proxy_world_lacks(backend(0), "more");
    assert_true(fake_aborted(backend(0)));
    assert_true(fake_shutdown_seen(c));
}

static void an_idle_client_is_let_go(void **state)
{
    struct mr_stream *c = proxy_world_client();
    warm(c);
    fake_pass(w(), 19 * MR_SECOND);
    assert_false(fake_shutdown_seen(c));
    fake_pass(w(), 2 * MR_SECOND);
    assert_true(fake_shutdown_seen(c));
    struct mr_stream *d = proxy_world_client();
    fake_pass(w(), 6 * MR_SECOND); /* the first request has less time */
    assert_true(fake_shutdown_seen(d));
}

static void a_client_that_takes_nothing_is_cut(void **state)
{
    static char body[100001];
    struct mr_stream *c = proxy_world_client();
    say(c, GET);
    say(backend(0), "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    fake_throttle(c, 5000);
    memset(body, 'b', 100000);
    say(backend(0), body);
    for (int i = 0; i < 5; i++) { /* slowly is well */
        fake_pass(w(), 6 * MR_SECOND);
        assert_false(fake_closed(c));
        fake_acknowledge(c, 2000);
        proxy_world_settle();
    }
    fake_pass(w(), 16 * MR_SECOND);
    assert_true(fake_aborted(c));
    assert_true(fake_aborted(backend(0)));
}

static void slow_sides_close_the_window_of_the_other(void **state)
{
    /* Nothing is read that the other side does not take: what waits, waits in the stream it came by. */
    static char body[60001];
    struct mr_stream *c = proxy_world_client();
    memset(body, 'b', 60000);
    say(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 600000\r\n\r\n");
    fake_output_clear(backend(0));
    fake_throttle(backend(0), 1000);
    say(c, body);
    assert_true(fake_unread(c) >= 58900);
    fake_acknowledge(backend(0), 1000);
    proxy_world_settle();
    assert_true(fake_unread(c) >= 57900 && fake_unread(c) < 59000);
    say(backend(0), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    fake_throttle(c, 1000);
    say(backend(0), "ea60\r\n"); /* 60000 */
    say(backend(0), body);
    assert_true(fake_unread(backend(0)) >= 58900);
    for (int i = 0; i < 100; i++) {
        fake_acknowledge(c, 1000);
        fake_acknowledge(backend(0), 1000);
        proxy_world_settle();
    }
    assert_int_equal(fake_unread(backend(0)), 0);
    assert_int_equal(fake_unread(c), 0);
    assert_int_equal(proxy_world.proxy->buffers_out, 0);
}

static void a_head_that_has_no_room_waits_in_a_buffer(void **state)
{
    struct mr_stream *c = proxy_world_client();
    say(c, GET);
    fake_throttle(c, 10);
    say(backend(0), OK2);
    size_t n;
    fake_output(c, &n);
    assert_int_equal(n, 10);
    assert_int_equal(proxy_world.proxy->buffers_out, 1);
    for (int i = 0; i < 20; i++) {
        fake_acknowledge(c, 10);
        proxy_world_settle();
    }
    expect(c, "HTTP/1.1 200 OK\r\nDate: x\r\nVia: 1.1 mill\r\nContent-Length: 2\r\n\r\nok");
    say(c, GET);
    assert_int_equal(fake_connect_count(w()), 2);
}

static void many_in_pieces_find_no_buffer_in_the_end(void **state)
{
    struct mr_stream *c[9];
    for (int i = 0; i < 8; i++) {
        c[i] = proxy_world_client();
        say(c[i], "GET / HT");
    }
    proxy_world.proxy->buffers_out = 8; /* all of limits.buffers */
    fake_reset(c[7]);
    proxy_world_settle();
    c[7] = proxy_world_client();
    say(c[7], "GET");
    c[8] = proxy_world_client(); /* one more than the listener takes */
    proxy_world_settle();
    proxy_world_contains(c[8], "HTTP/1.1 503 ");
    say(c[7], " / HTTP/1.1\r\nHost: a\r\n\r\n");
    say(backend(0), OK2);
    proxy_world_contains(c[7], "200 OK");
}

static void a_request_in_pieces_can_be_tried_again(void **state)
{
    struct mr_stream *c = proxy_world_client();
    say(c, "GET / HT");
    say(c, "TP/1.1\r\nHost: a\r\n\r\n");
    fake_reset(backend(0));
    proxy_world_settle();
    expect(backend(1), "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 mill\r\n\r\n");
    say(backend(1), OK2);
    proxy_world_contains(c, "200 OK");
}

static void requests_wait_for_a_place_at_a_backend(void **state)
{
    struct proxy_config *config = proxy_world_config();
    config->upstreams[0].connections_max = 1;
    proxy_world_start(config);
    struct mr_stream *c[7];
    for (int i = 0; i < 7; i++) {
        c[i] = proxy_world_client();
        say(c[i], GET);
    }
    assert_int_equal(fake_connect_count(w()), 2);
    proxy_world_contains(c[6], "HTTP/1.1 503 "); /* two are served, four wait */
    say(backend(0), OK2);
    proxy_world_contains(c[0], "200 OK");
    say(backend(0), OK2);
    proxy_world_contains(c[2], "200 OK");
    fake_reset(c[4]); /* who waits may leave */
    proxy_world_settle();
    fake_pass(w(), 3 * MR_SECOND);
    proxy_world_contains(c[5], "HTTP/1.1 503 ");
    proxy_world_stop();
}

#define through(name) cmocka_unit_test_setup_teardown(name, start, stop)
/* Cut short is cut short, by an end or by a reset: both speak against the backend. */
static void a_body_that_is_cut_counts_against_its_backend(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        struct mr_stream *c = proxy_world_client();
        say(c, GET);
        say(backend(i), "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
        if (i == 0)
            fake_end(backend(i));
        else
            fake_reset(backend(i));
        proxy_world_settle();
        assert_true(fake_aborted(c));
    }
    const struct upstream_backend *b = proxy_world.proxy->backends;
    assert_int_equal(b[0].responses[0] + b[1].responses[0], 2);
    assert_int_equal(b[0].resets + b[1].resets, 1);
    assert_int_equal(b[0].failures_in_a_row, 1);
    assert_int_equal(b[1].failures_in_a_row, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_tried_again),
        through(a_body_that_is_cut_counts_against_its_backend),
        through(a_backend_that_cannot_be_reached_is_left_out),
        cmocka_unit_test(when_none_can_be_reached_the_client_is_told),
        through(a_backend_that_does_not_answer_is_a_504),
        through(what_may_be_done_twice_is_asked_of_another_backend),
        through(a_backend_that_falls_silent_is_cut),
        through(a_client_that_is_late_with_its_head_gets_a_408),
        through(a_client_that_is_late_with_its_body_gets_a_408),
        through(a_backend_that_takes_no_body_is_a_504),
        through(a_body_over_its_limit_is_refused),
        through(an_idle_client_is_let_go),
        through(a_client_that_takes_nothing_is_cut),
        through(slow_sides_close_the_window_of_the_other),
        through(a_head_that_has_no_room_waits_in_a_buffer),
        through(many_in_pieces_find_no_buffer_in_the_end),
        through(a_request_in_pieces_can_be_tried_again),
        cmocka_unit_test(requests_wait_for_a_place_at_a_backend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
