/* The properties of class basic (AMQP 0-9-1 section 4.2.6.1): a word of flags, then those that are there, from property.def. */
#include "queue/amqp/cursor.h"

/* Bit 0 would announce another word of flags and bit 1 a fifteenth property: class basic has neither. */
#define FLAGS_UNUSED 3u

int amqp_properties_parse(struct mr_span flags_and_list, struct amqp_properties *out)
{
    struct amqp_properties ignored, *p = out ? out : &ignored;
    *p = (struct amqp_properties){0};
    if (flags_and_list.length == 0)
        return 0;
    if (flags_and_list.length > QUEUE_PROPERTIES_MAX)
        return -AMQP_SYNTAX_ERROR;
    struct amqp_reader r = amqp_reader_of(flags_and_list);
    p->flags = (uint16_t)amqp_take_integer(&r, 2);
#define U8(n)    p->n = (uint8_t)amqp_take_integer(&r, 1)
#define U64(n)   p->n = amqp_take_integer(&r, 8)
#define SHORT(n) p->n = amqp_take_short(&r)
#define TABLE(n) p->n = amqp_take_table(&r)
#define PROPERTY(KIND, name, flag) \
    if (p->flags & (flag))         \
        KIND(name);
#include "queue/amqp/property.def"
#undef PROPERTY
#undef U8
#undef U64
#undef SHORT
#undef TABLE
    return r.failed || r.at != r.end || (p->flags & FLAGS_UNUSED) ? -AMQP_SYNTAX_ERROR : 0;
}

size_t amqp_properties_emit(uint8_t *to, size_t room, const struct amqp_properties *p)
{
    struct amqp_writer w = {.data = to, .room = room};
    amqp_put_integer(&w, 2, p->flags & ~FLAGS_UNUSED);
#define U8(n)    amqp_put_integer(&w, 1, p->n)
#define U64(n)   amqp_put_integer(&w, 8, p->n)
#define SHORT(n) amqp_put_short(&w, p->n)
#define TABLE(n) amqp_put_long(&w, p->n)
#define PROPERTY(KIND, name, flag) \
    if (p->flags & (flag))         \
        KIND(name);
#include "queue/amqp/property.def"
#undef PROPERTY
    return w.failed || w.used > QUEUE_PROPERTIES_MAX ? 0 : w.used;
}

bool amqp_expiration_parse(struct mr_span text, uint64_t *ms)
{
    uint64_t value = 0;
    if (text.length == 0 || text.length > 19) /* 10^19 - 1 fits */
        return false;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        value = value * 10 + (text.data[i] - '0');
    }
    *ms = value;
    return true;
}
