/* What is to be done for a request, and the end of it. */
#include <string.h>

#include "http/date.h"
#include "proxy/cache/hcache_state.h"
#include "proxy/proxy.h"

const char *hcache_verdict_text(enum hcache_verdict v)
{
    static const char *const texts[] = {
        [HCACHE_HIT] = "hit",
        [HCACHE_STALE] = "stale",
        [HCACHE_VALIDATE] = "validate",
        [HCACHE_MISS] = "miss",
        [HCACHE_WAIT] = "wait",
        [HCACHE_BYPASS] = "bypass",
        [HCACHE_UNAVAILABLE] = "unavailable",
    };
    return texts[v];
}

static const enum proxy_counter counter_of[] = {
    [HCACHE_HIT] = PROXY_CACHE_HITS,
    [HCACHE_STALE] = PROXY_CACHE_STALE,
    [HCACHE_VALIDATE] = PROXY_CACHE_VALIDATIONS,
    [HCACHE_MISS] = PROXY_CACHE_MISSES,
    [HCACHE_WAIT] = PROXY_CACHE_WAITS,
    [HCACHE_BYPASS] = PROXY_CACHE_BYPASSES,
    [HCACHE_UNAVAILABLE] = PROXY_CACHE_UNAVAILABLE,
};

static enum hcache_verdict bypass(struct hcache_request *q, enum hcache_forward why)
{
    q->forward = why;
    return HCACHE_BYPASS;
}

#define ORIGIN_ONLY                                                                         \
    (UINT64_C(1) << HTTP_HEADER_IF_MATCH | UINT64_C(1) << HTTP_HEADER_IF_UNMODIFIED_SINCE | \
     UINT64_C(1) << HTTP_HEADER_UPGRADE)

/* Requests that a cache has nothing to say to. If-Match and If-Unmodified-Since are for the origin (RFC 9111 4.3.2), and so is the wish to speak
 * another protocol. */
static enum hcache_forward unfit(const struct hcache_request *q, const struct hcache_wish *wish)
{
    const struct http_request *r = q->request;
    const struct hcache_url url = hcache_request_url(q);
    if (r->method != HTTP_GET && r->method != HTTP_HEAD)
        return HCACHE_FORWARD_METHOD;
    if (hcache_control_has(&wish->control, HCACHE_NO_STORE))
        return HCACHE_FORWARD_REQUEST;
    if (r->present & ORIGIN_ONLY || r->body == HTTP_BODY_CHUNKED ||
        (r->body == HTTP_BODY_LENGTH && r->content_length) || hcache_url_bytes(&url) > HCACHE_URL_BYTES_MAX)
        return HCACHE_FORWARD_BYPASS;
    return HCACHE_FORWARD_NONE;
}

static void hold(struct hcache_request *q, struct hcache_entry *e)
{
    q->entry = e;
    hcache_entry_hold(e);
}

static enum hcache_verdict serve(struct hcache_request *q, struct hcache_entry *e, enum hcache_verdict verdict)
{
    struct cache_evict *evict = &q->cache->evict;
    evict->policy->hit(evict, &e->evict, e->policy_hash);
    hold(q, e);
    return verdict;
}

/* What is fetched for one user is seldom for others, and a HEAD brings nothing to keep: these neither wait nor let wait. */
static bool lonely(const struct hcache_request *q, const struct hcache_wish *wish)
{
    return wish->authorization || q->request->method == HTTP_HEAD;
}

/* A request needs the backend; with an entry it asks by its validators. */
static enum hcache_verdict ask(struct hcache_request *q, const struct hcache_wish *wish, struct hcache_entry *e,
                               bool alone, int64_t now)
{
    enum hcache_verdict v;
    if (hcache_control_has(&wish->control, HCACHE_ONLY_IF_CACHED))
        return HCACHE_UNAVAILABLE;
    if (!e && (q->request->method == HTTP_HEAD || http_request_has(q->request, HTTP_HEADER_RANGE)))
        return HCACHE_BYPASS; /* its answer could not be kept */
    v = alone || lonely(q, wish) ? HCACHE_MISS : hcache_fetch(q, now);
    q->asked_seconds = now;
    q->sequence = q->cache->sequence;
    if (v != HCACHE_MISS || !e)
        return v;
    hold(q, e);
    return HCACHE_VALIDATE;
}

/* Stale, and the backend has just failed: it is not asked again at once. */
static bool rests(const struct hcache_entry *e, const struct hcache_wish *wish, int64_t now)
{
    return now < e->failed_until && hcache_reuse_on_error(&e->freshness, &wish->control, now);
}

