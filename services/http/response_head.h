/* A response as plain values, read by a proxy: what the grammar in http_wire.rl found, and what it means (RFC 9110, RFC 9112). As in
 * request.h, texts are offsets into the head. */
#ifndef SERVICES_HTTP_RESPONSE_HEAD_H
#define SERVICES_HTTP_RESPONSE_HEAD_H

#include "http/http_wire.h"

struct http_response {
    uint16_t status; /* 100 .. 599 */
    uint8_t minor;   /* of the version: 1.minor */
    uint8_t body;    /* enum http_body_kind */
    bool keep_alive; /* the connection can be used again after this response */
    uint8_t field_count;
    uint64_t present;        /* bit h: a field with enum http_header h came */
    uint64_t content_length; /* when body is HTTP_BODY_LENGTH */
    struct http_text reason;
    uint8_t first[HTTP_HEADER_OTHER]; /* index of the first field of each kind, where its bit is set */
    struct http_field fields[HTTP_FIELDS_MAX];
};

/* As http_wire_parse, for a response (http_wire_reset comes first, too); errors are those of the enum, whatever the peer is told. */
int http_wire_response(struct http_wire *w, const uint8_t *head, size_t length, const struct http_wire_limits *limits,
                       struct http_response *r);

/* Framing (RFC 9112 6.3) and persistence of a complete head that answers `method`: 0, or -1 when it contradicts itself (two lengths, a length
 * beside Transfer-Encoding, chunked not last, ...): such a connection is not to be believed. */
int http_response_evaluate(struct http_response *r, const uint8_t *head, enum http_method method);

static inline bool http_response_has(const struct http_response *r, enum http_header h)
{
    return r->present >> h & 1;
}

/* The next field `h`, as http_request_next. */
const struct http_field *http_response_next(const struct http_response *r, enum http_header h, unsigned *at);

/* The value of the first field `h`; length 0 and data NULL when there is none. */
struct mr_span http_response_value(const struct http_response *r, const uint8_t *head, enum http_header h);

#endif
