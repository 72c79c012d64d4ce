/* Datagrams: demultiplexing, bursts, bounds, closing from inside a handler, sending. */
#include <millrace/datagram.h>
#include <string.h>

#include "stack/base/toeplitz.h"
#include "stack/udp/udp.h"
#include "tests/support/cmocka.h"
#include "tests/support/host.h"

#define OURS 0xc6120002u
#define PEER 0xc6120001u

static const uint8_t OUR_MAC[6] = {2, 0, 0, 0, 0, 2}, PEER_MAC[6] = {2, 0, 0, 0, 0, 1};
static const uint8_t EVERYBODY[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static struct test_host host;

/* What a port's handler saw. */
struct seen {
    unsigned calls, datagrams, largest;
    struct mr_datagram last;
    uint8_t payload[2048];
    struct mr_port *close_in_call; /* closed by the handler */
    unsigned echo;                 /* sent back, this many bursts */
};

static void on_datagrams(struct mr_port *p, const struct mr_datagram *burst, unsigned n)
{
    struct seen *s = mr_port_context(p);
    s->calls++;
    s->datagrams += n;
    s->largest = RTE_MAX(s->largest, n);
    s->last = burst[n - 1];
    memcpy(s->payload, s->last.payload.data, s->last.payload.length);
    if (s->echo)
        assert_int_equal(mr_datagram_send(p, burst, n), n);
    if (s->close_in_call)
        mr_datagram_close(s->close_in_call);
    s->close_in_call = NULL;
}

static const struct mr_datagram_handler handler = {on_datagrams};

static int start(void **state)
{
    test_host_start(&host, "198.18.0.2/24", 0);
    test_host_settle(&host);
    test_host_learn(&host, PEER, PEER_MAC);
    return 0;
}

static int stop(void **state)
{
    test_host_stop(&host);
    return 0;
}

static int open_port(uint32_t address, uint16_t port, struct seen *s, struct mr_port **out)
{
    struct mr_endpoint local = {address ? mr_address_ip4(address) : mr_address_any(), port};
    return mr_datagram_open(host.w, &local, &handler, s, out);
}

static struct frame *datagram(uint16_t from, uint16_t to, size_t bytes)
{
    static struct frame f;
    frame_begin(&f, OUR_MAC, PEER_MAC, 0x0800);
    frame_ip4(&f, PEER, OURS, 17);
    frame_udp(&f, from, to);
    frame_fill(&f, bytes);
    frame_end(&f);
    return &f;
}

static void datagram_reaches_its_port_with_endpoints_and_payload(void **state)
{
    struct seen s = {0};
    struct mr_port *p;
    assert_int_equal(open_port(0, 7, &s, &p), MR_OK);
    struct frame *f = datagram(5000, 7, 33);
    test_host_in(&host, f);
    assert_int_equal(s.datagrams, 1);
    assert_int_equal(s.last.payload.length, 33);
    assert_memory_equal(s.payload, f->bytes + 42, 33);
    assert_int_equal(s.last.remote.port, 5000);
    assert_int_equal(mr_address_to_ip4(&s.last.remote.address), PEER);
    assert_int_equal(s.last.local.port, 7);
    assert_int_equal(mr_address_to_ip4(&s.last.local.address), OURS);
    assert_int_equal(host.w->stat[STAT_udp_datagrams_in], 1);
    test_host_in(&host, datagram(5000, 7, 0));
    assert_int_equal(s.datagrams, 2);
    assert_int_equal(s.last.payload.length, 0);
}

static void payload_ends_where_the_length_field_says(void **state)
{
    struct seen s = {0};
    struct mr_port *p;
    assert_int_equal(open_port(0, 7, &s, &p), MR_OK);
    struct frame *f = datagram(5000, 7, 33);
    frame_put_16(f->bytes + 14 + 20 + 4, 8 + 20);
    frame_put_16(f->bytes + 14 + 20 + 6, 0);
    test_host_in(&host, f);
    assert_int_equal(s.datagrams, 1);
    assert_int_equal(s.last.payload.length, 20);
}

static void checksum_is_verified_and_zero_means_none(void **state)
{
    struct seen s = {0};
    struct mr_port *p;
    assert_int_equal(open_port(0, 7, &s, &p), MR_OK);
    struct frame *f = datagram(5000, 7, 9);
    f->bytes[50] ^= 1;
    test_host_in(&host, f);
    assert_int_equal(s.datagrams, 0);
    assert_int_equal(host.w->stat[DROP_udp_bad_checksum], 1);
    frame_put_16(f->bytes + 14 + 20 + 6, 0);
    test_host_in(&host, f);
    assert_int_equal(s.datagrams, 1);
}

static void exact_address_goes_before_any(void **state)
{
    struct seen exact = {0}, any = {0};
    struct mr_port *a, *b, *c;
    assert_int_equal(open_port(0, 7, &any, &a), MR_OK);
    assert_int_equal(open_port(OURS, 7, &exact, &b), MR_OK);
    assert_int_equal(open_port(OURS, 7, &exact, &c), MR_ERROR_IN_USE);
    assert_int_equal(open_port(PEER, 8, &exact, &c), MR_ERROR_NO_ADDRESS);
    test_host_in(&host, datagram(5000, 7, 1));
    assert_int_equal(exact.datagrams, 1);
    assert_int_equal(any.datagrams, 0);
    struct frame *f = datagram(5000, 7, 1);
    memcpy(f->bytes, EVERYBODY, 6);
    frame_put_32(f->bytes + 14 + 16, 0xc61200ff);
    frame_end(f);
    test_host_in(&host, f);
    assert_int_equal(any.datagrams, 1);
    assert_int_equal(mr_address_to_ip4(&any.last.local.address), 0xc61200ff);
    mr_datagram_close(b);
    test_host_in(&host, datagram(5000, 7, 1));
    assert_int_equal(any.datagrams, 2);
}

static void turn_delivers_bursts_of_64_in_order_and_drops_beyond_the_queue(void **state)
{
    struct seen s = {0};
    struct mr_port *p;
    assert_int_equal(open_port(0, 7, &s, &p), MR_OK);
    /* More than a turn's burst of the link: the layers are fed directly. */
    for (unsigned i = 0; i < UDP_QUEUE + 5; i++) {
        struct frame *f = datagram((uint16_t)(1000 + i), 7, 1);
        struct rte_mbuf *m = rte_pktmbuf_alloc(host.pool);
        memcpy(rte_pktmbuf_append(m, (uint16_t)f->n), f->bytes, f->n);
        eth_in(host.w, host.netif, m);
    }
    assert_int_equal(s.calls, 0); /* never from inside the layers */
    test_host_turn(&host);
    assert_int_equal(s.datagrams, UDP_QUEUE);
    assert_int_equal(s.calls, UDP_QUEUE / 64);
    assert_int_equal(s.largest, 64);
    assert_int_equal(s.last.remote.port, 1000 + UDP_QUEUE - 1);
    assert_int_equal(host.w->stat[DROP_udp_queue_full], 5);
}

static void port_closed_by_its_own_handler_gets_nothing_more(void **state)
{
    struct seen s = {0};
    assert_int_equal(open_port(0, 7, &s, &s.close_in_call), MR_OK);
    for (unsigned i = 0; i < 100; i++) {
        struct frame *f = datagram(5000, 7, 1);
        struct rte_mbuf *m = rte_pktmbuf_alloc(host.pool);
        memcpy(rte_pktmbuf_append(m, (uint16_t)f->n), f->bytes, f->n);
        eth_in(host.w, host.netif, m);
    }
    test_host_turn(&host);
    assert_int_equal(s.calls, 1);
    assert_int_equal(s.datagrams, 64);
    assert_int_equal(host.w->stat[DROP_udp_closed], 36);
    assert_int_equal(host.w->udp->ports.used, 0);
}

static void port_closed_by_another_handler_in_the_same_turn_gets_nothing(void **state)
{
    struct seen first = {0}, second = {0};
    struct mr_port *p;
    assert_int_equal(open_port(0, 7, &first, &p), MR_OK);
    assert_int_equal(open_port(0, 8, &second, &first.close_in_call), MR_OK);
    test_link_inject(&host.link, datagram(5000, 7, 1)->bytes, 43);
    test_link_inject(&host.link, datagram(5000, 8, 1)->bytes, 43);
    test_host_turn(&host);
    assert_int_equal(first.datagrams, 1);
    assert_int_equal(second.datagrams, 0);
    assert_int_equal(host.w->stat[DROP_udp_closed], 1);
    assert_int_equal(host.w->udp->ports.used, 1);
    struct mr_port *again;
    assert_int_equal(open_port(0, 8, &second, &again), MR_OK);
    test_host_in(&host, datagram(5000, 8, 1));
    assert_int_equal(second.datagrams, 1);
}

static void unopened_port_is_answered_by_unreachable(void **state)
{
    static struct frame expected;
    struct frame *f = datagram(5000, 9, 600);
    test_host_in(&host, f);
    assert_int_equal(host.w->stat[DROP_udp_no_port], 1);
    uint8_t got[1024];
    size_t n = test_link_take(&host.link, got, sizeof got);
    assert_int_equal(n, 14 + 576); /* quoted as far as 576 bytes carry */
    frame_begin(&expected, PEER_MAC, OUR_MAC, 0x0800);
    frame_ip4(&expected, OURS, PEER, 1);
    memcpy(expected.bytes + 14 + 4, got + 14 + 4, 2);
    frame_put_16(expected.bytes + 14 + 6, 0);
    frame_icmp(&expected, 3, 3, 0);
    frame_bytes(&expected, f->bytes + 14, 548);
    frame_end(&expected);
    assert_memory_equal(got, expected.bytes, n);
}

static struct mr_datagram to(uint32_t address, uint16_t port, const uint8_t *data, size_t n)
{
    return (struct mr_datagram){.remote = {mr_address_ip4(address), port}, .payload = {data, n}};
}

/* RFC 768: a checksum that comes out as zero is sent as all ones. */
static void checksum_of_zero_is_sent_as_ones(void **state)
{
    struct seen s = {0};
    struct mr_port *p;
    assert_int_equal(open_port(0, 7, &s, &p), MR_OK);
    unsigned ones = 0;
    for (uint32_t value = 0; value < 0x10000; value++) {
        uint8_t data[2], got[128];
        frame_put_16(data, (uint16_t)value);
        struct mr_datagram one = to(PEER, 5000, data, sizeof data);
        assert_int_equal(mr_datagram_send(p, &one, 1), 1);
        test_host_turn(&host);
        assert_int_equal(test_link_take(&host.link, got, sizeof got), 14 + 20 + 8 + 2);
        assert_int_not_equal(frame_get_16(got + 14 + 20 + 6), 0);
        ones += frame_get_16(got + 14 + 20 + 6) == 0xffff;
    }
    assert_int_equal(ones, 1);
}

static void echoed_burst_leaves_whole_and_checksummed(void **state)
{
    static struct frame expected;
    struct seen s = {.echo = 1};
    struct mr_port *p;
    assert_int_equal(open_port(0, 7, &s, &p), MR_OK);
    for (size_t bytes = 0; bytes <= 1472; bytes += 64) {
        test_host_in(&host, datagram(5000, 7, bytes));
        uint8_t got[2048];
        size_t n = test_link_take(&host.link, got, sizeof got);
        frame_begin(&expected, PEER_MAC, OUR_MAC, 0x0800);
        frame_ip4(&expected, OURS, PEER, 17);
        memcpy(expected.bytes + 14 + 4, got + 14 + 4, 2);
        frame_put_16(expected.bytes + 14 + 6, 0);
        frame_udp(&expected, 7, 5000);
        frame_fill(&expected, bytes);
        frame_end(&expected);
        assert_int_equal(n, expected.n);
        assert_memory_equal(got, expected.bytes, n);
    }
}

static void sending_stops_at_the_first_that_cannot_go(void **state)
{
    static const uint8_t data[4096];
    struct seen s = {0};
    struct mr_port *p;
    assert_int_equal(open_port(0, 0, &s, &p), MR_OK);
    const struct {
        const char *what;
        struct mr_datagram bad;
    } cases[] = {
        {"longer than the MTU", to(PEER, 7, data, 1473)},
        {"no route", to(0x08080808, 7, data, 1)},
        {"port 0", to(PEER, 0, data, 1)},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mr_datagram burst[3] = {to(PEER, 7, data, 1472), cases[i].bad, to(PEER, 7, data, 1)};
        if (mr_datagram_send(p, burst, 3) != 1)
            fail_msg("%s: not refused", cases[i].what);
        assert_int_equal(host.w->stat[STAT_udp_send_refused], i + 1);
    }
    struct mr_datagram one = to(PEER, 7, data, 1);
    one.local.address = mr_address_ip4(PEER); /* not ours to send from */
    assert_int_equal(mr_datagram_send(p, &one, 1), 0);
    one.local.address = mr_address_any();
    host.w->fail_packets_after = 0;
    assert_int_equal(mr_datagram_send(p, &one, 1), 0);
    host.w->fail_packets_after = UINT32_MAX;
    assert_int_equal(mr_datagram_send(p, &one, 1), 1);
}

static void large_frames_go_as_chains(void **state)
{
    static uint8_t data[8000];
    static struct frame expected;
    struct seen s = {0};
    struct mr_port *p;
    assert_int_equal(open_port(0, 7, &s, &p), MR_OK);
    host.netif->mtu = 9000;
    host.netif->offloads = MR_LINK_TX_MULTI_SEGMENT;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7 + 1);
    struct mr_datagram one = to(PEER, 5000, data, sizeof data);
    assert_int_equal(mr_datagram_send(p, &one, 1), 1);
    test_host_turn(&host);
    uint8_t got[9100];
    size_t n = test_link_take(&host.link, got, sizeof got);
    frame_begin(&expected, PEER_MAC, OUR_MAC, 0x0800);
    frame_ip4(&expected, OURS, PEER, 17);
    memcpy(expected.bytes + 14 + 4, got + 14 + 4, 2);
    frame_put_16(expected.bytes + 14 + 6, 0);
    frame_udp(&expected, 7, 5000);
    frame_fill(&expected, sizeof data);
    frame_end(&expected);
    assert_int_equal(n, expected.n);
    assert_memory_equal(got, expected.bytes, n);
    host.w->fail_packets_after = 2; /* the chain needs four */
    assert_int_equal(mr_datagram_send(p, &one, 1), 0);
}

