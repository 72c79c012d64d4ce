/* What the files of bit commands share. Bit 0 is the highest of the first byte. */
#ifndef SERVICES_CACHE_COMMAND_BIT_H
#define SERVICES_CACHE_COMMAND_BIT_H

#include "cache/command/string.h"

cache_command_function cache_command_bitcount, cache_command_bitpos;      /* bit_count.c */
cache_command_function cache_command_bitop;                               /* bitop.c */
cache_command_function cache_command_bitfield, cache_command_bitfield_ro; /* bitfield.c */

/* An offset in bits; with `width` "#n" is n times the width. False: not one, or behind the longest value; replied. */
bool cache_bit_offset(struct cache_call *call, const struct cache_argument *a, unsigned width, uint64_t *offset);

#endif
