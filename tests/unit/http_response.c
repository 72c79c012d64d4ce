/* The grammar and rules of HTTP responses, as a proxy reads them: each case is one line, run whole and byte by byte, always flush
 * against a page that faults. */
#include "tests/support/cmocka.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "http/body.h"
#include "http/response_head.h"

static const struct http_wire_limits limits = {100, 300, 6};

#define S    "HTTP/1.1 200 OK\r\n"
#define E    "\r\n"
#define Z16  "zzzzzzzzzzzzzzzz"
#define Z64  Z16 Z16 Z16 Z16
#define NONE HTTP_BODY_NONE

/* `expected` > 0: the whole head, 0: incomplete, < 0: enum http_wire_error, CONTRADICTS: http_response_evaluate refuses it. */
#define WHOLE       1
#define CONTRADICTS 2
static const struct response_case {
    const char *head;
    int expected;
    int status, body; /* of a whole one */
    uint64_t length;
    bool keep;
    enum http_method method;
    const char *reason;
} cases[] = {
    {S "Content-Length: 5\r\n" E, WHOLE, 200, HTTP_BODY_LENGTH, 5, true, HTTP_GET, "a length"},
    {S "Content-Length: 0\r\n" E, WHOLE, 200, NONE, 0, true, HTTP_GET, "a length of nothing"},
    {S "Transfer-Encoding: chunked\r\n" E, WHOLE, 200, HTTP_BODY_CHUNKED, 0, true, HTTP_GET, "chunks"},
    {S E, WHOLE, 200, HTTP_BODY_UNTIL_END, 0, false, HTTP_GET, "neither: until the end (6.3 rule 8)"},
    {"HTTP/1.0 200 OK\r\n" E, WHOLE, 200, HTTP_BODY_UNTIL_END, 0, false, HTTP_GET, "1.0, until the end"},
    {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n" E, WHOLE, 200, HTTP_BODY_LENGTH, 5, false, HTTP_GET, "1.0 closes"},
    {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n" E, WHOLE, 200, HTTP_BODY_LENGTH, 5, true,
     HTTP_GET, "1.0 that does not"},
    {S "Content-Length: 5\r\nConnection: x, Close\r\n" E, WHOLE, 200, HTTP_BODY_LENGTH, 5, false, HTTP_GET, "close"},
    {S "Content-Length: 5\r\nConnection: keep-alive\r\nConnection: close\r\n" E, WHOLE, 200, HTTP_BODY_LENGTH, 5, false,
     HTTP_GET, "close wins"},
    {S "Content-Length: 5\r\n" E, WHOLE, 200, NONE, 5, true, HTTP_HEAD, "HEAD has no body (rule 1)"},
    {S "Transfer-Encoding: chunked\r\n" E, WHOLE, 200, NONE, 0, true, HTTP_HEAD, "... in chunks either"},
    {S E, WHOLE, 200, NONE, 0, true, HTTP_HEAD, "HEAD without a length keeps the connection"},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n" E, WHOLE, 304, NONE, 5, true, HTTP_GET, "304 has no body"},
    {"HTTP/1.1 204 No Content\r\n" E, WHOLE, 204, NONE, 0, true, HTTP_GET, "204 has no body"},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n" E, WHOLE, 204, NONE, 5, false, HTTP_GET,
     "204 that announces one: it may send it"},
    {"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n" E, WHOLE, 204, NONE, 0, false, HTTP_GET,
     "... in chunks"},
    {"HTTP/1.1 100 Continue\r\n" E, WHOLE, 100, NONE, 0, true, HTTP_POST, "100"},
    {"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n" E, WHOLE, 103, NONE, 0, true, HTTP_GET, "103 with fields"},
    {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n" E, WHOLE, 101, NONE, 0, true, HTTP_GET,
     "101"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" E, WHOLE, 200, NONE, 5, true, HTTP_CONNECT, "2xx to CONNECT (rule 2)"},
    {"HTTP/1.1 404 No\r\nContent-Length: 5\r\n" E, WHOLE, 404, HTTP_BODY_LENGTH, 5, true, HTTP_CONNECT,
     "404 to CONNECT"},
    {S "Content-Length: 5\r\ncontent-length: 5\r\n" E, WHOLE, 200, HTTP_BODY_LENGTH, 5, true, HTTP_GET,
     "the same twice"},
    {S "Content-Length: 5\r\nContent-Length: 6\r\n" E, CONTRADICTS, 0, 0, 0, 0, HTTP_GET, "two lengths (rule 5)"},
    {S "Content-Length: 5\r\nContent-Length: 6\r\n" E, CONTRADICTS, 0, 0, 0, 0, HTTP_HEAD, "... to HEAD"},
    {S "Content-Length: 5, 5\r\n" E, CONTRADICTS, 0, 0, 0, 0, HTTP_GET, "a list of lengths"},
    {S "Content-Length: -5\r\n" E, CONTRADICTS, 0, 0, 0, 0, HTTP_GET, "a negative length"},
    {S "Content-Length: \r\n" E, CONTRADICTS, 0, 0, 0, 0, HTTP_GET, "an empty length"},
    {S "Content-Length: 18446744073709551616\r\n" E, CONTRADICTS, 0, 0, 0, 0, HTTP_GET, "a length of 2^64"},
    {S "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" E, CONTRADICTS, 0, 0, 0, 0, HTTP_GET, "both (6.1)"},
    {S "Transfer-Encoding: gzip, chunked\r\n" E, CONTRADICTS, 0, 0, 0, 0, HTTP_GET, "a coding that we do not know"},
    {S "Transfer-Encoding: chunked, gzip\r\n" E, CONTRADICTS, 0, 0, 0, 0, HTTP_GET, "chunked not last"},
    {S "Transfer-Encoding: identity\r\n" E, CONTRADICTS, 0, 0, 0, 0, HTTP_GET, "identity"},
    {S "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" E, CONTRADICTS, 0, 0, 0, 0, HTTP_GET, "twice"},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n" E, CONTRADICTS, 0, 0, 0, 0, HTTP_GET, "chunks in 1.0"},
    {"HTTP/1.1 200 \r\nContent-Length: 0\r\n" E, WHOLE, 200, NONE, 0, true, HTTP_GET, "an empty reason (4)"},
    {"HTTP/1.1 200\r\nContent-Length: 0\r\n" E, WHOLE, 200, NONE, 0, true, HTTP_GET, "not even its space"},
    {"HTTP/1.1 599 A b\tc \xe4\r\nContent-Length: 0\r\n" E, WHOLE, 599, NONE, 0, true, HTTP_GET, "any reason"},
    {"HTTP/1.1 600 A\r\n" E, -400, 0, 0, 0, 0, HTTP_GET, "no such class"},
    {"HTTP/1.1 099 A\r\n" E, -400, 0, 0, 0, 0, HTTP_GET, "no such class either"},
    {"HTTP/1.1 20 A\r\n" E, -400, 0, 0, 0, 0, HTTP_GET, "two digits"},
    {"HTTP/1.1 2000 A\r\n" E, -400, 0, 0, 0, 0, HTTP_GET, "four digits"},
    {"HTTP/1.1  200 A\r\n" E, -400, 0, 0, 0, 0, HTTP_GET, "two spaces"},
    {"HTTP/2.0 200 A\r\n" E, -400, 0, 0, 0, 0, HTTP_GET, "another version"},
    {"HTTP/1 200 A\r\n" E, -400, 0, 0, 0, 0, HTTP_GET, "no minor version"},
    {"http/1.1 200 A\r\n" E, -400, 0, 0, 0, 0, HTTP_GET, "the name has a case"},
    {"ICY 200 OK\r\n" E, -400, 0, 0, 0, 0, HTTP_GET, "another protocol"},
    {"\r\nHTTP/1.1 200 OK\r\n" E, -400, 0, 0, 0, 0, HTTP_GET, "an empty line in front"},
    {"HTTP/1.1 200 OK\n\n", -400, 0, 0, 0, 0, HTTP_GET, "bare LF"},
    {"HTTP/1.1 200 O\rK\r\n" E, -400, 0, 0, 0, 0, HTTP_GET, "a bare CR in the reason"},
    {"HTTP/1.1 200 O\x01K\r\n" E, -400, 0, 0, 0, 0, HTTP_GET, "a control character in the reason"},
    {S " A: b\r\n" E, -400, 0, 0, 0, 0, HTTP_GET, "a folded line"},
    {S "Content-Length : 5\r\n" E, -400, 0, 0, 0, 0, HTTP_GET, "white space in front of a colon"},
    {S "A: b\x01\r\n" E, -400, 0, 0, 0, 0, HTTP_GET, "a control character in a value"},
    {"<html>", -400, 0, 0, 0, 0, HTTP_GET, "HTTP/0.9"},
    {S "A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\nF: 1\r\nG: 1\r\n" E, -431, 0, 0, 0, 0, HTTP_GET, "too many fields"},
    {S "A: " Z64 Z64 Z64 Z64 Z64 E E, -431, 0, 0, 0, 0, HTTP_GET, "too large"},
    {"HTTP/1.1 200 " Z64 Z64 E E, -414, 0, 0, 0, 0, HTTP_GET, "a line too long"},
    {"HTTP/1.1 2", 0, 0, 0, 0, 0, HTTP_GET, "half a status"},
    {S, 0, 0, 0, 0, 0, HTTP_GET, "a status line"},
    {S "A: b\r\n\r", 0, 0, 0, 0, 0, HTTP_GET, "half an end"},
};

static uint8_t *guard_page(void)
{
    static uint8_t *end;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (end)
        return end;
    uint8_t *area = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(area != MAP_FAILED);
    assert_int_equal(mprotect(area + page, page, PROT_NONE), 0);
    return end = area + page;
}

/* Bytes that become visible `step` at a time, each time at another address. */
static int run(const struct response_case *c, size_t step, struct http_response *r)
{
    size_t length = strlen(c->head);
    struct http_wire w;
    int n = 0;
    http_wire_reset(&w);
    for (size_t at = step < length ? step : length; n == 0; at = at + step < length ? at + step : length) {
        uint8_t *head = guard_page() - at;
        memcpy(head, c->head, at);
        n = http_wire_response(&w, head, at, &limits, r);
        if (n > 0 && http_response_evaluate(r, head, c->method) != 0)
            return CONTRADICTS;
        if (at == length)
            break;
    }
    return n > 0 ? (assert_int_equal(n, length), WHOLE) : n;
}

static void each_case_whole_and_in_pieces(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 1; step < 1000; step = step < 4 ? step + 1 : step * 10) {
            const struct response_case *c = &cases[i];
            struct http_response r;
            int n = run(c, step, &r);
            if (n != c->expected)
                fail_msg("case %zu (%s), step %zu: %d, expected %d", i, c->reason, step, n, c->expected);
            if (n == WHOLE && (r.status != c->status || r.body != c->body || r.content_length != c->length ||
                               r.keep_alive != c->keep))
                fail_msg("case %zu (%s), step %zu: status %d, body %d of %llu, keep %d", i, c->reason, step, r.status,
                         r.body, (unsigned long long)r.content_length, r.keep_alive);
        }
}

