#include "tests/support/qlog_disk.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR         512u
#define FDS            4096
#define PATH_MAX_BYTES 256

/* A file by what the disk has of it. What is not there yet is read from the real file, sector by sector where `dirty`. */
struct file {
    struct file *next;
    char path[PATH_MAX_BYTES]; /* below the root */
    bool linked;               /* in the folder as the process sees it */
    bool named;                /* ... and as the disk has it */
    uint8_t *bytes;
    size_t size;
    uint8_t *dirty;
    size_t sectors;
};

struct folder {
    struct folder *next;
    char name[PATH_MAX_BYTES];
    bool named;
};

struct disk disk;
static char root[PATH_MAX_BYTES];
static struct file *files; /* newest first */
static struct folder *folders;
static struct file *file_of[FDS];
static char folder_of[FDS][PATH_MAX_BYTES]; /* with a slash at its end; the root's is "/" */

/* -- trouble --------------------------------------------------------------------------------------------------------------- */

enum verb { ANY, WRITE, SYNC };

static enum disk_trouble trouble(enum verb verb)
{
    enum disk_trouble t = DISK_FINE;
    if (disk.before) {
        void (*f)(void) = disk.before;
        disk.before = NULL;
        f();
        disk.before = f;
    }
    disk.calls++;
    if (disk.at && disk.calls == disk.at)
        t = disk.trouble;
    if (disk.at && disk.calls >= disk.at && disk.trouble == DISK_FULL)
        t = verb == WRITE ? DISK_ERROR : DISK_FINE;
    if (disk.chance && mr_random_below(&disk.random, disk.chance) == 0)
        t = mr_random_below(&disk.random, 2) ? DISK_ERROR : DISK_SHORT;
    if (t == DISK_SHORT && verb != WRITE)
        t = DISK_FINE;
    disk.hits += t != DISK_FINE;
    errno = disk.trouble == DISK_FULL ? ENOSPC : disk.error ? disk.error : EIO;
    return t;
}

/* -- what is known of files ------------------------------------------------------------------------------------------------ */

static struct file *file_find(const char *path)
{
    struct file *f = files;
    while (f && !(f->linked && !strcmp(f->path, path)))
        f = f->next;
    return f;
}

static struct file *file_add(const char *path)
{
    struct file *f = calloc(1, sizeof *f);
    snprintf(f->path, sizeof f->path, "%.255s", path);
    f->linked = true;
    f->next = files;
    files = f;
    return f;
}

static void file_dirty(struct file *f, size_t at, size_t n)
{
    size_t sectors = (at + n + SECTOR - 1) / SECTOR;
    if (sectors > f->sectors) {
        f->dirty = realloc(f->dirty, sectors);
        memset(f->dirty + f->sectors, 0, sectors - f->sectors);
        f->sectors = sectors;
    }
    for (size_t i = at / SECTOR; n && i < sectors; i++)
        f->dirty[i] = 1;
}

static uint8_t *contents(const char *folder, const char *path, size_t *n)
{
    char whole[PATH_MAX_BYTES * 3];
    struct stat st;
    snprintf(whole, sizeof whole, "%s/%s", folder, path);
    int fd = open(whole, O_RDONLY);
    *n = 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return NULL;
    uint8_t *bytes = calloc(1, (size_t)st.st_size + 1);
    *n = (size_t)read(fd, bytes, (size_t)st.st_size);
    close(fd);
    return bytes;
}

/* The dirty sectors reach the disk, each with a chance of `of` in 256. */
static void file_flush(struct file *f, const uint8_t *now, size_t size, unsigned of)
{
    size_t reached = f->size;
    f->bytes = realloc(f->bytes, (size > f->size ? size : f->size) + 1);
    if (size > f->size)
        memset(f->bytes + f->size, 0, size - f->size);
    for (size_t i = 0; i < f->sectors && i * SECTOR < size; i++) {
        size_t end = (i + 1) * SECTOR < size ? (i + 1) * SECTOR : size;
        if (!f->dirty[i] || mr_random_below(&disk.random, 256) >= of)
            continue;
        memcpy(f->bytes + i * SECTOR, now + i * SECTOR, end - i * SECTOR);
        f->dirty[i] = 0;
        reached = reached > end ? reached : end;
    }
    f->size = reached;
}

/* -- calls ------------------------------------------------------------------------------------------------------------------ */

static void path_below(int folder, const char *path, char out[PATH_MAX_BYTES])
{
    if (folder == AT_FDCWD)
        snprintf(out, PATH_MAX_BYTES, "%s", strncmp(path, root, strlen(root)) ? "" : path + strlen(root));
    else
        snprintf(out, PATH_MAX_BYTES, "%s%s", folder_of[folder] + 1, path);
}

