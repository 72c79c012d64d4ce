/* Cache-Control (RFC 9111 5.2) and what stands in its place: directives of a list of fields, as plain values.
 *
 * Untrusted text is read here and nowhere else. Where it is wrong the reading is the one that keeps less: an unreadable age is 0, of two ages
 * the smaller counts (4.2.1), a stale-... that cannot be read was not said. Unknown directives are skipped (5.2.3). */
#ifndef SERVICES_PROXY_CACHE_CACHE_CONTROL_H
#define SERVICES_PROXY_CACHE_CACHE_CONTROL_H

#include <millrace/types.h>

#define HCACHE_DELTA_MAX (UINT32_C(1) << 31) /* RFC 9111 1.2.2: what is larger, or overflows, is this */

enum hcache_directive {
    /* with a number of seconds */
    HCACHE_MAX_AGE,
    HCACHE_S_MAXAGE,
    HCACHE_MAX_STALE, /* without a number: any */
    HCACHE_MIN_FRESH,
    HCACHE_STALE_WHILE_REVALIDATE,
    HCACHE_STALE_IF_ERROR,
    HCACHE_NUMBERS,
    /* without; the first two may have a list of fields */
    HCACHE_NO_CACHE = HCACHE_NUMBERS,
    HCACHE_PRIVATE,
    HCACHE_NO_STORE,
    HCACHE_MUST_REVALIDATE,
    HCACHE_PROXY_REVALIDATE,
    HCACHE_MUST_UNDERSTAND,
    HCACHE_PUBLIC,
    HCACHE_NO_TRANSFORM,
    HCACHE_ONLY_IF_CACHED,
    HCACHE_DIRECTIVES,
};

#define HCACHE_LISTS_MAX 4 /* of fields; with more the directive counts as one without a list, which keeps less */

struct hcache_control {
    uint32_t present; /* bit d: directive d came; no-cache and private only when without a list */
    uint32_t seconds[HCACHE_NUMBERS];
    unsigned list_count;
    struct mr_span
        lists[HCACHE_LISTS_MAX]; /* field names of no-cache="..." and private="...", borrowed from the text */
};

static inline bool hcache_control_has(const struct hcache_control *c, enum hcache_directive d)
{
    return c->present >> d & 1;
}

/* Adds the directives of one field line to `c`, which begins as zero. */
void hcache_control_add(struct hcache_control *c, struct mr_span value);

/* The same for a targeted field (RFC 9213: a dictionary of RFC 8941). False: the line is malformed, and all of the field is to be ignored. */
bool hcache_control_add_targeted(struct hcache_control *c, struct mr_span value);

/* Whether one of the lists names the field. */
bool hcache_control_lists(const struct hcache_control *c, struct mr_span name);

/* 1*DIGIT as delta-seconds, saturated. False: not a number. */
bool hcache_delta_parse(struct mr_span text, uint32_t *seconds);

#endif
