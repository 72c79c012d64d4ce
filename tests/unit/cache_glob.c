/* Glob patterns as Redis reads them: one case a line. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cache/command/command.h"

static const struct {
    const char *pattern, *text;
    bool matches;
    const char *why;
} cases[] = {
    {"", "", true, "nothing is nothing"},
    {"", "a", false, "an empty pattern matches nothing else"},
    {"*", "", false, "Redis: a star before nothing does not match"},
    {"*", "a", true, "a star matches"},
    {"**", "abc", true, "two stars are one"},
    {"a", "a", true, "plain"},
    {"a", "b", false, "plain, other"},
    {"a", "ab", false, "the whole text"},
    {"ab", "a", false, "the whole pattern"},
    {"?", "a", true, "one byte"},
    {"??", "a", false, "two bytes"},
    {"a*", "a", true, "a star at the end may match nothing"},
    {"*a", "a", true, "a star at the begin may match nothing"},
    {"*a*", "a", true, "and both"},
    {"a*b", "axxb", true, "in the middle"},
    {"a*b", "axxbx", false, "in the middle, not to the end"},
    {"*ab", "aab", true, "the first try behind the star is not the last"},
    {"*a*b*c", "abcabc", true, "several stars"},
    {"*a*b*d", "abcabc", false, "several stars, nothing"},
    {"h[ae]llo", "hello", true, "a class"},
    {"h[ae]llo", "hillo", false, "a class without it"},
    {"h[^e]llo", "hallo", true, "all but"},
    {"h[^e]llo", "hello", false, "all but this"},
    {"[a-c]", "b", true, "a range"},
    {"[c-a]", "b", true, "a range backwards"},
    {"[a-c]", "d", false, "outside a range"},
    {"[a-]", "-", false, "a range to the bracket takes it in: nothing closes"},
    {"[a-", "-", true, "no room for a range: three members"},
    {"[]", "a", false, "an empty class"},
    {"[^]", "a", true, "all but nothing"},
    {"[", "[", false, "a class that nothing fills"},
    {"[^", "x", true, "all but nothing, not closed"},
    {"[ab", "b", true, "a class that nothing closes"},
    {"[\\]]", "]", true, "an escaped bracket"},
    {"[\\^a]", "^", true, "an escaped caret"},
    {"\\*", "*", true, "an escaped star"},
    {"\\*", "a", false, "an escaped star is no star"},
    {"\\", "\\", true, "a backslash at the end is itself"},
    {"a\\", "a", false, "and wants its byte"},
    {"*[ab]?c", "xxacac", false, "a class behind a star"},
    {"*[ab]?c", "xxabc", true, "a class behind a star, found"},
};

static struct mr_span span(const char *text)
{
    return (struct mr_span){(const uint8_t *)text, strlen(text)};
}

static void every_pattern_matches_what_redis_says(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
        if (cache_glob_match(span(cases[i].pattern), span(cases[i].text), false) != cases[i].matches)
            fail_msg("\"%s\" and \"%s\": %s", cases[i].pattern, cases[i].text, cases[i].why);
}

static void case_is_ignored_where_it_is_asked_for(void **state)
{
    (void)state;
    assert_true(cache_glob_match(span("MAX*-[A-C]"), span("maxmemory-b"), true));
    assert_false(cache_glob_match(span("MAX*-[A-C]"), span("maxmemory-b"), false));
    assert_false(cache_glob_match(span("[\\A]"), span("a"), true)); /* Redis: an escaped member is compared as it is */
}

static void zero_bytes_are_bytes(void **state)
{
    (void)state;
    struct mr_span pattern = {(const uint8_t *)"a\0*b", 4}, text = {(const uint8_t *)"a\0xb", 4};
    assert_true(cache_glob_match(pattern, text, false));
    assert_false(cache_glob_match(pattern, (struct mr_span){(const uint8_t *)"axxb", 4}, false));
}

/* Doubling a pattern of stars must not double the work again and again: this one would take for ever. */
static void many_stars_cost_no_more_than_pattern_times_text(void **state)
{
    (void)state;
    static uint8_t pattern[4096], text[CACHE_KEY_MAX];
    for (unsigned i = 0; i < sizeof pattern; i++)
        pattern[i] = i % 2 ? 'a' : '*';
    pattern[sizeof pattern - 1] = 'b';
    memset(text, 'a', sizeof text);
    clock_t begin = clock();
    assert_false(
        cache_glob_match((struct mr_span){pattern, sizeof pattern}, (struct mr_span){text, sizeof text}, false));
    assert_true(clock() - begin < 5 * CLOCKS_PER_SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pattern_matches_what_redis_says),
        cmocka_unit_test(case_is_ignored_where_it_is_asked_for),
        cmocka_unit_test(zero_bytes_are_bytes),
        cmocka_unit_test(many_stars_cost_no_more_than_pattern_times_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
