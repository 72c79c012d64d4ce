/* The log of the queues: what an append costs the worker, and how many records a second are safe by the size of the group, beside the
 * disk's own time for a write of 4 KiB and its fdatasync.
 *
 *     ninja -C build tests/bench/bench_queue_log && build/tests/bench/bench_queue_log [FOLDER] */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "queue/log/log.h"

#define PROBES       200
#define SECONDS_CASE 1.0

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void disk_probe(const char *folder)
{
    static uint64_t ns[PROBES];
    static char bytes[4096], path[256];
    snprintf(path, sizeof path, "%s/probe", folder);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    for (unsigned i = 0; i < PROBES; i++) {
        uint64_t begin = now_ns();
        if (pwrite(fd, bytes, sizeof bytes, (off_t)i * 4096) != sizeof bytes || fdatasync(fd) < 0)
            exit(1);
        ns[i] = now_ns() - begin;
    }
    close(fd);
    unlink(path);
    qsort(ns, PROBES, sizeof *ns, compare);
    printf("disk: 4 KiB and fdatasync: p50 %.3f ms, p99 %.3f ms\n", (double)ns[PROBES / 2] / 1e6,
           (double)ns[PROBES * 99 / 100] / 1e6);
}

/* Groups of `group` records over `logs` logs, each group one job, for a second. */
static void measure(const char *folder, unsigned logs, unsigned group, unsigned bytes, enum qlog_safety safety,
                    bool no_uring)
{
    static char payload[1 << 16];
    static struct qlog *log[4096];
    static unsigned run;
    char path[256], name[32];
    struct qlog_engine *e;
    struct qlog_status s;
    snprintf(path, sizeof path, "%s/%u", folder, run++);
    const struct qlog_engine_options o = {.folder = path, .pending_bytes_max = 256 << 20, .no_uring = no_uring};
    const struct qlog_options lo = {
        .safety = safety, .segment_bytes = 64 << 20, .retain_segments = 1, .retain_bytes = 1};
    const struct mr_span span = {(const uint8_t *)payload, bytes};
    if (qlog_engine_open(&o, NULL, NULL, &e) != MR_OK)
        exit(1);
    for (unsigned i = 0; i < logs; i++) {
        snprintf(name, sizeof name, "log%u", i);
        log[i] = qlog_create(e, name, &lo, NULL);
        qlog_append(log[i], 0, 0, &span, 1, NULL);
    }
    qlog_engine_run(e);
    uint64_t append_ns = 0, records = 0, jobs = 0, begin = now_ns(), end;
    do {
        uint64_t at = now_ns();
        for (unsigned i = 0; i < group; i++)
            qlog_append(log[i % logs], 0, at, &span, 1, NULL);
        append_ns += now_ns() - at;
        do
            qlog_engine_run(e);
        while (qlog_safe(log[(group - 1) % logs]) < qlog_next(log[(group - 1) % logs]));
        for (unsigned i = 0; i < logs; i++)
            qlog_retain(log[i], 0);
        records += group;
        jobs++;
        end = now_ns();
    } while ((double)(end - begin) < SECONDS_CASE * 1e9);
    qlog_status(e, &s);
    double seconds = (double)(end - begin) / 1e9;
    printf("%-8s %-8s %5u B %5u logs, group %6u: %10.0f records/s %8.1f MB/s, a job %7.3f ms, an append %5.0f ns\n",
           safety == QLOG_SYNCED ? "synced" : "written", s.uring ? "io_uring" : "pwritev", bytes, logs, group,
           (double)records / seconds, (double)records * bytes / seconds / 1e6,
           (seconds - (double)append_ns / 1e9) * 1e3 / (double)jobs, (double)append_ns / (double)records);
    qlog_engine_close(e);
}

int main(int count, char **arguments)
{
    char folder[128], command[192];
    snprintf(folder, sizeof folder, "%s/qlog-bench-XXXXXX", count > 1 ? arguments[1] : "/tmp");
    if (!mkdtemp(folder))
        return 1;
    disk_probe(folder);
    for (unsigned safety = 0; safety < 2; safety++)
        for (unsigned group = 1; group <= 10000; group *= 10)
            measure(folder, 1, group, 100, safety, false);
    for (unsigned logs = 10; logs <= 1000; logs *= 10)
        for (unsigned plain = 0; plain < 2; plain++)
            measure(folder, logs, 1000, 100, QLOG_SYNCED, plain);
    measure(folder, 1, 1000, 1024, QLOG_SYNCED, false);
    measure(folder, 1, 100, 65536, QLOG_SYNCED, false);
    snprintf(command, sizeof command, "rm -rf --one-file-system '%s'", folder);
    return system(command);
}
