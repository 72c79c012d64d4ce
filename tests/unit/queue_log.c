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

#include "checksum/crc32c.h"
#include "queue/log/state.h"
#include "tests/support/fake_private.h"
#include "tests/support/qlog_disk.h"

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
    memset(&disk, 0, sizeof disk);
    mr_random_seed(&disk.random, 1);
    /* What a crash leaves is made up here (qlog_disk.h): nothing is gained by waiting for a disk. */
    strcpy(x->folder, access("/dev/shm", W_OK) == 0 ? "/dev/shm/qlog-XXXXXX" : "/tmp/qlog-XXXXXX");
    assert_non_null(mkdtemp(x->folder));
    snprintf(x->inner, sizeof x->inner, "%s/logs", x->folder);
    x->io = *disk_io();
    disk_mount(x->inner);
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
    disk_unmount();
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

/* -- io_uring -------------------------------------------------------------------------------------------------------------- */

static struct {
    struct mr_random random;
    unsigned chance, hits;
} ring;

static int ring_trouble(bool sync, int result)
{
    if (!ring.chance || result < 0 || mr_random_below(&ring.random, ring.chance))
        return result;
    ring.hits++;
    if (sync || result == 1 || mr_random_below(&ring.random, 2))
        return mr_random_below(&ring.random, 2) ? -EIO : -EINTR;
    return result / 2;
}

/* Many logs in one submission, of which many are refused or only half taken: all is there in the end. More logs than files are kept open. */
static void ring_writes_many_logs(void **state)
{
    enum { LOGS = QLOG_FILES + 44, RECORDS = 12 };
    static struct qlog *logs[LOGS];
    struct world x;
    struct qlog_status status;
    char name[16];
    setup(&x);
    qlog_engine_close(x.engine);
    x.io = qlog_io_system;
    x.io.completed = ring_trouble;
    engine_open(&x);
    mr_random_seed(&ring.random, 7);
    for (unsigned i = 0; i < LOGS; i++) {
        snprintf(name, sizeof name, "log-%u", i);
        logs[i] = qlog_create(x.engine, name, i % 2 ? &synced : &written, NULL);
    }
    for (unsigned k = 0; k < RECORDS; k++) {
        ring.chance = k % 3 ? 20 : 0;
        for (unsigned i = 0; i < LOGS; i++)
            append(logs[i], k, 700, NULL);
        qlog_engine_run(x.engine);
    }
    ring.chance = 0;
    for (unsigned round = 0; round < 20; round++)
        qlog_engine_run(x.engine);
    qlog_status(x.engine, &status);
    if (status.uring)
        assert_true(ring.hits > 100);
    for (unsigned i = 0; i < LOGS; i++)
        assert_int_equal(qlog_safe(logs[i]), RECORDS);
    reopen(&x);
    for (unsigned i = 0; i < LOGS; i++) {
        struct seen s = {.most = 700};
        snprintf(name, sizeof name, "log-%u", i);
        reopen_log(&x, name, &synced, &s);
        assert_int_equal(s.count, RECORDS);
    }
    print_message("io_uring: %s, %u troubles\n", status.uring ? "yes" : "no", ring.hits);
    teardown(&x);
}

/* -- each call of the system in turn --------------------------------------------------------------------------------------- */

static void settle(struct world *x)
{
    for (unsigned i = 0; i < 40; i++)
        qlog_engine_run(x->engine);
}

struct three {
    struct qlog *a, *b, *c; /* synced; written; deleted and made again */
};

/* Some of everything that changes files. */
static void scenario(struct world *x, struct three *logs)
{
    logs->a = qlog_create(x->engine, "a", &synced, NULL);
    logs->b = qlog_create(x->engine, "b", &written, NULL);
    logs->c = qlog_create(x->engine, "c", &synced, NULL);
    for (unsigned i = 0; i < 40; i++) {
        append(logs->a, i, 900, NULL);
        append(logs->b, i, 900, NULL);
        if (i < 10)
            append(logs->c, i, 900, NULL);
        if (i % 3 == 0)
            qlog_engine_run(x->engine);
        if (i == 20)
            qlog_sync(logs->b);
        if (i == 25) {
            qlog_trim(logs->a, 18);
            qlog_trim(logs->b, 18);
            qlog_delete(logs->c);
            logs->c = qlog_create(x->engine, "c", &synced, NULL);
            append(logs->c, 0, 900, NULL);
        }
    }
    qlog_engine_run(x->engine);
}

static void safe_check(struct world *x, const struct three *logs)
{
    assert_int_equal(qlog_engine_error(x->engine), 0);
    assert_int_equal(qlog_safe(logs->a), 40);
    assert_int_equal(qlog_safe(logs->b), 40);
    assert_int_equal(qlog_safe(logs->c), 1);
    assert_in_range(qlog_begin(logs->a), 1, 18);
}

