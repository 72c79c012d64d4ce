/* Which fields go on to the next hop, and in what form (RFC 9110 7.6.1): "Name: value" and CR LF, whatever white space there was.
 * Fields that came in that form, one behind the other, are written as one run. */
#include <string.h>

#include "proxy/http/session_machine.h"

struct options {
    unsigned count;
    struct mr_span option[SESSION_OPTIONS_MAX];
};

static bool span_equal_folded(struct mr_span a, struct mr_span b)
{
    if (a.length != b.length)
        return false;
    for (size_t i = 0; i < a.length; i++) {
        uint8_t x = a.data[i], y = b.data[i];
        x = x >= 'A' && x <= 'Z' ? x | 0x20 : x;
        y = y >= 'A' && y <= 'Z' ? y | 0x20 : y;
        if (x != y)
            return false;
    }
    return true;
}

/* What Connection names, apart from what it nearly always names. False: too many. */
static bool options_read(const struct session_fields *f, struct options *o)
{
    struct mr_span list, option;
    o->count = 0;
    if (!(f->present >> HTTP_HEADER_CONNECTION & 1))
        return true;
    for (unsigned i = 0; i < f->count; i++) {
        if (f->fields[i].header != HTTP_HEADER_CONNECTION)
            continue;
        list = http_request_text(f->head, f->fields[i].value);
        while (http_list_next(&list, &option)) {
            if (http_text_equal(option, "keep-alive") || http_text_equal(option, "close"))
                continue;
            if (o->count == SESSION_OPTIONS_MAX)
                return false;
            o->option[o->count++] = option;
        }
    }
    return true;
}

static bool option_names(const struct options *o, struct mr_span name)
{
    for (unsigned i = 0; i < o->count; i++)
        if (span_equal_folded(o->option[i], name))
            return true;
    return false;
}

bool session_option_listed(const struct session_fields *f, const char *option)
{
    struct mr_span list, element;
    for (unsigned i = 0; i < f->count; i++) {
        if (f->fields[i].header != HTTP_HEADER_CONNECTION)
            continue;
        list = http_request_text(f->head, f->fields[i].value);
        while (http_list_next(&list, &element))
            if (http_text_equal(element, option))
                return true;
    }
    return false;
}

/* Takes the next "name=value" off a Cookie (RFC 6265 4.2.1), white space around it gone. False: no more. */
static bool cookie_next(struct mr_span *list, struct mr_span *pair)
{
    const uint8_t *p = list->data, *end = p + list->length;
    while (p < end && (*p == ';' || *p == ' ' || *p == '\t'))
        p++;
    const uint8_t *start = p;
    while (p < end && *p != ';')
        p++;
    *list = (struct mr_span){p, (size_t)(end - p)};
    while (p > start && (p[-1] == ' ' || p[-1] == '\t'))
        p--;
    *pair = (struct mr_span){start, (size_t)(p - start)};
    return p > start;
}

static bool cookie_is(struct mr_span pair, const char *name, size_t n)
{
    return pair.length > n && memcmp(pair.data, name, n) == 0 && pair.data[n] == '=';
}

bool session_cookie_find(const struct http_request *r, const uint8_t *head, const char *name, struct mr_span *value)
{
    const struct http_field *f;
    size_t n = strlen(name);
    unsigned at = 0;
    while ((f = http_request_next(r, HTTP_HEADER_COOKIE, &at)) != NULL) {
        struct mr_span list = http_request_text(head, f->value), pair;
        while (cookie_next(&list, &pair))
            if (cookie_is(pair, name, n)) {
                *value = (struct mr_span){pair.data + n + 1, pair.length - n - 1};
                return true;
            }
    }
    return false;
}

/* The backend does not see the cookie that is ours. */
static void cookie_write(struct session_writer *w, struct mr_span list, const char *ours)
{
    struct mr_span pair;
    size_t n = strlen(ours);
    bool first = true;
    while (cookie_next(&list, &pair)) {
        if (cookie_is(pair, ours, n))
            continue;
        if (first)
            session_put_text(w, "Cookie: ");
        else
            session_put_text(w, "; ");
        first = false;
        session_put_span(w, pair);
    }
    if (!first)
        session_put_text(w, "\r\n");
}

/* It lies in the head exactly as it would be written. */
static bool is_canonical(const uint8_t *head, const struct http_field *f)
{
    unsigned colon = f->name.offset + f->name.length;
    return f->value.offset == colon + 2 && head[colon + 1] == ' ' && head[f->value.offset + f->value.length] == '\r';
}

static void field_write(struct session_writer *w, const struct session_fields *f, const struct http_field *field)
{
    if (field->header == HTTP_HEADER_COOKIE && f->cookie) {
        cookie_write(w, http_request_text(f->head, field->value), f->cookie);
        return;
    }
    session_put_span(w, http_request_text(f->head, field->name));
    session_put_text(w, ": ");
    session_put_span(w, http_request_text(f->head, field->value));
    session_put_text(w, "\r\n");
}

/* X_Forwarded_For: to a backend that makes variables of names (RFC 3875 4.1.18) it is the same as ours. */
static bool imitates_skipped(const struct session_fields *f, const struct http_field *field)
{
    char name[sizeof "x-forwarded-proto" - 1];
    size_t n = field->name.length;
    if (n > sizeof name || !memchr(f->head + field->name.offset, '_', n))
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = (char)f->head[field->name.offset + i];
        name[i] = c == '_' ? '-' : c;
    }
    enum http_header h = http_header_find((const uint8_t *)name, n);
    return h != HTTP_HEADER_OTHER && f->skip & SESSION_ABOUT_CLIENT & 1ull << h;
}

bool session_fields_write(struct session_writer *w, const struct session_fields *f)
{
    struct options named;
    unsigned run = 0, run_end = 0; /* offsets of bytes that can be written as they are */
    if (!options_read(f, &named))
        return false;
    for (unsigned i = 0; i < f->count; i++) {
        const struct http_field *field = &f->fields[i];
        if (field->header != HTTP_HEADER_OTHER ? f->skip >> field->header & 1
                                               : f->skip & SESSION_ABOUT_CLIENT && imitates_skipped(f, field))
            continue;
        if (named.count && option_names(&named, http_request_text(f->head, field->name)))
            continue;
        bool plain = is_canonical(f->head, field) && !(field->header == HTTP_HEADER_COOKIE && f->cookie);
        if (!plain || field->name.offset != run_end) {
            session_put(w, f->head + run, run_end - run);
            run = run_end = field->name.offset;
        }
        if (plain) {
            run_end = field->value.offset + field->value.length + 2u;
        } else {
            field_write(w, f, field);
            run = run_end = 0;
        }
    }
    session_put(w, f->head + run, run_end - run);
    return true;
}
