/* The forward proxy: CONNECT and absolute-form, to destinations that the configuration allows. They are not upstreams of the plan, so
 * each request opens a connection of its own; there is no resolver: a destination is an address or a name of forward.hosts. */
#include <string.h>

#include "proxy/http/session_machine.h"

static bool name_equal(const char *a, struct mr_span b)
{
    return strlen(a) == b.length && http_text_equal(b, a);
}

static bool resolve(const struct proxy_forward_config *c, const struct target_authority *a, struct mr_address *out)
{
    char literal[TARGET_HOST_MAX + 1];
    if (a->literal6) {
        memcpy(literal, a->text + 1, a->host.length - 2);
        literal[a->host.length - 2] = 0;
        return mr_address_parse(literal, out) && !mr_address_is_ip4(out);
    }
    memcpy(literal, a->text, a->host.length);
    literal[a->host.length] = 0;
    if (mr_address_parse(literal, out))
        return mr_address_is_ip4(out);
    for (unsigned i = 0; i < c->host_count; i++)
        if (name_equal(c->hosts[i].name, a->host)) {
            *out = c->hosts[i].address;
            return true;
        }
    return false;
}

static bool prefix_covers(const struct mr_config_prefix *p, const struct mr_address *a)
{
    bool four = mr_address_is_ip4(&p->address);
    unsigned bits = four ? 96 + p->bits : p->bits, whole = bits / 8, rest = bits % 8;
    if (four != mr_address_is_ip4(a) || memcmp(p->address.bytes, a->bytes, whole) != 0)
        return false;
    return rest == 0 || (p->address.bytes[whole] ^ a->bytes[whole]) >> (8 - rest) == 0;
}

/* First match; none: denied when anything is allowed by name. */
static bool destination_allowed(const struct proxy_forward_config *c, const struct mr_endpoint *e)
{
    bool any_allow = false;
    for (unsigned i = 0; i < c->rule_count; i++) {
        const struct proxy_rule_config *r = &c->rules[i];
        if (prefix_covers(&r->destination, &e->address) && e->port >= r->port_first && e->port <= r->port_last)
            return r->allow;
        any_allow |= r->allow;
    }
    return !any_allow;
}

static bool connect_port_allowed(const struct proxy_forward_config *c, uint16_t port)
{
    for (unsigned i = 0; i < c->connect_port_count; i++)
        if (c->connect_ports[i] == port)
            return true;
    return c->connect_port_count == 0 && port == 443;
}

/* RFC 9110 9.3.6: any 2xx, and no field that frames a body. */
static void tunnel_begin(struct session *s)
{
    static const char text[] = "HTTP/1.1 200 Connection established\r\n\r\n";
    session_head_release(s);
    s->began = true;
    s->up.finished = s->down.finished = false;
    proxy_count(s->proxy, PROXY_SESSION_TUNNELS);
    session_set_state(s, SESSION_EXPECT_TUNNEL_END);
    session_deadline_after(s, s->bound->config->idle_timeout);
    if (!session_send(s, s->stream, &s->down, text, sizeof text - 1))
        session_abort(s);
}

static void direct_open(struct mr_stream *d)
{
    struct session *s = mr_stream_context(d);
    if (!s)
        return;
    s->back = d;
    if (s->method == HTTP_CONNECT)
        tunnel_begin(s);
    else
        session_send_request(s, session_view_again(s));
    session_advance(s);
}

static void direct_data(struct mr_stream *d)
{
    struct session *s = mr_stream_context(d);
    if (s)
        session_advance(s);
}

static enum upstream_failure failure_of(enum mr_close_reason reason, bool open)
{
    switch (reason) {
    case MR_CLOSE_REFUSED:
        return UPSTREAM_CONNECT_REFUSED;
    case MR_CLOSE_TIMEOUT:
        return open ? UPSTREAM_TIMEOUT : UPSTREAM_CONNECT_TIMEOUT;
    case MR_CLOSE_RESET:
        return open ? UPSTREAM_RESET : UPSTREAM_CONNECT_REFUSED;
    default:
        return open ? UPSTREAM_ENDED : UPSTREAM_CONNECT_FAILED;
    }
}

