#include "http/http_wire.h"

#include <string.h>

#include "http/char_class.h"
#include "http/response_head.h"

/* Generated code falls from one state into the next. */
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"

%%{
    machine http_common;
    alphtype unsigned char;

    crlf = "\r\n";
    token_char = [!#$%&'*+\-.^_`|~0-9A-Za-z];                     # RFC 9110 5.6.2
    token = token_char+;
    field_char = 0x20..0x7e | 0x80..0xff | "\t";                  # RFC 9110 5.5, obs-text included
    bws = [ \t]*;

    # RFC 3986 with what browsers leave unencoded; never a control character, a space, '#' or a byte above 0x7e.
    hex_pair = "%" xdigit xdigit;
    path_char = (0x21..0x7e) - ["#<>?%\\^`{}];
    query_char = (0x21..0x7e) - ["#<>];
    authority_char = alnum | [\-._~!$&'()*+,;=:\[\]@%];
}%%

%%{
    machine http_line;
    include http_common;

    action mark { w->mark = (uint32_t)(p - head); }
    action method {
        uint32_t n = (uint32_t)(p - head) - w->mark;
        if (n > HTTP_METHOD_BYTES_MAX) {
            w->offset = (uint32_t)(p - head);
            return HTTP_WIRE_METHOD_TOO_LONG;
        }
        r->method = (uint8_t)http_method_find(head + w->mark, n);
    }
    action target_begin { r->target = r->path = r->query = (struct http_text){(uint16_t)(p - head), 0}; }
    action target_end { r->target.length = (uint16_t)(p - head - r->target.offset); }
    action path_begin {
        r->path.offset = (uint16_t)(p - head);
        p = http_char_skip(p + 1, pe, HTTP_CHAR_PATH) - 1;
    }
    action path_end { r->path.length = (uint16_t)(p - head - r->path.offset); }
    action query_begin { r->query.offset = (uint16_t)(p + 1 - head); }
    action query_end { r->query.length = (uint16_t)(p - head - r->query.offset); }
    action origin { r->form = HTTP_TARGET_ORIGIN; }
    action absolute { r->form = HTTP_TARGET_ABSOLUTE; }
    action authority { r->form = HTTP_TARGET_AUTHORITY; }
    action asterisk { r->form = HTTP_TARGET_ASTERISK; }
    action major { if (*p != '1') return HTTP_WIRE_VERSION; }
    action minor { r->minor = (uint8_t)(*p - '0'); }
    action done { fbreak; }

    path = ("/" (path_char | hex_pair)*) >path_begin %path_end;
    query = "?" @query_begin (query_char* %query_end);
    origin_form = path query?;
    absolute_form = "http"i "s"i? "://" authority_char+ path? query?;
    authority_form = (alnum | [\-._:\[\]])+;

    target = (origin_form %origin | absolute_form %absolute | authority_form %authority | "*" %asterisk)
             >target_begin %target_end;

    main := crlf? (token >mark %method) " " target " HTTP/" digit @major "." digit @minor crlf @done;
    write data noentry;
}%%

%%{
    machine http_status;
    include http_common;

    action minor { r->minor = (uint8_t)(*p - '0'); }
    action code_first { r->status = (uint16_t)(*p - '0'); }
    action code { r->status = (uint16_t)(r->status * 10 + (*p - '0')); }
    action reason {
        r->reason.offset = (uint16_t)(p - head);
        p = http_char_skip_value(p + 1, pe) - 1;
    }
    action reason_end { r->reason.length = (uint16_t)(p - head - r->reason.offset); }
    action done { fbreak; }

    # RFC 9112 4. Many leave the space behind the code away when there is no reason; nothing can be made of that.
    reason_char = field_char;
    main := "HTTP/1." digit @minor " " [1-5] @code_first digit @code digit @code
            (" " (reason_char+ >reason %reason_end)?)? crlf @done;
    write data noentry;
}%%

%%{
    machine http_fields;
    include http_common;

    action mark {
        w->mark = (uint32_t)(p - head);
        p = http_char_skip(p + 1, pe, HTTP_CHAR_TOKEN) - 1;
    }
    action colon {
        w->colon = (uint32_t)(p - head);
        p = http_char_skip_value(p + 1, pe) - 1;
    }
    action value {
        if (*out.count >= limits->fields)
            return HTTP_WIRE_FIELDS_TOO_LARGE;
        field_add(out, head, w->mark, w->colon, (uint32_t)(p - head));
    }
    action done { fbreak; }

    field = (token >mark) ":" @colon field_char* "\r" @value "\n";
    main := field* crlf @done;
    write data noentry;
}%%

%%{
    machine http_chunk;
    include http_common;

    action size {
        if (w->size >> 60)
            return HTTP_WIRE_MALFORMED;
        w->size = w->size << 4 | hex_value(*p);
    }
    action extension { w->extension_bytes++; }
    action done { *done = true; fbreak; }

    quoted = '"' ((0x20..0x7e | 0x80..0xff | "\t") - ["\\] | "\\" (0x20..0x7e | 0x80..0xff | "\t"))* '"';
    extension = bws ";" bws token (bws "=" bws (token | quoted))?;      # RFC 9112 7.1.1
    main := (xdigit @size)+ (extension*) $extension crlf @done;
    write data noentry nofinal;
}%%

%%{
    machine http_trailer;
    include http_common;

    action done { *done = true; fbreak; }

    main := (token ":" field_char* crlf)* crlf @done;                   # RFC 9112 7.1.2
    write data noentry nofinal;
}%%

static unsigned hex_value(uint8_t c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* Where the fields of a message go, request or response. */
struct fields_out {
    struct http_field *fields;
    uint8_t *count, *first;
    uint64_t *present;
};

/* A field from `name` to `colon` to `end`, the value still with its white space. */
static inline __attribute__((always_inline)) void field_add(struct fields_out out, const uint8_t *head, uint32_t name,
                                                            uint32_t colon, uint32_t end)
{
    uint32_t value = colon + 1;
    while (value < end && (head[value] == ' ' || head[value] == '\t'))
        value++;
    while (end > value && (head[end - 1] == ' ' || head[end - 1] == '\t'))
        end--;
    enum http_header h = http_header_find(head + name, colon - name);
    unsigned i = (*out.count)++;
    out.fields[i] = (struct http_field){
        {(uint16_t)name, (uint16_t)(colon - name)}, {(uint16_t)value, (uint16_t)(end - value)}, (uint8_t)h};
    if (h != HTTP_HEADER_OTHER && !(*out.present >> h & 1)) {
        *out.present |= 1ull << h;
        out.first[h] = (uint8_t)i;
    }
}

void http_wire_reset(struct http_wire *w)
{
    *w = (struct http_wire){.state = http_line_start};
}

/* What a line that reached its limit without an end is called. */
static int line_too_long(const struct http_wire *w, const uint8_t *head, uint32_t n)
{
    for (uint32_t i = w->mark; i < n; i++)
        if (head[i] == ' ')
            return HTTP_WIRE_LINE_TOO_LONG;
    return HTTP_WIRE_METHOD_TOO_LONG; /* RFC 9112 3 */
}

static int parse_line(struct http_wire *w, const uint8_t *head, size_t length, const struct http_wire_limits *limits,
                      struct http_request *r)
{
    uint32_t limit = limits->line_bytes < limits->head_bytes ? limits->line_bytes : limits->head_bytes;
    const uint8_t *p = head + w->offset, *pe = head + (length < limit ? length : limit);
    int cs = w->state;
    if (p < pe) {
        %%{
            machine http_line;
            write exec;
        }%%
    }
    w->offset = (uint32_t)(p - head);
    w->state = cs;
    if (cs == http_line_error)
        return HTTP_WIRE_MALFORMED;
    if (cs >= http_line_first_final)
        return 1;
    return length >= limit ? line_too_long(w, head, limit) : 0;
}

/* The line that nearly all responses begin with needs no machine. */
static bool status_is_ok(struct http_wire *w, const uint8_t *head, size_t length, const struct http_wire_limits *limits,
                         struct http_response *r)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\n";
    const uint32_t n = sizeof ok - 1;
    if (w->offset || length < n || limits->line_bytes < n || limits->head_bytes < n || memcmp(head, ok, n) != 0)
        return false;
    r->status = 200;
    r->minor = 1;
    r->reason = (struct http_text){13, 2};
    w->offset = n;
    return true;
}

static int parse_status(struct http_wire *w, const uint8_t *head, size_t length, const struct http_wire_limits *limits,
                        struct http_response *r)
{
    uint32_t limit = limits->line_bytes < limits->head_bytes ? limits->line_bytes : limits->head_bytes;
    const uint8_t *p = head + w->offset, *pe = head + (length < limit ? length : limit);
    int cs = w->state;
    if (p < pe) {
        %%{
            machine http_status;
            write exec;
        }%%
    }
    w->offset = (uint32_t)(p - head);
    w->state = cs;
    if (cs == http_status_error)
        return HTTP_WIRE_MALFORMED;
    if (cs >= http_status_first_final)
        return 1;
    return length >= limit ? HTTP_WIRE_LINE_TOO_LONG : 0;
}

static inline __attribute__((always_inline)) int parse_fields(struct http_wire *w, const uint8_t *head, size_t length,
                                                              const struct http_wire_limits *limits,
                                                              struct fields_out out)
{
    const uint8_t *p = head + w->offset, *pe = head + (length < limits->head_bytes ? length : limits->head_bytes);
    int cs = w->state;
    if (p < pe) {
        %%{
            machine http_fields;
            write exec;
        }%%
    }
    w->offset = (uint32_t)(p - head);
    w->state = cs;
    if (cs == http_fields_error)
        return HTTP_WIRE_MALFORMED;
    if (cs >= http_fields_first_final)
        return (int)w->offset;
    return length >= limits->head_bytes ? HTTP_WIRE_FIELDS_TOO_LARGE : 0;
}

int http_wire_parse(struct http_wire *w, const uint8_t *head, size_t length, const struct http_wire_limits *limits,
                    struct http_request *r)
{
    if (!w->in_fields) {
        int line = parse_line(w, head, length, limits, r);
        if (line <= 0)
            return line;
        w->in_fields = true;
        w->state = http_fields_start;
        r->field_count = 0;
        r->present = 0;
    }
    return parse_fields(w, head, length, limits,
                        (struct fields_out){r->fields, &r->field_count, r->first, &r->present});
}

int http_wire_response(struct http_wire *w, const uint8_t *head, size_t length, const struct http_wire_limits *limits,
                       struct http_response *r)
{
    if (!w->in_fields) {
        if (w->offset == 0) {
            w->state = http_status_start;
            r->reason = (struct http_text){0, 0};
        }
        int line = status_is_ok(w, head, length, limits, r) ? 1 : parse_status(w, head, length, limits, r);
        if (line <= 0)
            return line;
        w->in_fields = true;
        w->state = http_fields_start;
        r->field_count = 0;
        r->present = 0;
    }
    return parse_fields(w, head, length, limits,
                        (struct fields_out){r->fields, &r->field_count, r->first, &r->present});
}

void http_wire_chunk_reset(struct http_wire_chunk *w)
{
    *w = (struct http_wire_chunk){.state = http_chunk_start};
}

int http_wire_chunk_line(struct http_wire_chunk *w, const uint8_t *data, size_t length, bool *done)
{
    uint32_t room = HTTP_CHUNK_LINE_BYTES_MAX - w->line_bytes;
    const uint8_t *p = data, *pe = data + (length < room ? length : room);
    int cs = w->state;
    *done = false;
    if (p < pe) {
        %%{
            machine http_chunk;
            write exec;
        }%%
    }
    w->state = cs;
    w->line_bytes += (uint32_t)(p - data);
    if (cs == http_chunk_error || (!*done && w->line_bytes == HTTP_CHUNK_LINE_BYTES_MAX))
        return HTTP_WIRE_MALFORMED;
    return (int)(p - data);
}

void http_wire_trailers_reset(struct http_wire_chunk *w)
{
    *w = (struct http_wire_chunk){.state = http_trailer_start};
}

int http_wire_trailers(struct http_wire_chunk *w, const uint8_t *data, size_t length, bool *done)
{
    uint32_t room = HTTP_TRAILER_BYTES_MAX - w->line_bytes;
    const uint8_t *p = data, *pe = data + (length < room ? length : room);
    int cs = w->state;
    *done = false;
    if (p < pe) {
        %%{
            machine http_trailer;
            write exec;
        }%%
    }
    w->state = cs;
    w->line_bytes += (uint32_t)(p - data);
    if (cs == http_trailer_error)
        return HTTP_WIRE_MALFORMED;
    if (!*done && w->line_bytes == HTTP_TRAILER_BYTES_MAX)
        return HTTP_WIRE_FIELDS_TOO_LARGE;
    return (int)(p - data);
}
