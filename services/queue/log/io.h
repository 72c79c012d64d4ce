/* The system calls of the log, so that a test can let each of them fail. As the calls of the same name: -1 and errno, or what they return. */
#ifndef SERVICES_QUEUE_LOG_IO_H
#define SERVICES_QUEUE_LOG_IO_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

struct stat;

struct qlog_io {
    int (*open)(int folder, const char *path, int flags, mode_t mode);
    int (*close)(int fd);
    int (*lock)(int fd); /* of this process, for writing, at once or EACCES or EAGAIN */
    int (*mkdir)(int folder, const char *path, mode_t mode);
    int (*rename)(int folder, const char *from, const char *to);
    int (*unlink)(int folder, const char *path, int flags);
    int (*stat)(int fd, struct stat *out);
    int (*truncate)(int fd, off_t bytes);
    ssize_t (*pread)(int fd, void *data, size_t n, off_t at);
    ssize_t (*pwritev)(int fd, const struct iovec *v, int n, off_t at);
    int (*fdatasync)(int fd);
    int (*fsync)(int fd);
    /* What io_uring has answered, before it is believed: bytes or -errno. NULL in a table that is not the system's: no io_uring. */
    int (*completed)(bool sync, int result);
};

extern const struct qlog_io qlog_io_system;

#endif
