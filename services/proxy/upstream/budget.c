/* Retries are for the few requests that meet a backend as it fails. When all fail, each retry is one more load on what is left, so they
 * are bounded by a share of the requests of about the last ten seconds; and never below ten a second, for where little is asked a share
 * would be nothing. */
#include "proxy/upstream/table.h"

#define WINDOW     (10 * MR_SECOND)
#define FLOOR_RATE 10.0 /* a second, and saved up for a second */
#define PER_SECOND (1.0 / (double)MR_SECOND)

/* Tokens of the share fade with time as what earned them leaves the window: linear in small steps, which with many requests is the
 * exponential. */
static void advance(struct upstream_state *s, mr_time now)
{
    mr_time passed = now - s->retry_updated;
    s->retry_share *= passed < WINDOW ? 1.0 - (double)passed / (double)WINDOW : 0.0;
    s->retry_floor += FLOOR_RATE * (double)passed * PER_SECOND;
    if (s->retry_floor > FLOOR_RATE || s->retry_updated == 0)
        s->retry_floor = FLOOR_RATE;
    s->retry_updated = now;
}

void budget_request(struct upstream_state *s, double share, mr_time now)
{
    if (s->retry_updated != now)
        advance(s, now);
    s->retry_share += share;
}

bool budget_retry(struct upstream_state *s, mr_time now)
{
    advance(s, now);
    double *tokens = s->retry_share >= 1.0 ? &s->retry_share : &s->retry_floor;
    if (*tokens < 1.0)
        return false;
    *tokens -= 1.0;
    return true;
}
