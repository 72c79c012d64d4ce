/* Endpoints for load and transfer tests, served only with `test_endpoints: true`.
 *
 *   PUT or POST /sink   throws the body away and answers with its length and CRC-32 (ISO 3309, as in zlib)
 *   GET /bytes/N        N bytes; byte i is (j * 167 + j / 256 * 13) mod 256 with j = i mod 65536 */
#include <stdio.h>
#include <string.h>

#include "http/connection.h"

/* Slicing by eight (Kounavis and Berry, 2005): eight bytes a step, from eight tables. */
static void crc_start(uint32_t table[8][256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int t = 1; t < 8; t++)
            table[t][i] = table[t - 1][i] >> 8 ^ table[0][table[t - 1][i] & 0xff];
}

static uint32_t crc_add(uint32_t table[8][256], uint32_t crc, const uint8_t *p, size_t n)
{
    for (; n >= 8; p += 8, n -= 8) {
        uint32_t low = crc ^ (p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
        crc = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^ table[5][low >> 16 & 0xff] ^ table[4][low >> 24] ^
              table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
    }
    while (n--)
        crc = crc >> 8 ^ table[0][(crc ^ *p++) & 0xff];
    return crc;
}

void http_test_endpoints_start(struct http *http)
{
    crc_start(http->crc_table);
    for (uint32_t j = 0; http->pattern && j < HTTP_PATTERN_BYTES; j++)
        http->pattern[j] = (uint8_t)(j * 167 + j / 256 * 13);
}

static void sink_take(struct http_connection *c, struct mr_span payload)
{
    c->sink_crc = crc_add(c->http->crc_table, c->sink_crc, payload.data, payload.length);
}

static void sink_end(struct http_connection *c)
{
    char text[64];
    int n = snprintf(text, sizeof text, "bytes %llu\ncrc32 %08x\n", (unsigned long long)c->body.received, ~c->sink_crc);
    http_answer_text(c, 200, "text/plain; charset=utf-8", text, (size_t)n);
}

static void sink_gone(struct http_connection *c)
{
}

static const struct http_taker sink_taker = {sink_take, sink_end, sink_gone};

void http_sink_answer(struct http_connection *c, const struct http_request *r, const uint8_t *head)
{
    c->sink_crc = UINT32_MAX;
    c->body.received = http_body_ended(&c->body) ? 0 : c->body.received;
    http_answer_after_body(c, &sink_taker);
}

void http_bytes_answer(struct http_connection *c, const struct http_request *r, const uint8_t *head)
{
    struct mr_span number = http_request_text(head, r->path);
    struct http_head h;
    uint64_t n = 0;
    size_t i = strlen("/bytes/");
    for (; i < number.length && number.data[i] >= '0' && number.data[i] <= '9' && n <= HTTP_BYTES_MAX; i++)
        n = n * 10 + (number.data[i] - '0');
    if (i != number.length || i == strlen("/bytes/") || n > HTTP_BYTES_MAX) {
        http_answer_error(c, 404);
        return;
    }
    http_answer_begin(c, &h, 200);
    http_head_field(&h, "Content-Type", "application/octet-stream");
    http_head_field(&h, "Cache-Control", "no-store");
    http_head_number(&h, "Content-Length", n);
    http_answer_end(c, &h, 200);
    if (r->method != HTTP_HEAD && n > 0)
        http_output_pattern(c, n);
}
