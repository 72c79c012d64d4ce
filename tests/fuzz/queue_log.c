/* Any bytes as the segments of a log. The first byte chooses how they are cut into files, and whether headers, tags and checksums are
 * put right first, so that what lies behind them is reached. Opening ends, shows records in order and without a gap, and opened again the
 * log shows the same; then it takes a record, which comes back. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checksum/crc32c.h"
#include "queue/log/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct qlog_engine *engine;
static int folder;
static char path[64];

static void folder_remove(void)
{
    qlog_engine_close(engine);
    unlinkat(folder, ".lock", 0);
    rmdir(path);
}

static void prepare(void)
{
    if (engine)
        return;
    strcpy(path, "/tmp/qlog-fuzz-XXXXXX");
    const struct qlog_engine_options o = {.folder = mkdtemp(path), .pending_bytes_max = 1 << 20, .no_uring = true};
    if (!freopen("/dev/null", "w", stderr) || qlog_engine_open(&o, NULL, NULL, &engine) != MR_OK)
        abort();
    folder = open(path, O_RDONLY | O_DIRECTORY);
    atexit(folder_remove);
}

struct seen {
    uint64_t next, count, sum;
};

static bool record_see(void *context, const struct qlog_record *r)
{
    struct seen *s = context;
    assert(s->count == 0 || r->offset == s->next);
    s->next = r->offset + 1;
    s->count++;
    for (size_t i = 0; i < r->payload.length; i++)
        s->sum = s->sum * 31 + r->payload.data[i];
    return true;
}

static void put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

/* A good header, and records that say where they lie, the lengths cut to what is there. Returns the offset behind the last. */
static uint64_t mend(uint8_t *bytes, size_t n, uint64_t first, uint64_t before_first, uint64_t before_bytes)
{
    const uint64_t salt = 0x0123456789abcdef;
    if (n < QLOG_SEGMENT_HEADER)
        return first;
    qlog_segment_emit(&(struct qlog_segment_header){first, salt, before_first, before_bytes}, bytes);
    for (size_t at = QLOG_SEGMENT_HEADER; at + QLOG_RECORD_HEADER <= n;) {
        uint8_t *r = bytes + at;
        uint64_t room = n - at - QLOG_RECORD_HEADER;
        struct qlog_record_header h = {.tag = qlog_record_tag(salt, (uint32_t)at),
                                       .length = r[8] < room / 8 * 8 ? r[8] : (uint32_t)(room / 8 * 8),
                                       .vouched = r[12] ? 0 : (uint32_t)at,
                                       .offset = first,
                                       .ms = r[24],
                                       .kind = r[30]};
        bool damaged = r[31] > 250;
        qlog_record_emit(&h, r);
        uint64_t whole = qlog_record_bytes(h.length);
        put32(r, crc32c(qlog_record_crc_begin(salt, r), r + QLOG_RECORD_HEADER, whole - QLOG_RECORD_HEADER) + damaged);
        at += whole;
        first++;
    }
    return first;
}

static void file_put(uint64_t first, const uint8_t *bytes, size_t n)
{
    char name[64];
    snprintf(name, sizeof name, "log/%020lu.log", (unsigned long)first);
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
    close(fd);
}

/* The input as one to four files. */
static void files_put(uint8_t how, uint8_t *bytes, size_t n)
{
    unsigned files = 1 + (how & 3);
    uint64_t first = how >> 2 & 7, before_first = QLOG_NONE, before_bytes = 0;
    for (unsigned i = 0; i < files; i++) {
        size_t part = i + 1 == files ? n : n / files / 8 * 8;
        uint64_t next = first + 1;
        if (how & 0x80)
            next = mend(bytes, part, first, before_first, before_bytes);
        file_put(first, bytes, part);
        before_first = first;
        before_bytes = part;
        first = next > first ? next : first + 1;
        bytes += part;
        n -= part;
    }
}

static void again(const struct seen *before)
{
    static const struct qlog_options o = {.segment_bytes = 4096};
    struct seen s = {0}, more = {0};
    struct qlog *log;
    assert(qlog_open(engine, "log", &o, &s, record_see, &log) == MR_OK);
    assert(s.count == before->count && s.sum == before->sum);
    uint64_t offset = qlog_append(log, 1, 2, &(struct mr_span){(const uint8_t *)"abc", 3}, 1, NULL);
    qlog_engine_run(engine);
    qlog_engine_run(engine);
    assert(qlog_engine_error(engine) == 0 && qlog_written(log) == offset + 1);
    qlog_drop(log);
    assert(qlog_open(engine, "log", &o, &more, record_see, &log) == MR_OK);
    assert(more.count == s.count + 1 && more.next == offset + 1);
    qlog_delete(log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct qlog_options o = {.segment_bytes = 4096};
    struct seen s = {0};
    struct qlog *log;
    if (size < 1 || size > 1 << 16)
        return 0;
    prepare();
    uint8_t *copy = malloc(size);
    memcpy(copy, data, size);
    qlog_folder_remove(engine, "log");
    assert(mkdirat(folder, "log", 0755) == 0);
    files_put(data[0], copy + 1, size - 1);
    free(copy);
    if (qlog_open(engine, "log", &o, &s, record_see, &log) == MR_OK) {
        qlog_drop(log);
        again(&s);
        qlog_engine_run(engine);
    }
    qlog_folder_remove(engine, "log");
    return 0;
}
