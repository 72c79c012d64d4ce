/* TCP at layer 4: what one side sees of the other's ends, resets and silence; that all bytes arrive, and no more are held than fit; the PROXY
 * header in front; other backends when one cannot be reached; tunnels; limits, cuts and the end. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/l4_world.h"

#define HEADER "PROXY TCP4 192.0.2.7 198.51.100.9 4711 443\r\n"

/* -- the matrix ---------------------------------------------------------------------------------------------------------- */

enum phase { BEFORE, CONNECTING, MOVING, PHASES }; /* the PROXY header awaited; connecting; bytes under way both ways */
enum side { CLIENT, BACKEND };
enum event { FIN, RST, FIN_RST, RST_AFTER_FIN, TIMEOUT }; /* RST_AFTER_FIN: the other side's FIN came first */
enum sight { NOTHING, OPEN, HALF, RESET, CLOSED };        /* NOTHING: never connected */

static const char *const phase_names[] = {"before connect", "connecting", "moving"};
static const char *const event_names[] = {"FIN", "RST", "FIN, RST", "RST after the other's FIN", "timeout"};
static const char *const sight_names[] = {"nothing", "open", "half-closed", "reset", "closed"};

/* What the two sides see in the end. */
static const struct row {
    enum phase phase;
    enum side side;
    enum event event;
    enum sight client, backend;
    const char *reason;
} rows[] = {
    {BEFORE, CLIENT, FIN, OPEN, NOTHING, "an end behind a part of a header shows itself no earlier than its deadline"},
    {BEFORE, CLIENT, RST, CLOSED, NOTHING, "it is gone, nobody was asked"},
    {BEFORE, CLIENT, FIN_RST, CLOSED, NOTHING, "likewise"},
    {BEFORE, CLIENT, TIMEOUT, RESET, NOTHING, "the header did not come in time"},
    {CONNECTING, CLIENT, FIN, OPEN, HALF, "the end waits, and is passed on when there is somebody to pass it on to"},
    {CONNECTING, CLIENT, RST, CLOSED, RESET, "the connect is given up"},
    {CONNECTING, CLIENT, FIN_RST, CLOSED, RESET, "likewise"},
    {CONNECTING, BACKEND, RST, RESET, CLOSED, "refused, and no other is to be tried"},
    {CONNECTING, BACKEND, TIMEOUT, RESET, CLOSED, "did not answer"},
    {CONNECTING, BACKEND, RST_AFTER_FIN, RESET, CLOSED, "the client had ended: it still learns that nothing arrived"},
    {MOVING, CLIENT, FIN, OPEN, HALF, "half-closed: answers go on"},
    {MOVING, CLIENT, RST, CLOSED, RESET, "when the backend has what was moved before"},
    {MOVING, CLIENT, FIN_RST, CLOSED, RESET, "the end is overtaken"},
    {MOVING, CLIENT, RST_AFTER_FIN, CLOSED, RESET, "the backend had ended; the client's bytes were not all read"},
    {MOVING, CLIENT, TIMEOUT, RESET, RESET, "silence is no end"},
    {MOVING, BACKEND, FIN, HALF, OPEN, "half-closed the other way"},
    {MOVING, BACKEND, RST, RESET, CLOSED, "when the client has what was moved before"},
    {MOVING, BACKEND, FIN_RST, RESET, CLOSED, "the end is overtaken"},
    {MOVING, BACKEND, RST_AFTER_FIN, RESET, CLOSED, "the client had ended"},
    {MOVING, BACKEND, TIMEOUT, RESET, RESET, "silence is no end"},
};

static enum sight see(const struct mr_stream *s)
{
    return !s ? NOTHING : fake_reset_seen(s) ? RESET : fake_closed(s) ? CLOSED : fake_shutdown_seen(s) ? HALF : OPEN;
}

