#include "http/body.h"

int http_body_start(struct http_body *b, enum http_body_kind kind, uint64_t length, uint64_t limit)
{
    b->state = BODY_ENDED;
    if (kind == HTTP_BODY_NONE)
        return 0;
    *b = (struct http_body){.limit = limit};
    switch (kind) {
    case HTTP_BODY_LENGTH:
        b->state = length ? EXPECT_LENGTH_DATA : BODY_ENDED;
        b->remaining = length;
        return length > limit ? -413 : 0;
    case HTTP_BODY_UNTIL_END:
        b->state = EXPECT_END_DATA;
        b->remaining = limit;
        return 0;
    default:
        b->state = EXPECT_CHUNK_SIZE;
        http_wire_chunk_reset(&b->wire);
        return 0;
    }
}

int http_body_begin(struct http_body *b, const struct http_request *r, uint64_t limit)
{
    return http_body_start(b, r->body, r->content_length, limit);
}

/* Length of what is returned through an int. */
static size_t clamp(size_t length)
{
    return length < (1u << 30) ? length : 1u << 30;
}

void http_body_skip(struct http_body *b, uint64_t n)
{
    b->remaining -= n;
    b->received += n;
    if (b->remaining == 0 && b->state != EXPECT_END_DATA)
        b->state = b->state == EXPECT_LENGTH_DATA ? BODY_ENDED : EXPECT_CHUNK_DATA_END;
}

static int take_payload(struct http_body *b, const uint8_t *data, size_t length, struct mr_span *payload)
{
    size_t n = length < b->remaining ? length : (size_t)b->remaining;
    *payload = (struct mr_span){data, n};
    http_body_skip(b, n);
    return n > 0 ? (int)n : -413; /* nothing remains: the limit of a body that ends with its connection */
}

static int take_chunk_size(struct http_body *b, const uint8_t *data, size_t length)
{
    bool done;
    int n = http_wire_chunk_line(&b->wire, data, length, &done);
    if (n < 0 || !done)
        return n;
    b->extension_bytes += b->wire.extension_bytes;
    if (b->extension_bytes > HTTP_CHUNK_EXTENSION_BYTES_MAX)
        return HTTP_WIRE_MALFORMED;
    if (b->wire.size > b->limit - b->received)
        return -413;
    b->remaining = b->wire.size;
    b->ends_seen = 0;
    b->state = b->wire.size ? EXPECT_CHUNK_DATA : EXPECT_TRAILERS;
    if (b->state == EXPECT_TRAILERS)
        http_wire_trailers_reset(&b->wire);
    return n;
}

static int take_chunk_data_end(struct http_body *b, const uint8_t *data)
{
    if (data[0] != "\r\n"[b->ends_seen])
        return HTTP_WIRE_MALFORMED;
    if (++b->ends_seen == 2) {
        b->state = EXPECT_CHUNK_SIZE;
        http_wire_chunk_reset(&b->wire);
    }
    return 1;
}

static int take_trailers(struct http_body *b, const uint8_t *data, size_t length)
{
    bool done;
    int n = http_wire_trailers(&b->wire, data, length, &done);
    if (n >= 0 && done)
        b->state = BODY_ENDED;
    return n;
}

int http_body_next(struct http_body *b, const uint8_t *data, size_t length, struct mr_span *payload)
{
    *payload = (struct mr_span){data, 0};
    if (length == 0)
        return 0;
    length = clamp(length);
    switch (b->state) {
    case EXPECT_LENGTH_DATA:
    case EXPECT_CHUNK_DATA:
    case EXPECT_END_DATA:
        return take_payload(b, data, length, payload);
    case EXPECT_CHUNK_SIZE:
        return take_chunk_size(b, data, length);
    case EXPECT_CHUNK_DATA_END:
        return take_chunk_data_end(b, data);
    case EXPECT_TRAILERS:
        return take_trailers(b, data, length);
    default:
        return 0;
    }
}
