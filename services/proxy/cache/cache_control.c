#include "proxy/cache/cache_control.h"

#include <string.h>

#include "http/char_class.h"
#include "http/request.h"

static const char *const names[HCACHE_DIRECTIVES] = {
    [HCACHE_MAX_AGE] = "max-age",
    [HCACHE_S_MAXAGE] = "s-maxage",
    [HCACHE_MAX_STALE] = "max-stale",
    [HCACHE_MIN_FRESH] = "min-fresh",
    [HCACHE_STALE_WHILE_REVALIDATE] = "stale-while-revalidate",
    [HCACHE_STALE_IF_ERROR] = "stale-if-error",
    [HCACHE_NO_CACHE] = "no-cache",
    [HCACHE_PRIVATE] = "private",
    [HCACHE_NO_STORE] = "no-store",
    [HCACHE_MUST_REVALIDATE] = "must-revalidate",
    [HCACHE_PROXY_REVALIDATE] = "proxy-revalidate",
    [HCACHE_MUST_UNDERSTAND] = "must-understand",
    [HCACHE_PUBLIC] = "public",
    [HCACHE_NO_TRANSFORM] = "no-transform",
    [HCACHE_ONLY_IF_CACHED] = "only-if-cached",
};

/* name [ "=" ( token / quoted-string ) ] */
struct element {
    struct mr_span name, argument; /* a quoted argument without its quotes, escapes left as they are */
    bool has_argument;
    bool malformed;
};

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* From behind the opening quote to behind the closing one; `end` and malformed when there is none. */
static const uint8_t *quoted_take(const uint8_t *p, const uint8_t *end, struct element *e)
{
    const uint8_t *start = p;
    while (p < end && *p != '"')
        p += *p == '\\' && end - p > 1 ? 2 : 1;
    e->argument = (struct mr_span){start, (size_t)(p - start)};
    e->malformed |= p == end;
    return p < end ? p + 1 : end;
}

/* Up to the next comma that no quotes hide; what lies between is not what the grammar allows. */
static const uint8_t *rest_skip(const uint8_t *p, const uint8_t *end, struct element *e)
{
    bool quoted = false;
    while (p < end && is_space(*p))
        p++;
    for (; p < end && (quoted || *p != ','); p++) {
        e->malformed = true;
        if (*p == '"')
            quoted = !quoted;
        else if (quoted && *p == '\\' && end - p > 1)
            p++;
    }
    return p;
}

/* The next element of the list; empty ones are skipped (RFC 9110 5.6.1). False at its end. */
static bool element_next(struct mr_span *list, struct element *e)
{
    const uint8_t *p = list->data, *end = p + list->length;
    *e = (struct element){0};
    while (p < end && (is_space(*p) || *p == ','))
        p++;
    if (p == end)
        return false;
    const uint8_t *start = p;
    p = http_char_skip(p, end, HTTP_CHAR_TOKEN);
    e->name = (struct mr_span){start, (size_t)(p - start)};
    e->malformed = p == start;
    if (p < end && *p == '=') {
        e->has_argument = true;
        if (++p < end && *p == '"') {
            p = quoted_take(p + 1, end, e);
        } else {
            start = p;
            p = http_char_skip(p, end, HTTP_CHAR_TOKEN);
            e->argument = (struct mr_span){start, (size_t)(p - start)};
        }
    }
    p = rest_skip(p, end, e);
    *list = (struct mr_span){p, (size_t)(end - p)};
    return true;
}

bool hcache_delta_parse(struct mr_span text, uint32_t *seconds)
{
    uint64_t n = 0;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        n = n * 10 + (text.data[i] - '0');
        n = n < HCACHE_DELTA_MAX ? n : HCACHE_DELTA_MAX;
    }
    *seconds = (uint32_t)n;
    return text.length > 0;
}

static enum hcache_directive directive_find(struct mr_span name)
{
    for (enum hcache_directive d = 0; d < HCACHE_DIRECTIVES; d++)
        if (http_text_equal(name, names[d]))
            return d;
    return HCACHE_DIRECTIVES;
}

