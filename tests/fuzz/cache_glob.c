/* Glob patterns: the matcher, which goes back to the last star only, against a table of every prefix of the pattern and
 * every prefix of the text. */
#include <stdlib.h>
#include <string.h>

#include "cache/command/command.h"

#define LENGTH_MAX 512

/* One element at `at` against a byte, written from the description and not from the matcher: what the class holds is
 * gathered in a set first. Returns where the element ends. */
static size_t element(const uint8_t *p, size_t n, size_t at, uint8_t c, bool *matches)
{
    if (p[at] == '?') {
        *matches = true;
        return at + 1;
    }
    if (p[at] == '\\' && at + 1 < n) {
        *matches = p[at + 1] == c;
        return at + 2;
    }
    if (p[at] != '[') {
        *matches = p[at] == c;
        return at + 1;
    }
    bool set[256] = {false}, negated = ++at < n && p[at] == '^';
    at += negated;
    while (at < n && p[at] != ']') {
        if (p[at] == '\\' && n - at > 1) {
            set[p[at + 1]] = true;
            at += 2;
        } else if (n - at > 2 && p[at + 1] == '-') {
            unsigned from = p[at] < p[at + 2] ? p[at] : p[at + 2], to = p[at] < p[at + 2] ? p[at + 2] : p[at];
            for (unsigned i = from; i <= to; i++)
                set[i] = true;
            at += 3;
        } else {
            set[p[at++]] = true;
        }
    }
    *matches = set[c] != negated;
    return at < n ? at + 1 : n;
}

/* reach[i]: the pattern up to i matches the text read so far. */
static bool slow_match(struct mr_span pattern, struct mr_span text)
{
    static bool reach[LENGTH_MAX + 1], next[LENGTH_MAX + 1];
    size_t n = pattern.length;
    if (!text.length)
        return !n;
    memset(reach, 0, sizeof reach);
    reach[0] = true;
    for (size_t t = 0; t <= text.length; t++) {
        memset(next, 0, sizeof next);
        for (size_t i = 0; i < n; i++) {
            if (!reach[i])
                continue;
            bool matches;
            if (pattern.data[i] == '*') {
                reach[i + 1] = true;
                next[i] = true;
            } else if (t < text.length) {
                size_t end = element(pattern.data, n, i, text.data[t], &matches);
                next[end] |= matches;
            }
        }
        if (t < text.length)
            memcpy(reach, next, sizeof reach);
    }
    return reach[n];
}

/* Stars, and between them what nearly matches everywhere: long enough that more than pattern times text steps would show. */
static void hostile(const uint8_t *data, size_t size)
{
    static uint8_t pattern[1024], text[2048];
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = data[i % size];
    memset(text, data[0], sizeof text);
    cache_glob_match((struct mr_span){pattern, sizeof pattern}, (struct mr_span){text, sizeof text}, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t pattern_length = data[0] % size;
    /* Each of them ends where its allocation does. */
    uint8_t *pattern = malloc(pattern_length), *text = malloc(size - 1 - pattern_length);
    struct mr_span p = {pattern, pattern_length}, t = {text, size - 1 - pattern_length};
    memcpy(pattern, data + 1, p.length);
    memcpy(text, data + 1 + p.length, t.length);
    if (p.length <= LENGTH_MAX && cache_glob_match(p, t, false) != slow_match(p, t))
        abort();
    cache_glob_match(p, t, true);
    if (p.length && p.length <= 16 && size % 8 == 0) /* it takes long */
        hostile(pattern, p.length);
    free(pattern);
    free(text);
    return 0;
}
