/* For queue_pika.py: each line of standard input is a frame in hexadecimal; it is parsed, and what was understood is emitted again
 * as a frame of channel 1. A method's table and a header's properties go through structs, tables value by value. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/amqp/table.h"
#include "queue/amqp/wire.h"

#define FRAME_MAX (128u << 10)

static void values_copy(struct amqp_table_out *o, struct mr_span values, bool named)
{
    struct mr_span name = {0};
    struct amqp_value v;
    for (size_t at = 0; named ? amqp_table_next(values, &at, &name, &v) : amqp_array_next(values, &at, &v);) {
        bool within = v.type == 'F' || v.type == 'A';
        struct amqp_value put = within ? (struct amqp_value){.type = v.type} : v;
        if (named)
            amqp_table_put(o, name, &put);
        else
            amqp_array_put(o, &put);
        size_t opened = o->used;
        if (within) {
            values_copy(o, v.text, v.type == 'F');
            amqp_table_close(o, opened);
        }
    }
}

static size_t method_again(struct mr_span payload, uint8_t *to)
{
    struct amqp_method m;
    uint32_t id;
    return amqp_method_parse(payload, &m, &id) == 0 ? amqp_method_emit(to, FRAME_MAX, 1, &m) : 0;
}

static size_t header_again(struct mr_span payload, uint8_t *to)
{
    static uint8_t list[FRAME_MAX], table[FRAME_MAX];
    struct amqp_header h;
    struct amqp_properties p;
    if (amqp_header_parse(payload, &h) != 0 || amqp_properties_parse(h.properties, &p) != 0)
        return 0;
    struct amqp_table_out o = {.data = table, .room = sizeof table};
    values_copy(&o, p.headers, true);
    if (o.failed)
        return 0;
    p.headers = (struct mr_span){table, o.used};
    size_t n = amqp_properties_emit(list, sizeof list, &p);
    return n ? amqp_header_emit(to, FRAME_MAX, 1, h.body_bytes, (struct mr_span){list, n}) : 0;
}

static size_t frame_again(const uint8_t *data, size_t n, uint8_t *to)
{
    struct amqp_frame f;
    if (amqp_frame_parse(data, n, FRAME_MAX, &f) != (int64_t)n)
        return 0;
    switch (f.type) {
    case AMQP_FRAME_METHOD:
        return method_again(f.payload, to);
    case AMQP_FRAME_HEADER:
        return header_again(f.payload, to);
    case AMQP_FRAME_BODY:
        amqp_body_head(to, 1, (uint32_t)f.payload.length);
        memcpy(to + AMQP_FRAME_HEAD, f.payload.data, f.payload.length);
        to[n - 1] = AMQP_FRAME_END;
        return n;
    default:
        return amqp_heartbeat_emit(to, FRAME_MAX);
    }
}

int main(void)
{
    static uint8_t in[FRAME_MAX], out[FRAME_MAX];
    char *line = NULL;
    size_t room = 0;
    for (ssize_t got; (got = getline(&line, &room, stdin)) > 0;) {
        size_t n = (size_t)got / 2;
        for (size_t i = 0; i < n; i++)
            in[i] = (uint8_t)strtoul((char[]){line[2 * i], line[2 * i + 1], 0}, NULL, 16);
        n = frame_again(in, n, out);
        for (size_t i = 0; i < n; i++)
            printf("%02x", out[i]);
        putchar('\n');
    }
    free(line);
    return 0;
}
