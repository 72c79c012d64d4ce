/* What may be kept, how long it is good, and what a request may have of it: each rule is a line. A response comes at second 0 after a request of
 * second -1 (where the line says nothing else), and another request comes `later` seconds after it. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/hcache_world.h"

#define NOW      HCACHE_WORLD_START
#define AT_NOW   "Tue, 14 Nov 2023 22:13:20 GMT"
#define MINUTE   "Tue, 14 Nov 2023 22:14:20 GMT" /* a minute after */
#define DAY_AGO  "Mon, 13 Nov 2023 22:13:20 GMT" /* its tenth is 8640 s */
#define TEN_AGO  "Tue, 14 Nov 2023 22:13:10 GMT"
#define YEAR_AGO "Mon, 14 Nov 2022 22:13:20 GMT"

#define CC(text)      "Cache-Control: " text "\r\n"
#define DATE(text)    "Date: " text "\r\n"
#define EXPIRES(text) "Expires: " text "\r\n"
#define CHANGED(text) "Last-Modified: " text "\r\n"
#define AGED(text)    "Age: " text "\r\n"
#define D             DATE(AT_NOW)

static const struct hcache_presets presets = {.heuristic_max = 86400, .stale_while_revalidate = 10};

/* Of one text each. */
static struct hcache_facts facts_of(struct hcache_answer *r, int status, const char *fields)
{
    struct hcache_facts f;
    hcache_answer_make(r, status, fields, HTTP_GET);
    hcache_facts_read(&f, &r->response, (const uint8_t *)r->head, NOW);
    return f;
}

static struct hcache_wish wish_of(struct hcache_ask *a, const char *fields)
{
    struct hcache_world nothing = {0};
    struct hcache_wish w;
    hcache_ask_make(&nothing, a, "GET", "/", fields);
    hcache_wish_read(&w, &a->request, (const uint8_t *)a->head);
    return w;
}

enum { FRESH = HCACHE_REUSE_FRESH, TOLERATED, WHILE, EXPIRED, ALWAYS, REFUSED };
static const char *const reuse_names[] = {"fresh", "tolerated", "while", "expired", "always", "refused"};

