#include "cache/resp/decimal.h"

#include <math.h>
#include <stdio.h>

#include "cache/resp/reply.h"

const char cache_digit_pairs[200] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243"
    "4445464748495051525354555657585960616263646566676869707172737475767778798081828384858687"
    "888990919293949596979899";

unsigned cache_double_text(double value, char text[40])
{
    if (isnan(value))
        return (unsigned)sprintf(text, "nan");
    if (value > -0x1p53 && value < 0x1p53 && (double)(int64_t)value == value && !(value == 0 && signbit(value))) {
        int64_t whole = (int64_t)value;
        uint8_t *p = (uint8_t *)text;
        if (whole < 0)
            *p++ = '-';
        p = cache_decimal_write(p, whole < 0 ? 0 - (uint64_t)whole : (uint64_t)whole);
        *p = 0;
        return (unsigned)(p - (uint8_t *)text);
    }
    return (unsigned)snprintf(text, 40, "%.17g", value);
}
