/* Whether a response may be kept, and is worth it (RFC 9111 3, 3.5). */
#ifndef SERVICES_PROXY_CACHE_STORABLE_H
#define SERVICES_PROXY_CACHE_STORABLE_H

#include "proxy/cache/freshness.h"

enum hcache_refusal {
    HCACHE_STORABLE,
    HCACHE_REFUSED_METHOD,        /* not an answer to GET */
    HCACHE_REFUSED_STATUS,        /* not final, partial, 304, or not understood where that is a condition */
    HCACHE_REFUSED_NO_STORE,      /* of the request or the response */
    HCACHE_REFUSED_PRIVATE,       /* */
    HCACHE_REFUSED_AUTHORIZATION, /* 3.5: the request had one, and the response does not permit it */
    HCACHE_REFUSED_COOKIE,        /* it sets one: our policy, not the RFC's */
    HCACHE_REFUSED_VARY,          /* "*": no other request would match */
    HCACHE_REFUSED_USELESS,       /* nothing says how long, and there is nothing to ask by: never to be served */
};

enum hcache_refusal hcache_storable(enum http_method method, const struct hcache_wish *wish,
                                    const struct hcache_facts *facts, const struct hcache_freshness *freshness);

#endif
