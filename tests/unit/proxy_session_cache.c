/* The HTTP cache between clients and backends: what is answered from it, what is asked, and what it keeps. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/cmocka.h"
#include "tests/support/proxy_world.h"

#define GET  "GET /c/x HTTP/1.1\r\nHost: a\r\n\r\n"
#define SENT "GET /c/x HTTP/1.1\r\nHost: a\r\nVia: 1.1 mill\r\n\r\n"
#define DATE "Date: Sun, 09 Sep 2001 01:46:40 GMT\r\n"
#define KEPT(control, body, length) \
    "HTTP/1.1 200 OK\r\n" DATE "ETag: \"e\"\r\nCache-Control: " control "\r\nContent-Length: " length "\r\n\r\n" body

#define say      proxy_world_say
#define expect   proxy_world_expect
#define contains proxy_world_contains
#define lacks    proxy_world_lacks

static struct mr_stream *backend(unsigned i)
{
    return proxy_world_backend(i);
}

static int start(void **state)
{
    struct proxy_config *c = proxy_world_config();
    c->cache = (struct proxy_cache_config){.bytes = 4 << 20,
                                           .object_bytes_max = 1 << 20,
                                           .policy = strdup("allkeys-s3fifo"),
                                           .heuristic_max = 3600 * MR_SECOND,
                                           .waiting_max = 2};
    proxy_world_route(c, "/c/*", "app")->cache = true;
    c->upstreams[0].backend_count = 1;
    free(c->upstreams[0].backends[1].name);
    proxy_world_start(c);
    return 0;
}

static int stop(void **state)
{
    proxy_world_stop();
    return 0;
}

/* The URL is stored by a client of its own. */
static void store(const char *response)
{
    struct mr_stream *c = proxy_world_client();
    say(c, GET);
    struct mr_stream *b = backend(fake_connect_count(proxy_world.worker) - 1);
    expect(b, SENT);
    say(b, response);
    contains(c, "Cache-Status: mill; fwd=miss; fwd-status=200");
    fake_end(c);
    proxy_world_settle();
}

static void what_is_fresh_is_answered_from_memory(void **state)
{
    store(KEPT("max-age=60", "hello", "5"));
    struct mr_stream *c = proxy_world_client();
    fake_pass(proxy_world.worker, 3 * MR_SECOND);
    say(c, GET);
    expect(c, "HTTP/1.1 200 OK\r\n" DATE "ETag: \"e\"\r\nCache-Control: max-age=60\r\nAge: 3\r\nVia: 1.1 mill\r\n"
              "Cache-Status: mill; hit; ttl=57\r\nContent-Length: 5\r\n\r\nhello");
    expect(backend(0), "");
    say(c, "HEAD /c/x HTTP/1.1\r\nHost: A\r\n\r\n");
    contains(c, "Content-Length: 5\r\n\r\n");
    lacks(c, "hello");
    fake_output_clear(c);
    say(c, "GET /c/./%78 HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"e\"\r\n\r\n");
    contains(c, "HTTP/1.1 304 Not Modified\r\n");
    lacks(c, "Content-Length");
    fake_output_clear(c);
    say(c, "GET /c/x HTTP/1.1\r\nHost: a\r\nRange: bytes=1-2\r\n\r\n");
    contains(c, "HTTP/1.1 206 Partial Content\r\n");
    contains(c, "Content-Range: bytes 1-2/5\r\n");
    contains(c, "Content-Length: 2\r\n\r\nel");
    fake_output_clear(c);
    say(c, "GET /c/x HTTP/1.1\r\nHost: a\r\nRange: bytes=9-\r\n\r\n");
    contains(c, "HTTP/1.1 416 Range Not Satisfiable\r\n");
    contains(c, "Content-Range: bytes */5\r\n");
    contains(c, "Content-Length: 0\r\n\r\n");
    expect(backend(0), "");
}

