/* A response becomes an entry: its first block is laid out when the head is there, the body is copied as it comes, and lookups find it when it is
 * whole. Until then its blocks count as used, and nobody can evict it. */
#include <assert.h>
#include <string.h>

#include "proxy/cache/hcache_state.h"
#include "proxy/proxy.h"

_Static_assert(sizeof(struct hcache_entry) + HCACHE_URL_BYTES_MAX + HCACHE_ETAG_BYTES_MAX + 1 + HCACHE_VARY_BYTES_MAX +
                       HCACHE_TAGS_MAX * sizeof(uint32_t) + 16 <=
                   HCACHE_BLOCK_BYTES,
               "all but the head fits in the first block");

#define HEAD_SLACK 64 /* behind a head, so that most 304s find room to change it */

static struct hcache_entry *entry_of(struct hcache_fill *f)
{
    return (struct hcache_entry *)(uintptr_t)((uint8_t *)f - offsetof(struct hcache_entry, fill));
}

/* What is known of a response before a block is taken for it. */
struct plan {
    struct hcache_facts facts;
    struct hcache_freshness freshness;
    int vary_bytes, tag_count;
    size_t head_bytes;
    uint8_t vary[HCACHE_VARY_BYTES_MAX];
    uint64_t tags[HCACHE_TAGS_MAX];
};

/* The response is not kept, and what is kept of the URL is not what the origin has now (RFC 9111 4.3.3). */
static void supersede(struct hcache_request *q, const struct http_response *r)
{
    if (q->entry && r->status < 500 && q->request->method == HTTP_GET)
        hcache_entry_unlink(q->entry, false);
}

/* Whether the next response to the URL can be expected to end the same way. */
static struct hcache_fill *refuse(struct hcache_request *q, const struct http_response *r, bool lasting, int64_t now)
{
    supersede(q, r);
    if (lasting && r->status < 500 && r->status != 206 && r->status != 304)
        hcache_fetch_refused(q->cache, q->key, now);
    hcache_fetch_done(q, HCACHE_OUTCOME_REFUSED);
    return NULL;
}

static bool plan_make(struct plan *p, struct hcache_request *q, const struct http_response *r, const uint8_t *head,
                      int64_t now, bool *lasting)
{
    struct hcache *c = q->cache;
    struct hcache_wish wish;
    *lasting = false;
    hcache_wish_read(&wish, q->request, q->head);
    hcache_facts_read(&p->facts, r, head, now);
    hcache_freshness_make(&p->freshness, &p->facts, &c->presets, q->asked_seconds, now);
    enum hcache_refusal why = hcache_storable(q->request->method, &wish, &p->facts, &p->freshness);
    *lasting = why != HCACHE_REFUSED_METHOD && why != HCACHE_REFUSED_AUTHORIZATION;
    if (why != HCACHE_STORABLE || (r->body == HTTP_BODY_LENGTH && r->content_length > c->object_bytes_max))
        return false;
    p->vary_bytes = hcache_vary_make(r, head, q->request, q->head, p->vary);
    p->tag_count = hcache_tags_read(c->secret, r, head, p->tags);
    p->head_bytes = hcache_head_write(hcache_block(&c->pool, 0), HCACHE_BLOCK_BYTES, r, head, &p->facts, now);
    if (p->vary_bytes < 0 || p->tag_count < 0 || !p->head_bytes)
        return false;
    *lasting = false; /* from here on it is a matter of room, or of a purge in between */
    return q->sequence >= c->hard;
}

/* Each part behind the one before; returns where the head may begin. */
static void lay_out(struct hcache_entry *e, const struct hcache_url *u, const struct plan *p)
{
    uint8_t *base = (uint8_t *)e, *at = base + sizeof *e;
    const struct mr_span parts[] = {u->scheme, u->host, u->target};
    e->url_at = (uint16_t)(at - base);
    for (unsigned i = 0; i < 3; i++) {
        if (parts[i].length)
            memcpy(at, parts[i].data, parts[i].length);
        at += parts[i].length;
    }
    e->scheme_length = (uint16_t)u->scheme.length;
    e->host_length = (uint16_t)u->host.length;
    e->target_length = (uint16_t)u->target.length;
    e->etag_at = (uint16_t)(at - base);
    if (p->facts.etag.length <= HCACHE_ETAG_BYTES_MAX && p->facts.etag.length) {
        e->etag_length = (uint16_t)p->facts.etag.length;
        memcpy(at, p->facts.etag.data, e->etag_length);
    }
    at[e->etag_length] = 0;
    at += e->etag_length + 1;
    e->vary_at = (uint16_t)(at - base);
    e->vary_length = (uint16_t)p->vary_bytes;
    memcpy(at, p->vary, e->vary_length);
    at += e->vary_length;
    e->tags_at = (uint16_t)((size_t)(at - base + 3) & ~(size_t)3);
    e->inline_at = (uint16_t)(e->tags_at + (unsigned)p->tag_count * sizeof(uint32_t));
}

