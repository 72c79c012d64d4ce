/* Requests that wait because every backend that could take them has all the connections it may have. First come first served, but for
 * those that stick to a backend: others pass them while it is full. Looked at once at the end of a turn in which something became free. */
#include "proxy/upstream/table.h"

#define SERVED_A_TURN 256 /* requests looked at, of one upstream */

enum upstream_answer queue_enter(struct upstream_request *q, struct upstream_state *s)
{
    q->state = REQUEST_QUEUED;
    q->next = NULL;
    q->link = s->queue_end;
    *s->queue_end = q;
    s->queue_end = &q->next;
    upstream_count(&s->queued, 1);
    q->proxy->connections->queued++;
    proxy_count(q->proxy, PROXY_QUEUED);
    mr_timer_set(q->proxy->worker, &q->timer, mr_now(q->proxy->worker) + q->upstream->config->queue_timeout);
    return UPSTREAM_PENDING;
}

void queue_leave(struct upstream_request *q)
{
    struct upstream_state *s = &q->proxy->upstreams[q->upstream->slot];
    *q->link = q->next;
    if (q->next)
        q->next->link = q->link;
    else
        s->queue_end = q->link;
    upstream_count(&s->queued, -1);
    q->proxy->connections->queued--;
    q->state = REQUEST_NONE;
    mr_timer_cancel(q->proxy->worker, &q->timer);
}

void queue_serve_later(struct upstream_state *s)
{
    if (s->queued == 0 || s->serving)
        return;
    struct upstream_table *t = s->proxy->connections;
    s->serving = true;
    s->serve_next = NULL;
    *t->serve_end = s;
    t->serve_end = &s->serve_next;
    mr_defer(s->proxy->worker, &t->serve);
}

void queue_serve_all(struct upstream_table *t)
{
    for (uint32_t i = 0; t->queued > 0 && i < t->proxy->limits.upstreams; i++)
        queue_serve_later(&t->proxy->upstreams[i]);
}

/* False: it waits on. What it calls may change the queue. */
static bool queue_try(struct upstream_request *q, struct upstream_state *s)
{
    enum place place = request_place(q, s);
    if (place == PLACE_READY)
        q->ready(q);
    else if (place == PLACE_NONE)
        request_failed(q, UPSTREAM_NO_BACKEND);
    return place != PLACE_FULL;
}

/* The first that need not wait on; *looked counts those that were asked. */
static bool queue_serve_one(struct upstream_state *s, unsigned *looked)
{
    for (struct upstream_request *q = s->queue_first; q && *looked < SERVED_A_TURN; q = q->next) {
        ++*looked;
        if (queue_try(q, s))
            return true;
    }
    return false;
}

static void queue_serve(struct upstream_state *s)
{
    unsigned looked = 0;
    while (queue_serve_one(s, &looked))
        if (looked >= SERVED_A_TURN) {
            queue_serve_later(s); /* the next turn goes on */
            return;
        }
}

void queue_run(struct mr_worker *w, struct mr_deferred *d)
{
    struct upstream_table *t = d->context;
    struct upstream_state *s = t->serve_first;
    t->serve_first = NULL;
    t->serve_end = &t->serve_first;
    while (s) {
        struct upstream_state *next = s->serve_next;
        s->serving = false;
        queue_serve(s);
        s = next;
    }
    (void)w;
}
