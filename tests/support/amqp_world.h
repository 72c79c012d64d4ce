/* AMQP connections on one worker with a recorder in place of channels, virtual hosts and users: what a channel is told is written down, and a few
 * methods make it do what the connection's side is to be tested with.
 *
 *     basic.qos       answered with qos-ok                    queue.purge NAME   refused: 404 on the channel
 *     basic.get NAME  get-ok with a message of NAME bytes     queue.delete       refused: 541 on the connection
 *     tx.select       holds the connection                    tx.commit          waits for output room
 */
#ifndef TESTS_SUPPORT_AMQP_WORLD_H
#define TESTS_SUPPORT_AMQP_WORLD_H

#include <string.h>

#include "queue/amqp/connection.h"
#include "queue/amqp/table.h"
#include "tests/support/fake_stream.h"

struct amqp_world {
    struct mr_worker *w;
    struct broker b;
    struct broker_shared shared;
    struct queue_config config;
    uint64_t counters[QUEUE_COUNTERS];
    char log[64 << 10]; /* what channels were told, a line each */
    size_t log_used;
    bool drain_later;               /* channels that end are drained by amqp_world_drain */
    struct amqp_channel *ended[64]; /* those */
    unsigned ended_count;
    struct amqp_channel *waits;
    unsigned writable_again;       /* a channel that is told of room waits again, so often */
    unsigned lent;                 /* contents not released */
    uint64_t body_bytes, body_sum; /* of contents */
};
extern struct amqp_world amqp_world;

void amqp_world_start(void);
void amqp_world_end(void); /* all streams must be closed; nothing may be left in memory */
void amqp_world_drain(void);
const char *amqp_world_log(void); /* and clears it */

/* -- bytes of a peer ------------------------------------------------------------------------------------------------------ */

struct amqp_bytes {
    uint8_t data[1 << 20];
    size_t n;
};
void bytes_clear(struct amqp_bytes *o);
void bytes_protocol(struct amqp_bytes *o);
void bytes_method(struct amqp_bytes *o, uint16_t channel, const struct amqp_method *m);
void bytes_frame(struct amqp_bytes *o, uint8_t type, uint16_t channel, const void *payload, size_t n);
void bytes_header(struct amqp_bytes *o, uint16_t channel, uint64_t body_bytes);
void bytes_body(struct amqp_bytes *o, uint16_t channel, size_t n);
void bytes_start_ok(struct amqp_bytes *o, const char *mechanism, const void *response, size_t n);
void bytes_tune_ok(struct amqp_bytes *o, uint16_t channel_max, uint32_t frame_max, uint16_t heartbeat);
void bytes_open(struct amqp_bytes *o, const char *vhost);
void bytes_handshake(struct amqp_bytes *o, uint32_t frame_max, uint16_t heartbeat); /* to an open connection */
void bytes_simple(struct amqp_bytes *o, uint16_t channel, enum amqp_method_id id);
void bytes_publish(struct amqp_bytes *o, uint16_t channel);
void bytes_named(struct amqp_bytes *o, uint16_t channel, enum amqp_method_id id, const char *name); /* of a queue */

/* What the service has said since the last call, a line a frame; aborts when it is not well formed. */
const char *amqp_world_said(struct mr_stream *s);

static inline struct mr_span span_of_text(const char *text)
{
    return (struct mr_span){(const uint8_t *)text, strlen(text)};
}

#endif
