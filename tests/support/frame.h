/* Builds frames byte by byte, with its own arithmetic: what the stack emits is compared with it. */
#ifndef TESTS_SUPPORT_FRAME_H
#define TESTS_SUPPORT_FRAME_H

#include <stddef.h>
#include <stdint.h>

struct frame {
    size_t n;
    size_t ip_at, transport_at; /* 0: none */
    uint8_t bytes[16384];
};

/* Starts over with an Ethernet header. */
void frame_begin(struct frame *f, const uint8_t to[6], const uint8_t from[6], uint16_t type);

void frame_bytes(struct frame *f, const void *data, size_t n);
void frame_fill(struct frame *f, size_t n); /* n bytes of a pattern */

/* A whole ARP packet; the target MAC is zero in requests. */
void frame_arp(struct frame *f, uint16_t operation, const uint8_t sender_mac[6], uint32_t sender,
               const uint8_t target_mac[6], uint32_t target);

/* Headers; frame_end completes lengths and checksums. IPv4: id 0, DF, TTL 64. */
void frame_ip4(struct frame *f, uint32_t source, uint32_t destination, uint8_t protocol);
void frame_udp(struct frame *f, uint16_t source_port, uint16_t destination_port);
void frame_icmp(struct frame *f, uint8_t type, uint8_t code, uint32_t rest);
void frame_end(struct frame *f);

/* Only the IPv4 header's checksum, after a change to it. */
void frame_ip4_checksum(struct frame *f);

/* RFC 1071, one word at a time. */
uint16_t frame_checksum(uint32_t sum, const uint8_t *data, size_t n);

void frame_put_16(uint8_t *at, uint16_t v);
void frame_put_32(uint8_t *at, uint32_t v);
uint16_t frame_get_16(const uint8_t *at);

#endif