static void bring_to(enum phase phase, struct mr_stream **client, struct mr_stream **backend)
{
    static char bytes[100000];
    *client = l4_world_client();
    *backend = NULL;
    if (phase == BEFORE) {
        fake_input(*client, HEADER, 20);
        return;
    }
    fake_input(*client, HEADER, sizeof HEADER - 1);
    *backend = l4_world_backend(0);
    fake_input(*client, "early", 5);
    if (phase == CONNECTING)
        return;
    fake_connect_accept(*backend);
    fake_throttle(*client, 1000);
    fake_throttle(*backend, 1000);
    fake_input(*client, bytes, sizeof bytes);
    fake_input(*backend, bytes, sizeof bytes);
    assert_true(fake_unread(*client) > 90000 && fake_unread(*backend) > 90000);
}

/* The peers read again; what is under way arrives. */
static void let_flow(struct mr_stream *s)
{
    for (int i = 0; s && i < 200 && !fake_closed(s); i++)
        fake_acknowledge(s, SIZE_MAX);
}

static void happen(const struct row *r, struct mr_stream *client, struct mr_stream *backend)
{
    struct mr_stream *here = r->side == CLIENT ? client : backend, *there = r->side == CLIENT ? backend : client;
    switch (r->event) {
    case FIN:
        fake_end(here);
        break;
    case FIN_RST:
        fake_end(here);
        l4_world_check();
        fake_reset(here);
        break;
    case RST_AFTER_FIN:
        fake_end(there);
        l4_world_check();
        fake_reset(here);
        break;
    case RST:
        fake_lose(here, r->phase == CONNECTING && r->side == BACKEND ? MR_CLOSE_REFUSED : MR_CLOSE_RESET);
        break;
    case TIMEOUT:
        if (r->phase == CONNECTING)
            fake_lose(here, MR_CLOSE_TIMEOUT);
        else
            fake_pass(world.worker, L4_WORLD_IDLE + 2 * MR_SECOND);
        break;
    }
}

/* Each end, reset and silence is passed on as what it is, from every phase. */
static void matrix_of_ends_is_carried_exactly(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        struct mr_stream *client, *backend;
        l4_world_start(4, 4, true);
        bring_to(r->phase, &client, &backend);
        happen(r, client, backend);
        l4_world_settle();
        if (r->phase == CONNECTING && r->event == FIN)
            fake_connect_accept(backend);
        let_flow(client);
        let_flow(backend);
        fake_pass(world.worker, MR_SECOND);
        l4_world_settle();
        enum sight c = see(client), b = see(backend);
        if (c != r->client || b != r->backend)
            fail_msg("%s: %s of the %s: client %s, backend %s, expected %s, %s: %s", phase_names[r->phase],
                     event_names[r->event], r->side == CLIENT ? "client" : "backend", sight_names[c], sight_names[b],
                     sight_names[r->client], sight_names[r->backend], r->reason);
        l4_world_stop();
    }
}

/* -- bytes ------------------------------------------------------------------------------------------------------------------ */

static struct mr_stream *joined(struct mr_stream **client)
{
    unsigned i = fake_connect_count(world.worker);
    *client = l4_world_client();
    struct mr_stream *backend = l4_world_backend(i);
    fake_connect_accept(backend);
    return backend;
}

static void expect_output(const struct mr_stream *s, const char *text)
{
    size_t n;
    const char *output = fake_output(s, &n);
    if (n != strlen(text) || memcmp(output, text, n) != 0)
        fail_msg("'%.*s', expected '%s'", (int)n, output, text);
}

/* Both directions, then both ends in turn: nothing is lost, and both connections close in order. */
static void halves_closed_one_after_the_other_end_in_order(void **state)
{
    struct mr_stream *client, *backend;
    l4_world_start(4, 4, false);
    backend = joined(&client);
    fake_input(client, "question", 8);
    fake_end(client);
    expect_output(backend, "question");
    assert_true(fake_shutdown_seen(backend));
    assert_false(fake_shutdown_seen(client));
    for (int i = 0; i < 3; i++)
        fake_input(backend, "answer", 6);
    expect_output(client, "answeransweranswer");
    fake_end(backend);
    l4_world_settle();
    assert_int_equal(fake_close_reason(client), MR_CLOSE_DONE);
    assert_int_equal(fake_close_reason(backend), MR_CLOSE_DONE);
    assert_int_equal(world.counters[PROXY_L4_BYTES_TO_BACKENDS], 8);
    assert_int_equal(world.counters[PROXY_L4_BYTES_TO_CLIENTS], 18);
    assert_int_equal(world.backends[0].bytes_to, 8);
    assert_int_equal(world.backends[0].bytes_from, 18);
    assert_int_equal(world.counters[PROXY_L4_RESETS], 0);
    assert_int_equal(world.succeeded, 1);
    l4_world_stop();
}