static enum hcache_verdict reuse(struct hcache_request *q, const struct hcache_wish *wish, struct hcache_entry *e,
                                 int64_t now)
{
    switch (hcache_reuse(&e->freshness, &wish->control, e->outdated, now)) {
    case HCACHE_REUSE_FRESH:
    case HCACHE_REUSE_TOLERATED:
        return serve(q, e, HCACHE_HIT);
    case HCACHE_REUSE_WHILE:
        q->forward = HCACHE_FORWARD_STALE;
        q->asked_seconds = now;
        q->sequence = q->cache->sequence;
        if (now >= e->failed_until && !lonely(q, wish))
            hcache_fetch_take(q);
        return serve(q, e, HCACHE_STALE);
    case HCACHE_REUSE_REFUSED:
        q->forward = HCACHE_FORWARD_REQUEST;
        return ask(q, wish, e, true, now);
    case HCACHE_REUSE_ALWAYS:
        q->forward = HCACHE_FORWARD_STALE;
        return ask(q, wish, e, true, now);
    default:
        q->forward = HCACHE_FORWARD_STALE;
        return rests(e, wish, now) ? serve(q, e, HCACHE_STALE) : ask(q, wish, e, false, now);
    }
}

static enum hcache_verdict look(struct hcache_request *q, int64_t now)
{
    struct hcache_wish wish;
    const struct hcache_url url = hcache_request_url(q);
    bool others;
    hcache_wish_read(&wish, q->request, q->head);
    enum hcache_forward why = unfit(q, &wish);
    if (why != HCACHE_FORWARD_NONE)
        return bypass(q, why);
    q->key = hcache_url_hash(q->cache->secret, &url);
    struct hcache_entry *e = hcache_find(q->cache, q->key, &url, q->request, q->head, &others);
    if (e)
        return reuse(q, &wish, e, now);
    q->forward = others ? HCACHE_FORWARD_VARY_MISS : HCACHE_FORWARD_MISS;
    return ask(q, &wish, NULL, false, now);
}

enum hcache_verdict hcache_lookup(struct hcache_request *q, int64_t wall_seconds)
{
    q->cache->evict.clock = (uint32_t)wall_seconds;
    q->forward = HCACHE_FORWARD_NONE;
    q->verdict = look(q, wall_seconds);
    if (q->fetches && (q->verdict == HCACHE_HIT || q->verdict == HCACHE_UNAVAILABLE || q->verdict == HCACHE_BYPASS))
        hcache_fetch_done(q, q->verdict == HCACHE_HIT ? HCACHE_OUTCOME_STORED : HCACHE_OUTCOME_DIED);
    q->granted = false;
    q->cache->counters[counter_of[q->verdict]]++;
    return q->verdict;
}

void hcache_end(struct hcache_request *q)
{
    if (!q->cache)
        return;
    hcache_fetch_leave(q);
    hcache_fetch_done(q, HCACHE_OUTCOME_DIED);
    if (q->fill)
        q->fill->request = NULL;
    if (q->entry)
        hcache_entry_release(q->entry);
    *q = (struct hcache_request){.cache = q->cache,
                                 .scheme = q->scheme,
                                 .host = q->host,
                                 .target = q->target,
                                 .request = q->request,
                                 .head = q->head,
                                 .ready = q->ready,
                                 .context = q->context,
                                 .verdict = q->verdict};
}

size_t hcache_validators(const struct hcache_request *q, char *out, size_t size)
{
    const struct hcache_entry *e = q->entry;
    size_t n = 0;
    if (!e)
        return 0;
    struct mr_span etag = hcache_entry_etag(e);
    size_t etag_bytes = etag.length ? 15 + 2 * e->etag_weak + etag.length + 2 : 0;
    if (etag_bytes && etag_bytes <= size) {
        memcpy(out, "If-None-Match: W/", 17);
        n = e->etag_weak ? 17 : 15;
        memcpy(out + n, etag.data, etag.length);
        memcpy(out + n + etag.length, "\r\n", 2);
        n += etag.length + 2;
    }
    if (e->modified != HCACHE_UNKNOWN && size - n >= 19 + HTTP_DATE_BYTES + 2) {
        memcpy(out + n, "If-Modified-Since: ", 19);
        http_date_format(e->modified, out + n + 19);
        memcpy(out + n + 19 + HTTP_DATE_BYTES, "\r\n", 2);
        n += 19 + HTTP_DATE_BYTES + 2;
    }
    return n;
}

bool hcache_serve_on_error(struct hcache_request *q, int64_t wall_seconds)
{
    struct hcache_wish wish;
    if (!q->entry || (q->verdict == HCACHE_VALIDATE && hcache_entry_dead(q->entry)))
        return false;
    if (q->verdict == HCACHE_STALE) { /* it is served already */
        q->entry->failed_until = wall_seconds + HCACHE_FAILED_SECONDS;
        hcache_fetch_done(q, HCACHE_OUTCOME_DIED);
        return true;
    }
    if (q->verdict != HCACHE_VALIDATE)
        return false;
    hcache_wish_read(&wish, q->request, q->head);
    if (!hcache_reuse_on_error(&q->entry->freshness, &wish.control, wall_seconds))
        return false;
    q->entry->failed_until = wall_seconds + HCACHE_FAILED_SECONDS;
    q->verdict = HCACHE_STALE;
    q->cache->counters[PROXY_CACHE_STALE]++;
    hcache_fetch_done(q, HCACHE_OUTCOME_STORED);
    return true;
}
