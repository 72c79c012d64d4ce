/* One line a frame: when, from where to where, what became of it, and what is in it. */
#ifndef TESTS_SIM_TRACE_H
#define TESTS_SIM_TRACE_H

#include "drivers/sim/sim.h"

/* A sim_observer_fn; `argument` is the FILE to write to. */
void trace_observe(void *argument, const struct sim_observation *o);

#endif
