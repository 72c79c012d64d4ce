/* What runs a call, for those who have one to run: dispatch, EXEC, the replay of the log, the C interface, tests. */
#ifndef SERVICES_CACHE_CALL_H
#define SERVICES_CACHE_CALL_H

#include "cache/command/command.h"

/* Runs a command whose stores are all at hand, with every policy that belongs to the call and not to the session: room, the log,
 * the slow log, counters. `call` has cache, command, argv, argc, database, reply (and client, or NULL) set; the rest is set here.
 * CACHE_AGAIN and CACHE_WAIT as the function returned them: nothing was changed and nothing replied. */
enum cache_outcome cache_call_execute(struct cache_call *call);

/* Counts the error that a reply got, once. */
void cache_call_error(struct cache *cache, struct cache_reply *reply);

/* Policy of the session, before any store is touched: unknown command, arity, authentication, subscriber mode. NULL: the error
 * is replied. *c2 is the subcommand to run when it is a container. */
const struct cache_command *cache_call_admit(struct cache *cache, struct cache_client *client,
                                             const struct cache_argument *argv, unsigned argc,
                                             struct cache_reply *reply);

/* For CACHE_ALL_SHARDS: the i-th store, or NULL behind the last. */
struct cache_store *cache_call_each_store(const struct cache_call *call, unsigned i);

/* Room for several commands together, before the first runs: EXEC. */
enum cache_room cache_call_room(struct cache_call *call);

/* The worker that owns a key: CRC-16 (XMODEM) of it, or of what stands in its first braces, modulo 16384 slots, slots in equal
 * ranges: as a Redis cluster has it. */
unsigned cache_key_slot(struct mr_span key);
static inline unsigned cache_slot_owner(unsigned slot, unsigned workers)
{
    return slot * workers >> 14;
}

#endif
