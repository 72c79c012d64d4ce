/* Which request of the queues is which: resources, methods, names and queries. */
#include "http/queue_api.h"

#include <stdio.h>
#include <string.h>

#define EXCHANGES "/exchanges"

enum place { QUEUES, ONE_QUEUE, ONE_EXCHANGE };
static const struct resource {
    enum place place;
    const char *tail; /* behind the name */
    enum http_method method;
    void (*run)(struct http_connection *c, struct http_call *call);
} resources[] = {
    {QUEUES, "", HTTP_GET, queue_api_list},
    {ONE_QUEUE, "", HTTP_GET, queue_api_state},
    {ONE_QUEUE, "", HTTP_PUT, queue_api_declare},
    {ONE_QUEUE, "", HTTP_DELETE, queue_api_delete},
    {ONE_QUEUE, "messages", HTTP_POST, queue_api_publish},
    {ONE_QUEUE, "get", HTTP_POST, queue_api_get},
    {ONE_QUEUE, "ack", HTTP_POST, queue_api_ack},
    {ONE_QUEUE, "nack", HTTP_POST, queue_api_nack},
    {ONE_QUEUE, "purge", HTTP_POST, queue_api_purge},
    {ONE_EXCHANGE, "messages", HTTP_POST, queue_api_exchange},
};
#define RESOURCES (sizeof resources / sizeof resources[0])

/* `path` is `prefix`, or goes on behind it with a slash; *rest is what follows the slash. */
static bool under(struct mr_span path, const char *prefix, struct mr_span *rest)
{
    size_t n = strlen(prefix);
    if (path.length < n || memcmp(path.data, prefix, n) != 0 || (path.length > n && path.data[n] != '/'))
        return false;
    n += path.length > n;
    *rest = (struct mr_span){path.data + n, path.length - n};
    return true;
}

bool http_queue_api_owns(const struct http_config *config, struct mr_span path)
{
    struct mr_span rest;
    return config->queue_api && (under(path, config->queue_api, &rest) || under(path, EXCHANGES, &rest));
}

/* RFC 3986 2.1. A name may hold anything but control characters, a slash as %2F. */
static bool name_decode(struct mr_span raw, struct http_call *call)
{
    size_t used = 0;
    for (size_t i = 0; i < raw.length; i++) {
        int c = raw.data[i];
        if (c == '%') {
            c = http_percent_decode(raw.data + i, raw.length - i);
            i += 2;
        }
        if (used == sizeof call->name || c < 0x20 || c == 0x7f)
            return false;
        call->name[used++] = (uint8_t)c;
    }
    call->name_length = (uint8_t)used;
    return true;
}

static bool number_read(struct mr_span text, uint64_t least, uint64_t most, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || value > most)
            return false;
        value = value * 10 + (text.data[i] - '0');
    }
    *out = value;
    return text.length > 0 && value >= least && value <= most;
}

static bool option_read(struct mr_span option, struct http_call *call)
{
    struct mr_span value;
    uint64_t number;
    const uint8_t *equals = memchr(option.data, '=', option.length);
    if (!equals)
        return false;
    size_t n = (size_t)(equals - option.data);
    value = (struct mr_span){equals + 1, option.length - n - 1};
    option.length = n;
    if (http_text_equal(option, "count") && number_read(value, 1, HTTP_CALL_DELIVERIES, &number)) {
        call->wanted = (unsigned)number;
        return true;
    }
    if (http_text_equal(option, "settle_within_ms"))
        return number_read(value, 1, UINT32_MAX, &call->within_ms);
    call->manual = http_text_equal(value, "manual");
    return http_text_equal(option, "ack") && (call->manual || http_text_equal(value, "auto"));
}

/* count=N, ack=auto or manual, settle_within_ms=N. */
static bool query_read(struct mr_span query, struct http_call *call)
{
    call->wanted = 1;
    while (query.length) {
        const uint8_t *end = memchr(query.data, '&', query.length);
        size_t n = end ? (size_t)(end - query.data) : query.length;
        if (!option_read((struct mr_span){query.data, n}, call))
            return false;
        n += end != NULL;
        query = (struct mr_span){query.data + n, query.length - n};
    }
    return true;
}

static bool resource_is(const struct resource *r, enum place place, struct mr_span tail)
{
    return r->place == place && tail.length == strlen(r->tail) && memcmp(tail.data, r->tail, tail.length) == 0;
}

/* Where the path leads: the name, and what is behind it. */
static enum place place_of(const struct http_config *config, struct mr_span path, struct mr_span *name,
                           struct mr_span *tail)
{
    struct mr_span rest = {0};
    enum place place = under(path, config->queue_api, &rest) ? ONE_QUEUE : ONE_EXCHANGE;
    if (place == ONE_EXCHANGE)
        under(path, EXCHANGES, &rest);
    const uint8_t *slash = rest.length ? memchr(rest.data, '/', rest.length) : NULL;
    size_t n = slash ? (size_t)(slash - rest.data) : rest.length;
    *name = (struct mr_span){rest.data, n};
    n += slash != NULL;
    *tail = (struct mr_span){rest.data + n, rest.length - n};
    return place == ONE_QUEUE && rest.length == 0 ? QUEUES : place;
}

static const struct resource *resource_find(enum place place, struct mr_span tail, uint8_t method, char *allow,
                                            size_t size)
{
    const struct resource *found = NULL;
    size_t used = 0;
    allow[0] = 0;
    for (const struct resource *r = resources; r < resources + RESOURCES; r++) {
        if (!resource_is(r, place, tail))
            continue;
        used += (size_t)snprintf(allow + used, size - used, "%s, %s", http_method_text(r->method),
                                 r->method == HTTP_GET ? "HEAD, " : "");
        if (r->method == (method == HTTP_HEAD ? HTTP_GET : method))
            found = r;
    }
    if (used)
        snprintf(allow + used, size - used, "OPTIONS");
    return found;
}

static void allow_answer(struct http_connection *c, const char *allow)
{
    struct http_head h;
    http_answer_begin(c, &h, 204);
    http_head_field(&h, "Allow", allow);
    http_answer_end(c, &h, 204);
}

void http_queue_api_answer(struct http_connection *c, const struct http_request *r, const uint8_t *head)
{
    char allow[64];
    struct mr_span name, tail;
    enum place place = place_of(&c->http->config, http_request_text(head, r->path), &name, &tail);
    const struct resource *resource = resource_find(place, tail, r->method, allow, sizeof allow);
    struct http_call *call;
    if (!allow[0] || (place == ONE_QUEUE && name.length == 0))
        http_answer_json_error(c, 404, "there is no such resource");
    else if (r->method == HTTP_OPTIONS)
        allow_answer(c, allow);
    else if (!resource)
        http_answer_not_allowed(c, allow);
    else if (resource->method != HTTP_GET && http_request_foreign(r, head))
        http_answer_json_error(c, 403, "asked for by a page of another site");
    else if (!mr_queues_find(c->http->worker))
        http_answer_json_error(c, 503, HTTP_NO_QUEUES);
    else if ((call = http_call_take(c)) != NULL) {
        call->run = resource->run;
        if (!name_decode(name, call) || !query_read(http_request_text(head, r->query), call))
            http_call_error(c, call, 400,
                            "expected a name of at most 255 bytes, then, if any, count=1 to 100, ack=auto or manual, "
                            "settle_within_ms=N");
        else if (resource->method == HTTP_GET)
            call->run(c, call);
        else
            http_call_after_body(c, call);
    }
}
