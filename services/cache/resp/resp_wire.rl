#include "cache/resp/resp_wire.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Generated code falls from one state into the next. */
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"

#define NUMBER_MAX    (UINT64_C(1) << 56) /* larger ones are wrong whatever they count */
#define INLINE_PIECE  1024u               /* an inline command is gathered in records of so many bytes */
#define INLINE_PIECES (CACHE_INLINE_MAX / INLINE_PIECE + 1)

/* The state: 0 between two commands, Ragel's within an array of bulk strings (from 1 on), or this. */
#define EXPECT_LINE_END UINT8_MAX

%%{
    # Written once, with other actions where a command lies whole and where it comes in pieces. Numbers are canonical:
    # no sign but '-', no leading zero. What ends an argument is checked, though Redis takes any two bytes.
    machine resp_request;
    alphtype unsigned char;

    action number_first { number = *p - (unsigned)'0'; }
    action minus { negative = true; }
    action count_digit {
        number = number * 10 + (*p - (unsigned)'0');
        if (number > NUMBER_MAX)
            return CACHE_RESP_MULTIBULK_LENGTH;
    }
    action length_digit {
        number = number * 10 + (*p - (unsigned)'0');
        if (number > NUMBER_MAX)
            return CACHE_RESP_BULK_LENGTH;
    }
    action count_wrong { return CACHE_RESP_MULTIBULK_LENGTH; }
    action length_wrong { return CACHE_RESP_BULK_LENGTH; }
    action not_bulk {
        w->unexpected = *p;
        return CACHE_RESP_EXPECTED_BULK;
    }

    crlf = "\r\n";
    count = ("-" @minus)? [1-9] @number_first ([0-9] @count_digit)* | "0" @number_first;
    length = [1-9] @number_first ([0-9] @length_digit)* | "0" @number_first;
    count_line = "*" (count crlf) >err(count_wrong) <>err(count_wrong);
    length_line = "$" >err(not_bulk) (length crlf) >err(length_wrong) <>err(length_wrong);
    bulk_end = crlf >err(length_wrong) <>err(length_wrong);
}%%

%%{
    machine resp_whole;

    action count_end {
        int64_t wrong = count_check(number, negative, limits);
        if (wrong <= 0) {
            *argc = 0;
            return wrong < 0 ? wrong : p + 1 - data;
        }
        last = argv + number;
    }
    action length_end {
        if (__builtin_expect(number > CACHE_SMALL_MAX || number > limits->bulk_bytes_max, false)) {
            int64_t wrong = length_check(number, limits);
            return wrong < 0 ? wrong : 0;
        }
        if ((uint64_t)(pe - p) < number + 3)
            return 0;
        argument->data = p + 1;
        argument->length = (uint32_t)number;
        argument->rope = NULL;
        argument++;
        p += number;
    }
    action argument_end {
        if (argument == last) {
            *argc = (unsigned)(argument - argv);
            return p + 1 - data;
        }
    }

    include resp_request;
    main := (count_line @count_end) ((length_line @length_end) (bulk_end @argument_end))+;
    write data noentry nofinal noerror;
}%%

%%{
    machine resp_pieces;

    action count_end {
        int64_t wrong = count_check(number, negative, limits);
        if (wrong < 0)
            return wrong;
        arguments = (uint32_t)wrong;
        if (arguments == 0) {
            *complete = true;
            fbreak;
        }
    }
    action length_end {
        int64_t wrong = length_check(number, limits);
        if (wrong < 0)
            return wrong;
        if (!cache_packed_begin(into, (uint32_t)number, ropes))
            return CACHE_RESP_NO_MEMORY;
        fbreak; /* the bytes are not the machine's */
    }
    action argument_end {
        if (--arguments == 0) {
            *complete = true;
            fbreak;
        }
    }

    include resp_request;
    main := (count_line @count_end) ((length_line @length_end) (bulk_end @argument_end))+;
    write data noentry nofinal noerror;
}%%

