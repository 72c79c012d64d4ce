/* From the stream to frames: parsed where they lie; what straddles packets is copied to the worker's scratch, but a body frame is passed on in the
 * pieces that come. Nothing of the input is kept: what is not whole stays in the stream, whose receive budget bounds it. */
#include <string.h>

#include "queue/amqp/connection.h"

/* A peer counts as publisher since its first basic.publish. Who is closing is always read: its close-ok is in there. */
bool amqp_input_allowed(const struct amqp_connection *c)
{
    if (c->cut)
        return false;
    if (c->state != AMQP_OPEN)
        return c->state < AMQP_CLOSED;
    return !c->holds && amqp_output_room(c) && !(c->publisher && c->broker->alarms);
}

/* After this nobody knows where a frame begins: the close is said, and no answer awaited. */
static void framing_lost(struct amqp_connection *c)
{
    if (c->state < AMQP_EXPECT_END)
        amqp_connection_end(c);
}

static void too_large(struct amqp_connection *c, const struct amqp_frame_head *h, uint32_t payload_max)
{
    amqp_connection_error(c, AMQP_FRAME_ERROR, 0, "type %u, all octets = <<>>: {frame_too_large,%u,%u}", h->type,
                          h->payload_bytes, payload_max);
    framing_lost(c);
}

static void end_missing(struct amqp_connection *c, uint8_t type, struct mr_span payload, uint8_t end)
{
    char snippet[AMQP_SNIPPET_BYTES];
    amqp_connection_error(c, AMQP_FRAME_ERROR, 0, "type %u, %s: {invalid_frame_end_marker,%u}", type,
                          amqp_snippet(snippet, payload), end);
    framing_lost(c);
}

/* RabbitMQ lets a frame be 8 bytes longer than was tuned: there are clients that do not count head and end. */
static bool head_check(struct amqp_connection *c, const struct amqp_frame_head *h)
{
    uint32_t payload_max = c->frame_max - AMQP_FRAME_OVERHEAD;
    if (h->payload_bytes > payload_max + AMQP_FRAME_OVERHEAD)
        too_large(c, h, payload_max);
    else if (h->type != AMQP_FRAME_BODY && h->payload_bytes > AMQP_CONTROL_FRAME_MAX)
        too_large(c, h, AMQP_CONTROL_FRAME_MAX);
    else
        return true;
    return false;
}

static void whole(struct amqp_connection *c, const uint8_t *data, const struct amqp_frame_head *h)
{
    struct amqp_frame frame = {h->type, h->channel, {data + AMQP_FRAME_HEAD, h->payload_bytes}};
    uint8_t end = frame.payload.data[h->payload_bytes];
    if (end != AMQP_FRAME_END)
        end_missing(c, h->type, frame.payload, end);
    else
        amqp_frame_arrived(c, &frame);
}

static void body_begin(struct amqp_connection *c, const struct amqp_frame_head *h)
{
    c->frame_within = true;
    c->frame_channel = h->channel;
    c->frame_missing = h->payload_bytes;
    amqp_frame_body_begin(c, h->channel, h->payload_bytes);
}

/* In the middle of a body frame. Returns the bytes used. */
static size_t within(struct amqp_connection *c, const uint8_t *data, size_t n)
{
    if (c->frame_missing) {
        n = n < c->frame_missing ? n : c->frame_missing;
        c->frame_missing -= (uint32_t)n;
        amqp_frame_body_piece(c, c->frame_channel, (struct mr_span){data, n});
        return n;
    }
    c->frame_within = false;
    if (*data != AMQP_FRAME_END)
        end_missing(c, AMQP_FRAME_BODY, (struct mr_span){NULL, 0}, *data);
    return 1;
}

/* At the begin of one. Returns the bytes used; 0: it straddles. */
static size_t begin(struct amqp_connection *c, const uint8_t *data, size_t n)
{
    if (n < AMQP_FRAME_HEAD)
        return 0;
    struct amqp_frame_head h = amqp_frame_head_parse(data);
    if (!head_check(c, &h))
        return n;
    if (h.payload_bytes + AMQP_FRAME_OVERHEAD <= n) {
        whole(c, data, &h);
        return h.payload_bytes + AMQP_FRAME_OVERHEAD;
    }
    if (h.type != AMQP_FRAME_BODY)
        return 0;
    body_begin(c, &h);
    return AMQP_FRAME_HEAD;
}

/* The first bytes of the stream in one piece, wherever they lie. */
static bool gather(const struct mr_stream *s, uint8_t *to, size_t n)
{
    struct mr_span spans[8];
    unsigned count = mr_stream_peek(s, spans, 8);
    size_t at = 0;
    for (unsigned i = 0; i < count && at < n; i++) {
        size_t part = spans[i].length < n - at ? spans[i].length : n - at;
        memcpy(to + at, spans[i].data, part);
        at += part;
    }
    return at == n;
}

/* A frame whose head or payload lies in several packets. False: it has not all come. */
static bool straddles(struct amqp_connection *c)
{
    uint8_t head[AMQP_FRAME_HEAD];
    if (!gather(c->stream, head, sizeof head))
        return false;
    struct amqp_frame_head h = amqp_frame_head_parse(head);
    if (!head_check(c, &h))
        return true;
    if (h.type == AMQP_FRAME_BODY) {
        mr_stream_consume(c->stream, sizeof head);
        body_begin(c, &h);
        return true;
    }
    size_t n = h.payload_bytes + AMQP_FRAME_OVERHEAD;
    if (mr_stream_readable(c->stream) < n)
        return false;
    mr_stream_read(c->stream, c->server->scratch, n);
    whole(c, c->server->scratch, &h);
    return true;
}

/* 4.2.2: to anything else than our protocol header ours is the answer, and the end. What is wrong is wrong with its first wrong byte. */
static bool protocol(struct amqp_connection *c)
{
    uint8_t header[sizeof amqp_protocol_header];
    size_t n = mr_stream_readable(c->stream) < sizeof header ? mr_stream_readable(c->stream) : sizeof header;
    gather(c->stream, header, n);
    int parsed = amqp_protocol_parse(header, n);
    if (!parsed)
        return false;
    mr_stream_consume(c->stream, n);
    if (parsed > 0) {
        amqp_handshake_start(c);
    } else {
        amqp_send_bytes(c, amqp_protocol_header, sizeof amqp_protocol_header);
        amqp_connection_end(c);
    }
    return true;
}

/* What lies in the next packet. False: nothing more can be done with what has come. */
static bool packet(struct amqp_connection *c)
{
    struct mr_span span;
    size_t at = 0;
    if (c->state == AMQP_EXPECT_PROTOCOL)
        return mr_stream_readable(c->stream) && protocol(c);
    if (!mr_stream_peek(c->stream, &span, 1))
        return false;
    while (at < span.length && c->state < AMQP_EXPECT_END && amqp_input_allowed(c)) {
        size_t n = (c->frame_within ? within : begin)(c, span.data + at, span.length - at);
        if (!n)
            break;
        at += n;
    }
    if (c->state == AMQP_EXPECT_END)
        at = mr_stream_readable(c->stream);
    mr_stream_consume(c->stream, at);
    return at || !amqp_input_allowed(c) || straddles(c);
}

void amqp_input_run(struct amqp_connection *c)
{
    bool more = true;
    while (more && amqp_input_allowed(c))
        more = packet(c);
    c->input_stopped = more;
}
