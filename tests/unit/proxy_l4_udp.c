/* UDP at layer 4: a flow has one backend and one port, answers come back from the address that was spoken to, silence ends it, a full table
 * keeps those in conversation. */
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/l4/proxy_protocol.h"
#include "tests/support/l4_world.h"

static struct mr_port *front; /* the listener's */

static void start(unsigned flows, bool header)
{
    l4_world_start(2, flows, header);
    world.connections_max = UINT32_MAX;
    world.listener_config.mode = PROXY_UDP;
    world.listener_config.listen.port = 53;
    assert_int_equal(l4_udp_open(&world.listener), MR_OK);
    front = world.listener.port;
}

static struct mr_endpoint client_of(unsigned i)
{
    return (struct mr_endpoint){mr_address_ip4(0x0a000001 + i / 1000), (uint16_t)(1024 + i % 1000)};
}

static void say(unsigned client, const char *text)
{
    struct mr_endpoint from = client_of(client);
    fake_datagram_to(front, &from, text, strlen(text));
    l4_world_check();
}

/* The last datagram that was sent. */
static void expect_sent(struct mr_port *from, const struct mr_endpoint *to, const char *text)
{
    unsigned n = fake_datagrams_sent(world.worker, NULL);
    assert_true(n > 0);
    const struct fake_sent *s = fake_datagram_sent(world.worker, n - 1);
    assert_ptr_equal(s->port, from);
    assert_int_equal(s->datagram.remote.port, to->port);
    assert_true(mr_address_equal(&s->datagram.remote.address, &to->address));
    assert_int_equal(s->datagram.payload.length, strlen(text));
    assert_memory_equal(s->datagram.payload.data, text, strlen(text));
}

/* Each client gets a port of its own; what its backend answers there comes back to it, from the address that it spoke to. */
static void answers_return_to_who_asked(void **state)
{
    struct mr_endpoint a = client_of(0), b = client_of(1);
    start(8, false);
    say(0, "from a");
    struct mr_port *of_a = fake_port(world.worker, 1);
    expect_sent(of_a, &world.backends[0].address, "from a");
    world.choose = 1;
    say(1, "from b");
    struct mr_port *of_b = fake_port(world.worker, 2);
    expect_sent(of_b, &world.backends[1].address, "from b");
    fake_datagram_to(of_b, &world.backends[1].address, "to b", 4);
    expect_sent(front, &b, "to b");
    fake_datagram_to(of_a, &world.backends[0].address, "to a", 4);
    expect_sent(front, &a, "to a");
    assert_int_equal(mr_address_to_ip4(&fake_datagram_sent(world.worker, 3)->datagram.local.address), 0xc6120002);
    say(0, "again"); /* the balancer is not asked */
    expect_sent(of_a, &world.backends[0].address, "again");
    assert_int_equal(fake_ports_open(world.worker), 3);
    assert_int_equal(world.counters[PROXY_L4_DATAGRAMS_TO_BACKENDS], 3);
    assert_int_equal(world.counters[PROXY_L4_DATAGRAM_BYTES_TO_BACKENDS], 17);
    assert_int_equal(world.counters[PROXY_L4_DATAGRAMS_TO_CLIENTS], 2);
    assert_int_equal(world.backends[0].bytes_to, 11);
    assert_int_equal(world.backends[0].bytes_from, 4);
    assert_int_equal(world.backends[0].active, 1);
    l4_world_stop();
}

/* The port is for the backend alone. */
static void datagram_from_a_stranger_is_dropped(void **state)
{
    start(8, false);
    say(0, "hello");
    struct mr_endpoint stranger = world.backends[0].address;
    stranger.port++;
    fake_datagram_to(fake_port(world.worker, 1), &stranger, "spoofed", 7);
    fake_datagram_to(fake_port(world.worker, 1), &world.backends[1].address, "spoofed", 7);
    assert_int_equal(fake_datagrams_sent(world.worker, NULL), 1);
    l4_world_stop();
}

