/* What mr_stream_splice promises, one property a test, on perfect links: client (host 1), relay (host 0), server (host 2). */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/flow.h"
#include "tests/support/cmocka.h"
#include "tests/support/support.h"

#define PACKETS   8192
#define BYTES_MAX (1u << 20)

struct end {
    struct mr_stream *stream;
    struct end *to; /* what comes is spliced there */
    bool reads;
    unsigned opens, data, writables, closes;
    enum mr_close_reason reason;
    size_t got;
    uint8_t bytes[BYTES_MAX];
};

static struct rte_mempool *pools[3];
static struct world world;
static struct end client, near, far, server; /* near: the relay's stream to the client, far: to the server */

static void on_open(struct mr_stream *s)
{
    struct end *e = mr_stream_context(s);
    e->stream = s;
    e->opens++;
}

static void work(struct end *e)
{
    if (e->to)
        mr_stream_splice(e->stream, e->to->stream, SIZE_MAX);
    if (e->reads)
        e->got += mr_stream_read(e->stream, e->bytes + e->got, BYTES_MAX - e->got);
}

static void on_data(struct mr_stream *s)
{
    struct end *e = mr_stream_context(s);
    e->data++;
    work(e);
}

static void on_writable(struct mr_stream *s)
{
    struct end *e = mr_stream_context(s);
    e->writables++;
    if (near.to == e)
        work(&near);
}

static void on_close(struct mr_stream *s, enum mr_close_reason reason)
{
    struct end *e = mr_stream_context(s);
    e->closes++;
    e->reason = reason;
    e->stream = NULL;
}

static const struct mr_stream_handler handler = {on_open, on_data, on_writable, on_close};

static void run(mr_time duration)
{
    if (!world_run(&world, world_now(&world) + duration))
        fail_msg("%s", world.failure);
}

static void listen_on(unsigned host, struct end *e, const struct mr_stream_options *options)
{
    struct mr_listener *l;
    assert_int_equal(mr_listen(world.host[host].worker, &(struct mr_endpoint){.port = 7}, &handler, options, e, &l),
                     MR_OK);
}

static void connect_to(unsigned from, unsigned to, struct end *e, const struct mr_stream_options *options)
{
    const struct mr_endpoint remote = {world.host[to].address, 7};
    assert_int_equal(mr_connect(world.host[from].worker, NULL, &remote, &handler, options, e, &e->stream), MR_OK);
}

static void start_with(const struct mr_stream_options *options)
{
    struct end *const ends[] = {&client, &near, &far, &server};
    world_create(&world, &(struct world_options){.seed = 3,
                                                 .hosts = 3,
                                                 .out = {.delay = MR_MILLISECOND},
                                                 .in = {.delay = MR_MILLISECOND},
                                                 .pool = {pools[0], pools[1], pools[2]}});
    for (unsigned i = 0; i < 4; i++)
        memset(ends[i], 0, sizeof **ends);
    listen_on(0, &near, options);
    listen_on(2, &server, options);
    connect_to(1, 0, &client, options);
    connect_to(0, 2, &far, options);
    run(100 * MR_MILLISECOND);
    assert_int_equal(near.opens + server.opens + client.opens + far.opens, 4);
}

static int start(void **state)
{
    start_with(&(struct mr_stream_options){.nodelay = true});
    return 0;
}

static int stop(void **state)
{
    world_destroy(&world);
    if (world.failure[0])
        fail_msg("%s", world.failure);
    return 0;
}

static void client_sends(size_t n)
{
    static uint8_t bytes[BYTES_MAX];
    flow_bytes(9, 0, bytes, n);
    assert_int_equal(mr_stream_send(client.stream, bytes, n), n);
    run(200 * MR_MILLISECOND);
}

static void server_has(size_t n)
{
    static uint8_t bytes[BYTES_MAX];
    flow_bytes(9, 0, bytes, n);
    assert_int_equal(server.got, n);
    assert_memory_equal(server.bytes, bytes, n);
}

static uint64_t relay_stat(enum stat s)
{
    return world.host[0].worker->stat[s];
}

