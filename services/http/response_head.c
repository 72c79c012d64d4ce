#include "http/response_head.h"

struct mr_span http_response_value(const struct http_response *r, const uint8_t *head, enum http_header h)
{
    if (!http_response_has(r, h))
        return (struct mr_span){NULL, 0};
    return http_request_text(head, r->fields[r->first[h]].value);
}

const struct http_field *http_response_next(const struct http_response *r, enum http_header h, unsigned *at)
{
    if (!http_response_has(r, h))
        return NULL;
    for (unsigned i = *at > r->first[h] ? *at : r->first[h]; i < r->field_count; i++)
        if (r->fields[i].header == h) {
            *at = i + 1;
            return &r->fields[i];
        }
    *at = r->field_count;
    return NULL;
}

static int evaluate_field(struct http_response *r, const uint8_t *head, const struct http_field *f, bool *close)
{
    struct mr_span v = http_request_text(head, f->value);
    bool repeated = f != &r->fields[r->first[f->header]];
    uint64_t n;
    switch (f->header) {
    case HTTP_HEADER_CONTENT_LENGTH:
        if (http_content_length_parse(v, &n) != 0 || (repeated && n != r->content_length))
            return -1;
        r->content_length = n;
        return 0;
    case HTTP_HEADER_TRANSFER_ENCODING:
        return http_transfer_encoding_check(v, repeated) == 0 ? 0 : -1;
    case HTTP_HEADER_CONNECTION:
        http_connection_options(v, &r->keep_alive, close);
        return 0;
    default:
        return 0;
    }
}

/* RFC 9112 6.3, rules 1 and 2: answers that have no body whatever their fields say. */
static bool bodyless(const struct http_response *r, enum http_method method)
{
    return method == HTTP_HEAD || r->status < 200 || r->status == 204 || r->status == 304 ||
           (method == HTTP_CONNECT && r->status < 300);
}

int http_response_evaluate(struct http_response *r, const uint8_t *head, enum http_method method)
{
    const uint64_t framing =
        1ull << HTTP_HEADER_CONTENT_LENGTH | 1ull << HTTP_HEADER_TRANSFER_ENCODING | 1ull << HTTP_HEADER_CONNECTION;
    bool close = false;
    r->keep_alive = r->minor >= 1;
    r->content_length = 0;
    if (r->present & framing)
        for (unsigned i = 0; i < r->field_count; i++)
            if (r->fields[i].header != HTTP_HEADER_OTHER && evaluate_field(r, head, &r->fields[i], &close) != 0)
                return -1;
    if (close)
        r->keep_alive = false;
    bool length = http_response_has(r, HTTP_HEADER_CONTENT_LENGTH);
    bool coded = http_response_has(r, HTTP_HEADER_TRANSFER_ENCODING);
    if (coded && (length || r->minor == 0))
        return -1; /* RFC 9112 6.1: both, or a coding in 1.0: somebody on the way reads it differently */
    if (bodyless(r, method)) {
        r->body = HTTP_BODY_NONE;
        /* RFC 9112 6.1, RFC 9110 8.6: these must not announce a body; one that does may well send it. */
        if ((r->status < 200 || r->status == 204) && (coded || r->content_length > 0))
            r->keep_alive = false;
        return 0;
    }
    r->body = coded               ? HTTP_BODY_CHUNKED
              : !length           ? HTTP_BODY_UNTIL_END
              : r->content_length ? HTTP_BODY_LENGTH
                                  : HTTP_BODY_NONE;
    if (r->body == HTTP_BODY_UNTIL_END)
        r->keep_alive = false;
    return 0;
}
