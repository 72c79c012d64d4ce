/* Reading log and base files back. What they hold is untrusted: a disk may have changed any bit.
 *
 * A file ends well, or torn, or is damaged. Torn: from some offset on there is no whole record, and no record behind
 * it vouches for that offset: it is a write that never ended, nothing in it was called durable. Damaged: what is bad
 * was on the disk once (a later record says so, or a later file exists, or it is the middle of a base). */
#ifndef SERVICES_CACHE_LOAD_H
#define SERVICES_CACHE_LOAD_H

#include "cache/durable/log.h"

enum cache_scan_end {
    CACHE_SCAN_OK,
    CACHE_SCAN_TORN,    /* from `offset` on */
    CACHE_SCAN_DAMAGED, /* at `offset` */
    CACHE_SCAN_REFUSED, /* the target did not take a command of the record at `offset` */
    CACHE_SCAN_FAILED,  /* the file could not be read: `error` */
};

/* Where bytes come from: a file, or memory. */
struct cache_reader {
    int fd; /* -1: memory */
    const uint8_t *memory;
    uint64_t size;
    uint8_t *buffer; /* a window of the file */
    size_t capacity, length;
    uint64_t at;
    int error; /* errno */
};

struct cache_scan {
    enum cache_scan_end end;
    uint64_t offset;
    uint64_t transactions, commands;
    struct cache_file_header header;
    int error;
};

void cache_reader_init_memory(struct cache_reader *r, const void *data, size_t n);
int cache_reader_open(struct cache_reader *r, int folder, const char *name); /* 0 or errno */
void cache_reader_close(struct cache_reader *r);

/* Reads a whole file and calls `target` (NULL members: skipped) for each good record before its end. */
void cache_file_scan(struct cache_reader *r, enum cache_file_kind kind, const struct cache_log_target *target,
                     struct cache_scan *scan);

#endif
