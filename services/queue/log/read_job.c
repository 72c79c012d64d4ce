/* The read job: steps of requests, each some records of one segment, from its file or from chunks, into one buffer that the job
 * keeps. May block. What it hands over is whole and checked. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "queue/log/state.h"

struct source {
    struct qlog_reader *reader;
    struct qlog_request *request;
    int fd;
};

static bool buffer_grow(struct qlog_reader *r, size_t room)
{
    if (room <= r->room)
        return true;
    size_t wanted = r->room * 2 > room ? r->room * 2 : room;
    uint8_t *grown = realloc(r->buffer, wanted);
    if (!grown)
        return false;
    r->buffer = grown;
    r->room = wanted;
    return true;
}

static void chunks_copy(const struct qlog_request *q, uint8_t *to, uint32_t n)
{
    const struct qlog_chunk *c = q->chunk;
    uint32_t at = q->chunk_at;
    while (n > 0) {
        if (at == c->capacity) {
            c = c->next;
            at = 0;
        }
        uint32_t room = c->capacity - at, part = n < room ? n : room;
        memcpy(to, c->bytes + at, part);
        to += part;
        at += part;
        n -= part;
    }
}

/* The first `n` bytes of the step, at the end of the buffer. */
static int load(struct source *s, uint32_t n)
{
    struct qlog_reader *r = s->reader;
    struct qlog_request *q = s->request;
    if (!buffer_grow(r, q->at + n))
        return ENOMEM;
    if (!q->chunk)
        return qlog_file_read(r->engine->io, s->fd, r->buffer + q->at, n, q->position);
    chunks_copy(q, r->buffer + q->at, n);
    return 0;
}

/* A record of chunks has no checksum yet, and needs none. */
static bool whole(const struct qlog_request *q, const uint8_t *bytes, uint32_t n, uint32_t position,
                  struct qlog_record_header *h)
{
    if (!q->chunk)
        return qlog_record_whole(bytes, n, q->salt, position, h);
    if (n < QLOG_RECORD_HEADER)
        return false;
    qlog_record_parse(bytes, q->salt, position, h);
    return qlog_record_bytes(h->length) <= n;
}

/* How many of `n` bytes are whole records, and wanted. */
static uint32_t records_measure(const struct source *s, uint32_t n)
{
    const struct qlog_request *q = s->request;
    const uint8_t *bytes = s->reader->buffer + q->at;
    struct qlog_record_header h;
    uint32_t at = 0;
    uint64_t records = 0, shown = 0;
    while (records < q->records && shown < q->bytes && whole(q, bytes + at, n - at, q->position + at, &h)) {
        at += (uint32_t)qlog_record_bytes(h.length);
        records += h.offset >= q->offset;
        shown += h.offset >= q->offset ? h.length : 0;
    }
    return at;
}

/* The first record is longer than what was loaded. */
static uint32_t first_bytes(const struct source *s, uint32_t n)
{
    const struct qlog_request *q = s->request;
    struct qlog_record_header h;
    if (n < QLOG_RECORD_HEADER)
        return 0;
    bool ours = qlog_record_parse(s->reader->buffer + q->at, q->salt, q->position, &h);
    uint64_t bytes = qlog_record_bytes(h.length);
    return (ours || q->chunk) && bytes > n && bytes <= q->limit ? (uint32_t)bytes : 0;
}

static int step_read(struct source *s)
{
    struct qlog_request *q = s->request;
    uint32_t n = q->want;
    int error = load(s, n);
    if (error)
        return error;
    q->length = records_measure(s, n);
    if (q->length == 0 && q->scan && (n = first_bytes(s, n)) > 0) {
        error = load(s, n);
        q->length = error ? 0 : records_measure(s, n);
    }
    return error ? error : q->length ? 0 : EBADMSG;
}

void qlog_reader_work(void *argument)
{
    struct qlog_reader *r = argument;
    const struct qlog_io *io = r->engine->io;
    char path[QLOG_PATH_BYTES], opened[QLOG_PATH_BYTES] = "";
    int fd = -1;
    r->used = 0;
    if (r->room > QLOG_READ_BYTES * 4) { /* it once held a large record */
        free(r->buffer);
        r->buffer = NULL;
        r->room = 0;
    }
    for (struct qlog_request *q = r->step; q; q = q->next) {
        if (q->ended)
            continue;
        qlog_segment_path(q->log, q->segment, path);
        if (!q->chunk && strcmp(path, opened)) {
            if (fd >= 0)
                io->close(fd);
            fd = io->open(r->engine->folder_fd, path, O_RDONLY, 0);
            strcpy(opened, fd >= 0 ? path : "");
        }
        q->at = r->used;
        q->error = q->chunk || fd >= 0 ? step_read(&(struct source){r, q, fd}) : errno;
        r->used += q->length;
    }
    if (fd >= 0)
        io->close(fd);
    r->finished = true;
}
