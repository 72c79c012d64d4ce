#include "cache/resp/reply.h"

#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cache/resp/decimal.h"
#include "cache/store/store.h"

/* Blocks of bytes double from the first to the last of these. */
#define BLOCK_BYTES_MIN 512u
#define BLOCK_BYTES_MAX 32768u

#define HEADER_BYTES_MAX 32   /* a type, a number, the end of the line */
#define ERROR_BYTES_MAX  1024 /* longer texts are cut */

static inline uint8_t *line_end(uint8_t *to)
{
    to[0] = '\r';
    to[1] = '\n';
    return to + 2;
}

static inline uint8_t *header_write(uint8_t *to, char kind, uint64_t n)
{
    *to = (uint8_t)kind;
    return line_end(cache_decimal_write(to + 1, n));
}

void cache_reply_init(struct cache_reply *r, struct memory *m, void *scratch, size_t scratch_bytes, uint8_t protocol,
                      uint64_t limit)
{
    *r = (struct cache_reply){.memory = m,
                              .at = scratch,
                              .end = scratch ? (uint8_t *)scratch + scratch_bytes : NULL,
                              .scratch = scratch,
                              .limit = limit,
                              .protocol = protocol};
}

void cache_reply_block_free(struct memory *m, struct cache_reply_block *b)
{
    if (b->extent)
        cache_extent_drop(b->extent);
    memory_free(m, b, sizeof *b + b->capacity);
}

void cache_reply_free(struct cache_reply *r)
{
    for (struct cache_reply_block *b = r->first, *next; b; b = next) {
        next = b->next;
        cache_reply_block_free(r->memory, b);
    }
    cache_reply_init(r, r->memory, NULL, 0, r->protocol, r->limit);
}

bool cache_reply_empty(const struct cache_reply *r)
{
    if (r->first)
        return r->scratch_used == 0 && r->first == r->last && r->first->capacity && r->at == r->first->data;
    return r->at == r->scratch;
}

void cache_reply_settle(struct cache_reply *r)
{
    if (!r->last)
        r->scratch_used = (uint32_t)(r->at - r->scratch);
    else if (r->last->capacity)
        r->last->length = (uint32_t)(r->at - r->last->data);
}

static void reply_fail(struct cache_reply *r)
{
    cache_reply_settle(r);
    r->failed = true;
    r->end = r->at;
}

/* A block behind the last; NULL: the limit or the memory ends, the reply has failed. */
static struct cache_reply_block *block_add(struct cache_reply *r, uint32_t capacity)
{
    size_t bytes = sizeof(struct cache_reply_block) + capacity;
    struct cache_reply_block *b = NULL;
    if (!r->failed && r->bytes + bytes <= r->limit)
        b = memory_alloc(r->memory, bytes);
    if (!b) {
        reply_fail(r);
        return NULL;
    }
    cache_reply_settle(r);
    *b = (struct cache_reply_block){.data = b->bytes, .capacity = capacity};
    *(r->last ? &r->last->next : &r->first) = b;
    r->last = b;
    r->bytes += bytes;
    r->at = b->bytes;
    r->end = b->bytes + capacity;
    return b;
}

/* A block with room for `n` bytes at least. */
static struct cache_reply_block *block_of_bytes(struct cache_reply *r, size_t n)
{
    uint64_t bytes = r->bytes < BLOCK_BYTES_MIN ? BLOCK_BYTES_MIN : r->bytes;
    bytes = bytes < BLOCK_BYTES_MAX ? bytes : BLOCK_BYTES_MAX;
    if (bytes < n + sizeof(struct cache_reply_block))
        bytes = (n + sizeof(struct cache_reply_block) + 15) & ~(uint64_t)15;
    return block_add(r, (uint32_t)(bytes - sizeof(struct cache_reply_block)));
}

static __attribute__((noinline)) uint8_t *room_make(struct cache_reply *r, size_t n)
{
    return block_of_bytes(r, n) ? r->at : NULL;
}

/* Room for `n` bytes that lie together, a few hundred at most; NULL: the reply has failed. The caller moves `at`. */
static inline uint8_t *room_for(struct cache_reply *r, size_t n)
{
    return __builtin_expect((size_t)(r->end - r->at) >= n, true) ? r->at : room_make(r, n);
}

static __attribute__((noinline)) void raw_over_blocks(struct cache_reply *r, const uint8_t *data, size_t n)
{
    while (n && !r->failed) {
        size_t part = (size_t)(r->end - r->at);
        if (part == 0) {
            size_t most = BLOCK_BYTES_MAX - sizeof(struct cache_reply_block);
            room_make(r, n < most ? n : most);
            continue;
        }
        part = part < n ? part : n;
        memcpy(r->at, data, part);
        r->at += part;
        data += part;
        n -= part;
    }
}

