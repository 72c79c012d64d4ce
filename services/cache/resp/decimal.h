/* Decimal digits, two at a time: they are in every reply. */
#ifndef SERVICES_CACHE_DECIMAL_H
#define SERVICES_CACHE_DECIMAL_H

#include <stdint.h>
#include <string.h>

#define CACHE_DECIMAL_MAX 20 /* digits of UINT64_MAX */

extern const char cache_digit_pairs[200]; /* "00" "01" ... "99" */

static inline unsigned cache_decimal_length(uint64_t v)
{
    unsigned n = 1;
    for (; v >= 10000; v /= 10000)
        n += 4;
    return n + (v >= 10) + (v >= 100) + (v >= 1000);
}

/* Decimal digits of `v` at `to`; returns their end. */
static inline uint8_t *cache_decimal_write(uint8_t *to, uint64_t v)
{
    if (v < 10) {
        *to = (uint8_t)('0' + v);
        return to + 1;
    }
    uint8_t *end = to + cache_decimal_length(v), *p = end;
    for (; v >= 100; v /= 100)
        memcpy(p -= 2, cache_digit_pairs + v % 100 * 2, 2);
    if (v >= 10)
        memcpy(p - 2, cache_digit_pairs + v * 2, 2);
    else
        p[-1] = (uint8_t)('0' + v);
    return end;
}

#endif
