/* memcached's binary protocol: a header of 24 bytes, extras, key, value, all lengths in the header.
 *
 *     | magic | opcode | key length 2 | extras length | data type | vbucket 2 | body length 4 | opaque 4 | CAS 8 | */
#ifndef SERVICES_CACHE_BINARY_WIRE_H
#define SERVICES_CACHE_BINARY_WIRE_H

#include "cache/memcached/text_wire.h"

#define CACHE_MEMCACHED_HEADER_BYTES   24
#define CACHE_MEMCACHED_REQUEST_MAGIC  0x80
#define CACHE_MEMCACHED_RESPONSE_MAGIC 0x81
#define CACHE_MEMCACHED_HEAD_MAX       (CACHE_MEMCACHED_HEADER_BYTES + 32 + CACHE_MEMCACHED_KEY_MAX)

/* The head of a request at `data`: header, extras and key. Returns the bytes of it, which the value follows; 0: more are needed;
 * < 0: another magic, the connection is to be closed. What is wrong otherwise becomes an answer in `r`. */
int cache_memcached_binary_head(const uint8_t *data, size_t n, const struct cache_memcached_limits *limits,
                                struct cache_memcached_request *r, struct cache_memcached_parts *parts);

#endif
