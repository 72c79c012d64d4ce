/* Which handler answers which path. The table is in the order of search; the document root takes what is left. */
#include <string.h>

#include "http/connection.h"
#include "http/queue_api.h"

#define ALLOW(method) (1u << HTTP_##method)

static bool status_enabled(const struct http_config *config)
{
    return config->status_page;
}

static bool visits_enabled(const struct http_config *config)
{
    return config->visits_page;
}

static bool orders_enabled(const struct http_config *config)
{
    return config->orders_page;
}

static bool test_enabled(const struct http_config *config)
{
    return config->test_endpoints;
}

static bool always(const struct http_config *config)
{
    return true;
}

struct route {
    const char *path;
    bool prefix; /* also everything that begins with it */
    uint16_t methods;
    const char *allow;
    bool (*enabled)(const struct http_config *config);
    void (*answer)(struct http_connection *c, const struct http_request *r, const uint8_t *head);
};

static const struct route routes[] = {
    {"/status", false, ALLOW(GET) | ALLOW(HEAD), "GET, HEAD, OPTIONS", status_enabled, http_status_page_answer},
    {"/visits", true, ALLOW(GET) | ALLOW(HEAD), "GET, HEAD, OPTIONS", visits_enabled, http_visits_page_answer},
    {"/orders", true, ALLOW(GET) | ALLOW(HEAD) | ALLOW(POST), "GET, HEAD, POST, OPTIONS", orders_enabled,
     http_orders_page_answer},
    {"/sink", false, ALLOW(PUT) | ALLOW(POST), "PUT, POST, OPTIONS", test_enabled, http_sink_answer},
    {"/bytes/", true, ALLOW(GET) | ALLOW(HEAD), "GET, HEAD, OPTIONS", test_enabled, http_bytes_answer},
    {"/", true, ALLOW(GET) | ALLOW(HEAD), "GET, HEAD, OPTIONS", always, http_static_answer},
};

static const struct route *route_find(const struct http_config *config, struct mr_span path)
{
    const struct route *route = routes;
    for (;; route++) {
        size_t n = strlen(route->path);
        if (route->enabled(config) && path.length >= n && (route->prefix || path.length == n) &&
            memcmp(path.data, route->path, n) == 0)
            return route;
        if (route == &routes[sizeof routes / sizeof *routes - 1])
            return route; /* "*" or an absolute form without a path */
    }
}

static void answer_options(struct http_connection *c, const char *allow)
{
    struct http_head h;
    http_answer_begin(c, &h, 204);
    http_head_field(&h, "Allow", allow);
    http_answer_end(c, &h, 204);
}

void http_route(struct http_connection *c, const struct http_request *r, const uint8_t *head)
{
    struct mr_span path = http_request_text(head, r->path);
    /* What is in the cache under this name got there through the last route: one look-up is the whole way. */
    if (__builtin_expect(r->method == HTTP_GET && !c->file, 1)) {
        struct http_file *f = http_file_lookup(c->http, path);
        if (f && http_file_fresh(c->http, f)) {
            http_file_answer(c, r, head, f);
            return;
        }
    }
    if (http_queue_api_owns(&c->http->config, path)) {
        http_queue_api_answer(c, r, head);
        return;
    }
    const struct route *route = route_find(&c->http->config, path);
    if (r->method == HTTP_OPTIONS)
        answer_options(c, r->form == HTTP_TARGET_ASTERISK ? "GET, HEAD, PUT, POST, DELETE, OPTIONS" : route->allow);
    else if (!(route->methods >> r->method & 1))
        http_answer_not_allowed(c, route->allow);
    else
        route->answer(c, r, head);
}
