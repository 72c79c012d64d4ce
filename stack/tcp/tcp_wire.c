#include "stack/tcp/tcp_wire.h"

#include <string.h>

enum option_kind { OPTION_END = 0, OPTION_NOP = 1, OPTION_MSS = 2, OPTION_SCALE = 3, OPTION_SACK_OK = 4, OPTION_TIMESTAMP = 8 };

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap32(v);
}

static void put16(uint8_t *p, uint16_t v)
{
    v = __builtin_bswap16(v);
    memcpy(p, &v, sizeof v);
}

static void put32(uint8_t *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof v);
}

static void timestamps_read(const uint8_t *p, struct tcp_options *out)
{
    out->has_timestamp = true;
    out->timestamp_value = get32(p);
    out->timestamp_echo = get32(p + 4);
}

/* One option of `length` bytes with its kind and length octets. A known kind of another length is skipped, as an unknown
 * one is: its length was legal, its meaning is not known (RFC 9293 3.1, MUST-6). */
static void option_read(const uint8_t *p, uint8_t length, bool syn, struct tcp_options *out)
{
    switch (p[0]) {
    case OPTION_MSS:
        if (length == 4 && syn)
            out->mss = get16(p + 2);
        break;
    case OPTION_SCALE:
        if (length == 3 && syn) {
            out->has_scale = true;
            out->scale = p[2];
        }
        break;
    case OPTION_SACK_OK:
        if (length == 2 && syn)
            out->sack_permitted = true;
        break;
    case OPTION_TIMESTAMP:
        if (length == 10)
            timestamps_read(p + 2, out);
        break;
    }
}

static bool options_parse(const uint8_t *p, size_t n, bool syn, struct tcp_options *out)
{
    size_t at = 0;
    while (at < n) {
        if (p[at] == OPTION_END)
            return true;
        if (p[at] == OPTION_NOP) {
            at++;
            continue;
        }
        if (n - at < 2 || p[at + 1] < 2 || p[at + 1] > n - at)
            return false; /* MUST-7: an illegal length; nothing behind it can be trusted */
        option_read(p + at, p[at + 1], syn, out);
        at += p[at + 1];
    }
    return true;
}

enum stat tcp_parse(const uint8_t *data, size_t n, struct tcp_header *out)
{
    if (n < TCP_HEADER_BYTES)
        return DROP_tcp_too_short;
    size_t bytes = (size_t)(data[12] >> 4) * 4;
    if (bytes < TCP_HEADER_BYTES || bytes > n)
        return DROP_tcp_bad_offset;
    out->source = get16(data);
    out->destination = get16(data + 2);
    out->seq = get32(data + 4);
    out->ack = get32(data + 8);
    out->bytes = (uint8_t)bytes;
    out->flags = data[13];
    out->window = get16(data + 14);
    out->options = (struct tcp_options){0};
    if (bytes == TCP_HEADER_BYTES)
        return STAT_COUNT;
    /* What nearly every segment carries: nop nop timestamps. */
    if (bytes == TCP_HEADER_BYTES + TCP_TIMESTAMP_BYTES && get32(data + TCP_HEADER_BYTES) == 0x0101080a) {
        timestamps_read(data + TCP_HEADER_BYTES + 4, &out->options);
        return STAT_COUNT;
    }
    return options_parse(data + TCP_HEADER_BYTES, bytes - TCP_HEADER_BYTES, out->flags & TCP_SYN, &out->options)
               ? STAT_COUNT
               : DROP_tcp_bad_option;
}

static uint8_t *emit_timestamps(uint8_t *p, const struct tcp_options *o)
{
    put32(p, o->timestamp_value);
    put32(p + 4, o->timestamp_echo);
    return p + 8;
}

static uint8_t *emit_syn_options(uint8_t *p, const struct tcp_options *o)
{
    if (o->mss) {
        put32(p, (uint32_t)OPTION_MSS << 24 | 4 << 16 | o->mss);
        p += 4;
    }
    if (o->has_timestamp) {
        put16(p, o->sack_permitted ? OPTION_SACK_OK << 8 | 2 : OPTION_NOP << 8 | OPTION_NOP);
        put16(p + 2, OPTION_TIMESTAMP << 8 | 10);
        p = emit_timestamps(p + 4, o);
    } else if (o->sack_permitted) {
        put32(p, (uint32_t)OPTION_NOP << 24 | OPTION_NOP << 16 | OPTION_SACK_OK << 8 | 2);
        p += 4;
    }
    if (o->has_scale) {
        put32(p, (uint32_t)OPTION_NOP << 24 | OPTION_SCALE << 16 | 3 << 8 | o->scale);
        p += 4;
    }
    return p;
}

size_t tcp_emit(uint8_t *data, const struct tcp_header *h)
{
    uint8_t *end = data + TCP_HEADER_BYTES;
    if (h->flags & TCP_SYN) {
        end = emit_syn_options(end, &h->options);
    } else if (h->options.has_timestamp) {
        put32(end, 0x0101080a);
        end = emit_timestamps(end + 4, &h->options);
    }
    size_t bytes = (size_t)(end - data);
    put16(data, h->source);
    put16(data + 2, h->destination);
    put32(data + 4, h->seq);
    put32(data + 8, h->ack);
    data[12] = (uint8_t)(bytes / 4 << 4);
    data[13] = h->flags;
    put16(data + 14, h->window);
    put32(data + 16, 0); /* checksum: by the path; urgent pointer: never sent */
    return bytes;
}
