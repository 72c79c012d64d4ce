/* Routes of the proxy: what each pattern takes and does not take, and which patterns are refused. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/plan.h"
#include "proxy/route/route.h"

static struct mr_span span_of(const char *text)
{
    return (struct mr_span){(const uint8_t *)text, strlen(text)};
}

/* Fields of a request as "name: value" lines. */
static struct mr_span line_header(const void *head, const char *name, unsigned *at)
{
    const char *const *lines = head;
    for (; lines[*at]; ++*at) {
        const char *line = lines[*at];
        size_t n = strlen(name);
        if (strncmp(line, name, n) == 0 && line[n] == ':') {
            ++*at;
            return span_of(line + n + 2);
        }
    }
    return (struct mr_span){NULL, 0};
}

struct match_case {
    const char *host, *path, *method, *header[2];       /* of the route */
    const char *asked_host, *asked_path, *asked_method; /* of the request; its fields: the next */
    const char *fields[4];
    enum route_reason expected;
    const char *sentence;
};

static const struct match_case match_cases[] = {
    {.asked_host = "a", .asked_path = "/", .expected = ROUTE_TAKEN, .sentence = "what says nothing takes all"},
    {.host = "a.example", .asked_host = "a.example", .expected = ROUTE_TAKEN, .sentence = "an exact host"},
    {.host = "A.Example", .asked_host = "a.example", .expected = ROUTE_TAKEN, .sentence = "without regard to case"},
    {.host = "a.example", .asked_host = "b.a.example", .expected = ROUTE_OTHER_HOST, .sentence = "no longer name"},
    {.host = "a.example", .asked_host = "a.exampl", .expected = ROUTE_OTHER_HOST, .sentence = "no shorter name"},
    {.host = "a.example", .asked_host = "", .expected = ROUTE_OTHER_HOST, .sentence = "no request without a host"},
    {.host = "*.example", .asked_host = "a.example", .expected = ROUTE_TAKEN, .sentence = "a suffix, one label"},
    {.host = "*.EXAMPLE", .asked_host = "b.a.example", .expected = ROUTE_TAKEN, .sentence = "... and more"},
    {.host = "*.example", .asked_host = "example", .expected = ROUTE_OTHER_HOST, .sentence = "... but not none"},
    {.host = "*.example", .asked_host = ".example", .expected = ROUTE_OTHER_HOST, .sentence = "an empty label is none"},
    {.host = "*.example",
     .asked_host = "badexample",
     .expected = ROUTE_OTHER_HOST,
     .sentence = "the dot belongs to it"},
    {.host = "192.0.2.1", .asked_host = "192.0.2.1", .expected = ROUTE_TAKEN, .sentence = "an address is a host"},
    {.host = "[2001:DB8::1]",
     .asked_host = "[2001:db8::1]",
     .expected = ROUTE_TAKEN,
     .sentence = "... of both families"},
    {.path = "/a", .asked_path = "/a", .expected = ROUTE_TAKEN, .sentence = "an exact path"},
    {.path = "/a", .asked_path = "/a/", .expected = ROUTE_OTHER_PATH, .sentence = "... is not what is below"},
    {.path = "/a", .asked_path = "/ab", .expected = ROUTE_OTHER_PATH, .sentence = "... nor what begins so"},
    {.path = "/a",
     .asked_path = "/A",
     .expected = ROUTE_OTHER_PATH,
     .sentence = "case counts in paths (RFC 3986 6.2.2.1)"},
    {.path = "/a", .asked_path = "*", .expected = ROUTE_OTHER_PATH, .sentence = "asterisk-form has no path"},
    {.path = "/a/", .asked_path = "/a/b", .expected = ROUTE_TAKEN, .sentence = "a folder takes what is below"},
    {.path = "/a/", .asked_path = "/a/", .expected = ROUTE_TAKEN, .sentence = "... and its own page"},
    {.path = "/a/", .asked_path = "/a", .expected = ROUTE_OTHER_PATH, .sentence = "... not its name without the slash"},
    {.path = "/a*", .asked_path = "/a", .expected = ROUTE_TAKEN, .sentence = "a star takes the prefix itself"},
    {.path = "/a*", .asked_path = "/ab/c", .expected = ROUTE_TAKEN, .sentence = "... and all that begins so"},
    {.path = "/a*", .asked_path = "/b", .expected = ROUTE_OTHER_PATH, .sentence = "... not what does not"},
    {.path = "/*", .asked_path = "/x", .expected = ROUTE_TAKEN, .sentence = "everything, written with a star"},
    {.path = "/", .asked_path = "/x/y", .expected = ROUTE_TAKEN, .sentence = "... and as the root folder"},
    {.method = "GET", .asked_method = "GET", .expected = ROUTE_TAKEN, .sentence = "a method"},
    {.method = "GET", .asked_method = "GE", .expected = ROUTE_OTHER_METHOD, .sentence = "not a part of it"},
    {.method = "GET", .asked_method = "GETX", .expected = ROUTE_OTHER_METHOD, .sentence = "not a longer one"},
    {.method = "GET", .asked_method = "get", .expected = ROUTE_OTHER_METHOD, .sentence = "case counts (RFC 9110 9.1)"},
    {.header = {"X-A"}, .fields = {"x-a: 1"}, .expected = ROUTE_TAKEN, .sentence = "a header that is there"},
    {.header = {"X-A"}, .fields = {"x-b: 1"}, .expected = ROUTE_OTHER_HEADER, .sentence = "... and is not"},
    {.header = {"X-A:  1 "}, .fields = {"x-a: 1"}, .expected = ROUTE_TAKEN, .sentence = "a value, blanks apart"},
    {.header = {"X-A: 1"}, .fields = {"x-a: 12"}, .expected = ROUTE_OTHER_HEADER, .sentence = "another value"},
    {.header = {"X-A: 1"},
     .fields = {"x-a: 2", "x-a: 1"},
     .expected = ROUTE_TAKEN,
     .sentence = "any of several fields"},
    {.header = {"X-A:"}, .fields = {"x-a: 1"}, .expected = ROUTE_OTHER_HEADER, .sentence = "an empty value is a value"},
    {.header = {"X-A:"}, .fields = {"x-a: "}, .expected = ROUTE_TAKEN, .sentence = "... that can be met"},
    {.header = {"X-A", "X-B: 2"},
     .fields = {"x-a: 1", "x-b: 2"},
     .expected = ROUTE_TAKEN,
     .sentence = "all conditions"},
    {.header = {"X-A", "X-B: 2"},
     .fields = {"x-b: 2"},
     .expected = ROUTE_OTHER_HEADER,
     .sentence = "... not one alone"},
};

