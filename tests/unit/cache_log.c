/* The cache's log: bytes, order, torn ends, damage, errors of the disk, generations, snapshots. System calls that
 * change files are wrapped (--wrap): they can fail, and the folder can be copied before each of them, as a crash
 * there would leave it. */
#include "tests/support/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cache/durable/folder.h"
#include "cache/durable/log_state.h"
#include "checksum/crc32c.h"
#include "tests/support/log_world.h"

/* Wrapped system calls. */

static int fail_with; /* errno of each write; 0: they work */
static int sync_fails_with;
static unsigned short_writes; /* so many of the next are cut to a byte */
static unsigned syncs;
static void (*before_call)(const char *what);

static int interfere(const char *what)
{
    void (*f)(const char *) = before_call;
    before_call = NULL; /* what it calls is not looked at */
    if (f)
        f(what);
    before_call = f;
    return 0;
}

ssize_t __real_pwritev64(int fd, const struct iovec *v, int n, off_t at);
ssize_t __wrap_pwritev64(int fd, const struct iovec *v, int n, off_t at);
ssize_t __wrap_pwritev64(int fd, const struct iovec *v, int n, off_t at)
{
    interfere("pwritev");
    if (short_writes) {
        short_writes--;
        return __real_pwritev64(fd, &(struct iovec){v->iov_base, 1}, 1, at);
    }
    errno = fail_with;
    return fail_with ? -1 : __real_pwritev64(fd, v, n, at);
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    interfere("fdatasync");
    syncs++;
    errno = sync_fails_with;
    return sync_fails_with ? -1 : __real_fdatasync(fd);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    interfere("fsync");
    return __real_fsync(fd);
}

int __real_renameat(int a, const char *from, int b, const char *to);
int __wrap_renameat(int a, const char *from, int b, const char *to);
int __wrap_renameat(int a, const char *from, int b, const char *to)
{
    interfere("renameat");
    return __real_renameat(a, from, b, to);
}

int __real_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags)
{
    interfere("unlinkat");
    return __real_unlinkat(fd, name, flags);
}

ssize_t __real_pwrite64(int fd, const void *data, size_t n, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t n, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t n, off_t at)
{
    interfere("pwrite");
    return __real_pwrite64(fd, data, n, at);
}

/* Fixture. */

static void setup(struct world *x, enum cache_fsync fsync, unsigned workers)
{
    *x = (struct world){.options = {.log = true, .fsync = fsync, .no_uring = true}};
    world_make_folder(x);
    assert_int_equal(world_start(x, workers), MR_OK);
}

static void teardown(struct world *x)
{
    world_stop(x);
    world_free(x);
    world_remove_folder(x->folder);
}

/* Loads the folder anew with so many workers, and compares. */
static void restart_and_compare(struct world *x, unsigned workers)
{
    char *before = model_text(&x->model);
    world_stop(x);
    world_free(x);
    assert_int_equal(world_start(x, workers), MR_OK);
    char *after = model_text(&x->model);
    assert_string_equal(after, before);
    free(before);
    free(after);
}

static uint64_t file_bytes(const char *folder, const char *name)
{
    char path[256];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void file_truncate(const char *folder, const char *name, uint64_t size)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(truncate(path, (off_t)size), 0);
}

