#include "queue/log/segment.h"

#include <endian.h>
#include <string.h>

#include "checksum/crc32c.h"
#include "queue/log/log.h"

#define MAGIC   "MRQLOG\r\n"
#define VERSION 1
#define MS_MAX  ((UINT64_C(1) << 48) - 1)

static void put32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof v);
}

static void put64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof v);
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

void qlog_segment_emit(const struct qlog_segment_header *h, uint8_t bytes[QLOG_SEGMENT_HEADER])
{
    memset(bytes, 0, QLOG_SEGMENT_HEADER);
    memcpy(bytes, MAGIC, 8);
    put32(bytes + 8, VERSION);
    put64(bytes + 16, h->first);
    put64(bytes + 24, h->salt);
    put64(bytes + 32, h->before_first);
    put64(bytes + 40, h->before_bytes);
    put32(bytes + 60, crc32c(0, bytes, 60));
}

bool qlog_segment_parse(const uint8_t *bytes, size_t n, struct qlog_segment_header *h)
{
    if (n < QLOG_SEGMENT_HEADER || memcmp(bytes, MAGIC, 8) != 0 || get32(bytes + 8) != VERSION)
        return false;
    *h = (struct qlog_segment_header){get64(bytes + 16), get64(bytes + 24), get64(bytes + 32), get64(bytes + 40)};
    return get32(bytes + 60) == crc32c(0, bytes, 60);
}

void qlog_record_emit(const struct qlog_record_header *h, uint8_t bytes[QLOG_RECORD_HEADER])
{
    uint64_t ms = h->ms < MS_MAX ? h->ms : MS_MAX;
    put32(bytes, h->crc);
    put32(bytes + 4, h->tag);
    put32(bytes + 8, h->length);
    put32(bytes + 12, h->vouched);
    put64(bytes + 16, h->offset);
    put64(bytes + 24, ms | (uint64_t)h->kind << 48);
}

uint32_t qlog_record_tag(uint64_t salt, uint32_t position)
{
    return (uint32_t)salt + position;
}

bool qlog_record_parse(const uint8_t *bytes, uint64_t salt, uint32_t position, struct qlog_record_header *h)
{
    uint64_t last = get64(bytes + 24);
    *h = (struct qlog_record_header){.crc = get32(bytes),
                                     .tag = get32(bytes + 4),
                                     .length = get32(bytes + 8),
                                     .vouched = get32(bytes + 12),
                                     .offset = get64(bytes + 16),
                                     .ms = last & MS_MAX,
                                     .kind = (uint8_t)(last >> 48)};
    return h->tag == qlog_record_tag(salt, position) && h->length <= QLOG_RECORD_MAX && last >> 56 == 0;
}

uint32_t qlog_record_crc_begin(uint64_t salt, const uint8_t header[QLOG_RECORD_HEADER])
{
    return crc32c((uint32_t)(salt >> 32), header + 4, QLOG_RECORD_HEADER - 4);
}

bool qlog_record_whole(const uint8_t *bytes, uint64_t n, uint64_t salt, uint32_t position, struct qlog_record_header *h)
{
    if (n < QLOG_RECORD_HEADER || !qlog_record_parse(bytes, salt, position, h))
        return false;
    uint64_t whole = qlog_record_bytes(h->length);
    if (whole > n)
        return false;
    uint32_t crc = qlog_record_crc_begin(salt, bytes);
    return crc32c(crc, bytes + QLOG_RECORD_HEADER, (size_t)(whole - QLOG_RECORD_HEADER)) == h->crc;
}
