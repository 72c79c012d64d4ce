#include "proxy/cache/facts.h"

#include "http/date.h"

static struct mr_span value_of(const struct http_field *f, const uint8_t *head)
{
    return http_request_text(head, f->value);
}

/* An entity-tag (RFC 9110 8.8.3): DQUOTE, visible characters but DQUOTE, DQUOTE. */
static void etag_read(struct hcache_facts *f, struct mr_span v)
{
    bool weak = v.length >= 2 && v.data[0] == 'W' && v.data[1] == '/';
    if (weak)
        v = (struct mr_span){v.data + 2, v.length - 2};
    if (v.length < 2 || v.data[0] != '"' || v.data[v.length - 1] != '"')
        return;
    for (size_t i = 1; i + 1 < v.length; i++)
        if (v.data[i] <= ' ' || v.data[i] == '"' || v.data[i] == 0x7f)
            return;
    f->etag = v;
    f->etag_weak = weak;
}

/* The proxy writes these itself, about the client that asks: no request says what the backend got in them. */
static bool is_of_client(struct mr_span name)
{
    return http_text_equal(name, "forwarded") || http_text_equal(name, "x-forwarded-for");
}

static void vary_read(struct hcache_facts *f, struct mr_span v)
{
    struct mr_span name;
    while (http_list_next(&v, &name))
        f->vary_any |= (name.length == 1 && name.data[0] == '*') || is_of_client(name);
}

static int64_t date_read(struct mr_span v, int64_t now, int64_t otherwise)
{
    int64_t seconds;
    return http_date_parse(v, now, &seconds) ? seconds : otherwise;
}

/* Of a field that may come once the first counts; of Age as well (RFC 9111 5.1). */
static void field_read(struct hcache_facts *f, enum http_header h, bool first, struct mr_span v, int64_t now)
{
    if (h == HTTP_HEADER_VARY) {
        vary_read(f, v);
    } else if (h == HTTP_HEADER_EXPIRES) {
        int64_t expires = date_read(v, now, 0);
        f->expires =
            !first && f->expires < expires ? f->expires : expires; /* 4.2.1: of several the one that keeps less */
        f->has_expires = true;
    } else if (!first) {
        return;
    } else if (h == HTTP_HEADER_DATE) {
        f->date = date_read(v, now, HCACHE_UNKNOWN);
    } else if (h == HTTP_HEADER_LAST_MODIFIED) {
        f->last_modified = date_read(v, now, HCACHE_UNKNOWN);
    } else if (h == HTTP_HEADER_ETAG) {
        etag_read(f, v);
    } else if (h == HTTP_HEADER_AGE && !hcache_delta_parse(v, &f->age)) {
        f->age = 0; /* 5.1: a value that is not one is ignored */
    }
}

/* RFC 9213: the most specific of the fields that are there and valid; one that is malformed or empty is as none. */
static void control_read(struct hcache_facts *f, const struct http_response *r, const uint8_t *head)
{
    struct hcache_control targeted = {0};
    bool valid = true, said = false;
    for (unsigned i = 0; i < r->field_count; i++) {
        const struct http_field *field = &r->fields[i];
        if (field->header == HTTP_HEADER_CACHE_CONTROL) {
            hcache_control_add(&f->control, value_of(field, head));
        } else if (field->header == HTTP_HEADER_OTHER && field->name.length == 17 &&
                   http_text_equal(http_request_text(head, field->name), "cdn-cache-control")) {
            said |= field->value.length > 0;
            valid &= hcache_control_add_targeted(&targeted, value_of(field, head));
        }
    }
    if (said && valid) {
        f->control = targeted;
        f->targeted = true;
        f->has_expires = false;
    }
}

void hcache_facts_read(struct hcache_facts *f, const struct http_response *r, const uint8_t *head, int64_t now)
{
    *f = (struct hcache_facts){.status = r->status, .date = HCACHE_UNKNOWN, .last_modified = HCACHE_UNKNOWN};
    for (unsigned i = 0; i < r->field_count; i++) {
        enum http_header h = r->fields[i].header;
        if (h != HTTP_HEADER_OTHER)
            field_read(f, h, r->first[h] == i, value_of(&r->fields[i], head), now);
    }
    control_read(f, r, head);
    static const char set_cookie[] = "set-cookie";
    f->set_cookie =
        http_response_has(r, HTTP_HEADER_SET_COOKIE) &&
        !hcache_control_lists(&f->control, (struct mr_span){(const uint8_t *)set_cookie, sizeof set_cookie - 1});
}

void hcache_wish_read(struct hcache_wish *w, const struct http_request *r, const uint8_t *head)
{
    const struct http_field *f;
    *w = (struct hcache_wish){.authorization = http_request_has(r, HTTP_HEADER_AUTHORIZATION)};
    for (unsigned at = 0; (f = http_request_next(r, HTTP_HEADER_CACHE_CONTROL, &at));)
        hcache_control_add(&w->control, value_of(f, head));
    if (!http_request_has(r, HTTP_HEADER_CACHE_CONTROL))
        for (unsigned at = 0; (f = http_request_next(r, HTTP_HEADER_PRAGMA, &at));) {
            struct hcache_control pragma = {0};
            hcache_control_add(&pragma, value_of(f, head));
            w->control.present |= pragma.present & 1u << HCACHE_NO_CACHE;
        }
}
