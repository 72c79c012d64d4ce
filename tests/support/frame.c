#include "tests/support/frame.h"

#include <stdlib.h>
#include <string.h>

void frame_put_16(uint8_t *at, uint16_t v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

void frame_put_32(uint8_t *at, uint32_t v)
{
    frame_put_16(at, (uint16_t)(v >> 16));
    frame_put_16(at + 2, (uint16_t)v);
}

uint16_t frame_get_16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

void frame_bytes(struct frame *f, const void *data, size_t n)
{
    if (f->n + n > sizeof f->bytes)
        abort();
    memcpy(f->bytes + f->n, data, n);
    f->n += n;
}

void frame_fill(struct frame *f, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = (uint8_t)(i * 7 + 1);
        frame_bytes(f, &byte, 1);
    }
}

static void put_number(struct frame *f, uint32_t v, size_t bytes)
{
    uint8_t whole[4];
    frame_put_32(whole, v);
    frame_bytes(f, whole + 4 - bytes, bytes);
}

void frame_begin(struct frame *f, const uint8_t to[6], const uint8_t from[6], uint16_t type)
{
    f->n = f->ip_at = f->transport_at = 0;
    frame_bytes(f, to, 6);
    frame_bytes(f, from, 6);
    put_number(f, type, 2);
}

void frame_arp(struct frame *f, uint16_t operation, const uint8_t sender_mac[6], uint32_t sender,
               const uint8_t target_mac[6], uint32_t target)
{
    put_number(f, 1, 2);
    put_number(f, 0x0800, 2);
    put_number(f, 6, 1);
    put_number(f, 4, 1);
    put_number(f, operation, 2);
    frame_bytes(f, sender_mac, 6);
    put_number(f, sender, 4);
    frame_bytes(f, target_mac, 6);
    put_number(f, target, 4);
}

void frame_ip4(struct frame *f, uint32_t source, uint32_t destination, uint8_t protocol)
{
    f->ip_at = f->n;
    put_number(f, 0x4500, 2);
    put_number(f, 0, 2);
    put_number(f, 0x00004000, 4);
    put_number(f, 64, 1);
    put_number(f, protocol, 1);
    put_number(f, 0, 2);
    put_number(f, source, 4);
    put_number(f, destination, 4);
    f->transport_at = f->n;
}

void frame_udp(struct frame *f, uint16_t source_port, uint16_t destination_port)
{
    put_number(f, source_port, 2);
    put_number(f, destination_port, 2);
    put_number(f, 0, 4);
}

void frame_icmp(struct frame *f, uint8_t type, uint8_t code, uint32_t rest)
{
    put_number(f, type, 1);
    put_number(f, code, 1);
    put_number(f, 0, 2);
    put_number(f, rest, 4);
}

uint16_t frame_checksum(uint32_t sum, const uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

void frame_ip4_checksum(struct frame *f)
{
    uint8_t *ip = f->bytes + f->ip_at;
    frame_put_16(ip + 10, 0);
    frame_put_16(ip + 10, frame_checksum(0, ip, (size_t)(ip[0] & 0xf) * 4));
}

void frame_end(struct frame *f)
{
    uint8_t *ip = f->bytes + f->ip_at, *transport = f->bytes + f->transport_at;
    size_t n = f->n - f->transport_at;
    frame_put_16(ip + 2, (uint16_t)(f->n - f->ip_at));
    frame_ip4_checksum(f);
    uint32_t pseudo = ip[9] + (uint32_t)n;
    for (unsigned i = 12; i < 20; i += 2)
        pseudo += frame_get_16(ip + i);
    switch (ip[9]) {
    case 1:
        frame_put_16(transport + 2, 0);
        frame_put_16(transport + 2, frame_checksum(0, transport, n));
        break;
    case 6:
        frame_put_16(transport + 16, 0);
        frame_put_16(transport + 16, frame_checksum(pseudo, transport, n));
        break;
    case 17:
        frame_put_16(transport + 4, (uint16_t)n);
        frame_put_16(transport + 6, 0);
        frame_put_16(transport + 6, frame_checksum(pseudo, transport, n));
        if (frame_get_16(transport + 6) == 0)
            frame_put_16(transport + 6, 0xffff);
        break;
    }
}
