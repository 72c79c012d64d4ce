#include "stack/icmp/icmp_wire.h"

#include <string.h>

#include "stack/base/bytes.h"

bool icmp_parse(const uint8_t *bytes, size_t n, struct icmp_header *h, enum stat *reason)
{
    if (n < ICMP_HEADER_BYTES) {
        *reason = DROP_icmp_too_short;
        return false;
    }
    h->type = bytes[0];
    h->code = bytes[1];
    h->mtu = bytes_get_16(bytes + 6);
    return true;
}

bool icmp_quote_ports_parse(const uint8_t *bytes, size_t n, struct icmp_quote_ports *q)
{
    if (n < ICMP_QUOTE_BYTES_MIN)
        return false;
    q->source_port = bytes_get_16(bytes);
    q->destination_port = bytes_get_16(bytes + 2);
    q->sequence = bytes_get_32(bytes + 4);
    return true;
}

bool icmp_quote_parse(const uint8_t *bytes, size_t n, struct icmp_quote *q, enum stat *reason)
{
    *reason = DROP_icmp_bad_quote;
    return ip4_parse_quoted(bytes, n, &q->ip) && (q->ip.fragment & IP4_OFFSET_MASK) == 0 &&
           icmp_quote_ports_parse(bytes + q->ip.header_bytes, n - q->ip.header_bytes, &q->ports);
}

void icmp_emit(uint8_t *bytes, uint8_t type, uint8_t code)
{
    memset(bytes, 0, ICMP_HEADER_BYTES);
    bytes[0] = type;
    bytes[1] = code;
}
