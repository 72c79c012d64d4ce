/* A snapshot without fork: each worker walks its own shard, some entries a turn; who changes an entry that was not
 * yet written writes it first. It begins for all shards in one moment, while one command holds them all, so that it
 * is a cut through the history: transactions are in it whole or not at all.
 *
 * Two uses: the base of a rewritten log (BGREWRITEAOF), and the file cache.snapshot (SAVE, BGSAVE). One runs at a
 * time. */
#ifndef SERVICES_CACHE_SNAPSHOT_H
#define SERVICES_CACHE_SNAPSHOT_H

#include "cache/durable/log.h"

enum cache_snapshot_use { CACHE_SNAPSHOT_REWRITE, CACHE_SNAPSHOT_SAVE };

/* A collection up to this is written whole by whoever is about to change it. */
#define CACHE_SNAPSHOT_WHOLE_ELEMENTS 4096
#define CACHE_SNAPSHOT_WHOLE_BYTES    (UINT64_C(1) << 20)

/* Begins on all shards, which the caller (any worker) holds: stores[i] is shard i's. ms: Unix. MR_OK;
 * MR_ERROR_IN_USE: one runs already; MR_ERROR_UNSUPPORTED: a rewrite without a log. */
int cache_snapshot_begin(struct cache_log_worker *lw, enum cache_snapshot_use use, struct cache_store *const *stores,
                         uint64_t ms);
bool cache_snapshot_running(const struct cache_log_worker *lw);

/* What this worker owes the running snapshot in this turn; called in each turn on the worker of `s` unless `s` is
 * held by another. True: there is more, call again next turn though nothing else happens. */
bool cache_snapshot_step(struct cache_log_worker *lw, struct cache_store *s);

/* The store's listener.before_change comes here: `lw` is the worker that executes (which may hold the shard of
 * another). */
void cache_snapshot_before_change(struct cache_log_worker *lw, unsigned shard, struct cache_store *s,
                                  struct cache_entry *e);
/* Before a command that may change `key`: true while its collection is too large to be written by the command and
 * was not written yet; the command waits (CACHE_AGAIN), and that key is the walk's next. */
bool cache_snapshot_busy(struct cache_log_worker *lw, unsigned shard, struct cache_store *s, unsigned database,
                         struct mr_span key);
#endif