static int disk_open(int folder, const char *path, int flags, mode_t mode)
{
    char below[PATH_MAX_BYTES];
    struct stat st;
    if ((flags & O_CREAT) && strcmp(path, ".lock") && trouble(ANY) != DISK_FINE)
        return -1;
    int fd = qlog_io_system.open(folder, path, flags, mode);
    if (fd < 0)
        return -1;
    assert(fd < FDS && fstat(fd, &st) == 0);
    path_below(folder, path, below);
    file_of[fd] = NULL;
    if (S_ISDIR(st.st_mode)) {
        snprintf(folder_of[fd], PATH_MAX_BYTES, *below ? "/%.200s/" : "/", below);
        return fd;
    }
    if (!strcmp(path, ".lock"))
        return fd;
    file_of[fd] = file_find(below);
    if (!file_of[fd])
        file_of[fd] = file_add(below);
    if (flags & O_TRUNC) {
        file_of[fd]->size = 0;
        file_of[fd]->sectors = 0;
    }
    return fd;
}

static int disk_close(int fd)
{
    file_of[fd] = NULL;
    return close(fd);
}

static int disk_mkdir(int folder, const char *path, mode_t mode)
{
    if (folder == AT_FDCWD)
        return mkdir(path, mode);
    if (trouble(ANY) != DISK_FINE || mkdirat(folder, path, mode) < 0)
        return -1;
    struct folder *d = calloc(1, sizeof *d);
    snprintf(d->name, sizeof d->name, "%s", path);
    d->next = folders;
    folders = d;
    return 0;
}

/* At once on the disk; all that lies in it goes along. */
static int disk_rename(int folder, const char *from, const char *to)
{
    char old[PATH_MAX_BYTES], rest[PATH_MAX_BYTES];
    if (trouble(ANY) != DISK_FINE || renameat(folder, from, folder, to) < 0)
        return -1;
    size_t n = (size_t)snprintf(old, sizeof old, "%s/", from);
    for (struct file *f = files; f; f = f->next)
        if (!strncmp(f->path, old, n)) {
            snprintf(rest, sizeof rest, "%s", f->path + n);
            snprintf(f->path, sizeof f->path, "%.100s/%.100s", to, rest);
        }
    for (struct folder *d = folders; d; d = d->next)
        if (!strcmp(d->name, from))
            snprintf(d->name, sizeof d->name, "%s", to);
    return 0;
}

static int disk_unlink(int folder, const char *path, int flags)
{
    char below[PATH_MAX_BYTES];
    if (trouble(ANY) != DISK_FINE)
        return -1;
    path_below(folder, path, below);
    struct file *f = flags & AT_REMOVEDIR ? NULL : file_find(below);
    if (qlog_io_system.unlink(folder, path, flags) < 0)
        return -1;
    if (f)
        f->linked = false;
    for (struct folder **d = &folders; *d && (flags & AT_REMOVEDIR);) {
        struct folder *gone = *d;
        if (strcmp(gone->name, path)) {
            d = &gone->next;
            continue;
        }
        *d = gone->next;
        free(gone);
    }
    return 0;
}

static ssize_t disk_pwritev(int fd, const struct iovec *v, int n, off_t at)
{
    enum disk_trouble t = trouble(WRITE);
    ssize_t done = -1;
    if (t == DISK_FINE)
        done = pwritev(fd, v, n, at);
    else if (t == DISK_SHORT || disk.trouble != DISK_FULL) /* a failed write may have written, too */
        done = pwritev(fd, &(struct iovec){v->iov_base, v->iov_len / 2 ? v->iov_len / 2 : 1}, 1, at);
    if (done > 0 && file_of[fd])
        file_dirty(file_of[fd], (size_t)at, (size_t)done);
    if (t != DISK_ERROR)
        return done;
    errno = disk.trouble == DISK_FULL ? ENOSPC : disk.error ? disk.error : EIO;
    return -1;
}

static int disk_truncate(int fd, off_t bytes)
{
    if (trouble(ANY) != DISK_FINE || ftruncate(fd, bytes) < 0)
        return -1;
    if (file_of[fd]->size > (size_t)bytes)
        file_of[fd]->size = (size_t)bytes;
    return 0;
}

static int file_sync(int fd)
{
    struct file *f = file_of[fd];
    struct stat st;
    if (trouble(SYNC) != DISK_FINE) {
        if (f && f->sectors) /* clean in memory, and not on the disk */
            memset(f->dirty, 0, f->sectors);
        errno = disk.error ? disk.error : EIO;
        return -1;
    }
    if (!f || fstat(fd, &st) < 0)
        return 0;
    size_t n;
    uint8_t *now = contents(root, f->path, &n);
    file_flush(f, now, n, 256);
    free(now);
    return 0;
}