void cache_reply_raw(struct cache_reply *r, const void *data, size_t n)
{
    if (__builtin_expect((size_t)(r->end - r->at) < n, false)) {
        raw_over_blocks(r, data, n);
        return;
    }
    if (n)
        memcpy(r->at, data, n);
    r->at += n;
}

void cache_reply_text(struct cache_reply *r, const char *text)
{
    cache_reply_raw(r, text, strlen(text));
}

bool cache_reply_lend(struct cache_reply *r, struct cache_extent *x, const uint8_t *data, size_t n)
{
    struct cache_reply_block *b = block_add(r, 0);
    if (!b)
        return false;
    b->extent = x;
    b->data = data;
    b->length = (uint32_t)n;
    r->lent += n;
    r->at = r->end = b->bytes;
    return true;
}

/* `n` bytes at `data`, which lie in `x`: it is held until they are sent. */
static void lend(struct cache_reply *r, struct cache_extent *x, const uint8_t *data, size_t n)
{
    if (cache_reply_lend(r, x, data, n))
        cache_extent_hold(x);
}

static void span_add(struct cache_reply *r, struct cache_extent *x, struct mr_span span)
{
    if (x && span.length >= CACHE_LEND_MIN)
        lend(r, x, span.data, span.length);
    else
        cache_reply_raw(r, span.data, span.length);
}

void cache_reply_value_raw(struct cache_reply *r, const struct cache_entry *e, uint64_t offset, uint64_t n)
{
    char digits[24];
    while (n && !r->failed) {
        struct cache_extent *x = NULL;
        struct mr_span span = cache_string_at(e, offset, digits, &x);
        span.length = span.length < n ? span.length : n;
        span_add(r, x, span);
        offset += span.length;
        n -= span.length;
    }
}

void cache_reply_rope_raw(struct cache_reply *r, const struct cache_rope *rope, uint64_t offset, uint64_t n)
{
    while (n && !r->failed) {
        struct cache_extent *x = NULL;
        struct mr_span span = cache_rope_at(rope, offset, &x);
        span.length = span.length < n ? span.length : n;
        span_add(r, x, span);
        offset += span.length;
        n -= span.length;
    }
}

/* A line of a type and a number. */
static inline void header_add(struct cache_reply *r, char kind, uint64_t n)
{
    uint8_t *p = room_for(r, HEADER_BYTES_MAX);
    if (p)
        r->at = header_write(p, kind, n);
}

static void line_add(struct cache_reply *r, char kind, const char *text, size_t n)
{
    cache_reply_raw(r, &kind, 1);
    cache_reply_raw(r, text, n);
    cache_reply_raw(r, "\r\n", 2);
}

void cache_reply_simple(struct cache_reply *r, const char *text)
{
    line_add(r, '+', text, strlen(text));
}

void cache_reply_ok(struct cache_reply *r)
{
    cache_reply_raw(r, "+OK\r\n", 5);
}