static void each_pattern_takes_what_it_says(void **state)
{
    for (unsigned i = 0; i < sizeof match_cases / sizeof *match_cases; i++) {
        const struct match_case *c = &match_cases[i];
        char host[64], message[200] = "";
        snprintf(host, sizeof host, "%s", c->host ? c->host : "");
        struct proxy_route_config config = {
            .host = c->host ? host : NULL, .path = (char *)c->path, .method = (char *)c->method};
        while (config.header_count < 2 && c->header[config.header_count]) {
            config.header[config.header_count] = (char *)c->header[config.header_count];
            config.header_count++;
        }
        struct plan_route route = {.config = &config};
        assert_true(route_compile(&route, message, sizeof message));
        struct route_query query = {.method = span_of(c->asked_method ? c->asked_method : "GET"),
                                    .host = span_of(c->asked_host ? c->asked_host : "a"),
                                    .path = span_of(c->asked_path ? c->asked_path : "/"),
                                    .head = c->fields,
                                    .header = line_header};
        enum route_reason found = route_match(&route, &query);
        if (found != c->expected)
            fail_msg("%s: %s, expected %s", c->sentence, route_reason_text(found), route_reason_text(c->expected));
    }
}

static const struct refuse_case {
    const char *host, *path, *header, *part; /* of the message */
} refuse_cases[] = {
    {.host = "", .part = "without port"},
    {.host = "a.example:80", .part = "without port"},
    {.host = "a b", .part = "expected a name"},
    {.host = "*", .part = "expected a name"},
    {.host = "*.", .part = "expected a name"},
    {.host = "*a.example", .part = "expected a name"},
    {.host = "a.*.example", .part = "expected a name"},
    {.host = ".example", .part = "expected a name"},
    {.host = "[::1", .part = "expected a name"},
    {.host = "[", .part = "expected a name"},
    {.host = "[::1]:80", .part = "expected a name"},
    {.path = "", .part = "begin with '/'"},
    {.path = "a", .part = "begin with '/'"},
    {.path = "*", .part = "begin with '/'"},
    {.path = "/a*b", .part = "only be its end"},
    {.path = "/**", .part = "only be its end"},
    {.path = "/a?b", .part = "a path alone"},
    {.path = "/a#b", .part = "a path alone"},
    {.path = "/a b", .part = "a path alone"},
    {.path = "/\xc3\xa4", .part = "a path alone"},
    {.path = "/a/../b", .part = "normal form"},
    {.path = "/a/..", .part = "normal form"},
    {.path = "/..", .part = "is refused"},
    {.path = "/a%2fb", .part = "is refused"},
    {.path = "//a", .part = "normal form, here '/a'"},
    {.path = "/a//*", .part = "normal form, here '/a/'"},
    {.path = "/%41", .part = "normal form, here '/A'"},
    {.path = "/%4", .part = "a path alone"},
    {.path = "/%zz", .part = "a path alone"},
    {.path = "/./a", .part = "normal form"},
    {.header = "", .part = "expected a name"},
    {.header = ": a", .part = "expected a name"},
    {.header = "A B: c", .part = "no such character as ' '"},
    {.header = "X-Name-That-Is-Longer-Than-Any-Which-A-Route-May-Ask-For-01234567", .part = "1 to 63"},
};

