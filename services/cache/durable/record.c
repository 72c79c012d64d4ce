#include "cache/durable/record.h"

#include <endian.h>
#include <string.h>

#include "checksum/crc32c.h"

#define VERSION 1
static const char magic[8] = "MRCACHE\n";

static uint32_t load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

static void store32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof v);
}

static void store64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof v);
}

void cache_file_header_emit(const struct cache_file_header *h, uint8_t bytes[CACHE_FILE_HEADER_BYTES])
{
    memset(bytes, 0, CACHE_FILE_HEADER_BYTES);
    memcpy(bytes, magic, sizeof magic);
    store32(bytes + 8, VERSION);
    store32(bytes + 12, h->kind);
    store64(bytes + 16, h->id);
    store64(bytes + 24, h->generation);
    store64(bytes + 32, h->created_ms);
    store32(bytes + 44, crc32c(0, bytes, 44));
}

bool cache_file_header_parse(const uint8_t *bytes, size_t n, struct cache_file_header *h)
{
    if (n < CACHE_FILE_HEADER_BYTES || memcmp(bytes, magic, sizeof magic) != 0 || load32(bytes + 8) != VERSION ||
        load32(bytes + 44) != crc32c(0, bytes, 44))
        return false;
    uint32_t kind = load32(bytes + 12);
    *h = (struct cache_file_header){(enum cache_file_kind)kind, load64(bytes + 16), load64(bytes + 24),
                                    load64(bytes + 32)};
    return kind == CACHE_FILE_LOG || kind == CACHE_FILE_BASE;
}

void cache_record_header_emit(const struct cache_record_header *h, uint8_t bytes[CACHE_RECORD_HEADER_BYTES])
{
    store32(bytes, h->crc);
    store32(bytes + 4, (uint32_t)(h->payload_bytes / 8));
    store64(bytes + 8, h->tag);
    store64(bytes + 16, h->vouched);
}

void cache_record_header_parse(const uint8_t bytes[CACHE_RECORD_HEADER_BYTES], struct cache_record_header *h)
{
    *h = (struct cache_record_header){load32(bytes), (uint64_t)load32(bytes + 4) * 8, load64(bytes + 8),
                                      load64(bytes + 16)};
}

uint32_t cache_record_crc_begin(const uint8_t bytes[CACHE_RECORD_HEADER_BYTES])
{
    return crc32c(0, bytes + 4, CACHE_RECORD_HEADER_BYTES - 4);
}

unsigned cache_varint_emit(uint64_t value, uint8_t bytes[CACHE_VARINT_MAX])
{
    unsigned n = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[n++] = (uint8_t)(value | 0x80);
    bytes[n++] = (uint8_t)value;
    return n;
}

/* False: cut short, or longer than 64 bits. */
static bool varint_take(struct mr_span *s, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && s->length > 0; shift += 7) {
        uint8_t b = *s->data++;
        s->length--;
        *value |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return shift < 63 || b <= 1;
    }
    return false;
}

static bool parts_take(struct mr_span *s, struct cache_log_transaction *t)
{
    uint64_t count, shard;
    if (!varint_take(s, &count) || count > CACHE_RECORD_PARTS_MAX)
        return false;
    t->part_count = (unsigned)count;
    for (unsigned i = 0; i < t->part_count; i++) {
        if (!varint_take(s, &shard) || shard >= CACHE_WORKERS_MAX || !varint_take(s, &t->parts[i].sequence))
            return false;
        t->parts[i].shard = (uint32_t)shard;
    }
    return varint_take(s, &t->ms);
}

/* Behind its argument count. */
static bool command_prove(struct mr_span *s, uint64_t argc)
{
    uint64_t database, length;
    if (argc > CACHE_ARGUMENTS_MAX || !varint_take(s, &database) || database >= CACHE_DATABASES)
        return false;
    for (uint64_t i = 0; i < argc; i++) {
        if (!varint_take(s, &length) || length > CACHE_VALUE_MAX || length > s->length)
            return false;
        s->data += length;
        s->length -= length;
    }
    return true;
}

static bool zeros(struct mr_span s)
{
    for (size_t i = 0; i < s.length; i++)
        if (s.data[i] != 0)
            return false;
    return s.length < 8;
}

bool cache_record_parse(const uint8_t *payload, size_t n, struct cache_log_transaction *t)
{
    struct mr_span s = {payload, n};
    *t = (struct cache_log_transaction){0};
    if (!parts_take(&s, t))
        return false;
    const uint8_t *begin = s.data;
    while (s.length > 0 && *s.data != 0) {
        uint64_t argc;
        if (!varint_take(&s, &argc) || argc == 0 || !command_prove(&s, argc))
            return false;
        t->command_count++;
        t->argc_max = t->argc_max > argc ? t->argc_max : (unsigned)argc;
    }
    t->commands = (struct mr_span){begin, (size_t)(s.data - begin)};
    return zeros(s);
}

unsigned cache_transaction_next(const struct cache_log_transaction *t, size_t *at, unsigned *database,
                                struct cache_argument *argv)
{
    struct mr_span s = {t->commands.data + *at, t->commands.length - *at};
    uint64_t argc = 0, number = 0;
    if (s.length == 0)
        return 0;
    varint_take(&s, &argc);
    varint_take(&s, &number);
    *database = (unsigned)number;
    for (uint64_t i = 0; i < argc; i++) {
        varint_take(&s, &number);
        argv[i] = (struct cache_argument){.data = s.data, .length = (uint32_t)number};
        s.data += number;
        s.length -= number;
    }
    *at = t->commands.length - s.length;
    return (unsigned)argc;
}
