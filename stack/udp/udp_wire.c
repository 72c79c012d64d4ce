#include "stack/udp/udp_wire.h"

#include "stack/base/bytes.h"

bool udp_parse(const uint8_t *bytes, size_t contiguous, size_t bytes_total, struct udp_header *h, enum stat *reason)
{
    *reason = DROP_udp_too_short;
    if (contiguous < UDP_HEADER_BYTES)
        return false;
    h->source_port = bytes_get_16(bytes);
    h->destination_port = bytes_get_16(bytes + 2);
    h->length = bytes_get_16(bytes + 4);
    h->has_checksum = bytes_get_16(bytes + 6) != 0;
    *reason = DROP_udp_bad_length;
    if (h->length < UDP_HEADER_BYTES || h->length > bytes_total)
        return false;
    /* RFC 768 lets a source without a port send 0; a service could not answer it, and 0 is no port to listen on. */
    *reason = DROP_udp_bad_port;
    return h->source_port != 0 && h->destination_port != 0;
}

void udp_emit(uint8_t *bytes, uint16_t source_port, uint16_t destination_port, uint16_t length)
{
    bytes_put_16(bytes, source_port);
    bytes_put_16(bytes + 2, destination_port);
    bytes_put_16(bytes + 4, length);
    bytes_put_16(bytes + 6, 0);
}
