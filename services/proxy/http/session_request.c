/* Reads the head of a request, in place or in a buffer when it comes in pieces, and decides what becomes of it. */
#include <assert.h>
#include <string.h>

#include "proxy/http/session_machine.h"
#include "proxy/l4/proxy_protocol.h"

/* A head in pieces: where its parse stands, then its bytes. */
struct piece {
    struct http_wire wire;
    uint32_t used, complete;
    struct http_request request;
    uint8_t bytes[];
};

static struct piece *piece_of(struct proxy_buffer *b)
{
    return (struct piece *)(void *)b->bytes;
}

bool session_step_proxy_header(struct session *s)
{
    uint8_t bytes[PROXY_PROTOCOL_BYTES_MAX];
    struct proxy_protocol found;
    struct mr_span spans[PROXY_PROTOCOL_BYTES_MAX]; /* each holds a byte at least */
    size_t n = 0;
    unsigned count = mr_stream_peek(s->stream, spans, PROXY_PROTOCOL_BYTES_MAX);
    for (unsigned i = 0; i < count && n < sizeof bytes; i++) {
        size_t part = spans[i].length < sizeof bytes - n ? spans[i].length : sizeof bytes - n;
        memcpy(bytes + n, spans[i].data, part);
        n += part;
    }
    int length = proxy_protocol_parse(bytes, n, &found);
    if (length == 0 && !mr_stream_ended(s->stream) && n < sizeof bytes)
        return false;
    if (length <= 0) {
        proxy_count(s->proxy, PROXY_SESSION_BAD_PROXY_HEADER);
        session_abort(s); /* who is not who it should be gets no answer */
        return false;
    }
    mr_stream_consume(s->stream, (size_t)length);
    if (!found.local) {
        s->client = found.source;
        s->local = found.destination;
        s->client_bytes = (uint8_t)strlen(mr_address_text(&s->client.address, s->client_text));
    }
    session_set_state(s, SESSION_EXPECT_REQUEST);
    return true;
}

void session_head_release(struct session *s)
{
    if (s->head_bytes)
        mr_stream_consume(s->stream, s->head_bytes);
    s->head_bytes = 0;
    if (s->head)
        proxy_buffer_give(s->proxy, s->head);
    s->head = NULL;
    s->head_done = true;
}

void session_request_end(struct session *s)
{
    session_cache_end(s);
    session_head_release(s);
    session_flow_release(s, &s->up);
    session_flow_release(s, &s->down);
    if (s->answer)
        proxy_buffer_give(s->proxy, s->answer);
    s->answer = NULL;
    if (s->plan)
        plan_release(s->proxy, s->plan);
    s->plan = NULL;
    s->bound = NULL;
    s->route = NULL;
    s->upstream = NULL;
}

/* How the next field of a name is found for a route's conditions. */
static struct mr_span route_header(const void *context, const char *name, unsigned *at)
{
    const struct session_view *v = context;
    const struct http_request *r = &v->request;
    size_t n = strlen(name);
    enum http_header h = http_header_find((const uint8_t *)name, n);
    for (; *at < r->field_count; ++*at) {
        const struct http_field *f = &r->fields[*at];
        if (f->header != h || (h == HTTP_HEADER_OTHER && !http_text_equal(http_request_text(v->head, f->name), name)))
            continue;
        ++*at;
        return http_request_text(v->head, f->value);
    }
    return (struct mr_span){NULL, 0};
}

void session_route_query(const struct session *s, const struct session_view *v, struct route_query *q)
{
    static const struct mr_span no_path = {(const uint8_t *)"*", 1};
    *q = (struct route_query){.listener = s->bound,
                              .method = http_request_method(&v->request, v->head),
                              .host = v->address.host,
                              .path = v->path.length ? v->path : no_path,
                              .head = v,
                              .header = route_header};
}

static const struct plan_upstream *route(struct session *s, const struct session_view *v)
{
    struct route_query q;
    session_route_query(s, v, &q);
    s->route = route_find(s->plan, &q, NULL, NULL);
    return s->route ? s->route->upstream : s->bound->upstream;
}

