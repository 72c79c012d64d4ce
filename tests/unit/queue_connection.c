/* AMQP connections: the handshake, what may come when, errors by name, heartbeats, limits, alarms, and that no cut of the input matters. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/amqp/table.h"
#include "tests/support/amqp_world.h"

#define HANDSHAKE_SAID "0 connection.start\ntune 2047 131072 60\n0 connection.open_ok\n"

static struct amqp_bytes in;

static struct mr_stream *feed(struct mr_stream *s)
{
    fake_input(s, in.data, in.n);
    bytes_clear(&in);
    return s;
}

/* Open, its handshake said and read. */
static struct mr_stream *connection(uint16_t heartbeat)
{
    struct mr_stream *s = fake_open(amqp_world.w);
    bytes_clear(&in);
    bytes_handshake(&in, "secret", 131072, heartbeat);
    feed(s);
    assert_string_equal(amqp_world_said(s), HANDSHAKE_SAID);
    return s;
}

static struct mr_stream *with_channel(void)
{
    struct mr_stream *s = connection(0);
    amqp_world_log();
    bytes_simple(&in, 1, AMQP_channel_open);
    feed(s);
    assert_string_equal(amqp_world_said(s), "1 channel.open_ok\n");
    assert_string_equal(amqp_world_log(), "1 open\n");
    return s;
}

static struct amqp_connection *machine(const struct mr_stream *s)
{
    return mr_stream_context(s);
}

/* The peer hangs up; nothing of it is left. */
static void finish(struct mr_stream *s)
{
    fake_acknowledge(s, SIZE_MAX);
    if (!fake_closed(s))
        fake_end(s);
    fake_turn(amqp_world.w);
    fake_acknowledge(s, SIZE_MAX);
    fake_turn(amqp_world.w);
    fake_turn(amqp_world.w);
    assert_true(fake_closed(s));
}

static int start(void **state)
{
    amqp_world_start();
    return 0;
}

static int end(void **state)
{
    if (fake_streams_open(amqp_world.w))
        return -1; /* the test failed before its end */
    amqp_world_end();
    return 0;
}

/* -- errors: what comes after an open connection (and channel 1), and how it is answered ---------------------------------------- */

static void raw(uint8_t type, uint16_t channel, const char *payload, size_t n)
{
    bytes_frame(&in, type, channel, payload, n);
}
#define RAW(type, channel, payload) raw(type, channel, payload, sizeof payload - 1)

static void second_open(void)
{
    bytes_simple(&in, 1, AMQP_channel_open);
}
static void not_open(void)
{
    bytes_simple(&in, 2, AMQP_basic_qos);
}
static void body_not_open(void)
{
    bytes_body(&in, 2, 3);
}
static void channel_on_0(void)
{
    bytes_simple(&in, 0, AMQP_channel_open);
}
static void basic_on_0(void)
{
    bytes_simple(&in, 0, AMQP_basic_qos);
}
static void open_on_1(void)
{
    bytes_simple(&in, 1, AMQP_connection_close);
}
static void deliver(void)
{
    bytes_simple(&in, 1, AMQP_basic_deliver);
}
static void open_ok(void)
{
    bytes_simple(&in, 1, AMQP_channel_open_ok);
}
static void close_ok(void)
{
    bytes_simple(&in, 1, AMQP_channel_close_ok);
}
static void connection_close_ok(void)
{
    bytes_simple(&in, 0, AMQP_connection_close_ok);
}
static void tune_again(void)
{
    bytes_tune_ok(&in, 1, 4096, 0);
}
static void heartbeat_on_1(void)
{
    RAW(AMQP_FRAME_HEARTBEAT, 1, "");
}
static void heartbeat_with_bytes(void)
{
    RAW(AMQP_FRAME_HEARTBEAT, 0, "abc");
}
static void unknown_type(void)
{
    RAW(5, 0, "");
}
static void header_alone(void)
{
    bytes_header(&in, 1, 0);
}
static void body_alone(void)
{
    bytes_body(&in, 1, 3);
}
static void header_on_0(void)
{
    bytes_header(&in, 0, 0);
}
static void body_on_0(void)
{
    RAW(AMQP_FRAME_BODY, 0, "abc");
}
static void publish_method(void)
{
    bytes_publish(&in, 1);
    bytes_simple(&in, 1, AMQP_basic_qos);
}
static void publish_body(void)
{
    bytes_publish(&in, 1);
    bytes_body(&in, 1, 3);
}
static void publish_header_50(void)
{
    bytes_publish(&in, 1);
    RAW(AMQP_FRAME_HEADER, 1, "\0\062\0\0\0\0\0\0\0\0\0\3\0\0");
}
static void publish_header_short(void)
{
    bytes_publish(&in, 1);
    RAW(AMQP_FRAME_HEADER, 1, "\0\074\0");
}
static void publish_header_malformed(void)
{
    bytes_publish(&in, 1);
    RAW(AMQP_FRAME_HEADER, 1, "\0\074\0\0\0\0\0\0\0\0\0\0\200\0\011ab");
}
static void publish_header_method(void)
{
    bytes_publish(&in, 1);
    bytes_header(&in, 1, 3);
    bytes_publish(&in, 1);
}
static void publish_header_header(void)
{
    bytes_publish(&in, 1);
    bytes_header(&in, 1, 3);
    bytes_header(&in, 1, 3);
}
static void publish_too_much(void)
{
    bytes_publish(&in, 1);
    bytes_header(&in, 1, 3);
    bytes_body(&in, 1, 4);
}
static void method_short(void)
{
    RAW(AMQP_FRAME_METHOD, 1, "\0\074\0\012\0");
}
static void method_stub(void)
{
    RAW(AMQP_FRAME_METHOD, 1, "\0\1");
}
static void method_unknown(void)
{
    RAW(AMQP_FRAME_METHOD, 1, "\0\074\0\143");
}
static void end_octet(void)
{
    bytes_simple(&in, 1, AMQP_basic_qos);
    in.data[in.n - 1] = 0;
}
static void body_end_octet(void)
{
    bytes_publish(&in, 1);
    bytes_header(&in, 1, 3);
    bytes_body(&in, 1, 3);
    in.data[in.n - 1] = 7;
}
static void frame_too_large(void)
{
    static const uint8_t head[] = {AMQP_FRAME_BODY, 0, 1, 0, 2, 0, 1};
    memcpy(in.data + in.n, head, sizeof head);
    in.n += sizeof head;
}
static void channel_error(void)
{
    bytes_named(&in, 1, AMQP_queue_purge, "nope");
}
static void hard_error(void)
{
    bytes_simple(&in, 1, AMQP_queue_delete);
}

