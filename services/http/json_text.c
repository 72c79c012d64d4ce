/* What tokens of JSON mean: strings without their escapes, numbers, members by name. Their syntax was proved by json_parse. */
#include <string.h>

#include "http/json_wire.h"

static unsigned hex_digit(uint8_t c)
{
    return c <= '9' ? c - 0x30u : (c | 0x20u) - 0x61u + 10;
}

static unsigned hex_unit(const uint8_t *p)
{
    return hex_digit(p[0]) << 12 | hex_digit(p[1]) << 8 | hex_digit(p[2]) << 4 | hex_digit(p[3]);
}

/* RFC 3629 section 3. */
static size_t utf8_put(uint8_t *to, unsigned code)
{
    if (code < 0x80) {
        to[0] = (uint8_t)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; code >>= 6)
        to[i] = (uint8_t)(0x80 | (code & 0x3f));
    to[0] = (uint8_t)((0xf00 >> n & 0xff) | code);
    return n;
}

/* The escape behind a backslash; returns the bytes read of it. RFC 8259 section 7. */
static size_t escape_decode(const uint8_t *p, uint8_t *to, size_t *written)
{
    static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
    *written = 1;
    if (*p != 'u') {
        const char *found = strchr(names, *p);
        *to = found ? (uint8_t)values[found - names] : *p;
        return 1;
    }
    unsigned code = hex_unit(p + 1);
    bool pair = code >= 0xd800 && code < 0xdc00;
    if (pair)
        code = 0x10000 + ((code - 0xd800) << 10) + (hex_unit(p + 7) - 0xdc00);
    *written = utf8_put(to, code);
    return pair ? 11 : 5;
}

size_t json_string_decode(const uint8_t *text, const struct json_token *t, uint8_t *to)
{
    const uint8_t *p = text + t->offset, *end = p + t->length;
    size_t used = 0, written;
    if (!t->escaped) {
        memmove(to, p, t->length);
        return t->length;
    }
    while (p < end) {
        if (*p != '\\') {
            to[used++] = *p++;
            continue;
        }
        p += 1 + escape_decode(p + 1, to + used, &written);
        used += written;
    }
    return used;
}

bool json_string_equal(const uint8_t *text, const struct json_token *t, const char *other)
{
    const uint8_t *p = text + t->offset, *end = p + t->length;
    uint8_t one[4];
    size_t written;
    if (t->type != JSON_STRING)
        return false;
    for (size_t n = strlen(other); p < end; other += written, n -= written) {
        written = 1;
        one[0] = *p;
        p += *p == '\\' ? 1 + escape_decode(p + 1, one, &written) : 1;
        if (written > n || memcmp(one, other, written) != 0)
            return false;
    }
    return *other == 0;
}

bool json_number_u64(const uint8_t *text, const struct json_token *t, uint64_t *out)
{
    uint64_t value = 0;
    if (t->type != JSON_NUMBER)
        return false;
    for (uint32_t i = 0; i < t->length; i++) {
        unsigned digit = text[t->offset + i] - (unsigned)'0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

const struct json_token *json_member(const uint8_t *text, const struct json_token *tokens, unsigned object,
                                     const char *name)
{
    const struct json_token *found = NULL;
    if (tokens[object].type != JSON_OBJECT)
        return NULL;
    for (unsigned i = object + 1; i < tokens[object].next; i = tokens[i + 1].next)
        if (json_string_equal(text, &tokens[i], name))
            found = &tokens[i + 1];
    return found;
}
