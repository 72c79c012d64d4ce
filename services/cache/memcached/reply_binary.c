/* Replies of memcached's binary protocol. */
#include <string.h>

#include "cache/memcached/binary_wire.h"
#include "cache/memcached/memcached.h"

static void write16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void write32(uint8_t *p, uint32_t v)
{
    write16(p, v >> 16);
    write16(p + 2, v & 0xffff);
}

static void write64(uint8_t *p, uint64_t v)
{
    write32(p, (uint32_t)(v >> 32));
    write32(p + 4, (uint32_t)v);
}

static void header_add(struct cache_reply *reply, const struct cache_memcached_request *r, unsigned status,
                       unsigned extras, size_t key, uint64_t value, uint64_t cas)
{
    uint8_t h[CACHE_MEMCACHED_HEADER_BYTES] = {CACHE_MEMCACHED_RESPONSE_MAGIC, r->opcode};
    write16(h + 2, (unsigned)key);
    h[4] = (uint8_t)extras;
    write16(h + 6, status);
    write32(h + 8, (uint32_t)(extras + key + value));
    memcpy(h + 12, r->opaque, 4);
    write64(h + 16, cas);
    cache_reply_raw(reply, h, sizeof h);
}

static const char *status_text(unsigned status)
{
    switch (status) {
    case 0x00:
        return "";
    case 0x01:
        return "Not found";
    case 0x02:
        return "Data exists for key.";
    case 0x03:
        return "Too large.";
    case 0x04:
        return "Invalid arguments";
    case 0x05:
        return "Not stored.";
    case 0x06:
        return "Non-numeric server-side value for incr or decr";
    case 0x82:
        return "Out of memory";
    default:
        return "Unknown command";
    }
}

/* An add that found its key and a replace that did not have a status of their own. */
static unsigned status_of(const struct cache_memcached_request *r, enum cache_memcached_answer a)
{
    if (a == CACHE_MEMCACHED_NOT_STORED && r->mode == CACHE_MEMCACHED_ADD)
        a = CACHE_MEMCACHED_EXISTS;
    if (a == CACHE_MEMCACHED_NOT_STORED && r->mode == CACHE_MEMCACHED_REPLACE)
        a = CACHE_MEMCACHED_NOT_FOUND;
    return cache_memcached_answers[a].status;
}

/* Touch answers with the flags, though it was not asked for them. */
static void touched_add(struct cache_reply *reply, const struct cache_memcached_request *r,
                        const struct cache_memcached_hit *hit)
{
    uint8_t flags[4];
    write32(flags, hit->flags);
    header_add(reply, r, 0, 4, 0, 0, hit->cas);
    cache_reply_raw(reply, flags, 4);
}

static void answer(struct cache_reply *reply, const struct cache_memcached_request *r, struct mr_span key,
                   enum cache_memcached_answer a, const struct cache_memcached_hit *hit)
{
    unsigned status = status_of(r, a);
    bool miss = r->op == CACHE_MEMCACHED_GET && status == 0x01;
    if (r->quiet && (status == 0 || miss))
        return;
    if (a == CACHE_MEMCACHED_TOUCHED) {
        touched_add(reply, r, hit);
        return;
    }
    if (miss && r->with_key) {
        header_add(reply, r, status, 0, key.length, 0, 0);
        cache_reply_raw(reply, key.data, key.length);
        return;
    }
    const char *text = status_text(status);
    header_add(reply, r, status, 0, 0, strlen(text), a == CACHE_MEMCACHED_STORED && hit ? hit->cas : 0);
    cache_reply_text(reply, text);
}

static void value(struct cache_reply *reply, const struct cache_memcached_request *r, struct mr_span key,
                  const struct cache_memcached_hit *hit)
{
    uint64_t length = cache_string_length(hit->entry);
    uint8_t flags[4];
    write32(flags, hit->flags);
    header_add(reply, r, 0, 4, r->with_key ? key.length : 0, length, hit->cas);
    cache_reply_raw(reply, flags, 4);
    if (r->with_key)
        cache_reply_raw(reply, key.data, key.length);
    cache_reply_value_raw(reply, hit->entry, 0, length);
}

static void number(struct cache_reply *reply, const struct cache_memcached_request *r, struct mr_span key,
                   const struct cache_memcached_hit *hit)
{
    uint8_t text[8];
    if (r->quiet)
        return;
    write64(text, hit->number);
    header_add(reply, r, 0, 0, 0, 8, hit->cas);
    cache_reply_raw(reply, text, 8);
}

static void statistic(struct cache_reply *reply, const struct cache_memcached_request *r, const char *name,
                      const char *text)
{
    size_t key = name && r->op == CACHE_MEMCACHED_STATS ? strlen(name) : 0, length = name ? strlen(text) : 0;
    header_add(reply, r, 0, 0, key, length, 0);
    cache_reply_raw(reply, name, key);
    cache_reply_raw(reply, text, length);
}

const struct cache_memcached_writer cache_memcached_binary = {answer, value, number, statistic};
