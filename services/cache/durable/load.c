/* The start: manifest, base, logs; what is torn is cut and kept, what is damaged refuses the start. */
#include "cache/durable/load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <millrace/log.h>

#include "cache/durable/log_state.h"

static void complain(const struct cache_log *log, const char *name, const struct cache_scan *s)
{
    const char *path = log->folder.path;
    if (s->end == CACHE_SCAN_FAILED)
        mr_log(MR_LOG_ERROR, "cache", "%s/%s cannot be read: %s", path, name, strerror(s->error));
    else if (s->end == CACHE_SCAN_REFUSED)
        mr_log(MR_LOG_ERROR, "cache", "%s/%s: a command of the record at offset %" PRIu64 " was not taken", path, name,
               s->offset);
    else
        mr_log(MR_LOG_ERROR, "cache",
               "%s/%s is %s at offset %" PRIu64 "; not started. `log_repair: %s` cuts it there, with all that follows "
               "(what is cut is kept in a file .torn)",
               path, name, s->end == CACHE_SCAN_TORN ? "torn" : "damaged", s->offset,
               s->end == CACHE_SCAN_TORN ? "tail" : "truncate");
}

static bool copy_bytes(int from, int to, uint64_t offset, uint64_t n)
{
    uint8_t buffer[65536];
    while (n > 0) {
        ssize_t got = pread(from, buffer, n < sizeof buffer ? (size_t)n : sizeof buffer, (off_t)offset);
        if (got <= 0 || write(to, buffer, (size_t)got) != got)
            return false;
        offset += (uint64_t)got;
        n -= (uint64_t)got;
    }
    return true;
}

