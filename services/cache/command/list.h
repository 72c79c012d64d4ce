/* What the files of list commands share. */
#ifndef SERVICES_CACHE_COMMAND_LIST_H
#define SERVICES_CACHE_COMMAND_LIST_H

#include "cache/command/command.h"
#include "cache/type/list.h"

/* A list that a command works on. */
struct cache_list_target {
    struct cache_store *store;
    struct mr_span key;
    struct cache_list *list; /* NULL: there is none */
};

/* False: wrong type or key, replied. */
bool cache_list_read(struct cache_call *call, const struct cache_argument *key, struct cache_list_target *t);
bool cache_list_write(struct cache_call *call, const struct cache_argument *key, struct cache_list_target *t);

/* Pushes all of `x`, one after the other, or none (false: no memory, replied); makes the list when it is missing. */
bool cache_list_target_push(struct cache_call *call, struct cache_list_target *t, bool front,
                            const struct cache_list_element *x, unsigned n);
/* After elements went: the key goes with the last. */
void cache_list_shrunk(struct cache_call *call, struct cache_list_target *t);
/* An argument as an element of the store's; a rope is brought into its memory. False: no memory, replied. */
bool cache_list_offer(struct cache_call *call, struct cache_store *s, const struct cache_argument *a,
                      struct cache_list_element *x);

void cache_list_reply(struct cache_reply *r, struct cache_list_at at);
bool cache_list_side(const struct cache_argument *a, bool *front); /* LEFT, RIGHT */

/* list_edit.c */
cache_command_function cache_list_lset, cache_list_linsert, cache_list_lrem, cache_list_ltrim, cache_list_lpos;
/* list_pop.c */
cache_command_function cache_list_lpop, cache_list_rpop, cache_list_lmpop, cache_list_blpop, cache_list_brpop,
    cache_list_blmpop;
/* list_move.c */
cache_command_function cache_list_lmove, cache_list_rpoplpush, cache_list_blmove, cache_list_brpoplpush;
uint64_t cache_list_move_room(const struct cache_call *call);

#endif