static void three_reopen(struct world *x, uint64_t a, uint64_t b, uint64_t c)
{
    struct seen s[3] = {{.most = 900}, {.most = 900}, {.most = 900}};
    const uint64_t least[3] = {a, b, c};
    for (unsigned i = 0; i < 3; i++) {
        const char name[2] = {(char)('a' + i), 0};
        char path[128];
        snprintf(path, sizeof path, "%s/%s", x->inner, name);
        if (least[i] == 0 && access(path, F_OK) < 0)
            continue;
        struct qlog *log = reopen_log(x, name, i == 1 ? &written : &synced, &s[i]);
        if (qlog_next(log) < least[i])
            fail_msg("log %s ends at %lu, and %lu were safe", name, (unsigned long)qlog_next(log),
                     (unsigned long)least[i]);
        append(log, qlog_next(log), 900, NULL);
    }
    settle(x);
}

/* One system call fails, or writes a part; all is written in the end, and comes back. */
static void any_call_fails_all_is_written_later(void **state)
{
    static const struct {
        enum disk_trouble trouble;
        int error;
        unsigned step; /* the call that fails: each, or one of so many */
    } cases[] = {{DISK_ERROR, EIO, 1}, {DISK_ERROR, ENOSPC, 7}, {DISK_ERROR, EDQUOT, 7}, {DISK_SHORT, 0, 2}};
    for (unsigned k = 0; k < sizeof cases / sizeof *cases; k++)
        for (unsigned at = 1;; at += cases[k].step) {
            struct world x;
            struct three logs;
            setup(&x);
            disk.at = disk.calls + at;
            disk.trouble = cases[k].trouble;
            disk.error = cases[k].error;
            scenario(&x, &logs);
            settle(&x);
            bool hit = disk.hits > 0, ended = disk.calls < disk.at;
            disk.at = 0;
            safe_check(&x, &logs);
            if (hit && cases[k].trouble == DISK_ERROR)
                assert_int_equal(x.states, 2); /* it fails; it works again */
            reopen(&x);
            three_reopen(&x, 40, 40, 1);
            teardown(&x);
            if (ended) {
                print_message("%u calls\n", at - 1);
                break;
            }
        }
}

/* The disk is full from some call on: nothing more is said to be safe, and all is when there is room again. */
static void full_disk_keeps_all_until_there_is_room(void **state)
{
    for (unsigned at = 1;; at++) {
        struct world x;
        struct three logs;
        setup(&x);
        disk.at = disk.calls + at;
        disk.trouble = DISK_FULL;
        scenario(&x, &logs);
        settle(&x);
        bool hit = disk.hits > 0;
        if (hit)
            assert_int_equal(qlog_engine_error(x.engine), ENOSPC);
        if (hit)
            assert_int_equal(x.state, ENOSPC);
        disk.at = 0;
        settle(&x);
        safe_check(&x, &logs);
        assert_int_equal(x.state, 0);
        reopen(&x);
        three_reopen(&x, 40, 40, 1);
        teardown(&x);
        if (!hit)
            break;
    }
}

static struct {
    unsigned at; /* the call before which it happens */
    bool power, happened;
    char to[96];
    struct three *logs;
    uint64_t a, b, c;
} crash;

static void crash_before(void)
{
    if (crash.happened || disk.calls + 1 < crash.at)
        return;
    crash.happened = true;
    disk_crash(crash.to, crash.power);
    crash.a = crash.logs->a ? qlog_synced(crash.logs->a) : 0;
    crash.b = !crash.logs->b ? 0 : crash.power ? qlog_synced(crash.logs->b) : qlog_written(crash.logs->b);
    crash.c = 0; /* it may be deleted */
}

/* Before each system call the process is killed, or the power lost: what was safe then is there. Five times over for the power, each time a
 * third of the calls: what reaches the disk is another part each time. */
static void any_call_is_the_last_and_what_was_safe_is_there(void **state)
{
    for (unsigned seed = 0; seed < 6; seed++)
        for (unsigned at = 1 + seed % 3;; at += seed ? 3 : 1) {
            struct world x;
            struct three logs = {0};
            setup(&x);
            mr_random_seed(&disk.random, seed * 1000 + at);
            memset(&crash, 0, sizeof crash);
            crash.at = disk.calls + at;
            crash.power = seed > 0;
            crash.logs = &logs;
            snprintf(crash.to, sizeof crash.to, "%s/crash", x.folder);
            disk.before = crash_before;
            scenario(&x, &logs);
            settle(&x);
            disk.before = NULL;
            bool happened = crash.happened;
            if (happened) {
                qlog_engine_close(x.engine);
                strcpy(x.inner, crash.to);
                disk_mount(x.inner);
                engine_open(&x);
                three_reopen(&x, crash.a, crash.b, crash.c);
            }
            teardown(&x);
            if (!happened)
                break;
        }
}