static bool place_head(struct hcache_entry *e, size_t bytes)
{
    struct hcache *c = e->cache;
    size_t room = HCACHE_BLOCK_BYTES - e->inline_at;
    if (bytes <= room) {
        e->head = (uint8_t *)e + e->inline_at;
        e->head_room = (uint16_t)(bytes + HEAD_SLACK < room ? bytes + HEAD_SLACK : room);
        e->inline_at = (uint16_t)(e->inline_at + e->head_room);
    } else {
        if (!(e->head_block = hcache_block_take(c)))
            return false;
        e->head = hcache_block(&c->pool, e->head_block);
        e->head_room = HCACHE_BLOCK_BYTES;
        e->blocks++;
    }
    memcpy(e->head, hcache_block(&c->pool, 0), bytes);
    e->head_length = (uint16_t)bytes;
    return true;
}

/* False as well when a tag may have been purged since the request was sent, and its slot is forgotten (it may have gone with what was evicted for
 * us a moment ago: so this comes after all blocks are there, when the slots that we hold stay). */
static bool hold_tags(struct hcache_entry *e, const struct plan *p)
{
    uint32_t *slots = hcache_entry_tags(e);
    for (int i = 0; i < p->tag_count; i++) {
        if (!(slots[i] = hcache_tag_hold(&e->cache->tags, p->tags[i])))
            return false;
        e->tag_count++;
    }
    return !e->tag_count || e->sequence >= e->cache->tags.forgotten;
}

static struct hcache_entry *entry_make(struct hcache_request *q, const struct http_response *r, const struct plan *p)
{
    struct hcache *c = q->cache;
    const struct hcache_url url = hcache_request_url(q);
    uint32_t block = hcache_block_take(c);
    if (!block)
        return NULL;
    struct hcache_entry *e = hcache_block(&c->pool, block);
    *e = (struct hcache_entry){
        .cache = c,
        .holds = 1,
        .key = q->key,
        .policy_hash = q->key ^ (p->vary_bytes ? hcache_hash(c->secret, p->vary, (size_t)p->vary_bytes) : 0),
        .sequence = q->sequence,
        .checked = q->sequence,
        .freshness = p->freshness,
        .date = p->facts.date,
        .modified = p->facts.last_modified,
        .status = r->status,
        .etag_weak = p->facts.etag_weak,
        .blocks = 1};
    lay_out(e, &url, p);
    if (place_head(e, p->head_bytes) && hold_tags(e, p))
        return e;
    hcache_entry_release(e);
    return NULL;
}

struct hcache_fill *hcache_fill_begin(struct hcache_request *q, const struct http_response *response,
                                      const uint8_t *head, int64_t wall_seconds)
{
    struct plan p;
    bool lasting;
    q->forward_status = response->status;
    if (q->fill || (q->verdict != HCACHE_MISS && q->verdict != HCACHE_VALIDATE && q->verdict != HCACHE_STALE))
        return NULL;
    hcache_sweep(q->cache);
    if (!plan_make(&p, q, response, head, wall_seconds, &lasting))
        return refuse(q, response, lasting, wall_seconds);
    struct hcache_entry *e = entry_make(q, response, &p);
    if (!e)
        return refuse(q, response, false, wall_seconds);
    e->fill.request = q;
    e->fill.promised = response->body == HTTP_BODY_LENGTH ? response->content_length
                       : response->body == HTTP_BODY_NONE ? 0
                                                          : UINT64_MAX;
    q->fill = &e->fill;
    q->stored = true;
    return q->fill;
}

const struct hcache_entry *hcache_fill_entry(const struct hcache_fill *f)
{
    return (const struct hcache_entry *)(uintptr_t)((const uint8_t *)f - offsetof(struct hcache_entry, fill));
}

