/* The bytes of a segment, all numbers little-endian, everything in units of 8 bytes.
 *
 *     segment: | magic 8 | version 4 | zero 4 | first offset 8 | salt 8 | first offset before 8 | bytes before 8 | zero 12 | crc32c 4 | record ...
 *     record:  | crc32c 4 | tag 4 | length 4 | vouched 4 | offset 8 | ms 6 | kind 1 | zero 1 | payload, zeros up to 8 |
 *
 * "before" is the segment before it, which was whole, of this size and on the disk when this one was made. `tag` is made of the salt and the
 * record's position, the checksum begins with the salt: bytes of another file, of another place, or of a payload that looks like a record
 * do not count. `vouched` is how many bytes of this file were known to be on the disk when the record was written: what is bad below it
 * is damage, not the end of a write that a crash cut off. The checksum covers everything behind itself, padding too. */
#ifndef SERVICES_QUEUE_LOG_SEGMENT_H
#define SERVICES_QUEUE_LOG_SEGMENT_H

#include <millrace/types.h>

#define QLOG_SEGMENT_HEADER UINT32_C(64)
#define QLOG_RECORD_HEADER  UINT32_C(32)
#define QLOG_NONE           UINT64_MAX

struct qlog_segment_header {
    uint64_t first, salt;
    uint64_t before_first; /* QLOG_NONE: it is the first of its log */
    uint64_t before_bytes;
};

struct qlog_record_header {
    uint32_t crc, tag, length, vouched;
    uint64_t offset, ms;
    uint8_t kind;
};

void qlog_segment_emit(const struct qlog_segment_header *h, uint8_t bytes[QLOG_SEGMENT_HEADER]);
bool qlog_segment_parse(const uint8_t *bytes, size_t n, struct qlog_segment_header *h);

/* On disk, header and padding included. */
static inline uint64_t qlog_record_bytes(uint64_t length)
{
    return QLOG_RECORD_HEADER + ((length + 7) & ~UINT64_C(7));
}

void qlog_record_emit(const struct qlog_record_header *h, uint8_t bytes[QLOG_RECORD_HEADER]);
/* False: no header of ours stands here, whatever the checksum: tag, length, or the byte that is zero. */
bool qlog_record_parse(const uint8_t *bytes, uint64_t salt, uint32_t position, struct qlog_record_header *h);
uint32_t qlog_record_tag(uint64_t salt, uint32_t position);
/* Of the header; goes on over payload and padding with crc32c. */
uint32_t qlog_record_crc_begin(uint64_t salt, const uint8_t header[QLOG_RECORD_HEADER]);
/* A whole record in the first bytes of `n`, its checksum right. */
bool qlog_record_whole(const uint8_t *bytes, uint64_t n, uint64_t salt, uint32_t position,
                       struct qlog_record_header *h);

#endif
