#include "drivers/wrap/pcapng.h"

#include <string.h>

enum block { BLOCK_SECTION = 0x0a0d0d0a, BLOCK_INTERFACE = 1, BLOCK_STATISTICS = 5, BLOCK_PACKET = 6 };
enum option {
    OPTION_END = 0,
    OPTION_COMMENT = 1,
    IF_NAME = 2,
    IF_MAC = 6,
    IF_TSRESOL = 9,
    SHB_USERAPPL = 4,
    EPB_FLAGS = 2,
    ISB_START = 2,
    ISB_END = 3,
    ISB_RECEIVED = 4,
    ISB_DROPPED = 5,
    ISB_DELIVERED = 8,
};

#define BYTE_ORDER_MAGIC  0x1a2b3c4d
#define LINKTYPE_ETHERNET 1
#define NANOSECONDS       9   /* 10^-9 */
#define TEXT_MAX          200 /* longer option texts are cut */

struct builder {
    uint8_t *out;
    size_t n;
};

static void put(struct builder *b, const void *data, size_t n)
{
    memcpy(b->out + b->n, data, n);
    b->n += n;
}

static void put16(struct builder *b, uint16_t value)
{
    put(b, &value, sizeof value);
}

static void put32(struct builder *b, uint32_t value)
{
    put(b, &value, sizeof value);
}

static void pad(struct builder *b)
{
    while (b->n % 4)
        b->out[b->n++] = 0;
}

static void put_option(struct builder *b, enum option code, const void *value, size_t n)
{
    put16(b, (uint16_t)code);
    put16(b, (uint16_t)n);
    put(b, value, n);
    pad(b);
}

static void put_text(struct builder *b, enum option code, const char *text)
{
    size_t n = strlen(text);
    put_option(b, code, text, n < TEXT_MAX ? n : TEXT_MAX);
}

/* Two 32-bit words, the high one first, whatever the byte order. */
static void put_time(struct builder *b, uint64_t ns)
{
    put32(b, (uint32_t)(ns >> 32));
    put32(b, (uint32_t)ns);
}

static void put_time_option(struct builder *b, enum option code, uint64_t ns)
{
    put16(b, (uint16_t)code);
    put16(b, 8);
    put_time(b, ns);
}

static struct builder block_begin(uint8_t *out, enum block type)
{
    struct builder b = {.out = out};
    put32(&b, type);
    put32(&b, 0);
    return b;
}

/* The length stands at both ends so that a file can be read backwards. */
static size_t block_end(struct builder *b)
{
    put32(b, OPTION_END);
    uint32_t length = (uint32_t)b->n + 4;
    put32(b, length);
    memcpy(b->out + 4, &length, sizeof length);
    return length;
}

size_t pcapng_section(uint8_t *out)
{
    struct builder b = block_begin(out, BLOCK_SECTION);
    put32(&b, BYTE_ORDER_MAGIC);
    put16(&b, 1);
    put16(&b, 0);
    put32(&b, UINT32_MAX); /* section length: not known */
    put32(&b, UINT32_MAX);
    put_text(&b, SHB_USERAPPL, "millrace");
    return block_end(&b);
}

size_t pcapng_interface(uint8_t *out, const char *name, const uint8_t mac[6], uint32_t snaplen)
{
    static const uint8_t resolution = NANOSECONDS;
    struct builder b = block_begin(out, BLOCK_INTERFACE);
    put16(&b, LINKTYPE_ETHERNET);
    put16(&b, 0);
    put32(&b, snaplen);
    put_text(&b, IF_NAME, name);
    put_option(&b, IF_MAC, mac, 6);
    put_option(&b, IF_TSRESOL, &resolution, 1);
    return block_end(&b);
}

size_t pcapng_statistics(uint8_t *out, uint32_t interface, const struct pcapng_statistics *s)
{
    struct builder b = block_begin(out, BLOCK_STATISTICS);
    put32(&b, interface);
    put_time(&b, s->end_ns);
    put_text(&b, OPTION_COMMENT, s->comment);
    put_time_option(&b, ISB_START, s->start_ns);
    put_time_option(&b, ISB_END, s->end_ns);
    put_option(&b, ISB_RECEIVED, &s->received, 8);
    put_option(&b, ISB_DROPPED, &s->dropped, 8);
    put_option(&b, ISB_DELIVERED, &s->delivered, 8);
    return block_end(&b);
}

static uint32_t padded(uint32_t n)
{
    return (n + 3) & ~3u;
}

/* 28 bytes of head, data, padding, 8 bytes of flags, 4 of end, 4 of length. */
static uint32_t packet_block_bytes(const struct pcapng_packet *p)
{
    return 28 + padded(p->captured) + 8 + 4 + 4;
}

size_t pcapng_packet_head(uint8_t *out, const struct pcapng_packet *p)
{
    struct builder b = {.out = out};
    put32(&b, BLOCK_PACKET);
    put32(&b, packet_block_bytes(p));
    put32(&b, p->interface);
    put_time(&b, p->time_ns);
    put32(&b, p->captured);
    put32(&b, p->original);
    return b.n;
}

size_t pcapng_packet_tail(uint8_t *out, const struct pcapng_packet *p)
{
    static const uint8_t zero[3];
    struct builder b = {.out = out};
    uint32_t flags = p->direction;
    put(&b, zero, padded(p->captured) - p->captured);
    put16(&b, EPB_FLAGS);
    put16(&b, sizeof flags);
    put32(&b, flags);
    put32(&b, OPTION_END);
    put32(&b, packet_block_bytes(p));
    return b.n;
}
