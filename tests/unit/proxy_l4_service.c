/* Layer 4 in the whole service: real upstreams and plans. What is refused is tried elsewhere, what is full is waited for, what is removed
 * drains, and everything is given back. */
#include <stdlib.h>
#include <string.h>

#include "proxy/l4/l4_table.h"
#include "proxy/l4/proxy_protocol.h"
#include "tests/support/cmocka.h"
#include "tests/support/proxy_world.h"

#define say     proxy_world_say
#define expect  proxy_world_expect
#define backend proxy_world_backend

static struct mr_worker *w(void)
{
    return proxy_world.worker;
}

/* "front" in mode tcp, or udp on the same port. */
static struct proxy_config *config_of(int mode)
{
    struct proxy_config *c = proxy_world_config();
    c->listeners[0].mode = mode;
    c->listeners[0].idle_timeout = (mode == PROXY_TCP ? 60 : 20) * MR_SECOND;
    return c;
}

static struct mr_stream *client_joined(struct mr_stream **b)
{
    unsigned i = fake_connect_count(w());
    struct mr_stream *c = proxy_world_client();
    proxy_world_settle();
    *b = backend(i);
    return c;
}

static void check(void)
{
    for (const struct l4_tcp *t = proxy_world.proxy->l4->first_connection; t; t = t->next)
        l4_tcp_check(t);
    l4_flow_table_check(proxy_world.proxy);
}

static void remove_backend(struct proxy_config *c, unsigned i)
{
    struct proxy_upstream_config *u = &c->upstreams[0];
    free(u->backends[i].name);
    u->backends[i] = u->backends[--u->backend_count];
}

/* From the first byte to the last, and what is counted of it. */
static void connection_from_end_to_end(void **state)
{
    struct mr_stream *b, *c;
    proxy_world_start(config_of(PROXY_TCP));
    c = client_joined(&b);
    say(c, "question");
    expect(b, "question");
    say(b, "answer");
    expect(c, "answer");
    check();
    assert_int_equal(proxy_world.counters[PROXY_SESSIONS], 1);
    assert_int_equal(proxy_world.proxy->backends[0].active, 1);
    fake_end(c);
    fake_end(b);
    proxy_world_settle();
    assert_int_equal(fake_close_reason(c), MR_CLOSE_DONE);
    assert_int_equal(fake_close_reason(b), MR_CLOSE_DONE);
    assert_int_equal(proxy_world.counters[PROXY_ACCEPTED], 1);
    assert_int_equal(proxy_world.counters[PROXY_SESSIONS], 0);
    assert_int_equal(proxy_world.counters[PROXY_UPSTREAM_CONNECTIONS], 0);
    assert_int_equal(proxy_world.proxy->backends[0].bytes_to, 8);
    assert_int_equal(proxy_world.proxy->backends[0].bytes_from, 6);
    assert_int_equal(proxy_world.proxy->backends[0].active, 0);
    proxy_world_stop();
}

/* One that refuses: the other one takes the client; when it refuses, too, the client is reset. */
static void refused_is_tried_at_the_other_backend(void **state)
{
    struct mr_endpoint first, second;
    proxy_world_start(config_of(PROXY_TCP));
    fake_connect_automatic(w(), false);
    struct mr_stream *c = proxy_world_client();
    say(c, "early");
    fake_lose(backend(0), MR_CLOSE_REFUSED);
    mr_stream_remote(backend(0), &first);
    mr_stream_remote(backend(1), &second);
    assert_false(mr_address_equal(&first.address, &second.address));
    fake_connect_accept(backend(1));
    proxy_world_settle();
    expect(backend(1), "early");
    assert_int_equal(proxy_world.counters[PROXY_RETRIES], 1);
    c = proxy_world_client();
    fake_lose(backend(2), MR_CLOSE_REFUSED);
    fake_lose(backend(3), MR_CLOSE_REFUSED);
    proxy_world_settle();
    assert_true(fake_aborted(c));
    assert_int_equal(proxy_world.counters[PROXY_L4_FAILED], 1);
    proxy_world_stop();
}

static void connect_that_takes_too_long_is_tried_at_the_other_backend(void **state)
{
    proxy_world_start(config_of(PROXY_TCP));
    fake_connect_automatic(w(), false);
    struct mr_stream *c = proxy_world_client();
    fake_pass(w(), 3 * MR_SECOND);
    assert_int_equal(fake_connect_count(w()), 2);
    assert_true(fake_aborted(backend(0)));
    fake_pass(w(), 3 * MR_SECOND);
    assert_true(fake_aborted(c));
    proxy_world_stop();
}

/* A backend's limit: who comes then waits, with its bytes unread, until another has gone. */
static void full_backend_is_waited_for(void **state)
{
    struct proxy_config *config = config_of(PROXY_TCP);
    struct mr_stream *first_backend, *first;
    remove_backend(config, 1);
    config->upstreams[0].connections_max = 1;
    proxy_world_start(config);
    first = client_joined(&first_backend);
    struct mr_stream *second = proxy_world_client();
    say(second, "patient");
    assert_int_equal(fake_connect_count(w()), 1);
    check();
    fake_reset(first);
    proxy_world_settle();
    assert_int_equal(fake_connect_count(w()), 2);
    expect(backend(1), "patient");
    struct mr_stream *third = proxy_world_client();
    fake_pass(w(), 3 * MR_SECOND);
    assert_true(fake_aborted(third)); /* queue_timeout */
    proxy_world_stop();
}

