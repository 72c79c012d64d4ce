/* Any bytes as a pipeline of RESP commands: what is parsed where it lies, what is fed whole and what is fed in pieces must be
 * the same commands, or the same error at the same command. The first byte seeds the pieces and chooses the limits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/resp/resp_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARGUMENTS_MAX 4096

static struct memory memory;
static const struct cache_resp_limits limits[] = {
    {CACHE_ARGUMENTS_MAX, 256, CACHE_VALUE_MAX},
    {10, 64, 16384},
};

static void differ(const char *what, long whole, long split)
{
    fprintf(stderr, "%s: %ld and %ld\n", what, whole, split);
    abort();
}

/* A copy of exactly `n` bytes, so that a byte read too far is seen. */
static uint8_t *exact(const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, data, n);
    return copy;
}

/* One command, fed in pieces of at most `most` bytes. Returns as cache_resp_feed: bytes in all; 0: it is not whole. */
static int64_t feed(const uint8_t *data, size_t size, unsigned *seed, size_t most, const struct cache_resp_limits *l,
                    struct cache_packed *into)
{
    struct cache_resp_wire w = {0};
    bool complete = false;
    for (size_t at = 0; at < size;) {
        size_t n = most < size ? 1 + (size_t)rand_r(seed) % most : size;
        n = n < size - at ? n : size - at;
        uint8_t *copy = exact(data + at, n);
        int64_t taken = cache_resp_feed(&w, copy, n, l, into, &memory, &complete);
        free(copy);
        if (taken < 0)
            return taken;
        if (taken > (int64_t)n || (!complete && taken != (int64_t)n))
            differ("a piece was not taken", (long)n, (long)taken);
        at += (size_t)taken;
        if (complete)
            return (int64_t)at;
    }
    return 0;
}

static bool argument_equal(const struct cache_argument *a, const struct cache_argument *b)
{
    if (a->length != b->length || !a->data != !b->data)
        return false;
    if (a->data)
        return memcmp(a->data, b->data, a->length) == 0;
    for (uint64_t at = 0; at < a->length;) {
        struct cache_extent *x;
        struct mr_span s = cache_rope_at(a->rope, at, &x), t = cache_rope_at(b->rope, at, &x);
        size_t n = s.length < t.length ? s.length : t.length;
        if (memcmp(s.data, t.data, n) != 0)
            return false;
        at += n;
    }
    return true;
}

static void compare(const struct cache_argument *a, unsigned n, const struct cache_argument *b, unsigned m)
{
    if (n != m)
        differ("count of arguments", n, m);
    for (unsigned i = 0; i < n; i++)
        if (!argument_equal(&a[i], &b[i]))
            differ("an argument", a[i].length, b[i].length);
}

/* The next command; returns its bytes, 0 when there is no other. */
static size_t one_command(const uint8_t *data, size_t size, unsigned *seed, const struct cache_resp_limits *l)
{
    static struct cache_argument fast[CACHE_ARGUMENTS_MAX], whole[ARGUMENTS_MAX], pieces[ARGUMENTS_MAX];
    struct cache_resp_wire w = {0};
    struct cache_packed one, other;
    unsigned argc = 0;
    cache_packed_init(&one, &memory);
    cache_packed_init(&other, &memory);
    uint8_t *copy = exact(data, size);
    int64_t n = cache_resp_parse(&w, copy, size, l, fast, &argc);
    int64_t m = feed(data, size, seed, SIZE_MAX, l, &one), k = feed(data, size, seed, 24, l, &other);
    if (m != k)
        differ("whole and in pieces", (long)m, (long)k);
    if (n != 0 && n != m)
        differ("where it lies and fed", (long)n, (long)m);
    if (m > 0) {
        if (one.argc > ARGUMENTS_MAX)
            differ("more arguments than bytes", one.argc, (long)size);
        cache_packed_arguments(&one, whole);
        cache_packed_arguments(&other, pieces);
        compare(whole, one.argc, pieces, other.argc);
        if (n > 0)
            compare(fast, argc, whole, one.argc);
    }
    cache_packed_free(&one);
    cache_packed_free(&other);
    free(copy);
    if (memory.used)
        differ("memory is left", 0, (long)memory.used);
    return m > 0 ? (size_t)m : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!memory.base && !memory.region_bytes && !memory_init(&memory, UINT64_C(64) << 20, UINT64_C(60) << 20))
        abort();
    if (size < 1 || size > ARGUMENTS_MAX)
        return 0;
    unsigned seed = data[0];
    size_t at = 1;
    for (size_t n = 1; n && at < size; at += n)
        n = one_command(data + at, size - at, &seed, &limits[data[0] & 1]);
    return 0;
}
