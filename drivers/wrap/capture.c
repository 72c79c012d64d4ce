#include "drivers/wrap/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "drivers/wrap/capture_filter.h"
#include "drivers/wrap/pcapng.h"
#include "drivers/wrap/ring.h"

#define FILE_BYTES_DEFAULT (64ull << 20)
#define RING_BYTES_DEFAULT (4u << 20)
#define RING_BYTES_MIN     (128u << 10)
#define WRITE_BUFFER_BYTES (256u << 10)
#define WRITER_PAUSE_NS    2000000 /* between looks at empty rings; a full ring at 10 Gb/s lasts longer */
#define BURST_MAX          64
#define PATH_MAX_BYTES     4096

/* One frame in a ring, followed by `captured` bytes. */
struct record {
    uint64_t time_ns; /* of the clock */
    uint32_t captured, original;
    uint32_t direction;
    uint32_t unused;
};

/* One link of a capture: what its worker writes. */
struct source {
    struct capture *capture;
    struct wrapper *wrapper;
    uint32_t index;
    struct ring ring;
    uint64_t seen, overflowed; /* written by the worker alone */
};

struct wrapper {
    struct mr_link link;
    struct mr_link *inner;
    struct mr_clock *clock;
    struct source *active; /* set by start and stop, read once a burst by the worker */
    struct source *inside; /* what the worker is using right now */
};

struct capture {
    struct capture_options options;
    char path[PATH_MAX_BYTES];
    unsigned source_count;
    struct source source[CAPTURE_LINKS_MAX];
    int64_t epoch_ns; /* wall clock minus the workers' clock */
    uint64_t start_ns;
    pthread_t writer;
    volatile bool stopping;
    /* The writer's: */
    int file;
    unsigned file_index;
    uint64_t file_bytes;
    bool full;
    uint8_t *buffer;
    size_t buffered;
    uint64_t written[CAPTURE_LINKS_MAX], limited[CAPTURE_LINKS_MAX];
    uint64_t bytes;
    int error;
};

/* ---- file: the writer's side ---- */

static uint64_t wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * MR_SECOND + (uint64_t)t.tv_nsec;
}

static uint64_t capture_now(const struct capture *c)
{
    struct mr_clock *clock = c->source[0].wrapper->clock;
    return (uint64_t)((int64_t)clock->now(clock->self) + c->epoch_ns);
}

