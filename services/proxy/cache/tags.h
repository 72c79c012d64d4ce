/* Tags of entries (Cache-Tag, Surrogate-Key): each tag in use has a slot that says when it was last purged, so that a purge costs the same
 * however many entries carry it. A tag is known by a keyed hash of 64 bits. */
#ifndef SERVICES_PROXY_CACHE_TAGS_H
#define SERVICES_PROXY_CACHE_TAGS_H

#include "http/response_head.h"

#define HCACHE_TAGS_MAX 32 /* of one entry; a response with more is not kept, for a purge could miss it */

struct hcache_tag {
    uint64_t hash;
    uint64_t hard, soft; /* sequence numbers of its last purges */
    uint32_t holds;      /* entries that name it, those on their way in or out included */
    uint32_t live;       /* that can be found, and are not older than the last hard purge */
    uint32_t next;       /* in its bucket, or free */
};

struct hcache_tags {
    struct hcache_tag *slots; /* 1 .. count */
    uint32_t *buckets;
    uint32_t count, mask, used, free;
    uint64_t
        forgotten; /* sequence number of the last purge of a tag that has no slot: what was asked for before may have carried it */
};

bool hcache_tags_init(struct hcache_tags *t, uint32_t count);
void hcache_tags_release(struct hcache_tags *t);

/* The hashes of all tags of a response, each once, case matters; -1: more than HCACHE_TAGS_MAX. Cache-Tag has commas between them,
 * Surrogate-Key spaces; both are taken for both. */
int hcache_tags_read(const uint64_t secret[2], const struct http_response *r, const uint8_t *head,
                     uint64_t hashes[HCACHE_TAGS_MAX]);

uint32_t hcache_tag_find(const struct hcache_tags *t, uint64_t hash); /* 0: no entry has it */
uint32_t hcache_tag_hold(struct hcache_tags *t, uint64_t hash);       /* 0: no slot is left */
void hcache_tag_release(struct hcache_tags *t, uint32_t slot);

#endif
