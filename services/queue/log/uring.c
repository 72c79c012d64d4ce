/* io_uring: writes of many files, each with its sync linked behind it, in one submission. */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#include "queue/log/state.h"

struct qlog_ring {
    struct io_uring ring;
};

struct qlog_ring *qlog_ring_create(unsigned entries)
{
    struct qlog_ring *r = calloc(1, sizeof *r);
    if (r && io_uring_queue_init(entries, &r->ring, 0) == 0)
        return r;
    free(r);
    return NULL;
}

void qlog_ring_free(struct qlog_ring *r)
{
    if (r)
        io_uring_queue_exit(&r->ring);
    free(r);
}

static unsigned write_prepare(struct qlog_ring *r, struct qlog_write *w, unsigned index)
{
    struct io_uring_sqe *s;
    if (w->count) {
        s = io_uring_get_sqe(&r->ring);
        io_uring_prep_writev(s, w->fd, w->vectors, w->count, w->task->position);
        io_uring_sqe_set_data64(s, index * 2);
        if (w->sync)
            s->flags |= IOSQE_IO_LINK; /* a short or failed write cancels the sync */
    }
    if (w->sync) {
        s = io_uring_get_sqe(&r->ring);
        io_uring_prep_fsync(s, w->fd, IORING_FSYNC_DATASYNC);
        io_uring_sqe_set_data64(s, index * 2 + 1);
    }
    return (w->count > 0) + w->sync;
}

int qlog_ring_submit(struct qlog_ring *r, struct qlog_write *writes, unsigned n)
{
    unsigned requests = 0, submitted = 0;
    int result = 0;
    for (unsigned i = 0; i < n; i++)
        requests += write_prepare(r, &writes[i], i);
    while (submitted < requests && !result) {
        int got = io_uring_submit(&r->ring);
        submitted += got > 0 ? (unsigned)got : 0;
        result = got > 0 || got == -EINTR ? 0 : got < 0 ? -got : EAGAIN;
    }
    while (submitted > 0) { /* what it took has our buffers until it is done */
        struct io_uring_cqe *c;
        int error = io_uring_wait_cqe(&r->ring, &c);
        if (error == -EINTR)
            continue;
        if (error < 0)
            return -error;
        uint64_t data = io_uring_cqe_get_data64(c);
        *(data & 1 ? &writes[data / 2].synced : &writes[data / 2].written) = c->res;
        io_uring_cqe_seen(&r->ring, c);
        submitted--;
    }
    return result;
}
