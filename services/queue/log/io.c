#include "queue/log/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int io_open(int folder, const char *path, int flags, mode_t mode)
{
    return openat(folder, path, flags | O_CLOEXEC, mode);
}

static int io_lock(int fd)
{
    return fcntl(fd, F_SETLK, &(struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET});
}

static int io_rename(int folder, const char *from, const char *to)
{
    return renameat(folder, from, folder, to);
}

static int io_completed(bool sync, int result)
{
    return result;
}

const struct qlog_io qlog_io_system = {
    .open = io_open,
    .close = close,
    .lock = io_lock,
    .mkdir = mkdirat,
    .rename = io_rename,
    .unlink = unlinkat,
    .stat = fstat,
    .truncate = ftruncate,
    .pread = pread,
    .pwritev = pwritev,
    .fdatasync = fdatasync,
    .fsync = fsync,
    .completed = io_completed,
};
