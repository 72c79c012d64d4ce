/* The backend's side of a request: asked for, sent to, given back or given up, and tried again when that is safe. */
#include <string.h>

#include "proxy/http/session_machine.h"

static struct session *session_of(struct upstream_request *q)
{
    return (struct session *)((char *)q - offsetof(struct session, request));
}

/* RFC 9110 9.2.2 */
static bool idempotent(unsigned method)
{
    return method == HTTP_GET || method == HTTP_HEAD || method == HTTP_PUT || method == HTTP_DELETE ||
           method == HTTP_OPTIONS || method == HTTP_TRACE;
}

/* What the balancer is given to hash, mixed to 64 bits; the same on every worker and after a restart. */
static uint64_t hash_span(struct mr_span s)
{
    uint64_t h = 0x9e3779b97f4a7c15u ^ s.length, word;
    for (size_t i = 0; i < s.length; i += 8) {
        size_t n = s.length - i < 8 ? s.length - i : 8;
        word = 0;
        memcpy(&word, s.data + i, n);
        h = (h ^ word) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    h *= 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 29;
}

static struct mr_span named_field(const struct session_view *v, const char *name)
{
    const struct http_request *r = &v->request;
    size_t n = strlen(name);
    for (unsigned i = 0; i < r->field_count; i++) {
        struct mr_span field = http_request_text(v->head, r->fields[i].name);
        bool equal = field.length == n;
        for (size_t k = 0; equal && k < n; k++)
            equal = (field.data[k] | 0x20) == ((uint8_t)name[k] | 0x20);
        if (equal)
            return http_request_text(v->head, r->fields[i].value);
    }
    return (struct mr_span){NULL, 0};
}

uint64_t session_hash(const struct plan_upstream *u, const struct session *s, const struct session_view *v)
{
    const char *what = u->config->hash ? u->config->hash : "source";
    struct mr_span text = {s->client.address.bytes, sizeof s->client.address.bytes};
    if (strcmp(what, "path") == 0)
        text = v->path;
    else if (strncmp(what, "header ", 7) == 0)
        text = named_field(v, what + 7);
    else if (strncmp(what, "cookie ", 7) == 0 && !session_cookie_find(&v->request, v->head, what + 7, &text))
        text.length = 0;
    return hash_span(text);
}

static void ready(struct upstream_request *q)
{
    struct session *s = session_of(q);
    session_send_request(s, session_view_again(s));
    session_advance(s);
}

static void failed(struct upstream_request *q, enum upstream_failure why)
{
    struct session *s = session_of(q);
    session_fail(s, why);
    session_advance(s);
}

static void on_data(struct upstream_request *q)
{
    session_advance(session_of(q));
}

static void on_close(struct upstream_request *q, enum mr_close_reason reason)
{
    struct session *s = session_of(q);
    enum upstream_failure why = reason == MR_CLOSE_RESET     ? UPSTREAM_RESET
                                : reason == MR_CLOSE_TIMEOUT ? UPSTREAM_TIMEOUT
                                                             : UPSTREAM_ENDED;
    s->back = NULL;
    if (s->state == SESSION_EXPECT_BODY && !http_body_ended(&s->down.body))
        upstream_failed(q, why); /* the step finds the body cut */
    if (s->state == SESSION_EXPECT_RESPONSE) {
        upstream_failed(q, why);
        session_fail(s, why);
    }
    session_advance(s);
}

static const struct upstream_user user = {on_data, on_data, on_close};

static void sticky_read(struct session *s, const struct session_view *v)
{
    const char *name = s->upstream->config->sticky_cookie;
    struct mr_span value;
    s->sticky[0] = 0;
    if (!name || !session_cookie_find(&v->request, v->head, name, &value) || value.length != SESSION_STICKY_BYTES)
        return;
    memcpy(s->sticky, value.data, SESSION_STICKY_BYTES);
    s->sticky[SESSION_STICKY_BYTES] = 0;
}

void session_ask(struct session *s, const struct session_view *v)
{
    sticky_read(s, v);
    s->request = (struct upstream_request){.proxy = s->proxy,
                                           .upstream = s->upstream,
                                           .user = &user,
                                           .ready = ready,
                                           .failed = failed,
                                           .sticky = s->sticky[0] ? s->sticky : NULL,
                                           .client = s->client,
                                           .local = s->local};
    if (s->upstream->maglev)
        s->request.hash = session_hash(s->upstream, s, v);
    if (upstream_ask(&s->request) == UPSTREAM_READY) {
        session_send_request(s, v);
        return;
    }
    if (s->state != SESSION_EXPECT_UPSTREAM)
        session_set_state(s, SESSION_EXPECT_UPSTREAM);
    session_deadline(s, MR_NEVER); /* connecting and queueing have timeouts of their own */
}

/* A small body that is all there goes with its head, and both stay unread until the response: it can be sent again. */
static void copy_body(struct session *s, const struct session_view *v, struct session_writer *w)
{
    struct mr_span spans[4];
    size_t skip = v->length, left = (size_t)v->request.content_length;
    if (mr_stream_readable(s->stream) < skip + left)
        return;
    unsigned n = mr_stream_peek(s->stream, spans, 4);
    size_t there = 0;
    for (unsigned i = 0; i < n; i++)
        there += spans[i].length;
    if (there < skip + left)
        return;
    s->head_bytes += (uint32_t)left;
    for (unsigned i = 0; i < n && left > 0; i++) {
        size_t from = skip < spans[i].length ? skip : spans[i].length, part = spans[i].length - from;
        part = part < left ? part : left;
        session_put(w, spans[i].data + from, part);
        skip -= from;
        left -= part;
    }
    http_body_start(&s->up.body, HTTP_BODY_NONE, 0, 0);
    session_count_up(s, v->request.content_length);
}

void session_send_request(struct session *s, const struct session_view *v)
{
    struct session_writer w = session_writer_begin(s->table);
    s->back = s->direct ? s->direct : s->request.connection->stream;
    s->back_keep = false;
    s->head_bytes = s->head ? 0 : v->length; /* a body that went with it once goes with it again */
    http_body_begin(&s->up.body, &v->request, s->proxy->limits.body_bytes);
    session_set_state(s, SESSION_EXPECT_RESPONSE);
    if (!session_request_write(s, v, &w)) {
        session_back_drop(s, false);
        session_refuse(s, 431);
        return;
    }
    s->up.chunked = v->request.body == HTTP_BODY_CHUNKED;
    if (v->request.body == HTTP_BODY_LENGTH && v->request.content_length <= SESSION_COPY_BYTES_MAX && !s->head)
        copy_body(s, v, &w);
    s->up.finished = http_body_ended(&s->up.body);
    s->up.open = false;
    s->up.frame_at = s->up.frame_length = 0;
    s->up.chunk = 0;
    s->sent = true;
    if (!session_send(s, s->back, &s->up, w.start, (size_t)(w.at - w.start))) {
        session_back_drop(s, true);
        session_refuse(s, 503);
        return;
    }
    session_deadline_after(s, !s->up.finished ? s->proxy->limits.body_timeout
                              : s->upstream   ? s->upstream->config->response_timeout
                                              : s->proxy->limits.body_timeout);
}

static void direct_drop(struct session *s, bool abort)
{
    mr_stream_set_context(s->direct, NULL);
    if (abort)
        mr_stream_abort(s->direct);
    else
        mr_stream_close(s->direct);
    s->direct = NULL;
}

/* What was on its way to a backend has nowhere to go. */
static void up_end(struct session *s)
{
    session_flow_release(s, &s->up);
    s->up.chunk = 0;
    s->up.open = false;
    s->up.frame_at = s->up.frame_length = 0;
}

void session_back_answered(struct session *s, const struct http_response *r)
{
    upstream_succeeded(&s->request, r->status, mr_now(s->proxy->worker));
    s->back_keep = r->keep_alive;
}

void session_back_done(struct session *s)
{
    bool whole = s->up.finished && !s->up.spill && s->up.frame_at == s->up.frame_length;
    if (s->back && !s->direct && whole && s->back_keep) {
        up_end(s);
        upstream_give(&s->request);
        s->back = NULL;
        return;
    }
    session_back_drop(s, !whole);
}

void session_back_drop(struct session *s, bool abort)
{
    up_end(s);
    if (s->direct)
        direct_drop(s, abort);
    else if (s->back)
        upstream_drop(&s->request, abort);
    else if (s->state == SESSION_EXPECT_UPSTREAM)
        upstream_cancel(&s->request);
    s->back = NULL;
}

/* Nothing was answered, and the request is still there as it came. */
static bool may_retry(const struct session *s, enum upstream_failure why)
{
    if (!s->upstream || s->began || s->head_done || s->answer || s->interim)
        return false;
    switch (why) {
    case UPSTREAM_CONNECT_REFUSED:
    case UPSTREAM_CONNECT_TIMEOUT:
    case UPSTREAM_CONNECT_FAILED:
        return true; /* no connection has carried it */
    case UPSTREAM_RESET:
    case UPSTREAM_ENDED:
    case UPSTREAM_MALFORMED:
    case UPSTREAM_TIMEOUT: /* it may have been carried out: twice does no harm (RFC 9110 9.2.2) */
        return idempotent(s->method);
    default:
        return false;
    }
}

void session_fail(struct session *s, enum upstream_failure why)
{
    enum upstream_answer answer;
    up_end(s);
    if (s->began) {
        session_abort(s);
        return;
    }
    if (may_retry(s, why)) {
        if (upstream_retry(&s->request, &answer)) {
            if (s->state != SESSION_EXPECT_UPSTREAM)
                session_set_state(s, SESSION_EXPECT_UPSTREAM);
            session_deadline(s, MR_NEVER);
            if (answer == UPSTREAM_READY)
                session_send_request(s, session_view_again(s));
            return;
        }
    }
    session_log_failure(s, upstream_failure_status(why), upstream_failure_text(why));
    if (session_cache_failed(s))
        return;
    session_answer(s, upstream_failure_status(why));
}

void session_back_failed(struct session *s, enum upstream_failure why)
{
    if (s->back && !s->direct)
        upstream_failed(&s->request, why);
    session_back_drop(s, true);
    session_fail(s, why);
}
