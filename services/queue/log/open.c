/* Opening a log that exists: every segment read, every record shown, the index built. Blocks; before the worker turns.
 *
 * The first record that is not whole ends the last segment, when nothing says that there was more: a record behind it that vouches for its
 * place. In any other segment it is damage: the one behind it was made when this was whole. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <millrace/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "queue/log/state.h"

#define WINDOW         (1u << 20)
#define TORN_FILES_MAX 1000

struct opening {
    struct qlog_engine *engine;
    struct qlog *log;
    bool (*record)(void *context, const struct qlog_record *r);
    uint64_t *firsts; /* of the segments there, sorted */
    unsigned count, room;
    char path[QLOG_PATH_BYTES]; /* of the segment being read */
    int fd;
    uint64_t size;
    uint8_t *window;
    uint64_t window_at, window_bytes, window_room;
    int error; /* errno of a call that failed */
};

static int failed(struct opening *o, const char *what)
{
    mr_log(MR_LOG_ERROR, "queue", "%s/%s: %s: %s", o->engine->folder, o->path, what, strerror(o->error));
    errno = o->error;
    return o->error == ENOMEM ? MR_ERROR_NO_MEMORY : MR_ERROR_SYSTEM;
}

static int damaged(struct opening *o, uint64_t position, const char *what)
{
    mr_log(MR_LOG_ERROR, "queue", "%s/%s is damaged at byte %" PRIu64 ": %s; nothing was changed", o->engine->folder,
           o->path, position, what);
    return MR_ERROR_INVALID;
}

/* -- bytes of a file ----------------------------------------------------------------------------------------------------- */

/* `n` bytes at `at`, valid until the next call. NULL: they are not there, or o->error. */
static const uint8_t *view(struct opening *o, uint64_t at, uint64_t n)
{
    if (at > o->size || n > o->size - at)
        return NULL;
    if (at >= o->window_at && at + n <= o->window_at + o->window_bytes)
        return o->window + (at - o->window_at);
    uint64_t want = n > WINDOW ? n : WINDOW;
    want = want < o->size - at ? want : o->size - at;
    if (want > o->window_room) {
        uint8_t *grown = realloc(o->window, want);
        if (!grown) {
            o->error = ENOMEM;
            return NULL;
        }
        o->window = grown;
        o->window_room = want;
    }
    o->window_bytes = 0;
    o->error = qlog_file_read(o->engine->io, o->fd, o->window, (size_t)want, at);
    if (o->error)
        return NULL;
    o->window_at = at;
    o->window_bytes = want;
    return o->window;
}

static int segment_file_open(struct opening *o, uint64_t first)
{
    const struct qlog_io *io = o->engine->io;
    struct stat st;
    qlog_segment_path(o->log, first, o->path);
    o->fd = io->open(o->engine->folder_fd, o->path, O_RDWR, 0);
    o->window_bytes = 0;
    if (o->fd >= 0 && io->stat(o->fd, &st) == 0) {
        o->size = (uint64_t)st.st_size;
        return MR_OK;
    }
    o->error = errno;
    return failed(o, "opening it");
}

static void segment_file_close(struct opening *o)
{
    if (o->fd >= 0)
        o->engine->io->close(o->fd);
    o->fd = -1;
}

/* -- records ------------------------------------------------------------------------------------------------------------- */

/* The whole record at `at`; NULL: there is none, or o->error. */
static const uint8_t *record_at(struct opening *o, uint64_t salt, uint64_t at, struct qlog_record_header *h)
{
    const uint8_t *bytes = view(o, at, QLOG_RECORD_HEADER);
    if (!bytes || !qlog_record_parse(bytes, salt, (uint32_t)at, h))
        return NULL;
    uint64_t n = qlog_record_bytes(h->length);
    bytes = view(o, at, n);
    return bytes && qlog_record_whole(bytes, n, salt, (uint32_t)at, h) ? bytes : NULL;
}

/* Does a good record behind `bad` say that `bad` had reached the disk? Tags are as good as random: who fills payloads cannot make this slow. */
static bool vouched_for(struct opening *o, uint64_t salt, uint64_t bad)
{
    struct qlog_record_header h;
    for (uint64_t at = bad + 8; at + QLOG_RECORD_HEADER <= o->size && !o->error;) {
        if (!record_at(o, salt, at, &h)) {
            at += 8;
            continue;
        }
        if (h.vouched > bad)
            return true;
        at += qlog_record_bytes(h.length);
    }
    return false;
}

static bool record_show(struct opening *o, const struct qlog_segment *s, const struct qlog_record_header *h,
                        const uint8_t *bytes)
{
    struct qlog_record r = {h->offset,
                            h->ms,
                            h->kind,
                            {bytes + QLOG_RECORD_HEADER, h->length},
                            {s->first, s->bytes, (uint32_t)qlog_record_bytes(h->length)}};
    return !o->record || o->record(o->log->context, &r);
}

