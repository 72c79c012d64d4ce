/* pcapng blocks (draft-ietf-opsawg-pcapng) built in memory: section header, interface description, enhanced packet,
 * interface statistics. Little-endian hosts write little-endian files; readers follow the byte-order magic. */
#ifndef DRIVERS_WRAP_PCAPNG_H
#define DRIVERS_WRAP_PCAPNG_H

#include <millrace/types.h>

/* Bytes that are enough for one block without packet data. */
#define PCAPNG_BLOCK_MAX       512
#define PCAPNG_PACKET_OVERHEAD 48 /* of an enhanced packet block with flags, padding included */

enum pcapng_direction { PCAPNG_INBOUND = 1, PCAPNG_OUTBOUND = 2 }; /* epb_flags bits 0-1 */

struct pcapng_statistics {
    uint64_t start_ns, end_ns; /* wall clock */
    uint64_t received;         /* frames seen by the interface while capturing */
    uint64_t dropped;          /* ... of them not written: the ring was full */
    uint64_t delivered;        /* ... written */
    const char *comment;
};

/* Each writes one block to `out` and returns its length. */
size_t pcapng_section(uint8_t *out);
size_t pcapng_interface(uint8_t *out, const char *name, const uint8_t mac[6], uint32_t snaplen);
size_t pcapng_statistics(uint8_t *out, uint32_t interface, const struct pcapng_statistics *s);

struct pcapng_packet {
    uint32_t interface;
    uint64_t time_ns; /* wall clock */
    enum pcapng_direction direction;
    uint32_t captured, original; /* bytes */
};

/* An enhanced packet block is head, `captured` bytes of data, tail. */
size_t pcapng_packet_head(uint8_t *out, const struct pcapng_packet *p);
size_t pcapng_packet_tail(uint8_t *out, const struct pcapng_packet *p);

#endif
