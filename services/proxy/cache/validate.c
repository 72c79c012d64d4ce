/* A 304 makes entries fresh again (RFC 9111 4.3.4). */
#include <string.h>

#include "http/http_wire.h"
#include "proxy/cache/hcache_state.h"

static bool parse(const struct hcache_entry *e, struct http_response *r)
{
    static const struct http_wire_limits limits = {HCACHE_BLOCK_BYTES, HCACHE_BLOCK_BYTES, HTTP_FIELDS_MAX};
    struct http_wire w;
    http_wire_reset(&w);
    return http_wire_response(&w, e->head, e->head_length, &limits, r) == e->head_length;
}

/* The new head replaces the old one, in a block of its own when it has outgrown its place. */
static bool replace_head(struct hcache_entry *e, const void *head, size_t n)
{
    struct hcache *c = e->cache;
    if (n > e->head_room) {
        uint32_t block = hcache_pool_take(&c->pool);
        if (!block)
            return false;
        e->head_block = block;
        e->head = hcache_block(&c->pool, block);
        e->head_room = HCACHE_BLOCK_BYTES;
        e->blocks++;
    }
    memcpy(e->head, head, n);
    e->head_length = (uint16_t)n;
    return true;
}

/* Merges the fields, and reads from the result what they say now. False: it does not fit, or may no longer be kept. */
static bool freshen(struct hcache_entry *e, const struct hcache_request *q, const struct http_response *r,
                    const uint8_t *head, const struct hcache_facts *said, int64_t now)
{
    struct hcache *c = e->cache;
    struct http_response stored;
    const struct hcache_wish anybody = {0};
    struct hcache_facts facts;
    char *scratch = hcache_block(&c->pool, 0);
    if (!parse(e, &stored))
        return false;
    size_t n = hcache_head_merge(scratch, HCACHE_BLOCK_BYTES, &stored, e->head, r, head, said, now);
    if (!n || !replace_head(e, scratch, n) || !parse(e, &stored))
        return false;
    hcache_facts_read(&facts, &stored, e->head, now);
    facts.age = said->age;
    hcache_freshness_make(&e->freshness, &facts, &c->presets, q->asked_seconds, now);
    e->date = facts.date;
    e->modified = facts.last_modified;
    e->failed_until = 0;
    return hcache_storable(HTTP_GET, &anybody, &facts, &e->freshness) == HCACHE_STORABLE;
}

/* The 304 is younger than the purges that its request knew of. */
static void renew(struct hcache_entry *e, uint64_t sequence)
{
    if (sequence > e->sequence) {
        e->sequence = e->checked = sequence;
        e->outdated = false;
    }
}

static bool same_etag(const struct hcache_entry *e, const struct hcache_facts *said)
{
    struct mr_span etag = hcache_entry_etag(e);
    return etag.length && !e->etag_weak && etag.length == said->etag.length &&
           memcmp(etag.data, said->etag.data, etag.length) == 0;
}

/* RFC 9111 4.3.4: a strong ETag speaks of every variant that has it. */
static void freshen_others(struct hcache_request *q, const struct http_response *r, const uint8_t *head,
                           const struct hcache_facts *said, int64_t now)
{
    struct hcache *c = q->cache;
    const struct hcache_url url = hcache_request_url(q);
    for (uint32_t block = c->buckets[q->key & c->bucket_mask]; block;) {
        struct hcache_entry *e = hcache_block(&c->pool, block);
        block = e->chain;
        if (e == q->entry || !hcache_entry_is(e, q->key, &url) || hcache_entry_dead(e) || !same_etag(e, said))
            continue;
        renew(e, q->sequence);
        if (!freshen(e, q, r, head, said, now))
            hcache_entry_unlink(e, false);
    }
}

void hcache_validated(struct hcache_request *q, const struct http_response *response, const uint8_t *head,
                      int64_t wall_seconds)
{
    struct hcache_entry *e = q->entry;
    struct hcache_facts said;
    q->forward_status = response->status;
    if (!e || (q->verdict != HCACHE_VALIDATE && q->verdict != HCACHE_STALE))
        return;
    hcache_facts_read(&said, response, head, wall_seconds);
    bool strong = said.etag.length && !said.etag_weak;
    bool purged = hcache_entry_dead(e) || hcache_purged_since(q->cache, q->key, q->sequence);
    if (purged || (strong && !same_etag(e, &said))) {
        hcache_entry_unlink(e, false);
        if (q->verdict == HCACHE_STALE) {
            hcache_fetch_done(q, HCACHE_OUTCOME_DIED);
            return; /* it was sent already, or is about to be: there is nothing to send again */
        }
        hcache_entry_release(e);
        q->entry = NULL;
        q->verdict = HCACHE_MISS;
        return;
    }
    renew(e, q->sequence);
    if (!freshen(e, q, response, head, &said, wall_seconds))
        hcache_entry_unlink(e, false); /* good for this request, which asked */
    if (strong)
        freshen_others(q, response, head, &said, wall_seconds);
    if (q->verdict == HCACHE_VALIDATE)
        q->verdict = HCACHE_HIT;
    q->validated = true;
    hcache_fetch_done(q, HCACHE_OUTCOME_STORED);
}