static const struct error {
    const char *name;
    void (*bytes)(void);
    const char *said;
    bool ends; /* nobody knows where the next frame begins: no close-ok is awaited */
} errors[] = {
    {"channel.open twice", second_open, "0 close 504 CHANNEL_ERROR - second 'channel.open' seen (20,10)\n", false},
    {"a channel nobody opened", not_open, "0 close 504 CHANNEL_ERROR - expected 'channel.open' (60,10)\n", false},
    {"a body there", body_not_open,
     "0 close 505 UNEXPECTED_FRAME - expected method frame, got non method frame instead (0,0)\n", false},
    {"channel.open on channel 0", channel_on_0,
     "0 close 504 CHANNEL_ERROR - unexpected method in connection state running (20,10)\n", false},
    {"basic on channel 0", basic_on_0,
     "0 close 504 CHANNEL_ERROR - unexpected method in connection state running (60,10)\n", false},
    {"connection.close on channel 1", open_on_1, "0 close 503 COMMAND_INVALID - unimplemented method (10,50)\n", false},
    {"basic.deliver from a client", deliver, "0 close 503 COMMAND_INVALID - unimplemented method (60,60)\n", false},
    {"channel.open-ok from a client", open_ok, "0 close 503 COMMAND_INVALID - unimplemented method (20,11)\n", false},
    {"a close-ok that nobody awaits", close_ok, "0 close 503 COMMAND_INVALID - unimplemented method (20,41)\n", false},
    {"... for the connection", connection_close_ok,
     "0 close 504 CHANNEL_ERROR - unexpected method in connection state running (10,51)\n", false},
    {"tune-ok when open", tune_again,
     "0 close 504 CHANNEL_ERROR - unexpected method in connection state running (10,31)\n", false},
    {"a heartbeat on channel 1", heartbeat_on_1, "0 close 505 UNEXPECTED_FRAME - type 8, all octets = <<>> (0,0)\n",
     false},
    {"a heartbeat that says something", heartbeat_with_bytes,
     "0 close 501 FRAME_ERROR - type 8, all octets = <<\"abc\">>: unknown_frame (0,0)\n", false},
    {"an unknown type", unknown_type, "0 close 501 FRAME_ERROR - type 5, all octets = <<>>: unknown_frame (0,0)\n",
     false},
    {"a header alone", header_alone,
     "0 close 505 UNEXPECTED_FRAME - expected method frame, got non method frame instead (0,0)\n", false},
    {"a body alone", body_alone,
     "0 close 505 UNEXPECTED_FRAME - expected method frame, got non method frame instead (0,0)\n", false},
    {"a header on channel 0", header_on_0,
     "0 close 505 UNEXPECTED_FRAME - type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,0,0,0>> (0,0)\n", false},
    {"publish, method", publish_method,
     "0 close 505 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead "
     "(60,40)\n",
     false},
    {"publish, body", publish_body,
     "0 close 505 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead "
     "(60,40)\n",
     false},
    {"publish, header of class 50", publish_header_50,
     "0 close 505 UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead (60,40)\n",
     false},
    {"publish, a stub of a header", publish_header_short,
     "0 close 501 FRAME_ERROR - type 2, all octets = <<0,60,0>>: unknown_frame (0,0)\n", false},
    {"publish, malformed properties", publish_header_malformed,
     "0 close 502 SYNTAX_ERROR - malformed properties (60,40)\n", false},
    {"publish, header, method", publish_header_method,
     "0 close 505 UNEXPECTED_FRAME - expected content body, got non content body frame instead (60,40)\n", false},
    {"publish, header, header", publish_header_header,
     "0 close 505 UNEXPECTED_FRAME - expected content body, got non content body frame instead (60,40)\n", false},
    {"publish, header, too long a body", publish_too_much,
     "0 close 505 UNEXPECTED_FRAME - expected 3 bytes of content body, got 4 instead (60,40)\n", false},
    {"a method too short", method_short, "0 close 501 FRAME_ERROR - cannot decode <<0>> (60,10)\n", false},
    {"a stub of a method", method_stub, "0 close 501 FRAME_ERROR - type 1, all octets = <<0,1>>: unknown_frame (0,0)\n",
     false},
    {"an unknown method", method_unknown, "0 close 540 NOT_IMPLEMENTED - unknown class or method (60,99)\n", false},
    {"another end octet", end_octet,
     "0 close 501 FRAME_ERROR - type 1, all octets = <<0,60,0,10,0,0,0,0,0,0,0>>: {invalid_frame_end_marker,0} (0,0)\n",
     true},
    {"a frame too large", frame_too_large,
     "0 close 501 FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,131073,131064} (0,0)\n", true},
    {"an error of the channel", channel_error, "1 close 404 NOT_FOUND - no queue 'nope' in vhost '/' (50,30)\n", false},
    {"a hard error on a channel", hard_error, "0 close 541 INTERNAL_ERROR - asked for (50,40)\n", false},
};

