/* How long a response is good, how old it is, and what may be done with it then (RFC 9111 4.2, 5.2; RFC 5861). Arithmetic alone: times are given.
 * All seconds; sums stop at HCACHE_DELTA_MAX. */
#ifndef SERVICES_PROXY_CACHE_FRESHNESS_H
#define SERVICES_PROXY_CACHE_FRESHNESS_H

#include "proxy/cache/facts.h"

struct hcache_freshness {
    int64_t arrived;                                 /* response_time of 4.2.3 */
    uint32_t initial_age;                            /* corrected_initial_age */
    uint32_t lifetime;                               /* freshness_lifetime */
    uint32_t stale_while_revalidate, stale_if_error; /* how far beyond it */
    bool asked_first; /* s-maxage: stale only where the response itself says so (5.2.2.10) */
    bool heuristic;   /* the lifetime is a guess of ours (4.2.2) */
    bool validates;   /* no-cache: never without asking */
    bool never_stale; /* must-revalidate, proxy-revalidate: not even when the client would take it (4.2.4) */
};

struct hcache_presets {
    uint32_t heuristic_max, stale_while_revalidate;
};

/* `asked` is when the request was sent, `arrived` when the response came. */
void hcache_freshness_make(struct hcache_freshness *f, const struct hcache_facts *facts,
                           const struct hcache_presets *presets, int64_t asked, int64_t arrived);

uint32_t hcache_freshness_age(const struct hcache_freshness *f, int64_t now);

/* Statuses that may be kept without being told how long (RFC 9110 15.1). */
bool hcache_status_heuristic(int status);

enum hcache_reuse {
    HCACHE_REUSE_FRESH,
    HCACHE_REUSE_TOLERATED, /* stale, and the client takes it so (max-stale) */
    HCACHE_REUSE_WHILE,     /* stale, to be served while somebody asks anew */
    HCACHE_REUSE_EXPIRED,   /* ask first */
    HCACHE_REUSE_ALWAYS,    /* the response wants to be asked for each time: nobody else can do it for this request */
    HCACHE_REUSE_REFUSED,   /* the client wants it asked for, others may have it as it is */
};

/* `outdated`: a soft purge said so, whatever its age. */
enum hcache_reuse hcache_reuse(const struct hcache_freshness *f, const struct hcache_control *wish, bool outdated,
                               int64_t now);

/* Whether it may be served because the backend failed. */
bool hcache_reuse_on_error(const struct hcache_freshness *f, const struct hcache_control *wish, int64_t now);

#endif
