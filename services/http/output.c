/* Sends responses under back-pressure. Order of what is left: the spilled bytes, then the source.
 *
 * A streamed file goes round a ring of HTTP_READS_PER_CONNECTION reads: read_tail is filled by an offload thread,
 * read_head is lent to the stream, and comes back when the peer has acknowledged it. Reads come from a pool that bounds
 * the worker's memory; a connection that finds it empty waits in line. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http/call.h"
#include "http/connection.h"

static void count_sent(struct http_connection *c, size_t n)
{
    c->sent += n;
    c->http->counters[HTTP_COUNTER_BYTES_OUT] += n;
}

void http_output_bytes(struct http_connection *c, const void *bytes, size_t n)
{
    struct http_output *o = &c->output;
    size_t taken = 0;
    if (!o->spill) {
        taken = mr_stream_send(c->stream, bytes, n);
        count_sent(c, taken);
        if (__builtin_expect(taken == n, 1))
            return;
        if (!(o->spill = http_buffer_take(c->http))) {
            o->cut = true;
            return;
        }
        o->spill->start = o->spill->used = 0;
    }
    assert(o->spill->used + (n - taken) <= c->http->buffer_bytes);
    memcpy(o->spill->bytes + o->spill->used, (const uint8_t *)bytes + taken, n - taken);
    o->spill->used += (uint32_t)(n - taken);
}

/* Only a cut tells the peer that what was promised does not come (RFC 9112 8). */
static void output_cut(struct http_connection *c)
{
    http_connection_set_state(c, EXPECT_CLOSE);
    mr_stream_abort(c->stream);
}

static bool flush_spill(struct http_connection *c)
{
    struct http_buffer *b = c->output.spill;
    if (!b)
        return true;
    size_t taken = mr_stream_send(c->stream, b->bytes + b->start, b->used - b->start);
    count_sent(c, taken);
    b->start += (uint32_t)taken;
    if (b->start < b->used)
        return false;
    http_buffer_give(c->http, b);
    c->output.spill = NULL;
    return true;
}

static void release_nothing(void *argument)
{
}

static bool flush_pattern(struct http_connection *c)
{
    struct http_output *o = &c->output;
    while (o->offset < o->end) {
        size_t from = o->offset % HTTP_PATTERN_BYTES, n = HTTP_PATTERN_BYTES - from;
        if (n > o->end - o->offset)
            n = (size_t)(o->end - o->offset);
        if (!mr_stream_lend(c->stream, c->http->pattern + from, n, release_nothing, NULL))
            return false;
        o->offset += n;
        count_sent(c, n);
    }
    return true;
}

static void call_returned(void *argument)
{
    http_call_give(argument);
}

/* One lend; the stream gives the call back, maybe before the lend returns. */
static bool flush_call(struct http_connection *c)
{
    struct http_output *o = &c->output;
    size_t n = (size_t)(o->end - o->offset);
    struct http_call *call = o->call;
    if (!mr_stream_lend(c->stream, call->bytes, n, call_returned, call))
        return false;
    o->call = NULL;
    o->offset = o->end;
    count_sent(c, n);
    return true;
}

static bool flush_memory(struct http_connection *c)
{
    struct http_output *o = &c->output;
    size_t n = (size_t)(o->end - o->offset);
    if (n == 0)
        return true;
    http_file_hold(o->file); /* for the response in flight */
    if (!mr_stream_lend(c->stream, http_file_body(o->file) + o->offset, n, http_file_release, o->file)) {
        http_file_release(o->file);
        return false;
    }
    o->offset = o->end;
    count_sent(c, n);
    return true;
}

/* Reads. */

static void read_give(struct http_read *r)
{
    struct http *http = r->http;
    http_file_release(r->file);
    r->file = NULL;
    r->connection = NULL;
    r->state = READ_FREE;
    r->next = http->free_reads;
    http->free_reads = r;
    http->reads_free++;
}

