/* Between a session and the HTTP cache: what is served of it, what it is filled with, and the fetch of what was served stale, which is a
 * session without a client. */
#include <string.h>

#include "proxy/http/session_machine.h"

static int64_t wall(const struct session *s)
{
    return http_clock_seconds(&s->proxy->clock, mr_now(s->proxy->worker));
}

/* Routes that look at fields have answers that the URL alone does not tell apart. */
bool session_cacheable(const struct session *s)
{
    return s->proxy->cache && s->route && s->route->config->cache && s->route->config->header_count == 0;
}

/* The key: the authority in lower case with its port unless that is 80, and the path before its route strips it. */
static void key_write(const struct session *s, const struct session_view *v, char *text, struct mr_span *host,
                      struct mr_span *target)
{
    struct session_writer w = {text, text, text + s->table->key_bytes, false};
    session_put_span(&w, v->address.host);
    if (v->address.port && v->address.port != 80) {
        session_put_text(&w, ":");
        session_put_number(&w, v->address.port);
    }
    *host = (struct mr_span){(const uint8_t *)text, (size_t)(w.at - text)};
    char *start = w.at;
    session_put_span(&w, v->path);
    session_put_span(&w, v->query);
    *target = (struct mr_span){(const uint8_t *)start, (size_t)(w.at - start)};
}

static const struct mr_span scheme = {(const uint8_t *)"http", 4};

/* The spans of a request are valid in one call, and made anew for the next. */
static void cache_request_set(struct session *s, const struct session_view *v)
{
    struct hcache_request *q = &s->cache;
    q->cache = s->proxy->cache;
    q->scheme = scheme;
    key_write(s, v, s->table->key, &q->host, &q->target);
    q->request = &v->request;
    q->head = v->head;
}

/* -- what is served ------------------------------------------------------------------------------------------------------ */

static void write_status(struct session *s, struct session_writer *w, struct mr_span stored, int status, bool own)
{
    const uint8_t *line = memchr(stored.data, '\n', stored.length);
    size_t first = line ? (size_t)(line + 1 - stored.data) : stored.length;
    if (own) {
        *w = session_writer_begin(s->table);
    } else {
        const char *reason = http_status_reason(status);
        session_respond_begin(s, w, status, (struct mr_span){(const uint8_t *)reason, strlen(reason)});
        stored.data += first;
        stored.length -= first;
    }
    session_put_span(w, stored);
}

static void write_range(struct session_writer *w, int status, uint64_t first, uint64_t last, uint64_t length)
{
    session_put_text(w, "Content-Range: bytes ");
    if (status == 206) {
        session_put_number(w, first);
        session_put_text(w, "-");
        session_put_number(w, last);
    } else {
        session_put_text(w, "*");
    }
    session_put_text(w, "/");
    session_put_number(w, length);
    session_put_text(w, "\r\n");
}

void session_cache_status(struct session *s, struct session_writer *w)
{
    char text[HCACHE_STATUS_BYTES];
    const char *via = s->plan->config->via;
    if (!s->cached)
        return;
    session_put_text(w, "Cache-Status: ");
    session_put(w, text, hcache_status_field(&s->cache, via ? via : "millrace", wall(s), text));
    session_put_text(w, "\r\n");
}

static void write_own(struct session *s, struct session_writer *w, const struct hcache_entry *e)
{
    const char *via = s->plan->config->via;
    session_put_text(w, "Age: ");
    session_put_number(w, hcache_entry_age(e, wall(s)));
    session_put_text(w, "\r\n");
    if (via) {
        session_put_text(w, "Via: 1.1 ");
        session_put(w, via, strlen(via));
        session_put_text(w, "\r\n");
    }
    session_cache_status(s, w);
}

static bool has_body(int status)
{
    return status != 204 && status != 304;
}

static void write_end(struct session *s, struct session_writer *w, int status, uint64_t length)
{
    if (has_body(status)) {
        session_put_text(w, "Content-Length: ");
        session_put_number(w, length);
        session_put_text(w, "\r\n");
    }
    session_persistence(s, w);
    session_put_text(w, "\r\n");
}

