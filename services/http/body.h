/* The framing of a body (RFC 9112 6): tells payload from framing, piece by piece, and never holds a byte. */
#ifndef SERVICES_HTTP_BODY_H
#define SERVICES_HTTP_BODY_H

#include "http/http_wire.h"

enum http_body_state {
    BODY_ENDED,
    EXPECT_LENGTH_DATA,
    EXPECT_CHUNK_SIZE,
    EXPECT_CHUNK_DATA,
    EXPECT_CHUNK_DATA_END, /* the CR LF behind the data of a chunk */
    EXPECT_TRAILERS,
    EXPECT_END_DATA, /* of a response: all until the connection ends */
};

struct http_body {
    uint8_t state;            /* enum http_body_state */
    uint8_t ends_seen;        /* EXPECT_CHUNK_DATA_END: 1 after the CR */
    uint32_t extension_bytes; /* of the whole body so far */
    uint64_t remaining;       /* of the body with a length, of this chunk, or (EXPECT_END_DATA) of the limit */
    uint64_t received;        /* payload so far */
    uint64_t limit;           /* payload at most */
    struct http_wire_chunk wire;
};

/* The body that `r` announces, of at most `limit` bytes. 0, or -413 when its length says already that it is longer. */
int http_body_begin(struct http_body *b, const struct http_request *r, uint64_t limit);

/* The same for a body of any kind, of a request or a response; `length` is that of HTTP_BODY_LENGTH. */
int http_body_start(struct http_body *b, enum http_body_kind kind, uint64_t length, uint64_t limit);

/* How many of the next bytes are payload for certain; 0: framing comes first, or the body has ended. */
static inline uint64_t http_body_payload(const struct http_body *b)
{
    return b->state == EXPECT_LENGTH_DATA || b->state == EXPECT_CHUNK_DATA || b->state == EXPECT_END_DATA ? b->remaining
                                                                                                          : 0;
}

/* `n` bytes of payload, at most http_body_payload, went by without http_body_next: they were spliced. */
void http_body_skip(struct http_body *b, uint64_t n);

/* The connection has ended: true when that is the end of the body, and not a cut. */
static inline bool http_body_end(struct http_body *b)
{
    if (b->state == EXPECT_END_DATA)
        b->state = BODY_ENDED;
    return b->state == BODY_ENDED;
}

static inline bool http_body_ended(const struct http_body *b)
{
    return b->state == BODY_ENDED;
}

/* Takes bytes off `data`: returns how many were used, `*payload` are those of them that belong to the body (length 0:
 * framing only). Call again with the rest until it is used up or the body has ended.
 * < 0: HTTP_WIRE_MALFORMED, HTTP_WIRE_FIELDS_TOO_LARGE, -413. */
int http_body_next(struct http_body *b, const uint8_t *data, size_t length, struct mr_span *payload);

#endif
