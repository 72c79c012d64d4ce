/* Cache-Control as text: each case is one line, flush against the end of its allocation, so that a byte read too far is seen. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/cache/cache_control.h"

#define BIT(d)   (1u << HCACHE_##d)
#define AGE      BIT(MAX_AGE)
#define SHARED   BIT(S_MAXAGE)
#define NONE     0
#define OVERFLOW HCACHE_DELTA_MAX

static const struct {
    const char *text;
    uint32_t present;
    int number; /* enum hcache_directive whose seconds are compared; -1: none */
    uint32_t seconds;
    unsigned lists;
    const char *reason;
} cases[] = {
    {"", NONE, -1, 0, 0, "nothing"},
    {" , ,\t,", NONE, -1, 0, 0, "empty elements are skipped"},
    {"max-age=60", AGE, HCACHE_MAX_AGE, 60, 0, "a number"},
    {"MAX-AGE=60", AGE, HCACHE_MAX_AGE, 60, 0, "case means nothing"},
    {"max-age=\"60\"", AGE, HCACHE_MAX_AGE, 60, 0, "the quoted form is the same (5.2)"},
    {"max-age=0060", AGE, HCACHE_MAX_AGE, 60, 0, "leading zeros"},
    {"max-age=2147483647", AGE, HCACHE_MAX_AGE, 2147483647u, 0, "the largest below the bound"},
    {"max-age=2147483648", AGE, HCACHE_MAX_AGE, OVERFLOW, 0, "the bound (1.2.2)"},
    {"max-age=99999999999999999999999999", AGE, HCACHE_MAX_AGE, OVERFLOW, 0, "an overflow is the bound"},
    {"max-age=-1", AGE, HCACHE_MAX_AGE, 0, 0, "negative: stale (4.2.1)"},
    {"max-age=1.5", AGE, HCACHE_MAX_AGE, 0, 0, "not an integer: stale"},
    {"max-age=60s", AGE, HCACHE_MAX_AGE, 0, 0, "letters: stale"},
    {"max-age", AGE, HCACHE_MAX_AGE, 0, 0, "without its number: stale"},
    {"max-age=", AGE, HCACHE_MAX_AGE, 0, 0, "an empty number: stale"},
    {"max-age=\"\"", AGE, HCACHE_MAX_AGE, 0, 0, "an empty quoted number: stale"},
    {"max-age= 60", AGE, HCACHE_MAX_AGE, 0, 0, "a space before the number is not allowed: stale"},
    {"max-age =60", AGE, HCACHE_MAX_AGE, 0, 0, "a space before the sign, too"},
    {"max-age=\"60", AGE, HCACHE_MAX_AGE, 0, 0, "a quote that does not end: stale"},
    {"max-age=60 private", AGE, HCACHE_MAX_AGE, 0, 0, "two words in one element"},
    {"max-age=60, max-age=10", AGE, HCACHE_MAX_AGE, 10, 0, "of two the smaller"},
    {"max-age=10, max-age=60", AGE, HCACHE_MAX_AGE, 10, 0, "in either order"},
    {"max-age=10, max-age=x", AGE, HCACHE_MAX_AGE, 0, 0, "one of them is none"},
    {"s-maxage=5,max-age=9", SHARED | AGE, HCACHE_S_MAXAGE, 5, 0, "no space behind the comma"},
    {"s-maxage=5,,\t max-age=9 ", SHARED | AGE, HCACHE_MAX_AGE, 9, 0, "spaces and empty elements around"},
    {"no-store", BIT(NO_STORE), -1, 0, 0, "no argument"},
    {"no-store=1", BIT(NO_STORE), -1, 0, 0, "an argument that it does not have keeps it"},
    {"no-store \"", BIT(NO_STORE), -1, 0, 0, "rubbish behind it keeps it"},
    {"public", BIT(PUBLIC), -1, 0, 0, "public"},
    {"public x", NONE, -1, 0, 0, "what permits must be well said"},
    {"private", BIT(PRIVATE), -1, 0, 0, "private altogether"},
    {"private=\"set-cookie\"", NONE, -1, 0, 1, "one field"},
    {"private=set-cookie", NONE, -1, 0, 1, "unquoted"},
    {"private=\"\"", BIT(PRIVATE), -1, 0, 0, "an empty list is all"},
    {"private=\"a b", BIT(PRIVATE), -1, 0, 0, "a quote that does not end is all"},
    {"private=\"a\\b\"", BIT(PRIVATE), -1, 0, 0, "an escape in a name is all"},
    {"private=\"a;b\"", BIT(PRIVATE), -1, 0, 0, "no list of names"},
    {"no-cache=\"a, b\", max-age=3", AGE, HCACHE_MAX_AGE, 3, 1, "a comma within quotes ends nothing"},
    {"no-cache=\"a\", no-cache=\"b\", no-cache=\"c\", private=\"d\"", NONE, -1, 0, 4,
     "as many lists as there is room for"},
    {"no-cache=\"a\", no-cache=\"b\", no-cache=\"c\", private=\"d\", private=\"e\"", BIT(PRIVATE), -1, 0, 4,
     "one more is all"},
    {"no-cache", BIT(NO_CACHE), -1, 0, 0, "no-cache altogether"},
    {"must-revalidate, proxy-revalidate", BIT(MUST_REVALIDATE) | BIT(PROXY_REVALIDATE), -1, 0, 0,
     "two without arguments"},
    {"max-stale", BIT(MAX_STALE), HCACHE_MAX_STALE, OVERFLOW, 0, "any staleness (5.2.1.2)"},
    {"max-stale=7", BIT(MAX_STALE), HCACHE_MAX_STALE, 7, 0, "some"},
    {"max-stale=x", NONE, -1, 0, 0, "what permits must be well said"},
    {"min-fresh=7", BIT(MIN_FRESH), HCACHE_MIN_FRESH, 7, 0, "some freshness"},
    {"min-fresh=7, min-fresh=9", BIT(MIN_FRESH), HCACHE_MIN_FRESH, 9, 0, "here the larger is the stricter"},
    {"min-fresh=x", BIT(MIN_FRESH), HCACHE_MIN_FRESH, OVERFLOW, 0, "and what is no number the strictest"},
    {"stale-while-revalidate=30", BIT(STALE_WHILE_REVALIDATE), HCACHE_STALE_WHILE_REVALIDATE, 30, 0, "RFC 5861 3"},
    {"stale-while-revalidate", NONE, -1, 0, 0, "without a number it was not said"},
    {"stale-if-error=\"30\"", BIT(STALE_IF_ERROR), HCACHE_STALE_IF_ERROR, 30, 0, "RFC 5861 4"},
    {"only-if-cached, no-transform", BIT(ONLY_IF_CACHED) | BIT(NO_TRANSFORM), -1, 0, 0, "of requests"},
    {"must-understand, no-store", BIT(MUST_UNDERSTAND) | BIT(NO_STORE), -1, 0, 0, "5.2.2.3"},
    {"community=\"UCI, x\", max-age=4", AGE, HCACHE_MAX_AGE, 4, 0, "an unknown one with a comma in quotes (5.2.3)"},
    {"foo, bar=\"a\\\"b, no-store\", max-age=4", AGE, HCACHE_MAX_AGE, 4, 0, "an escaped quote ends nothing"},
    {"=5, max-age=4", AGE, HCACHE_MAX_AGE, 4, 0, "an element without a name is skipped"},
    {"@@, max-age=4", AGE, HCACHE_MAX_AGE, 4, 0, "so is rubbish"},
    {"foo \"a, no-store", NONE, -1, 0, 0, "a quote that does not end hides the rest"},
    {"max-age=5;x, no-store", AGE | BIT(NO_STORE), HCACHE_MAX_AGE, 0, 0, "parameters are of targeted fields only"},
};