static int folder_sync(int fd)
{
    const char *name = folder_of[fd] + 1;
    if (trouble(SYNC) != DISK_FINE)
        return -1;
    for (struct folder *d = folders; d && !*name; d = d->next)
        d->named = true;
    for (struct file **at = &files; *at;) {
        struct file *f = *at;
        bool in = *name && !strncmp(f->path, name, strlen(name));
        if (!in || f->linked) {
            f->named |= in;
            at = &f->next;
            continue;
        }
        *at = f->next; /* its removal is on the disk */
        for (int i = 0; i < FDS; i++)
            if (file_of[i] == f)
                file_of[i] = NULL;
        free(f->bytes);
        free(f->dirty);
        free(f);
    }
    return 0;
}

static int disk_fsync(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? folder_sync(fd) : file_sync(fd);
}

const struct qlog_io *disk_io(void)
{
    static struct qlog_io io;
    io = qlog_io_system;
    io.open = disk_open;
    io.close = disk_close;
    io.mkdir = disk_mkdir;
    io.rename = disk_rename;
    io.unlink = disk_unlink;
    io.pwritev = disk_pwritev;
    io.truncate = disk_truncate;
    io.fdatasync = file_sync;
    io.fsync = disk_fsync;
    io.completed = NULL;
    return &io;
}

/* -- mounting and crashes --------------------------------------------------------------------------------------------------- */

void disk_unmount(void)
{
    while (files) {
        struct file *f = files;
        files = f->next;
        free(f->bytes);
        free(f->dirty);
        free(f);
    }
    while (folders) {
        struct folder *d = folders;
        folders = d->next;
        free(d);
    }
    memset(file_of, 0, sizeof file_of);
}

static void folder_mount(const char *name)
{
    char path[PATH_MAX_BYTES * 2];
    struct folder *d = calloc(1, sizeof *d);
    snprintf(d->name, sizeof d->name, "%s", name);
    d->named = true;
    d->next = folders;
    folders = d;
    snprintf(path, sizeof path, "%s/%s", root, name);
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort); /* as they were made */
    for (int i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.') {
            snprintf(path, sizeof path, "%.100s/%.100s", name, entries[i]->d_name);
            struct file *f = file_add(path);
            f->named = true;
            f->bytes = contents(root, path, &f->size);
        }
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

void disk_mount(const char *path)
{
    disk_unmount();
    snprintf(root, sizeof root, "%s", path);
    DIR *dir = opendir(root);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.')
            folder_mount(e->d_name);
    if (dir)
        closedir(dir);
}

static void file_put(const char *to, const struct file *f)
{
    char path[PATH_MAX_BYTES * 3];
    snprintf(path, sizeof path, "%s/%s", to, f->path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert(fd >= 0 && (f->size == 0 || write(fd, f->bytes, f->size) == (ssize_t)f->size));
    close(fd);
}

static bool in_folder(const struct file *f, const struct folder *d)
{
    size_t n = strlen(d->name);
    return !strncmp(f->path, d->name, n) && f->path[n] == '/';
}

/* Removals that no sync of the folder confirmed come undone, the latest first. */
static unsigned undone(const struct folder *d)
{
    unsigned n = 0;
    for (const struct file *f = files; f; f = f->next)
        n += in_folder(f, d) && !f->linked && f->named;
    return n ? mr_random_below(&disk.random, n + 1) : 0;
}

static void folder_crash(const char *to, const struct folder *d, bool power)
{
    char path[PATH_MAX_BYTES * 3];
    unsigned back = power ? undone(d) : 0, of = power ? mr_random_below(&disk.random, 257) : 256;
    snprintf(path, sizeof path, "%s/%s", to, d->name);
    assert(mkdir(path, 0755) == 0);
    for (struct file *f = files; f; f = f->next) { /* newest first */
        if (!in_folder(f, d))
            continue;
        bool there =
            f->linked ? !power || f->named || mr_random_below(&disk.random, 2) : f->named && back > 0 && back--;
        if (!there)
            continue;
        size_t n = 0;
        uint8_t *now = f->linked ? contents(root, f->path, &n) : NULL;
        if (now && !power) {
            f->bytes = realloc(f->bytes, n + 1);
            memcpy(f->bytes, now, n);
            f->size = n;
        } else if (now) {
            file_flush(f, now, n, of);
        }
        free(now);
        file_put(to, f);
    }
}

void disk_crash(const char *to, bool power)
{
    assert(mkdir(to, 0755) == 0);
    for (const struct folder *d = folders; d; d = d->next)
        if (!power || d->named || mr_random_below(&disk.random, 2))
            folder_crash(to, d, power);
}
