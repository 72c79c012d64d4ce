/* One worker on one in-memory link in virtual time: the usual ground of a unit test below TCP. */
#ifndef TESTS_SUPPORT_HOST_H
#define TESTS_SUPPORT_HOST_H

#include "stack/core/worker.h"
#include "tests/support/frame.h"
#include "tests/support/link.h"

struct test_host {
    struct mr_worker *w;
    struct netif *netif;
    struct rte_mempool *pool;
    struct test_link link;
    struct test_clock clock;
};

/* Starts with `prefix` ("198.18.0.2/24") on the link; duplicate address detection has not begun yet. The pool lives as
 * long as the process and is shared by all hosts. */
void test_host_start(struct test_host *h, const char *prefix, uint32_t offloads);

/* Destroys the worker and aborts when a packet of the pool was lost. */
void test_host_stop(struct test_host *h);

/* Turns the worker until nothing is left to do now. */
void test_host_turn(struct test_host *h);

/* Lets `duration` pass, turning at each deadline. */
void test_host_pass(struct test_host *h, mr_time duration);

/* Lets address detection and announcement end and throws their frames away. */
void test_host_settle(struct test_host *h);

/* One frame in, and a turn; with guarded input. */
void test_host_in(struct test_host *h, const struct frame *f);

/* Compares the oldest transmitted frame with `f`, byte for byte; fails the cmocka test with both in hex. */
void test_host_expect(struct test_host *h, const struct frame *f);
void test_host_expect_nothing(struct test_host *h);

/* Tells the worker of a neighbour, as if it had asked us; its answer is thrown away. */
void test_host_learn(struct test_host *h, uint32_t address, const uint8_t mac[6]);

uint64_t test_host_drops(const struct test_host *h); /* the sum over all reasons */

#endif