/* All whole records. o->log->last->bytes is where they end. */
static int records_read(struct opening *o, struct qlog_segment *s)
{
    struct qlog *log = o->log;
    struct qlog_record_header h;
    while (s->bytes < o->size) {
        const uint8_t *bytes = record_at(o, s->salt, s->bytes, &h);
        if (o->error)
            return failed(o, "reading it");
        if (!bytes || h.offset != log->next)
            return MR_OK;
        if (!record_show(o, s, &h, bytes)) {
            mr_log(MR_LOG_ERROR, "queue", "%s/%s: the record at byte %" PRIu32 " was refused", o->engine->folder,
                   o->path, s->bytes);
            return MR_ERROR_INVALID;
        }
        qlog_segment_grow(log, h.offset, h.ms, (uint32_t)qlog_record_bytes(h.length));
        log->next++;
    }
    return MR_OK;
}

/* -- torn tails ---------------------------------------------------------------------------------------------------------- */

/* A new FILE.torn, or FILE.torn.1 ...; -1 and o->error. */
static int torn_create(struct opening *o, char name[QLOG_PATH_BYTES])
{
    for (unsigned i = 0; i < TORN_FILES_MAX; i++) {
        int n = snprintf(name, QLOG_PATH_BYTES, "%s.torn", o->path);
        if (i > 0)
            snprintf(name + n, QLOG_PATH_BYTES - (size_t)n, ".%u", i);
        int fd = o->engine->io->open(o->engine->folder_fd, name, O_WRONLY | O_CREAT | O_EXCL, 0644);
        o->error = fd >= 0 ? 0 : errno;
        if (fd >= 0)
            return fd;
        if (errno != EEXIST)
            break;
    }
    return -1;
}

/* A full disk is no reason not to start: what is torn was never promised to anybody, and cutting it makes room. */
static int torn_kept_no_room(struct opening *o, char name[QLOG_PATH_BYTES])
{
    if (o->error != ENOSPC && o->error != EDQUOT)
        return failed(o, "keeping its torn end");
    o->error = 0;
    name[0] = 0;
    return MR_OK;
}

/* Keeps what stands behind `at` in a file of its own, on the disk. `name` is empty when the disk has no room for it. */
static int torn_keep(struct opening *o, uint64_t at, char name[QLOG_PATH_BYTES])
{
    const struct qlog_io *io = o->engine->io;
    int fd = torn_create(o, name);
    if (fd < 0)
        return torn_kept_no_room(o, name);
    for (uint64_t from = at; from < o->size && !o->error;) {
        uint64_t n = o->size - from < WINDOW ? o->size - from : WINDOW;
        const uint8_t *bytes = view(o, from, n);
        if (bytes)
            o->error = qlog_file_write(io, fd, bytes, (size_t)n, from - at);
        from += n;
    }
    if (!o->error && io->fsync(fd) < 0)
        o->error = errno;
    io->close(fd);
    if (!o->error)
        return MR_OK;
    io->unlink(o->engine->folder_fd, name, 0); /* half of it is of no use */
    return torn_kept_no_room(o, name);
}

static const char *kept_how(const char *kept)
{
    return *kept ? "and kept in " : "and not kept: the disk is full";
}

/* Cuts the file at `at`. */
static int torn_cut(struct opening *o, uint64_t at)
{
    const struct qlog_io *io = o->engine->io;
    char kept[QLOG_PATH_BYTES];
    o->error = 0;
    int result = torn_keep(o, at, kept);
    if (result != MR_OK)
        return result;
    if (io->truncate(o->fd, (off_t)at) < 0 || io->fdatasync(o->fd) < 0) {
        o->error = errno;
        return failed(o, "cutting its torn end");
    }
    o->engine->status.torn_bytes += o->size - at;
    mr_log(MR_LOG_WARNING, "queue",
           "%s/%s: %" PRIu64 " bytes at byte %" PRIu64 " were the torn end of a write; cut, %s%s", o->engine->folder,
           o->path, o->size - at, at, kept_how(kept), kept);
    return MR_OK;
}

/* A last file whose making was cut off: nothing was ever written behind its header. */
static int stillborn_remove(struct opening *o)
{
    char kept[QLOG_PATH_BYTES];
    int result = torn_keep(o, 0, kept);
    if (result != MR_OK)
        return result;
    if (o->engine->io->unlink(o->engine->folder_fd, o->path, 0) < 0) {
        o->error = errno;
        return failed(o, "deleting it");
    }
    o->engine->status.torn_bytes += o->size;
    mr_log(MR_LOG_WARNING, "queue", "%s/%s: its header is torn (%" PRIu64 " bytes at byte 0); removed, %s%s",
           o->engine->folder, o->path, o->size, kept_how(kept), kept);
    return MR_OK;
}

/* -- segments ------------------------------------------------------------------------------------------------------------ */