static void read_blocking(void *argument)
{
    struct http_read *r = argument;
    for (uint32_t got = 0; got < r->length && !r->failed;) {
        ssize_t n = pread(r->file->descriptor, r->bytes + got, r->length - got, (off_t)(r->offset + got));
        r->failed = n == 0 || (n < 0 && errno != EINTR); /* 0: the file has shrunk under us */
        got += n > 0 ? (uint32_t)n : 0;
    }
}

static void reads_fill(struct http_connection *c);

/* The longest waiting connection gets what has become free. */
void http_reads_serve(struct http *http)
{
    struct http_connection *c = http->read_waiters;
    if (!c || !http->free_reads)
        return;
    http->read_waiters = c->output.read_next;
    if (!http->read_waiters)
        http->read_waiters_end = &http->read_waiters;
    c->output.waits_for_read = false;
    reads_fill(c);
}

static void read_done(struct mr_worker *w, void *argument)
{
    struct http_read *r = argument;
    struct http *http = r->http;
    r->state = READ_DONE;
    if (r->connection)
        http_connection_advance(r->connection);
    else
        read_give(r);
    http_job_ended(http);
}

/* The peer has acknowledged it, or the stream is gone. Called from within the stack: it touches no stream. */
static void read_returned(void *argument)
{
    struct http_read *r = argument;
    struct http *http = r->http;
    struct http_connection *c = r->connection;
    if (c)
        for (unsigned i = 0; i < HTTP_READS_PER_CONNECTION; i++)
            if (c->output.reads[i] == r)
                c->output.reads[i] = NULL;
    read_give(r);
    if (http->released)
        return;
    http_reads_serve(http);
    if (c && c->output.source == SOURCE_FILE)
        reads_fill(c);
}

static void reads_wait(struct http_connection *c)
{
    struct http *http = c->http;
    if (c->output.waits_for_read)
        return;
    c->output.waits_for_read = true;
    c->output.read_next = NULL;
    *http->read_waiters_end = c;
    http->read_waiters_end = &c->output.read_next;
}

static void reads_wait_end(struct http_connection *c)
{
    struct http *http = c->http;
    struct http_connection **link = &http->read_waiters;
    if (!c->output.waits_for_read)
        return;
    while (*link != c)
        link = &(*link)->output.read_next;
    *link = c->output.read_next;
    if (http->read_waiters_end == &c->output.read_next)
        http->read_waiters_end = link;
    c->output.waits_for_read = false;
}

/* Starts one read into the free slot at the tail. False: none can start now. */
static bool read_start(struct http_connection *c)
{
    struct http_output *o = &c->output;
    struct http *http = c->http;
    struct http_read *r = http->free_reads;
    if (!r) {
        reads_wait(c);
        return false;
    }
    *r = (struct http_read){.http = http,
                            .next = r->next,
                            .connection = c,
                            .file = o->file,
                            .state = READ_UNDER_WAY,
                            .offset = o->read_offset,
                            .bytes = r->bytes};
    r->length = o->end - o->read_offset < HTTP_READ_BYTES ? (uint32_t)(o->end - o->read_offset) : HTTP_READ_BYTES;
    if (mr_offload(http->worker, read_blocking, read_done, r) != MR_OK) {
        reads_wait(c); /* a read of ours or another's that ends serves us; the send timer bounds the rest */
        return false;
    }
    http->free_reads = r->next;
    http->reads_free--;
    http->files.outstanding++;
    http_file_hold(o->file);
    o->reads[o->read_tail] = r;
    o->read_tail = (uint8_t)((o->read_tail + 1) % HTTP_READS_PER_CONNECTION);
    o->read_offset += r->length;
    return true;
}

static void reads_fill(struct http_connection *c)
{
    struct http_output *o = &c->output;
    while (o->read_offset < o->end && !o->reads[o->read_tail] && !o->waits_for_read) {
        bool first = o->offset == o->read_offset;
        if (!first && c->http->reads_free < c->http->read_count / 4)
            return; /* short of reads: one each, so that more connections move */
        if (!read_start(c))
            return;
    }
}

