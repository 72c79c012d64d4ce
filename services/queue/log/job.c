/* The write job: folders and files made and removed, around the batches of writes. May block. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "queue/log/state.h"

/* -- files -------------------------------------------------------------------------------------------------------------- */

int qlog_file_write(const struct qlog_io *io, int fd, const void *data, size_t n, uint64_t at)
{
    const uint8_t *from = data;
    while (n > 0) {
        ssize_t got = io->pwritev(fd, &(struct iovec){(void *)(uintptr_t)from, n}, 1, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? errno : ENOSPC;
        from += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    return 0;
}

int qlog_file_read(const struct qlog_io *io, int fd, void *data, size_t n, uint64_t at)
{
    uint8_t *to = data;
    while (n > 0) {
        ssize_t got = io->pread(fd, to, n, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? errno : EBADMSG;
        to += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    return 0;
}

static void file_unlist(struct qlog_engine *e, struct qlog *log)
{
    *(log->fd_newer ? &log->fd_newer->fd_older : &e->file_newest) = log->fd_older;
    *(log->fd_older ? &log->fd_older->fd_newer : &e->file_oldest) = log->fd_newer;
    log->fd_newer = log->fd_older = NULL;
}

static void file_list(struct qlog_engine *e, struct qlog *log)
{
    log->fd_older = e->file_newest;
    *(e->file_newest ? &e->file_newest->fd_newer : &e->file_oldest) = log;
    e->file_newest = log;
}

void qlog_file_close(struct qlog_engine *e, struct qlog *log)
{
    if (log->fd < 0)
        return;
    e->io->close(log->fd);
    log->fd = -1;
    e->files--;
    file_unlist(e, log);
}

static void file_adopt(struct qlog_engine *e, struct qlog *log, int fd, uint64_t segment)
{
    log->fd = fd;
    log->fd_segment = segment;
    e->files++;
    file_list(e, log);
    if (e->files > QLOG_FILES) /* what it was not synced of is still the kernel's */
        qlog_file_close(e, e->file_oldest);
}

int qlog_file_open(struct qlog_engine *e, struct qlog *log, uint64_t segment)
{
    char path[QLOG_PATH_BYTES];
    if (log->fd >= 0 && log->fd_segment == segment) {
        file_unlist(e, log);
        file_list(e, log);
        return 0;
    }
    qlog_file_close(e, log);
    qlog_segment_path(log, segment, path);
    int fd = e->io->open(e->folder_fd, path, O_RDWR, 0);
    if (fd < 0)
        return errno;
    file_adopt(e, log, fd, segment);
    return 0;
}

int qlog_folder_sync(struct qlog_engine *e, const char *name)
{
    int fd = name ? e->io->open(e->folder_fd, name, O_RDONLY | O_DIRECTORY, 0) : e->folder_fd;
    if (fd < 0)
        return errno;
    int error = e->io->fsync(fd) < 0 ? errno : 0;
    if (name)
        e->io->close(fd);
    return error;
}

/* A segment's file counts when header and name are on the disk: before that nothing is written behind the header. */
static int segment_create(struct qlog_engine *e, struct qlog *log, struct qlog_segment *s)
{
    uint8_t header[QLOG_SEGMENT_HEADER];
    char path[QLOG_PATH_BYTES];
    if (getrandom(&s->salt, sizeof s->salt, 0) != sizeof s->salt)
        return errno;
    qlog_segment_emit(&(struct qlog_segment_header){s->first, s->salt, s->before_first, s->before_bytes}, header);
    qlog_file_close(e, log);
    qlog_segment_path(log, s->first, path);
    int fd = e->io->open(e->folder_fd, path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0)
        return errno;
    file_adopt(e, log, fd, s->first);
    int error = qlog_file_write(e->io, fd, header, sizeof header, 0);
    if (!error && e->io->fdatasync(fd) < 0)
        error = errno;
    return error ? error : qlog_folder_sync(e, log->name);
}

/* -- folders ------------------------------------------------------------------------------------------------------------ */

int qlog_folder_remove(struct qlog_engine *e, const char *name)
{
    const struct qlog_io *io = e->io;
    int fd = io->open(e->folder_fd, name, O_RDONLY | O_DIRECTORY, 0);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (!folder)
        return errno == ENOENT ? 0 : errno;
    int error = 0;
    for (struct dirent *d; !error && (d = readdir(folder));)
        if (strcmp(d->d_name, ".") && strcmp(d->d_name, "..") && io->unlink(fd, d->d_name, 0) < 0 && errno != ENOENT)
            error = errno;
    closedir(folder);
    if (!error && io->unlink(e->folder_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        error = errno;
    return error;
}

static void task_fail(struct qlog_task *t, int error, const char *what)
{
    t->error = error;
    t->what = what;
    t->finished = true;
}

/* Renamed first, to a name that no log has: from then on it is deleted, whatever happens, and its own name is free. */
static int folder_trash(struct qlog_engine *e, struct qlog *log)
{
    uint64_t random;
    char trash[sizeof log->trash];
    if (log->trash[0])
        return 0;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return errno;
    snprintf(trash, sizeof trash, "#%016" PRIx64, random);
    if (e->io->rename(e->folder_fd, log->name, trash) < 0)
        return errno;
    memcpy(log->trash, trash, sizeof trash);
    return 0;
}

static void task_remove(struct qlog_engine *e, struct qlog_task *t)
{
    qlog_file_close(e, t->log);
    if (!t->log->folder_there && !t->log->made)
        return; /* somebody else's may be there */
    int error = folder_trash(e, t->log);
    if (!error)
        error = qlog_folder_remove(e, t->log->trash);
    if (error && error != ENOENT)
        task_fail(t, error, "deleting");
}

static void task_make(struct qlog_engine *e, struct qlog_task *t)
{
    if (!t->log->folder_there && e->io->mkdir(e->folder_fd, t->log->name, 0755) < 0)
        task_fail(t, errno, "making the folder");
    else
        t->log->folder_there = true;
}

/* In the order in which they were asked for: a name may be deleted and created again. */
static void folders_work(struct qlog_job *j)
{
    struct qlog_engine *e = j->engine;
    bool any = false;
    for (unsigned i = 0; i < j->count; i++) {
        struct qlog_task *t = &j->tasks[i];
        any |= t->remove || t->make;
        if (t->remove)
            task_remove(e, t);
        else if (t->make)
            task_make(e, t);
    }
    int error = any ? qlog_folder_sync(e, NULL) : 0;
    for (unsigned i = 0; i < j->count; i++) {
        struct qlog_task *t = &j->tasks[i];
        if (error && !t->error && (t->remove || t->make))
            task_fail(t, error, "syncing the folder");
        else if (!t->error)
            t->make = false;
    }
}

/* -- the job ------------------------------------------------------------------------------------------------------------ */

static bool task_open(struct qlog_engine *e, struct qlog_task *t)
{
    if (!t->segment || t->error || t->remove)
        return false;
    if (!t->create) {
        int error = qlog_file_open(e, t->log, t->segment->first);
        if (error)
            task_fail(t, error, "opening a segment");
        return !error;
    }
    int error = segment_create(e, t->log, t->segment);
    if (error) {
        task_fail(t, error, "making a segment");
        return false;
    }
    t->created = true;
    return true;
}

static void batches_work(struct qlog_job *j)
{
    struct qlog_task *batch[QLOG_BATCH];
    unsigned n = 0;
    for (unsigned i = 0; i < j->count; i++) {
        if (task_open(j->engine, &j->tasks[i]))
            batch[n++] = &j->tasks[i];
        if (n == QLOG_BATCH || i + 1 == j->count) {
            qlog_batch_write(j, batch, n);
            n = 0;
        }
    }
}

/* Oldest first, so that what a crash leaves has no gap. Also when something could not be written: on a full disk this is what makes room, and
 * what stands behind a segment that is doomed has its file already. */
static void doomed_unlink(struct qlog_engine *e, struct qlog_task *t)
{
    char path[QLOG_PATH_BYTES];
    for (struct qlog_segment *s = t->doomed; s; s = s->next) {
        qlog_segment_path(t->log, s->first, path);
        if (e->io->unlink(e->folder_fd, path, 0) < 0 && errno != ENOENT) {
            if (!t->error)
                task_fail(t, errno, "deleting a segment");
            return;
        }
        s->unlinked = true;
    }
}

void qlog_job_work(void *argument)
{
    struct qlog_job *j = argument;
    folders_work(j);
    batches_work(j);
    for (unsigned i = 0; i < j->count; i++)
        doomed_unlink(j->engine, &j->tasks[i]);
    j->finished = true;
}
