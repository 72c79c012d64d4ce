/* Reads the head of a response, which is not believed either, and writes it anew for the client. */
#include <string.h>

#include "proxy/http/session_machine.h"

/* As of a request in session_request.c. */
struct piece {
    struct http_wire wire;
    uint32_t used;
    struct http_response response;
    uint8_t bytes[];
};

static struct piece *piece_of(struct proxy_buffer *b)
{
    return (struct piece *)(void *)b->bytes;
}

bool session_respond_begin(struct session *s, struct session_writer *w, int status, struct mr_span reason)
{
    *w = session_writer_begin(s->table);
    const char line[] = {'H',
                         'T',
                         'T',
                         'P',
                         '/',
                         '1',
                         '.',
                         '1',
                         ' ',
                         (char)('0' + status / 100),
                         (char)('0' + status / 10 % 10),
                         (char)('0' + status % 10),
                         ' '};
    session_put(w, line, sizeof line);
    session_put_span(w, reason);
    session_put_text(w, "\r\n");
    return !w->overflow;
}

bool session_respond_send(struct session *s, struct session_writer *w)
{
    if (!w->overflow && session_send(s, s->stream, &s->down, w->start, (size_t)(w->at - w->start)))
        return true;
    proxy_count(s->proxy, PROXY_SESSION_RESPONSES_CUT);
    session_abort(s);
    return false;
}

void session_response_via(struct session *s, const struct http_response *r, const uint8_t *head,
                          struct session_writer *w)
{
    const char *name = s->plan->config->via;
    const struct http_field *f;
    unsigned at = 0;
    if (!name)
        return;
    session_put_text(w, "Via: ");
    while ((f = http_response_next(r, HTTP_HEADER_VIA, &at)) != NULL) {
        session_put_span(w, http_request_text(head, f->value));
        session_put_text(w, ", ");
    }
    const char version[] = {'1', '.', (char)('0' + r->minor), ' '};
    session_put(w, version, sizeof version);
    session_put(w, name, strlen(name));
    session_put_text(w, "\r\n");
}

/* RFC 9110 6.6.1: who receives a response without a date gives it one. */
static void write_date(struct session *s, const struct http_response *r, struct session_writer *w)
{
    if (http_response_has(r, HTTP_HEADER_DATE))
        return;
    http_clock_seconds(&s->proxy->clock, mr_now(s->proxy->worker));
    session_put_text(w, "Date: ");
    session_put(w, s->proxy->clock.date, HTTP_DATE_BYTES);
    session_put_text(w, "\r\n");
}

static void write_sticky(struct session *s, struct session_writer *w)
{
    const char *name = s->upstream ? s->upstream->config->sticky_cookie : NULL;
    const struct plan_backend *b = s->request.backend;
    if (!name || !b || memcmp(s->sticky, b->sticky, SESSION_STICKY_BYTES + 1) == 0)
        return;
    session_put_text(w, "Set-Cookie: ");
    session_put(w, name, strlen(name));
    session_put_text(w, "=");
    session_put(w, b->sticky, strlen(b->sticky));
    session_put_text(w, "; Path=/; HttpOnly\r\n");
}

static void fields_write(struct session *s, const struct http_response *r, const uint8_t *head,
                         struct session_writer *w)
{
    struct session_fields f = {head, r->fields, r->field_count, r->present, SESSION_HOP_BY_HOP, NULL};
    if (s->plan->config->via)
        f.skip |= 1ull << HTTP_HEADER_VIA;
    if (!session_fields_write(w, &f))
        w->overflow = true; /* more named by Connection than anybody has a use for */
    session_response_via(s, r, head, w);
}

/* Whether the client's connection can outlive this response, as far as the request is concerned (RFC 9112 9.6, RFC 9110 10.1.1). */
static void persistence_settle(struct session *s)
{
    const struct http_body *b = &s->up.body;
    if (s->proxy->stopping || !s->listener->plan)
        s->keep_alive = false;
    if (http_body_ended(b))
        return;
    if ((s->expect_continue && !s->head_done) ||
        (b->state == EXPECT_LENGTH_DATA && b->remaining > SESSION_DISCARD_BYTES_MAX))
        s->keep_alive = false;
}

