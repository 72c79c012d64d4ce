/* Version 1 of the PROXY protocol: one line of text. */
#ifndef SERVICES_PROXY_L4_PROXY_PROTOCOL_V1_H
#define SERVICES_PROXY_L4_PROXY_PROTOCOL_V1_H

#include "proxy/l4/proxy_protocol.h"

#define PROXY_PROTOCOL_V1_MAX 107 /* with CRLF: the longest UNKNOWN line (specification, 2.1) */

/* As proxy_protocol_parse; `out` is all zero. */
int proxy_protocol_parse_v1(const uint8_t *data, size_t length, struct proxy_protocol *out);

#endif
