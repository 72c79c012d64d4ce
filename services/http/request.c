#include "http/request.h"

#include <string.h>

#include "http/char_class.h"

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool equal_folded(const uint8_t *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (lower(a[i]) != (uint8_t)b[i])
            return false;
    return true;
}

bool http_text_equal(struct mr_span a, const char *text)
{
    return a.length == strlen(text) && equal_folded(a.data, text, a.length);
}

struct mr_span http_request_value(const struct http_request *r, const uint8_t *head, enum http_header h)
{
    if (!http_request_has(r, h))
        return (struct mr_span){NULL, 0};
    return http_request_text(head, r->fields[r->first[h]].value);
}

#define HEADER(symbol, text, bytes, last) _Static_assert(sizeof text - 1 == bytes, "the length of " text);
#include "http/header.def"
#undef HEADER

enum http_header http_header_find(const uint8_t *name, size_t length)
{
    if (length == 0 || length > UINT8_MAX)
        return HTTP_HEADER_OTHER;
    switch (length << 8 | (name[length - 1] | 0x20)) {
#define HEADER(symbol, text, bytes, last) \
    case bytes << 8 | last:               \
        return equal_folded(name, text, bytes) ? HTTP_HEADER_##symbol : HTTP_HEADER_OTHER;
#include "http/header.def"
#undef HEADER
    default:
        return HTTP_HEADER_OTHER;
    }
}

static const struct {
    const char *text;
    uint8_t length;
} methods[] = {
#define METHOD(symbol, text) {text, sizeof text - 1},
#include "http/method.def"
#undef METHOD
};

enum http_method http_method_find(const uint8_t *name, size_t length)
{
    for (unsigned i = 0; i < sizeof methods / sizeof *methods; i++)
        if (methods[i].length == length && memcmp(methods[i].text, name, length) == 0)
            return (enum http_method)i;
    return HTTP_METHOD_OTHER;
}

const char *http_method_text(enum http_method m)
{
    return m < HTTP_METHOD_OTHER ? methods[m].text : "other";
}

bool http_list_next(struct mr_span *list, struct mr_span *element)
{
    const uint8_t *p = list->data, *end = p + list->length;
    while (p < end && (*p == ',' || *p == ' ' || *p == '\t'))
        p++;
    const uint8_t *start = p;
    while (p < end && *p != ',')
        p++;
    *list = (struct mr_span){p, (size_t)(end - p)};
    const uint8_t *stop = p;
    while (stop > start && (stop[-1] == ' ' || stop[-1] == '\t'))
        stop--;
    *element = (struct mr_span){start, (size_t)(stop - start)};
    return stop > start;
}

/* RFC 9110 7.2: uri-host [":" port]. Only the alphabet is checked: there are no virtual hosts yet that would compare it. */
static bool host_is_valid(struct mr_span v)
{
    const uint8_t *end = v.data + v.length;
    return http_char_skip(v.data, end, HTTP_CHAR_HOST) == end;
}

/* RFC 9110 8.6: 1*DIGIT and nothing else; a list of equal values is legal to refuse and is how requests are smuggled. */
static int content_length_parse(struct mr_span v, uint64_t *out)
{
    if (v.length == 0)
        return -400;
    uint64_t n = 0;
    bool huge = false;
    for (size_t i = 0; i < v.length; i++) {
        unsigned digit = v.data[i] - '0';
        if (digit > 9)
            return -400;
        huge |= __builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, digit, &n);
    }
    *out = n;
    return huge ? -413 : 0;
}

static int evaluate_host(struct http_request *r, struct mr_span v, bool repeated)
{
    return repeated || !host_is_valid(v) ? -400 : 0; /* RFC 9112 3.2 */
}

static int evaluate_content_length(struct http_request *r, struct mr_span v, bool repeated)
{
    uint64_t n = 0;
    int status = content_length_parse(v, &n);
    if (status == 0 && repeated && n != r->content_length)
        return -400; /* RFC 9112 6.3: differing lengths cannot be framed */
    r->content_length = n;
    return status;
}