/* One for each flow of a proxy, of which there are thousands. */
static void every_ephemeral_port_is_given_once_and_comes_back(void **state)
{
    static uint8_t taken[65536];
    static struct mr_port *p[UDP_EPHEMERAL_COUNT];
    struct seen s = {0};
    struct mr_endpoint local, again;
    unsigned near = 0, before = 0;
    memset(taken, 0, sizeof taken);
    for (unsigned i = 0; i < UDP_EPHEMERAL_COUNT; i++) {
        assert_int_equal(open_port(i % 2 ? OURS : 0, 0, &s, &p[i]), MR_OK);
        mr_port_local(p[i], &local);
        assert_in_range(local.port, UDP_EPHEMERAL_FIRST, UDP_EPHEMERAL_FIRST + UDP_EPHEMERAL_COUNT - 1);
        assert_int_equal(taken[local.port]++, 0);
        near += i < 1000 && local.port - before < 16;
        before = local.port;
    }
    assert_in_range(near, 0, 10); /* they do not follow each other */
    struct mr_port *more;
    assert_int_equal(open_port(0, 0, &s, &more), MR_ERROR_NO_PORT);
    test_host_in(&host, datagram(5000, (uint16_t)before, 1));
    assert_int_equal(s.datagrams, 1);
    mr_port_local(p[17], &local);
    mr_datagram_close(p[17]);
    assert_int_equal(open_port(0, 0, &s, &p[17]), MR_OK);
    mr_port_local(p[17], &again);
    assert_int_equal(again.port, local.port);
    for (unsigned i = 0; i < UDP_EPHEMERAL_COUNT; i++)
        mr_datagram_close(p[i]);
    assert_int_equal(host.w->udp->free.count, UDP_EPHEMERAL_COUNT);
    bits_check(&host.w->udp->free);
}

