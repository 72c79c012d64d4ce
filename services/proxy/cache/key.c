#include "proxy/cache/key.h"

#include <string.h>

/* SipHash (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012), one round a word and three at the end. */
static inline uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void mix(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

uint64_t hcache_hash(const uint64_t secret[2], const void *data, size_t n)
{
    const uint8_t *p = data;
    uint64_t v[4] = {secret[0] ^ 0x736f6d6570736575u, secret[1] ^ 0x646f72616e646f6du, secret[0] ^ 0x6c7967656e657261u,
                     secret[1] ^ 0x7465646279746573u};
    uint64_t word, last = (uint64_t)n << 56;
    size_t left = n;
    for (; left >= 8; left -= 8, p += 8) {
        memcpy(&word, p, 8);
        v[3] ^= word;
        mix(v);
        v[0] ^= word;
    }
    for (size_t i = 0; i < left; i++)
        last |= (uint64_t)p[i] << (8 * i);
    v[3] ^= last;
    mix(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        mix(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hcache_url_hash(const uint64_t secret[2], const struct hcache_url *u)
{
    uint8_t text[HCACHE_URL_BYTES_MAX], *p = text;
    const struct mr_span parts[] = {u->scheme, u->host, u->target};
    for (unsigned i = 0; i < 3; i++) {
        if (parts[i].length)
            memcpy(p, parts[i].data, parts[i].length);
        p += parts[i].length;
    }
    return hcache_hash(secret, text, (size_t)(p - text));
}

/* Fields whose values are lists in which neither case nor white space means anything (RFC 9110 12.5): a difference in them makes no variant. */
static bool is_folded(struct mr_span name)
{
    static const char *const names[] = {"accept", "accept-charset", "accept-encoding", "accept-language"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (http_text_equal(name, names[i]))
            return true;
    return false;
}

static bool name_equal(struct mr_span a, struct mr_span b)
{
    return a.length == b.length && strncasecmp((const char *)a.data, (const char *)b.data, a.length) == 0;
}

struct text {
    uint8_t *at, *end;
    bool full;
};

static void text_put(struct text *t, uint8_t c)
{
    if (t->at < t->end)
        *t->at++ = c;
    else
        t->full = true;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* Quoted strings keep their spaces. */
static void value_put(struct text *t, struct mr_span v, bool folded)
{
    bool quoted = false;
    for (size_t i = 0; i < v.length; i++) {
        uint8_t c = v.data[i];
        quoted ^= c == '"';
        if (!folded)
            text_put(t, c);
        else if (quoted || (c != ' ' && c != '\t'))
            text_put(t, lower(c));
    }
}

/* RFC 9110 7.6.1: whether Connection names it, so that it goes no further than us. */
static bool is_of_hop(const struct http_request *q, const uint8_t *head, struct mr_span name)
{
    const struct http_field *f;
    for (unsigned at = 0; (f = http_request_next(q, HTTP_HEADER_CONNECTION, &at));) {
        struct mr_span list = http_request_text(head, f->value), option;
        while (http_list_next(&list, &option))
            if (name_equal(option, name))
                return true;
    }
    return false;
}

/* As the backend gets them: the lines of field `name`, joined by commas (RFC 9110 5.2). Returns bytes; -1: it is not there, -2: it is too long. */
static int request_value(const struct http_request *q, const uint8_t *head, struct mr_span name,
                         uint8_t out[HCACHE_VARY_VALUE_BYTES_MAX])
{
    struct text t = {out, out + HCACHE_VARY_VALUE_BYTES_MAX, false};
    enum http_header h = http_header_find(name.data, name.length);
    bool found = false, folded = is_folded(name);
    if ((h != HTTP_HEADER_OTHER && !http_request_has(q, h)) || is_of_hop(q, head, name))
        return -1;
    for (unsigned i = 0; i < q->field_count; i++) {
        const struct http_field *f = &q->fields[i];
        if (f->header != h || (h == HTTP_HEADER_OTHER && !name_equal(http_request_text(head, f->name), name)))
            continue;
        if (found)
            text_put(&t, ',');
        value_put(&t, http_request_text(head, f->value), folded);
        found = true;
    }
    return !found ? -1 : t.full ? -2 : (int)(t.at - out);
}

#define ABSENT 0xffffu

struct member {
    struct mr_span name, value;
    bool absent;
};

/* The next member of what hcache_vary_make wrote. */
static bool member_next(struct mr_span *vary, struct member *m)
{
    const uint8_t *p = vary->data;
    if (vary->length == 0)
        return false;
    unsigned length = (unsigned)p[1] << 8 | p[2];
    m->absent = length == ABSENT;
    m->name = (struct mr_span){p + 3, p[0]};
    m->value = (struct mr_span){p + 3 + p[0], m->absent ? 0 : length};
    size_t whole = 3 + m->name.length + m->value.length;
    *vary = (struct mr_span){p + whole, vary->length - whole};
    return true;
}

static bool is_member(struct mr_span vary, struct mr_span name)
{
    struct member m;
    while (member_next(&vary, &m))
        if (name_equal(m.name, name))
            return true;
    return false;
}

static bool member_put(struct text *t, struct mr_span name, const struct http_request *q, const uint8_t *head)
{
    uint8_t value[HCACHE_VARY_VALUE_BYTES_MAX];
    int n = request_value(q, head, name, value);
    if (n == -2 || name.length > UINT8_MAX)
        return false;
    unsigned length = n < 0 ? ABSENT : (unsigned)n;
    text_put(t, (uint8_t)name.length);
    text_put(t, (uint8_t)(length >> 8));
    text_put(t, (uint8_t)length);
    for (size_t i = 0; i < name.length; i++)
        text_put(t, lower(name.data[i]));
    for (int i = 0; i < n; i++)
        text_put(t, value[i]);
    return !t->full;
}

int hcache_vary_make(const struct http_response *r, const uint8_t *response_head, const struct http_request *q,
                     const uint8_t *request_head, uint8_t out[HCACHE_VARY_BYTES_MAX])
{
    struct text t = {out, out + HCACHE_VARY_BYTES_MAX, false};
    const struct http_field *f;
    for (unsigned at = 0; (f = http_response_next(r, HTTP_HEADER_VARY, &at));) {
        struct mr_span list = http_request_text(response_head, f->value), name;
        while (http_list_next(&list, &name))
            if (!is_member((struct mr_span){out, (size_t)(t.at - out)}, name) && !member_put(&t, name, q, request_head))
                return -1;
    }
    return (int)(t.at - out);
}

bool hcache_vary_matches(struct mr_span vary, const struct http_request *q, const uint8_t *head)
{
    uint8_t value[HCACHE_VARY_VALUE_BYTES_MAX];
    struct member m;
    while (member_next(&vary, &m)) {
        int n = request_value(q, head, m.name, value);
        if (n == -2 || (n == -1) != m.absent)
            return false;
        if (n >= 0 && ((size_t)n != m.value.length || memcmp(value, m.value.data, m.value.length) != 0))
            return false;
    }
    return true;
}

bool hcache_vary_same_names(struct mr_span a, struct mr_span b)
{
    struct member x, y;
    for (;;) {
        bool more_a = member_next(&a, &x), more_b = member_next(&b, &y);
        if (more_a != more_b || (more_a && !name_equal(x.name, y.name)))
            return false;
        if (!more_a)
            return true;
    }
}
