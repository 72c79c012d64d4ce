/* Numbers and words as Redis reads them, doubles as it prints them: each line was asked of redis-server 7.0. */
#include "tests/support/cmocka.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/command/argument.h"
#include "cache/resp/reply.h"

static struct cache_argument argument(const char *text)
{
    return (struct cache_argument){(const uint8_t *)text, (uint32_t)strlen(text), NULL};
}

static void integers_are_canonical_decimal(void **state)
{
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } lines[] = {
        {"0", true, 0},
        {"1", true, 1},
        {"-1", true, -1},
        {"10", true, 10},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"18446744073709551616", false, 0},
        {"99999999999999999999", false, 0},
        {"100000000000000000000000", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"-0", false, 0},
        {"+1", false, 0},
        {"01", false, 0},
        {"-01", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1.0", false, 0},
        {"0x1", false, 0},
        {"1a", false, 0},
        {"--1", false, 0},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct cache_argument a = argument(lines[i].text);
        int64_t value = 77;
        if (cache_argument_integer(&a, &value) != lines[i].good || value != (lines[i].good ? lines[i].value : 77))
            fail_msg("\"%s\": %lld", lines[i].text, (long long)value);
    }
    struct cache_argument rope = {NULL, 1, NULL};
    int64_t value;
    assert_false(cache_argument_integer(&rope, &value));
}

static void unsigned_integers_reach_64_bits(void **state)
{
    uint64_t value;
    struct cache_argument most = argument("18446744073709551615"), more = argument("18446744073709551616"),
                          less = argument("-1"), zero = argument("0");
    assert_true(cache_argument_unsigned(&most, &value));
    assert_true(value == UINT64_MAX);
    assert_true(cache_argument_unsigned(&zero, &value));
    assert_true(value == 0);
    assert_false(cache_argument_unsigned(&more, &value));
    assert_false(cache_argument_unsigned(&less, &value));
}

/* What ZADD takes, and what ZSCORE then says; NULL: "value is not a valid float". */
static const struct {
    const char *text, *printed;
} floats[] = {
    {"3.1", "3.1000000000000001"},
    {"3.0", "3"},
    {"3", "3"},
    {"0", "0"},
    {"-0", "-0"},
    {"-0.0", "-0"},
    {"0.1", "0.10000000000000001"},
    {"-3.1", "-3.1000000000000001"},
    {"1.", "1"},
    {".5", "0.5"},
    {"-.5", "-0.5"},
    {"+1", "1"},
    {"1e21", "1e+21"},
    {"1e15", "1000000000000000"},
    {"1e16", "10000000000000000"},
    {"1e17", "1e+17"},
    {"99999999999999999", "1e+17"},
    {"12345678901234567", "12345678901234568"},
    {"123456789012345678", "1.2345678901234568e+17"},
    {"9007199254740992", "9007199254740992"},
    {"-9007199254740993", "-9007199254740992"},
    {"2251799813685248.5", "2251799813685248.5"},
    {"123456.789", "123456.789"},
    {"1e-5", "1.0000000000000001e-05"},
    {"0.0001", "0.0001"},
    {"1e100", "1e+100"},
    {"5e-324", "4.9406564584124654e-324"},
    {"1e-320", "9.9998886718268301e-321"},
    {"1.7976931348623157e308", "1.7976931348623157e+308"},
    {"0x10", "16"},
    {"0x1p3", "8"},
    {"inf", "inf"},
    {"-inf", "-inf"},
    {"+inf", "inf"},
    {"INF", "inf"},
    {"infinity", "inf"},
    {"", NULL},
    {"-", NULL},
    {".", NULL},
    {" 1", NULL},
    {"1 ", NULL},
    {"1e", NULL},
    {"1..2", NULL},
    {"1.2.3", NULL},
    {"0x", NULL},
    {"nan", NULL},
    {"-nan", NULL},
    {"1e400", NULL},
    {"-1e400", NULL},
    {"1e-400", NULL},
    {"1_0", NULL},
};