/* -- torn and damaged files ------------------------------------------------------------------------------------------------ */

static void segment_file(const struct world *x, uint64_t first, char path[160])
{
    snprintf(path, 160, "%s/a/%020lu.log", x->inner, (unsigned long)first);
}

static uint8_t *file_read(const char *path, size_t *n)
{
    static uint8_t bytes[1 << 20];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    *n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    return bytes;
}

static void file_write(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_true(f && fwrite(bytes, 1, n, f) == n);
    fclose(f);
}

/* Log `a` of `records`, each written by a job of its own. */
static void log_make(struct world *x, unsigned records, struct qlog_place *places)
{
    struct qlog *log = qlog_create(x->engine, "a", &synced, NULL);
    for (unsigned i = 0; i < records; i++) {
        append(log, i, 300, &places[i]);
        qlog_engine_run(x->engine);
    }
    settle(x);
    qlog_engine_close(x->engine);
    x->engine = NULL;
}

static int open_again(struct world *x, struct seen *s, struct qlog **out)
{
    if (x->engine)
        qlog_engine_close(x->engine);
    disk_mount(x->inner);
    engine_open(x);
    *s = (struct seen){.most = 300};
    return qlog_open(x->engine, "a", &synced, s, opened, out);
}

/* The last record cut at each byte, and each byte of it turned: all before it is there, what was cut is kept, and the log goes on. */
static void torn_tail_is_cut_and_kept(void **state)
{
    struct world x;
    struct qlog_place p[8];
    struct seen s;
    struct qlog *log;
    char path[160], torn[200];
    static uint8_t good[4096];
    size_t n, kept;
    setup(&x);
    log_make(&x, 8, p);
    segment_file(&x, 0, path);
    memcpy(good, file_read(path, &n), sizeof good);
    assert_int_equal(n, p[7].position + p[7].bytes);
    for (size_t at = p[7].position; at < n; at++)
        for (unsigned flip = 0; flip < 2; flip++) {
            static uint8_t bad[4096];
            size_t bytes = flip ? n : at;
            memcpy(bad, good, n);
            bad[at] ^= (uint8_t)(flip * 0x10);
            file_write(path, bad, bytes);
            assert_int_equal(open_again(&x, &s, &log), MR_OK);
            assert_int_equal(s.count, 7);
            snprintf(torn, sizeof torn, "%s.torn", path);
            struct qlog_status status;
            qlog_status(x.engine, &status);
            assert_int_equal(status.torn_bytes, bytes - p[7].position);
            if (bytes > p[7].position) {
                assert_memory_equal(file_read(torn, &kept), bad + p[7].position, bytes - p[7].position);
                assert_int_equal(kept, bytes - p[7].position);
                unlink(torn);
            }
            append(log, 7, 300, NULL);
            settle(&x);
            assert_int_equal(open_again(&x, &s, &log), MR_OK);
            assert_int_equal(s.count, 8);
        }
    teardown(&x);
}

static int entry_sort(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Of the names and bytes of all files of log `a`. */
static uint32_t folder_sum(const struct world *x)
{
    char folder[128], path[400];
    struct dirent **entries;
    uint32_t sum = 0;
    size_t n;
    snprintf(folder, sizeof folder, "%s/a", x->inner);
    int count = scandir(folder, &entries, NULL, entry_sort);
    assert_true(count > 0);
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        sum = crc32c(sum, name, strlen(name));
        snprintf(path, sizeof path, "%s/%s", folder, name);
        if (name[0] != '.') {
            const uint8_t *bytes = file_read(path, &n);
            sum = crc32c(sum, bytes, n);
        }
        free(entries[i]);
    }
    free(entries);
    return sum;
}

/* Any byte turned before the last record of the last segment, or in a segment before it: refused, and nothing is changed. */
static void damage_before_the_tail_is_refused(void **state)
{
    struct world x;
    struct qlog_place p[60];
    struct seen s;
    struct qlog *log;
    char path[160];
    static uint8_t good[1 << 16];
    size_t n;
    setup(&x);
    log_make(&x, 60, p);
    unsigned refused = 0;
    for (unsigned k = 0; k < 60; k++) {
        if (k > 0 && p[k].segment == p[k - 1].segment && k < 57 && k % 4) /* some of each segment, all of the end */
            continue;
        bool tail = k == 59;
        segment_file(&x, p[k].segment, path);
        memcpy(good, file_read(path, &n), sizeof good);
        for (uint32_t at = p[k].position; at < p[k].position + p[k].bytes && !tail; at += 7) {
            good[at] ^= 1;
            file_write(path, good, n);
            uint32_t sum = folder_sum(&x);
            assert_int_equal(open_again(&x, &s, &log), MR_ERROR_INVALID);
            assert_int_equal(folder_sum(&x), sum);
            good[at] ^= 1;
            refused++;
        }
        file_write(path, good, n);
    }
    assert_true(refused > 100);
    assert_int_equal(open_again(&x, &s, &log), MR_OK);
    assert_int_equal(s.count, 60);
    teardown(&x);
}