/* Silence in both directions ends a flow; a datagram in either puts it off. */
static void silence_ends_a_flow(void **state)
{
    start(8, false);
    say(0, "hello");
    for (int i = 0; i < 4; i++) {
        fake_pass(world.worker, L4_WORLD_IDLE - MR_SECOND);
        if (i % 2)
            say(0, "more");
        else
            fake_datagram_to(fake_port(world.worker, 1), &world.backends[0].address, "more", 4);
    }
    fake_pass(world.worker, L4_WORLD_IDLE - MR_SECOND);
    assert_int_equal(fake_ports_open(world.worker), 2);
    fake_pass(world.worker, 2 * MR_SECOND);
    assert_int_equal(fake_ports_open(world.worker), 1);
    assert_int_equal(world.counters[PROXY_L4_FLOWS_EXPIRED], 1);
    assert_int_equal(world.backends[0].active, 0);
    l4_world_stop();
}

/* Who spoke within the last second keeps its flow; else the one silent longest makes room. */
static void full_table_keeps_who_speaks(void **state)
{
    start(4, false);
    for (unsigned i = 0; i < 4; i++)
        say(i, "hello");
    say(4, "one too many");
    assert_int_equal(world.counters[PROXY_L4_DROP_FULL], 1);
    fake_pass(world.worker, 2 * MR_SECOND);
    say(0, "still here");
    say(5, "newcomer");
    say(6, "newcomer");
    assert_int_equal(world.counters[PROXY_L4_FLOWS_REPLACED], 2);
    assert_int_equal(world.counters[PROXY_L4_FLOWS], 4);
    unsigned sent = fake_datagrams_sent(world.worker, NULL);
    assert_ptr_equal(fake_datagram_sent(world.worker, sent - 3)->port, fake_datagram_sent(world.worker, 0)->port);
    l4_world_stop();
}

/* The listener's own limit counts flows as connections; what has expired is no more counted. */
static void listener_has_no_more_flows_than_its_limit(void **state)
{
    start(8, false);
    world.connections_max = 2;
    for (unsigned i = 0; i < 3; i++)
        say(i, "hello");
    assert_int_equal(world.counters[PROXY_L4_FLOWS], 2);
    assert_int_equal(world.counters[PROXY_L4_DROP_FULL], 1);
    assert_int_equal(world.listener.connections, 2);
    fake_pass(world.worker, 2 * L4_WORLD_IDLE);
    assert_int_equal(world.listener.connections, 0);
    l4_world_stop();
}

/* With addresses of its own an upstream's flows are spread over them. */
static void flow_has_a_source_of_its_upstream(void **state)
{
    unsigned of[2] = {0, 0};
    start(8, false);
    world.upstream_config.source_count = 2;
    world.upstream_config.sources[0] = mr_address_ip4(0xc6120020);
    world.upstream_config.sources[1] = mr_address_ip4(0xc6120021);
    for (unsigned i = 0; i < 8; i++) {
        struct mr_datagram d;
        say(i, "hello");
        fake_datagrams_sent(world.worker, &d);
        of[mr_address_to_ip4(&d.local.address) - 0xc6120020]++;
    }
    assert_int_equal(of[0], 4);
    assert_int_equal(of[1], 4);
    l4_world_stop();
}

/* A backend that can take no more: the flow goes on at another one, from another port; late answers of the first go nowhere. */
static void flow_of_a_lost_backend_moves(void **state)
{
    struct mr_endpoint a = client_of(0);
    start(8, false);
    say(0, "one");
    struct mr_port *first = fake_port(world.worker, 1);
    world.down[0] = true;
    world.choose = 1;
    say(0, "two");
    struct mr_port *second = fake_port(world.worker, 1);
    assert_ptr_not_equal(first, second);
    assert_int_equal(fake_ports_open(world.worker), 2);
    expect_sent(second, &world.backends[1].address, "two");
    fake_datagram_to(second, &world.backends[0].address, "late", 4);
    assert_int_equal(fake_datagrams_sent(world.worker, NULL), 2);
    fake_datagram_to(second, &world.backends[1].address, "answer", 6);
    expect_sent(front, &a, "answer");
    assert_int_equal(world.counters[PROXY_L4_FLOWS_MOVED], 1);
    assert_int_equal(world.backends[0].active, 0);
    assert_int_equal(world.backends[1].active, 1);
    l4_world_stop();
}