static void buffer_flush(struct capture *c)
{
    for (size_t at = 0; at < c->buffered && !c->error;) {
        ssize_t n = write(c->file, c->buffer + at, c->buffered - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            c->error = n < 0 ? errno : EIO;
        else
            at += (size_t)n;
    }
    c->buffered = 0;
}

static void buffer_put(struct capture *c, const void *data, size_t n)
{
    if (c->buffered + n > WRITE_BUFFER_BYTES)
        buffer_flush(c);
    memcpy(c->buffer + c->buffered, data, n);
    c->buffered += n;
    c->file_bytes += n;
    c->bytes += n;
}

static bool file_open(struct capture *c)
{
    char path[PATH_MAX_BYTES + 16];
    uint8_t block[PCAPNG_BLOCK_MAX];
    if (c->options.files > 1)
        snprintf(path, sizeof path, "%s.%u", c->path, c->file_index);
    else
        snprintf(path, sizeof path, "%s", c->path);
    c->file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (c->file < 0)
        return false;
    c->file_bytes = 0;
    buffer_put(c, block, pcapng_section(block));
    for (unsigned i = 0; i < c->source_count; i++) {
        const struct mr_link *l = &c->source[i].wrapper->link;
        buffer_put(c, block, pcapng_interface(block, l->name, l->mac, c->options.snaplen));
    }
    return true;
}

static void file_close(struct capture *c)
{
    uint8_t block[PCAPNG_BLOCK_MAX];
    for (unsigned i = 0; i < c->source_count; i++) {
        const struct source *s = &c->source[i];
        uint64_t seen = __atomic_load_n(&s->seen, __ATOMIC_RELAXED);
        uint64_t overflowed = __atomic_load_n(&s->overflowed, __ATOMIC_RELAXED);
        char comment[128];
        snprintf(comment, sizeof comment, "%llu frames not written: %llu ring full, %llu file limit",
                 (unsigned long long)(overflowed + c->limited[i]), (unsigned long long)overflowed,
                 (unsigned long long)c->limited[i]);
        struct pcapng_statistics p = {.start_ns = c->start_ns,
                                      .end_ns = capture_now(c),
                                      .received = seen,
                                      .dropped = overflowed + c->limited[i],
                                      .delivered = c->written[i],
                                      .comment = comment};
        buffer_put(c, block, pcapng_statistics(block, i, &p));
    }
    buffer_flush(c);
    close(c->file);
    c->file = -1;
}

/* Makes room for a block of `n` bytes, with the trailer still to come. False: the capture is full. */
static bool file_room(struct capture *c, size_t n)
{
    if (c->full || c->error)
        return false;
    if (c->file_bytes + n + (size_t)c->source_count * PCAPNG_BLOCK_MAX <= c->options.file_bytes_max)
        return true;
    if (c->options.files <= 1) {
        c->full = true;
        return false;
    }
    file_close(c);
    c->file_index = (c->file_index + 1) % c->options.files;
    if (!file_open(c)) {
        c->error = errno;
        c->full = true;
    }
    return !c->full;
}

static void record_write(struct capture *c, unsigned index, const struct record *r)
{
    struct pcapng_packet p = {.interface = index,
                              .time_ns = (uint64_t)((int64_t)r->time_ns + c->epoch_ns),
                              .direction = (enum pcapng_direction)r->direction,
                              .captured = r->captured,
                              .original = r->original};
    uint8_t block[PCAPNG_PACKET_OVERHEAD];
    if (!file_room(c, PCAPNG_PACKET_OVERHEAD + r->captured)) {
        c->limited[index]++;
        return;
    }
    buffer_put(c, block, pcapng_packet_head(block, &p));
    buffer_put(c, r + 1, r->captured);
    buffer_put(c, block, pcapng_packet_tail(block, &p));
    c->written[index]++;
}

static const struct record *source_oldest(struct capture *c, unsigned *index)
{
    const struct record *oldest = NULL;
    for (unsigned i = 0; i < c->source_count; i++) {
        const struct record *r = ring_peek(&c->source[i].ring);
        if (r && (!oldest || r->time_ns < oldest->time_ns)) {
            oldest = r;
            *index = i;
        }
    }
    return oldest;
}

/* Empties the rings, oldest frame first. */
static bool rings_write(struct capture *c)
{
    const struct record *r;
    unsigned index = 0;
    bool any = false;
    while ((r = source_oldest(c, &index)) != NULL) {
        record_write(c, index, r);
        ring_consume(&c->source[index].ring);
        any = true;
    }
    return any;
}

static void *writer_run(void *argument)
{
    struct capture *c = argument;
    const struct timespec pause = {.tv_nsec = WRITER_PAUSE_NS};
    while (!c->stopping) {
        if (!rings_write(c)) {
            buffer_flush(c); /* whoever follows the file sees a quiet link's last frames */
            nanosleep(&pause, NULL);
        }
    }
    return NULL;
}

/* ---- packet path ---- */

/* The source to write to, announced in `inside` so that stop can wait for us; NULL when there is none. The store must
 * be seen before the second load, hence the fence, which only a running capture pays. */
static struct source *source_enter(struct wrapper *w)
{
    struct source *s = __atomic_load_n(&w->active, __ATOMIC_ACQUIRE);
    if (__builtin_expect(!s, 1))
        return NULL;
    __atomic_store_n(&w->inside, s, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&w->active, __ATOMIC_ACQUIRE) == s)
        return s;
    __atomic_store_n(&w->inside, NULL, __ATOMIC_RELEASE);
    return NULL;
}

static void source_leave(struct source *s)
{
    struct wrapper *w = s->wrapper;
    ring_publish(&s->ring);
    __atomic_store_n(&w->inside, NULL, __ATOMIC_RELEASE);
    if (s->capture->options.synchronous && rings_write(s->capture))
        buffer_flush(s->capture); /* a simulation that ends in an assertion leaves its last frames */
}

static void frame_copy(uint8_t *out, const struct rte_mbuf *m, uint32_t n)
{
    for (; n; m = m->next) {
        uint32_t piece = m->data_len < n ? m->data_len : n;
        memcpy(out, rte_pktmbuf_mtod(m, const uint8_t *), piece);
        out += piece;
        n -= piece;
    }
}

