/* What touches the disk: opening beneath the root, reading small files whole, comparing. Runs on offload threads only.
 *
 * openat2 with RESOLVE_BENEATH keeps every step of a path, symbolic links included, inside the root (Linux 5.6). Where
 * the kernel lacks it, each component is opened by hand and no symbolic link is followed at all. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "http/file.h"
#include "http/type.h"

#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) /* non-blocking: a FIFO must not hang the thread */

int http_file_open_by_components(int root, const char *path)
{
    int at = root;
    while (*path) {
        char name[256];
        size_t n = strcspn(path, "/");
        bool last = path[n] == 0;
        if (n >= sizeof name)
            n = 0, errno = ENAMETOOLONG;
        memcpy(name, path, n);
        name[n] = 0;
        int next = -1;
        if (n == 0 || strcmp(name, "..") == 0)
            errno = EXDEV;
        else
            next = openat(at, name, last ? OPEN_FLAGS | O_NOFOLLOW : O_PATH | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW);
        int error = errno;
        if (at != root)
            close(at);
        if (next < 0)
            return -error;
        at = next;
        path += last ? n : n + 1;
    }
    return at == root ? -ENOENT : at;
}

int http_file_open_beneath(int root, const char *path)
{
    struct open_how how = {.flags = OPEN_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long descriptor = syscall(SYS_openat2, root, path, &how, sizeof how);
    if (descriptor >= 0)
        return (int)descriptor;
    if (errno == ENOSYS || errno == EPERM) /* an older kernel, or a sandbox that does not know the call */
        return http_file_open_by_components(root, path);
    return -errno;
}

/* The name below the root: without the slash in front, with the index of a folder. */
static void file_name(const struct http_path *path, char *name, size_t size)
{
    snprintf(name, size, "%s%s", path->text + 1, path->text[path->length - 1] == '/' ? "index.html" : "");
}

static int open_entry(struct http_file *f, struct stat *st)
{
    char name[HTTP_PATH_BYTES_MAX + 16];
    file_name(&f->path, name, sizeof name);
    int descriptor = http_file_open_beneath(f->root, name);
    if (descriptor >= 0 && fstat(descriptor, st) != 0) {
        close(descriptor);
        return -EIO;
    }
    return descriptor;
}

static int status_of_error(int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
        return 403;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return 503;
    case EIO:
        return 500;
    default: /* ENOENT, ENOTDIR, ELOOP, EXDEV (out of the root), ENAMETOOLONG, ENXIO: no such thing here */
        return 404;
    }
}

