#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/durable/load.h"
#include "checksum/crc32c.h"

#define WINDOW (1u << 20)

void cache_reader_init_memory(struct cache_reader *r, const void *data, size_t n)
{
    *r = (struct cache_reader){.fd = -1, .memory = data, .size = n};
}

int cache_reader_open(struct cache_reader *r, int folder, const char *name)
{
    struct stat st;
    *r = (struct cache_reader){.fd = openat(folder, name, O_RDONLY | O_CLOEXEC)};
    if (r->fd < 0 || fstat(r->fd, &st) < 0) {
        int error = errno;
        cache_reader_close(r);
        return error;
    }
    r->size = (uint64_t)st.st_size;
    return 0;
}

void cache_reader_close(struct cache_reader *r)
{
    if (r->fd >= 0)
        close(r->fd);
    free(r->buffer);
    r->fd = -1;
    r->buffer = NULL;
}

static bool window_move(struct cache_reader *r, uint64_t offset, uint64_t n)
{
    size_t want = n > WINDOW ? (size_t)n : WINDOW;
    if (want > r->capacity) {
        uint8_t *grown = realloc(r->buffer, want);
        if (!grown) {
            r->error = ENOMEM;
            return false;
        }
        r->buffer = grown;
        r->capacity = want;
    }
    r->at = offset;
    r->length = 0;
    while (r->length < n) {
        ssize_t got = pread(r->fd, r->buffer + r->length, r->capacity - r->length, (off_t)(offset + r->length));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            r->error = got < 0 ? errno : EIO; /* shorter than it was when it was opened */
            return false;
        }
        r->length += (size_t)got;
    }
    return true;
}

/* `n` bytes at `offset`, valid until the next call; NULL: behind the end, or r->error. */
static const uint8_t *view(struct cache_reader *r, uint64_t offset, uint64_t n)
{
    if (offset > r->size || n > r->size - offset)
        return NULL;
    if (r->memory || n == 0)
        return r->memory ? r->memory + offset : (const uint8_t *)"";
    if (offset < r->at || offset + n > r->at + r->length)
        if (!window_move(r, offset, n))
            return NULL;
    return r->buffer + (offset - r->at);
}

/* A whole record at `offset`, its checksum right. */
static bool record_at(struct cache_reader *r, uint64_t id, uint64_t offset, struct cache_record_header *h,
                      const uint8_t **payload)
{
    const uint8_t *bytes = view(r, offset, CACHE_RECORD_HEADER_BYTES);
    if (!bytes)
        return false;
    cache_record_header_parse(bytes, h);
    if (h->tag != id + offset)
        return false;
    bytes = view(r, offset, CACHE_RECORD_HEADER_BYTES + h->payload_bytes);
    if (!bytes)
        return false;
    *payload = bytes + CACHE_RECORD_HEADER_BYTES;
    return crc32c(cache_record_crc_begin(bytes), *payload, (size_t)h->payload_bytes) == h->crc;
}

/* Is there a good record behind `bad` that says that `bad` had reached the disk? */
static bool vouched_for(struct cache_reader *r, uint64_t id, uint64_t bad)
{
    for (uint64_t at = bad + 8; at + CACHE_RECORD_HEADER_BYTES <= r->size && !r->error;) {
        struct cache_record_header h;
        const uint8_t *payload;
        if (!record_at(r, id, at, &h, &payload)) {
            at += 8;
            continue;
        }
        if (h.vouched > bad)
            return true;
        at += CACHE_RECORD_HEADER_BYTES + h.payload_bytes;
    }
    return false;
}

/* False: a command was refused. */
static bool replay(const struct cache_log_transaction *t, const struct cache_log_target *target,
                   struct cache_argument *argv, struct cache_scan *scan)
{
    unsigned argc, database = 0;
    bool taken = true;
    if (target->begin)
        target->begin(target->context, t->ms);
    for (size_t at = 0; taken && (argc = cache_transaction_next(t, &at, &database, argv)) > 0; scan->commands++)
        taken = !target->command || target->command(target->context, database, argv, argc);
    if (target->end)
        target->end(target->context);
    scan->transactions++;
    return taken;
}

struct scanner {
    struct cache_reader *reader;
    struct cache_scan *scan;
    const struct cache_log_target *target;
    struct cache_argument *argv;
    unsigned argv_room;
    bool ended; /* the end record of a base was read */
};

static bool argv_grow(struct scanner *s, unsigned argc)
{
    if (argc <= s->argv_room)
        return true;
    struct cache_argument *grown = realloc(s->argv, argc * sizeof *grown);
    if (!grown) {
        s->reader->error = ENOMEM;
        return false;
    }
    s->argv = grown;
    s->argv_room = argc;
    return true;
}

/* One good record. False: the scan has ended, and why is noted. */
static bool record_take(struct scanner *s, const uint8_t *payload, uint64_t n, enum cache_file_kind kind)
{
    struct cache_log_transaction t;
    s->scan->end = CACHE_SCAN_DAMAGED;
    if (s->ended || !cache_record_parse(payload, (size_t)n, &t) || !argv_grow(s, t.argc_max))
        return false;
    if (kind == CACHE_FILE_BASE && t.command_count == 0) {
        s->ended = true;
        return t.ms == s->scan->commands;
    }
    s->scan->end = CACHE_SCAN_REFUSED;
    return replay(&t, s->target, s->argv, s->scan);
}

static void scan_records(struct scanner *s, enum cache_file_kind kind)
{
    struct cache_scan *scan = s->scan;
    struct cache_record_header h;
    const uint8_t *payload;
    scan->offset = CACHE_FILE_HEADER_BYTES;
    while (scan->offset < s->reader->size) {
        if (!record_at(s->reader, scan->header.id, scan->offset, &h, &payload)) {
            bool damaged = kind == CACHE_FILE_BASE || vouched_for(s->reader, scan->header.id, scan->offset);
            scan->end = damaged ? CACHE_SCAN_DAMAGED : CACHE_SCAN_TORN;
            return;
        }
        if (!record_take(s, payload, h.payload_bytes, kind))
            return;
        scan->offset += CACHE_RECORD_HEADER_BYTES + h.payload_bytes;
    }
    scan->end = kind == CACHE_FILE_BASE && !s->ended ? CACHE_SCAN_DAMAGED : CACHE_SCAN_OK;
}

void cache_file_scan(struct cache_reader *r, enum cache_file_kind kind, const struct cache_log_target *target,
                     struct cache_scan *scan)
{
    static const struct cache_log_target nobody;
    struct scanner s = {.reader = r, .scan = scan, .target = target ? target : &nobody};
    *scan = (struct cache_scan){.end = CACHE_SCAN_DAMAGED};
    const uint8_t *bytes = view(r, 0, CACHE_FILE_HEADER_BYTES);
    if (bytes && cache_file_header_parse(bytes, CACHE_FILE_HEADER_BYTES, &scan->header) && scan->header.kind == kind)
        scan_records(&s, kind);
    free(s.argv);
    if (r->error) {
        scan->end = CACHE_SCAN_FAILED;
        scan->error = r->error;
    }
}
