/* Frames (AMQP 0-9-1 section 4.2.3), the protocol header (4.2.2) and content headers (4.2.6.1). */
#include "queue/amqp/wire.h"

#include "queue/amqp/cursor.h"

const uint8_t amqp_protocol_header[8] = {'A', 'M', 'Q', 'P', 0, 0, 9, 1};

int amqp_protocol_parse(const uint8_t *data, size_t n)
{
    size_t known = n < sizeof amqp_protocol_header ? n : sizeof amqp_protocol_header;
    if (known && memcmp(data, amqp_protocol_header, known) != 0)
        return -1; /* told by its first strange byte: who speaks something else may wait for an answer */
    return known == sizeof amqp_protocol_header ? (int)known : 0;
}

static bool frame_type_known(uint8_t type)
{
    return type == AMQP_FRAME_METHOD || type == AMQP_FRAME_HEADER || type == AMQP_FRAME_BODY ||
           type == AMQP_FRAME_HEARTBEAT;
}

int64_t amqp_frame_parse(const uint8_t *data, size_t n, uint32_t frame_max, struct amqp_frame *out)
{
    if (n && !frame_type_known(data[0]))
        return -AMQP_FRAME_ERROR;
    if (n < AMQP_FRAME_HEAD)
        return 0;
    uint64_t whole = amqp_load(data + 3, 4) + AMQP_FRAME_OVERHEAD;
    if (whole > frame_max)
        return -AMQP_FRAME_ERROR;
    if (n < whole)
        return 0;
    if (data[whole - 1] != AMQP_FRAME_END)
        return -AMQP_FRAME_ERROR;
    *out = (struct amqp_frame){
        .type = data[0],
        .channel = (uint16_t)amqp_load(data + 1, 2),
        .payload = {data + AMQP_FRAME_HEAD, whole - AMQP_FRAME_OVERHEAD},
    };
    return (int64_t)whole;
}

#define CLASS_BASIC 60 /* the only class whose methods carry content */

int amqp_header_parse(struct mr_span payload, struct amqp_header *out)
{
    struct amqp_reader r = amqp_reader_of(payload);
    out->class_id = (uint16_t)amqp_take_integer(&r, 2);
    uint64_t weight = amqp_take_integer(&r, 2);
    out->body_bytes = amqp_take_integer(&r, 8);
    if (r.failed)
        return -AMQP_SYNTAX_ERROR;
    /* "The weight field is unused and must be zero." An invalid class is a frame error by the same section. */
    if (out->class_id != CLASS_BASIC || weight != 0)
        return -AMQP_FRAME_ERROR;
    out->properties = (struct mr_span){r.at, (size_t)(r.end - r.at)};
    if (out->properties.length < 2)
        return -AMQP_SYNTAX_ERROR;
    return amqp_properties_parse(out->properties, NULL);
}

size_t amqp_header_emit(uint8_t *to, size_t room, uint16_t channel, uint64_t body_bytes, struct mr_span properties)
{
    struct amqp_writer w = {.data = to, .room = room};
    amqp_frame_begin(&w, AMQP_FRAME_HEADER, channel);
    amqp_put_integer(&w, 2, CLASS_BASIC);
    amqp_put_integer(&w, 2, 0);
    amqp_put_integer(&w, 8, body_bytes);
    if (properties.length)
        amqp_put_bytes(&w, properties);
    else
        amqp_put_integer(&w, 2, 0); /* no flags */
    return amqp_frame_end(&w);
}

void amqp_body_head(uint8_t to[AMQP_FRAME_HEAD], uint16_t channel, uint32_t payload_bytes)
{
    to[0] = AMQP_FRAME_BODY;
    amqp_store(to + 1, 2, channel);
    amqp_store(to + 3, 4, payload_bytes);
}

size_t amqp_heartbeat_emit(uint8_t *to, size_t room)
{
    struct amqp_writer w = {.data = to, .room = room};
    amqp_frame_begin(&w, AMQP_FRAME_HEARTBEAT, 0);
    return amqp_frame_end(&w);
}