static void copy_body(const struct hcache_entry *e, uint64_t at, uint64_t end, struct session_writer *w)
{
    while (at < end) {
        struct mr_span piece = hcache_entry_body(e, at);
        size_t n = end - at < piece.length ? (size_t)(end - at) : piece.length;
        session_put(w, piece.data, n);
        at += n;
    }
}

/* s->cache.entry answers the client: the whole, a part, or that it has it already. */
static void serve(struct session *s, const struct session_view *v)
{
    struct hcache_entry *e = s->cache.entry;
    struct session_writer w;
    uint64_t length = hcache_entry_length(e), first = 0, last = length - 1;
    int status = hcache_entry_condition(e, &v->request, v->head, wall(s));
    bool own = status == 200 && (status = hcache_entry_range(e, &v->request, v->head, wall(s), &first, &last)) == 200;
    status = own ? hcache_entry_status(e) : status;
    if (own)
        first = 0, last = length - 1;
    uint64_t end = status == 304 || status == 416 || length == 0 ? 0 : last + 1;
    first = end ? first : 0;
    write_status(s, &w, hcache_entry_head(e), status, own);
    write_own(s, &w, e);
    if (status == 206 || status == 416)
        write_range(&w, status, first, last, length);
    write_end(s, &w, status, end - first);
    if (s->method == HTTP_HEAD)
        end = first;
    if (end - first <= SESSION_COPY_BYTES_MAX) {
        copy_body(e, first, end, &w);
    } else {
        hcache_entry_hold(e);
        s->served = e;
        s->served_at = first;
        s->served_end = end;
    }
    session_respond_own(s, &w);
}

/* Lends the entry's body piece by piece. True: all is with the stream. */
bool session_cache_flush(struct session *s)
{
    while (s->served_at < s->served_end) {
        struct mr_span piece = hcache_entry_body(s->served, s->served_at);
        size_t n = s->served_end - s->served_at < piece.length ? (size_t)(s->served_end - s->served_at) : piece.length;
        hcache_entry_hold(s->served);
        if (!mr_stream_lend(s->stream, piece.data, n, hcache_entry_release, s->served)) {
            hcache_entry_release(s->served);
            return false;
        }
        s->served_at += n;
        s->sent_bytes += n;
        s->bytes_out += n;
    }
    hcache_entry_release(s->served);
    s->served = NULL;
    return true;
}

/* -- asking -------------------------------------------------------------------------------------------------------------- */

static void refresh(struct session *s, const struct session_view *v);

static void act(struct session *s, const struct session_view *v)
{
    bool fetches;
    switch (s->cache.verdict) {
    case HCACHE_HIT:
        serve(s, v);
        return;
    case HCACHE_STALE:
        fetches = s->cache.fetches && s->method == HTTP_GET;
        serve(s, v);
        hcache_end(&s->cache);
        if (fetches)
            refresh(s, v);
        return;
    case HCACHE_WAIT:
        session_set_state(s, SESSION_EXPECT_CACHE);
        session_deadline_after(s, s->upstream->config->response_timeout);
        return;
    case HCACHE_UNAVAILABLE:
        session_answer(s, 504); /* RFC 9111 5.2.1.7 */
        return;
    default:
        session_ask(s, v);
    }
}

static void ready(struct hcache_request *q)
{
    struct session *s = q->context;
    const struct session_view *v = session_view_again(s);
    cache_request_set(s, v);
    hcache_lookup(q, wall(s));
    act(s, v);
    session_advance(s);
}

/* Who was waited for takes too long: everyone for themselves. */
void session_cache_timeout(struct session *s)
{
    hcache_end(&s->cache);
    s->cached = false;
    session_ask(s, session_view_again(s));
    session_advance(s);
}

static bool is_safe(unsigned method)
{
    return method == HTTP_GET || method == HTTP_HEAD || method == HTTP_OPTIONS || method == HTTP_TRACE;
}

