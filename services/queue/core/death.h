/* What a dead letter says: the headers that RabbitMQ gives it, and whether it came round in a circle. Bytes in, bytes out. */
#ifndef SERVICES_QUEUE_CORE_DEATH_H
#define SERVICES_QUEUE_CORE_DEATH_H

#include <millrace/types.h>

/* One death: of a message of `exchange` and `key`, in `queue`. */
struct queue_death {
    const char *reason; /* "rejected", "expired", "maxlen", "delivery_limit" */
    struct mr_span queue, exchange, key;
    uint64_t time_s; /* Unix */
    bool key_given;  /* x-dead-letter-routing-key: the header CC goes, it named other keys */
};

/* The properties of the dead letter, from those of the message, into `to` of `room` bytes: x-death with this death first (or one more of it
 * counted), x-first-death-* if it is the first, no expiration. Older deaths are left out where there is no room. 0: it does not fit. */
size_t queue_death_properties(uint8_t *to, size_t room, struct mr_span properties, const struct queue_death *death);

/* True: `queue` is among the deaths of x-death, and since it was nobody rejected the message: it would go round for ever. */
bool queue_death_cycle(struct mr_span headers, struct mr_span queue);

/* The routing keys in the header CC, at most `max`. */
unsigned queue_death_copies(struct mr_span headers, struct mr_span *keys, unsigned max);

#endif
