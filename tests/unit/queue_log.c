/* The log of the queues: appending, rotation, retention, reading, opening again; every call of the system failing in turn. */
#include "tests/support/cmocka.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "queue/log/state.h"
#include "tests/support/fake_stream.h"

/* -- system calls that fail ------------------------------------------------------------------------------------------------ */

enum { CALL_OPEN, CALL_MKDIR, CALL_RENAME, CALL_UNLINK, CALL_PREAD, CALL_PWRITEV, CALL_FDATASYNC, CALL_FSYNC, CALLS };
enum trouble { NO_TROUBLE, ERROR_ONCE, SHORT_ONCE, ERROR_FOREVER };

static struct {
    unsigned calls; /* so far; reads are not counted */
    unsigned at;    /* this one, from 1, has trouble; 0: none */
    enum trouble trouble;
    int error;
    bool short_hit;
    void (*before)(void); /* runs before each counted call */
    unsigned count[CALLS];
} io;

/* True: the call fails, errno is set. */
static bool trouble(unsigned call)
{
    if (io.before) {
        void (*f)(void) = io.before;
        io.before = NULL;
        f();
        io.before = f;
    }
    io.count[call]++;
    io.calls++;
    bool hit = io.at && (io.calls == io.at || (io.trouble == ERROR_FOREVER && io.calls > io.at));
    io.short_hit = hit && io.trouble == SHORT_ONCE && call == CALL_PWRITEV;
    errno = io.error;
    return hit && !io.short_hit && io.trouble != SHORT_ONCE;
}

static int bad_open(int folder, const char *path, int flags, mode_t mode)
{
    bool writes = flags & O_CREAT;
    return writes && trouble(CALL_OPEN) ? -1 : qlog_io_system.open(folder, path, flags, mode);
}

static int bad_mkdir(int folder, const char *path, mode_t mode)
{
    return trouble(CALL_MKDIR) ? -1 : qlog_io_system.mkdir(folder, path, mode);
}

static int bad_rename(int folder, const char *from, const char *to)
{
    return trouble(CALL_RENAME) ? -1 : qlog_io_system.rename(folder, from, to);
}

static int bad_unlink(int folder, const char *path, int flags)
{
    return trouble(CALL_UNLINK) ? -1 : qlog_io_system.unlink(folder, path, flags);
}

static ssize_t bad_pwritev(int fd, const struct iovec *v, int n, off_t at)
{
    if (trouble(CALL_PWRITEV))
        return -1;
    if (io.short_hit)
        return qlog_io_system.pwritev(fd, &(struct iovec){v->iov_base, v->iov_len / 2 ? v->iov_len / 2 : 1}, 1, at);
    return qlog_io_system.pwritev(fd, v, n, at);
}

static int bad_fdatasync(int fd)
{
    return trouble(CALL_FDATASYNC) ? -1 : qlog_io_system.fdatasync(fd);
}

static int bad_fsync(int fd)
{
    return trouble(CALL_FSYNC) ? -1 : qlog_io_system.fsync(fd);
}

static int bad_completed(bool sync, int result)
{
    if (trouble(sync ? CALL_FDATASYNC : CALL_PWRITEV))
        return -io.error;
    return io.short_hit && result > 1 ? result / 2 : result;
}

static struct qlog_io bad_io(void)
{
    struct qlog_io x = qlog_io_system;
    x.open = bad_open;
    x.mkdir = bad_mkdir;
    x.rename = bad_rename;
    x.unlink = bad_unlink;
    x.pwritev = bad_pwritev;
    x.fdatasync = bad_fdatasync;
    x.fsync = bad_fsync;
    x.completed = NULL;
    return x;
}

/* -- a folder and an engine ------------------------------------------------------------------------------------------------ */

struct world {
    char folder[64], inner[80];
    struct qlog_io io;
    struct qlog_engine *engine;
    struct mr_worker *worker;
    unsigned advanced, states;
    int state;
    uint64_t pending_max;
};

static void advanced(void *context, struct qlog *log)
{
    struct world *x = context;
    x->advanced++;
}

static void state_changed(void *context, int error)
{
    struct world *x = context;
    x->states++;
    x->state = error;
}

static void engine_open(struct world *x)
{
    struct qlog_engine_hooks hooks = {advanced, state_changed, x};
    struct qlog_engine_options o = {
        .folder = x->inner, .pending_bytes_max = x->pending_max ? x->pending_max : 1 << 20, .io = &x->io};
    assert_int_equal(qlog_engine_open(&o, &hooks, x->worker, &x->engine), MR_OK);
}

static void setup(struct world *x)
{
    memset(x, 0, sizeof *x);
    memset(&io, 0, sizeof io);
    strcpy(x->folder, "/tmp/qlog-XXXXXX");
    assert_non_null(mkdtemp(x->folder));
    snprintf(x->inner, sizeof x->inner, "%s/logs", x->folder);
    x->io = bad_io();
    engine_open(x);
}

static void shell(const char *format, const char *a, const char *b)
{
    char command[512];
    snprintf(command, sizeof command, format, a, b);
    assert_int_equal(system(command), 0);
}

static void teardown(struct world *x)
{
    if (x->engine)
        qlog_engine_close(x->engine);
    shell("rm -rf --one-file-system '%s'", x->folder, "");
}

static void reopen(struct world *x)
{
    qlog_engine_close(x->engine);
    engine_open(x);
}

static const struct qlog_options synced = {.safety = QLOG_SYNCED, .segment_bytes = 4096};
static const struct qlog_options written = {.safety = QLOG_WRITTEN, .segment_bytes = 4096};

