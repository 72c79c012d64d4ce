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

const struct http_field *http_request_next(const struct http_request *r, enum http_header h, unsigned *at)
{
    if (!http_request_has(r, h))
        return NULL;
    for (unsigned i = *at > r->first[h] ? *at : r->first[h]; i < r->field_count; i++)
        if (r->fields[i].header == h) {
            *at = i + 1;
            return &r->fields[i];
        }
    *at = r->field_count;
    return NULL;
}

struct mr_span http_request_method(const struct http_request *r, const uint8_t *head)
{
    unsigned start = head[0] == '\r' ? 2 : 0; /* the one empty line that may stand in front */
    return (struct mr_span){head + start, r->target.offset - 1u - start};
}

/* Names are found by a perfect hash over length, last and first letter; a collision overwrites an initializer, which is an error. */
#define NAME_HASH(length, last, first) (((length)*15u + ((last)&31u) * 35u + ((first)&31u) * 24u) & 127u)

#define HEADER(symbol, text, bytes, last, first)                                                                       \
    _Static_assert(sizeof text - 1 == bytes && HTTP_HEADER_##symbol < 64, "the length of " text ", and a bit for it"); \
    _Static_assert(bytes < 24, "the longest name that name_equal compares");
#include "http/header.def"
#undef HEADER

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Woverride-init"
static const struct name {
    char text[24]; /* the rest is zero */
    uint8_t length, header;
} names[128] = {
#define HEADER(symbol, text, bytes, last, first) [NAME_HASH(bytes, last, first)] = {text, bytes, HTTP_HEADER_##symbol},
#include "http/header.def"
#undef HEADER
};
#pragma GCC diagnostic pop

/* Folds with a bit: among the characters of a token only '^' becomes another one, '~', and no name of ours has that. */
static bool name_equal(const uint8_t *a, const char *b, size_t n)
{
    const uint64_t fold = 0x2020202020202020u;
    uint64_t x, y;
    if (n < 8) {
        for (size_t i = 0; i < n; i++)
            if ((a[i] | 0x20) != (uint8_t)b[i])
                return false;
        return true;
    }
    for (size_t i = 0; i + 8 < n; i += 8) {
        memcpy(&x, a + i, 8);
        memcpy(&y, b + i, 8);
        if ((x | fold) != y)
            return false;
    }
    memcpy(&x, a + n - 8, 8);
    memcpy(&y, b + n - 8, 8);
    return (x | fold) == y;
}

enum http_header http_header_find(const uint8_t *name, size_t length)
{
    if (length == 0)
        return HTTP_HEADER_OTHER;
    const struct name *n = &names[NAME_HASH((unsigned)length, name[length - 1], name[0])];
    return n->length == length && name_equal(name, n->text, length) ? (enum http_header)n->header : HTTP_HEADER_OTHER;
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

/* A list of equal values is legal to refuse (RFC 9110 8.6) and is how requests are smuggled. */
int http_content_length_parse(struct mr_span v, uint64_t *out)
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
    int status = http_content_length_parse(v, &n);
    if (status == 0 && repeated && n != r->content_length)
        return -400; /* RFC 9112 6.3: differing lengths cannot be framed */
    r->content_length = n;
    return status;
}

/* RFC 9112 6.1: chunked, once, last. A coding that we do not know is a 501; everything else that is not exactly chunked
 * leaves the length of the message open, so it is a 400. */
int http_transfer_encoding_check(struct mr_span v, bool repeated)
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
void http_connection_options(struct mr_span v, bool *keep_alive, bool *close)
{
    struct mr_span option;
    while (http_list_next(&v, &option)) {
        if (http_text_equal(option, "close"))
            *close = true;
        else if (http_text_equal(option, "keep-alive"))
            *keep_alive = true;
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
        return http_transfer_encoding_check(v, repeated);
    case HTTP_HEADER_CONNECTION:
        http_connection_options(v, &r->keep_alive, close);
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

/* Who passes requests on need not know their method (RFC 9110 9.1). */
static int evaluate_target_passed(const struct http_request *r)
{
    if ((r->form == HTTP_TARGET_AUTHORITY) != (r->method == HTTP_CONNECT))
        return -400;
    if (r->method == HTTP_CONNECT &&
        (r->present & (1ull << HTTP_HEADER_CONTENT_LENGTH | 1ull << HTTP_HEADER_TRANSFER_ENCODING)))
        return -400; /* RFC 9110 9.3.6: its content has no meaning, and what follows is the tunnel's */
    return r->form == HTTP_TARGET_ASTERISK && r->method != HTTP_OPTIONS ? -400 : 0;
}

static inline __attribute__((always_inline)) int evaluate(struct http_request *r, const uint8_t *head,
                                                          int (*target)(const struct http_request *r))
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
    if ((status = target(r)) != 0)
        return status;
    return worst;
}

int http_request_evaluate(struct http_request *r, const uint8_t *head)
{
    return evaluate(r, head, evaluate_target);
}

int http_request_evaluate_passed(struct http_request *r, const uint8_t *head)
{
    return evaluate(r, head, evaluate_target_passed);
}
