/* Text of a transaction to words. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/control/words.h"

struct split {
    const char *at;
    char *out; /* where the next character of a word goes: never beyond what was read */
    unsigned line;
};

static bool ends_word(char c)
{
    return c == 0 || c == ';' || isspace((unsigned char)c);
}

/* One word, its quotes taken off. False: a quote does not end. */
static bool take_word(struct split *s)
{
    char quote = 0;
    for (; quote ? *s->at != 0 : !ends_word(*s->at); s->at++) {
        if (*s->at == '\\' && quote != '\'' && s->at[1])
            *s->out++ = *++s->at;
        else if (*s->at == quote)
            quote = 0;
        else if (!quote && (*s->at == '"' || *s->at == '\''))
            quote = *s->at;
        else
            *s->out++ = *s->at;
        s->line += *s->at == '\n';
    }
    *s->out++ = 0;
    return !quote;
}

/* Blanks and comments; true: a ';' or the end of a line was among them. */
static bool skip_blanks(struct split *s)
{
    bool separated = false;
    for (;; s->at++) {
        if (*s->at == '#')
            s->at += strcspn(s->at, "\n");
        separated |= *s->at == ';' || *s->at == '\n';
        s->line += *s->at == '\n';
        if (*s->at != ';' && !isspace((unsigned char)*s->at))
            return separated;
    }
}

char **control_words_split(const char *text, int *count, char *message, size_t message_bytes)
{
    static char separator[] = ";";
    size_t table = CONTROL_WORDS_MAX * sizeof(char *);
    char **words = malloc(table + 2 * strlen(text) + 2);
    if (!words) {
        snprintf(message, message_bytes, "no memory");
        return NULL;
    }
    struct split s = {text, (char *)words + table, 1};
    *count = 0;
    for (bool first = true;; first = false) {
        bool separated = skip_blanks(&s);
        if (*s.at == 0)
            return words;
        if (*count + 2 > CONTROL_WORDS_MAX) {
            snprintf(message, message_bytes, "more than %d words", CONTROL_WORDS_MAX);
            break;
        }
        if (separated && !first)
            words[(*count)++] = separator;
        words[(*count)++] = s.out;
        unsigned line = s.line;
        if (!take_word(&s)) {
            snprintf(message, message_bytes, "line %u: a quote does not end", line);
            break;
        }
    }
    free(words);
    return NULL;
}
