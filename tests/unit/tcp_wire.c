/* TCP header and options: what is parsed, what is refused and why, and what comes back after emitting. */
#include "tests/support/cmocka.h"

#include <string.h>

#include "stack/tcp/tcp_wire.h"
#include "tests/support/support.h"

#define OPTIONS_MAX 40

/* One SYN (or plain segment) a line: options as they lie in the header, and what must be understood. */
static const struct parse_case {
    const char *why;
    uint8_t flags;
    uint8_t option_bytes;
    uint8_t options[OPTIONS_MAX];
    enum stat reason; /* STAT_COUNT: accepted */
    struct tcp_options expected;
} parse_cases[] = {
    {"no options", TCP_SYN, 0, {0}, STAT_COUNT, {0}},
    {"MSS alone", TCP_SYN, 4, {2, 4, 5, 180}, STAT_COUNT, {.mss = 1460}},
    {"MSS outside a SYN is skipped", TCP_ACK, 4, {2, 4, 5, 180}, STAT_COUNT, {0}},
    {"scale outside a SYN is skipped", TCP_ACK, 4, {3, 3, 7, 0}, STAT_COUNT, {0}},
    {"scale as sent, above 14", TCP_SYN, 4, {1, 3, 3, 200}, STAT_COUNT, {.has_scale = true, .scale = 200}},
    {"SACK permitted", TCP_SYN, 4, {4, 2, 1, 1}, STAT_COUNT, {.sack_permitted = true}},
    {"timestamps, aligned as nearly everybody sends them",
     TCP_ACK,
     12,
     {1, 1, 8, 10, 0, 0, 0, 5, 1, 2, 3, 4},
     STAT_COUNT,
     {.has_timestamp = true, .timestamp_value = 5, .timestamp_echo = 0x01020304}},
    {"timestamps on an odd byte",
     TCP_ACK,
     12,
     {1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6, 1},
     STAT_COUNT,
     {.has_timestamp = true, .timestamp_value = 5, .timestamp_echo = 6}},
    {"timestamps at the very end",
     TCP_ACK,
     12,
     {1, 1, 8, 10, 255, 255, 255, 255, 0, 0, 0, 0},
     STAT_COUNT,
     {.has_timestamp = true, .timestamp_value = UINT32_MAX}},
    {"all of them",
     TCP_SYN,
     20,
     {2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 9},
     STAT_COUNT,
     {.mss = 1460, .sack_permitted = true, .has_timestamp = true, .timestamp_value = 1, .has_scale = true, .scale = 9}},
    {"an unknown kind is skipped by its length", TCP_SYN, 8, {253, 4, 2, 4, 2, 4, 1, 0}, STAT_COUNT, {.mss = 256}},
    {"nothing behind the end of the list counts", TCP_SYN, 8, {0, 0, 0, 0, 2, 4, 1, 0}, STAT_COUNT, {0}},
    {"a known kind of another length is skipped", TCP_SYN, 8, {2, 3, 9, 2, 4, 1, 0, 0}, STAT_COUNT, {.mss = 256}},
    {"the last of two counts", TCP_SYN, 8, {2, 4, 1, 0, 2, 4, 2, 0}, STAT_COUNT, {.mss = 512}},
    {"length zero", TCP_SYN, 4, {5, 0, 0, 0}, DROP_tcp_bad_option, {0}},
    {"length one", TCP_SYN, 4, {5, 1, 1, 1}, DROP_tcp_bad_option, {0}},
    {"a kind without its length", TCP_SYN, 4, {1, 1, 1, 5}, DROP_tcp_bad_option, {0}},
    {"one byte beyond the header", TCP_SYN, 4, {1, 2, 4, 5}, DROP_tcp_bad_option, {0}},
    {"far beyond the header", TCP_SYN, 4, {8, 255, 0, 0}, DROP_tcp_bad_option, {0}},
};

static size_t header_write(uint8_t *p, uint8_t flags, const uint8_t *options, size_t n)
{
    static const uint8_t fixed[12] = {0x9c, 0x40, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8};
    memset(p, 0, TCP_HEADER_BYTES);
    memcpy(p, fixed, sizeof fixed);
    p[12] = (uint8_t)((TCP_HEADER_BYTES + n) / 4 << 4);
    p[13] = flags;
    p[14] = 0x12;
    p[15] = 0x34;
    if (n)
        memcpy(p + TCP_HEADER_BYTES, options, n);
    return TCP_HEADER_BYTES + n;
}

static void fixed_fields_check(const struct tcp_header *h, uint8_t flags, size_t n)
{
    assert_int_equal(h->source, 40000);
    assert_int_equal(h->destination, 80);
    assert_int_equal(h->seq, 0x01020304);
    assert_int_equal(h->ack, 0x05060708);
    assert_int_equal(h->window, 0x1234);
    assert_int_equal(h->flags, flags);
    assert_int_equal(h->bytes, n);
}

