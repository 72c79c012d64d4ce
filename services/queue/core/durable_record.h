/* What stands in a record of a queue's log. Bytes of files are read here and nowhere else; the log has proved their checksum, here it is proved
 * that they mean something. Integers are little-endian.
 *
 *     message:    entry 8 | published 8 | arrived 8 | deliver at 8 | ttl 8 | body bytes 8 | deliveries 4 | properties bytes 4 |
 *                 priority 1 | persistent 1 | exchange bytes 1 | key bytes 1 | exchange | key | properties | body
 *     gone:       (first entry 8 | entries 4 | 0 4) ...
 *     delivered:  (first entry 8 | entries 4 | deliveries 4) ...                                                                       */
#ifndef SERVICES_QUEUE_CORE_DURABLE_RECORD_H
#define SERVICES_QUEUE_CORE_DURABLE_RECORD_H

#include "queue/message.h"

enum queue_record_kind {
    QUEUE_RECORD_MESSAGE = 1,   /* an entry; once more with the same id: carried forward, this is the one that counts */
    QUEUE_RECORD_GONE = 2,      /* entries that ended */
    QUEUE_RECORD_DELIVERED = 3, /* entries that were given to a consumer, and how often by then */
};

struct queue_record_message {
    uint64_t entry;
    uint64_t published_ms;
    uint64_t arrived_ms;    /* in this queue */
    uint64_t deliver_at_ms; /* 0: at once */
    uint64_t ttl_ms;        /* of the message; UINT64_MAX: none */
    uint64_t body_bytes;
    uint32_t deliveries;
    uint8_t priority;
    bool persistent;
    struct mr_span exchange, key, properties, body;
};
#define QUEUE_RECORD_HEAD_BYTES 60u

/* False: not a record that we write. Spans are borrowed from the payload. */
bool queue_record_message_parse(struct mr_span payload, struct queue_record_message *out);
/* The head alone; exchange, key, properties and body follow it as they are. */
void queue_record_message_emit(uint8_t to[QUEUE_RECORD_HEAD_BYTES], const struct queue_record_message *r);

struct queue_record_range {
    uint64_t first;
    uint32_t count; /* not 0 */
    uint32_t deliveries;
};
#define QUEUE_RECORD_RANGE_BYTES 16u
bool queue_record_ranges_valid(struct mr_span payload);
/* Of a valid payload, payload.length / QUEUE_RECORD_RANGE_BYTES of them. */
struct queue_record_range queue_record_range_read(struct mr_span payload, size_t index);
void queue_record_range_emit(uint8_t to[QUEUE_RECORD_RANGE_BYTES], struct queue_record_range r);

/* A message in memory as it was logged; NULL: no room. */
struct message *queue_record_message_load(struct memory *memory, const struct queue_record_message *r);

#endif
