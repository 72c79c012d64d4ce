#include "tests/bench/pipe.h"

#include <rte_mbuf.h>

static uint16_t end_receive(void *self, struct rte_mbuf **burst, uint16_t max)
{
    struct bench_pipe_end *e = self;
    uint16_t n = 0;
    while (n < max && e->head != e->tail)
        burst[n++] = e->frame[e->head++ % BENCH_PIPE_FRAMES];
    return n;
}

static uint16_t end_transmit(void *self, struct rte_mbuf **burst, uint16_t n)
{
    struct bench_pipe_end *to = ((struct bench_pipe_end *)self)->other;
    uint16_t k = 0;
    while (k < n && to->tail - to->head < BENCH_PIPE_FRAMES)
        to->frame[to->tail++ % BENCH_PIPE_FRAMES] = burst[k++];
    return k;
}

static void end_statistics(void *self, struct mr_link_statistics *out)
{
    *out = (struct mr_link_statistics){0};
}

static void end_close(void *self)
{
}

void bench_pipe_init(struct bench_pipe *p)
{
    static const char *const names[2] = {"pipe0", "pipe1"};
    for (int i = 0; i < 2; i++) {
        struct bench_pipe_end *e = &p->end[i];
        e->head = e->tail = 0;
        e->other = &p->end[!i];
        e->link = (struct mr_link){.self = e,
                                   .name = names[i],
                                   .mac = {2, 0, 0, 0, 1, (uint8_t)(i + 1)},
                                   .mtu = 1500,
                                   .offloads = MR_LINK_TX_MULTI_SEGMENT,
                                   .receive = end_receive,
                                   .transmit = end_transmit,
                                   .statistics = end_statistics,
                                   .close = end_close};
    }
}

void bench_pipe_release(struct bench_pipe *p)
{
    for (int i = 0; i < 2; i++)
        while (p->end[i].head != p->end[i].tail)
            rte_pktmbuf_free(p->end[i].frame[p->end[i].head++ % BENCH_PIPE_FRAMES]);
}