static void file_flip(const char *folder, const char *name, uint64_t offset)
{
    char path[256];
    uint8_t byte;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= 0x10;
    assert_int_equal(__real_pwrite64(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
}

/* Bytes. */

static void crc32c_is_that_of_rfc_3720(void **state)
{
    uint8_t bytes[32] = {0};
    assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
    assert_int_equal(crc32c(crc32c(0, bytes, 11), bytes + 11, 21), 0x46dd794e);
}

static void payload_malformed_is_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        bool good;
        const char *why;
    } cases[] = {
        {"\0\5\0\0\0\0\0\0", 8, true, "no part, ms 5, no command"},
        {"\1\0\7\5\2\0\1a\1b\0\0\0\0\0\0", 16, true, "one part, one command of two arguments"},
        {"", 0, false, "nothing"},
        {"\1\0\7\5\2\0\1a\11b\0\0\0\0\0\0", 16, false, "an argument longer than the payload"},
        {"\1\0\7\5\2\20\1a\1b\0\0\0\0\0\0", 16, false, "database 16"},
        {"\1\100\7\5\0\0\0\0", 8, false, "shard 64"},
        {"\101\0\7\5\0\0\0\0", 8, false, "65 parts, which are not there"},
        {"\1\0\7\5\2\0\1a", 8, false, "the second argument is missing"},
        {"\0\5\0\0\0\0\0\1", 8, false, "padding that is not zero"},
        {"\0\5\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, false, "more padding than a word"},
        {"\0\377\377\377\377\377\377\377\377\377\377\1\0\0\0\0", 16, false, "a number of more than 64 bits"},
        {"\0\5\200\0\0\0\0\0", 8, false, "a command of no arguments"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cache_log_transaction t;
        if (cache_record_parse((const uint8_t *)cases[i].bytes, cases[i].n, &t) != cases[i].good)
            fail_msg("%s", cases[i].why);
    }
}

static void manifest_is_read_only_whole(void **state)
{
    struct world x;
    char path[128], text[256];
    setup(&x, CACHE_FSYNC_ALWAYS, 1);
    snprintf(path, sizeof path, "%s/" CACHE_MANIFEST_NAME, x.folder);
    FILE *f = fopen(path, "rb");
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    struct cache_manifest m;
    assert_true(cache_manifest_parse(text, n, &m));
    assert_int_equal(m.log_first, 1);
    for (size_t i = 0; i < n; i++) {
        assert_false(cache_manifest_parse(text, i, &m));
        text[i] ^= 1;
        assert_false(cache_manifest_parse(text, n, &m));
        text[i] ^= 1;
    }
    teardown(&x);
}

static void folder_in_use_refuses_another(void **state)
{
    struct world x;
    struct cache_log *other;
    setup(&x, CACHE_FSYNC_ALWAYS, 1);
    assert_int_equal(cache_log_open(&x.options, &other), MR_ERROR_IN_USE);
    teardown(&x);
}

/* Writing and reading back. */

static void appended_is_there_after_restart(void **state)
{
    struct world x;
    for (int uring = 0; uring < 2; uring++) {
        setup(&x, CACHE_FSYNC_ALWAYS, 2);
        world_stop(&x);
        x.options.no_uring = !uring;
        assert_int_equal(world_start(&x, 2), MR_OK);
        world_run_one(&x, 0, "SET a one");
        world_run_one(&x, 1, "RPUSH b x y z");
        world_set_rope(&x, 0, "long", 300000);
        world_run_one(&x, 0, "INCR n");
        struct cache_log_part parts[8];
        const char *both[] = {"INCR n", "HSET h f v", "SADD s m", "ZADD z 3 m"};
        assert_true(world_run(&x, 1, parts, both, 4) >= 1);
        world_settle(&x);
        restart_and_compare(&x, 3); /* replay is by key: the number of workers may change */
        world_run_one(&x, 2, "INCR n");
        world_settle(&x);
        restart_and_compare(&x, 1);
        teardown(&x);
    }
}

static void stop_writes_what_was_appended(void **state)
{
    struct world x;
    setup(&x, CACHE_FSYNC_EVERYSEC, 2);
    world_run_one(&x, 0, "SET a 1");
    world_run_one(&x, 1, "SET a 2");
    world_run_one(&x, 1, "SET b 2");
    restart_and_compare(&x, 2); /* nothing was posted yet */
    teardown(&x);
}

static void policies_sync_as_they_say(void **state)
{
    struct world x;
    setup(&x, CACHE_FSYNC_NO, 1);
    syncs = 0;
    for (int i = 0; i < 30; i++) {
        world_run_one(&x, 0, "INCR n");
        fake_pass(x.w[0], 100 * MR_MILLISECOND);
    }
    fake_turn(x.w[0]);
    assert_true(world_all_durable(&x)); /* given to the kernel */
    assert_int_equal(syncs, 0);
    cache_log_set_fsync(x.log, CACHE_FSYNC_EVERYSEC);
    fake_turn(x.w[0]);
    syncs = 0;
    for (int i = 0; i < 30; i++) {
        world_run_one(&x, 0, "INCR n");
        fake_pass(x.w[0], 100 * MR_MILLISECOND);
    }
    assert_in_range(syncs, 2, 4);
    cache_log_set_fsync(x.log, CACHE_FSYNC_ALWAYS);
    fake_turn(x.w[0]);
    syncs = 0;
    world_run_one(&x, 0, "INCR n");
    fake_turn(x.w[0]);
    assert_int_equal(syncs, 1);
    teardown(&x);
}

static void writes_outstanding_collect_the_next_group(void **state)
{
    struct world x;
    struct cache_log_status status;
    setup(&x, CACHE_FSYNC_ALWAYS, 1);
    fake_offload_hold(x.w[0], true);
    for (int i = 0; i < 50; i++) {
        world_run_one(&x, 0, "INCR n");
        fake_turn(x.w[0]);
    }
    assert_false(world_all_durable(&x));
    fake_offload_hold(x.w[0], false);
    world_settle(&x);
    cache_log_status(x.log, &status);
    assert_int_equal(status.records, 50);
    assert_int_equal(status.writes, 2);
    restart_and_compare(&x, 1);
    teardown(&x);
}

static void unwritten_bytes_are_bounded(void **state)
{
    struct world x;
    setup(&x, CACHE_FSYNC_ALWAYS, 1);
    world_stop(&x);
    x.options.held_bytes_max = 100000;
    assert_int_equal(world_start(&x, 1), MR_OK);
    fake_offload_hold(x.w[0], true);
    unsigned n = 0;
    for (; cache_log_ready(x.lw[0]); n++)
        world_run_one(&x, 0, "INCR n");
    assert_in_range(n, 100, 1000);
    unsigned notices = x.notices[0];
    fake_offload_hold(x.w[0], false);
    world_settle(&x);
    assert_true(cache_log_ready(x.lw[0]));
    assert_true(x.notices[0] > notices);
    teardown(&x);
}

/* Order. */

static void record_that_overtakes_waits(void **state)
{
    struct world x;
    struct cache_log_part parts[8];
    setup(&x, CACHE_FSYNC_ALWAYS, 3);
    char a[8] = "a", b[8] = "a"; /* keys of shards 1 and 2 */
    while (world_shard(&x, a) != 1)
        a[0]++;
    while (world_shard(&x, b) != 2)
        b[0]++;
    char line[2][32];
    snprintf(line[0], 32, "RPUSH %s 1", a);
    snprintf(line[1], 32, "RPUSH %s 1", b);
    const char *both[] = {line[0], line[1]};
    fake_post_hold(x.w[1], true);
    assert_int_equal(world_run(&x, 1, parts, both, 2), 2); /* by worker 1, whose message is late */
    fake_turn(x.w[1]);
    snprintf(line[0], 32, "RPUSH %s 2", b);
    world_run_one(&x, 2, line[0]); /* the next of shard 2, by its own worker */
    for (int i = 0; i < 5; i++)
        world_turn(&x);
    assert_false(cache_log_durable(x.lw[0], 2, 1));
    assert_false(cache_log_durable(x.lw[0], 2, 2));
    fake_post_hold(x.w[1], false);
    world_settle(&x);
    assert_true(cache_log_durable(x.lw[2], 2, 2));
    assert_true(x.notices[2] > 0);
    restart_and_compare(&x, 3);
    teardown(&x);
}

/* Torn ends and damage. */

#define RECORDS 6
struct history {
    char *text[RECORDS + 1];
    uint64_t size[RECORDS + 1];
};

/* Records that were synced one by one. */
static void history_make(struct world *x, struct history *h, bool each)
{
    static const char *const lines[RECORDS] = {
        "SET a 1", "INCR n", "RPUSH l x y", "INCR n", "SADD s some-longer-member", "INCR n"};
    setup(x, CACHE_FSYNC_ALWAYS, 2);
    for (unsigned i = 0; i <= RECORDS; i++) {
        if (each)
            world_settle(x);
        h->text[i] = model_text(&x->model);
        h->size[i] = file_bytes(x->folder, "cache.1.log");
        if (i < RECORDS)
            world_run_one(x, world_shard(x, "n"), lines[i]); /* one sender: the order in the file is this one */
    }
    if (!each)
        world_settle(x);
    world_stop(x);
}

static void history_free(struct world *x, struct history *h)
{
    for (unsigned i = 0; i <= RECORDS; i++)
        free(h->text[i]);
    world_free(x);
    world_remove_folder(x->folder);
}

static int prefix_of(const struct history *h, const char *text)
{
    for (int i = 0; i <= RECORDS; i++)
        if (strcmp(h->text[i], text) == 0)
            return i;
    return -1;
}

static void torn_tail_at_every_offset_is_cut(void **state)
{
    struct world x;
    struct history h;
    char copy[80];
    int error;
    history_make(&x, &h, true);
    snprintf(copy, sizeof copy, "%s-copy", x.folder);
    for (uint64_t size = h.size[0]; size < h.size[RECORDS]; size++) {
        int whole = RECORDS;
        while (h.size[whole] > size)
            whole--;
        world_copy_folder(x.folder, copy);
        file_truncate(copy, "cache.1.log", size);
        if (size != h.size[whole])
            assert_null(world_text_of_folder(copy, CACHE_REPAIR_NONE, &error));
        char *text = world_text_of_folder(copy, CACHE_REPAIR_TAIL, &error);
        assert_non_null(text);
        assert_string_equal(text, h.text[whole]);
        free(text);
        assert_int_equal(file_bytes(copy, "cache.1.log"), h.size[whole]);
        assert_int_equal(file_bytes(copy, "cache.1.log.torn"), size - h.size[whole]);
        text = world_text_of_folder(copy, CACHE_REPAIR_NONE, &error); /* it is whole now */
        assert_non_null(text);
        free(text);
    }
    world_remove_folder(copy);
    history_free(&x, &h);
}

static void damage_at_every_byte_is_seen(void **state)
{
    struct world x;
    struct history h;
    char copy[80];
    int error;
    history_make(&x, &h, true);
    snprintf(copy, sizeof copy, "%s-copy", x.folder);
    for (uint64_t at = 0; at < h.size[RECORDS]; at++) {
        int record = 0; /* that the byte lies in, 0: the header of the file */
        while (h.size[record] <= at)
            record++;
        world_copy_folder(x.folder, copy);
        file_flip(copy, "cache.1.log", at);
        assert_null(world_text_of_folder(copy, CACHE_REPAIR_NONE, &error));
        assert_int_equal(error, MR_ERROR_INVALID);
        char *text = world_text_of_folder(copy, CACHE_REPAIR_TAIL, &error);
        if (record < RECORDS) /* a later record vouches for it */
            assert_null(text);
        else
            assert_string_equal(text, h.text[RECORDS - 1]);
        free(text);
        text = world_text_of_folder(copy, CACHE_REPAIR_TRUNCATE, &error);
        if (record > 0)
            assert_string_equal(text, h.text[record - 1]);
        else
            assert_null(text); /* who knows what file it is */
        free(text);
    }
    world_remove_folder(copy);
    history_free(&x, &h);
}

static void hole_in_what_was_never_synced_is_torn(void **state)
{
    /* One group: the machine stopped before its sync ended, and the disk had taken its end but not its begin. */
    struct world x;
    struct history h;
    int error;
    history_make(&x, &h, false);
    file_flip(x.folder, "cache.1.log", 48 + 30);
    char *text = world_text_of_folder(x.folder, CACHE_REPAIR_TAIL, &error);
    assert_non_null(text);
    assert_int_equal(prefix_of(&h, text), 0);
    free(text);
    history_free(&x, &h);
}

static void rewrite_begin(struct world *x)
{
    x->executing = 0;
    assert_int_equal(cache_snapshot_begin(x->lw[0], CACHE_SNAPSHOT_REWRITE, x->stores, 1), MR_OK);
}

/* Errors of the disk. */

static void disk_full_is_told_and_heals(void **state)
{
    struct world x;
    char text[128];
    setup(&x, CACHE_FSYNC_ALWAYS, 2);
    world_run_one(&x, 0, "SET a 1");
    world_settle(&x);
    fail_with = ENOSPC;
    short_writes = 1; /* a byte of the record is written, then nothing goes */
    world_run_one(&x, 1, "SET b 2");
    for (int i = 0; i < 300; i++)
        world_turn(&x);
    assert_int_equal(cache_log_error(x.lw[1]), ENOSPC);
    cache_log_error_text(x.lw[1], text);
    assert_string_equal(text, "MISCONF Errors writing to the AOF file: No space left on device");
    assert_false(world_all_durable(&x));
    fail_with = 0;
    world_settle(&x);
    assert_int_equal(cache_log_error(x.lw[1]), 0);
    restart_and_compare(&x, 2);
    teardown(&x);
}

static void file_size_limit_is_told_and_heals(void **state)
{
    struct world x;
    struct rlimit before, small;
    setup(&x, CACHE_FSYNC_ALWAYS, 1);
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 200;
    setrlimit(RLIMIT_FSIZE, &small);
    for (int i = 0; i < 20; i++)
        world_run_one(&x, 0, "RPUSH l some-element");
    for (int i = 0; i < 300; i++)
        world_turn(&x);
    int error = cache_log_error(x.lw[0]);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(error, EFBIG);
    world_settle(&x);
    restart_and_compare(&x, 1);
    teardown(&x);
}

static void sync_that_fails_makes_the_log_anew(void **state)
{
    /* Linux tells of a lost write once, and the next sync may succeed without it. */
    struct world x;
    setup(&x, CACHE_FSYNC_EVERYSEC, 2);
    world_run_one(&x, 0, "SET a 1");
    world_settle(&x);
    sync_fails_with = EIO;
    fake_pass(x.w[0], 2 * MR_SECOND);
    fake_turn(x.w[1]);
    assert_int_equal(cache_log_error(x.lw[1]), EIO);
    assert_true(x.notices[1] > 0);
    sync_fails_with = 0;
    world_run_one(&x, 1, "SET b 1");
    fake_pass(x.w[0], 3 * MR_SECOND);
    assert_int_equal(cache_log_error(x.lw[1]), 0);
    assert_true(x.rewrites_wanted > 0);
    rewrite_begin(&x);
    world_settle(&x);
    x.rewrites_wanted = 0;
    fake_pass(x.w[0], 3 * MR_SECOND);
    assert_int_equal(x.rewrites_wanted, 0);
    restart_and_compare(&x, 2);
    teardown(&x);
}

static void disk_full_at_the_end_keeps_what_is_durable(void **state)
{
    struct world x;
    int error;
    setup(&x, CACHE_FSYNC_ALWAYS, 1);
    world_run_one(&x, 0, "SET a 1");
    world_settle(&x);
    char *durable = model_text(&x.model);
    fail_with = EIO;
    world_run_one(&x, 0, "SET a 2");
    for (int i = 0; i < 5; i++)
        world_turn(&x);
    world_stop(&x);
    fail_with = 0;
    char *text = world_text_of_folder(x.folder, CACHE_REPAIR_TAIL, &error);
    assert_string_equal(text, durable);
    free(text);
    free(durable);
    world_free(&x);
    world_remove_folder(x.folder);
}

/* Snapshots. */

static void fill(struct world *x, unsigned keys, unsigned large)
{
    char line[16384];
    for (unsigned i = 0; i < keys; i++) {
        static const char *const forms[] = {"SET s%u v%u",    "RPUSH l%u a%u b c",    "SADD S%u m%u n",
                                            "HSET h%u f%u v", "ZADD z%u 1.5 m%u 2 n", "SET p%u v%u PXAT 9999999999999"};
        snprintf(line, sizeof line, forms[i % 6], i, i);
        world_run_one(x, i % x->workers, line);
    }
    for (unsigned i = 0; i < large; i += 500) {
        size_t n[4] = {0};
        char lines[4][16384];
        const char *const names[] = {"RPUSH lL", "SADD SL", "HSET hL", "ZADD zL"};
        for (unsigned k = 0; k < 4; k++) {
            n[k] = (size_t)sprintf(lines[k], "%s", names[k]);
            for (unsigned e = i; e < i + 500; e++)
                n[k] += (size_t)sprintf(lines[k] + n[k], k < 2 ? " %u" : k == 2 ? " f%u v" : " %u m", e);
            if (k == 3) { /* members differ, too */
                n[k] = (size_t)sprintf(lines[k], "%s", names[k]);
                for (unsigned e = i; e < i + 500; e++)
                    n[k] += (size_t)sprintf(lines[k] + n[k], " %u m%u", e, e);
            }
            world_run_one(x, k % x->workers, lines[k]);
        }
    }
    world_set_rope(x, 0, "rope", 200000);
    world_settle(x);
}

static void rewrite_shrinks_the_log_and_keeps_the_state(void **state)
{
    struct world x;
    struct cache_log_status status;
    setup(&x, CACHE_FSYNC_EVERYSEC, 3);
    fill(&x, 60, 1000);
    for (int i = 0; i < 3000; i++)
        world_run_one(&x, 1, "INCR n");
    world_settle(&x);
    uint64_t before = file_bytes(x.folder, "cache.1.log");
    rewrite_begin(&x);
    world_settle(&x);
    assert_int_equal(x.snapshot_result, 1);
    cache_log_status(x.log, &status);
    assert_int_equal(status.generation, 2);
    assert_int_equal(status.rewrites, 1);
    assert_true(status.bytes < before);
    assert_int_equal(file_bytes(x.folder, "cache.1.log"), 0);
    assert_true(file_bytes(x.folder, "cache.2.base") > 0);
    restart_and_compare(&x, 2);
    rewrite_begin(&x); /* again, over a base */
    world_settle(&x);
    restart_and_compare(&x, 3);
    teardown(&x);
}

static void rewrite_under_writes_is_a_cut(void **state)
{
    struct world x;
    setup(&x, CACHE_FSYNC_ALWAYS, 3);
    fill(&x, 600, 3000);
    rewrite_begin(&x);
    char line[64];
    unsigned i = 0;
    for (; cache_snapshot_running(x.lw[0]) && i < 5000; i++) {
        static const char *const forms[] = {"INCR n%u",      "RPUSH l%u again",    "DEL s%u", "RPUSH lL again%u",
                                            "SADD S%u more", "HSET h%u f changed", "DEL lL",  "SET p%u v"};
        snprintf(line, sizeof line, forms[i % 8 == 6 && i < 40 ? 0 : i % 8],
                 i * 7 % 600 / 6 * 6 + (i % 8 == 1   ? 1
                                        : i % 8 == 4 ? 2
                                        : i % 8 == 5 ? 3
                                        : i % 8 == 7 ? 5
                                                     : 0));
        world_run_one(&x, i % 3, line); /* by any worker, as one that holds the shard would */
        if (i % 2)
            world_turn(&x);
    }
    assert_true(i > 20);
    world_settle(&x);
    assert_int_equal(x.snapshot_result, 1);
    restart_and_compare(&x, 2);
    teardown(&x);
}

static void large_collection_is_busy_until_it_is_written(void **state)
{
    struct world x;
    setup(&x, CACHE_FSYNC_ALWAYS, 2);
    fill(&x, 6, 6000);
    unsigned shard = world_shard(&x, "SL");
    struct mr_span key = {(const uint8_t *)"SL", 2};
    rewrite_begin(&x);
    unsigned turns = 0;
    while (cache_snapshot_busy(x.lw[shard], shard, &x.store[shard], 0, key)) {
        world_turn(&x);
        assert_true(++turns < 5000);
    }
    assert_true(turns > 2);
    assert_true(cache_snapshot_running(x.lw[0]) || x.snapshot_result == 1);
    world_run_one(&x, 0, "SADD SL another");
    world_settle(&x);
    restart_and_compare(&x, 2);
    teardown(&x);
}

/* Until the large list is partly written; its pieces stay with its worker for now. Returns the shard. */
static unsigned walk_into_list(struct world *x)
{
    unsigned shard = world_shard(x, "lL");
    const struct cache_walk *walk = &x->lw[shard]->walk;
    rewrite_begin(x);
    for (int i = 0; i < 2000; i++) {
        cache_snapshot_busy(x->lw[shard], shard, &x->store[shard], 0, (struct mr_span){(const uint8_t *)"lL", 2});
        if (walk->active && walk->at.begun && memcmp(walk->key, "lL", 2) == 0)
            break;
        world_turn(x);
    }
    assert_true(walk->active && walk->at.begun);
    fake_post_hold(x->w[shard], true);
    return shard;
}

static void change_of_a_half_written_list_keeps_the_cut(void **state)
{
    for (unsigned other = 0; other < 2; other++) {
        struct world x;
        setup(&x, CACHE_FSYNC_ALWAYS, 2);
        fill(&x, 12, 6000);
        unsigned shard = walk_into_list(&x);
        unsigned by = shard ^ other; /* its own worker, or one that holds the shard */
        world_run_one(&x, by, "RPUSH lL more");
        for (int i = 0; i < 5; i++)
            world_turn(&x);
        fake_post_hold(x.w[shard], false);
        world_settle(&x);
        assert_int_equal(x.snapshot_result, 1);
        restart_and_compare(&x, 2);
        teardown(&x);
    }
}

/* No record is appended behind the begin: the base alone must hold what was there then. */
static void base_is_compared(struct world *x, char *before)
{
    for (int i = 0; i < 20000 && cache_snapshot_running(x->lw[0]); i++) {
        for (unsigned k = 0; k < 2 && i > 200; k++) { /* flushed databases are taken apart late */
            x->executing = k;
            cache_store_turn(&x->store[k], 1000);
            cache_store_background(&x->store[k]);
        }
        world_turn(x);
    }
    assert_int_equal(x->snapshot_result, 1);
    world_stop(x);
    int error;
    char *after = world_text_of_folder(x->folder, CACHE_REPAIR_NONE, &error);
    assert_non_null(after);
    assert_string_equal(after, before);
    free(before);
    free(after);
    world_free(x);
    world_remove_folder(x->folder);
}

static void flush_and_swap_during_a_rewrite_keep_the_cut(void **state)
{
    for (int turns = 0; turns < 8; turns += 2) {
        struct world x;
        setup(&x, CACHE_FSYNC_ALWAYS, 2);
        x.database = 5;
        fill(&x, 100, 500);
        x.database = 0;
        fill(&x, 300, 2000);
        char *before = model_text(&x.model);
        rewrite_begin(&x);
        for (int i = 0; i < turns; i++)
            world_turn(&x);
        for (unsigned i = 0; i < 2; i++) {
            x.executing = i;
            cache_store_swap(&x.store[i], 0, 3);
            cache_store_swap(&x.store[i], 5, 0);
            cache_store_flush(&x.store[i], 3);
        }
        base_is_compared(&x, before);
    }
}

static void flush_of_a_half_written_list_keeps_the_cut(void **state)
{
    struct world x;
    setup(&x, CACHE_FSYNC_ALWAYS, 2);
    fill(&x, 12, 2000);
    char *before = model_text(&x.model);
    unsigned shard = walk_into_list(&x);
    cache_store_flush(&x.store[shard], 0);
    world_turn(&x);
    fake_post_hold(x.w[shard], false);
    base_is_compared(&x, before);
}

static void save_is_loaded_where_no_log_is(void **state)
{
    struct world x = {.options = {.log = false, .no_uring = true}};
    world_make_folder(&x);
    assert_int_equal(world_start(&x, 2), MR_OK);
    /* Without a log nothing is appended; the stores are filled all the same. */
    x.options.log = true;
    world_stop(&x);
    world_free(&x);
    assert_int_equal(world_start(&x, 2), MR_OK);
    fill(&x, 100, 500);
    char *before = model_text(&x.model);
    assert_int_equal(cache_snapshot_begin(x.lw[1], CACHE_SNAPSHOT_SAVE, x.stores, 5), MR_OK);
    assert_int_equal(cache_snapshot_begin(x.lw[1], CACHE_SNAPSHOT_SAVE, x.stores, 5), MR_ERROR_IN_USE);
    world_settle(&x);
    assert_int_equal(x.snapshot_result, 1);
    world_stop(&x);
    world_free(&x);
    x.options.log = false;
    assert_int_equal(world_start(&x, 1), MR_OK);
    char *after = model_text(&x.model);
    assert_string_equal(after, before);
    free(before);
    free(after);
    assert_int_equal(cache_snapshot_begin(x.lw[0], CACHE_SNAPSHOT_REWRITE, x.stores, 5), MR_ERROR_UNSUPPORTED);
    teardown(&x);
}

static void changes_are_not_kept_where_no_log_is(void **state)
{
    struct world x = {.options = {.log = false, .no_uring = true, .held_bytes_max = 1000, .fsync = CACHE_FSYNC_ALWAYS}};
    struct cache_log_part part;
    world_make_folder(&x);
    assert_int_equal(world_start(&x, 1), MR_OK);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(world_run(&x, 0, &part, (const char *const[]){"SET key twenty-bytes-of-value"}, 1), 1);
    assert_int_equal(part.sequence, 0);
    assert_true(cache_log_ready(x.lw[0]));
    teardown(&x);
}

static void rewrite_that_fails_leaves_the_log(void **state)
{
    struct world x;
    setup(&x, CACHE_FSYNC_NO, 2);
    fill(&x, 300, 1000);
    fail_with = ENOSPC;
    rewrite_begin(&x);
    for (int i = 0; i < 400; i++)
        world_turn(&x);
    assert_int_equal(x.snapshot_result, 0);
    assert_false(cache_snapshot_running(x.lw[0]));
    fail_with = 0;
    world_run_one(&x, 0, "INCR n");
    world_settle(&x);
    assert_int_equal(file_bytes(x.folder, "cache.2.base"), 0);
    restart_and_compare(&x, 2); /* logs 1 and 2 */
    rewrite_begin(&x);
    world_settle(&x);
    assert_int_equal(file_bytes(x.folder, "cache.1.log") + file_bytes(x.folder, "cache.2.log"), 0);
    restart_and_compare(&x, 2);
    teardown(&x);
}

static void growth_asks_for_a_rewrite(void **state)
{
    struct world x;
    setup(&x, CACHE_FSYNC_NO, 1);
    cache_log_set_rewrite(x.log, 100, 20000);
    for (int i = 0; i < 100; i++)
        world_run_one(&x, 0, "INCR n");
    fake_pass(x.w[0], 3 * MR_SECOND);
    assert_int_equal(x.rewrites_wanted, 0); /* smaller than the least size */
    for (int i = 0; i < 600; i++)
        world_run_one(&x, 0, "INCR n");
    fake_pass(x.w[0], 3 * MR_SECOND);
    assert_true(x.rewrites_wanted > 0);
    rewrite_begin(&x);
    world_settle(&x);
    x.rewrites_wanted = 0;
    fake_pass(x.w[0], 3 * MR_SECOND);
    assert_int_equal(x.rewrites_wanted, 0);
    teardown(&x);
}

/* A crash before each system call of a rewrite: what is there must start, and hold all that was durable. */
static struct {
    struct world *world;
    char *least; /* the state that is durable */
    unsigned points;
} crash;

static void crash_here(const char *what)
{
    char copy[80];
    int error;
    int fail_before = fail_with;
    fail_with = 0;
    snprintf(copy, sizeof copy, "%s-copy", crash.world->folder);
    world_copy_folder(crash.world->folder, copy);
    char *text = world_text_of_folder(copy, CACHE_REPAIR_TAIL, &error);
    if (!text)
        fail_msg("before %s, point %u: does not start: %s", what, crash.points, copy);
    char *now = model_text(&crash.world->model);
    if (strcmp(text, crash.least) != 0 && strcmp(text, now) != 0)
        fail_msg("before %s, point %u: neither what was durable nor what was executed", what, crash.points);
    free(now);
    free(text);
    crash.points++;
    fail_with = fail_before;
}

static void crash_at_every_point_of_a_rewrite_is_survived(void **state)
{
    struct world x;
    setup(&x, CACHE_FSYNC_ALWAYS, 2);
    fill(&x, 60, 500);
    crash.world = &x;
    crash.points = 0;
    for (int rewrite = 0; rewrite < 2; rewrite++) {
        crash.least = model_text(&x.model);
        rewrite_begin(&x);
        before_call = crash_here;
        for (int i = 0; i < 2000 && (cache_snapshot_running(x.lw[0]) || !world_all_durable(&x)); i++) {
            if (i % 3 == 0 && world_all_durable(&x) && i < 100) {
                free(crash.least);
                crash.least = model_text(&x.model);
                world_run_one(&x, 1, "INCR n");
            }
            world_turn(&x);
        }
        before_call = NULL;
        assert_int_equal(x.snapshot_result, 1);
        free(crash.least);
    }
    assert_true(crash.points > 30);
    char copy[80];
    snprintf(copy, sizeof copy, "%s-copy", x.folder);
    world_remove_folder(copy);
    restart_and_compare(&x, 2);
    teardown(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_is_that_of_rfc_3720),
        cmocka_unit_test(payload_malformed_is_refused),
        cmocka_unit_test(manifest_is_read_only_whole),
        cmocka_unit_test(folder_in_use_refuses_another),
        cmocka_unit_test(appended_is_there_after_restart),
        cmocka_unit_test(stop_writes_what_was_appended),
        cmocka_unit_test(policies_sync_as_they_say),
        cmocka_unit_test(writes_outstanding_collect_the_next_group),
        cmocka_unit_test(unwritten_bytes_are_bounded),
        cmocka_unit_test(record_that_overtakes_waits),
        cmocka_unit_test(torn_tail_at_every_offset_is_cut),
        cmocka_unit_test(damage_at_every_byte_is_seen),
        cmocka_unit_test(hole_in_what_was_never_synced_is_torn),
        cmocka_unit_test(disk_full_is_told_and_heals),
        cmocka_unit_test(file_size_limit_is_told_and_heals),
        cmocka_unit_test(sync_that_fails_makes_the_log_anew),
        cmocka_unit_test(disk_full_at_the_end_keeps_what_is_durable),
        cmocka_unit_test(rewrite_shrinks_the_log_and_keeps_the_state),
        cmocka_unit_test(rewrite_under_writes_is_a_cut),
        cmocka_unit_test(large_collection_is_busy_until_it_is_written),
        cmocka_unit_test(change_of_a_half_written_list_keeps_the_cut),
        cmocka_unit_test(flush_of_a_half_written_list_keeps_the_cut),
        cmocka_unit_test(flush_and_swap_during_a_rewrite_keep_the_cut),
        cmocka_unit_test(save_is_loaded_where_no_log_is),
        cmocka_unit_test(changes_are_not_kept_where_no_log_is),
        cmocka_unit_test(rewrite_that_fails_leaves_the_log),
        cmocka_unit_test(growth_asks_for_a_rewrite),
        cmocka_unit_test(crash_at_every_point_of_a_rewrite_is_survived),
    };
    signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
