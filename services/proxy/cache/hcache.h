/* The HTTP cache of a worker (RFC 9111): a shared cache for GET and HEAD of routes with `cache: true`.
 *
 *   hcache_lookup -> HCACHE_HIT    serve the entry
 *                    HCACHE_STALE  serve it, and one of those who got it fetches anew (stale-while-revalidate)
 *                    HCACHE_VALIDATE  ask the backend with the entry's validators; 304: hcache_validated, else hcache_fill_begin
 *                    HCACHE_MISS   fetch, hcache_fill_begin when the response may be kept
 *                    HCACHE_WAIT   another request fetches it: `ready` is called when there is an answer, or the fetch came to nothing
 *                    HCACHE_BYPASS send the request on as it is, and keep nothing
 *                    HCACHE_UNAVAILABLE  answer 504: the client said only-if-cached, and there is nothing
 *
 * What goes to the backend after MISS, VALIDATE and STALE is not the client's condition but ours: If-None-Match, If-Modified-Since,
 * If-Range and Range are left out, hcache_validators has what takes their place. A whole response then answers the client by
 * hcache_entry_condition and hcache_entry_range, or as it is. After BYPASS everything is sent on.
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

enum hcache_verdict {
    HCACHE_HIT,
    HCACHE_STALE,
    HCACHE_VALIDATE,
    HCACHE_MISS,
    HCACHE_WAIT,
    HCACHE_BYPASS,
    HCACHE_UNAVAILABLE
};
const char *hcache_verdict_text(enum hcache_verdict v);

/* Why a request went to the backend, as Cache-Status names it (RFC 9211 2.2). */
enum hcache_forward {
    HCACHE_FORWARD_NONE,
    HCACHE_FORWARD_BYPASS,    /* not a request, or not a key, for a cache */
    HCACHE_FORWARD_METHOD,    /* not GET or HEAD */
    HCACHE_FORWARD_MISS,      /* nothing stored for the URL */
    HCACHE_FORWARD_VARY_MISS, /* ... but for other values of the fields in Vary */
    HCACHE_FORWARD_REQUEST,   /* the client asked for it: no-cache, max-age, ... */
    HCACHE_FORWARD_STALE,
};

struct hcache_queue {
    struct hcache_request *first, **last;
    unsigned count;
};

/* Embedded in a session; all zero before the first lookup of a request. */
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
    struct hcache_request *next, **link; /* in `queue`: it waits, or is about to be woken */
    struct hcache_queue *queue;
    struct hcache_queue waiters;                       /* for the fetch that we hold */
    struct hcache_request *holder_next, **holder_link; /* among all who hold a fetch */
    struct hcache_fill *fill;
    enum hcache_forward forward;
    bool waited;  /* it does so once */
    bool granted; /* the fetch was handed to it, and it was not called yet */
    bool stored, validated;
    uint16_t forward_status;
    uint64_t sequence; /* of purges: what is fetched for us is as old as this */
    int64_t asked_seconds;
};

enum hcache_verdict hcache_lookup(struct hcache_request *q, int64_t wall_seconds);
/* Ends what lookup began: lets the entry and the fetch go (the next waiter then fetches). Always called once, and harmless twice. */
void hcache_end(struct hcache_request *q);

/* For VALIDATE and STALE: fields to add to the request ("If-None-Match: ...\r\n"); returns bytes, at most `size` (512 is enough for all). */
size_t hcache_validators(const struct hcache_request *q, char *out, size_t size);
/* The backend failed (no connection, no response, 500, 502, 503 or 504) where we got VALIDATE: may the entry be served all the same (RFC 5861 4,
 * stale-if-error)? If so q->verdict is HCACHE_STALE, and the fetch is let go. After STALE it only notes the failure, so that the backend is not asked
 * again at once. */
bool hcache_serve_on_error(struct hcache_request *q, int64_t wall_seconds);
/* A 304 came for it: the entry is fresh again, with the fields of `response`. q->verdict is HCACHE_HIT then (STALE stays STALE). MISS: the
 * 304 was not about our entry (another strong ETag, RFC 9111 4.3.4), which is gone: send the request again without validators. */
struct http_response;
void hcache_validated(struct hcache_request *q, const struct http_response *response, const uint8_t *head,
                      int64_t wall_seconds);

/* A final response came, to be asked for each one after MISS, VALIDATE and STALE. NULL: it may not be kept (RFC 9111 3), or there is no room;
 * waiters are woken then. Should q end first the fill goes on, and its waiters fetch themselves. Ended or aborted exactly once unless an append
 * was refused. */
struct hcache_fill *hcache_fill_begin(struct hcache_request *q, const struct http_response *response,
                                      const uint8_t *head, int64_t wall_seconds);
/* The entry in the making, valid until the fill is over: for hcache_entry_condition, as the client's conditions were left out of the request. */
const struct hcache_entry *hcache_fill_entry(const struct hcache_fill *f);
/* Payload in order, copied. False: it grew too large, or there is no room; the fill is over, `f` gone. */
bool hcache_fill_append(struct hcache_fill *f, const uint8_t *data, size_t n);
void hcache_fill_end(struct hcache_fill *f);   /* whole: the entry is there, waiters are woken */
void hcache_fill_abort(struct hcache_fill *f); /* nothing is kept */

/* An unsafe method succeeded: the entries of its target are invalid (RFC 9111 4.4). */
void hcache_invalidate(struct hcache *c, struct mr_span scheme, struct mr_span host, struct mr_span target);
/* The same for a response to a method that is not safe: nothing unless its status is 2xx or 3xx; Location and Content-Location, too, where they
 * name the same host. */
void hcache_invalidate_response(struct hcache *c, struct mr_span scheme, struct mr_span host, struct mr_span target,
                                const struct http_response *response, const uint8_t *head);

/* What is sent of an entry. */
/* Status line and stored fields, with Date, without Age, Content-Length and what is of one hop; no empty line. To be copied at once: a
 * validation rewrites it. */
struct mr_span hcache_entry_head(const struct hcache_entry *e);
int hcache_entry_status(const struct hcache_entry *e);
uint64_t hcache_entry_length(const struct hcache_entry *e);
uint64_t hcache_entry_age(const struct hcache_entry *e, int64_t wall_seconds);
/* The piece of body at `offset`, at most as long as lies together; for mr_stream_lend: hold before, release in the callback. */
struct mr_span hcache_entry_body(const struct hcache_entry *e, uint64_t offset);
void hcache_entry_hold(struct hcache_entry *e);
void hcache_entry_release(void *entry);
/* 304 or 200 (send it) for the client's own conditions. */
int hcache_entry_condition(const struct hcache_entry *e, const struct http_request *r, const uint8_t *head,
                           int64_t wall_seconds);
/* 200, 206 or 416 and the range, as http_range_evaluate; 200 for what is not a GET or not a 200. */
int hcache_entry_range(const struct hcache_entry *e, const struct http_request *r, const uint8_t *head,
                       int64_t wall_seconds, uint64_t *first, uint64_t *last);

/* The value of Cache-Status, "millrace; hit; ttl=30" (RFC 9211): `via` is a token, cut at 32 bytes. `out` has HCACHE_STATUS_BYTES. */
#define HCACHE_STATUS_BYTES 128
size_t hcache_status_field(const struct hcache_request *q, const char *via, int64_t wall_seconds, char *out);

/* Purges: of a URL with all its variants, of a tag (Cache-Tag / Surrogate-Key), of everything. Soft: becomes stale, is served while revalidated.
 * Returns how many entries. A tag's or everything's is bounded work a turn: by generation number, not by walk. What is being fetched meanwhile
 * is not kept. */
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
