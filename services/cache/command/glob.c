/* Patterns of KEYS, SCAN MATCH and PSUBSCRIBE, as Redis reads them:
 *
 *     *  any bytes     ?  one byte     [a-z] [^ab]  one of a class     \x  x itself
 *
 * A class that nothing closes ends with the pattern. The first occurrence of what follows a star is as good as any later
 * one, so only the last star is ever gone back to: at most pattern times text steps, no recursion. */
#include "cache/command/command.h"

#include <string.h>

#define NO_STAR SIZE_MAX

static inline uint8_t folded(uint8_t c, bool ignore_case)
{
    return ignore_case && c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static inline bool in_range(uint8_t from, uint8_t to, uint8_t c, bool ignore_case)
{
    if (from > to) {
        uint8_t lower = to;
        to = from;
        from = lower;
    }
    c = folded(c, ignore_case);
    return c >= folded(from, ignore_case) && c <= folded(to, ignore_case);
}

/* The class whose '[' lies before *at, which moves behind its ']'. An escaped member is compared as it is. */
static bool class_match(struct mr_span pattern, size_t *at, uint8_t c, bool ignore_case)
{
    const uint8_t *p = pattern.data;
    size_t i = *at, end = pattern.length;
    bool wanted = true, found = false;
    if (i < end && p[i] == '^') {
        wanted = false;
        i++;
    }
    while (i < end && p[i] != ']') {
        if (p[i] == '\\' && end - i >= 2) {
            found |= p[i + 1] == c;
            i += 2;
        } else if (end - i >= 3 && p[i + 1] == '-') {
            found |= in_range(p[i], p[i + 2], c, ignore_case);
            i += 3;
        } else {
            found |= folded(p[i], ignore_case) == folded(c, ignore_case);
            i++;
        }
    }
    *at = i < end ? i + 1 : end;
    return found == wanted;
}

/* One element of the pattern, no star, against one byte; *at moves behind the element. */
static inline bool element_match(struct mr_span pattern, size_t *at, uint8_t c, bool ignore_case)
{
    uint8_t p = pattern.data[(*at)++];
    if (p == '?')
        return true;
    if (p == '[')
        return class_match(pattern, at, c, ignore_case);
    if (p == '\\' && *at < pattern.length)
        p = pattern.data[(*at)++];
    return folded(p, ignore_case) == folded(c, ignore_case);
}

/* Where the text can next match what begins at `at`: a plain byte is searched for. */
static size_t candidate(struct mr_span pattern, size_t at, struct mr_span text, size_t from, bool ignore_case)
{
    uint8_t p = pattern.data[at];
    if (ignore_case || p == '?' || p == '[' || p == '\\' || from >= text.length)
        return from;
    const uint8_t *found = memchr(text.data + from, p, text.length - from);
    return found ? (size_t)(found - text.data) : text.length;
}

bool cache_glob_match(struct mr_span pattern, struct mr_span text, bool ignore_case)
{
    if (!text.length)
        return !pattern.length; /* as Redis: a lone star wants at least one byte */

    size_t p = 0, t = 0, star = NO_STAR, star_text = 0;
    while (t < text.length) {
        if (p < pattern.length && pattern.data[p] == '*') {
            while (p < pattern.length && pattern.data[p] == '*')
                p++;
            if (p == pattern.length)
                return true;
            star = p;
            star_text = t = candidate(pattern, p, text, t, ignore_case);
        } else if (p < pattern.length && element_match(pattern, &p, text.data[t], ignore_case)) {
            t++;
        } else if (star != NO_STAR) {
            p = star;
            star_text = t = candidate(pattern, p, text, star_text + 1, ignore_case);
        } else {
            return false;
        }
    }
    if (star != NO_STAR && p == star)
        return false; /* behind the star something is wanted, and nothing is left */
    while (p < pattern.length && pattern.data[p] == '*')
        p++;
    return p == pattern.length;
}
