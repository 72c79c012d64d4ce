/* The head of a response as it is kept: what may be sent again by whoever keeps it (RFC 9111 3.1), and its update by a 304 (3.2). */
#include <string.h>

#include "http/date.h"
#include "proxy/cache/hcache_state.h"

struct out {
    char *at, *end;
    bool full;
};

static void put(struct out *o, const void *bytes, size_t n)
{
    if ((size_t)(o->end - o->at) < n) {
        o->full = true;
        return;
    }
    if (n)
        memcpy(o->at, bytes, n);
    o->at += n;
}

static void put_field(struct out *o, const uint8_t *head, const struct http_field *f)
{
    put(o, head + f->name.offset, f->name.length);
    put(o, ": ", 2);
    put(o, head + f->value.offset, f->value.length);
    put(o, "\r\n", 2);
}

static void put_date(struct out *o, int64_t now)
{
    char text[HTTP_DATE_BYTES];
    http_date_format(now, text);
    put(o, "Date: ", 6);
    put(o, text, sizeof text);
    put(o, "\r\n", 2);
}

#define BIT(h) (UINT64_C(1) << HTTP_HEADER_##h)

/* Of one hop, of the proxy, or made anew with each answer (Age, Content-Length). */
#define NOT_KEPT                                                                                              \
    (BIT(CONNECTION) | BIT(CONTENT_LENGTH) | BIT(TRANSFER_ENCODING) | BIT(UPGRADE) | BIT(TE) | BIT(TRAILER) | \
     BIT(KEEP_ALIVE) | BIT(PROXY_CONNECTION) | BIT(PROXY_AUTHORIZATION) | BIT(PROXY_AUTHENTICATE) | BIT(AGE))
/* What says how the kept content is to be read, and what an entry is found by: a 304 does not change it. */
#define NOT_UPDATED                                                                                     \
    (NOT_KEPT | BIT(CONTENT_TYPE) | BIT(CONTENT_RANGE) | BIT(SET_COOKIE) | BIT(VARY) | BIT(CACHE_TAG) | \
     BIT(SURROGATE_KEY))

static bool is_of_hop(const struct http_response *r, const uint8_t *head, struct mr_span name)
{
    const struct http_field *f;
    for (unsigned at = 0; (f = http_response_next(r, HTTP_HEADER_CONNECTION, &at));) {
        struct mr_span list = http_request_text(head, f->value), option;
        while (http_list_next(&list, &option))
            if (option.length == name.length &&
                strncasecmp((const char *)option.data, (const char *)name.data, name.length) == 0)
                return true;
    }
    return false;
}

static bool is_kept(const struct http_response *r, const uint8_t *head, const struct http_field *f,
                    const struct hcache_facts *facts, uint64_t without)
{
    struct mr_span name = http_request_text(head, f->name);
    if (f->header != HTTP_HEADER_OTHER)
        return !(without >> f->header & 1) && !hcache_control_lists(&facts->control, name) && !is_of_hop(r, head, name);
    return !http_text_equal(name, "proxy-authentication-info") && !hcache_control_lists(&facts->control, name) &&
           !is_of_hop(r, head, name);
}

static void put_status(struct out *o, unsigned status, struct mr_span reason)
{
    char code[3] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10), (char)('0' + status % 10)};
    put(o, "HTTP/1.1 ", 9);
    put(o, code, 3);
    put(o, " ", 1);
    put(o, reason.data, reason.length);
    put(o, "\r\n", 2);
}

size_t hcache_head_write(char *out, size_t size, const struct http_response *r, const uint8_t *head,
                         const struct hcache_facts *facts, int64_t now)
{
    struct out o = {out, out + size, false};
    put_status(&o, r->status, http_request_text(head, r->reason));
    if (facts->date == HCACHE_UNKNOWN)
        put_date(&o, now); /* RFC 9110 6.6.1: who receives a response without Date adds one when it keeps it */
    for (unsigned i = 0; i < r->field_count; i++)
        if (is_kept(r, head, &r->fields[i], facts, NOT_KEPT | (facts->date == HCACHE_UNKNOWN ? BIT(DATE) : 0)))
            put_field(&o, head, &r->fields[i]);
    put(&o, "\r\n", 2);
    return o.full ? 0 : (size_t)(o.at - out);
}

static bool is_there(const struct http_response *r, const uint8_t *head, struct mr_span name)
{
    for (unsigned i = 0; i < r->field_count; i++)
        if (r->fields[i].name.length == name.length &&
            strncasecmp((const char *)head + r->fields[i].name.offset, (const char *)name.data, name.length) == 0)
            return true;
    return false;
}

/* Content-Encoding is not among the fields that have a number. */
static bool is_update(const struct http_response *r, const uint8_t *head, const struct http_field *f,
                      const struct hcache_facts *facts)
{
    return is_kept(r, head, f, facts, NOT_UPDATED | (facts->date == HCACHE_UNKNOWN ? BIT(DATE) : 0)) &&
           !http_text_equal(http_request_text(head, f->name), "content-encoding");
}

size_t hcache_head_merge(char *out, size_t size, const struct http_response *stored, const uint8_t *stored_head,
                         const struct http_response *r, const uint8_t *head, const struct hcache_facts *facts,
                         int64_t now)
{
    struct out o = {out, out + size, false};
    put_status(&o, stored->status, http_request_text(stored_head, stored->reason));
    if (facts->date == HCACHE_UNKNOWN)
        put_date(&o, now);
    for (unsigned i = 0; i < stored->field_count; i++) {
        const struct http_field *f = &stored->fields[i];
        struct mr_span name = http_request_text(stored_head, f->name);
        bool kept =
            f->header != HTTP_HEADER_OTHER ? NOT_UPDATED >> f->header & 1 : http_text_equal(name, "content-encoding");
        if (f->header != HTTP_HEADER_DATE && (kept || !is_there(r, head, name)))
            put_field(&o, stored_head, f);
    }
    for (unsigned i = 0; i < r->field_count; i++)
        if (is_update(r, head, &r->fields[i], facts))
            put_field(&o, head, &r->fields[i]);
    put(&o, "\r\n", 2);
    return o.full ? 0 : (size_t)(o.at - out);
}