%%{
    # The line of an inline command with its end, words as Redis splits them: a quote may begin within a word, a closing one
    # must end it. White space of the C locale parts words, though a vertical tab or form feed within one belongs to it.
    machine resp_inline;
    alphtype unsigned char;

    action add { line[length++] = *p; }
    action add_control { line[length++] = inline_control(*p); }
    action quote { line[length - 1] = '\''; }
    action hex {
        line[length - 2] = (uint8_t)(hex_value(line[length - 1]) << 4 | hex_value(*p));
        length--;
    }
    action end {
        if (!cache_packed_begin(into, length, ropes) || !cache_packed_append(into, line, length))
            return CACHE_RESP_NO_MEMORY;
        length = 0;
    }

    blank = [ \t\n\r];
    skipped = blank | 0x0b | 0x0c;
    plain = (any - blank - ["'] - 0) @add;
    plain_first = (any - skipped - ["'] - 0) @add;
    # \xHH: as far as it goes its characters are added as plain ones; the last makes them one byte.
    escape = (any - "x" - 0) @add_control | "x" @add (xdigit @add (xdigit @hex)?)?;
    double_quoted = '"' ((any - ["\\] - 0) @add | "\\" escape)** '"';
    single_quoted = "'" ((any - ['\\] - 0) @add | ("\\" @add)+ ("'" @quote | (any - ['\\] - 0) @add))* "'";
    word = plain_first plain*;
    main := skipped* (word blank @end skipped* | word? (double_quoted | single_quoted) skipped @end skipped*)*;
    write data noentry nofinal;
}%%

/* How many arguments follow, 0: none; or the error. */
static int64_t count_check(uint64_t number, bool negative, const struct cache_resp_limits *limits)
{
    if (negative)
        return 0;
    if (number > CACHE_ARGUMENTS_MAX)
        return CACHE_RESP_MULTIBULK_LENGTH;
    return number > limits->arguments_max ? CACHE_RESP_MULTIBULK_UNAUTHENTICATED : (int64_t)number;
}

static int64_t length_check(uint64_t number, const struct cache_resp_limits *limits)
{
    if (number <= limits->bulk_bytes_max && number <= CACHE_VALUE_MAX)
        return 0;
    bool authenticated = limits->arguments_max == CACHE_ARGUMENTS_MAX;
    return authenticated || number > CACHE_VALUE_MAX ? CACHE_RESP_BULK_LENGTH : CACHE_RESP_BULK_UNAUTHENTICATED;
}

/* Words that can be borrowed: a line with a quote or a zero byte is left to inline_split. */
static int64_t inline_parse(const uint8_t *data, size_t n, const struct cache_resp_limits *limits,
                            struct cache_argument *argv, unsigned *argc)
{
    size_t most = (size_t)limits->inline_bytes_max + 1;
    const uint8_t *end = memchr(data, '\n', n < most ? n : most);
    if (!end)
        return n < most ? 0 : CACHE_RESP_INLINE_TOO_BIG;
    unsigned words = 0;
    for (const uint8_t *p = data; p < end;) {
        const uint8_t *word = p;
        if (*p == ' ' || (*p >= '\t' && *p <= '\r')) {
            p++;
            continue;
        }
        for (; p < end && *p != ' ' && *p != '\t' && *p != '\r'; p++)
            if (*p == '"' || *p == '\'' || *p == 0)
                return 0;
        if (p - word > (ptrdiff_t)CACHE_SMALL_MAX)
            return 0;
        argv[words++] = (struct cache_argument){word, (uint32_t)(p - word), NULL};
    }
    *argc = words;
    return end + 1 - data;
}

static int64_t array_parse(struct cache_resp_wire *w, const uint8_t *data, size_t n,
                           const struct cache_resp_limits *limits, struct cache_argument *argv, unsigned *argc)
{
    const uint8_t *p = data, *pe = data + n, *const eof = NULL;
    struct cache_argument *argument = argv, *last = argv;
    uint64_t number = 0;
    bool negative = false;
    int cs = resp_whole_start;
    %%{
        machine resp_whole;
        write exec;
    }%%
    return 0;
}

int64_t cache_resp_parse(struct cache_resp_wire *w, const uint8_t *data, size_t n,
                         const struct cache_resp_limits *limits, struct cache_argument *argv, unsigned *argc)
{
    if (n == 0)
        return 0;
    return *data == '*' ? array_parse(w, data, n, limits, argv, argc) : inline_parse(data, n, limits, argv, argc);
}

static uint8_t inline_control(uint8_t c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return c;
    }
}

static unsigned hex_value(uint8_t c)
{
    return c <= '9' ? c - (unsigned)'0' : (c | 0x20u) - 'a' + 10;
}

/* A line with its end becomes arguments; words are unquoted in place, which makes them shorter, never longer. */
static int64_t inline_split(uint8_t *line, size_t n, struct cache_packed *into, struct memory *ropes)
{
    const uint8_t *p = line, *pe = line + n;
    uint32_t length = 0;
    int cs = resp_inline_start;
    %%{
        machine resp_inline;
        write exec;
    }%%
    return cs == resp_inline_error || length ? CACHE_RESP_QUOTES : 0;
}

/* The records that inline_feed made become the command. */
static int64_t inline_end(uint32_t line_bytes, struct cache_packed *into, struct memory *ropes)
{
    static const uint8_t zeros[INLINE_PIECE];
    struct cache_argument piece[INLINE_PIECES];
    uint8_t line[CACHE_INLINE_MAX + 1];
    uint32_t n = 0;
    if (!cache_packed_append(into, zeros, into->missing))
        return CACHE_RESP_NO_MEMORY;
    struct cache_packed pieces = *into;
    cache_packed_init(into, pieces.memory);
    cache_packed_arguments(&pieces, piece);
    for (uint32_t i = 0; n < line_bytes; i++) {
        uint32_t part = line_bytes - n < INLINE_PIECE ? line_bytes - n : INLINE_PIECE;
        memcpy(line + n, piece[i].data, part);
        n += part;
    }
    line[n] = '\n';
    cache_packed_free(&pieces);
    return inline_split(line, n + 1, into, ropes);
}

/* Gathers a line as records of equal size, however small its pieces are. */
static int64_t inline_feed(struct cache_resp_wire *w, const uint8_t *data, size_t n,
                           const struct cache_resp_limits *limits, struct cache_packed *into, struct memory *ropes,
                           bool *complete)
{
    assert(limits->inline_bytes_max <= CACHE_INLINE_MAX);
    size_t most = (size_t)limits->inline_bytes_max - w->line_bytes + 1;
    const uint8_t *end = memchr(data, '\n', n < most ? n : most);
    if (!end && n >= most)
        return CACHE_RESP_INLINE_TOO_BIG;
    const uint8_t *stop = end ? end : data + n;
    for (const uint8_t *p = data; p < stop;) {
        if (!into->missing && !cache_packed_begin(into, INLINE_PIECE, ropes))
            return CACHE_RESP_NO_MEMORY;
        size_t part = (size_t)(stop - p) < into->missing ? (size_t)(stop - p) : into->missing;
        if (!cache_packed_append(into, p, part))
            return CACHE_RESP_NO_MEMORY;
        p += part;
    }
    w->line_bytes += (uint32_t)(stop - data);
    w->state = EXPECT_LINE_END;
    if (!end)
        return (int64_t)n;
    *complete = true;
    int64_t wrong = inline_end(w->line_bytes, into, ropes);
    *w = (struct cache_resp_wire){0};
    return wrong < 0 ? wrong : end + 1 - data;
}

/* As much of an argument as is there. */
static int64_t bulk_feed(const uint8_t *data, size_t n, struct cache_packed *into)
{
    size_t part = n < into->missing ? n : into->missing;
    return cache_packed_append(into, data, part) ? (int64_t)part : CACHE_RESP_NO_MEMORY;
}

/* As far as the next argument's bytes, or the end. */
static int64_t array_feed(struct cache_resp_wire *w, const uint8_t *data, size_t n,
                          const struct cache_resp_limits *limits, struct cache_packed *into, struct memory *ropes,
                          bool *complete)
{
    const uint8_t *p = data, *pe = data + n, *const eof = NULL;
    uint64_t number = w->number;
    uint32_t arguments = w->arguments;
    bool negative = w->negative;
    int cs = w->state ? w->state : resp_pieces_start;
    %%{
        machine resp_pieces;
        write exec;
    }%%
    w->state = *complete ? 0 : (uint8_t)cs;
    w->number = number;
    w->arguments = arguments;
    w->negative = negative && !*complete;
    return p - data;
}

int64_t cache_resp_feed(struct cache_resp_wire *w, const uint8_t *data, size_t n,
                        const struct cache_resp_limits *limits, struct cache_packed *into, struct memory *ropes,
                        bool *complete)
{
    *complete = false;
    if (w->state == EXPECT_LINE_END || (w->state == 0 && n && *data != '*'))
        return inline_feed(w, data, n, limits, into, ropes, complete);
    for (size_t at = 0; at < n;) {
        int64_t part = into->missing ? bulk_feed(data + at, n - at, into)
                                     : array_feed(w, data + at, n - at, limits, into, ropes, complete);
        if (part < 0)
            return part;
        at += (size_t)part;
        if (*complete)
            return (int64_t)at;
    }
    return (int64_t)n;
}

const char *cache_resp_error_text(const struct cache_resp_wire *w, int64_t error, char text[80])
{
    static const char *const sentences[] = {
        [-CACHE_RESP_MULTIBULK_LENGTH] = "invalid multibulk length",
        [-CACHE_RESP_BULK_LENGTH] = "invalid bulk length",
        [-CACHE_RESP_MULTIBULK_UNAUTHENTICATED] = "unauthenticated multibulk length",
        [-CACHE_RESP_BULK_UNAUTHENTICATED] = "unauthenticated bulk length",
        [-CACHE_RESP_INLINE_TOO_BIG] = "too big inline request",
        [-CACHE_RESP_QUOTES] = "unbalanced quotes in request",
        [-CACHE_RESP_NO_MEMORY] = "no memory for the request",
    };
    if (error == CACHE_RESP_EXPECTED_BULK)
        snprintf(text, 80, "ERR Protocol error: expected '$', got '%c'", w->unexpected);
    else
        snprintf(text, 80, "ERR Protocol error: %s", sentences[-error]);
    return text;
}