/* The URL that a method may change, kept for the answer. Without room for it what is stored of it goes now. */
static void url_keep(struct session *s, const struct session_view *v)
{
    struct mr_span host, target;
    key_write(s, v, s->table->key, &host, &target);
    size_t n = host.length + target.length;
    s->url = n <= s->proxy->buffer_bytes ? proxy_buffer_take(s->proxy) : NULL;
    if (!s->url) {
        hcache_invalidate(s->proxy->cache, scheme, host, target);
        return;
    }
    memcpy(s->url->bytes, s->table->key, n);
    s->url->start = (uint32_t)host.length;
    s->url->used = (uint32_t)n;
}

void session_cache_ask(struct session *s, const struct session_view *v)
{
    if (!is_safe(s->method))
        url_keep(s, v);
    if (s->method != HTTP_GET && s->method != HTTP_HEAD) {
        session_ask(s, v);
        return;
    }
    s->cached = true;
    s->cache = (struct hcache_request){.ready = ready, .context = s};
    cache_request_set(s, v);
    hcache_lookup(&s->cache, wall(s));
    act(s, v);
}

/* What goes to the backend is our condition, not the client's: fields that are left out of the request. */
uint64_t session_cache_skip(const struct session *s)
{
    enum hcache_verdict v = s->cache.verdict;
    if (!s->cached || (v != HCACHE_MISS && v != HCACHE_VALIDATE && v != HCACHE_STALE))
        return 0;
    return 1ull << HTTP_HEADER_IF_NONE_MATCH | 1ull << HTTP_HEADER_IF_MODIFIED_SINCE | 1ull << HTTP_HEADER_IF_RANGE |
           1ull << HTTP_HEADER_RANGE;
}

void session_cache_validators(struct session *s, struct session_writer *w)
{
    char text[512];
    if (s->cached && (s->cache.verdict == HCACHE_VALIDATE || s->cache.verdict == HCACHE_STALE))
        session_put(w, text, hcache_validators(&s->cache, text, sizeof text));
}

/* -- answers ------------------------------------------------------------------------------------------------------------- */

static bool asked(const struct session *s)
{
    enum hcache_verdict v = s->cache.verdict;
    return s->cached && !s->head_done && (v == HCACHE_MISS || v == HCACHE_VALIDATE || v == HCACHE_STALE);
}

/* The entry answers in place of the backend, whose connection is done with. */
static void serve_instead(struct session *s, const struct session_view *v)
{
    serve(s, v);
    hcache_end(&s->cache);
}

/* The entry answers, or the backend is asked once more. */
static void not_modified(struct session *s, const struct http_response *r, const uint8_t *head, size_t used,
                         const struct session_view *v)
{
    enum hcache_verdict before = s->cache.verdict;
    session_back_answered(s, r);
    hcache_validated(&s->cache, r, head, wall(s));
    mr_stream_consume(s->back, used);
    session_back_done(s);
    if (s->revalidates) {
        session_free(s);
        return;
    }
    if (before == HCACHE_VALIDATE && s->cache.verdict == HCACHE_MISS) {
        session_set_state(s, SESSION_EXPECT_UPSTREAM);
        session_ask(s, v); /* it was not about our entry: once more, without its validators */
    } else {
        serve_instead(s, v);
    }
}

static bool is_failure(int status)
{
    return status == 500 || status == 502 || status == 503 || status == 504;
}

void session_cache_changed(struct session *s, const struct http_response *r, const uint8_t *head)
{
    struct proxy_buffer *b = s->url;
    if (b)
        hcache_invalidate_response(s->proxy->cache, scheme, (struct mr_span){b->bytes, b->start},
                                   (struct mr_span){b->bytes + b->start, b->used - b->start}, r, head);
}

