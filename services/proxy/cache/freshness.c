#include "proxy/cache/freshness.h"

static uint32_t clamp(int64_t seconds)
{
    return seconds < 0 ? 0 : seconds < HCACHE_DELTA_MAX ? (uint32_t)seconds : HCACHE_DELTA_MAX;
}

static uint32_t sum(uint32_t a, uint32_t b)
{
    return clamp((int64_t)a + b);
}

bool hcache_status_heuristic(int status)
{
    static const uint16_t statuses[] = {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501}; /* 206 is not kept */
    for (unsigned i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i] == status)
            return true;
    return false;
}

/* RFC 9111 4.2.2: a tenth of the time since it last changed. `public` lets any status be guessed at. */
static uint32_t heuristic_lifetime(const struct hcache_facts *facts, uint32_t most, int64_t date)
{
    if (facts->last_modified == HCACHE_UNKNOWN ||
        !(hcache_status_heuristic(facts->status) || hcache_control_has(&facts->control, HCACHE_PUBLIC)))
        return 0;
    uint32_t lifetime = clamp(date - facts->last_modified) / 10;
    return lifetime < most ? lifetime : most;
}

/* RFC 9111 4.2.1, in its order. */
static uint32_t lifetime_of(const struct hcache_facts *facts, uint32_t heuristic_max, int64_t date, bool *heuristic)
{
    *heuristic = false;
    if (hcache_control_has(&facts->control, HCACHE_S_MAXAGE))
        return facts->control.seconds[HCACHE_S_MAXAGE];
    if (hcache_control_has(&facts->control, HCACHE_MAX_AGE))
        return facts->control.seconds[HCACHE_MAX_AGE];
    if (facts->has_expires)
        return clamp(facts->expires - date);
    *heuristic = true;
    return heuristic_lifetime(facts, heuristic_max, date);
}

/* RFC 9111 4.2.3. */
static uint32_t initial_age_of(const struct hcache_facts *facts, int64_t date, int64_t asked, int64_t arrived)
{
    uint32_t apparent = clamp(arrived - date);
    uint32_t corrected = sum(facts->age, clamp(arrived - asked));
    return apparent > corrected ? apparent : corrected;
}

/* What is said holds; ours is for responses that say nothing, and s-maxage does (5.2.2.10: as proxy-revalidate). */
static uint32_t stale_while_of(const struct hcache_control *c, uint32_t preset)
{
    if (hcache_control_has(c, HCACHE_STALE_WHILE_REVALIDATE))
        return c->seconds[HCACHE_STALE_WHILE_REVALIDATE];
    return hcache_control_has(c, HCACHE_S_MAXAGE) ? 0 : preset;
}

void hcache_freshness_make(struct hcache_freshness *f, const struct hcache_facts *facts,
                           const struct hcache_presets *presets, int64_t asked, int64_t arrived)
{
    const struct hcache_control *c = &facts->control;
    int64_t date = facts->date == HCACHE_UNKNOWN ? arrived : facts->date; /* RFC 9110 6.6.1 */
    *f = (struct hcache_freshness){.arrived = arrived};
    f->initial_age = initial_age_of(facts, date, asked, arrived);
    f->lifetime = lifetime_of(facts, presets->heuristic_max, date, &f->heuristic);
    f->validates = hcache_control_has(c, HCACHE_NO_CACHE);
    f->never_stale = hcache_control_has(c, HCACHE_MUST_REVALIDATE) || hcache_control_has(c, HCACHE_PROXY_REVALIDATE);
    f->asked_first = hcache_control_has(c, HCACHE_S_MAXAGE);
    if (f->validates || f->never_stale)
        return;
    f->stale_while_revalidate = stale_while_of(c, presets->stale_while_revalidate);
    if (hcache_control_has(c, HCACHE_STALE_IF_ERROR))
        f->stale_if_error = c->seconds[HCACHE_STALE_IF_ERROR];
}

uint32_t hcache_freshness_age(const struct hcache_freshness *f, int64_t now)
{
    return sum(f->initial_age, clamp(now - f->arrived));
}

/* RFC 9111 5.2.1: the client may want it younger than it is. */
static bool wish_refuses(const struct hcache_control *wish, uint32_t age, uint32_t lifetime)
{
    if (hcache_control_has(wish, HCACHE_NO_CACHE))
        return true;
    if (hcache_control_has(wish, HCACHE_MAX_AGE) && age > wish->seconds[HCACHE_MAX_AGE])
        return true;
    return hcache_control_has(wish, HCACHE_MIN_FRESH) && lifetime < sum(age, wish->seconds[HCACHE_MIN_FRESH]);
}

enum hcache_reuse hcache_reuse(const struct hcache_freshness *f, const struct hcache_control *wish, bool outdated,
                               int64_t now)
{
    uint32_t age = hcache_freshness_age(f, now);
    bool fresh = age < f->lifetime && !outdated; /* 4.2: lifetime > age */
    if (f->validates || (f->lifetime == 0 && f->stale_while_revalidate == 0))
        return HCACHE_REUSE_ALWAYS;
    if (wish_refuses(wish, age, f->lifetime))
        return fresh ? HCACHE_REUSE_REFUSED : HCACHE_REUSE_EXPIRED;
    if (fresh)
        return HCACHE_REUSE_FRESH;
    if (f->never_stale)
        return HCACHE_REUSE_EXPIRED;
    uint32_t late = age > f->lifetime ? age - f->lifetime : 0;
    if (!outdated && !f->asked_first && hcache_control_has(wish, HCACHE_MAX_STALE) &&
        late <= wish->seconds[HCACHE_MAX_STALE])
        return HCACHE_REUSE_TOLERATED;
    return (outdated && age < f->lifetime) || late < f->stale_while_revalidate ? HCACHE_REUSE_WHILE
                                                                               : HCACHE_REUSE_EXPIRED;
}

bool hcache_reuse_on_error(const struct hcache_freshness *f, const struct hcache_control *wish, int64_t now)
{
    if (f->validates || f->never_stale || hcache_control_has(wish, HCACHE_NO_CACHE))
        return false;
    uint32_t age = hcache_freshness_age(f, now), window = f->stale_if_error;
    if (!f->asked_first && hcache_control_has(wish, HCACHE_STALE_IF_ERROR) &&
        wish->seconds[HCACHE_STALE_IF_ERROR] > window)
        window = wish->seconds[HCACHE_STALE_IF_ERROR];
    return age < f->lifetime || age - f->lifetime < window;
}
