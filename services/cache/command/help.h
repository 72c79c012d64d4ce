/* HELP of a container: the lines of Redis, as it prints them. */
#ifndef SERVICES_CACHE_HELP_H
#define SERVICES_CACHE_HELP_H

#include "cache/command/command.h"

/* "NAME <subcommand> ...", `lines` (ends with NULL), and HELP itself. */
enum cache_outcome cache_reply_help(struct cache_call *call, const char *name, const char *const *lines);

/* "ERR unknown subcommand or wrong number of arguments for ..., try <name> HELP": what a subcommand that takes a choice of numbers of
 * arguments answers when it is given another. */
void cache_reply_unknown_subcommand(struct cache_call *call, const char *name);

#endif
