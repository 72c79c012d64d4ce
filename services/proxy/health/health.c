/* The verdict on one backend: told what checks found, it says whether the verdict has changed and when the next check is due.
 *
 *   UNKNOWN --good--> UP --`fall` bad in a row--> DOWN --`rise` x damping good in a row--> UP
 *   UNKNOWN --`fall` bad in a row--> DOWN */
#include "proxy/health/health.h"

#include <assert.h>

#define FIRST_WITHIN   MR_SECOND /* a new backend is checked soon, but many new ones not at once */
#define DELAY_MINIMUM  MR_MILLISECOND
#define FLAPS_MAX      3  /* rise x 2^3 */
#define FLAP_INTERVALS 10 /* changes closer than this x rise are flaps */

const char *health_result_text(enum health_result r)
{
    static const char *const text[] = {
        [HEALTH_GOOD] = "good",
        [HEALTH_REFUSED] = "the connection was refused",
        [HEALTH_UNREACHABLE] = "unreachable",
        [HEALTH_TIMEOUT] = "no answer in time",
        [HEALTH_RESET] = "the connection was reset",
        [HEALTH_ENDED] = "the connection ended before a whole response head",
        [HEALTH_STATUS] = "the status is out of range",
        [HEALTH_MALFORMED] = "the response is malformed",
        [HEALTH_NO_MEMORY] = "no memory, port or address for a check",
    };
    return r < sizeof text / sizeof *text ? text[r] : "unknown";
}

const char *health_verdict_text(enum health_verdict v)
{
    static const char *const text[] = {[HEALTH_UNKNOWN] = "unknown", [HEALTH_UP] = "up", [HEALTH_DOWN] = "down"};
    return v < sizeof text / sizeof *text ? text[v] : "unknown";
}

/* `interval`, up to `jitter` of it earlier or later. */
static mr_time delay_of(const struct proxy_health_config *config, struct mr_random *random)
{
    double factor = 1 + config->jitter * (2 * mr_random_unit(random) - 1);
    mr_time delay = (mr_time)((double)config->interval * factor);
    return delay < DELAY_MINIMUM ? DELAY_MINIMUM : delay;
}

void health_init(struct health *h, const struct proxy_health_config *config, struct mr_random *random, mr_time now)
{
    mr_time within = config->interval < FIRST_WITHIN ? config->interval : FIRST_WITHIN;
    *h = (struct health){.verdict = HEALTH_UNKNOWN, .last = HEALTH_GOOD};
    h->next = now + (mr_time)((double)within * mr_random_unit(random));
}

/* Whether the last change is so recent that another one is a flap. */
static bool changed_lately(const struct health *h, const struct proxy_health_config *config, mr_time now)
{
    return h->changed && now - h->changed < FLAP_INTERVALS * config->rise * config->interval;
}

static uint64_t rise_needed(const struct health *h, const struct proxy_health_config *config, mr_time now)
{
    return changed_lately(h, config, now) ? config->rise << h->flaps : config->rise;
}

/* The only place that writes the verdict. */
static bool verdict_set(struct health *h, const struct proxy_health_config *config, enum health_verdict verdict,
                        mr_time now)
{
    if (!changed_lately(h, config, now))
        h->flaps = 0;
    else if (h->flaps < FLAPS_MAX)
        h->flaps++;
    h->verdict = verdict;
    h->in_a_row = 0;
    h->changed = now;
    return true;
}

static bool good_count(struct health *h, const struct proxy_health_config *config, mr_time now)
{
    switch (h->verdict) {
    case HEALTH_UNKNOWN:
        return verdict_set(h, config, HEALTH_UP, now);
    case HEALTH_UP:
        h->in_a_row = 0;
        return false;
    case HEALTH_DOWN:
        return ++h->in_a_row >= rise_needed(h, config, now) && verdict_set(h, config, HEALTH_UP, now);
    }
    return false;
}

static bool bad_count(struct health *h, const struct proxy_health_config *config, mr_time now)
{
    if (h->verdict == HEALTH_DOWN) {
        h->in_a_row = 0;
        return false;
    }
    return ++h->in_a_row >= config->fall && verdict_set(h, config, HEALTH_DOWN, now);
}

bool health_report(struct health *h, const struct proxy_health_config *config, struct mr_random *random,
                   enum health_result r, mr_time now)
{
    h->next = now + delay_of(config, random);
    if (r == HEALTH_NO_MEMORY) /* says nothing of the backend */
        return false;
    h->checks++;
    h->failures += r != HEALTH_GOOD;
    h->last = r;
    return r == HEALTH_GOOD ? good_count(h, config, now) : bad_count(h, config, now);
}

/* Not that in_a_row is below what the configuration asks for: it may ask for less than it did. */
void health_check(const struct health *h)
{
    assert(h->failures <= h->checks);
    assert(h->flaps <= FLAPS_MAX);
    assert(h->next >= h->changed);
    assert((h->verdict == HEALTH_UNKNOWN) == (h->changed == 0));
    switch (h->verdict) {
    case HEALTH_UNKNOWN: /* all were bad so far, and too few */
        assert(h->in_a_row == h->checks && h->failures == h->checks);
        break;
    case HEALTH_UP:
        assert(h->last != HEALTH_GOOD || h->in_a_row == 0);
        break;
    case HEALTH_DOWN:
        assert(h->last == HEALTH_GOOD || h->in_a_row == 0);
        break;
    }
}
