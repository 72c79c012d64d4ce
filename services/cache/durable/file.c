/* Log and base files as bytes: runs on offload threads and at start, and may block. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "cache/durable/log_state.h"
#include "checksum/crc32c.h"

#define VECTORS 1024 /* IOV_MAX */

static uint64_t unix_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int log_file_create(struct cache_log *log, struct cache_log_file *f, const char *name, enum cache_file_kind kind,
                    uint64_t generation)
{
    uint8_t bytes[CACHE_FILE_HEADER_BYTES];
    struct cache_file_header h = {.kind = kind, .generation = generation, .created_ms = unix_ms()};
    if (getrandom(&h.id, sizeof h.id, 0) != sizeof h.id)
        return errno;
    int fd = openat(log->folder.fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return errno;
    cache_file_header_emit(&h, bytes);
    errno = ENOSPC; /* a short write */
    if (pwrite(fd, bytes, sizeof bytes, 0) != sizeof bytes || fdatasync(fd) < 0 || fsync(log->folder.fd) < 0) {
        int error = errno;
        close(fd);
        return error;
    }
    *f = (struct cache_log_file){fd, h.id, generation, sizeof bytes, sizeof bytes};
    return 0;
}

/* Plain writes, where there is no ring. */
static int vectors_write(int fd, struct iovec *v, unsigned n, uint64_t offset, bool sync)
{
    while (n > 0) {
        ssize_t written = pwritev(fd, v, (int)n, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? errno : ENOSPC;
        offset += (uint64_t)written;
        for (; n > 0 && (size_t)written >= v->iov_len; v++, n--)
            written -= (ssize_t)v->iov_len;
        if (n > 0) {
            v->iov_base = (uint8_t *)v->iov_base + written;
            v->iov_len -= (size_t)written;
        }
    }
    return !sync || fdatasync(fd) == 0 ? 0 : errno;
}

/* Collects vectors and writes them when there are enough. */
struct output {
    struct cache_log_file *file;
    struct cache_log_ring *ring;
    struct iovec vectors[VECTORS];
    unsigned count;
    uint64_t at;    /* in the file, of the first vector */
    uint64_t bytes; /* in the vectors */
};

static int output_flush(struct output *o, bool sync)
{
    int error;
    if (o->count == 0)
        return !sync || fdatasync(o->file->fd) == 0 ? 0 : errno;
    if (o->ring)
        error = log_ring_write(o->ring, o->file->fd, o->vectors, o->count, o->at, sync);
    else
        error = vectors_write(o->file->fd, o->vectors, o->count, o->at, sync);
    o->at += o->bytes;
    o->bytes = o->count = 0;
    return error;
}

static int output_add(struct output *o, const void *data, size_t n)
{
    if (n == 0)
        return 0;
    int error = o->count == VECTORS ? output_flush(o, false) : 0;
    o->vectors[o->count++] = (struct iovec){(void *)(uintptr_t)data, n};
    o->bytes += n;
    return error;
}

/* What is known only now: where the record lies, and so its checksum. */
static void record_seal(struct cache_log_record *r, const struct cache_log_file *f, uint64_t offset, uint64_t vouched)
{
    struct cache_record_header h = {
        .payload_bytes = r->disk_bytes - CACHE_RECORD_HEADER_BYTES, .tag = f->id + offset, .vouched = vouched};
    cache_record_header_emit(&h, r->head);
    h.crc = crc32c(cache_record_crc_begin(r->head), r->head + CACHE_RECORD_HEADER_BYTES,
                   r->head_length - CACHE_RECORD_HEADER_BYTES);
    for (const struct cache_log_piece *p = r->pieces; p; p = p->next)
        h.crc = crc32c(h.crc, p->data, p->length);
    cache_record_header_emit(&h, r->head);
}

int log_file_write(struct cache_log_file *f, struct cache_log_ring *ring, struct cache_log_record *first,
                   uint64_t vouched, bool sync)
{
    struct output o;
    o.file = f;
    o.ring = ring;
    o.count = 0;
    o.at = f->size;
    o.bytes = 0;
    uint64_t offset = f->size;
    for (struct cache_log_record *r = first; r; r = r->next) {
        record_seal(r, f, offset, vouched);
        int error = output_add(&o, r->head, r->head_length);
        for (const struct cache_log_piece *p = r->pieces; p && !error; p = p->next)
            error = output_add(&o, p->data, p->length);
        if (error)
            return error;
        offset += r->disk_bytes;
    }
    int error = output_flush(&o, sync);
    if (error)
        return error;
    f->size = offset;
    if (sync)
        f->synced = offset;
    return 0;
}

int log_file_end(struct cache_log_file *f, uint64_t commands)
{
    uint8_t bytes[CACHE_RECORD_HEADER_BYTES + 16] = {0}, *payload = bytes + CACHE_RECORD_HEADER_BYTES;
    unsigned n = 1 + cache_varint_emit(commands, payload + 1); /* part count 0, "ms" */
    n = (n + 7) & ~7u;
    struct cache_record_header h = {.payload_bytes = n, .tag = f->id + f->size};
    cache_record_header_emit(&h, bytes);
    h.crc = crc32c(cache_record_crc_begin(bytes), payload, n);
    cache_record_header_emit(&h, bytes);
    n += CACHE_RECORD_HEADER_BYTES;
    errno = ENOSPC;
    if (pwrite(f->fd, bytes, n, (off_t)f->size) != (ssize_t)n || fsync(f->fd) < 0)
        return errno;
    f->size += n;
    f->synced = f->size;
    return 0;
}

void log_file_close(struct cache_log_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}