/* When both ends were passed on all is said: a reset of one connection does not touch what the other still has to deliver. */
static void reset_after_both_ends_leaves_the_other_alone(void **state)
{
    struct mr_stream *client, *backend;
    l4_world_start(4, 4, false);
    backend = joined(&client);
    fake_throttle(client, 1000);
    fake_end(client);
    fake_input(backend, "answer", 6);
    fake_end(backend);
    fake_reset(backend);
    l4_world_settle();
    assert_false(fake_aborted(client));
    fake_acknowledge(client, SIZE_MAX);
    l4_world_settle();
    assert_int_equal(fake_close_reason(client), MR_CLOSE_DONE);
    l4_world_stop();
}

/* An answer, and a reset because a part of the question was not read: the client gets both, in this order. */
static void answer_before_a_reset_is_delivered(void **state)
{
    struct mr_stream *client, *backend;
    l4_world_start(4, 4, false);
    backend = joined(&client);
    fake_throttle(client, 1000);
    fake_input_quietly(backend, "answer", 6);
    fake_input(backend, ".", 1);
    fake_reset(backend);
    fake_pass(world.worker, L4_WORLD_LINGER - MR_SECOND);
    assert_false(fake_aborted(client));
    expect_output(client, "answer.");
    fake_input(client, "nobody listens", 14);
    fake_acknowledge(client, SIZE_MAX);
    fake_pass(world.worker, MR_SECOND);
    l4_world_settle();
    assert_true(fake_aborted(client));
    assert_int_equal(world.counters[PROXY_L4_DELIVERIES_CUT], 0);
    l4_world_stop();
}

/* Nor is it waited for long: the other side does not read, or it ends by itself. */
static void delivery_before_a_reset_is_bounded(void **state)
{
    for (int how = 0; how < 3; how++) {
        struct mr_stream *client, *backend;
        l4_world_start(4, 4, false);
        backend = joined(&client);
        fake_throttle(backend, 1000);
        fake_input(client, "question", 8);
        fake_reset(client);
        l4_world_settle();
        assert_false(fake_aborted(backend));
        if (how == 1)
            fake_reset(backend);
        else if (how == 2)
            fake_end(backend);
        fake_pass(world.worker, L4_WORLD_LINGER + MR_SECOND);
        assert_int_equal(fake_aborted(backend), how != 1);
        assert_int_equal(world.counters[PROXY_L4_DELIVERIES_CUT], how != 1);
        assert_null(world.proxy.l4->first_connection);
        l4_world_stop();
    }
}

/* A client that sends before its backend is there is held back by its own window; then everything goes, and is moved, not copied. */
static void bytes_before_the_connection_wait_unread(void **state)
{
    static char bytes[300000];
    struct mr_stream *client, *backend;
    size_t n;
    l4_world_start(4, 4, false);
    client = l4_world_client();
    backend = l4_world_backend(0);
    fake_input(client, bytes, 200000);
    fake_input(client, bytes, sizeof bytes - 200000);
    assert_int_equal(fake_unread(client), sizeof bytes);
    assert_int_equal(fake_window(client), 0);
    fake_connect_accept(backend);
    l4_world_settle();
    fake_output(backend, &n);
    assert_int_equal(n, sizeof bytes);
    assert_int_equal(fake_spliced(backend), sizeof bytes);
    l4_world_stop();
}