/* In pieces of at most `piece` bytes, the first of `first`. */
static void feed_pieces(struct mr_stream *s, size_t first, size_t piece)
{
    for (size_t at = 0, n = first; at < in.n; at += n, n = piece) {
        n = n < in.n - at ? n : in.n - at;
        if (n)
            fake_input(s, in.data + at, n);
        if (machine(s))
            amqp_server_check(&amqp_world.b);
    }
}

static void error_check(const struct error *e, size_t first, size_t piece)
{
    struct mr_stream *s = with_channel();
    e->bytes();
    feed_pieces(s, first, piece);
    const char *said = amqp_world_said(s);
    if (strcmp(said, e->said))
        fail_msg("%s, in pieces of %zu, then %zu:\nsaid     %sexpected %s", e->name, first, piece, said, e->said);
    assert_int_equal(fake_shutdown_seen(s), e->ends);
    bytes_clear(&in);
    bytes_simple(&in, e->said[0] - '0', e->said[0] == '0' ? AMQP_connection_close_ok : AMQP_channel_close_ok);
    bytes_simple(&in, 1, AMQP_channel_open);
    feed(s);
    fake_turn(amqp_world.w);
    assert_true(e->said[0] != '0' || fake_shutdown_seen(s));
    if (e->said[0] == '1')
        assert_string_equal(amqp_world_said(s), "1 channel.open_ok\n"); /* the number is free again */
    amqp_world_log();
    finish(s);
}

static void open_error_answered_however_it_is_cut(void **state)
{
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        error_check(&errors[i], SIZE_MAX, SIZE_MAX);
        error_check(&errors[i], 1, 1);
        errors[i].bytes();
        size_t n = in.n;
        bytes_clear(&in);
        for (size_t first = 1; first < n; first++)
            error_check(&errors[i], first, SIZE_MAX);
    }
}

/* A body in pieces shows its end octet late, when its bytes were taken. The text then has no octets to show. */
static void open_wrong_end_of_a_body_closed(void **state)
{
    struct mr_stream *s = with_channel();
    body_end_octet();
    feed(s);
    assert_string_equal(amqp_world_said(s), "0 close 501 FRAME_ERROR - type 3, all octets = <<1,1,1>>: "
                                            "{invalid_frame_end_marker,7} (0,0)\n");
    finish(s);
    s = with_channel();
    body_end_octet();
    feed_pieces(s, 1, 1);
    assert_string_equal(amqp_world_said(s),
                        "0 close 501 FRAME_ERROR - type 3, all octets = <<>>: {invalid_frame_end_marker,7} (0,0)\n");
    finish(s);
}

static void open_body_on_channel_0_closed(void **state)
{
    struct mr_stream *s = with_channel();
    body_on_0();
    feed(s);
    assert_string_equal(amqp_world_said(s), "0 close 505 UNEXPECTED_FRAME - type 3, all octets = <<\"abc\">> (0,0)\n");
    finish(s);
}

/* -- the handshake ----------------------------------------------------------------------------------------------------------------- */

static void plain(const char *vhost, const void *response, size_t n)
{
    bytes_protocol(&in);
    bytes_start_ok(&in, "PLAIN", response, n);
    bytes_tune_ok(&in, 2047, 131072, 0);
    bytes_open(&in, vhost);
}
#define PLAIN(vhost, response) plain(vhost, response, sizeof response - 1)

static void amqplain(bool whole)
{
    uint8_t data[64];
    struct amqp_table_out o = {.data = data, .room = sizeof data};
    amqp_table_put_text(&o, "LOGIN", span_of_text("guest"));
    if (whole)
        amqp_table_put_text(&o, "PASSWORD", span_of_text("secret"));
    bytes_protocol(&in);
    bytes_start_ok(&in, "AMQPLAIN", data, o.used);
    bytes_tune_ok(&in, 2047, 131072, 0);
    bytes_open(&in, "/");
}