static void whole_packets_move_without_a_copy(void **state)
{
    const size_t n = 50 * 1448;
    client_sends(n);
    assert_int_equal(mr_stream_readable(near.stream), n);
    uint32_t held = world.host[0].worker->packets_held;
    server.reads = true;
    assert_int_equal(mr_stream_splice(near.stream, far.stream, SIZE_MAX), n);
    assert_int_equal(mr_stream_readable(near.stream), 0);
    assert_int_equal(mr_stream_unacknowledged(far.stream), n);
    assert_int_equal(world.host[0].worker->packets_held, held); /* the same packets, in the other queue */
    run(200 * MR_MILLISECOND);
    server_has(n);
    assert_int_equal(relay_stat(STAT_tcp_spliced_bytes), n);
    assert_int_equal(relay_stat(STAT_tcp_spliced_copied_bytes), 0);
    assert_int_equal(relay_stat(STAT_tcp_payload_copied), 0); /* nor on the way out: headers were written in front */
    assert_int_equal(world.host[0].worker->packets_held, 0);
}

/* The checksum that leaves is made of the one that came: a byte that our memory changes in between is found by the receiver. */
static void damage_on_the_way_through_does_not_leave_with_a_good_checksum(void **state)
{
    const size_t n = 3 * 1448;
    struct mr_span spans[3];
    client_sends(n);
    assert_int_equal(mr_stream_peek(near.stream, spans, 3), 3);
    uint8_t *byte = (uint8_t *)(uintptr_t)spans[1].data + 700;
    *byte ^= 0x10;
    server.reads = true;
    assert_int_equal(mr_stream_splice(near.stream, far.stream, SIZE_MAX), n);
    run(3 * MR_SECOND);
    assert_int_equal(server.got, 1448);
    assert_true(world.host[2].worker->stat[DROP_tcp_bad_checksum] > 0);
    *byte ^= 0x10;
    run(30 * MR_SECOND);
    server_has(n);
}

static void packets_are_parted_at_any_byte(void **state)
{
    static const size_t parts[] = {1, 447, 1000, 1448, 1449, 2895, 700, 748, 3000, 512, 513, 511};
    size_t at = 0, n = 20000;
    client_sends(n);
    server.reads = true;
    for (unsigned i = 0; at < n; i++) {
        size_t part = parts[i % (sizeof parts / sizeof *parts)];
        part = part < n - at ? part : n - at;
        assert_int_equal(mr_stream_splice(near.stream, far.stream, part), part);
        at += part;
        assert_int_equal(mr_stream_readable(near.stream), n - at);
        if (i % 3 == 0)
            run(5 * MR_MILLISECOND);
    }
    run(200 * MR_MILLISECOND);
    server_has(n);
}

static void nothing_moves_to_a_stream_that_takes_no_more(void **state)
{
    client_sends(5000);
    mr_stream_shutdown(far.stream);
    assert_int_equal(mr_stream_splice(near.stream, far.stream, SIZE_MAX), 0);
    run(MR_SECOND);
    assert_int_equal(far.writables, 0);
    assert_int_equal(mr_stream_readable(near.stream), 5000);
    struct mr_stream *aborted = far.stream;
    mr_stream_abort(aborted);
    assert_int_equal(mr_stream_splice(near.stream, aborted, SIZE_MAX), 0);
    run(MR_SECOND);
    assert_int_equal(far.closes, 1);
}

static void ended_stream_can_be_spliced_to_its_end(void **state)
{
    client_sends(30000);
    server.reads = true;
    mr_stream_shutdown(client.stream);
    mr_stream_shutdown(near.stream);
    run(MR_SECOND);
    assert_int_equal(near.closes, 0); /* over, but for what is unread */
    assert_false(mr_stream_ended(near.stream));
    assert_int_equal(mr_stream_splice(near.stream, far.stream, SIZE_MAX), 30000);
    assert_true(mr_stream_ended(near.stream));
    run(MR_SECOND);
    assert_int_equal(near.closes, 1);
    assert_int_equal(near.reason, MR_CLOSE_DONE);
    server_has(30000);
}

