/* Methods (AMQP 0-9-1 section 4.2.4): method.def is expanded into a function that parses and one that emits each of them, and
 * into the switches that choose. The fields of a method are taken and put in the order in which the table names them. */
#include "queue/amqp/cursor.h"

#define NOTHING

/* Each is: static void parse_basic_ack(struct amqp_reader *r, struct amqp_basic_ack *m) */
#define U8(n)    m->n = (uint8_t)amqp_take_integer(r, 1);
#define U16(n)   m->n = (uint16_t)amqp_take_integer(r, 2);
#define U32(n)   m->n = (uint32_t)amqp_take_integer(r, 4);
#define U64(n)   m->n = amqp_take_integer(r, 8);
#define BIT(n)   m->n = amqp_take_bit(r);
#define SHORT(n) m->n = amqp_take_short(r);
#define LONG(n)  m->n = amqp_take_long(r);
#define TABLE(n) m->n = amqp_take_table(r);
#define METHOD(class, class_id, name, method_id, content, fields)                              \
    static void parse_##class##_##name(struct amqp_reader *r, struct amqp_##class##_##name *m) \
    {                                                                                          \
        fields                                                                                 \
    }
#include "queue/amqp/method.def"
#undef METHOD
#undef U8
#undef U16
#undef U32
#undef U64
#undef BIT
#undef SHORT
#undef LONG
#undef TABLE

#define U8(n)    amqp_put_integer(w, 1, m->n);
#define U16(n)   amqp_put_integer(w, 2, m->n);
#define U32(n)   amqp_put_integer(w, 4, m->n);
#define U64(n)   amqp_put_integer(w, 8, m->n);
#define BIT(n)   amqp_put_bit(w, m->n);
#define SHORT(n) amqp_put_short(w, m->n);
#define LONG(n)  amqp_put_long(w, m->n);
#define TABLE(n) amqp_put_long(w, m->n);
#define METHOD(class, class_id, name, method_id, content, fields)                                   \
    static void emit_##class##_##name(struct amqp_writer *w, const struct amqp_##class##_##name *m) \
    {                                                                                               \
        fields                                                                                      \
    }
#include "queue/amqp/method.def"
#undef METHOD

/* False: there is none of this id. */
static bool parse_fields(struct amqp_reader *r, struct amqp_method *out)
{
    switch (out->id) {
#define METHOD(class, class_id, name, method_id, content, fields) \
    case AMQP_##class##_##name:                                   \
        parse_##class##_##name(r, &out->class##_##name);          \
        return true;
#include "queue/amqp/method.def"
#undef METHOD
    }
    return false;
}

static void emit_fields(struct amqp_writer *w, const struct amqp_method *m)
{
    switch (m->id) {
#define METHOD(class, class_id, name, method_id, content, fields) \
    case AMQP_##class##_##name:                                   \
        emit_##class##_##name(w, &m->class##_##name);             \
        return;
#include "queue/amqp/method.def"
#undef METHOD
    }
    w->failed = true;
}

int amqp_method_parse(struct mr_span payload, struct amqp_method *out, uint32_t *class_and_method)
{
    struct amqp_reader r = amqp_reader_of(payload);
    uint32_t id = (uint32_t)amqp_take_integer(&r, 4);
    if (r.failed)
        return -AMQP_SYNTAX_ERROR;
    *class_and_method = id;
    out->id = (enum amqp_method_id)id;
    if (!parse_fields(&r, out))
        return -AMQP_NOT_IMPLEMENTED;
    return r.failed || r.at != r.end ? -AMQP_SYNTAX_ERROR : 0;
}

size_t amqp_method_emit(uint8_t *to, size_t room, uint16_t channel, const struct amqp_method *m)
{
    struct amqp_writer w = {.data = to, .room = room};
    amqp_frame_begin(&w, AMQP_FRAME_METHOD, channel);
    amqp_put_integer(&w, 4, m->id);
    emit_fields(&w, m);
    return amqp_frame_end(&w);
}

bool amqp_method_has_content(enum amqp_method_id id)
{
    switch (id) {
#define METHOD(class, class_id, name, method_id, content, fields) \
    case AMQP_##class##_##name:                                   \
        return content;
#include "queue/amqp/method.def"
#undef METHOD
    }
    return false;
}

const char *amqp_method_name(enum amqp_method_id id)
{
    switch (id) {
#define METHOD(class, class_id, name, method_id, content, fields) \
    case AMQP_##class##_##name:                                   \
        return #class "." #name;
#include "queue/amqp/method.def"
#undef METHOD
    }
    return NULL;
}