static const struct {
    int status;
    const char *response;
    int64_t later;
    const char *request;
    int expected;
    const char *reason;
} rules[] = {
    /* 4.2.1: which lifetime */
    {200, D CC("max-age=60"), 0, "", FRESH, "max-age"},
    {200, D CC("max-age=60"), 58, "", FRESH, "one second was spent on the way"},
    {200, D CC("max-age=60"), 59, "", WHILE, "fresh means that the lifetime is greater than the age"},
    {200, D CC("max-age=60, s-maxage=100"), 98, "", FRESH, "s-maxage goes before max-age"},
    {200, D CC("s-maxage=10, max-age=60"), 9, "", EXPIRED, "... also when it is shorter"},
    {200, D CC("max-age=10") EXPIRES(MINUTE), 9, "", WHILE, "max-age goes before Expires"},
    {200, D EXPIRES(MINUTE), 58, "", FRESH, "Expires less Date"},
    {200, D EXPIRES(MINUTE), 59, "", WHILE, "... is 60 s"},
    {200, EXPIRES(MINUTE), 58, "", FRESH, "without Date the time it came stands in"},
    {200, DATE(TEN_AGO) EXPIRES(MINUTE), 59, "", FRESH, "Expires less an older Date is 70 s, of which 10 are gone"},
    {200, DATE(TEN_AGO) EXPIRES(MINUTE), 60, "", WHILE, "..."},
    {200, D EXPIRES("0"), 0, "", WHILE, "an Expires that is no date is long ago (5.3)"},
    {200, D EXPIRES(AT_NOW), 0, "", WHILE, "Expires that is Date"},
    {200, D EXPIRES(DAY_AGO), 0, "", WHILE, "Expires before Date"},
    {200, D EXPIRES(MINUTE) EXPIRES(AT_NOW), 0, "", WHILE, "of two the earlier"},
    {200, D CC("max-age=x") EXPIRES(MINUTE), 0, "", WHILE, "an unreadable max-age is not made up for by Expires"},
    {200, D CC("max-age=2147483648"), 2000000000, "", FRESH, "the largest lifetime"},
    {200, D CC("max-age=99999999999"), 2000000000, "", FRESH, "an overflow is the largest"},
    {200, D CC("max-age=60, max-age=5"), 10, "", WHILE, "of two the smaller"},
    /* 4.2.2: heuristics */
    {200, D CHANGED(DAY_AGO), 8638, "", FRESH, "a tenth of the time since it changed"},
    {200, D CHANGED(DAY_AGO), 8639, "", WHILE, "... and no more"},
    {200, D CHANGED(YEAR_AGO), 86398, "", FRESH, "bounded by heuristic_max"},
    {200, D CHANGED(YEAR_AGO), 86399, "", WHILE, "..."},
    {404, D CHANGED(DAY_AGO), 8000, "", FRESH, "404 may be guessed at (RFC 9110 15.1)"},
    {302, D CHANGED(DAY_AGO), 0, "", WHILE, "302 may not"},
    {302, D CC("public") CHANGED(DAY_AGO), 8000, "", FRESH, "... but for public"},
    {200, D CHANGED(MINUTE), 0, "", WHILE, "changed in the future: no lifetime"},
    {200, D CHANGED("yesterday"), 0, "", WHILE, "changed at no date: no lifetime"},
    {200, D, 0, "", WHILE, "nothing to guess from"},
    /* 4.2.3: age */
    {200, D AGED("30") CC("max-age=60"), 28, "", FRESH, "Age and what passed on the way add up"},
    {200, D AGED("30") CC("max-age=60"), 29, "", WHILE, "..."},
    {200, DATE(TEN_AGO) CC("max-age=60"), 49, "", FRESH, "apparent age, by Date"},
    {200, DATE(TEN_AGO) CC("max-age=60"), 50, "", WHILE, "..."},
    {200, DATE(TEN_AGO) AGED("30") CC("max-age=60"), 28, "", FRESH, "the greater of both, not their sum"},
    {200, DATE(TEN_AGO) AGED("30") CC("max-age=60"), 29, "", WHILE, "..."},
    {200, DATE(MINUTE) CC("max-age=60"), 58, "", FRESH, "a Date in the future is no negative age"},
    {200, D AGED("x") CC("max-age=60"), 58, "", FRESH, "an Age that is none is ignored (5.1)"},
    {200, D AGED("5, 50") CC("max-age=60"), 58, "", FRESH, "a list is none"},
    {200, D AGED("5") AGED("50") CC("max-age=60"), 53, "", FRESH, "of two the first counts (5.1)"},
    {200, D AGED("99999999999") CC("max-age=2147483648"), 0, "", WHILE, "an Age without bound is the bound"},
    {200, D CC("max-age=60"), -100, "", FRESH, "the wall clock was set back"},
    /* 5.2.1: what the request wants */
    {200, D CC("max-age=60"), 5, CC("no-cache"), REFUSED, "no-cache: ask first"},
    {200, D CC("max-age=60"), 5, "Pragma: no-cache\r\n", REFUSED, "Pragma where there is no Cache-Control (5.4)"},
    {200, D CC("max-age=60"), 5, "Pragma: no-cache\r\n" CC("max-age=99"), FRESH, "... but not beside it"},
    {200, D CC("max-age=60"), 5, "Pragma: foo\r\n", FRESH, "another Pragma"},
    {200, D CC("max-age=60"), 5, CC("max-age=0"), REFUSED, "max-age=0 of a reload"},
    {200, D CC("max-age=60"), 5, CC("max-age=5"), REFUSED, "younger than 6 s"},
    {200, D CC("max-age=60"), 5, CC("max-age=6"), FRESH, "not older than 6 s"},
    {200, D CC("max-age=60"), 5, CC("min-fresh=54"), FRESH, "fresh for 54 s more"},
    {200, D CC("max-age=60"), 5, CC("min-fresh=55"), REFUSED, "but not for 55"},
    {200, D CC("max-age=60"), 60, CC("max-stale"), TOLERATED, "any staleness"},
    {200, D CC("max-age=60"), 69, CC("max-stale=10"), TOLERATED, "10 s of it"},
    {200, D CC("max-age=60"), 70, CC("max-stale=10"), EXPIRED, "11 s are too many"},
    {200, D CC("max-age=60"), 62, CC("max-stale=1"), WHILE, "more than the client takes, less than the preset serves"},
    {200, D CC("max-age=60"), 62, CC("max-stale=10, max-age=5"), EXPIRED, "max-age wins"},
    {200, D CC("max-age=60"), 62, CC("no-cache"), EXPIRED, "stale and not wanted: as any stale one"},
    {200, D CC("max-age=60, must-revalidate"), 62, CC("max-stale=10"), EXPIRED, "must-revalidate forbids (4.2.4)"},
    {200, D CC("max-age=60, proxy-revalidate"), 62, CC("max-stale=10"), EXPIRED, "so does proxy-revalidate"},
    {200, D CC("s-maxage=60"), 62, CC("max-stale=10"), EXPIRED, "and s-maxage (5.2.2.10)"},
    {200, D CC("no-cache, max-age=60"), 0, CC("max-stale=10"), ALWAYS, "and no-cache"},
    /* 5.2.2: what the response wants */
    {200, D CC("no-cache, max-age=60"), 0, "", ALWAYS, "no-cache: asked for each time"},
    {200, D CC("no-cache=\"x-a\", max-age=60"), 5, "", FRESH, "no-cache of a field is about the field"},
    {200, D CC("must-revalidate, max-age=60"), 5, "", FRESH, "must-revalidate says nothing while it is fresh"},
    {200, D CC("must-revalidate, max-age=60"), 59, "", EXPIRED, "and then: ask first, whatever our preset"},
    {200, D CC("max-age=0, must-revalidate"), 0, "", ALWAYS, "never fresh, never stale: always asked for"},
    /* RFC 5861 */
    {200, D CC("max-age=60"), 68, "", WHILE, "the preset of 10 s where nothing is said"},
    {200, D CC("max-age=60"), 69, "", EXPIRED, "... and no more"},
    {200, D CC("max-age=60, stale-while-revalidate=30"), 88, "", WHILE, "said: 30 s"},
    {200, D CC("max-age=60, stale-while-revalidate=30"), 89, "", EXPIRED, "..."},
    {200, D CC("max-age=60, stale-while-revalidate=0"), 59, "", EXPIRED, "said: none"},
    {200, D CC("s-maxage=60"), 59, "", EXPIRED, "s-maxage asks for no preset"},
    {200, D CC("s-maxage=60, stale-while-revalidate=30"), 88, "", WHILE, "but both can be said"},
    {200, D CC("max-age=60, stale-while-revalidate=30, must-revalidate"), 59, "", EXPIRED, "must-revalidate wins"},
    /* RFC 9213 */
    {200, D CC("max-age=5") "CDN-Cache-Control: max-age=60\r\n", 50, "", FRESH, "the targeted field goes before"},
    {200, D CC("max-age=60") "CDN-Cache-Control: max-age=5\r\n", 6, "", WHILE, "... also when it is shorter"},
    {200, D CC("max-age=60") "CDN-Cache-Control: max-age=5;x\r\n", 50, "", FRESH, "malformed: as none"},
    {200, D CC("max-age=60") "CDN-Cache-Control:\r\n", 50, "", FRESH, "empty: as none"},
    {200, D EXPIRES(MINUTE) "CDN-Cache-Control: public\r\n", 50, "", EXPIRED, "beside it Expires means nothing (2.2)"},
};

