/* An established connection, opened by either side in virtual time, under operations read from the input: segments with
 * numbers near the right ones and anything else, ICMP errors, time, what a service may do, packets and records that run
 * out. After each operation every invariant of the worker is checked; every byte that the stack delivers or sends must be
 * the byte of its place in the stream; at the end nothing may be missing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stack/base/assert.h"
#include "stack/tcp/tcp.h"
#include "tests/script/script.h"
#include "tests/script/script_world.h"
#include "tests/support/support.h"

#define PACKETS        2048
#define OPERATIONS_MAX 200
#define LOANS_MAX      64
#define STEPS_MAX      300

struct fuzz {
    const uint8_t *at, *end;
    struct world world;
    struct script_base base;
    struct mr_stream *stream;
    struct mr_listener *listener;
    unsigned opened;         /* streams so far: patterns hold for the first */
    uint64_t sent, received; /* bytes of the first stream */
    int64_t peer_next;       /* relative: what the stack acknowledged */
    int64_t local_next;      /* relative: the end of what it sent */
    unsigned loans, released;
    bool over;
};

/* -- input -------------------------------------------------------------------------------------------------------------- */

static uint8_t take8(struct fuzz *f)
{
    return f->at < f->end ? *f->at++ : 0;
}

static uint16_t take16(struct fuzz *f)
{
    uint16_t high = take8(f);
    return (uint16_t)(high << 8 | take8(f));
}

/* -- the stack's side ---------------------------------------------------------------------------------------------------- */

static void payload_check(struct fuzz *f, const struct script_segment *s, const uint8_t *payload)
{
    int64_t first = s->sequence + !!(s->flags & FLAG_SYN) - 1;
    if (f->opened > 1 || s->flags & FLAG_RST)
        return;
    for (uint32_t i = 0; i < s->length; i++) {
        ASSERT(first + i >= 0);
        ASSERT_COMPARE((uint64_t)(first + i), <, f->sent);
        ASSERT_COMPARE(payload[i], ==, script_pattern_local((uint64_t)(first + i)));
    }
}

static void captured(void *argument, const uint8_t *datagram, size_t n)
{
    struct fuzz *f = argument;
    struct script_segment s;
    const uint8_t *payload;
    char error[256];
    if (n < 20 || datagram[9] != 6 || f->over)
        return;
    if (!script_segment_read(datagram, n, &s, &payload, error, sizeof error)) {
        fprintf(stderr, "tcp_established: the stack sent a malformed segment: %s\n", error);
        abort();
    }
    script_segment_relative(&s, &f->base);
    payload_check(f, &s, payload);
    if (s.flags & FLAG_ACK)
        f->peer_next = s.ack.low;
    if (!(s.flags & FLAG_RST))
        f->local_next = s.sequence + s.length + !!(s.flags & FLAG_SYN) + !!(s.flags & FLAG_FIN);
}

static size_t stream_read(struct fuzz *f, size_t n)
{
    uint8_t bytes[2048];
    size_t total = 0, part;
    while (total < n &&
           (part = mr_stream_read(f->stream, bytes, n - total < sizeof bytes ? n - total : sizeof bytes))) {
        for (size_t i = 0; i < part && f->opened == 1; i++, f->received++)
            ASSERT_COMPARE(bytes[i], ==, script_pattern_peer(f->received));
        total += part;
    }
    return total;
}

static void on_open(struct mr_stream *s)
{
    struct fuzz *f = mr_stream_context(s);
    f->stream = s;
    f->opened++;
}

static void on_data(struct mr_stream *s)
{
}

static void on_close(struct mr_stream *s, enum mr_close_reason reason)
{
    struct fuzz *f = mr_stream_context(s);
    if (f->stream == s)
        f->stream = NULL;
}

static const struct mr_stream_handler handler = {on_open, on_data, on_data, on_close};

static void loan_released(void *argument)
{
    struct fuzz *f;
    memcpy(&f, argument, sizeof f);
    f->released++;
    free(argument);
}

/* -- operations --------------------------------------------------------------------------------------------------------- */

static void inject(struct fuzz *f, struct script_segment *s)
{
    uint8_t datagram[SCRIPT_DATAGRAM_MAX];
    int64_t first = f->base.peer_first;
    size_t n = script_segment_build(s, &f->base, datagram);
    f->base.peer_first = first; /* a SYN of the fuzzer's does not move the pattern */
    world_inject(&f->world, datagram, n, false);
}

static int64_t near(struct fuzz *f, int64_t right, uint8_t how)
{
    switch (how & 3) {
    case 0:
        return right;
    case 1:
        return right + (int8_t)take8(f);
    case 2:
        return right + (int16_t)take16(f);
    default:
        return (int32_t)((uint32_t)take16(f) << 16 | take16(f));
    }
}

