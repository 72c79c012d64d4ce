/* Base64 (RFC 4648 4), with padding and nothing between: keys of meta commands. */
#ifndef SERVICES_CACHE_BASE64_H
#define SERVICES_CACHE_BASE64_H

#include <millrace/types.h>

/* Bytes decoded to `out` (room for n / 4 * 3), or -1: not base64. Empty input is none. */
int cache_base64_decode(const uint8_t *in, size_t n, uint8_t *out);
/* (n + 2) / 3 * 4 characters to `out`. */
size_t cache_base64_encode(const uint8_t *in, size_t n, uint8_t *out);

#endif
