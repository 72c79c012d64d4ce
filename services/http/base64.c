/* Base 64 (RFC 4648 section 4), strict: padding whole, unused bits zero (section 3.5). */
#include "http/json_out.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(struct mr_span bytes, char *to)
{
    size_t used = 0;
    for (size_t i = 0; i < bytes.length; i += 3) {
        size_t left = bytes.length - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16 | (left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0) |
                         (left > 2 ? bytes.data[i + 2] : 0);
        to[used++] = alphabet[group >> 18];
        to[used++] = alphabet[group >> 12 & 63];
        to[used++] = left > 1 ? alphabet[group >> 6 & 63] : '=';
        to[used++] = left > 2 ? alphabet[group & 63] : '=';
    }
    return used;
}

static uint32_t digit_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26u;
    if (c >= '0' && c <= '9')
        return c - '0' + 52u;
    return c == '+' ? 62 : c == '/' ? 63 : UINT32_MAX;
}

size_t base64_decode(struct mr_span text, uint8_t *to)
{
    size_t used = 0, n = text.length, padding = 0;
    if (n % 4 != 0)
        return SIZE_MAX;
    while (padding < 2 && padding < n && text.data[n - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < n; i += 4) {
        unsigned digits = i + 4 == n ? 4 - (unsigned)padding : 4;
        uint32_t group = 0;
        for (unsigned k = 0; k < 4; k++) {
            uint32_t digit = k < digits ? digit_of(text.data[i + k]) : 0;
            if (digit == UINT32_MAX)
                return SIZE_MAX;
            group = group << 6 | digit;
        }
        if ((digits == 3 && group & 0xff) || (digits == 2 && group & 0xffff))
            return SIZE_MAX;
        for (unsigned k = 0; k + 1 < digits; k++)
            to[used++] = (uint8_t)(group >> (16 - 8 * k));
    }
    return used;
}