static void options_choose(struct fuzz *f, struct script_segment *s, uint8_t how)
{
    struct script_option *o = &s->option[0];
    if ((how & 3) == 0)
        return;
    s->option_count = 1;
    if ((how & 3) == 1) { /* a timestamp as it should be */
        mr_time ms = (f->world.now - f->world.start) / MR_MILLISECOND;
        *o = (struct script_option){.kind = OPTION_TS, .value = {(int64_t)ms, (int64_t)ms}, .echo = SCRIPT_ANY};
    } else if ((how & 3) == 2) {
        int64_t value = (int16_t)take16(f), echo = (int16_t)take16(f);
        *o = (struct script_option){.kind = OPTION_TS, .value = {value, value}, .echo = {echo, echo}};
    } else {
        o->kind = OPTION_HEX;
        o->length = take8(f) % 41;
        for (unsigned i = 0; i < o->length; i++)
            o->bytes[i] = take8(f);
    }
}

static void segment_random(struct fuzz *f)
{
    struct script_segment s = {.offset_words = -1, .truncate = -1, .times = 1, .window_given = true};
    uint8_t how = take8(f), flags = take8(f);
    s.flags = flags ? flags : FLAG_ACK;
    s.sequence = near(f, f->peer_next, how);
    s.ack.low = near(f, f->local_next, how >> 2);
    s.window.low = how & 128 ? take16(f) : 65535;
    s.length = how & 64 ? take16(f) % 1461 : take8(f) & 15;
    options_choose(f, &s, how >> 4);
    if (!(take8(f) & 31))
        s.urgent = take16(f);
    inject(f, &s);
}

/* In order, acknowledging everything: what makes a connection go on. */
static void segment_good(struct fuzz *f, uint8_t flags)
{
    struct script_segment s = {.offset_words = -1, .truncate = -1, .times = 1, .window_given = true};
    s.flags = FLAG_ACK | flags;
    s.sequence = f->peer_next;
    s.ack.low = f->local_next;
    s.window.low = 65535;
    s.length = take16(f) % 1461;
    options_choose(f, &s, 1);
    inject(f, &s);
}

static void icmp_random(struct fuzz *f)
{
    uint8_t datagram[256], how = take8(f);
    struct script_icmp icmp = {.type = how & 64 ? 3 : take8(f), .code = how & 15, .mtu = take16(f)};
    icmp.sequence = near(f, f->local_next - 1, how >> 4);
    world_inject(&f->world, datagram, script_icmp_build(&icmp, &f->base, datagram), false);
}

static void time_pass(struct fuzz *f)
{
    uint8_t how = take8(f);
    mr_time step = (MR_MILLISECOND / 8) << (how & 15), until = f->world.now + step * (1 + (how >> 4));
    unsigned steps = 0; /* a worker without packets tries again every few hundred microseconds: not for a minute */
    while (world_step(&f->world, until) && ++steps < STEPS_MAX)
        ;
}

static void send_some(struct fuzz *f)
{
    static uint8_t bytes[65536];
    size_t n = take16(f);
    for (size_t i = 0; i < n; i++)
        bytes[i] = script_pattern_local(f->sent + i);
    f->sent += mr_stream_send(f->stream, bytes, n);
}

static void lend_some(struct fuzz *f)
{
    size_t n = 1 + (size_t)take16(f) * (take8(f) & 3);
    if (f->loans - f->released >= LOANS_MAX)
        return;
    uint8_t *loan = malloc(sizeof f + n);
    memcpy(loan, &f, sizeof f);
    for (size_t i = 0; i < n; i++)
        loan[sizeof f + i] = script_pattern_local(f->sent + i);
    if (mr_stream_lend(f->stream, loan + sizeof f, n, loan_released, loan)) {
        f->sent += n;
        f->loans++;
    } else {
        free(loan);
    }
}

static void exhaust(struct fuzz *f)
{
    uint8_t how = take8(f), after = take8(f);
    struct tcp *tcp = f->world.worker->tcp;
    struct slab *slabs[] = {&tcp->connections, &tcp->half_open, &tcp->time_wait,
                            &tcp->flights,     &tcp->reasms,    &tcp->lends};
    if ((how & 7) < 6)
        slabs[how & 7]->fail_after = how & 128 ? UINT32_MAX : after;
    else
        f->world.worker->fail_packets_after = how & 128 ? UINT32_MAX : after;
}

static void service_random(struct fuzz *f, uint8_t operation)
{
    if (!f->stream)
        return;
    switch (operation) {
    case 0:
    case 1:
        send_some(f);
        break;
    case 2:
        lend_some(f);
        break;
    case 3:
    case 4:
        stream_read(f, take16(f));
        break;
    case 5:
        stream_read(f, SIZE_MAX);
        break;
    case 6:
        mr_stream_set_nodelay(f->stream, take8(f) & 1);
        break;
    default: /* an end, but not too soon in most inputs */
        switch (take8(f) & 7) {
        case 0:
            mr_stream_abort(f->stream);
            break;
        case 1:
            mr_stream_close(f->stream);
            break;
        case 2:
            mr_stream_shutdown(f->stream);
        }
    }
}