static void no_backend_drops_and_ends_the_flow(void **state)
{
    start(8, false);
    world.choose = -1;
    say(0, "hello");
    assert_int_equal(world.counters[PROXY_L4_DROP_NO_BACKEND], 1);
    assert_int_equal(world.counters[PROXY_L4_FLOWS], 0);
    world.choose = 0;
    say(0, "hello");
    world.down[0] = true;
    world.choose = -1;
    say(0, "hello");
    assert_int_equal(world.counters[PROXY_L4_FLOWS], 0);
    assert_int_equal(fake_ports_open(world.worker), 1);
    l4_world_stop();
}

static void no_port_drops_and_ends_the_flow(void **state)
{
    start(8, false);
    fake_datagram_error(world.worker, MR_ERROR_NO_PORT);
    say(0, "hello");
    assert_int_equal(world.counters[PROXY_L4_DROP_NO_PORT], 1);
    assert_int_equal(world.counters[PROXY_L4_FLOWS], 0);
    l4_world_stop();
}

/* Ports run out before the table does: the flow that was silent longest gives its own. */
static void last_port_goes_to_who_speaks(void **state)
{
    enum { EPHEMERAL = 16384 }; /* of the stand-in */
    static const struct mr_datagram_handler handler;
    struct mr_endpoint local = {mr_address_ip4(0xc6120002), 0};
    static struct mr_port *taken[EPHEMERAL - 2];
    start(8, false);
    for (unsigned i = 0; i < EPHEMERAL - 2; i++)
        assert_int_equal(mr_datagram_open(world.worker, &local, &handler, NULL, &taken[i]), MR_OK);
    for (unsigned i = 0; i < 3; i++)
        say(i, "hello");
    assert_int_equal(world.counters[PROXY_L4_FLOWS], 2);
    assert_int_equal(world.counters[PROXY_L4_DROP_NO_PORT], 1);
    fake_pass(world.worker, 2 * MR_SECOND);
    say(0, "still here");
    say(3, "newcomer");
    assert_int_equal(world.counters[PROXY_L4_FLOWS], 2);
    assert_int_equal(world.counters[PROXY_L4_FLOWS_REPLACED], 1);
    assert_int_equal(world.counters[PROXY_L4_DROP_NO_PORT], 1);
    for (unsigned i = 0; i < EPHEMERAL - 2; i++)
        mr_datagram_close(taken[i]);
    l4_world_stop();
}

static void datagram_that_does_not_fit_is_counted(void **state)
{
    static char large[2000];
    struct mr_endpoint from = client_of(0);
    start(8, false);
    fake_datagram_to(front, &from, large, sizeof large);
    assert_int_equal(world.counters[PROXY_L4_DROP_UNSENT], 1);
    fake_datagram_room(world.worker, 0);
    say(0, "hello");
    assert_int_equal(world.counters[PROXY_L4_DROP_UNSENT], 2);
    assert_int_equal(world.counters[PROXY_L4_DATAGRAMS_TO_BACKENDS], 0);
    l4_world_stop();
}

/* A listener that is removed takes its flows along; its upstream exchanged, they move. */
static void change_of_the_listener_moves_or_ends_flows(void **state)
{
    struct plan_upstream other;
    struct plan_listener changed;
    start(8, false);
    say(0, "one");
    other = world.upstream;
    other.slot = 1;
    changed = world.plan_listener;
    changed.upstream = &other;
    world.listener.plan = &changed;
    world.choose = 1;
    say(0, "two");
    expect_sent(fake_port(world.worker, 1), &world.backends[1].address, "two");
    l4_udp_close(&world.listener);
    assert_int_equal(fake_ports_open(world.worker), 0);
    assert_int_equal(world.counters[PROXY_L4_FLOWS], 0);
    l4_world_stop();
}