static void requests_get_what_the_rules_give_them(void **state)
{
    for (unsigned i = 0; i < sizeof rules / sizeof *rules; i++) {
        struct hcache_answer r;
        struct hcache_ask a;
        struct hcache_freshness f;
        struct hcache_facts facts = facts_of(&r, rules[i].status, rules[i].response);
        struct hcache_wish wish = wish_of(&a, rules[i].request);
        hcache_freshness_make(&f, &facts, &presets, NOW - 1, NOW);
        int got = hcache_reuse(&f, &wish.control, false, NOW + rules[i].later);
        if (got != rules[i].expected)
            fail_msg("rule %u (%s): %s, expected %s; lifetime %u, age %u\n%s%s", i, rules[i].reason, reuse_names[got],
                     reuse_names[rules[i].expected], f.lifetime, hcache_freshness_age(&f, NOW + rules[i].later),
                     rules[i].response, rules[i].request);
    }
}

/* max-age=60, one second of it spent on the way. */
static const struct {
    const char *control, *request;
    int64_t later;
    bool expected;
    const char *reason;
} errors[] = {
    {"max-age=60", "", 30, true, "fresh: it is good anyway"},
    {"max-age=60", "", 61, false, "nothing permits it"},
    {"max-age=60, stale-if-error=30", "", 88, true, "RFC 5861 4"},
    {"max-age=60, stale-if-error=30", "", 89, false, "and no longer"},
    {"max-age=60", CC("stale-if-error=30"), 88, true, "the request may say it, too"},
    {"s-maxage=60", CC("stale-if-error=30"), 88, false, "but not against s-maxage"},
    {"max-age=60, stale-if-error=30", CC("no-cache"), 61, false, "it wants no stored answer"},
    {"max-age=60, stale-if-error=30, must-revalidate", "", 61, false,
     "must-revalidate: an error is the answer (5.2.2.2)"},
    {"no-cache, stale-if-error=30", "", 0, false, "no-cache, too"},
};

