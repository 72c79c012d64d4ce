/* Runs of bytes that keep a grammar in the state where it is: found here many at a time, so that the generated machine is
 * asked about the first byte of a run and the byte behind it only. Each returns the first byte at or after `p` that ends
 * the run, or `end`; the sets are those of http_wire.rl and a test compares them byte by byte. */
#ifndef SERVICES_HTTP_SCAN_H
#define SERVICES_HTTP_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum http_scan_set { HTTP_SCAN_TOKEN = 1, HTTP_SCAN_PATH = 2 };

/* A bit per set for each byte: RFC 9110 5.6.2 tchar, and path_char of http_wire.rl. */
extern const uint8_t http_scan_sets[256];

static inline const uint8_t *http_scan(const uint8_t *p, const uint8_t *end, enum http_scan_set set)
{
    while (p < end && http_scan_sets[*p] & set)
        p++;
    return p;
}

static inline bool http_scan_is_field(uint8_t c)
{
    return (c >= 0x20 && c != 0x7f) || c == '\t';
}

/* Field content: RFC 9110 5.5 with obs-text. */
static inline const uint8_t *http_scan_field(const uint8_t *p, const uint8_t *end)
{
#ifdef __SSE2__
    const __m128i flip = _mm_set1_epi8((char)0x80), space = _mm_set1_epi8((char)(0x20 ^ 0x80));
    const __m128i tab = _mm_set1_epi8('\t'), del = _mm_set1_epi8(0x7f);
    for (; end - p >= 16; p += 16) {
        __m128i c = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i control = _mm_andnot_si128(_mm_cmpeq_epi8(c, tab), _mm_cmplt_epi8(_mm_xor_si128(c, flip), space));
        unsigned ends = (unsigned)_mm_movemask_epi8(_mm_or_si128(control, _mm_cmpeq_epi8(c, del)));
        if (ends)
            return p + __builtin_ctz(ends);
    }
#endif
    while (p < end && http_scan_is_field(*p))
        p++;
    return p;
}

#endif