static void stream_echoes_by_a_splice_to_itself(void **state)
{
    near.to = &near;
    client.reads = true;
    client_sends(100000);
    run(MR_SECOND);
    assert_int_equal(client.got, 100000);
    assert_int_equal(relay_stat(STAT_tcp_spliced_bytes), 100000);
}

/* What one side cannot get rid of closes the window of the other: neither queue exceeds its budget. */
static void window_of_one_side_follows_the_other(void **state)
{
    const uint32_t budget = 64 << 10;
    size_t total = 900000, sent = 0;
    static uint8_t bytes[BYTES_MAX];
    stop(state);
    start_with(&(struct mr_stream_options){.nodelay = true, .receive_budget = budget, .send_budget = budget});
    near.to = &far;
    flow_bytes(9, 0, bytes, total);
    for (unsigned i = 0; i < 200; i++) {
        sent += mr_stream_send(client.stream, bytes + sent, total - sent);
        run(20 * MR_MILLISECOND);
        assert_true(mr_stream_readable(near.stream) <= budget + 128);
        assert_true(mr_stream_unacknowledged(far.stream) <= budget);
    }
    /* Four queues are full: the client's, two here, the server's. */
    assert_in_range(sent, 3 * budget, 4 * budget + 4096);
    server.reads = true;
    work(&server);
    for (unsigned i = 0; i < 400 && server.got < total; i++) {
        sent += mr_stream_send(client.stream, bytes + sent, total - sent);
        run(20 * MR_MILLISECOND);
    }
    assert_true(far.writables > 0);
    server_has(total);
}

static bool drop_all(void *argument, mr_time now, uint8_t *frame, uint32_t bytes)
{
    return false;
}

/* Single bytes, each spliced on before the next one comes, to a peer that acknowledges nothing. */
static void single_bytes_pin_no_more_packets_than_the_budget_allows(void **state)
{
    const uint32_t budget = 8192, bound = 8 + budget / 512;
    uint8_t byte;
    unsigned most = 0;
    stop(state);
    start_with(&(struct mr_stream_options){.nodelay = true, .receive_budget = budget, .send_budget = budget});
    near.to = &far;
    server.reads = true;
    sim_filter_set(world.end[2][0], drop_all, NULL);
    for (unsigned i = 0; i < 2000; i++) {
        flow_bytes(9, i, &byte, 1);
        assert_int_equal(mr_stream_send(client.stream, &byte, 1), 1);
        run(3 * MR_MILLISECOND);
        if (world.host[0].worker->packets_held > most)
            most = world.host[0].worker->packets_held;
    }
    assert_in_range(most, 2, bound + 2); /* and the received ones that wait, copied together */
    sim_filter_set(world.end[2][0], NULL, NULL);
    run(30 * MR_SECOND);
    server_has(2000);
}

/* A reset that comes in the turn of the last bytes does not take them along. */
static void bytes_before_a_reset_in_one_turn_are_shown(void **state)
{
    static const uint8_t bytes[3000];
    server.reads = near.reads = true;
    assert_int_equal(mr_stream_send(client.stream, bytes, sizeof bytes), sizeof bytes);
    worker_turn(world.host[1].worker, world_now(&world));
    mr_stream_abort(client.stream);
    worker_turn(world.host[1].worker, world_now(&world));
    run(MR_SECOND);
    assert_int_equal(near.closes, 1);
    assert_int_equal(near.reason, MR_CLOSE_RESET);
    assert_int_equal(near.data, 1);
    assert_int_equal(near.got, sizeof bytes);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    support_start_dpdk(256);
    for (unsigned i = 0; i < 3; i++)
        pools[i] = support_pool(PACKETS);
    const struct CMUnitTest tests[] = {
        TEST(whole_packets_move_without_a_copy),
        TEST(damage_on_the_way_through_does_not_leave_with_a_good_checksum),
        TEST(packets_are_parted_at_any_byte),
        TEST(nothing_moves_to_a_stream_that_takes_no_more),
        TEST(ended_stream_can_be_spliced_to_its_end),
        TEST(stream_echoes_by_a_splice_to_itself),
        TEST(window_of_one_side_follows_the_other),
        TEST(single_bytes_pin_no_more_packets_than_the_budget_allows),
        TEST(bytes_before_a_reset_in_one_turn_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