/* RFC 9110 7.6.3: a message that has passed us again and again goes round in a circle. */
static bool loops(const struct session *s, const struct session_view *v)
{
    const char *name = s->plan->config->via;
    const struct http_field *f;
    unsigned at = 0, seen = 0;
    size_t n = name ? strlen(name) : 0;
    if (n == 0 || !http_request_has(&v->request, HTTP_HEADER_VIA))
        return false;
    while ((f = http_request_next(&v->request, HTTP_HEADER_VIA, &at)) != NULL) {
        struct mr_span list = http_request_text(v->head, f->value), element;
        while (http_list_next(&list, &element)) {
            const uint8_t *space = memchr(element.data, ' ', element.length);
            size_t rest = space ? element.length - (size_t)(space + 1 - element.data) : 0;
            if (space && rest >= n && memcmp(space + 1, name, n) == 0 && (rest == n || space[1 + n] == ' '))
                seen++;
        }
    }
    return seen >= SESSION_LOOP_MAX;
}

/* RFC 9110 7.6.2: OPTIONS that may go no further ends here. TRACE would show a client what is meant for backends alone. */
static bool ends_here(struct session *s, const struct session_view *v)
{
    const struct http_request *r = &v->request;
    uint64_t n;
    if (r->method == HTTP_TRACE) {
        session_answer(s, 405);
        return true;
    }
    if (r->method != HTTP_OPTIONS || !http_request_has(r, HTTP_HEADER_MAX_FORWARDS) ||
        http_content_length_parse(http_request_value(r, v->head, HTTP_HEADER_MAX_FORWARDS), &n) != 0 || n > 0)
        return false;
    session_answer(s, 204);
    return true;
}

static void decide(struct session *s, const struct session_view *v)
{
    s->upgrade = session_upgrade_wanted(&v->request, v->head);
    if (loops(s, v)) {
        proxy_count(s->proxy, PROXY_SESSION_LOOPS);
        session_answer(s, 508);
    } else if (ends_here(s, v)) {
        return;
    } else if (s->forward) {
        session_forward(s, v);
    } else if (s->method == HTTP_CONNECT) {
        session_refuse(s, 501);
    } else if (!(s->upstream = route(s, v))) {
        proxy_count(s->proxy, PROXY_SESSION_NO_ROUTE);
        session_answer(s, 404);
    } else {
        (session_cacheable(s) ? session_cache_ask : session_ask)(s, v);
    }
}

/* A whole head of `v->length` bytes: what it asks is done, or begun. */
static void head_complete(struct session *s, struct session_view *v, const uint8_t *head, uint32_t length)
{
    int status = session_view_fill(s, v, head, length);
    s->method = v->request.method;
    s->minor = v->request.minor;
    s->keep_alive = v->request.keep_alive;
    s->expect_continue = v->request.expect_continue;
    s->interim = 0;
    s->sent = s->head_done = s->began = s->blocked = s->upgrade = false;
    s->bytes_in = s->bytes_out = 0;
    s->asked = mr_now(s->proxy->worker);
    s->up.body.state = BODY_ENDED;
    proxy_count(s->proxy, PROXY_REQUESTS);
    if (status == 0)
        status = http_body_begin(&s->up.body, &v->request, s->proxy->limits.body_bytes);
    if (__builtin_expect(status != 0, 0)) {
        session_refuse(s, -status);
        return;
    }
    s->bound = s->listener->plan;
    if (!s->bound) {
        session_refuse(s, 503); /* the listener was removed */
        return;
    }
    s->plan = plan_hold(s->proxy);
    decide(s, v);
}

bool session_head_copy(struct session *s, const struct session_view *v)
{
    struct proxy_buffer *b = proxy_buffer_take(s->proxy);
    struct piece *piece = b ? piece_of(b) : NULL;
    if (!b)
        return false;
    piece->used = piece->complete = v->length;
    piece->request = v->request;
    memcpy(piece->bytes, v->head, v->length);
    s->head = b;
    return true;
}

