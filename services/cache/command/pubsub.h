/* Publish and subscribe: subscribers are of the worker that has their connection; a message goes to every worker. */
#ifndef SERVICES_CACHE_PUBSUB_H
#define SERVICES_CACHE_PUBSUB_H

#include "cache/command/command.h"

/* For rows of cache_joins. */
cache_command_function cache_command_publish, cache_command_spublish, cache_command_pubsub_channels,
    cache_command_pubsub_shardchannels, cache_command_pubsub_numsub, cache_command_pubsub_shardnumsub,
    cache_command_pubsub_numpat;
void cache_join_counts(struct cache_reply *r, const struct cache_reply *const *parts,
                       unsigned n); /* name, count, ... */

#endif