/* A side that does not read closes the other's window: what is moved is bounded by its send budget. */
static void reader_that_stops_bounds_what_is_moved(void **state)
{
    static char bytes[200000];
    struct mr_stream *client, *backend;
    size_t n;
    l4_world_start(4, 4, false);
    backend = joined(&client);
    fake_throttle(backend, 5000);
    fake_input(client, bytes, sizeof bytes);
    fake_output(backend, &n);
    assert_int_equal(n, 5000);
    assert_int_equal(fake_unread(client), sizeof bytes - 5000);
    fake_acknowledge(backend, 3000);
    fake_output(backend, &n);
    assert_int_equal(n, 8000);
    fake_input(backend, "other way", 9);
    expect_output(client, "other way");
    l4_world_stop();
}

struct flood {
    struct mr_stream *from, *to;
    uint8_t sent[20000];
    size_t total, given, ended;
};

static void flood_step(struct flood *f, unsigned *seed)
{
    size_t n = (size_t)rand_r(seed) % 700;
    n = n < f->total - f->given ? n : f->total - f->given;
    if (rand_r(seed) % 2)
        fake_acknowledge(f->to, (size_t)rand_r(seed) % 2000);
    else if (f->given < f->total) {
        fake_input(f->from, f->sent + f->given, n);
        f->given += n;
    } else if (!f->ended) {
        f->ended = 1;
        fake_end(f->from);
    }
}

static void flood_check(const struct flood *f, const char *way, unsigned seed)
{
    size_t n;
    const char *output = fake_output(f->to, &n);
    if (n != f->total || memcmp(output, f->sent, n) != 0 || !fake_shutdown_seen(f->to))
        fail_msg("%s: %zu bytes of %zu, or not the same, or without an end; seed %u", way, n, f->total, seed);
}

/* Input, acknowledgements and ends of both sides in any order: all bytes arrive in order, with the end behind them. */
static void any_order_of_events_moves_everything(void **state)
{
    for (unsigned seed = 1; seed <= 300; seed++) {
        static struct flood a, b;
        unsigned r = seed;
        struct mr_stream *client, *backend;
        l4_world_start(2, 2, false);
        backend = joined(&client);
        a = (struct flood){.from = client, .to = backend, .total = (size_t)rand_r(&r) % sizeof a.sent};
        b = (struct flood){.from = backend, .to = client, .total = (size_t)rand_r(&r) % sizeof b.sent};
        for (size_t i = 0; i < sizeof a.sent; i++) {
            a.sent[i] = (uint8_t)rand_r(&r);
            b.sent[i] = (uint8_t)rand_r(&r);
        }
        fake_throttle(client, 1 + (size_t)rand_r(&r) % 3000);
        fake_throttle(backend, 1 + (size_t)rand_r(&r) % 3000);
        for (int i = 0; i < 100000 && !(fake_closed(client) && fake_closed(backend)); i++) {
            flood_step(rand_r(&r) % 2 ? &a : &b, &r);
            if (i % 16 == 0)
                l4_world_settle();
        }
        flood_check(&a, "to the backend", seed);
        flood_check(&b, "to the client", seed);
        assert_int_equal(fake_close_reason(client), MR_CLOSE_DONE);
        assert_int_equal(fake_close_reason(backend), MR_CLOSE_DONE);
        l4_world_stop();
    }
}

/* -- silence ------------------------------------------------------------------------------------------------------------------ */

/* A byte in either direction puts the timeout off; so does a slow reader that acknowledges. */
static void signs_of_life_put_the_timeout_off(void **state)
{
    static char bytes[100000];
    struct mr_stream *client, *backend;
    l4_world_start(4, 4, false);
    backend = joined(&client);
    for (int i = 0; i < 5; i++) {
        fake_pass(world.worker, L4_WORLD_IDLE - MR_SECOND);
        fake_input(i % 2 ? client : backend, "x", 1);
    }
    fake_throttle(backend, sizeof bytes);
    fake_input(client, bytes, sizeof bytes);
    for (int i = 0; i < 5; i++) {
        fake_pass(world.worker, L4_WORLD_IDLE - MR_SECOND);
        fake_acknowledge(backend, 100);
    }
    assert_false(fake_closed(client));
    fake_pass(world.worker, 2 * L4_WORLD_IDLE);
    assert_true(fake_aborted(client) && fake_aborted(backend));
    assert_int_equal(world.counters[PROXY_L4_IDLE], 1);
    l4_world_stop();
}