static void floats_are_read_and_printed_as_redis(void **state)
{
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) {
        struct cache_argument a = argument(floats[i].text);
        double value = 0;
        long double long_value = 0;
        char text[40] = "";
        bool good = cache_argument_double(&a, &value);
        unsigned length = good ? cache_double_text(value, text) : 0;
        assert_int_equal(length, strlen(text));
        if (good != !!floats[i].printed || (good && strcmp(text, floats[i].printed) != 0))
            fail_msg("\"%s\": %s, expected %s", floats[i].text, good ? text : "refused", floats[i].printed);
        if (good && (!cache_argument_long_double(&a, &long_value) || (double)long_value != value))
            fail_msg("\"%s\" differs as a long double", floats[i].text);
    }
}

static void short_decimals_are_rounded_as_strtod_does(void **state)
{
    /* The way that avoids strtod gives the same double for every short number. */
    unsigned seed = 1;
    for (unsigned i = 0; i < 200000; i++) {
        char text[24];
        unsigned digits = 1 + (unsigned)rand_r(&seed) % 14, n = 0;
        if (rand_r(&seed) % 3 == 0)
            text[n++] = '-';
        unsigned point = (unsigned)rand_r(&seed) % (digits + 1);
        for (unsigned k = 0; k < digits; k++) {
            if (k == point)
                text[n++] = '.';
            text[n++] = (char)('0' + rand_r(&seed) % 10);
        }
        text[n] = 0;
        struct cache_argument a = argument(text);
        double value, expected = strtod(text, NULL);
        assert_true(cache_argument_double(&a, &value));
        if (memcmp(&value, &expected, sizeof value) != 0)
            fail_msg("%s: %.17g, expected %.17g", text, value, expected);
    }
}

static void long_doubles_keep_their_digits(void **state)
{
    struct cache_argument a = argument("10.500000000000000000001"), huge = argument("1e5000");
    long double value;
    assert_true(cache_argument_long_double(&a, &value));
    assert_true(value == 10.500000000000000000001L);
    assert_false(cache_argument_long_double(&huge, &value));
}

static void text_beyond_the_limit_is_no_number(void **state)
{
    char text[6000];
    memset(text, '1', sizeof text);
    struct cache_argument a = {(uint8_t *)text, sizeof text, NULL}, zero = {(const uint8_t *)"1\0", 2, NULL};
    double value;
    assert_false(cache_argument_double(&a, &value));
    assert_false(cache_argument_double(&zero, &value));
}

static void words_have_no_case(void **state)
{
    struct cache_argument upper = argument("KEEPTTL"), mixed = argument("kEePtTl"), less = argument("keeptt"),
                          more = argument("keepttls"), none = argument(""), zero = {(const uint8_t *)"ex\0", 3, NULL},
                          rope = {NULL, 2, NULL}, sign = argument("@x");
    assert_true(cache_argument_is(&upper, "keepttl"));
    assert_true(cache_argument_is(&mixed, "keepttl"));
    assert_false(cache_argument_is(&less, "keepttl"));
    assert_false(cache_argument_is(&more, "keepttl"));
    assert_false(cache_argument_is(&none, "ex"));
    assert_false(cache_argument_is(&zero, "ex"));
    assert_false(cache_argument_is(&rope, "ex"));
    assert_false(cache_argument_is(&sign, "`x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_canonical_decimal),
        cmocka_unit_test(unsigned_integers_reach_64_bits),
        cmocka_unit_test(floats_are_read_and_printed_as_redis),
        cmocka_unit_test(short_decimals_are_rounded_as_strtod_does),
        cmocka_unit_test(long_doubles_keep_their_digits),
        cmocka_unit_test(text_beyond_the_limit_is_no_number),
        cmocka_unit_test(words_have_no_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
