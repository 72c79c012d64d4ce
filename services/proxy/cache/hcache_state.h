/* What the files of this folder share: the cache of a worker and its entries.
 *
 *     buckets -> entry -> entry -> ...            newest first, variants of one URL among others
 *     entry's first block:  | struct hcache_entry | URL | ETag | Vary | tags | head | beginning of the body |
 *     the rest of the body: whole blocks, 8 of them named in the entry, more by index blocks
 *
 * An entry is linked (found by lookups, in the eviction policy) or not; it is freed when it is not and nobody holds it. */
#ifndef SERVICES_PROXY_CACHE_HCACHE_STATE_H
#define SERVICES_PROXY_CACHE_HCACHE_STATE_H

#include <millrace/random.h>
#include <millrace/turn.h>

#include "cache/evict/evict.h"
#include "proxy/cache/hcache.h"
#include "proxy/cache/key.h"
#include "proxy/cache/limits.h"
#include "proxy/cache/pool.h"
#include "proxy/cache/storable.h"
#include "proxy/cache/tags.h"

struct hcache_fill {
    struct hcache_request *request; /* NULL: it ended before us */
    uint64_t promised;              /* Content-Length; UINT64_MAX: not said */
};

struct hcache_entry {
    _Alignas(16) struct cache_evict_node evict;
    struct hcache *cache;
    uint32_t holds; /* one of them while linked, one while filled */
    uint32_t chain; /* the next entry of the bucket, by block */
    bool linked;
    uint64_t key;         /* of the URL */
    uint64_t policy_hash; /* of the URL and the variant */
    uint64_t sequence;    /* of purges when it was asked for */
    uint64_t checked;     /* no purge up to here touches it */
    bool outdated;        /* as of `checked`: purged softly */
    struct hcache_freshness freshness;
    int64_t date, modified; /* HCACHE_UNKNOWN: not said */
    int64_t failed_until;   /* the backend failed: served stale without asking until then */
    uint64_t length;
    uint16_t status;
    bool etag_weak;
    uint16_t scheme_length, host_length, target_length, etag_length, vary_length;
    uint8_t tag_count;
    uint16_t url_at, etag_at, vary_at, tags_at, inline_at; /* in the first block */
    uint16_t head_length, head_room;
    uint32_t head_block; /* 0: the head lies in the first block */
    uint8_t *head;       /* its end is followed by the empty line that hcache_entry_head leaves out */
    uint32_t blocks;     /* all that it takes */
    uint32_t direct[HCACHE_DIRECT], index[HCACHE_INDEXES];
    struct hcache_fill fill;
};

struct hcache_refused {
    uint64_t key;
    int64_t until;
};

struct hcache {
    struct mr_worker *worker;
    uint64_t *counters; /* of the proxy */
    struct hcache_pool pool;
    struct hcache_tags tags;
    struct cache_evict evict;
    struct mr_random random;
    uint64_t secret[2];
    uint32_t *buckets, bucket_mask;
    struct hcache_presets presets;
    uint64_t object_bytes_max, waiting_max;
    uint64_t sequence;   /* of purges */
    uint64_t hard, soft; /* the last of everything */
    uint64_t live;       /* linked entries not older than `hard` */
    uint64_t entries;    /* linked */
    uint32_t sweep;      /* where the search for purged entries goes on */
    struct hcache_queue woken;
    struct mr_deferred wake;
    struct hcache_request *holders[HCACHE_HOLDER_BUCKETS];
    struct hcache_refused refused[HCACHE_REFUSED_SLOTS];
    uint64_t purged
        [HCACHE_PURGED_SLOTS]; /* sequence of the last purge of a URL of this slot: what was asked for before is not kept */
};

/* Made and freed without a proxy, for hcache_start and for tests. NULL: no memory, or no policy of that name. */
struct hcache *hcache_create(struct mr_worker *w, const struct proxy_cache_config *config, uint64_t *counters);
void hcache_free(struct hcache *c);

/* store.c */
struct hcache_entry *hcache_find(struct hcache *c, uint64_t key, const struct hcache_url *url,
                                 const struct http_request *r, const uint8_t *head, bool *other_variants);
bool hcache_entry_is(const struct hcache_entry *e, uint64_t key, const struct hcache_url *url);
void hcache_entry_link(struct hcache_entry *e);
void hcache_entry_unlink(struct hcache_entry *e, bool evicted);
bool hcache_entry_dead(struct hcache_entry *e); /* a hard purge is younger; also brings e->outdated up to date */
uint32_t hcache_block_take(struct hcache *c);   /* evicts for it; 0: no room */
void hcache_sweep(struct hcache *c);
void hcache_check(const struct hcache *c); /* asserts all that must hold; for tests */
uint32_t *hcache_entry_tags(const struct hcache_entry *e);
struct mr_span hcache_entry_vary(const struct hcache_entry *e);
struct mr_span
hcache_entry_etag(const struct hcache_entry *e); /* with quotes; a zero follows; empty when there is none */
uint8_t *hcache_entry_at(const struct hcache_entry *e, uint64_t offset, size_t *room); /* NULL: no block yet */

/* head.c */
/* Status line, fields and empty line of `r` into `out`. Returns the bytes, 0 when they do not fit. */
size_t hcache_head_write(char *out, size_t size, const struct http_response *r, const uint8_t *head,
                         const struct hcache_facts *facts, int64_t now);
/* The stored head updated by a 304 (RFC 9111 3.2). */
size_t hcache_head_merge(char *out, size_t size, const struct http_response *stored, const uint8_t *stored_head,
                         const struct http_response *r, const uint8_t *head, const struct hcache_facts *facts,
                         int64_t now);

/* fetch.c: who fetches, and who waits */
enum hcache_outcome {
    HCACHE_OUTCOME_STORED,
    HCACHE_OUTCOME_REFUSED, /* it may not be kept: all go on by themselves */
    HCACHE_OUTCOME_DIED,    /* the next one fetches */
};
/* What becomes of a request that needs a fetch: MISS (it holds the fetch, or fetches beside others), WAIT or BYPASS. */
enum hcache_verdict hcache_fetch(struct hcache_request *q, int64_t now);
void hcache_fetch_done(struct hcache_request *q, enum hcache_outcome outcome);
bool hcache_fetch_take(struct hcache_request *q);  /* false: another one has it */
void hcache_fetch_leave(struct hcache_request *q); /* out of the queue it is in */
void hcache_fetch_wake(struct mr_worker *w, struct mr_deferred *d);
void hcache_fetch_refused(struct hcache *c, uint64_t key, int64_t now); /* nobody waits for this URL for a while */

/* purge.c */
bool hcache_purged_since(const struct hcache *c, uint64_t key, uint64_t sequence);

static inline struct hcache_url hcache_request_url(const struct hcache_request *q)
{
    return (struct hcache_url){q->scheme, q->host, q->target};
}

#endif