/* -- backends that cannot be reached ------------------------------------------------------------------------------------------- */

static void connect_refused_is_tried_elsewhere(void **state)
{
    struct mr_endpoint there;
    l4_world_start(4, 4, false);
    world.tries_max = 2;
    struct mr_stream *client = l4_world_client();
    fake_input(client, "early", 5);
    fake_lose(l4_world_backend(0), MR_CLOSE_REFUSED);
    struct mr_stream *second = l4_world_backend(1);
    mr_stream_remote(second, &there);
    assert_true(mr_address_equal(&there.address, &world.backends[1].address.address));
    fake_connect_accept(second);
    expect_output(second, "early");
    fake_input(second, "hello", 5);
    expect_output(client, "hello");
    assert_int_equal(world.counters[PROXY_L4_FAILED], 0);
    l4_world_stop();
}

static void no_backend_resets_the_client(void **state)
{
    l4_world_start(4, 4, false);
    world.no_backend = true;
    struct mr_stream *client = l4_world_client();
    assert_false(fake_aborted(client));
    l4_world_settle();
    assert_true(fake_aborted(client));
    assert_int_equal(world.counters[PROXY_L4_FAILED], 1);
    l4_world_stop();
}

/* -- the PROXY header ------------------------------------------------------------------------------------------------------------ */

/* In pieces of one byte, and with the client's first bytes behind it, the header is taken off, and says who the client is. */
static void header_in_any_pieces_names_the_client(void **state)
{
    static const char text[] = HEADER "hello";
    for (size_t piece = 1; piece <= sizeof text - 1; piece++) {
        l4_world_start(4, 4, true);
        struct mr_stream *client = l4_world_client();
        for (size_t at = 0; at < sizeof text - 1; at += piece) {
            size_t left = sizeof text - 1 - at;
            fake_input(client, text + at, left < piece ? left : piece);
        }
        const struct l4_tcp *t = world.proxy.l4->first_connection;
        assert_int_equal(t->state, EXPECT_BACKEND);
        assert_int_equal(mr_address_to_ip4(&t->own.client.address), 0xc0000207);
        assert_int_equal(t->own.client.port, 4711);
        assert_int_equal(mr_address_to_ip4(&t->own.local.address), 0xc6336409);
        struct mr_stream *backend = l4_world_backend(0);
        fake_connect_accept(backend);
        expect_output(backend, "hello");
        l4_world_stop();
    }
}

static void header_that_is_none_resets_the_client(void **state)
{
    l4_world_start(4, 4, true);
    struct mr_stream *client = l4_world_client();
    fake_input(client, "GET / HTTP/1.1\r\n", 16);
    l4_world_settle();
    assert_true(fake_aborted(client));
    assert_int_equal(fake_connect_count(world.worker), 0);
    assert_int_equal(world.counters[PROXY_L4_HEADER_MALFORMED], 1);
    l4_world_stop();
}

static void end_instead_of_a_header_resets_the_client(void **state)
{
    l4_world_start(4, 4, true);
    struct mr_stream *client = l4_world_client();
    fake_end(client);
    l4_world_settle();
    assert_true(fake_aborted(client));
    l4_world_stop();
}

static void header_that_is_late_resets_the_client(void **state)
{
    l4_world_start(4, 4, true);
    struct mr_stream *client = l4_world_client();
    fake_pass(world.worker, L4_WORLD_HEADER - MR_SECOND);
    fake_input(client, HEADER, 10);
    assert_false(fake_aborted(client));
    fake_pass(world.worker, 2 * MR_SECOND);
    assert_true(fake_aborted(client));
    assert_int_equal(world.counters[PROXY_L4_HEADER_TIMEOUT], 1);
    l4_world_stop();
}

