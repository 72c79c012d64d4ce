/* The TCP header parser: whatever it accepts must be told apart from what it refuses by its own rules, and what is emitted
 * from it must parse to the same. Input lies in a heap block of its exact size, so that a byte beyond is seen. */
#include <stdlib.h>
#include <string.h>

#include "stack/base/assert.h"
#include "stack/tcp/tcp_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void options_compare(const struct tcp_header *a, const struct tcp_header *b)
{
    ASSERT_COMPARE(a->options.has_timestamp, ==, b->options.has_timestamp);
    ASSERT_COMPARE(a->options.timestamp_value, ==, b->options.timestamp_value);
    ASSERT_COMPARE(a->options.timestamp_echo, ==, b->options.timestamp_echo);
    ASSERT_COMPARE(a->options.mss, ==, b->options.mss);
    ASSERT_COMPARE(a->options.has_scale, ==, b->options.has_scale);
    ASSERT_COMPARE(a->options.scale, ==, b->options.scale);
}

static void emit_and_parse(const struct tcp_header *h)
{
    uint8_t bytes[TCP_HEADER_BYTES + TCP_OPTION_BYTES_MAX];
    struct tcp_header again;
    size_t n = tcp_emit(bytes, h);
    ASSERT_COMPARE(n, <=, sizeof bytes);
    ASSERT_COMPARE(n % 4, ==, 0);
    ASSERT_COMPARE(tcp_parse(bytes, n, &again), ==, STAT_COUNT);
    ASSERT_COMPARE(again.bytes, ==, n);
    ASSERT_COMPARE(again.source, ==, h->source);
    ASSERT_COMPARE(again.destination, ==, h->destination);
    ASSERT_COMPARE(again.seq, ==, h->seq);
    ASSERT_COMPARE(again.ack, ==, h->ack);
    ASSERT_COMPARE(again.flags, ==, h->flags);
    ASSERT_COMPARE(again.window, ==, h->window);
    options_compare(&again, h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tcp_header h;
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    enum stat reason = tcp_parse(copy, size, &h);
    if (size < TCP_HEADER_BYTES)
        ASSERT_COMPARE(reason, ==, DROP_tcp_too_short);
    else if ((size_t)(data[12] >> 4) * 4 < TCP_HEADER_BYTES || (size_t)(data[12] >> 4) * 4 > size)
        ASSERT_COMPARE(reason, ==, DROP_tcp_bad_offset);
    else if (reason == STAT_COUNT)
        emit_and_parse(&h);
    else
        ASSERT_COMPARE(reason, ==, DROP_tcp_bad_option);
    free(copy);
    return 0;
}
