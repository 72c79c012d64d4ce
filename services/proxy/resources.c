/* What sessions take of an instance: buffers, places at a listener, and time to end. */
#include "proxy/proxy.h"

struct proxy_buffer *proxy_buffer_take(struct proxy *p)
{
    struct proxy_buffer *b = p->free_buffers;
    if (b)
        p->free_buffers = b->next;
    else if (p->buffers_out < p->limits.buffers)
        b = (struct proxy_buffer *)(p->buffers + p->buffers_out++ * p->buffer_stride);
    if (b)
        b->start = b->used = 0;
    return b;
}

void proxy_buffer_give(struct proxy *p, struct proxy_buffer *b)
{
    b->next = p->free_buffers;
    p->free_buffers = b;
}

/* `connections` is read by the control thread, which asks whether the slot is free: see plan_slots.c. */
bool proxy_listener_enter(struct proxy_listener *l)
{
    struct proxy *p = l->proxy;
    if (!l->plan || p->stopping || l->connections >= l->plan->config->connections_max) {
        proxy_count(p, PROXY_REFUSED_FULL);
        return false;
    }
    __atomic_store_n(&l->connections, l->connections + 1, __ATOMIC_RELAXED);
    l->accepted++;
    proxy_count(p, PROXY_ACCEPTED);
    p->counters[PROXY_SESSIONS]++;
    return true;
}

void proxy_listener_leave(struct proxy_listener *l)
{
    __atomic_store_n(&l->connections, l->connections - 1, __ATOMIC_RELEASE);
    l->proxy->counters[PROXY_SESSIONS]--;
}

mr_time proxy_drain_begin(struct proxy *p)
{
    mr_time until = mr_now(p->worker) + p->plan->config->drain_timeout;
    if (!mr_timer_armed(&p->drain_timer) || until < p->drain_next) {
        p->drain_next = until;
        mr_timer_set(p->worker, &p->drain_timer, until);
    }
    return until;
}
