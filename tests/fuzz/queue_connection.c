/* A connection of AMQP with a recorder in place of its channels. The input is a list of steps: bytes as they are, frames with a right head and end
 * around bytes of the input, and what else may happen: acknowledgements, time, alarms, channels that drain late, a reset. After each step all
 * invariants are checked; at the end nothing may be left in memory. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/amqp_world.h"

struct input {
    const uint8_t *data;
    size_t left;
};

static uint8_t take(struct input *in)
{
    in->left -= in->left > 0;
    return in->left ? *in->data++ : 0;
}

static struct mr_span take_bytes(struct input *in, size_t n)
{
    n = n < in->left ? n : in->left;
    struct mr_span span = {in->data, n};
    in->data += n;
    in->left -= n;
    return span;
}

static struct amqp_bytes out;

static void feed(struct mr_stream *s, size_t piece)
{
    for (size_t at = 0; at < out.n && !fake_closed(s); at += piece)
        fake_input(s, out.data + at, out.n - at < piece ? out.n - at : piece);
    bytes_clear(&out);
}

static const enum amqp_method_id methods[] = {
    AMQP_channel_open,
    AMQP_channel_close,
    AMQP_channel_close_ok,
    AMQP_basic_publish,
    AMQP_basic_get,
    AMQP_queue_purge,
    AMQP_queue_delete,
    AMQP_tx_select,
    AMQP_tx_commit,
    AMQP_basic_qos,
    AMQP_connection_close,
    AMQP_connection_close_ok,
    AMQP_connection_open,
    AMQP_connection_start_ok,
    AMQP_connection_tune_ok,
    AMQP_connection_secure_ok,
    AMQP_connection_blocked,
    AMQP_basic_deliver,
    AMQP_connection_update_secret,
};

static void add_method(struct input *in)
{
    struct amqp_method m = {.id = methods[take(in) % (sizeof methods / sizeof methods[0])]};
    uint8_t channel = take(in);
    if (m.id == AMQP_basic_get)
        m.basic_get.queue = take_bytes(in, 6);
    bytes_method(&out, channel % 5, &m);
}

static void add_content(struct input *in)
{
    uint8_t channel = take(in) % 5, size = take(in), cut = take(in);
    bytes_publish(&out, channel);
    bytes_header(&out, channel, size * 100u);
    if (size)
        bytes_body(&out, channel, cut % 4 ? size * 100u : cut);
}

static void step(struct mr_stream *s, struct input *in, bool *throttled)
{
    struct amqp_connection *c = fake_closed(s) ? NULL : mr_stream_context(s);
    uint8_t op = take(in), argument = op >> 4;
    struct mr_span bytes;
    switch (op & 15) {
    case 0:
    case 1:
        bytes = take_bytes(in, argument * 4u + 1);
        memcpy(out.data + out.n, bytes.data, bytes.length);
        out.n += bytes.length;
        break;
    case 2:
        bytes = take_bytes(in, argument * 2u);
        bytes_frame(&out, take(in) % 9, argument % 4, bytes.data, bytes.length);
        break;
    case 3:
    case 4:
    case 5:
        add_method(in);
        break;
    case 6:
    case 7:
        add_content(in);
        break;
    case 8:
        feed(s, argument ? argument : 1);
        break;
    case 9:
        feed(s, SIZE_MAX / 2);
        break;
    case 10:
        fake_throttle(s, argument * 5000u);
        *throttled = true;
        break;
    case 11:
        fake_acknowledge(s, argument * 3000u);
        break;
    case 12:
        fake_pass(amqp_world.w, argument * 700 * MR_MILLISECOND);
        break;
    case 13:
        amqp_world.b.alarms = argument & 3;
        amqp_server_alarms_changed(&amqp_world.b);
        fake_turn(amqp_world.w);
        break;
    case 14:
        amqp_world.drain_later = argument & 1;
        amqp_world.writable_again = argument >> 1;
        amqp_world_drain();
        if (c && c->holds)
            amqp_connection_resume(c);
        fake_turn(amqp_world.w);
        break;
    default:
        if (argument == 0)
            fake_reset(s);
        else if (argument == 1)
            fake_end(s);
        fake_turn(amqp_world.w);
    }
}

/* Frames and nothing else, to the last byte. */
static void well_formed(struct mr_stream *s)
{
    size_t n, at = 0;
    const uint8_t *sent = (const uint8_t *)fake_output(s, &n);
    if (n >= sizeof amqp_protocol_header && !memcmp(sent, amqp_protocol_header, sizeof amqp_protocol_header))
        at = sizeof amqp_protocol_header;
    while (at < n) {
        struct amqp_frame f;
        int64_t taken = amqp_frame_parse(sent + at, n - at, UINT32_MAX, &f);
        assert(taken > 0);
        at += (size_t)taken;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size < 4096 ? size : 4096};
    bool throttled = false;
    amqp_world_start();
    struct mr_stream *s = fake_open(amqp_world.w);
    bytes_clear(&out);
    uint8_t how = take(&in);
    if (how & 1)
        bytes_handshake(&out, "secret", how & 2 ? 131072 : 4096, how >> 4);
    while (in.left && !fake_closed(s)) {
        step(s, &in, &throttled);
        amqp_world.log_used = 0;
        amqp_server_check(&amqp_world.b);
    }
    if (!fake_closed(s)) {
        feed(s, SIZE_MAX / 2);
        if (!throttled)
            well_formed(s);
        if (!fake_closed(s))
            fake_reset(s);
    }
    fake_turn(amqp_world.w);
    amqp_world_end();
    return 0;
}