static void operation_run(struct fuzz *f)
{
    uint8_t operation = take8(f);
    switch (operation & 7) {
    case 0:
    case 1:
        segment_random(f);
        break;
    case 2:
        segment_good(f, 0);
        break;
    case 3:
    case 4:
        service_random(f, operation >> 3 & 7);
        break;
    case 5:
        time_pass(f);
        break;
    case 6:
        segment_good(f, operation & 64 ? FLAG_FIN : FLAG_PSH);
        break;
    default:
        if (operation & 8)
            icmp_random(f);
        else
            exhaust(f);
    }
    if (!(operation & 128)) /* else it shares its turn with the next */
        world_settle(&f->world);
    ASSERT(!f->world.restless);
}

/* -- the handshake -------------------------------------------------------------------------------------------------------- */

static void handshake_segment(struct fuzz *f, uint8_t flags, bool timestamps, bool scale)
{
    struct script_segment s = {.flags = flags, .offset_words = -1, .truncate = -1, .times = 1, .window_given = true};
    s.sequence = flags & FLAG_SYN ? 0 : 1;
    s.ack.low = flags & FLAG_ACK ? 1 : 0;
    s.window.low = 65535;
    if (timestamps)
        s.option[s.option_count++] = (struct script_option){.kind = OPTION_TS, .echo = SCRIPT_ANY};
    if (flags & FLAG_SYN) {
        s.option[s.option_count++] = (struct script_option){.kind = OPTION_MSS, .value = {1460, 1460}};
        if (scale)
            s.option[s.option_count++] = (struct script_option){.kind = OPTION_WSCALE, .value = {7, 7}};
    }
    inject(f, &s);
    world_settle(&f->world);
}

static struct mr_stream_options options_of(uint8_t how)
{
    return (struct mr_stream_options){.receive_budget = how & 8 ? 5000 : 0,
                                      .send_budget = how & 16 ? 5000 : 0,
                                      .keepalive_idle_s = how & 32 ? 10 : 0,
                                      .keepalive_interval_s = 5,
                                      .keepalive_probes = 3,
                                      .nodelay = how & 64,
                                      .user_timeout_ms = how & 128 ? 20000 : 0};
}

static void connection_open(struct fuzz *f, uint8_t how)
{
    struct mr_stream_options options = options_of(how);
    struct mr_endpoint local = {.port = 80}, remote = {mr_address_ip4(WORLD_PEER_IP), SCRIPT_DEFAULT_PORT};
    bool timestamps = how & 2, scale = how & 4;
    if (how & 1) {
        ASSERT_COMPARE(mr_connect(f->world.worker, NULL, &remote, &handler, &options, f, &f->stream), ==, MR_OK);
        mr_stream_local(f->stream, &local);
        f->base.local_port = local.port;
        world_settle(&f->world);
        handshake_segment(f, FLAG_SYN | FLAG_ACK, timestamps, scale);
    } else {
        ASSERT_COMPARE(mr_listen(f->world.worker, &local, &handler, &options, f, &f->listener), ==, MR_OK);
        handshake_segment(f, FLAG_SYN, timestamps, scale);
        handshake_segment(f, FLAG_ACK, timestamps, scale);
    }
    ASSERT_COMPARE(f->opened, ==, 1);
    f->peer_next = f->local_next = 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rte_mempool *pool;
    static struct fuzz f;
    const struct world_options options = {
        .mtu = 1500, .seed = 7, .limits = {.connections = 8, .half_open = 8, .time_wait = 4}};
    if (!pool) {
        support_start_dpdk(64);
        pool = support_pool(PACKETS);
    }
    f = (struct fuzz){.at = data, .end = data + size};
    ASSERT(world_open(&f.world, pool, PACKETS, &options));
    f.base = (struct script_base){.peer_ip = WORLD_PEER_IP,
                                  .local_ip = WORLD_LOCAL_IP,
                                  .peer_port = SCRIPT_DEFAULT_PORT,
                                  .local_port = 80,
                                  .peer_isn = 0xfffff000, /* numbers wrap soon */
                                  .peer_ts = 0xfffffe00,
                                  .peer_first = 1,
                                  .local_first = 1};
    f.world.captured = captured;
    f.world.argument = &f;
    connection_open(&f, take8(&f));
    for (unsigned i = 0; i < OPERATIONS_MAX && f.at < f.end; i++)
        operation_run(&f);
    f.over = true;
    ASSERT_COMPARE(world_close(&f.world), ==, 0);
    ASSERT_COMPARE(f.released, ==, f.loans);
    return 0;
}