/* How the body is framed for this client (RFC 9112 6.3), and with it the last fields. */
static void write_framing(struct session *s, const struct http_response *r, struct session_writer *w)
{
    bool length = http_response_has(r, HTTP_HEADER_CONTENT_LENGTH);
    persistence_settle(s);
    if (r->body == HTTP_BODY_CHUNKED || r->body == HTTP_BODY_UNTIL_END) {
        s->down.chunked = s->minor >= 1;
        if (s->down.chunked)
            session_put_text(w, "Transfer-Encoding: chunked\r\n");
        else
            s->keep_alive = false;
    } else if (length && r->status >= 200 && r->status != 204) {
        session_put_text(w, "Content-Length: ");
        session_put_number(w, r->content_length);
        session_put_text(w, "\r\n");
    }
    if (!s->keep_alive)
        session_put_text(w, "Connection: close\r\n");
    else if (s->minor == 0)
        session_put_text(w, "Connection: keep-alive\r\n");
}

/* A small body that is all there goes with its head. Returns bytes of the backend's stream that are used up. */
static size_t copy_body(struct session *s, const struct http_response *r, struct mr_span rest, struct session_writer *w)
{
    if (r->body != HTTP_BODY_LENGTH || r->content_length > SESSION_COPY_BYTES_MAX || rest.length < r->content_length)
        return 0;
    session_put(w, rest.data, (size_t)r->content_length);
    session_cache_append(s, (struct mr_span){rest.data, (size_t)r->content_length});
    http_body_skip(&s->down.body, r->content_length);
    session_count_down(s, r->content_length);
    return (size_t)r->content_length;
}

static void count_status(struct session *s, int status)
{
    proxy_count(s->proxy, PROXY_SESSION_RESPONSES_2XX + (unsigned)(status / 100 - 2));
}

static size_t refresh_begin(struct session *s, const struct http_response *r)
{
    http_body_start(&s->down.body, (enum http_body_kind)r->body, r->content_length, UINT64_MAX);
    s->began = true;
    session_set_state(s, SESSION_EXPECT_BODY);
    session_deadline_after(s, s->upstream->config->body_timeout);
    return 0;
}

/* `rest`: what lies behind the head in the stream. Returns bytes of it that were taken. */
static size_t final_response(struct session *s, const struct http_response *r, const uint8_t *head, struct mr_span rest)
{
    struct session_writer w;
    if (s->upstream)
        session_back_answered(s, r);
    s->back_keep = r->keep_alive;
    if (s->revalidates)
        return refresh_begin(s, r);
    count_status(s, r->status);
    s->down.chunked = s->down.open = s->down.finished = false;
    s->down.chunk = s->down.moved = 0;
    http_body_start(&s->down.body, (enum http_body_kind)r->body, r->content_length, UINT64_MAX);
    session_respond_begin(s, &w, r->status, http_request_text(head, r->reason));
    fields_write(s, r, head, &w);
    write_date(s, r, &w);
    write_sticky(s, &w);
    session_cache_status(s, &w);
    write_framing(s, r, &w);
    session_put_text(&w, "\r\n");
    size_t taken = copy_body(s, r, rest, &w);
    s->began = true;
    if (s->up.finished)
        session_head_release(s);
    session_set_state(s, SESSION_EXPECT_BODY);
    session_deadline_after(s, s->upstream ? s->upstream->config->body_timeout : s->proxy->limits.body_timeout);
    session_respond_send(s, &w);
    return taken;
}

/* 100, 102, 103: on to a client that knows them (RFC 9110 15.2). False: too many. */
static bool interim_response(struct session *s, const struct http_response *r, const uint8_t *head)
{
    struct session_writer w;
    if (++s->interim > SESSION_INTERIM_MAX)
        return false;
    if (s->upstream)
        session_deadline_after(s, s->upstream->config->response_timeout);
    if (s->minor == 0)
        return true;
    if (r->status == 100) {
        if (!s->expect_continue)
            return true; /* nobody waits for it */
        s->expect_continue = false;
    }
    session_respond_begin(s, &w, r->status, http_request_text(head, r->reason));
    fields_write(s, r, head, &w);
    session_put_text(&w, "\r\n");
    session_respond_send(s, &w);
    return true;
}