void cache_reply_error(struct cache_reply *r, const char *format, ...)
{
    char text[ERROR_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t length = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    for (size_t i = 0; i < length; i++)
        if (text[i] == '\r' || text[i] == '\n')
            text[i] = ' ';
    line_add(r, '-', text, length);
    size_t code = strcspn(text, " ");
    r->errors++;
    memset(r->error_code, 0, sizeof r->error_code);
    memcpy(r->error_code, text, code < sizeof r->error_code ? code : sizeof r->error_code - 1);
}

void cache_reply_integer(struct cache_reply *r, int64_t value)
{
    uint8_t *p = room_for(r, HEADER_BYTES_MAX);
    if (!p)
        return;
    *p++ = ':';
    if (value < 0)
        *p++ = '-';
    r->at = line_end(cache_decimal_write(p, value < 0 ? 0 - (uint64_t)value : (uint64_t)value));
}

void cache_reply_bulk(struct cache_reply *r, const void *data, size_t n)
{
    if (__builtin_expect((size_t)(r->end - r->at) >= n + HEADER_BYTES_MAX, true)) {
        uint8_t *p = header_write(r->at, '$', n);
        if (n)
            memcpy(p, data, n);
        r->at = line_end(p + n);
        return;
    }
    header_add(r, '$', n);
    cache_reply_raw(r, data, n);
    cache_reply_raw(r, "\r\n", 2);
}

void cache_reply_bulk_text(struct cache_reply *r, const char *text)
{
    cache_reply_bulk(r, text, strlen(text));
}

void cache_reply_bulk_integer(struct cache_reply *r, int64_t value)
{
    uint8_t digits[24], *p = digits;
    if (value < 0)
        *p++ = '-';
    p = cache_decimal_write(p, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
    cache_reply_bulk(r, digits, (size_t)(p - digits));
}

void cache_reply_argument(struct cache_reply *r, const struct cache_argument *a)
{
    if (a->data) {
        cache_reply_bulk(r, a->data, a->length);
        return;
    }
    header_add(r, '$', a->length);
    for (uint64_t at = 0; at < a->length && !r->failed;) {
        struct mr_span span = cache_rope_at(a->rope, at, &(struct cache_extent *){NULL});
        cache_reply_raw(r, span.data, span.length);
        at += span.length;
    }
    cache_reply_raw(r, "\r\n", 2);
}

void cache_reply_string_range(struct cache_reply *r, const struct cache_entry *e, uint64_t offset, uint64_t n)
{
    header_add(r, '$', n);
    cache_reply_value_raw(r, e, offset, n);
    cache_reply_raw(r, "\r\n", 2);
}

void cache_reply_string(struct cache_reply *r, const struct cache_entry *e)
{
    if (e->encoding == CACHE_STRING_EMBEDDED)
        cache_reply_bulk(r, cache_entry_embedded(e), e->value_length);
    else if (e->encoding == CACHE_STRING_INTEGER)
        cache_reply_bulk_integer(r, cache_entry_value(e)->integer);
    else
        cache_reply_string_range(r, e, 0, cache_string_length(e));
}

void cache_reply_rope(struct cache_reply *r, const struct cache_rope *rope)
{
    header_add(r, '$', rope->length);
    cache_reply_rope_raw(r, rope, 0, rope->length);
    cache_reply_raw(r, "\r\n", 2);
}

void cache_reply_null(struct cache_reply *r)
{
    if (r->protocol == 3)
        cache_reply_raw(r, "_\r\n", 3);
    else
        cache_reply_raw(r, "$-1\r\n", 5);
}

void cache_reply_null_array(struct cache_reply *r)
{
    if (r->protocol == 3)
        cache_reply_raw(r, "_\r\n", 3);
    else
        cache_reply_raw(r, "*-1\r\n", 5);
}

void cache_reply_array(struct cache_reply *r, uint64_t n)
{
    header_add(r, '*', n);
}

void cache_reply_map(struct cache_reply *r, uint64_t pairs)
{
    if (r->protocol == 3)
        header_add(r, '%', pairs);
    else
        header_add(r, '*', pairs * 2);
}

void cache_reply_set(struct cache_reply *r, uint64_t n)
{
    header_add(r, r->protocol == 3 ? '~' : '*', n);
}

void cache_reply_push(struct cache_reply *r, uint64_t n)
{
    header_add(r, r->protocol == 3 ? '>' : '*', n);
}

void cache_reply_double(struct cache_reply *r, double value)
{
    char text[40];
    unsigned n = cache_double_text(value, text);
    if (r->protocol == 3)
        line_add(r, ',', text, n);
    else
        cache_reply_bulk(r, text, n);
}

void cache_reply_bool(struct cache_reply *r, bool value)
{
    if (r->protocol == 3)
        cache_reply_raw(r, value ? "#t\r\n" : "#f\r\n", 4);
    else
        cache_reply_raw(r, value ? ":1\r\n" : ":0\r\n", 4);
}

void cache_reply_verbatim(struct cache_reply *r, const char *format3, const void *data, size_t n)
{
    if (r->protocol != 3) {
        cache_reply_bulk(r, data, n);
        return;
    }
    header_add(r, '=', n + 4);
    cache_reply_raw(r, format3, 3);
    cache_reply_raw(r, ":", 1);
    cache_reply_raw(r, data, n);
    cache_reply_raw(r, "\r\n", 2);
}

void cache_reply_big_number(struct cache_reply *r, const char *digits)
{
    if (r->protocol == 3)
        line_add(r, '(', digits, strlen(digits));
    else
        cache_reply_bulk_text(r, digits);
}

/* The block keeps room for the header in front of what follows: it is filled from behind when the number is known. */
struct cache_reply_block *cache_reply_defer(struct cache_reply *r)
{
    struct cache_reply_block *b = block_of_bytes(r, HEADER_BYTES_MAX);
    if (!b)
        return NULL;
    r->at = b->bytes + HEADER_BYTES_MAX;
    b->data = r->at;
    return b;
}

void cache_reply_defer_end(struct cache_reply *r, struct cache_reply_block *header, char kind, uint64_t n)
{
    if (r->failed)
        return;
    bool resp3 = r->protocol == 3;
    if (kind == '%' && !resp3)
        n *= 2;
    uint8_t text[HEADER_BYTES_MAX];
    size_t length = (size_t)(header_write(text, resp3 ? kind : '*', n) - text);
    header->data -= length;
    header->length += (uint32_t)length; /* of the last block: counted when it is settled */
    memcpy((uint8_t *)(uintptr_t)header->data, text, length);
}

void cache_reply_copy(struct cache_reply *r, const struct cache_reply *from)
{
    if (from->scratch_used)
        cache_reply_raw(r, from->scratch, from->scratch_used);
    for (const struct cache_reply_block *b = from->first; b; b = b->next)
        cache_reply_raw(r, b->data, b->length);
    r->failed |= from->failed;
}