/* The same bytes at the end of an allocation. */
static struct mr_span exact(const char *text, uint8_t **copy)
{
    size_t n = strlen(text);
    *copy = malloc(n ? n : 1);
    memcpy(*copy, text, n);
    return (struct mr_span){*copy, n};
}

static void text_of_directives_reads_as_the_table_says(void **state)
{
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hcache_control c = {0};
        uint8_t *copy;
        hcache_control_add(&c, exact(cases[i].text, &copy));
        if (c.present != cases[i].present || c.list_count != cases[i].lists ||
            (cases[i].number >= 0 && c.seconds[cases[i].number] != cases[i].seconds))
            fail_msg("%s (%s): present %#x, expected %#x; %u lists", cases[i].text, cases[i].reason, c.present,
                     cases[i].present, c.list_count);
        free(copy);
    }
}

static void directives_of_two_lines_add_up(void **state)
{
    struct hcache_control c = {0};
    hcache_control_add(&c, (struct mr_span){(const uint8_t *)"max-age=9", 9});
    hcache_control_add(&c, (struct mr_span){(const uint8_t *)"no-store, max-age=3", 19});
    assert_int_equal(c.present, AGE | BIT(NO_STORE));
    assert_int_equal(c.seconds[HCACHE_MAX_AGE], 3);
}