static int64_t nanoseconds(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool read_whole(int descriptor, uint8_t *into, size_t n)
{
    for (size_t got = 0; got < n;) {
        ssize_t r = pread(descriptor, into + got, n - got, (off_t)got);
        if (r == 0 || (r < 0 && errno != EINTR))
            return false;
        got += r > 0 ? (size_t)r : 0;
    }
    return true;
}

/* Moves a finished head to the end of its room, so that head and body are one run of bytes. */
static void place_head(struct http_file *f, const struct http_head *h)
{
    f->head_length = (uint16_t)http_head_length(h);
    memcpy(f->memory + HTTP_HEAD_ROOM - f->head_length, h->start, f->head_length);
    f->date_offset = (uint16_t)((char *)memmem(h->start, f->head_length, "Date: ", 6) - h->start + 6);
    f->date_seconds = f->wall_ns / 1000000000;
}

static void begin_head(struct http_file *f, struct http_head *h, char *buffer)
{
    char date[HTTP_DATE_BYTES];
    http_date_format(f->wall_ns / 1000000000, date);
    http_head_begin(h, buffer, HTTP_HEAD_ROOM, f->status, date);
}

/* An entry that answers with a short page: an error or a redirection. */
static void make_page(struct http_file *f, int status)
{
    char buffer[HTTP_HEAD_ROOM], page[256], location[3 * HTTP_PATH_BYTES_MAX + 2];
    struct http_head h;
    if (status == 301 && (http_target_encode(f->path.text, location, HTTP_HEAD_ROOM / 2) == 0))
        status = 404; /* a folder whose name would not fit into a head */
    f->status = status;
    int n = snprintf(page, sizeof page, "<!doctype html><title>%d %s</title><h1>%d %s</h1>\n", status,
                     http_status_reason(status), status, http_status_reason(status));
    f->size = (uint64_t)n;
    f->held = true;
    f->descriptor = -1;
    f->memory = malloc(HTTP_HEAD_ROOM + (size_t)n);
    if (!f->memory)
        return;
    begin_head(f, &h, buffer);
    http_head_field(&h, "Content-Type", "text/html; charset=utf-8");
    http_head_number(&h, "Content-Length", f->size);
    if (status == 301) {
        strcat(location, "/");
        http_head_field(&h, "Location", location);
    }
    http_head_end(&h);
    place_head(f, &h);
    memcpy(f->memory + HTTP_HEAD_ROOM, page, (size_t)n);
}

static void make_file(struct http_file *f, int descriptor, const struct stat *st)
{
    char buffer[HTTP_HEAD_ROOM];
    struct http_head h;
    f->size = (uint64_t)st->st_size;
    f->held = f->size <= f->held_bytes_max;
    f->memory = malloc(HTTP_HEAD_ROOM + (f->held ? f->size : 0));
    if (!f->memory || (f->held && !read_whole(descriptor, f->memory + HTTP_HEAD_ROOM, f->size))) {
        int status = f->memory ? 500 : 503;
        free(f->memory);
        close(descriptor);
        make_page(f, status);
        return;
    }
    if (f->held)
        close(descriptor);
    f->descriptor = f->held ? -1 : descriptor;
    f->status = 200;
    f->type = http_type_find(f->path.text[f->path.length - 1] == '/' ? ".html" : f->path.text);
    snprintf(f->etag, sizeof f->etag, "\"%llx-%llx-%llx\"", (unsigned long long)st->st_ino,
             (unsigned long long)st->st_size, (unsigned long long)f->modified_ns);
    begin_head(f, &h, buffer);
    http_head_field(&h, "Content-Type", f->type);
    http_head_number(&h, "Content-Length", f->size);
    http_head_date(&h, "Last-Modified", f->modified_ns / 1000000000);
    http_head_field(&h, "ETag", f->etag);
    http_head_field(&h, "Accept-Ranges", "bytes");
    http_head_end(&h);
    place_head(f, &h);
}

static void note_identity(struct http_file *f, const struct stat *st)
{
    f->device = st->st_dev;
    f->inode = st->st_ino;
    f->modified_ns = nanoseconds(st->st_mtim);
    f->changed_ns = nanoseconds(st->st_ctim);
}

static void note_wall_clock(struct http_file *f)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    f->wall_ns = nanoseconds(now);
}

void http_file_load_blocking(void *file)
{
    struct http_file *f = file;
    struct stat st = {0};
    note_wall_clock(f);
    int descriptor = open_entry(f, &st);
    note_identity(f, &st);
    if (descriptor < 0) {
        make_page(f, status_of_error(-descriptor));
    } else if (S_ISREG(st.st_mode)) {
        make_file(f, descriptor, &st);
    } else {
        close(descriptor);
        make_page(f, S_ISDIR(st.st_mode) && f->path.text[f->path.length - 1] != '/' ? 301 : 404);
    }
}

void http_file_check_blocking(void *file)
{
    struct http_file *f = file;
    struct stat st = {0};
    note_wall_clock(f);
    int descriptor = open_entry(f, &st);
    if (descriptor >= 0)
        close(descriptor);
    /* Anything but a file is simply asked for again when it is old. */
    f->changed = descriptor >= 0 && f->status == 200
                     ? st.st_dev != f->device || st.st_ino != f->inode || (uint64_t)st.st_size != f->size ||
                           nanoseconds(st.st_mtim) != f->modified_ns || nanoseconds(st.st_ctim) != f->changed_ns
                     : true;
}

void http_file_free_blocking(void *file)
{
    struct http_file *f = file;
    free(f->memory);
    f->memory = NULL;
    if (f->descriptor >= 0)
        close(f->descriptor);
    f->descriptor = -1;
}
