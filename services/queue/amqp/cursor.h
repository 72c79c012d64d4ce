/* Private to the codec: integers, strings and tables at a place that moves (AMQP 0-9-1 section 4.2.5), each take and put checked
 * against the end once. After a failure everything taken is 0 and nothing more is put. */
#ifndef SERVICES_QUEUE_AMQP_CURSOR_H
#define SERVICES_QUEUE_AMQP_CURSOR_H

#include <string.h>

#include "queue/amqp/table.h"
#include "queue/amqp/wire.h"

/* Big-endian integers. */
static inline uint64_t amqp_load(const uint8_t *from, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | from[i];
    return value;
}
static inline void amqp_store(uint8_t *to, unsigned bytes, uint64_t value)
{
    for (unsigned i = bytes; i-- > 0; value >>= 8)
        to[i] = (uint8_t)value;
}

struct amqp_reader {
    const uint8_t *at, *end;
    unsigned bit; /* of the octet before `at`, the next one to take; 0 or 8: the next bit begins an octet */
    bool failed;
};

static inline struct amqp_reader amqp_reader_of(struct mr_span s)
{
    return (struct amqp_reader){.at = s.data, .end = s.data ? s.data + s.length : s.data};
}
/* `n` bytes, or an empty span and failure. */
static inline struct mr_span amqp_take(struct amqp_reader *r, size_t n)
{
    r->bit = 0;
    if (r->failed || n > (size_t)(r->end - r->at)) {
        r->failed = true;
        return (struct mr_span){0};
    }
    const uint8_t *from = r->at;
    r->at = n ? from + n : from;
    return (struct mr_span){from, n};
}
static inline uint64_t amqp_take_integer(struct amqp_reader *r, unsigned bytes)
{
    struct mr_span s = amqp_take(r, bytes);
    return s.length ? amqp_load(s.data, bytes) : 0;
}
static inline struct mr_span amqp_take_short(struct amqp_reader *r)
{
    return amqp_take(r, (size_t)amqp_take_integer(r, 1));
}
static inline struct mr_span amqp_take_long(struct amqp_reader *r)
{
    return amqp_take(r, (size_t)amqp_take_integer(r, 4));
}
static inline struct mr_span amqp_take_table(struct amqp_reader *r)
{
    struct mr_span s = amqp_take_long(r);
    if (!r->failed && !amqp_table_valid(s))
        r->failed = true;
    return r->failed ? (struct mr_span){0} : s;
}
/* Bits that follow each other share octets, from the low end (4.2.5.2). */
static inline bool amqp_take_bit(struct amqp_reader *r)
{
    unsigned bit = r->bit % 8;
    if (bit == 0)
        amqp_take(r, 1);
    r->bit = bit + 1;
    return !r->failed && (r->at[-1] >> bit & 1);
}

struct amqp_writer {
    uint8_t *data;
    size_t room, used;
    unsigned bit;
    bool failed;
};

/* Room for `n` bytes; NULL: there is none. */
static inline uint8_t *amqp_put(struct amqp_writer *w, size_t n)
{
    w->bit = 0;
    if (w->failed || n > w->room - w->used) {
        w->failed = true;
        return NULL;
    }
    w->used += n;
    return w->data + w->used - n;
}
static inline void amqp_put_integer(struct amqp_writer *w, unsigned bytes, uint64_t value)
{
    uint8_t *to = amqp_put(w, bytes);
    if (to)
        amqp_store(to, bytes, value);
}
static inline void amqp_put_bytes(struct amqp_writer *w, struct mr_span s)
{
    uint8_t *to = amqp_put(w, s.length);
    if (to && s.length)
        memcpy(to, s.data, s.length);
}
static inline void amqp_put_short(struct amqp_writer *w, struct mr_span s)
{
    w->failed = w->failed || s.length > UINT8_MAX;
    amqp_put_integer(w, 1, s.length);
    amqp_put_bytes(w, s);
}
static inline void amqp_put_long(struct amqp_writer *w, struct mr_span s)
{
    w->failed = w->failed || s.length > UINT32_MAX;
    amqp_put_integer(w, 4, s.length);
    amqp_put_bytes(w, s);
}
static inline void amqp_put_bit(struct amqp_writer *w, bool value)
{
    unsigned bit = w->bit % 8;
    if (bit == 0)
        amqp_put_integer(w, 1, 0);
    w->bit = bit + 1;
    if (!w->failed)
        w->data[w->used - 1] |= (uint8_t)(value << bit);
}

/* A frame around what is put in between (4.2.3). */
static inline void amqp_frame_begin(struct amqp_writer *w, uint8_t type, uint16_t channel)
{
    amqp_put_integer(w, 1, type);
    amqp_put_integer(w, 2, channel);
    amqp_put_integer(w, 4, 0); /* its size, once it is known */
}
/* Bytes of the frame; 0: it did not fit. */
static inline size_t amqp_frame_end(struct amqp_writer *w)
{
    amqp_put_integer(w, 1, AMQP_FRAME_END);
    if (w->failed)
        return 0;
    amqp_store(w->data + 3, 4, w->used - AMQP_FRAME_OVERHEAD);
    return w->used;
}

#endif
