#include "tests/support/tcp_recorder.h"

#include <stdio.h>
#include <stdlib.h>

#include "stack/core/layers.h"

struct tcp_record tcp_record;

bool tcp_init(struct mr_worker *w, const struct worker_limits *limits, const char *congestion)
{
    tcp_record = (struct tcp_record){0};
    return true;
}

bool tcp_add_netif(struct mr_worker *w, const struct netif *n)
{
    return true;
}

void tcp_release(struct mr_worker *w)
{
}

void tcp_in_gather(struct mr_worker *w, struct rte_mbuf *m, const struct mr_address *source,
                   const struct mr_address *destination)
{
    const char *why;
    if (rte_mbuf_check(m, 1, &why) != 0) {
        fprintf(stderr, "tcp recorder: %s\n", why);
        abort();
    }
    tcp_record.segments++;
    tcp_record.source = *source;
    tcp_record.destination = *destination;
    tcp_record.bytes = m->pkt_len;
    rte_pktmbuf_free(m);
}

void tcp_error(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_endpoint *remote,
               uint32_t sequence, int type, int code, uint16_t mtu)
{
    tcp_record.errors++;
    tcp_record.local = *local;
    tcp_record.remote = *remote;
    tcp_record.sequence = sequence;
    tcp_record.type = type;
    tcp_record.code = code;
    tcp_record.mtu = mtu;
}

void tcp_in_burst(struct mr_worker *w)
{
}

void tcp_expired(struct mr_worker *w, struct mr_wheel_node *node)
{
}

void tcp_half_open_expired(struct mr_worker *w, struct mr_wheel_node *node)
{
}

void tcp_time_wait_expired(struct mr_worker *w, struct mr_wheel_node *node)
{
}

unsigned stream_deliver(struct mr_worker *w)
{
    return 0;
}

bool stream_ready(const struct mr_worker *w)
{
    return false;
}

unsigned tcp_output(struct mr_worker *w)
{
    return 0;
}

bool tcp_output_pending(const struct mr_worker *w)
{
    return false;
}

void tcp_stop_listening(struct mr_worker *w)
{
}

void tcp_close_all(struct mr_worker *w)
{
}

bool tcp_idle(const struct mr_worker *w)
{
    return true;
}

void tcp_check(struct mr_worker *w)
{
}
