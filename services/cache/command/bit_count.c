/* BITCOUNT and BITPOS, over as many extents as the range touches. */
#include "cache/command/bit.h"

#include <string.h>

static uint64_t ones(struct mr_span s)
{
    uint64_t n = 0, word;
    for (; s.length >= sizeof word; s.data += sizeof word, s.length -= sizeof word) {
        memcpy(&word, s.data, sizeof word);
        n += (unsigned)__builtin_popcountll(word);
    }
    for (; s.length; s.data++, s.length--)
        n += (unsigned)__builtin_popcount(*s.data);
    return n;
}

/* Bytes from `at` to `end` that lie together. */
static struct mr_span bytes_at(const struct cache_entry *e, uint64_t at, uint64_t end, char digits[24])
{
    struct cache_extent *extent;
    struct mr_span span = cache_string_at(e, at, digits, &extent);
    if (span.length > end - at)
        span.length = end - at;
    return span;
}

/* Of bits first..last. */
static uint64_t count(const struct cache_entry *e, uint64_t first, uint64_t last)
{
    char digits[24];
    uint64_t n = 0, end = (last >> 3) + 1;
    for (uint64_t at = first >> 3; at < end;) {
        struct mr_span span = bytes_at(e, at, end, digits);
        n += ones(span);
        at += span.length;
    }
    uint8_t edge[2];
    cache_string_copy(e, first >> 3, &edge[0], 1);
    cache_string_copy(e, last >> 3, &edge[1], 1);
    n -= (unsigned)__builtin_popcount(edge[0] & ~(0xff >> (first & 7)) & 0xff);
    n -= (unsigned)__builtin_popcount(edge[1] & (0x7f >> (last & 7)));
    return n;
}

/* The word behind a range. False: neither, replied. */
static bool read_unit(struct cache_call *call, const struct cache_argument *a, bool *bits)
{
    *bits = cache_argument_is(a, "bit");
    if (*bits || cache_argument_is(a, "byte"))
        return true;
    cache_reply_syntax_error(call->reply);
    return false;
}

static bool read_integer(struct cache_call *call, const struct cache_argument *a, int64_t *value)
{
    if (cache_argument_integer(a, value))
        return true;
    cache_reply_not_integer(call->reply);
    return false;
}

/* Units to the first and last bit of them. False: an empty range. */
static bool range_bits(const struct cache_entry *e, bool bits, int64_t *start, int64_t *end)
{
    uint64_t length = cache_string_length(e);
    if (!cache_range_clamp(start, end, bits ? length << 3 : length))
        return false;
    if (!bits) {
        *start <<= 3;
        *end = (*end << 3) + 7;
    }
    return true;
}

enum cache_outcome cache_command_bitcount(struct cache_call *call)
{
    struct cache_entry *e;
    int64_t start = 0, end = -1;
    bool bits = false;
    if (!cache_call_read(call, &call->argv[1], CACHE_STRING, &e))
        return CACHE_DONE;
    if (!e) { /* before the range is looked at, as Redis */
        cache_reply_integer(call->reply, 0);
        return CACHE_DONE;
    }
    if (call->argc == 3 || call->argc > 5) {
        cache_reply_syntax_error(call->reply);
        return CACHE_DONE;
    }
    if (call->argc > 3 && (!read_integer(call, &call->argv[2], &start) || !read_integer(call, &call->argv[3], &end)))
        return CACHE_DONE;
    if (start < 0 && end < 0 && start > end) {
        cache_reply_integer(call->reply, 0);
        return CACHE_DONE;
    }
    if (call->argc == 5 && !read_unit(call, &call->argv[4], &bits))
        return CACHE_DONE;
    bool any = range_bits(e, bits, &start, &end);
    cache_reply_integer(call->reply, any ? (int64_t)count(e, (uint64_t)start, (uint64_t)end) : 0);
    return CACHE_DONE;
}

/* Bytes at the begin of the span that hold no bit of the wanted value. */
static size_t skip(struct mr_span s, uint8_t without)
{
    uint64_t plain = without ? UINT64_MAX : 0, word;
    size_t i = 0;
    for (; i + sizeof word <= s.length; i += sizeof word) {
        memcpy(&word, s.data + i, sizeof word);
        if (word != plain)
            break;
    }
    while (i < s.length && s.data[i] == without)
        i++;
    return i;
}

/* The first bit of value `bit` among first..last, or -1. */
static int64_t position(const struct cache_entry *e, bool bit, uint64_t first, uint64_t last)
{
    char digits[24];
    uint8_t without = bit ? 0 : 0xff;
    for (uint64_t at = first >> 3, end = (last >> 3) + 1; at < end;) {
        struct mr_span span = bytes_at(e, at, end, digits);
        for (size_t i = skip(span, without); i < span.length; i++) {
            unsigned found = (unsigned)(span.data[i] ^ without);
            if (at + i == first >> 3)
                found &= 0xff >> (first & 7);
            if (!found)
                continue;
            uint64_t place = ((at + i) << 3) + (unsigned)__builtin_clz(found) - 24;
            return place <= last ? (int64_t)place : -1;
        }
        at += span.length;
    }
    return -1;
}

/* [start [end [BIT | BYTE]]]; replies and returns false when malformed. */
static bool bitpos_range(struct cache_call *call, int64_t *start, int64_t *end, bool *bits)
{
    if (call->argc > 6) {
        cache_reply_syntax_error(call->reply);
        return false;
    }
    return (call->argc < 4 || read_integer(call, &call->argv[3], start)) &&
           (call->argc < 6 || read_unit(call, &call->argv[5], bits)) &&
           (call->argc < 5 || read_integer(call, &call->argv[4], end));
}

enum cache_outcome cache_command_bitpos(struct cache_call *call)
{
    struct cache_entry *e;
    int64_t bit, start = 0, end = -1;
    bool bits = false;
    if (!read_integer(call, &call->argv[2], &bit))
        return CACHE_DONE;
    if (bit & ~INT64_C(1)) {
        cache_reply_error(call->reply, "ERR The bit argument must be 1 or 0.");
        return CACHE_DONE;
    }
    if (!cache_call_read(call, &call->argv[1], CACHE_STRING, &e))
        return CACHE_DONE;
    if (!e) {
        cache_reply_integer(call->reply, bit ? -1 : 0);
        return CACHE_DONE;
    }
    if (!bitpos_range(call, &start, &end, &bits))
        return CACHE_DONE;

    int64_t found = -1;
    if (range_bits(e, bits, &start, &end)) {
        found = position(e, bit, (uint64_t)start, (uint64_t)end);
        if (found < 0 && !bit && call->argc < 5)
            found = end + 1; /* zeros follow a value whose end was not named */
    }
    cache_reply_integer(call->reply, found);
    return CACHE_DONE;
}