/* Lends what has been read, in order. True: the last of it is with the stream. */
static bool flush_file(struct http_connection *c)
{
    struct http_output *o = &c->output;
    while (o->offset < o->end) {
        struct http_read *r = o->reads[o->read_head];
        if (!r || r->state != READ_DONE) {
            reads_fill(c);
            return false;
        }
        if (r->failed) {
            c->http->counters[HTTP_COUNTER_FILES_CUT]++;
            output_cut(c);
            return false;
        }
        uint32_t n = r->length; /* the stream may return it before lend does */
        r->state = READ_LENT;
        if (!mr_stream_lend(c->stream, r->bytes, n, read_returned, r)) {
            r->state = READ_DONE;
            return false;
        }
        o->read_head = (uint8_t)((o->read_head + 1) % HTTP_READS_PER_CONNECTION);
        o->offset += n;
        count_sent(c, n);
    }
    return true;
}

static void source_end(struct http_connection *c)
{
    struct http_output *o = &c->output;
    reads_wait_end(c);
    if (o->file)
        http_file_release(o->file);
    if (o->call)
        http_call_give(o->call);
    o->file = NULL;
    o->call = NULL;
    o->source = SOURCE_NONE;
}

void http_output_file(struct http_connection *c, struct http_file *f, uint64_t first, uint64_t end)
{
    struct http_output *o = &c->output;
    if (first == end)
        return;
    http_file_hold(f);
    o->file = f;
    o->source = f->held ? SOURCE_MEMORY : SOURCE_FILE;
    o->offset = o->read_offset = first;
    o->end = end;
}

void http_output_pattern(struct http_connection *c, uint64_t n)
{
    c->output.source = SOURCE_PATTERN;
    c->output.offset = 0;
    c->output.end = n;
}

void http_output_call(struct http_connection *c, struct http_call *call, uint64_t n)
{
    c->output.source = SOURCE_CALL;
    c->output.call = call;
    c->output.offset = 0;
    c->output.end = n;
}

bool http_output_flush(struct http_connection *c)
{
    static bool (*const flush[])(struct http_connection * c) = {[SOURCE_MEMORY] = flush_memory,
                                                                [SOURCE_FILE] = flush_file,
                                                                [SOURCE_PATTERN] = flush_pattern,
                                                                [SOURCE_CALL] = flush_call};
    if (__builtin_expect(c->output.cut, 0)) {
        c->http->counters[HTTP_COUNTER_ERROR_503]++;
        output_cut(c);
        return false;
    }
    if (!flush_spill(c))
        return false;
    if (c->output.source == SOURCE_NONE)
        return true;
    if (!flush[c->output.source](c))
        return false;
    source_end(c);
    return true;
}

void http_output_release(struct http_connection *c)
{
    struct http_output *o = &c->output;
    for (unsigned i = 0; i < HTTP_READS_PER_CONNECTION; i++) {
        struct http_read *r = o->reads[i];
        if (!r)
            continue;
        r->connection = NULL;
        o->reads[i] = NULL;
        if (r->state == READ_DONE)
            read_give(r);
    }
    source_end(c);
    if (o->spill)
        http_buffer_give(c->http, o->spill);
    o->spill = NULL;
}

int http_reads_start(struct http *http)
{
    http->read_count = (uint32_t)(http->config.stream_bytes / HTTP_READ_BYTES);
    http->reads = calloc(http->read_count, sizeof *http->reads);
    http->read_waiters_end = &http->read_waiters;
    if (!http->reads)
        return MR_ERROR_NO_MEMORY;
    for (uint32_t i = 0; i < http->read_count; i++) {
        struct http_read *r = &http->reads[i];
        r->http = http;
        r->bytes = malloc(HTTP_READ_BYTES); /* untouched, and so not there, until the first large file */
        if (!r->bytes)
            return MR_ERROR_NO_MEMORY;
        r->next = http->free_reads;
        http->free_reads = r;
        http->reads_free++;
    }
    return MR_OK;
}

void http_reads_release(struct http *http)
{
    for (uint32_t i = 0; http->reads && i < http->read_count; i++)
        free(http->reads[i].bytes);
    free(http->reads);
}
