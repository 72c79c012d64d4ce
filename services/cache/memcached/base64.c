#include "cache/memcached/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int cache_base64_decode(const uint8_t *in, size_t n, uint8_t *out)
{
    uint8_t *p = out;
    if (n == 0 || n % 4)
        return -1;
    for (size_t i = 0; i < n; i += 4) {
        bool last = i + 4 == n;
        unsigned padding = last ? (in[i + 3] == '=') + (in[i + 3] == '=' && in[i + 2] == '=') : 0;
        uint32_t bits = 0;
        for (unsigned k = 0; k < 4; k++) {
            int d = k < 4 - padding ? digit(in[i + k]) : 0;
            if (d < 0)
                return -1;
            bits = bits << 6 | (uint32_t)d;
        }
        for (unsigned k = 0; k < 3 - padding; k++)
            *p++ = (uint8_t)(bits >> (16 - 8 * k));
    }
    return (int)(p - out);
}

size_t cache_base64_encode(const uint8_t *in, size_t n, uint8_t *out)
{
    uint8_t *p = out;
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        uint32_t bits = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);
        *p++ = (uint8_t)alphabet[bits >> 18];
        *p++ = (uint8_t)alphabet[bits >> 12 & 63];
        *p++ = left > 1 ? (uint8_t)alphabet[bits >> 6 & 63] : '=';
        *p++ = left > 2 ? (uint8_t)alphabet[bits & 63] : '=';
    }
    return (size_t)(p - out);
}
