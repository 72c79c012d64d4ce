/* The grammar and rules of HTTP requests: each case is one line, run whole, byte by byte and at random splits, always
 * flush against a page that faults. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "http/body.h"
#include "http/char_class.h"
#include "http/http_wire.h"

static const struct http_wire_limits limits = {200, 600, 8};

#define H    "Host: a\r\n"
#define E    "\r\n"
#define Z16  "zzzzzzzzzzzzzzzz"
#define Z64  Z16 Z16 Z16 Z16
#define Z256 Z64 Z64 Z64 Z64

struct request_case {
    const char *head;
    size_t length;
    int expected; /* bytes of the head, 0: incomplete, < 0: the status */
    const char *reason;
};
#define OK(text, reason)                               \
    {                                                  \
        text, sizeof text - 1, sizeof text - 1, reason \
    }
#define LESS(text, rest, reason)                                 \
    {                                                            \
        text rest, sizeof text rest - 1, sizeof text - 1, reason \
    }
#define WAIT(text, reason)               \
    {                                    \
        text, sizeof text - 1, 0, reason \
    }
#define BAD(status, text, reason)                \
    {                                            \
        text, sizeof text - 1, -(status), reason \
    }

static const struct request_case cases[] = {
    OK("GET / HTTP/1.1\r\n" H E, "the smallest request"),
    OK("GET / HTTP/1.0\r\n" E, "1.0 needs no Host"),
    OK("\r\nGET / HTTP/1.1\r\n" H E, "one empty line in front is ignored (2.2)"),
    BAD(400, "\r\n\r\nGET / HTTP/1.1\r\n" H E, "two are not"),
    LESS("GET / HTTP/1.1\r\n" H E, "GET /2 HTTP/1.1\r\n", "what is behind belongs to the next"),
    OK("HEAD / HTTP/1.1\r\n" H E, "HEAD"),
    OK("POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n" E, "POST with a length"),
    OK("PUT /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n" E, "PUT in chunks"),
    OK("OPTIONS * HTTP/1.1\r\n" H E, "asterisk-form with OPTIONS (9.3.7)"),
    BAD(400, "GET * HTTP/1.1\r\n" H E, "asterisk-form with another method (3.2.4)"),
    OK("GET http://a/b?c HTTP/1.1\r\n" H E, "absolute-form must be accepted (3.2.2)"),
    OK("GET HTTP://a HTTP/1.1\r\n" H E, "absolute-form without a path, scheme in capitals"),
    OK("GET https://u@a:8080/ HTTP/1.1\r\n" H E, "absolute-form with user and port"),
    BAD(400, "GET http:/a HTTP/1.1\r\n" H E, "a scheme with one slash"),
    BAD(400, "GET ftp://a/ HTTP/1.1\r\n" H E, "a scheme that is not HTTP"),
    BAD(400, "GET a:80 HTTP/1.1\r\n" H E, "authority-form without CONNECT (3.2.3)"),
    BAD(501, "CONNECT a:80 HTTP/1.1\r\n" H E, "CONNECT is known but not implemented"),
    BAD(501, "TRACE / HTTP/1.1\r\n" H E, "TRACE is known but not implemented"),
    BAD(501, "BREW / HTTP/1.1\r\n" H E, "an unknown method"),
    BAD(501, "get / HTTP/1.1\r\n" H E, "methods have a case (9.1)"),
    BAD(501, "GETT / HTTP/1.1\r\n" H E, "a longer name with a known beginning"),
    BAD(501, Z16 Z16 "z / HTTP/1.1\r\n" H E, "a method longer than any (3)"),
    BAD(501, Z256, "a method that does not end within a line (3)"),
    BAD(400, " GET / HTTP/1.1\r\n" H E, "a space in front of the method"),
    BAD(400, "G ET / HTTP/1.1\r\n" H E, "a space in the method"),
    BAD(400, "G\"T / HTTP/1.1\r\n" H E, "a delimiter in the method"),
    BAD(400, "GET  / HTTP/1.1\r\n" H E, "two spaces behind the method"),
    BAD(400, "GET / HTTP/1.1 \r\n" H E, "a space behind the version"),
    BAD(400, "GET /  HTTP/1.1\r\n" H E, "two spaces in front of the version"),
    BAD(400, "GET /a b HTTP/1.1\r\n" H E, "a space in the target"),
    BAD(400, "GET /a\tb HTTP/1.1\r\n" H E, "a tab in the target"),
    BAD(400, "GET\t/ HTTP/1.1\r\n" H E, "a tab for a space"),
    BAD(400, "GET /#a HTTP/1.1\r\n" H E, "a fragment is never sent"),
    BAD(400, "GET /\x80 HTTP/1.1\r\n" H E, "a byte above 0x7f in the target"),
    BAD(400, "GET /\x7f HTTP/1.1\r\n" H E, "DEL in the target"),
    BAD(400, "GET /a\\b HTTP/1.1\r\n" H E, "a backslash in the path"),
    BAD(400, "GET /<a> HTTP/1.1\r\n" H E, "angle brackets in the path"),
    OK("GET /a[1]|b HTTP/1.1\r\n" H E, "what browsers leave unencoded"),
    OK("GET /%41%2e HTTP/1.1\r\n" H E, "percent escapes"),
    BAD(400, "GET /%4 HTTP/1.1\r\n" H E, "half an escape"),
    BAD(400, "GET /%zz HTTP/1.1\r\n" H E, "an escape that is none"),
    OK("GET /?a=%zz&b={c} HTTP/1.1\r\n" H E, "queries are kept raw"),
    OK("GET /? HTTP/1.1\r\n" H E, "an empty query"),
    OK("GET /?a?b/c HTTP/1.1\r\n" H E, "question marks and slashes in a query"),
    BAD(400, "GET ?a HTTP/1.1\r\n" H E, "a query without a path"),
    BAD(400, "GET a HTTP/1.1\r\n" H E, "a path without a slash"),
    BAD(400, "GET HTTP/1.1\r\n" H E, "no target"),
    BAD(400, "GET /\r\n" E, "a request of HTTP/0.9"),
    BAD(505, "GET / HTTP/2.0\r\n" H E, "another major version"),
    BAD(505, "GET / HTTP/0.9\r\n" H E, "an older major version"),
    OK("GET / HTTP/1.2\r\n" H E, "a later minor version is understood as 1.1 (RFC 9110 2.5)"),
    BAD(400, "GET / HTTP/1\r\n" H E, "no minor version"),
    BAD(400, "GET / HTTP/1.10\r\n" H E, "two digits"),
    BAD(400, "GET / http/1.1\r\n" H E, "the name of the protocol has a case (2.3)"),
    BAD(400, "GET / HTTPS/1.1\r\n" H E, "another protocol"),
    BAD(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "the preface of HTTP/2"),
    BAD(400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "a TLS handshake"),
    BAD(400, "GET / HTTP/1.1\n" H E, "a bare LF ends no request line (2.2)"),
    BAD(400, "GET / HTTP/1.1\r\nHost: a\n" E, "a bare LF ends no field"),
    BAD(400, "GET / HTTP/1.1\r\n" H "\n", "a bare LF ends no head"),
    BAD(400, "GET / HTTP/1.1\rHost: a\r\n" E, "a bare CR in the request line"),
    BAD(400, "GET / HTTP/1.1\r\nHost: a\rb\r\n" E, "a bare CR in a value (2.2)"),
    BAD(400, "GET / HTTP/1.1\r\n" H "\rX", "a bare CR for the end"),
    BAD(400, "GET / HTTP/1.1\r\n Host: a\r\n" E, "white space in front of the first field (2.2)"),
    BAD(400, "GET / HTTP/1.1\r\n" H "A: b\r\n c\r\n" E, "a folded line (5.2)"),
    BAD(400, "GET / HTTP/1.1\r\n" H "A: b\r\n\tc\r\n" E, "a line folded with a tab"),
    BAD(400, "GET / HTTP/1.1\r\nHost : a\r\n" E, "white space in front of the colon (5.1)"),
    BAD(400, "GET / HTTP/1.1\r\n" H "Transfer-Encoding\t: chunked\r\n" E, "a tab in front of the colon"),
    BAD(400, "GET / HTTP/1.1\r\n" H ": b\r\n" E, "an empty name"),
    BAD(400, "GET / HTTP/1.1\r\n" H "A\r\n" E, "a field without a colon"),
    BAD(400, "GET / HTTP/1.1\r\n" H "A(b): c\r\n" E, "a delimiter in a name"),
    BAD(400, "GET / HTTP/1.1\r\n" H "A\x80: c\r\n" E, "a byte above 0x7f in a name"),
    BAD(400, "GET / HTTP/1.1\r\n" H "A: b\0c\r\n" E, "NUL in a value (RFC 9110 5.5)"),
    BAD(400, "GET / HTTP/1.1\r\n" H "A: b\x01\r\n" E, "a control character in a value"),
    BAD(400, "GET / HTTP/1.1\r\n" H "A: \x7f\r\n" E, "DEL in a value"),
    BAD(400, "GET / HTTP/1.1\r\n" H "A: b\x0b\r\n" E, "a vertical tab in a value"),
    OK("GET / HTTP/1.1\r\n" H "A:\r\n" E, "an empty value"),
    OK("GET / HTTP/1.1\r\n" H "A: \t \r\n" E, "a value of white space"),
    OK("GET / HTTP/1.1\r\n" H "A:b\tc d\r\n" E, "white space within a value, none in front"),
    OK("GET / HTTP/1.1\r\n" H "A: \xff\x80\r\n" E, "obs-text in a value (RFC 9110 5.5)"),
    OK("GET / HTTP/1.1\r\n" H "A: b:c::\r\n" E, "colons in a value"),
    OK("GET / HTTP/1.1\r\nhOSt:a\r\n" E, "names have no case"),
    BAD(400, "GET / HTTP/1.1\r\n" E, "no Host in 1.1 (3.2)"),
    BAD(400, "GET / HTTP/1.1\r\n" H H E, "two of Host, even equal"),
    BAD(400, "GET / HTTP/1.0\r\n" H H E, "... in 1.0 too"),
    OK("GET / HTTP/1.1\r\nHost:\r\n" E, "an empty Host is legal"),
    OK("GET / HTTP/1.1\r\nHost: [::1]:80\r\n" E, "a Host of IPv6 with a port"),
    BAD(400, "GET / HTTP/1.1\r\nHost: a/b\r\n" E, "a slash in Host"),
    BAD(400, "GET / HTTP/1.1\r\nHost: a b\r\n" E, "a space in Host"),
    BAD(400, "GET / HTTP/1.1\r\nHost: a,b\r\n" E, "a list in Host"),
    OK("POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n" E, "a length of nothing"),
    OK("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\ncontent-length: 5\r\n" E, "the same length twice (6.3)"),
    BAD(400, "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 6\r\n" E, "two lengths (6.3)"),
    BAD(400, "POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n" E, "a list of lengths"),
    BAD(400, "POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n" E, "a sign"),
    BAD(400, "POST / HTTP/1.1\r\n" H "Content-Length: -5\r\n" E, "a negative length"),
    BAD(400, "POST / HTTP/1.1\r\n" H "Content-Length: 0x5\r\n" E, "a length in hex"),
    BAD(400, "POST / HTTP/1.1\r\n" H "Content-Length: 5 5\r\n" E, "white space in a length"),
    BAD(400, "POST / HTTP/1.1\r\n" H "Content-Length:\r\n" E, "an empty length"),
    BAD(400, "POST / HTTP/1.1\r\n" H "Content-Length: five\r\n" E, "a length in words"),
    BAD(413, "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551616\r\n" E, "a length of 2^64"),
    BAD(400, "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551616x\r\n" E, "... with a letter behind"),
    BAD(400, "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" E, "both framings (6.1)"),
    BAD(400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" E,
        "... the other way round"),
    OK("POST / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n" E, "codings have no case"),
    OK("POST / HTTP/1.1\r\n" H "Transfer-Encoding: ,chunked ,\r\n" E, "empty elements of a list (RFC 9110 5.6.1)"),
    BAD(400, "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n" E, "chunks in 1.0 (6.1)"),
    BAD(400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n" E, "chunked twice"),
    BAD(400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" E,
        "... in two fields"),
    BAD(400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n" E, "chunked is not the last (6.3)"),
    BAD(501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n" E, "a coding that we do not know"),
    BAD(501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n" E, "a name that only looks like chunked"),
    BAD(400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n" E, "an empty coding"),
    BAD(501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n" E, "chunked in quotes"),
    OK("PUT / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 1\r\n" E, "an expectation"),
    OK("PUT / HTTP/1.1\r\n" H "expect: 100-Continue\r\nContent-Length: 1\r\n" E, "... has no case"),
    BAD(417, "PUT / HTTP/1.1\r\n" H "Expect: tea\r\nContent-Length: 1\r\n" E, "another expectation (RFC 9110 10.1.1)"),
    OK("PUT / HTTP/1.0\r\n" H "Expect: tea\r\nContent-Length: 1\r\n" E, "... is ignored in 1.0"),
    BAD(400, "PUT / HTTP/1.1\r\n" H "Expect: tea\r\nContent-Length: x\r\n" E, "malformed goes before unwelcome"),
    OK("GET / HTTP/1.1\r\n" H "B: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\nF: 1\r\nG: 1\r\nI: 1\r\n" E,
       "as many fields as allowed"),
    BAD(431, "GET / HTTP/1.1\r\n" H "B: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\nF: 1\r\nG: 1\r\nI: 1\r\nJ: 1\r\n" E,
        "one field more"),
    BAD(414, "GET /" Z256 " HTTP/1.1\r\n" H E, "a line over its limit"),
    BAD(414, "GET /?" Z256 " HTTP/1.1\r\n" H E, "... by its query"),
    BAD(414, "GET /" Z64 Z64 Z64 "zzz   ", "the limit comes before what lies behind it"),
    BAD(431, "GET / HTTP/1.1\r\n" H "A: " Z256 Z256 Z256 "\r\n" E, "a field over the limit of the head"),
    BAD(431, "GET / HTTP/1.1\r\n" H Z256 Z256 Z256 ": b\r\n" E, "a name over the limit of the head"),
    WAIT("", "nothing yet"),
    WAIT("\r", "half an empty line"),
    WAIT("GET", "half a method"),
    WAIT("GET / HTTP/1.", "half a version"),
    WAIT("GET / HTTP/1.1\r\n", "a line"),
    WAIT("GET / HTTP/1.1\r\n" H, "a field"),
    WAIT("GET / HTTP/1.1\r\n" H "\r", "half of the end"),
    WAIT("GET / HTTP/1.1\r\n" H "A: b\r", "half of the end of a field"),
};

/* The last bytes of a page that is followed by one that faults. */
static uint8_t *guard_page(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *area = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(area != MAP_FAILED);
    assert_int_equal(mprotect(area + page, page, PROT_NONE), 0);
    return area + page;
}

/* Parses the bytes as they become visible at each of `cuts`, every time at another address. */
static int parse_in_pieces(const struct request_case *c, const size_t *cuts, size_t pieces, struct http_request *r)
{
    static uint8_t *guard;
    struct http_wire w;
    int n = 0;
    if (!guard)
        guard = guard_page();
    http_wire_reset(&w);
    for (size_t i = 0; i < pieces; i++) {
        memcpy(guard - cuts[i], c->head, cuts[i]);
        n = http_wire_parse(&w, guard - cuts[i], cuts[i], &limits, r);
        if (n > 0) {
            int status = http_request_evaluate(r, guard - cuts[i]);
            return status ? status : n;
        }
        if (n < 0)
            return n;
    }
    return n;
}

static void each_case_whole(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_request r;
        int n = parse_in_pieces(&cases[i], &cases[i].length, 1, &r);
        if (n != cases[i].expected)
            fail_msg("case %zu (%s): %d, expected %d: %.60s", i, cases[i].reason, n, cases[i].expected, cases[i].head);
    }
}

static void each_case_byte_by_byte(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t cuts[2048];
        struct http_request r;
        for (size_t k = 0; k < cases[i].length; k++)
            cuts[k] = k + 1;
        int n = parse_in_pieces(&cases[i], cuts, cases[i].length, &r);
        if (n != cases[i].expected)
            fail_msg("case %zu (%s): %d, expected %d", i, cases[i].reason, n, cases[i].expected);
    }
}

static void each_case_at_random_splits(void **state)
{
    unsigned seed = (unsigned)time(NULL);
    const char *given = getenv("SEED");
    seed = given ? (unsigned)strtoul(given, NULL, 0) : seed;
    for (unsigned round = 0; round < 200; round++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            size_t cuts[2048], pieces = 0, at = 0;
            struct http_request r;
            unsigned here = seed;
            while (at < cases[i].length) {
                at += 1 + (size_t)rand_r(&seed) % 40;
                cuts[pieces++] = at < cases[i].length ? at : cases[i].length;
            }
            int n = parse_in_pieces(&cases[i], cuts, pieces, &r);
            if (n != cases[i].expected)
                fail_msg("SEED=%u case %zu (%s): %d, expected %d", here, i, cases[i].reason, n, cases[i].expected);
        }
}

static void assert_text(const char *head, struct http_text t, const char *expected)
{
    assert_int_equal(t.length, strlen(expected));
    assert_memory_equal(head + t.offset, expected, t.length);
}

static void request_parts_are_found(void **state)
{
    /* Every part of a request lies where its offsets say, white space around values is gone. */
    static const char head[] = "PUT http://h:1/p%20q/r?x=1?2 HTTP/1.1\r\nHost: \t h:1 \t\r\nRANGE:bytes=0-\r\nX-Y: \r\n"
                               "Range: second\r\nConnection: x, Close\r\nContent-Length: 7\r\n\r\n";
    struct http_wire w;
    struct http_request r;
    http_wire_reset(&w);
    assert_int_equal(http_wire_parse(&w, (const uint8_t *)head, sizeof head - 1, &limits, &r), sizeof head - 1);
    assert_int_equal(http_request_evaluate(&r, (const uint8_t *)head), 0);
    assert_int_equal(r.method, HTTP_PUT);
    assert_int_equal(r.form, HTTP_TARGET_ABSOLUTE);
    assert_text(head, r.target, "http://h:1/p%20q/r?x=1?2");
    assert_text(head, r.path, "/p%20q/r");
    assert_text(head, r.query, "x=1?2");
    assert_int_equal(r.field_count, 6);
    assert_text(head, r.fields[0].value, "h:1");
    assert_text(head, r.fields[2].name, "X-Y");
    assert_text(head, r.fields[2].value, "");
    assert_text(head, r.fields[r.first[HTTP_HEADER_RANGE]].value, "bytes=0-");
    assert_false(r.keep_alive);
    assert_int_equal(r.body, HTTP_BODY_LENGTH);
    assert_int_equal(r.content_length, 7);
}

static void every_known_header_is_found(void **state)
{
    /* The hash over length, last and first letter finds each name in any case, and nothing that differs in one letter. */
    static const char *const names[] = {
#define HEADER(symbol, text, length, last, first) text,
#include "http/header.def"
#undef HEADER
    };
    for (unsigned h = 0; h < HTTP_HEADER_OTHER; h++) {
        char name[64];
        size_t n = strlen(names[h]);
        strcpy(name, names[h]);
        assert_int_equal(http_header_find((uint8_t *)name, n), h);
        for (size_t i = 0; i < n; i++)
            name[i] = (char)(name[i] >= 'a' && name[i] <= 'z' ? name[i] - 32 : name[i]);
        assert_int_equal(http_header_find((uint8_t *)name, n), h);
        name[0] = 'q';
        assert_int_equal(http_header_find((uint8_t *)name, n), HTTP_HEADER_OTHER);
    }
    assert_int_equal(http_header_find((const uint8_t *)"", 0), HTTP_HEADER_OTHER);
}

/* How much of a head the grammar accepts when `byte` stands where the first %c is, one byte seen at a time, so that no run
 * is skipped: true when it does not refuse it. */
static bool grammar_takes(const char *form, uint8_t byte)
{
    char head[64];
    struct http_wire w;
    struct http_request r;
    size_t n = (size_t)snprintf(head, sizeof head, form, 'x');
    size_t at = (size_t)(strchr(form, '%') - form);
    head[at] = (char)byte;
    http_wire_reset(&w);
    for (size_t i = 1; i <= n; i++)
        if (http_wire_parse(&w, (const uint8_t *)head, i, &limits, &r) < 0)
            return false;
    return true;
}

static void skipped_runs_hold_what_the_grammar_accepts(void **state)
{
    /* No byte is skipped that the machine would have refused there, and of values every one that it takes is. */
    for (unsigned c = 0; c < 256; c++) {
        uint8_t eight[9];
        memset(eight, 'a', sizeof eight);
        eight[c % 8] = (uint8_t)c;
        bool skipped = http_char_skip_value(eight, eight + 8) == eight + 8;
        bool value = grammar_takes("GET / HTTP/1.1\r\nA:b%cb\r\n", (uint8_t)c);
        if (skipped && !value)
            fail_msg("byte 0x%02x is skipped in a value", c);
        if (value && !skipped && c != '\t')
            fail_msg("byte 0x%02x is not skipped in a value", c);
        if (http_char_class[c] & HTTP_CHAR_TOKEN && !grammar_takes("GET / HTTP/1.1\r\nA%c:b\r\n", (uint8_t)c))
            fail_msg("byte 0x%02x is skipped in a name", c);
        if (http_char_class[c] & HTTP_CHAR_PATH && !grammar_takes("GET /a%ca HTTP/1.1\r\n", (uint8_t)c))
            fail_msg("byte 0x%02x is skipped in a path", c);
    }
}

static void persistence_follows_version_and_options(void **state)
{
    static const struct {
        const char *head;
        bool keep;
    } table[] = {
        {"GET / HTTP/1.1\r\n" H E, true},
        {"GET / HTTP/1.0\r\n" E, false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n" E, true},
        {"GET / HTTP/1.1\r\n" H "Connection: close\r\n" E, false},
        {"GET / HTTP/1.1\r\n" H "Connection: te, close, x\r\n" E, false},
        {"GET / HTTP/1.1\r\n" H "Connection: keep-alive\r\nConnection: close\r\n" E, false},
        {"GET / HTTP/1.0\r\nConnection: close\r\nConnection: keep-alive\r\n" E, false},
        {"GET / HTTP/1.1\r\n" H "Connection: closed\r\n" E, true},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct http_wire w;
        struct http_request r;
        http_wire_reset(&w);
        assert_true(http_wire_parse(&w, (const uint8_t *)table[i].head, strlen(table[i].head), &limits, &r) > 0);
        assert_int_equal(http_request_evaluate(&r, (const uint8_t *)table[i].head), 0);
        assert_int_equal(r.keep_alive, table[i].keep);
    }
}

/* Bodies in chunks. */

struct body_case {
    const char *wire;
    const char *payload; /* NULL: refused */
    int status;          /* then; 1: incomplete */
    const char *reason;
};

static const struct body_case bodies[] = {
    {"0\r\n\r\n", "", 0, "no data"},
    {"5\r\nhello\r\n0\r\n\r\n", "hello", 0, "one chunk"},
    {"2\r\nhe\r\n003\r\nllo\r\n000\r\n\r\n", "hello", 0, "leading zeros"},
    {"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", 0, "hex digits in both cases"},
    {"5;a\r\nhello\r\n0\r\n\r\n", "hello", 0, "an extension"},
    {"5 ; a = b ;c=\"d;\\\"\r\"\r\nhello\r\n0\r\n\r\n", NULL, -400, "a CR within a quoted extension"},
    {"5 ; a = b ;c=\"d;\\\"e\"\r\nhello\r\n0\r\n\r\n", "hello", 0, "extensions with white space and quotes (7.1.1)"},
    {"0\r\nA: b\r\nC: d\r\n\r\n", "", 0, "trailers are read and forgotten"},
    {"0\r\nA : b\r\n\r\n", NULL, -400, "trailers obey the rules of fields"},
    {"0\r\n A: b\r\n\r\n", NULL, -400, "a folded trailer"},
    {"5\r\nhelloX\r\n0\r\n\r\n", NULL, -400, "data longer than its chunk"},
    {"5\r\nhell\r\n0\r\n\r\n", NULL, -400, "data shorter than its chunk"},
    {"5\nhello\r\n0\r\n\r\n", NULL, -400, "a bare LF behind the size"},
    {"5\r\nhello\n0\r\n\r\n", NULL, -400, "a bare LF behind the data"},
    {"5\r\nhello\r\n0\r\n\n", NULL, -400, "a bare LF for the end"},
    {" 5\r\nhello\r\n0\r\n\r\n", NULL, -400, "white space in front of the size"},
    {"5 \r\nhello\r\n0\r\n\r\n", NULL, -400, "white space behind the size"},
    {"\r\n5\r\nhello\r\n", NULL, -400, "no size"},
    {"0x5\r\nhello\r\n0\r\n\r\n", NULL, -400, "a prefix"},
    {"-1\r\n\r\n", NULL, -400, "a sign"},
    {"g\r\n\r\n", NULL, -400, "not a hex digit"},
    {"5;\r\nhello\r\n0\r\n\r\n", NULL, -400, "an extension without a name"},
    {"5;a=\r\nhello\r\n0\r\n\r\n", NULL, -400, "an extension without its value"},
    {"5;a=\"b\r\nhello\r\n0\r\n\r\n", NULL, -400, "a quote that stays open"},
    {"fffffffffffffffff\r\n", NULL, -400, "a size of more than 64 bits"},
    {"ffffffffffffffff\r\n", NULL, -413, "a size of all bits"},
    {"65\r\n", NULL, -413, "a chunk over the limit of the body"},
    {"64\r\n" Z64 Z16 Z16 "zzzz\r\n1\r\n", NULL, -413, "... by the sum of its chunks"},
    {"00000" Z64 Z64 Z64 Z64 "\r\n", NULL, -400, "garbage behind zeros"},
    {"1;" Z256 "\r\n", NULL, -400, "a size line over its limit"},
    {"5\r\nhel", NULL, 1, "more is to come"},
};

/* Feeds `wire` in pieces of `step` bytes: -status, 0 when the body has ended exactly with the input, 1 when not. */
static int body_feed(const char *wire, size_t step, char *payload)
{
    struct http_request r = {.body = HTTP_BODY_CHUNKED};
    struct http_body b;
    size_t length = strlen(wire), filled = 0;
    static uint8_t *guard;
    if (!guard)
        guard = guard_page();
    assert_int_equal(http_body_begin(&b, &r, 100), 0);
    for (size_t at = 0; at < length; at += step) {
        size_t n = length - at < step ? length - at : step;
        uint8_t *p = guard - n;
        memcpy(p, wire + at, n);
        while (n > 0) {
            struct mr_span span;
            if (http_body_ended(&b))
                return 2; /* bytes behind the end */
            int used = http_body_next(&b, p, n, &span);
            if (used < 0)
                return used;
            assert_true(used > 0 && (size_t)used <= n);
            memcpy(payload + filled, span.data, span.length);
            filled += span.length;
            p += used;
            n -= (size_t)used;
        }
    }
    payload[filled] = 0;
    return http_body_ended(&b) ? 0 : 1;
}

static void each_body_at_each_split(void **state)
{
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        for (size_t step = 1; step <= strlen(bodies[i].wire); step++) {
            char payload[1024];
            int status = body_feed(bodies[i].wire, step, payload);
            if (status != bodies[i].status)
                fail_msg("body %zu (%s) in pieces of %zu: %d, expected %d", i, bodies[i].reason, step, status,
                         bodies[i].status);
            if (status == 0)
                assert_string_equal(payload, bodies[i].payload);
        }
}

static void trailers_and_extensions_are_limited(void **state)
{
    static char wire[64 << 10];
    char payload[1024];
    size_t n = (size_t)sprintf(wire, "0\r\n");
    while (n < HTTP_TRAILER_BYTES_MAX + 100)
        n += (size_t)sprintf(wire + n, "A: b\r\n");
    assert_int_equal(body_feed(wire, 7, payload), -431);
    assert_int_equal(body_feed(wire, 4096, payload), -431);
    for (n = 0; n < 30000;)
        n += (size_t)sprintf(wire + n, "0001;%0200d\r\nx\r\n", 0);
    assert_int_equal(body_feed(wire, 4096, payload), -400);
}

static void length_body_takes_exactly_its_length(void **state)
{
    struct http_request r = {.body = HTTP_BODY_LENGTH, .content_length = 5};
    struct http_body b;
    struct mr_span span;
    assert_int_equal(http_body_begin(&b, &r, 5), 0);
    assert_int_equal(http_body_next(&b, (const uint8_t *)"abc", 3, &span), 3);
    assert_false(http_body_ended(&b));
    assert_int_equal(http_body_next(&b, (const uint8_t *)"defgh", 5, &span), 2);
    assert_int_equal(span.length, 2);
    assert_true(http_body_ended(&b));
    assert_int_equal(b.received, 5);
    assert_int_equal(http_body_begin(&b, &r, 4), -413);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_case_whole),
        cmocka_unit_test(each_case_byte_by_byte),
        cmocka_unit_test(each_case_at_random_splits),
        cmocka_unit_test(request_parts_are_found),
        cmocka_unit_test(every_known_header_is_found),
        cmocka_unit_test(skipped_runs_hold_what_the_grammar_accepts),
        cmocka_unit_test(persistence_follows_version_and_options),
        cmocka_unit_test(each_body_at_each_split),
        cmocka_unit_test(trailers_and_extensions_are_limited),
        cmocka_unit_test(length_body_takes_exactly_its_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
