/* Two links that lead to each other: what one end transmits the other receives, the same packets, in order, without loss. */
#ifndef TESTS_BENCH_PIPE_H
#define TESTS_BENCH_PIPE_H

#include <millrace/link.h>

#define BENCH_PIPE_FRAMES 8192 /* on their way in one direction; a power of two */

struct bench_pipe {
    struct bench_pipe_end {
        struct mr_link link;
        struct bench_pipe_end *other;
        unsigned head, tail; /* free running: of what arrives here */
        struct rte_mbuf *frame[BENCH_PIPE_FRAMES];
    } end[2];
};

/* MAC addresses 02:00:00:00:01:01 and ..:02, MTU 1500, no offloads. */
void bench_pipe_init(struct bench_pipe *p);
void bench_pipe_release(struct bench_pipe *p); /* frees what is on its way */

#endif