static void hs_plain(void)
{
    PLAIN("/", "\0guest\0secret");
}
static void hs_amqplain(void)
{
    amqplain(true);
}
static void hs_amqplain_half(void)
{
    amqplain(false);
}
static void hs_wrong_password(void)
{
    PLAIN("/", "\0guest\0wrong");
}
static void hs_malformed(void)
{
    PLAIN("/", "abc");
}
static void hs_three_parts(void)
{
    PLAIN("/", "\0guest\0sec\0ret");
}
static void hs_other_identity(void)
{
    PLAIN("/", "root\0guest\0secret");
}
static void hs_no_vhost(void)
{
    PLAIN("nope", "\0guest\0secret");
}
static void hs_private_vhost(void)
{
    PLAIN("private", "\0guest\0secret");
}
static void hs_external(void)
{
    bytes_protocol(&in);
    bytes_start_ok(&in, "EXTERNAL", "", 0);
}
static void hs_secure(void)
{
    bytes_protocol(&in);
    bytes_start_ok(&in, "PLAIN", "", 0);
    bytes_method(&in, 0,
                 &(struct amqp_method){.id = AMQP_connection_secure_ok,
                                       .connection_secure_ok = {{(const uint8_t *)"\0guest\0secret", 13}}});
}
static void hs_secure_empty(void)
{
    bytes_protocol(&in);
    bytes_start_ok(&in, "PLAIN", "", 0);
    bytes_method(&in, 0, &(struct amqp_method){.id = AMQP_connection_secure_ok});
}
static void hs_http(void)
{
    static const char get[] = "GET / HTTP/1.1\r\n\r\n";
    memcpy(in.data, get, sizeof get - 1);
    in.n = sizeof get - 1;
}
static void hs_version(void)
{
    bytes_protocol(&in);
    in.data[7] = 0;
}
static void hs_open_first(void)
{
    bytes_protocol(&in);
    bytes_open(&in, "/");
}
static void hs_channel_first(void)
{
    bytes_protocol(&in);
    bytes_simple(&in, 1, AMQP_channel_open);
}
static void hs_tune(uint16_t channel_max, uint32_t frame_max)
{
    bytes_protocol(&in);
    bytes_start_ok(&in, "PLAIN", "\0guest\0secret", 13);
    bytes_tune_ok(&in, channel_max, frame_max, 0);
    bytes_open(&in, "/");
}
static void hs_frame_0(void)
{
    hs_tune(2047, 0);
}
static void hs_frame_small(void)
{
    hs_tune(2047, 4095);
}
static void hs_frame_large(void)
{
    hs_tune(2047, 131073);
}
static void hs_channel_0(void)
{
    hs_tune(0, 131072);
}
static void hs_channel_large(void)
{
    hs_tune(2048, 131072);
}
static void hs_tuned_down(void)
{
    hs_tune(1, 4096);
}
static void hs_large_frame(void)
{
    bytes_protocol(&in);
    bytes_body(&in, 0, 5000);
}

#define STARTED "0 connection.start\n"
#define TUNED   STARTED "tune 2047 131072 60\n"
static const struct {
    const char *name;
    void (*bytes)(void);
    const char *said;
    bool shut; /* and then our direction ends */
} handshakes[] = {
    {"PLAIN", hs_plain, TUNED "0 connection.open_ok\n", false},
    {"AMQPLAIN", hs_amqplain, TUNED "0 connection.open_ok\n", false},
    {"AMQPLAIN without a password", hs_amqplain_half, STARTED, true},
    {"a wrong password, and a client that wants to know", hs_wrong_password,
     STARTED "0 close 403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the "
             "broker logfile. (0,0)\n",
     false},
    {"a malformed response", hs_malformed, STARTED, true},
    {"a NUL within the password", hs_three_parts, STARTED, true},
    {"who wants to be another", hs_other_identity, STARTED, true},
    {"an unknown virtual host", hs_no_vhost, TUNED "0 close 530 NOT_ALLOWED - vhost nope not found (10,40)\n", false},
    {"somebody else's virtual host", hs_private_vhost,
     TUNED "0 close 530 NOT_ALLOWED - access to vhost 'private' refused for user 'guest' (10,40)\n", false},
    {"EXTERNAL without TLS", hs_external, STARTED, true},
    {"no initial response", hs_secure, STARTED "0 connection.secure\ntune 2047 131072 60\n", false},
    {"no response at all", hs_secure_empty, STARTED "0 connection.secure\n", true},
    {"HTTP", hs_http, "header\n", true},
    {"another version", hs_version, "header\n", true},
    {"open before start-ok", hs_open_first, STARTED, true},
    {"a channel before start-ok", hs_channel_first, STARTED, true},
    {"frames without limit", hs_frame_0, TUNED, true},
    {"frames too small", hs_frame_small, TUNED, true},
    {"frames larger than proposed", hs_frame_large, TUNED, true},
    {"channels without limit", hs_channel_0, TUNED, true},
    {"more channels than proposed", hs_channel_large, TUNED, true},
    {"less of both", hs_tuned_down, TUNED "0 connection.open_ok\n", false},
    {"a large frame before tuning", hs_large_frame, STARTED, true},
};

static void handshake_check(size_t i, size_t first, size_t piece)
{
    struct mr_stream *s = fake_open(amqp_world.w);
    handshakes[i].bytes();
    feed_pieces(s, first, piece);
    const char *said = amqp_world_said(s);
    if (strcmp(said, handshakes[i].said) || fake_shutdown_seen(s) != handshakes[i].shut)
        fail_msg("%s, in pieces of %zu, then %zu:\nsaid     %s%sexpected %s", handshakes[i].name, first, piece, said,
                 fake_shutdown_seen(s) ? "(end)\n" : "", handshakes[i].said);
    bytes_clear(&in);
    finish(s);
    assert_false(fake_reset_seen(s));
}

static void handshake_answered_however_it_is_cut(void **state)
{
    for (size_t i = 0; i < sizeof handshakes / sizeof handshakes[0]; i++) {
        handshake_check(i, SIZE_MAX, SIZE_MAX);
        handshake_check(i, 1, 1);
        for (size_t first = 2; first < 300; first += 7)
            handshake_check(i, first, SIZE_MAX);
    }
}

