/* The TCP header (RFC 9293 section 3.1) and its options: parse, emit. State code never sees raw bytes. */
#ifndef STACK_TCP_WIRE_H
#define STACK_TCP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stack/core/stat.h"

#define TCP_HEADER_BYTES     20
#define TCP_TIMESTAMP_BYTES  12 /* nop nop timestamps: RFC 7323 appendix A */
#define TCP_OPTION_BYTES_MAX 40
#define TCP_WINDOW_SCALE_MAX 14 /* RFC 7323 section 2.3 */

enum tcp_flag {
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_PSH = 0x08,
    TCP_ACK = 0x10,
    TCP_URG = 0x20,
    TCP_ECE = 0x40,
    TCP_CWR = 0x80,
};

struct tcp_options {
    uint32_t timestamp_value, timestamp_echo;
    uint16_t mss;  /* 0: absent */
    uint8_t scale; /* as sent, not clamped */
    bool has_timestamp : 1;
    bool has_scale : 1;
    bool sack_permitted : 1;
};

struct tcp_header {
    uint16_t source, destination; /* ports, host order */
    uint32_t seq, ack;
    uint16_t window; /* unscaled */
    uint8_t flags;   /* enum tcp_flag */
    uint8_t bytes;   /* header with options: the data offset */
    struct tcp_options options;
};

/* Reads the header at `data`, of which `n` bytes lie together; the segment is at least that long. STAT_COUNT when it is
 * well formed, else the reason to drop it. MSS, window scale and SACK-permitted count in a SYN only. */
enum stat tcp_parse(const uint8_t *data, size_t n, struct tcp_header *out);

/* What tcp_emit will write. */
static inline size_t tcp_emit_bytes(const struct tcp_header *h)
{
    const struct tcp_options *o = &h->options;
    size_t n = TCP_HEADER_BYTES + (o->has_timestamp ? TCP_TIMESTAMP_BYTES : 0);
    if (h->flags & TCP_SYN) /* SACK-permitted takes the place of the two nops before timestamps */
        n += (o->mss ? 4u : 0) + (o->has_scale ? 4u : 0) + (o->sack_permitted && !o->has_timestamp ? 4u : 0);
    return n;
}

/* Writes header and options at `data` with a zero checksum; returns the bytes written, a multiple of 4, at most 60. SYN
 * options in the order MSS, SACK-permitted, timestamps, window scale. */
size_t tcp_emit(uint8_t *data, const struct tcp_header *h);

#endif
