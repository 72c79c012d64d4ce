/* The words of `explain` to a listener and the head of a request. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proxy/control/explain.h"

#define CLIENT_PRESET "192.0.2.1" /* RFC 5737: nobody's */

static bool refuse(struct explain *e, const char *format, const char *word)
{
    char text[300];
    snprintf(text, sizeof text, format, word);
    e->call->wrong = control_say("%s", text);
    return false;
}

static void append(struct explain *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What does not fit is seen by its length in the end. */
static void append(struct explain *e, const char *format, ...)
{
    va_list arguments;
    size_t room = sizeof e->head - e->head_bytes;
    va_start(arguments, format);
    int n = vsnprintf(e->head + e->head_bytes, room, format, arguments);
    va_end(arguments);
    e->head_bytes += n >= 0 && (size_t)n < room ? (size_t)n : room - 1;
}

/* Words become lines of a head: nothing in them may end one. */
static bool is_plain(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    return true;
}

static bool serves_http(const struct plan_listener *l)
{
    return l->config->mode == PROXY_HTTP || l->config->mode == PROXY_FORWARD;
}

static bool listener_by_name(struct explain *e, const char *name)
{
    const struct proxy_plan *p = e->session.plan;
    for (uint32_t i = 0; i < p->listener_count; i++)
        if (!strcmp(p->listeners[i].config->name, name)) {
            e->listener = &p->listeners[i];
            return true;
        }
    return refuse(e, "there is no listener '%.60s'", name);
}

/* Names none of them: says which there are. */
static bool refuse_port(struct explain *e, unsigned port)
{
    const struct proxy_plan *p = e->session.plan;
    char text[200];
    const size_t start =
        (size_t)snprintf(text, sizeof text, "no http listener is at port %u: name the one that is meant, of", port);
    size_t n = start;
    for (uint32_t i = 0; i < p->listener_count && n < sizeof text; i++)
        if (serves_http(&p->listeners[i]))
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n > start ? ", " : " ",
                                  p->listeners[i].config->name);
    return refuse(e, "%s", n > start ? text : "there is no http listener");
}

/* The one at the URL's port, or the only one there is; of a path alone, the only one that takes such. */
static bool listener_by_port(struct explain *e, unsigned port, bool path_alone)
{
    const struct proxy_plan *p = e->session.plan;
    unsigned candidates = 0;
    for (uint32_t i = 0; i < p->listener_count; i++) {
        const struct plan_listener *l = &p->listeners[i];
        if (!serves_http(l) || (path_alone && l->config->mode != PROXY_HTTP))
            continue;
        e->listener = l;
        if (l->config->listen.port == port)
            return true;
        candidates++;
    }
    return candidates == 1 || refuse_port(e, port);
}

struct url {
    const char *authority, *target;
    int authority_length;
};

static bool read_url(struct explain *e, struct url *u)
{
    static const char scheme[] = "http://";
    *u = (struct url){"", e->url, 0};
    if (*e->url == '/' || !strcmp(e->url, "*"))
        return true;
    if (strncasecmp(e->url, scheme, sizeof scheme - 1))
        return refuse(e, "expected http://HOST/PATH or /PATH instead of '%.100s'", e->url);
    u->authority = e->url + sizeof scheme - 1;
    u->authority_length = (int)strcspn(u->authority, "/?#");
    u->target = u->authority + u->authority_length;
    return true;
}

static unsigned url_port(const struct url *u)
{
    for (int i = u->authority_length; i-- > 0 && u->authority[i] != ']';)
        if (u->authority[i] == ':')
            return (unsigned)strtoul(u->authority + i + 1, NULL, 10);
    return 80;
}

/* "from", "listener" and "header", in any order, each with a value. */
static bool read_options(struct explain *e)
{
    const struct control_call *c = e->call;
    struct session *s = &e->session;
    mr_address_parse(CLIENT_PRESET, &s->client.address);
    for (int i = 3; i < c->argc; i += 2) {
        const char *value = c->argv[i + 1];
        if (i + 1 == c->argc)
            return refuse(e, "'%.60s' has no value", c->argv[i]);
        if (!is_plain(value))
            return refuse(e, "a control character in the value of '%.60s'", c->argv[i]);
        if (!strcmp(c->argv[i], "header"))
            e->host_given |= !strncasecmp(value, "host:", 5);
        else if (!strcmp(c->argv[i], "from")) {
            if (!mr_address_parse(value, &s->client.address))
                return refuse(e, "from is '%.60s', expected an address such as 198.18.0.1", value);
        } else if (strcmp(c->argv[i], "listener")) {
            return refuse(e, "there is no option '%.60s', expected header, from or listener", c->argv[i]);
        } else if (!listener_by_name(e, value)) {
            return false;
        }
    }
    s->client_bytes = (uint8_t)strlen(mr_address_text(&s->client.address, s->client_text));
    return true;
}

/* RFC 9112 3.2.1, and 3.2.2 where the client takes us for its proxy. */
static void write_head(struct explain *e, const struct url *u)
{
    const struct control_call *c = e->call;
    const struct mr_endpoint *listen = &e->listener->config->listen;
    char text[MR_ENDPOINT_TEXT_MAX];
    const char *root = *u->target == '/' || *u->target == '*' ? "" : "/";
    int target = (int)strcspn(u->target, "#");
    if (e->listener->config->mode == PROXY_FORWARD)
        append(e, "%s http://%.*s%s%.*s HTTP/1.1\r\n", e->method, u->authority_length, u->authority, root, target,
               u->target);
    else
        append(e, "%s %s%.*s HTTP/1.1\r\n", e->method, root, target, u->target);
    if (!e->host_given && u->authority_length)
        append(e, "Host: %.*s\r\n", u->authority_length, u->authority);
    else if (!e->host_given)
        append(e, "Host: %s\r\n", mr_address_is_any(&listen->address) ? "localhost" : mr_endpoint_text(listen, text));
    for (int i = 3; i + 1 < c->argc; i += 2)
        if (!strcmp(c->argv[i], "header"))
            append(e, "%s\r\n", c->argv[i + 1]);
    append(e, "\r\n");
}

bool explain_read(struct explain *e)
{
    struct url u;
    e->method = e->call->argv[1];
    e->url = e->call->argv[2];
    if (!is_plain(e->method) || !is_plain(e->url))
        return refuse(e, "a control character in '%s'", is_plain(e->method) ? "URL" : "METHOD");
    if (!read_url(e, &u) || !read_options(e) ||
        (!e->listener && !listener_by_port(e, url_port(&u), u.authority_length == 0)))
        return false;
    if (e->listener->config->mode == PROXY_FORWARD && u.authority_length == 0)
        return refuse(e, "listener %s is a client's proxy: expected http://HOST/PATH", e->listener->config->name);
    write_head(e, &u);
    return true;
}