static void stale_entries_stand_in_for_errors_where_permitted(void **state)
{
    for (unsigned i = 0; i < sizeof errors / sizeof *errors; i++) {
        struct hcache_answer r;
        struct hcache_ask a;
        struct hcache_freshness f;
        char fields[256];
        snprintf(fields, sizeof fields, D "Cache-Control: %s\r\n", errors[i].control);
        struct hcache_facts facts = facts_of(&r, 200, fields);
        struct hcache_wish wish = wish_of(&a, errors[i].request);
        hcache_freshness_make(&f, &facts, &presets, NOW - 1, NOW);
        if (hcache_reuse_on_error(&f, &wish.control, NOW + errors[i].later) != errors[i].expected)
            fail_msg("line %u: %s", i, errors[i].reason);
    }
}

static void soft_purges_make_fresh_entries_stale_and_served_meanwhile(void **state)
{
    struct hcache_answer r;
    struct hcache_freshness f;
    struct hcache_control any = {0};
    struct hcache_facts facts = facts_of(&r, 200, D CC("s-maxage=60"));
    hcache_freshness_make(&f, &facts, &presets, NOW, NOW);
    assert_int_equal(hcache_reuse(&f, &any, true, NOW + 30), HCACHE_REUSE_WHILE);
    assert_int_equal(hcache_reuse(&f, &any, true, NOW + 60), HCACHE_REUSE_EXPIRED);
    facts = facts_of(&r, 200, D CC("max-age=60, must-revalidate"));
    hcache_freshness_make(&f, &facts, &presets, NOW, NOW);
    assert_int_equal(hcache_reuse(&f, &any, true, NOW + 30), HCACHE_REUSE_EXPIRED);
}

#define OK        HCACHE_STORABLE
#define TAG       "ETag: \"x\"\r\n"
#define COOKIE    "Set-Cookie: a=b\r\n"
#define WHO       "Authorization: Basic x\r\n"
#define REFUSE(y) HCACHE_REFUSED_##y