static void parts_are_found_and_fields_of_a_kind_iterated(void **state)
{
    static const char head[] =
        "HTTP/1.1 200 All right \r\nSet-Cookie: a=1\r\nVary: x\r\nSET-COOKIE:b=2\r\nX: y\r\n\r\n";
    const uint8_t *p = (const uint8_t *)head;
    struct http_wire w;
    struct http_response r;
    unsigned at = 0;
    http_wire_reset(&w);
    assert_int_equal(http_wire_response(&w, p, sizeof head - 1, &limits, &r), sizeof head - 1);
    assert_int_equal(r.reason.length, 10);
    assert_memory_equal(p + r.reason.offset, "All right ", 10);
    assert_true(http_text_equal(http_response_value(&r, p, HTTP_HEADER_SET_COOKIE), "a=1"));
    assert_null(http_response_value(&r, p, HTTP_HEADER_ETAG).data);
    const struct http_field *f = http_response_next(&r, HTTP_HEADER_SET_COOKIE, &at);
    assert_true(http_text_equal(http_request_text(p, f->value), "a=1"));
    f = http_response_next(&r, HTTP_HEADER_SET_COOKIE, &at);
    assert_true(http_text_equal(http_request_text(p, f->value), "b=2"));
    assert_null(http_response_next(&r, HTTP_HEADER_SET_COOKIE, &at));
    assert_null(http_response_next(&r, HTTP_HEADER_SET_COOKIE, &at));
    at = 0;
    assert_null(http_response_next(&r, HTTP_HEADER_DATE, &at));
}

