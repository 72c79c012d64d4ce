/* The worker's side of files: the table, what is kept and for how long, and the jobs that are under way. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http/connection.h"
#include "http/file.h"

int http_file_cache_start(struct http *http, const char *root)
{
    struct http_file_cache *cache = &http->files;
    uint32_t buckets = 16;
    while (buckets < cache->entries_max * 2)
        buckets *= 2;
    cache->bucket_mask = buckets - 1;
    cache->seed = mr_random(http->worker);
    cache->root = -1;
    cache->entries = calloc(cache->entries_max, sizeof *cache->entries);
    cache->buckets = calloc(buckets, sizeof *cache->buckets);
    if (!cache->entries || !cache->buckets)
        return MR_ERROR_NO_MEMORY;
    if (root && (cache->root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) {
        mr_log(MR_LOG_ERROR, "http", "document root does not open root=%s error=%s", root, strerror(errno));
        return MR_ERROR_SYSTEM;
    }
    return MR_OK;
}

void http_file_cache_release(struct http *http)
{
    struct http_file_cache *cache = &http->files;
    for (uint32_t i = 0; cache->entries && i < cache->entry_count; i++)
        if (cache->entries[i].state != FILE_FREE)
            http_file_free_blocking(&cache->entries[i]); /* the worker has stopped: it may wait */
    free(cache->entries);
    free(cache->buckets);
    if (cache->root >= 0)
        close(cache->root);
}

/* Eight bytes a step, keyed: which paths share a bucket cannot be chosen from outside. */
static uint64_t path_hash(const struct http_file_cache *cache, struct mr_span path)
{
    const uint64_t k = 0x9e3779b97f4a7c15u;
    uint64_t h = cache->seed ^ path.length * k, word;
    size_t i = 0;
    for (; i + 8 <= path.length; i += 8) {
        memcpy(&word, path.data + i, 8);
        h = (h ^ word) * k;
        h ^= h >> 29;
    }
    word = 0;
    for (unsigned shift = 0; i < path.length; i++, shift += 8)
        word |= (uint64_t)path.data[i] << shift;
    h = (h ^ word) * k;
    return h ^ h >> 32;
}

static struct http_file *table_find(struct http_file_cache *cache, struct mr_span path, uint64_t hash)
{
    for (struct http_file *f = cache->buckets[hash & cache->bucket_mask]; f; f = f->next)
        if (f->hash == hash && f->path.length == path.length && memcmp(f->path.text, path.data, path.length) == 0)
            return f;
    return NULL;
}

struct http_file *http_file_lookup(struct http *http, struct mr_span path)
{
    struct http_file *f = table_find(&http->files, path, path_hash(&http->files, path));
    if (f)
        f->used = true;
    return f;
}

static void entry_give(struct http_file *f)
{
    struct http_file_cache *cache = &f->http->files;
    f->state = FILE_FREE;
    f->next = cache->free;
    cache->free = f;
    cache->free_count++;
}

static void file_freed(struct mr_worker *w, void *argument)
{
    struct http_file *f = argument;
    struct http *http = f->http;
    entry_give(f);
    http_job_ended(http);
}

/* The last reference is gone: the memory and the descriptor go back on a thread that may call the system. */
static void file_doom(struct http_file *f)
{
    struct http_file_cache *cache = &f->http->files;
    cache->bytes -= f->reserved;
    cache->descriptors -= f->descriptor >= 0;
    if (!f->memory && f->descriptor < 0) {
        entry_give(f);
        return;
    }
    f->state = FILE_DOOMED;
    f->next = cache->doomed;
    cache->doomed = f;
    http_file_sweep(f->http);
}

void http_file_sweep(struct http *http)
{
    struct http_file_cache *cache = &http->files;
    while (cache->doomed && !http->released) {
        struct http_file *f = cache->doomed;
        if (mr_offload(http->worker, http_file_free_blocking, file_freed, f) != MR_OK)
            return; /* too many outstanding: the end of any of them brings us here again */
        cache->doomed = f->next;
        cache->outstanding++;
    }
}

void http_file_release(void *file)
{
    struct http_file *f = file;
    assert(f->references > 0);
    if (--f->references == 0)
        file_doom(f);
}

static void cache_remove(struct http_file *f)
{
    struct http_file_cache *cache = &f->http->files;
    struct http_file **link = &cache->buckets[f->hash & cache->bucket_mask];
    while (*link != f)
        link = &(*link)->next;
    *link = f->next;
    f->cached = false;
    cache->misses_held -= f->state == FILE_READY && f->status != 200;
    http_file_release(f);
}

/* Second chance (Corbato 1969): passes over entries in use, and once over those used since it last came by. Entries
 * that are not files get no second chance, so that a scan for names that do not exist cannot push files out. */
static bool evict_one(struct http *http, bool (*fits)(const struct http_file *f))
{
    struct http_file_cache *cache = &http->files;
    for (unsigned i = 0; i < HTTP_EVICT_STEPS && cache->entry_count > 0; i++) {
        struct http_file *f = &cache->entries[cache->hand++ % cache->entry_count];
        if (f->state != FILE_READY || !f->cached || f->references > 1 || !fits(f))
            continue;
        if (f->used && f->status == 200) {
            f->used = false;
            continue;
        }
        http->counters[HTTP_COUNTER_FILES_EVICTED]++;
        cache_remove(f);
        return true;
    }
    return false;
}

static bool fits_any(const struct http_file *f)
{
    return true;
}

static bool fits_memory(const struct http_file *f)
{
    return f->reserved > 0;
}