static void what_could_never_match_is_refused_with_a_sentence(void **state)
{
    for (unsigned i = 0; i < sizeof refuse_cases / sizeof *refuse_cases; i++) {
        const struct refuse_case *c = &refuse_cases[i];
        char host[64], message[300] = "";
        snprintf(host, sizeof host, "%s", c->host ? c->host : "");
        struct proxy_route_config config = {.host = c->host ? host : NULL,
                                            .path = (char *)c->path,
                                            .header_count = c->header != NULL,
                                            .header = {(char *)c->header}};
        struct plan_route route = {.config = &config};
        if (route_compile(&route, message, sizeof message) || !strstr(message, c->part))
            fail_msg("case %u: '%s' does not say '%s'", i, message, c->part);
    }
}

static void names_that_only_look_like_dot_segments_are_taken(void **state)
{
    static const char *const paths[] = {"/.well-known/", "/..a", "/a./", "/a../b", "/...", "/.a/*", "/.*", "/%C3%A4"};
    for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++) {
        char message[200];
        struct proxy_route_config config = {.path = (char *)paths[i]};
        struct plan_route route = {.config = &config};
        assert_true(route_compile(&route, message, sizeof message));
    }
}

static void a_listeners_route_takes_nothing_of_another_listener(void **state)
{
    struct plan_listener listeners[2] = {{.slot = 0}, {.slot = 1}};
    struct proxy_route_config config = {0};
    struct plan_route route = {.config = &config, .listener = &listeners[0]};
    struct route_query query = {
        .listener = &listeners[0], .method = span_of("GET"), .host = span_of("a"), .path = span_of("/")};
    assert_int_equal(route_match(&route, &query), ROUTE_TAKEN);
    query.listener = &listeners[1];
    assert_int_equal(route_match(&route, &query), ROUTE_OTHER_LISTENER);
    route.listener = NULL;
    assert_int_equal(route_match(&route, &query), ROUTE_TAKEN);
}

static void note_reason(void *argument, const struct plan_route *r, enum route_reason why)
{
    char *noted = argument;
    sprintf(noted + strlen(noted), "%s:%d ", r->config->name, why);
}

static void find_takes_the_first_and_notes_each_before_it(void **state)
{
    struct proxy_route_config config[] = {
        {.name = "a", .path = "/a"}, {.name = "b", .method = "PUT"}, {.name = "c", .path = "/"}, {.name = "d"}};
    struct plan_route routes[4] = {0};
    struct proxy_plan plan = {.routes = routes, .route_count = 4};
    char message[100], noted[100] = "";
    for (unsigned i = 0; i < 4; i++) {
        routes[i].config = &config[i];
        assert_true(route_compile(&routes[i], message, sizeof message));
    }
    struct route_query query = {.method = span_of("GET"), .host = span_of("a"), .path = span_of("/x")};
    assert_ptr_equal(route_find(&plan, &query, note_reason, noted), &routes[2]);
    snprintf(message, sizeof message, "a:%d b:%d c:%d ", ROUTE_OTHER_PATH, ROUTE_OTHER_METHOD, ROUTE_TAKEN);
    assert_string_equal(noted, message);
    plan.route_count = 2;
    assert_null(route_find(&plan, &query, NULL, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_pattern_takes_what_it_says),
        cmocka_unit_test(what_could_never_match_is_refused_with_a_sentence),
        cmocka_unit_test(names_that_only_look_like_dot_segments_are_taken),
        cmocka_unit_test(a_listeners_route_takes_nothing_of_another_listener),
        cmocka_unit_test(find_takes_the_first_and_notes_each_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
