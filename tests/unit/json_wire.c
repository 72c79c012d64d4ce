/* The JSON of the HTTP service: read, strictly, at every length against a page that faults; written; base 64. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/guarded.h"
#include "tests/support/json_again.h"

static const struct json_case {
    const char *text;
    size_t n;
    int expected; /* tokens, or enum json_error */
    const char *again;
    const char *reason;
} cases[] = {
#define OK(text, tokens, again, reason)               \
    {                                                 \
        text, sizeof(text) - 1, tokens, again, reason \
    }
#define NOT(text, reason)                                    \
    {                                                        \
        text, sizeof(text) - 1, JSON_MALFORMED, NULL, reason \
    }
    OK("null", 1, "null", "a literal alone"),
    OK(" true ", 1, "true", "white space around"),
    OK("0", 1, "0", "the shortest number"),
    OK("-0", 1, "-0", "minus nothing"),
    OK("1.5e+10\n", 1, "1.5e+10", "all of a number"),
    OK("\"\"", 1, "\"\"", "an empty string"),
    OK("[]", 1, "[]", "an empty array"),
    OK("{}", 1, "{}", "an empty object"),
    OK("[1,[2,3],{\"a\":4}]", 8, "[1,[2,3],{\"a\":4}]", "within each other"),
    OK(" { \"a\" : [ ] , \"b\" : { } } ", 5, "{\"a\":[],\"b\":{}}", "white space everywhere"),
    OK("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", 1, "\"\\\"\\\\/\\u0008\\u000c\\u000a\\u000d\\u0009\"", "short escapes"),
    OK("\"\\u0041\\u00e9\\u20ac\"", 1, "\"A\xc3\xa9\xe2\x82\xac\"", "escapes of one unit"),
    OK("\"\\ud83d\\uDE00\"", 1, "\"\xf0\x9f\x98\x80\"", "a pair"),
    OK("\"\\u0000\"", 1, "\"\\u0000\"", "a zero"),
    OK("\"\x7f\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\"", 1,
       "\"\x7f\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\"", "sequences of all lengths"),
    NOT("", "nothing"),
    NOT(" ", "white space alone"),
    NOT("01", "a leading zero"),
    NOT("+1", "a plus"),
    NOT("1.", "no digit behind the point"),
    NOT(".5", "none before it"),
    NOT("1e", "no exponent"),
    NOT("-", "a sign alone"),
    NOT("nul", "half a literal"),
    NOT("True", "another case"),
    NOT("NaN", "not a number"),
    NOT("'a'", "other quotes"),
    NOT("\"a", "no end"),
    NOT("\"\n\"", "a control character"),
    NOT("\"\\x\"", "an escape that is none"),
    NOT("\"\\u12g4\"", "a digit that is none"),
    NOT("\"\\ud800\"", "half a pair"),
    NOT("\"\\ud800\\u0041\"", "half a pair and another"),
    NOT("\"\\udc00\"", "the other half"),
    NOT("\"\xc0\xaf\"", "an overlong slash"),
    NOT("\"\xe0\x80\xaf\"", "an overlong one of three"),
    NOT("\"\xed\xa0\x80\"", "a surrogate"),
    NOT("\"\xf4\x90\x80\x80\"", "over U+10FFFF"),
    NOT("\"\x80\"", "a tail alone"),
    NOT("\"\xe2\x82\"", "a sequence cut"),
    NOT("[1,]", "a comma too many"),
    NOT("[,1]", "a comma in front"),
    NOT("[1 2]", "no comma"),
    NOT("{\"a\"}", "no value"),
    NOT("{\"a\":1,}", "a comma behind the last"),
    NOT("{1:2}", "a name that is no string"),
    NOT("{\"a\":1", "no end of an object"),
    NOT("[", "no end of an array"),
    NOT("]", "no beginning"),
    NOT("[}", "another end"),
    NOT("1 2", "two values"),
    NOT("{}{}", "two objects"),
    NOT("\xef\xbb\xbf{}", "a byte order mark"),
    NOT("// a\n1", "a comment"),
};

static void a_text_is_read_or_refused(void **state)
{
    struct json_token tokens[64];
    uint8_t bytes[256];
    char out[256];
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct json_case *c = &cases[i];
        for (size_t n = 0; n <= c->n; n++) {
            uint8_t *text = guarded(c->text, n);
            int got = json_parse(text, n, tokens, 64);
            if (n == c->n && got != c->expected)
                fail_msg("%s: %d instead of %d", c->reason, got, c->expected);
            if (n == c->n && got > 0) {
                struct json_out o = {.data = out, .room = sizeof out};
                assert_int_equal(json_again(&o, text, tokens, 0, NULL, bytes), got);
                assert_false(o.failed);
                if (o.used != strlen(c->again) || memcmp(out, c->again, o.used) != 0)
                    fail_msg("%s: %.*s", c->reason, (int)o.used, out);
                for (unsigned room = 0; room < (unsigned)got; room++)
                    assert_int_equal(json_parse(text, n, tokens, room), JSON_TOO_LARGE);
            }
            guarded_free(text, n);
        }
    }
}