/* LOCAL: the connection's own addresses stand. */
static void header_of_a_check_leaves_the_addresses(void **state)
{
    l4_world_start(4, 4, true);
    struct mr_stream *client = l4_world_client();
    struct mr_endpoint remote;
    mr_stream_remote(client, &remote);
    fake_input(client, "PROXY UNKNOWN\r\n", 15);
    const struct l4_tcp *t = world.proxy.l4->first_connection;
    assert_true(mr_address_equal(&t->own.client.address, &remote.address));
    assert_int_equal(t->own.client.port, remote.port);
    l4_world_stop();
}

/* The same client goes to the same place by hash, whatever port it comes from and whichever way its address was learnt. */
static void hash_is_of_the_source_address(void **state)
{
    l4_world_start(8, 4, false);
    struct mr_endpoint local = world.listener_config.listen, a = {mr_address_ip4(0x0a000001), 1000}, b = a;
    fake_open_from(world.worker, &local, &a);
    uint64_t first = world.last_hash;
    b.port = 2000;
    fake_open_from(world.worker, &local, &b);
    assert_true(world.last_hash == first);
    b.address = mr_address_ip4(0x0a000002);
    fake_open_from(world.worker, &local, &b);
    assert_true(world.last_hash != first);
    l4_world_stop();
}

/* -- limits, cuts, the end --------------------------------------------------------------------------------------------------------- */

static void connection_beyond_the_limits_is_reset(void **state)
{
    struct mr_stream *clients[4];
    l4_world_start(3, 4, false);
    world.connections_max = 2;
    for (int i = 0; i < 3; i++)
        clients[i] = l4_world_client();
    assert_false(fake_aborted(clients[1]));
    assert_true(fake_aborted(clients[2]));
    world.connections_max = 100;
    clients[2] = l4_world_client();
    assert_false(fake_aborted(clients[2]));
    clients[3] = l4_world_client();
    assert_true(fake_aborted(clients[3])); /* the table is full */
    assert_int_equal(world.counters[PROXY_REFUSED_FULL], 1);
    assert_int_equal(world.listener.connections, 3);
    fake_reset(clients[0]);
    clients[0] = l4_world_client();
    assert_false(fake_aborted(clients[0]));
    l4_world_stop();
}

struct list {
    unsigned count;
    uint64_t bytes;
    mr_time age;
    uint32_t slot;
};

static void list_add(void *argument, const struct mr_endpoint *client, uint32_t slot, mr_time age, uint64_t bytes)
{
    struct list *l = argument;
    l->count++;
    l->bytes += bytes;
    l->age = age;
    l->slot = slot;
}

/* What holds an old plan is listed, and cut by its backend; what began with the new one stays. */
static void cut_resets_what_is_of_an_old_plan(void **state)
{
    struct mr_stream *old, *old_backend, *new, *new_backend;
    struct list list = {0};
    l4_world_start(4, 4, false);
    old_backend = joined(&old);
    fake_input(old, "12345", 5);
    fake_pass(world.worker, 3 * MR_SECOND);
    l4_each(&world.proxy, list_add, &list);
    assert_int_equal(list.count, 1);
    assert_int_equal(list.bytes, 5);
    assert_int_equal(list.age, 3 * MR_SECOND);
    assert_int_equal(list.slot, 0);
    l4_cut(&world.proxy, UINT32_MAX);
    assert_false(fake_aborted(old));
    world.proxy.plan = &world.next_plan;
    new_backend = joined(&new);
    l4_cut(&world.proxy, 1);
    assert_false(fake_aborted(old));
    l4_cut(&world.proxy, 0);
    l4_world_settle();
    assert_true(fake_aborted(old) && fake_aborted(old_backend));
    assert_false(fake_aborted(new) || fake_aborted(new_backend));
    l4_world_stop();
}

/* A removed listener's connections are cut when its own time is over, and nobody else's. */
static void cut_of_listeners_resets_what_came_through_them(void **state)
{
    struct mr_stream *client, *backend;
    l4_world_start(4, 4, false);
    backend = joined(&client);
    world.proxy.plan = &world.next_plan;
    l4_cut(&world.proxy, UINT32_MAX);
    assert_false(fake_aborted(client));
    world.listener.plan = NULL;
    world.listener.drain_until = mr_now(world.worker) + MR_SECOND;
    l4_cut(&world.proxy, UINT32_MAX);
    assert_false(fake_aborted(client));
    world.listener.drain_until = 0;
    l4_cut(&world.proxy, UINT32_MAX);
    assert_true(fake_aborted(client) && fake_aborted(backend));
    assert_int_equal(world.counters[PROXY_L4_DRAIN_CUT], 1);
    l4_world_stop();
}