static bool fits_descriptor(const struct http_file *f)
{
    return f->descriptor >= 0;
}

static bool fits_miss(const struct http_file *f)
{
    return f->status != 200;
}

static struct http_file *entry_take(struct http *http)
{
    struct http_file_cache *cache = &http->files;
    struct http_file *f = cache->free;
    if (f) {
        cache->free = f->next;
        cache->free_count--;
        return f;
    }
    if (cache->entry_count < cache->entries_max)
        return &cache->entries[cache->entry_count++];
    evict_one(http, fits_any); /* it comes back through an offload thread: for a later request, not for this one */
    return NULL;
}

/* Sends entries on their way back long before the last is taken: an eviction is over only when a thread has closed and
 * freed, and a full cache should not refuse anyone meanwhile. */
static void entry_reserve(struct http *http)
{
    struct http_file_cache *cache = &http->files;
    if (cache->free_count + cache->entries_max - cache->entry_count < cache->entries_max / 8)
        evict_one(http, fits_any);
    if (cache->misses_held > cache->entries_max / 4)
        evict_one(http, fits_miss);
}

static uint64_t memory_reserve(struct http *http)
{
    struct http_file_cache *cache = &http->files;
    uint64_t want = http->config.cache_file_bytes;
    while (cache->bytes + want > cache->bytes_max)
        if (!evict_one(http, fits_memory))
            return 0; /* all of it is being sent: this file is streamed instead of kept */
    cache->bytes += want;
    return want;
}

static void file_loaded(struct mr_worker *w, void *argument)
{
    struct http_file *f = argument;
    struct http *http = f->http;
    struct http_file_cache *cache = &http->files;
    uint64_t kept = f->held && f->status == 200 ? f->size : 0;
    cache->bytes -= f->reserved - (kept < f->reserved ? kept : f->reserved);
    f->reserved = kept < f->reserved ? kept : f->reserved;
    cache->descriptors += f->descriptor >= 0;
    if (cache->descriptors > cache->descriptors_max)
        evict_one(http, fits_descriptor);
    cache->misses_held += f->status != 200;
    http_clock_set(&http->clock, mr_now(w), f->wall_ns);
    f->checked = mr_now(w);
    f->state = FILE_READY;
    http_connection_wake_waiters(f);
    if (f->cached && (!f->memory || (f->descriptor >= 0 && cache->descriptors > cache->descriptors_max)))
        cache_remove(f);  /* those who wait have it; no one else shall */
    http_file_release(f); /* the job's */
    http_job_ended(http);
}

struct http_file *http_file_find(struct http *http, const struct http_path *path)
{
    struct http_file_cache *cache = &http->files;
    struct mr_span span = {(const uint8_t *)path->text, path->length};
    uint64_t hash = path_hash(cache, span);
    struct http_file *f = table_find(cache, span, hash);
    if (f) {
        f->used = true;
        http_file_hold(f);
        return f;
    }
    entry_reserve(http);
    if (cache->outstanding >= http->config.loads_max || !(f = entry_take(http)))
        return NULL;
    *f = (struct http_file){.hash = hash,
                            .references = 3,
                            .state = FILE_LOADING,
                            .cached = true,
                            .used = true,
                            .descriptor = -1,
                            .root = cache->root,
                            .http = http};
    memcpy(&f->path, path, offsetof(struct http_path, text) + path->length + 1u);
    f->reserved = f->held_bytes_max = memory_reserve(http);
    f->next = cache->buckets[hash & cache->bucket_mask];
    cache->buckets[hash & cache->bucket_mask] = f;
    if (mr_offload(http->worker, http_file_load_blocking, file_loaded, f) != MR_OK) {
        f->references--; /* the job's */
        cache_remove(f);
        http_file_release(f);
        return NULL;
    }
    cache->outstanding++;
    http->counters[HTTP_COUNTER_FILES_LOADED]++;
    return f;
}

static void file_checked(struct mr_worker *w, void *argument)
{
    struct http_file *f = argument;
    struct http *http = f->http;
    f->checking = false;
    f->checked = mr_now(w);
    http_clock_set(&http->clock, mr_now(w), f->wall_ns);
    if (f->changed && f->cached) {
        http->counters[HTTP_COUNTER_FILES_CHANGED] += f->status == 200;
        cache_remove(f);
    }
    http_connection_wake_waiters(f);
    http_file_release(f); /* the job's */
    http_job_ended(http);
}

static void file_check(struct http *http, struct http_file *f)
{
    http_file_hold(f);
    if (mr_offload(http->worker, http_file_check_blocking, file_checked, f) != MR_OK) {
        http_file_release(f);
        return; /* the next request tries again; until then what we have is the best we know */
    }
    f->checking = true;
    http->files.outstanding++;
    http->counters[HTTP_COUNTER_FILES_CHECKED]++;
}

bool http_file_fresh(struct http *http, struct http_file *f)
{
    if (f->state == FILE_LOADING)
        return false;
    mr_time age = mr_now(http->worker) - f->checked;
    if (__builtin_expect(age < HTTP_FRESH_TIME, 1) || !f->cached)
        return true;
    if (!f->checking)
        file_check(http, f);
    return age < HTTP_STALE_TIME || !f->checking;
}

void http_file_wait(struct http_file *f, struct http_connection *c)
{
    c->wait_next = f->waiters;
    f->waiters = c;
}

void http_file_wait_end(struct http_file *f, struct http_connection *c)
{
    for (struct http_connection **link = &f->waiters; *link; link = &(*link)->wait_next)
        if (*link == c) {
            *link = c->wait_next;
            return;
        }
}
