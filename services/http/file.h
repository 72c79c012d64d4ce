/* Files of the document root, as a worker sees them: what a path gave when an offload thread last looked, kept in a
 * bounded cache with the response that it makes, ready to send.
 *
 *   (none) --find--> FILE_LOADING --loaded--> FILE_READY --changed on disk or evicted--> out of the cache
 *                     offload thread owns it    the worker owns it                        freed with its last reference
 *
 * A path that names nothing is an entry too (its response is a 404), so that asking for it again costs no system call. */
#ifndef SERVICES_HTTP_FILE_H
#define SERVICES_HTTP_FILE_H

#include <millrace/service.h>

#include "http/limits.h"
#include "http/response.h"
#include "http/target.h"

struct http;
struct http_connection;

enum http_file_state { FILE_FREE, FILE_LOADING, FILE_READY, FILE_DOOMED };

struct http_file {
    /* What a hit reads. */
    struct http_file *next; /* in the bucket, or in the list of free entries */
    uint64_t hash;
    uint32_t references; /* the cache's one, connections', and responses in flight */
    uint8_t state;
    bool cached;   /* in the table */
    bool used;     /* since the clock's hand last passed */
    bool checking; /* an offload thread compares it with the disk */
    uint16_t head_length;
    uint16_t date_offset; /* of the Date text in the head */
    int status;
    int64_t date_seconds; /* what the Date text says */
    mr_time checked;      /* when the disk last agreed */
    uint64_t size;        /* of the representation */
    uint8_t *memory;      /* HTTP_HEAD_ROOM bytes whose end is the head, then the body when `held` */
    bool held;            /* the whole body is in memory; else `descriptor` is open */
    int descriptor;
    int root; /* the cache's, for offload threads */
    struct http *http;
    struct http_connection *waiters; /* told when it is ready or has been checked */

    /* Identity on disk. */
    uint64_t device, inode;
    int64_t modified_ns, changed_ns;
    char etag[HTTP_ETAG_BYTES];
    const char *type;

    /* Between the worker and the offload thread. */
    uint64_t held_bytes_max; /* keep the body in memory up to this size */
    uint64_t reserved;       /* of the worker's memory budget */
    int64_t wall_ns;
    bool changed;

    struct http_path path;
};

static inline const uint8_t *http_file_head(const struct http_file *f)
{
    return f->memory + HTTP_HEAD_ROOM - f->head_length;
}

static inline const uint8_t *http_file_body(const struct http_file *f)
{
    return f->memory + HTTP_HEAD_ROOM;
}

struct http_file_cache {
    struct http_file *entries;
    uint32_t entry_count, entries_max;
    uint32_t misses_held; /* entries that are not a file: bounded to a quarter */
    uint32_t descriptors, descriptors_max;
    uint32_t hand; /* of the clock that looks for one to evict */
    uint32_t bucket_mask;
    uint32_t outstanding; /* jobs on offload threads */
    struct http_file **buckets;
    struct http_file *free;
    uint32_t free_count;
    struct http_file *doomed; /* to be freed on an offload thread that had no room */
    uint64_t bytes, bytes_max;
    uint64_t seed;
    int root; /* descriptor of the document root; -1: none */
};

/* MR_OK, MR_ERROR_NO_MEMORY, MR_ERROR_SYSTEM (the root cannot be opened). `root` NULL: every path is a 404. */
int http_file_cache_start(struct http *http, const char *root);

/* Frees all; no job is outstanding. */
void http_file_cache_release(struct http *http);

/* The entry for exactly these bytes of a path, without a reference; NULL: not in the cache under this name. */
struct http_file *http_file_lookup(struct http *http, struct mr_span path);

/* The entry for a decoded path with a reference for the caller, loading when it is new. NULL: a limit is reached. */
struct http_file *http_file_find(struct http *http, const struct http_path *path);

/* True when `f` may be answered with now; else a job is under way and the caller waits (http_file_wait). Starts the
 * comparison with the disk when it is due. */
bool http_file_fresh(struct http *http, struct http_file *f);

/* Sends off what waits to be freed, as far as the offload threads take it. */
void http_file_sweep(struct http *http);

void http_file_wait(struct http_file *f, struct http_connection *c);
void http_file_wait_end(struct http_file *f, struct http_connection *c);

static inline void http_file_hold(struct http_file *f)
{
    f->references++;
}
void http_file_release(void *file); /* the shape of a lend's release */

/* Blocking, for offload threads and nothing else. They touch only the entry that they were given. */
void http_file_load_blocking(void *file);
void http_file_check_blocking(void *file);
void http_file_free_blocking(void *file);
int http_file_open_beneath(int root, const char *path);       /* a descriptor or -errno */
int http_file_open_by_components(int root, const char *path); /* the same without openat2, following no link */

#endif