static void number_is_taken_as_long_as_any_address_has_it(void **state)
{
    struct seen s = {0};
    struct mr_port *any, *exact;
    assert_int_equal(open_port(0, UDP_EPHEMERAL_FIRST, &s, &any), MR_OK);
    assert_int_equal(open_port(OURS, UDP_EPHEMERAL_FIRST, &s, &exact), MR_OK);
    assert_int_equal(host.w->udp->free.count, UDP_EPHEMERAL_COUNT - 1);
    mr_datagram_close(any);
    assert_int_equal(host.w->udp->free.count, UDP_EPHEMERAL_COUNT - 1);
    mr_datagram_close(exact);
    assert_int_equal(host.w->udp->free.count, UDP_EPHEMERAL_COUNT);
}

static void flow_to_one_remote_hears_nobody_else(void **state)
{
    struct seen s = {0};
    struct mr_port *p;
    const struct mr_endpoint remote = {mr_address_ip4(PEER), 5000}, nowhere = {mr_address_ip4(0x08080808), 53};
    struct mr_endpoint local;
    assert_int_equal(mr_datagram_open_to(host.w, NULL, &(struct mr_endpoint){remote.address, 0}, &handler, &s, &p),
                     MR_ERROR_INVALID);
    assert_int_equal(mr_datagram_open_to(host.w, NULL, &nowhere, &handler, &s, &p), MR_ERROR_NO_ROUTE);
    assert_int_equal(mr_datagram_open_to(host.w, &(struct mr_endpoint){remote.address, 0}, &remote, &handler, &s, &p),
                     MR_ERROR_NO_ADDRESS);
    assert_int_equal(mr_datagram_open_to(host.w, NULL, &remote, &handler, &s, &p), MR_OK);
    mr_port_local(p, &local);
    assert_int_equal(mr_address_to_ip4(&local.address), OURS);
    test_host_in(&host, datagram(5000, local.port, 3));
    assert_int_equal(s.datagrams, 1);
    test_host_in(&host, datagram(5001, local.port, 3));
    assert_int_equal(s.datagrams, 1);
    assert_int_equal(host.w->stat[DROP_udp_other_remote], 1);
}

