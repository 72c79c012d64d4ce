/* A relay on host 0: what a client of host 1 sends is spliced to a connection of its own to the server on host 2, and back.
 * It moves in steps that a seed draws, so that packets are parted anywhere, and now and then copies some bytes as a proxy of
 * layer 7 would, ahead of what it splices. */
#ifndef TESTS_SIM_RELAY_H
#define TESTS_SIM_RELAY_H

#include <millrace/turn.h>

#include "tests/sim/flow.h"

struct relay_plan {
    struct mr_stream_options options;
    double partial; /* probability that a step is limited to step_max bytes, and then goes on in the next turn */
    uint32_t step_max;
    double copy; /* probability that a step copies */
};

struct relay_pair;

struct relay {
    struct flow_set *flows;
    struct relay_plan plan;
    struct mr_random random;
    struct mr_listener *listener;
    struct relay_pair *pairs;
    uint64_t spliced;
};

void relay_start(struct relay *r, struct flow_set *flows, uint64_t seed, const struct relay_plan *plan);
void relay_free(struct relay *r); /* after world_destroy */

#endif
