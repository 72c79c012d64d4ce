/* Expiry of public timers (include/millrace/timer.h): wheel nodes of kind WHEEL_PUBLIC. */
#ifndef STACK_CORE_TIMER_H
#define STACK_CORE_TIMER_H

#include <millrace/timer.h>

/* Runs the timer that `node`, taken out of the wheel, belongs to. */
void timer_expired(struct mr_worker *w, struct mr_wheel_node *node);

#endif
