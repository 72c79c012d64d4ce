/* Any bytes as lines of memcached's text and meta protocols, and as heads of its binary protocol: whatever comes out lies within
 * what went in, and a head says the same however much of it was seen before. The first byte chooses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/memcached/base64.h"
#include "cache/memcached/binary_wire.h"
#include "cache/memcached/text_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct cache_memcached_limits limits = {
    .item_bytes_max = 4096, .memory_max = UINT64_C(64) << 20, .now_ms = UINT64_C(1700000000000)};

static void wrong(const char *what, long a, long b)
{
    fprintf(stderr, "%s: %ld, %ld\n", what, a, b);
    abort();
}

static uint8_t *exact(const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, data, n);
    return copy;
}

static void check_span(struct mr_span s, const uint8_t *data, size_t n, const struct cache_memcached_parts *parts)
{
    bool within = s.data >= data && s.data + s.length <= data + n;
    bool decoded = s.data == parts->key_bytes && s.length <= sizeof parts->key_bytes;
    if (s.length && !within && !decoded)
        wrong("a part lies outside", (long)(s.data - data), (long)s.length);
}

static void check_request(const struct cache_memcached_request *r, const struct cache_memcached_parts *parts)
{
    bool keyed = r->op < CACHE_MEMCACHED_REPLY;
    if (r->op >= CACHE_MEMCACHED_OPS || r->answer >= CACHE_MEMCACHED_ANSWERS || r->mode > CACHE_MEMCACHED_PREPEND ||
        r->wants_count > CACHE_MEMCACHED_FLAGS_MAX || r->opaque_length >= CACHE_MEMCACHED_OPAQUE_MAX)
        wrong("a field is out of range", r->op, r->answer);
    if (keyed && (parts->key.length == 0 || parts->key.length > CACHE_MEMCACHED_KEY_MAX))
        wrong("a key of this length was taken", r->op, (long)parts->key.length);
    if (parts->has_value != (r->op == CACHE_MEMCACHED_STORE))
        wrong("a value is expected of another request than a store", r->op, parts->has_value);
    if (parts->has_value && (parts->swallow || r->value_bytes > limits.item_bytes_max))
        wrong("a value is kept and passed over", (long)r->value_bytes, (long)parts->swallow);
}

static void keys_walk(struct mr_span keys)
{
    size_t before = keys.length + 1;
    for (struct mr_span key; cache_memcached_next_key(&keys, &key); before = keys.length)
        if (keys.length >= before || memchr(key.data, ' ', key.length))
            wrong("a key is none", (long)key.length, (long)keys.length);
}

static void fuzz_lines(const uint8_t *data, size_t size)
{
    static struct cache_memcached_request r;
    static struct cache_memcached_parts parts;
    while (size) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t n = end ? (size_t)(end + 1 - data) : size;
        uint8_t *line = exact(data, n);
        cache_memcached_line(line, n, &limits, &r, &parts);
        check_request(&r, &parts);
        check_span(parts.key, line, n, &parts);
        check_span(parts.keys, line, n, &parts);
        keys_walk(parts.keys);
        free(line);
        data += n;
        size -= n;
    }
}

static int head(const uint8_t *data, size_t n, struct cache_memcached_request *r, struct cache_memcached_parts *parts)
{
    uint8_t *copy = exact(data, n);
    int taken = cache_memcached_binary_head(copy, n, &limits, r, parts);
    if (taken > 0) {
        check_request(r, parts);
        check_span(parts->key, copy, n, parts);
    }
    if (taken > (int)n)
        wrong("more was taken than was there", taken, (long)n);
    free(copy);
    return taken;
}

static void fuzz_heads(const uint8_t *data, size_t size)
{
    static struct cache_memcached_request whole, part;
    static struct cache_memcached_parts parts;
    for (int n = 1; size && n > 0; data += n, size -= (size_t)n) {
        n = head(data, size, &whole, &parts);
        for (size_t i = 0; n > 0 && i < size && i < 400; i++) {
            int m = head(data, i, &part, &parts);
            if (m != 0 && (m != n || memcmp(&whole, &part, sizeof whole) != 0))
                wrong("a beginning says something else", m, n);
        }
    }
}

static void fuzz_base64(const uint8_t *data, size_t size)
{
    uint8_t decoded[300], encoded[400];
    size_t n = size < 250 ? size : 250;
    uint8_t *copy = exact(data, n);
    size_t length = cache_base64_encode(copy, n, encoded);
    if (n && (cache_base64_decode(encoded, length, decoded) != (int)n || memcmp(decoded, copy, n) != 0))
        wrong("base64 does not come back", (long)n, (long)length);
    int m = cache_base64_decode(copy, n, decoded);
    if (m > (int)(n / 4 * 3))
        wrong("base64 grew", m, (long)n);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    switch (data[0] % 3) {
    case 0:
        fuzz_lines(data + 1, size - 1);
        break;
    case 1:
        fuzz_heads(data + 1, size - 1);
        break;
    default:
        fuzz_base64(data + 1, size - 1);
    }
    return 0;
}