/* Answers to a flow come to the queue that has it, by the device's table. */
static void flow_has_a_port_whose_answers_come_here(void **state)
{
    static uint8_t key[40];
    static uint16_t reta[128];
    struct seen s = {0};
    struct mr_port *p;
    struct mr_endpoint remote = {mr_address_ip4(PEER), 0}, local;
    for (unsigned i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)(i * i * 37 + 11);
    for (unsigned i = 0; i < 128; i++)
        reta[i] = (uint16_t)(i % 5);
    const struct mr_link_rss rss = {key, sizeof key, reta, 128, 3, .udp = true};
    host.link.link.rss = &rss;
    for (unsigned i = 1; i <= 2000; i++) {
        remote.port = (uint16_t)i;
        assert_int_equal(mr_datagram_open_to(host.w, NULL, &remote, &handler, &s, &p), MR_OK);
        mr_port_local(p, &local);
        uint8_t tuple[12];
        frame_put_32(tuple, PEER);
        frame_put_32(tuple + 4, OURS);
        frame_put_16(tuple + 8, remote.port);
        frame_put_16(tuple + 10, local.port);
        assert_int_equal(reta[toeplitz_hash(key, 0, tuple, sizeof tuple) % 128], 3);
    }
}

static void datagram_to_ourselves_comes_back(void **state)
{
    static const uint8_t data[100] = {1, 2, 3};
    struct seen s = {0};
    struct mr_port *p;
    assert_int_equal(open_port(0, 7, &s, &p), MR_OK);
    struct mr_datagram one = to(OURS, 7, data, sizeof data);
    assert_int_equal(mr_datagram_send(p, &one, 1), 1);
    assert_int_equal(s.calls, 0);
    test_host_turn(&host);
    assert_int_equal(s.datagrams, 1);
    assert_int_equal(s.last.remote.port, 7);
    assert_int_equal(mr_address_to_ip4(&s.last.remote.address), OURS);
    assert_memory_equal(s.payload, data, sizeof data);
    test_host_expect_nothing(&host);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(datagram_reaches_its_port_with_endpoints_and_payload),
        TEST(payload_ends_where_the_length_field_says),
        TEST(checksum_is_verified_and_zero_means_none),
        TEST(exact_address_goes_before_any),
        TEST(turn_delivers_bursts_of_64_in_order_and_drops_beyond_the_queue),
        TEST(port_closed_by_its_own_handler_gets_nothing_more),
        TEST(port_closed_by_another_handler_in_the_same_turn_gets_nothing),
        TEST(unopened_port_is_answered_by_unreachable),
        TEST(checksum_of_zero_is_sent_as_ones),
        TEST(echoed_burst_leaves_whole_and_checksummed),
        TEST(sending_stops_at_the_first_that_cannot_go),
        TEST(large_frames_go_as_chains),
        TEST(every_ephemeral_port_is_given_once_and_comes_back),
        TEST(number_is_taken_as_long_as_any_address_has_it),
        TEST(flow_to_one_remote_hears_nobody_else),
        TEST(flow_has_a_port_whose_answers_come_here),
        TEST(datagram_to_ourselves_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
