/* The request as it goes to the backend, written from what was parsed: nothing of the client's framing is copied. */
#include <string.h>

#include "proxy/http/session_machine.h"

void session_put_number(struct session_writer *w, uint64_t n)
{
    char digits[20];
    session_put(w, digits, http_number_format(n, digits));
}

struct session_writer session_writer_begin(struct session_table *t)
{
    return (struct session_writer){t->scratch, t->scratch, t->scratch + t->scratch_bytes, false};
}

/* The path without the prefix that its route takes off, where that is a whole number of segments. */
static struct mr_span path_stripped(const struct session *s, struct mr_span path)
{
    const char *prefix = s->route ? s->route->config->strip_prefix : NULL;
    size_t n = prefix ? strlen(prefix) : 0;
    if (n > 0 && prefix[n - 1] == '/')
        n--;
    if (n == 0 || path.length < n || memcmp(path.data, prefix, n) != 0 || (path.length > n && path.data[n] != '/'))
        return path;
    return path.length > n ? (struct mr_span){path.data + n, path.length - n}
                           : (struct mr_span){(const uint8_t *)"/", 1};
}

static void write_line(struct session *s, const struct session_view *v, struct session_writer *w)
{
    session_put_span(w, http_request_method(&v->request, v->head));
    session_put_text(w, " ");
    if (v->path.length == 0)
        session_put_text(w, "*");
    else
        session_put_span(w, path_stripped(s, v->path));
    session_put_span(w, v->query);
    session_put_text(w, " HTTP/1.1\r\nHost: ");
}

static void put_local(const struct session *s, struct session_writer *w)
{
    char text[MR_ENDPOINT_TEXT_MAX];
    mr_endpoint_text(&s->local, text);
    session_put(w, text, strlen(text));
}

static void write_host(struct session *s, const struct session_view *v, struct session_writer *w)
{
    const char *set = s->route ? s->route->config->set_host : NULL;
    if (set)
        session_put(w, set, strlen(set));
    else if (v->authority.length)
        session_put_span(w, v->authority);
    else
        put_local(s, w); /* 1.0 needs no Host, 1.1 does: where the client found us */
    session_put_text(w, "\r\n");
}

/* All values of a list field that came, joined, with a comma behind when there were any (RFC 9110 5.3). */
static void write_list_before(const struct session_view *v, struct session_writer *w, enum http_header h)
{
    const struct http_field *f;
    unsigned at = 0;
    while ((f = http_request_next(&v->request, h, &at)) != NULL) {
        if (f->value.length == 0)
            continue;
        session_put_span(w, http_request_text(v->head, f->value));
        session_put_text(w, ", ");
    }
}

/* RFC 7239 4: what is not a token stands in quotes; neither a host nor an address can hold a quote or a backslash. */
static void write_forwarded(struct session *s, const struct session_view *v, struct session_writer *w, bool trusted)
{
    bool literal6 = memchr(s->client_text, ':', s->client_bytes) != NULL;
    session_put_text(w, "Forwarded: ");
    if (trusted)
        write_list_before(v, w, HTTP_HEADER_FORWARDED);
    session_put_text(w, "for=");
    if (literal6)
        session_put_text(w, "\"[");
    session_put(w, s->client_text, s->client_bytes);
    if (literal6)
        session_put_text(w, "]\"");
    if (v->authority.length) {
        session_put_text(w, ";host=\"");
        session_put_span(w, v->authority);
        session_put_text(w, "\"");
    }
    session_put_text(w, ";proto=http\r\n");
}

static void write_x_forwarded(struct session *s, const struct session_view *v, struct session_writer *w, bool trusted)
{
    session_put_text(w, "X-Forwarded-For: ");
    if (trusted)
        write_list_before(v, w, HTTP_HEADER_X_FORWARDED_FOR);
    session_put(w, s->client_text, s->client_bytes);
    session_put_text(w, "\r\n");
    if (!trusted || !http_request_has(&v->request, HTTP_HEADER_X_FORWARDED_PROTO))
        session_put_text(w, "X-Forwarded-Proto: http\r\n");
    if (v->authority.length && (!trusted || !http_request_has(&v->request, HTTP_HEADER_X_FORWARDED_HOST))) {
        session_put_text(w, "X-Forwarded-Host: ");
        session_put_span(w, v->authority);
        session_put_text(w, "\r\n");
    }
}

