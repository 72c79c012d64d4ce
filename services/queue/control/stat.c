/* Numbers of queues, for `millrace stat queue` and for Prometheus: the fullest ones, so that ten thousand queues do not become ten thousand
 * series; what is left out is in the sums. */
#include <limits.h>
#include <stdlib.h>

#include "queue/control/words.h"

#define QUEUES_SHOWN     100
#define QUEUES_SHOWN_MAX 100000

static uint64_t held(const struct control_queue *q)
{
    return q->status.ready + q->status.unacknowledged + q->status.delayed;
}

static int fullest_first(const void *a, const void *b)
{
    const struct control_queue *x = a, *y = b;
    if (held(x) != held(y))
        return held(x) < held(y) ? 1 : -1;
    return x->id < y->id ? -1 : x->id > y->id; /* as they were declared */
}

static void show_queue(struct control_call *c, const struct control_queue *q)
{
    struct control_answer *a = &c->answer;
    const struct queue_status *s = &q->status;
    control_answer_open(a, NULL, '{');
    control_answer_text(a, "vhost", c->shared->config->vhosts[q->vhost].name);
    control_answer_span(a, "queue", control_queue_name(q));
    control_answer_number(a, "ready", s->ready);
    control_answer_number(a, "unacked", s->unacknowledged);
    control_answer_number(a, "delayed", s->delayed);
    control_answer_number(a, "consumers", s->consumers);
    control_answer_number(a, "bytes", s->bytes);
    control_answer_number(a, "oldest_ms", s->oldest_ms);
    control_answer_number(a, "in/s", s->publish_rate);
    control_answer_number(a, "out/s", s->deliver_rate);
    control_answer_number(a, "ack/s", s->acknowledge_rate);
    control_answer_number(a, "published", s->published);
    control_answer_number(a, "delivered", s->delivered);
    control_answer_number(a, "acknowledged", s->acknowledged);
    control_answer_close(a, '}');
}

static void show_sums(struct control_answer *a, const struct control_queues *g, size_t shown)
{
    struct queue_status sum = {0};
    for (size_t i = 0; i < g->count; i++) {
        const struct queue_status *s = &g->rows[i].status;
        sum.ready += s->ready;
        sum.unacknowledged += s->unacknowledged;
        sum.delayed += s->delayed;
        sum.publish_rate += s->publish_rate;
        sum.deliver_rate += s->deliver_rate;
        sum.acknowledge_rate += s->acknowledge_rate;
    }
    control_answer_open(a, "all", '{');
    control_answer_number(a, "queues", g->count);
    control_answer_number(a, "queues_left_out", g->count - shown);
    control_answer_number(a, "ready", sum.ready);
    control_answer_number(a, "unacked", sum.unacknowledged);
    control_answer_number(a, "delayed", sum.delayed);
    control_answer_number(a, "in/s", sum.publish_rate);
    control_answer_number(a, "out/s", sum.deliver_rate);
    control_answer_number(a, "ack/s", sum.acknowledge_rate);
    control_answer_close(a, '}');
}

bool queue_control_stat(struct control_call *c)
{
    uint64_t most = c->argc > 1 ? queue_control_number(c, c->argv[1], QUEUES_SHOWN_MAX) : QUEUES_SHOWN;
    unsigned vhost = c->vhost ? queue_control_vhost(c) : UINT_MAX;
    struct control_queues *g = c->wrong ? NULL : control_queues_gather(c, vhost, (struct mr_span){NULL, 0});
    if (!g)
        return false;
    size_t shown = g->count < most ? g->count : most;
    if (g->count > 1)
        qsort(g->rows, g->count, sizeof *g->rows, fullest_first);
    control_silence(c, g->answered);
    show_sums(&c->answer, g, shown);
    control_answer_open(&c->answer, "queues", '[');
    for (size_t i = 0; i < shown; i++)
        show_queue(c, &g->rows[i]);
    control_answer_close(&c->answer, ']');
    control_queues_free(g);
    return true;
}