/* The backend learns who the client is, from the client's connection or from the header in front of it. */
static void header_is_passed_on(void **state)
{
    struct proxy_config *config = config_of(PROXY_TCP);
    config->listeners[0].proxy_protocol = true;
    config->upstreams[0].proxy_protocol = PROXY_PROTOCOL_V1;
    proxy_world_start(config);
    struct mr_stream *c = proxy_world_client();
    say(c, "PROXY TCP6 2001:db8::1 2001:db8::2 1000 2000\r\nhello");
    expect(backend(0), "PROXY TCP6 2001:db8::1 2001:db8::2 1000 2000\r\nhello");
    c = proxy_world_client();
    say(c, "PROXY UNKNOWN\r\nhello");
    expect(backend(1), "PROXY TCP4 198.18.0.1 198.18.0.2 40000 80\r\nhello");
    proxy_world_stop();
}

/* A backend that is removed: its connection goes on until the time to drain is over, the others' go on after it. */
static void removed_backend_drains(void **state)
{
    struct mr_stream *b[2], *c[2];
    proxy_world_start(config_of(PROXY_TCP));
    c[0] = client_joined(&b[0]);
    c[1] = client_joined(&b[1]);
    struct proxy_config *next = config_of(PROXY_TCP);
    remove_backend(next, 0);
    proxy_world_apply(next);
    fake_pass(w(), 29 * MR_SECOND);
    say(c[0], "still here");
    expect(b[0], "still here");
    fake_pass(w(), 2 * MR_SECOND);
    assert_true(fake_aborted(c[0]) && fake_aborted(b[0]));
    say(c[1], "not touched");
    expect(b[1], "not touched");
    assert_int_equal(proxy_world.counters[PROXY_L4_DRAIN_CUT], 1);
    proxy_world_stop();
}

/* Another plan in which nothing of it has changed does not touch a connection, then or later. */
static void plan_that_changes_nothing_cuts_nothing(void **state)
{
    struct mr_stream *b, *c;
    proxy_world_start(config_of(PROXY_TCP));
    c = client_joined(&b);
    for (int i = 0; i < 20; i++) {
        proxy_world_apply(config_of(PROXY_TCP));
        fake_pass(w(), 10 * MR_SECOND);
        say(i % 2 ? c : b, "x");
    }
    assert_false(fake_closed(c) || fake_closed(b));
    assert_int_equal(proxy_world.counters[PROXY_L4_DRAIN_CUT], 0);
    proxy_world_stop();
}

/* A stop lets what is joined go on for the time to drain. */
static void stop_drains(void **state)
{
    struct mr_stream *b, *c;
    proxy_world_start(config_of(PROXY_TCP));
    c = client_joined(&b);
    service_group_stop(&proxy_world.group);
    say(c, "last words");
    expect(b, "last words");
    fake_pass(w(), 31 * MR_SECOND);
    assert_true(fake_aborted(c) && fake_aborted(b));
    proxy_world.proxy->stopping = false; /* what follows asks once more */
    proxy_world_stop();
}

/* -- UDP ---------------------------------------------------------------------------------------------------------------------- */

static void ask(const char *text)
{
    struct mr_endpoint client = {mr_address_ip4(0x0a000001), 5353};
    fake_datagram_to(fake_port(w(), 0), &client, text, strlen(text));
    check();
}

static uint32_t last_to(void)
{
    struct mr_datagram d;
    fake_datagrams_sent(w(), &d);
    return mr_address_to_ip4(&d.remote.address);
}

/* A flow is a connection to its listener and its backend; it moves when the backend goes, and ends with the listener. */
static void flow_through_changes(void **state)
{
    proxy_world_start(config_of(PROXY_UDP));
    ask("one");
    uint32_t first = last_to();
    ask("two");
    assert_int_equal(last_to(), first);
    assert_int_equal(proxy_world.counters[PROXY_SESSIONS], 1);
    assert_int_equal(proxy_world.proxy->backends[0].active + proxy_world.proxy->backends[1].active, 1);
    struct proxy_config *next = config_of(PROXY_UDP);
    remove_backend(next, first - 0xc612000a);
    proxy_world_apply(next);
    ask("three");
    assert_int_not_equal(last_to(), first);
    assert_int_equal(proxy_world.proxy->backends[0].active + proxy_world.proxy->backends[1].active, 1);
    assert_int_equal(proxy_world.counters[PROXY_L4_FLOWS_MOVED], 1);
    next = config_of(PROXY_UDP);
    next->listeners[0].listen.port = 81;
    proxy_world_apply(next);
    fake_pass(w(), 30 * MR_SECOND);
    assert_int_equal(proxy_world.counters[PROXY_L4_FLOWS], 0);
    assert_int_equal(proxy_world.counters[PROXY_SESSIONS], 0);
    assert_int_equal(fake_ports_open(w()), 1);
    proxy_world_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connection_from_end_to_end),
        cmocka_unit_test(refused_is_tried_at_the_other_backend),
        cmocka_unit_test(connect_that_takes_too_long_is_tried_at_the_other_backend),
        cmocka_unit_test(full_backend_is_waited_for),
        cmocka_unit_test(header_is_passed_on),
        cmocka_unit_test(removed_backend_drains),
        cmocka_unit_test(plan_that_changes_nothing_cuts_nothing),
        cmocka_unit_test(stop_drains),
        cmocka_unit_test(flow_through_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
