/* Scalars and spans that every public header uses.
 *
 * Time is one 64-bit count of nanoseconds on a monotonic clock whose zero has no meaning. The stack never reads a
 * clock: whoever turns the loop passes `now`, so the same code runs in virtual time. */
#ifndef MILLRACE_TYPES_H
#define MILLRACE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One worker: a thread on a core with its own queues, pools, tables, timers and service instances. Opaque to services. */
struct mr_worker;

typedef uint64_t mr_time; /* ns */

#define MR_MICROSECOND ((mr_time)1000)
#define MR_MILLISECOND ((mr_time)1000 * 1000)
#define MR_SECOND ((mr_time)1000 * 1000 * 1000)
#define MR_NEVER UINT64_MAX

/* Borrowed bytes: valid as long as the function that hands them out says. */
struct mr_span {
    const uint8_t *data;
    size_t length; /* bytes */
};

/* The time of the current turn: constant from its start to its end. */
mr_time mr_now(const struct mr_worker *w);

/* 64 random bits from the worker's own seeded generator; not for secrets that outlive the process. */
uint64_t mr_random(struct mr_worker *w);

/* 0 .. number of workers - 1 */
unsigned mr_worker_index(const struct mr_worker *w);

#endif