/* Headers of segments, missing segments, wrong sizes. */
static void broken_chains_are_refused(void **state)
{
    struct world x;
    struct qlog_place p[60];
    struct seen s;
    struct qlog *log;
    char path[160];
    static uint8_t good[1 << 16];
    size_t n;
    uint64_t firsts[16];
    unsigned count = 0;
    setup(&x);
    log_make(&x, 60, p);
    for (unsigned k = 0; k < 60; k++)
        if (k == 0 || p[k].segment != p[k - 1].segment)
            firsts[count++] = p[k].segment;
    assert_true(count >= 3);
    for (unsigned k = 0; k < count; k++) {
        bool first = k == 0, last = k + 1 == count;
        segment_file(&x, firsts[k], path);
        memcpy(good, file_read(path, &n), sizeof good);
        for (unsigned at = 0; at < QLOG_SEGMENT_HEADER; at += 5) {
            good[at] ^= 1;
            file_write(path, good, n);
            assert_int_equal(open_again(&x, &s, &log), MR_ERROR_INVALID);
            good[at] ^= 1;
        }
        file_write(path, good, n);
        unlink(path);
        if (!last) { /* the last one missing cannot be told from one that never was */
            assert_int_equal(open_again(&x, &s, &log), first ? MR_OK : MR_ERROR_INVALID);
        }
        file_write(path, good, n - 8);
        if (!last)
            assert_int_equal(open_again(&x, &s, &log), MR_ERROR_INVALID);
        file_write(path, good, n);
    }
    assert_int_equal(open_again(&x, &s, &log), MR_OK);
    assert_int_equal(s.count, 60);
    teardown(&x);
}

/* Whether the disk has no room from the first call on, or the file cannot even be made: it is cut, nothing is kept, and the log goes on. */
static void torn_tail_is_cut_though_the_disk_is_full(void **state)
{
    static const struct {
        enum disk_trouble trouble;
        int error;
    } cases[] = {{DISK_FULL, 0}, {DISK_ERROR, ENOSPC}, {DISK_ERROR, EDQUOT}, {DISK_ERROR, EIO}};
    for (unsigned k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct world x;
        struct qlog_place p[8];
        struct seen s = {.most = 300};
        struct qlog *log;
        struct qlog_status status;
        char path[160], torn[200];
        size_t n;
        setup(&x);
        log_make(&x, 8, p);
        segment_file(&x, 0, path);
        snprintf(torn, sizeof torn, "%s.torn", path);
        file_read(path, &n);
        assert_int_equal(truncate(path, (off_t)n - 5), 0);
        if (x.engine)
            qlog_engine_close(x.engine);
        disk_mount(x.inner);
        engine_open(&x);
        disk.at = disk.calls + 1;
        disk.trouble = cases[k].trouble;
        disk.error = cases[k].error;
        int result = qlog_open(x.engine, "a", &synced, &s, opened, &log);
        assert_true(disk.hits > 0);
        disk.at = 0;
        if (cases[k].error == EIO) { /* that is no reason to cut anything */
            assert_int_not_equal(result, MR_OK);
            assert_int_equal(open_again(&x, &s, &log), MR_OK);
        } else {
            assert_int_equal(result, MR_OK);
            assert_int_equal(access(torn, F_OK), -1);
        }
        qlog_status(x.engine, &status);
        assert_int_equal(status.torn_bytes, n - 5 - p[7].position);
        assert_int_equal(s.count, 7);
        append(log, 7, 300, NULL);
        settle(&x);
        assert_int_equal(open_again(&x, &s, &log), MR_OK);
        assert_int_equal(s.count, 8);
        teardown(&x);
    }
}

/* A last file that ends within its header was never used: removed, kept, and its name taken again. */
static void torn_header_of_the_last_segment_is_removed(void **state)
{
    struct world x;
    struct qlog_place p[60];
    struct seen s;
    struct qlog *log;
    char path[160];
    setup(&x);
    log_make(&x, 60, p);
    for (unsigned bytes = 0; bytes <= QLOG_SEGMENT_HEADER; bytes += 16) {
        uint8_t zeros[QLOG_SEGMENT_HEADER] = {0};
        segment_file(&x, 60, path);
        file_write(path, zeros, bytes);
        assert_int_equal(open_again(&x, &s, &log), MR_OK);
        assert_int_equal(s.count, 60);
        assert_int_equal(access(path, F_OK), -1);
    }
    append(log, 60, 300, NULL);
    settle(&x);
    assert_int_equal(qlog_safe(log), 61);
    teardown(&x);
}

