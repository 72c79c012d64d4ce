/* The cache as a service of the same process sees it: an HTTP handler gets and sets without blocking. The key's owner may be another
 * worker; the answer always comes later, by `done`, never from inside the call. */
#ifndef MILLRACE_CACHE_H
#define MILLRACE_CACHE_H

#include <millrace/error.h>
#include <millrace/types.h>

struct mr_cache;

/* The cache that runs on this worker; NULL: none is configured. */
struct mr_cache *mr_cache_find(struct mr_worker *w);

enum mr_cache_kind {
    MR_CACHE_NONE,    /* no such key */
    MR_CACHE_STRING,  /* `text` */
    MR_CACHE_INTEGER, /* `integer` */
    MR_CACHE_STATUS,  /* done; `text` says how ("OK") */
    MR_CACHE_ERROR,   /* `text` says why, with its code first: "OOM ...", "WRONGTYPE ..." */
    MR_CACHE_LIST,    /* an aggregate: `text` is the reply as RESP2 has it on the wire */
};

/* Valid during `done`. */
struct mr_cache_answer {
    enum mr_cache_kind kind;
    struct mr_span text;
    int64_t integer;
};

typedef void (*mr_cache_done_fn)(void *context, const struct mr_cache_answer *answer);

/* Runs one command of at most 64 arguments of at most 16 KiB each ("SET", "page:1", "...", "EX", "60"), on database 0. The bytes are
 * copied. Commands of one key, or of keys of one owner (as a Redis cluster has it); not MULTI, not blocking, not pub/sub.
 * An answer longer than 64 KiB comes as an error. MR_OK: `done` will be called once; MR_ERROR_NO_MEMORY: it will not;
 * MR_ERROR_INVALID: not such a command; MR_ERROR_UNKNOWN: no such command. */
int mr_cache_command(struct mr_cache *c, unsigned argc, const struct mr_span *argv, mr_cache_done_fn done,
                     void *context);

/* The three that most handlers need; errors as above. `ttl_ms` 0: for ever. */
int mr_cache_get(struct mr_cache *c, struct mr_span key, mr_cache_done_fn done, void *context);
int mr_cache_set(struct mr_cache *c, struct mr_span key, struct mr_span value, uint64_t ttl_ms, mr_cache_done_fn done,
                 void *context);
int mr_cache_increment(struct mr_cache *c, struct mr_span key, int64_t by, mr_cache_done_fn done, void *context);

#endif
