#include "cache/command/argument.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INTEGER_DIGITS_MAX 20   /* of UINT64_MAX */
#define FLOAT_TEXT_MAX     5120 /* bytes of a number with a point: as much as Redis reads of a long double */

bool cache_argument_is(const struct cache_argument *a, const char *word)
{
    if (!a->data)
        return false;
    for (uint32_t i = 0; i < a->length; i++) {
        uint8_t c = a->data[i];
        c |= c >= 'A' && c <= 'Z' ? 0x20 : 0;
        if (c != (uint8_t)word[i] || c == 0)
            return false;
    }
    return word[a->length] == 0;
}

/* Canonical decimal digits: none in front of them, no leading zero but "0" itself. */
static bool digits_read(const uint8_t *p, uint32_t n, uint64_t *value)
{
    if (n == 0 || n > INTEGER_DIGITS_MAX || (*p == '0' && n > 1))
        return false;
    uint64_t v = 0;
    for (uint32_t i = 0; i < n; i++) {
        unsigned digit = p[i] - (unsigned)'0';
        if (digit > 9 || __builtin_mul_overflow(v, UINT64_C(10), &v) || __builtin_add_overflow(v, digit, &v))
            return false;
    }
    *value = v;
    return true;
}

bool cache_argument_unsigned(const struct cache_argument *a, uint64_t *value)
{
    return a->data && digits_read(a->data, a->length, value);
}

bool cache_argument_integer(const struct cache_argument *a, int64_t *value)
{
    uint64_t v;
    if (!a->data || a->length == 0)
        return false;
    bool negative = *a->data == '-';
    if (!digits_read(a->data + negative, a->length - negative, &v) || v > (uint64_t)INT64_MAX + negative ||
        (negative && v == 0))
        return false;
    *value = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

/* Up to 15 digits with a point somewhere: both the digits and the power of ten are exact doubles, so one division rounds
 * correctly (Clinger 1990). False: not such a number, or not one at all. */
static bool short_decimal(const uint8_t *p, uint32_t n, double *value)
{
    static const double power[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    bool negative = n && *p == '-';
    p += negative;
    n -= negative;
    uint64_t v = 0;
    uint32_t point = n;
    if (n == 0 || n > 15 || p[0] == '.')
        return false;
    for (uint32_t i = 0; i < n; i++) {
        unsigned digit = p[i] - (unsigned)'0';
        if (digit <= 9)
            v = v * 10 + digit;
        else if (p[i] == '.' && point == n)
            point = i;
        else
            return false;
    }
    double d = (double)v / power[point < n ? n - 1 - point : 0];
    *value = negative ? -d : d;
    return true;
}

/* As text that strtod takes: it must be a string, begin without a space and hold no zero byte. */
static bool float_text(const struct cache_argument *a, char text[FLOAT_TEXT_MAX])
{
    if (!a->data || a->length == 0 || a->length >= FLOAT_TEXT_MAX || isspace(*a->data))
        return false;
    memcpy(text, a->data, a->length);
    text[a->length] = 0;
    return true;
}

bool cache_argument_double(const struct cache_argument *a, double *value)
{
    if (a->data && short_decimal(a->data, a->length, value))
        return true;
    char text[FLOAT_TEXT_MAX], *end;
    if (!float_text(a, text))
        return false;
    errno = 0;
    double d = strtod(text, &end);
    if (end != text + a->length || isnan(d) || (errno == ERANGE && (isinf(d) || d == 0)))
        return false;
    *value = d;
    return true;
}

bool cache_argument_long_double(const struct cache_argument *a, long double *value)
{
    char text[FLOAT_TEXT_MAX], *end;
    if (!float_text(a, text))
        return false;
    errno = 0;
    long double d = strtold(text, &end);
    if (end != text + a->length || isnan(d) || (errno == ERANGE && (isinf(d) || d == 0)))
        return false;
    *value = d;
    return true;
}