static void handshake_silence_cut(void **state)
{
    struct mr_stream *s = fake_open(amqp_world.w);
    bytes_protocol(&in);
    feed(s);
    fake_pass(amqp_world.w, 9900 * MR_MILLISECOND);
    assert_false(fake_closed(s));
    fake_pass(amqp_world.w, 200 * MR_MILLISECOND);
    assert_true(fake_aborted(s));
    assert_int_equal(amqp_world.counters[QUEUE_COUNTER_HANDSHAKES_FAILED], 1);
}

/* A frame that never ends stays in the stream, bounded by its window; nothing of it is kept. */
static void handshake_dribble_holds_nothing(void **state)
{
    static const uint8_t response[3000];
    struct mr_stream *s = fake_open(amqp_world.w);
    uint64_t before = amqp_world.b.memory.used;
    bytes_protocol(&in);
    bytes_start_ok(&in, "PLAIN", response, sizeof response);
    for (size_t i = 0; i + 1 < in.n; i++) {
        fake_input(s, in.data + i, 1);
        assert_int_equal(amqp_world.b.memory.used, before);
    }
    assert_int_equal(fake_unread(s), in.n - sizeof amqp_protocol_header - 1);
    fake_input(s, in.data + in.n - 1, 1); /* now it is whole, and wrong */
    bytes_clear(&in);
    assert_true(fake_shutdown_seen(s));
    finish(s);
}

/* -- limits -------------------------------------------------------------------------------------------------------------------------------- */

static void connections_more_than_allowed_refused(void **state)
{
    struct mr_stream *s[5];
    for (int i = 0; i < 5; i++)
        s[i] = fake_open(amqp_world.w);
    fake_turn(amqp_world.w);
    assert_true(fake_closed(s[4]));
    assert_int_equal(amqp_world.counters[QUEUE_COUNTER_CONNECTIONS_REFUSED], 1);
    for (int i = 0; i < 4; i++)
        finish(s[i]);
    finish(connection(0)); /* there is room again */
}

static void channels_more_than_tuned_refused(void **state)
{
    struct mr_stream *s = fake_open(amqp_world.w);
    hs_tune(20, 4096);
    for (uint16_t i = 1; i <= 20; i++)
        bytes_simple(&in, i * 3, AMQP_channel_open);
    feed(s);
    amqp_server_check(&amqp_world.b);
    assert_int_equal(machine(s)->channel_count, 20);
    for (uint16_t i = 1; i <= 20; i++)
        assert_non_null(amqp_channel_find(machine(s), i * 3));
    assert_null(amqp_channel_find(machine(s), 4));
    amqp_world_said(s);
    bytes_simple(&in, 65535, AMQP_channel_open);
    feed(s);
    assert_string_equal(amqp_world_said(s), "0 close 530 NOT_ALLOWED - number of channels opened (20) has reached the "
                                            "negotiated channel_max (20) (20,10)\n");
    finish(s);
}

/* -- contents ------------------------------------------------------------------------------------------------------------------------------ */

static void open_content_passed_on_in_pieces(void **state)
{
    static const size_t pieces[] = {1, 2, 3, 7, 8, 100, 1448, SIZE_MAX};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct mr_stream *s = with_channel();
        bytes_publish(&in, 1);
        bytes_header(&in, 1, 5000);
        bytes_body(&in, 1, 0);
        bytes_body(&in, 1, 1);
        bytes_body(&in, 1, 4000);
        RAW(AMQP_FRAME_HEARTBEAT, 0, "");
        bytes_body(&in, 1, 999);
        bytes_publish(&in, 1);
        bytes_header(&in, 1, 0);
        bytes_simple(&in, 1, AMQP_basic_qos);
        feed_pieces(s, pieces[i], pieces[i]);
        bytes_clear(&in);
        assert_string_equal(amqp_world_log(), "1 basic.publish\n1 header 5000\n1 body 5000 5000\n1 basic.publish\n"
                                              "1 header 0\n1 basic.qos\n");
        assert_string_equal(amqp_world_said(s), "1 basic.qos_ok\n");
        finish(s);
        amqp_world_log();
    }
}

/* Two channels' contents between each other, as 4.2.6 allows. */
static void open_contents_of_two_channels_mixed(void **state)
{
    struct mr_stream *s = with_channel();
    bytes_simple(&in, 2, AMQP_channel_open);
    bytes_publish(&in, 1);
    bytes_publish(&in, 2);
    bytes_header(&in, 2, 4);
    bytes_header(&in, 1, 2);
    bytes_body(&in, 1, 2);
    bytes_body(&in, 2, 4);
    feed_pieces(s, 1, 1);
    bytes_clear(&in);
    assert_string_equal(amqp_world_log(),
                        "2 open\n1 basic.publish\n2 basic.publish\n2 header 4\n1 header 2\n1 body 2 2\n"
                        "2 body 6 6\n"); /* the recorder adds up what two contents bring */
    finish(s);
}

static void closing_channel_content_dropped(void **state)
{
    struct mr_stream *s = with_channel();
    bytes_named(&in, 1, AMQP_queue_purge, "q");
    bytes_publish(&in, 1);
    bytes_header(&in, 1, 5000);
    bytes_body(&in, 1, 5000);
    bytes_simple(&in, 1, AMQP_channel_close); /* crossed ours */
    bytes_simple(&in, 1, AMQP_channel_close_ok);
    bytes_simple(&in, 1, AMQP_channel_open);
    fake_input(s, in.data, in.n / 2);
    fake_input(s, in.data + in.n / 2, in.n - in.n / 2);
    bytes_clear(&in);
    assert_string_equal(amqp_world_said(s),
                        "1 close 404 NOT_FOUND - no queue 'q' in vhost '/' (50,30)\n1 channel.close_ok\n"
                        "1 channel.open_ok\n");
    assert_string_equal(amqp_world_log(), "1 queue.purge\n1 end\n1 open\n1 free\n");
    finish(s);
}

