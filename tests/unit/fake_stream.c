/* The stand-in for the stack: connections that a service makes, splices, flows of datagrams. */
#include <string.h>

#include "tests/support/cmocka.h"
#include "tests/support/fake_stream.h"

struct seen {
    unsigned opens, writables, closes;
    enum mr_close_reason reason;
};

static void on_open(struct mr_stream *s)
{
    ((struct seen *)mr_stream_context(s))->opens++;
}

static void on_writable(struct mr_stream *s)
{
    ((struct seen *)mr_stream_context(s))->writables++;
}

static void on_close(struct mr_stream *s, enum mr_close_reason reason)
{
    struct seen *seen = mr_stream_context(s);
    seen->closes++;
    seen->reason = reason;
}

static const struct mr_stream_handler handler = {on_open, NULL, on_writable, on_close};
static const struct mr_endpoint backend = {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 198, 18, 0, 9}}, 8080};

static struct mr_stream *make(struct mr_worker *w, struct seen *seen)
{
    struct mr_stream *s;
    assert_int_equal(mr_connect(w, NULL, &backend, &handler, NULL, seen, &s), MR_OK);
    return s;
}

static void connect_is_accepted_refused_or_closed_while_it_waits(void **state)
{
    struct mr_worker *w = fake_worker_create();
    struct seen seen[3] = {{0}};
    for (unsigned i = 0; i < 3; i++)
        make(w, &seen[i]);
    assert_int_equal(fake_connect_count(w), 3);
    struct mr_endpoint to;
    mr_stream_remote(fake_connected(w, 1), &to);
    assert_memory_equal(&to, &backend, sizeof to);

    assert_int_equal(mr_stream_send(fake_connected(w, 0), "early", 5), 5);
    fake_turn(w);
    assert_int_equal(mr_stream_unacknowledged(fake_connected(w, 0)), 5);
    fake_connect_accept(fake_connected(w, 0));
    fake_turn(w);
    assert_int_equal(seen[0].opens, 1);
    assert_int_equal(mr_stream_unacknowledged(fake_connected(w, 0)), 0);
    fake_input(fake_connected(w, 0), "late", 4);
    assert_int_equal(mr_stream_readable(fake_connected(w, 0)), 4);

    fake_lose(fake_connected(w, 1), MR_CLOSE_REFUSED);
    assert_int_equal(seen[1].closes, 1);
    assert_int_equal(seen[1].reason, MR_CLOSE_REFUSED);

    mr_stream_close(fake_connected(w, 2));
    assert_int_equal(seen[2].closes, 0);
    fake_turn(w);
    assert_int_equal(seen[2].reason, MR_CLOSE_LOCAL);
    assert_int_equal(seen[2].opens, 0);

    struct mr_stream *none = NULL;
    fake_connect_error(w, MR_ERROR_NO_PORT);
    assert_int_equal(mr_connect(w, NULL, &backend, &handler, NULL, seen, &none), MR_ERROR_NO_PORT);
    assert_null(none);
    mr_stream_close(fake_connected(w, 0)); /* with 4 bytes unread */
    fake_turn(w);
    assert_true(fake_reset_seen(fake_connected(w, 0)));
    fake_worker_free(w);
}

static void splice_is_bounded_by_the_budget_and_promises_writable(void **state)
{
    struct mr_worker *w = fake_worker_create();
    struct seen seen[2] = {{0}};
    struct mr_stream *from = make(w, &seen[0]), *to = make(w, &seen[1]);
    fake_connect_automatic(w, true);
    fake_turn(w);
    fake_throttle(to, 6);
    fake_input_quietly(from, "abcd", 4);
    fake_input(from, "efgh", 4);
    mr_stream_consume(from, 1);
    assert_int_equal(mr_stream_splice(from, to, 3), 3);
    assert_int_equal(seen[1].writables, 0);
    assert_int_equal(mr_stream_splice(from, to, SIZE_MAX), 3);
    assert_string_equal(fake_output(to, NULL), "bcdefg");
    assert_int_equal(mr_stream_readable(from), 1);
    assert_int_equal(mr_stream_splice(from, to, 1), 0);
    fake_acknowledge(to, 2);
    assert_int_equal(seen[1].writables, 1);
    assert_int_equal(mr_stream_splice(from, to, 1), 1);
    assert_int_equal(fake_spliced(to), 7);
    fake_input(from, "i", 1);
    mr_stream_shutdown(to);
    assert_int_equal(mr_stream_splice(from, to, 1), 0);
    mr_stream_abort(from);
    mr_stream_abort(to);
    fake_turn(w);
    fake_worker_free(w);
}

static struct mr_datagram got;
static unsigned got_count;

static void on_datagrams(struct mr_port *p, const struct mr_datagram *burst, unsigned n)
{
    got = burst[n - 1];
    got_count += n;
    mr_datagram_send(p, &(struct mr_datagram){.remote = got.remote, .payload = got.payload}, 1);
}

static void flows_of_datagrams_have_ports_of_their_own(void **state)
{
    static const struct mr_datagram_handler datagrams = {on_datagrams};
    struct mr_worker *w = fake_worker_create();
    struct mr_port *ports[3];
    const struct mr_endpoint any = {0}, fixed = {mr_address_any(), 53};
    assert_int_equal(mr_datagram_open(w, &fixed, &datagrams, NULL, &ports[0]), MR_OK);
    assert_int_equal(mr_datagram_open(w, &fixed, &datagrams, NULL, &ports[1]), MR_ERROR_IN_USE);
    assert_int_equal(mr_datagram_open(w, &any, &datagrams, NULL, &ports[1]), MR_OK);
    assert_int_equal(mr_datagram_open(w, &any, &datagrams, NULL, &ports[2]), MR_OK);
    struct mr_endpoint first, second;
    mr_port_local(ports[1], &first);
    mr_port_local(ports[2], &second);
    assert_int_not_equal(first.port, second.port);
    assert_int_equal(fake_ports_open(w), 3);
    assert_ptr_equal(fake_port(w, 2), ports[2]);
    fake_datagram_to(ports[2], &backend, "ping", 4);
    assert_int_equal(got.local.port, second.port);
    assert_int_equal(fake_datagrams_sent(w, NULL), 1);
    assert_ptr_equal(fake_datagram_sent(w, 0)->port, ports[2]);
    fake_datagram_room(w, 0);
    fake_datagram(w, &backend, "ping", 4);
    assert_int_equal(fake_datagrams_sent(w, NULL), 1);
    for (unsigned i = 0; i < 3; i++)
        mr_datagram_close(ports[i]);
    fake_datagram_to(ports[2], &backend, "ping", 4);
    assert_int_equal(got_count, 2);
    fake_worker_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connect_is_accepted_refused_or_closed_while_it_waits),
        cmocka_unit_test(splice_is_bounded_by_the_budget_and_promises_writable),
        cmocka_unit_test(flows_of_datagrams_have_ports_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
