/* What a call did, as the log will replay it: its own arguments, or the commands that it named instead. A transaction collects
 * those of all its calls into one record. */
#ifndef SERVICES_CACHE_EFFECT_H
#define SERVICES_CACHE_EFFECT_H

#include "cache/command/command.h"
#include "cache/command/packed.h"

struct cache_effect { /* one command for the log; from the clients' memory */
    struct cache_effect *next;
    unsigned database;
    struct cache_packed packed;
};

struct cache_transaction {
    struct cache_effect *first, **end;
    uint64_t touched; /* shards, a bit each */
};

void cache_transaction_init(struct cache_transaction *t);
/* All of its effects as one record of the log; frees them. */
void cache_transaction_log(struct cache *cache, struct cache_transaction *t);

/* Before the function: keeps what the log will need of long arguments, which the function may take over. False: no memory. */
bool cache_effects_begin(struct cache_call *call);
/* After a call that changed something: to the log, or to the transaction around it. */
void cache_effects_log(struct cache_call *call);
void cache_effects_free(struct cache *cache, struct cache_effect *first);

/* A key that time or eviction removed; from the store's listener. */
void cache_effects_removed(struct cache *owner, unsigned database, struct mr_span key);

/* Whether the log has what shard `shard` numbered `sequence`, as safe as the policy promises. Without a log: true. */
bool cache_effects_durable(const struct cache *cache, unsigned shard, uint64_t sequence);
/* What the reply of a call that looked at this shard (which is at hand) must wait for the log to have; 0: nothing. */
uint64_t cache_effects_gate(const struct cache *cache, unsigned shard, const struct cache_call *call);

/* The log can take what this call may do. False: not now (CACHE_AGAIN), or *refused: it never will, the error is replied. */
bool cache_effects_ready(struct cache_call *call, bool *refused);

#endif
