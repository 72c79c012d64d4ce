/* The bytes of log and base files, all numbers little-endian.
 *
 *     file:    | magic 8 | version 4 | kind 4 | id 8 | generation 8 | created ms 8 | zero 4 | crc32c 4 | record ...
 *     record:  | crc32c 4 | words 4 | tag 8 | vouched 8 | payload, zeros up to 8 |
 *     payload: part count, (shard, sequence) ..., Unix ms, command ..., zeros           numbers as varints (LEB128)
 *     command: argument count (1 at least), database, (length, bytes) ...
 *
 * `words` counts the payload in units of 8 bytes. `tag` is the file's id plus the offset of the record: bytes of a
 * value that look like a record, or a record of another place or file, are told from one. `vouched` is how many
 * bytes of the file were known to be on the disk when the record was written: damage below it is no torn write, see
 * load.c. The checksum covers everything behind itself. A base ends with a record of kind "end": part count 0, ms =
 * number of commands before it, and no command. */
#ifndef SERVICES_CACHE_RECORD_H
#define SERVICES_CACHE_RECORD_H

#include <millrace/types.h>

#include "cache/command/argument.h"

#define CACHE_FILE_HEADER_BYTES   48
#define CACHE_RECORD_HEADER_BYTES 24
#define CACHE_RECORD_PARTS_MAX    CACHE_WORKERS_MAX
#define CACHE_VARINT_MAX          10

enum cache_file_kind { CACHE_FILE_LOG = 1, CACHE_FILE_BASE = 2 };

struct cache_file_header {
    enum cache_file_kind kind;
    uint64_t id, generation, created_ms;
};

/* One shard that a transaction belongs to, and its number there: 1, 2, 3 ... since the process started. */
struct cache_log_part {
    uint32_t shard;
    uint64_t sequence;
};

struct cache_record_header {
    uint32_t crc;
    uint64_t payload_bytes;
    uint64_t tag, vouched;
};

/* A payload whose every length was proven. `commands` borrows. */
struct cache_log_transaction {
    unsigned part_count;
    struct cache_log_part parts[CACHE_RECORD_PARTS_MAX];
    uint64_t ms; /* Unix */
    uint64_t command_count;
    unsigned argc_max; /* of any of its commands */
    struct mr_span commands;
};

void cache_file_header_emit(const struct cache_file_header *h, uint8_t bytes[CACHE_FILE_HEADER_BYTES]);
bool cache_file_header_parse(const uint8_t *bytes, size_t n, struct cache_file_header *h);

/* `crc` of the payload goes in ready: see cache_record_crc_begin. */
void cache_record_header_emit(const struct cache_record_header *h, uint8_t bytes[CACHE_RECORD_HEADER_BYTES]);
void cache_record_header_parse(const uint8_t bytes[CACHE_RECORD_HEADER_BYTES], struct cache_record_header *h);
/* The checksum of the header's part; goes on over the payload with crc32c. */
uint32_t cache_record_crc_begin(const uint8_t bytes[CACHE_RECORD_HEADER_BYTES]);

/* Proves the whole payload once; afterwards cache_transaction_next cannot fail. False: malformed. */
bool cache_record_parse(const uint8_t *payload, size_t n, struct cache_log_transaction *t);
/* The next command at *at (begins with 0): fills argv, which has room for argc_max, and returns argc; 0: no more. */
unsigned cache_transaction_next(const struct cache_log_transaction *t, size_t *at, unsigned *database,
                                struct cache_argument *argv);

/* Returns bytes written, at most CACHE_VARINT_MAX. */
unsigned cache_varint_emit(uint64_t value, uint8_t bytes[CACHE_VARINT_MAX]);

#endif