static void answer_release(struct session *s)
{
    if (s->answer)
        proxy_buffer_give(s->proxy, s->answer);
    s->answer = NULL;
}

/* A whole head of `length` bytes, which lies in the stream, or in s->answer and is consumed. */
static bool head_complete(struct session *s, struct http_response *r, const uint8_t *head, uint32_t length,
                          struct mr_span rest)
{
    bool buffered = s->answer != NULL;
    struct mr_stream *back = s->back;
    size_t used = buffered ? 0 : length;
    if (http_response_evaluate(r, head, (enum http_method)s->method) != 0 || (r->status == 101 && !s->upgrade) ||
        (r->status < 200 && r->status != 101 && !interim_response(s, r, head))) {
        session_back_failed(s, UPSTREAM_MALFORMED);
        return true;
    }
    if (s->state == SESSION_EXPECT_CLOSE) /* there was no room for what it said */
        return false;
    if (r->status == 101) {
        session_upgrade(s, r, head, buffered ? 0 : length);
        return true;
    }
    if (r->status >= 200) {
        session_cache_changed(s, r, head);
        if (session_cache_response(s, r, head, used)) {
            answer_release(s);
            return true;
        }
        used += final_response(s, r, head, rest);
    }
    if (s->back == back && used > 0) /* else it was dropped */
        mr_stream_consume(back, used);
    answer_release(s);
    return true;
}

static bool response_buffer(struct session *s)
{
    s->answer = proxy_buffer_take(s->proxy);
    if (!s->answer) {
        session_back_drop(s, true);
        session_answer(s, 503);
        return true;
    }
    struct piece *piece = piece_of(s->answer);
    piece->used = 0;
    http_wire_reset(&piece->wire);
    return false;
}

/* True: something was decided. */
static bool response_append(struct session *s)
{
    struct piece *piece = piece_of(s->answer);
    struct mr_span span;
    while (mr_stream_peek(s->back, &span, 1) == 1) {
        size_t room = s->proxy->buffer_bytes - sizeof *piece - piece->used;
        size_t n = span.length < room ? span.length : room;
        memcpy(piece->bytes + piece->used, span.data, n);
        piece->used += (uint32_t)n;
        int length =
            http_wire_response(&piece->wire, piece->bytes, piece->used, &s->proxy->wire_limits, &piece->response);
        if (length < 0 || (length == 0 && room == 0)) {
            session_back_failed(s, UPSTREAM_MALFORMED);
            return true;
        }
        if (length > 0)
            n -= piece->used - (uint32_t)length;
        mr_stream_consume(s->back, n);
        if (length > 0)
            return head_complete(s, &piece->response, piece->bytes, (uint32_t)length, (struct mr_span){NULL, 0});
    }
    if (!mr_stream_ended(s->back))
        return false;
    session_back_failed(s, UPSTREAM_ENDED);
    return true;
}

bool session_step_response(struct session *s)
{
    struct http_response *r = &s->table->response;
    struct mr_span span;
    struct http_wire wire;
    if (session_move_up(s))
        return true;
    if (s->answer)
        return response_append(s);
    if (mr_stream_peek(s->back, &span, 1) == 0) {
        if (!mr_stream_ended(s->back))
            return false;
        session_back_failed(s, UPSTREAM_ENDED);
        return true;
    }
    http_wire_reset(&wire);
    int n = http_wire_response(&wire, span.data, span.length, &s->proxy->wire_limits, r);
    if (n > 0)
        return head_complete(s, r, span.data, (uint32_t)n, (struct mr_span){span.data + n, span.length - (size_t)n});
    if (n < 0) {
        session_back_failed(s, UPSTREAM_MALFORMED);
        return true;
    }
    return response_buffer(s) || response_append(s);
}