static void what_is_stale_is_validated(void **state)
{
    store(KEPT("max-age=1", "hello", "5"));
    fake_pass(proxy_world.worker, 5 * MR_SECOND);
    struct mr_stream *c = proxy_world_client();
    say(c, "GET /c/x HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"other\"\r\nRange: bytes=0-1\r\n\r\n");
    expect(backend(0), "GET /c/x HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"e\"\r\nVia: 1.1 mill\r\n\r\n");
    say(backend(0), "HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\nCache-Control: max-age=100\r\n\r\n");
    contains(c, "HTTP/1.1 206 Partial Content\r\n");
    contains(c, "Cache-Status: mill; fwd=stale; fwd-status=304");
    contains(c, "\r\n\r\nhe");
    fake_output_clear(c);
    say(c, GET);
    contains(c, "Cache-Status: mill; hit; ttl=");
    contains(c, "\r\n\r\nhello");
    assert_int_equal(fake_connect_count(proxy_world.worker), 1); /* the 304 left the connection idle */
}

static void what_has_changed_takes_its_place(void **state)
{
    store(KEPT("max-age=1", "hello", "5"));
    fake_pass(proxy_world.worker, 5 * MR_SECOND);
    struct mr_stream *c = proxy_world_client();
    say(c, GET);
    fake_output_clear(backend(0));
    say(backend(0), "HTTP/1.1 200 OK\r\nETag: \"f\"\r\nCache-Control: max-age=100\r\nTransfer-Encoding: "
                    "chunked\r\n\r\n4\r\nnew \r\n");
    say(backend(0), "4\r\none.\r\n0\r\n\r\n");
    contains(c, "4\r\nnew \r\n4\r\none.\r\n0\r\n\r\n");
    fake_output_clear(c);
    say(c, GET);
    contains(c, "Content-Length: 8\r\n\r\nnew one.");
}

static void a_304_about_something_else_is_asked_again(void **state)
{
    store(KEPT("max-age=1", "hello", "5"));
    fake_pass(proxy_world.worker, 5 * MR_SECOND);
    struct mr_stream *c = proxy_world_client();
    say(c, GET);
    fake_output_clear(backend(0));
    say(backend(0), "HTTP/1.1 304 Not Modified\r\nETag: \"other\"\r\n\r\n");
    expect(backend(0), SENT);
    say(backend(0), KEPT("max-age=5", "again", "5"));
    contains(c, "\r\n\r\nagain");
}

static void a_stale_answer_is_fetched_anew_behind_its_back(void **state)
{
    store(KEPT("max-age=1, stale-while-revalidate=60", "hello", "5"));
    fake_pass(proxy_world.worker, 5 * MR_SECOND);
    struct mr_stream *c = proxy_world_client(), *d = proxy_world_client();
    say(c, GET);
    contains(c, "Cache-Status: mill; hit; ttl=-4");
    contains(c, "\r\n\r\nhello");
    expect(backend(0), "GET /c/x HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"e\"\r\nVia: 1.1 mill\r\n\r\n");
    say(d, GET); /* one fetch is enough */
    contains(d, "\r\n\r\nhello");
    expect(backend(0), "");
    fake_reset(c); /* who began it may leave */
    proxy_world_settle();
    say(backend(0),
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\nn");
    say(backend(0), "ew");
    fake_output_clear(d);
    say(d, GET);
    contains(d, "Cache-Status: mill; hit; ttl=60");
    contains(d, "\r\n\r\nnew");
    assert_int_equal(fake_connect_count(proxy_world.worker), 1);
}

/* Nobody is there whose input could be looked at while the backend takes the request. */
static void a_fetch_behind_its_back_waits_for_room(void **state)
{
    store(KEPT("max-age=1, stale-while-revalidate=60", "hello", "5"));
    fake_pass(proxy_world.worker, 5 * MR_SECOND);
    struct mr_stream *c = proxy_world_client();
    fake_throttle(backend(0), 10);
    say(c, GET);
    contains(c, "\r\n\r\nhello");
    for (int i = 0; i < 12; i++) {
        fake_acknowledge(backend(0), 10);
        proxy_world_settle();
    }
    expect(backend(0), "GET /c/x HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"e\"\r\nVia: 1.1 mill\r\n\r\n");
    say(backend(0), KEPT("max-age=60", "fresh", "5"));
    fake_output_clear(c);
    say(c, GET);
    contains(c, "\r\n\r\nfresh");
}

static void a_fetch_behind_its_back_may_fail(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\nabc", "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nContent-Length: 10\r\n\r\nabc", NULL};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        start(NULL);
        store(KEPT("max-age=1, stale-while-revalidate=60", "hello", "5"));
        fake_pass(proxy_world.worker, 5 * MR_SECOND);
        struct mr_stream *c = proxy_world_client();
        say(c, GET);
        struct mr_stream *b = backend(0);
        if (answers[i])
            say(b, answers[i]);
        if (answers[i] && !fake_closed(b) && i > 0)
            fake_end(b);
        fake_pass(proxy_world.worker,
                  40 * MR_SECOND); /* what is silent is asked again, and again by a fresh connection */
        assert_int_equal(proxy_world.proxy->sessions->open, 0);
        c = proxy_world_client();
        say(c, GET);
        contains(c, "\r\n\r\nhello");
        stop(NULL);
    }
}

