/* JSON, written (RFC 8259). */
#include "http/json_out.h"

#include <string.h>

#include "http/response.h"

static char *put(struct json_out *o, size_t n)
{
    if (o->failed || n > o->room - o->used) {
        o->failed = true;
        return NULL;
    }
    o->used += n;
    return o->data + o->used - n;
}

static void put_bytes(struct json_out *o, const void *bytes, size_t n)
{
    char *to = put(o, n);
    if (to && n)
        memcpy(to, bytes, n);
}

unsigned utf8_sequence(const uint8_t *p, size_t n)
{
    uint8_t low = 0x80,
            high = 0xbf; /* of the second byte: narrower where the first would allow what is not well-formed */
    unsigned length = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (length == 0 || length > n)
        return 0;
    low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : low;
    high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : high;
    for (unsigned i = 1; i < length; i++) {
        if (p[i] < low || p[i] > high)
            return 0;
        low = 0x80;
        high = 0xbf;
    }
    return length;
}

bool utf8_valid(struct mr_span text)
{
    unsigned n;
    for (size_t at = 0; at < text.length; at += n)
        if ((n = utf8_sequence(text.data + at, text.length - at)) == 0)
            return false;
    return true;
}

/* Section 7: quotes, backslashes and control characters must be escaped. */
static void put_escaped(struct json_out *o, struct mr_span text)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t at = 0; at < text.length && !o->failed;) {
        uint8_t c = text.data[at];
        unsigned n = utf8_sequence(text.data + at, text.length - at);
        if (n == 0)
            put_bytes(o, "\xef\xbf\xbd", 3);
        else if (c < 0x20)
            put_bytes(o, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
        else if (c == '"' || c == '\\')
            put_bytes(o, (char[]){'\\', (char)c}, 2);
        else
            put_bytes(o, text.data + at, n);
        at += n ? n : 1;
    }
}

static void value_begin(struct json_out *o, const char *name)
{
    if (o->comma)
        put_bytes(o, ",", 1);
    o->comma = true;
    if (!name)
        return;
    put_bytes(o, "\"", 1);
    put_escaped(o, (struct mr_span){(const uint8_t *)name, strlen(name)});
    put_bytes(o, "\":", 2);
}

void json_put_open(struct json_out *o, const char *name, char bracket)
{
    value_begin(o, name);
    put_bytes(o, &bracket, 1);
    o->comma = false;
}

void json_put_close(struct json_out *o, char bracket)
{
    put_bytes(o, &bracket, 1);
    o->comma = true;
}

void json_put_text(struct json_out *o, const char *name, struct mr_span text)
{
    value_begin(o, name);
    put_bytes(o, "\"", 1);
    put_escaped(o, text);
    put_bytes(o, "\"", 1);
}

void json_put_string(struct json_out *o, const char *name, const char *text)
{
    json_put_text(o, name, (struct mr_span){(const uint8_t *)text, strlen(text)});
}

void json_put_number(struct json_out *o, const char *name, uint64_t value)
{
    char digits[20];
    value_begin(o, name);
    put_bytes(o, digits, http_number_format(value, digits));
}

void json_put_bool(struct json_out *o, const char *name, bool value)
{
    value_begin(o, name);
    put_bytes(o, value ? "true" : "false", value ? 4 : 5);
}

void json_put_base64(struct json_out *o, const char *name, struct mr_span bytes)
{
    value_begin(o, name);
    put_bytes(o, "\"", 1);
    char *to = put(o, (bytes.length + 2) / 3 * 4);
    if (to)
        base64_encode(bytes, to);
    put_bytes(o, "\"", 1);
}
