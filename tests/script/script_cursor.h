/* A cursor over one line of a script: skips blanks, takes words and numbers, remembers the first error and where. */
#ifndef TESTS_SCRIPT_CURSOR_H
#define TESTS_SCRIPT_CURSOR_H

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/script/script.h"

struct cursor {
    const char *file, *start, *at;
    int line;
    char error[256]; /* empty: none */
};

__attribute__((format(printf, 2, 3))) static inline bool cursor_fail(struct cursor *c, const char *format, ...)
{
    if (!c->error[0]) {
        char what[160];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(what, sizeof what, format, arguments);
        va_end(arguments);
        snprintf(c->error, sizeof c->error, "%s:%d:%d: %s", c->file, c->line, (int)(c->at - c->start) + 1, what);
    }
    return false;
}

static inline void cursor_blanks(struct cursor *c)
{
    while (*c->at == ' ' || *c->at == '\t' || *c->at == '\r')
        c->at++;
}

static inline bool cursor_end(struct cursor *c)
{
    cursor_blanks(c);
    return *c->at == '\0';
}

/* Takes `text` when it stands here, as a whole word when it ends in a letter. */
static inline bool cursor_take(struct cursor *c, const char *text)
{
    cursor_blanks(c);
    size_t n = strlen(text);
    if (strncmp(c->at, text, n) != 0)
        return false;
    if (isalnum((unsigned char)text[n - 1]) && (isalnum((unsigned char)c->at[n]) || c->at[n] == '_'))
        return false;
    c->at += n;
    return true;
}

static inline bool cursor_need(struct cursor *c, const char *text)
{
    return cursor_take(c, text) || cursor_fail(c, "expected \"%s\"", text);
}

/* Letters, digits and "_.-" into `word`; false when none stands here. */
static inline bool cursor_word(struct cursor *c, char *word, size_t bytes)
{
    cursor_blanks(c);
    size_t n = 0;
    while (n + 1 < bytes && (isalnum((unsigned char)*c->at) || *c->at == '_' || *c->at == '.' || *c->at == '-'))
        word[n++] = *c->at++;
    word[n] = '\0';
    return n > 0 || cursor_fail(c, "expected a word");
}

static inline bool cursor_number(struct cursor *c, int64_t *number)
{
    cursor_blanks(c);
    char *end;
    long long value = strtoll(c->at, &end, 0);
    if (end == c->at || !(isdigit((unsigned char)*c->at) || *c->at == '-'))
        return cursor_fail(c, "expected a number");
    c->at = end;
    *number = value;
    return true;
}

/* "*", "7" or "7~9" */
static inline bool cursor_range(struct cursor *c, struct script_range *r)
{
    if (cursor_take(c, "*")) {
        *r = SCRIPT_ANY;
        return true;
    }
    if (!cursor_number(c, &r->low))
        return false;
    r->high = r->low;
    return !cursor_take(c, "~") || (cursor_number(c, &r->high) && (r->high >= r->low || cursor_fail(c, "empty range")));
}

/* The grammar of segments; the direction decides what may be left open. */
bool segment_parse(struct cursor *c, struct script_segment *s, bool inbound);

#endif
