/* Timers of a service: embedded in its own structures, no allocation, fired on the worker that set them. */
#ifndef MILLRACE_TIMER_H
#define MILLRACE_TIMER_H

#include <millrace/types.h>

/* One entry of a worker's wheel. The low bits of `deadline` hold the kind, see stack/base/wheel.h. */
struct mr_wheel_node {
    struct mr_wheel_node *next;
    struct mr_wheel_node **link; /* what points at us; NULL: not armed */
    uint64_t deadline;
};

struct mr_timer {
    struct mr_wheel_node node; /* private */
    void (*expired)(struct mr_worker *w, struct mr_timer *t);
    void *context;
};

void mr_timer_init(struct mr_timer *t, void (*expired)(struct mr_worker *w, struct mr_timer *t), void *context);

/* Arms or moves `t`. Fires once, at or up to 0.2 ms after `deadline`, never before; `t` must stay valid until it fired
 * or was cancelled, and may be set or freed from inside `expired`. */
void mr_timer_set(struct mr_worker *w, struct mr_timer *t, mr_time deadline);

void mr_timer_cancel(struct mr_worker *w, struct mr_timer *t);

static inline bool mr_timer_armed(const struct mr_timer *t)
{
    return t->node.link != NULL;
}

#endif