/* A payload that holds whole records of a segment is a payload. */
static void records_within_records_do_not_count(void **state)
{
    struct world x;
    struct qlog_place p[8], outer;
    struct qlog *log;
    char path[160];
    size_t n;
    static uint8_t inner[4096];
    struct qlog_options o = synced;
    o.segment_bytes = 1 << 20;
    setup(&x);
    log_make(&x, 8, p);
    segment_file(&x, 0, path);
    memcpy(inner, file_read(path, &n), sizeof inner);
    disk_mount(x.inner);
    engine_open(&x);
    struct seen s = {.most = 300};
    log = reopen_log(&x, "a", &o, &s);
    qlog_append(log, 1, 1, &(struct mr_span){inner, n}, 1, &outer);
    settle(&x);
    qlog_engine_close(x.engine);
    x.engine = NULL;
    memcpy(scratch, file_read(path, &n), sizeof scratch);
    scratch[outer.position] ^= 1; /* the outer record is torn now */
    file_write(path, scratch, n);
    assert_int_equal(open_again(&x, &s, &log), MR_OK);
    assert_int_equal(s.count, 8);
    teardown(&x);
}

/* -- retention ------------------------------------------------------------------------------------------------------------- */

static struct qlog *retained(struct world *x, const struct qlog_options *o)
{
    struct qlog *log = qlog_create(x->engine, "a", o, NULL);
    for (unsigned i = 0; i < 200; i++)
        append(log, i, 500, NULL);
    settle(x);
    return log;
}

static unsigned files_of(const struct world *x)
{
    char path[128];
    unsigned n = 0;
    snprintf(path, sizeof path, "%s/a", x->inner);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));)
        n += strstr(e->d_name, ".log") != NULL;
    if (d)
        closedir(d);
    return n;
}

static void retention_deletes_the_oldest_segments(void **state)
{
    struct world x;
    struct qlog_options o = synced;
    o.retain_bytes = 20000;
    setup(&x);
    struct qlog *log = retained(&x, &o);
    assert_true(qlog_bytes(log) > 40000);
    qlog_retain(log, 1);
    assert_true(qlog_bytes(log) <= 20000 && qlog_bytes(log) > 20000 - 4096 - 600);
    settle(&x);
    assert_int_equal(files_of(&x), qlog_segments(log));
    uint64_t begin = qlog_begin(log);
    assert_true(begin > 0);
    struct seen s = {.most = 500};
    reopen(&x);
    log = reopen_log(&x, "a", &o, &s);
    assert_int_equal(qlog_begin(log), begin);
    assert_int_equal(qlog_next(log), 200);
    assert_int_equal(s.count, 200 - begin);
    teardown(&x);

    o = (struct qlog_options){.safety = QLOG_SYNCED, .segment_bytes = 4096, .retain_ms = 50, .retain_segments = 2};
    setup(&x);
    log = retained(&x, &o); /* of the milliseconds 1000 to 1199 */
    qlog_retain(log, 1150);
    assert_in_range(qlog_begin(log), 80, 100);
    qlog_retain(log, 5000);
    assert_int_equal(qlog_segments(log), 2);
    teardown(&x);
}

static void trim_never_takes_the_last_segment_or_one_that_is_needed(void **state)
{
    struct world x;
    setup(&x);
    struct qlog *log = retained(&x, &synced);
    for (uint64_t k = 0; k <= 200; k += 9) {
        qlog_trim(log, k);
        assert_true(qlog_begin(log) <= k);
        assert_true(k < 10 || qlog_begin(log) + 24 > k);
        settle(&x);
        assert_int_equal(files_of(&x), qlog_segments(log));
    }
    qlog_trim(log, UINT64_MAX);
    assert_int_equal(qlog_segments(log), 1);
    append(log, 200, 500, NULL);
    disk.trouble = DISK_FULL; /* what stands behind it is not written: it stays, until it is */
    disk.at = 1;
    for (unsigned i = 201; i < 240; i++)
        append(log, i, 500, NULL);
    settle(&x);
    unsigned files = files_of(&x);
    assert_int_equal(files, 1);
    disk.at = 0;
    settle(&x);
    assert_int_equal(qlog_segments(log), 1);
    assert_int_equal(files_of(&x), 1);
    teardown(&x);
}

/* What makes room does not need any: consumers that have drained a queue free the disk that is full of it. */
static void trim_removes_files_while_the_disk_is_full(void **state)
{
    struct world x;
    setup(&x);
    struct qlog *log = retained(&x, &synced);
    uint64_t synced_to = qlog_synced(log);
    disk.trouble = DISK_FULL;
    disk.at = 1;
    append(log, 200, 500, NULL);
    settle(&x);
    assert_int_equal(qlog_engine_error(x.engine), ENOSPC);
    unsigned files = files_of(&x);
    assert_true(files > 5);
    qlog_trim(log, UINT64_MAX);
    settle(&x);
    assert_int_equal(files_of(&x), 1);
    assert_int_equal(qlog_synced(log), synced_to);
    disk.at = 0;
    settle(&x);
    assert_int_equal(qlog_synced(log), 201);
    teardown(&x);
}

