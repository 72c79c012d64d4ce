/* Which route takes a request: host, path, method and headers against the routes of a plan, in their order. Pure: `explain` runs the same
 * code and prints what it noted. */
#ifndef SERVICES_PROXY_ROUTE_ROUTE_H
#define SERVICES_PROXY_ROUTE_ROUTE_H

#include <millrace/types.h>

struct proxy_plan;
struct plan_listener;
struct plan_upstream;
struct proxy_route_config;

#define ROUTE_HEADER_NAME_MAX 63 /* of a condition */
#define ROUTE_PATH_MAX        4096

enum route_path_kind { ROUTE_ANY_PATH, ROUTE_EXACT, ROUTE_PREFIX };

/* "/a" is that path alone; "/a/" is everything below, and "/a" itself is not; "/a*" is everything that begins so. */
struct plan_route {
    const struct proxy_route_config *config;
    const struct plan_upstream *upstream;
    const struct plan_listener *listener; /* NULL: of every http listener */
    enum route_path_kind kind;
    struct mr_span path;
    struct mr_span host; /* lower case; for "*.example.com": ".example.com" */
    bool host_suffix;
};

/* A request as routing sees it. Host in lower case without its port; path as in the normalised form that goes out. */
struct route_query {
    const struct plan_listener *listener;
    struct mr_span method, host, path;
    const void *head; /* for `header` */
    /* The value of the next field called `name` (lower case); data NULL: no (more). `*at` begins with 0. */
    struct mr_span (*header)(const void *head, const char *name, unsigned *at);
};

/* Why a route did not match, or that it did. */
enum route_reason {
    ROUTE_TAKEN,
    ROUTE_OTHER_LISTENER,
    ROUTE_OTHER_HOST,
    ROUTE_OTHER_PATH,
    ROUTE_OTHER_METHOD,
    ROUTE_OTHER_HEADER
};
const char *route_reason_text(enum route_reason r);

enum route_reason route_match(const struct plan_route *r, const struct route_query *q);

/* The first that matches, or NULL: then the listener's own upstream, if it has one. `note` is called with each route looked at; may be NULL. */
const struct plan_route *route_find(const struct proxy_plan *plan, const struct route_query *q,
                                    void (*note)(void *argument, const struct plan_route *r, enum route_reason why),
                                    void *argument);

/* Fills the parts of `r` that come from r->config, whose host becomes lower case. False: the path, host or a header cannot be
 * (message). */
bool route_compile(struct plan_route *r, char *message, size_t message_bytes);

/* Made once all routes of a plan are compiled, when there are many; then route_find without `note` looks only at those that can match by
 * host and first segment of the path. Sets plan->index (NULL: few). False: no memory. */
#define ROUTE_INDEX_MINIMUM 16
struct route_index;
bool route_index_build(struct proxy_plan *plan);
void route_index_free(struct route_index *index);

#endif
