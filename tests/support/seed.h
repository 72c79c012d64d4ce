/* The seed of a test with random operations: printed, so that a failure can be replayed with TEST_SEED=n. */
#ifndef TESTS_SUPPORT_SEED_H
#define TESTS_SUPPORT_SEED_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* TEST_SEED from the environment, else one from the clock. */
static inline uint64_t support_seed(const char *program)
{
    const char *text = getenv("TEST_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = text && *text ? strtoull(text, NULL, 0) : (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    printf("replay with: TEST_SEED=%" PRIu64 " %s\n", seed, program);
    fflush(stdout);
    return seed;
}

#endif
