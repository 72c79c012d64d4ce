/* A ring of records between one producer and one consumer: bytes of varying length, each record contiguous. */
#ifndef DRIVERS_WRAP_RING_H
#define DRIVERS_WRAP_RING_H

#include <millrace/types.h>

#define RING_ALIGN 16

struct ring {
    uint8_t *data;
    uint32_t bytes;             /* a power of two */
    _Alignas(64) uint64_t head; /* consumer's: free running */
    _Alignas(64) uint64_t tail; /* producer's: what the consumer may see */
    uint64_t reserved;          /* producer's: what is filled but not yet published */
};

struct ring_record {
    uint32_t bytes; /* of the record with this header, a multiple of RING_ALIGN */
    uint32_t skip;  /* non-zero: filler up to the end of the ring */
};

/* False when memory is short. */
bool ring_init(struct ring *r, uint32_t bytes);
void ring_free(struct ring *r);

/* Producer: room for `n` bytes, after all earlier reservations, or NULL when it is full. */
void *ring_reserve(struct ring *r, uint32_t n);
/* Producer: shows all reservations to the consumer. */
void ring_publish(struct ring *r);
/* Producer: a mark to go back to, undoing later reservations that are not yet published. */
static inline uint64_t ring_mark(const struct ring *r)
{
    return r->reserved;
}
static inline void ring_rewind(struct ring *r, uint64_t mark)
{
    r->reserved = mark;
}

/* Consumer: the oldest record's bytes or NULL; valid until ring_consume. */
const void *ring_peek(struct ring *r);
void ring_consume(struct ring *r);

#endif