static void depth_is_limited(void **state)
{
    struct json_token tokens[64];
    uint8_t text[2 * (JSON_DEPTH_MAX + 1)];
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    assert_int_equal(json_parse(text + 1, 2 * JSON_DEPTH_MAX, tokens, 64), JSON_DEPTH_MAX);
    assert_int_equal(json_parse(text, sizeof text, tokens, 64), JSON_TOO_DEEP);
}

static void members_are_found_by_name(void **state)
{
    static const char text[] =
        "{\"a\":{\"b\":1},\"n\":18446744073709551615,\"\\u0062\":2,\"a\":[3],\"m\":18446744073709551616}";
    const uint8_t *t = (const uint8_t *)text;
    struct json_token tokens[32];
    uint64_t n = 0;
    assert_true(json_parse(t, strlen(text), tokens, 32) > 0);
    assert_int_equal(tokens[0].count, 5);
    assert_int_equal(json_member(t, tokens, 0, "a")->type, JSON_ARRAY); /* the last of two */
    assert_true(json_number_u64(t, json_member(t, tokens, 0, "b"), &n) && n == 2);
    assert_true(json_number_u64(t, json_member(t, tokens, 0, "n"), &n) && n == UINT64_MAX);
    assert_false(json_number_u64(t, json_member(t, tokens, 0, "m"), &n));
    assert_null(json_member(t, tokens, 0, "c"));
    assert_null(json_member(t, tokens, 0, ""));
    assert_null(json_member(t, tokens, 1, "a")); /* a name is no object */
}

static void numbers_with_more_than_digits_are_no_counts(void **state)
{
    static const char *const texts[] = {"-1", "1.0", "1e3", "\"1\"", "true"};
    struct json_token token;
    uint64_t n;
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(json_parse((const uint8_t *)texts[i], strlen(texts[i]), &token, 1), 1);
        assert_false(json_number_u64((const uint8_t *)texts[i], &token, &n));
    }
}

static void what_does_not_fit_is_said(void **state)
{
    static const char expected[] = "{\"a\":\"\\u0001\xef\xbf\xbd\\\"\",\"b\":[1,2],\"c\":true,\"d\":\"AP8=\"}";
    char out[128];
    for (size_t room = 0; room <= sizeof expected - 1; room++) {
        struct json_out o = {.data = out, .room = room};
        json_put_open(&o, NULL, '{');
        json_put_string(&o, "a", "\x01\xff\"");
        json_put_open(&o, "b", '[');
        json_put_number(&o, NULL, 1);
        json_put_number(&o, NULL, 2);
        json_put_close(&o, ']');
        json_put_bool(&o, "c", true);
        json_put_base64(&o, "d", (struct mr_span){(const uint8_t *)"\0\xff", 2});
        json_put_close(&o, '}');
        assert_int_equal(o.failed, room < sizeof expected - 1);
        if (!o.failed)
            assert_memory_equal(out, expected, sizeof expected - 1);
    }
}

static void base64_is_as_in_the_rfc(void **state)
{
    static const struct {
        const char *bytes, *text;
    } pairs[] = {{"", ""},
                 {"f", "Zg=="},
                 {"fo", "Zm8="},
                 {"foo", "Zm9v"},
                 {"foob", "Zm9vYg=="},
                 {"fooba", "Zm9vYmE="},
                 {"foobar", "Zm9vYmFy"},
                 {"\xfb\xff\xbe", "+/++"}};
    char text[16];
    uint8_t bytes[16];
    for (unsigned i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        size_t n = strlen(pairs[i].bytes), k = strlen(pairs[i].text);
        assert_int_equal(base64_encode((struct mr_span){(const uint8_t *)pairs[i].bytes, n}, text), k);
        assert_memory_equal(text, pairs[i].text, k);
        assert_int_equal(base64_decode((struct mr_span){(const uint8_t *)pairs[i].text, k}, bytes), n);
        assert_memory_equal(bytes, pairs[i].bytes, n);
    }
    static const char *const not [] = {"Z", "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm9v\n", "Zm-_"};
    for (unsigned i = 0; i < sizeof not / sizeof not [0]; i++)
        if (base64_decode((struct mr_span){(const uint8_t *)not [i], strlen(not [i])}, bytes) != SIZE_MAX)
            fail_msg("%s", not [i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_read_or_refused), cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(members_are_found_by_name), cmocka_unit_test(numbers_with_more_than_digits_are_no_counts),
        cmocka_unit_test(what_does_not_fit_is_said), cmocka_unit_test(base64_is_as_in_the_rfc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
