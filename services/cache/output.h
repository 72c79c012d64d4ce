/* From a reply to the stream: what one run of a connection wrote goes out at once as far as the stream takes it; the rest waits in
 * the connection's `output`, in order, in blocks and lent extents. */
#ifndef SERVICES_CACHE_OUTPUT_H
#define SERVICES_CACHE_OUTPUT_H

#include "cache/connection.h"

void cache_output_begin(struct cache_connection *c); /* the worker's reply is this connection's now */
void cache_output_flush(struct cache_connection *c);
void cache_output_free(struct cache *cache, struct cache_reply *r);
uint64_t cache_output_pending(const struct cache *cache); /* bytes in the worker's reply */
/* Replies of this connection wait until the log has `sequence` of `shard`. */
void cache_output_gate(struct cache_connection *c, unsigned shard, uint64_t sequence);
void cache_output_ungate(struct cache_connection *c);

#endif