/* A stop gives up what is not joined yet, and lets the rest come to its end. */
static void stop_lets_what_is_joined_go_on(void **state)
{
    struct mr_stream *client, *backend;
    l4_world_start(4, 4, false);
    backend = joined(&client);
    struct mr_stream *waiting = l4_world_client();
    l4_stop(&world.proxy);
    l4_world_settle();
    assert_true(fake_aborted(waiting));
    assert_int_equal(world.cancelled, 1);
    fake_input(client, "still", 5);
    expect_output(backend, "still");
    l4_world_stop();
    assert_int_equal(world.dropped, 1);
}

/* The worker stops, and every stream with it: all is given back. */
static void streams_that_stop_are_forgotten(void **state)
{
    struct mr_stream *client, *backend;
    l4_world_start(4, 4, false);
    backend = joined(&client);
    fake_lose(backend, MR_CLOSE_STOPPED);
    fake_lose(client, MR_CLOSE_STOPPED);
    assert_null(world.proxy.l4->first_connection);
    l4_world_stop();
}

/* -- tunnels -------------------------------------------------------------------------------------------------------------------------- */

struct owner {
    struct upstream_request request;
    struct l4_tcp *tunnel;
    unsigned ended;
};

static void owner_ended(void *argument)
{
    ((struct owner *)argument)->ended++;
}

static void owner_data(struct mr_stream *s)
{
    struct owner *o = mr_stream_context(s);
    if (o->tunnel)
        l4_tunnel_on_data(o->tunnel);
}

static void owner_writable(struct mr_stream *s)
{
    struct owner *o = mr_stream_context(s);
    if (o->tunnel)
        l4_tunnel_on_writable(o->tunnel);
}

static void owner_close(struct mr_stream *s, enum mr_close_reason reason)
{
    struct owner *o = mr_stream_context(s);
    if (o->tunnel)
        l4_tunnel_on_close(o->tunnel, reason);
}

static void owner_ready(struct upstream_request *q)
{
    assert_int_equal(mr_stream_send(q->connection->stream, "CONNECT\n", 8), 8);
}

static void owner_failed(struct upstream_request *q, enum upstream_failure why)
{
    fail();
}

static const struct mr_stream_handler owner_handler = {NULL, owner_data, owner_writable, owner_close};
static void nothing(struct upstream_request *q)
{
    (void)q;
}

/* A client with a stream of its own and a request that is ready, as layer 7 has them before it makes them a tunnel. */
static void owner_prepare(struct owner *o, struct mr_stream **client, struct mr_stream **backend)
{
    static const struct upstream_user user = {nothing, nothing, NULL};
    struct mr_listener *l;
    struct mr_endpoint at = {mr_address_any(), 80}, from = {mr_address_ip4(0x0a000001), 5555};
    *o = (struct owner){.request = {.proxy = &world.proxy,
                                    .upstream = &world.upstream,
                                    .user = &user,
                                    .ready = owner_ready,
                                    .failed = owner_failed,
                                    .fresh = true,
                                    .context = o}};
    assert_int_equal(mr_listen(world.worker, &at, &owner_handler, NULL, o, &l), MR_OK);
    *client = fake_open_from(world.worker, &at, &from);
    mr_listener_close(l);
    assert_int_equal(upstream_ask(&o->request), UPSTREAM_PENDING);
    *backend = l4_world_backend(0);
    fake_connect_accept(*backend);
}

