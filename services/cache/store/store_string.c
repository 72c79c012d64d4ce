/* Strings, by length of key and value:
 *
 *     canonical decimal, 64 bits           integer
 *     together up to CACHE_EMBEDDED_MAX    behind the key, in the entry
 *     up to CACHE_EXTENT_BYTES             one extent
 *     longer                               a rope
 *
 * A string that is written to in place (SETRANGE, APPEND) gets an extent with room to grow. */
#include <assert.h>
#include <limits.h>
#include <string.h>

#include "cache/store/store_private.h"

#define DIGITS_MAX 20 /* "-9223372036854775808" */

/* Integers */

/* Canonical: what printing the number gives back, byte for byte. */
static bool integer_parse(struct mr_span text, int64_t *value)
{
    if (!text.length || text.length > DIGITS_MAX)
        return false;
    const uint8_t *p = text.data, *end = p + text.length;
    bool negative = *p == '-';
    p += negative;
    if (p == end || (*p == '0' && (negative || end - p > 1)))
        return false;
    uint64_t magnitude = 0;
    for (; p < end; p++) {
        unsigned digit = (unsigned)*p - '0';
        if (digit > 9 || __builtin_mul_overflow(magnitude, 10, &magnitude) ||
            __builtin_add_overflow(magnitude, digit, &magnitude))
            return false;
    }
    if (magnitude > (uint64_t)INT64_MAX + negative)
        return false;
    *value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

static struct mr_span integer_text(int64_t value, char digits[24])
{
    char *end = digits + 24, *p = end;
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do
        *--p = (char)('0' + magnitude % 10);
    while (magnitude /= 10);
    if (value < 0)
        *--p = '-';
    return (struct mr_span){(const uint8_t *)p, (size_t)(end - p)};
}

bool cache_string_integer(const struct cache_entry *e, int64_t *value)
{
    char digits[24];
    if (e->encoding == CACHE_STRING_INTEGER) {
        *value = cache_entry_value(e)->integer;
        return true;
    }
    return e->value_length <= DIGITS_MAX && integer_parse(cache_string_span(e, digits), value);
}

/* Reading */

uint64_t cache_string_length(const struct cache_entry *e)
{
    char digits[24];
    if (e->encoding == CACHE_STRING_INTEGER)
        return integer_text(cache_entry_value(e)->integer, digits).length;
    return e->encoding == CACHE_STRING_ROPE ? cache_entry_value(e)->rope->length : e->value_length;
}

/* The whole of what lies in one piece; not of ropes. */
static struct mr_span string_piece(const struct cache_entry *e, char digits[24])
{
    if (e->encoding == CACHE_STRING_INTEGER)
        return integer_text(cache_entry_value(e)->integer, digits);
    if (e->encoding == CACHE_STRING_EMBEDDED)
        return (struct mr_span){cache_entry_embedded(e), e->value_length};
    return (struct mr_span){cache_entry_value(e)->extent->bytes, e->value_length};
}

struct mr_span cache_string_at(const struct cache_entry *e, uint64_t offset, char digits[24],
                               struct cache_extent **extent)
{
    if (e->encoding == CACHE_STRING_ROPE)
        return cache_rope_at(cache_entry_value(e)->rope, offset, extent);
    if (extent)
        *extent = e->encoding == CACHE_STRING_EXTENT ? cache_entry_value(e)->extent : NULL;
    struct mr_span whole = string_piece(e, digits);
    assert(offset < whole.length);
    return (struct mr_span){whole.data + offset, whole.length - offset};
}

struct mr_span cache_string_span(const struct cache_entry *e, char digits[24])
{
    if (e->encoding == CACHE_STRING_ROPE || e->value_length > CACHE_SMALL_MAX)
        return (struct mr_span){NULL, 0};
    return string_piece(e, digits);
}

/* Costs */

static bool embeds(size_t key_bytes, uint64_t value_bytes)
{
    return key_bytes + value_bytes <= CACHE_EMBEDDED_MAX;
}

/* Of an entry with every part and a value of this length, without what lies in pieces. */
static uint64_t entry_cost(size_t key_bytes, uint64_t value_bytes)
{
    const unsigned parts = CACHE_ENTRY_EXPIRES | CACHE_ENTRY_MEMCACHED | CACHE_ENTRY_VALUE;
    return memory_cost(store_entry_bytes_for(parts, key_bytes, embeds(key_bytes, value_bytes) ? value_bytes : 0));
}

static uint64_t pieces_cost(size_t key_bytes, uint64_t value_bytes)
{
    if (embeds(key_bytes, value_bytes))
        return 0;
    if (value_bytes <= CACHE_EXTENT_BYTES)
        return cache_extent_cost(value_bytes);
    /* A rope grows its blocks and its last extent by moving them: for a moment both are there. */
    return cache_rope_cost(value_bytes) + 2 * cache_extent_cost(CACHE_EXTENT_BYTES);
}

uint64_t cache_store_string_cost(const struct cache_store *s, size_t key_bytes, uint64_t value_bytes)
{
    uint64_t index = 0;
    key_bytes =
        key_bytes < CACHE_KEY_MAX ? key_bytes : CACHE_KEY_MAX; /* a longer one is refused when the command runs */
    for (unsigned i = 0; i < CACHE_DATABASES; i++) {
        if (i && !s->database[i].count)
            continue;
        uint64_t cost = cache_table_insert_cost(&s->database[i], 1);
        index = cost > index ? cost : index;
    }
    return entry_cost(key_bytes, value_bytes) + pieces_cost(key_bytes, value_bytes) + index;
}

/* Setting */

/* What a value is stored as; takes memory for what lies in pieces. False: there is none. */
static bool value_make(struct cache_store *s, size_t key_bytes, struct mr_span bytes, struct store_value *v)
{
    *v = (struct store_value){.type = CACHE_STRING, .length = (uint32_t)bytes.length};
    if (integer_parse(bytes, &v->value.integer)) {
        v->encoding = CACHE_STRING_INTEGER;
        v->length = 0;
    } else if (embeds(key_bytes, bytes.length)) {
        v->encoding = CACHE_STRING_EMBEDDED;
        v->embedded = bytes.data;
    } else if (bytes.length <= CACHE_EXTENT_BYTES) {
        v->encoding = CACHE_STRING_EXTENT;
        v->value.extent = cache_extent_create(&s->memory, bytes.length);
        if (!v->value.extent)
            return false;
        memcpy(v->value.extent->bytes, bytes.data, bytes.length);
    } else {
        unsigned all = UINT_MAX;
        v->encoding = CACHE_STRING_ROPE;
        v->length = 0;
        v->value.rope = cache_rope_create(&s->memory);
        if (!v->value.rope)
            return false;
        if (!cache_rope_append(v->value.rope, bytes.data, bytes.length)) {
            cache_rope_free_step(v->value.rope, &all);
            return false;
        }
    }
    return true;
}

static void value_unmake(const struct store_value *v)
{
    unsigned all = UINT_MAX;
    if (v->encoding == CACHE_STRING_EXTENT)
        cache_extent_drop(v->value.extent);
    else if (v->encoding == CACHE_STRING_ROPE)
        cache_rope_free_step(v->value.rope, &all);
}

static struct cache_entry *string_put(struct cache_store *s, const struct store_place *p, struct cache_entry *old,
                                      const struct store_value *v, bool keep_expiry)
{
    struct cache_entry *e = store_entry_put(s, p, old, v, keep_expiry);
    if (e) {
        struct store_place own = {p->database, cache_entry_key(e), p->hash};
        store_tell_changed(s, &own, e);
    }
    return e;
}

static struct cache_entry *bytes_put(struct cache_store *s, const struct store_place *p, struct cache_entry *old,
                                     struct mr_span value, bool keep_expiry)
{
    struct store_value v;
    if (!value_make(s, p->key.length, value, &v))
        return NULL;
    struct cache_entry *e = string_put(s, p, old, &v, keep_expiry);
    if (!e)
        value_unmake(&v);
    return e;
}

struct cache_entry *cache_store_set(struct cache_store *s, unsigned database, struct mr_span key, struct mr_span value)
{
    struct store_place p = store_place_of(s, database, key);
    return bytes_put(s, &p, store_find(s, &p), value, false);
}

struct cache_entry *cache_store_set_integer(struct cache_store *s, unsigned database, struct mr_span key, int64_t value)
{
    struct store_place p = store_place_of(s, database, key);
    struct store_value v = {.type = CACHE_STRING, .encoding = CACHE_STRING_INTEGER, .value.integer = value};
    return string_put(s, &p, store_find(s, &p), &v, false);
}

struct cache_entry *cache_store_replace(struct cache_store *s, struct cache_entry *e, struct mr_span value)
{
    struct store_place p = store_place_of_entry(s, e);
    return bytes_put(s, &p, e, value, true);
}

struct cache_entry *cache_store_replace_integer(struct cache_store *s, struct cache_entry *e, int64_t value)
{
    struct store_place p = store_place_of_entry(s, e);
    struct store_value v = {.type = CACHE_STRING, .encoding = CACHE_STRING_INTEGER, .value.integer = value};
    return string_put(s, &p, e, &v, true);
}

/* A rope of one extent is that extent; a tiny one is copied. */
struct cache_entry *cache_store_set_rope(struct cache_store *s, unsigned database, struct mr_span key,
                                         struct cache_rope *rope)
{
    struct store_place p = store_place_of(s, database, key);
    struct store_value v = {.type = CACHE_STRING, .encoding = CACHE_STRING_ROPE, .value.rope = rope};
    struct mr_span bytes = {(const uint8_t *)"", 0};
    struct cache_extent *extent = NULL;
    unsigned all = UINT_MAX;
    struct cache_entry *e;
    if (rope->length)
        bytes = cache_rope_at(rope, 0, &extent);
    bool whole = bytes.length == rope->length;
    if (whole && (embeds(key.length, bytes.length) || bytes.length <= DIGITS_MAX)) {
        e = bytes_put(s, &p, store_find(s, &p), bytes, false);
    } else if (whole && rope->memory == &s->memory) {
        v = (struct store_value){.type = CACHE_STRING,
                                 .encoding = CACHE_STRING_EXTENT,
                                 .length = (uint32_t)bytes.length,
                                 .value.extent = extent};
        cache_extent_hold(extent);
        e = string_put(s, &p, store_find(s, &p), &v, false);
        if (!e)
            cache_extent_drop(extent);
    } else {
        return cache_rope_adopt(rope, &s->memory) ? string_put(s, &p, store_find(s, &p), &v, false) : NULL;
    }
    if (e)
        cache_rope_free_step(rope, &all);
    return e;
}

/* Growing */

static uint32_t extent_capacity(uint64_t length)
{
    uint64_t doubled = 2 * length < CACHE_EXTENT_BYTES ? 2 * length : CACHE_EXTENT_BYTES;
    return (uint32_t)(doubled > length ? doubled : length);
}

uint64_t cache_store_grow_cost(const struct cache_entry *e, uint64_t length)
{
    uint64_t now = cache_string_length(e), cost = entry_cost(e->key_length, length);
    if (length < now)
        length = now;
    if (e->encoding == CACHE_STRING_ROPE) /* room for its last extent twice, and for a copy of a lent one */
        return cost + cache_rope_append_cost(cache_entry_value(e)->rope, length - now) +
               3 * cache_extent_cost(CACHE_EXTENT_BYTES);
    if (length > CACHE_EXTENT_BYTES)
        return cost + pieces_cost(e->key_length, length) + cache_extent_cost(CACHE_EXTENT_BYTES);
    return cost + cache_extent_cost(extent_capacity(length));
}

/* The string with other bytes in the entry: integers and short strings. */
static struct cache_entry *grow_embedded(struct cache_store *s, const struct store_place *p, struct cache_entry *e,
                                         uint64_t length)
{
    uint8_t bytes[CACHE_EMBEDDED_MAX] = {0};
    char digits[24];
    struct mr_span now = string_piece(e, digits);
    memcpy(bytes, now.data, now.length);
    struct store_value v = {
        .type = CACHE_STRING, .encoding = CACHE_STRING_EMBEDDED, .length = (uint32_t)length, .embedded = bytes};
    return store_entry_put(s, p, e, &v, true);
}

static struct cache_entry *grow_extent(struct cache_store *s, const struct store_place *p, struct cache_entry *e,
                                       uint64_t length)
{
    char digits[24];
    struct mr_span now = string_piece(e, digits);
    if (e->encoding == CACHE_STRING_EXTENT) {
        struct cache_extent *own = cache_entry_value(e)->extent;
        if (own->references == 1 && own->length >= length) {
            memset(own->bytes + now.length, 0, length - now.length);
            e->value_length = (uint32_t)length;
            return e;
        }
    }
    struct cache_extent *x = cache_extent_create(&s->memory, extent_capacity(length));
    if (!x)
        return NULL;
    memcpy(x->bytes, now.data, now.length);
    memset(x->bytes + now.length, 0, length - now.length);
    struct store_value v = {
        .type = CACHE_STRING, .encoding = CACHE_STRING_EXTENT, .length = (uint32_t)length, .value.extent = x};
    e = store_entry_put(s, p, e, &v, true);
    if (!e)
        cache_extent_drop(x);
    return e;
}

static struct cache_entry *grow_rope(struct cache_store *s, const struct store_place *p, struct cache_entry *e,
                                     uint64_t length)
{
    if (e->encoding == CACHE_STRING_ROPE) {
        struct cache_rope *own = cache_entry_value(e)->rope;
        return length == own->length || cache_rope_append(own, NULL, length - own->length) ? e : NULL;
    }
    char digits[24];
    struct mr_span now = string_piece(e, digits);
    struct store_value v = {
        .type = CACHE_STRING, .encoding = CACHE_STRING_ROPE, .value.rope = cache_rope_create(&s->memory)};
    if (!v.value.rope)
        return NULL;
    struct cache_entry *grown = NULL;
    if (cache_rope_append(v.value.rope, now.data, now.length) &&
        cache_rope_append(v.value.rope, NULL, length - now.length))
        grown = store_entry_put(s, p, e, &v, true);
    if (!grown)
        value_unmake(&v);
    return grown;
}

struct cache_entry *cache_store_grow(struct cache_store *s, struct cache_entry *e, uint64_t length)
{
    struct store_place p = store_place_of_entry(s, e);
    uint64_t now = cache_string_length(e);
    if (length < now)
        length = now;
    store_before_change(s, e);
    if (e->encoding == CACHE_STRING_ROPE || length > CACHE_EXTENT_BYTES)
        return grow_rope(s, &p, e, length);
    if (e->encoding != CACHE_STRING_EXTENT && embeds(e->key_length, length))
        return grow_embedded(s, &p, e, length);
    return grow_extent(s, &p, e, length);
}

bool cache_store_write_at(struct cache_store *s, struct cache_entry *e, uint64_t offset, const void *data, size_t n)
{
    const uint8_t *from = data;
    if (e->encoding != CACHE_STRING_ROPE) {
        uint8_t *bytes =
            e->encoding == CACHE_STRING_EMBEDDED ? cache_entry_embedded(e) : cache_entry_value(e)->extent->bytes;
        assert(e->encoding != CACHE_STRING_INTEGER && offset + n <= e->value_length);
        if (n)
            memcpy(bytes + offset, from, n);
        return true;
    }
    while (n) {
        struct mr_span to = cache_rope_writable(cache_entry_value(e)->rope, offset);
        size_t piece = to.length < n ? to.length : n;
        if (!to.data)
            return false;
        memcpy((uint8_t *)(uintptr_t)to.data, from, piece);
        from += piece;
        offset += piece;
        n -= piece;
    }
    return true;
}
