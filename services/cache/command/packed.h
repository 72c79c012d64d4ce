/* A command kept: arguments one behind the other in blocks. One form for all that must outlive the bytes of a stream: a
 * command that arrives in pieces, one queued by MULTI, one forwarded to the owner of its key, one waiting for room.
 *
 *     block: | argument: length, bytes | argument ... |  -> block        an argument of at most CACHE_SMALL_MAX lies whole
 *                                                                         in one block; a longer one is a rope */
#ifndef SERVICES_CACHE_PACKED_H
#define SERVICES_CACHE_PACKED_H

#include "cache/command/argument.h"

struct cache_packed_block;

struct cache_packed {
    struct memory *memory; /* of the blocks */
    struct cache_packed_block *first, *last;
    uint32_t argc;           /* arguments complete */
    uint64_t bytes;          /* of memory held by blocks */
    uint64_t rope_bytes;     /* held by ropes */
    uint32_t missing;        /* bytes that the argument begun last still lacks */
    struct cache_rope *rope; /* ... when it is a rope */
    uint8_t *at;             /* ... where its next bytes go, when it is none */
};

void cache_packed_init(struct cache_packed *p, struct memory *blocks);
/* Begins an argument of `length` bytes; a long one becomes a rope in `ropes`. False: no memory. */
bool cache_packed_begin(struct cache_packed *p, uint32_t length, struct memory *ropes);
/* Gives the next bytes of it, at most what is missing; false: no memory. */
bool cache_packed_append(struct cache_packed *p, const void *data, size_t n);
bool cache_packed_add(struct cache_packed *p, const struct cache_argument *a); /* whole; takes a rope over */
/* The ropes that were added are another's, who keeps them longer: they are not freed here. */
void cache_packed_borrow(struct cache_packed *p);
/* Fills argv[argc] with spans and ropes; they stay the packed command's. */
void cache_packed_arguments(const struct cache_packed *p, struct cache_argument *argv);
/* Frees all that was not taken over (see cache_packed_taken). */
void cache_packed_free(struct cache_packed *p);
/* A shard's memory is its worker's again: frees the ropes that packed commands let go meanwhile. */
void cache_packed_returned(struct memory *m);
/* After a call: notes which ropes of argv (as filled by cache_packed_arguments) were taken over. */
void cache_packed_taken(struct cache_packed *p, const struct cache_argument *argv);

#endif