static const struct {
    const char *method;
    const char *request;
    int status;
    const char *response;
    enum hcache_refusal expected;
    const char *reason;
} storable[] = {
    {"GET", "", 200, CC("max-age=9"), OK, "the plain case"},
    {"HEAD", "", 200, CC("max-age=9"), REFUSE(METHOD), "HEAD has no content to keep"},
    {"POST", "", 200, CC("max-age=9"), REFUSE(METHOD), "POST is not kept"},
    {"GET", "", 206, CC("max-age=9"), REFUSE(STATUS), "parts are not kept"},
    {"GET", "", 304, CC("max-age=9"), REFUSE(STATUS), "304 is no response of its own"},
    {"GET", "", 100, CC("max-age=9"), REFUSE(STATUS), "not final"},
    {"GET", "", 299, CC("max-age=9"), OK, "an unknown status with a lifetime (3)"},
    {"GET", "", 299, CC("max-age=9, must-understand"), REFUSE(STATUS), "... unless it must be understood"},
    {"GET", "", 299, TAG, REFUSE(USELESS), "an unknown status without one"},
    {"GET", "", 200, CC("must-understand, no-store, max-age=9"), OK,
     "no-store is for who does not understand (5.2.2.3)"},
    {"GET", "", 299, CC("must-understand, no-store, max-age=9"), REFUSE(STATUS), "who does not, does not keep it"},
    {"GET", "", 404, CC("max-age=9"), OK, "404"},
    {"GET", "", 301, CC("max-age=9"), OK, "301"},
    {"GET", "", 302, CC("max-age=9"), OK, "302 with a lifetime"},
    {"GET", "", 302, "", REFUSE(USELESS), "302 without one"},
    {"GET", "", 503, CC("max-age=9"), OK, "an error that says how long"},
    {"GET", "", 503, "", REFUSE(USELESS), "one that does not"},
    {"GET", "", 404, TAG, REFUSE(USELESS), "an error cannot be validated"},
    {"GET", "", 200, CC("no-store, max-age=9"), REFUSE(NO_STORE), "no-store"},
    {"GET", CC("no-store"), 200, CC("max-age=9"), REFUSE(NO_STORE), "no-store of the request"},
    {"GET", "", 200, CC("private, max-age=9"), REFUSE(PRIVATE), "private"},
    {"GET", "", 200, CC("private=\"x-a\", max-age=9"), OK, "private in one field"},
    {"GET", "", 200, CC("private=\"\", max-age=9"), REFUSE(PRIVATE), "private in an unreadable list"},
    {"GET", WHO, 200, CC("max-age=9"), REFUSE(AUTHORIZATION), "Authorization (3.5)"},
    {"GET", WHO, 200, CC("max-age=9, public"), OK, "... with public"},
    {"GET", WHO, 200, CC("s-maxage=9"), OK, "... with s-maxage"},
    {"GET", WHO, 200, CC("max-age=9, must-revalidate"), OK, "... with must-revalidate"},
    {"GET", WHO, 200, CC("max-age=9, proxy-revalidate"), REFUSE(AUTHORIZATION), "proxy-revalidate is not among them"},
    {"GET", "", 200, CC("max-age=9") COOKIE, REFUSE(COOKIE), "Set-Cookie"},
    {"GET", "", 200, CC("public, max-age=9") COOKIE, REFUSE(COOKIE), "also where it says public"},
    {"GET", "", 200, CC("no-cache=\"Set-Cookie\", max-age=9") COOKIE, OK, "unless it is left out"},
    {"GET", "", 200, CC("max-age=9") "Vary: *\r\n", REFUSE(VARY), "no request would match"},
    {"GET", "", 200, CC("max-age=9") "Vary: a, *\r\n", REFUSE(VARY), "also among others"},
    {"GET", "", 200, CC("max-age=9") "Vary: a\r\nVary: *\r\n", REFUSE(VARY), "also in a second line"},
    {"GET", "", 200, "", REFUSE(USELESS), "nothing says how long"},
    {"GET", "", 200, TAG, OK, "but it can be asked for"},
    {"GET", "", 200, CC("no-cache"), REFUSE(USELESS), "always to be asked for, but not by what"},
    {"GET", "", 200, CC("no-cache") TAG, OK, "by its ETag"},
    {"GET", "", 200, CC("no-cache") "ETag: x\r\n", REFUSE(USELESS), "which must be one"},
    {"GET", "", 200, CC("no-cache") "ETag: W/\"x\"\r\n", OK, "a weak one is"},
    {"GET", "", 200, CC("max-age=0") "Last-Modified: " DAY_AGO "\r\n", OK, "or by its date"},
    {"GET", "", 200, CC("max-age=0"), REFUSE(USELESS), "or not at all"},
    {"GET", "", 200, CC("max-age=0, stale-while-revalidate=9"), OK, "stale, but to be served"},
    {"GET", "", 200, EXPIRES("0"), REFUSE(USELESS), "expired already"},
    {"GET", "", 200, CC("no-store") "CDN-Cache-Control: max-age=9\r\n", OK,
     "the targeted field goes before (RFC 9213)"},
    {"GET", "", 200, CC("max-age=9") "CDN-Cache-Control: no-store\r\n", REFUSE(NO_STORE), "both ways"},
};

static void responses_are_kept_as_the_rules_say(void **state)
{
    static const struct hcache_presets none = {.heuristic_max = 86400};
    for (unsigned i = 0; i < sizeof storable / sizeof *storable; i++) {
        struct hcache_answer r;
        struct hcache_ask a;
        struct hcache_freshness f;
        struct hcache_facts facts = facts_of(&r, storable[i].status, storable[i].response);
        struct hcache_wish wish = wish_of(&a, storable[i].request);
        hcache_freshness_make(&f, &facts, &none, NOW, NOW);
        enum http_method m = http_method_find((const uint8_t *)storable[i].method, strlen(storable[i].method));
        enum hcache_refusal got = hcache_storable(m, &wish, &facts, &f);
        if (got != storable[i].expected)
            fail_msg("line %u (%s): %d, expected %d", i, storable[i].reason, got, storable[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_get_what_the_rules_give_them),
        cmocka_unit_test(stale_entries_stand_in_for_errors_where_permitted),
        cmocka_unit_test(soft_purges_make_fresh_entries_stale_and_served_meanwhile),
        cmocka_unit_test(responses_are_kept_as_the_rules_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
