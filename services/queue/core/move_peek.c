/* `peek` and `move`: what an operator does with the messages of a queue. Both take what is ready, from the head, and have read back what only the
 * log has. */
#include "queue/core/waiter.h"

#define PATIENCE_SECONDS 5u /* for one message to come back from the log */
#define MOVES_OUT_MAX    64u

/* -- peek ---------------------------------------------------------------------------------------------------------------------- */

struct peek {
    struct queue_waiter waiter;
    struct broker *broker;
    uint64_t after;
    unsigned left;
    void (*show)(void *context, uint64_t entry, const struct message *m);
    void *context;
};

static void peek_step(struct queue_waiter *w)
{
    struct peek *p = (struct peek *)w;
    const struct queue *q = queue_find(p->broker, w->queue_id);
    while (q && p->left) {
        uint64_t id = queue_entry_next_ready(q, p->after);
        const struct queue_entry *e = id ? queue_entry_find(q, id) : NULL;
        if (!e)
            break;
        if (!e->message && w->seconds < PATIENCE_SECONDS) {
            durable_page_in((struct queue *)q, id);
            return; /* woken when it is there */
        }
        if (e->message)
            p->show(p->context, id, e->message);
        p->after = id;
        p->left--;
    }
    p->show(p->context, 0, NULL);
    queue_waiter_remove(w);
    memory_free(&p->broker->memory, p, sizeof *p);
}

void queue_peek(struct broker *b, uint64_t id, unsigned n,
                void (*show)(void *context, uint64_t entry, const struct message *m), void *context)
{
    struct peek *p = memory_alloc(&b->memory, sizeof *p);
    if (!p) {
        show(context, 0, NULL);
        return;
    }
    *p = (struct peek){
        .waiter = {.queue_id = id, .step = peek_step}, .broker = b, .left = n, .show = show, .context = context};
    queue_waiter_add(b, &p->waiter);
}

/* -- move ---------------------------------------------------------------------------------------------------------------------- */

struct move {
    struct queue_waiter waiter;
    struct broker *broker;
    uint64_t to;
    uint64_t left, moved;
    unsigned out;
    bool over; /* nothing more is taken */
    enum queue_result result;
    void (*done)(void *context, uint64_t moved, enum queue_result result);
    void *context;
};

/* One message on its way. */
struct move_part {
    struct publication publication;
    struct move *move;
    uint64_t id;
};

static void move_over(struct move *v, enum queue_result result)
{
    v->over = true;
    if (v->result == QUEUE_DONE)
        v->result = result;
}

static void part_done(struct publication *p)
{
    struct move_part *part = p->context;
    struct move *v = part->move;
    struct queue *q = queue_find(v->broker, v->waiter.queue_id);
    bool taken = !p->failed && !p->rejected;
    if (taken)
        v->moved++;
    else
        move_over(v, p->rejected ? QUEUE_ACCESS_REFUSED : QUEUE_NO_MEMORY);
    if (q && taken)
        queue_entry_remove(q, part->id);
    else if (q)
        queue_entry_put_back(q, part->id);
    v->out--;
    memory_free(&v->broker->memory, part, sizeof *part);
    queue_waiter_wake(v->broker, &v->waiter);
}

static bool part_send(struct move *v, struct queue *q, uint64_t id, struct message *m)
{
    struct broker *b = v->broker;
    const struct catalog_queue *to = catalog_queue_by_id(b->catalog, v->to);
    struct move_part *part = to && !to->deleted ? memory_alloc(&b->memory, sizeof *part) : NULL;
    if (!part) {
        move_over(v, to && !to->deleted ? QUEUE_NO_MEMORY : QUEUE_GONE);
        return false;
    }
    *part =
        (struct move_part){.publication = {.home = b, .message = message_hold(m), .done = part_done, .context = part},
                           .move = v,
                           .id = id};
    if (broker_publish_to(b, to, &part->publication) < 0) {
        message_drop(m);
        memory_free(&b->memory, part, sizeof *part);
        move_over(v, QUEUE_NO_MEMORY);
        return false;
    }
    queue_entry_leave(q, id);
    v->out++;
    v->left--;
    return true;
}

/* Takes what it can. False: it waits for a message of the log. */
static bool move_some(struct move *v, struct queue *q)
{
    while (!v->over && v->left && v->out < MOVES_OUT_MAX) {
        uint64_t id = queue_entry_next_ready(q, 0);
        const struct queue_entry *e = id ? queue_entry_find(q, id) : NULL;
        if (!e)
            return true;
        if (!e->message && v->waiter.seconds < PATIENCE_SECONDS) {
            durable_page_in(q, id);
            return false;
        }
        if (!e->message)
            move_over(v, QUEUE_UNREADABLE);
        else if (!part_send(v, q, id, e->message))
            break;
    }
    return true;
}

static void move_step(struct queue_waiter *w)
{
    struct move *v = (struct move *)w;
    struct queue *q = queue_find(v->broker, w->queue_id);
    if (!q)
        move_over(v, QUEUE_GONE);
    if ((q && !move_some(v, q)) || v->out)
        return;
    queue_waiter_remove(w);
    v->done(v->context, v->moved, v->result);
    memory_free(&v->broker->memory, v, sizeof *v);
}

void queue_move(struct broker *b, uint64_t from, const struct catalog_queue *to, uint64_t n,
                void (*done)(void *context, uint64_t moved, enum queue_result result), void *context)
{
    const struct queue *q = queue_find(b, from);
    struct move *v = q ? memory_alloc(&b->memory, sizeof *v) : NULL;
    if (!v) {
        done(context, 0, q ? QUEUE_NO_MEMORY : QUEUE_GONE);
        return;
    }
    *v = (struct move){.waiter = {.queue_id = from, .step = move_step},
                       .broker = b,
                       .to = to->id,
                       .left = n < q->ready ? n : q->ready, /* moved to itself it ends nevertheless */
                       .result = QUEUE_DONE,
                       .done = done,
                       .context = context};
    queue_waiter_add(b, &v->waiter);
}
