/* Field tables, built. */
#include "queue/amqp/cursor.h"

static struct amqp_writer writer_of(const struct amqp_table_out *o)
{
    return (struct amqp_writer){.data = o->data, .room = o->room, .used = o->used, .failed = o->failed};
}
/* An entry is there whole or not at all. */
static void writer_done(struct amqp_table_out *o, const struct amqp_writer *w)
{
    o->failed = w->failed;
    o->used = w->failed ? o->used : w->used;
}

static uint64_t bits_of(double value, unsigned bytes)
{
    float narrow = (float)value;
    uint64_t wide;
    uint32_t half;
    memcpy(&wide, &value, sizeof wide);
    memcpy(&half, &narrow, sizeof half);
    return bytes == 4 ? half : wide;
}

static void value_put(struct amqp_writer *w, const struct amqp_value *v)
{
    amqp_put_integer(w, 1, (uint8_t)v->type);
    switch (v->type) {
    case 't':
        amqp_put_integer(w, 1, v->boolean);
        break;
    case 'b':
    case 'B':
        amqp_put_integer(w, 1, (uint64_t)v->integer);
        break;
    case 's':
    case 'u':
        amqp_put_integer(w, 2, (uint64_t)v->integer);
        break;
    case 'I':
    case 'i':
        amqp_put_integer(w, 4, (uint64_t)v->integer);
        break;
    case 'l':
    case 'L':
    case 'T':
        amqp_put_integer(w, 8, (uint64_t)v->integer);
        break;
    case 'f':
        amqp_put_integer(w, 4, bits_of(v->real, 4));
        break;
    case 'd':
        amqp_put_integer(w, 8, bits_of(v->real, 8));
        break;
    case 'D':
        amqp_put_integer(w, 1, v->decimal.scale);
        amqp_put_integer(w, 4, (uint32_t)v->decimal.value);
        break;
    case 'S':
    case 'x':
    case 'F':
    case 'A':
        amqp_put_long(w, v->text);
        break;
    case 'V':
        break;
    default:
        w->failed = true;
    }
}

void amqp_table_put(struct amqp_table_out *o, struct mr_span name, const struct amqp_value *value)
{
    struct amqp_writer w = writer_of(o);
    amqp_put_short(&w, name);
    value_put(&w, value);
    writer_done(o, &w);
}

void amqp_array_put(struct amqp_table_out *o, const struct amqp_value *value)
{
    struct amqp_writer w = writer_of(o);
    value_put(&w, value);
    writer_done(o, &w);
}

static struct mr_span span_of(const char *text)
{
    return (struct mr_span){(const uint8_t *)text, strlen(text)};
}

void amqp_table_put_text(struct amqp_table_out *o, const char *name, struct mr_span text)
{
    amqp_table_put(o, span_of(name), &(struct amqp_value){.type = 'S', .text = text});
}

void amqp_table_put_integer(struct amqp_table_out *o, const char *name, int64_t value)
{
    amqp_table_put(o, span_of(name), &(struct amqp_value){.type = 'l', .integer = value});
}

void amqp_table_put_bool(struct amqp_table_out *o, const char *name, bool value)
{
    amqp_table_put(o, span_of(name), &(struct amqp_value){.type = 't', .boolean = value});
}

/* Where its length is: behind an empty table or array that the next entries fill. */
size_t amqp_table_open(struct amqp_table_out *o, const char *name, char type)
{
    amqp_table_put(o, span_of(name), &(struct amqp_value){.type = type});
    return o->used;
}

size_t amqp_array_open_table(struct amqp_table_out *o)
{
    amqp_array_put(o, &(struct amqp_value){.type = 'F'});
    return o->used;
}

void amqp_table_close(struct amqp_table_out *o, size_t opened)
{
    if (!o->failed)
        amqp_store(o->data + opened - 4, 4, o->used - opened);
}
