#include "http/condition.h"

#include <string.h>

#include "http/date.h"

/* Takes the next entity-tag off a list; `*weak` tells a W/ in front. False at the end or where it is malformed. */
static bool etag_next(struct mr_span *list, struct mr_span *etag, bool *weak)
{
    const uint8_t *p = list->data, *end = p + list->length;
    while (p < end && (*p == ',' || *p == ' ' || *p == '\t'))
        p++;
    *weak = end - p >= 2 && p[0] == 'W' && p[1] == '/';
    if (*weak)
        p += 2;
    if (p == end || *p != '"')
        return false;
    const uint8_t *close = memchr(p + 1, '"', (size_t)(end - p - 1));
    if (!close)
        return false;
    *etag = (struct mr_span){p, (size_t)(close + 1 - p)};
    *list = (struct mr_span){close + 1, (size_t)(end - close - 1)};
    return true;
}

/* RFC 9110 8.8.3.2: our tags are strong, so only the peer's W/ can make a comparison weak. */
static bool etag_listed(struct mr_span list, const char *ours, bool strong)
{
    struct mr_span etag;
    bool weak;
    if (list.length == 1 && list.data[0] == '*')
        return true;
    while (etag_next(&list, &etag, &weak))
        if (!(strong && weak) && etag.length == strlen(ours) && memcmp(etag.data, ours, etag.length) == 0)
            return true;
    return false;
}

/* True when field `h` holds a date and the representation is newer than it. */
static bool modified_since(const struct http_request *r, const uint8_t *head, enum http_header h, int64_t modified,
                           int64_t now, bool *valid)
{
    int64_t date;
    *valid = http_date_parse(http_request_value(r, head, h), now, &date);
    return *valid && modified > date;
}

int http_condition_evaluate(const struct http_request *r, const uint8_t *head, const struct http_validators *v,
                            int64_t now)
{
    bool valid, newer;
    if (http_request_has(r, HTTP_HEADER_IF_MATCH)) {
        if (!etag_listed(http_request_value(r, head, HTTP_HEADER_IF_MATCH), v->etag, true))
            return 412;
    } else if (http_request_has(r, HTTP_HEADER_IF_UNMODIFIED_SINCE) &&
               modified_since(r, head, HTTP_HEADER_IF_UNMODIFIED_SINCE, v->modified, now, &valid)) {
        return 412;
    }
    if (http_request_has(r, HTTP_HEADER_IF_NONE_MATCH))
        return etag_listed(http_request_value(r, head, HTTP_HEADER_IF_NONE_MATCH), v->etag, false) ? 304 : 200;
    if (!http_request_has(r, HTTP_HEADER_IF_MODIFIED_SINCE))
        return 200;
    newer = modified_since(r, head, HTTP_HEADER_IF_MODIFIED_SINCE, v->modified, now, &valid);
    return valid && !newer ? 304 : 200;
}

/* RFC 9110 13.1.5: a strong match of the tag, or exactly the date. */
static bool if_range_holds(const struct http_request *r, const uint8_t *head, const struct http_validators *v,
                           int64_t now)
{
    if (!http_request_has(r, HTTP_HEADER_IF_RANGE))
        return true;
    struct mr_span value = http_request_value(r, head, HTTP_HEADER_IF_RANGE);
    int64_t date;
    if (value.length && value.data[0] == '"')
        return value.length == strlen(v->etag) && memcmp(value.data, v->etag, value.length) == 0;
    return http_date_parse(value, now, &date) && date == v->modified;
}

/* 1*DIGIT off the front of `*s`; saturates, because a position beyond any file is legal. False: no digit. */
static bool number_next(struct mr_span *s, uint64_t *n)
{
    size_t i = 0;
    *n = 0;
    for (; i < s->length && s->data[i] >= '0' && s->data[i] <= '9'; i++)
        if (__builtin_mul_overflow(*n, 10, n) || __builtin_add_overflow(*n, s->data[i] - '0', n))
            *n = UINT64_MAX / 16;
    *s = (struct mr_span){s->data + i, s->length - i};
    return i > 0;
}

int http_range_evaluate(const struct http_request *r, const uint8_t *head, const struct http_validators *v, int64_t now,
                        uint64_t size, uint64_t *first, uint64_t *last)
{
    struct mr_span s = http_request_value(r, head, HTTP_HEADER_RANGE);
    if (s.length < 7 || !http_text_equal((struct mr_span){s.data, 6}, "bytes=") || !if_range_holds(r, head, v, now))
        return 200;
    s = (struct mr_span){s.data + 6, s.length - 6};
    bool has_first = number_next(&s, first);
    if (s.length == 0 || s.data[0] != '-')
        return 200;
    s = (struct mr_span){s.data + 1, s.length - 1};
    bool has_last = number_next(&s, last);
    if (s.length != 0 || (!has_first && !has_last) || (has_first && has_last && *last < *first))
        return 200;
    if (!has_first) { /* the last so many bytes */
        uint64_t suffix = *last;
        *first = suffix < size ? size - suffix : 0;
        *last = size - 1;
        return suffix && size ? 206 : 416;
    }
    if (!has_last || *last >= size)
        *last = size - 1;
    return *first < size ? 206 : 416;
}