/* -- output -------------------------------------------------------------------------------------------------------------------------------- */

static void get(struct mr_stream *s, const char *bytes)
{
    bytes_named(&in, 1, AMQP_basic_get, bytes);
    feed(s);
}

static void deliveries_split_at_frame_max(void **state)
{
    struct mr_stream *s = with_channel();
    get(s, "0");
    assert_string_equal(amqp_world_said(s), "1 basic.get_ok\n1 header 0\n");
    get(s, "2048");
    assert_string_equal(amqp_world_said(s), "1 basic.get_ok\n1 header 2048\n1 body 2048\n");
    assert_string_equal(amqp_world_log(), "1 basic.get\n1 copied\n1 basic.get\n1 copied\n");
    get(s, "2049");
    assert_string_equal(amqp_world_said(s), "1 basic.get_ok\n1 header 2049\n1 body 2049\n");
    get(s, "262130");
    assert_string_equal(amqp_world_said(s),
                        "1 basic.get_ok\n1 header 262130\n1 body 131064\n1 body 131064\n1 body 2\n");
    assert_int_equal(amqp_world.body_sum,
                     263 * ('0' * 10 + 45)); /* every 1000 bytes begin with the digits, then zeros */
    assert_string_equal(amqp_world_log(), "1 basic.get\n1 lent\n1 basic.get\n1 lent\n");
    fake_turn(amqp_world.w);
    assert_int_equal(amqp_world.lent, 0);
    finish(s);
}

/* Nothing more is read, and no delivery written, above the limit; what was lent comes back when the connection goes. */
static void slow_reader_bounded_and_released(void **state)
{
    struct mr_stream *s = with_channel();
    fake_throttle(s, 10000);
    for (int i = 0; i < 40; i++)
        bytes_named(&in, 1, AMQP_basic_get, "30000");
    feed(s);
    assert_true(machine(s)->output_bytes >= AMQP_OUTPUT_MAX);
    assert_true(machine(s)->output_bytes < AMQP_OUTPUT_MAX + 31000);
    assert_true(fake_unread(s) > 0);
    assert_null(strstr(amqp_world_log(), "not sent"));
    unsigned lent = amqp_world.lent;
    assert_in_range(lent, 8, 10);
    amqp_server_check(&amqp_world.b);
    for (int i = 0; i < 1000 && fake_unread(s); i++)
        fake_acknowledge(s, 10000);
    assert_int_equal(fake_unread(s), 0); /* who reads on is read on */
    fake_reset(s);
    fake_turn(amqp_world.w);
    assert_int_equal(amqp_world.lent, 0);
}

static void waiting_channel_told_when_there_is_room(void **state)
{
    struct mr_stream *s = with_channel();
    amqp_world.writable_again = 2;
    bytes_simple(&in, 1, AMQP_tx_commit);
    feed(s);
    for (int i = 0; i < 4; i++)
        fake_turn(amqp_world.w);
    assert_string_equal(amqp_world_log(), "1 tx.commit\n1 writable\n1 writable\n1 writable\n");
    fake_throttle(s, 0);
    bytes_named(&in, 1, AMQP_basic_get, "300000");
    bytes_simple(&in, 1, AMQP_tx_commit);
    feed(s);
    fake_turn(amqp_world.w);
    assert_string_equal(amqp_world_log(), "1 basic.get\n1 lent\n"); /* not even read */
    fake_throttle(s, 1 << 20);
    fake_acknowledge(s, 1);
    fake_acknowledge(s, SIZE_MAX);
    fake_turn(amqp_world.w);
    fake_turn(amqp_world.w);
    assert_string_equal(amqp_world_log(), "1 tx.commit\n1 writable\n");
    finish(s);
}

static void no_memory_for_a_content_nothing_written(void **state)
{
    struct mr_stream *s = with_channel();
    fake_throttle(s, 0);
    get(s, "1000");
    uint64_t waits = machine(s)->output_bytes;
    amqp_world_log();
    struct memory *memory = &amqp_world.b.memory;
    struct message *message = message_create(memory, span_of_text(""), span_of_text(""), span_of_text(""), 60000);
    static const uint8_t zeros[60000];
    assert_true(message_append(message, zeros, sizeof zeros));
    message_seal(message, 1);
    const struct amqp_method ok = {.id = AMQP_basic_get_ok};
    memory->limit = memory->used + 200; /* the first nodes fit, the last do not */
    assert_int_equal(amqp_send_content(machine(s), 1, &ok, message, true, NULL, NULL), AMQP_SENT_NOT);
    memory->limit = 64 << 20;
    amqp_server_check(&amqp_world.b);
    assert_int_equal(machine(s)->output_bytes, waits);
    message_drop(message);
    fake_throttle(s, 1 << 20);
    fake_acknowledge(s, 1);
    fake_turn(amqp_world.w);
    assert_string_equal(amqp_world_said(s), "1 basic.get_ok\n1 header 1000\n1 body 1000\n");
    finish(s);
}

