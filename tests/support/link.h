/* An in-memory link and a virtual clock for tests: raw frames in, raw frames out, nothing else moves.
 *
 *   struct test_link l;
 *   test_link_init(&l, "test0", pool);          MAC 02:00:00:00:00:02, MTU 1500, no offloads; change before adding
 *   worker_add_link(w, &l.link, &netif);
 *   test_link_inject(&l, frame, sizeof frame);  arrives in the next turn
 *   worker_turn(w, clock.now);
 *   n = test_link_take(&l, reply, sizeof reply);  what was transmitted, oldest first; 0: nothing more */
#ifndef TESTS_SUPPORT_LINK_H
#define TESTS_SUPPORT_LINK_H

#include <millrace/link.h>
#include <rte_mbuf.h>

#define TEST_LINK_FRAMES 4096 /* kept in each direction; a power of two */

struct test_link_queue {
    unsigned head, tail; /* free running */
    struct rte_mbuf *frame[TEST_LINK_FRAMES];
};

struct test_link {
    struct mr_link link;
    struct rte_mempool *pool; /* injected frames come from it */
    unsigned room;            /* frames that transmit still takes; UINT32_MAX: any number */
    struct test_link_queue arriving, sent;
};

void test_link_init(struct test_link *l, const char *name, struct rte_mempool *pool);

/* Frees the frames of both queues. */
void test_link_empty(struct test_link *l);

/* Queues a copy of `n` bytes to be received; false when the queue or the pool is exhausted. */
bool test_link_inject(struct test_link *l, const void *frame, size_t n);

/* The same with the last byte of the frame flush against an inaccessible page. */
bool test_link_inject_guarded(struct test_link *l, const void *frame, size_t n);

/* Queues `m` itself (a chain, or with offload flags); consumes it. */
bool test_link_inject_mbuf(struct test_link *l, struct rte_mbuf *m);

/* Copies the oldest transmitted frame, chain or not, and returns its length; 0 when there is none. Aborts when it is
 * longer than `max`. */
size_t test_link_take(struct test_link *l, void *frame, size_t max);

/* The oldest transmitted frame with its flags; the caller frees it. NULL when there is none. */
struct rte_mbuf *test_link_take_mbuf(struct test_link *l);

static inline unsigned test_link_sent(const struct test_link *l)
{
    return l->sent.tail - l->sent.head;
}

/* Virtual time. `now` is what the loop would read; rest() moves it to the deadline. */
struct test_clock {
    struct mr_clock clock;
    mr_time now;
    unsigned rests, wakes;
};

void test_clock_init(struct test_clock *c, mr_time now);

#endif