static void an_error_is_bridged_by_what_is_stale(void **state)
{
    store(KEPT("max-age=1, stale-if-error=60", "hello", "5"));
    fake_pass(proxy_world.worker, 5 * MR_SECOND);
    struct mr_stream *c = proxy_world_client();
    say(c, GET);
    say(backend(0), "HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\nabc");
    contains(c, "HTTP/1.1 200 OK\r\n");
    contains(c, "\r\n\r\nhello");
    fake_output_clear(c);
    fake_pass(proxy_world.worker, 12 * MR_SECOND);
    say(c, GET);
    fake_connect_automatic(proxy_world.worker, false);
    for (unsigned i = 1; i < fake_connect_count(proxy_world.worker); i++)
        if (!fake_closed(backend(i)))
            fake_reset(backend(i));
    proxy_world_settle();
    for (unsigned i = 1; i < fake_connect_count(proxy_world.worker); i++)
        if (!fake_closed(backend(i)))
            fake_lose(backend(i), MR_CLOSE_REFUSED);
    proxy_world_settle();
    contains(c, "\r\n\r\nhello");
}

static void requests_for_the_same_wait_for_one_fetch(void **state)
{
    struct mr_stream *c[5];
    for (int i = 0; i < 4; i++) {
        c[i] = proxy_world_client();
        say(c[i], GET);
    }
    /* one fetches, two wait, one more than may wait goes by itself */
    assert_int_equal(fake_connect_count(proxy_world.worker), 2);
    fake_reset(c[1]);
    say(backend(0), KEPT("max-age=60", "hello", "5"));
    contains(c[0], "\r\n\r\nhello");
    contains(c[2], "\r\n\r\nhello");
    contains(c[2], "collapsed");
    expect(c[3], "");
    say(backend(1), KEPT("max-age=60", "other", "5"));
    contains(c[3], "\r\n\r\nother");
}

static void when_the_fetch_dies_the_next_goes_on(void **state)
{
    struct mr_stream *c = proxy_world_client(), *d = proxy_world_client();
    say(c, GET);
    say(d, GET);
    fake_reset(c);
    proxy_world_settle();
    assert_true(fake_aborted(backend(0)));
    expect(backend(1), SENT);
    say(backend(1), KEPT("max-age=60", "hello", "5"));
    contains(d, "\r\n\r\nhello");
}

static void who_waits_too_long_goes_alone(void **state)
{
    struct mr_stream *c = proxy_world_client(), *d = proxy_world_client();
    say(c, GET);
    say(backend(0), "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 100\r\n\r\nslow");
    say(d, GET);
    assert_int_equal(fake_connect_count(proxy_world.worker), 1);
    for (int i = 0; i < 3; i++) {
        fake_pass(proxy_world.worker, 4 * MR_SECOND);
        say(backend(0), "s");
    }
    expect(backend(1), SENT);
    say(backend(1), KEPT("max-age=60", "hello", "5"));
    contains(d, "\r\n\r\nhello");
}

