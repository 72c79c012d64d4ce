/* The grammar of RFC 8259, sections 2 to 8, with the well-formed sequences of UTF-8 (RFC 3629 section 4). */
#include "http/json_wire.h"

#include <string.h>

/* Generated code falls from one state into the next. */
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"

struct parse {
    const uint8_t *text;
    struct json_token *tokens;
    unsigned used, room;
    unsigned open[JSON_DEPTH_MAX]; /* the containers around the current place */
    unsigned depth;
    uint32_t mark; /* where the current string or number began */
    bool escaped;
};

/* The next token; false: there is no room. */
static bool token_add(struct parse *s, enum json_type type, uint32_t offset, uint32_t length)
{
    if (s->used == s->room)
        return false;
    s->tokens[s->used] = (struct json_token){
        .type = (uint8_t)type, .escaped = s->escaped, .offset = offset, .length = length, .next = s->used + 1};
    s->used++;
    s->escaped = false;
    return true;
}

/* A value in an array counts there; in an object its name does. */
static void value_count(struct parse *s, bool name)
{
    struct json_token *around = s->depth ? &s->tokens[s->open[s->depth - 1]] : NULL;
    if (around && (around->type == JSON_OBJECT) == name)
        around->count++;
}

static void container_end(struct parse *s, uint32_t end)
{
    struct json_token *t = &s->tokens[s->open[--s->depth]];
    t->next = s->used;
    t->length = end - t->offset;
}

%%{
    machine json;
    alphtype unsigned char;

    action mark { s->mark = (uint32_t)(p - text); }
    action escape { s->escaped = true; }
    action name {
        value_count(s, true);
        if (!token_add(s, JSON_STRING, s->mark, (uint32_t)(p - text) - s->mark))
            return JSON_TOO_LARGE;
    }
    action string {
        value_count(s, false);
        if (!token_add(s, JSON_STRING, s->mark, (uint32_t)(p - text) - s->mark))
            return JSON_TOO_LARGE;
    }
    action number {
        value_count(s, false);
        if (!token_add(s, JSON_NUMBER, s->mark, (uint32_t)(p - text) - s->mark))
            return JSON_TOO_LARGE;
    }
    action null {
        value_count(s, false);
        if (!token_add(s, JSON_NULL, (uint32_t)(p - text) - 3, 4))
            return JSON_TOO_LARGE;
    }
    action true {
        value_count(s, false);
        if (!token_add(s, JSON_TRUE, (uint32_t)(p - text) - 3, 4))
            return JSON_TOO_LARGE;
    }
    action false {
        value_count(s, false);
        if (!token_add(s, JSON_FALSE, (uint32_t)(p - text) - 4, 5))
            return JSON_TOO_LARGE;
    }
    action container {
        value_count(s, false);
        if (s->depth == JSON_DEPTH_MAX)
            return JSON_TOO_DEEP;
        if (!token_add(s, *p == '{' ? JSON_OBJECT : JSON_ARRAY, (uint32_t)(p - text), 0))
            return JSON_TOO_LARGE;
        s->open[s->depth++] = s->used - 1;
        if (*p == '{')
            fcall object;
        fcall array;
    }
    action end {
        container_end(s, (uint32_t)(p - text) + 1);
        fret;
    }

    ws = [ \t\n\r]*;

    tail = 0x80..0xbf;
    plain = (0x20..0x7f - ["\\])
          | 0xc2..0xdf tail
          | 0xe0 0xa0..0xbf tail | (0xe1..0xec | 0xee..0xef) tail tail | 0xed 0x80..0x9f tail
          | 0xf0 0x90..0xbf tail tail | 0xf1..0xf3 tail tail tail | 0xf4 0x80..0x8f tail tail;
    unit = ([0-9a-cA-CefEF] xdigit | [dD] [0-7]) xdigit xdigit;    # section 7; not a surrogate
    pair = [dD] [89abAB] xdigit xdigit "\\u" [dD] [c-fC-F] xdigit xdigit;
    escaped = "\\" @escape (["\\/bfnrt] | "u" (unit | pair));
    text = '"' (plain | escaped)* >mark;

    number = ("-"? ("0" | [1-9] [0-9]*) ("." [0-9]+)? ([eE] [+\-]? [0-9]+)?) >mark %number;

    value = text '"' @string | number | "null" @null | "true" @true | "false" @false | [{\[] @container;

    object := ws (text '"' @name ws ":" ws value ws ("," ws text '"' @name ws ":" ws value ws)*)? "}" @end;
    array := ws (value ws ("," ws value ws)*)? "]" @end;
    main := ws value ws;

    write data noentry noerror;
}%%

int json_parse(const uint8_t *text, size_t n, struct json_token *tokens, unsigned room)
{
    struct parse parse = {.text = text, .tokens = tokens, .room = room}, *s = &parse;
    int cs = json_start, top = 0, stack[JSON_DEPTH_MAX];
    const uint8_t *p = text, *pe = text + n, *eof = pe;
    if (n == 0 || n > UINT32_MAX) {
        return JSON_MALFORMED;
    }
    %% write exec;
    return cs >= json_first_final && s->depth == 0 ? (int)s->used : JSON_MALFORMED;
}
