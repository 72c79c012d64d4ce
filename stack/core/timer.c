#include "stack/core/timer.h"

#include "stack/core/worker.h"

void mr_timer_init(struct mr_timer *t, void (*expired)(struct mr_worker *w, struct mr_timer *t), void *context)
{
    *t = (struct mr_timer){.expired = expired, .context = context};
}

void mr_timer_set(struct mr_worker *w, struct mr_timer *t, mr_time deadline)
{
    wheel_arm(&w->wheel, &t->node, WHEEL_PUBLIC, deadline);
}

void mr_timer_cancel(struct mr_worker *w, struct mr_timer *t)
{
    wheel_cancel(&w->wheel, &t->node);
}

void timer_expired(struct mr_worker *w, struct mr_wheel_node *node)
{
    struct mr_timer *t = (struct mr_timer *)((char *)node - offsetof(struct mr_timer, node));
    t->expired(w, t);
}
