/* A route of the configuration made ready for matching, and what is wrong with one that could never match. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "http/char_class.h"
#include "proxy/config.h"
#include "proxy/http/target_normal.h"
#include "proxy/route/route.h"

static bool refuse(char *message, size_t n, const char *format, ...) __attribute__((format(printf, 3, 4)));

static bool refuse(char *message, size_t n, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, n, format, arguments);
    va_end(arguments);
    return false;
}

static struct mr_span span_of(const char *text)
{
    return (struct mr_span){(const uint8_t *)text, text ? strlen(text) : 0};
}

/* RFC 3986 3.2.2: a name, an IPv4 address, or an IPv6 address in brackets. Nothing that the host of a request, in lower case and
 * without its port, could never be. */
static bool host_possible(const char *host)
{
    if (*host == '[')
        return strspn(host + 1, "0123456789abcdef:.") + 2 == strlen(host) && host[strlen(host) - 1] == ']';
    return *host && *host != '.' && host[strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-._~")] == 0;
}

static bool compile_host(struct plan_route *r, char *message, size_t n)
{
    char *host = r->config->host;
    r->host_suffix = host && host[0] == '*' && host[1] == '.';
    for (char *c = host; c && *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c += 'a' - 'A';
    if (host && !host_possible(r->host_suffix ? host + 2 : host))
        return refuse(
            message, n,
            "host '%s': expected a name like \"example.com\" or \"*.example.com\", or an address, without port", host);
    r->host = span_of(r->host_suffix ? host + 1 : host);
    return true;
}

/* Requests are looked at in their normal form (proxy/http/target_normal.h): a path of another form is never seen. Behind a star something
 * follows, which keeps "/.*" from being a dot segment. */
static bool is_normal(struct mr_span path, bool star, char *message, size_t n)
{
    char text[ROUTE_PATH_MAX + 2], normal[ROUTE_PATH_MAX + 3];
    if (path.length > ROUTE_PATH_MAX)
        return refuse(message, n, "path '%.60s...': expected at most %d characters", path.data, ROUTE_PATH_MAX);
    int length = snprintf(text, sizeof text, "%.*s%s", (int)path.length, (const char *)path.data, star ? "x" : "");
    int written = target_normalise((struct mr_span){(const uint8_t *)text, (size_t)length}, normal);
    if (written == 0 || (written == length && memcmp(text, normal, (size_t)length) == 0))
        return true;
    if (written < 0)
        return refuse(message, n, "path '%s': such a request is refused", path.data);
    return refuse(message, n, "path '%s': requests are looked at in their normal form, here '%.*s'", path.data,
                  written - star, normal);
}

static bool compile_path(struct plan_route *r, char *message, size_t n)
{
    const char *path = r->config->path;
    r->path = span_of(path);
    r->kind = path ? ROUTE_EXACT : ROUTE_ANY_PATH;
    if (!path)
        return true;
    const char *star = strchr(path, '*');
    if (*path != '/')
        return refuse(message, n, "path '%s': expected it to begin with '/'", path);
    if (star && star[1])
        return refuse(message, n, "path '%s': '*' can only be its end", path);
    r->path.length -= star != NULL;
    if (!target_path_possible(r->path))
        return refuse(message, n, "path '%s': expected a path alone, other bytes as %%XX", path);
    if (!is_normal(r->path, star != NULL, message, n))
        return false;
    if (star || path[r->path.length - 1] == '/')
        r->kind = ROUTE_PREFIX;
    return true;
}

static bool compile_headers(const struct plan_route *r, char *message, size_t n)
{
    for (unsigned i = 0; i < r->config->header_count; i++) {
        const char *condition = r->config->header[i];
        size_t length = strcspn(condition, ":");
        if (length == 0 || length > ROUTE_HEADER_NAME_MAX)
            return refuse(message, n, "header '%s': expected a name of 1 to %d characters, then nothing or ': value'",
                          condition, ROUTE_HEADER_NAME_MAX);
        const uint8_t *name = (const uint8_t *)condition, *end = http_char_skip(name, name + length, HTTP_CHAR_TOKEN);
        if (end < name + length)
            return refuse(message, n, "header '%s': a name has no such character as '%c'", condition, *end);
    }
    return true;
}

bool route_compile(struct plan_route *r, char *message, size_t message_bytes)
{
    return compile_host(r, message, message_bytes) && compile_path(r, message, message_bytes) &&
           compile_headers(r, message, message_bytes);
}
