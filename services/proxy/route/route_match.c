/* One route against one request. What costs least and differs most comes first. */
#include <string.h>

#include "proxy/config.h"
#include "proxy/route/route.h"

static bool host_matches(const struct plan_route *r, struct mr_span host)
{
    if (r->host.length == 0)
        return true;
    if (!r->host_suffix)
        return r->host.length == host.length && memcmp(r->host.data, host.data, host.length) == 0;
    /* At least one character in front, so one label or more. */
    return host.length > r->host.length &&
           memcmp(r->host.data, host.data + host.length - r->host.length, r->host.length) == 0;
}

static bool path_matches(const struct plan_route *r, struct mr_span path)
{
    if (r->kind == ROUTE_ANY_PATH)
        return true;
    return (r->kind == ROUTE_EXACT ? path.length == r->path.length : path.length >= r->path.length) &&
           memcmp(r->path.data, path.data, r->path.length) == 0;
}

static bool method_matches(const char *method, struct mr_span given)
{
    return !method || (strncmp(method, (const char *)given.data, given.length) == 0 && method[given.length] == 0);
}

static struct mr_span trimmed(const char *text)
{
    text += strspn(text, " \t");
    size_t n = strlen(text);
    while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t'))
        n--;
    return (struct mr_span){(const uint8_t *)text, n};
}

/* "Name" or "Name: value"; of several fields of that name one must be equal. */
static bool header_matches(const char *condition, const struct route_query *q)
{
    char name[ROUTE_HEADER_NAME_MAX + 1];
    size_t n = strcspn(condition, ":");
    for (size_t i = 0; i < n; i++)
        name[i] = (char)(condition[i] >= 'A' && condition[i] <= 'Z' ? condition[i] + ('a' - 'A') : condition[i]);
    name[n] = 0;
    unsigned at = 0;
    struct mr_span wanted = condition[n] ? trimmed(condition + n + 1) : (struct mr_span){NULL, 0}, value;
    while ((value = q->header(q->head, name, &at)).data != NULL)
        if (!wanted.data || (value.length == wanted.length && memcmp(value.data, wanted.data, wanted.length) == 0))
            return true;
    return false;
}

enum route_reason route_match(const struct plan_route *r, const struct route_query *q)
{
    if (r->listener && r->listener != q->listener)
        return ROUTE_OTHER_LISTENER;
    if (!host_matches(r, q->host))
        return ROUTE_OTHER_HOST;
    if (!path_matches(r, q->path))
        return ROUTE_OTHER_PATH;
    if (!method_matches(r->config->method, q->method))
        return ROUTE_OTHER_METHOD;
    for (unsigned i = 0; i < r->config->header_count; i++)
        if (!header_matches(r->config->header[i], q))
            return ROUTE_OTHER_HEADER;
    return ROUTE_TAKEN;
}

const char *route_reason_text(enum route_reason r)
{
    static const char *const texts[] = {
        [ROUTE_TAKEN] = "taken",
        [ROUTE_OTHER_LISTENER] = "of another listener",
        [ROUTE_OTHER_HOST] = "another host",
        [ROUTE_OTHER_PATH] = "another path",
        [ROUTE_OTHER_METHOD] = "another method",
        [ROUTE_OTHER_HEADER] = "a header is missing or has another value",
    };
    return texts[r];
}
