/* A batch of tasks, each a write and perhaps a sync of one file: sealed, then written in rounds until each is done or has failed.
 * In a job: may block. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "checksum/crc32c.h"
#include "queue/log/state.h"

/* -- sealing: what is known only now goes into each record's header ------------------------------------------------------ */

struct cursor {
    struct qlog_chunk *chunk;
    uint32_t at;
};

/* A word of 8 bytes; records and chunks are made of them. */
static uint8_t *word_next(struct cursor *c)
{
    if (c->at == c->chunk->capacity) {
        c->chunk = c->chunk->next;
        c->at = 0;
    }
    c->at += 8;
    return c->chunk->bytes + c->at - 8;
}

static uint32_t crc_on(struct cursor *c, uint32_t crc, uint64_t n)
{
    while (n > 0) {
        if (c->at == c->chunk->capacity) {
            c->chunk = c->chunk->next;
            c->at = 0;
        }
        uint64_t room = c->chunk->capacity - c->at, part = n < room ? n : room;
        crc = crc32c(crc, c->chunk->bytes + c->at, (size_t)part);
        c->at += (uint32_t)part;
        n -= part;
    }
    return crc;
}

static uint32_t record_seal(struct cursor *c, uint64_t salt, uint32_t position, uint32_t vouched)
{
    uint8_t bytes[QLOG_RECORD_HEADER], *words[QLOG_RECORD_HEADER / 8];
    struct qlog_record_header h;
    for (unsigned i = 0; i < QLOG_RECORD_HEADER / 8; i++) {
        words[i] = word_next(c);
        memcpy(bytes + i * 8, words[i], 8);
    }
    qlog_record_parse(bytes, salt, position, &h); /* our own: its tag is not there yet */
    h.tag = qlog_record_tag(salt, position);
    h.vouched = vouched;
    qlog_record_emit(&h, bytes);
    uint64_t rest = qlog_record_bytes(h.length) - QLOG_RECORD_HEADER;
    h.crc = crc_on(c, qlog_record_crc_begin(salt, bytes), rest);
    qlog_record_emit(&h, bytes);
    memcpy(words[0], bytes, 8);          /* checksum and tag */
    memcpy(words[1] + 4, bytes + 12, 4); /* vouched; who reads the buffers meanwhile looks at neither */
    return (uint32_t)(QLOG_RECORD_HEADER + rest);
}

static void task_seal(const struct qlog_task *t)
{
    struct cursor c = {t->chunk, t->chunk_at};
    uint32_t position = t->position;
    for (uint64_t left = t->left; left > 0;) {
        uint32_t bytes = record_seal(&c, t->segment->salt, position, t->vouched);
        position += bytes;
        left -= bytes;
    }
}

/* -- writing ------------------------------------------------------------------------------------------------------------- */

/* What comes next for a task. */
static void write_fill(struct qlog_write *w, struct qlog_task *t, struct iovec *vectors)
{
    *w = (struct qlog_write){.task = t, .fd = t->log->fd, .vectors = vectors};
    const struct qlog_chunk *c = t->chunk;
    uint32_t at = t->chunk_at;
    uint64_t left = t->left;
    while (left > 0 && w->count < QLOG_VECTORS) {
        if (at == c->capacity) {
            c = c->next; /* looked at only when something of ours is in it: the worker may be adding one */
            at = 0;
        }
        uint64_t room = c->capacity - at, part = left < room ? left : room;
        vectors[w->count++] = (struct iovec){(void *)(uintptr_t)(c->bytes + at), (size_t)part};
        at += (uint32_t)part;
        left -= part;
    }
    w->sync = t->sync && left == 0;
}

static void plain_write(const struct qlog_io *io, struct qlog_write *w)
{
    ssize_t n = w->count ? io->pwritev(w->fd, w->vectors, (int)w->count, w->task->position) : 0;
    w->written = n < 0 ? -errno : (int)n;
    if (!w->sync || w->written < 0 || (uint64_t)w->written < w->task->left)
        return;
    w->synced = io->fdatasync(w->fd) < 0 ? -errno : 0;
}