/* -- reading ------------------------------------------------------------------------------------------------------------------- */

/* From every offset, some records or bytes: files, buffers and both. */
static void scan_shows_from_anywhere(void **state)
{
    struct world x;
    setup(&x);
    struct qlog *log = retained(&x, &synced);
    for (unsigned i = 200; i < 240; i++)
        append(log, i, 500, NULL);
    disk.at = 1;
    disk.trouble = DISK_FULL; /* they stay in the buffers */
    for (uint64_t from = 0; from < 240; from += 3) {
        struct seen s = {.most = 500}, all = {.most = 500}, few = {.most = 500};
        qlog_scan(log, from, 7, UINT64_MAX, was_read, &s);
        qlog_scan(log, from, UINT32_MAX, UINT64_MAX, was_read, &all);
        qlog_scan(log, from, UINT32_MAX, 1, was_read, &few);
        for (unsigned i = 0; i < 120; i++)
            qlog_engine_run(x.engine);
        assert_int_equal(s.ended, 1);
        assert_int_equal(s.count, 240 - from < 7 ? 240 - from : 7);
        assert_int_equal(s.next, from + s.count);
        assert_int_equal(all.ended, 1);
        assert_int_equal(all.count, 240 - from);
        assert_int_equal(few.ended, 1);
        assert_in_range(few.count, 1, 2); /* record 0 is empty */
    }
    assert_int_equal(qlog_safe(log), 200);
    disk.at = 0;
    struct seen s = {.most = 500};
    qlog_scan(log, 240, 7, UINT64_MAX, was_read, &s);
    qlog_engine_run(x.engine);
    assert_int_equal(s.ended, 1);
    assert_int_equal(s.count, 0);
    teardown(&x);
}

static void reads_that_cannot_be_say_why(void **state)
{
    struct world x;
    struct qlog_place place, first;
    char path[160];
    size_t n;
    setup(&x);
    struct qlog *log = qlog_create(x.engine, "a", &synced, NULL);
    append(log, 0, 500, &first);
    for (unsigned i = 1; i < 60; i++)
        append(log, i, 500, &place);
    const struct {
        struct qlog_place place;
        uint64_t offset;
        int error;
    } cases[] = {
        {{place.segment, place.position + 8, place.bytes - 8}, 59, EBADMSG},
        {{place.segment, place.position, place.bytes}, 58, EBADMSG},
        {{place.segment, place.position, place.bytes + 8}, 59, EBADMSG},
        {{place.segment, 0, place.bytes}, 59, EBADMSG},
        {{place.segment, place.position, 8}, 59, EBADMSG},
        {{0, place.position, place.bytes}, 59, EBADMSG},
        {place, 60, ENOENT},
    };
    for (unsigned k = 0; k < 2 * (sizeof cases / sizeof *cases); k++) {
        struct seen s = {.most = 500};
        unsigned c = k / 2;
        if (k % 2)
            settle(&x);
        qlog_read(log, &cases[c].place, cases[c].offset, was_read, &s);
        qlog_engine_run(x.engine);
        assert_int_equal(s.ended, 1 + cases[c].error);
        assert_int_equal(s.count, 0);
    }
    settle(&x);
    segment_file(&x, place.segment, path);
    memcpy(scratch, file_read(path, &n), sizeof scratch);
    scratch[place.position + 40] ^= 1;
    file_write(path, scratch, n);
    struct seen s = {.most = 500};
    qlog_read(log, &place, 59, was_read, &s);
    qlog_engine_run(x.engine);
    assert_int_equal(s.ended, 1 + EBADMSG);
    qlog_trim(log, 40);
    s = (struct seen){.most = 500};
    qlog_read(log, &first, 0, was_read, &s);
    qlog_engine_run(x.engine);
    assert_int_equal(s.ended, 1 + ENOENT);
    s = (struct seen){.most = 500};
    struct seen scan = {.most = 500};
    qlog_read(log, &place, 59, was_read, &s);
    qlog_scan(log, 0, 100, UINT64_MAX, was_read, &scan);
    qlog_delete(log);
    settle(&x);
    assert_int_equal(s.ended, 1 + ECANCELED);
    assert_int_equal(scan.ended, 1 + ECANCELED);
    teardown(&x);
}

