/* What a request and a response say about caching, read once from their fields. Texts are borrowed from the head. */
#ifndef SERVICES_PROXY_CACHE_FACTS_H
#define SERVICES_PROXY_CACHE_FACTS_H

#include "http/response_head.h"
#include "proxy/cache/cache_control.h"

#define HCACHE_UNKNOWN (-1) /* a date that was not said */

/* A response. Seconds since 1970. */
struct hcache_facts {
    uint16_t status;
    bool targeted;    /* `control` is that of CDN-Cache-Control, so Expires means nothing (RFC 9213 2.2) */
    bool has_expires; /* `expires` is 0, long ago, when it cannot be read (RFC 9111 5.3) */
    bool vary_any;    /* "*" is among the members of Vary */
    bool set_cookie;  /* one that no list of private or no-cache takes out */
    uint32_t age;     /* 0 when there is none */
    int64_t date, expires, last_modified;
    struct mr_span etag; /* with its quotes; NULL when there is none or it is not one */
    bool etag_weak;      /* W/ was in front; not part of `etag` */
    struct hcache_control control;
};

void hcache_facts_read(struct hcache_facts *f, const struct http_response *r, const uint8_t *head, int64_t now);

/* A request. */
struct hcache_wish {
    bool authorization;
    struct hcache_control control; /* Pragma: no-cache counts where there is no Cache-Control (RFC 9111 5.4) */
};

void hcache_wish_read(struct hcache_wish *w, const struct http_request *r, const uint8_t *head);

#endif
