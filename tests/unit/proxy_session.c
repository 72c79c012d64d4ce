/* Requests through the proxy and back: what a backend gets and what a client gets, to the byte. */
#include <stdio.h>
#include <string.h>

#include "tests/support/cmocka.h"
#include "tests/support/proxy_world.h"

#define DATE    "Date: Sun, 09 Sep 2001 01:46:40 GMT\r\n"
#define OK2     "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 2\r\n\r\nok"
#define OK2_OUT "HTTP/1.1 200 OK\r\nDate: x\r\nVia: 1.1 mill\r\nContent-Length: 2\r\n\r\nok"
#define GET     "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

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

static struct mr_stream *backend(unsigned i)
{
    return proxy_world_backend(i);
}

#define say    proxy_world_say
#define expect proxy_world_expect

static void a_request_goes_through_and_its_response_back(void **state)
{
    /* Both heads are written anew, in the order of their fields, with Via and the framing at the end. */
    struct mr_stream *c = proxy_world_client();
    say(c, "GET /a?b HTTP/1.1\r\nHost: Example.com\r\nAccept:  */* \r\nX-Y: z\r\n\r\n");
    expect(backend(0), "GET /a?b HTTP/1.1\r\nHost: Example.com\r\nAccept: */*\r\nX-Y: z\r\nVia: 1.1 mill\r\n\r\n");
    say(backend(0), "HTTP/1.1 200 Fine\r\nServer: s\r\nContent-Length: 5\r\nX:y\r\n\r\nhello");
    expect(c, "HTTP/1.1 200 Fine\r\nServer: s\r\nX: y\r\nVia: 1.1 mill\r\n" DATE "Content-Length: 5\r\n\r\nhello");
    assert_false(fake_closed(c));
}

static void the_next_request_reuses_the_connection(void **state)
{
    struct mr_stream *c = proxy_world_client(), *d = proxy_world_client();
    for (int i = 0; i < 5; i++) {
        struct mr_stream *from = i % 2 ? d : c;
        say(from, GET);
        /* round robin: the two backends by turns, each by its idle connection */
        struct mr_stream *b = backend((unsigned)i % 2);
        expect(b, "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 mill\r\n\r\n");
        say(b, OK2);
        expect(from, OK2_OUT);
    }
    assert_int_equal(fake_connect_count(proxy_world.worker), 2);
    assert_int_equal(proxy_world.counters[PROXY_REUSED], 3);
    assert_int_equal(proxy_world.counters[PROXY_REQUESTS], 5);
}

