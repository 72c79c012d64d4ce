/* Texts that SORT compares, and the patterns that find them. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/command/sort.h"
#include "cache/type/hash.h"

#define NUMBER_TEXT_MAX 512 /* bytes of a weight as a number */

static const struct cache_sort_text nothing = {.kind = CACHE_SORT_NOTHING};

struct cache_sort_text cache_sort_text_of(struct mr_span bytes, const struct cache_rope *rope)
{
    if (rope)
        return (struct cache_sort_text){.kind = CACHE_SORT_ROPE, .length = (uint32_t)rope->length, .rope = rope};
    return (struct cache_sort_text){.kind = CACHE_SORT_BYTES, .length = (uint32_t)bytes.length, .bytes = bytes.data};
}

struct mr_span cache_sort_span(const struct cache_sort_text *t, char digits[CACHE_SORT_DIGITS])
{
    if (t->kind != CACHE_SORT_INTEGER)
        return (struct mr_span){t->bytes, t->length};
    int n = snprintf(digits, CACHE_SORT_DIGITS, "%" PRId64, t->integer);
    return (struct mr_span){(const uint8_t *)digits, (size_t)n};
}

/* The bytes at `offset` as far as they lie together. */
static struct mr_span text_at(const struct cache_sort_text *t, uint64_t offset, char digits[CACHE_SORT_DIGITS])
{
    struct cache_extent *extent;
    if (t->kind == CACHE_SORT_ROPE)
        return offset < t->length ? cache_rope_at(t->rope, offset, &extent) : (struct mr_span){NULL, 0};
    struct mr_span whole = cache_sort_span(t, digits);
    return (struct mr_span){whole.data + offset, whole.length - offset};
}

int cache_sort_text_compare(const struct cache_sort_text *a, const struct cache_sort_text *b)
{
    char digits_a[CACHE_SORT_DIGITS], digits_b[CACHE_SORT_DIGITS];
    if (a->kind == CACHE_SORT_NOTHING || b->kind == CACHE_SORT_NOTHING)
        return (a->kind != CACHE_SORT_NOTHING) - (b->kind != CACHE_SORT_NOTHING);
    for (uint64_t offset = 0;;) {
        struct mr_span x = text_at(a, offset, digits_a), y = text_at(b, offset, digits_b);
        size_t n = x.length < y.length ? x.length : y.length;
        if (!n)
            return (x.length > 0) - (y.length > 0);
        int order = memcmp(x.data, y.data, n);
        if (order)
            return order;
        offset += n;
    }
}

bool cache_sort_text_score(const struct cache_sort_text *t, double *score)
{
    char text[NUMBER_TEXT_MAX + 1], *end;
    if (t->kind == CACHE_SORT_INTEGER) {
        *score = (double)t->integer;
        return true;
    }
    if (t->kind != CACHE_SORT_BYTES || t->length > NUMBER_TEXT_MAX)
        return false;
    memcpy(text, t->bytes, t->length);
    text[t->length] = 0;
    errno = 0;
    *score = strtod(text, &end);
    return !*end && errno != ERANGE && !isnan(*score);
}

void cache_sort_text_reply(struct cache_reply *r, const struct cache_sort_text *t)
{
    char digits[CACHE_SORT_DIGITS];
    if (t->kind == CACHE_SORT_NOTHING) {
        cache_reply_null(r);
    } else if (t->kind == CACHE_SORT_ROPE) {
        cache_reply_rope(r, t->rope);
    } else {
        struct mr_span span = cache_sort_span(t, digits);
        cache_reply_bulk(r, span.data, span.length);
    }
}

/* Looking up. */

static struct cache_sort_text string_text(const struct cache_entry *e)
{
    struct mr_span bytes = {NULL, e->value_length};
    switch ((enum cache_string_encoding)e->encoding) {
    case CACHE_STRING_INTEGER:
        return (struct cache_sort_text){.kind = CACHE_SORT_INTEGER, .integer = cache_entry_value(e)->integer};
    case CACHE_STRING_ROPE:
        return cache_sort_text_of(bytes, cache_entry_value(e)->rope);
    case CACHE_STRING_EXTENT:
        bytes.data = cache_entry_value(e)->extent->bytes;
        break;
    case CACHE_STRING_EMBEDDED:
        bytes.data = cache_entry_embedded(e);
    }
    return cache_sort_text_of(bytes, NULL);
}

static struct cache_sort_text entry_text(const struct cache_entry *e, struct mr_span field)
{
    struct cache_hash_value value;
    if (!e)
        return nothing;
    if (!field.length)
        return e->type == CACHE_STRING ? string_text(e) : nothing;
    if (e->type != CACHE_HASH || !cache_hash_get(e, field, &value))
        return nothing;
    return cache_sort_text_of(value.bytes, value.rope);
}

/* Takes "->field" off the pattern, if it stands behind the star. */
static struct mr_span field_of(struct mr_span *pattern, size_t star)
{
    const uint8_t *from = pattern->data + star + 1;
    const uint8_t *arrow = memmem(from, pattern->length - star - 1, "->", 2);
    if (!arrow || arrow + 2 == pattern->data + pattern->length)
        return (struct mr_span){NULL, 0};
    struct mr_span field = {arrow + 2, (size_t)(pattern->data + pattern->length - arrow - 2)};
    pattern->length = (size_t)(arrow - pattern->data);
    return field;
}

struct cache_sort_text cache_sort_lookup(const struct cache_call *call, struct mr_span pattern,
                                         const struct cache_sort_text *element)
{
    char digits[CACHE_SORT_DIGITS];
    uint8_t name[CACHE_KEY_MAX];
    if (pattern.length == 1 && *pattern.data == '#')
        return *element;
    const uint8_t *found = memchr(pattern.data, '*', pattern.length);
    if (!found || element->kind == CACHE_SORT_ROPE)
        return nothing;
    size_t star = (size_t)(found - pattern.data);
    struct mr_span field = field_of(&pattern, star), own = cache_sort_span(element, digits);
    struct mr_span key = {name, pattern.length - 1 + own.length};
    if (key.length > sizeof(name))
        return nothing;
    memcpy(name, pattern.data, star);
    memcpy(name + star, own.data, own.length);
    memcpy(name + star + own.length, found + 1, pattern.length - star - 1);
    return entry_text(cache_store_peek(cache_call_store(call, key), call->database, key), field);
}
