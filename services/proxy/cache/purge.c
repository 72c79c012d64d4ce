/* Purges and invalidation. Of a URL: its entries are looked up. Of a tag, or of everything: a number is noted that is larger than those of all
 * entries there are; whoever comes upon one of them later sees that it is dead, or outdated. */
#include <string.h>

#include "proxy/cache/hcache_state.h"
#include "proxy/proxy.h"

static uint64_t *purged_slot(struct hcache *c, uint64_t key)
{
    return &c->purged[key % HCACHE_PURGED_SLOTS];
}

bool hcache_purged_since(const struct hcache *c, uint64_t key, uint64_t sequence)
{
    return c->purged[key % HCACHE_PURGED_SLOTS] > sequence;
}

/* Other URLs of the slot that are being fetched right now are not kept either: they are with the next fetch. */
static uint64_t purge_key(struct hcache *c, uint64_t key, const struct hcache_url *url, bool soft)
{
    uint64_t n = 0;
    *purged_slot(c, key) = ++c->sequence;
    for (uint32_t block = c->buckets[key & c->bucket_mask]; block;) {
        struct hcache_entry *e = hcache_block(&c->pool, block);
        block = e->chain;
        if (!hcache_entry_is(e, key, url))
            continue;
        bool dead = hcache_entry_dead(e);
        n += !dead;
        if (soft && !dead)
            e->outdated = true;
        else
            hcache_entry_unlink(e, false);
    }
    return n;
}

static uint64_t purge(struct hcache *c, const struct hcache_url *url, bool soft)
{
    return hcache_url_bytes(url) <= HCACHE_URL_BYTES_MAX ? purge_key(c, hcache_url_hash(c->secret, url), url, soft)
                                                         : 0; /* no entry is that long */
}

static uint64_t counted(struct hcache *c, uint64_t n)
{
    c->counters[PROXY_CACHE_PURGED] += n;
    return n;
}

uint64_t hcache_purge_url(struct hcache *c, struct mr_span scheme, struct mr_span host, struct mr_span target,
                          bool soft)
{
    const struct hcache_url url = {scheme, host, target};
    return counted(c, purge(c, &url, soft));
}

uint64_t hcache_purge_tag(struct hcache *c, struct mr_span text, bool soft)
{
    uint32_t slot = hcache_tag_find(&c->tags, hcache_hash(c->secret, text.data, text.length));
    uint64_t now = ++c->sequence;
    if (!slot) {
        c->tags.forgotten = now;
        return 0;
    }
    struct hcache_tag *tag = &c->tags.slots[slot];
    uint64_t n = tag->live;
    if (soft) {
        tag->soft = now;
    } else {
        tag->hard = now;
        tag->live = 0;
    }
    return counted(c, n);
}

uint64_t hcache_purge_all(struct hcache *c, bool soft)
{
    uint64_t n = c->live, now = ++c->sequence;
    if (soft) {
        c->soft = now;
    } else {
        c->hard = now;
        c->live = 0;
    }
    return counted(c, n);
}

void hcache_invalidate(struct hcache *c, struct mr_span scheme, struct mr_span host, struct mr_span target)
{
    const struct hcache_url url = {scheme, host, target};
    purge(c, &url, false);
}

static bool takes_prefix(struct mr_span *text, struct mr_span prefix)
{
    if (text->length < prefix.length ||
        strncasecmp((const char *)text->data, (const char *)prefix.data, prefix.length) != 0)
        return false;
    *text = (struct mr_span){text->data + prefix.length, text->length - prefix.length};
    return true;
}

static bool takes(struct mr_span *text, const char *prefix)
{
    return takes_prefix(text, (struct mr_span){(const uint8_t *)prefix, strlen(prefix)});
}

/* An absolute URI or path of the same host, as a target; references relative to a path are left alone (RFC 9111 4.4 asks for none of them). */
static bool same_host(const struct hcache_url *of, struct mr_span reference, struct mr_span *target)
{
    struct mr_span rest = reference;
    if (rest.length && rest.data[0] == '/' && (rest.length == 1 || rest.data[1] != '/')) {
        *target = rest;
    } else {
        if (!takes(&rest, "//") && (rest = reference, !takes_prefix(&rest, of->scheme) || !takes(&rest, "://")))
            return false;
        if (!takes_prefix(&rest, of->host) || (rest.length && !strchr("/?#", rest.data[0])))
            return false;
        static const uint8_t root[] = {'/'};
        *target = rest.length && rest.data[0] == '/' ? rest : (struct mr_span){root, 1};
    }
    const uint8_t *fragment = memchr(target->data, '#', target->length);
    if (fragment)
        target->length = (size_t)(fragment - target->data);
    return true;
}

void hcache_invalidate_response(struct hcache *c, struct mr_span scheme, struct mr_span host, struct mr_span target,
                                const struct http_response *response, const uint8_t *head)
{
    const struct hcache_url of = {scheme, host, target};
    struct hcache_url other = of;
    if (response->status < 200 || response->status > 399)
        return;
    purge(c, &of, false);
    if (same_host(&of, http_response_value(response, head, HTTP_HEADER_LOCATION), &other.target))
        purge(c, &other, false);
    if (same_host(&of, http_response_value(response, head, HTTP_HEADER_CONTENT_LOCATION), &other.target))
        purge(c, &other, false);
}
