/* The PROXY protocol (HAProxy's specification of 2020-03-05): versions 1 (text) and 2 (binary), both read, both written. */
#ifndef SERVICES_PROXY_L4_PROXY_PROTOCOL_H
#define SERVICES_PROXY_L4_PROXY_PROTOCOL_H

#include <millrace/address.h>
#include <millrace/types.h>

#define PROXY_PROTOCOL_BYTES_MAX \
    536 /* of a header that we read: v2 with TLVs; the specification promises 536 in one segment */

struct proxy_protocol {
    bool local; /* LOCAL or UNKNOWN: addresses are the connection's own */
    struct mr_endpoint source, destination;
};

/* > 0: that many bytes were the header; 0: more are needed; < 0: it is none (the connection is to be closed). */
int proxy_protocol_parse(const uint8_t *data, size_t length, struct proxy_protocol *out);

#define PROXY_PROTOCOL_WRITE_MAX 108 /* of a header that we write */

/* Writes a header; returns its bytes. `source` NULL: UNKNOWN, or LOCAL: a connection of our own, a health check. `out` has at least
 * PROXY_PROTOCOL_WRITE_MAX. */
size_t proxy_protocol_write_v1(const struct mr_endpoint *source, const struct mr_endpoint *destination, uint8_t *out);
size_t proxy_protocol_write_v2(const struct mr_endpoint *source, const struct mr_endpoint *destination, uint8_t *out);
/* The same in front of a datagram. */
size_t proxy_protocol_write_v2_datagram(const struct mr_endpoint *source, const struct mr_endpoint *destination,
                                        uint8_t *out);

#endif