static int last_end(struct opening *o, struct qlog_segment *s)
{
    const struct qlog_io *io = o->engine->io;
    if (s->bytes < o->size) {
        bool vouched = vouched_for(o, s->salt, s->bytes);
        if (o->error)
            return failed(o, "reading it");
        if (vouched)
            return damaged(o, s->bytes, "a record behind it says that this was whole");
        return torn_cut(o, s->bytes);
    }
    if (io->fdatasync(o->fd) == 0) /* what a process left that was killed may be with the kernel alone */
        return MR_OK;
    o->error = errno;
    return failed(o, "syncing it");
}

/* Does the chain hold: is the segment before it the one that it names, as long as it says? */
static int chain_check(struct opening *o, const struct qlog_segment_header *h, const struct qlog_segment *before)
{
    if (before && (h->before_first != before->first || h->before_bytes != before->bytes || h->first != o->log->next))
        return damaged(o, 0, "the segment before it is not the one that was there when it was made");
    return MR_OK;
}

static int segment_read(struct opening *o, uint64_t first, bool last)
{
    struct qlog *log = o->log;
    struct qlog_segment_header h;
    struct qlog_segment *before = log->last;
    const uint8_t *bytes = view(o, 0, QLOG_SEGMENT_HEADER);
    if (o->error)
        return failed(o, "reading it");
    if (!bytes || !qlog_segment_parse(bytes, QLOG_SEGMENT_HEADER, &h)) {
        if (last && o->size <= QLOG_SEGMENT_HEADER)
            return stillborn_remove(o);
        return damaged(o, 0, "it has no header of ours");
    }
    if (h.first != first || o->size > UINT32_MAX)
        return damaged(o, 0, "it is not the file that its name says");
    int result = chain_check(o, &h, before);
    if (result != MR_OK)
        return result;
    log->next = first;
    struct qlog_segment *s = qlog_segment_add(log, first);
    if (!s)
        return MR_ERROR_NO_MEMORY;
    s->salt = h.salt;
    s->created = true;
    s->before_first = h.before_first;
    s->before_bytes = h.before_bytes;
    result = records_read(o, s);
    if (result != MR_OK)
        return result;
    if (last)
        return last_end(o, s);
    return s->bytes == o->size ? MR_OK : damaged(o, s->bytes, "this is not a record, and the next segment exists");
}

static int segments_read(struct opening *o)
{
    for (unsigned i = 0; i < o->count; i++) {
        int result = segment_file_open(o, o->firsts[i]);
        if (result == MR_OK)
            result = segment_read(o, o->firsts[i], i + 1 == o->count);
        segment_file_close(o);
        if (result != MR_OK)
            return result;
    }
    return MR_OK;
}

/* -- the log ------------------------------------------------------------------------------------------------------------- */

static void first_note(void *context, const char *name)
{
    struct opening *o = context;
    uint64_t first;
    int end = 0;
    if (strlen(name) != 24 || sscanf(name, "%20" SCNu64 ".log%n", &first, &end) != 1 || end != 24)
        return;
    if (o->count == o->room) {
        unsigned room = o->room ? o->room * 2 : 16;
        uint64_t *grown = realloc(o->firsts, room * sizeof *grown);
        if (!grown) {
            o->error = ENOMEM;
            return;
        }
        o->firsts = grown;
        o->room = room;
    }
    o->firsts[o->count++] = first;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int firsts_list(struct opening *o)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", o->engine->folder, o->log->name);
    snprintf(o->path, sizeof o->path, "%s", o->log->name);
    int error = qlog_folder_list_all(path, first_note, o);
    o->error = error ? error : o->error;
    if (o->error)
        return failed(o, "listing it");
    if (o->count)
        qsort(o->firsts, o->count, sizeof *o->firsts, compare);
    return MR_OK;
}

/* All that was read is on the disk. */
static int log_settle(struct opening *o)
{
    struct qlog *log = o->log;
    o->error = qlog_folder_sync(o->engine, log->name);
    if (o->error)
        return failed(o, "syncing its folder");
    log->made = true;
    log->active = log->last;
    log->appended = log->last ? qlog_segment_end(log->last) : 0;
    log->written = log->synced = log->sync_to = log->released = log->appended;
    log->written_offset = log->synced_offset = log->next;
    return MR_OK;
}

int qlog_open(struct qlog_engine *e, const char *name, const struct qlog_options *options, void *context,
              bool (*record)(void *context, const struct qlog_record *r), struct qlog **out)
{
    struct opening o = {.engine = e, .record = record, .fd = -1};
    o.log = qlog_new(e, name, options, context);
    if (!o.log)
        return MR_ERROR_NO_MEMORY;
    int result = firsts_list(&o);
    if (result == MR_OK)
        result = segments_read(&o);
    if (result == MR_OK)
        result = log_settle(&o);
    free(o.window);
    free(o.firsts);
    if (result == MR_OK)
        *out = o.log;
    else
        qlog_drop(o.log);
    return result;
}
