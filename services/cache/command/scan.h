/* Where a SCAN goes on. */
#ifndef SERVICES_CACHE_COMMAND_SCAN_H
#define SERVICES_CACHE_COMMAND_SCAN_H

#include "cache/command/argument.h"

/* The shard, below `shards`, whose store runs this step: SCAN is routed by it as others are by their key. Any argument will
 * do; what is not a cursor is refused there. */
unsigned cache_scan_shard(const struct cache_argument *cursor, unsigned shards);

#endif