/* A channel that asks again and again while there is no memory does not turn the worker round. */
static void no_memory_channel_not_told_until_later(void **state)
{
    struct mr_stream *s = with_channel();
    struct memory *memory = &amqp_world.b.memory;
    struct message *message = message_create(memory, span_of_text(""), span_of_text(""), span_of_text(""), 0);
    message_seal(message, 1);
    const struct amqp_method ok = {.id = AMQP_basic_get_ok};
    memory->limit = memory->used;
    assert_int_equal(amqp_send_content(machine(s), 1, &ok, message, false, NULL, NULL), AMQP_SENT_NOT);
    amqp_output_wait(amqp_channel_find(machine(s), 1));
    fake_turn(amqp_world.w);
    fake_turn(amqp_world.w);
    assert_string_equal(amqp_world_log(), "");
    assert_false(fake_worker_busy(amqp_world.w));
    memory->limit = 64 << 20;
    amqp_server_second(&amqp_world.b);
    fake_turn(amqp_world.w);
    assert_string_equal(amqp_world_log(), "1 writable\n");
    message_drop(message);
    finish(s);
}

/* -- hold, alarms -------------------------------------------------------------------------------------------------------------------------- */

static void held_connection_reads_on_when_resumed(void **state)
{
    struct mr_stream *s = with_channel();
    bytes_simple(&in, 1, AMQP_tx_select);
    bytes_simple(&in, 1, AMQP_basic_qos);
    feed(s);
    assert_string_equal(amqp_world_log(), "1 tx.select\n");
    amqp_connection_resume(machine(s));
    fake_turn(amqp_world.w);
    assert_string_equal(amqp_world_log(), "1 basic.qos\n");
    finish(s);
}

/* The peer's end lies behind what is not read yet: it shows when that was. */
static void held_connection_end_seen_when_resumed(void **state)
{
    struct mr_stream *s = with_channel();
    bytes_simple(&in, 1, AMQP_tx_select);
    bytes_simple(&in, 1, AMQP_basic_qos);
    feed(s);
    fake_end(s);
    fake_turn(amqp_world.w);
    assert_false(fake_closed(s));
    amqp_connection_resume(machine(s));
    fake_turn(amqp_world.w);
    fake_turn(amqp_world.w);
    assert_string_equal(amqp_world_log(), "1 tx.select\n1 basic.qos\n1 end\n1 free\n");
    assert_true(fake_closed(s));
}

static void alarms(uint32_t which)
{
    amqp_world.b.alarms = which;
    amqp_server_alarms_changed(&amqp_world.b);
    fake_turn(amqp_world.w);
}

/* Who has not published is not concerned; who does while an alarm is set is told then. */
static void alarm_publishers_told_and_not_read(void **state)
{
    struct mr_stream *publisher = with_channel(), *consumer = with_channel();
    bytes_publish(&in, 1);
    bytes_header(&in, 1, 0);
    feed(publisher);
    alarms(BROKER_ALARM_MEMORY);
    assert_string_equal(amqp_world_said(publisher), "blocked low on memory\n");
    assert_string_equal(amqp_world_said(consumer), "");
    amqp_world_log();
    bytes_simple(&in, 1, AMQP_basic_qos);
    fake_input(publisher, in.data, in.n);
    feed(consumer);
    assert_string_equal(amqp_world_log(), "1 basic.qos\n");
    bytes_publish(&in, 1);
    bytes_header(&in, 1, 3);
    bytes_body(&in, 1, 3);
    feed(consumer);
    assert_string_equal(amqp_world_said(consumer), "1 basic.qos_ok\nblocked low on memory\n");
    assert_string_equal(amqp_world_log(), "1 basic.publish\n");
    alarms(BROKER_ALARM_DISK); /* another reason is still a reason */
    assert_string_equal(amqp_world_said(publisher), "");
    alarms(0);
    assert_string_equal(amqp_world_said(publisher), "0 connection.unblocked\n1 basic.qos_ok\n");
    assert_string_equal(amqp_world_said(consumer), "0 connection.unblocked\n");
    assert_non_null(strstr(amqp_world_log(), "1 body 3 3\n"));
    finish(publisher);
    finish(consumer);
}

/* -- heartbeats ---------------------------------------------------------------------------------------------------------------------------- */

static void heartbeat_sent_at_half_and_silence_cut_after_two(void **state)
{
    struct mr_stream *s = connection(10);
    fake_pass(amqp_world.w, 5500 * MR_MILLISECOND);
    assert_string_equal(amqp_world_said(s), ""); /* open-ok was sent within this half */
    fake_pass(amqp_world.w, 5 * MR_SECOND);
    assert_string_equal(amqp_world_said(s), "heartbeat\n");
    RAW(AMQP_FRAME_HEARTBEAT, 0, "");
    feed(s);
    fake_pass(amqp_world.w, 19 * MR_SECOND);
    assert_false(fake_closed(s));
    fake_pass(amqp_world.w, 6 * MR_SECOND);
    assert_true(fake_aborted(s));
    assert_int_equal(amqp_world.counters[QUEUE_COUNTER_HEARTBEATS_MISSED], 1);
}

static void heartbeat_none_never_cut(void **state)
{
    struct mr_stream *s = connection(0);
    fake_pass(amqp_world.w, 1000 * MR_SECOND);
    assert_string_equal(amqp_world_said(s), "");
    assert_false(fake_closed(s));
    finish(s);
}