static bool head_buffer(struct session *s)
{
    struct proxy_buffer *b = proxy_buffer_take(s->proxy);
    if (!b) {
        session_refuse_unread(s, 503);
        return true;
    }
    proxy_count(s->proxy, PROXY_SESSION_HEADS_BUFFERED);
    struct piece *piece = piece_of(b);
    piece->used = piece->complete = 0;
    http_wire_reset(&piece->wire);
    s->head = b;
    session_set_state(s, SESSION_EXPECT_HEAD_END);
    session_deadline_after(s, s->proxy->limits.header_timeout);
    return true;
}

bool session_step_request(struct session *s)
{
    struct session_view *v = &s->table->view;
    struct mr_span span;
    struct http_wire wire;
    if (mr_stream_peek(s->stream, &span, 1) == 0) {
        if (mr_stream_ended(s->stream))
            session_linger(s);
        return false;
    }
    if (__builtin_expect(
            !s->listener->plan,
            0)) { /* removed: an end without an answer tells the client to ask elsewhere (RFC 9112 9.3.1) */
        session_linger(s);
        return true;
    }
    http_wire_reset(&wire);
    int n = http_wire_parse(&wire, span.data, span.length, &s->proxy->wire_limits, &v->request);
    if (__builtin_expect(n == 0, 0))
        return head_buffer(s);
    if (n < 0) {
        session_refuse_unread(s, -n);
        return true;
    }
    s->head_bytes = (uint32_t)n;
    head_complete(s, v, span.data, (uint32_t)n);
    return true;
}

/* Appends one span to the head; returns as http_wire_parse. Bytes behind the head stay in the stream. */
static int head_append(struct session *s, const struct mr_span *span)
{
    struct piece *piece = piece_of(s->head);
    size_t room = s->proxy->buffer_bytes - sizeof *piece - piece->used;
    size_t n = span->length < room ? span->length : room;
    memcpy(piece->bytes + piece->used, span->data, n);
    piece->used += (uint32_t)n;
    int length = http_wire_parse(&piece->wire, piece->bytes, piece->used, &s->proxy->wire_limits, &piece->request);
    if (length == 0 && room == 0)
        return HTTP_WIRE_FIELDS_TOO_LARGE;
    if (length > 0) {
        n -= piece->used - (uint32_t)length;
        piece->used = piece->complete = (uint32_t)length;
    }
    mr_stream_consume(s->stream, n);
    return length;
}

bool session_step_head_end(struct session *s)
{
    struct mr_span span;
    struct piece *piece = piece_of(s->head);
    while (!piece->complete) {
        int n = 0;
        if (mr_stream_peek(s->stream, &span, 1) == 0) {
            if (!mr_stream_ended(s->stream))
                return false;
            n = HTTP_WIRE_MALFORMED; /* RFC 9112 8: the peer ended within a head */
        } else {
            n = head_append(s, &span);
        }
        if (n < 0) {
            session_refuse_unread(s, -n);
            return true;
        }
    }
    s->table->view.request = piece->request;
    head_complete(s, &s->table->view, piece->bytes, piece->complete);
    return true;
}

const struct session_view *session_view_again(struct session *s)
{
    struct session_view *v = &s->table->view;
    struct mr_span span;
    struct http_wire wire;
    uint32_t length;
    assert(!s->head_done);
    if (s->head) {
        struct piece *piece = piece_of(s->head);
        v->request = piece->request;
        span.data = piece->bytes;
        length = piece->complete;
    } else {
        mr_stream_peek(s->stream, &span, 1);
        http_wire_reset(&wire);
        length = (uint32_t)http_wire_parse(&wire, span.data, span.length, &s->proxy->wire_limits, &v->request);
    }
    int status = session_view_fill(s, v, span.data, length);
    assert(status == 0);
    (void)status;
    return v;
}
