/* Private to dead_letter.c and durable*.c: messages of a queue on their way to where the dead go. */
#ifndef SERVICES_QUEUE_CORE_LETTER_H
#define SERVICES_QUEUE_CORE_LETTER_H

#include "queue/core/queue_state.h"

struct letters; /* the dead letters of one queue */
#define LETTER_BUCKETS 256u

/* Of a worker, in struct durable_set. */
struct letter_set {
    struct letters *buckets[LETTER_BUCKETS];
    struct letters *to_pump;
    uint8_t *scratch; /* properties are built here; malloc, at start */
};

bool letter_set_start(struct letter_set *set);
void letter_set_release(struct letter_set *set);
void letter_set_turn(struct broker *b);
void letter_set_second(struct broker *b); /* what failed is tried again */
void letters_wake(struct queue *q);       /* a message was read back */
void letters_detach(struct queue *q);     /* the queue goes */

#endif
