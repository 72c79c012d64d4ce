/* Numbers that an outsider must not predict from those he has seen (mr_random is fast, but its state can be computed from its
 * output): a keyed hash over a counter. */
#ifndef STACK_CORE_SECRET_H
#define STACK_CORE_SECRET_H

#include "stack/core/worker.h"

/* Uniform in 0 .. bound - 1; the bias is below 2^-32 times `bound`. */
uint32_t secret_below(struct mr_worker *w, uint32_t bound);

#endif