static void fill_over(struct hcache_fill *f, enum hcache_outcome outcome)
{
    struct hcache_request *q = f->request;
    if (q) {
        q->fill = NULL;
        q->stored &= outcome == HCACHE_OUTCOME_STORED;
        hcache_fetch_done(q, outcome);
    }
    f->request = NULL;
    hcache_entry_release(entry_of(f));
}

#define PER_INDEX (HCACHE_BLOCK_BYTES / sizeof(uint32_t))

/* The place where block `n` of the body is named; makes the index block it lies in. */
static uint32_t *place_of(struct hcache_entry *e, uint64_t n)
{
    struct hcache_pool *p = &e->cache->pool;
    if (n < HCACHE_DIRECT)
        return &e->direct[n];
    n -= HCACHE_DIRECT;
    if (n / PER_INDEX >= HCACHE_INDEXES)
        return NULL;
    uint32_t *index = &e->index[n / PER_INDEX];
    if (!*index) {
        if (!(*index = hcache_block_take(e->cache)))
            return NULL;
        memset(hcache_block(p, *index), 0, HCACHE_BLOCK_BYTES);
        e->blocks++;
    }
    return (uint32_t *)hcache_block(p, *index) + n % PER_INDEX;
}

static bool grow(struct hcache_entry *e)
{
    uint32_t *place = place_of(e, (e->length - (HCACHE_BLOCK_BYTES - e->inline_at)) / HCACHE_BLOCK_BYTES);
    if (!place || !(*place = hcache_block_take(e->cache)))
        return false;
    e->blocks++;
    return true;
}

static bool copy(struct hcache_entry *e, const uint8_t *data, size_t n)
{
    while (n) {
        size_t room;
        uint8_t *to = hcache_entry_at(e, e->length, &room);
        if (!to) {
            if (!grow(e))
                return false;
            continue;
        }
        size_t some = room < n ? room : n;
        memcpy(to, data, some);
        data += some;
        n -= some;
        e->length += some;
    }
    return true;
}

bool hcache_fill_append(struct hcache_fill *f, const uint8_t *data, size_t n)
{
    struct hcache_entry *e = entry_of(f);
    bool fits = n <= e->cache->object_bytes_max - e->length && n <= f->promised - e->length;
    if (fits && copy(e, data, n))
        return true;
    if (!fits && f->request) /* the next one will be as large */
        hcache_fetch_refused(e->cache, e->key, f->request->asked_seconds);
    fill_over(f, HCACHE_OUTCOME_REFUSED);
    return false;
}

void hcache_fill_abort(struct hcache_fill *f)
{
    fill_over(f, HCACHE_OUTCOME_DIED);
}

static struct hcache_url url_of(const struct hcache_entry *e)
{
    const uint8_t *p = (const uint8_t *)e + e->url_at;
    return (struct hcache_url){{p, e->scheme_length},
                               {p + e->scheme_length, e->host_length},
                               {p + e->scheme_length + e->host_length, e->target_length}};
}

/* The newest response says how its URL varies: those that it replaces go, those that vary by other fields, and the oldest of too many. */
static void make_way(struct hcache_entry *e)
{
    struct hcache *c = e->cache;
    const struct hcache_url url = url_of(e);
    const struct mr_span vary = hcache_entry_vary(e);
    unsigned variants = 1;
    for (uint32_t block = c->buckets[e->key & c->bucket_mask]; block;) {
        struct hcache_entry *other = hcache_block(&c->pool, block);
        block = other->chain;
        if (!hcache_entry_is(other, e->key, &url))
            continue;
        const struct mr_span theirs = hcache_entry_vary(other);
        bool same = theirs.length == vary.length && memcmp(theirs.data, vary.data, vary.length) == 0;
        if (same || !hcache_vary_same_names(theirs, vary) || ++variants > HCACHE_VARIANTS_MAX)
            hcache_entry_unlink(other, false);
    }
}

void hcache_fill_end(struct hcache_fill *f)
{
    struct hcache_entry *e = entry_of(f);
    struct hcache *c = e->cache;
    if (f->promised != UINT64_MAX && e->length != f->promised) { /* incomplete (RFC 9111 3.3) */
        fill_over(f, HCACHE_OUTCOME_DIED);
        return;
    }
    if (hcache_entry_dead(e) || hcache_purged_since(c, e->key, e->sequence)) {
        fill_over(f, HCACHE_OUTCOME_REFUSED);
        return;
    }
    make_way(e);
    hcache_entry_link(e);
    c->counters[PROXY_CACHE_STORES]++;
    fill_over(f, HCACHE_OUTCOME_STORED);
}
