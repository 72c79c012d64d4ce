/* Segments as bytes: building what the peer sends, reading and comparing what the stack sent. The checksums are computed
 * here anew, not by the stack's code, so that one mistake cannot hide another. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/script/script.h"

enum { IP_BYTES = 20, TCP_BYTES = 20, TCP_OPTIONS_MAX = 40, ICMP_BYTES = 8 };

__attribute__((format(printf, 3, 4))) static bool differ(char *error, size_t bytes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, bytes, format, arguments);
    va_end(arguments);
    return false;
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v);
}

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* RFC 1071, the plain way. */
static uint32_t sum_add(uint32_t sum, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
    return sum;
}

static uint16_t sum_finish(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static uint16_t transport_sum(const uint8_t *ip, size_t n)
{
    uint32_t sum = sum_add(0, ip + 12, 8);
    sum += 6 + (uint32_t)(n - IP_BYTES);
    return sum_finish(sum_add(sum, ip + IP_BYTES, n - IP_BYTES));
}

uint8_t script_pattern_peer(uint64_t offset)
{
    return (uint8_t)(offset * 7 + (offset >> 8) * 13 + 'p');
}

uint8_t script_pattern_local(uint64_t offset)
{
    return (uint8_t)(offset * 11 + (offset >> 8) * 5 + 'L');
}

static void ip_build(uint8_t *ip, size_t n, uint8_t protocol, uint32_t source, uint32_t destination)
{
    memset(ip, 0, IP_BYTES);
    ip[0] = 0x45;
    put16(ip + 2, (uint32_t)n);
    ip[6] = 0x40; /* DF */
    ip[8] = 64;
    ip[9] = protocol;
    put32(ip + 12, source);
    put32(ip + 16, destination);
    put16(ip + 10, sum_finish(sum_add(0, ip, IP_BYTES)));
}

/* Inbound "ecr *": the newest value that the stack sent. Values count from the bases of the flow. */
static void timestamp_build(uint8_t *p, const struct script_option *o, const struct script_base *b)
{
    p[0] = OPTION_TS;
    p[1] = 10;
    put32(p + 2, (uint32_t)o->value.low + b->peer_ts);
    if (o->echo.low == INT64_MIN)
        put32(p + 6, b->last_local_ts);
    else
        put32(p + 6, (uint32_t)o->echo.low + (b->local_ts_known ? b->local_ts : 0));
}

static size_t option_build(uint8_t *p, size_t room, const struct script_option *o, const struct script_base *b)
{
    static const uint8_t sizes[] = {[OPTION_EOL] = 1,    [OPTION_NOP] = 1,     [OPTION_MSS] = 4,
                                    [OPTION_WSCALE] = 3, [OPTION_SACK_OK] = 2, [OPTION_TS] = 10};
    size_t n = o->kind == OPTION_HEX ? o->length : o->kind == OPTION_SACK ? 2 + 4 * o->length : sizes[o->kind];
    if (n > room)
        return 0;
    switch (o->kind) {
    case OPTION_HEX:
        memcpy(p, o->bytes, n);
        return n;
    case OPTION_EOL:
    case OPTION_NOP:
        p[0] = (uint8_t)o->kind;
        return n;
    case OPTION_TS:
        timestamp_build(p, o, b);
        return n;
    }
    p[0] = (uint8_t)o->kind;
    p[1] = (uint8_t)n;
    if (o->kind == OPTION_MSS)
        put16(p + 2, (uint32_t)o->value.low);
    else if (o->kind == OPTION_WSCALE)
        p[2] = (uint8_t)o->value.low;
    else if (o->kind == OPTION_SACK)
        for (unsigned i = 0; i < o->length; i++)
            put32(p + 2 + 4 * i, (uint32_t)o->edge[i] + b->local_isn);
    return n;
}

/* Padded with EOL to whole words, as RFC 9293 3.1 asks. */
static size_t options_build(uint8_t *p, const struct script_segment *s, const struct script_base *b)
{
    size_t n = 0;
    memset(p, 0, TCP_OPTIONS_MAX);
    for (unsigned i = 0; i < s->option_count; i++)
        n += option_build(p + n, TCP_OPTIONS_MAX - n, &s->option[i], b);
    return (n + 3) & ~(size_t)3;
}

static void payload_build(uint8_t *p, const struct script_segment *s, const struct script_base *b)
{
    int64_t offset = s->sequence + !!(s->flags & FLAG_SYN) - b->peer_first;
    for (uint32_t i = 0; i < s->length; i++)
        p[i] = (uint8_t)(script_pattern_peer((uint64_t)(offset + i)) ^ (s->junk ? 0xff : 0));
}

size_t script_segment_build(const struct script_segment *s, struct script_base *b, uint8_t *datagram)
{
    uint8_t *tcp = datagram + IP_BYTES;
    if (s->window_given)
        b->window = (uint16_t)s->window.low;
    if (s->flags & FLAG_SYN)
        b->peer_first = s->sequence + 1;
    size_t header = TCP_BYTES + options_build(tcp + TCP_BYTES, s, b), n = header + s->length;
    put16(tcp, b->peer_port);
    put16(tcp + 2, b->local_port);
    put32(tcp + 4, (uint32_t)s->sequence + (s->sequence_raw ? 0 : b->peer_isn));
    put32(tcp + 8, (uint32_t)s->ack.low + (s->ack_raw || !(s->flags & FLAG_ACK) ? 0 : b->local_isn));
    tcp[12] = (uint8_t)((s->offset_words >= 0 ? (unsigned)s->offset_words : header / 4) << 4 | s->reserved);
    tcp[13] = s->flags;
    put16(tcp + 14, b->window);
    put32(tcp + 16, s->urgent); /* and a zero checksum */
    payload_build(tcp + header, s, b);
    if (s->truncate >= 0 && (size_t)s->truncate < n)
        n = (size_t)s->truncate;
    ip_build(datagram, IP_BYTES + n, 6, s->from ? s->from : b->peer_ip, s->to ? s->to : b->local_ip);
    if (n >= TCP_BYTES)
        put16(tcp + 16, transport_sum(datagram, IP_BYTES + n) ^ (s->bad_checksum ? 0x0101 : 0));
    return IP_BYTES + n;
}

/* The error quotes the IP header and 8 bytes of the segment that it is about (RFC 792). */
size_t script_icmp_build(const struct script_icmp *i, const struct script_base *b, uint8_t *datagram)
{
    uint8_t *icmp = datagram + IP_BYTES, *quote = icmp + ICMP_BYTES;
    size_t n = ICMP_BYTES + IP_BYTES + 8;
    memset(icmp, 0, n);
    icmp[0] = i->type;
    icmp[1] = i->code;
    put16(icmp + 6, i->mtu);
    ip_build(quote, IP_BYTES + TCP_BYTES + 1000, 6, b->local_ip, b->peer_ip);
    put16(quote + IP_BYTES, b->local_port);
    put16(quote + IP_BYTES + 2, b->peer_port);
    put32(quote + IP_BYTES + 4, (uint32_t)i->sequence + (i->sequence_raw ? 0 : b->local_isn));
    put16(icmp + 2, sum_finish(sum_add(0, icmp, n)));
    ip_build(datagram, IP_BYTES + n, 1, b->peer_ip, b->local_ip);
    return IP_BYTES + n;
}

static bool option_read(const uint8_t *p, size_t n, struct script_option *o)
{
    static const uint8_t sizes[] = {[OPTION_MSS] = 4, [OPTION_WSCALE] = 3, [OPTION_SACK_OK] = 2, [OPTION_TS] = 10};
    o->kind = p[0];
    if (p[0] < sizeof sizes && sizes[p[0]] && sizes[p[0]] != n)
        return false;
    switch (p[0]) {
    case OPTION_MSS:
        o->value.low = get16(p + 2);
        return true;
    case OPTION_WSCALE:
        o->value.low = p[2];
        return p[2] <= 14;
    case OPTION_SACK_OK:
        return true;
    case OPTION_TS:
        o->value.low = get32(p + 2);
        o->echo.low = get32(p + 6);
        return true;
    case OPTION_SACK:
        o->length = (unsigned)(n - 2) / 4;
        for (unsigned i = 0; i < o->length; i++)
            o->edge[i] = get32(p + 2 + 4 * i);
        return (n - 2) % 8 == 0 && o->length > 0;
    default:
        o->kind = OPTION_HEX;
        o->length = (unsigned)n;
        memcpy(o->bytes, p, n);
        return true;
    }
}

/* NOP and the padding behind EOL are left out: where options are aligned is the sender's choice. */
static bool options_read(const uint8_t *p, size_t n, struct script_segment *s, char *error, size_t error_bytes)
{
    for (size_t at = 0; at < n && p[at] != OPTION_EOL;) {
        if (p[at] == OPTION_NOP) {
            at++;
            continue;
        }
        if (at + 2 > n || p[at + 1] < 2 || at + p[at + 1] > n)
            return differ(error, error_bytes, "option %u at byte %zu has a length beyond the header", p[at], at);
        if (s->option_count == SCRIPT_OPTIONS_MAX || !option_read(p + at, p[at + 1], &s->option[s->option_count++]))
            return differ(error, error_bytes, "option %u at byte %zu is malformed", p[at], at);
        at += p[at + 1];
    }
    return true;
}

bool script_segment_read(const uint8_t *datagram, size_t n, struct script_segment *s, const uint8_t **payload,
                         char *error, size_t error_bytes)
{
    const uint8_t *tcp = datagram + IP_BYTES;
    *s = (struct script_segment){.offset_words = -1, .truncate = -1};
    if (n < IP_BYTES + TCP_BYTES || datagram[0] != 0x45 || get16(datagram + 2) != n)
        return differ(error, error_bytes, "IP header: version, header length or total length is wrong");
    if (sum_finish(sum_add(0, datagram, IP_BYTES)) != 0)
        return differ(error, error_bytes, "IP header checksum is wrong");
    if (datagram[8] == 0)
        return differ(error, error_bytes, "time to live is 0");
    if (transport_sum(datagram, n) != 0)
        return differ(error, error_bytes, "TCP checksum is wrong");
    size_t header = (size_t)(tcp[12] >> 4) * 4;
    if (header < TCP_BYTES || header > n - IP_BYTES)
        return differ(error, error_bytes, "data offset is wrong: %zu bytes", header);
    if (tcp[12] & 15)
        return differ(error, error_bytes, "reserved bits are set");
    if (get16(tcp + 18) != 0 && !(tcp[13] & FLAG_URG))
        return differ(error, error_bytes, "urgent pointer is set without URG");
    s->flags = tcp[13];
    s->sequence = get32(tcp + 4);
    s->ack.low = get32(tcp + 8);
    s->window.low = get16(tcp + 14);
    s->length = (uint32_t)(n - IP_BYTES - header);
    s->sequence_raw = s->ack_raw = true;
    *payload = tcp + header;
    if (!(s->flags & FLAG_ACK) && s->ack.low != 0)
        return differ(error, error_bytes, "acknowledgement number is set without ACK");
    return options_read(tcp + TCP_BYTES, header - TCP_BYTES, s, error, error_bytes);
}

static void timestamp_relative(struct script_option *o, struct script_base *b, uint8_t flags)
{
    b->last_local_ts = (uint32_t)o->value.low;
    if (!b->local_ts_known) {
        b->local_ts_known = true;
        b->local_ts = (uint32_t)o->value.low;
    }
    o->value.low = (int32_t)((uint32_t)o->value.low - b->local_ts);
    if (flags & FLAG_ACK) /* else it must be 0 (RFC 7323 3.2) */
        o->echo.low = (int32_t)((uint32_t)o->echo.low - b->peer_ts);
}

void script_segment_relative(struct script_segment *s, struct script_base *b)
{
    if (s->flags & FLAG_SYN && !b->local_isn_known) {
        b->local_isn = (uint32_t)s->sequence;
        b->local_isn_known = true;
    }
    s->sequence_raw = s->ack_raw = false;
    s->sequence = (int32_t)((uint32_t)s->sequence - b->local_isn);
    if (s->flags & FLAG_ACK)
        s->ack.low = (int32_t)((uint32_t)s->ack.low - b->peer_isn);
    for (unsigned i = 0; i < s->option_count; i++) {
        struct script_option *o = &s->option[i];
        if (o->kind == OPTION_TS)
            timestamp_relative(o, b, s->flags);
        for (unsigned e = 0; o->kind == OPTION_SACK && e < o->length; e++)
            o->edge[e] = (int32_t)((uint32_t)o->edge[e] - b->peer_isn);
    }
}

static bool option_matches(const struct script_option *expected, const struct script_option *got)
{
    if (expected->kind != got->kind)
        return false;
    switch (expected->kind) {
    case OPTION_TS:
        return script_in(expected->value, got->value.low) && script_in(expected->echo, got->echo.low);
    case OPTION_HEX:
        return expected->length == got->length && memcmp(expected->bytes, got->bytes, got->length) == 0;
    case OPTION_SACK:
        return expected->length == got->length &&
               memcmp(expected->edge, got->edge, got->length * sizeof *got->edge) == 0;
    case OPTION_SACK_OK:
        return true;
    default:
        return script_in(expected->value, got->value.low);
    }
}

static bool options_match(const struct script_segment *expected, const struct script_segment *got, char *error,
                          size_t error_bytes)
{
    unsigned wanted = 0;
    for (unsigned i = 0; i < expected->option_count; i++) {
        if (expected->option[i].kind <= OPTION_NOP)
            continue;
        bool found = false;
        for (unsigned j = 0; j < got->option_count && !found; j++)
            found = option_matches(&expected->option[i], &got->option[j]);
        if (!found)
            return differ(error, error_bytes, "option %u of the expected ones is missing or has another value", i + 1);
        wanted++;
    }
    if (!expected->options_open && got->option_count != wanted)
        return differ(error, error_bytes, "%u options, expected %u", got->option_count, wanted);
    return true;
}

bool script_segment_matches(const struct script_segment *expected, const struct script_segment *got, char *error,
                            size_t error_bytes)
{
    uint8_t ignored = expected->psh_matters ? 0 : FLAG_PSH; /* PSH is mostly the sender's choice (RFC 9293 3.9.1.2) */
    if ((expected->flags ^ got->flags) & ~ignored)
        return differ(error, error_bytes, "flags differ");
    if (expected->sequence != got->sequence)
        return differ(error, error_bytes, "sequence number is %lld, expected %lld", (long long)got->sequence,
                      (long long)expected->sequence);
    if (expected->length != got->length)
        return differ(error, error_bytes, "length is %u, expected %u", got->length, expected->length);
    if (got->flags & FLAG_ACK && !script_in(expected->ack, got->ack.low))
        return differ(error, error_bytes, "acknowledges %lld, expected %lld", (long long)got->ack.low,
                      (long long)expected->ack.low);
    if (!script_in(expected->window, got->window.low))
        return differ(error, error_bytes, "window is %lld, expected %lld", (long long)got->window.low,
                      (long long)expected->window.low);
    return options_match(expected, got, error, error_bytes);
}
