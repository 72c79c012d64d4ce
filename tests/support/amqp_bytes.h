/* What a peer that speaks AMQP sends, frame by frame. */
#ifndef TESTS_SUPPORT_AMQP_BYTES_H
#define TESTS_SUPPORT_AMQP_BYTES_H

#include <string.h>

#include "queue/amqp/wire.h"

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
void bytes_handshake(struct amqp_bytes *o, const char *password, uint32_t frame_max,
                     uint16_t heartbeat); /* to an open connection */
void bytes_simple(struct amqp_bytes *o, uint16_t channel, enum amqp_method_id id);
void bytes_publish(struct amqp_bytes *o, uint16_t channel);
void bytes_named(struct amqp_bytes *o, uint16_t channel, enum amqp_method_id id, const char *name); /* of a queue */

static inline struct mr_span span_of_text(const char *text)
{
    return (struct mr_span){(const uint8_t *)text, strlen(text)};
}

#endif
