/* The index over routes against the scan in order: random routes of few words, so that they overlap, and random requests. */
#include "tests/support/cmocka.h"

#include <millrace/random.h>
#include <stdio.h>
#include <string.h>

#include "proxy/plan.h"
#include "proxy/route/route.h"
#include "tests/support/seed.h"

#define PLANS          60
#define REQUESTS       2000
#define COUNT(array)   (sizeof(array) / sizeof *(array))
#define PICK(r, array) (array)[mr_random_below(r, COUNT(array))]

static const char *const hosts[] = {NULL,          "a.example", "b.a.example", "*.example",
                                    "*.a.example", "c.test",    "*.test",      "[::1]"};
static const char *const paths[] = {NULL,   "/",      "/a",    "/a/", "/a*",   "/ab", "/a/b", "/a/b/", "/a/b*",
                                    "/b/*", "/b/a/c", "/ab/c", "/.b", "/.b/a", "/*",  "/c",   "/c/d*", "/a/b/c"};
static const char *const methods[] = {NULL, NULL, "GET", "POST"};
static const char *const headers[] = {NULL, NULL, NULL, "X-A", "X-A: 1", "X-B: 2"};
static const char *const asked_hosts[] = {"a.example", "b.a.example", "x.a.example", "x.example", "example",
                                          "c.test",    "d.test",      "[::1]",       "",          "other"};
static const char *const asked_paths[] = {"/",      "/a",   "/a/",  "/ab",   "/abc",   "/a/b",  "/a/b/", "/a/bc",
                                          "/a/b/c", "/b/x", "/b",   "/b/a",  "/b/a/c", "/ab/c", "/.b",   "/.b/a",
                                          "/.b/b",  "/c",   "/c/d", "/c/de", "*",      ""};

static struct plan_listener listeners[2];
static struct proxy_route_config configs[PROXY_ROUTES_MAX];
static struct plan_route routes[PROXY_ROUTES_MAX];
static char host_text[PROXY_ROUTES_MAX][32];

static struct mr_span span_of(const char *text)
{
    return (struct mr_span){(const uint8_t *)text, strlen(text)};
}

/* The request's one field: "x-a" or "x-b" with a value. */
static struct mr_span one_header(const void *head, const char *name, unsigned *at)
{
    const char *field = head;
    if (*at || !field || strncmp(field, name, 3) || name[3])
        return (struct mr_span){NULL, 0};
    ++*at;
    return span_of(field + 5);
}

static void random_route(struct mr_random *r, unsigned i)
{
    const char *host = PICK(r, hosts), *header = PICK(r, headers);
    snprintf(host_text[i], sizeof host_text[i], "%s", host ? host : "");
    configs[i] = (struct proxy_route_config){.host = host ? host_text[i] : NULL,
                                             .path = (char *)PICK(r, paths),
                                             .method = (char *)PICK(r, methods),
                                             .header_count = header != NULL,
                                             .header = {(char *)header}};
    unsigned listener = mr_random_below(r, 4);
    routes[i] = (struct plan_route){.config = &configs[i], .listener = listener < 2 ? &listeners[listener] : NULL};
    char message[200];
    assert_true(route_compile(&routes[i], message, sizeof message));
}

static void note_nothing(void *argument, const struct plan_route *r, enum route_reason why)
{
    ++*(unsigned *)argument;
}

static unsigned compare(struct mr_random *r, const struct proxy_plan *plan)
{
    static const char *const asked_methods[] = {"GET", "PUT", "POST"};
    static const char *const fields[] = {NULL, "x-a: 1", "x-a: 2", "x-b: 2"};
    struct route_query q = {.listener = &listeners[mr_random_below(r, 2)],
                            .method = span_of(PICK(r, asked_methods)),
                            .host = span_of(PICK(r, asked_hosts)),
                            .path = span_of(PICK(r, asked_paths)),
                            .head = PICK(r, fields),
                            .header = one_header};
    unsigned looked_at = 0;
    const struct plan_route *slow = route_find(plan, &q, note_nothing, &looked_at),
                            *fast = route_find(plan, &q, NULL, NULL);
    if (fast != slow)
        fail_msg("of %u routes the index finds %ld, the scan %ld", plan->route_count,
                 fast ? (long)(fast - routes) : -1l, slow ? (long)(slow - routes) : -1l);
    assert_int_equal(looked_at, slow ? (unsigned)(slow - routes) + 1 : plan->route_count);
    return slow != NULL;
}

static void the_index_finds_what_a_scan_finds(void **state)
{
    struct mr_random r;
    mr_random_seed(&r, support_seed("model-route_find"));
    unsigned found = 0;
    for (unsigned i = 0; i < PLANS; i++) {
        unsigned few = ROUTE_INDEX_MINIMUM + mr_random_below(&r, 50);
        struct proxy_plan plan = {.routes = routes, .route_count = i < PLANS - 1 ? few : PROXY_ROUTES_MAX};
        for (unsigned k = 0; k < plan.route_count; k++)
            random_route(&r, k);
        assert_true(route_index_build(&plan));
        assert_non_null(plan.index);
        for (unsigned k = 0; k < REQUESTS; k++)
            found += compare(&r, &plan);
        route_index_free(plan.index);
    }
    assert_in_range(found, PLANS * REQUESTS / 10, PLANS * REQUESTS - PLANS);
}

static void few_routes_have_no_index(void **state)
{
    struct mr_random r;
    mr_random_seed(&r, 1);
    for (unsigned k = 0; k < ROUTE_INDEX_MINIMUM - 1; k++)
        random_route(&r, k);
    struct proxy_plan plan = {.routes = routes, .route_count = ROUTE_INDEX_MINIMUM - 1};
    assert_true(route_index_build(&plan));
    assert_null(plan.index);
    compare(&r, &plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_index_finds_what_a_scan_finds),
        cmocka_unit_test(few_routes_have_no_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