bool session_cache_response(struct session *s, const struct http_response *r, const uint8_t *head, size_t used)
{
    if (!asked(s))
        return false;
    const struct session_view *v = session_view_again(s);
    cache_request_set(s, v);
    bool mine = s->cache.verdict == HCACHE_VALIDATE || s->cache.verdict == HCACHE_STALE;
    if (mine && r->status == 304) {
        not_modified(s, r, head, used, v);
        return true;
    }
    if (mine && is_failure(r->status) && hcache_serve_on_error(&s->cache, wall(s))) {
        session_back_answered(s, r);
        session_back_drop(s, true);
        if (s->revalidates)
            session_free(s);
        else
            serve_instead(s, v);
        return true;
    }
    s->fill = hcache_fill_begin(&s->cache, r, head, wall(s));
    return false;
}

bool session_cache_failed(struct session *s)
{
    if (!asked(s) || s->cache.verdict == HCACHE_MISS)
        return false;
    const struct session_view *v = session_view_again(s);
    cache_request_set(s, v);
    if (!hcache_serve_on_error(&s->cache, wall(s)) || s->revalidates)
        return false;
    serve_instead(s, v);
    return true;
}

void session_cache_append(struct session *s, struct mr_span payload)
{
    if (s->fill && payload.length && !hcache_fill_append(s->fill, payload.data, payload.length))
        s->fill = NULL;
}

void session_cache_fill_end(struct session *s, bool whole)
{
    if (s->fill && whole)
        hcache_fill_end(s->fill);
    else if (s->fill)
        hcache_fill_abort(s->fill);
    s->fill = NULL;
}

void session_cache_end(struct session *s)
{
    session_cache_fill_end(s, false);
    if (s->cached)
        hcache_end(&s->cache);
    s->cached = false;
    if (s->served)
        hcache_entry_release(s->served);
    s->served = NULL;
    if (s->url)
        proxy_buffer_give(s->proxy, s->url);
    s->url = NULL;
}

/* -- the fetch of what was served stale (RFC 5861 3) ----------------------------------------------------------------------- */

/* A session without a client: it has a copy of the head that asked, and its answer goes nowhere but into the cache. */
static void refresh(struct session *of, const struct session_view *v)
{
    struct session *s = of->plan == of->proxy->plan ? session_take(of->table) : NULL; /* only that can be held */
    if (!s)
        return;
    *s = (struct session){.table = of->table, .proxy = of->proxy, .listener = of->listener, .armed = MR_NEVER};
    s->revalidates = s->cached = true;
    s->method = HTTP_GET;
    s->minor = 0; /* no 1xx goes on */
    s->client = of->client;
    s->local = of->local;
    s->client_bytes = of->client_bytes;
    memcpy(s->client_text, of->client_text, sizeof s->client_text);
    s->asked = mr_now(s->proxy->worker);
    session_begin(s);
    session_set_state(s, SESSION_EXPECT_CACHE);
    if (!session_head_copy(s, v)) {
        session_free(s);
        return;
    }
    s->plan = plan_hold(s->proxy);
    s->bound = of->bound;
    s->route = of->route;
    s->upstream = of->upstream;
    s->cache = (struct hcache_request){.ready = ready, .context = s};
    v = session_view_again(s);
    cache_request_set(s, v);
    if (hcache_lookup(&s->cache, wall(s)) == HCACHE_STALE && s->cache.fetches)
        session_ask(s, v);
    else
        session_free(s); /* somebody else is at it */
}

/* The answer to such a session: all of it goes into the fill. True: it is over. */
bool session_refresh_body(struct session *s)
{
    struct mr_span span, payload;
    while (s->fill && !http_body_ended(&s->down.body)) {
        if (!s->back)
            break;
        if (mr_stream_peek(s->back, &span, 1) == 0) {
            if (!mr_stream_ended(s->back))
                return false;
            http_body_end(&s->down.body);
            break;
        }
        int n = http_body_next(&s->down.body, span.data, span.length, &payload);
        if (n < 0)
            break;
        session_cache_append(s, payload);
        mr_stream_consume(s->back, (size_t)n);
        session_deadline_after(s, s->upstream->config->body_timeout);
    }
    bool whole = http_body_ended(&s->down.body);
    session_cache_fill_end(s, whole);
    if (whole)
        session_back_done(s);
    else
        session_back_drop(s, true);
    session_free(s);
    return true;
}
