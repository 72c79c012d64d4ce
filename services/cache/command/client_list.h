/* CLIENT's subcommands about other connections than one's own. Each worker answers for its own; the joins make one reply. */
#ifndef SERVICES_CACHE_CLIENT_LIST_H
#define SERVICES_CACHE_CLIENT_LIST_H

#include "cache/command/command.h"

cache_command_function cache_command_client_info, cache_command_client_list, cache_command_client_kill,
    cache_command_client_unblock, cache_command_client_pause, cache_command_client_unpause;

void cache_join_client_list(struct cache_reply *r, const struct cache_reply *const *parts, unsigned n);
void cache_join_client_kill(struct cache_reply *r, const struct cache_reply *const *parts, unsigned n);

#endif
