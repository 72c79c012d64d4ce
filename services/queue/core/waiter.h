/* Private to core/: who works on a queue step by step, and waits for its messages to come back from the log. */
#ifndef SERVICES_QUEUE_CORE_WAITER_H
#define SERVICES_QUEUE_CORE_WAITER_H

#include "queue/core/queue_state.h"

struct queue_waiter {
    struct queue_waiter *next, **link; /* of all */
    uint64_t queue_id;
    bool woken;
    unsigned seconds;                     /* that it has waited */
    void (*step)(struct queue_waiter *w); /* when the turn ends; may free it */
};
void queue_waiter_add(struct broker *b, struct queue_waiter *w); /* woken at once */
void queue_waiter_remove(struct queue_waiter *w);
void queue_waiter_wake(struct broker *b, struct queue_waiter *w);

/* durable.c calls these: a message of `queue_id` came back; the turn ends; a second went by */
void queue_waiters_wake(struct broker *b, uint64_t queue_id);
void queue_waiters_turn(struct broker *b);
void queue_waiters_second(struct broker *b);

#endif
