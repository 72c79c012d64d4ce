/* WebSocket and whatever else a client and a backend agree to speak (RFC 9110 7.8): passed on, and tunnelled once it is accepted. */
#include "proxy/http/session_machine.h"

/* Not HTTP/2: we would no longer see the requests that follow, and rules are for requests. */
static bool protocol_passes(struct mr_span list)
{
    struct mr_span protocol;
    bool any = false;
    while (http_list_next(&list, &protocol)) {
        if (protocol.length >= 3 && http_text_equal((struct mr_span){protocol.data, 3}, "h2c"))
            return false;
        if (protocol.length >= 4 && http_text_equal((struct mr_span){protocol.data, 4}, "http"))
            return false;
        any = true;
    }
    return any;
}

bool session_upgrade_wanted(const struct http_request *r, const uint8_t *head)
{
    const struct http_field *f;
    unsigned at = 0;
    if (!http_request_has(r, HTTP_HEADER_UPGRADE) || r->minor == 0 || r->body != HTTP_BODY_NONE ||
        r->method != HTTP_GET)
        return false;
    struct session_fields fields = {head, r->fields, r->field_count, r->present, 0, NULL};
    if (!session_option_listed(&fields, "upgrade"))
        return false;
    while ((f = http_request_next(r, HTTP_HEADER_UPGRADE, &at)) != NULL)
        if (!protocol_passes(http_request_text(head, f->value)))
            return false;
    return true;
}

static void tunnel_ended(void *argument)
{
    struct session *s = argument;
    s->tunnel = NULL;
    s->back = NULL;
    session_free(s);
}

static void write_accepted(struct session *s, const struct http_response *r, const uint8_t *head,
                           struct session_writer *w)
{
    struct session_fields f = {head, r->fields, r->field_count, r->present, SESSION_HOP_BY_HOP, NULL};
    const struct http_field *field;
    unsigned at = 0;
    session_respond_begin(s, w, 101, http_request_text(head, r->reason));
    session_put_text(w, "Connection: upgrade\r\n");
    while ((field = http_response_next(r, HTTP_HEADER_UPGRADE, &at)) != NULL) {
        session_put_text(w, "Upgrade: ");
        session_put_span(w, http_request_text(head, field->value));
        session_put_text(w, "\r\n");
    }
    if (s->plan->config->via)
        f.skip |= 1ull << HTTP_HEADER_VIA;
    if (!session_fields_write(w, &f))
        w->overflow = true;
    session_response_via(s, r, head, w);
    session_put_text(w, "\r\n");
}

void session_upgrade(struct session *s, const struct http_response *r, const uint8_t *head, uint32_t length)
{
    struct session_writer w;
    if (s->upstream)
        upstream_succeeded(&s->request, r->status, mr_now(s->proxy->worker));
    write_accepted(s, r, head, &w);
    s->began = true;
    proxy_count(s->proxy, PROXY_SESSION_UPGRADES);
    if (!session_respond_send(s, &w))
        return;
    session_head_release(s);
    if (length)
        mr_stream_consume(s->back, length);
    if (s->answer)
        proxy_buffer_give(s->proxy, s->answer);
    s->answer = NULL;
    s->up.finished = s->down.finished = false;
    session_set_state(s, SESSION_EXPECT_TUNNEL_END);
    session_deadline_after(s, s->bound->config->idle_timeout);
    if (s->direct)
        return;         /* session_forward.c has tunnels of its own */
    if (!s->down.spill) /* else a client that does not even take this */
        s->tunnel = l4_tunnel(s->proxy, s->stream, &s->request, s->bound->config->idle_timeout, tunnel_ended, s);
    if (!s->tunnel) {
        session_abort(s);
        return;
    }
    session_deadline(s, MR_NEVER);
}
