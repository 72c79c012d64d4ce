/* Reno: slow start and congestion avoidance (RFC 5681), counted in bytes (RFC 3465). The recovery that makes it NewReno
 * (RFC 6582) is the stack's, in tcp_loss.c. */
#include "stack/tcp/cc/cc.h"

struct reno {
    uint32_t acked; /* bytes acknowledged since the window last grew */
    uint32_t prior_cwnd, prior_ssthresh;
};
_Static_assert(sizeof(struct reno) <= MR_CONGESTION_INLINE_BYTES, "reno keeps its state inline");

static struct reno *state(struct mr_congestion *c)
{
    return (struct reno *)(void *)c->state;
}

static void reno_init(struct mr_congestion *c, const double *parameters, mr_time now)
{
    *state(c) = (struct reno){0};
    c->pacing_rate = 0;
}

static void reno_on_ack(struct mr_congestion *c, const struct mr_rate_sample *s)
{
    struct reno *r = state(c);
    if (!s->cwnd_limited) /* RFC 7661 in short: a window that was not used proves nothing */
        return;
    if (c->cwnd < c->ssthresh) {
        uint32_t room = c->ssthresh - c->cwnd;
        c->cwnd += s->acked < room ? s->acked : room;
        return;
    }
    r->acked += s->acked;
    if (r->acked >= c->cwnd) { /* one segment a round trip: RFC 5681 3.1 equation 3 */
        r->acked -= c->cwnd;
        c->cwnd += c->mss;
    }
}

static void reno_on_loss(struct mr_congestion *c, enum mr_congestion_loss kind, uint32_t in_flight, mr_time now)
{
    struct reno *r = state(c);
    uint32_t half = in_flight / 2, floor = 2 * c->mss;
    r->prior_cwnd = c->cwnd;
    r->prior_ssthresh = c->ssthresh;
    r->acked = 0;
    c->ssthresh = half > floor ? half : floor; /* RFC 5681 equation 4 */
    c->cwnd = kind == MR_LOSS_TIMEOUT ? c->mss : c->ssthresh;
}

static void reno_on_undo(struct mr_congestion *c, mr_time now)
{
    const struct reno *r = state(c);
    c->cwnd = c->cwnd > r->prior_cwnd ? c->cwnd : r->prior_cwnd;
    c->ssthresh = r->prior_ssthresh;
}

static void reno_on_idle_restart(struct mr_congestion *c, mr_time idle, mr_time now)
{
    uint32_t restart = 10 * c->mss; /* RFC 5681 4.1 with the initial window of RFC 6928 */
    if (c->cwnd > restart)
        c->cwnd = restart;
    state(c)->acked = 0;
}

static double reno_acked(const struct mr_congestion *c)
{
    return ((const struct reno *)(const void *)c->state)->acked;
}

static const struct mr_congestion_variable variables[] = {{"acked", "bytes", reno_acked}, {0}};

const struct mr_congestion_algorithm cc_reno = {
    .abi = MR_CONGESTION_ABI,
    .state_bytes = sizeof(struct reno),
    .name = "reno",
    .sentence = "additive increase, multiplicative decrease (RFC 5681, RFC 6582)",
    .variables = variables,
    .init = reno_init,
    .on_ack = reno_on_ack,
    .on_loss = reno_on_loss,
    .on_undo = reno_on_undo,
    .on_idle_restart = reno_on_idle_restart,
};