/* What a number that is not one means: the ages are over, no more is permitted than was said. */
static bool number_of(enum hcache_directive d, const struct element *e, uint32_t *n)
{
    if (!e->malformed && e->has_argument && hcache_delta_parse(e->argument, n))
        return true;
    if (d == HCACHE_MAX_STALE && !e->has_argument && !e->malformed) {
        *n = HCACHE_DELTA_MAX; /* 5.2.1.2: of any age */
        return true;
    }
    *n = d == HCACHE_MIN_FRESH ? HCACHE_DELTA_MAX : 0;
    return d == HCACHE_MAX_AGE || d == HCACHE_S_MAXAGE || d == HCACHE_MIN_FRESH;
}

static void number_add(struct hcache_control *c, enum hcache_directive d, const struct element *e)
{
    uint32_t n;
    if (!number_of(d, e, &n))
        return;
    bool larger = d == HCACHE_MIN_FRESH;
    if (!hcache_control_has(c, d) || (larger ? n > c->seconds[d] : n < c->seconds[d]))
        c->seconds[d] = n;
    c->present |= 1u << d;
}

/* Names, commas and white space: with anything else in it nobody knows which fields are meant. */
static bool is_list(struct mr_span text)
{
    for (size_t i = 0; i < text.length; i++)
        if (!(http_char_class[text.data[i]] & HTTP_CHAR_TOKEN) && text.data[i] != ',' && !is_space(text.data[i]))
            return false;
    return text.length > 0;
}

static void list_add(struct hcache_control *c, enum hcache_directive d, const struct element *e)
{
    if (e->has_argument && !e->malformed && is_list(e->argument) && c->list_count < HCACHE_LISTS_MAX)
        c->lists[c->list_count++] = e->argument;
    else
        c->present |= 1u << d;
}

static void element_add(struct hcache_control *c, const struct element *e)
{
    enum hcache_directive d = directive_find(e->name);
    if (d < HCACHE_NUMBERS)
        number_add(c, d, e);
    else if (d == HCACHE_NO_CACHE || d == HCACHE_PRIVATE)
        list_add(c, d, e);
    else if (d == HCACHE_PUBLIC || d == HCACHE_MUST_UNDERSTAND) /* these permit: only when they are well said */
        c->present |= e->malformed ? 0 : 1u << d;
    else if (d < HCACHE_DIRECTIVES)
        c->present |= 1u << d;
}

void hcache_control_add(struct hcache_control *c, struct mr_span value)
{
    struct element e;
    while (element_next(&value, &e))
        element_add(c, &e);
}

/* RFC 9213 2.1: keys are directives; numbers are integers, the others are true; parameters have no meaning here. */
static bool targeted_split(struct element *e)
{
    struct mr_span a = e->argument;
    for (size_t i = 0; i < e->name.length; i++)
        if (e->name.data[i] >= 'A' && e->name.data[i] <= 'Z')
            return false;
    return !e->malformed && (!e->has_argument || a.length);
}

bool hcache_control_add_targeted(struct hcache_control *c, struct mr_span value)
{
    struct element e;
    while (value.length) {
        const uint8_t *p = value.data, *end = p + value.length;
        if (!element_next(&value, &e))
            return p == end;
        if (e.malformed && e.has_argument && !e.argument.length && e.name.length) {
            /* key=?0 and key=?1: '?' is no token; 0 says that the directive is not there */
            const uint8_t *mark = e.name.data + e.name.length + 1;
            if (end - mark < 2 || mark[0] != '?' || (mark[1] != '0' && mark[1] != '1') || value.data != mark + 2)
                return false;
            e.malformed = e.has_argument = false;
            if (mark[1] == '0')
                continue;
        }
        if (!targeted_split(&e))
            return false;
        element_add(c, &e);
    }
    return true;
}

bool hcache_control_lists(const struct hcache_control *c, struct mr_span name)
{
    for (unsigned i = 0; i < c->list_count; i++) {
        struct mr_span list = c->lists[i], field;
        while (http_list_next(&list, &field))
            if (field.length == name.length &&
                strncasecmp((const char *)field.data, (const char *)name.data, name.length) == 0)
                return true;
    }
    return false;
}