static void pipelined_requests_wait_their_turn(void **state)
{
    struct mr_stream *c = proxy_world_client();
    say(c, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(fake_connect_count(proxy_world.worker), 1);
    expect(backend(0), "GET /1 HTTP/1.1\r\nHost: a\r\nVia: 1.1 mill\r\n\r\n");
    say(backend(0), OK2);
    expect(c, OK2_OUT);
    expect(backend(1), "GET /2 HTTP/1.1\r\nHost: a\r\nVia: 1.1 mill\r\n\r\n");
    say(backend(1), OK2);
    expect(c, OK2_OUT);
}

static void heads_may_come_byte_by_byte(void **state)
{
    struct mr_stream *c = proxy_world_client();
    const char *request = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    const char *response = "HTTP/1.1 201 Made\r\nDate: x\r\nContent-Length: 4\r\n\r\ndone";
    for (const char *p = request; *p; p++) {
        fake_input(c, p, 1);
        proxy_world_settle();
    }
    expect(backend(0), "POST /x HTTP/1.1\r\nHost: a\r\nVia: 1.1 mill\r\nContent-Length: 3\r\n\r\nabc");
    for (const char *p = response; *p; p++) {
        fake_input(backend(0), p, 1);
        proxy_world_settle();
    }
    expect(c, "HTTP/1.1 201 Made\r\nDate: x\r\nVia: 1.1 mill\r\nContent-Length: 4\r\n\r\ndone");
    assert_int_equal(proxy_world.counters[PROXY_SESSION_HEADS_BUFFERED], 1);
}

static void chunks_are_written_anew(void **state)
{
    /* Sizes, extensions and trailers of the sender end here; what was there together leaves together. */
    struct mr_stream *c = proxy_world_client();
    say(c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0003\r\nabc\r\n0\r\nT: "
           "u\r\n\r\n");
    expect(backend(0), "POST / HTTP/1.1\r\nHost: a\r\nVia: 1.1 mill\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\n");
    say(backend(0), "HTTP/1.1 200 OK\r\nDate: x\r\nTransfer-Encoding: chunked\r\n\r\n2;q\r\nok");
    expect(c, "HTTP/1.1 200 OK\r\nDate: x\r\nVia: 1.1 mill\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
    say(backend(0), "\r\n1\r\n!\r\n0\r\n\r\n");
    expect(c, "1\r\n!\r\n0\r\n\r\n");
    assert_false(fake_closed(backend(0)));
    say(c, GET);
    say(backend(1), OK2);
    expect(c, OK2_OUT);
}

static void a_response_until_the_end_becomes_chunks(void **state)
{
    struct mr_stream *c = proxy_world_client();
    say(c, GET);
    say(backend(0), "HTTP/1.0 200 OK\r\nDate: x\r\n\r\nabc");
    expect(c, "HTTP/1.1 200 OK\r\nDate: x\r\nVia: 1.0 mill\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    say(backend(0), "de");
    fake_end(backend(0));
    proxy_world_settle();
    expect(c, "2\r\nde\r\n0\r\n\r\n");
    assert_false(fake_shutdown_seen(c));
    assert_true(fake_closed(backend(0)));
}

static void a_client_of_1_0_gets_the_end_instead(void **state)
{
    struct mr_stream *c = proxy_world_client();
    say(c, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    proxy_world_contains(backend(0), "GET / HTTP/1.1\r\nHost: 198.18.0.2:");
    proxy_world_contains(backend(0), "Via: 1.0 mill\r\n");
    say(backend(0), "HTTP/1.1 200 OK\r\nDate: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    expect(c, "HTTP/1.1 200 OK\r\nDate: x\r\nVia: 1.1 mill\r\nConnection: close\r\n\r\nabc");
    assert_true(fake_shutdown_seen(c));
    assert_false(fake_closed(backend(0)));
}

static void a_client_of_1_0_may_stay_when_the_length_is_known(void **state)
{
    struct mr_stream *c = proxy_world_client();
    say(c, "GET / HTTP/1.0\r\nConnection: keep-alive\r\nHost: a\r\n\r\n");
    say(backend(0), OK2);
    expect(c, "HTTP/1.1 200 OK\r\nDate: x\r\nVia: 1.1 mill\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok");
    assert_false(fake_shutdown_seen(c));
}

static void answers_without_a_body(void **state)
{
    static const struct {
        const char *request, *response, *expected;
    } table[] = {
        {"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 10\r\n\r\n",
         "HTTP/1.1 200 OK\r\nDate: x\r\nVia: 1.1 mill\r\nContent-Length: 10\r\n\r\n"},
        {"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nDate: x\r\nTransfer-Encoding: chunked\r\n\r\n",
         "HTTP/1.1 200 OK\r\nDate: x\r\nVia: 1.1 mill\r\n\r\n"},
        {GET, "HTTP/1.1 304 Not Modified\r\nDate: x\r\nContent-Length: 10\r\n\r\n",
         "HTTP/1.1 304 Not Modified\r\nDate: x\r\nVia: 1.1 mill\r\nContent-Length: 10\r\n\r\n"},
        {GET, "HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n",
         "HTTP/1.1 204 No Content\r\nDate: x\r\nVia: 1.1 mill\r\n\r\n"},
        {GET, "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 0\r\n\r\n",
         "HTTP/1.1 200 OK\r\nDate: x\r\nVia: 1.1 mill\r\nContent-Length: 0\r\n\r\n"},
    };
    struct mr_stream *c = proxy_world_client();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct mr_stream *b;
        say(c, table[i].request);
        b = backend(i % 2);
        fake_output_clear(b);
        say(b, table[i].response);
        expect(c, table[i].expected);
        assert_false(fake_closed(b));
    }
}

static void interim_responses_are_passed_on(void **state)
{
    struct mr_stream *c = proxy_world_client();
    say(c, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    expect(backend(0),
           "POST / HTTP/1.1\r\nHost: a\r\nVia: 1.1 mill\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    say(backend(0), "HTTP/1.1 100 Continue\r\n\r\n");
    expect(c, "HTTP/1.1 100 Continue\r\nVia: 1.1 mill\r\n\r\n");
    say(c, "abc");
    expect(backend(0), "abc");
    say(backend(0), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" OK2);
    expect(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nVia: 1.1 mill\r\n\r\n" OK2_OUT);
}

static void too_many_interim_responses_are_nonsense(void **state)
{
    struct mr_stream *c = proxy_world_client();
    say(c, "GET / HTTP/1.0\r\n\r\n");
    for (int i = 0; i < SESSION_INTERIM_MAX; i++)
        say(backend(0), "HTTP/1.1 102 Processing\r\n\r\n");
    proxy_world_expect(c, "");
    say(backend(0), "HTTP/1.1 102 Processing\r\n\r\n");
    proxy_world_contains(c, "HTTP/1.1 502 Bad Gateway\r\n");
}

static void an_early_answer_ends_the_request(void **state)
{
    /* The backend answers before the body is there: its connection is not used again, the client's is when the rest is small. */
    struct mr_stream *c = proxy_world_client();
    say(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000\r\n\r\n0123456789");
    fake_output_clear(backend(0));
    say(backend(0), "HTTP/1.1 413 No\r\nDate: x\r\nContent-Length: 0\r\n\r\n");
    expect(c, "HTTP/1.1 413 No\r\nDate: x\r\nVia: 1.1 mill\r\nContent-Length: 0\r\n\r\n");
    assert_true(fake_aborted(backend(0)));
    char rest[3991];
    memset(rest, 'x', 3990);
    rest[3990] = 0;
    say(c, rest);
    say(c, GET);
    expect(backend(1), "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 mill\r\n\r\n");
}

static void an_early_answer_to_a_large_request_ends_the_connection(void **state)
{
    struct mr_stream *c = proxy_world_client();
    say(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n0123456789");
    say(backend(0), "HTTP/1.1 413 No\r\nDate: x\r\nContent-Length: 0\r\n\r\n");
    expect(c, "HTTP/1.1 413 No\r\nDate: x\r\nVia: 1.1 mill\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_true(fake_shutdown_seen(c));
}

static void both_bodies_may_go_at_once(void **state)
{
    struct mr_stream *c = proxy_world_client();
    say(c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
    fake_output_clear(backend(0));
    say(backend(0), "HTTP/1.1 200 OK\r\nDate: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n");
    fake_output_clear(c);
    say(c, "1\r\nb\r\n");
    expect(backend(0), "1\r\nb\r\n");
    say(backend(0), "1\r\nB\r\n");
    expect(c, "1\r\nB\r\n");
    say(c, "0\r\n\r\n");
    expect(backend(0), "0\r\n\r\n");
    say(backend(0), "0\r\n\r\n");
    expect(c, "0\r\n\r\n");
    assert_false(fake_closed(backend(0)));
    assert_false(fake_shutdown_seen(c));
}

static void a_response_that_is_too_short_is_cut(void **state)
{
    static const char *const responses[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd",
    };
    for (size_t i = 0; i < sizeof responses / sizeof *responses; i++) {
        struct mr_stream *c = proxy_world_client();
        say(c, GET);
        struct mr_stream *b = backend(fake_connect_count(proxy_world.worker) - 1);
        say(b, responses[i]);
        if (i < 3)
            assert_false(fake_aborted(c));
        if (i < 3)
            fake_end(b);
        proxy_world_settle();
        assert_true(fake_aborted(c)); /* never a clean end */
        assert_true(fake_closed(b));
    }
}

static void what_is_behind_a_response_is_nobodys(void **state)
{
    struct mr_stream *c = proxy_world_client();
    say(c, GET);
    say(backend(0), OK2 "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    expect(c, OK2_OUT);
    assert_true(fake_closed(backend(0)));
    say(c, GET);
    say(backend(1), OK2);
    expect(c, OK2_OUT);
}

static void a_client_that_leaves_takes_its_request_with_it(void **state)
{
    struct mr_stream *c = proxy_world_client();
    say(c, GET);
    fake_reset(c);
    proxy_world_settle();
    assert_true(fake_aborted(backend(0)));
    c = proxy_world_client();
    say(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\nabc");
    fake_end(c);
    proxy_world_settle();
    assert_true(fake_aborted(c));
    assert_true(fake_aborted(backend(1)));
    assert_int_equal(proxy_world.counters[PROXY_SESSION_REQUESTS_CUT], 1);
}

static void a_client_that_only_ended_its_side_gets_its_answer(void **state)
{
    struct mr_stream *c = proxy_world_client();
    fake_input_quietly(c, GET, strlen(GET));
    fake_end(c);
    proxy_world_settle();
    say(backend(0), OK2);
    proxy_world_contains(c, "\r\n\r\nok");
    assert_true(fake_closed(c));
    assert_int_equal(fake_close_reason(c), MR_CLOSE_DONE);
}

static void connection_close_is_kept_to_itself(void **state)
{
    struct mr_stream *c = proxy_world_client();
    say(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect(backend(0), "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 mill\r\n\r\n");
    say(backend(0), OK2);
    expect(c, "HTTP/1.1 200 OK\r\nDate: x\r\nVia: 1.1 mill\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    assert_true(fake_shutdown_seen(c));
    assert_false(fake_closed(backend(0)));
    /* ... and the other way round */
    c = proxy_world_client();
    say(c, GET);
    say(backend(1), "HTTP/1.1 200 OK\r\nDate: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    expect(c, OK2_OUT);
    assert_false(fake_shutdown_seen(c));
    assert_true(fake_closed(backend(1)));
}

static void a_large_body_is_spliced(void **state)
{
    static char body[200001];
    char head[200];
    struct mr_stream *c = proxy_world_client();
    memset(body, 'b', 200000);
    say(c, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
    say(c, body);
    size_t n, above = strlen("PUT / HTTP/1.1\r\nHost: a\r\nVia: 1.1 mill\r\nContent-Length: 200000\r\n\r\n");
    fake_output(backend(0), &n);
    assert_int_equal(n, above + 200000);
    assert_int_equal(fake_spliced(backend(0)), 200000);
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n");
    say(backend(0), head);
    fake_output_clear(c);
    say(backend(0), body);
    fake_output(c, &n);
    assert_int_equal(n, 200000);
    assert_int_equal(fake_spliced(c), 200000);
    assert_int_equal(proxy_world.counters[PROXY_SESSION_BYTES_UP], 200000);
    assert_int_equal(proxy_world.counters[PROXY_SESSION_BYTES_DOWN], 200000);
}

#define through(name) cmocka_unit_test_setup_teardown(name, start, stop)
int main(void)
{
    const struct CMUnitTest tests[] = {
        through(a_request_goes_through_and_its_response_back),
        through(the_next_request_reuses_the_connection),
        through(pipelined_requests_wait_their_turn),
        through(heads_may_come_byte_by_byte),
        through(chunks_are_written_anew),
        through(a_response_until_the_end_becomes_chunks),
        through(a_client_of_1_0_gets_the_end_instead),
        through(a_client_of_1_0_may_stay_when_the_length_is_known),
        through(answers_without_a_body),
        through(interim_responses_are_passed_on),
        through(too_many_interim_responses_are_nonsense),
        through(an_early_answer_ends_the_request),
        through(an_early_answer_to_a_large_request_ends_the_connection),
        through(both_bodies_may_go_at_once),
        through(a_response_that_is_too_short_is_cut),
        through(what_is_behind_a_response_is_nobodys),
        through(a_client_that_leaves_takes_its_request_with_it),
        through(a_client_that_only_ended_its_side_gets_its_answer),
        through(connection_close_is_kept_to_itself),
        through(a_large_body_is_spliced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