static void a_body_until_the_end_lasts_until_it_is_told(void **state)
{
    struct http_body b;
    struct mr_span payload;
    assert_int_equal(http_body_start(&b, HTTP_BODY_UNTIL_END, 0, 10), 0);
    assert_int_equal(http_body_next(&b, (const uint8_t *)"abcd", 4, &payload), 4);
    assert_int_equal(http_body_payload(&b), 6);
    http_body_skip(&b, 6);
    assert_false(http_body_ended(&b));
    assert_int_equal(http_body_next(&b, (const uint8_t *)"e", 1, &payload), -413);
    assert_true(http_body_end(&b));
    assert_true(http_body_ended(&b));
}

static void payload_can_be_skipped_instead_of_shown(void **state)
{
    struct http_body b;
    struct mr_span payload;
    const uint8_t *wire = (const uint8_t *)"4\r\n....\r\n0\r\n\r\n";
    assert_int_equal(http_body_start(&b, HTTP_BODY_CHUNKED, 0, 100), 0);
    assert_int_equal(http_body_payload(&b), 0);
    assert_int_equal(http_body_next(&b, wire, 14, &payload), 3);
    assert_int_equal(http_body_payload(&b), 4);
    http_body_skip(&b, 4);
    assert_int_equal(http_body_payload(&b), 0);
    for (size_t at = 7; at < 14;) {
        assert_false(http_body_ended(&b));
        at += (size_t)http_body_next(&b, wire + at, 14 - at, &payload);
    }
    assert_true(http_body_ended(&b));
    assert_int_equal(b.received, 4);
    assert_int_equal(http_body_start(&b, HTTP_BODY_LENGTH, 4, 4), 0);
    http_body_skip(&b, 3);
    assert_false(http_body_end(&b)); /* cut short */
    http_body_skip(&b, 1);
    assert_true(http_body_ended(&b));
}

static void requests_that_are_passed_on_may_have_any_method(void **state)
{
    static const struct {
        const char *head, *method;
        int status;
    } table[] = {
        {"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "BREW", 0},
        {"\r\nTRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "TRACE", 0},
        {"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT", 0},
        {"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT", -400},
        {"CONNECT a:80 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", "CONNECT", -400},
        {"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "GET", -400},
        {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", "GET", -400},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const uint8_t *head = (const uint8_t *)table[i].head;
        struct http_wire w;
        struct http_request r;
        http_wire_reset(&w);
        assert_true(http_wire_parse(&w, head, strlen(table[i].head), &limits, &r) > 0);
        assert_int_equal(http_request_evaluate_passed(&r, head), table[i].status);
        struct mr_span method = http_request_method(&r, head);
        assert_int_equal(method.length, strlen(table[i].method));
        assert_memory_equal(method.data, table[i].method, method.length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_case_whole_and_in_pieces),
        cmocka_unit_test(parts_are_found_and_fields_of_a_kind_iterated),
        cmocka_unit_test(a_body_until_the_end_lasts_until_it_is_told),
        cmocka_unit_test(payload_can_be_skipped_instead_of_shown),
        cmocka_unit_test(requests_that_are_passed_on_may_have_any_method),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