static void task_fail(struct qlog_task *t, int error, const char *what)
{
    t->error = error;
    t->what = what;
    t->finished = true;
}

static void task_skip(struct qlog_task *t, uint64_t n)
{
    t->left -= n;
    t->position += (uint32_t)n;
    while (n > 0) {
        if (t->chunk_at == t->chunk->capacity) {
            t->chunk = t->chunk->next;
            t->chunk_at = 0;
        }
        uint64_t room = t->chunk->capacity - t->chunk_at, part = n < room ? n : room;
        t->chunk_at += (uint32_t)part;
        n -= part;
    }
}

static bool again(int result)
{
    return result == -EINTR || result == -EAGAIN;
}

static void write_judge(const struct qlog_write *w)
{
    struct qlog_task *t = w->task;
    if (w->count && again(w->written))
        return;
    if (w->count && w->written <= 0) {
        task_fail(t, w->written < 0 ? -w->written : ENOSPC, "writing");
        return;
    }
    task_skip(t, w->count ? (uint64_t)w->written : 0);
    if (t->left > 0 || (w->sync && again(w->synced)))
        return;
    if (w->sync && w->synced < 0) {
        t->sync_failed = true;
        task_fail(t, -w->synced, "syncing");
        return;
    }
    t->wrote = t->finished = true;
}

static uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int submit(struct qlog_engine *e, struct qlog_write *writes, unsigned n)
{
    if (!e->ring) {
        for (unsigned i = 0; i < n; i++)
            plain_write(e->io, &writes[i]);
        return 0;
    }
    int error = qlog_ring_submit(e->ring, writes, n);
    if (error) { /* what it did not take still stands in it, of buffers that are others' by then: on without it */
        qlog_ring_free(e->ring);
        e->ring = NULL;
    }
    for (unsigned i = 0; i < n && !error; i++) {
        if (writes[i].count)
            writes[i].written = e->io->completed(false, writes[i].written);
        if (writes[i].sync)
            writes[i].synced = e->io->completed(true, writes[i].synced);
    }
    return error;
}

/* False: nothing is left to do. */
static bool round_run(struct qlog_job *j, struct qlog_task **tasks, unsigned n)
{
    unsigned count = 0, syncs = 0;
    for (unsigned i = 0; i < n; i++) {
        if (tasks[i]->finished)
            continue;
        write_fill(&j->batch[count], tasks[i], j->vectors[count]);
        j->writes += j->batch[count].count > 0;
        syncs += j->batch[count].sync;
        count++;
    }
    if (count == 0)
        return false;
    uint64_t begin = clock_ns();
    int error = submit(j->engine, j->batch, count);
    if (syncs)
        j->sync_ns += clock_ns() - begin;
    j->syncs += syncs;
    for (unsigned i = 0; i < count; i++)
        if (error) {
            j->batch[i].task->sync_failed |= j->batch[i].sync; /* perhaps, and nobody will say so again */
            task_fail(j->batch[i].task, error, "submitting writes");
        } else {
            write_judge(&j->batch[i]);
        }
    return true;
}

/* After a failed sync of bytes that are in no buffer any more: the kernel counts their pages as clean, though they may not be on the
 * disk. Written again from its memory they are dirty, and the next sync means them. */
static int rewrite(const struct qlog_io *io, const struct qlog_task *t)
{
    uint8_t bytes[65536];
    uint64_t end = t->position;
    for (uint64_t at = t->rewrite_from; at < end;) {
        size_t n = end - at < sizeof bytes ? (size_t)(end - at) : sizeof bytes;
        int error = qlog_file_read(io, t->log->fd, bytes, n, at);
        if (!error)
            error = qlog_file_write(io, t->log->fd, bytes, n, at);
        if (error)
            return error;
        at += n;
    }
    return 0;
}

void qlog_batch_write(struct qlog_job *j, struct qlog_task **tasks, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        int error = tasks[i]->rewrite ? rewrite(j->engine->io, tasks[i]) : 0;
        if (error)
            task_fail(tasks[i], error, "writing again what was not synced");
        else
            task_seal(tasks[i]);
    }
    while (round_run(j, tasks, n))
        continue;
}
