/* Two links that lead to each other: what one end transmits the other receives, in order, without loss. As on a wire, what arrives is a
 * packet of its own: a sender keeps what it sends. bench_pipe_carry makes the copies, which is neither end's work. */
#ifndef TESTS_BENCH_PIPE_H
#define TESTS_BENCH_PIPE_H

#include <millrace/link.h>

#define BENCH_PIPE_FRAMES 8192 /* on their way in one direction; a power of two */

struct bench_pipe {
    struct bench_pipe_end {
        struct mr_link link;
        struct rte_mempool *pool; /* of what arrives here */
        struct bench_pipe_queue {
            unsigned head, tail; /* free running */
            struct rte_mbuf *frame[BENCH_PIPE_FRAMES];
        } arriving, sent;
    } end[2];
};

/* MAC addresses 02:00:00:00:01:01 and ..:02, MTU 1500, no offloads. */
void bench_pipe_init(struct bench_pipe *p, struct rte_mempool *pool);
void bench_pipe_carry(struct bench_pipe *p);
void bench_pipe_release(struct bench_pipe *p); /* frees what is on its way */

#endif