/* We do not read, so that it cannot be heard: it is not cut for that. */
static void heartbeat_of_the_held_not_missed(void **state)
{
    struct mr_stream *s = connection(1);
    bytes_simple(&in, 1, AMQP_channel_open);
    bytes_simple(&in, 1, AMQP_tx_select);
    RAW(AMQP_FRAME_HEARTBEAT, 0, "");
    feed(s);
    fake_pass(amqp_world.w, 10 * MR_SECOND);
    assert_false(fake_closed(s));
    amqp_connection_resume(machine(s));
    fake_turn(amqp_world.w);
    finish(s);
}

/* -- the end ----------------------------------------------------------------------------------------------------------------------------------- */

static void closed_by_peer_answered_and_ended(void **state)
{
    struct mr_stream *s = with_channel();
    bytes_simple(&in, 0, AMQP_connection_close);
    bytes_simple(&in, 1, AMQP_basic_qos); /* after that nothing counts */
    feed(s);
    fake_turn(amqp_world.w);
    assert_string_equal(amqp_world_said(s), "0 connection.close_ok\n");
    assert_string_equal(amqp_world_log(), "1 end\n1 free\n");
    assert_false(fake_shutdown_seen(s)); /* it may end first */
    finish(s);
    assert_false(fake_reset_seen(s));
}

static void closed_by_peer_that_does_not_end_ended(void **state)
{
    struct mr_stream *s = with_channel();
    bytes_simple(&in, 0, AMQP_connection_close);
    feed(s);
    fake_pass(amqp_world.w, 3100 * MR_MILLISECOND);
    assert_true(fake_shutdown_seen(s));
    assert_false(fake_closed(s));
    fake_pass(amqp_world.w, 3100 * MR_MILLISECOND);
    assert_true(fake_aborted(s));
}

static void closed_by_us_without_answer_cut(void **state)
{
    struct mr_stream *s = with_channel();
    second_open();
    feed(s);
    fake_pass(amqp_world.w, 9 * MR_SECOND);
    assert_false(fake_closed(s));
    fake_pass(amqp_world.w, 2 * MR_SECOND);
    assert_true(fake_aborted(s));
}

static void channel_drains_after_its_connection(void **state)
{
    amqp_world.drain_later = true;
    struct mr_stream *s = with_channel();
    bytes_simple(&in, 2, AMQP_channel_open);
    bytes_simple(&in, 1, AMQP_channel_close);
    bytes_simple(&in, 1, AMQP_channel_open); /* the number again, while the first is still under way */
    feed(s);
    assert_string_equal(amqp_world_said(s), "2 channel.open_ok\n1 channel.close_ok\n1 channel.open_ok\n");
    fake_reset(s);
    fake_turn(amqp_world.w);
    assert_int_equal(amqp_world.ended_count, 3);
    assert_int_equal(amqp_world.counters[QUEUE_COUNTER_CHANNELS_OPEN], 0);
    assert_true(amqp_world.b.memory.allocations > 0);
    amqp_world_log();
    amqp_world_drain();
    fake_turn(amqp_world.w);
    const char *log = amqp_world_log();
    assert_int_equal(strlen(log), 3 * strlen("1 free\n"));
    assert_int_equal(amqp_world.b.memory.allocations, 0);
}

static void stop_forces_connections_closed(void **state)
{
    struct mr_stream *s = with_channel(), *early = fake_open(amqp_world.w);
    amqp_server_stop(&amqp_world.b);
    fake_turn(amqp_world.w);
    assert_string_equal(amqp_world_said(s),
                        "0 close 320 CONNECTION_FORCED - broker forced connection closure with reason "
                        "'shutdown' (0,0)\n");
    assert_true(fake_shutdown_seen(early));
    finish(early);
    bytes_simple(&in, 0, AMQP_connection_close_ok);
    feed(s);
    finish(s);
}

static void update_secret_acknowledged(void **state)
{
    struct mr_stream *s = connection(0);
    bytes_simple(&in, 0, AMQP_connection_update_secret);
    feed(s);
    assert_string_equal(amqp_world_said(s), "0 connection.update_secret_ok\n");
    finish(s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)
    const struct CMUnitTest tests[] = {
        TEST(open_error_answered_however_it_is_cut),
        TEST(open_wrong_end_of_a_body_closed),
        TEST(open_body_on_channel_0_closed),
        TEST(handshake_answered_however_it_is_cut),
        TEST(handshake_silence_cut),
        TEST(handshake_dribble_holds_nothing),
        TEST(connections_more_than_allowed_refused),
        TEST(channels_more_than_tuned_refused),
        TEST(open_content_passed_on_in_pieces),
        TEST(open_contents_of_two_channels_mixed),
        TEST(closing_channel_content_dropped),
        TEST(deliveries_split_at_frame_max),
        TEST(slow_reader_bounded_and_released),
        TEST(waiting_channel_told_when_there_is_room),
        TEST(no_memory_for_a_content_nothing_written),
        TEST(held_connection_reads_on_when_resumed),
        TEST(held_connection_end_seen_when_resumed),
        TEST(no_memory_channel_not_told_until_later),
        TEST(alarm_publishers_told_and_not_read),
        TEST(heartbeat_sent_at_half_and_silence_cut_after_two),
        TEST(heartbeat_none_never_cut),
        TEST(heartbeat_of_the_held_not_missed),
        TEST(closed_by_peer_answered_and_ended),
        TEST(closed_by_peer_that_does_not_end_ended),
        TEST(closed_by_us_without_answer_cut),
        TEST(channel_drains_after_its_connection),
        TEST(stop_forces_connections_closed),
        TEST(update_secret_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