static void options_check(const struct tcp_options *got, const struct tcp_options *expected)
{
    assert_int_equal(got->mss, expected->mss);
    assert_int_equal(got->has_scale, expected->has_scale);
    assert_int_equal(got->scale, expected->scale);
    assert_int_equal(got->sack_permitted, expected->sack_permitted);
    assert_int_equal(got->has_timestamp, expected->has_timestamp);
    assert_int_equal(got->timestamp_value, expected->timestamp_value);
    assert_int_equal(got->timestamp_echo, expected->timestamp_echo);
}

/* Each case flush against a page that faults: nothing beyond the header may be read. */
static void parse_reads_options_by_the_table(void **state)
{
    for (size_t i = 0; i < sizeof parse_cases / sizeof *parse_cases; i++) {
        const struct parse_case *c = &parse_cases[i];
        uint8_t bytes[TCP_HEADER_BYTES + OPTIONS_MAX];
        size_t n = header_write(bytes, c->flags, c->options, c->option_bytes);
        uint8_t *guarded = support_guarded(bytes, n);
        struct tcp_header h;
        enum stat reason = tcp_parse(guarded, n, &h);
        if (reason != c->reason)
            fail_msg("%s: reason %d, expected %d", c->why, reason, c->reason);
        if (reason == STAT_COUNT) {
            fixed_fields_check(&h, c->flags, n);
            options_check(&h.options, &c->expected);
        }
        support_guarded_free(guarded, n);
    }
}

static void parse_refuses_every_short_header(void **state)
{
    uint8_t bytes[TCP_HEADER_BYTES];
    struct tcp_header h;
    header_write(bytes, TCP_ACK, NULL, 0);
    for (size_t n = 0; n < TCP_HEADER_BYTES; n++) {
        uint8_t *guarded = support_guarded(bytes, n);
        assert_int_equal(tcp_parse(guarded, n, &h), DROP_tcp_too_short);
        support_guarded_free(guarded, n);
    }
}

/* Every data offset against a segment of 40 bytes. */
static void parse_refuses_offsets_outside_the_segment(void **state)
{
    uint8_t bytes[40] = {0};
    struct tcp_header h;
    for (unsigned words = 0; words < 16; words++) {
        bytes[12] = (uint8_t)(words << 4);
        enum stat reason = tcp_parse(bytes, sizeof bytes, &h);
        assert_int_equal(reason, words >= 5 && words <= 10 ? STAT_COUNT : DROP_tcp_bad_offset);
    }
}

static void parse_ignores_reserved_bits(void **state)
{
    uint8_t bytes[TCP_HEADER_BYTES];
    struct tcp_header h;
    size_t n = header_write(bytes, TCP_ACK, NULL, 0);
    bytes[12] |= 0x0f;
    assert_int_equal(tcp_parse(bytes, n, &h), STAT_COUNT);
    fixed_fields_check(&h, TCP_ACK, n);
}

/* Every combination of options that we send comes back as it was. */
static void emit_is_undone_by_parse(void **state)
{
    for (unsigned mask = 0; mask < 32; mask++) {
        struct tcp_header again, h = {.source = 40000,
                                      .destination = 80,
                                      .seq = 0x01020304,
                                      .ack = 0x05060708,
                                      .window = 0x1234,
                                      .flags = mask & 16 ? TCP_SYN : TCP_ACK | TCP_PSH};
        bool syn = mask & 16;
        h.options.has_timestamp = mask & 1;
        h.options.timestamp_value = mask & 1 ? 0xfffffffe : 0;
        h.options.timestamp_echo = mask & 1 ? 77 : 0;
        h.options.mss = syn && mask & 2 ? 1460 : 0;
        h.options.has_scale = syn && mask & 4;
        h.options.scale = h.options.has_scale ? 14 : 0;
        h.options.sack_permitted = syn && mask & 8;
        uint8_t bytes[TCP_HEADER_BYTES + TCP_OPTION_BYTES_MAX];
        memset(bytes, 0xdb, sizeof bytes);
        size_t n = tcp_emit(bytes, &h);
        assert_int_equal(n % 4, 0);
        assert_int_equal(bytes[16] | bytes[17] | bytes[18] | bytes[19], 0); /* checksum and urgent pointer */
        assert_int_equal(tcp_parse(bytes, n, &again), STAT_COUNT);
        fixed_fields_check(&again, h.flags, n);
        options_check(&again.options, &h.options);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_reads_options_by_the_table),
        cmocka_unit_test(parse_refuses_every_short_header),
        cmocka_unit_test(parse_refuses_offsets_outside_the_segment),
        cmocka_unit_test(parse_ignores_reserved_bits),
        cmocka_unit_test(emit_is_undone_by_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