static void a_response_that_was_cut_is_not_kept(void **state)
{
    struct mr_stream *c = proxy_world_client(), *d = proxy_world_client();
    say(c, GET);
    say(backend(0), "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhell");
    fake_end(backend(0));
    proxy_world_settle();
    assert_true(fake_aborted(c));
    say(d, GET);
    expect(backend(1), SENT);
}

static void a_change_makes_what_is_kept_invalid(void **state)
{
    store(KEPT("max-age=60", "hello", "5"));
    struct mr_stream *c = proxy_world_client();
    say(c, "POST /c/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    fake_output_clear(backend(0));
    say(backend(0), "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    fake_output_clear(c);
    say(c, GET);
    contains(c, "\r\n\r\nhello"); /* nothing has changed */
    fake_output_clear(c);
    say(c, "DELETE /c/x HTTP/1.1\r\nHost: a\r\n\r\n");
    fake_output_clear(backend(0));
    say(backend(0), "HTTP/1.1 204 No\r\n\r\n");
    say(c, GET);
    expect(backend(0), SENT);
}

static void a_large_entry_is_lent(void **state)
{
    static char response[400000];
    int n = sprintf(response, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 300000\r\n\r\n");
    for (int i = 0; i < 300000; i++)
        response[n + i] = (char)('a' + i % 23);
    struct mr_stream *c = proxy_world_client(), *d = proxy_world_client();
    size_t length, again;
    say(c, GET);
    say(backend(0), response);
    proxy_world_settle();
    const char *sent = fake_output(c, &length);
    assert_memory_equal(sent + length - 300000, response + n, 300000);
    fake_throttle(d, 20000);
    say(d, GET);
    for (int i = 0; i < 60; i++) {
        fake_acknowledge(d, 10000);
        proxy_world_settle();
    }
    sent = fake_output(d, &again);
    assert_memory_equal(sent + again - 300000, response + n, 300000);
    assert_int_equal(fake_spliced(d), 0);
}

static void other_routes_and_methods_go_past_it(void **state)
{
    struct mr_stream *c = proxy_world_client();
    for (int i = 0; i < 2; i++) {
        say(c, "GET /x HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"e\"\r\n\r\n");
        expect(backend(0), "GET /x HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"e\"\r\nVia: 1.1 mill\r\n\r\n");
        say(backend(0), KEPT("max-age=60", "hello", "5"));
        lacks(c, "Cache-Status");
    }
    say(c, "GET /c/x HTTP/1.1\r\nHost: a\r\nCache-Control: only-if-cached\r\n\r\n");
    contains(c, "HTTP/1.1 504 ");
    fake_output_clear(c);
    for (int i = 0; i < 2; i++) {
        say(c, "GET /c/x HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\n\r\n");
        contains(backend(0), "Range: bytes=0-1\r\n");
        fake_output_clear(backend(0));
        say(backend(0), "HTTP/1.1 206 Part\r\nCache-Control: max-age=60\r\nContent-Range: bytes "
                        "0-1/5\r\nContent-Length: 2\r\n\r\nhe");
        contains(c, "Cache-Status: mill; fwd=miss\r\n");
    }
}

#define through(name) cmocka_unit_test_setup_teardown(name, start, stop)
int main(void)
{
    const struct CMUnitTest tests[] = {
        through(what_is_fresh_is_answered_from_memory),
        through(what_is_stale_is_validated),
        through(what_has_changed_takes_its_place),
        through(a_304_about_something_else_is_asked_again),
        through(a_stale_answer_is_fetched_anew_behind_its_back),
        through(a_fetch_behind_its_back_waits_for_room),
        cmocka_unit_test(a_fetch_behind_its_back_may_fail),
        through(an_error_is_bridged_by_what_is_stale),
        through(requests_for_the_same_wait_for_one_fetch),
        through(when_the_fetch_dies_the_next_goes_on),
        through(who_waits_too_long_goes_alone),
        through(a_response_that_was_cut_is_not_kept),
        through(a_change_makes_what_is_kept_invalid),
        through(a_large_entry_is_lent),
        through(other_routes_and_methods_go_past_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