static void large_records_have_segments_of_their_own(void **state)
{
    struct world x;
    struct qlog_place place[4];
    struct seen seen = {.most = 500};
    static uint8_t large[3 << 20];
    setup(&x);
    struct qlog *log = qlog_create(x.engine, "a", &synced, NULL);
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (uint8_t)(i * 31);
    append(log, 0, 500, &place[0]);
    qlog_append(log, 1, 1, &(struct mr_span){large, sizeof large}, 1, &place[1]);
    append(log, 2, 500, &place[2]);
    assert_int_equal(qlog_segments(log), 3);
    assert_false(qlog_ready(x.engine));
    qlog_read(log, &place[2], 2, was_read, &seen);
    settle(&x);
    assert_int_equal(seen.count, 1);
    assert_true(qlog_ready(x.engine));
    assert_int_equal(x.states, 1); /* it is worth asking again */
    reopen(&x);
    assert_int_equal(qlog_open(x.engine, "a", &synced, NULL, NULL, &log), MR_OK);
    assert_int_equal(qlog_next(log), 3);
    seen = (struct seen){.most = 500};
    qlog_scan(log, 2, 1, UINT64_MAX, was_read, &seen);
    settle(&x);
    assert_int_equal(seen.count, 1);
    teardown(&x);
}

/* -- the engine ------------------------------------------------------------------------------------------------------------------ */