/* Record i: kind i, ms 1000 + i, (i * 37) % most bytes of i. */
static size_t payload_of(uint64_t i, uint8_t *bytes, unsigned most)
{
    size_t n = (size_t)(i * 37 % most);
    for (size_t k = 0; k < n; k++)
        bytes[k] = (uint8_t)(i + k);
    return n;
}

static uint8_t scratch[1 << 20];

static uint64_t append(struct qlog *log, uint64_t i, unsigned most, struct qlog_place *place)
{
    size_t n = payload_of(i, scratch, most);
    struct mr_span spans[2] = {{scratch, n / 3}, {scratch + n / 3, n - n / 3}};
    return qlog_append(log, (uint8_t)i, 1000 + i, spans, 2, place);
}

struct seen {
    uint64_t next, count;
    unsigned most;
    int ended; /* 1 + error of the end */
};

static void record_check(const struct qlog_record *r, unsigned most)
{
    static uint8_t expected[1 << 20];
    size_t n = payload_of(r->offset, expected, most);
    assert_int_equal(r->kind, (uint8_t)r->offset);
    assert_int_equal(r->ms, 1000 + r->offset);
    assert_int_equal(r->payload.length, n);
    assert_memory_equal(r->payload.data, expected, n);
}

static bool opened(void *context, const struct qlog_record *r)
{
    struct seen *s = context;
    if (s->count++ == 0)
        s->next = r->offset;
    assert_int_equal(r->offset, s->next);
    s->next++;
    record_check(r, s->most);
    return true;
}

static void was_read(void *context, const struct qlog_record *r, int error)
{
    struct seen *s = context;
    if (!r) {
        s->ended = 1 + error;
        return;
    }
    if (s->count++ == 0)
        s->next = r->offset;
    assert_int_equal(r->offset, s->next);
    s->next++;
    record_check(r, s->most);
}

static struct qlog *reopen_log(struct world *x, const char *name, const struct qlog_options *o, struct seen *s)
{
    struct qlog *log = NULL;
    assert_int_equal(qlog_open(x->engine, name, o, s, opened, &log), MR_OK);
    return log;
}

/* -- tests ----------------------------------------------------------------------------------------------------------------- */

static void appended_records_come_back(void **state)
{
    struct world x;
    setup(&x);
    struct qlog *log = qlog_create(x.engine, "a", &synced, NULL);
    struct qlog_place place[300];
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(append(log, i, 400, &place[i]), i);
    assert_int_equal(qlog_safe(log), 0);
    while (qlog_safe(log) < 300)
        qlog_engine_run(x.engine);
    assert_int_equal(qlog_engine_error(x.engine), 0);
    assert_true(qlog_segments(log) > 10);
    assert_int_equal(qlog_synced(log), 300);
    for (unsigned i = 0; i < 300; i++) {
        struct seen s = {.most = 400};
        assert_int_equal(qlog_read(log, &place[i], i, was_read, &s), MR_OK);
        qlog_engine_run(x.engine);
        assert_int_equal(s.count, 1);
        assert_int_equal(s.next, i + 1);
    }
    reopen(&x);
    struct seen s = {.most = 400};
    log = reopen_log(&x, "a", &synced, &s);
    assert_int_equal(s.count, 300);
    assert_int_equal(qlog_next(log), 300);
    assert_int_equal(append(log, 300, 400, NULL), 300);
    reopen(&x);
    struct seen again = {.most = 400};
    reopen_log(&x, "a", &synced, &again);
    assert_int_equal(again.count, 301);
    teardown(&x);
}

static void written_logs_are_synced_when_asked(void **state)
{
    struct world x;
    setup(&x);
    struct qlog *log = qlog_create(x.engine, "a", &written, NULL);
    append(log, 0, 400, NULL);
    qlog_engine_run(x.engine);
    assert_int_equal(qlog_safe(log), 1);
    assert_int_equal(qlog_written(log), 1);
    assert_int_equal(qlog_synced(log), 0);
    qlog_sync(log);
    qlog_engine_run(x.engine);
    assert_int_equal(qlog_synced(log), 1);
    teardown(&x);
}

/* Many logs in one submission, by io_uring where there is one, whole and short. */
static void ring_writes_many_logs(void **state)
{
    struct world x;
    struct qlog_status status;
    struct qlog *logs[200];
    char name[16];
    setup(&x);
    qlog_engine_close(x.engine);
    x.io.completed = bad_completed;
    engine_open(&x);
    qlog_status(x.engine, &status);
    for (unsigned i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "log-%u", i);
        logs[i] = qlog_create(x.engine, name, &synced, NULL);
        for (unsigned k = 0; k < 5; k++)
            append(logs[i], k, 100, NULL);
    }
    io.at = 200 * 5; /* about */
    io.trouble = SHORT_ONCE;
    for (unsigned round = 0; qlog_engine_run(x.engine), round < 5; round++)
        continue;
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(qlog_safe(logs[i]), 5);
    io.at = 0;
    reopen(&x);
    for (unsigned i = 0; i < 200; i++) {
        struct seen s = {.most = 100};
        snprintf(name, sizeof name, "log-%u", i);
        reopen_log(&x, name, &synced, &s);
        assert_int_equal(s.count, 5);
    }
    printf("io_uring: %s\n", status.uring ? "yes" : "no");
    teardown(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appended_records_come_back),
        cmocka_unit_test(written_logs_are_synced_when_asked),
        cmocka_unit_test(ring_writes_many_logs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
