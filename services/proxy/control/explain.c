/* `explain`: which listener, route, upstream and backend would take a request, why, and what would go out. */
#include "proxy/control/explain.h"

#include <stdlib.h>
#include <string.h>

static struct mr_span head_of(struct explain *e)
{
    return (struct mr_span){(const uint8_t *)e->head, e->head_bytes};
}

/* What the route wants that the request has not. */
static const char *wanted(const struct proxy_route_config *r, enum route_reason why)
{
    switch (why) {
    case ROUTE_OTHER_LISTENER:
        return r->listener;
    case ROUTE_OTHER_HOST:
        return r->host;
    case ROUTE_OTHER_PATH:
        return r->path;
    case ROUTE_OTHER_METHOD:
        return r->method;
    default:
        return NULL;
    }
}

static void note_route(void *argument, const struct plan_route *r, enum route_reason why)
{
    struct control_answer *a = argument;
    const char *value = wanted(r->config, why);
    control_answer_open(a, NULL, '{');
    control_answer_text(a, "route", r->config->name);
    if (value)
        control_answer_format(a, "verdict", "%s (it wants %s)", route_reason_text(why), value);
    else
        control_answer_text(a, "verdict", route_reason_text(why));
    control_answer_close(a, '}');
}

/* Lines as they would be sent. */
static void show_request(struct explain *e)
{
    struct control_answer *a = &e->call->answer;
    struct session_writer w = {e->out, e->out, e->out + sizeof e->out, false};
    if (!session_request_write(&e->session, &e->view, &w)) {
        control_answer_text(a, "answered", "431: its fields are too many or too long to be passed on");
        return;
    }
    control_answer_open(a, "request", '[');
    for (const char *line = e->out, *end; line < w.at; line = end + 2) {
        end = memchr(line, '\r', (size_t)(w.at - line));
        if (end == line)
            break;
        control_answer_span(a, NULL, (struct mr_span){(const uint8_t *)line, (size_t)(end - line)});
    }
    control_answer_close(a, ']');
}

static void explain_upstream(struct explain *e)
{
    struct control_answer *a = &e->call->answer;
    const struct proxy_upstream_config *u = e->session.upstream->config;
    control_answer_text(a, "upstream", u->name);
    control_answer_text(a, "balance", balance_names[u->balance]);
}

static void explain_route(struct explain *e)
{
    struct control_answer *a = &e->call->answer;
    struct session *s = &e->session;
    struct route_query q;
    control_answer_span(a, "host", e->view.address.host);
    control_answer_span(a, "path", e->view.path);
    session_route_query(s, &e->view, &q);
    control_answer_open(a, "routes", '[');
    s->route = route_find(s->plan, &q, note_route, a);
    control_answer_close(a, ']');
    s->upstream = s->route ? s->route->upstream : e->listener->upstream;
    if (!s->upstream) {
        control_answer_text(a, "answered", "404: no route takes it, and the listener has no upstream of its own");
        return;
    }
    control_answer_text(a, "taken", s->route ? s->route->config->name : "(the listener's own upstream)");
    explain_upstream(e);
    if (s->route && s->route->config->cache)
        control_answer_text(a, "cache", "what may be kept is, and is then answered without a backend (RFC 9111)");
    explain_backends(e, &e->view);
    show_request(e);
}

/* As session_request.c: parsed by the grammar, looked at, decided upon. */
static void explain_http(struct explain *e)
{
    struct control_answer *a = &e->call->answer;
    const struct proxy_limits_config *l = &e->session.plan->config->limits;
    struct http_wire_limits limits = {(uint32_t)l->line_bytes, (uint32_t)l->header_bytes, (uint32_t)l->header_count};
    struct http_wire wire;
    http_wire_reset(&wire);
    int n = http_wire_parse(&wire, head_of(e).data, head_of(e).length, &limits, &e->view.request);
    if (n > 0)
        n = session_view_fill(&e->session, &e->view, head_of(e).data, (uint32_t)n);
    if (n < 0) {
        control_answer_format(a, "answered", "%d: as malformed, or as larger than the limits", -n);
        return;
    }
    e->session.method = e->view.request.method;
    e->session.minor = e->view.request.minor;
    if (e->session.forward)
        control_answer_text(a, "forward", "goes where it says, if the rules of `forward` allow it");
    else
        explain_route(e);
}

static void explain_listener(struct explain *e)
{
    static const char *const modes[] = {
        [PROXY_HTTP] = "http", [PROXY_FORWARD] = "forward", [PROXY_TCP] = "tcp", [PROXY_UDP] = "udp"};
    const struct proxy_listener_config *l = e->listener->config;
    char text[MR_ENDPOINT_TEXT_MAX];
    control_answer_format(&e->call->answer, "listener", "%s at %s, %s", l->name, mr_endpoint_text(&l->listen, text),
                          modes[l->mode]);
    e->session.forward = l->mode == PROXY_FORWARD;
    e->session.bound = e->listener;
    e->session.local = l->listen;
    if (l->mode == PROXY_HTTP || l->mode == PROXY_FORWARD) {
        explain_http(e);
        return;
    }
    e->session.upstream = e->listener->upstream;
    explain_upstream(e);
    explain_backends(e, NULL);
}

bool control_explain(struct control_call *c)
{
    struct explain *e = calloc(1, sizeof *e);
    if (!e)
        return false;
    e->call = c;
    e->session.table = &e->table;
    e->session.plan = c->shared->plan;
    e->table.path = e->path;
    e->gather = control_gather(c->shared, c->control);
    bool good = e->gather && explain_read(e);
    if (good)
        explain_listener(e);
    if (e->gather)
        control_gather_free(e->gather);
    free(e);
    return good;
}