/* RFC 9110 7.6.3 asks for Via; the rest is configured. A client that is not trusted could tell any story: its own is dropped. */
static uint64_t write_path_fields(struct session *s, const struct session_view *v, struct session_writer *w)
{
    const struct proxy_config *c = s->plan->config;
    bool trusted = c->trust_forwarded;
    uint64_t for_proto_host = 1ull << HTTP_HEADER_X_FORWARDED_PROTO | 1ull << HTTP_HEADER_X_FORWARDED_HOST;
    uint64_t skip = 0;
    if (c->x_forwarded)
        write_x_forwarded(s, v, w, trusted);
    if (c->forwarded)
        write_forwarded(s, v, w, trusted);
    if (!trusted || c->forwarded)
        skip |= 1ull << HTTP_HEADER_FORWARDED;
    if (!trusted || c->x_forwarded)
        skip |= 1ull << HTTP_HEADER_X_FORWARDED_FOR;
    if (!trusted)
        skip |= for_proto_host;
    return skip;
}

static void write_via(struct session *s, const struct session_view *v, struct session_writer *w)
{
    const char *name = s->plan->config->via;
    if (!name)
        return;
    session_put_text(w, "Via: ");
    write_list_before(v, w, HTTP_HEADER_VIA);
    const char version[] = {'1', '.', (char)('0' + v->request.minor), ' '};
    session_put(w, version, sizeof version);
    session_put(w, name, strlen(name));
    session_put_text(w, "\r\n");
}

static void write_framing(struct session *s, const struct session_view *v, struct session_writer *w)
{
    const struct http_request *r = &v->request;
    if (r->body == HTTP_BODY_CHUNKED) {
        session_put_text(w, "Transfer-Encoding: chunked\r\n");
    } else if (http_request_has(r, HTTP_HEADER_CONTENT_LENGTH)) {
        session_put_text(w, "Content-Length: ");
        session_put_number(w, r->content_length);
        session_put_text(w, "\r\n");
    }
    if (r->expect_continue)
        session_put_text(w, "Expect: 100-continue\r\n");
    if (s->upgrade) {
        const struct http_field *f;
        unsigned at = 0;
        session_put_text(w, "Connection: upgrade\r\n");
        while ((f = http_request_next(r, HTTP_HEADER_UPGRADE, &at)) != NULL) {
            session_put_text(w, "Upgrade: ");
            session_put_span(w, http_request_text(v->head, f->value));
            session_put_text(w, "\r\n");
        }
    } else if (s->forward) {
        session_put_text(w, "Connection: close\r\n"); /* the connections of a forward proxy are not kept */
    }
}

/* RFC 9110 7.6.2: only for these two methods; 0 was answered before. */
static uint64_t write_max_forwards(const struct session_view *v, struct session_writer *w)
{
    const struct http_request *r = &v->request;
    uint64_t n;
    if ((r->method != HTTP_OPTIONS && r->method != HTTP_TRACE) || !http_request_has(r, HTTP_HEADER_MAX_FORWARDS))
        return 0;
    if (http_content_length_parse(http_request_value(r, v->head, HTTP_HEADER_MAX_FORWARDS), &n) != 0 || n == 0)
        return 0;
    session_put_text(w, "Max-Forwards: ");
    session_put_number(w, n - 1);
    session_put_text(w, "\r\n");
    return 1ull << HTTP_HEADER_MAX_FORWARDS;
}

bool session_request_write(struct session *s, const struct session_view *v, struct session_writer *w)
{
    const struct http_request *r = &v->request;
    struct session_fields f = {v->head, r->fields, r->field_count, r->present, SESSION_HOP_BY_HOP, NULL};
    write_line(s, v, w);
    write_host(s, v, w);
    f.skip |= 1ull << HTTP_HEADER_HOST | 1ull << HTTP_HEADER_EXPECT;
    if (s->plan->config->via)
        f.skip |= 1ull << HTTP_HEADER_VIA;
    f.skip |= write_path_fields(s, v, w);
    f.skip |= write_max_forwards(v, w);
    f.skip |= session_cache_skip(s);
    if (s->upstream && s->upstream->config->sticky_cookie)
        f.cookie = s->upstream->config->sticky_cookie;
    if (!session_fields_write(w, &f))
        return false;
    session_cache_validators(s, w);
    write_via(s, v, w);
    write_framing(s, v, w);
    session_put_text(w, "\r\n");
    return !w->overflow;
}
