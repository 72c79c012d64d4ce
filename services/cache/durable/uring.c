/* Writing by io_uring: the write and the sync behind it are one submission, linked, so that a commit costs one
 * system call. */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#include "cache/durable/log_state.h"

#define ENTRIES 4

struct cache_log_ring {
    struct io_uring ring;
};

struct cache_log_ring *log_ring_create(void)
{
    struct cache_log_ring *r = calloc(1, sizeof *r);
    if (r && io_uring_queue_init(ENTRIES, &r->ring, 0) == 0)
        return r;
    free(r);
    return NULL;
}

void log_ring_free(struct cache_log_ring *r)
{
    if (r)
        io_uring_queue_exit(&r->ring);
    free(r);
}

enum { WRITE, SYNC, RESULTS };

/* Submits `n` requests and waits for all of them. */
static int submit(struct cache_log_ring *r, unsigned n, int results[RESULTS])
{
    int submitted;
    do
        submitted = io_uring_submit_and_wait(&r->ring, n);
    while (submitted == -EINTR);
    if (submitted < 0)
        return -submitted;
    for (unsigned i = 0; i < n; i++) {
        struct io_uring_cqe *c;
        int error;
        do
            error = io_uring_wait_cqe(&r->ring, &c);
        while (error == -EINTR);
        if (error < 0)
            return -error;
        results[io_uring_cqe_get_data64(c)] = c->res;
        io_uring_cqe_seen(&r->ring, c);
    }
    return 0;
}

/* Drops the first `written` bytes of the vectors. */
static void advance(struct iovec **v, unsigned *n, size_t written)
{
    for (; *n > 0 && written >= (*v)->iov_len; (*v)++, (*n)--)
        written -= (*v)->iov_len;
    if (*n > 0) {
        (*v)->iov_base = (uint8_t *)(*v)->iov_base + written;
        (*v)->iov_len -= written;
    }
}

int log_ring_write(struct cache_log_ring *r, int fd, struct iovec *v, unsigned n, uint64_t offset, bool sync)
{
    while (n > 0) {
        int results[RESULTS] = {0, 0};
        struct io_uring_sqe *s = io_uring_get_sqe(&r->ring);
        io_uring_prep_writev(s, fd, v, n, offset);
        io_uring_sqe_set_data64(s, WRITE);
        if (sync) {
            s->flags |= IOSQE_IO_LINK; /* a short or failed write cancels the sync */
            s = io_uring_get_sqe(&r->ring);
            io_uring_prep_fsync(s, fd, IORING_FSYNC_DATASYNC);
            io_uring_sqe_set_data64(s, SYNC);
        }
        int error = submit(r, sync ? 2 : 1, results);
        if (error)
            return error;
        if (results[WRITE] == -EINTR || results[WRITE] == -EAGAIN)
            continue;
        if (results[WRITE] <= 0)
            return results[WRITE] < 0 ? -results[WRITE] : ENOSPC;
        advance(&v, &n, (size_t)results[WRITE]);
        offset += (uint64_t)results[WRITE];
        if (n == 0 && results[SYNC] < 0)
            return -results[SYNC];
    }
    return 0;
}
