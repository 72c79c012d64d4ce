#include "cache/durable/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <millrace/error.h>
#include <millrace/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "checksum/crc32c.h"

#define MANIFEST_HALF  "cache.manifest.half"
#define MANIFEST_BYTES 256
#define FIRST_LINE     "millrace cache manifest 1\n"

int cache_folder_open(struct cache_folder *f, const char *path)
{
    *f = (struct cache_folder){.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .path = strdup(path)};
    if (f->fd >= 0 && f->path && flock(f->fd, LOCK_EX | LOCK_NB) == 0)
        return MR_OK;
    int error = errno;
    bool locked = f->fd >= 0 && error == EWOULDBLOCK;
    mr_log(MR_LOG_ERROR, "cache", "folder %s: %s", path,
           locked ? "another cache has its log open, of this process or another one" : strerror(error));
    cache_folder_close(f);
    return locked ? MR_ERROR_IN_USE : MR_ERROR_SYSTEM;
}

void cache_folder_close(struct cache_folder *f)
{
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
    *f = (struct cache_folder){.fd = -1};
}

void cache_folder_log_name(uint64_t generation, char name[CACHE_FILE_NAME_BYTES])
{
    snprintf(name, CACHE_FILE_NAME_BYTES, "cache.%" PRIu64 ".log", generation);
}

void cache_folder_base_name(uint64_t generation, char name[CACHE_FILE_NAME_BYTES])
{
    snprintf(name, CACHE_FILE_NAME_BYTES, "cache.%" PRIu64 ".base", generation);
}

/* The one form of it; what is read is valid when it is the same as what would be written. */
static size_t manifest_text(const struct cache_manifest *m, char text[MANIFEST_BYTES])
{
    int n = snprintf(text, MANIFEST_BYTES, FIRST_LINE "base %" PRIu64 "\nlogs %" PRIu64 " %" PRIu64 "\n", m->base,
                     m->log_first, m->log_last);
    n += snprintf(text + n, MANIFEST_BYTES - (size_t)n, "crc32c %08x\n", crc32c(0, text, (size_t)n));
    return (size_t)n;
}

bool cache_manifest_parse(const char *text, size_t n, struct cache_manifest *m)
{
    char line[MANIFEST_BYTES], again[MANIFEST_BYTES];
    struct cache_manifest read;
    if (n >= sizeof line || memchr(text, 0, n))
        return false;
    memcpy(line, text, n);
    line[n] = 0;
    if (sscanf(line, FIRST_LINE "base %" SCNu64 " logs %" SCNu64 " %" SCNu64, &read.base, &read.log_first,
               &read.log_last) != 3)
        return false;
    if (manifest_text(&read, again) != n || memcmp(again, line, n) != 0)
        return false;
    if (read.log_first == 0 || read.log_last < read.log_first || (read.base != 0 && read.base != read.log_first))
        return false;
    *m = read;
    return true;
}

int cache_folder_read_manifest(struct cache_folder *f)
{
    char text[MANIFEST_BYTES];
    f->manifest = (struct cache_manifest){0};
    int fd = openat(f->fd, CACHE_MANIFEST_NAME, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return MR_OK;
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (n < 0) {
        mr_log(MR_LOG_ERROR, "cache", "%s/" CACHE_MANIFEST_NAME ": %s", f->path, strerror(error));
        return MR_ERROR_SYSTEM;
    }
    if (cache_manifest_parse(text, (size_t)n, &f->manifest))
        return MR_OK;
    mr_log(MR_LOG_ERROR, "cache",
           "%s/" CACHE_MANIFEST_NAME " is damaged: it should name the base and the logs, with a checksum", f->path);
    return MR_ERROR_INVALID;
}

static int half_write(struct cache_folder *f, const struct cache_manifest *m)
{
    char text[MANIFEST_BYTES];
    size_t n = manifest_text(m, text);
    int fd = openat(f->fd, MANIFEST_HALF, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return errno;
    errno = ENOSPC; /* a short write */
    int error = write(fd, text, n) == (ssize_t)n && fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return error;
}

int cache_folder_rename(struct cache_folder *f, const char *from, const char *to)
{
    return renameat(f->fd, from, f->fd, to) == 0 && fsync(f->fd) == 0 ? 0 : errno;
}

int cache_folder_write_manifest(struct cache_folder *f, const struct cache_manifest *m)
{
    int error = half_write(f, m);
    if (!error)
        error = cache_folder_rename(f, MANIFEST_HALF, CACHE_MANIFEST_NAME);
    if (!error)
        f->manifest = *m;
    return error;
}

/* "cache.<n>.base" or "cache.<n>.log" that the manifest does not name. */
static bool is_stray(const struct cache_folder *f, const char *name)
{
    uint64_t n;
    char again[CACHE_FILE_NAME_BYTES];
    if (sscanf(name, "cache.%" SCNu64, &n) != 1)
        return false;
    cache_folder_base_name(n, again);
    if (strcmp(name, again) == 0)
        return n != f->manifest.base;
    cache_folder_log_name(n, again);
    return strcmp(name, again) == 0 && (n < f->manifest.log_first || n > f->manifest.log_last);
}

void cache_folder_clean(struct cache_folder *f)
{
    int fd = openat(f->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (!folder)
        return;
    for (struct dirent *e; (e = readdir(folder));)
        if (is_stray(f, e->d_name))
            unlinkat(f->fd, e->d_name, 0);
    closedir(folder);
}
