#include "proxy/l4/proxy_protocol_v1.h"

#include <string.h>

/* Generated code falls from one state into the next. */
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"

%%{
    machine proxy_v1;
    alphtype unsigned char;

    action source { source = p; }
    action destination { source_end = p; destination = p + 1; }
    action destination_end { destination_end = p; }
    action source_port { out->source.port = port_digit(out->source.port, *p, &overflow); }
    action destination_port { out->destination.port = port_digit(out->destination.port, *p, &overflow); }
    action unknown { out->local = true; }
    action done { done = true; fbreak; }

    crlf = "\r\n";
    number = "0" | [1-9] digit{0,4};                 # "heading zeroes are not permitted in front of numbers"
    ip4 = [0-9.]{7,15};
    ip6 = [0-9A-Fa-f:.]{2,39};
    ports = number $source_port " " number $destination_port;
    tcp4 = "TCP4 " (ip4 >source) " " >destination ip4 " " >destination_end ports;
    tcp6 = "TCP6 " (ip6 >source) " " >destination ip6 " " >destination_end ports;
    # "the receiver must ignore anything presented before the CRLF is found"
    unknown = "UNKNOWN" %unknown (" " (any - [\r\n])*)?;

    main := "PROXY " (tcp4 | tcp6 | unknown) crlf @done;
    write data noentry nofinal;
}%%

static uint16_t port_digit(uint16_t port, uint8_t c, bool *overflow)
{
    uint32_t n = port * 10u + (c - '0');
    *overflow |= n > UINT16_MAX;
    return (uint16_t)n;
}

/* An address of the family that the line names: only IPv6 is written with colons. */
static bool address_read(const uint8_t *from, const uint8_t *to, bool ip6, struct mr_address *out)
{
    char text[MR_ADDRESS_TEXT_MAX];
    size_t n = (size_t)(to - from);
    memcpy(text, from, n); /* at most 39 by the grammar */
    text[n] = '\0';
    return (memchr(text, ':', n) != NULL) == ip6 && mr_address_parse(text, out);
}

int proxy_protocol_parse_v1(const uint8_t *data, size_t length, struct proxy_protocol *out)
{
    const uint8_t *p = data, *pe = data + (length < PROXY_PROTOCOL_V1_MAX ? length : PROXY_PROTOCOL_V1_MAX);
    const uint8_t *source = NULL, *source_end = NULL, *destination = NULL, *destination_end = NULL;
    bool overflow = false, done = false;
    int cs = proxy_v1_start;
    %%{
        write exec;
    }%%
    if (cs == proxy_v1_error)
        return -1;
    if (!done)
        return length < PROXY_PROTOCOL_V1_MAX ? 0 : -1;
    if (overflow)
        return -1;
    bool ip6 = data[9] == '6';
    if (!out->local && (!address_read(source, source_end, ip6, &out->source.address) ||
                        !address_read(destination, destination_end, ip6, &out->destination.address)))
        return -1;
    return (int)(p - data);
}
