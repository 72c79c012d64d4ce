/* Any bytes as what a peer sends over AMQP: frames one after another, methods and content headers, field tables. Whatever is
 * accepted says the same after it was emitted and parsed again; tables are equal to their own copy built value by value. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/amqp/table.h"
#include "queue/amqp/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

/* A copy of exactly `n` bytes, so that a byte read too far is seen. */
static uint8_t *exact(const uint8_t *data, size_t n)
{
    uint8_t *copy = calloc(1, n ? n : 1);
    if (n)
        memcpy(copy, data, n);
    return copy;
}

static void values_copy(struct amqp_table_out *o, struct mr_span values, bool named);

/* What is within is built anew, too. */
static void value_copy(struct amqp_table_out *o, struct mr_span name, const struct amqp_value *v, bool named)
{
    struct amqp_value empty = {.type = v->type}, *put = v->type == 'F' || v->type == 'A' ? &empty : NULL;
    if (named)
        amqp_table_put(o, name, put ? put : v);
    else
        amqp_array_put(o, put ? put : v);
    size_t opened = o->used;
    if (put) {
        values_copy(o, v->text, v->type == 'F');
        amqp_table_close(o, opened);
    }
}

static void values_copy(struct amqp_table_out *o, struct mr_span values, bool named)
{
    struct mr_span name = {0};
    struct amqp_value v;
    size_t at = 0;
    while (named ? amqp_table_next(values, &at, &name, &v) : amqp_array_next(values, &at, &v))
        value_copy(o, name, &v, named);
    require(at == values.length, "a walk ends before the end");
}

static void table_holds(struct mr_span table)
{
    uint8_t *copy = malloc(table.length ? table.length : 1);
    struct amqp_table_out o = {.data = copy, .room = table.length};
    values_copy(&o, table, true);
    require(!o.failed && o.used == table.length, "a copy of a table has another length");
    struct mr_span built = {copy, o.used};
    require(amqp_table_valid(built), "a copy of a table is not valid");
    require(amqp_table_equal(table, built) && amqp_table_equal(built, table), "a copy of a table is not equal");
    free(copy);
}

static void method_holds(struct mr_span payload)
{
    struct amqp_method m, back;
    uint32_t id = 0;
    int result = amqp_method_parse(payload, &m, &id);
    require(result <= 0, "a result that is none");
    if (result < 0)
        return;
    require(amqp_method_name(m.id) != NULL, "a method without a name");
    size_t room = payload.length + AMQP_FRAME_OVERHEAD;
    uint8_t *frame = malloc(room), *again = malloc(room);
    size_t n = amqp_method_emit(frame, room, 5, &m), k;
    require(n == room, "a method of another length");
    struct amqp_frame f;
    require(amqp_frame_parse(frame, n, UINT32_MAX, &f) == (int64_t)n && f.channel == 5, "an emitted frame is not one");
    require(amqp_method_parse(f.payload, &back, &id) == 0 && back.id == m.id, "an emitted method is not one");
    k = amqp_method_emit(again, room, 5, &back);
    require(k == n && memcmp(frame, again, n) == 0, "it is another after the second time");
    free(frame);
    free(again);
}

static void header_holds(struct mr_span payload)
{
    struct amqp_header h;
    if (amqp_header_parse(payload, &h) != 0)
        return;
    struct amqp_properties p;
    require(amqp_properties_parse(h.properties, &p) == 0, "properties that were proved are not parsed");
    uint8_t *list = malloc(h.properties.length), *frame = malloc(payload.length + AMQP_FRAME_OVERHEAD);
    size_t n = amqp_properties_emit(list, h.properties.length, &p);
    require(n == h.properties.length && memcmp(list, h.properties.data, n) == 0, "properties change by being emitted");
    size_t whole = amqp_header_emit(frame, payload.length + AMQP_FRAME_OVERHEAD, 0, h.body_bytes, h.properties);
    require(whole == payload.length + AMQP_FRAME_OVERHEAD &&
                memcmp(frame + AMQP_FRAME_HEAD, payload.data, payload.length) == 0,
            "a content header changes by being emitted");
    if (p.flags & AMQP_HEADERS)
        table_holds(p.headers);
    uint64_t ms;
    amqp_expiration_parse(p.expiration, &ms);
    free(list);
    free(frame);
}

/* A frame is not told from less than its bytes, nor differently with more behind. */
static int64_t frame_holds(const uint8_t *data, size_t size, struct amqp_frame *f)
{
    int64_t n = amqp_frame_parse(data, size, 1 << 17, f);
    if (n <= 0)
        return n;
    struct amqp_frame other;
    uint8_t *part = exact(data, (size_t)n - 1);
    require((size_t)n <= size && f->payload.length + AMQP_FRAME_OVERHEAD == (size_t)n, "a frame of another length");
    require(amqp_frame_parse(part, (size_t)n - 1, 1 << 17, &other) == 0, "a frame in less than its bytes");
    free(part);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *input = exact(data, size);
    struct mr_span all = {input, size};
    int header = amqp_protocol_parse(input, size);
    size_t at = header > 0 ? (size_t)header : 0;
    struct amqp_frame f;
    for (int64_t n; at < size && (n = frame_holds(input + at, size - at, &f)) > 0; at += (size_t)n) {
        uint8_t *payload = exact(f.payload.data, f.payload.length);
        struct mr_span alone = {payload, f.payload.length};
        if (f.type == AMQP_FRAME_METHOD)
            method_holds(alone);
        else if (f.type == AMQP_FRAME_HEADER)
            header_holds(alone);
        free(payload);
    }
    /* Without frames around them, so that mutations need not mend lengths. */
    method_holds(all);
    header_holds(all);
    if (amqp_table_valid(all))
        table_holds(all);
    free(input);
    return 0;
}