/* What both streams held before they became a tunnel goes first. */
static void tunnel_begins_with_what_is_unread(void **state)
{
    struct owner o;
    struct mr_stream *client, *backend;
    l4_world_start(4, 4, false);
    owner_prepare(&o, &client, &backend);
    fake_input(client, "early client ", 13);
    fake_input(backend, "early backend ", 14);
    o.tunnel = l4_tunnel(&world.proxy, client, &o.request, L4_WORLD_IDLE, owner_ended, &o);
    assert_non_null(o.tunnel);
    fake_input(client, "more", 4);
    fake_input(backend, "more", 4);
    expect_output(backend, "CONNECT\nearly client more");
    expect_output(client, "early backend more");
    assert_int_equal(l4_tunnel_bytes(o.tunnel), 35);
    fake_end(client);
    fake_end(backend);
    assert_int_equal(o.ended, 0);
    l4_world_settle();
    assert_int_equal(o.ended, 1);
    assert_int_equal(fake_close_reason(client), MR_CLOSE_DONE);
    l4_world_stop();
}

static void tunnel_reset_or_aborted_ends_once(void **state)
{
    for (int how = 0; how < 4; how++) {
        struct owner o;
        struct mr_stream *client, *backend;
        l4_world_start(4, 4, false);
        owner_prepare(&o, &client, &backend);
        o.tunnel = l4_tunnel(&world.proxy, client, &o.request, L4_WORLD_IDLE, owner_ended, &o);
        if (how == 0)
            fake_reset(client);
        else if (how == 1)
            fake_reset(backend);
        else if (how == 2)
            l4_tunnel_abort(o.tunnel);
        else
            fake_pass(world.worker, L4_WORLD_IDLE + 2 * MR_SECOND);
        fake_pass(world.worker, MR_SECOND);
        l4_world_settle();
        assert_int_equal(o.ended, 1);
        assert_true(how == 0 || fake_aborted(client));
        assert_true(how == 1 || fake_aborted(backend));
        l4_world_stop();
    }
}

/* Without room nothing is taken: both streams are still their owner's. */
static void tunnel_beyond_the_limit_is_refused(void **state)
{
    struct owner o;
    struct mr_stream *client, *backend;
    l4_world_start(1, 4, false);
    owner_prepare(&o, &client, &backend);
    l4_world_client();
    assert_null(l4_tunnel(&world.proxy, client, &o.request, L4_WORLD_IDLE, owner_ended, &o));
    assert_true(o.request.user != &l4_upstream_user);
    upstream_drop(&o.request, true);
    mr_stream_abort(client);
    l4_world_settle();
    assert_int_equal(o.ended, 0);
    l4_world_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrix_of_ends_is_carried_exactly),
        cmocka_unit_test(halves_closed_one_after_the_other_end_in_order),
        cmocka_unit_test(reset_after_both_ends_leaves_the_other_alone),
        cmocka_unit_test(answer_before_a_reset_is_delivered),
        cmocka_unit_test(delivery_before_a_reset_is_bounded),
        cmocka_unit_test(bytes_before_the_connection_wait_unread),
        cmocka_unit_test(reader_that_stops_bounds_what_is_moved),
        cmocka_unit_test(any_order_of_events_moves_everything),
        cmocka_unit_test(signs_of_life_put_the_timeout_off),
        cmocka_unit_test(connect_refused_is_tried_elsewhere),
        cmocka_unit_test(no_backend_resets_the_client),
        cmocka_unit_test(header_in_any_pieces_names_the_client),
        cmocka_unit_test(header_that_is_none_resets_the_client),
        cmocka_unit_test(end_instead_of_a_header_resets_the_client),
        cmocka_unit_test(header_that_is_late_resets_the_client),
        cmocka_unit_test(header_of_a_check_leaves_the_addresses),
        cmocka_unit_test(hash_is_of_the_source_address),
        cmocka_unit_test(connection_beyond_the_limits_is_reset),
        cmocka_unit_test(cut_resets_what_is_of_an_old_plan),
        cmocka_unit_test(cut_of_listeners_resets_what_came_through_them),
        cmocka_unit_test(stop_lets_what_is_joined_go_on),
        cmocka_unit_test(streams_that_stop_are_forgotten),
        cmocka_unit_test(tunnel_begins_with_what_is_unread),
        cmocka_unit_test(tunnel_reset_or_aborted_ends_once),
        cmocka_unit_test(tunnel_beyond_the_limit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