static void direct_close(struct mr_stream *d, enum mr_close_reason reason)
{
    struct session *s = mr_stream_context(d);
    if (!s)
        return;
    bool open = s->back != NULL;
    s->back = s->direct = NULL;
    if (s->state == SESSION_EXPECT_UPSTREAM || s->state == SESSION_EXPECT_RESPONSE)
        session_fail(s, failure_of(reason, open));
    else if (s->state == SESSION_EXPECT_TUNNEL_END && reason != MR_CLOSE_DONE)
        session_abort(s);
    session_advance(s);
}

static const struct mr_stream_options direct_options = {.nodelay = true};
static const struct mr_stream_handler direct_handler = {direct_open, direct_data, direct_data, direct_close};

static void refuse(struct session *s, int status, enum proxy_counter counter, const char *reason)
{
    proxy_count(s->proxy, counter);
    session_log_failure(s, status, reason);
    session_answer(s, status);
}

void session_forward(struct session *s, const struct session_view *v)
{
    const struct proxy_forward_config *c = &s->plan->config->forward;
    struct mr_endpoint remote;
    bool connect = s->method == HTTP_CONNECT;
    if (!connect && v->request.form != HTTP_TARGET_ABSOLUTE) {
        session_refuse(s, 400); /* RFC 9112 3.2.2: it takes us for an origin */
        return;
    }
    remote.port = v->address.port ? v->address.port : 80;
    if (connect && v->address.port == 0) {
        session_refuse(s, 400); /* RFC 9112 3.2.3 */
    } else if (!resolve(c, &v->address, &remote.address)) {
        refuse(s, 502, PROXY_SESSION_UNRESOLVED, "the name is not in forward.hosts, and there is no resolver");
    } else if ((connect && !connect_port_allowed(c, remote.port)) || !destination_allowed(c, &remote)) {
        refuse(s, 403, PROXY_SESSION_FORBIDDEN, "the rules of forward do not allow this destination");
    } else if (mr_connect(s->proxy->worker, NULL, &remote, &direct_handler, &direct_options, s, &s->direct) != MR_OK) {
        s->direct = NULL;
        refuse(s, 502, PROXY_SESSION_UNREACHABLE, "no connection could be opened");
    } else {
        session_set_state(s, SESSION_EXPECT_UPSTREAM);
        session_deadline_after(s, s->proxy->limits.header_timeout);
    }
}

/* One direction: what has come moves on, and the end behind it. */
static bool tunnel_move(struct session *s, struct session_flow *f, struct mr_stream *from, struct mr_stream *to)
{
    size_t n = mr_stream_readable(from), moved = n ? mr_stream_splice(from, to, n) : 0;
    f->moved += moved;
    if (to == s->stream)
        s->sent_bytes += moved;
    if (mr_stream_ended(from) && !f->finished) {
        f->finished = true;
        mr_stream_shutdown(to);
    }
    return moved > 0;
}

bool session_step_tunnel(struct session *s)
{
    if (s->tunnel || !s->back)
        return false; /* layer 4 does it, or one side is gone and the other has ended in order */
    if (s->down.spill) {
        int error;
        s->down.finished = true; /* only what is owed of the answer */
        enum session_progress progress = session_flow_move(s, &s->down, NULL, s->stream, &error);
        s->down.finished = false;
        if (progress == FLOW_BLOCKED)
            return false;
    }
    bool up = tunnel_move(s, &s->up, s->stream, s->back), down = tunnel_move(s, &s->down, s->back, s->stream);
    if (up || down)
        session_deadline_after(s, s->bound->config->idle_timeout);
    return false;
}
