/* The built-in congestion-control algorithms and how a connection takes one up. */
#include "stack/tcp/cc/cc.h"

#include <string.h>

#include "stack/tcp/tcp.h"

const struct mr_congestion_algorithm *const tcp_algorithms[] = {&cc_reno, NULL};

int tcp_algorithm_find(const char *name)
{
    for (int i = 0; tcp_algorithms[i]; i++)
        if (strcmp(tcp_algorithms[i]->name, name) == 0)
            return i;
    return -1;
}

void tcp_congestion_start(struct mr_worker *w, struct tcb *c, unsigned algorithm)
{
    const struct mr_congestion_algorithm *a = tcp_algorithms[algorithm];
    if (!c->cc.cwnd) { /* a new connection, not a swap: RFC 6928 */
        c->cc.cwnd = TCP_INITIAL_WINDOW * (uint32_t)c->mss;
        c->cc.ssthresh = UINT32_MAX;
    }
    c->cc.mss = c->mss;
    if (a->state_bytes > MR_CONGESTION_INLINE_BYTES) {
        void *state = slab_get(&w->tcp->cc_states);
        if (state)
            c->cc.external = state;
        else /* the first of the table keeps its state inline */
            a = tcp_algorithms[algorithm = 0];
    }
    c->algorithm = (uint8_t)algorithm;
    a->init(&c->cc, NULL, w->now);
}

void tcp_congestion_stop(struct mr_worker *w, struct tcb *c)
{
    const struct mr_congestion_algorithm *a = tcp_algorithms[c->algorithm];
    if (!c->cc.cwnd) /* never started */
        return;
    if (a->release)
        a->release(&c->cc);
    if (a->state_bytes > MR_CONGESTION_INLINE_BYTES)
        slab_put(&w->tcp->cc_states, c->cc.external);
    memset(c->cc.state, 0, sizeof c->cc.state);
}