/* Keeps the bytes from `offset` on in NAME.torn, then cuts them off. */
static bool file_cut(struct cache_log *log, const char *name, uint64_t offset, uint64_t size)
{
    char torn[CACHE_FILE_NAME_BYTES + 8];
    snprintf(torn, sizeof torn, "%s.torn", name);
    int from = openat(log->folder.fd, name, O_RDWR | O_CLOEXEC);
    int to = openat(log->folder.fd, torn, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    bool done = from >= 0 && to >= 0 && copy_bytes(from, to, offset, size - offset) && fsync(to) == 0 &&
                fsync(log->folder.fd) == 0 && ftruncate(from, (off_t)offset) == 0 && fsync(from) == 0;
    int error = errno;
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    if (done)
        mr_log(MR_LOG_WARNING, "cache", "%s/%s: torn at offset %" PRIu64 ": %" PRIu64 " bytes cut, kept in %s",
               log->folder.path, name, offset, size - offset, torn);
    else
        mr_log(MR_LOG_ERROR, "cache", "%s/%s: cutting it at offset %" PRIu64 ": %s", log->folder.path, name, offset,
               strerror(error));
    atomic_fetch_add(&log->stat.torn_bytes, done ? size - offset : 0);
    return done;
}

static bool may_cut(const struct cache_log *log, const struct cache_scan *s, bool last)
{
    if (s->offset < CACHE_FILE_HEADER_BYTES)
        return false; /* the header: nothing of the file can be trusted */
    if (s->end == CACHE_SCAN_TORN && last)
        return log->options.repair != CACHE_REPAIR_NONE;
    return (s->end == CACHE_SCAN_TORN || s->end == CACHE_SCAN_DAMAGED) && log->options.repair == CACHE_REPAIR_TRUNCATE;
}

/* MR_OK, or the start is refused. *size: bytes that are good. *cut: something was cut off. */
static int file_load(struct cache_log *log, const char *name, enum cache_file_kind kind, bool last,
                     const struct cache_log_target *target, uint64_t *size, struct cache_scan *scan, bool *cut)
{
    struct cache_reader r;
    int error = cache_reader_open(&r, log->folder.fd, name);
    if (error) {
        mr_log(MR_LOG_ERROR, "cache", "%s/%s: %s", log->folder.path, name, strerror(error));
        return error == ENOENT ? MR_ERROR_INVALID : MR_ERROR_SYSTEM;
    }
    cache_file_scan(&r, kind, target, scan);
    cache_reader_close(&r);
    atomic_fetch_add(&log->stat.loaded_transactions, scan->transactions);
    atomic_fetch_add(&log->stat.loaded_commands, scan->commands);
    *size = scan->end == CACHE_SCAN_OK ? r.size : scan->offset;
    *cut = false;
    if (scan->end == CACHE_SCAN_OK)
        return MR_OK;
    if (!may_cut(log, scan, last)) {
        complain(log, name, scan);
        return scan->end == CACHE_SCAN_FAILED ? MR_ERROR_SYSTEM : MR_ERROR_INVALID;
    }
    *cut = true;
    return file_cut(log, name, scan->offset, r.size) ? MR_OK : MR_ERROR_SYSTEM;
}

/* With `log_repair: truncate` a cut ends the history: later logs are not part of it. */
static int logs_forget(struct cache_log *log, uint64_t generation)
{
    struct cache_manifest m = log->folder.manifest;
    if (generation == m.log_last)
        return MR_OK;
    for (uint64_t g = generation + 1; g <= m.log_last; g++) {
        char name[CACHE_FILE_NAME_BYTES], torn[CACHE_FILE_NAME_BYTES + 8];
        cache_folder_log_name(g, name);
        snprintf(torn, sizeof torn, "%s.torn", name);
        cache_folder_rename(&log->folder, name, torn);
    }
    m.log_last = generation;
    return cache_folder_write_manifest(&log->folder, &m) == 0 ? MR_OK : MR_ERROR_SYSTEM;
}

static int logs_load(struct cache_log *log, const struct cache_log_target *target)
{
    struct cache_manifest m = log->folder.manifest;
    for (uint64_t g = m.log_first; g <= m.log_last; g++) {
        char name[CACHE_FILE_NAME_BYTES];
        struct cache_scan scan;
        uint64_t size;
        bool cut;
        cache_folder_log_name(g, name);
        int error = file_load(log, name, CACHE_FILE_LOG, g == m.log_last, target, &size, &scan, &cut);
        if (error)
            return error;
        if (cut && (error = logs_forget(log, g)) != MR_OK)
            return error;
        log->file = (struct cache_log_file){-1, scan.header.id, g, size, size};
        if (cut || g == m.log_last)
            break;
        log->before_bytes += size;
    }
    return MR_OK;
}

static int log_reopen(struct cache_log *log)
{
    char name[CACHE_FILE_NAME_BYTES];
    cache_folder_log_name(log->file.generation, name);
    log->file.fd = openat(log->folder.fd, name, O_RDWR | O_CLOEXEC);
    /* What was read need not be on the disk: it is before anything is vouched for. */
    if (log->file.fd >= 0 && fdatasync(log->file.fd) == 0)
        return MR_OK;
    mr_log(MR_LOG_ERROR, "cache", "%s/%s: %s", log->folder.path, name, strerror(errno));
    return MR_ERROR_SYSTEM;
}

static int log_begin(struct cache_log *log)
{
    char name[CACHE_FILE_NAME_BYTES];
    cache_folder_log_name(1, name);
    int error = log_file_create(log, &log->file, name, CACHE_FILE_LOG, 1);
    if (!error)
        error = cache_folder_write_manifest(&log->folder, &(struct cache_manifest){0, 1, 1});
    if (!error)
        return MR_OK;
    mr_log(MR_LOG_ERROR, "cache", "%s/%s: %s", log->folder.path, name, strerror(error));
    return MR_ERROR_SYSTEM;
}

static int snapshot_load(struct cache_log *log, const struct cache_log_target *target)
{
    uint64_t size;
    struct cache_scan scan;
    bool cut;
    if (faccessat(log->folder.fd, CACHE_SNAPSHOT_NAME, F_OK, 0) != 0 && errno == ENOENT)
        return MR_OK;
    int error = file_load(log, CACHE_SNAPSHOT_NAME, CACHE_FILE_BASE, true, target, &size, &scan, &cut);
    if (!error)
        atomic_store(&log->stat.last_save_ms, scan.header.created_ms);
    return error;
}

static int log_load(struct cache_log *log, const struct cache_log_target *target)
{
    char name[CACHE_FILE_NAME_BYTES];
    struct cache_scan scan;
    bool cut;
    int error = cache_folder_read_manifest(&log->folder);
    if (error)
        return error;
    cache_folder_clean(&log->folder);
    if (log->folder.manifest.log_first == 0)
        return log_begin(log);
    cache_folder_base_name(log->folder.manifest.base, name);
    if (log->folder.manifest.base != 0)
        error = file_load(log, name, CACHE_FILE_BASE, false, target, &log->before_bytes, &scan, &cut);
    if (!error)
        error = logs_load(log, target);
    return error ? error : log_reopen(log);
}

int cache_log_load(struct cache_log *log, const struct cache_log_target *target)
{
    log->file.fd = -1;
    int error = log->options.log ? log_load(log, target) : snapshot_load(log, target);
    if (error)
        return error;
    if (!log->options.no_uring && log->options.log)
        log->ring = log_ring_create();
    uint64_t generation = log->file.generation;
    log->file_size = log->file.size;
    log->file_synced = log->file.synced;
    log->file_generation = log->admit_generation = generation;
    atomic_store(&log->append_generation, generation);
    log->base_bytes = log->before_bytes + log->file_size;
    log->loaded = true;
    if (atomic_load(&log->stat.loaded_commands) > 0)
        mr_log(MR_LOG_INFO, "cache", "%s: %lu transactions, %lu commands loaded", log->folder.path,
               (unsigned long)atomic_load(&log->stat.loaded_transactions),
               (unsigned long)atomic_load(&log->stat.loaded_commands));
    return MR_OK;
}
