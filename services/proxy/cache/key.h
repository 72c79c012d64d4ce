/* What an entry is found by: its URL, and the request fields that Vary names (RFC 9111 2, 4.1). */
#ifndef SERVICES_PROXY_CACHE_KEY_H
#define SERVICES_PROXY_CACHE_KEY_H

#include "http/response_head.h"

#define HCACHE_URL_BYTES_MAX        2048 /* scheme, host and target together; longer ones are not kept */
#define HCACHE_VARY_BYTES_MAX       1024 /* names and values of one entry */
#define HCACHE_VARY_VALUE_BYTES_MAX 512  /* one value; longer ones (cookies, mostly) make no entry */

struct hcache_url {
    struct mr_span scheme, host, target;
};

/* SipHash-1-3 under a secret of the worker's: who does not know it cannot aim at a bucket. */
uint64_t hcache_hash(const uint64_t secret[2], const void *data, size_t n);
/* `n` at most HCACHE_URL_BYTES_MAX together. */
uint64_t hcache_url_hash(const uint64_t secret[2], const struct hcache_url *u);

static inline size_t hcache_url_bytes(const struct hcache_url *u)
{
    return u->scheme.length + u->host.length + u->target.length;
}

/* The part of an entry that says which requests it answers: for each member of Vary
 *
 *     | name length 1 | value length 2, or 0xffff: the field was not there | name in lower case | value, normalised |
 *
 * in the order of Vary, each name once. The same request fields and the same Vary make the same bytes.
 * Returns the bytes, or -1 when they are more than HCACHE_VARY_BYTES_MAX. */
int hcache_vary_make(const struct http_response *r, const uint8_t *response_head, const struct http_request *q,
                     const uint8_t *request_head, uint8_t out[HCACHE_VARY_BYTES_MAX]);
bool hcache_vary_matches(struct mr_span vary, const struct http_request *q, const uint8_t *head);
/* Whether both name the same fields in the same order, whatever their values. */
bool hcache_vary_same_names(struct mr_span a, struct mr_span b);

#endif
