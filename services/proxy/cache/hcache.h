/* The HTTP cache of a worker (RFC 9111): a shared cache for GET and HEAD of routes with `cache: true`.
 *
 *   hcache_lookup -> HCACHE_HIT    serve the entry
 *                    HCACHE_STALE  serve it, and one of those who got it fetches anew (stale-while-revalidate)
 *                    HCACHE_VALIDATE  ask the backend with the entry's validators; 304: hcache_validated, else hcache_fill_begin
 *                    HCACHE_MISS   fetch, hcache_fill_begin when the response may be kept
 *                    HCACHE_WAIT   another request fetches it: `ready` is called when there is an answer, or the fetch came to nothing
 *                    HCACHE_BYPASS fetch, and keep nothing
 *
 * The first to miss holds the fetch (hcache_lock); all others of the same key wait for it. Memory is bounded by cache.bytes; who goes first
 * is decided by a policy of services/cache/evict. Each worker has a cache of its own; purges go to all. */
#ifndef SERVICES_PROXY_CACHE_HCACHE_H
#define SERVICES_PROXY_CACHE_HCACHE_H

#include <millrace/service.h>

#include "http/request.h"
#include "proxy/config.h"

struct proxy;
struct hcache;
struct hcache_entry; /* counted: hcache_entry_release when done */
struct hcache_fill;

enum hcache_verdict { HCACHE_HIT, HCACHE_STALE, HCACHE_VALIDATE, HCACHE_MISS, HCACHE_WAIT, HCACHE_BYPASS };
const char *hcache_verdict_text(enum hcache_verdict v);

/* Embedded in a session. */
struct hcache_request {
    /* set by the caller */
    struct hcache *cache;
    struct mr_span scheme, host, target; /* normalised: lower case host, target as it goes to the backend */
    const struct http_request
        *request; /* for Vary, Cache-Control, Range, Authorization, conditions; valid during each call */
    const uint8_t *head;
    void (*ready)(struct hcache_request *q); /* after HCACHE_WAIT: call hcache_lookup again */
    void *context;
    /* private, but readable */
    enum hcache_verdict verdict;
    struct hcache_entry *entry; /* HIT, STALE, VALIDATE: held until hcache_end */
    bool fetches;               /* holds the fetch of this key: must end by fill, validated or hcache_end */
    uint64_t key;
    struct hcache_request *next, **link;
};

enum hcache_verdict hcache_lookup(struct hcache_request *q, int64_t wall_seconds);
/* Ends what lookup began: lets the entry and the fetch go (the next waiter then fetches). Always called once, and harmless twice. */
void hcache_end(struct hcache_request *q);

/* For VALIDATE and STALE: fields to add to the request ("If-None-Match: ...\r\n"); returns bytes, at most `size`. */
size_t hcache_validators(const struct hcache_request *q, char *out, size_t size);
/* A 304 came for it: the entry is fresh again, with the fields of `response`. q->verdict is HCACHE_HIT then. */
struct http_response;
void hcache_validated(struct hcache_request *q, const struct http_response *response, const uint8_t *head,
                      int64_t wall_seconds);

/* A response came. NULL: it may not be kept (RFC 9111 3), or there is no room; waiters are woken then. */
struct hcache_fill *hcache_fill_begin(struct hcache_request *q, const struct http_response *response,
                                      const uint8_t *head, int64_t wall_seconds);
/* Payload in order, copied. False: it grew too large; the fill is over. */
bool hcache_fill_append(struct hcache_fill *f, const uint8_t *data, size_t n);
void hcache_fill_end(struct hcache_fill *f);   /* whole: the entry is there, waiters are woken */
void hcache_fill_abort(struct hcache_fill *f); /* nothing is kept */

/* An unsafe method succeeded: the entries of its target are invalid (RFC 9111 4.4). */
void hcache_invalidate(struct hcache *c, struct mr_span scheme, struct mr_span host, struct mr_span target);

/* What is sent of an entry. */
struct mr_span hcache_entry_head(
    const struct hcache_entry *e); /* status line and stored fields, without Age, Date kept, no empty line */
int hcache_entry_status(const struct hcache_entry *e);
uint64_t hcache_entry_length(const struct hcache_entry *e);
uint64_t hcache_entry_age(const struct hcache_entry *e, int64_t wall_seconds);
/* The piece of body at `offset`, at most as long as lies together; for mr_stream_lend: hold before, release in the callback. */
struct mr_span hcache_entry_body(const struct hcache_entry *e, uint64_t offset);
void hcache_entry_hold(struct hcache_entry *e);
void hcache_entry_release(void *entry);
/* 304 or 412 or 200 for the client's own conditions; 206/416 and the range: as http/condition.h. */
int hcache_entry_condition(const struct hcache_entry *e, const struct http_request *r, const uint8_t *head,
                           int64_t wall_seconds);

/* "millrace; hit; ttl=30", RFC 9211; `out` has 128. */
size_t hcache_status_field(const struct hcache_request *q, const char *via, int64_t wall_seconds, char *out);

/* Purges: of a URL with all its variants, of a tag (Cache-Tag / Surrogate-Key), of everything. Soft: becomes stale, is served while revalidated.
 * Returns how many. A tag's or everything's is bounded work a turn: by generation number, not by walk. */
uint64_t hcache_purge_url(struct hcache *c, struct mr_span scheme, struct mr_span host, struct mr_span target,
                          bool soft);
uint64_t hcache_purge_tag(struct hcache *c, struct mr_span tag, bool soft);
uint64_t hcache_purge_all(struct hcache *c, bool soft);

struct hcache_statistics {
    uint64_t entries, bytes, hits, stale, misses, validations, waits, bypasses, stores, evictions, purged;
};
void hcache_statistics(const struct hcache *c, struct hcache_statistics *out);

int hcache_start(struct proxy *p); /* sets p->cache; MR_OK with NULL when bytes is 0 */
void hcache_release(struct proxy *p);

#endif
