/* What the files of string, bit and key commands share. Functions of commands are named for them and stand in the tables of
 * string.c, bit.c and key.c. */
#ifndef SERVICES_CACHE_COMMAND_STRING_H
#define SERVICES_CACHE_COMMAND_STRING_H

#include <float.h>

#include "cache/command/command.h"

/* string_set.c */
cache_command_function cache_command_set, cache_command_setnx, cache_command_setex, cache_command_psetex,
    cache_command_getex;
/* string_many.c */
cache_command_function cache_command_mget, cache_command_mset, cache_command_msetnx;
/* string_range.c */
cache_command_function cache_command_append, cache_command_setrange, cache_command_getrange;
/* counter.c */
cache_command_function cache_command_incr, cache_command_decr, cache_command_incrby, cache_command_decrby,
    cache_command_incrbyfloat;
/* lcs.c */
cache_command_function cache_command_lcs;

/* Makes the value of `key` what the argument says, of any type before and without expiry; takes a rope over. Counts the
 * change. False: no memory though room was asked for; replied. */
bool cache_string_put(struct cache_call *call, struct cache_store *store, struct mr_span key,
                      struct cache_argument *value);
/* Sets the expiry of what was just put there, Unix ms. */
void cache_string_put_expiry(struct cache_call *call, struct cache_store *store, struct mr_span key, uint64_t at_ms);
/* What cache_string_put of this value takes at most. */
uint64_t cache_string_put_cost(const struct cache_store *store, struct mr_span key, const struct cache_argument *value);
void cache_reply_out_of_memory(struct cache_reply *r);

/* A time to live as Redis checks it: made absolute Unix ms. False: not an integer, not positive, or too far; replied. */
bool cache_expiry_argument(struct cache_call *call, const struct cache_argument *a, bool seconds, bool absolute,
                           uint64_t *at_ms);

/* A sum of floats as Redis keeps it; returns the length. */
#define CACHE_FLOAT_TEXT_MAX (LDBL_MAX_10_EXP + 32)
unsigned cache_float_text(long double value, char text[CACHE_FLOAT_TEXT_MAX]);
/* Decimal digits behind a sign; returns the length. */
unsigned cache_integer_text(int64_t value, char text[24]);
static inline struct mr_span cache_text_span(const char *text, size_t n)
{
    return (struct mr_span){(const uint8_t *)text, n};
}

/* Start and end as GETRANGE, BITCOUNT and BITPOS take them, negative from the end: cut to what there is. False: nothing. */
bool cache_range_clamp(int64_t *start, int64_t *end, uint64_t length);

/* Makes a string of which `n` bytes from `offset` on can be written by cache_store_write_at, all of them; asks for room first.
 * A key that is not there is made. LATER, NEVER: as cache_call_reserve. READY: *e is it; or NULL, when the key was what had to
 * go for the room: the command begins anew, which does not happen twice. */
enum cache_room cache_string_make(struct cache_call *call, struct mr_span key, uint64_t offset, uint64_t n,
                                  struct cache_entry **e);
/* What a command returns that was refused room. */
static inline enum cache_outcome cache_room_outcome(enum cache_room room)
{
    return room == CACHE_ROOM_LATER ? CACHE_AGAIN : CACHE_DONE;
}
/* For commands that ask for room themselves, when they know what is there. */
uint64_t cache_command_room_later(const struct cache_call *call);
/* Copies `n` bytes from `offset` on; zeros behind the end. */
void cache_string_copy(const struct cache_entry *e, uint64_t offset, void *to, size_t n);

#endif