/* Each datagram carries a header in, and one out; the hash is of the source that it names. */
static void header_is_read_and_written(void **state)
{
    struct mr_endpoint source, destination, load_balancer = client_of(0);
    uint8_t bytes[200];
    struct proxy_protocol seen;
    start(8, true);
    world.upstream_config.proxy_protocol = PROXY_PROTOCOL_V2;
    mr_endpoint_parse("192.0.2.9:999", &source);
    mr_endpoint_parse("198.51.100.1:53", &destination);
    size_t n = proxy_protocol_write_v2_datagram(&source, &destination, bytes);
    memcpy(bytes + n, "query", 5);
    fake_datagram_to(front, &load_balancer, bytes, n + 5);
    assert_true(world.last_hash == l4_hash_source(&source.address));
    const struct fake_sent *sent = fake_datagram_sent(world.worker, 0);
    int m = proxy_protocol_parse(sent->datagram.payload.data, sent->datagram.payload.length, &seen);
    assert_true(m > 0 && sent->datagram.payload.length == (size_t)m + 5);
    assert_memory_equal(sent->datagram.payload.data + m, "query", 5);
    assert_int_equal(seen.source.port, 999);
    assert_int_equal(seen.destination.port, 53);
    fake_datagram_to(front, &load_balancer, "no header", 9);
    assert_int_equal(world.counters[PROXY_L4_HEADER_MALFORMED], 1);
    assert_int_equal(fake_datagrams_sent(world.worker, NULL), 1);
    l4_world_stop();
}

/* Against a list without hashes or ages: the same datagrams go to the same places, whatever comes in whichever order. */
static void flows_are_as_a_plain_list_has_them(void **state)
{
    enum { CLIENTS = 3000, FLOWS = 512 };
    static struct mr_port *port_of[CLIENTS];
    static mr_time spoke[CLIENTS];
    unsigned seed = 7;
    memset(port_of, 0, sizeof port_of);
    start(FLOWS, false);
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)rand_r(&seed) % (step % 3 ? 400 : CLIENTS),
                 sent = fake_datagrams_sent(world.worker, NULL);
        struct mr_endpoint from = client_of(i);
        bool alive = port_of[i] && mr_now(world.worker) - spoke[i] < MR_SECOND;
        fake_datagram_to(front, &from, "x", 1);
        bool went = fake_datagrams_sent(world.worker, NULL) > sent;
        if (went) {
            struct mr_port *port = fake_datagram_sent(world.worker, sent)->port;
            if (alive && port != port_of[i])
                fail_msg("step %u: the flow of client %u has another port", step, i);
            port_of[i] = port;
            spoke[i] = mr_now(world.worker);
        } else if (alive) {
            fail_msg("step %u: client %u is in conversation, and was dropped", step, i);
        }
        if (step % 200 == 0) {
            l4_world_check();
            fake_pass(world.worker, (mr_time)rand_r(&seed) % (2 * MR_SECOND));
        }
    }
    assert_true(world.counters[PROXY_L4_FLOWS_REPLACED] > 100 && world.counters[PROXY_L4_DROP_FULL] > 0);
    l4_world_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_return_to_who_asked),
        cmocka_unit_test(datagram_from_a_stranger_is_dropped),
        cmocka_unit_test(silence_ends_a_flow),
        cmocka_unit_test(full_table_keeps_who_speaks),
        cmocka_unit_test(listener_has_no_more_flows_than_its_limit),
        cmocka_unit_test(flow_has_a_source_of_its_upstream),
        cmocka_unit_test(flow_of_a_lost_backend_moves),
        cmocka_unit_test(no_backend_drops_and_ends_the_flow),
        cmocka_unit_test(no_port_drops_and_ends_the_flow),
        cmocka_unit_test(last_port_goes_to_who_speaks),
        cmocka_unit_test(datagram_that_does_not_fit_is_counted),
        cmocka_unit_test(change_of_the_listener_moves_or_ends_flows),
        cmocka_unit_test(header_is_read_and_written),
        cmocka_unit_test(flows_are_as_a_plain_list_has_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
