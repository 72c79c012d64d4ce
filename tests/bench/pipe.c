#include "tests/bench/pipe.h"

#include <rte_mbuf.h>

static uint16_t end_receive(void *self, struct rte_mbuf **burst, uint16_t max)
{
    struct bench_pipe_queue *q = &((struct bench_pipe_end *)self)->arriving;
    uint16_t n = 0;
    while (n < max && q->head != q->tail)
        burst[n++] = q->frame[q->head++ % BENCH_PIPE_FRAMES];
    return n;
}

static uint16_t end_transmit(void *self, struct rte_mbuf **burst, uint16_t n)
{
    struct bench_pipe_queue *q = &((struct bench_pipe_end *)self)->sent;
    uint16_t k = 0;
    while (k < n && q->tail - q->head < BENCH_PIPE_FRAMES)
        q->frame[q->tail++ % BENCH_PIPE_FRAMES] = burst[k++];
    return k;
}

static void carry(struct bench_pipe_end *from, struct bench_pipe_end *to)
{
    while (from->sent.head != from->sent.tail && to->arriving.tail - to->arriving.head < BENCH_PIPE_FRAMES) {
        struct rte_mbuf *m = from->sent.frame[from->sent.head % BENCH_PIPE_FRAMES];
        struct rte_mbuf *copy = rte_pktmbuf_copy(m, to->pool, 0, UINT32_MAX);
        if (!copy)
            return;
        from->sent.head++;
        rte_pktmbuf_free(m);
        to->arriving.frame[to->arriving.tail++ % BENCH_PIPE_FRAMES] = copy;
    }
}

void bench_pipe_carry(struct bench_pipe *p)
{
    carry(&p->end[0], &p->end[1]);
    carry(&p->end[1], &p->end[0]);
}

static void end_statistics(void *self, struct mr_link_statistics *out)
{
    *out = (struct mr_link_statistics){0};
}

static void end_close(void *self)
{
}

void bench_pipe_init(struct bench_pipe *p, struct rte_mempool *pool)
{
    static const char *const names[2] = {"pipe0", "pipe1"};
    for (int i = 0; i < 2; i++) {
        struct bench_pipe_end *e = &p->end[i];
        *e = (struct bench_pipe_end){.pool = pool};
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

static void queue_free(struct bench_pipe_queue *q)
{
    while (q->head != q->tail)
        rte_pktmbuf_free(q->frame[q->head++ % BENCH_PIPE_FRAMES]);
}

void bench_pipe_release(struct bench_pipe *p)
{
    for (int i = 0; i < 2; i++) {
        queue_free(&p->end[i].arriving);
        queue_free(&p->end[i].sent);
    }
}
