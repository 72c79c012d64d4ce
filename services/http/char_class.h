/* Classes of characters, one bit each, for runs that are skipped without going through the machine byte by byte. Each is
 * a subset of what http_wire.rl accepts there, so a run that is skipped is a run that the machine would have accepted;
 * the tests run every input byte by byte, where nothing is skipped, and compare. */
#ifndef SERVICES_HTTP_CHAR_CLASS_H
#define SERVICES_HTTP_CHAR_CLASS_H

#include <stdint.h>
#include <string.h>

#define HTTP_CHAR_TOKEN (1 << 0) /* RFC 9110 5.6.2 */
#define HTTP_CHAR_PATH  (1 << 1) /* a path, percent escapes apart */
#define HTTP_CHAR_HOST  (1 << 2) /* RFC 3986 3.2.2 and a port */

extern const uint8_t http_char_class[256];

/* The first byte from `p` on that is not in `class`, or `end`. */
static inline const uint8_t *http_char_skip(const uint8_t *p, const uint8_t *end, uint8_t class)
{
    while (p < end && http_char_class[*p] & class)
        p++;
    return p;
}

/* The first byte from `p` on that is a control character, or a place at most seven bytes before it, or before `end`. Eight
 * bytes a step: a byte below 0x20 borrows when 0x20 is taken off it, and DEL is the only one that 0x7f makes zero. A borrow reaches
 * only bytes behind the first that is found. */
static inline const uint8_t *http_char_skip_value(const uint8_t *p, const uint8_t *end)
{
    const uint64_t ones = 0x0101010101010101u, tops = ones * 0x80;
    for (uint64_t word; end - p >= 8; p += 8) {
        memcpy(&word, p, 8);
        uint64_t control = (word - ones * 0x20) & ~word, del = ((word ^ ones * 0x7f) - ones) & ~(word ^ ones * 0x7f);
        uint64_t found = (control | del) & tops;
        if (found)
            return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? p + (__builtin_ctzll(found) >> 3) : p;
    }
    return p;
}

#endif