/* RFC 9112 6.1: chunked, once, last. A coding that we do not know is a 501; everything else that is not exactly chunked
 * leaves the length of the message open, so it is a 400. */
static int evaluate_transfer_encoding(struct http_request *r, struct mr_span v, bool repeated)
{
    struct mr_span coding;
    bool chunked = false, other = false;
    while (http_list_next(&v, &coding)) {
        if (chunked)
            return -400;
        if (http_text_equal(coding, "chunked"))
            chunked = true;
        else
            other = true;
    }
    if (repeated || !chunked)
        return other && !repeated ? -501 : -400;
    return other ? -501 : 0;
}

/* RFC 9110 7.6.1, RFC 9112 9.3: close wins over keep-alive. */
static void evaluate_connection(struct http_request *r, struct mr_span v, bool *close)
{
    struct mr_span option;
    while (http_list_next(&v, &option)) {
        if (http_text_equal(option, "close"))
            *close = true;
        else if (http_text_equal(option, "keep-alive"))
            r->keep_alive = true;
    }
}

static int evaluate_field(struct http_request *r, const uint8_t *head, const struct http_field *f, bool *close)
{
    struct mr_span v = http_request_text(head, f->value);
    bool repeated = f != &r->fields[r->first[f->header]];
    switch (f->header) {
    case HTTP_HEADER_HOST:
        return evaluate_host(r, v, repeated);
    case HTTP_HEADER_CONTENT_LENGTH:
        return evaluate_content_length(r, v, repeated);
    case HTTP_HEADER_TRANSFER_ENCODING:
        return evaluate_transfer_encoding(r, v, repeated);
    case HTTP_HEADER_CONNECTION:
        evaluate_connection(r, v, close);
        return 0;
    case HTTP_HEADER_EXPECT: /* RFC 9110 10.1.1: ignored in 1.0 */
        if (r->minor == 0)
            return 0;
        r->expect_continue = http_text_equal(v, "100-continue");
        return r->expect_continue ? 0 : -417;
    default:
        return 0;
    }
}

static int evaluate_framing(struct http_request *r)
{
    bool length = http_request_has(r, HTTP_HEADER_CONTENT_LENGTH);
    bool coded = http_request_has(r, HTTP_HEADER_TRANSFER_ENCODING);
    if (coded && (length || r->minor == 0))
        return -400; /* RFC 9112 6.1: both, or a coding in 1.0: somebody on the way reads it differently */
    r->body = coded ? HTTP_BODY_CHUNKED : length && r->content_length > 0 ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
    if (r->body == HTTP_BODY_NONE)
        r->expect_continue = false;
    return 0;
}

static int evaluate_target(const struct http_request *r)
{
    if (r->method >= HTTP_TRACE) /* TRACE, CONNECT and what we do not know (RFC 9110 9.1) */
        return -501;
    if (r->form == HTTP_TARGET_AUTHORITY)
        return -400; /* RFC 9112 3.2.3: only with CONNECT */
    return r->form == HTTP_TARGET_ASTERISK && r->method != HTTP_OPTIONS ? -400 : 0;
}

int http_request_evaluate(struct http_request *r, const uint8_t *head)
{
    bool close = false;
    int status = 0, worst = 0;
    r->keep_alive = r->minor >= 1;
    r->expect_continue = false;
    r->content_length = 0;
    for (unsigned i = 0; i < r->field_count; i++) {
        if (r->fields[i].header == HTTP_HEADER_OTHER)
            continue;
        if ((status = evaluate_field(r, head, &r->fields[i], &close)) == -400)
            return status; /* malformed before all else: the other refusals speak of a message that we understood */
        if (worst == 0)
            worst = status;
    }
    if (close)
        r->keep_alive = false;
    if (r->minor >= 1 && !http_request_has(r, HTTP_HEADER_HOST))
        return -400; /* RFC 9112 3.2 */
    if ((status = evaluate_framing(r)) != 0)
        return status;
    if ((status = evaluate_target(r)) != 0)
        return status;
    return worst;
}