static void another_process_is_refused(void **state)
{
    struct world x;
    int status;
    setup(&x);
    pid_t child = fork();
    if (child == 0) {
        struct qlog_engine *e;
        _exit(qlog_engine_open(&(struct qlog_engine_options){.folder = x.inner, .pending_bytes_max = 1 << 20}, NULL,
                               NULL, &e) == MR_ERROR_IN_USE
                  ? 0
                  : 1);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    struct qlog_engine *second; /* of another worker */
    struct qlog_engine_options o = {.folder = x.inner, .pending_bytes_max = 1 << 20};
    assert_int_equal(qlog_engine_open(&o, NULL, NULL, &second), MR_OK);
    qlog_engine_close(second);
    teardown(&x);
}

static void names_show(void *context, const char *name)
{
    strcat(context, name);
    strcat(context, " ");
}

static void folders_hold_logs_by_name(void **state)
{
    struct world x;
    char names[256] = "", trash[128];
    setup(&x);
    assert_null(qlog_create(x.engine, "", &synced, NULL));
    assert_null(qlog_create(x.engine, ".a", &synced, NULL));
    assert_null(qlog_create(x.engine, "a/b", &synced, NULL));
    assert_null(qlog_create(x.engine, "#a", &synced, NULL));
    assert_non_null(qlog_create(x.engine, "A.b-c_9", &synced, NULL));
    settle(&x);
    snprintf(trash, sizeof trash, "%s/#0123", x.inner);
    assert_int_equal(mkdir(trash, 0755), 0); /* a deletion that a crash cut off */
    assert_int_equal(qlog_folder_list(x.inner, names_show, names), MR_OK);
    assert_string_equal(names, "A.b-c_9 ");
    reopen(&x);
    assert_int_equal(access(trash, F_OK), -1);
    struct qlog *log = qlog_create(x.engine, "A.b-c_9", &synced, NULL); /* it exists */
    settle(&x);
    assert_int_equal(qlog_engine_error(x.engine), EEXIST);
    qlog_delete(log);
    settle(&x);
    assert_int_equal(qlog_engine_error(x.engine), 0);
    names[0] = 0;
    qlog_folder_list(x.inner, names_show, names);
    assert_string_equal(names, "A.b-c_9 "); /* the other one */
    teardown(&x);
}

/* On a worker: what is appended while a job is out is one group; an error is tried again after 100 ms; close writes the rest. */
static void worker_commits_in_groups(void **state)
{
    struct world x;
    struct qlog_status before, after;
    setup(&x);
    qlog_engine_close(x.engine);
    x.worker = fake_worker_create();
    engine_open(&x);
    struct qlog *log = qlog_create(x.engine, "a", &synced, NULL);
    fake_turn(x.worker);
    fake_turn(x.worker);
    fake_offload_hold(x.worker, true);
    append(log, 0, 400, NULL);
    fake_turn(x.worker);
    qlog_status(x.engine, &before);
    for (unsigned i = 1; i < 9; i++) {
        append(log, i, 400, NULL);
        fake_turn(x.worker);
    }
    assert_int_equal(qlog_safe(log), 0);
    fake_offload_hold(x.worker, false);
    fake_turn(x.worker);
    assert_int_equal(qlog_safe(log), 1);
    fake_turn(x.worker);
    assert_int_equal(qlog_safe(log), 9);
    qlog_status(x.engine, &after);
    assert_int_equal(after.jobs - before.jobs, 2);
    assert_int_equal(x.advanced, 2);

    fake_offload_refuse(x.worker, true);
    append(log, 9, 400, NULL);
    struct seen s = {.most = 400};
    qlog_scan(log, 0, 100, UINT64_MAX, was_read, &s);
    fake_turn(x.worker);
    fake_offload_refuse(x.worker, false);
    fake_pass(x.worker, 10 * MR_MILLISECOND);
    fake_turn(x.worker);
    assert_int_equal(qlog_safe(log), 10);
    fake_turn(x.worker); /* the last was in the buffers when the first step was made */
    assert_int_equal(s.count, 10);

    disk.at = disk.calls + 1;
    disk.trouble = DISK_ERROR;
    append(log, 10, 400, NULL);
    fake_turn(x.worker);
    fake_turn(x.worker);
    assert_int_equal(x.state, EIO);
    fake_pass(x.worker, 90 * MR_MILLISECOND);
    assert_int_equal(qlog_safe(log), 10);
    fake_pass(x.worker, 20 * MR_MILLISECOND);
    fake_turn(x.worker);
    assert_int_equal(qlog_safe(log), 11);
    assert_int_equal(x.state, 0);

    append(log, 11, 400, NULL);
    fake_offload_hold(x.worker, true);
    fake_turn(x.worker);
    append(log, 12, 400, NULL);
    qlog_engine_stop(x.engine);
    fake_turn(x.worker);
    qlog_engine_close(x.engine); /* a job is done, and its end was not delivered */
    engine_open(&x);
    struct seen again = {.most = 400};
    reopen_log(&x, "a", &synced, &again);
    assert_int_equal(again.count, 13);
    while (x.worker->jobs) { /* completions of the closed engine, never delivered */
        struct fake_job *job = x.worker->jobs;
        x.worker->jobs = job->next;
        free(job);
    }
    struct mr_worker *w = x.worker;
    teardown(&x);
    fake_worker_free(w);
}

/* More logs than one job takes, and one call that fails at the end: the others are written, and that one by another round. */
static void close_writes_all_logs_though_a_call_fails(void **state)
{
    enum { LOGS = QLOG_TASKS + 44 };
    struct world x;
    char name[16];
    setup(&x);
    for (unsigned i = 0; i < LOGS; i++) {
        snprintf(name, sizeof name, "q%u", i);
        append(qlog_create(x.engine, name, &synced, NULL), 0, 400, NULL);
    }
    disk.at = disk.calls + 5;
    disk.trouble = DISK_ERROR;
    reopen(&x);
    assert_int_equal(disk.hits, 1);
    for (unsigned i = 0; i < LOGS; i++) {
        struct seen s = {.most = 400};
        snprintf(name, sizeof name, "q%u", i);
        reopen_log(&x, name, &synced, &s);
        assert_int_equal(s.count, 1);
    }
    teardown(&x);
}

static void idle_logs_cost_little(void **state)
{
    struct world x;
    char name[16];
    setup(&x);
    uint64_t before = x.engine->memory.used;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "q%u", i);
        struct qlog *log = qlog_create(x.engine, name, &synced, NULL);
        append(log, 0, 400, NULL);
    }
    settle(&x);
    uint64_t each = (x.engine->memory.used - before) / 1000;
    print_message("an idle log takes %lu bytes, %u files are open\n", (unsigned long)each, x.engine->files);
    assert_int_equal(x.engine->buffers.used, 0);
    assert_true(each <= 768 && x.engine->files <= QLOG_FILES);
    teardown(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appended_records_come_back),
        cmocka_unit_test(written_logs_are_synced_when_asked),
        cmocka_unit_test(ring_writes_many_logs),
        cmocka_unit_test(any_call_fails_all_is_written_later),
        cmocka_unit_test(full_disk_keeps_all_until_there_is_room),
        cmocka_unit_test(any_call_is_the_last_and_what_was_safe_is_there),
        cmocka_unit_test(torn_tail_is_cut_and_kept),
        cmocka_unit_test(torn_tail_is_cut_though_the_disk_is_full),
        cmocka_unit_test(damage_before_the_tail_is_refused),
        cmocka_unit_test(broken_chains_are_refused),
        cmocka_unit_test(torn_header_of_the_last_segment_is_removed),
        cmocka_unit_test(records_within_records_do_not_count),
        cmocka_unit_test(retention_deletes_the_oldest_segments),
        cmocka_unit_test(trim_never_takes_the_last_segment_or_one_that_is_needed),
        cmocka_unit_test(trim_removes_files_while_the_disk_is_full),
        cmocka_unit_test(scan_shows_from_anywhere),
        cmocka_unit_test(reads_that_cannot_be_say_why),
        cmocka_unit_test(large_records_have_segments_of_their_own),
        cmocka_unit_test(another_process_is_refused),
        cmocka_unit_test(folders_hold_logs_by_name),
        cmocka_unit_test(worker_commits_in_groups),
        cmocka_unit_test(close_writes_all_logs_though_a_call_fails),
        cmocka_unit_test(idle_logs_cost_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
