/* Joining the replies of all workers to a CACHE_FAN_OUT command (cache_joins, command.h). A part is settled, in blocks or not; the
 * cursor reads it without looking where. */
#ifndef SERVICES_CACHE_JOIN_H
#define SERVICES_CACHE_JOIN_H

#include "cache/command/command.h"

struct cache_reply_cursor {
    const struct cache_reply *reply;
    const struct cache_reply_block *block; /* NULL: in the scratch, or at the end */
    const uint8_t *at, *end;
    bool ended;
};

void cache_reply_cursor_init(struct cache_reply_cursor *c, const struct cache_reply *r);
/* The next byte without taking it; -1: the end. */
int cache_reply_cursor_peek(struct cache_reply_cursor *c);
/* Takes a header line (`*3`, `:42`, `$5`) and returns its number. */
int64_t cache_reply_cursor_number(struct cache_reply_cursor *c);
/* Copies `n` bytes on, as they are; `to` NULL: skips them. */
void cache_reply_cursor_copy(struct cache_reply_cursor *c, struct cache_reply *to, uint64_t n);
/* ... or all that is left. */
void cache_reply_cursor_copy_rest(struct cache_reply_cursor *c, struct cache_reply *to);

/* The joins that several commands share. */
void cache_join_sum(struct cache_reply *r, const struct cache_reply *const *parts, unsigned n); /* integers */
void cache_join_first_error(struct cache_reply *r, const struct cache_reply *const *parts,
                            unsigned n); /* else the first */
void cache_join_arrays(struct cache_reply *r, const struct cache_reply *const *parts,
                       unsigned n); /* one behind the other */

#endif