static void fields_of_a_list_are_found_whatever_their_case(void **state)
{
    struct hcache_control c = {0};
    const char *text = "no-cache=\"Set-Cookie, X-A\", private=x-b";
    hcache_control_add(&c, (struct mr_span){(const uint8_t *)text, strlen(text)});
    assert_true(hcache_control_lists(&c, (struct mr_span){(const uint8_t *)"set-cookie", 10}));
    assert_true(hcache_control_lists(&c, (struct mr_span){(const uint8_t *)"x-a", 3}));
    assert_true(hcache_control_lists(&c, (struct mr_span){(const uint8_t *)"X-B", 3}));
    assert_false(hcache_control_lists(&c, (struct mr_span){(const uint8_t *)"x-", 2}));
}

static const struct {
    const char *text;
    bool valid;
    uint32_t present;
    uint32_t max_age;
    const char *reason;
} targeted[] = {
    {"max-age=60", true, AGE, 60, "a dictionary of one member"},
    {"max-age=60, must-revalidate", true, AGE | BIT(MUST_REVALIDATE), 60, "a member without a value is true"},
    {"must-revalidate=?1", true, BIT(MUST_REVALIDATE), 0, "true at length"},
    {"no-store=?0, max-age=5", true, AGE, 5, "false: it is not there"},
    {"no-store=?2", false, NONE, 0, "no boolean"},
    {"no-store=?", false, NONE, 0, "half a boolean"},
    {"Max-Age=60", false, NONE, 0, "keys are lower case"},
    {"max-age=", false, NONE, 0, "no value"},
    {"max-age=60 public", false, NONE, 0, "two members without a comma"},
    {"max-age=60, \"x\"", false, NONE, 0, "a string is no key"},
    {"max-age=\"60", false, NONE, 0, "a string that does not end"},
};

static void malformed_targeted_fields_are_told_apart(void **state)
{
    for (unsigned i = 0; i < sizeof targeted / sizeof *targeted; i++) {
        struct hcache_control c = {0};
        uint8_t *copy;
        bool valid = hcache_control_add_targeted(&c, exact(targeted[i].text, &copy));
        if (valid != targeted[i].valid ||
            (valid && (c.present != targeted[i].present || c.seconds[HCACHE_MAX_AGE] != targeted[i].max_age)))
            fail_msg("%s (%s): valid %d, present %#x", targeted[i].text, targeted[i].reason, valid, c.present);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_of_directives_reads_as_the_table_says),
        cmocka_unit_test(directives_of_two_lines_add_up),
        cmocka_unit_test(fields_of_a_list_are_found_whatever_their_case),
        cmocka_unit_test(malformed_targeted_fields_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
