/* The echo service over a fake stack. */
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "echo/echo.h"
#include "tests/support/fake_stream.h"

struct fixture {
    struct mr_worker *w;
    uint64_t counters[8];
    void *state;
};

static struct fixture echo_begin(void)
{
    struct fixture f = {.w = fake_worker_create()};
    struct mr_endpoint *config = calloc(1, echo_service.config_bytes);
    config->port = 7;
    static uint64_t counters[8];
    memset(counters, 0, sizeof counters);
    assert_int_equal(echo_service.start(f.w, config, counters, &f.state), MR_OK);
    free(config);
    return f;
}

static void echo_finish(struct fixture *f)
{
    echo_service.stop(f->w, f->state);
    fake_turn(f->w);
    echo_service.release(f->w, f->state);
    fake_worker_free(f->w);
}

static void open_data_comes_back(void **state)
{
    /* Every byte comes back, in order, whatever the pieces. */
    struct fixture f = echo_begin();
    struct mr_stream *s = fake_open(f.w);
    fake_input(s, "hello ", 6);
    fake_input(s, "world", 5);
    assert_string_equal(fake_output(s, NULL), "hello world");
    fake_end(s);
    assert_true(fake_shutdown_seen(s));
    assert_true(fake_closed(s));
    echo_finish(&f);
}

static void slow_reader_closes_the_window(void **state)
{
    /* What cannot be sent is not consumed, and nothing is lost when the peer reads again. */
    struct fixture f = echo_begin();
    struct mr_stream *s = fake_open(f.w);
    fake_throttle(s, 4);
    fake_input(s, "0123456789", 10);
    assert_int_equal(mr_stream_readable(s), 6);
    assert_string_equal(fake_output(s, NULL), "0123");
    fake_acknowledge(s, 4);
    fake_acknowledge(s, 4);
    assert_string_equal(fake_output(s, NULL), "0123456789");
    fake_reset(s);
    echo_finish(&f);
}

static void peer_end_waits_for_the_last_byte(void **state)
{
    /* Our half closes only after all has been echoed. */
    struct fixture f = echo_begin();
    struct mr_stream *s = fake_open(f.w);
    fake_throttle(s, 2);
    fake_input(s, "abcd", 4);
    fake_end(s);
    assert_false(fake_shutdown_seen(s));
    fake_acknowledge(s, 2);
    assert_true(fake_shutdown_seen(s));
    assert_false(fake_closed(s));
    fake_acknowledge(s, 2);
    assert_true(fake_closed(s));
    assert_string_equal(fake_output(s, NULL), "abcd");
    echo_finish(&f);
}

static void datagram_comes_back_to_its_sender(void **state)
{
    struct fixture f = echo_begin();
    struct mr_endpoint peer = {mr_address_ip4(0xc6120001), 4000};
    struct mr_datagram last;
    fake_datagram(f.w, &peer, "ping", 4);
    assert_int_equal(fake_datagrams_sent(f.w, &last), 1);
    assert_int_equal(last.remote.port, 4000);
    assert_int_equal(last.payload.length, 4);
    assert_memory_equal(last.payload.data, "ping", 4);
    echo_finish(&f);
}

static void datagram_from_our_own_port_is_not_answered(void **state)
{
    /* Else two echo services could be made to talk to each other for ever. */
    struct fixture f = echo_begin();
    struct mr_endpoint peer = {mr_address_ip4(0xc6120001), 7};
    fake_datagram(f.w, &peer, "ping", 4);
    assert_int_equal(fake_datagrams_sent(f.w, NULL), 0);
    echo_finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_data_comes_back),
        cmocka_unit_test(slow_reader_closes_the_window),
        cmocka_unit_test(peer_end_waits_for_the_last_byte),
        cmocka_unit_test(datagram_comes_back_to_its_sender),
        cmocka_unit_test(datagram_from_our_own_port_is_not_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
