#include "cache/memcached/binary_wire.h"

#include <string.h>

#define EXTRAS_MAX 32

/* What an opcode is. Lengths are checked against it: any other is "Invalid arguments", and the end of the connection. */
static const struct opcode {
    uint8_t op, mode, extras;
    bool known, key, value, quiet, with_key, touches, decrements, optional_extras, close;
} opcodes[256] = {
    [0x00] = {.op = CACHE_MEMCACHED_GET, .known = true, .key = true},
    [0x09] = {.op = CACHE_MEMCACHED_GET, .known = true, .key = true, .quiet = true},
    [0x0c] = {.op = CACHE_MEMCACHED_GET, .known = true, .key = true, .with_key = true},
    [0x0d] = {.op = CACHE_MEMCACHED_GET, .known = true, .key = true, .with_key = true, .quiet = true},
    [0x1d] = {.op = CACHE_MEMCACHED_GET, .known = true, .key = true, .extras = 4, .touches = true},
    [0x1e] = {.op = CACHE_MEMCACHED_GET, .known = true, .key = true, .extras = 4, .touches = true, .quiet = true},
    [0x23] = {.op = CACHE_MEMCACHED_GET, .known = true, .key = true, .extras = 4, .touches = true, .with_key = true},
    [0x24] = {.op = CACHE_MEMCACHED_GET,
              .known = true,
              .key = true,
              .extras = 4,
              .touches = true,
              .with_key = true,
              .quiet = true},
#define STORE(code, quiet_code, how, bytes)                                                                          \
    [code] = {.op = CACHE_MEMCACHED_STORE, .mode = how, .known = true, .key = true, .value = true, .extras = bytes}, \
    [quiet_code] = {.op = CACHE_MEMCACHED_STORE,                                                                     \
                    .mode = how,                                                                                     \
                    .known = true,                                                                                   \
                    .key = true,                                                                                     \
                    .value = true,                                                                                   \
                    .extras = bytes,                                                                                 \
                    .quiet = true}
    STORE(0x01, 0x11, CACHE_MEMCACHED_SET, 8),
    STORE(0x02, 0x12, CACHE_MEMCACHED_ADD, 8),
    STORE(0x03, 0x13, CACHE_MEMCACHED_REPLACE, 8),
    STORE(0x0e, 0x19, CACHE_MEMCACHED_APPEND, 0),
    STORE(0x0f, 0x1a, CACHE_MEMCACHED_PREPEND, 0),
#undef STORE
    [0x04] = {.op = CACHE_MEMCACHED_DELETE, .known = true, .key = true},
    [0x14] = {.op = CACHE_MEMCACHED_DELETE, .known = true, .key = true, .quiet = true},
    [0x05] = {.op = CACHE_MEMCACHED_ARITHMETIC, .known = true, .key = true, .extras = 20},
    [0x15] = {.op = CACHE_MEMCACHED_ARITHMETIC, .known = true, .key = true, .extras = 20, .quiet = true},
    [0x06] = {.op = CACHE_MEMCACHED_ARITHMETIC, .known = true, .key = true, .extras = 20, .decrements = true},
    [0x16] =
        {.op = CACHE_MEMCACHED_ARITHMETIC, .known = true, .key = true, .extras = 20, .decrements = true, .quiet = true},
    [0x1c] = {.op = CACHE_MEMCACHED_TOUCH, .known = true, .key = true, .extras = 4, .touches = true},
    [0x07] = {.op = CACHE_MEMCACHED_REPLY, .known = true, .close = true},
    [0x17] = {.op = CACHE_MEMCACHED_NOTHING, .known = true, .close = true, .quiet = true},
    [0x08] = {.op = CACHE_MEMCACHED_FLUSH, .known = true, .extras = 4, .optional_extras = true},
    [0x18] = {.op = CACHE_MEMCACHED_FLUSH, .known = true, .extras = 4, .optional_extras = true, .quiet = true},
    [0x0a] = {.op = CACHE_MEMCACHED_REPLY, .known = true},
    [0x0b] = {.op = CACHE_MEMCACHED_VERSION_ASKED, .known = true},
    [0x10] = {.op = CACHE_MEMCACHED_STATS, .known = true},
};

static uint16_t read16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t read32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t read64(const uint8_t *p)
{
    return (uint64_t)read32(p) << 32 | read32(p + 4);
}

