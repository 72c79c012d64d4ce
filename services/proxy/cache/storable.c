#include "proxy/cache/storable.h"

/* Statuses whose meaning for a cache is known to us (RFC 9111 5.2.2.3, must-understand). */
static bool understood(int status)
{
    return hcache_status_heuristic(status) || (status >= 302 && status <= 307 && status != 304 && status != 305) ||
           status == 200 || status == 400 || status == 403 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}

/* RFC 9111 3, must-understand: no-store is for those who do not know the status. */
static bool forbidden(const struct hcache_facts *f)
{
    return hcache_control_has(&f->control, HCACHE_NO_STORE) &&
           !(hcache_control_has(&f->control, HCACHE_MUST_UNDERSTAND) && understood(f->status));
}

static bool status_fits(const struct hcache_facts *f)
{
    if (f->status < 200 || f->status > 599 || f->status == 206 || f->status == 304)
        return false;
    return !hcache_control_has(&f->control, HCACHE_MUST_UNDERSTAND) || understood(f->status);
}

static bool authorized(const struct hcache_control *c)
{
    return hcache_control_has(c, HCACHE_PUBLIC) || hcache_control_has(c, HCACHE_S_MAXAGE) ||
           hcache_control_has(c, HCACHE_MUST_REVALIDATE);
}

/* Something says that it may be kept: a lifetime, public, or its status. */
static bool invited(const struct hcache_facts *f)
{
    return hcache_control_has(&f->control, HCACHE_PUBLIC) || hcache_control_has(&f->control, HCACHE_MAX_AGE) ||
           hcache_control_has(&f->control, HCACHE_S_MAXAGE) || f->has_expires || hcache_status_heuristic(f->status);
}

static bool useful(const struct hcache_facts *f, const struct hcache_freshness *freshness)
{
    bool validator = f->etag.data || f->last_modified != HCACHE_UNKNOWN;
    bool lasts = freshness->lifetime > 0 || freshness->stale_while_revalidate > 0;
    return invited(f) && ((lasts && !freshness->validates) || (validator && f->status == 200));
}

enum hcache_refusal hcache_storable(enum http_method method, const struct hcache_wish *wish,
                                    const struct hcache_facts *f, const struct hcache_freshness *freshness)
{
    const struct {
        bool refused;
        enum hcache_refusal why;
    } rules[] = {
        {method != HTTP_GET, HCACHE_REFUSED_METHOD},
        {!status_fits(f), HCACHE_REFUSED_STATUS},
        {hcache_control_has(&wish->control, HCACHE_NO_STORE) || forbidden(f), HCACHE_REFUSED_NO_STORE},
        {hcache_control_has(&f->control, HCACHE_PRIVATE), HCACHE_REFUSED_PRIVATE},
        {wish->authorization && !authorized(&f->control), HCACHE_REFUSED_AUTHORIZATION},
        {f->set_cookie, HCACHE_REFUSED_COOKIE},
        {f->vary_any, HCACHE_REFUSED_VARY},
        {!useful(f, freshness), HCACHE_REFUSED_USELESS},
    };
    for (unsigned i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].refused)
            return rules[i].why;
    return HCACHE_STORABLE;
}