static void count(uint64_t *counter)
{
    __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

static void frame_record(struct source *s, const struct rte_mbuf *m, uint64_t time_ns, enum pcapng_direction direction)
{
    const struct capture_options *o = &s->capture->options;
    if (!capture_filter_matches(&o->filter, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len))
        return;
    uint32_t captured = m->pkt_len < o->snaplen ? m->pkt_len : o->snaplen;
    struct record *r = ring_reserve(&s->ring, (uint32_t)sizeof *r + captured);
    count(&s->seen);
    if (!r) {
        count(&s->overflowed);
        return;
    }
    *r = (struct record){.time_ns = time_ns, .captured = captured, .original = m->pkt_len, .direction = direction};
    frame_copy((uint8_t *)(r + 1), m, captured);
}

static uint16_t wrapper_receive(void *self, struct rte_mbuf **burst, uint16_t max)
{
    struct wrapper *w = self;
    uint16_t n = w->inner->receive(w->inner->self, burst, max);
    struct source *s = n ? source_enter(w) : NULL;
    if (!s)
        return n;
    uint64_t now = w->clock->now(w->clock->self);
    for (uint16_t i = 0; i < n; i++)
        frame_record(s, burst[i], now, PCAPNG_INBOUND);
    source_leave(s);
    return n;
}

/* What a frame left in the ring, so that those that the link did not take are taken back: they come again. */
struct undo {
    uint64_t mark, seen, overflowed;
};

static struct undo undo_point(const struct source *s)
{
    return (struct undo){.mark = ring_mark(&s->ring), .seen = s->seen, .overflowed = s->overflowed};
}

static uint16_t transmit_recorded(struct wrapper *w, struct source *s, struct rte_mbuf **burst, uint16_t n)
{
    struct undo before[BURST_MAX];
    uint64_t now = w->clock->now(w->clock->self);
    for (uint16_t i = 0; i < n; i++) {
        before[i] = undo_point(s);
        frame_record(s, burst[i], now, PCAPNG_OUTBOUND);
    }
    uint16_t taken = w->inner->transmit(w->inner->self, burst, n);
    if (taken < n) {
        ring_rewind(&s->ring, before[taken].mark);
        __atomic_store_n(&s->seen, before[taken].seen, __ATOMIC_RELAXED);
        __atomic_store_n(&s->overflowed, before[taken].overflowed, __ATOMIC_RELAXED);
    }
    return taken;
}

static uint16_t wrapper_transmit(void *self, struct rte_mbuf **burst, uint16_t n)
{
    struct wrapper *w = self;
    struct source *s = source_enter(w);
    if (!s)
        return w->inner->transmit(w->inner->self, burst, n);
    uint16_t done = 0;
    while (done < n) {
        uint16_t piece = n - done < BURST_MAX ? (uint16_t)(n - done) : BURST_MAX;
        uint16_t taken = transmit_recorded(w, s, burst + done, piece);
        done = (uint16_t)(done + taken);
        if (taken < piece)
            break;
    }
    source_leave(s);
    return done;
}

static void wrapper_statistics(void *self, struct mr_link_statistics *out)
{
    const struct wrapper *w = self;
    w->inner->statistics(w->inner->self, out);
}

static mr_time wrapper_next(void *self)
{
    const struct wrapper *w = self;
    return w->inner->next ? w->inner->next(w->inner->self) : MR_NEVER;
}

static void wrapper_close(void *self)
{
    struct wrapper *w = self;
    w->inner->close(w->inner->self);
    free(w);
}

struct mr_link *capture_wrap(struct mr_link *inner, struct mr_clock *clock)
{
    struct wrapper *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->inner = inner;
    w->clock = clock;
    w->link = *inner;
    w->link.self = w;
    w->link.receive = wrapper_receive;
    w->link.transmit = wrapper_transmit;
    w->link.statistics = wrapper_statistics;
    w->link.close = wrapper_close;
    w->link.next = wrapper_next;
    return &w->link;
}

/* ---- start and stop ---- */

static bool options_settle(struct capture_options *o, unsigned links)
{
    o->snaplen = o->snaplen ? o->snaplen : CAPTURE_SNAPLEN_MAX;
    o->file_bytes_max = o->file_bytes_max ? o->file_bytes_max : FILE_BYTES_DEFAULT;
    o->ring_bytes = o->ring_bytes ? o->ring_bytes : RING_BYTES_DEFAULT;
    return o->path && strlen(o->path) < PATH_MAX_BYTES && o->snaplen <= CAPTURE_SNAPLEN_MAX &&
           o->file_bytes_max >= o->snaplen + 2ull * PCAPNG_BLOCK_MAX * (links + 1) && o->ring_bytes >= RING_BYTES_MIN &&
           (o->ring_bytes & (o->ring_bytes - 1)) == 0;
}

static void capture_free(struct capture *c)
{
    for (unsigned i = 0; i < c->source_count; i++)
        ring_free(&c->source[i].ring);
    free(c->buffer);
    free(c);
}

static bool sources_init(struct capture *c, struct mr_link **links, unsigned n)
{
    c->buffer = malloc(WRITE_BUFFER_BYTES);
    for (unsigned i = 0; i < n; i++) {
        struct source *s = &c->source[c->source_count++];
        s->capture = c;
        s->wrapper = links[i]->self;
        s->index = i;
        if (!ring_init(&s->ring, c->options.ring_bytes))
            return false;
    }
    return c->buffer != NULL;
}

static int capture_open(struct capture *c)
{
    struct mr_clock *clock = c->source[0].wrapper->clock;
    c->epoch_ns = c->options.synchronous ? 0 : (int64_t)(wall_ns() - clock->now(clock->self));
    c->start_ns = capture_now(c);
    if (!file_open(c))
        return MR_ERROR_SYSTEM;
    if (c->options.synchronous)
        return MR_OK;
    int error = pthread_create(&c->writer, NULL, writer_run, c);
    if (error == 0)
        return MR_OK;
    close(c->file);
    errno = error;
    return MR_ERROR_SYSTEM;
}

int capture_start(const struct capture_options *options, struct mr_link **links, unsigned n, struct capture **out)
{
    struct capture_options settled = *options;
    if (n == 0 || n > CAPTURE_LINKS_MAX || !options_settle(&settled, n))
        return MR_ERROR_INVALID;
    for (unsigned i = 0; i < n; i++)
        if (((struct wrapper *)links[i]->self)->active)
            return MR_ERROR_IN_USE;
    struct capture *c = calloc(1, sizeof *c);
    if (!c)
        return MR_ERROR_NO_MEMORY;
    c->options = settled;
    snprintf(c->path, sizeof c->path, "%s", settled.path);
    int result = sources_init(c, links, n) ? capture_open(c) : MR_ERROR_NO_MEMORY;
    if (result != MR_OK) {
        int error = errno;
        capture_free(c);
        errno = error;
        return result;
    }
    for (unsigned i = 0; i < n; i++)
        __atomic_store_n(&c->source[i].wrapper->active, &c->source[i], __ATOMIC_RELEASE);
    *out = c;
    return MR_OK;
}

void capture_report(const struct capture *c, struct capture_report *out)
{
    *out = (struct capture_report){.bytes = c->bytes, .error = c->error};
    for (unsigned i = 0; i < c->source_count; i++) {
        out->seen += __atomic_load_n(&c->source[i].seen, __ATOMIC_RELAXED);
        out->overflowed += __atomic_load_n(&c->source[i].overflowed, __ATOMIC_RELAXED);
        out->written += c->written[i];
        out->limited += c->limited[i];
    }
}

/* A worker that has entered finishes its burst; one that enters later sees NULL. */
static void source_detach(struct source *s)
{
    const struct timespec pause = {.tv_nsec = 50000};
    __atomic_store_n(&s->wrapper->active, NULL, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    while (__atomic_load_n(&s->wrapper->inside, __ATOMIC_ACQUIRE) == s)
        nanosleep(&pause, NULL);
}

void capture_stop(struct capture *c, struct capture_report *report)
{
    for (unsigned i = 0; i < c->source_count; i++)
        source_detach(&c->source[i]);
    if (!c->options.synchronous) {
        c->stopping = true;
        pthread_join(c->writer, NULL);
    }
    rings_write(c);
    if (c->file >= 0)
        file_close(c);
    if (report)
        capture_report(c, report);
    capture_free(c);
}