static uint64_t expires(uint32_t exptime, const struct cache_memcached_limits *limits)
{
    return cache_memcached_expires((int32_t)exptime, limits->now_ms);
}

static void extras_read(const uint8_t *p, unsigned n, const struct cache_memcached_limits *limits,
                        struct cache_memcached_request *r)
{
    if (n == 4) {
        r->expires_ms = expires(read32(p), limits);
    } else if (n == 8) {
        r->flags = read32(p);
        r->expires_ms = expires(read32(p + 4), limits);
    } else if (n == 20) {
        r->delta = read64(p);
        r->initial = read64(p + 8);
        r->vivifies = read32(p + 16) != UINT32_MAX;
        r->vivify_ms = expires(read32(p + 16), limits);
    }
}

static void refuse(struct cache_memcached_request *r, enum cache_memcached_answer a, bool close)
{
    r->op = CACHE_MEMCACHED_REPLY;
    r->answer = (uint8_t)a;
    r->close = close;
    r->quiet = false;
}

static bool lengths_match(const struct opcode *o, unsigned key, unsigned extras, uint32_t value)
{
    if (extras != o->extras && !(o->optional_extras && extras == 0))
        return false;
    if (o->op == CACHE_MEMCACHED_STATS)
        return value == 0 && key <= CACHE_MEMCACHED_KEY_MAX;
    return (o->key ? key > 0 && key <= CACHE_MEMCACHED_KEY_MAX : key == 0) && (o->value || value == 0);
}

/* Of an item that is too large the bytes are passed over, and what its key held goes. */
static void value_expect(uint32_t value, unsigned key, const struct cache_memcached_limits *limits,
                         struct cache_memcached_request *r, struct cache_memcached_parts *parts)
{
    r->value_bytes = value;
    parts->has_value = true;
    if ((uint64_t)value + key + CACHE_MEMCACHED_OVERHEAD <= limits->item_bytes_max)
        return;
    parts->has_value = false;
    parts->swallow = value;
    r->op = CACHE_MEMCACHED_DELETE;
    r->has_cas = false;
    r->answer = CACHE_MEMCACHED_TOO_LARGE;
}

int cache_memcached_binary_head(const uint8_t *data, size_t n, const struct cache_memcached_limits *limits,
                                struct cache_memcached_request *r, struct cache_memcached_parts *parts)
{
    if (n && *data != CACHE_MEMCACHED_REQUEST_MAGIC)
        return -1;
    if (n < CACHE_MEMCACHED_HEADER_BYTES)
        return 0;
    const struct opcode *o = &opcodes[data[1]];
    unsigned key = read16(data + 2), extras = data[4];
    uint32_t body = read32(data + 8);
    memset(r, 0, sizeof *r);
    parts->key = parts->keys = (struct mr_span){data, 0};
    parts->has_value = false;
    parts->swallow = body;
    r->dialect = CACHE_MEMCACHED_BINARY;
    r->op = o->op;
    r->mode = o->mode;
    r->opcode = data[1];
    r->opaque_length = 4;
    memcpy(r->opaque, data + 12, 4);
    r->cas = read64(data + 16);
    r->has_cas = r->cas != 0;
    r->quiet = o->quiet;
    r->with_key = o->with_key;
    r->with_cas = true;
    r->wants_value = o->op == CACHE_MEMCACHED_GET;
    r->touches = o->touches;
    r->decrements = o->decrements;
    r->close = o->close;
    if (body < key + extras || !o->known) {
        refuse(r, CACHE_MEMCACHED_ERROR, body < key + extras);
        return CACHE_MEMCACHED_HEADER_BYTES;
    }
    if (!lengths_match(o, key, extras, body - key - extras)) {
        refuse(r, CACHE_MEMCACHED_BAD_FORMAT, true);
        return CACHE_MEMCACHED_HEADER_BYTES;
    }
    size_t head = CACHE_MEMCACHED_HEADER_BYTES + extras + key;
    if (n < head)
        return 0;
    parts->swallow = 0;
    extras_read(data + CACHE_MEMCACHED_HEADER_BYTES, extras, limits, r);
    parts->key = parts->keys = (struct mr_span){data + CACHE_MEMCACHED_HEADER_BYTES + extras, key};
    if (o->value)
        value_expect(body - key - extras, key, limits, r, parts);
    return (int)head;
}
