/* A message: immutable once it is sealed, counted by reference, in the memory of the worker where it was published.
 *
 * It never changes worker. Who needs it elsewhere for longer than one item's journey (shard.h) makes a copy in its own memory:
 * message_copy. A delivery that travels to a connection's worker shows it there until the delivery is given back. */
#ifndef SERVICES_QUEUE_MESSAGE_H
#define SERVICES_QUEUE_MESSAGE_H

#include <millrace/types.h>

#include "memory/memory.h"
#include "queue/limits.h"

/* A piece of a body; what a stream lends while it is sent. */
struct message_piece {
    struct message_piece *next;
    uint32_t length;   /* used */
    uint32_t capacity; /* of bytes[] */
    uint8_t bytes[];
};
#define MESSAGE_PIECE_MAX 32720u /* capacity: two of them are a page of memory */

struct message {
    struct memory *memory;             /* of the worker that owns it */
    uint32_t references;               /* of that worker alone: nobody else counts */
    uint32_t head_bytes;               /* of head[] */
    uint64_t body_bytes;               /* as announced by the content header; all there once sealed */
    uint64_t held_bytes;               /* of them, so far */
    struct message_piece *body, *last; /* the one being filled; there is a next only while bytes are appended */
    uint64_t published_ms;             /* Unix; 0 until sealed */
    uint64_t deliver_at_ms;            /* Unix; 0: at once. Delayed messages wait in their queue, invisible */
    uint64_t ttl_ms;  /* of the expiration property; UINT64_MAX: none. 0: expires unless delivered at once */
    uint8_t priority; /* of the property; 0 when absent */
    bool persistent;  /* delivery-mode 2 */
    uint8_t exchange_length, routing_key_length;
    uint32_t properties_length;
    uint8_t head[]; /* exchange, routing key, then property flags and property list as on the wire (AMQP 4.2.6.1) */
};

static inline struct mr_span message_exchange(const struct message *m)
{
    return (struct mr_span){m->head, m->exchange_length};
}
static inline struct mr_span message_routing_key(const struct message *m)
{
    return (struct mr_span){m->head + m->exchange_length, m->routing_key_length};
}
static inline struct mr_span message_properties(const struct message *m)
{
    return (struct mr_span){m->head + m->exchange_length + m->routing_key_length, m->properties_length};
}

/* With one reference, not sealed; `properties` were proved well formed by amqp_properties_parse, and ttl, priority and persistence are
 * taken from them. An expiration that is no number is as none.
 * NULL: no room in `memory`; names over QUEUE_NAME_MAX, or properties over QUEUE_PROPERTIES_MAX. */
struct message *message_create(struct memory *memory, struct mr_span exchange, struct mr_span routing_key,
                               struct mr_span properties, uint64_t body_bytes);
/* Body bytes, in order, at most what was announced. False: no room; the message is as it was. */
bool message_append(struct message *m, const void *data, size_t n);
bool message_complete(const struct message *m); /* the body is all there */
/* From here on it does not change. */
void message_seal(struct message *m, uint64_t now_ms);

static inline struct message *message_hold(struct message *m)
{
    m->references++;
    return m;
}
void message_drop(struct message *m); /* frees it with the last reference */

/* A copy in other memory, sealed as the original, one reference; NULL: no room. */
struct message *message_copy(struct memory *memory, const struct message *m);
/* The same body with another exchange, routing key and properties: dead-lettered. Complete but not sealed. */
struct message *message_readdress(struct memory *memory, const struct message *m, struct mr_span exchange,
                                  struct mr_span routing_key, struct mr_span properties);
uint64_t message_cost(const struct message *m); /* bytes of memory that it takes */

#endif
