#include "answer/answer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(struct control_answer *a, const char *bytes, size_t n)
{
    if (a->failed)
        return;
    if (a->used + n + 1 > a->size) {
        size_t size = (a->used + n + 1) * 2 + 256;
        char *text = realloc(a->text, size);
        a->failed = !text;
        if (!text)
            return;
        a->text = text;
        a->size = size;
    }
    memcpy(a->text + a->used, bytes, n);
    a->used += n;
    a->text[a->used] = 0;
}

/* How many bytes the UTF-8 character at `p` has, 0: it is none (RFC 3629 4). */
static size_t character_length(const uint8_t *p, size_t n)
{
    size_t length = *p < 0x80                 ? 1
                    : *p >= 0xc2 && *p < 0xe0 ? 2
                    : (*p & 0xf0) == 0xe0     ? 3
                    : *p >= 0xf0 && *p < 0xf5 ? 4
                                              : 0;
    if (length > n)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool outside = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
                   (p[0] == 0xf4 && p[1] > 0x8f);
    return length > 2 && outside ? 0 : length;
}

/* RFC 8259 7. Clients send bytes that are no characters: they are shown as such; so is NUL, which readers of JSON refuse. */
static void put_quoted(struct control_answer *a, struct mr_span value)
{
    char escape[8];
    put(a, "\"", 1);
    for (size_t i = 0; i < value.length;) {
        const uint8_t *p = value.data + i;
        size_t n = *p ? character_length(p, value.length - i) : 0;
        if (n == 0 || *p < 0x20 || *p == 0x7f)
            put(a, escape, (size_t)snprintf(escape, sizeof escape, n ? "\\u%04x" : "\\u%04X", n ? *p : 0xfffd));
        else if (*p == '"' || *p == '\\')
            put(a, escape, (size_t)snprintf(escape, sizeof escape, "\\%c", *p));
        else
            put(a, (const char *)p, n);
        i += n ? n : 1;
    }
    put(a, "\"", 1);
}

static struct mr_span span_of(const char *text)
{
    return (struct mr_span){(const uint8_t *)text, strlen(text)};
}

static void begin(struct control_answer *a, const char *name)
{
    if (a->comma)
        put(a, ",", 1);
    a->comma = true;
    if (name) {
        put_quoted(a, span_of(name));
        put(a, ":", 1);
    }
}

void control_answer_open(struct control_answer *a, const char *name, char bracket)
{
    begin(a, name);
    put(a, &bracket, 1);
    a->comma = false;
}

void control_answer_close(struct control_answer *a, char bracket)
{
    put(a, &bracket, 1);
    a->comma = true;
}

void control_answer_span(struct control_answer *a, const char *name, struct mr_span value)
{
    begin(a, name);
    put_quoted(a, value);
}

void control_answer_text(struct control_answer *a, const char *name, const char *value)
{
    if (value)
        control_answer_span(a, name, span_of(value));
}

void control_answer_format(struct control_answer *a, const char *name, const char *format, ...)
{
    char *text;
    va_list arguments;
    va_start(arguments, format);
    int n = vasprintf(&text, format, arguments);
    va_end(arguments);
    a->failed |= n < 0;
    if (n < 0)
        return;
    control_answer_text(a, name, text);
    free(text);
}

static void put_plain(struct control_answer *a, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void put_plain(struct control_answer *a, const char *name, const char *format, ...)
{
    char text[64];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    begin(a, name);
    put(a, text, strlen(text));
}

void control_answer_number(struct control_answer *a, const char *name, uint64_t value)
{
    put_plain(a, name, "%" PRIu64, value);
}

void control_answer_fraction(struct control_answer *a, const char *name, double value)
{
    put_plain(a, name, "%.4f", value);
}

void control_answer_bool(struct control_answer *a, const char *name, bool value)
{
    put_plain(a, name, "%s", value ? "true" : "false");
}

void control_answer_endpoint(struct control_answer *a, const char *name, const struct mr_endpoint *e)
{
    char text[MR_ENDPOINT_TEXT_MAX];
    control_answer_text(a, name, mr_endpoint_text(e, text));
}

char *control_answer_end(struct control_answer *a)
{
    char *text = a->text;
    if (a->failed) {
        free(text);
        text = NULL;
    }
    *a = (struct control_answer){0};
    return text;
}

char *control_say(const char *format, ...)
{
    char *text;
    va_list arguments;
    va_start(arguments, format);
    int n = vasprintf(&text, format, arguments);
    va_end(arguments);
    return n < 0 ? NULL : text;
}
